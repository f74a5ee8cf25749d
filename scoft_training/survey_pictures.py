"""Pictures made ready for a survey's page, so that nothing but what they show tells them apart.

Every picture is decoded and encoded anew, all of a survey in the same way, without anything that a
file carries beside its pixels. The pictures of one page come out in one size.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from .errors import DatasetError
from .pictures import open_picture, same_aspect

__all__ = ["PagePictures", "is_pixel_art", "page_pictures"]

_SMALL = 128
"""Pictures up to this side are shown enlarged, pixel by pixel; JPEG's blocks would show."""

_JPEG_QUALITY = 90
"""At 4:4:4, above what people see on a photograph."""


@dataclass(frozen=True)
class PagePictures:
    """A page's pictures, alike but for what they show.

    Attributes:
        urls: name -> `data:` URL.
        scaled_apart: whether they were of different sizes before, which can show: what was scaled
            down looks sharper.
    """

    urls: Mapping[str, str]
    scaled_apart: bool


def is_pixel_art(paths: Sequence[Path], longest: int) -> bool:
    """Tell whether pictures are so small that they must be kept without loss.

    Args:
        paths: some of a survey's pictures, say one of each grid.
        longest: the side, in pixels, that they are made no larger than.

    Raises:
        DatasetError: one cannot be read.
    """
    sides = [max(open_picture(path, where=str(path)).size) for path in paths]
    return min(max(sides), longest) <= _SMALL


def page_pictures(
    paths: Mapping[str, Path], *, longest: int, lossless: bool, where: str
) -> PagePictures:
    """Return a page's pictures as `data:` URLs, all of one size and encoded alike.

    Args:
        paths: any name -> file.
        longest: side in pixels; larger pictures are scaled down, none is scaled up.
        lossless: PNG instead of JPEG.
        where: subject of the error's sentence, say the page's prompt.

    Raises:
        DatasetError: a picture cannot be read, or their shapes do not go together.
    """
    images = {name: open_picture(path, where=str(path)) for name, path in paths.items()}
    smallest = min((image.size for image in images.values()), key=lambda size: size[0] * size[1])
    for name, image in images.items():
        if not same_aspect(image.size, smallest):
            raise DatasetError(
                f"{where}: {paths[name]} is {image.width} x {image.height} pixels, another one "
                f"{smallest[0]} x {smallest[1]}, and the shape would tell them apart. Draw all in "
                "one shape."
            )
    scale = min(1.0, longest / max(smallest))
    size = (max(1, round(smallest[0] * scale)), max(1, round(smallest[1] * scale)))
    return PagePictures(
        urls={name: _data_url(image, size, lossless) for name, image in images.items()},
        scaled_apart=len({image.size for image in images.values()}) > 1,
    )


def _data_url(image: Image.Image, size: tuple[int, int], lossless: bool) -> str:
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    # A picture of the pixels alone: Pillow writes comments and profiles that it has read.
    plain = Image.frombytes("RGB", image.size, image.tobytes())
    buffer = io.BytesIO()
    if lossless:
        plain.save(buffer, format="PNG", optimize=True)
    else:
        # Not optimized: a few per cent smaller, but Pillow's room for it is too small for a
        # picture of much detail, which then fails.
        plain.save(buffer, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
