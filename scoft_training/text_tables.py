"""Numbers and columns as text: as many decimals as can be told, cells below each other.

Not here: plots, whose numbers have a true minus (`plots`), and pages' tables (`pages`).
"""

from __future__ import annotations

import math
import statistics
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["aligned", "decimals", "number", "ranged", "signed", "signed_range", "width"]

_MOST = 5
_WITHOUT_INTERVAL = 3
"""Decimals at most where nothing tells how sure a number is."""

_SURE = 3.55
"""An interval's half of 3.55 to 9.49 shows one digit, of 0.95 to 3.54 two."""


def decimals(values: Iterable[tuple[float, float | None, float | None]]) -> int:
    """Return how many decimals numbers that stand below each other are written with.

    The half-width of an interval keeps one or two digits: 286.22 +- 60 is 286, 30.21 +- 2 is 30.2,
    0.65012 +- 0.013 is 0.650. Of several intervals the middle one decides. Source: the rounding
    rule of the Particle Data Group, Review of Particle Physics, section 5.3. Without any interval
    the largest number has three digits.

    Args:
        values: (value, low, high), the ends None where no interval is known; may be empty.

    Returns:
        0 to 5; 2 for no value.
    """
    known = list(values)
    halves = [(high - low) / 2 for _, low, high in known if low is not None and high is not None]
    # Equal pictures or captions make an interval without width, or one of rounding errors.
    if found := [half for half in halves if half > 10 ** -(_MOST + 2)]:
        return _bounded(-math.floor(math.log10(statistics.median_low(found) / _SURE)), _MOST)
    largest = max((abs(value) for value, _, _ in known), default=0.0)
    power = math.floor(math.log10(largest)) if largest > 0 else 0
    return _bounded(2 - power, _WITHOUT_INTERVAL)


def number(value: float | None, digits: int) -> str:
    """Return a number with so many decimals; a dash for None, and 0 without a sign."""
    if value is None:
        return "-"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def signed(value: float, digits: int) -> str:
    """Return a difference with its sign; 0 has none."""
    text = number(value, digits)
    return f"+{text}" if float(text) > 0 else text


def signed_range(low: float, high: float, digits: int) -> str:
    """Return the interval of a difference as `+0.00 to +0.11`.

    An end just beside 0 keeps its sign, which tells whether the interval reaches 0.
    """
    return " to ".join(f"{end:+.{digits}f}" if end else number(0.0, digits) for end in (low, high))


def ranged(value: float, low: float | None, high: float | None, digits: int) -> str:
    """Return a value with its interval as `30.2 (28.0 to 33.1)`, or alone where there is none."""
    text = number(value, digits)
    if low is None or high is None:
        return text
    return f"{text} ({number(low, digits)} to {number(high, digits)})"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines whose columns stand below each other.

    Args:
        rows: equally many cells each; none makes no line.
    """
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell + " " * (most - width(cell)) for cell, most in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def width(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF")
        for one in text
    )


def _bounded(digits: int, most: int) -> int:
    return max(0, min(most, digits))
