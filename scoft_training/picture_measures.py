"""What is measured of a picture once: its size, how sharp it is, its perceptual hash.

The numbers are kept in the work folder's quality.json by the picture's sha256, so a changed picture
is measured anew and a moved one is not. What follows from them is decided in `dataset_quality`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .files import write_text
from .near_duplicates import perceptual_hashes

__all__ = ["QUALITY", "PictureMeasures", "measure_picture", "read_measures", "write_measures"]

logger = logging.getLogger(__name__)

QUALITY = "quality.json"

_VERSION = 1
"""Of the measures' definition: numbers of another one are measured anew."""

_SIDE = 512
"""Shorter side at which sharpness is measured: that of SD 1.5's training pictures."""

_TILE = 64
_SHARPEST = 95
"""Percentile of the tiles: a sharp face before a soft background is a sharp picture."""

_WRITING = threading.Lock()

_Grey = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class PictureMeasures:
    """Numbers of one picture.

    Attributes:
        width: in pixels, upright.
        height: likewise.
        sharpness: the standard deviation of the Laplacian within the sharpest tiles of 64 x 64
            pixels (the 95th percentile), in grey levels of 255, at a shorter side of at most 512.
        hash: pHash, 16 hex digits; empty for a picture of one colour.
        mirrored_hash: that of the mirror image.
    """

    width: int
    height: int
    sharpness: float
    hash: str
    mirrored_hash: str

    @property
    def side(self) -> int:
        """The shorter side."""
        return min(self.width, self.height)

    @property
    def kept_by_crop(self) -> float:
        """The share of the picture's area that its largest square holds, in (0, 1]."""
        return self.side / max(self.width, self.height)


def measure_picture(image: Image.Image) -> PictureMeasures:
    """Measure a picture.

    Args:
        image: upright RGB.
    """
    scale = _SIDE / min(image.size)
    grey = image.convert("L")
    if scale < 1:
        # A smaller picture stays: enlarged, it would count as blurred, and it is small anyway.
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        grey = grey.resize(size, Image.Resampling.LANCZOS)
    of_picture, of_mirror = perceptual_hashes(grey)
    return PictureMeasures(
        width=image.width,
        height=image.height,
        sharpness=round(_sharpness(np.asarray(grey, dtype=np.float32)), 3),
        hash=of_picture,
        mirrored_hash=of_mirror,
    )


def read_measures(work: Path) -> dict[str, PictureMeasures]:
    """Return what is known, by sha256; a damaged file counts as none."""
    path = work / QUALITY
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["version"] != _VERSION:
            return {}
        return {
            str(sha256): PictureMeasures(
                int(of["width"]),
                int(of["height"]),
                float(of["sharpness"]),
                str(of["hash"]),
                str(of["mirrored_hash"]),
            )
            for sha256, of in values["pictures"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        logger.warning("%s cannot be read; pictures are measured anew", path.name)
        return {}


def write_measures(work: Path, measured: Mapping[str, PictureMeasures]) -> None:
    """Add measures to quality.json; what others measured meanwhile stays.

    Raises:
        OutputError: it cannot be written; the old file is there.
    """
    with _WRITING:
        known = {**read_measures(work), **measured}
        pictures = {sha256: dataclasses.asdict(known[sha256]) for sha256 in sorted(known)}
        text = json.dumps({"version": _VERSION, "pictures": pictures}, separators=(",", ":"))
        write_text(work / QUALITY, text + "\n")


def _sharpness(grey: _Grey) -> float:
    height, width = grey.shape
    if min(height, width) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    return float(np.percentile(_tiles(laplacian).std(axis=1), _SHARPEST))


def _tiles(values: _Grey) -> _Grey:
    """Return (tiles, pixels of a tile); what is left over at the right and lower edge is cut."""
    height, width = (min(side, _TILE) for side in values.shape)
    rows, columns = values.shape[0] // height, values.shape[1] // width
    whole = values[: rows * height, : columns * width]
    tiles: _Grey = whole.reshape(rows, height, columns, width).swapaxes(1, 2)
    return tiles.reshape(rows * columns, -1)
