"""Rows in blocks below headings: where each stands on a plot's paper, and what it says in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from .errors import ConfigError
from .plot_colours import ink_on
from .plot_paper import LETTERS, MARGIN, SMALL, WIDTH, Paper, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Block",
    "Placed",
    "Row",
    "blocks_height",
    "draw_field",
    "in_words",
    "name_room",
    "place",
    "points_axes",
    "write_row",
]

_HEADING, _GAP = 22.0, 9.0
_MOST_NAME = 0.34 * WIDTH
_SIZES = (LETTERS, SMALL, SMALL - 1.5)
"""Of the letters on a field."""

Row = TypeVar("Row")


@dataclass(frozen=True)
class Block(Generic[Row]):
    """Rows below a heading, which may be empty."""

    heading: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Placed(Generic[Row]):
    """A block on the paper.

    Attributes:
        heading: as in the block.
        top, bottom: of its rows, in points from the paper's lower edge.
        rows: each with the height of its middle.
    """

    heading: str
    top: float
    bottom: float
    rows: Sequence[tuple[float, Row]]


def blocks_height(title: str, blocks: Sequence[Block[Row]], row: float) -> float:
    """Return how many points blocks take.

    Args:
        title: of their plot.
        blocks: from top to bottom.
        row: a row's height, in points.

    Raises:
        ConfigError: no row.
    """
    if not any(block.rows for block in blocks):
        raise ConfigError(f"The plot {title!r} has no row. Bring at least one.")
    headings = sum(_HEADING for block in blocks if block.heading)
    rows = sum(len(block.rows) for block in blocks)
    return headings + row * rows + _GAP * (len(blocks) - 1)


def place(
    paper: Paper, blocks: Sequence[Block[Row]], top: float, row: float
) -> Iterator[Placed[Row]]:
    """Write the headings and yield where the rows stand, from top to bottom.

    Args:
        paper: to write on.
        blocks: as in `blocks_height`.
        top: where the first begins.
        row: a row's height, in points.
    """
    for block in blocks:
        if block.heading:
            bold = partial(paper.width_of, weight="bold")
            shown = shortened(block.heading, WIDTH - 2 * MARGIN, bold)
            middle = top - _HEADING / 2
            paper.text(MARGIN, middle, shown, weight="bold", va="center_baseline")
            top -= _HEADING
        bottom = top - row * len(block.rows)
        middles = [top - row * (at + 0.5) for at in range(len(block.rows))]
        yield Placed(block.heading, top, bottom, list(zip(middles, block.rows, strict=True)))
        top = bottom - _GAP


def name_room(paper: Paper, names: Sequence[str]) -> float:
    """Return how wide the column of the rows' names is, in points."""
    return max(min(paper.width_of(name, LETTERS), _MOST_NAME) for name in names)


def write_row(paper: Paper, right: float, middle: float, name: str) -> None:
    """Write a row's name so that it ends at `right`; a long one loses its middle."""
    shown = shortened(name, _MOST_NAME, paper.width_of)
    paper.text(right, middle, shown, ha="right", va="center_baseline")


def points_axes(paper: Paper) -> Axes:
    """Return axes over the whole paper that are measured in its points."""
    axes = paper.axes(0, WIDTH, 0, paper.height)
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(0, paper.height)
    axes.set_axis_off()
    return axes


def draw_field(
    paper: Paper, axes: Axes, box: tuple[float, float, float, float], colour: str, text: str
) -> None:
    """Draw a field of one colour with its text in the middle, smaller or not at all if too wide.

    Args:
        paper: to write on.
        axes: its `points_axes`.
        box: left, bottom, width, height, in points.
        colour: as #rrggbb.
        text: may be empty.
    """
    from matplotlib.patches import Rectangle

    left, bottom, wide, high = box
    axes.add_artist(
        Rectangle((left, bottom), wide, high, facecolor=colour, edgecolor="white", linewidth=1)
    )
    fitting = (size for size in _SIZES if paper.width_of(text, size) < wide - 2)
    size = next(fitting, None)
    if text and size is not None:
        middle, ink = (left + wide / 2, bottom + high / 2), ink_on(colour)
        paper.text(*middle, text, size=size, colour=ink, ha="center", va="center_baseline")


def in_words(blocks: Sequence[Block[Row]], told: Callable[[Row], str]) -> str:
    """Return blocks as one text, for those who cannot see the plot."""
    return ". ".join(
        (f"{block.heading}: " if block.heading else "") + "; ".join(map(told, block.rows))
        for block in blocks
    )
