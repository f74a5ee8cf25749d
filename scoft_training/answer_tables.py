"""Tables that people made: CSV of any delimiter and encoding, read by the names of columns.

Also cells that no spreadsheet takes for a formula, and texts of strangers made one plain line. What
the columns mean is not known here. Lines count as an editor counts them.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import DatasetError, SurveyError
from .files import write_aside
from .text_encoding import DecodedText, decode_text, guess_sentence

__all__ = [
    "STATED_BY",
    "Row",
    "Table",
    "guess_note",
    "one_line",
    "read_bounded",
    "read_table",
    "seconds_of",
    "shown",
    "whole_number",
    "write_table",
]

STATED_BY = "a byte order mark, which editors write when they save as UTF-8 with BOM or UTF-16"
_LARGEST = 100 * 2**20
"""Bytes of a table at most; ten thousand ranks are some 2 MB."""

_LONGEST_SHOWN = 60
"""Characters of a name or cell that a sentence shows."""

_DELIMITERS = (",", ";", "\t")
_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20\t\n'"
"""What a formula begins with in some spreadsheet, wide signs too, and the mark that disarms it."""

_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
"""Control characters, line ends, what turns the direction of text, halves of characters."""

_WHOLE = re.compile(r"(\d{1,9})(?:[.,]0*)?")
_STATED = re.compile(r"[^\S\r\n]*sep=([,;\t])[^\S\r\n]*(?:\r\n|[\r\n]|$)")
_GAPS = re.compile(r"[\s'\u2019]")


@dataclass(frozen=True)
class Row:
    """One line: its number, and its cells by column, stripped; columns that are absent are empty.

    `fault` says why it cannot be read, or is empty.
    """

    line: int
    cells: dict[str, str]
    fault: str = ""


@dataclass(frozen=True)
class Table:
    """A table's rows, the columns that it has, its delimiter, and what is odd about it."""

    rows: tuple[Row, ...]
    columns: frozenset[str]
    delimiter: str
    notes: tuple[str, ...]


def read_bounded(path: Path, name: str, largest: int) -> bytes:
    """Return a file's bytes.

    Args:
        path: the file.
        name: begins the error's sentence.
        largest: bytes at most.

    Raises:
        SurveyError: it cannot be opened, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise SurveyError(
            f"{name}: it cannot be opened ({error.strerror}). It must be a file that you may read."
        ) from error
    if len(data) > largest:
        raise SurveyError(
            f"{name}: it is larger than {largest >> 20} MB, which no answers are. Take it out of "
            "the folder, or bring the right file."
        )
    return data


def read_table(path: Path, name: str, needed: Sequence[str], others: Sequence[str]) -> Table:
    """Read a table with a head of columns' names, in any order and case.

    Args:
        path: the file.
        name: begins the errors' sentences.
        needed: columns without which it cannot be read.
        others: columns that are read where there are any; all else is passed over.

    Raises:
        SurveyError: it cannot be opened or decoded, is no table, or lacks a column.
    """
    data = read_bounded(path, name, _LARGEST)
    if data.startswith(b"PK\x03\x04"):
        raise SurveyError(
            f"{name}: this is a workbook or an archive, not a text. Save the sheet as CSV (UTF-8)."
        )
    text, notes = _decoded(data, name)
    text, skipped, delimiter = _opened(text, needed)
    records = _records(text, name, delimiter, skipped)
    first = next(records, None)
    if first is None:
        raise SurveyError(f"{name}: it is empty. Bring the table with its head and its lines.")
    line, head = first
    at = _columns(head, f"{name}, line {line}", needed, others)
    rows = tuple(_row(number, cells, len(head), at) for number, cells in records)
    return Table(rows, frozenset(at), delimiter, notes)


def write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table for spreadsheets: UTF-8 with its mark, no cell that could be a formula.

    Args:
        path: final place.
        head: columns' names.
        rows: cells; None makes an empty one.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_harmless(cell) for cell in row] for row in (head, *rows))
    data = text.getvalue().encode("utf-8-sig")

    def write(aside: Path) -> None:
        aside.write_bytes(data)

    write_aside(path, write)


def one_line(text: str, longest: int | None = None) -> str:
    """Return a stranger's text as one line that shows as it is written, at most so long."""
    line = _UNWANTED.sub(" ", unicodedata.normalize("NFC", text)).strip()
    return line if longest is None or len(line) <= longest else line[: longest - 1].rstrip() + "…"


def shown(text: str) -> str:
    """Return a stranger's text as a sentence may show it, however long it is."""
    return one_line(text, _LONGEST_SHOWN)


def whole_number(text: str) -> int | None:
    """Return what `3`, `3.0` or `3,00` means; None where it is no whole number."""
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found else None


def seconds_of(text: str, delimiter: str) -> float | None:
    """Return a time, whatever the spreadsheet's marks; None where it is no number from 0.

    Args:
        text: say `12.5`, `1,234.5`, `1.234,5` or `1 234`.
        delimiter: of the table: with a semicolon, a single comma is a decimal one.
    """
    plain = _GAPS.sub("", text)
    marks = [one for one in plain if one in ".,"]
    if len(set(marks)) == 2:
        decimal = marks[-1]
        if marks.count(decimal) > 1:
            return None
        plain = plain.replace("," if decimal == "." else ".", "").replace(decimal, ".")
    elif len(marks) > 1 or (marks == [","] and delimiter == "," and re.search(r",\d{3}$", plain)):
        plain = plain.replace(marks[0], "")
    else:
        plain = plain.replace(",", ".")
    try:
        value = float(plain)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _decoded(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """Return a table's text, and a sentence where its encoding had to be guessed.

    A guess takes its time for each character, and ten thousand lines repeat a few names, so it goes
    by the cells that differ. In none of the encodings that are guessed is a comma, semicolon, tab
    or line end a part of another character.
    """
    cells = (cell for cell in re.split(rb"[,;\t\r\n]", data) if not cell.isascii())
    try:
        guess = decode_text(b"\n".join(dict.fromkeys(cells)), where="", stated_by=STATED_BY)
        if guess.guessed and 0 not in data:
            return data.decode(guess.encoding), (guess_note(guess),)
    except (DatasetError, UnicodeError):
        pass  # what is wrong is said below, with its line
    try:
        decoded = decode_text(data, where=f"{name}:", stated_by=STATED_BY)
    except DatasetError as error:
        raise SurveyError(str(error)) from error
    return decoded.text, (guess_note(decoded),) if decoded.guessed else ()


def guess_note(decoded: DecodedText) -> str:
    """Return the sentence about a text whose encoding had to be guessed."""
    said = guess_sentence(decoded, where="", stated_by=STATED_BY).strip()
    return said[:1].upper() + said[1:]


def _opened(text: str, needed: Sequence[str]) -> tuple[str, int, str]:
    """Return a table's text, how many lines before it were skipped, and its delimiter."""
    if stated := _STATED.match(text):
        # Excel's own way to state the delimiter, which may be the tab that strip would eat.
        return text[stated.end() :], 1, stated[1]
    # Lines may end in \r alone, as in Excel's CSV (Macintosh).
    head = next((line for line in io.StringIO(text, newline="") if line.strip()), "").strip("\r\n")

    def fitness(delimiter: str) -> tuple[int, int]:
        try:
            cells = [_plain(cell) for cell in next(csv.reader([head], delimiter=delimiter), [])]
        except csv.Error:  # told with its line where the records are read
            return 0, 0
        return sum(one in cells for one in needed), len(cells)

    return text, 0, max(_DELIMITERS, key=fitness)


def _records(text: str, name: str, delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (line where it begins, cells) of what is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line, width = skipped + 1, 0
    try:
        for cells in reader:
            width = width or len(cells)
            if any(_swallows(cell, delimiter, width) for cell in cells):
                raise csv.Error("a quotation mark is not closed, so lines run together")
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + skipped + 1
    except csv.Error as error:
        raise SurveyError(
            f"{name}, line {line}: this is no proper table ({error}). Close or double the "
            "quotation marks there, or save it from a spreadsheet anew."
        ) from error


def _swallows(cell: str, delimiter: str, width: int) -> bool:
    """Whether a cell holds a whole further line of the table."""
    return width > 1 and any(line.count(delimiter) == width - 1 for line in cell.split("\n")[1:])


def _plain(name: str) -> str:
    """Fold what does not tell columns apart: case, forms of one letter, spaces and hyphens."""
    return re.sub(r"[\s\-_.]+", "_", unicodedata.normalize("NFKC", name).strip().casefold())


def _columns(
    head: Sequence[str], where: str, needed: Sequence[str], others: Sequence[str]
) -> dict[str, int]:
    """Return at which cell each column stands."""
    plain = [_plain(cell) for cell in head]
    for name in needed:
        if name in plain:
            continue
        near = difflib.get_close_matches(name, plain, n=1, cutoff=0.5)
        hint = f" Is it `{shown(head[plain.index(near[0])])}`?" if near else ""
        raise SurveyError(
            f"{where}: there is no column `{name}`.{hint} The first line must hold the names "
            f"{', '.join(needed)}."
        )
    known = [name for name in (*needed, *others) if name in plain]
    for name in known:
        if plain.count(name) > 1:
            raise SurveyError(
                f"{where}: the column `{name}` stands there twice. Rename one of them."
            )
    return {name: plain.index(name) for name in known}


def _row(line: int, cells: Sequence[str], width: int, at: dict[str, int]) -> Row:
    found = {
        name: one_line(_unmarked(cells[number])) if number < len(cells) else ""
        for name, number in at.items()
    }
    if any(cell.strip() for cell in cells[width:]):
        return Row(
            line,
            found,
            f"The line has {len(cells)} cells, the head {width}. Put texts that hold the "
            "delimiter into quotation marks.",
        )
    return Row(line, found)


def _harmless(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    # The csv module leaves a lone \r outside quotation marks, where it would end the line.
    text = cell.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.startswith(tuple(_FORMULA)) else text


def _unmarked(cell: str) -> str:
    """Return a cell without the mark of `_harmless`."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(tuple(_FORMULA)) else cell
