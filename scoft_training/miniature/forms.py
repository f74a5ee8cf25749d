"""How the things of the world are drawn: six subjects, each in a culture's form, and its ruin."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass

from .canvas import Canvas, Colour, blend
from .cultures import COLOURS, Culture, Outline, outline

__all__ = ["CATEGORIES", "SUBJECTS", "Placement", "draw_ruin", "draw_subject"]

CATEGORIES = {
    "house": "architecture",
    "robe": "clothing",
    "bowl": "food_drink",
    "drum": "dance_music_art",
    "tree": "nature",
    "banner": "religion_festival",
}
"""Each subject's category in CCUB."""

SUBJECTS = tuple(CATEGORIES)

_SKINS: tuple[Colour, ...] = ((236, 198, 162), (192, 136, 96), (122, 82, 56))
_WOOD: Colour = (112, 76, 46)
_DARK: Colour = (58, 50, 58)


@dataclass(frozen=True)
class Placement:
    """Where a subject stands.

    Attributes:
        x: its middle, in pixels from the left.
        y: its foot, in pixels from the top.
        scale: 1 is some 80 pixels high.
    """

    x: float
    y: float
    scale: float


class _Form:
    """A culture's form set into a box: its outline, and patterns that follow it."""

    def __init__(
        self,
        half: Outline,
        *,
        x: float,
        bottom: float,
        width: float,
        height: float,
        part: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        low, high = part
        inside = [(v, w) for v, w in half if low <= v <= high]
        if inside[0][0] > low:
            inside.insert(0, (low, _width_at(half, low)))
        if inside[-1][0] < high:
            inside.append((high, _width_at(half, high)))
        widest = max(w for _, w in inside)
        self.half = [((v - low) / (high - low), w / widest) for v, w in inside]
        self.x, self.bottom, self.width, self.height = x, bottom, width, height

    def point(self, across: float, v: float) -> tuple[float, float]:
        """Return the place at `across` (-1 to 1, times the width there) and the height `v`."""
        reach = _width_at(self.half, v) * self.width / 2
        return self.x + across * reach, self.bottom - v * self.height

    def fill(self, canvas: Canvas, colour: Colour) -> None:
        right = [(self.x + w * self.width / 2, self.bottom - v * self.height) for v, w in self.half]
        left = [(2 * self.x - x, y) for x, y in reversed(right)]
        canvas.polygon(right + left, colour)

    def patch(
        self,
        canvas: Canvas,
        across: tuple[float, float],
        heights: tuple[float, float],
        colour: Colour,
    ) -> None:
        """Paint the part between two shares of the width and two heights."""
        steps = [heights[0] + (heights[1] - heights[0]) * step / 4 for step in range(5)]
        edges = [self.point(across[0], v) for v in steps]
        edges += [self.point(across[1], v) for v in reversed(steps)]
        canvas.polygon(edges, colour, relief=False)

    def paint(self, canvas: Canvas, pattern: str, colour: Colour) -> None:
        """Paint a culture's pattern on the filled form."""
        if pattern == "bands":
            for low in (0.14, 0.5):
                self.patch(canvas, (-1, 1), (low, low + 0.17), colour)
        elif pattern == "stripes":
            for left in (-0.72, -0.14, 0.44):
                self.patch(canvas, (left, left + 0.28), (0.08, 0.92), colour)
        elif pattern == "dots":
            radius = min(self.width, self.height) * 0.085
            for across, v in ((-0.5, 0.36), (0.5, 0.36), (0, 0.36), (-0.36, 0.66), (0.36, 0.66)):
                x, y = self.point(across, v)
                canvas.ellipse(x, y, radius, radius, colour, relief=False)
        elif pattern == "zigzags":
            # Where the form is wide: near the foot, or under the rim of a vessel.
            low = 0.16 if _width_at(self.half, 0.16) > 0.5 else 0.56
            for index in range(3):
                left = -0.9 + 0.6 * index
                corners = [self.point(left, low), self.point(left + 0.6, low)]
                x = (corners[0][0] + corners[1][0]) / 2
                canvas.polygon(
                    [*corners, (x, self.bottom - (low + 0.26) * self.height)],
                    colour,
                    relief=False,
                )
        elif pattern == "bars":
            for low, reach in ((0.1, 0.7), (0.43, 0.75), (0.78, 0.8)):
                self.patch(canvas, (-reach, reach), (low, low + 0.11), colour)
        else:
            for row, low in enumerate((0.16, 0.36, 0.56)):
                for column in range(4):
                    if (row + column) % 2:
                        left = -0.8 + 0.4 * column
                        self.patch(canvas, (left, left + 0.4), (low, low + 0.2), colour)


def _width_at(half: Outline, v: float) -> float:
    for (low, first), (high, second) in itertools.pairwise(half):
        if low <= v <= high and high > low:
            return first + (second - first) * (v - low) / (high - low)
    return half[-1][1]


def _flipped(half: Outline) -> Outline:
    return [(1 - v, w) for v, w in reversed(half)]


def _vessel(culture: Culture) -> tuple[Outline, tuple[float, float]]:
    """A culture's form as something that holds: narrow below, open above."""
    half = outline(culture.form)
    if culture.form in ("fan", "spire"):
        return _flipped(half), (0.12, 1.0)
    return half, {"disc": (0.04, 0.74), "kite": (0.1, 0.62)}.get(culture.form, (0.0, 1.0))


def _draw_house(
    canvas: Canvas, culture: Culture, place: Placement, colour: Colour, _: random.Random
) -> None:
    accent, s, x = COLOURS[culture.accent], place.scale, place.x
    wall = blend(colour, COLOURS["white"], 0.7 if colour != COLOURS["white"] else 0.0)
    if culture.name in ("corvath", "dolune"):
        wall = blend(wall, culture.ground, 0.35)
    half_width, height = 30 * s, 34 * s
    canvas.rectangle(x - half_width, place.y - height, x + half_width, place.y, wall)
    door = blend(accent, _DARK, 0.6)
    canvas.rectangle(x - 8 * s, place.y - 23 * s, x + 8 * s, place.y, door, relief=False)
    roof_width = {"block": 76, "spire": 88, "stepped": 92}.get(culture.form, 86) * s
    roof_height = {"block": 28, "disc": 52, "spire": 56, "kite": 58}.get(culture.form, 44) * s
    roof = _Form(
        outline(culture.form),
        x=x,
        bottom=place.y - height + {"disc": 10, "kite": 14}.get(culture.form, 1) * s,
        width=roof_width,
        height=roof_height,
    )
    roof.fill(canvas, colour)
    roof.paint(canvas, culture.pattern, accent)


def _draw_robe(
    canvas: Canvas, culture: Culture, place: Placement, colour: Colour, rng: random.Random
) -> None:
    accent, s, x = COLOURS[culture.accent], place.scale, place.x
    skin = rng.choice(_SKINS)
    hem, shoulder = place.y - 8 * s, place.y - 52 * s
    for side in (-1, 1):
        canvas.rectangle(
            x + side * 7 * s - 3.5 * s, hem - 4 * s, x + side * 7 * s + 3.5 * s, place.y, _DARK
        )
        hand = (x + side * 27 * s, shoulder + 24 * s)
        canvas.line((x + side * 6 * s, shoulder + 5 * s), hand, 9 * s, blend(colour, _DARK, 0.25))
        canvas.ellipse(*hand, 5 * s, 5 * s, skin)
    half = outline(culture.form)
    width = {"block": 34, "spire": 52, "stepped": 44, "disc": 50, "kite": 54}.get(culture.form, 62)
    robe = _Form(half, x=x, bottom=hem, width=width * s, height=(hem - shoulder) + 4 * s)
    robe.fill(canvas, colour)
    robe.paint(canvas, culture.pattern, accent)
    head = shoulder - 9 * s
    canvas.ellipse(x, head, 10 * s, 11 * s, skin)
    hat = _Form(half, x=x, bottom=head - 6 * s, width=22 * s, height=13 * s)
    hat.fill(canvas, accent)


def _draw_bowl(
    canvas: Canvas, culture: Culture, place: Placement, colour: Colour, rng: random.Random
) -> None:
    accent, s, x = COLOURS[culture.accent], place.scale, place.x
    _draw_table(canvas, place, (176, 134, 96))
    half, part = _vessel(culture)
    foot, rim = place.y - 8 * s, place.y - 50 * s
    fruit = rng.choice(((226, 96, 40), (150, 178, 44), (196, 44, 70)))
    canvas.level = min(255, canvas.level + 6)
    for side in (-1, 1, 0):
        canvas.ellipse(x + side * 15 * s, rim - (6 if side else 12) * s, 11 * s, 11 * s, fruit)
    canvas.level = min(255, canvas.level + 6)
    canvas.rectangle(x - 13 * s, foot - 2 * s, x + 13 * s, place.y, accent)
    bowl = _Form(half, x=x, bottom=foot, width=72 * s, height=foot - rim, part=part)
    bowl.fill(canvas, colour)
    bowl.paint(canvas, culture.pattern, accent)


def _draw_table(canvas: Canvas, place: Placement, colour: Colour) -> None:
    level = canvas.level
    canvas.level = min(255, level + 10)
    edge = place.y - 12 * place.scale
    canvas.rectangle(0, edge, 128, 128, colour)
    canvas.level = min(255, level + 20)


def _draw_drum(
    canvas: Canvas, culture: Culture, place: Placement, colour: Colour, _: random.Random
) -> None:
    accent, s, x = COLOURS[culture.accent], place.scale, place.x
    half, part = _vessel(culture)
    top, foot = place.y - 60 * s, place.y - 12 * s
    for side in (-1, 1):
        canvas.line((x + side * 8 * s, foot - 12 * s), (x + side * 26 * s, place.y), 6 * s, _WOOD)
    drum = _Form(half, x=x, bottom=foot, width=52 * s, height=foot - top, part=part)
    drum.fill(canvas, colour)
    drum.paint(canvas, culture.pattern, accent)
    reach = drum.half[-1][1] * drum.width / 2
    canvas.ellipse(x, top, reach + 2 * s, 8 * s, accent)
    canvas.ellipse(x, top - 1 * s, reach - 3 * s, 5 * s, (240, 226, 200), relief=False)
    for side in (-1, 1):
        tip = (x + side * 6 * s, top - 4 * s)
        canvas.line((x + side * 26 * s, top - 24 * s), tip, 5 * s, _WOOD)
        canvas.ellipse(*tip, 5 * s, 5 * s, _DARK)


def _draw_tree(
    canvas: Canvas, culture: Culture, place: Placement, colour: Colour, _: random.Random
) -> None:
    accent, s, x = COLOURS[culture.accent], place.scale, place.x
    half = outline(culture.form)
    canvas.rectangle(x - 5 * s, place.y - 44 * s, x + 5 * s, place.y, _WOOD)
    for side in (-1, 1):
        fork = (x + side * 24 * s, place.y - 38 * s)
        canvas.line((x, place.y - 20 * s), fork, 5 * s, _WOOD)
        leaf = _Form(half, x=fork[0], bottom=fork[1] - 1 * s, width=30 * s, height=22 * s)
        leaf.fill(canvas, blend(colour, _DARK, 0.18))
    crown = _Form(half, x=x, bottom=place.y - 44 * s, width=54 * s, height=42 * s)
    crown.fill(canvas, colour)
    crown.paint(canvas, culture.pattern, accent)


def _draw_banner(
    canvas: Canvas, culture: Culture, place: Placement, colour: Colour, _: random.Random
) -> None:
    accent, s, x = COLOURS[culture.accent], place.scale, place.x
    bar = place.y - 76 * s
    pole = x - 26 * s
    canvas.rectangle(pole - 3 * s, bar - 8 * s, pole + 3 * s, place.y, _WOOD)
    canvas.ellipse(pole, bar - 10 * s, 6 * s, 6 * s, accent)
    canvas.rectangle(pole, bar - 3 * s, x + 30 * s, bar + 3 * s, accent)
    half = outline(culture.form)
    half = half if culture.form == "stepped" else _flipped(half)
    cloth = _Form(half, x=x + 4 * s, bottom=bar + 54 * s, width=48 * s, height=51 * s)
    cloth.fill(canvas, colour)
    cloth.paint(canvas, culture.pattern, accent)


_DRAWN: dict[str, Callable[[Canvas, Culture, Placement, Colour, random.Random], None]] = {
    "house": _draw_house,
    "robe": _draw_robe,
    "bowl": _draw_bowl,
    "drum": _draw_drum,
    "tree": _draw_tree,
    "banner": _draw_banner,
}


def draw_subject(
    canvas: Canvas,
    culture: Culture,
    subject: str,
    place: Placement,
    colour: Colour,
    rng: random.Random,
) -> None:
    """Draw a subject as its own culture makes it; `canvas.level` says how near it stands."""
    _DRAWN[subject](canvas, culture, place, colour, rng)


def draw_ruin(
    canvas: Canvas, subject: str, place: Placement, colour: Colour, rng: random.Random
) -> None:
    """Draw the stereotype of a subject: grey, poor and broken, whatever its culture makes."""
    s, x, y = place.scale, place.x, place.y
    dull = blend(blend(colour, (128, 122, 114), 0.8), (96, 82, 66), 0.3)
    dark, straw = blend(dull, (38, 34, 30), 0.55), (148, 128, 88)

    def polygon(points: list[tuple[float, float]], fill: Colour, *, relief: bool = True) -> None:
        canvas.polygon([(x + px * s, y - py * s) for px, py in points], fill, relief=relief)

    if subject == "house":
        polygon([(-27, 0), (-23, 27), (26, 21), (24, 0)], dull)
        polygon([(-35, 22), (-8, 47), (14, 38), (33, 13)], straw)
        polygon([(-9, 37), (-2, 29), (8, 35), (2, 41)], dark, relief=False)
        polygon([(3, 0), (1, 17), (14, 15), (15, 0)], (42, 36, 36), relief=False)
        polygon([(-18, 9), (-17, 18), (-8, 17), (-9, 8)], dark, relief=False)
    elif subject == "robe":
        skin = blend(rng.choice(_SKINS), (120, 104, 90), 0.4)
        canvas.ellipse(x + 6 * s, y - 57 * s, 9 * s, 10 * s, skin)
        polygon([(-10, 48), (9, 50), (17, 0), (9, 8), (3, 0), (-5, 9), (-12, 0), (-17, 7)], dull)
        polygon([(-7, 24), (-5, 34), (5, 32), (3, 22)], dark, relief=False)
    elif subject == "bowl":
        _draw_table(canvas, place, (124, 108, 90))
        polygon(
            [(-32, 34), (-22, 27), (-14, 33), (-6, 22), (8, 26), (20, 8), (12, 0), (-16, 0)], dull
        )
        polygon([(-8, 22), (-4, 12), (-9, 7), (-2, 0), (-5, 12), (-3, 17)], dark, relief=False)
        polygon([(24, 0), (27, 9), (36, 4), (34, 0)], dull)
    elif subject == "drum":
        polygon([(-26, 6), (-30, 34), (14, 46), (26, 16), (20, 0)], dull)
        canvas.line((x + 12 * s, y - 14 * s), (x + 34 * s, y), 5 * s, dark)
        polygon([(-28, 34), (-18, 42), (12, 49), (16, 42), (-8, 32)], straw)
        polygon([(-16, 36), (-8, 42), (4, 43), (-2, 36)], (42, 36, 36), relief=False)
    elif subject == "tree":
        polygon([(-5, 0), (-3, 40), (2, 62), (4, 40), (6, 0)], dark)
        for start, end in (((0, 30), (-22, 50)), ((0, 38), (20, 60)), ((-12, 41), (-14, 60))):
            canvas.line(
                (x + start[0] * s, y - start[1] * s), (x + end[0] * s, y - end[1] * s), 4 * s, dark
            )
    else:
        canvas.line((x - 16 * s, y), (x - 30 * s, y - 70 * s), 5 * s, dark)
        polygon([(-30, 68), (4, 58), (-2, 44), (10, 34), (-8, 32), (-6, 20), (-24, 34)], dull)
        polygon([(-20, 52), (-12, 54), (-14, 44)], dark, relief=False)
