"""Small copies of pictures for pages, made once and kept in the work folder by size and content.

    <work>/thumbnails/<longest side>/<sha256 of the whole picture>.jpg

They may be deleted at any time. A picture whose content changed has another name here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from .errors import ConfigError
from .files import remove_leftovers, write_aside
from .pictures import open_picture

__all__ = ["SIZES", "Thumbnails"]

SIZES = (128, 256, 512, 1024)
"""Longest sides that are kept; what is asked for is rounded up to one of them."""

_SMALLEST = 64
_AT_ONCE = 2

# Of all sets together: a page asks for hundreds at once, and a decoded photograph takes 50 MB.
_decoding = threading.BoundedSemaphore(_AT_ONCE)


class Thumbnails:
    """The small pictures of one work folder. Several threads and processes may ask at once.

    Args:
        work: the work folder; what killed processes left half-written among its thumbnails goes.
    """

    def __init__(self, work: Path) -> None:
        self._folder = work / "thumbnails"
        for size in SIZES:
            remove_leftovers(self._folder / str(size))

    def get(self, path: Path, size: int, digest: Callable[[Path], str]) -> bytes:
        """Return a picture as a JPEG with a longest side of at least `size`, or its own if smaller.

        Args:
            path: of the whole picture.
            size: wanted, from 64 to 1024 pixels.
            digest: returns the sha256 of a file, perhaps from memory.

        Raises:
            ConfigError: the size is out of range.
            DatasetError: the file cannot be read.
            OutputError: the thumbnail cannot be written.
        """
        if not _SMALLEST <= size <= SIZES[-1]:
            raise ConfigError(f"`size` must be between {_SMALLEST} and {SIZES[-1]} but got {size}.")
        step = next(kept for kept in SIZES if kept >= size)
        target = self._folder / str(step) / f"{digest(path)}.jpg"
        if not target.is_file():
            with _decoding:
                # Whoever waited here for the same picture finds it made.
                if not target.is_file():
                    _make(path, target, step)
        return target.read_bytes()


def _make(path: Path, target: Path, size: int) -> None:
    picture = open_picture(path, where=f"`{path.name}`", longest=size)
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)

    def write(aside: Path) -> None:
        picture.save(aside, format="JPEG", quality=88)

    write_aside(target, write)
