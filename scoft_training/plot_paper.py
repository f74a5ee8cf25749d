"""What plots are drawn on: a figure measured in points, its fonts, and the SVG that comes of it.

matplotlib is used through Figure objects, so there is no window and no current figure. What is
drawn is known in `plots`.
"""

from __future__ import annotations

import functools
import hashlib
import html
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from .lettering import font_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

__all__ = [
    "INK",
    "LETTERS",
    "MARGIN",
    "RULE",
    "SMALL",
    "SOFT",
    "WIDTH",
    "Paper",
    "as_picture",
    "as_svg",
    "shortened",
    "written",
]

WIDTH = 400
"""Of every figure, in points."""

MARGIN = 10.0
INK, SOFT, RULE = "#1f2430", "#5b6272", "#dfe2e9"
LETTERS, SMALL = 12.0, 11.0
_TITLE = 15.0
_LINE = 1.35
"""Height of a line of text, in letters' sizes."""

_STROKES = "stroke-linejoin: round; stroke-linecap: butt"
_SVG_FONTS = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"

# matplotlib's settings are one per process: whoever draws changes them for that moment.
_drawing = threading.RLock()


def as_svg(draw: Callable[[], Figure], label: str) -> str:
    """Return a figure as an `<svg>` that stands by itself or in a page beside others.

    Args:
        draw: makes the figure; matplotlib's settings are right while it is called.
        label: what the figure shows, for those who do not see it.
    """
    with _settings():
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        draw().savefig(buffer, format="svg", metadata=metadata)
    return _tidied(buffer.getvalue(), label)


def as_picture(draw: Callable[[], Figure], width: int) -> Image.Image:
    """Return a figure as an RGB picture `width` pixels wide."""
    with _settings():
        buffer = io.BytesIO()
        draw().savefig(buffer, format="png", dpi=width / WIDTH * 72)
    buffer.seek(0)
    with Image.open(buffer) as drawn:
        picture: Image.Image = drawn.convert("RGB")
    # Rounding of inches can miss a pixel.
    size = width, round(width * picture.height / picture.width)
    return picture.resize(size, Image.Resampling.LANCZOS)


def written(title: str, note: str, height: float, body: Callable[[Paper], None]) -> Figure:
    """Return a figure with a title, a note below it, and what `body` draws on the rest.

    Args:
        title: in bold letters, as many lines as it needs.
        note: in small letters; may be empty.
        height: of the rest, in points.
        body: is given the paper.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # At 72 dots an inch letters' widths would be rounded to whole points.
    canvas: Any = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=720))
    ruler = canvas.get_renderer()

    def width_of(text: str, size: float, weight: str = "normal", of: str = "") -> float:
        font = _font(of or text, size, weight)
        return float(ruler.get_text_width_height_descent(text, font, False)[0]) / 10

    titles = _lines(title, lambda text: width_of(text, _TITLE, "bold", title))
    notes = _lines(note, lambda text: width_of(text, SMALL, of=note)) if note else []
    head = MARGIN + _LINE * (_TITLE * len(titles) + SMALL * len(notes)) + 8
    whole = head + height
    figure = Figure(figsize=(WIDTH / 72, whole / 72), dpi=72, facecolor="white")
    paper = Paper(figure, whole, height, width_of)
    top = whole - MARGIN
    for line in titles:
        paper.text(MARGIN, top, line, size=_TITLE, weight="bold", va="top")
        top -= _LINE * _TITLE
    for line in notes:
        paper.text(MARGIN, top, line, size=SMALL, colour=SOFT, va="top")
        top -= _LINE * SMALL
    body(paper)
    return figure


def shortened(text: str, most: float, width_of: Callable[..., float], size: float = LETTERS) -> str:
    """Return a text that fits, without its middle where it is too long: ends tell names apart."""
    if width_of(text, size) <= most:
        return text

    def without_middle(kept: int) -> str:
        return f"{text[: (kept + 1) // 2].rstrip()}…{text[len(text) - kept // 2 :].lstrip()}"

    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        kept = (fits + too_long) // 2
        if width_of(without_middle(kept), size, of=text) <= most:
            fits = kept
        else:
            too_long = kept
    return without_middle(fits)


@dataclass(frozen=True)
class Paper:
    """A figure measured in points from its lower left corner.

    Attributes:
        figure: matplotlib's.
        height: of all of it.
        free: as much of it from below is for the body.
        width_of: (text, letters' size[, weight, of]) -> its width; `of` is the text that it is a
            part of, whose font is taken.
    """

    figure: Figure
    height: float
    free: float
    width_of: Callable[..., float]

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = LETTERS,
        colour: str = INK,
        weight: str = "normal",
        **place: Any,
    ) -> None:
        """Write a text at a place."""
        font = _font(words, size, weight)
        at = (x / WIDTH, y / self.height)
        self.figure.text(*at, words, fontproperties=font, color=colour, **place)

    def axes(self, left: float, right: float, bottom: float, top: float) -> Axes:
        """Return empty axes between these edges."""
        axes = self.figure.add_axes(
            (
                left / WIDTH,
                bottom / self.height,
                (right - left) / WIDTH,
                (top - bottom) / self.height,
            )
        )
        for side in axes.spines.values():
            side.set_visible(False)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, labelsize=SMALL, labelcolor=SOFT, pad=5)
        return axes


def _lines(text: str, width_of: Callable[[str], float]) -> list[str]:
    """Break a text into lines that fit the figure, inside a word where that alone is too wide.

    A no-break space is part of a word.
    """
    most = WIDTH - 2 * MARGIN
    lines = [""]
    for word in re.split(r"[ \t\n]+", text.strip()):
        joined = f"{lines[-1]} {word}".strip()
        if width_of(joined) <= most:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        if width_of(word) <= most:
            lines[-1] = word
            continue
        filled = 0.0
        for character in word:
            filled += width_of(character)
            if filled > most:
                lines.append("")
                filled = width_of(character)
            lines[-1] += character
    return lines


def _font(text: str, size: float, weight: str = "normal") -> FontProperties:
    """Return a font of this machine that has a text's letters, or else matplotlib's own."""
    from matplotlib.font_manager import FontProperties

    path = None if text.isascii() else _font_file("".join(sorted(set(text))))
    if path is not None:
        return FontProperties(fname=path, size=size)
    return FontProperties(family="DejaVu Sans", size=size, weight=weight)


@functools.lru_cache(maxsize=512)
def _font_file(letters: str) -> str | None:
    from matplotlib.ft2font import FT2Font

    path = getattr(font_for(letters, 12), "path", None)
    if not isinstance(path, str) or not Path(path).is_file():
        return None
    try:
        FT2Font(path)
    except RuntimeError:  # of a kind that Pillow reads and matplotlib does not
        return None
    return path


@contextmanager
def _settings() -> Iterator[None]:
    """matplotlib as it comes, whatever this user's matplotlibrc says, with names as plain text."""
    import matplotlib

    own = {
        **{k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")},
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "scoft",
        "font.family": "DejaVu Sans",
        # Whole numbers at an axis, no power of ten or summand to be added to each.
        "axes.formatter.useoffset": False,
        "axes.formatter.limits": (-7, 9),
    }
    with _drawing, warnings.catch_warnings():
        # A letter that no font here has is a box in the picture, and right in the SVG.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        with matplotlib.rc_context(own):
            yield


def _tidied(svg: str, label: str) -> str:
    """Return matplotlib's SVG without head and needless names, its other names made its own."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.S)
    # Its rule of style would reach everything in a page.
    body = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.S)
    body = re.sub(r' (width|height)="([\d.]+)pt"', r' \1="\2"', body)
    body = re.sub(r"font-family: [^;\"]*|(?<=px )'[^;\"]*", _plain_family, body)
    own = hashlib.sha256(body.encode("utf-8")).hexdigest()[:8]
    used = set(re.findall(r"(?:url\(|href=\")#([\w.-]+)", body))

    def name(found: re.Match[str]) -> str:
        return f' id="p{own}-{found[1]}"' if found[1] in used else ""

    body = re.sub(r' id="([\w.-]+)"', name, body)
    body = re.sub(r"(url\(#|href=\"#)", rf"\g<1>p{own}-", body)
    words = html.escape(label, quote=True)
    own_head = f'<svg role="img" aria-label="{words}" style="{_STROKES}" '
    return body.replace("<svg ", own_head, 1).rstrip() + "\n"


def _plain_family(found: re.Match[str]) -> str:
    name = "font-family: " if found[0].startswith("font-family") else ""
    return f"{name}{_SVG_FONTS}"
