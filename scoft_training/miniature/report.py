"""The sheet of pictures that people look at afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..files import write_aside
from ..generation import to_picture

__all__ = ["glance_sheet", "save_picture"]

_INK, _SOFT = "#1f2430", "#8a90a0"


def glance_sheet(
    columns: Sequence[str], rows: Sequence[tuple[str, str, Sequence[Tensor]]], *, zoom: int = 1
) -> Image.Image:
    """Return one picture: a column a prompt, a row a model, each row with a title and a note.

    Args:
        columns: what stands over each column.
        rows: (title, note, pictures (3, side, side) in [0, 1], one a column).
        zoom: every pixel is shown as zoom x zoom.
    """
    side = rows[0][2][0].shape[-1] * zoom
    title_font, font = ImageFont.load_default(side // 7), ImageFont.load_default(side // 10)
    gap, head, left = side // 12, side // 4, int(side * 1.75)
    width = left + len(columns) * (side + gap) + gap
    sheet = Image.new("RGB", (width, head + len(rows) * (side + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for index, column in enumerate(columns):
        middle = left + index * (side + gap) + side / 2
        draw.text((middle, head / 2), column, fill=_INK, font=title_font, anchor="mm")
    for number, (title, note, pictures) in enumerate(rows):
        top = head + number * (side + gap)
        draw.text((gap, top + side * 0.2), title, fill=_INK, font=title_font)
        lines = _wrapped(note, font, left - 2 * gap)
        draw.multiline_text((gap, top + side * 0.42), lines, fill=_SOFT, font=font, spacing=4)
        for index, image in enumerate(pictures):
            picture = to_picture(image).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(picture, (left + index * (side + gap), top))
    return sheet


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG aside and rename it."""
    write_aside(path, lambda aside: picture.save(aside, format="PNG", optimize=True))
