"""Bytes of the tensors that are alive: how much a stretch of work holds at once.

It counts storages that operators make inside the `with` block, on any device, meta too, each from
its making to its end. Not counted: what an operator needs for itself while it runs, and what was
there before, such as weights.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

__all__ = ["LiveBytes"]


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while its `with` block lasts; what was made inside still counts off as it ends.

    Attributes:
        now: bytes alive that were made inside.
        peak: the most that `now` has been.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        # By address, which is the storage's own while it is alive.
        self._alive: dict[int, tuple[weakref.ref[Any], int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Carry out one operator and count what it made."""
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        # Views, and results in place, share the storage of what they were made of.
        given = {_storage(tensor)._cdata for tensor in _tensors((args, kwargs))}
        for tensor in _tensors(made):
            storage = _storage(tensor)
            if storage._cdata not in given:
                self._count(storage)
        return made

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return

        def ended(_reference: Any) -> None:
            self.now -= self._alive.pop(key)[1]

        self._alive[key] = (weakref.ref(storage, ended), size)
        self.now += size
        self.peak = max(self.peak, self.now)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_iter(tree) if isinstance(leaf, torch.Tensor)]


def _storage(tensor: torch.Tensor) -> Any:
    return tensor.untyped_storage()
