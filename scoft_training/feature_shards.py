"""Vectors of pictures on disk, by the digests of network and picture: `picture_features`' cache.

<cache>/<digest, 32 digits>/<digest of its content>.safetensors holds `pictures` (rows,
32) bytes, the sha256 of each picture, and `vectors` (rows, dim) float32. A shard is written once
and never changed, so any number of processes may write. Everything here may be deleted at any time.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from .errors import ModelFileError, OutputError
from .files import digest_tensors, remove_leftovers, write_aside
from .weights import load_tensors

__all__ = ["FeatureShards", "is_shard", "shard_pictures"]

logger = logging.getLogger(__name__)


class FeatureShards:
    """The shards of one network.

    Args:
        cache: the folder of all networks; None keeps nothing.
        digest: of the network and what else decides its vectors.
        dim: length of its vectors.
    """

    def __init__(self, cache: Path | None, digest: str, dim: int) -> None:
        self._folder = None if cache is None else cache / digest[:32]
        self._dim = dim
        self._contents: dict[Path, frozenset[str]] = {}

    def read(self, pictures: Set[str]) -> dict[str, Tensor]:
        """Return those vectors, (dim,) float32, that are there, by the pictures' sha256.

        A damaged shard is deleted with a warning: its pictures are computed anew.
        """
        found: dict[str, Tensor] = {}
        for path in self._paths():
            # Once seen, a shard is opened again only for what it holds.
            if self._contents.get(path, pictures).isdisjoint(pictures - found.keys()):
                continue
            names, vectors = _read(path, self._dim)
            self._contents[path] = frozenset(names)
            for name, vector in zip(names, vectors, strict=True):
                if name in pictures:
                    # A copy: a view would hold the whole shard in memory.
                    found[name] = vector.clone()
        return found

    def write(self, vectors: Mapping[str, Tensor]) -> None:
        """Keep vectors, by the pictures' sha256, as one shard.

        A folder that cannot be written costs time at the next measuring, which a warning says.
        """
        if self._folder is None or not vectors:
            return
        from safetensors.torch import save_file

        names = sorted(vectors)
        tensors = {
            "pictures": torch.tensor([list(bytes.fromhex(n)) for n in names], dtype=torch.uint8),
            "vectors": torch.stack([vectors[name].float() for name in names]),
        }
        path = self._folder / f"{digest_tensors(tensors)}.safetensors"
        try:
            write_aside(path, lambda aside: save_file(tensors, aside))
            remove_leftovers(self._folder)
        except OutputError as error:
            logger.warning("features are not kept: %s", error)

    def _paths(self) -> list[Path]:
        return [] if self._folder is None else sorted(self._folder.glob("*.safetensors"))


def is_shard(path: Path) -> bool:
    """Tell by its name whether a file is a shard."""
    named = re.fullmatch(r"[0-9a-f]{64}\.safetensors", path.name)
    return bool(named and re.fullmatch("[0-9a-f]{32}", path.parent.name))


def shard_pictures(path: Path) -> list[str]:
    """Return the sha256 of the pictures whose vectors a shard holds; nothing is deleted.

    Raises:
        ModelFileError: it is damaged.
    """
    names = load_tensors(path).get("pictures")
    if names is None:
        raise ModelFileError(f"{path}: holds no vectors of pictures. Delete the file.")
    return [bytes(name).hex() for name in names.tolist()]


def _read(path: Path, dim: int) -> tuple[list[str], Tensor]:
    """Return a shard's pictures and their vectors; none of one that is damaged."""
    try:
        tensors = load_tensors(path)
    except ModelFileError:
        tensors = {}
    names, vectors = tensors.get("pictures"), tensors.get("vectors")
    if names is not None and vectors is not None and digest_tensors(tensors) == path.stem:
        return [bytes(name).hex() for name in names.tolist()], vectors
    # Another process may have found it damaged first.
    if path.exists():
        logger.warning("%s is damaged; its pictures are measured anew", path)
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return [], torch.empty(0, dim)
