"""Pictures from files: opened safely, made RGB, cut to one square.

Which files belong together is not known here; `data` says.

Everything that a camera or an editor writes is turned into upright RGB without alpha. A crop is
decided once, in fractions of the picture, so that picture, depth and negatives of other sizes show
the same square.
"""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile, UnidentifiedImageError
from torch import Tensor

from . import draws
from .errors import ConfigError, DatasetError, unknown_name

__all__ = [
    "CROP_MODES",
    "MAX_PIXELS",
    "Crop",
    "companion_crop",
    "crop_and_resize",
    "decide_crop",
    "open_depth",
    "open_picture",
    "picture_kind",
    "same_aspect",
]

MAX_PIXELS = 200_000_000
"""Larger pictures are refused before they are decoded."""

CROP_MODES = ("center", "random")

# Pillow's other formats are left out: some start programs (EPS runs Ghostscript), and none is usual
# for photographs.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_pillow_lock = threading.Lock()


@dataclass(frozen=True)
class Crop:
    """A square cut from a picture, its edges as fractions of the picture's width and height."""

    left: float
    top: float
    right: float
    bottom: float

    def box(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Return the edges (left, top, right, bottom) in pixels of a picture of (width, height)."""
        width, height = size
        return self.left * width, self.top * height, self.right * width, self.bottom * height


_WHOLE = Crop(0.0, 0.0, 1.0, 1.0)


def open_picture(path: Path, *, where: str, longest: int | None = None) -> Image.Image:
    """Return the picture in a file as upright RGB, fully decoded; of an animation the first frame.

    Alpha is composited over white. 16-bit grey is scaled to 8 bits, not clipped.

    Args:
        path: the file; its kind is told from its bytes, not from its name.
        where: subject of the error's sentence, say "metadata.jsonl, row 17: `images/a.jpg`".
        longest: None, or the longest side that will be needed: a JPEG may then be decoded at a
            fraction of its size, which is faster, and still at least twice as large as that.

    Raises:
        DatasetError: the file is missing, no picture, damaged, or larger than MAX_PIXELS.
    """
    with _decoded(path, where, longest) as image:
        if image.mode == "F" or image.mode.startswith("I"):
            # 65535 = 257 x 255, so a division by 257 takes 16 bits to 8; + 128 rounds.
            wide = _grey_numbers(image, where)
            grey = (np.rint(wide * np.float32(65535)).astype(np.uint32) + 128) // 257
            return _upright(Image.fromarray(grey.astype(np.uint8)).convert("RGB"), image)
        if image.mode in ("P", "PA", "LA", "RGBA", "RGBa") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            white = Image.new("RGBA", rgba.size, "white")
            return _upright(Image.alpha_composite(white, rgba).convert("RGB"), image)
        return _upright(image.convert("RGB"), image)


def picture_kind(path: Path) -> str:
    """Return Pillow's name of the format of a picture that `open_picture` takes, say "JPEG"."""
    with (
        _strict_pillow(),
        path.open("rb") as file,
        Image.open(file, formats=_known_formats()) as image,
    ):
        return image.format or ""


def open_depth(path: Path, *, where: str) -> Image.Image:
    """Return a grey depth picture as mode "F" in [0, 1]; 16 bits stay 16 bits.

    Args:
        path: the file.
        where: subject of the error's sentence.

    Raises:
        DatasetError: as by `open_picture`; also when the picture has colours.
    """
    with _decoded(path, where) as image:
        if image.mode == "F" or image.mode.startswith("I"):
            grey = _grey_numbers(image, where)
        else:
            channels = np.asarray(image.convert("RGB"))
            if (channels != channels[:, :, :1]).any():
                raise DatasetError(
                    f"{where} has colours, but depth must be grey, near things bright. Save the "
                    "depth itself, in 8 or 16 bits, not a coloured view of it."
                )
            grey = channels[:, :, 0].astype(np.float32) / np.float32(255)
        return _upright(Image.fromarray(grey), image)


def decide_crop(size: tuple[int, int], *, mode: str, seed: int, picture_sha256: str) -> Crop:
    """Choose the largest square of a picture, on whole pixels: a function of the arguments alone.

    Args:
        size: (width, height) of the picture.
        mode: "center", or "random" for a place drawn once per picture.
        seed: the run's seed; matters for "random" only.
        picture_sha256: digest of the picture's file, which tells its draw from the others'.

    Raises:
        ConfigError: the mode is unknown.
    """
    if mode not in CROP_MODES:
        raise ConfigError(unknown_name("crop mode", mode, CROP_MODES))
    width, height = size
    side = min(size)
    free = max(size) - side
    start = free // 2
    if mode == "random":
        start = draws.choice(free + 1, seed, "crop", picture_sha256)
    left, top = (start, 0) if width > height else (0, start)
    return Crop(left / width, top / height, (left + side) / width, (top + side) / height)


def companion_crop(
    size: tuple[int, int], picture_size: tuple[int, int], crop: Crop, *, mode: str, where: str
) -> Crop:
    """Return the crop of a negative or a depth picture that shows what the picture's crop shows.

    A square beside a picture that is none counts as already cropped at the centre, even where it
    is as good as the picture's own shape: negatives are drawn so, and lie on the crop exactly. Else
    the same aspect ratio gets the same crop.

    Args:
        size: (width, height) of the negative or depth picture.
        picture_size: (width, height) of the training picture.
        crop: the training picture's.
        mode: how that was decided, "center" or "random".
        where: subject of the error's sentence.

    Raises:
        DatasetError: the shapes do not go together.
    """
    if size[0] == size[1] and mode == "center":
        return _WHOLE
    if same_aspect(size, picture_size):
        return crop
    sizes = "is {} x {} pixels, but its picture {} x {}".format(*size, *picture_size)
    if size[0] == size[1]:
        raise DatasetError(
            f"{where} {sizes}. A square counts as cropped at the centre, which does not go with "
            f"crop {mode!r}: bring it uncropped, or set crop to center."
        )
    raise DatasetError(
        f"{where} {sizes}. Bring it in the picture's aspect ratio, or square and cropped like the "
        "picture's centre."
    )


def crop_and_resize(image: Image.Image, crop: Crop, resolution: int) -> Tensor:
    """Cut a square out and resample it by Lanczos, antialiased where it shrinks.

    Args:
        image: mode RGB, or mode F in [0, 1].
        crop: where to cut; a picture of another size but the same aspect ratio shows the same.
        resolution: side of the result in pixels.

    Returns:
        (3, resolution, resolution) for RGB, (1, resolution, resolution) for F; float32 in [0, 1].
    """
    box = crop.box(image.size)
    square = image.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
    values = np.array(square, dtype=np.float32).reshape(resolution, resolution, -1)
    if image.mode == "RGB":
        values /= np.float32(255)
    # Lanczos overshoots at edges; Pillow clips bytes itself, but not floats.
    return torch.from_numpy(values).permute(2, 0, 1).clamp(0.0, 1.0).contiguous()


def same_aspect(size_a: tuple[int, int], size_b: tuple[int, int]) -> bool:
    """Tell whether one size is the other one scaled, up to one pixel of rounding of the smaller."""
    small, large = sorted((size_a, size_b), key=lambda size: (size[0] * size[1], size))
    scaled_height = small[0] * large[1] / large[0]
    scaled_width = small[1] * large[0] / large[1]
    return abs(scaled_height - small[1]) <= 1 or abs(scaled_width - small[0]) <= 1


@contextmanager
def _decoded(path: Path, where: str, longest: int | None = None) -> Iterator[Image.Image]:
    """Open a file and decode it; every failure inside the block becomes a DatasetError."""
    try:
        # An open file, not a path: given a path, Pillow maps raw TIFF into memory with the sides of
        # the turned picture, which scrambles scans whose EXIF orientation is 5 to 8.
        with (
            _strict_pillow(),
            path.open("rb") as file,
            Image.open(file, formats=_known_formats()) as image,
        ):
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            if longest is not None:
                scale = min(1.0, 2 * longest / max(image.size))
                image.draft(None, (ceil(image.width * scale), ceil(image.height * scale)))
            image.load()
            yield image
    except (DatasetError, MemoryError):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(
            f"{where} does not exist. Put the picture there, or remove its mention."
        ) from error
    except Image.DecompressionBombError as error:
        raise DatasetError(
            f"{where} has more than {MAX_PIXELS // 1_000_000} megapixels. Save a smaller copy."
        ) from error
    except UnidentifiedImageError as error:
        raise DatasetError(
            f"{where} is not a picture of a kind that is read here. Save it as JPEG, PNG or WebP."
        ) from error
    except OSError as error:
        if error.errno is None:
            raise _damaged(where, error) from error
        raise DatasetError(
            f"{where} cannot be opened ({error.strerror}). It must be a file that you may read."
        ) from error
    # Pillow's decoders fail on damaged files with whatever their parsing met:
    # SyntaxError, struct.error, zlib.error, ValueError and more.
    except Exception as error:
        raise _damaged(where, error) from error


def _damaged(where: str, error: Exception) -> DatasetError:
    return DatasetError(
        f"{where} cannot be read ({error}): the file is damaged or cut short. Bring an intact copy."
    )


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Set Pillow's global switches for the time of one picture.

    Hosts and other packs tell Pillow to accept half files, or move its limit; which rows a dataset
    has must not depend on that.
    """
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, MAX_PIXELS
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def _known_formats() -> list[str]:
    """Return those of our formats that this Pillow has; AVIF is young, HEIF comes from a plugin."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _upright(image: Image.Image, source: Image.Image) -> Image.Image:
    """Turn a picture as the EXIF block of its source says; a broken block counts as upright."""
    try:
        orientation = source.getexif().get(_ORIENTATION_TAG)
    except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error):
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _grey_numbers(
    image: Image.Image, where: str
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return a grey picture of more than 8 bits as (height, width) float32 in [0, 1]."""
    numbers = np.array(image, dtype=np.float32)
    whole = image.mode != "F"
    if not (numbers.min() >= 0 and numbers.max() <= (65535 if whole else 1)):
        raise DatasetError(
            f"{where} holds numbers from {numbers.min():g} to {numbers.max():g}, but grey must lie "
            f"between 0 and {'65535' if whole else '1'}. Save it as 16-bit PNG."
        )
    return numbers / np.float32(65535) if whole else numbers
