"""What a person looks at to judge a filter: a histogram of distances, and sheets of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .data import load_row_pictures
from .events import HistogramEvent
from .files import write_aside
from .generation import to_picture
from .lettering import draw_caption
from .negative_sets import Negative, NegativeSet, RowNegatives
from .pictures import open_depth

__all__ = ["histogram_of", "numbers_of", "save_histogram", "save_sheets"]

_BINS = 20
_TILE = 144
_LETTERS = 13
_GAP = 8
_FRAME = 5
_ROWS_PER_SHEET = 20
_GREEN, _RED, _GREY = (20, 140, 60), (200, 40, 40), (130, 130, 130)


def histogram_of(
    distances: Sequence[float], *, backbone: str, threshold: float | None
) -> HistogramEvent:
    """Count distances in equal bins from 0 to the largest, or to the threshold if that is larger.

    Args:
        distances: one or more, none negative.
        backbone: name of the network that measured them.
        threshold: those below it count as dropped; None counts neither.
    """
    top = max(*distances, threshold or 0.0) or 1.0
    edges = np.linspace(0.0, top, _BINS + 1)
    counts, _ = np.histogram(distances, bins=edges)
    below = 0 if threshold is None else sum(distance < threshold for distance in distances)
    return HistogramEvent(
        backbone=backbone,
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        threshold=threshold,
        kept=0 if threshold is None else len(distances) - below,
        dropped=below,
    )


def numbers_of(distances: Sequence[float], histogram: HistogramEvent) -> str:
    """Return a sentence with the spread of the distances and what each bin holds."""
    low, quarter, half, three, high = np.quantile(distances, (0, 0.25, 0.5, 0.75, 1)).tolist()
    bins = zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False)
    told = ", ".join(f"{left:.3g} to {right:.3g}: {count}" for left, right, count in bins if count)
    return (
        f"The distances of {len(distances)} negatives to their pictures reach from {low:.3g} to "
        f"{high:.3g} (quartiles {quarter:.3g}, {half:.3g}, {three:.3g}): {told}."
    )


def save_histogram(path: Path, histogram: HistogramEvent) -> None:
    """Write the histogram as a PNG: a bar per bin, red below the threshold, and its numbers."""
    width, height, left, top, bottom = 720, 360, 60, 50, 300
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    low, high = histogram.edges[0], histogram.edges[-1]
    scale = (width - 2 * left) / (high - low)

    def place(distance: float) -> float:
        return left + (distance - low) * scale

    most = max(histogram.counts)
    threshold = histogram.threshold
    for count, start, end in zip(
        histogram.counts, histogram.edges, histogram.edges[1:], strict=False
    ):
        colour = _GREY if threshold is None else _RED if end <= threshold else _GREEN
        bar = (bottom - top) * count / most
        if count:
            draw.rectangle((place(start) + 1, bottom - bar, place(end) - 1, bottom), fill=colour)
            draw.text(
                ((place(start) + place(end)) / 2, bottom - bar - 2), str(count), "black", font, "mb"
            )
    draw.line((left, bottom, width - left, bottom), "black")
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        distance = low + share * (high - low)
        draw.text((place(distance), bottom + 6), f"{distance:.3g}", "black", font, "mt")
    said = f"{sum(histogram.counts)} negatives, distance to their pictures by {histogram.backbone}"
    if threshold is not None:
        draw.line((place(threshold), top - 10, place(threshold), bottom), "black", 2)
        said += f"; threshold {threshold:.3g}: {histogram.kept} kept, {histogram.dropped} dropped"
    draw.text((left, 10), said, "black", font)
    draw.text((width / 2, bottom + 30), "distance", "black", font, "mt")
    write_aside(path, partial(_save_png, sheet))


def save_sheets(folder: Path, found: Sequence[RowNegatives], chosen: NegativeSet) -> list[Path]:
    """Write sheet-001.png and so on, some rows each; returns the files.

    A row shows its picture, its depth and its negatives, each with its distance and a green frame
    and "kept" or a red one and "dropped". Sheets of an earlier call are replaced.
    """
    paths = []
    shown = [of_row for of_row in found if of_row.negatives]
    for first in range(0, len(shown), _ROWS_PER_SHEET):
        path = folder / f"sheet-{first // _ROWS_PER_SHEET + 1:03d}.png"
        sheet = _sheet(shown[first : first + _ROWS_PER_SHEET], chosen)
        write_aside(path, partial(_save_png, sheet))
        paths.append(path)
    for stale in set(folder.glob("sheet-*.png")) - set(paths):
        stale.unlink()
    return paths


def _sheet(found: Sequence[RowNegatives], chosen: NegativeSet) -> Image.Image:
    font = ImageFont.load_default(_LETTERS)
    line = int(font.getbbox("Ag")[3]) + 4
    columns = 2 + max(len(of_row.negatives) for of_row in found)
    block = 2 * line + _TILE + 2 * _FRAME + line + _GAP
    width = _GAP + columns * (_TILE + 2 * _FRAME + _GAP)
    sheet = Image.new("RGB", (width, _GAP + len(found) * block), "white")
    draw = ImageDraw.Draw(sheet)
    for place, of_row in enumerate(found):
        top = _GAP + place * block
        draw_caption(
            draw,
            (_GAP, top),
            of_row.row.cultural_caption,
            size=_LETTERS,
            width=width - 2 * _GAP,
            lines=2,
            label=f"row {of_row.row.number}:",
            instead=f"(no font here has its letters; see {of_row.row.where.removesuffix(':')})",
        )
        for column, (tile, text, colour) in enumerate(_tiles(of_row, chosen)):
            left = _GAP + column * (_TILE + 2 * _FRAME + _GAP)
            corner = (left, top + 2 * line)
            side = _TILE + 2 * _FRAME
            if colour is not None:
                frame = (*corner, corner[0] + side - 1, corner[1] + side - 1)
                draw.rectangle(frame, outline=colour, width=_FRAME)
            sheet.paste(tile, (corner[0] + _FRAME, corner[1] + _FRAME))
            draw.text((left, corner[1] + side + 2), text, colour or "black", font)
    return sheet


def _tiles(
    found: RowNegatives, chosen: NegativeSet
) -> list[tuple[Image.Image, str, tuple[int, int, int] | None]]:
    """A row's pictures from left to right, with what stands below them and their frame."""
    settings = chosen.settings
    pictures = load_row_pictures(
        found.row_with(found.negatives),
        resolution=settings["resolution"],
        crop_mode=settings["crop"],
        seed=settings["seed"],
    )
    depth = Image.new("RGB", (_TILE, _TILE), "lightgrey")
    if found.depth is not None and found.depth.is_file():
        numbers = np.asarray(open_depth(found.depth, where=f"Depth picture {found.depth.name}"))
        depth = Image.fromarray((numbers * 255).round().astype(np.uint8)).convert("RGB")
    tiles: list[tuple[Image.Image, str, tuple[int, int, int] | None]] = [
        (_shrunk(to_picture(pictures.image)), "picture", None),
        (_shrunk(depth), "depth", None),
    ]
    for negative, image in zip(found.negatives, pictures.negatives, strict=True):
        text, colour = _judgement(negative)
        tiles.append((_shrunk(to_picture(image)), text, colour))
    return tiles


def _judgement(negative: Negative) -> tuple[str, tuple[int, int, int]]:
    word, colour = "undecided", _GREY
    if negative.kept is not None:
        word, colour = ("kept", _GREEN) if negative.kept else ("dropped", _RED)
    by_hand = " by hand" if negative.by == "user" else ""
    brought = "" if negative.drawn else ", yours"
    distance = "" if negative.distance is None else f" {negative.distance:.3g}"
    return f"{word}{by_hand}{distance}{brought}", colour


def _save_png(picture: Image.Image, path: Path) -> None:
    picture.save(path, format="PNG")


def _shrunk(picture: Image.Image) -> Image.Image:
    return picture.resize((_TILE, _TILE), Image.Resampling.LANCZOS)
