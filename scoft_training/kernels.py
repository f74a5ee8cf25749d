"""KID's kernel summed over pairs of pictures, in blocks: what KID and its intervals are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .errors import ConfigError
from .vectors import checked

__all__ = [
    "kernel_diagonal",
    "kernel_row_sums",
    "numbered_prompts",
    "squared_mmd",
    "two_sets",
]

# Rows of a kernel matrix held at once; MS COCO's whole matrix would not fit.
_KERNEL_ROWS = 1024


def kernel_row_sums(x: Tensor, y: Tensor, apart: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return what each x_i sums to over all y_j under KID's kernel, (x . y / dim + 1)^3.

    Args:
        x: (n, dim).
        y: (m, dim).
        apart: (n,) and (m,) integers, the prompt of each picture: pairs of one prompt are left
            out. None sums over all pairs.

    Returns:
        (n,); memory for some rows of the kernel matrix is needed, never for all.
    """
    sums = []
    for start in range(0, len(x), _KERNEL_ROWS):
        kernel = (x[start : start + _KERNEL_ROWS] @ y.T / x.shape[1] + 1).pow(3)
        if apart is not None:
            kernel[apart[0][start : start + _KERNEL_ROWS, None] == apart[1]] = 0
        sums.append(kernel.sum(dim=1))
    return torch.cat(sums)


def kernel_diagonal(x: Tensor) -> Tensor:
    """Return KID's kernel of each vector with itself: (n, dim) -> (n,)."""
    return (x.square().sum(dim=1) / x.shape[1] + 1).pow(3)


def squared_mmd(x: Tensor, y: Tensor, apart: tuple[Tensor, Tensor] | None = None) -> float:
    """Return the unbiased MMD^2 of two sets under KID's kernel.

    Args:
        x: (n, dim).
        y: (m, dim).
        apart: as in `kernel_row_sums`.

    Raises:
        ConfigError: pictures of one prompt only, so that no pair is left.
    """

    def within(vectors: Tensor, prompts: Tensor | None) -> float:
        count = len(vectors)
        if prompts is None:
            pairs = kernel_row_sums(vectors, vectors) - kernel_diagonal(vectors)
            return float(pairs.sum()) / (count * (count - 1))
        pairs = kernel_row_sums(vectors, vectors, (prompts, prompts))
        return float(pairs.sum()) / _pairs_left(prompts, prompts)

    if apart is None:
        across = float(kernel_row_sums(x, y).sum()) / (len(x) * len(y))
        return within(x, None) + within(y, None) - 2 * across
    across = float(kernel_row_sums(x, y, apart).sum()) / _pairs_left(*apart)
    return within(x, apart[0]) + within(y, apart[1]) - 2 * across


def two_sets(
    generated: Tensor, reference: Tensor, *, fewest: int, measure: str
) -> tuple[Tensor, Tensor]:
    """Return both sets, (pictures, dim) each, checked.

    Raises:
        ConfigError: not two axes, NaN, different dims, or fewer than `fewest` pictures of a kind.
    """
    x = checked("generated", generated, ("pictures", "dim"))
    y = checked("reference", reference, ("pictures", "dim"))
    if x.shape[1] != y.shape[1]:
        raise ConfigError(
            f"`generated` has {x.shape[1]} numbers a picture but `reference` has {y.shape[1]}. "
            "Embed both with the same network."
        )
    if min(len(x), len(y)) < fewest:
        raise ConfigError(
            f"{measure} needs at least {fewest} pictures of either kind but got {len(x)} generated "
            f"and {len(y)} reference pictures. Bring more."
        )
    return x, y


def numbered_prompts(
    generated: Sequence[int], reference: Sequence[int], counts: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return the prompts of both sets numbered from 0, the same number for the same prompt.

    Args:
        generated: the prompt of each drawing.
        reference: the prompt of each reference picture.
        counts: how many pictures of either kind there are.

    Raises:
        ConfigError: not one prompt a picture.
    """
    for name, prompts, count in zip(
        ("generated", "reference"), (generated, reference), counts, strict=True
    ):
        if len(prompts) != count:
            raise ConfigError(
                f"{count} {name} pictures have {len(prompts)} prompts or captions. Pass the one "
                "of each picture."
            )
    numbers = {one: number for number, one in enumerate(sorted({*generated, *reference}))}
    drawn, real = ([numbers[one] for one in prompts] for prompts in (generated, reference))
    return torch.tensor(drawn), torch.tensor(real)


def _pairs_left(one: Tensor, other: Tensor) -> int:
    """Return how many pairs are of two prompts."""
    left = int((one[:, None] != other).sum())
    if left == 0:
        raise ConfigError(
            "KID compares pictures of different prompts but got pictures of one prompt only. Draw "
            "for more prompts, or larger subsets."
        )
    return left
