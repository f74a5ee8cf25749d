"""Bars of one length, parted by shares: how often each of some outcomes was met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

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
from .plot_colours import one_colour
from .plot_paper import MARGIN, WIDTH, Paper
from .plots import Plot

__all__ = ["Counted", "shares_plot"]

_ROW, _BAR = 21.0, 17.0
_KEY = 28.0
"""Height of what stands above the bars: the parts' colours and names."""


@dataclass(frozen=True)
class Counted:
    """One bar.

    Attributes:
        name: at the left.
        counts: of each part, 0 or more, first to last.
    """

    name: str
    counts: Sequence[float]

    def shares(self) -> list[float]:
        """Return the parts' shares in all of them; empty where nothing was counted."""
        total = sum(self.counts)
        return [count / total for count in self.counts] if total else []


def shares_plot(
    title: str, note: str, blocks: Sequence[Block[Counted]], parts: Sequence[str]
) -> Plot:
    """Return a plot of bars that carry their shares in per cent where they have the room.

    Args:
        title: what is shown.
        note: how to read it.
        blocks: from top to bottom; a bar of which nothing was counted is left empty.
        parts: their names, from the first (darkest) to the last; they stand above the bars.

    Raises:
        ConfigError: no row.
    """

    def told(row: Counted) -> str:
        named = zip(parts, row.shares(), strict=False)
        shares = ", ".join(f"{name} {share:.0%}" for name, share in named)
        return f"{row.name}: {shares or 'nothing'}"

    height = _KEY + blocks_height(title, blocks, _ROW) + MARGIN
    return Plot(title, note, in_words(blocks, told), height, partial(_draw, blocks, parts))


def _draw(blocks: Sequence[Block[Counted]], parts: Sequence[str], paper: Paper) -> None:
    colours = [one_colour(1 - at / max(len(parts) - 1, 1)) for at in range(len(parts))]
    left = MARGIN + name_room(paper, [row.name for block in blocks for row in block.rows]) + 8
    axes = points_axes(paper)
    each = (WIDTH - 2 * MARGIN) / len(parts)
    for at, (name, colour) in enumerate(zip(parts, colours, strict=True)):
        box = (MARGIN + at * each, paper.free - _BAR, each, _BAR)
        draw_field(paper, axes, box, colour, name)
    for block in place(paper, blocks, paper.free - _KEY, _ROW):
        for middle, row in block.rows:
            write_row(paper, left - 8, middle, row.name)
            start = left
            for share, colour in zip(row.shares(), colours, strict=False):
                wide = share * (WIDTH - MARGIN - left)
                box = (start, middle - _BAR / 2, wide, _BAR)
                draw_field(paper, axes, box, colour, f"{100 * share:.0f}")
                start += wide
