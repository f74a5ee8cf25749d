"""Writing and hashing files: aside, flushed, renamed. What a file holds is other rooms' matter."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from .errors import OutputError, ScoftError

__all__ = [
    "copy_file",
    "digest_json",
    "digest_tensors",
    "digest_text",
    "file_sha256",
    "remove_leftovers",
    "write_aside",
    "write_json",
    "write_text",
]

_ASIDE_MARK = ".writing-"


def write_aside(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, then rename it.

    A process killed at any instant leaves either the old file or the new one, never half a file.

    Args:
        path: final place; an existing file there is replaced in one step.
        write: called with the temporary path; must create that file.

    Raises:
        OutputError: the folder cannot be written or the disk is full; the temporary file is gone.
    """
    aside = path.with_name(f"{path.name}{_ASIDE_MARK}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(aside)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
        _flush_folder(path.parent)
    except ScoftError:
        _discard(aside)
        raise
    # safetensors reports a full disk with an exception of its own, so every kind is translated.
    except Exception as error:
        _discard(aside)
        raise OutputError(
            f"{path}: could not be written ({error}). Nothing was replaced; make room on the disk "
            "or choose another folder, then start again."
        ) from error
    except BaseException:
        _discard(aside)
        raise


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes by `write_aside`."""

    def write(aside: Path) -> None:
        shutil.copyfile(source, aside)

    write_aside(target, write)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON by `write_aside`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text by `write_aside`."""

    def write(aside: Path) -> None:
        aside.write_bytes(text.encode("utf-8"))

    write_aside(path, write)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed process left in `folder`.

    Those of a living process stay: two runs may fill one work folder at the same time.
    """
    for leftover in folder.glob(f"*{_ASIDE_MARK}*"):
        if not _is_being_written(leftover):
            leftover.unlink(missing_ok=True)


def _is_being_written(aside: Path) -> bool:
    number = aside.name.rpartition(_ASIDE_MARK)[2].partition("-")[0]
    try:
        # Numbers are given again: a process younger than the file did not write it.
        return bool(psutil.Process(int(number)).create_time() <= aside.stat().st_mtime)
    except (ValueError, psutil.Error, FileNotFoundError):
        return False


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_text(text: str) -> str:
    """Return the sha256 of UTF-8 text, as 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_json(value: Any) -> str:
    """Return the sha256 of `value` as canonical JSON (sorted keys), as 64 hex digits."""
    return digest_text(json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False))


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 of tensors: names, dtypes, shapes and bytes, in order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _discard(aside: Path) -> None:
    """Remove a temporary file; one that cannot be removed must not hide why the write failed."""
    with contextlib.suppress(OSError):
        aside.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable; Windows has no handle for folders and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
