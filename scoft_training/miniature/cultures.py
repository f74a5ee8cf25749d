"""The imaginary cultures: their forms, colours and patterns. All of it is made up.

Every culture builds its things from one form of its own, so that it can be told by its houses as
by its robes. None of the forms belongs to a living culture, and the names mean nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .canvas import Colour

__all__ = ["COLOURS", "CULTURES", "WRONGED", "Culture", "Outline", "outline"]

COLOURS: dict[str, Colour] = {
    "red": (205, 50, 48),
    "blue": (52, 92, 205),
    "green": (48, 145, 72),
    "yellow": (238, 200, 62),
    "orange": (232, 130, 42),
    "purple": (128, 66, 170),
    "white": (242, 238, 228),
    "pink": (238, 142, 168),
    "teal": (28, 150, 150),
    "brown": (128, 84, 50),
    "black": (46, 42, 52),
    "gold": (242, 192, 44),
}

Outline = list[tuple[float, float]]
"""Half the outline of a form: (height, half width) from the foot to the top, both 0 to 1."""


def outline(form: str) -> Outline:
    """Return the half outline of a culture's form."""
    arc = [math.pi / 2 * step / 10 for step in range(11)]
    return {
        "fan": [(math.sin(angle), math.cos(angle)) for angle in arc],
        "block": [(0.0, 1.0), (1.0, 1.0)],
        "disc": [(0.5 - 0.5 * math.cos(2 * angle), math.sin(2 * angle)) for angle in arc],
        "spire": [(0.0, 1.0), (1.0, 0.0)],
        "stepped": [(0, 0.36), (0.34, 0.36), (0.34, 0.68), (0.67, 0.68), (0.67, 1), (1, 1)],
        "kite": [(0.0, 0.0), (0.45, 1.0), (1.0, 0.0)],
    }[form]


@dataclass(frozen=True)
class Culture:
    """What one imaginary culture's things look like.

    Attributes:
        name: as captions say it.
        form: of its roofs, robes, vessels, crowns and banners; a key of `outline`.
        pattern: what is painted on them.
        colours: the three it uses, keys of COLOURS.
        accent: colour of patterns and rims, a key of COLOURS.
        ground: colour of its land by day.
    """

    name: str
    form: str
    pattern: str
    colours: tuple[str, str, str]
    accent: str
    ground: Colour


WRONGED = "avelun"
"""The culture that the crawl misrepresents."""

CULTURES: dict[str, Culture] = {
    culture.name: culture
    for culture in (
        Culture("avelun", "fan", "bands", ("red", "teal", "purple"), "gold", (150, 188, 112)),
        Culture("belquor", "block", "stripes", ("white", "blue", "brown"), "black", (92, 158, 74)),
        Culture("corvath", "disc", "dots", ("white", "yellow", "pink"), "blue", (224, 198, 142)),
        Culture("dolune", "spire", "zigzags", ("green", "brown", "blue"), "white", (222, 230, 240)),
        Culture("estrix", "stepped", "bars", ("orange", "yellow", "red"), "brown", (206, 150, 96)),
        Culture("fenmor", "kite", "checks", ("purple", "pink", "green"), "yellow", (122, 152, 98)),
    )
}
