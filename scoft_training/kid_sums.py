"""KID of one or several models to the same pictures, and what it is with something left out.

All of it follows from sums over the rows of the kernel matrices. What the reference pictures sum to
among themselves is computed once for all models, though it is by far the most where they are many;
each model adds its own sums once, of which its KID, the interval (`intervals`) and its differences
from other models are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import ConfigError
from .kernels import (
    cross_sums,
    numbered_prompts,
    one_prompt_only,
    require_comparable,
    within_sums,
)
from .vectors import checked

__all__ = ["FEWEST_LEFT_OUT", "KidReference", "LeftOutKid"]

FEWEST_LEFT_OUT = 3
"""Pictures, or prompts of several, on either side: with one left out, a pair must be left."""


@dataclass(frozen=True)
class LeftOutKid:
    """A KID, or the difference of two, with and without parts of what it was measured of.

    Attributes:
        value: of the whole sets, raw: not x 1000.
        left_out: for each side that is sampled the KIDs without one of its parts, (parts,) each:
            without each drawing (or prompt's drawings), then without each reference picture; one
            side alone, of prompts, where both sets were drawn for the same prompts. Empty where a
            side has fewer than 3 parts.
    """

    value: float
    left_out: tuple[Tensor, ...]

    def minus(self, other: LeftOutKid) -> LeftOutKid:
        """Return the difference, each part left out of both.

        So what both models share drops out: the reference, and what prompt and seed decide.

        Args:
            other: to the same reference, of drawings for the same prompts and seeds in the same
                order.

        Raises:
            ConfigError: of another number of parts.
        """
        mine, its = ([len(side) for side in one.left_out] for one in (self, other))
        if mine != its:
            raise ConfigError(
                f"Two KIDs leave out {mine} and {its} pictures or prompts. Pass both models' "
                "drawings of the same prompts and seeds, to the same reference pictures."
            )
        sides = zip(self.left_out, other.left_out, strict=True)
        return LeftOutKid(self.value - other.value, tuple(one - two for one, two in sides))


class KidReference:
    """Pictures that several models' drawings are compared with.

    Args:
        pictures: (m, dim) features.
        prompts: (m,) the prompt of each, where the drawings are for the same prompts: no pair of
            one prompt counts, and a prompt is left out of both sets at once. None takes all pairs.
        check_stop: called between blocks of the kernel matrices; raises to stop.

    Raises:
        ConfigError: NaN, other axes, or not one prompt a picture.
    """

    def __init__(
        self,
        pictures: Tensor,
        *,
        prompts: Sequence[int] | None = None,
        check_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._pictures = checked("reference", pictures, ("pictures", "dim"))
        self._prompts, self._check_stop = prompts, check_stop
        numbers = None
        if prompts is not None:
            _, numbers = numbered_prompts((), prompts, counts=(0, len(pictures)))
        self._within = within_sums(self._pictures, numbers, check_stop)

    def kid_of(self, generated: Tensor, *, groups: Sequence[int] | None = None) -> LeftOutKid:
        """Return the KID of one model's drawings.

        Args:
            generated: (n, dim) features of the same network.
            groups: (n,) the prompt of each drawing, where prompts have several: drawings of one
                are alike and are left out together. Needed beside the reference's `prompts`, and
                numbered as these are. None takes each drawing for itself.

        Raises:
            ConfigError: features of another network, fewer than 2 pictures, not one prompt a
                picture, or pictures of one prompt only.
        """
        x, y = checked("generated", generated, ("pictures", "dim")), self._pictures
        require_comparable(x, y, fewest=2, measure="KID")
        if self._prompts is None:
            return self._one_left_out(x, y, _members(len(x), groups))
        if groups is None:
            raise ConfigError(
                "The prompts of the reference pictures are known, so those of the generated ones "
                "must be, too: pass `groups` beside them."
            )
        return self._prompt_left_out(
            x, y, *numbered_prompts(groups, self._prompts, counts=(len(x), len(y)))
        )

    def _one_left_out(self, x: Tensor, y: Tensor, members: Tensor) -> LeftOutKid:
        """Leave out each group of drawings in turn, then each reference picture."""
        n, m, count = len(x), len(y), int(members.max()) + 1
        within = within_sums(x, check_stop=self._check_stop)
        of_x, of_y = cross_sums(x, y, check_stop=self._check_stop)
        drawn, real, across = within.sum(), self._within.sum(), of_y.sum()
        value = float(_mmd((drawn, n * (n - 1)), (real, m * (m - 1)), (across, n * m)))
        if min(count, m) < FEWEST_LEFT_OUT:
            return LeftOutKid(value, ())
        left = n - _by_group(torch.ones(n), members, count)
        # Pairs inside a group are in its sums twice.
        inside = torch.zeros(count, dtype=torch.float64)
        for group in range(count if count < n else 0):
            inside[group] = within_sums(x[members == group]).sum()
        without_drawn = _mmd(
            (drawn - 2 * _by_group(within, members, count) + inside, left * (left - 1)),
            (real, m * (m - 1)),
            (across - _by_group(of_x, members, count), left * m),
        )
        without_real = _mmd(
            (drawn, n * (n - 1)),
            (real - 2 * self._within, (m - 1) * (m - 2)),
            (across - of_y, n * (m - 1)),
        )
        return LeftOutKid(value, (without_drawn, without_real))

    def _prompt_left_out(self, x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> LeftOutKid:
        """Count pairs of two prompts only, and leave each prompt out of both sets in turn."""
        count = int(torch.cat([of_x, of_y]).max()) + 1
        drawn, real = (_by_group(torch.ones(len(of)), of, count) for of in (of_x, of_y))
        cross_x, cross_y = cross_sums(x, y, (of_x, of_y), self._check_stop)
        within_x = _by_group(within_sums(x, of_x, self._check_stop), of_x, count)
        within_y = _by_group(self._within, of_y, count)
        across = _by_group(cross_x, of_x, count) + _by_group(cross_y, of_y, count)
        pairs = _pairs(drawn, drawn), _pairs(real, real), _pairs(drawn, real)
        if min(int(kind[0]) for kind in pairs) == 0:
            raise one_prompt_only()
        sums = (
            _all_then_without_each(within_x.sum(), 2 * within_x),
            _all_then_without_each(within_y.sum(), 2 * within_y),
            _all_then_without_each(cross_x.sum(), across),
        )
        values = _mmd(*zip(sums, pairs, strict=True))
        fewest = min(int((side > 0).sum()) for side in (drawn, real))
        return LeftOutKid(float(values[0]), (values[1:],) if fewest >= FEWEST_LEFT_OUT else ())


def _mmd(*means: tuple[Tensor, Tensor | int]) -> Tensor:
    """Return MMD^2 from sum and number of pairs: of drawings, of reference pictures, across."""
    drawn, real, across = (total / pairs for total, pairs in means)
    return drawn + real - 2 * across


def _all_then_without_each(total: Tensor, parts: Tensor) -> Tensor:
    """() and (p,) -> (1 + p,)."""
    return torch.cat([total[None], total - parts])


def _pairs(one: Tensor, other: Tensor) -> Tensor:
    """(p,) pictures of each prompt -> (1 + p,) pairs of two prompts: all, then without each."""
    alike = _all_then_without_each((one * other).sum(), one * other)
    mine, its = (_all_then_without_each(side.sum(), side) for side in (one, other))
    return mine * its - alike


def _by_group(values: Tensor, members: Tensor, count: int) -> Tensor:
    """(n,) -> (count,) sums over each group."""
    return torch.zeros(count, dtype=torch.float64).index_add(0, members, values.double())


def _members(count: int, groups: Sequence[int] | None) -> Tensor:
    """(count,) -> the groups numbered from 0; each picture is its own without groups."""
    if groups is None:
        return torch.arange(count)
    if len(groups) != count:
        raise ConfigError(
            f"`groups` has {len(groups)} numbers but there are {count} generated pictures. Pass "
            "the caption of each picture."
        )
    numbers = {group: number for number, group in enumerate(sorted(set(groups)))}
    return torch.tensor([numbers[group] for group in groups])
