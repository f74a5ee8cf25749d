"""The folder that a download fills: a dataset in the authors' layout, its lock and its report."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .data_checks import METADATA, parse_object, read_text
from .download_records import (
    IN_SET,
    LOCK,
    Record,
    Verdict,
    judge,
    read_records,
    write_records,
)
from .download_report import write_report
from .errors import DatasetError, OutputError
from .files import copy_file, digest_text, remove_leftovers, write_json, write_text
from .link_table import OWN_COLUMNS, LinkRow

__all__ = ["Folder", "current", "ending", "file_stems", "free_stem", "lay_out", "read_rows"]

_ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}
_SETTINGS = "download.json"
_DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9¹²³]", re.IGNORECASE)


class Folder:
    """DIR of a download.

    Args:
        root: the folder; may be missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.train = root / "train"
        self.images = self.train / "images"
        self.lock = root / LOCK
        self.metadata = self.train / METADATA

    def open(self, *, table: str, min_side: int) -> None:
        """Make the folder, or go on with one that a download made.

        Raises:
            OutputError: it holds something else, or cannot be made.
        """
        settings = self.root / _SETTINGS
        try:
            strange = self.root.exists() and (
                not self.root.is_dir()
                or (
                    not settings.exists()
                    # What a kill while the settings were written left is ours.
                    and any(
                        not entry.name.startswith((".", f"{_SETTINGS}."))
                        for entry in self.root.iterdir()
                    )
                )
            )
            if strange:
                raise OutputError(
                    f"{self.root}: is not empty, and no download made it; nothing in it is "
                    "touched. Choose a new folder."
                )
            # First of all, since by it a next run knows the folder for its own.
            if not settings.exists():
                self.describe(table=table, min_side=min_side, expected={}, altered=[])
            self.images.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.root}: cannot be made ({error.strerror}). Choose another folder."
            ) from error

    def remove_leftovers(self) -> None:
        """Delete temporary files that a killed process left."""
        for folder in (self.root, self.train, self.images):
            remove_leftovers(folder)

    def describe(
        self, *, table: str, min_side: int, expected: Mapping[str, str], altered: Sequence[str]
    ) -> None:
        """Write down what rows are judged by: the arguments of `judge`."""
        self._describe(
            made_by="scoft dataset download",
            table=table,
            min_side=min_side,
            expected=dict(expected),
            altered=list(altered),
        )

    def altered(self) -> list[str]:
        """Return the files that were found altered and have not been brought anew."""
        return [name for name in self._read()["altered"] if (self.train / name).is_file()]

    def forgive(self, name: str) -> None:
        """Take a file from the altered ones."""
        self._describe(altered=[one for one in self.altered() if one != name])

    def write_card(self, values: dict[str, str]) -> None:
        """Write values into card.json; what else it holds stays.

        Raises:
            DatasetError: the card is broken.
        """
        path = self.root / "card.json"
        card = parse_object(read_text(path, path.name), where="card.json:") if path.exists() else {}
        if card | values != card:
            write_json(path, card | values)

    def write_metadata(self, text: str) -> str | None:
        """Write metadata.jsonl; one that a person edited is kept under another name.

        Returns:
            a sentence about what was kept, or None.
        """
        before = self.metadata.read_bytes() if self.metadata.is_file() else b""
        digest, old = digest_text(text), hashlib.sha256(before).hexdigest()
        written = self._read().get("written", [])
        kept = None
        if before and written and old not in [*written, digest]:
            name = f"metadata.edited-{old[:12]}.jsonl"
            copy_file(self.metadata, self.root / name)
            kept = (
                f"{self.metadata} was edited since it was written; it is written anew, and your "
                f"version is kept as {name} in {self.root}. Bring changes into the table, or make "
                "them in the review desk, which keeps them."
            )
        # Both are ours, should we be killed between here and there.
        self._describe(written=[old, digest] if kept is None and before else [digest])
        write_text(self.metadata, text)
        self._describe(written=[digest])
        return kept

    def _describe(self, **values: Any) -> None:
        settings = self._read() if (self.root / _SETTINGS).exists() else {}
        if settings | values != settings:
            write_json(self.root / _SETTINGS, settings | values)

    def settings(self) -> dict[str, Any]:
        """Return what `describe` wrote.

        Raises:
            DatasetError: no download made this folder.
        """
        settings = self.root / _SETTINGS
        if not settings.is_file() or not self.metadata.is_file():
            raise DatasetError(
                f"{self.root}: no download made this folder. Pass the DIR of `scoft dataset "
                "download`, say --in DIR."
            )
        return self._read()

    def judge(
        self, rows: Sequence[LinkRow], records: Mapping[tuple[str, int], Record]
    ) -> list[Verdict]:
        """Return the rows' verdicts by what `describe` wrote."""
        settings = self._read()
        return judge(
            [(row.number, row.told_by, row.fault) for row in rows],
            records,
            min_side=settings["min_side"],
            expected=settings["expected"],
            altered=frozenset(settings["altered"]),
        )

    def _read(self) -> dict[str, Any]:
        settings = parse_object(read_text(self.root / _SETTINGS, _SETTINGS), where=f"{_SETTINGS}:")
        for name, kind in (("min_side", int), ("expected", dict), ("altered", list)):
            if not isinstance(settings.get(name), kind):
                raise DatasetError(
                    f"{_SETTINGS}: `{name}` is missing or of a wrong kind. Take the file back from "
                    "a copy, or download into a new folder."
                )
        return settings


def file_stems(rows: Sequence[LinkRow]) -> list[str]:
    """Return a file name without ending for each row: a function of the table alone.

    The table's own name where it has one that nobody else has, else the link's last part; made
    unique by a digest of the link, so that inserting a row renames nothing.
    """
    own = [_cleaned(re.sub(r"\.\w{2,5}$", "", row.file_name)) for row in rows]
    counts = Counter(name.casefold() for name in own)
    stems = []
    for row, name in zip(rows, own, strict=True):
        if name and counts[name.casefold()] == 1:
            stems.append(name)
            continue
        path = urllib.parse.urlsplit(row.link).path if not row.fault else ""
        last = urllib.parse.unquote(path).rpartition("/")[2]
        short = _cleaned(re.sub(r"\.\w{2,5}$", "", last)) or "picture"
        digest = hashlib.sha256((row.link or str(row.number)).encode("utf-8")).hexdigest()[:8]
        stems.append(f"{name or short}-{digest}")
    return stems


def free_stem(stem: str, key: tuple[str, int], owners: Mapping[str, tuple[str, int]]) -> str:
    """Return a row's file name, another one if a file of that name belongs to another row.

    Tables are edited: the name may have been an earlier row's, whose picture is kept.

    Args:
        stem: wanted.
        key: the row's.
        owners: the rows' keys by the stems, case folded, of their files.
    """
    digest = hashlib.sha256(key[0].encode("utf-8")).hexdigest()
    names = (stem, f"{stem}-{digest[:8]}", digest)
    return next(name for name in names if owners.get(name.casefold(), key) == key)


def ending(kind: str) -> str:
    """Return the file ending of a format that Pillow names."""
    return _ENDINGS.get(kind, f".{kind.lower()}")


def lay_out(
    folder: Folder, rows: Sequence[LinkRow], records: Mapping[tuple[str, int], Record]
) -> tuple[list[Verdict], str | None]:
    """Write metadata.jsonl, the lock and the report anew.

    Returns:
        the rows' verdicts; a sentence about an edited metadata.jsonl that was kept, or None.
    """
    verdicts = folder.judge(rows, records)
    lines = [
        json.dumps(_metadata(row, verdict), ensure_ascii=False) + "\n"
        for row, verdict in zip(rows, verdicts, strict=True)
    ]
    kept = folder.write_metadata("".join(lines))
    write_records(folder.lock, verdicts, records)
    write_report(folder.root, verdicts)
    return verdicts, kept


def read_rows(folder: Folder) -> list[LinkRow]:
    """Return the table's rows as the last run laid them out.

    Raises:
        DatasetError: metadata.jsonl is broken.
    """
    rows = []
    lines = read_text(folder.metadata, METADATA).split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        values = parse_object(line, where=f"{METADATA}, row {number}:")
        rows.append(
            LinkRow(
                number=_table_row(values, number),
                link=(link := str(values.get("link", ""))),
                file_name="",
                values={k: v for k, v in values.items() if k not in OWN_COLUMNS},
                fault=str(values.get("table_fault", "")),
                told_by=str(values.get("told_by") or link),
            )
        )
    return rows


def _table_row(values: Mapping[str, Any], line: int) -> int:
    number = values.get("table_row")
    if isinstance(number, int):
        return number
    raise DatasetError(
        f"{METADATA}, row {line}: `table_row` must be the table's row but is {number!r}. Download "
        "the table again, which writes the file anew; your own is kept."
    )


def current(folder: Folder) -> list[Verdict]:
    """Return the rows' verdicts as the folder says them now."""
    folder.settings()
    return folder.judge(read_rows(folder), read_records(folder.lock))


def _metadata(row: LinkRow, verdict: Verdict) -> dict[str, Any]:
    record = verdict.record
    values: dict[str, Any] = {}
    if record is not None and record.file:
        values |= {"file_name": record.file, "sha256": record.sha256}
    values |= row.values
    values |= {"table_row": row.number, "link": row.link, "link_state": verdict.verdict}
    if row.told_by != row.link:
        values["told_by"] = row.told_by
    if row.fault:
        values["table_fault"] = row.fault
    if record is not None and record.moved_to:
        values["moved_to"] = record.moved_to
    if verdict.verdict not in IN_SET:
        values["include"] = False
    return values


def _cleaned(name: str) -> str:
    letters = unicodedata.normalize("NFC", name.replace("\\", "/").rpartition("/")[2])
    name = re.sub(r"[^\w-]+", "_", letters).strip("_")[:40]
    # Windows opens a device of such a name, whatever its ending.
    return f"{name}_" if _DEVICES.fullmatch(name) else name
