"""Captions drawn into pictures: a font that has the letters, lines that fit, or nothing at all."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import ImageDraw, ImageFont, features

__all__ = ["draw_caption", "font_for", "wrapped"]

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_COMMON = """
    dejavusans notosans-regular notosanscjk-regular notosanskr-regular nanumgothic malgun
    applesdgothicneo notosansjp-regular yugothm msgothic hiraginosansgb msyh pingfang msjh
    notosansdevanagari-regular nirmala kohinoordevanagari notonaskharabic-regular
    notosansarabic-regular arial arialunicode segoeui freesans
""".split()
"""Beginnings of fonts' file names that cover much, tried before all others."""

_FONTS = (".ttf", ".ttc", ".otf")
_MOST_FONTS = 3000
_SHAPED = ((0x0590, 0x109F), (0x1780, 0x18AF), (0x1A00, 0x1AFF), (0xFB1D, 0xFEFC))
"""Scripts from right to left, or whose letters join or change places: Hebrew to Burmese, Khmer
to Mongolian, Tai Tham, and the ready-made forms of Hebrew and Arabic."""


def draw_caption(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    caption: str,
    *,
    size: int,
    width: float,
    lines: int,
    label: str = "",
    instead: str,
) -> None:
    """Draw a caption behind a label.

    Args:
        draw: onto what.
        corner: left and top, in pixels.
        caption: in any script.
        size: of the letters, in pixels.
        width: of label and caption together, in pixels.
        lines: the most that the caption may take.
        label: Latin letters.
        instead: Latin letters that stand there if this machine cannot draw the caption right.
    """
    usual = ImageFont.load_default(size)
    left, top = corner
    if label:
        draw.text(corner, label, "black", usual)
        left += usual.getlength(f"{label} ")
    font = font_for(caption, size)
    text = instead if font is None else caption
    font = font or usual
    text = wrapped(text, font, width - (left - corner[0]), lines)
    draw.multiline_text((left, top), text, "black", font)


def font_for(text: str, size: int) -> _Font | None:
    """Return a font that has every letter of a text, or None where it could not be drawn right.

    Scripts that run from right to left or join their letters need Pillow with Raqm.

    Args:
        text: what is to be drawn.
        size: in pixels.
    """
    letters = {character for character in text if not character.isspace()}
    if any(first <= ord(one) <= last for one in letters for first, last in _SHAPED):
        if not features.check("raqm"):
            return None
    usual = ImageFont.load_default(size)
    if all(character.isascii() for character in letters):
        return usual
    for path in (None, *_font_files()):
        font = usual if path is None else _opened(path, size)
        if font is not None and all(_has(font, character) for character in letters):
            return font
    return None


def wrapped(text: str, font: _Font, width: float, most: int) -> str:
    """Return a text in lines that fit a width; what is left over after `most` lines is an ellipsis.

    Lines break between words, and inside a word that is wider than a line, as whole sentences of
    Chinese or Japanese are.

    Args:
        text: one caption.
        font: what it is drawn with.
        width: in pixels.
        most: number of lines, 1 or more.
    """
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and font.getlength(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1].rstrip() + "..."]
    return "\n".join(lines)


@functools.lru_cache(maxsize=1)
def _font_files() -> tuple[Path, ...]:
    """List the machine's fonts, those that cover much first."""
    found = []
    for folder in _font_folders():
        for place, _, names in os.walk(folder):
            found += [Path(place, name) for name in names if name.lower().endswith(_FONTS)]
    return tuple(sorted(found[:_MOST_FONTS], key=_rank))


def _rank(path: Path) -> tuple[int, str]:
    name = path.stem.lower().replace(" ", "")
    begins = [place for place, common in enumerate(_COMMON) if name.startswith(common)]
    if name in _COMMON:
        return _COMMON.index(name), str(path)
    # A plain cut of any script is read better than its bold or slanted one.
    plain = 0 if "regular" in name else 1
    return len(_COMMON) * (1 if begins else 2) + plain, str(path)


def _font_folders() -> Iterator[Path]:
    if sys.platform == "win32":
        yield Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")
        yield Path.home() / "AppData/Local/Microsoft/Windows/Fonts"
    elif sys.platform == "darwin":
        yield from (Path("/System/Library/Fonts"), Path("/Library/Fonts"))
        yield Path.home() / "Library/Fonts"
    else:
        yield from (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
        yield from (Path.home() / ".local/share/fonts", Path.home() / ".fonts")


@functools.lru_cache(maxsize=4096)
def _opened(path: Path, size: int) -> _Font | None:
    try:
        return ImageFont.truetype(str(path), size)
    except (OSError, ValueError):  # damaged, or of a kind that FreeType does not draw
        return None


def _has(font: _Font, character: str) -> bool:
    """Whether a font has a letter, told from whether it looks like one that no font has."""
    try:
        seen, missing = font.getmask(character), font.getmask("\U0010fffe")
    except (OSError, ValueError, UnicodeEncodeError):  # bitmap fonts of one size; Latin-1 only
        return False
    return (seen.size, bytes(seen)) != (missing.size, bytes(missing))
