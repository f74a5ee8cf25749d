"""Draws docs/icon.png: drawings move away from the empty ring of a stereotype to what is full.

    python scripts/draw_icon.py

The ring is a negative, the disc a right picture, the dots the model's own drawings between them.
"""

from pathlib import Path

from PIL import Image, ImageDraw

SIDE = 400
SCALE = 4
GROUND, RING, DISC = (27, 34, 56), (122, 132, 158), (244, 178, 62)
DOTS = (((0.40, 0.60), 0.030), ((0.475, 0.525), 0.042), ((0.565, 0.435), 0.056))


def draw_icon() -> Image.Image:
    """Return the icon, 400 x 400; drawn larger and shrunk, which smooths its edges."""
    side = SIDE * SCALE
    picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)

    def circle(x: float, y: float, radius: float, **style: object) -> None:
        box = [(value * side) for value in (x - radius, y - radius, x + radius, y + radius)]
        pen.ellipse(box, **style)

    pen.rounded_rectangle([0, 0, side - 1, side - 1], radius=side * 0.2, fill=GROUND)
    circle(0.27, 0.73, 0.145, outline=RING, width=round(side * 0.035))
    circle(0.70, 0.30, 0.195, fill=DISC)
    for (x, y), radius in DOTS:
        circle(x, y, radius, fill=(255, 255, 255))
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    target = Path(__file__).parents[1] / "docs" / "icon.png"
    draw_icon().save(target, optimize=True)
    print(target)
