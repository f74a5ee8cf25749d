"""A picture set written anew in the authors' layout, for other tools and other people.

    OUT/card.json, OUT/README.md
    OUT/<split>/metadata.jsonl        file_name, text, blip_text, negative_imgpath and more
    OUT/<split>/<file_name>           byte for byte
    OUT/negative_images/...           brought ones under their own paths, then the drawn ones

Reading it gives the rows that training sees: the same pictures, captions and negatives, the same
digest. A drawn negative is the square that training cuts from its picture's centre, which is what a
square beside a picture means to every reader of this layout. For a crop at a random place there is
no such word, so those negatives are not exported.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from .data_checks import METADATA
from .data_rows import DatasetRow
from .dataset_card import dataset_card
from .errors import ConfigError, DatasetError, OutputError
from .events import Event, FinishedEvent, PhaseEvent, StoppedEvent, StopRequested, stop_check
from .files import copy_file, file_sha256, write_json, write_text
from .whole_set import PROVENANCE, WholeSet, read_whole_set
from .work_folder import default_work_folder

__all__ = ["ExportRequest", "export_dataset", "safe_name"]

_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)
_LONGEST = 200
"""Bytes of a file's name; systems allow 255, and some tools add an ending of their own."""


@dataclass(frozen=True)
class ExportRequest:
    """What is to be written where.

    Attributes:
        dataset: root folder of the picture set; never written to.
        target: a folder that is new or empty.
        work: the work folder; None takes the one under ./scoft-work.
        negatives: the set of drawn negatives, "none", or None for the only one.
        splits: names; none takes them all.
    """

    dataset: Path
    target: Path
    work: Path | None = None
    negatives: str | None = None
    splits: tuple[str, ...] = ()


def export_dataset(
    request: ExportRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Write the set into `<target>.partial`, and rename that when all of it is there.

    Yields:
        a PhaseEvent after each file, then how it ended; a stopped export leaves nothing.

    Raises:
        DatasetError: the set is not usable, or a file changed meanwhile.
        ConfigError: which negatives is not said, or theirs is a crop that cannot be exported.
        OutputError: the target is not free, or cannot be written.
    """
    target = request.target.expanduser().absolute()
    work = request.work or default_work_folder(request.dataset)
    whole = read_whole_set(
        request.dataset, work, negatives=request.negatives, splits=request.splits
    )
    _require_center_crop(whole)
    _require_free(target, whole.root)
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
    except FileExistsError as error:
        raise OutputError(
            f"{partial}: is what an export left that was ended before it was done. Delete it, then "
            "export again."
        ) from error
    except OSError as error:
        raise OutputError(f"{partial}: cannot be made ({error}). Choose another folder.") from error
    try:
        yield from _write(whole, partial, stop_check(should_stop))
        _hand_out(partial, target)
    except StopRequested:
        shutil.rmtree(partial)
        yield StoppedEvent(0, "Stopped; nothing was exported.")
        return
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    yield FinishedEvent(len(whole.rows), str(target))


def safe_name(name: str) -> str:
    """Return a relative path of which every system can make a file; a safe one stays as it is.

    Accents are spelled in one sign (NFC); what Windows forbids in names becomes "_".
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "/".join(_safe_part(part) for part in parts if part not in ("/", ".", ".."))


def _safe_part(part: str) -> str:
    text = unicodedata.normalize("NFC", part.encode("utf-8", "replace").decode())
    text = _FORBIDDEN.sub("_", text)
    text = re.sub(r"[ .]+$", "_", text) or "_"
    if _DEVICES.match(text):
        text = f"_{text}"
    stem, dot, ending = text.rpartition(".")
    if not dot or len(ending.encode()) > 10:
        stem, dot, ending = text, "", ""
    room = _LONGEST - len(f"{dot}{ending}".encode())
    while len(stem.encode()) > room:
        stem = stem[:-1]
    return f"{stem}{dot}{ending}"


class _Places:
    """Where each file goes in the export: one place for one file, even where case is no difference.

    Names are given in the order of the rows, so an export of an export has the same.
    """

    def __init__(self, whole: WholeSet) -> None:
        self._whole = whole
        self._taken = {"card.json", "readme.md"}
        self._taken |= {f"{split.split}/{METADATA}".casefold() for split in whole.splits}
        self._places: dict[tuple[str, Path], str] = {}
        self.copies: dict[str, tuple[Path, str | None]] = {}

    def picture(self, split: str, row: DatasetRow) -> str:
        """Return `file_name`."""
        name = self._place(split, row.image_path, f"{split}/{safe_name(row.file_name)}", row.sha256)
        return name.removeprefix(f"{split}/")

    def negatives(self, row: DatasetRow) -> list[str]:
        """Return `negative_imgpath`."""
        brought = len(row.negative_paths) - row.drawn_negatives
        stem = PurePosixPath(safe_name(row.file_name)).stem
        places = []
        for index, path in enumerate(row.negative_paths):
            drawn = f"negative_images/{stem}_{index - brought:02d}.png"
            wanted = self._own_path(path) if index < brought else drawn
            places.append(self._place("", path, wanted, row.negative_sha256s[index]))
        return places

    def depth(self, path: Path) -> str:
        """Return `depth`."""
        return self._place("", path, self._own_path(path), None)

    def _own_path(self, path: Path) -> str:
        return safe_name(path.relative_to(self._whole.root).as_posix())

    def _place(self, role: str, source: Path, wanted: str, sha256: str | None) -> str:
        known = self._places.get((role, source))
        if known is not None:
            return known
        path, number = PurePosixPath(wanted), 2
        place = path
        while str(place).casefold() in self._taken:
            place, number = path.with_name(f"{path.stem}_{number}{path.suffix}"), number + 1
        self._taken.add(str(place).casefold())
        self._places[role, source] = str(place)
        self.copies[str(place)] = source, sha256
        return str(place)


def _write(whole: WholeSet, folder: Path, check_stop: Callable[[], None]) -> Iterator[Event]:
    places = _Places(whole)
    tables = {
        split.split: [_values(row, split.split, places) for row in split.rows]
        for split in whole.splits
    }
    phase, total = "export", len(places.copies)
    yield PhaseEvent(phase, 0, total)
    for done, (place, (source, sha256)) in enumerate(places.copies.items(), start=1):
        check_stop()
        copy_file(source, folder / place)
        if sha256 is not None and file_sha256(folder / place) != sha256:
            raise DatasetError(
                f"{source} changed while the set was exported. Export again when nobody writes."
            )
        yield PhaseEvent(phase, done, total)
    for split, rows in tables.items():
        lines = (json.dumps(values, ensure_ascii=False) for values in rows)
        write_text(folder / split / METADATA, "".join(f"{line}\n" for line in lines))
    write_json(folder / "card.json", _card(whole))
    write_text(folder / "README.md", dataset_card(whole, exported=True))


def _values(row: DatasetRow, split: str, places: _Places) -> dict[str, Any]:
    """Return a row's line; a category that was guessed is not written, since nobody said it."""
    stated = {
        "category": None if row.category_guessed else row.category,
        "era": row.era,
        "culture": row.culture,
        "source_url": row.source_url,
        "credit": row.credit,
        "licence": row.licence,
        "consent": row.consent,
        "sha256": row.sha256,
        "depth": None if row.depth_path is None else places.depth(row.depth_path),
    }
    values = {
        "file_name": places.picture(split, row),
        "text": row.cultural_caption,
        "blip_text": list(row.generic_captions),
        "negative_imgpath": places.negatives(row),
    }
    return {
        **values,
        **{name: value for name, value in stated.items() if value is not None},
        **row.extra,
    }


def _card(whole: WholeSet) -> dict[str, Any]:
    card = whole.card
    stated = {
        "name": whole.name,
        "culture": card.culture,
        "suffix": card.suffix,
        "credits": list(card.credits),
        "licence": card.licence,
        "language": card.language,
        "contact": card.contact,
        "notes": card.notes,
    }
    told = {"left_out": dict(whole.left_out), "negatives": dict(whole.negatives)}
    return {
        **{name: value for name, value in stated.items() if value},
        **card.extra,
        PROVENANCE: {name: value for name, value in told.items() if value},
    }


def _require_center_crop(whole: WholeSet) -> None:
    drawn = any(row.drawn_negatives for row in whole.rows)
    if drawn and whole.negatives.get("crop") != "center":
        raise ConfigError(
            "The negatives were drawn for a crop at a random place, and the authors' layout cannot "
            "say which: a square beside a picture means its centre. Export with --negatives none, "
            "or draw negatives with `crop` center."
        )


def _require_free(target: Path, root: Path) -> None:
    if target.resolve().is_relative_to(root.resolve()):
        raise OutputError(
            f"{target}: lies in the dataset itself, which is never written to. Choose a folder "
            "outside of it."
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(
            f"{target}: is not an empty folder; nothing is overwritten. Choose another."
        )


def _hand_out(partial: Path, target: Path) -> None:
    try:
        if target.is_dir():
            target.rmdir()
        os.rename(partial, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be made ({error}). Choose another folder.") from error
