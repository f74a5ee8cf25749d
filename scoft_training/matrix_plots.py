"""Fields of colour in rows and columns, with numbers on them, or too many for numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import numpy as np

from .block_layout import (
    Block,
    blocks_height,
    draw_field,
    in_words,
    name_room,
    place,
    points_axes,
    write_row,
)
from .errors import ConfigError
from .plot_colours import MISSING
from .plot_paper import MARGIN, SMALL, SOFT, WIDTH, Paper, shortened
from .plots import Plot
from .text_tables import width

__all__ = ["Cells", "Field", "matrix_plot", "square_plot"]

_ROW = 23.0
_MOST_COLUMN = 96.0
"""Room that the columns' upright names can take, in points."""

_SIDE = 84.0
"""Room for the groups' names beside a square, in points."""

_SCALE = 40.0
"""Height of the strip that says what the colours of a square mean."""


@dataclass(frozen=True)
class Field:
    """One field: its text, and its colour as a share in [0, 1] of the scale."""

    text: str
    share: float


@dataclass(frozen=True)
class Cells:
    """One row: a field for each column, None where there is none."""

    name: str
    fields: Sequence[Field | None]


def matrix_plot(
    title: str,
    note: str,
    columns: Sequence[str],
    blocks: Sequence[Block[Cells]],
    colour: Callable[[float], str],
) -> Plot:
    """Return a plot of fields that carry their texts.

    Args:
        title: what is shown.
        note: how to read it.
        columns: their names; upright where one is too wide.
        blocks: rows, from top to bottom.
        colour: makes a field's colour, #rrggbb, of its share.

    Raises:
        ConfigError: no row.
    """

    def told(row: Cells) -> str:
        found = zip(columns, row.fields, strict=True)
        return f"{row.name}: " + ", ".join(
            f"{name} {'-' if field is None else field.text}" for name, field in found
        )

    rows = [row.name for block in blocks for row in block.rows]
    height = blocks_height(title, blocks, _ROW) + MARGIN
    names = min(max(map(_about, rows), default=0.0), _MOST_COLUMN)
    widest = max(map(_about, columns), default=0.0)
    upright = widest > (WIDTH - 2 * MARGIN - names) / max(len(columns), 1) - 4
    head = min(widest, _MOST_COLUMN) + 8 if upright else 24.0
    body = partial(_draw_matrix, columns, blocks, colour, head, upright)
    return Plot(title, note, in_words(blocks, told), height + head, body)


def square_plot(
    title: str,
    note: str,
    words: str,
    values: Sequence[Sequence[float | None]],
    groups: Sequence[tuple[str, int]],
    colour: Callable[[float], str],
) -> Plot:
    """Return a plot of a square of small fields without texts, parted by lines into groups.

    Args:
        title: what is shown.
        note: how to read it.
        words: what it shows, for those who cannot see it.
        values: shares in [0, 1], (n, n); None where there is none.
        groups: (name, how many of the n), in the order of the rows.
        colour: makes the colour, #rrggbb, of a share.

    Raises:
        ConfigError: no row, or groups that are not as many as the rows.
    """
    if not values or sum(count for _, count in groups) != len(values):
        raise ConfigError(
            f"The plot {title!r} has {len(values)} rows and groups of "
            f"{sum(count for _, count in groups)}. Bring rows, and name the group of each."
        )
    body = partial(_draw_square, values, groups, colour)
    return Plot(title, note, words, WIDTH - 2 * MARGIN - _SIDE + _SCALE, body)


def _about(text: str) -> float:
    """About how wide a text in usual letters is, in points, before there is a paper."""
    return 8.0 * (width(text) + text.count("\N{HORIZONTAL ELLIPSIS}"))


def _draw_matrix(
    columns: Sequence[str],
    blocks: Sequence[Block[Cells]],
    colour: Callable[[float], str],
    head: float,
    upright: bool,
    paper: Paper,
) -> None:
    left = MARGIN + name_room(paper, [row.name for block in blocks for row in block.rows]) + 8
    each = (WIDTH - MARGIN - left) / len(columns)
    axes = points_axes(paper)
    top = paper.free - head
    for at, name in enumerate(columns):
        middle = left + (at + 0.5) * each
        if upright:
            shown = shortened(name, head - 8, paper.width_of)
            paper.text(middle, top + 5, shown, rotation=90, ha="center", va="bottom")
        else:
            shown = shortened(name, each - 2, paper.width_of)
            paper.text(middle, top + 8, shown, ha="center", va="baseline")
    for block in place(paper, blocks, top, _ROW):
        for middle, row in block.rows:
            write_row(paper, left - 8, middle, row.name)
            for at, field in enumerate(row.fields):
                box = (left + at * each, middle - _ROW / 2, each, _ROW)
                fill, text = (MISSING, "") if field is None else (colour(field.share), field.text)
                draw_field(paper, axes, box, fill, text)


def _draw_square(
    values: Sequence[Sequence[float | None]],
    groups: Sequence[tuple[str, int]],
    colour: Callable[[float], str],
    paper: Paper,
) -> None:
    side = WIDTH - 2 * MARGIN - _SIDE
    left, top = MARGIN + _SIDE, paper.free
    axes = paper.axes(left, left + side, top - side, top)
    fills = [
        [_red_green_blue(MISSING if one is None else colour(one)) for one in row] for row in values
    ]
    axes.imshow(np.array(fills, dtype=np.uint8), interpolation="none", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    ends = list(accumulate(count for _, count in groups))
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color="white", linewidth=2.5)
        axes.axvline(end - 0.5, color="white", linewidth=2.5)
    for (name, count), end in zip(groups, ends, strict=True):
        middle, room = (end - count / 2) / len(values) * side, count / len(values) * side
        if room >= SMALL:
            shown = shortened(name, _SIDE - 6, paper.width_of, SMALL)
            paper.text(left - 6, top - middle, shown, size=SMALL, ha="right", va="center_baseline")
    _draw_scale(paper, left, side, colour)


def _draw_scale(paper: Paper, left: float, wide: float, colour: Callable[[float], str]) -> None:
    """Draw what the colours mean below a square."""
    axes = paper.axes(left, left + wide, 18, 26)
    fills = [_red_green_blue(colour(at / 100)) for at in range(101)]
    axes.imshow(np.array([fills], dtype=np.uint8), interpolation="none", aspect="auto")
    axes.set_axis_off()
    for share, ha in ((0.0, "left"), (0.5, "center"), (1.0, "right")):
        text = f"{share:.0%}".replace("%", "\u00a0%")
        paper.text(left + share * wide, 4, text, size=SMALL, colour=SOFT, ha=ha)


def _red_green_blue(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
