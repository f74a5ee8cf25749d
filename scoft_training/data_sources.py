"""Where a dataset's rows stand: metadata.jsonl, a CSV or TSV table, or captions beside pictures.

Here the form is found and taken apart into rows of plain values; what the values mean is the
matter of `data_rows`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from .data_checks import METADATA, Findings, parse_object, place, printable, read_bytes, read_text
from .errors import DatasetError
from .text_encoding import DecodedText, decode_texts, guess_sentence

__all__ = [
    "PICTURE_ENDINGS",
    "TABLES",
    "Source",
    "SourceRow",
    "find_source",
    "is_dataset",
    "read_rows",
    "source_version",
]

TABLES = (METADATA, "metadata.csv", "metadata.tsv")
"""Names of tables; of several in one folder the first is read."""

PICTURE_ENDINGS = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
)

_NOT_OF_THE_SET = ("test", "val", "validation", "negative_images", "depth")
"""Folders below the root that are no part of a training set which lies in the root itself."""

_LISTS = ("blip_text", "negative_imgpath")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_GLANCE = 1000
"""Names that `is_dataset` looks at in a folder; a host asks it about each folder it has."""

_GLANCE_FOLDERS = 20


@dataclass(frozen=True)
class Source:
    """A split's place: `folder`, where its pictures' paths begin, and `table` if there is one."""

    folder: Path
    table: Path | None
    skipped: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """How messages call the whole: the table's name, or "captions"."""
        return "captions" if self.table is None else self.table.name


@dataclass(frozen=True)
class SourceRow:
    """One row as written: its number, how a sentence about it begins, and its values by column.

    `no_caption` says why there is no caption, where the form knows more than that it is missing.
    """

    number: int
    where: str
    values: Mapping[str, Any]
    no_caption: str = ""


def find_source(root: Path, split: str) -> Source:
    """Return where a split's rows stand.

    The split's own folder comes before the root, which serves as the split "train" where there is
    none; a table comes before captions.

    Raises:
        DatasetError: there is no such folder, or nothing in it that is one of the forms.
    """
    if not root.exists():
        raise DatasetError(f"{root}: there is no such folder. Check the path of the dataset.")
    if not root.is_dir():
        raise DatasetError(
            f"{root} is not a folder. Pass the folder that holds {split}/{METADATA}."
        )
    places = [Source(root / split, None)]
    if split == "train":
        places.append(Source(root, None, frozenset(_NOT_OF_THE_SET)))
    for candidate in places:
        for name in TABLES:
            if (candidate.folder / name).exists():
                if candidate.folder == root and root.name == split:
                    raise DatasetError(
                        f"{root}: there is no {split}/{name}. This is the split's own folder; "
                        f"pass {root.parent} instead."
                    )
                return Source(candidate.folder, candidate.folder / name)
    for candidate in places:
        if candidate.folder.is_dir() and any(texts for _, texts in _captioned(candidate)):
            return candidate
    begin = f"{root}: there is no {split}/{METADATA}."
    others = sorted({found.parent.name for name in TABLES for found in root.glob(f"*/{name}")})
    if others:
        raise DatasetError(f"{begin} The splits here are {', '.join(others)}; pass one of them.")
    raise DatasetError(
        f"{begin} Write one line per picture: file_name, text, blip_text; or put a .txt with its "
        "caption beside each picture."
    )


def read_rows(source: Source, findings: Findings, *, encoding: str | None) -> Iterator[SourceRow]:
    """Yield a split's rows in the order of its table, captions by the pictures' names.

    What is wrong with a row as a whole is noted, and the row left out.

    Args:
        source: from `find_source`.
        findings: takes what is wrong, and each guess of an encoding.
        encoding: what the dataset's card states.

    Raises:
        DatasetError: a table cannot be opened or decoded, or has no column `file_name`.
    """
    if source.table is None:
        yield from _read_captions(source, findings, encoding)
        return
    if also := [name for name in TABLES if (source.folder / name).exists()][1:]:
        findings.warn(
            None,
            "two-tables",
            f"{source.name} is read, and {' and '.join(also)} beside it is not. Remove what is "
            "out of date.",
        )
    text = read_text(source.table, source.name, findings, encoding=encoding)
    if source.name == METADATA:
        yield from _read_lines(text, findings)
    else:
        yield from _read_table(text, source.name, findings)


def source_version(source: Source) -> tuple[tuple[str, int, int], ...]:
    """Return names, times and sizes of the files that rows are read from; no content is read."""
    if source.table is not None:
        paths = [source.table]
    else:
        paths = [path for picture, texts in _captioned(source) for path in (picture, *texts)]
    found = []
    for path in paths:
        stat = path.stat()
        found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def is_dataset(folder: Path) -> bool:
    """Whether a folder is one of the forms for training, told from a bounded number of names."""
    for base in (folder / "train", folder):
        names, folders = _glance(base)
        if names & set(TABLES) or _has_caption(names):
            return True
        below = [name for name in folders if base != folder or name not in _NOT_OF_THE_SET]
        if any(_has_caption(_glance(base / name)[0]) for name in below[:_GLANCE_FOLDERS]):
            return True
    return False


def _glance(folder: Path) -> tuple[set[str], list[str]]:
    """Return some names of files, and of folders, in a folder."""
    try:
        with os.scandir(folder) as entries:
            seen = list(islice(entries, _GLANCE))
    except OSError:
        return set(), []
    folders = sorted(entry.name for entry in seen if entry.is_dir())
    return {entry.name for entry in seen} - set(folders), folders


def _has_caption(names: set[str]) -> bool:
    paths = [PurePosixPath(name) for name in names]
    pictures = {_plain(path.stem) for path in paths if path.suffix.lower() in PICTURE_ENDINGS}
    return any(path.suffix.lower() == ".txt" and _plain(path.stem) in pictures for path in paths)


def _plain(name: str) -> str:
    """Spell accents one way; systems differ in it."""
    return unicodedata.normalize("NFC", name)


def _files(source: Source) -> list[Path]:
    """List the files below a folder by name; hidden ones and other sets' folders are left out."""
    found = []
    for folder, folders, names in os.walk(source.folder):
        at_top = Path(folder) == source.folder
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not (at_top and name in source.skipped)
        ]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(source.folder).as_posix())


def _captioned(source: Source) -> list[tuple[Path, tuple[Path, ...]]]:
    """Return each picture with the .txt of its name, or with none."""
    files = _files(source)
    texts = {
        (path.parent, _plain(path.stem)): path for path in files if path.suffix.lower() == ".txt"
    }
    pictures = [path for path in files if path.suffix.lower() in PICTURE_ENDINGS]
    found = [(path, texts.get((path.parent, _plain(path.stem)))) for path in pictures]
    return [(path, () if text is None else (text,)) for path, text in found]


def _read_captions(source: Source, findings: Findings, encoding: str | None) -> Iterator[SourceRow]:
    captioned = _captioned(source)
    of_text = {text: f"{_shown(source, text)}:" for _, texts in captioned for text in texts}
    pieces: dict[str, bytes] = {}
    unread: dict[str, DecodedText | DatasetError] = {}
    for text, where in of_text.items():
        try:
            pieces[where] = read_bytes(text)
        except DatasetError as error:
            unread[where] = error
    decoded = decode_texts(pieces, encoding=encoding) | unread
    _warn_of_guesses(decoded, findings)
    _warn_of_orphans(source, set(of_text), findings)
    for number, (picture, texts) in enumerate(captioned, start=1):
        file_name = picture.relative_to(source.folder).as_posix()
        if not texts:
            name = _shown(source, picture)
            lack = f"there is no {Path(name).stem}.txt beside it"
            yield SourceRow(number, f"{name}:", {"file_name": file_name}, no_caption=lack)
            continue
        where = of_text[texts[0]]
        caption = decoded[where]
        if isinstance(caption, DatasetError):
            findings.error(number, "unreadable-caption", str(caption))
            continue
        values = {"file_name": file_name, "text": " ".join(caption.text.split())}
        yield SourceRow(number, where, values)


def _shown(source: Source, path: Path) -> str:
    return printable(path.relative_to(source.folder).as_posix())


def _warn_of_guesses(decoded: Mapping[str, DecodedText | DatasetError], findings: Findings) -> None:
    """Name the files of one guess together."""
    guessed: dict[str, list[tuple[str, DecodedText]]] = {}
    for where, text in decoded.items():
        if isinstance(text, DecodedText) and text.guessed:
            guessed.setdefault(text.encoding, []).append((where, text))
    for (where, text), *others in guessed.values():
        if others:
            names = "1 other file" if len(others) == 1 else f"{len(others)} other files"
            where = f"{where.removesuffix(':')}, and so {names}:"
        findings.warn(None, "guessed-encoding", guess_sentence(text, where=where))


def _warn_of_orphans(source: Source, used: set[Path], findings: Findings) -> None:
    for path in _files(source):
        if path.suffix.lower() == ".txt" and path not in used:
            findings.warn(
                None,
                "caption-without-picture",
                f"{_shown(source, path)}: there is no picture of this name beside it. Bring it, "
                "or take the text out.",
            )


def _read_lines(text: str, findings: Findings) -> Iterator[SourceRow]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = place(number)
        try:
            yield SourceRow(number, where, parse_object(line, where=where))
        except DatasetError as error:
            findings.error(number, "broken-json", str(error))


def _read_table(text: str, name: str, findings: Findings) -> Iterator[SourceRow]:
    """Count rows as a spreadsheet does: the head is row 1, and a cell may hold several lines."""
    head = text.partition("\n")[0]
    # A head always names several columns, so its commonest separator is the table's.
    separator = "\t" if name.endswith(".tsv") else max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns: list[str] | None = None
    try:
        for number, cells in enumerate(reader, start=1):
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = _head(cells, name)
                continue
            where = f"{name}, row {number}:"
            if len(cells) > len(columns) and any(cells[len(columns) :]):
                findings.error(
                    number,
                    "broken-row",
                    f"{where} there are {len(cells)} cells, but the table has {len(columns)} "
                    "columns. Put text that holds the separator in double quotes.",
                )
                continue
            try:
                values = _values(dict(zip(columns, cells, strict=False)), where)
            except DatasetError as error:
                findings.error(number, "broken-json", str(error))
                continue
            yield SourceRow(number, where, values)
    except csv.Error as error:
        raise DatasetError(
            f"{name}, near line {reader.line_num}: the table cannot be read ({error}). Look for a "
            "double quote that is not closed."
        ) from error


def _head(cells: list[str], name: str) -> list[str]:
    columns = [cell.strip() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    if "file_name" not in columns:
        raise DatasetError(
            f"{name}, row 1: there is no column `file_name`. Write the columns' names into the "
            "first row: file_name, text, and what else you have."
        )
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise DatasetError(
            f"{name}, row 1: the column `{twice}` stands there twice. Rename one of them."
        )
    return columns


def _values(cells: Mapping[str, str], where: str) -> dict[str, Any]:
    """Return a row's cells as JSON would give them; an empty cell is absent."""
    values: dict[str, Any] = {}
    for column, cell in cells.items():
        text = cell.strip()
        if not text:
            continue
        values[column] = text
        if column in _LISTS:
            values[column] = _listed(text, f"{where} `{column}`")
        elif column in ("include", "consent"):
            values[column] = _TRUTH.get(text.casefold(), text)
    return values


def _listed(text: str, where: str) -> Any:
    """Read a cell of several texts: a JSON list, or texts with | between them."""
    if not text.startswith("["):
        return [part.strip() for part in text.split("|") if part.strip()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{where} begins like a JSON list but is none ({error}). Write several texts with | "
            "between them."
        ) from error
