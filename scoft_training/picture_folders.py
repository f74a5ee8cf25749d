"""The pictures of a folder as files with their digests, in an order that names do not decide.

For sets that are compared as a whole, such as held-out pictures or MS COCO. Not here: datasets with
captions (`data`), and what the pictures show (`picture_features`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .data_sources import PICTURE_ENDINGS
from .errors import DatasetError
from .files import file_sha256

__all__ = ["PictureFile", "pictures_of_folder"]

_SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")
"""What systems put beside pictures: copies of their own, in the pictures' endings."""


@dataclass(frozen=True)
class PictureFile:
    """A picture's file and the sha256 of its bytes, 64 hex digits."""

    path: Path
    sha256: str


def pictures_of_folder(
    folder: Path, *, check_stop: Callable[[], None] = lambda: None
) -> list[PictureFile]:
    """Return the pictures of a folder and the folders in it, in the order of their digests.

    So renamed or moved files are the same list. Told by their endings (`PICTURE_ENDINGS`); hidden
    files and folders are passed over, and links to folders are not followed.

    Args:
        folder: where they lie.
        check_stop: called before each file is read; raises to stop.

    Raises:
        DatasetError: no such folder, no picture in it, or a file that cannot be read.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise DatasetError(f"{folder}: this folder {found}. Name a folder with pictures in it.")
    pictures = []
    for path in _paths(folder):
        check_stop()
        try:
            pictures.append(PictureFile(path, file_sha256(path)))
        except OSError as error:
            raise DatasetError(
                f"{path}: cannot be opened ({error.strerror}). It must be a file that you may "
                "read; mend it, or take it out of the folder."
            ) from error
    if not pictures:
        raise DatasetError(
            f"{folder}: this folder holds no picture, neither directly nor in the folders in it. "
            f"Put pictures there that end in one of {', '.join(sorted(PICTURE_ENDINGS))}."
        )
    return sorted(pictures, key=lambda file: (file.sha256, file.path.as_posix()))


def _paths(folder: Path) -> list[Path]:
    found = []
    for inner, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if not name.startswith(".") and name not in _SYSTEM_FOLDERS
        ]
        found += [
            Path(inner, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURE_ENDINGS
        ]
    return found
