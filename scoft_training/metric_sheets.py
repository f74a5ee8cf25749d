"""Sheets to look at beside numbers: models drawing from the same noise; copies and originals.

Which pictures are shown is decided here, too, for pages that show them in their own way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from .errors import ConfigError, DatasetError, unknown_name
from .grids import Grid, GridPicture
from .lettering import draw_caption
from .pictures import open_picture
from .score_records import Nearest, Scores

__all__ = [
    "SheetRow",
    "nearest_pairs",
    "nearest_sheet",
    "same_seed_sheet",
    "shown_models",
    "shown_prompts",
    "shown_rows",
    "small_picture",
]

_ROLES = (("test", 4), ("train", 2), ("neutral", 2))
"""Roles that are shown, and of eight prompts how many of each."""

_MOST_MODELS = 10
_MOST_ROWS = 16
_LONGEST = 3800
_TILE, _SMALLEST = 256, 64
_LETTERS, _GAP, _LINE = 19, 10, 28
_MISSING = "#d9dce4"
_LEGEND = ("Left a drawing, right the training picture", "nearest to it; 1.000 is a copy.")
"""Above nearest pairs."""
_LEGEND_WIDTH = 440


@dataclass(frozen=True)
class SheetRow:
    """One prompt drawn by several models from the same noise.

    Attributes:
        prompt: its number in the grid, from 0.
        text: the prompt.
        seed: of the noise.
        pictures: one a model, None where it is not drawn.
    """

    prompt: int
    text: str
    seed: int
    pictures: tuple[GridPicture | None, ...]


def shown_models(grid: Grid, *, most: int = _MOST_MODELS, always: Sequence[str] = ()) -> list[str]:
    """Return the names of the models that a sheet has room for, in the grid's order.

    Where there are more, the first one, the last one and models evenly between them are taken.

    Args:
        grid: whose models.
        most: how many, 2 or more.
        always: names that are shown in any case, if the grid has them.
    """
    names = [model.name for model in grid.models]
    kept = {name for name in always if name in names}
    room = max(2, most - len(kept))
    if len(names) > most:
        kept |= {names[place] for place in _spread(len(names), room)}
        return [name for name in names if name in kept]
    return names


def shown_prompts(grid: Grid, *, most: int = 8) -> list[int]:
    """Return numbers of prompts that show what the models can: of each role some, evenly spread.

    Args:
        grid: whose prompts.
        most: how many, 1 or more.
    """
    by_role = {
        role: [place for place, prompt in enumerate(grid.prompts) if prompt.role == role]
        for role, _ in _ROLES
    }
    wanted = {role: 0 for role, _ in _ROLES}
    order = [role for role, count in _ROLES for _ in range(count)]
    # Round by round, so that what one role lacks is filled by the others.
    while sum(wanted.values()) < most:
        before = sum(wanted.values())
        for role in order:
            if wanted[role] < len(by_role[role]) and sum(wanted.values()) < most:
                wanted[role] += 1
        if sum(wanted.values()) == before:
            break
    return [
        by_role[role][at] for role, _ in _ROLES for at in _spread(len(by_role[role]), wanted[role])
    ]


def shown_rows(
    grid: Grid, prompts: Sequence[int] | None = None, models: Sequence[str] | None = None
) -> tuple[list[str], list[SheetRow]]:
    """Return the models' names and a row a prompt, of the prompt's first seed.

    Args:
        grid: as it lies in its folder.
        prompts: numbers of prompts, from 0; None takes `shown_prompts`.
        models: names; None takes `shown_models`.

    Raises:
        ConfigError: a prompt or model that the grid does not have, or none at all.
    """
    names = shown_models(grid) if models is None else list(models)
    places = shown_prompts(grid) if prompts is None else list(prompts)
    known = [model.name for model in grid.models]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(unknown_name("model", unknown[0], known))
    if wrong := [place for place in places if not 0 <= place < len(grid.prompts)]:
        raise ConfigError(
            f"The grid has no prompt {wrong[0]}. Name numbers from 0 to {len(grid.prompts) - 1}."
        )
    if not names or not places:
        raise ConfigError("A sheet needs a model and a prompt. Draw at least one of each.")
    drawn = {(one.model, one.prompt, one.seed): one for one in grid.pictures}
    rows = []
    for place in places:
        prompt = grid.prompts[place]
        seed = prompt.seeds[0]
        found = tuple(drawn.get((name, place, seed)) for name in names)
        rows.append(SheetRow(place, prompt.text, seed, found))
    return names, rows


def same_seed_sheet(
    grid: Grid, prompts: Sequence[int] | None = None, models: Sequence[str] | None = None
) -> Image.Image:
    """Return a picture with a row a prompt and a column a model, each row from the same noise.

    Neither side is longer than some 4000 pixels, so many models or prompts get small pictures; of
    more than 36 prompts, whose pictures would be too small to see, it grows downwards.

    Args:
        grid: as it lies in its folder.
        prompts: numbers of prompts, from 0; None takes `shown_prompts`.
        models: names; None takes `shown_models`.

    Raises:
        ConfigError: as in `shown_rows`.
    """
    names, rows = shown_rows(grid, prompts, models)
    above = 2 * _LINE + _GAP
    tile = _tile(len(names), len(rows), width=_GAP, height=_LINE + _GAP, head=above)
    size = _GAP + len(names) * (tile + _GAP), above + len(rows) * (tile + _LINE + _GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        left = _GAP + column * (tile + _GAP)
        _write(draw, (left, _GAP), name, tile, lines=2, instead=f"model {column + 1}")
    for number, row in enumerate(rows):
        top = above + number * (tile + _LINE + _GAP)
        words = f"prompt {row.prompt + 1}"
        _write(draw, (_GAP, top), row.text, size[0] - 2 * _GAP, lines=1, instead=words)
        for column, picture in enumerate(row.pictures):
            corner = (_GAP + column * (tile + _GAP), top + _LINE)
            _paste(sheet, corner, None if picture is None else picture.path, tile, "not drawn")
    return sheet


def nearest_pairs(
    scores: Scores, *, each: int = 4, models: Collection[str] | None = None
) -> dict[str, list[Nearest]]:
    """Return each model's drawings that are nearest to a training picture, the nearest first.

    Args:
        scores: of a grid.
        each: so many of a model at most.
        models: names of those that are wanted; None takes all.
    """
    found: dict[str, list[Nearest]] = {}
    for one in sorted(scores.nearest, key=lambda nearest: -nearest.cosine):
        found.setdefault(one.model, []).append(one)
    order = [one.model.name for one in scores.models]
    return {
        name: found[name][:each]
        for name in order
        if name in found and (models is None or name in models)
    }


def nearest_sheet(
    scores: Scores, grid: Grid, *, each: int = 4, models: Collection[str] | None = None
) -> Image.Image:
    """Return a picture with a row a model: drawings, each beside its nearest training picture.

    Neither side is longer than some 4000 pixels; of more than 16 models some, evenly spread, are
    shown.

    Args:
        scores: of the grid.
        grid: in whose folder the drawings lie.
        each: so many of a model at most.
        models: names of those that are wanted; None takes `shown_models`.

    Raises:
        ConfigError: the scores hold no nearest pictures.
    """
    pairs = nearest_pairs(scores, each=each, models=models or shown_models(grid))
    if not pairs:
        raise ConfigError(
            "These scores hold no nearest training pictures. Score the grid with its dataset."
        )
    if len(pairs) > _MOST_ROWS:
        names = list(pairs)
        pairs = {names[at]: pairs[names[at]] for at in _spread(len(names), _MOST_ROWS)}
    columns = max(len(of) for of in pairs.values())
    below = 3 * _LINE
    above = _GAP + len(_LEGEND) * _LINE + _GAP
    tile = _tile(2 * columns, len(pairs), width=_GAP, height=below + _LINE + 2 * _GAP, head=above)
    pitch = 2 * tile + 2 * _GAP
    block = _LINE + tile + below + 2 * _GAP
    size = max(_LEGEND_WIDTH, _GAP + columns * pitch), above + len(pairs) * block
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(_LEGEND):
        corner = _GAP, _GAP + number * _LINE
        _write(draw, corner, line, sheet.width - 2 * _GAP, instead=line)
    for number, (model, of) in enumerate(pairs.items()):
        top = above + number * block
        _write(draw, (_GAP, top), model, sheet.width - 2 * _GAP, instead=f"model {number + 1}")
        for column, pair in enumerate(of):
            left, down = _GAP + column * pitch, top + _LINE
            _paste(sheet, (left, down), grid.folder / pair.picture, tile, "gone")
            _paste(sheet, (left + tile + 2, down), grid.folder / pair.training_file, tile, "gone")
            said = f"{pair.cosine:.3f}" + (", the picture of this caption" if pair.own else "")
            words, corner = f"{said}: {pair.caption}", (left, down + tile + 4)
            _write(draw, corner, words, 2 * tile, lines=3, instead=f"{said} (no font here)")
    return sheet


def small_picture(path: Path, side: int) -> Image.Image | None:
    """Return a picture that fits a square, or None where it is gone or cannot be read.

    Args:
        path: of the file.
        side: of the square, in pixels.
    """
    try:
        picture = open_picture(path, where=f"`{path.name}`", longest=side)
    except (DatasetError, OSError):
        return None
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _tile(columns: int, rows: int, *, width: int, height: int, head: int) -> int:
    """Return the pictures' side with which a sheet stays within its longest side."""
    wide = (_LONGEST - width) // columns - width
    high = (_LONGEST - head) // rows - height
    return max(_SMALLEST, min(_TILE, wide, high))


def _spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` places of `count`, evenly from the first to the last."""
    if wanted >= count:
        return list(range(count))
    if wanted == 1:
        return [0]
    return [round(at * (count - 1) / (wanted - 1)) for at in range(wanted)]


def _write(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    width: int,
    *,
    lines: int = 1,
    instead: str,
) -> None:
    draw_caption(draw, corner, text, size=_LETTERS, width=width, lines=lines, instead=instead)


def _paste(
    sheet: Image.Image, corner: tuple[int, int], path: Path | None, tile: int, missing: str
) -> None:
    picture = None if path is None else small_picture(path, tile)
    if picture is None:
        picture = Image.new("RGB", (tile, tile), _MISSING)
        _write(ImageDraw.Draw(picture), (6, 6), missing, tile - 12, instead=missing)
    elif max(picture.size) < tile:
        # Small pictures as the miniature's are shown larger, pixel by pixel.
        times = tile // max(picture.size)
        picture = ImageOps.scale(picture, times, Image.Resampling.NEAREST)
    sheet.paste(picture, corner)
