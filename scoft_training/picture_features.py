"""Pictures in files -> their vectors under one network, computed once and kept.

Not here: which files (`picture_folders`, `grids`), what a network does (`metric_networks`), how the
vectors are kept (`feature_shards`) and what is measured of them (`metrics`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import ConfigError, DatasetError, NotEnoughMemoryError
from .feature_shards import FeatureShards
from .files import digest_text, file_sha256
from .metric_network_interface import MetricNetwork
from .picture_folders import PictureFile
from .pictures import decide_crop, open_picture

__all__ = ["PictureFeatures", "Unreadable"]

_SHARD_ROWS = 512
"""New vectors that are written together: what a killed process loses at most."""

_WINDOW = 8
"""Batches' worth of pictures that wait for others of their size; networks with a size need none."""

_NAMED = 10


@dataclass(frozen=True)
class Unreadable:
    """A picture that was left out, and the sentence that says why."""

    file: PictureFile
    reason: str


class PictureFeatures:
    """Vectors of picture files under one network.

    Args:
        network: on the device where it is to compute.
        cache: folder that keeps vectors by the network's digest and the pictures'; several
            processes may fill it at once. None keeps nothing.
        batch_size: pictures that go through the network at once; without effect on the vectors.
        skip_unreadable: go on without pictures that cannot be read.
        square: cut pictures to their centre square first, as training does, so that drawings are
            compared with pictures of their own shape.

    Attributes:
        skipped: the pictures that were left out so far, each once.

    Raises:
        ConfigError: no batch.
    """

    def __init__(
        self,
        network: MetricNetwork,
        cache: Path | None,
        *,
        batch_size: int = 16,
        skip_unreadable: bool = False,
        square: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"`batch_size` must be 1 or more but got {batch_size}.")
        self.network = network
        self.skipped: list[Unreadable] = []
        self._batch_size = batch_size
        self._skip = skip_unreadable
        self._square = square
        digest = digest_text(f"{network.digest} of centre squares") if square else network.digest
        self._shards = FeatureShards(cache, digest, network.dim)

    def kept(self, files: Sequence[PictureFile]) -> list[PictureFile]:
        """Return those of the files that were not left out: whose vectors `of` returned."""
        left_out = {one.file.sha256 for one in self.skipped}
        return [file for file in files if file.sha256 not in left_out]

    def of(
        self,
        files: Sequence[PictureFile],
        *,
        check_stop: Callable[[], None] = lambda: None,
        on_progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Tensor:
        """Return the vectors of pictures, in the order of the files.

        With `skip_unreadable` the rows are those of `kept(files)`, asked afterwards.

        Args:
            files: a picture may be among them twice; it is computed once.
            check_stop: called before each picture is read; raises to stop. What was computed until
                then is kept.
            on_progress: told the files done, of all.

        Returns:
            (files, dim), float32, on the CPU.

        Raises:
            DatasetError: pictures that cannot be read; the message names the first ten. The others'
                vectors are kept.
            NotEnoughMemoryError: out of memory.
        """
        steps = self.steps(files, check_stop=check_stop)
        while True:
            try:
                on_progress(*next(steps))
            except StopIteration as end:
                vectors: Tensor = end.value
                return vectors

    def steps(
        self, files: Sequence[PictureFile], *, check_stop: Callable[[], None] = lambda: None
    ) -> Generator[tuple[int, int], None, Tensor]:
        """Do what `of` does, yielding (files done, files) on the way; for callers that yield, too.

        Raises:
            DatasetError: as by `of`.
            NotEnoughMemoryError: likewise.
        """
        vectors = self._shards.read({file.sha256 for file in files})
        new: dict[str, PictureFile] = {}
        for file in self.kept(files):
            if file.sha256 not in vectors:
                new.setdefault(file.sha256, file)
        done = len(files) - len(new)
        yield done, len(files)
        faults: list[Unreadable] = []
        fresh: dict[str, Tensor] = {}
        try:
            for file, answer in self._computed(list(new.values()), check_stop):
                if isinstance(answer, Tensor):
                    fresh[file.sha256] = vectors[file.sha256] = answer
                else:
                    faults.append(Unreadable(file, answer))
                done += 1
                yield done, len(files)
                if len(fresh) == _SHARD_ROWS:
                    self._shards.write(fresh)
                    fresh = {}
        finally:
            self._shards.write(fresh)
        self._judge(faults)
        rows = [vectors[file.sha256] for file in self.kept(files)]
        return torch.stack(rows) if rows else torch.empty(0, self.network.dim)

    def _computed(
        self, files: Sequence[PictureFile], check_stop: Callable[[], None]
    ) -> Iterator[tuple[PictureFile, Tensor | str]]:
        """Yield files with their vectors, in batches of one size, or with why there is none."""
        waiting: dict[torch.Size, list[tuple[PictureFile, Tensor]]] = {}
        for file in files:
            check_stop()
            try:
                picture = self._read(file)
            except DatasetError as error:
                yield file, str(error)
                continue
            group = waiting.setdefault(picture.shape, [])
            group.append((file, picture))
            if len(group) == self._batch_size:
                yield from self._embedded(waiting.pop(picture.shape))
            elif sum(map(len, waiting.values())) >= _WINDOW * self._batch_size:
                largest = max(waiting, key=lambda shape: len(waiting[shape]))
                yield from self._embedded(waiting.pop(largest))
        for group in waiting.values():
            yield from self._embedded(group)

    def _read(self, file: PictureFile) -> Tensor:
        """Return a picture as the network sees it, (3, rows, columns)."""
        image = open_picture(file.path, where=str(file.path))
        if file_sha256(file.path) != file.sha256:
            raise DatasetError(
                f"{file.path} is not the picture that was listed: it has changed since. Bring the "
                "old one back, or list the pictures anew."
            )
        if self._square:
            crop = decide_crop(image.size, mode="center", seed=0, picture_sha256=file.sha256)
            # On whole pixels: nothing is resampled here.
            left, top, right, bottom = map(round, crop.box(image.size))
            image = image.crop((left, top, right, bottom))
        values = torch.from_numpy(np.array(image, dtype=np.float32)) / 255
        return self.network.prepare(values.permute(2, 0, 1)[None])[0]

    def _embedded(
        self, group: Sequence[tuple[PictureFile, Tensor]]
    ) -> Iterator[tuple[PictureFile, Tensor]]:
        pictures = torch.stack([picture for _, picture in group])
        try:
            vectors = self.network.embed_prepared(pictures)
        except torch.OutOfMemoryError as error:
            raise NotEnoughMemoryError(
                f"The memory of {self.network.device} does not suffice for {self.network.name} on "
                f"{self._batch_size} pictures at once. Lower `batch_size`, or close other programs "
                "that use the device."
            ) from error
        for (file, _), vector in zip(group, vectors, strict=True):
            yield file, vector.clone()

    def _judge(self, faults: Sequence[Unreadable]) -> None:
        if not faults or self._skip:
            self.skipped += faults
            return
        named = "\n".join(f"- {one.reason}" for one in faults[:_NAMED])
        more = f"\n- and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise DatasetError(
            f"{_count(len(faults))} cannot be measured. Mend them or take them away, or go on "
            f"without them by `skip_unreadable`:\n{named}{more}"
        )


def _count(number: int) -> str:
    return "1 picture" if number == 1 else f"{number} pictures"
