"""Which pictures are scored: those a grid holds, and those that they are compared with.

Files and digests only; no picture is opened here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .data import Dataset, read_dataset
from .data_sources import find_source
from .errors import DatasetError
from .file_digests import FileDigests
from .files import digest_json
from .grids import BASE, Grid, GridModel, GridPicture
from .overlays import overlaid
from .picture_folders import PictureFile, pictures_of_folder

__all__ = [
    "ComparedPictures",
    "Drawn",
    "compared_pictures",
    "complete_models",
    "drawn",
    "listed",
    "relative_name",
    "set_record",
]


@dataclass(frozen=True)
class ComparedPictures:
    """The pictures that drawings are compared with.

    Attributes:
        reference: held-out pictures of the culture.
        training: all pictures of the training split.
        general: pictures about nothing of the culture.
        general_prompts: of each general picture what it was drawn for; empty for a folder's.
        sources: name of a set -> where it comes from, in words without a path.
        warnings: what is missing or left out, and what to do about it.
    """

    reference: tuple[PictureFile, ...] = ()
    training: tuple[PictureFile, ...] = ()
    general: tuple[PictureFile, ...] = ()
    general_prompts: tuple[str, ...] = ()
    sources: Mapping[str, str] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """What the models drew for the prompts of one role, alike for all of them.

    Attributes:
        prompts: indices of the grid's prompts.
        each: pictures of each prompt: the first seeds, as many as the prompt with fewest has.
        pictures: model -> its pictures, prompt by prompt, seed by seed; (prompts x each,).
    """

    prompts: tuple[int, ...]
    each: int
    pictures: Mapping[str, tuple[GridPicture, ...]]

    @property
    def groups(self) -> list[int]:
        """The prompt of each picture."""
        return [prompt for prompt in self.prompts for _ in range(self.each)]


def compared_pictures(
    grid: Grid,
    dataset: Path | None,
    work: Path | None,
    *,
    reference: Path | None = None,
    general: Path | None = None,
    check_stop: Callable[[], None] = lambda: None,
) -> ComparedPictures:
    """Find the pictures that a grid is compared with.

    Args:
        grid: its own pictures of the role general serve where there is no folder of general ones.
        dataset: root of the picture set; None leaves out what needs it.
        work: its work folder, which completes the rows.
        reference: a folder instead of the dataset's test split.
        general: a folder of general pictures.
        check_stop: called between files; raises to stop.

    Raises:
        DatasetError: the dataset or a folder cannot be read.
    """
    sources: dict[str, str] = {}
    warnings: list[str] = []
    training: Sequence[PictureFile] = ()
    held_out: Sequence[PictureFile] = ()
    if dataset is not None and work is not None:
        digests = FileDigests(work)
        rows = overlaid(read_dataset(dataset, check_pictures=False, digests=digests), work)
        training, sources["training"] = _kept(rows, warnings), f"train split of {rows.name}"
        if reference is None and _has_test(dataset):
            rows = overlaid(
                read_dataset(dataset, "test", check_pictures=False, digests=digests), work
            )
            held_out, sources["reference"] = _kept(rows, warnings), f"test split of {rows.name}"
            held_out = _untrained(held_out, training, rows.name, warnings)
        digests.save()
    if reference is not None:
        held_out = pictures_of_folder(reference, check_stop=check_stop)
        sources["reference"] = f"folder {reference.resolve().name}"
        if seen := _shared(held_out, training):
            warnings.append(
                f"{reference.resolve().name}: {seen} of {len(held_out)} pictures are training "
                "pictures, too, so that KID to them takes copying for knowing. Name a folder of "
                "pictures that were kept out of the training."
            )
    everyday: Sequence[PictureFile] = ()
    texts: Sequence[str] = ()
    if general is not None:
        everyday = pictures_of_folder(general, check_stop=check_stop)
        sources["general"] = f"folder {general.resolve().name}"
    elif pictures := grid.of(BASE, "general"):
        everyday = listed(pictures)
        texts = [grid.prompts[picture.prompt].text for picture in pictures]
        sources["general"] = "drawn by the base for the neutral prompts, with other seeds"
        asked = sum(len(one.seeds) for one in grid.prompts if one.role == "general")
        if len(pictures) < asked:
            warnings.append(
                f"The base has drawn {len(pictures)} of {asked} general pictures, and what the "
                "models forgot is measured against these alone. Draw the grid to its end and "
                "score it again."
            )
    return ComparedPictures(
        tuple(held_out),
        tuple(training),
        tuple(everyday),
        tuple(texts),
        sources,
        tuple(warnings),
    )


def complete_models(grid: Grid) -> tuple[tuple[GridModel, ...], list[str]]:
    """Return the models of which everything is drawn, and a sentence about each other one.

    Raises:
        DatasetError: there is no such model.
    """
    lacking: dict[str, int] = {}
    for model, _, _ in grid.missing():
        lacking[model] = lacking.get(model, 0) + 1
    complete = tuple(model for model in grid.models if model.name not in lacking)
    if not complete:
        raise DatasetError(
            f"{grid.folder}: no model of this grid is drawn completely ({sum(lacking.values())} "
            "pictures missing). Give the command that draws it again; it goes on."
        )
    return complete, [
        f"{name} is not scored, since it is not drawn completely ({count} missing). Draw the grid "
        "to its end and score it again."
        for name, count in lacking.items()
    ]


def drawn(
    grid: Grid,
    models: Iterable[GridModel],
    role: str,
    *,
    least: int = 1,
    readable: Callable[[GridPicture], bool] = lambda _: True,
    only: Callable[[int], bool] = lambda _: True,
) -> Drawn | None:
    """Return what the models drew for the prompts of a role, or None where that is nothing.

    What cannot be read of one model is left out of all of them, so that they stay comparable.

    Args:
        grid: of the pictures.
        models: completely drawn ones; at least one.
        role: of the prompts.
        least: prompts with fewer pictures are left out.
        readable: tells which pictures could be measured.
        only: tells which prompts count, by their indices.
    """
    by_model: dict[str, dict[tuple[int, int], GridPicture]] = {}
    for model in models:
        by_model[model.name] = {
            (one.prompt, one.seed): one
            for one in grid.of(model.name, role)
            if only(one.prompt) and readable(one)
        }
    cells = set.intersection(*(set(cells) for cells in by_model.values()))
    seeds: dict[int, list[int]] = {}
    for prompt, seed in sorted(cells):
        seeds.setdefault(prompt, []).append(seed)
    seeds = {prompt: of for prompt, of in seeds.items() if len(of) >= least}
    if not seeds:
        return None
    each = min(len(of) for of in seeds.values())
    return Drawn(
        tuple(seeds),
        each,
        {
            name: tuple(found[prompt, seed] for prompt, of in seeds.items() for seed in of[:each])
            for name, found in by_model.items()
        },
    )


def listed(pictures: Iterable[GridPicture]) -> list[PictureFile]:
    """Return drawn pictures as files."""
    return [PictureFile(one.path, one.sha256) for one in pictures]


def relative_name(path: Path, folder: Path) -> str:
    """Return a file's path from a folder on, with slashes; absolute on another drive."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def set_record(pictures: Sequence[PictureFile | GridPicture], source: str) -> dict[str, Any]:
    """Return what metrics.json says about a set of pictures."""
    return {
        "pictures": len(pictures),
        "digest": digest_json(sorted(one.sha256 for one in pictures)),
        "source": source,
    }


def _kept(dataset: Dataset, warnings: list[str]) -> list[PictureFile]:
    """Return the pictures of the usable rows, each once, in the order of their digests."""
    if bad := {problem.row for problem in dataset.errors}:
        warnings.append(
            f"{dataset.name}, {dataset.split} split: rows with errors are left out ({len(bad)}). "
            "`scoft dataset check` says what is wrong with them."
        )
    files = {row.sha256: PictureFile(row.image_path, row.sha256) for row in dataset.rows}
    return [files[sha256] for sha256 in sorted(files)]


def _shared(pictures: Sequence[PictureFile], training: Sequence[PictureFile]) -> int:
    """Return how many of the pictures are training pictures."""
    known = {file.sha256 for file in training}
    return sum(file.sha256 in known for file in pictures)


def _untrained(
    held_out: Sequence[PictureFile],
    training: Sequence[PictureFile],
    name: str,
    warnings: list[str],
) -> list[PictureFile]:
    """Return the test split's pictures but those that are in the training split, too."""
    known = {file.sha256 for file in training}
    if seen := _shared(held_out, training):
        warnings.append(
            f"{name}: {seen} of {len(held_out)} pictures of the test split are in the training "
            "split, too, and are left out of what drawings are compared with, since to copy them "
            "is not to know the culture. Take them out of one of the splits."
        )
    return [file for file in held_out if file.sha256 not in known]


def _has_test(root: Path) -> bool:
    try:
        find_source(root.expanduser().absolute(), "test")
    except DatasetError:
        return False
    return True
