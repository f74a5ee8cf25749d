"""Randomness as a function: a draw depends on what it is for, never on what was drawn before.

So a resumed run, another number of processes and another micro-batch size see the same draws.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

__all__ = ["choice", "generator", "normal", "row_order"]


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator that is a function of its arguments alone.

    Args:
        seed: the run's seed.
        purpose: what is drawn and where, say ("noise", step, position in the global batch).
    """
    key = hashlib.sha256(repr((seed, *purpose)).encode("utf-8")).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "little", signed=True))


def normal(shape: tuple[int, ...], dtype: torch.dtype, seed: int, *purpose: str | int) -> Tensor:
    """Return Gaussian noise of `shape` on CPU, drawn in float64: every dtype sees the same."""
    noise = torch.randn(shape, generator=generator(seed, *purpose), dtype=torch.float64)
    return noise.to(dtype)


def choice(count: int, seed: int, *purpose: str | int) -> int:
    """Return one of 0 .. count - 1, all equally likely."""
    return int(torch.randint(count, (1,), generator=generator(seed, *purpose)))


def row_order(num_rows: int, sample: int, seed: int) -> int:
    """Return the row that the run's sample number `sample` shows: a fresh permutation per epoch."""
    epoch, place = divmod(sample, num_rows)
    return int(torch.randperm(num_rows, generator=generator(seed, "order", epoch))[place])
