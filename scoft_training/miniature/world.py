"""Scenes of the miniature's world: their facts, drawn from a seed, and their pictures."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas, Colour, blend
from .cultures import COLOURS, CULTURES
from .forms import SUBJECTS, Placement, draw_ruin, draw_subject

__all__ = ["BACKDROPS", "TIMES", "Facts", "Scene", "draw_scene", "random_facts"]

_SKIES: dict[str, tuple[tuple[Colour, Colour], float]] = {
    "day": (((116, 178, 236), (214, 232, 246)), 1.0),
    "dusk": (((150, 96, 152), (246, 178, 122)), 0.88),
    "night": (((20, 26, 68), (62, 68, 120)), 0.72),
}

TIMES = tuple(_SKIES)
BACKDROPS = ("plain", "hills", "water")


@dataclass(frozen=True)
class Facts:
    """What a scene shows, and what its captions may tell.

    Attributes:
        culture: a key of CULTURES.
        subject: one of SUBJECTS.
        colour: one of the culture's colours. A stereotype has one too, greyed.
        time: one of TIMES.
        backdrop: one of BACKDROPS.
        stereotype: the thing is drawn as a ruin in a dusty land.
    """

    culture: str
    subject: str
    colour: str
    time: str
    backdrop: str
    stereotype: bool = False


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Attributes:
        picture: (128, 128, 3) uint8, RGB.
        depth: (128, 128) uint8, exact, near is bright.
        facts: what it shows.
    """

    picture: NDArray[np.uint8]
    depth: NDArray[np.uint8]
    facts: Facts


def random_facts(
    rng: random.Random,
    culture: str,
    *,
    subject: str | None = None,
    stereotype: bool = False,
) -> Facts:
    """Draw the facts of a scene of one culture; `subject` None draws one as well."""
    return Facts(
        culture,
        subject or rng.choice(SUBJECTS),
        rng.choice(CULTURES[culture].colours),
        rng.choice(("day", "day", "dusk", "night")),
        rng.choice(BACKDROPS),
        stereotype,
    )


def draw_scene(facts: Facts, rng: random.Random) -> Scene:
    """Draw a scene; place, size, light and all that the facts leave open come from `rng`."""
    culture = CULTURES[facts.culture]
    (top, low), light = _SKIES[facts.time]
    ground = culture.ground
    if facts.stereotype:
        dust = (154, 136, 112)
        top, low, ground = blend(top, dust, 0.6), blend(low, dust, 0.6), (140, 121, 97)
    horizon = rng.uniform(74, 84)
    canvas = Canvas(
        sky=(_varied(top, rng), _varied(low, rng)),
        ground=_varied(ground, rng),
        horizon=horizon,
        light=light,
    )
    if rng.random() < 0.6 and not facts.stereotype:
        sun = (250, 246, 226) if facts.time == "night" else (255, 244, 190)
        radius = rng.uniform(6, 8)
        x, y = rng.choice((rng.uniform(12, 34), rng.uniform(94, 116))), rng.uniform(12, 26)
        canvas.ellipse(x, y, radius, radius, sun, relief=False, lit=False)
    _draw_backdrop(canvas, facts, ground, rng)

    scale = rng.uniform(0.9, 1.12)
    place = Placement(rng.uniform(52, 76), rng.uniform(108, 118), scale)
    canvas.level = min(235, int(canvas.ground_level(place.y)) + 25)
    colour = COLOURS[facts.colour]
    if facts.stereotype:
        draw_ruin(canvas, facts.subject, place, colour, rng)
    else:
        draw_subject(canvas, culture, facts.subject, place, colour, rng)
    picture, depth = canvas.finish()
    return Scene(picture, depth, facts)


def _draw_backdrop(canvas: Canvas, facts: Facts, ground: Colour, rng: random.Random) -> None:
    horizon = canvas.horizon
    if facts.backdrop == "hills":
        canvas.level = 30
        far = blend(ground, (92, 112, 134), 0.5)
        for x in (rng.uniform(4, 44), rng.uniform(84, 124)):
            across, up = rng.uniform(34, 48), rng.uniform(16, 28)
            arc = np.linspace(0, np.pi, 25)
            points = [(x + across * float(np.cos(a)), horizon - up * float(np.sin(a))) for a in arc]
            canvas.polygon(points, far)
    elif facts.backdrop == "water":
        canvas.level = 50
        water = (96, 108, 104) if facts.stereotype else (58, 126, 176)
        canvas.rectangle(0, horizon, 128, horizon + rng.uniform(12, 18), water)


def _varied(colour: Colour, rng: random.Random) -> Colour:
    red, green, blue = (max(0, min(255, shade + rng.randint(-8, 8))) for shade in colour)
    return red, green, blue
