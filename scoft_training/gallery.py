"""A dataset and its negatives as people look at them: plain values for a page, and small pictures.

What they decide is written into the work folder and counts in the next run. Pages know rows by the
sha256 of their picture and negatives by set, folder and name; no path leaves this room.
"""

from __future__ import annotations

import dataclasses
import io
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from .data import Dataset, read_dataset
from .data_checks import METADATA
from .data_rows import DatasetRow
from .errors import ConfigError
from .negative_sets import (
    Negative,
    NegativeSet,
    RowNegatives,
    decide_negative,
    negative_sets,
    open_negative_set,
    read_row_negatives,
)
from .overlays import Overlay, now, read_overlays, with_overlays, write_overlays
from .pictures import open_picture

__all__ = ["Gallery", "small_picture"]

_BY = "gallery"
_SIZES = (64, 1024)


class Gallery:
    """One dataset with its work folder. Several threads may call it.

    Args:
        root: the dataset's folder, which is never written to.
        work: its work folder.
    """

    def __init__(self, root: Path, work: Path) -> None:
        self.root = root
        self.work = work
        self._lock = threading.Lock()
        self._read: tuple[tuple[int, int], Dataset] | None = None

    def dataset(self) -> dict[str, Any]:
        """Return the set: its names, its problems, each row with whether it is included, its sets.

        Raises:
            DatasetError: metadata.jsonl or rows.jsonl cannot be read.
        """
        found = self._dataset()
        overlays = read_overlays(self.work)
        rows = [_row(row, overlays.get(row.sha256)) for row in found.rows]
        included = with_overlays(found, overlays)
        return {
            "name": found.name,
            "culture": found.card.culture,
            "suffix": found.card.suffix,
            "kept": sum(row["included"] for row in rows),
            "left_out": sum(not row["included"] for row in rows),
            "problems": [problem.message for problem in found.problems],
            "rows": rows,
            "sets": [
                {
                    "negatives": one.digest,
                    "suffix": one.settings["suffix"],
                    "resolution": one.settings["resolution"],
                    **_counts(self._rows_of(one, included)),
                }
                for one in negative_sets(self.work)
            ],
        }

    def decide_row(self, sha256: str, *, included: bool) -> dict[str, Any]:
        """Take a picture in or leave it out; returns its row as `dataset` has it.

        Raises:
            ConfigError: there is no such picture.
        """
        row = self._row(sha256)
        why = "taken back by hand" if included else "left out by hand"
        statement = Overlay(sha256=sha256, by=_BY, at=now(), why=why, include=included)
        write_overlays(self.work, [statement])
        return _row(row, read_overlays(self.work).get(sha256))

    def negatives(self, settings: str) -> dict[str, Any]:
        """Return a set of negatives: each included row with its negatives, decided or not.

        Raises:
            ConfigError: there is no such set.
            DatasetError: a record is damaged.
        """
        chosen = open_negative_set(self.work, settings)
        found = list(self._rows_of(chosen, self._included()))
        return {
            "negatives": settings,
            "suffix": chosen.settings["suffix"],
            "resolution": chosen.settings["resolution"],
            **_counts(found),
            "rows": [
                {
                    "sha256": one.row.sha256,
                    "number": one.row.number,
                    "caption": one.row.cultural_caption,
                    "generic_captions": list(one.row.generic_captions),
                    "folder": one.folder.name,
                    "depth": one.depth is not None,
                    "negatives": [_negative(negative) for negative in one.negatives],
                }
                for one in found
            ],
        }

    def decide_negative(
        self, settings: str, folder: str, name: str, *, kept: bool | None
    ) -> dict[str, Any]:
        """Keep or drop a negative, or take that back; returns it as `negatives` has it.

        Raises:
            ConfigError: there is no such set, row or negative.
        """
        decide_negative(self.work, settings, folder, name, kept=kept)
        return _negative(self._negative(settings, folder, name))

    def picture(self, sha256: str, size: int) -> bytes:
        """Return a row's picture as a JPEG whose longest side is `size`.

        Raises:
            ConfigError: there is no such picture, or the size is out of range.
            DatasetError: the file cannot be read.
        """
        return small_picture(self._row(sha256).image_path, size)

    def negative_picture(self, settings: str, folder: str, name: str, size: int) -> bytes:
        """Return a negative likewise.

        Raises:
            ConfigError: there is no such set, row or negative.
        """
        return small_picture(self._negative(settings, folder, name).path, size)

    def depth_picture(self, settings: str, folder: str, size: int) -> bytes:
        """Return the depth that a row's negatives were drawn for likewise.

        Raises:
            ConfigError: there is no such set or row, or it has no depth.
        """
        found = self._row_negatives(settings, folder)
        if found.depth is None or not found.depth.is_file():
            raise ConfigError(f"Row {found.row.number}: there is no depth picture of this set.")
        return small_picture(found.depth, size)

    def _dataset(self) -> Dataset:
        """Read the set, again only where its metadata.jsonl changed."""
        with self._lock:
            stat = (self.root / "train" / METADATA).stat()
            version = (stat.st_mtime_ns, stat.st_size)
            if self._read is None or self._read[0] != version:
                # Damaged pictures show as such; decoding all of them would keep the page waiting.
                self._read = version, read_dataset(self.root, check_pictures=False)
            return self._read[1]

    def _included(self) -> tuple[DatasetRow, ...]:
        return with_overlays(self._dataset(), read_overlays(self.work))

    def _row(self, sha256: str) -> DatasetRow:
        for row in self._dataset().rows:
            if row.sha256 == sha256:
                return row
        raise ConfigError(f"There is no picture {sha256[:12]!r} in {self.root.name}.")

    def _rows_of(self, chosen: NegativeSet, rows: Iterable[DatasetRow]) -> Iterator[RowNegatives]:
        return (read_row_negatives(row, self.work, chosen) for row in rows)

    def _row_negatives(self, settings: str, folder: str) -> RowNegatives:
        chosen = open_negative_set(self.work, settings)
        # By the folders of the rows, not by what the disk holds: the name comes from a page.
        for row in self._included():
            if folder.startswith(row.sha256):
                found = read_row_negatives(row, self.work, chosen)
                if found.folder.name == folder:
                    return found
        raise ConfigError(f"There are no negatives {folder!r} in set {settings}.")

    def _negative(self, settings: str, folder: str, name: str) -> Negative:
        for negative in self._row_negatives(settings, folder).negatives:
            if negative.name == name:
                return negative
        raise ConfigError(f"There is no negative {name!r} in {folder}.")


def small_picture(path: Path, size: int) -> bytes:
    """Return a picture file as a JPEG whose longest side is `size` pixels, or its own if smaller.

    Raises:
        ConfigError: the size is out of range.
        DatasetError: the file cannot be read.
    """
    low, high = _SIZES
    if not low <= size <= high:
        raise ConfigError(f"`size` must be between {low} and {high} but got {size}.")
    picture = open_picture(path, where=f"`{path.name}`")
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, format="JPEG", quality=88)
    return data.getvalue()


def _row(row: DatasetRow, overlay: Overlay | None) -> dict[str, Any]:
    """Return a row as its overlay completes it; one that is left out is shown all the same."""
    include = None if overlay is None else overlay.include
    shown = row
    if overlay is not None:
        (shown,) = with_overlays([row], {row.sha256: dataclasses.replace(overlay, include=None)})
    return {
        "sha256": row.sha256,
        "number": row.number,
        "file_name": row.file_name,
        "caption": shown.cultural_caption,
        "generic_captions": list(shown.generic_captions),
        "category": shown.category,
        "era": shown.era,
        "included": include is not False,
        "by": None if include is None else "user",
    }


def _negative(negative: Negative) -> dict[str, Any]:
    return {
        "name": negative.name,
        "prompt": negative.prompt,
        "distance": negative.distance,
        "kept": negative.kept,
        "by": negative.by,
    }


def _counts(rows: Iterable[RowNegatives]) -> dict[str, int]:
    found = Counter(negative.kept for row in rows for negative in row.negatives)
    return {"kept": found[True], "dropped": found[False], "undecided": found[None]}
