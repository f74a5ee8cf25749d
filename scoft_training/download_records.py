"""What a download knows of each row: downloads.jsonl, its lock file, and the verdicts made of it.

A line is one row's outcome: the first come as they happen, flushed each; at the end of a run the
file is written anew, a line a row in the table's order. Verdicts that depend on other rows
(duplicate, placeholder) are made of all outcomes each time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .data_checks import parse_object, read_text
from .errors import DatasetError, OutputError
from .files import write_text

__all__ = [
    "IN_SET",
    "LOCK",
    "VERDICTS",
    "Journal",
    "Record",
    "Verdict",
    "exclusive",
    "judge",
    "read_records",
    "row_key",
    "with_records",
    "write_records",
]

LOCK = "downloads.jsonl"

IN_SET = ("alive", "moved", "replaced")
"""Verdicts of rows whose picture is in the set."""

VERDICTS = (
    *IN_SET,
    "dead",
    "placeholder",
    "duplicate",
    "too_small",
    "not_a_picture",
    "too_large",
    "refused",
    "changed",
    "bad_row",
    "unreachable",
    "waiting",
)

_PLACEHOLDER_NAMES = re.compile(
    r"removed|unavailable|not[-_]?available|not[-_]?found|no[-_]?image|placeholder", re.IGNORECASE
)
_LINKS_OF_A_PLACEHOLDER = 3


@dataclass(frozen=True, kw_only=True)
class Record:
    """What came of a link: `outcome` is "picture", "replaced", or a verdict without a picture.

    `link` and `nth` tell the row: the n-th of those with this link (for a row without one, what
    `LinkRow.told_by` says). `file` is relative to train/.
    """

    link: str
    nth: int
    outcome: str
    why: str = ""
    sha256: str = ""
    file: str = ""
    bytes: int = 0
    width: int = 0
    height: int = 0
    url: str = ""
    moved_to: str = ""
    redirected: bool = False
    tries: int = 0
    at: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """What tells the row."""
        return self.link, self.nth


@dataclass(frozen=True)
class Verdict:
    """One row's verdict, a sentence if there is something to say, and what it rests on."""

    row: int
    link: str
    verdict: str
    why: str
    record: Record | None


_FIELDS = {field.name: field.type for field in dataclasses.fields(Record)}


def read_records(path: Path) -> dict[tuple[str, int], Record]:
    """Return the latest record of each row; a last line that was cut by a kill is not one.

    Raises:
        DatasetError: another line is broken.
    """
    records: dict[tuple[str, int], Record] = {}
    lines = read_text(path, path.name).split("\n") if path.exists() else []
    for number, line in enumerate(lines[:-1], start=1):
        if not line.strip():
            continue
        values = parse_object(line, where=f"{path.name}, row {number}:")
        known = {name: value for name, value in values.items() if name in _FIELDS}
        if not known.get("outcome"):
            continue
        try:
            record = Record(**known)
        except TypeError as error:
            raise DatasetError(
                f"{path.name}, row {number}: this is no record of a download ({error}). Take the "
                "file back from a copy, or remove the line and download that row again."
            ) from error
        records[record.key] = record
    return records


def write_records(
    path: Path, verdicts: Sequence[Verdict], records: Mapping[tuple[str, int], Record]
) -> None:
    """Write the lock anew: a line a row of the table, then records of rows that it lost."""
    lines, seen = [], set()
    for verdict in verdicts:
        values: dict[str, Any] = {"row": verdict.row, "link": verdict.link}
        values |= {"verdict": verdict.verdict, "why": verdict.why}
        # A row with another row's link borrows its record, which stands in one line only.
        if verdict.record is not None and verdict.record.key not in seen:
            seen.add(verdict.record.key)
            values |= {**_filled(verdict.record), "why": verdict.record.why}
        lines.append(json.dumps(values, ensure_ascii=False))
    lost = [record for key, record in records.items() if key not in seen]
    lines += [json.dumps(_filled(one), ensure_ascii=False) for one in lost]
    write_text(path, "".join(line + "\n" for line in lines))


def _filled(record: Record) -> dict[str, Any]:
    values = dataclasses.asdict(record)
    return {name: value for name, value in values.items() if value or name in ("link", "nth")}


class Journal:
    """Appends records, each on the disk before `add` returns.

    Args:
        path: the lock file; a line that a kill cut off is taken away first.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            data = path.read_bytes()
            if not data.endswith(b"\n"):
                os.truncate(path, data.rfind(b"\n") + 1)
        self._file = path.open("ab")

    def add(self, record: Record) -> None:
        """Write one record and flush it.

        Raises:
            OutputError: the disk is full.
        """
        try:
            line = json.dumps(_filled(record), ensure_ascii=False) + "\n"
            self._file.write(line.encode("utf-8"))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(
                f"{self._file.name}: could not be written ({error.strerror}). Make room on the "
                "disk, then start again."
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder against a second download into it; freed by the system if we are killed.

    Raises:
        OutputError: another process holds it.
    """
    with (folder / ".downloading").open("a+b") as file:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(
                f"{folder}: another download fills this folder right now. Wait for its end."
            ) from error
        yield


def judge(
    rows: Sequence[tuple[int, str, str]],
    records: Mapping[tuple[str, int], Record],
    *,
    min_side: int,
    expected: Mapping[str, str] | None = None,
    altered: frozenset[str] = frozenset(),
) -> list[Verdict]:
    """Return a verdict for each row.

    Args:
        rows: (number, what tells the row, fault) of the table, in its order.
        records: of the rows that were tried.
        min_side: pictures with a shorter side are too small.
        expected: sha256 by link, of another person's lock.
        altered: files that are not what was downloaded any more.
    """
    owned = [record for _, record in with_records(rows, records)]
    links_of: dict[str, set[str]] = defaultdict(set)
    ends_of: dict[str, set[str]] = defaultdict(set)
    for record in owned:
        if record is not None and record.outcome == "picture":
            links_of[record.sha256].add(record.link)
            ends_of[record.sha256].add(record.url)
    verdicts = []
    for (number, link, fault), record in zip(rows, owned, strict=True):
        if record is None or (fault and record.outcome != "replaced"):
            name = "bad_row" if fault else "waiting"
            verdicts.append(Verdict(number, link, name, fault or "Not tried yet.", None))
            continue
        name, why = _verdict(record, min_side)
        if record.file in altered and record.file:
            name, why = (
                "changed",
                (
                    f"{record.file} is not the file that was downloaded. Remove it and start again "
                    "to fetch it anew, or bring it with `scoft dataset replace`."
                ),
            )
        elif record.outcome == "picture" and (
            (expected or {}).get(link, record.sha256) != record.sha256
        ):
            name, why = "changed", "The link gives another picture than the lock names."
        elif name in IN_SET and record.outcome == "picture":
            links = links_of[record.sha256]
            if _is_placeholder(record, links, ends_of[record.sha256]):
                name = "placeholder"
                why = (
                    f"{len(links)} links give this same picture (sha256 {record.sha256[:12]}...), "
                    "or it is named so: it stands for one that is gone."
                )
        verdicts.append(Verdict(number, link, name, why, record))
    return _told_apart(verdicts)


def _told_apart(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Make the second of two rows in the set with one picture a duplicate of the first."""
    first: dict[str, int] = {}
    # What a person brought goes first.
    for one in sorted(verdicts, key=lambda one: one.verdict != "replaced"):
        if one.verdict in IN_SET and one.record is not None:
            first.setdefault(one.record.sha256, one.row)
    found = []
    for one in verdicts:
        if one.verdict in IN_SET and one.record is not None:
            other = first[one.record.sha256]
            if other != one.row:
                why = f"The same picture as in row {other}."
                one = dataclasses.replace(one, verdict="duplicate", why=why)
        found.append(one)
    return found


def with_records(
    rows: Sequence[tuple[int, str, str]], records: Mapping[tuple[str, int], Record]
) -> Iterator[tuple[tuple[str, int], Record | None]]:
    """Yield each row's key and record; rows with one link share what was fetched for one."""
    counts: dict[str, int] = defaultdict(int)
    fetched = {one.link: one for one in records.values() if one.link and one.outcome != "replaced"}
    for _, link, _ in rows:
        key = row_key(link, counts)
        yield key, records.get(key) or fetched.get(link)


def row_key(link: str, counts: dict[str, int]) -> tuple[str, int]:
    """Return what tells a row, counting in `counts` how often its link came before."""
    counts[link] += 1
    return link, counts[link] - 1


def _verdict(record: Record, min_side: int) -> tuple[str, str]:
    if record.outcome == "replaced":
        return "replaced", "A person brought this picture."
    if record.outcome != "picture":
        return record.outcome, record.why
    if min(record.width, record.height) < min_side:
        size = f"{record.width} x {record.height}"
        return "too_small", f"The picture is {size} pixels; a side must have {min_side}."
    if record.moved_to:
        return "moved", f"The link moved for good to {record.moved_to}."
    return "alive", ""


def _is_placeholder(record: Record, links: set[str], ends: set[str]) -> bool:
    """Whether a picture that `links` led to, at the addresses `ends`, stands for one gone."""
    if len(links) >= _LINKS_OF_A_PLACEHOLDER:
        return True
    if not record.redirected:
        return False
    if _PLACEHOLDER_NAMES.search(record.url.rpartition("/")[2]):
        return True
    return len(links) > 1 and len(ends) == 1
