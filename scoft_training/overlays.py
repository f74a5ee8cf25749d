"""What people and programs say about rows outside the dataset: rows.jsonl in the work folder.

A line is one statement about one picture, with who, when and why; it holds only what it changes.
Lines stay in the order in which they were written, and a later one has the last word on what it
states. The dataset itself is only read (`data`).

Statements are appended and flushed one by one, under a lock that other processes respect. Each line
ends in a newline: a last one that does not and that is no JSON was torn by a killed process, before
anybody was told that it is kept. It does not count, and the next writer moves it to rows.jsonl.torn
(in case it was a person's, written in an editor).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .data import Dataset
from .data_rows import NO_CAPTION, DatasetRow, refuses_consent
from .errors import DatasetError, OutputError
from .file_locks import locked
from .files import write_aside
from .statements import (
    OVERLAYS,
    STATED_TEXTS,
    Overlay,
    format_statement,
    merge_overlay,
    merged,
    now,
    parse_statement,
)

__all__ = [
    "OVERLAYS",
    "Overlay",
    "add_statement",
    "leaves_out",
    "merge_overlay",
    "now",
    "overlaid",
    "overlay_row",
    "read_overlays",
    "read_statements",
    "statements_by_picture",
    "with_overlays",
    "write_overlays",
]

logger = logging.getLogger(__name__)

_REMEMBERED = 8


@dataclass(frozen=True)
class _File:
    """A rows.jsonl as it was read; never changed afterwards, so threads may share it.

    Attributes:
        stamp: what tells this state of the file from another.
        data: its bytes without the torn ones.
        lines: each line that is not blank, as text, with its statement or what is wrong with it.
        torn: the bytes at the end that do not count.
        by_picture: the statements about each picture.
        numbers: how many lines there are, blank ones included.
    """

    stamp: tuple[int, int, int]
    data: bytes
    lines: tuple[tuple[str, Overlay | DatasetError], ...]
    torn: bytes
    by_picture: Mapping[str, tuple[Overlay, ...]]
    numbers: int

    def require_whole(self) -> None:
        """Raise what is wrong with the first broken line, if there is one."""
        for _, found in self.lines:
            if isinstance(found, DatasetError):
                raise found


_EMPTY = _File((0, 0, 0), b"", (), b"", {}, 0)
_files: OrderedDict[Path, _File] = OrderedDict()

_OF_GENERIC_CAPTIONS = ("names-a-culture", "degenerate-caption")


def read_overlays(work: Path | str) -> dict[str, Overlay]:
    """Return what holds for each picture: its statements in their order, merged.

    Args:
        work: the work folder; without a rows.jsonl nothing is stated.

    Raises:
        DatasetError: a line is broken; the sentence names it, and the file stays as it is.
    """
    held = ((sha256, merged(of)) for sha256, of in statements_by_picture(work).items())
    return {sha256: overlay for sha256, overlay in held if overlay is not None}


def read_statements(work: Path | str) -> list[Overlay]:
    """Return all statements as they were made, the earliest first.

    Raises:
        DatasetError: as by `read_overlays`.
    """
    found = _read(Path(work))
    found.require_whole()
    return [one for _, one in found.lines if isinstance(one, Overlay)]


def statements_by_picture(work: Path | str) -> Mapping[str, tuple[Overlay, ...]]:
    """Return the statements about each picture by its sha256, the earliest first.

    Raises:
        DatasetError: as by `read_overlays`.
    """
    found = _read(Path(work))
    found.require_whole()
    return found.by_picture


def add_statement(work: Path | str, overlay: Overlay) -> Overlay | None:
    """Append one statement and flush it; nothing that was stated before is touched.

    What already holds, said last by the same person for the same reason, is not written again, so
    that a request which is sent twice counts once.

    Returns:
        what held for the picture before.

    Raises:
        DatasetError: it could not be read back, or the file is not UTF-8.
        OutputError: it cannot be written; the file is as it was.
    """
    work = Path(work)
    with locked(work / OVERLAYS):
        found = _read(work)
        parsed = parse_statement(found.numbers + 1, format_statement(overlay))
        held = merged(found.by_picture.get(parsed.sha256, ()))
        if not (_says_nothing(parsed) or _holds(held, parsed)):
            _append(work, found, format_statement(parsed))
        return held


def write_overlays(work: Path | str, overlays: Iterable[Overlay]) -> None:
    """Add a command's statements to rows.jsonl, in one step; what others stated stays there.

    A line by the same command with the same reason goes, if the new one states all that it did, so
    that repeating a command does not make the file grow. Every other line keeps its bytes: unknown
    keys, and even lines that cannot be read, are not lost. What already holds, said last by the
    same person for the same reason, is not written again.

    Args:
        work: the work folder.
        overlays: statements, which are written as they are.

    Raises:
        DatasetError: one of them could not be read back, or the file is not UTF-8.
        OutputError: it cannot be written; the old file is there.
    """
    work = Path(work)
    with locked(work / OVERLAYS):
        _write_statements(work, overlays)


def overlaid(dataset: Dataset, work: Path) -> Dataset:
    """Return the dataset with what the work folder's rows.jsonl states about its pictures.

    A row that lacks nothing but its caption counts once somebody has written one. What is wrong
    with a picture that was left out, or with generic captions that were replaced, is no problem
    any more.

    Raises:
        DatasetError: a line of rows.jsonl is broken.
    """
    overlays = read_overlays(work)
    faults: defaultdict[int | None, set[str]] = defaultdict(set)
    for problem in dataset.errors:
        faults[problem.row].add(problem.kind)
    rows, faulty = list(dataset.rows), list[DatasetRow]()
    mended = set[tuple[int | None, str]]()
    for row in (*dataset.rows, *dataset.faulty):
        overlay = overlays.get(row.sha256)
        if overlay is None:
            continue
        if leaves_out(overlay):
            mended |= {(row.number, problem.kind) for problem in dataset.problems}
        if overlay.cultural_caption:
            mended.add((row.number, NO_CAPTION))
        if overlay.only_generic_captions is not None:
            mended |= {(row.number, kind) for kind in _OF_GENERIC_CAPTIONS}
    for row in dataset.faulty:
        whole = all((row.number, kind) in mended for kind in faults[row.number])
        (rows if whole else faulty).append(row)
    return dataclasses.replace(
        dataset,
        rows=with_overlays(sorted(rows, key=lambda row: row.number), overlays),
        faulty=tuple(faulty),
        problems=tuple(one for one in dataset.problems if (one.row, one.kind) not in mended),
    )


def with_overlays(
    rows: Dataset | Iterable[DatasetRow], overlays: Mapping[str, Overlay]
) -> tuple[DatasetRow, ...]:
    """Return copies of the rows with what is stated about their pictures, as by `overlay_row`.

    Rows whose overlay says `include` False, or states that consent was refused, are left out; those
    that the dataset itself leaves out are not among `rows`, so True cannot bring them back.
    """
    given = rows.rows if isinstance(rows, Dataset) else rows
    applied = ((row, overlays.get(row.sha256)) for row in given)
    return tuple(overlay_row(row, overlay) for row, overlay in applied if not leaves_out(overlay))


def overlay_row(row: DatasetRow, overlay: Overlay | None) -> DatasetRow:
    """Return a copy of a row with what an overlay states, whether it is left out or not.

    Generic captions are the row's own, then the overlay's, each once; or `only_generic_captions`
    alone, where stated. Any other value of an overlay stands in place of the row's.
    """
    if overlay is None:
        return row
    captions = overlay.only_generic_captions
    if captions is None:
        captions = (*row.generic_captions, *(overlay.generic_captions or ()))
    texts: dict[str, Any] = {
        name: value or None
        for name in STATED_TEXTS
        if (value := getattr(overlay, name)) is not None
    }
    consent = row.consent
    if overlay.consent is not None:
        consent = None if overlay.consent == "" else overlay.consent
    return dataclasses.replace(
        row,
        generic_captions=tuple(dict.fromkeys(captions)),
        category_guessed=row.category_guessed and overlay.category is None,
        consent=consent,
        **texts,
    )


def leaves_out(overlay: Overlay | None) -> bool:
    """Tell whether what is stated of a row leaves it out: dropped, or consent was refused."""
    return overlay is not None and (overlay.include is False or refuses_consent(overlay.consent))


def _write_statements(work: Path, overlays: Iterable[Overlay]) -> None:
    found = _read(work)
    kept: dict[int, str] = {index: line for index, (line, _) in enumerate(found.lines)}
    places: dict[str, dict[int, Overlay]] = {}
    for index, (_, old) in enumerate(found.lines):
        if isinstance(old, Overlay):
            places.setdefault(old.sha256, {})[index] = old
    number = len(found.lines)
    for overlay in overlays:
        line = format_statement(overlay)
        parsed = parse_statement(number + 1, line)
        of_picture = places.setdefault(parsed.sha256, {})
        if _says_nothing(parsed) or _holds(merged(of_picture.values()), parsed):
            continue
        for index in [at for at, old in of_picture.items() if _covers(parsed, old)]:
            del kept[index], of_picture[index]
        kept[number], of_picture[number] = line, parsed
        number += 1
    if number == len(found.lines):
        return
    if found.torn:
        _keep_torn(work, found.torn)
    data = "".join(f"{line}\n" for line in kept.values()).encode("utf-8")
    write_aside(work / OVERLAYS, lambda aside: _write(aside, data))


def _append(work: Path, found: _File, line: str) -> None:
    path = work / OVERLAYS
    end = len(found.data)
    data = f"{line}\n".encode()
    if found.data and not found.data.endswith(b"\n"):
        data = b"\n" + data  # written by hand, in an editor that leaves the last newline out
    if found.torn:
        _keep_torn(work, found.torn)
    elif not found.data:
        write_aside(path, lambda aside: _write(aside, data))
        return
    try:
        with path.open("rb+", buffering=0) as file:
            file.truncate(end)
            file.seek(end)
            try:
                if file.write(data) != len(data):
                    raise OSError("no room on the disk")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise OutputError(
            f"{path}: could not be written ({error}). Nothing was changed; make room on the disk, "
            "then decide again."
        ) from error


def _keep_torn(work: Path, torn: bytes) -> None:
    logger.warning("%s ended in the middle of a line; that is in %s.torn", OVERLAYS, OVERLAYS)
    try:
        with (work / f"{OVERLAYS}.torn").open("ab") as file:
            file.write(torn + b"\n")
    except OSError as error:
        raise OutputError(
            f"{work / OVERLAYS}: could not be written ({error}). Make room on the disk."
        ) from error


def _read(work: Path) -> _File:
    """Return rows.jsonl as it is now; what is known of it already is not parsed again."""
    path = work / OVERLAYS
    key = work.absolute()
    known = _files.get(key, _EMPTY)
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _EMPTY
    stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if known.stamp == stamp:
        return known
    found = _parse_file(stamp, _read_bytes(path), known)
    _files[key] = found
    with contextlib.suppress(KeyError):  # another thread may have dropped it already
        _files.move_to_end(key)
        if len(_files) > _REMEMBERED:
            _files.popitem(last=False)
    return found


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be opened ({error.strerror}). It must be a file that you may read."
        ) from error


def _parse_file(stamp: tuple[int, int, int], data: bytes, known: _File) -> _File:
    """Parse a file's bytes; of one that only grew, what is new."""
    whole, torn = _split_torn(data)
    grown = known.data.endswith(b"\n") and whole.startswith(known.data)
    before = known if grown else _EMPTY
    lines, numbers = list(before.lines), before.numbers
    by_picture = dict(before.by_picture)
    new: dict[str, list[Overlay]] = {}
    # Not splitlines: a caption may hold U+2028 and its like.
    for line in _decoded(whole[len(before.data) :], before.numbers).split("\n"):
        numbers += 1
        if not line.strip():
            continue
        try:
            one = parse_statement(numbers, line)
            new.setdefault(one.sha256, []).append(one)
            lines.append((line, one))
        except DatasetError as error:
            lines.append((line, error))
    for sha256, statements in new.items():
        by_picture[sha256] = (*by_picture.get(sha256, ()), *statements)
    # The text after the last newline is no line.
    numbers -= whole.endswith(b"\n") or not whole
    return _File(stamp, whole, tuple(lines), torn, by_picture, numbers)


def _split_torn(data: bytes) -> tuple[bytes, bytes]:
    """Return what counts of a file's bytes, and the torn rest."""
    end = data.rfind(b"\n") + 1
    last = data[end:]
    try:
        complete = not last or isinstance(json.loads(last), dict)
    except ValueError:
        complete = False
    return (data, b"") if complete else (data[:end], last)


def _decoded(data: bytes, lines_before: int) -> str:
    bad = data.find(0)
    if bad < 0:
        try:
            return data.decode("utf-8-sig" if lines_before == 0 else "utf-8")
        except UnicodeDecodeError as error:
            bad = error.start
    row = lines_before + data.count(b"\n", 0, bad) + 1
    raise DatasetError(
        f"{OVERLAYS}, row {row}: this is not UTF-8 text. Save the file as UTF-8 in your editor."
    )


def _same_source(one: Overlay, other: Overlay) -> bool:
    return (one.sha256, one.by, one.why) == (other.sha256, other.by, other.why)


def _covers(new: Overlay, old: Overlay) -> bool:
    return (
        _same_source(new, old)
        and old.touched() <= new.touched()
        and old.extra.keys() <= new.extra.keys()
    )


def _says_nothing(overlay: Overlay) -> bool:
    return not overlay.touched() and not overlay.extra


def _holds(held: Overlay | None, new: Overlay) -> bool:
    """Tell whether a statement would change nothing: neither what holds nor who said so."""
    if held is None or not _same_source(held, new):
        return False
    after = merge_overlay(held, new)
    return dataclasses.replace(after, at=held.at) == held


def _write(aside: Path, data: bytes) -> None:
    aside.write_bytes(data)
