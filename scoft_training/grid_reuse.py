"""Pictures that other grids have already, taken over instead of drawn again.

A picture is a function of the base, the drawing settings, the model, the prompt's text and the
seed; only its rounding depends on what else was in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .errors import DatasetError
from .files import copy_file, file_sha256
from .grids import Grid, GridModel, GridPicture, add_picture, is_grid, picture_name, read_grid

__all__ = ["taken_over"]

_Key = tuple[str | None, float, str, int]


def taken_over(
    grid: Grid, others: Iterable[Path], check_stop: Callable[[], None] = lambda: None
) -> Iterator[GridPicture]:
    """Copy what a grid lacks and others have, yielding each picture once it is the grid's.

    Others of another base or with other settings are passed over, and so are those that cannot be
    read and pictures that are no longer what was noted of them.

    Args:
        grid: as it was read; its folder is written.
        others: folders of other grids; they are only read.
        check_stop: called before each picture; raises to stop.

    Raises:
        OutputError: a picture cannot be written.
    """
    lacking = dict.fromkeys(grid.missing())
    models = {model.name: model for model in grid.models}
    for folder in others:
        found = _pictures(grid, folder) if lacking else {}
        for cell in list(lacking):
            model, prompt, seed = cell
            check_stop()
            there = found.get(_key(models[model], grid.prompts[prompt].text, seed))
            if there is None or file_sha256(there.path) != there.sha256:
                continue
            path = grid.folder / picture_name(grid, *cell)
            copy_file(there.path, path)
            picture = GridPicture(*cell, path, there.sha256)
            add_picture(grid, picture)
            del lacking[cell]
            yield picture


def _pictures(grid: Grid, folder: Path) -> dict[_Key, GridPicture]:
    """Return another grid's pictures by what they are a function of, if it is drawn alike."""
    if not is_grid(folder) or folder.resolve() == grid.folder.resolve():
        return {}
    try:
        other = read_grid(folder)
    except DatasetError:
        return {}
    if (other.base_digest, other.drawing) != (grid.base_digest, grid.drawing):
        return {}
    models = {model.name: model for model in other.models}
    return {
        _key(models[one.model], other.prompts[one.prompt].text, one.seed): one
        for one in other.pictures
    }


def _key(model: GridModel, text: str, seed: int) -> _Key:
    return model.lora_sha256, model.strength, text, seed
