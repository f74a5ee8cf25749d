"""Plots of numbers with their intervals, by matplotlib, as SVG text or as a picture.

A plot is described once and drawn when it is asked for, through matplotlib's Figure objects: there
is no window and no current figure. Texts stay texts in the SVG, so the reader's own fonts show
names in any script; in a picture they are drawn with a font of this machine that has the letters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from PIL import Image

from .errors import ConfigError
from .plot_paper import (
    INK,
    LETTERS,
    MARGIN,
    RULE,
    SMALL,
    SOFT,
    WIDTH,
    Paper,
    as_picture,
    as_svg,
    shortened,
    written,
)
from .text_tables import number
from .text_tables import signed as with_sign

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Plot", "Series", "curve_plot", "interval_plot"]

_COLOURS = ("#0072b2", "#d55e00", "#008060", "#9b4f96", "#8a6d00", "#56708a")
"""Told apart with any kind of colour vision, and dark enough on white to write with (after Okabe
and Ito)."""


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        name: stands at its end where a plot has several.
        x: rising.
        y: as many.
        low, high: the interval of each point, None where it is not known; empty: of none.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()


@dataclass(frozen=True)
class Plot:
    """A plot that can be drawn as often as needed, always alike.

    Attributes:
        title: what is shown.
        note: how to read it, say which way is better.
        words: its numbers as a sentence, for those who cannot see it.
        height: of what stands below title and note, in points; the whole is 400 wide.
        body: draws that.
    """

    title: str
    note: str
    words: str
    height: float
    body: Callable[[Paper], None] = field(repr=False)

    def svg(self) -> str:
        """Return an `<svg>` that stands by itself or in a page beside others, the same each time.

        It is 400 points wide, so that its letters can be read on a phone; a page may scale it.
        """
        label = f"{self.title}. {self.note}. {self.words}"
        return as_svg(lambda: written(self.title, self.note, self.height, self.body), label)

    def image(self, width: int = 960) -> Image.Image:
        """Return it as an RGB picture.

        Args:
            width: in pixels, 100 or more; the height follows.

        Raises:
            ConfigError: the width is out of range.
        """
        if width < 100:
            raise ConfigError(f"`width` of a plot must be 100 pixels or more but got {width}.")
        return as_picture(lambda: written(self.title, self.note, self.height, self.body), width)


def interval_plot(
    title: str,
    note: str,
    rows: Sequence[tuple[str, float, float | None, float | None]],
    *,
    digits: int,
    signed: bool = False,
) -> Plot:
    """Return a plot with a line a row: its name, a dot at its value, a bar over its interval.

    The axis begins at 0 where that wastes little room; a value is a place on it, no length.

    Args:
        title: what is shown.
        note: how to read it.
        rows: (name, value, low, high), from top to bottom; low and high are None where no
            interval is known.
        digits: behind the point, of the values at the right.
        signed: the values are differences: one above 0 has a plus.

    Raises:
        ConfigError: no row, or a value that is no finite number.
    """
    known = [end for _, *ends in rows for end in ends if end is not None]
    _require_finite(title, known)
    words = "; ".join(
        f"{name}: {_number(value, digits, signed=signed)}"
        + ("" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})")
        for name, value, low, high in rows
    )

    def body(paper: Paper) -> None:
        values = [_number(value, digits, signed=signed) for _, value, _, _ in rows]
        _draw_intervals(paper, rows, values, _span(known))

    return Plot(title, note, words, 26.0 * len(rows) + 34, body)


def curve_plot(
    title: str,
    note: str,
    series: Sequence[Series],
    *,
    mark: float | None = None,
    mark_name: str = "suggested",
    levels: Sequence[tuple[str, float]] = (),
    axis: str = "training step",
    whole_steps: bool = True,
) -> Plot:
    """Return a plot of one or more curves with their intervals as bands.

    Args:
        title: what is shown.
        note: how to read it.
        series: the curves; a curve of one point is a dot with a bar.
        mark: a place on the axis that gets an upright line.
        mark_name: what stands at that line.
        levels: (name, value) of dashed lines from side to side, say the base model's.
        axis: what x is.
        whole_steps: the axis is marked at whole numbers only.

    Raises:
        ConfigError: no point, or one that is no finite number.
    """
    known = [y for one in series for y in one.y] + [value for _, value in levels]
    known += [y for one in series for y in (*one.low, *one.high) if y is not None]
    if not any(len(one.y) for one in series):
        raise ConfigError(f"The plot {title!r} has no point. Bring at least one.")
    _require_finite(title, [*known, *(x for one in series for x in one.x)])
    told = [(one.name, one.x[0], one.y[0], one.x[-1], one.y[-1]) for one in series if len(one.y)]
    words = "; ".join(
        f"{name}: {first:.4g} at {axis} {start:g}, {last:.4g} at {end:g}"
        for name, start, first, end, last in told
    )
    if mark is not None:
        words += f"; {mark_name}: {axis} {mark:g}"

    def body(paper: Paper) -> None:
        axes = _curve_axes(paper, series, levels, _span(known, tight=True), axis, whole_steps)
        for one, colour in zip(series, _colours(len(series)), strict=True):
            _draw_curve(axes, one, colour, edges=len(series) > 1)
        if mark is not None:
            axes.axvline(mark, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            _mark(paper, axes, mark, mark_name)

    return Plot(title, note, words, 230.0, body)


def _draw_intervals(
    paper: Paper,
    rows: Sequence[tuple[str, float, float | None, float | None]],
    values: Sequence[str],
    span: tuple[float, float],
) -> None:
    most = 0.4 * WIDTH
    names = [shortened(name, most, paper.width_of) for name, *_ in rows]
    left = MARGIN + max(paper.width_of(name, LETTERS) for name in names) + 14
    right = WIDTH - MARGIN - max(paper.width_of(value, LETTERS) for value in values) - 14
    bottom = 30.0
    axes = paper.axes(left, right, bottom, paper.free)
    axes.set_xlim(*span)
    axes.set_ylim(len(rows), 0)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(_locator(4 if right - left < 250 else 6))
    axes.grid(axis="x", color=RULE, linewidth=1)
    if span[0] < 0 < span[1]:
        axes.axvline(0, color=SOFT, linewidth=1, zorder=1)
    colour = _COLOURS[0]
    for place, (_, value, low, high) in enumerate(rows):
        middle = place + 0.5
        if low is not None and high is not None:
            axes.plot([low, high], [middle] * 2, color=colour, linewidth=2.5, alpha=0.55)
        axes.plot([value], [middle], "o", color=colour, markersize=7, clip_on=False)
        y = bottom + (len(rows) - middle) * (paper.free - bottom) / len(rows)
        paper.text(left - 14, y, names[place], ha="right", va="center_baseline")
        end = WIDTH - MARGIN
        paper.text(end, y, values[place], ha="right", va="center_baseline", colour=SOFT)


def _curve_axes(
    paper: Paper,
    series: Sequence[Series],
    levels: Sequence[tuple[str, float]],
    span: tuple[float, float],
    axis: str,
    whole_steps: bool,
) -> Axes:
    """Return axes of the right size with dashed levels and the names at the right edge."""
    labels = [(value, name, SOFT) for name, value in levels]
    if len(series) > 1:
        labels += [
            (one.y[-1], one.name, colour)
            for one, colour in zip(series, _colours(len(series)), strict=True)
            if len(one.y)
        ]
    labels = [
        (value, shortened(name, 0.3 * WIDTH, paper.width_of, SMALL), colour)
        for value, name, colour in labels
    ]
    room = max((paper.width_of(name, SMALL) for _, name, _ in labels), default=-6.0) + 8
    left, right, bottom, top = 58.0, WIDTH - MARGIN - max(room, 12.0), 42.0, paper.free - 20
    axes = paper.axes(left, right, bottom, top)
    axes.set_ylim(*span)
    places = sorted({x for one in series for x in one.x})
    pad = 0.03 * (places[-1] - places[0]) or 1.0
    axes.set_xlim(places[0] - pad, places[-1] + pad)
    if len(places) == 1:
        axes.set_xticks(places)
    else:
        axes.xaxis.set_major_locator(_locator(6, integer=whole_steps))
    axes.yaxis.set_major_locator(_locator(5))
    axes.grid(axis="y", color=RULE, linewidth=1)
    paper.text((left + right) / 2, 12, axis, size=SMALL, colour=SOFT, ha="center")
    for _, value in levels:
        axes.axhline(value, color=SOFT, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
    scale = (top - bottom) / (span[1] - span[0])
    wanted = [bottom + (value - span[0]) * scale for value, _, _ in labels]
    for y, (_, name, colour) in zip(_apart(wanted, SMALL * 1.25), labels, strict=True):
        paper.text(right + 6, y, name, size=SMALL, colour=colour, va="center_baseline")
    return axes


def _draw_curve(axes: Axes, one: Series, colour: str, *, edges: bool) -> None:
    """Draw a curve over its band; where bands may cover each other, with their edges."""
    if not len(one.y):
        return
    known = [
        (x, low, high)
        for x, low, high in zip(one.x, one.low, one.high, strict=False)
        if low is not None and high is not None
    ]
    if len(one.y) == 1:
        for x, low, high in known:
            axes.plot([x, x], [low, high], color=colour, linewidth=2.5, alpha=0.55)
    elif known:
        places, lows, highs = zip(*known, strict=True)
        shade = 0.08 if edges else 0.15
        axes.fill_between(places, lows, highs, color=colour, alpha=shade, linewidth=0)
        for ends in (lows, highs) if edges else ():
            axes.plot(places, ends, color=colour, linewidth=0.8, alpha=0.6, linestyle=(0, (2, 2)))
    marker = "o" if len(one.y) <= 12 else ""
    axes.plot(one.x, one.y, color=colour, linewidth=2, marker=marker, markersize=5)


def _mark(paper: Paper, axes: Axes, place: float, name: str) -> None:
    """Write a mark's name over its line, inside the figure."""
    name = shortened(name, 0.8 * WIDTH, paper.width_of, SMALL)
    box, (low, high) = axes.get_position(), axes.get_xlim()
    at = (box.x0 + (place - low) / (high - low) * box.width) * WIDTH
    half = paper.width_of(name, SMALL) / 2
    at = min(max(at, MARGIN + half), WIDTH - MARGIN - half)
    paper.text(at, box.y1 * paper.height + 8, name, size=SMALL, ha="center", va="bottom")


def _colours(count: int) -> list[str]:
    return [_COLOURS[place % len(_COLOURS)] for place in range(count)]


def _number(value: float, digits: int, *, signed: bool) -> str:
    """A number whose minus is a minus, and whose zero has no sign."""
    text = with_sign(value, digits) if signed else number(value, digits)
    return text.replace("-", "\N{MINUS SIGN}")


def _span(values: Sequence[float], *, tight: bool = False) -> tuple[float, float]:
    """Return the ends of an axis: all values with some room, and 0 where it is near."""
    low, high = min(values), max(values)
    across = high - low
    near = 0.5 if tight else 1.0
    if low > 0 and low <= near * across:
        low = 0.0
    if high < 0 and -high <= near * across:
        high = 0.0
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return (low if low == 0 and high > 0 else low - room), high + room


def _require_finite(title: str, values: Sequence[float]) -> None:
    if not values:
        raise ConfigError(f"The plot {title!r} has no row. Bring at least one.")
    if not all(math.isfinite(value) for value in values):
        raise ConfigError(
            f"The plot {title!r} has a value that is no finite number. Leave its row out."
        )


def _apart(wanted: Sequence[float], distance: float) -> list[float]:
    """Return places near the wanted ones, none nearer to another than `distance`."""
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    found = list(wanted)
    for below, above in pairwise(order):
        found[above] = max(found[above], found[below] + distance)
    if order:
        # They were only pushed up: half of the way of the highest is given back to all.
        back = (found[order[-1]] - wanted[order[-1]]) / 2
        found = [place - back for place in found]
    return found


def _locator(most: int, *, integer: bool = False) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=integer)
