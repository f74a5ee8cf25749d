"""KID's kernel summed over pairs of pictures, in blocks: what KID and its intervals are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from .errors import ConfigError
from .vectors import checked

__all__ = [
    "cross_sums",
    "numbered_prompts",
    "one_prompt_only",
    "require_comparable",
    "squared_mmd",
    "two_sets",
    "within_sums",
]

_BLOCK_VALUES = 2**24
"""Values of a kernel matrix held at once, 128 MiB; MS COCO's whole matrix would not fit."""


def within_sums(
    x: Tensor, prompts: Tensor | None = None, check_stop: Callable[[], None] = lambda: None
) -> Tensor:
    """Return what each x_i sums to over all other x_j under KID's kernel, (x . y / dim + 1)^3.

    The kernel matrix is symmetric, so half of it is computed, and block by block.

    Args:
        x: (n, dim) float64.
        prompts: (n,) integers: pairs of one prompt are left out. None leaves out each x_i itself.
        check_stop: called before each block; raises to stop.

    Returns:
        (n,)
    """
    sums = torch.zeros(len(x), dtype=x.dtype)
    for block in _blocks(len(x), len(x)):
        check_stop()
        kernel = _kernel(x[block], x[block.start :])
        if prompts is None:
            kernel.fill_diagonal_(0)
        else:
            kernel[prompts[block, None] == prompts[block.start :]] = 0
        sums[block] += kernel.sum(dim=1)
        sums[block.stop :] += kernel[:, block.stop - block.start :].sum(dim=0)
    return sums


def cross_sums(
    x: Tensor,
    y: Tensor,
    apart: tuple[Tensor, Tensor] | None = None,
    check_stop: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """Return what each x_i sums to over all y_j, and each y_j over all x_i.

    Args:
        x: (n, dim) float64.
        y: (m, dim) float64.
        apart: (n,) and (m,) integers, the prompt of each picture: pairs of one prompt are left
            out. None sums over all pairs.
        check_stop: as in `within_sums`.

    Returns:
        (n,) and (m,)
    """
    of_x, of_y = torch.zeros(len(x), dtype=x.dtype), torch.zeros(len(y), dtype=y.dtype)
    for block in _blocks(len(x), len(y)):
        check_stop()
        kernel = _kernel(x[block], y)
        if apart is not None:
            kernel[apart[0][block, None] == apart[1]] = 0
        of_x[block] = kernel.sum(dim=1)
        of_y += kernel.sum(dim=0)
    return of_x, of_y


def squared_mmd(x: Tensor, y: Tensor, apart: tuple[Tensor, Tensor] | None = None) -> float:
    """Return the unbiased MMD^2 of two sets under KID's kernel.

    Args:
        x: (n, dim).
        y: (m, dim).
        apart: as in `cross_sums`, and within the sets likewise.

    Raises:
        ConfigError: pictures of one prompt only, so that no pair is left.
    """
    n, m = len(x), len(y)
    of_x = of_y = None
    pairs = (n * (n - 1), m * (m - 1), n * m)
    if apart is not None:
        of_x, of_y = apart
        pairs = (_pairs(of_x, of_x), _pairs(of_y, of_y), _pairs(of_x, of_y))
    if min(pairs) == 0:
        raise one_prompt_only()
    sums = within_sums(x, of_x), within_sums(y, of_y), cross_sums(x, y, apart)[0]
    one, other, across = (float(part.sum()) / of for part, of in zip(sums, pairs, strict=True))
    return one + other - 2 * across


def two_sets(
    generated: Tensor, reference: Tensor, *, fewest: int, measure: str
) -> tuple[Tensor, Tensor]:
    """Return both sets, (pictures, dim) each, checked.

    Raises:
        ConfigError: not two axes, NaN, different dims, or fewer than `fewest` pictures of a kind.
    """
    x = checked("generated", generated, ("pictures", "dim"))
    y = checked("reference", reference, ("pictures", "dim"))
    require_comparable(x, y, fewest=fewest, measure=measure)
    return x, y


def require_comparable(x: Tensor, y: Tensor, *, fewest: int, measure: str) -> None:
    """Refuse generated and reference pictures, (pictures, dim) each, that are not comparable.

    Raises:
        ConfigError: different dims, or fewer than `fewest` pictures of a kind.
    """
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


def one_prompt_only() -> ConfigError:
    """Return what is wrong where no pair of two prompts is left."""
    return ConfigError(
        "KID compares pictures of different prompts but got pictures of one prompt only. Draw for "
        "more prompts, or larger subsets."
    )


def _pairs(one: Tensor, other: Tensor) -> int:
    """(n,) and (m,) numbers of prompts -> how many pairs of pictures are of two prompts."""
    count = int(torch.cat([one, other]).max()) + 1
    alike = torch.bincount(one, minlength=count) * torch.bincount(other, minlength=count)
    return len(one) * len(other) - int(alike.sum())


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield the rows of a matrix in blocks that fit in memory."""
    size = max(1, _BLOCK_VALUES // columns)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """(n, dim) and (m, dim) -> (n, m), in place as far as it goes: blocks are large."""
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)
