"""What people look at afterwards: the sheet of pictures, plots, and one self-contained page."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..files import write_aside
from ..generation import to_picture
from ..intervals import Interval

__all__ = [
    "dot_plot",
    "glance_sheet",
    "line_plot",
    "page",
    "picture_tag",
    "save_picture",
    "table",
]

_INK, _SOFT, _ACCENT = "#1f2430", "#8a90a0", "#b4322f"


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


def dot_plot(title: str, note: str, rows: Sequence[tuple[str, Interval]], *, digits: int) -> str:
    """Return an SVG with one row a model: a dot at the mean, a bar over the interval.

    The axis begins at 0, or below where a value does.
    """
    left, right, line, top = 120, 90, 26, 58
    width, height = 560, top + line * len(rows) + 34
    low = min(0.0, *(row.mean - row.half_width for _, row in rows))
    high = max(row.mean + row.half_width for _, row in rows) or 1.0
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - right)

    parts = [
        f'<text x="8" y="22" font-size="16" font-weight="600">{html.escape(title)}</text>',
        f'<text x="8" y="40" font-size="12" fill="{_SOFT}">{html.escape(note)}</text>',
    ]
    bottom = top + line * len(rows)
    for tick in ticks:
        parts.append(
            f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 6}" y2="{bottom}" '
            'stroke="#e4e6ec"/>'
            f'<text x="{x(tick):.1f}" y="{bottom + 16}" font-size="11" fill="{_SOFT}" '
            f'text-anchor="middle">{tick:g}</text>'
        )
    for index, (name, row) in enumerate(rows):
        y = top + line * (index + 0.5)
        parts.append(
            f'<text x="{left - 10}" y="{y + 4:.1f}" font-size="13" text-anchor="end">'
            f"{html.escape(name)}</text>"
            f'<line x1="{x(row.mean - row.half_width):.1f}" x2="{x(row.mean + row.half_width):.1f}"'
            f' y1="{y:.1f}" y2="{y:.1f}" stroke="{_ACCENT}" stroke-width="2.5"/>'
            f'<circle cx="{x(row.mean):.1f}" cy="{y:.1f}" r="5" fill="{_ACCENT}"/>'
            f'<text x="{width - right + 12}" y="{y + 4:.1f}" font-size="12" fill="{_SOFT}">'
            f"{row.mean:.{digits}f}</text>"
        )
    return _svg(width, height, parts, title)


def line_plot(title: str, note: str, series: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Return an SVG with one line a series over its index, all on one axis from 0."""
    left, top, width, height = 50, 58, 560, 250
    colours = (_ACCENT, "#2f6db4", "#3d8b4f", "#8a5bb0", "#b07a2a")
    high = max((max(values) for _, values in series if values), default=1.0) or 1.0
    parts = [
        f'<text x="8" y="22" font-size="16" font-weight="600">{html.escape(title)}</text>',
        f'<text x="8" y="40" font-size="12" fill="{_SOFT}">{html.escape(note)}</text>',
    ]
    for tick in _ticks(0, high):
        y = height - 30 - tick / high * (height - 30 - top)
        if y < top - 10:
            continue
        parts.append(
            f'<line x1="{left}" x2="{width - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e6ec"/>'
            f'<text x="{left - 8}" y="{y + 4:.1f}" font-size="11" fill="{_SOFT}" '
            f'text-anchor="end">{tick:g}</text>'
        )
    for index, (name, values) in enumerate(series):
        colour = colours[index % len(colours)]
        step = (width - 20 - left) / max(1, len(values) - 1)
        points = " ".join(
            f"{left + i * step:.1f},{height - 30 - value / high * (height - 30 - top):.1f}"
            for i, value in enumerate(values)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{left + 110 * index}" y="{height - 8}" font-size="12" fill="{colour}">'
            f"{html.escape(name)}</text>"
        )
    return _svg(width, height, parts, title)


def _svg(width: int, height: int, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{html.escape(title, quote=True)}" width="{width}" '
        f'font-family="system-ui, sans-serif" fill="{_INK}">'
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(parts)}</svg>'
    )


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that span low to high."""
    raw = (high - low) / 5 or 1.0
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw)
    first = math.floor(low / step)
    return [step * number for number in range(first, math.ceil(high / step) + 1)]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table; the first cell of a row names it."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr><th>{html.escape(row[0])}</th>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def page(title: str, lead: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return a page that needs nothing beside it.

    Args:
        title: of the page, as text.
        lead: its first paragraph, as text.
        sections: (heading as text, body as HTML).
    """
    body = "".join(
        f"<section><h2>{html.escape(heading)}</h2>{content}</section>"
        for heading, content in sections
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
body {{ margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: {_INK};
  font: 16px/1.55 system-ui, sans-serif; background: #fff; }}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; }}
h2 {{ font-size: 1.25rem; margin: 2.4rem 0 .6rem; }}
p {{ max-width: 46rem; }}
.lead {{ font-size: 1.1rem; }}
img, svg {{ max-width: 100%; height: auto; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .35rem .8rem; border-bottom: 1px solid #e4e6ec; text-align: right; }}
th:first-child {{ text-align: left; font-weight: 600; }}
thead th {{ color: {_SOFT}; font-weight: 600; }}
td, tbody th {{ white-space: nowrap; }}
.said th:last-child, .said td:last-child {{ text-align: left; white-space: normal; }}
.wide table {{ font-size: .88rem; }}
.wide th, .wide td {{ padding: .3rem .5rem; }}
code {{ background: #f2f3f6; padding: .1em .35em; border-radius: 4px; }}
.plots {{ display: flex; flex-wrap: wrap; gap: 1rem 2rem; }}
</style></head><body>
<h1>{html.escape(title)}</h1><p class="lead">{html.escape(lead)}</p>{body}
</body></html>
"""


def picture_tag(picture: Image.Image, alt: str) -> str:
    """Return an <img> that carries its PNG inside."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    alt = html.escape(alt, quote=True)
    return f'<div class="wide"><img alt="{alt}" src="data:image/png;base64,{data}"></div>'
