"""What people and programs say about rows outside the dataset: rows.jsonl in the work folder.

A line is one statement about one picture, with who, when and why; it holds only what it changes.
Lines stay in the order in which they were written, and a later one has the last word on what it
states. The dataset itself is only read (`data`).
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .data import Dataset
from .data_checks import Columns, Findings, parse_object, read_text
from .data_rows import CATEGORIES, ERAS, DatasetRow
from .errors import DatasetError, unknown_name
from .files import write_aside

__all__ = [
    "OVERLAYS",
    "Overlay",
    "merge_overlay",
    "now",
    "read_overlays",
    "read_statements",
    "with_overlays",
    "write_overlays",
]

OVERLAYS = "rows.jsonl"

_WRITING = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What is stated about one picture; None is not stated.

    Attributes:
        sha256: of the picture, 64 hex digits.
        by: who says so: a person's name as they wrote it, or a command.
        at: when, as an ISO date, with or without the time.
        why: the reason.
        generic_captions: added to the row's own; of statements the latest counts.
        cultural_caption: in place of the row's.
        category: likewise; one of CATEGORIES.
        era: likewise; one of ERAS.
        credit: likewise.
        licence: likewise.
        include: False drops the row; True takes an earlier False back.
        extra: what else the line holds, kept as it is.
    """

    sha256: str
    by: str
    at: str
    why: str
    generic_captions: tuple[str, ...] | None = None
    cultural_caption: str | None = None
    category: str | None = None
    era: str | None = None
    credit: str | None = None
    licence: str | None = None
    include: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def stated(self) -> dict[str, Any]:
        """Return what it changes, by name."""
        values = {name: getattr(self, name) for name in _CHANGES}
        return {name: value for name, value in values.items() if value is not None}


_TEXTS = ("cultural_caption", "category", "era", "credit", "licence")
_CHANGES = ("generic_captions", *_TEXTS, "include")


def read_overlays(work: Path | str) -> dict[str, Overlay]:
    """Return what holds for each picture: its statements in their order, merged.

    Args:
        work: the work folder; without a rows.jsonl nothing is stated.

    Raises:
        DatasetError: a line is broken; the sentence names it, and the file stays as it is.
    """
    overlays: dict[str, Overlay] = {}
    for statement in read_statements(work):
        overlays[statement.sha256] = merge_overlay(overlays.get(statement.sha256), statement)
    return overlays


def read_statements(work: Path | str) -> list[Overlay]:
    """Return all statements as they were made, the earliest first.

    Raises:
        DatasetError: as by `read_overlays`.
    """
    return [
        _parse(number, line) for number, line in enumerate(_lines(work), start=1) if line.strip()
    ]


def merge_overlay(earlier: Overlay | None, later: Overlay) -> Overlay:
    """Return the earlier one with what the later one states in its place.

    Who, when and why are the later one's; the lines of the file keep each its own.
    """
    if earlier is None:
        return later
    if earlier.sha256 != later.sha256:
        raise ValueError(f"two pictures: {earlier.sha256} and {later.sha256}")
    return dataclasses.replace(
        earlier,
        by=later.by,
        at=later.at,
        why=later.why,
        extra={**earlier.extra, **later.extra},
        **later.stated(),
    )


def write_overlays(work: Path | str, overlays: Mapping[str, Overlay] | Iterable[Overlay]) -> None:
    """Add statements to rows.jsonl, in one step; what others stated stays there.

    A line by the same person with the same reason goes, if the new one states all that it did, so
    that repeating a command does not make the file grow. Every other line keeps its bytes: unknown
    keys, and even lines that cannot be read, are not lost. What already holds, said last by the
    same person for the same reason, is not written again.

    Args:
        work: the work folder.
        overlays: statements, which are written as they are; or what is to hold, as a mapping like
            that of `read_overlays`, of which the values that do not hold yet are written.

    Raises:
        DatasetError: one of them could not be read back, or the file is not UTF-8.
        OutputError: it cannot be written; the old file is there.
    """
    # A person may decide on a page while captions are written in another thread.
    with _WRITING:
        _write_statements(work, overlays)


def with_overlays(
    rows: Dataset | Iterable[DatasetRow], overlays: Mapping[str, Overlay]
) -> tuple[DatasetRow, ...]:
    """Return copies of the rows with what is stated about their pictures.

    Generic captions are the row's own, then the overlay's, each once. Any other value of an overlay
    stands in place of the row's. Rows whose overlay says `include` False are left out; those that
    the dataset itself leaves out are not among `rows`, so True cannot bring them back.
    """
    given = rows.rows if isinstance(rows, Dataset) else rows
    applied = (_applied(row, overlays.get(row.sha256)) for row in given)
    return tuple(row for row in applied if row is not None)


def now() -> str:
    """Return the time of a statement that is made now, to the second, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _applied(row: DatasetRow, overlay: Overlay | None) -> DatasetRow | None:
    if overlay is None:
        return row
    if overlay.include is False:
        return None
    captions = dict.fromkeys([*row.generic_captions, *(overlay.generic_captions or ())])
    texts = {name: value for name in _TEXTS if (value := getattr(overlay, name)) is not None}
    guessed = row.category_guessed and overlay.category is None
    return dataclasses.replace(
        row, generic_captions=tuple(captions), category_guessed=guessed, **texts
    )


def _write_statements(
    work: Path | str, overlays: Mapping[str, Overlay] | Iterable[Overlay]
) -> None:
    lines = [line for line in _lines(work) if line.strip()]
    kept: list[tuple[str, Overlay | None]] = [(line, _parse_or_none(line)) for line in lines]
    whole = isinstance(overlays, Mapping)
    changed = False
    for overlay in overlays.values() if isinstance(overlays, Mapping) else overlays:
        held = _merged([old for _, old in kept if old and old.sha256 == overlay.sha256])
        new = _difference(held, overlay) if whole else overlay
        line = _format(new)
        parsed = _parse(len(kept) + 1, line)
        if _says_nothing(parsed) or _holds(held, parsed):
            continue
        kept = [(text, old) for text, old in kept if old is None or not _covers(parsed, old)]
        kept.append((line, parsed))
        changed = True
    if not changed:
        return
    data = "".join(f"{line}\n" for line, _ in kept).encode("utf-8")
    write_aside(Path(work) / OVERLAYS, lambda aside: _write(aside, data))


def _lines(work: Path | str) -> list[str]:
    path = Path(work) / OVERLAYS
    # Not splitlines: a caption may hold U+2028 and its like.
    return read_text(path, OVERLAYS).split("\n") if path.exists() else []


def _parse(number: int, line: str) -> Overlay:
    where = f"{OVERLAYS}, row {number}:"
    findings = Findings()
    values = parse_object(line, where=where)
    columns = Columns(values, findings, number, where)
    named = {name: columns.text(name) or "" for name in ("sha256", "by", "at", "why")}
    captions = tuple(text for text in columns.texts("generic_captions", one_allowed=True) if text)
    texts = {name: columns.text(name) or None for name in _TEXTS}
    include = columns.flag("include")
    for problem in findings.in_order():
        raise DatasetError(problem.message)
    named["sha256"] = named["sha256"].lower()
    if not re.fullmatch("[0-9a-f]{64}", named["sha256"]):
        raise DatasetError(
            f"{where} `sha256` must be the 64 hex digits of a picture's sha256 but got "
            f"{named['sha256']!r}. Write it so, or remove the line."
        )
    for name in ("by", "why"):
        if not named[name]:
            raise DatasetError(
                f"{where} `{name}` is missing. Write who says so (`by`), when (`at`) and `why`."
            )
    try:
        datetime.date.fromisoformat(named["at"][:10])
    except ValueError as error:
        raise DatasetError(
            f"{where} `at` must be an ISO date such as 2026-03-31 but got {named['at']!r}. Write "
            "it so."
        ) from error
    for name, known in (("category", CATEGORIES), ("era", ERAS)):
        if texts[name] is not None and texts[name] not in known:
            raise DatasetError(f"{where} {unknown_name(name, str(texts[name]), known)}")
    stated = values.get("generic_captions") is not None
    return Overlay(
        generic_captions=captions if stated else None,
        include=include,
        extra=columns.rest,
        sha256=named["sha256"],
        by=named["by"],
        at=named["at"],
        why=named["why"],
        **texts,
    )


def _parse_or_none(line: str) -> Overlay | None:
    try:
        return _parse(0, line)
    except DatasetError:
        return None


def _format(overlay: Overlay) -> str:
    values = {
        "sha256": overlay.sha256,
        **overlay.stated(),
        "by": overlay.by,
        "at": overlay.at,
        "why": overlay.why,
    }
    return json.dumps({**overlay.extra, **values}, ensure_ascii=False)


def _same_source(one: Overlay, other: Overlay) -> bool:
    return (one.sha256, one.by, one.why) == (other.sha256, other.by, other.why)


def _covers(new: Overlay, old: Overlay) -> bool:
    return (
        _same_source(new, old)
        and old.stated().keys() <= new.stated().keys()
        and old.extra.keys() <= new.extra.keys()
    )


def _merged(statements: list[Overlay]) -> Overlay | None:
    held: Overlay | None = None
    for statement in statements:
        held = merge_overlay(held, statement)
    return held


def _difference(held: Overlay | None, wanted: Overlay) -> Overlay:
    """Return a statement of those values alone that do not hold yet."""
    if held is None:
        return wanted
    same: dict[str, Any] = {
        name: None for name, value in wanted.stated().items() if getattr(held, name) == value
    }
    extra = {k: v for k, v in wanted.extra.items() if k not in held.extra or held.extra[k] != v}
    return dataclasses.replace(wanted, extra=extra, **same)


def _says_nothing(overlay: Overlay) -> bool:
    return not overlay.stated() and not overlay.extra


def _holds(held: Overlay | None, new: Overlay) -> bool:
    """Tell whether a statement would change nothing: neither what holds nor who said so."""
    if held is None or not _same_source(held, new):
        return False
    merged = merge_overlay(held, new)
    return dataclasses.replace(merged, at=held.at) == held


def _write(aside: Path, data: bytes) -> None:
    aside.write_bytes(data)
