"""Dots with their intervals, in blocks that share one axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .block_layout import Block, Placed, blocks_height, in_words, name_room, place, write_row
from .plot_paper import LETTERS, MARGIN, RULE, SOFT, WIDTH, Paper
from .plots import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Dot", "DotAxis", "dots_plot"]

_ROW, _FOOT = 21.0, 28.0
_COLOUR = "#0072b2"


@dataclass(frozen=True)
class Dot:
    """One row: a dot at its value, a bar over its interval.

    Attributes:
        name: at the left.
        value: finite.
        low, high: the ends of its interval, None where it is not known.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class DotAxis:
    """The axis that all blocks share.

    Attributes:
        low, high: its ends; what lies beyond is drawn at the end.
        ticks: where it is marked.
        written: makes the text of a value.
        level: place of a dashed line, or None.
        tick_text: makes the text of a mark; None: as of a value.
    """

    low: float
    high: float
    ticks: Sequence[float]
    written: Callable[[float], str]
    level: float | None = None
    tick_text: Callable[[float], str] | None = None

    def inside(self, value: float) -> float:
        """Return the place of a value."""
        return min(max(value, self.low), self.high)


def dots_plot(title: str, note: str, blocks: Sequence[Block[Dot]], axis: DotAxis) -> Plot:
    """Return a plot of blocks that can be compared by eye.

    Args:
        title: what is shown.
        note: how to read it, the dashed line included.
        blocks: from top to bottom.
        axis: of all of them.

    Raises:
        ConfigError: no row.
    """

    def told(row: Dot) -> str:
        text = f"{row.name} {axis.written(row.value)}"
        if row.low is None or row.high is None:
            return text
        return f"{text} ({axis.written(row.low)} to {axis.written(row.high)})"

    height = blocks_height(title, blocks, _ROW) + _FOOT
    return Plot(title, note, in_words(blocks, told), height, partial(_draw, blocks, axis))


def _draw(blocks: Sequence[Block[Dot]], axis: DotAxis, paper: Paper) -> None:
    rows = [row for block in blocks for row in block.rows]
    left = MARGIN + name_room(paper, [row.name for row in rows]) + 14
    values = max(paper.width_of(axis.written(row.value), LETTERS) for row in rows)
    axes = paper.axes(left, WIDTH - MARGIN - values - 16, _FOOT, paper.free)
    axes.set_xlim(axis.low, axis.high)
    axes.set_ylim(_FOOT, paper.free)
    axes.set_yticks([])
    axes.set_xticks(list(axis.ticks), list(map(axis.tick_text or axis.written, axis.ticks)))
    for block in place(paper, blocks, paper.free, _ROW):
        _draw_block(paper, axes, block, axis, left)


def _draw_block(paper: Paper, axes: Axes, block: Placed[Dot], axis: DotAxis, left: float) -> None:
    axes.vlines(list(axis.ticks), block.bottom, block.top, color=RULE, linewidth=1, zorder=0)
    if axis.level is not None:
        dashed = (0, (5, 3))
        axes.vlines(
            [axis.level], block.bottom, block.top, color=SOFT, linewidth=1.2, linestyle=dashed
        )
    for middle, row in block.rows:
        if row.low is not None and row.high is not None:
            ends = [axis.inside(row.low), axis.inside(row.high)]
            axes.plot(ends, [middle] * 2, color=_COLOUR, linewidth=2.5, alpha=0.55, clip_on=False)
        at = [axis.inside(row.value)]
        axes.plot(at, [middle], "o", color=_COLOUR, markersize=7, clip_on=False)
        write_row(paper, left - 14, middle, row.name)
        value = axis.written(row.value)
        end = WIDTH - MARGIN
        paper.text(end, middle, value, ha="right", va="center_baseline", colour=SOFT)
