"""A published table of links and captions (CSV, TSV), read into rows; nothing is fetched here.

Rows count as a spreadsheet counts them: the header is row 1, and a quoted cell may span lines.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .config import DownloadConfig
from .data_checks import printable
from .data_rows import CATEGORIES, ERAS
from .errors import ConfigError, DatasetError, unknown_name
from .text_encoding import decode_text, guess_sentence
from .web_addresses import RefusedAddressError, parse_link

__all__ = ["NO_LINK", "OWN_COLUMNS", "LinkRow", "LinkTable", "read_link_table"]

OWN_COLUMNS = frozenset(
    {
        "table_row",
        "link",
        "told_by",
        "link_state",
        "moved_to",
        "sha256",
        "include",
        "file_name",
        "table_fault",
    }
)
"""What the downloader itself writes into a row of metadata.jsonl."""

NO_LINK = "no link: "
"""How `told_by` of a row without a link begins."""

_LINK_NAMES = (
    "url",
    "link",
    "image_url",
    "image_link",
    "img_url",
    "picture_url",
    "photo_url",
    "source_url",
    "href",
    "urls",
    "links",
)
_CAPTION_NAMES = ("text", "cultural_caption", "caption", "captions", "description")
_NAMES: Mapping[str, tuple[str, ...]] = {
    "blip_text": ("blip_text", "generic_caption", "generic_captions", "blip_caption", "blip"),
    "category": ("category", "categories"),
    "era": ("era", "period"),
    "culture": ("culture", "country", "nation"),
    "credit": ("credit", "author", "photographer", "artist", "attribution"),
    "licence": ("licence", "license", "rights"),
    "file_name": ("file_name", "filename"),
    "consent": ("consent",),
    "source_url": ("source_url", "page_url"),
}
_RESERVED = OWN_COLUMNS | {"text", "negative_imgpath", "depth", *_NAMES}
_STATED_BY = "`encoding` (on the command line, say --encoding cp949)"
_YES, _NO = ("yes", "true", "1"), ("no", "false", "0")


@dataclass(frozen=True)
class LinkRow:
    """One row of the table.

    `values` are columns of metadata.jsonl; `file_name` is what the table calls the picture, or
    empty. `fault` says why nothing can be fetched, or is empty. `told_by` tells the row from the
    others wherever it moves: its link, or NO_LINK and its caption.
    """

    number: int
    link: str
    file_name: str
    values: Mapping[str, Any]
    fault: str
    told_by: str


@dataclass(frozen=True)
class LinkTable:
    """The rows of a table, and sentences about how it was read."""

    name: str
    rows: tuple[LinkRow, ...]
    notes: tuple[str, ...]


def read_link_table(path: Path, config: DownloadConfig) -> LinkTable:
    """Read a table; a row that cannot be used stays among the rows, with its fault.

    Raises:
        DatasetError: the file cannot be read or decoded, or is no table.
        ConfigError: a column cannot be told or does not exist.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be opened ({error.strerror}). It must be a file that you may read."
        ) from error
    decoded = decode_text(
        data, where=f"{path.name}:", encoding=config.encoding or None, stated_by=_STATED_BY
    )
    records = list(_records(decoded.text, path.name, config))
    if len(records) < 2:
        raise DatasetError(f"{path.name}: there are no rows. Write a header and a row a picture.")
    (_, header), *body = records
    columns = _columns(header, config, path.name)
    notes = []
    if decoded.guessed:
        notes.append(guess_sentence(decoded, where=f"{path.name}:", stated_by=_STATED_BY))
    named = ", ".join(f"`{printable(header[at])}` as {name}" for name, at in columns.items())
    notes.append(f"{path.name}: read {named}; other columns are kept as they are.")
    unknown: dict[str, None] = {}
    rows = tuple(_row(number, cells, header, columns, unknown) for number, cells in body)
    notes += [f"{path.name}: {sentence}" for sentence in unknown]
    return LinkTable(path.name, rows, tuple(notes))


def _records(text: str, name: str, config: DownloadConfig) -> Iterator[tuple[int, list[str]]]:
    """Yield (number, cells) of each row that is not blank."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    wanted = _plain(config.url_column) or ""

    def fitness(delimiter: str) -> tuple[bool, int]:
        cells = [_plain(cell) for cell in next(csv.reader([first], delimiter=delimiter), [])]
        return (wanted in cells if wanted else any(n in cells for n in _LINK_NAMES)), len(cells)

    delimiter = max(("\t", ",", ";"), key=fitness)
    try:
        records = _parsed(text, name, delimiter, csv.QUOTE_MINIMAL)
    except DatasetError:
        if delimiter != "\t":
            raise
        # Many programs write TSV without quoting, where a quotation mark is a letter.
        records = _parsed(text, name, delimiter, csv.QUOTE_NONE)
    for number, cells in enumerate(records, start=1):
        if any(cell.strip() for cell in cells):
            yield number, [cell.strip() for cell in cells]


def _parsed(text: str, name: str, delimiter: str, quoting: Literal[0, 3]) -> list[list[str]]:
    records: list[list[str]] = []
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
    )
    try:
        for cells in reader:
            if any(_swallows(cell, delimiter) for cell in cells):
                raise csv.Error("a quote is not closed, so rows run together")
            records.append(cells)
    except csv.Error as error:
        raise DatasetError(
            f"{name}, row {len(records) + 1}: this is no proper table ({error}). Close or double "
            "the quotation marks there, or save it from a spreadsheet anew."
        ) from error
    return records


def _swallows(cell: str, delimiter: str) -> bool:
    """Whether a cell holds further rows: lines with a delimiter and a link."""
    return any(delimiter in line and "://" in line for line in cell.splitlines()[1:])


def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).strip().casefold()
    return re.sub(r"[\s\-_.]+", "_", folded)


def _columns(header: list[str], config: DownloadConfig, name: str) -> dict[str, int]:
    """Return where which column stands; `link` and `text` are always there."""
    plain = [_plain(cell) for cell in header]
    found = {
        "link": _find(plain, header, config.url_column, _LINK_NAMES, name, "--url-column"),
        "text": _find(
            plain, header, config.caption_column, _CAPTION_NAMES, name, "--caption-column"
        ),
    }
    for column, names in _NAMES.items():
        at = next((plain.index(one) for one in names if one in plain), None)
        if at is not None and at not in found.values():
            found[column] = at
    return found


def _find(
    plain: list[str], header: list[str], stated: str, names: tuple[str, ...], table: str, flag: str
) -> int:
    if stated:
        if _plain(stated) in plain:
            return plain.index(_plain(stated))
        raise ConfigError(f"{table}: {unknown_name('column', stated, header)}")
    for one in names:
        if one in plain:
            return plain.index(one)
    columns = printable(", ".join(header))
    raise ConfigError(
        f"{table}: none of the columns {columns} is called {names[0]}, {names[1]} or the "
        f"like. Say which it is with {flag}; the first row must hold the columns' names."
    )


def _row(
    number: int,
    cells: list[str],
    header: list[str],
    columns: Mapping[str, int],
    unknown: dict[str, None],
) -> LinkRow:
    padded = cells + [""] * (len(header) - len(cells))
    known = {name: padded[at] for name, at in columns.items() if padded[at]}
    link, file_name = known.pop("link", ""), known.pop("file_name", "")
    values: dict[str, Any] = dict(known)
    for name, choices in (("category", CATEGORIES), ("era", ERAS)):
        if name in known and (slug := _slug(known[name], choices)):
            values[name] = slug
        elif name in known:
            values[f"table_{name}"] = values.pop(name)
            unknown[f"the {name} {known[name]!r} is none of {', '.join(choices)}; left open."] = (
                None
            )
    if "consent" in known:
        folded = known["consent"].casefold()
        values["consent"] = True if folded in _YES else False if folded in _NO else known["consent"]
    if "blip_text" in known:
        values["blip_text"] = _captions(known["blip_text"])
    values.setdefault("source_url", link)
    for at, title in enumerate(header):
        if at not in columns.values() and padded[at]:
            key = title or f"column {at + 1}"
            key = f"table_{key}" if key in _RESERVED else key
            # Two columns of one name are both kept.
            values[f"{key} (column {at + 1})" if key in values else key] = padded[at]
    told_by = link or NO_LINK + known.get("text", "")
    return LinkRow(number, link, file_name, values, _fault(cells, header, link, known), told_by)


def _fault(cells: list[str], header: list[str], link: str, known: Mapping[str, str]) -> str:
    if len(cells) > len(header):
        return (
            f"The row has {len(cells)} cells, the header {len(header)}. Put cells that hold the "
            "delimiter into quotation marks."
        )
    if not known.get("text"):
        return "The row has no caption. Write one."
    if not link:
        return "The row has no link. Write one, or bring a picture with `scoft dataset replace`."
    try:
        parse_link(link)
    except RefusedAddressError as error:
        return str(error)
    return ""


def _captions(text: str) -> list[str]:
    """Return the generic captions of a cell: a JSON list, or one text."""
    if text.startswith("["):
        try:
            values = json.loads(text)
        except ValueError:
            return [text]
        if isinstance(values, list) and all(isinstance(value, str) for value in values):
            return values
    return [text]


def _slug(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the choice that a person means: "Food & Drink" is food_drink, "Cities" is city."""
    words = _words(text)
    same = [choice for choice in choices if _words(choice) == words]
    part = [choice for choice in choices if words and words <= _words(choice)]
    return next(iter(same or part), None)


def _words(text: str) -> set[str]:
    found = re.findall(r"[a-z]+", text.casefold())
    return {re.sub(r"ies$", "y", word).removesuffix("s") for word in found if word != "and"}
