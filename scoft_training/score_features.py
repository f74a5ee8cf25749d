"""The vectors that scoring measures with: of picture files, piece by piece, found by digest."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from .events import Event, PhaseEvent
from .metric_network_interface import MetricNetwork
from .picture_features import PictureFeatures, Unreadable
from .picture_folders import PictureFile

__all__ = ["SQUARE", "Vectors", "measured"]

SQUARE = (
    "Of a picture that is no square only the largest square at its centre enters, as in training, "
    "since drawings are square, and a network that squeezes whole pictures would see others "
    "distorted."
)
"""What is done to every picture before a network's own resizing."""

_EVENT_EVERY = 16
"""Pictures between two events."""


class _Digested(Protocol):
    @property
    def sha256(self) -> str: ...


class Vectors:
    """One network's vectors of pictures, by the digests of their files.

    Attributes:
        skipped: pictures that could not be read.
    """

    def __init__(self) -> None:
        self.skipped: tuple[Unreadable, ...] = ()
        self._places: dict[str, int] = {}
        self._rows = torch.empty(0, 0)

    def fill(self, files: Sequence[PictureFile], rows: Tensor) -> None:
        """Take (files, dim) vectors in the place of those before."""
        self._places = {file.sha256: place for place, file in enumerate(files)}
        self._rows = rows

    def has(self, picture: _Digested) -> bool:
        """Tell whether a picture could be measured."""
        return picture.sha256 in self._places

    def of(self, pictures: Iterable[_Digested]) -> Tensor:
        """Return (pictures, dim) of measured ones, in their order."""
        return self._rows[[self._places[picture.sha256] for picture in pictures]]


def measured(
    network: MetricNetwork,
    files: Iterable[PictureFile],
    cache: Path,
    *,
    batch_size: int,
    skip_unreadable: bool,
    check_stop: Callable[[], None] = lambda: None,
) -> Generator[Event, None, Vectors]:
    """Embed pictures on their centre squares, each once, and tell how far it has come.

    Args:
        network: on the device where it is to compute.
        files: may hold a picture more than once.
        cache: folder that keeps the vectors; what is there is not computed again.
        batch_size: pictures that go through the network at once.
        skip_unreadable: go on without pictures that cannot be read.
        check_stop: called before each picture is read; raises to stop.

    Raises:
        DatasetError: pictures that cannot be read, named.
        NotEnoughMemoryError: out of memory.
    """
    features = PictureFeatures(
        network, cache, batch_size=batch_size, skip_unreadable=skip_unreadable, square=True
    )
    wanted = list({file.sha256: file for file in files}.values())
    phase = f"pictures under {network.name}"
    yield PhaseEvent(phase, 0, len(wanted))
    steps = features.steps(wanted, check_stop=check_stop)
    while True:
        try:
            done, total = next(steps)
        except StopIteration as end:
            rows = end.value
            break
        if done % _EVENT_EVERY == 0 or done == total:
            yield PhaseEvent(phase, done, total)
    vectors = Vectors()
    vectors.fill(features.kept(wanted), rows)
    vectors.skipped = tuple(features.skipped)
    return vectors
