"""The folder of a grid: pictures of prompts x seeds x models, from the same noise for every model.

Lives here: what a grid asks for, what of it is drawn, and how its folder is read and written. Not
here: where prompts come from (`grid_prompts`), drawing (`grid_drawing`), measuring.

    GRID/
      grid.json        base, drawing settings, prompts, models, and the rounds in which they came
      pictures.jsonl   one line a drawn picture; of two about the same picture the later one counts
      pictures/<model>/<prompt number, from 1>-seed<seed>.png

Prompts, seeds and models are only ever added, so an index of a prompt means the same for ever. A
file's bytes do not tell which model drew it; its path and its place in the record do. Whoever shows
pictures to people that must not know shows copies under other names, in another order.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any
from unicodedata import normalize

from torch import Tensor

from .errors import ConfigError, DatasetError, OutputError, unknown_name
from .files import digest_text, write_json

__all__ = [
    "BASE",
    "ROLES",
    "Grid",
    "GridModel",
    "GridPicture",
    "GridPrompt",
    "GridSource",
    "add_picture",
    "batches",
    "extended",
    "is_grid",
    "new_grid",
    "picture_name",
    "read_grid",
    "write_grid",
]

ROLES = ("train", "test", "neutral", "general")
"""What a prompt's pictures are compared with; see `GridPrompt`."""

BASE = "base"
"""Name of the unmodified model."""

_FORMAT = 1
_HEAD, _PICTURES = "grid.json", "pictures.jsonl"
_RESERVED = {"con", "prn", "aux", "nul"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in "0123456789"
}
_MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class GridPrompt:
    """One prompt and the seeds it is drawn with.

    Attributes:
        text: the prompt.
        role: train, a training caption; test, a held-out caption or any prompt of the user's;
            neutral, about nothing of the culture; general, a neutral one that the base alone draws
            with other seeds, to compare with where there are no general pictures.
        seeds: one or more, each once.
        picture: sha256 of the picture whose caption it is.
        category: of that picture's row.
        culture: likewise.
    """

    text: str
    role: str
    seeds: tuple[int, ...]
    picture: str | None = None
    category: str | None = None
    culture: str | None = None

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What makes it the same prompt, whatever its seeds."""
        return self.text, self.role, self.picture


@dataclass(frozen=True)
class GridModel:
    """A model of a grid, as grid.json names it.

    Attributes:
        name: unique; "base" is the unmodified model's.
        lora_sha256: of the LoRA's weights (`lora_layers.lora_digest`); None for the base.
        strength: factor on the LoRA's update.
        step: of the training, for checkpoints of one run.
        run_id: that run's.
    """

    name: str
    lora_sha256: str | None = None
    strength: float = 1.0
    step: int | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class GridSource:
    """A model to draw with: what `GridModel` says, and where the LoRA is.

    `lora` is a LoRA file, a checkpoint of a run, tensors by name as in a LoRA file, or None for the
    base model.
    """

    name: str
    lora: Path | Mapping[str, Tensor] | None = None
    strength: float = 1.0
    step: int | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class GridPicture:
    """A drawn picture: which model, index of the prompt, seed, file, and sha256 of its bytes."""

    model: str
    prompt: int
    seed: int
    path: Path
    sha256: str


@dataclass(frozen=True)
class Grid:
    """A grid as its folder has it.

    Attributes:
        folder: where it lies.
        base_name: of the base model.
        base_digest: likewise.
        drawing: the settings of all its pictures.
        prompts: in the order in which they came.
        models: likewise.
        pictures: those that are there, ordered by model, prompt and seed.
        rounds: per addition how many models there were after it, and of each prompt how many seeds.
    """

    folder: Path
    base_name: str
    base_digest: str
    drawing: Mapping[str, Any]
    prompts: tuple[GridPrompt, ...]
    models: tuple[GridModel, ...]
    pictures: tuple[GridPicture, ...]
    rounds: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def of(self, model: str, role: str) -> tuple[GridPicture, ...]:
        """Return a model's pictures for the prompts of a role, ordered by prompt and seed."""
        return tuple(
            picture
            for picture in self.pictures
            if picture.model == model and self.prompts[picture.prompt].role == role
        )

    def missing(self) -> tuple[tuple[str, int, int], ...]:
        """Return what is asked for and not drawn yet: model, index of the prompt, seed."""
        drawn = {(picture.model, picture.prompt, picture.seed) for picture in self.pictures}
        return tuple(
            cell
            for model in self.models
            for batch in batches(self, model.name, 1)
            for cell in batch
            if cell not in drawn
        )


def is_grid(folder: Path) -> bool:
    """Tell whether a grid was begun in a folder."""
    return (folder / _HEAD).is_file()


def new_grid(folder: Path, base_name: str, base_digest: str, drawing: Mapping[str, Any]) -> Grid:
    """Return a grid of nothing yet; `extended` adds to it."""
    return Grid(folder, base_name, base_digest, dict(drawing), (), (), ())


def extended(grid: Grid, models: Iterable[GridModel], prompts: Iterable[GridPrompt]) -> Grid:
    """Return the grid with what it lacks of these models, prompts and seeds, as one more round.

    Nothing that it has changes place. Where it has all, it is returned as it is.

    Raises:
        ConfigError: a name is there for another model, a role is unknown, or seeds are none.
    """
    found = {model.name: model for model in grid.models}
    for model in models:
        if (model.name == BASE) != (model.lora_sha256 is None):
            raise ConfigError(
                f"The name {BASE!r} is the unmodified model's, and it has no other; got "
                f"{model.name!r} for {_said(model)}. Choose another name."
            )
        known = found.setdefault(model.name, model)
        if (known.lora_sha256, known.strength) != (model.lora_sha256, model.strength):
            raise ConfigError(
                f"{grid.folder}: there is another model called {model.name!r} in this grid "
                f"({_said(known)}; now {_said(model)}). Choose another name, or another folder."
            )
    asked: dict[tuple[str, str, str | None], GridPrompt] = {one.key: one for one in grid.prompts}
    for prompt in prompts:
        _require_prompt(prompt)
        known_prompt = asked.get(prompt.key, dataclasses.replace(prompt, seeds=()))
        seeds = tuple(dict.fromkeys((*known_prompt.seeds, *prompt.seeds)))
        asked[prompt.key] = dataclasses.replace(known_prompt, seeds=seeds)
    counts = _counts(found, asked.values())
    if grid.rounds and grid.rounds[-1] == counts:
        return grid
    return dataclasses.replace(
        grid,
        prompts=tuple(asked.values()),
        models=tuple(found.values()),
        rounds=(*grid.rounds, counts),
    )


def batches(grid: Grid, model: str, size: int) -> list[list[tuple[str, int, int]]]:
    """Return all that a model is asked for, in batches of at most `size`.

    A cell is (model, index of the prompt, seed). The batches depend on what was asked for and when,
    never on what is drawn, so that a stopped drawing goes on with the same ones. Prompts of the
    role general are the base's alone.

    Args:
        grid: with its rounds.
        model: a name of its models.
        size: 1 or more.
    """
    at = [one.name for one in grid.models].index(model)
    found: list[list[tuple[str, int, int]]] = []
    before: tuple[int, ...] = ()
    for models, counts in grid.rounds:
        if at >= models:
            continue
        cells = []
        for index, prompt in enumerate(grid.prompts[: len(counts)]):
            if prompt.role == "general" and model != BASE:
                continue
            first = before[index] if index < len(before) else 0
            cells += [(model, index, seed) for seed in prompt.seeds[first : counts[index]]]
        found += [cells[start : start + size] for start in range(0, len(cells), size)]
        before = counts
    return found


def picture_name(grid: Grid, model: str, prompt: int, seed: int) -> str:
    """Return where a picture goes, relative to the grid's folder."""
    return f"pictures/{_slugs(grid.models)[model]}/{prompt + 1:04d}-seed{seed}.png"


def write_grid(grid: Grid) -> None:
    """Write grid.json; pictures are added one by one.

    Raises:
        OutputError: it cannot be written.
    """
    write_json(
        grid.folder / _HEAD,
        {
            "format": _FORMAT,
            "base": {"name": grid.base_name, "digest": grid.base_digest},
            "drawing": dict(grid.drawing),
            "prompts": [dataclasses.asdict(prompt) for prompt in grid.prompts],
            "models": [dataclasses.asdict(model) for model in grid.models],
            "rounds": [{"models": models, "seeds": list(seeds)} for models, seeds in grid.rounds],
        },
    )


def add_picture(grid: Grid, picture: GridPicture) -> None:
    """Note that a picture lies in the folder, and flush the note.

    Raises:
        OutputError: it cannot be written.
    """
    values = dataclasses.asdict(picture)
    values["file"] = values.pop("path").relative_to(grid.folder).as_posix()
    line = (json.dumps(values, ensure_ascii=False) + "\n").encode()
    path = grid.folder / _PICTURES
    try:
        with path.open("ab+") as file:
            # A killed process may have left half a line, which a newline makes one of its own.
            if file.tell() and not _ends_whole(path):
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(
            f"{path}: could not be written ({error}). Make room on the disk, then start again; "
            "what is drawn stays."
        ) from error


def read_grid(folder: Path) -> Grid:
    """Read a grid's folder; a picture whose file is gone does not count as drawn.

    Raises:
        DatasetError: there is no grid, or its files cannot be read.
    """
    folder = Path(folder)
    path = folder / _HEAD
    if not path.is_file():
        raise DatasetError(
            f"{folder}: there is no grid ({_HEAD} is missing). Draw one with `scoft grid`, or name "
            "another folder."
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise DatasetError(
                f"{path}: is of format {values['format']}, and this version reads {_FORMAT}. Use "
                "the version that drew it."
            )
        grid = Grid(
            folder=folder,
            base_name=str(values["base"]["name"]),
            base_digest=str(values["base"]["digest"]),
            drawing=dict(values["drawing"]),
            prompts=tuple(
                GridPrompt(**{**one, "seeds": tuple(one["seeds"])}) for one in values["prompts"]
            ),
            models=tuple(GridModel(**one) for one in values["models"]),
            pictures=(),
            rounds=tuple((one["models"], tuple(one["seeds"])) for one in values["rounds"]),
        )
        if grid.rounds[-1:] != (_counts(grid.models, grid.prompts),):
            raise ValueError("its rounds do not add up to its models and prompts")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: cannot be read ({error}). Put it back, or draw the grid into a new folder."
        ) from error
    return dataclasses.replace(grid, pictures=_read_pictures(grid))


def _read_pictures(grid: Grid) -> tuple[GridPicture, ...]:
    path = grid.folder / _PICTURES
    asked = {
        cell: place
        for place, cell in enumerate(
            (model.name, index, seed)
            for model in grid.models
            for index, prompt in enumerate(grid.prompts)
            for seed in sorted(prompt.seeds)
        )
    }
    found: dict[tuple[str, int, int], GridPicture] = {}
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            values = json.loads(line)
            cell = (values["model"], values["prompt"], values["seed"])
            # A grid of somebody else's may name any file of this machine.
            if cell in asked and _lies_inside(values["file"]):
                path = grid.folder / values["file"]
                found[cell] = GridPicture(*cell, path, str(values["sha256"]))
        # A killed process may leave half a line; its picture is drawn again.
        except (ValueError, KeyError, TypeError):
            continue
    there = (picture for picture in found.values() if picture.path.is_file())
    return tuple(sorted(there, key=lambda one: asked[one.model, one.prompt, one.seed]))


def _lies_inside(name: str) -> bool:
    """Tell whether a path leads nowhere else, on any system: `../x`, `/x`, `C:/x`."""
    path = PureWindowsPath(name)
    return not (path.drive or path.root or ".." in path.parts)


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _counts(models: Collection[Any], prompts: Iterable[GridPrompt]) -> tuple[int, tuple[int, ...]]:
    """Return what `Grid.rounds` says of them."""
    return len(models), tuple(len(prompt.seeds) for prompt in prompts)


def _slugs(models: Sequence[GridModel]) -> dict[str, str]:
    """Return a folder's name for each model; adding models changes none."""
    taken, slugs = set(_RESERVED), {}
    for model in models:
        # One spelling of accents: to some disks both are one name.
        name = normalize("NFC", model.name.casefold())
        slug = re.sub(r"\W+", "-", name).strip("-_")[:60]
        if not slug or slug in taken:
            slug = f"{slug}-{digest_text(model.name)[:8]}".strip("-")
        taken.add(slug)
        slugs[model.name] = slug
    return slugs


def _require_prompt(prompt: GridPrompt) -> None:
    where = f"Prompt {prompt.text[:60]!r}"
    if not prompt.text.strip():
        raise ConfigError("A prompt is empty. Write one, or leave its line out.")
    if prompt.role not in ROLES:
        raise ConfigError(f"{where}: {unknown_name('role', prompt.role, ROLES)}")
    if not prompt.seeds:
        raise ConfigError(f"{where}: has no seeds. Give one or more.")
    for seed in prompt.seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= _MAX_SEED:
            raise ConfigError(
                f"{where}: a seed must be a whole number from 0 to {_MAX_SEED} but got {seed!r}."
            )


def _said(model: GridModel) -> str:
    if model.lora_sha256 is None:
        return "the base model"
    return f"LoRA {model.lora_sha256[:12]} at strength {model.strength:g}"
