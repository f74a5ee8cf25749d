"""Colours of fields that numbers stand on, told apart with any colour vision and without colours.

One colour's scale goes from pale to dark, so lightness alone tells its order; the scale of two
colours goes from orange by grey to blue, which no common colour blindness confuses.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["MISSING", "ink_on", "one_colour", "two_colours"]

MISSING = "#ececef"
"""Of a field without a number."""

_ONE = ("#e4eef7", "#a9cbe6", "#5b9bcb", "#1f6aa5", "#0a3d6b")
_TWO = ("#a04a00", "#e08a3c", "#f6d9ba", "#f3f3f3", "#bcd7ec", "#4f94c7", "#0b4f86")


def one_colour(share: float) -> str:
    """Return a blue, as #rrggbb.

    Args:
        share: in [0, 1], 0 palest; beyond it the nearer end is meant.
    """
    return _between(_ONE, share)


def two_colours(share: float) -> str:
    """Return a colour from orange to blue, as #rrggbb.

    Args:
        share: in [0, 1], 0.5 neither; beyond it the nearer end is meant.
    """
    return _between(_TWO, share)


def ink_on(colour: str) -> str:
    """Return black or white, whichever is read better: their contrast is 4.58 : 1 or more.

    Source: relative luminance and contrast as in WCAG 2.2.

    Args:
        colour: of the field, as #rrggbb.
    """
    red, green, blue = (_linear(one / 255) for one in _parts(colour))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    # White's contrast is 1.05 / (L + 0.05), black's (L + 0.05) / 0.05.
    return "#ffffff" if (luminance + 0.05) ** 2 < 1.05 * 0.05 else "#000000"


def _linear(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def _between(stops: Sequence[str], share: float) -> str:
    at = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    first = min(int(at), len(stops) - 2)
    pairs = zip(_parts(stops[first]), _parts(stops[first + 1]), strict=True)
    mixed = (round(low + (at - first) * (high - low)) for low, high in pairs)
    return "#" + "".join(f"{one:02x}" for one in mixed)


def _parts(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue
