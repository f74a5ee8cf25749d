"""A canvas that paints a picture and its depth with the same strokes.

Colours and shapes are the caller's; see `forms` for what is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["SIZE", "Canvas", "Colour", "blend"]

SIZE = 128
"""Side of a picture of the miniature's world, in pixels."""

# Drawn at twice the size and averaged down: smooth edges.
_SCALE = 2

Colour = tuple[int, int, int]
Point = tuple[float, float]


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour `share` (0 to 1) of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


class Canvas:
    """A square of SIZE x SIZE pixels, origin top left, painted from back to front.

    Every stroke goes onto the picture, in its colour under the scene's light, and onto the depth
    map at the current `level`; a stroke with `relief=False` is paint on what is there already.

    Attributes:
        level: depth of the following strokes, 0 (far) to 255 (near), as MiDaS has it.
    """

    def __init__(
        self, *, sky: tuple[Colour, Colour], ground: Colour, horizon: float, light: float
    ) -> None:
        """Begin with a sky, a ground that comes nearer towards the lower edge, and nothing else.

        Args:
            sky: colour at the top and at the horizon, not dimmed by `light`.
            ground: its colour by day.
            horizon: height of the ground's far edge, in pixels from the top.
            light: all colours but the sky's are multiplied by it, 0 to 1.
        """
        self.light = light
        self.horizon = horizon
        self.level = 0
        side, edge = SIZE * _SCALE, round(horizon * _SCALE)
        down = np.linspace(0, 1, side)[:, None]
        rows = np.array(sky[0]) * (1 - down) + np.array(sky[1]) * down
        nearer = np.linspace(0, 1, side - edge)
        rows[edge:] = np.array(ground) * light * (1.06 - 0.2 * nearer[:, None])
        depth = np.zeros(side)
        depth[edge:] = self.ground_level(horizon + nearer * (SIZE - horizon))
        pixels = np.broadcast_to(rows[:, None].clip(0, 255).astype(np.uint8), (side, side, 3))
        self._picture = Image.fromarray(pixels)
        self._depth = Image.fromarray(
            np.ascontiguousarray(np.broadcast_to(depth[:, None].astype(np.uint8), (side, side)))
        )
        self._paint = ImageDraw.Draw(self._picture)
        self._carve = ImageDraw.Draw(self._depth)

    def ground_level(self, y: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the depth of the ground at the height `y`, a pixel from the top."""
        return np.asarray(40 + 140 * (np.asarray(y) - self.horizon) / (SIZE - self.horizon))

    def polygon(self, points: Sequence[Point], colour: Colour, *, relief: bool = True) -> None:
        """Fill a polygon; the points are (x, y) in pixels."""
        corners = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._paint.polygon(corners, fill=blend((0, 0, 0), colour, self.light))
        if relief:
            self._carve.polygon(corners, fill=self.level)

    def rectangle(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Colour,
        *,
        relief: bool = True,
    ) -> None:
        """Fill an upright rectangle."""
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self.polygon(corners, colour, relief=relief)

    def ellipse(
        self,
        x: float,
        y: float,
        across: float,
        up: float,
        colour: Colour,
        *,
        relief: bool = True,
        lit: bool = True,
    ) -> None:
        """Fill an ellipse about (x, y) with these half axes; `lit=False` ignores the light."""
        box = [(x - across) * _SCALE, (y - up) * _SCALE, (x + across) * _SCALE, (y + up) * _SCALE]
        self._paint.ellipse(box, fill=blend((0, 0, 0), colour, self.light) if lit else colour)
        if relief:
            self._carve.ellipse(box, fill=self.level)

    def line(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        """Draw a bar of this width from one point to the other."""
        (x0, y0), (x1, y1) = start, end
        length = max(1e-6, float(np.hypot(x1 - x0, y1 - y0)))
        across, down = -(y1 - y0) / length * width / 2, (x1 - x0) / length * width / 2
        self.polygon(
            [
                (x0 + across, y0 + down),
                (x1 + across, y1 + down),
                (x1 - across, y1 - down),
                (x0 - across, y0 - down),
            ],
            colour,
        )

    def finish(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the picture (SIZE, SIZE, 3) and the depth (SIZE, SIZE), both uint8."""
        return (
            np.asarray(self._picture.reduce(_SCALE)),
            np.asarray(self._depth.reduce(_SCALE)),
        )
