"""A community's picture set in the authors' layout: read, checked as a whole, counted, loaded.

Single rows are read and judged in `data_rows`, pictures opened and cut in `pictures`. The user's
files are only read here, never written. Captions are `text` and `blip_text` in the file, and
`cultural_caption` and `generic_captions` from here on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from .data_checks import Findings, Problem, printable
from .data_rows import CATEGORIES, ERAS, DatasetCard, DatasetRow, RowReader, read_card
from .data_sources import find_source, read_rows, source_version
from .errors import DatasetError
from .file_digests import FileDigests
from .files import digest_json
from .pictures import (
    Crop,
    companion_crop,
    crop_and_resize,
    decide_crop,
    open_depth,
    open_picture,
)

__all__ = [
    "Dataset",
    "RowPictures",
    "count_by_category",
    "dataset_digest",
    "dataset_version",
    "load_row_pictures",
    "read_dataset",
    "report",
    "report_json",
]

_WHOLE = Crop(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Dataset:
    """One split of a dataset: the rows that can be used, and everything wrong with the others.

    `excluded` counts the rows left out by `include` false, or by a refused `consent`; `faulty`
    holds those that have a picture and an error.
    """

    root: Path
    name: str
    split: str
    card: DatasetCard
    rows: tuple[DatasetRow, ...]
    problems: tuple[Problem, ...]
    excluded: int
    faulty: tuple[DatasetRow, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the set from being trained on."""
        return tuple(problem for problem in self.problems if problem.is_error)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that the user should look at."""
        return tuple(problem for problem in self.problems if not problem.is_error)

    def require_usable(self) -> None:
        """Refuse a set with errors.

        Raises:
            DatasetError: with the first error, how many more there are, and what lists them.
        """
        if not self.errors:
            return
        first, *others = self.errors
        message = first.message
        if others:
            more = "1 more error" if len(others) == 1 else f"{len(others)} more errors"
            message += f" And {more}: `scoft dataset check {self.root}` lists them all."
        raise DatasetError(message)


@dataclass(frozen=True)
class RowPictures:
    """A row's pictures, cut alike: float32 in [0, 1] at the training resolution.

    `image` (3, r, r); `negatives` (n, 3, r, r), n may be 0; `depth` (1, r, r) or None.
    `original_size` is (height, width) of the picture's file; `crop_top_left` (top, left) is where
    the square begins in the picture scaled to a shorter side of r; both in pixels.
    """

    image: Tensor
    negatives: Tensor
    depth: Tensor | None
    original_size: tuple[int, int]
    crop_top_left: tuple[int, int]

    def flipped(self) -> RowPictures:
        """Return all three mirrored left to right, so that they still lie on each other."""
        height, width = self.original_size
        side = self.image.shape[-1]
        scaled_width = round(width * side / min(height, width))
        top, left = self.crop_top_left
        return RowPictures(
            image=self.image.flip(-1),
            negatives=self.negatives.flip(-1),
            depth=None if self.depth is None else self.depth.flip(-1),
            original_size=self.original_size,
            crop_top_left=(top, scaled_width - side - left),
        )


def read_dataset(
    root: Path | str,
    split: str = "train",
    *,
    needs_generic_captions: bool = False,
    needs_negatives: bool = False,
    check_pictures: bool = True,
    crop_mode: str = "center",
    resolution: int | None = None,
    digests: FileDigests | None = None,
) -> Dataset:
    """Read and check one split; problems are collected, so that the user sees all of them at once.

    Args:
        root: the dataset's folder, which holds a folder per split and perhaps card.json, or the
            pictures of the split "train" themselves.
        split: name of the split's folder.
        needs_generic_captions: L_M is on, so every row needs one.
        needs_negatives: L_C is on, so at least one row needs one.
        check_pictures: decode every picture, which finds damaged ones, negatives of a wrong shape
            and small pictures. Without it files are only hashed.
        crop_mode: how training will crop, which decides what shapes negatives may have.
        resolution: the training resolution; pictures that it would enlarge get a warning.
        digests: remembered ones, for pages and reports; without them every file is hashed.

    Returns:
        the dataset; a row with an error is among `problems` and not among `rows`.

    Raises:
        DatasetError: there is no such folder, nothing in it is a dataset, or its table cannot be
            opened or decoded.
    """
    root = Path(root).expanduser().absolute()
    source = find_source(root, split)
    findings = Findings()
    card = read_card(root, findings)
    reader = RowReader(
        root,
        source.folder,
        findings,
        culture=card.culture,
        needs_generic_captions=needs_generic_captions,
        check_pictures=check_pictures,
        crop_mode=crop_mode,
        resolution=resolution,
        digests=digests,
    )
    for written in read_rows(source, findings, encoding=card.encoding):
        reader.read(written)
    rows = reader.rows
    _check_whole(reader, findings, source.name, needs_negatives=needs_negatives)
    _check_captions_differ(rows, findings)
    _check_pictures_differ(rows, findings)
    bad = findings.bad_rows
    return Dataset(
        root=root,
        name=root.name,
        split=split,
        card=card,
        rows=tuple(row for row in rows if row.number not in bad),
        problems=findings.in_order(),
        excluded=reader.excluded,
        faulty=tuple(row for row in rows if row.number in bad),
    )


def dataset_version(root: Path | str, split: str = "train") -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a split's rows or captions do; only names and times are looked at.

    Raises:
        DatasetError: as for `read_dataset`, where no form is found.
        OSError: a file went away meanwhile.
    """
    root = Path(root).expanduser().absolute()
    found = source_version(find_source(root, split))
    card = root / "card.json"
    if card.is_file():
        stat = card.stat()
        found += ((str(card), stat.st_mtime_ns, stat.st_size),)
    return found


def load_row_pictures(
    row: DatasetRow, *, resolution: int, crop_mode: str, seed: int
) -> RowPictures:
    """Load a row's picture, negatives and depth under one crop.

    Args:
        row: a row of `Dataset.rows`.
        resolution: side of the squares.
        crop_mode: "center" or "random".
        seed: the run's seed, for "random".

    Raises:
        DatasetError: a file is gone or damaged, or its shape does not go with the picture's.
        ConfigError: the crop mode is unknown.
    """
    begin = row.where
    image = open_picture(row.image_path, where=f"{begin} `{row.file_name}`")
    crop = decide_crop(image.size, mode=crop_mode, seed=seed, picture_sha256=row.sha256)

    def cut(companion: Image.Image, where: str) -> Tensor:
        its_crop = companion_crop(companion.size, image.size, crop, mode=crop_mode, where=where)
        return crop_and_resize(companion, its_crop, resolution)

    negatives = torch.zeros(len(row.negative_paths), 3, resolution, resolution)
    brought = len(row.negative_paths) - row.drawn_negatives
    for index, path in enumerate(row.negative_paths):
        where = f"{begin} negative `{path}`"
        negative = open_picture(path, where=where)
        if index < brought:
            negatives[index] = cut(negative, where)
        elif negative.size == (resolution, resolution):
            negatives[index] = crop_and_resize(negative, _WHOLE, resolution)
        else:
            raise DatasetError(
                f"{where} was drawn at {negative.width} x {negative.height} pixels, but the "
                f"resolution is {resolution}. Draw negatives at this resolution, or set "
                f"`resolution` to {negative.width}."
            )
    depth = None
    if row.depth_path is not None:
        where = f"{begin} depth `{row.depth_path}`"
        depth = cut(open_depth(row.depth_path, where=where), where)
    width, height = image.size
    scale = resolution / min(image.size)
    return RowPictures(
        crop_and_resize(image, crop, resolution),
        negatives,
        depth,
        original_size=(height, width),
        crop_top_left=(round(crop.top * height * scale), round(crop.left * width * scale)),
    )


def count_by_category(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Count rows by category (the nine and "unknown") and era.

    Returns:
        for each category the numbers under traditional, modern, unstated and total.
    """
    counts = {
        name: dict.fromkeys((*ERAS, "unstated", "total"), 0) for name in (*CATEGORIES, "unknown")
    }
    for row in dataset.rows:
        of_category = counts[row.category or "unknown"]
        of_category[row.era or "unstated"] += 1
        of_category["total"] += 1
    return counts


def dataset_digest(dataset: Dataset) -> str:
    """Return a digest of what training learns from: pictures, captions, negatives, in row order.

    Names of files and folders do not enter it, so a renamed or moved set keeps its digest.
    """
    return digest_json(
        [
            [row.sha256, row.cultural_caption, row.generic_captions, row.negative_sha256s]
            for row in dataset.rows
        ]
    )


def report(dataset: Dataset) -> str:
    """Return what `scoft dataset check` prints: counts, then errors, then warnings."""
    counts = count_by_category(dataset)
    columns = (*ERAS, "unstated", "total")
    counts["all"] = {column: sum(of[column] for of in counts.values()) for column in columns}
    lines = [
        f"Dataset: {dataset.name}, split {dataset.split}",
        f"Culture: {dataset.card.culture or 'not stated'}",
        f"Rows: {len(dataset.rows)} usable, {_bad_row_count(dataset)} with errors, "
        f"{dataset.excluded} left out by `include` or `consent`",
        f"Negatives: {_negative_count(dataset)}",
        "",
        f"{'category':<18}" + "".join(f"{column:>12}" for column in columns),
    ]
    for name, of_category in counts.items():
        lines.append(f"{name:<18}" + "".join(f"{of_category[column]:>12}" for column in columns))
    for title, problems in (("Errors", dataset.errors), ("Warnings", dataset.warnings)):
        lines += ["", f"{title}: {len(problems) or 'none'}"]
        lines += [f"  {problem.message}" for problem in problems]
    return "\n".join(lines)


def report_json(dataset: Dataset) -> dict[str, Any]:
    """Return the content of `report` for programs, as values that JSON knows."""
    return {
        "name": dataset.name,
        "root": str(dataset.root),
        "split": dataset.split,
        "culture": dataset.card.culture,
        "usable": not dataset.errors,
        "rows": len(dataset.rows),
        "rows_with_errors": _bad_row_count(dataset),
        "excluded": dataset.excluded,
        "negatives": _negative_count(dataset),
        "categories": count_by_category(dataset),
        "problems": [
            {
                "row": problem.row,
                "kind": problem.kind,
                "level": "error" if problem.is_error else "warning",
                "message": problem.message,
            }
            for problem in dataset.problems
        ],
    }


def _check_whole(
    reader: RowReader, findings: Findings, name: str, *, needs_negatives: bool
) -> None:
    rows = reader.rows
    if not reader.seen and not findings.bad_rows:
        findings.error(None, "empty", f"{name}: there are no rows. Write one line per picture.")
    elif reader.seen and reader.excluded == reader.seen:
        findings.error(
            None,
            "all-excluded",
            f"{name}: every row is left out by `include` or `consent`. Correct that where a "
            "picture should be learned.",
        )
    if needs_negatives and rows and not any(row.negative_paths for row in rows):
        findings.error(
            None,
            "no-negatives",
            f"{name}: no row has a picture in `negative_imgpath`, but L_C is on. Draw "
            "negatives, bring your own, or set contrastive_weight to 0.",
        )
    if guessed := [row for row in rows if row.category_guessed]:
        first = guessed[0]
        findings.warn(
            None,
            "category-guessed",
            f"{name}: the category of {len(guessed)} of {len(rows)} rows is guessed from the "
            f"file name (row {first.number}: {first.category}). Write `category` where that is "
            "wrong.",
        )


def _check_captions_differ(rows: list[DatasetRow], findings: Findings) -> None:
    first_with: dict[str, int] = {}
    for row in rows:
        caption = " ".join(row.cultural_caption.casefold().split())
        first = first_with.setdefault(caption, row.number)
        if caption and first != row.number:
            findings.warn(
                row.number,
                "same-caption",
                f"{row.where} the caption is that of row {first}. Say what is different "
                "about this picture.",
            )


def _check_pictures_differ(rows: list[DatasetRow], findings: Findings) -> None:
    """Compare by content: a picture twice is a warning, a picture as a negative an error."""
    first_with: dict[str, int] = {}
    for row in rows:
        first = first_with.setdefault(row.sha256, row.number)
        if first != row.number:
            findings.warn(
                row.number,
                "same-picture",
                f"{row.where} `{printable(row.file_name)}` is the same picture "
                f"as in row {first}, and would count twice. Remove one of the rows.",
            )
    for row in rows:
        for path, sha256 in zip(row.negative_paths, row.negative_sha256s, strict=True):
            if sha256 in first_with:
                findings.error(
                    row.number,
                    "swapped-roles",
                    f"{row.where} negative `{printable(path.name)}` is the training "
                    f"picture of row {first_with[sha256]}, so L_C would push away from what should "
                    "be learned. Remove it from `negative_imgpath`.",
                )


def _bad_row_count(dataset: Dataset) -> int:
    return len({problem.row for problem in dataset.errors if problem.row is not None})


def _negative_count(dataset: Dataset) -> int:
    return sum(len(row.negative_paths) for row in dataset.rows)
