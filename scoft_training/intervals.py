"""Confidence intervals of what `metrics` measures.

Means over captions or seeds get Student-t intervals: of 10 values a percentile bootstrap's "95 %"
holds the true mean in some 91 % of trials, Student's t in 95 %. KID is no mean of independent
values, and resampling with repeats is biased for it (a picture meets its own copy), so it gets a
jackknife: how far it moves when one picture is left out. It held in 92 to 98 % of trials with 50
and 200 pictures; all that was measured is in benchmarks/results.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import ConfigError
from .kernels import kernel_diagonal, kernel_row_sums, numbered_prompts, two_sets

__all__ = [
    "Interval",
    "difference_interval",
    "kid_difference_interval",
    "kid_interval",
    "mean_interval",
]

_FEWEST_GROUPS = 3
"""With one left out, a pair must be left."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its confidence interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def around(cls, mean: float, half_width: float) -> Interval:
        """Return the interval that reaches as far to either side."""
        return cls(mean, mean - half_width, mean + half_width)

    @property
    def half_width(self) -> float:
        """How far it reaches to either side."""
        return (self.high - self.low) / 2

    def scaled(self, factor: float) -> Interval:
        """Return it in another unit: KID's x 1000 is `scaled(1000)`. The factor is above 0."""
        return Interval(factor * self.mean, factor * self.low, factor * self.high)


def mean_interval(values: Sequence[float] | Tensor, confidence: float = 0.95) -> Interval:
    """Mean over captions or seeds and its Student-t confidence interval: mean +- t std / sqrt(n).

    No interval knows of what the values do not show: where one caption in ten is copied and the
    others are not, 10 captions hold none of the copied ones in a third of all cases.

    Args:
        values: (n,) one measurement a caption or seed, independent; the mean about normal.
        confidence: share of such intervals that hold the true mean, in (0, 1).

    Raises:
        ConfigError: fewer than 2 values, NaN among them, or another confidence.
    """
    measured = _values("values", values)
    if len(measured) < 2:
        raise ConfigError(
            f"A confidence interval needs at least 2 values but got {len(measured)}. Measure more "
            "captions or seeds."
        )
    error = float(measured.std(correction=1)) / math.sqrt(len(measured))
    reach = _t_quantile(confidence, len(measured) - 1) * error
    return Interval.around(float(measured.mean()), reach)


def difference_interval(
    values: Sequence[float] | Tensor, baseline: Sequence[float] | Tensor, confidence: float = 0.95
) -> Interval:
    """How far a model's mean lies above the baseline's, over the same captions in the same order.

    What makes a caption easy or hard for both models drops out of the pairs' differences, so this
    interval is narrower than the two means' own.

    Args:
        values: (captions,) of one model.
        baseline: (captions,) of the other.
        confidence: in (0, 1).

    Raises:
        ConfigError: other captions in number, fewer than 2, NaN, or another confidence.
    """
    one, other = _values("values", values), _values("baseline", baseline)
    if len(one) != len(other):
        raise ConfigError(
            f"`values` has {len(one)} captions but `baseline` has {len(other)}. Pass both models' "
            "values for the same captions, in the same order."
        )
    return mean_interval(one - other, confidence)


def kid_interval(
    generated: Tensor,
    reference: Tensor,
    confidence: float = 0.95,
    *,
    groups: Sequence[int] | None = None,
    reference_groups: Sequence[int] | None = None,
) -> Interval:
    """KID of the whole sets, raw (not x 1000), and its interval by the two-sample jackknife.

    Each picture of either set is left out in turn; the variance is (n - 1) / n times the squared
    deviations of these values, summed, for one set plus the same for the other. All of them follow
    from the row sums of the kernel matrices, so it costs what KID costs. Where both sets are alike
    KID's first-order part vanishes and the jackknife doubles the rest (Efron & Stein 1981, it errs
    upwards), so there the interval is too wide rather than too narrow.

    Args:
        generated: (n, dim) features.
        reference: (m, dim) features of the same network.
        confidence: in (0, 1).
        groups: (n,) the caption of each generated picture, where captions have several: pictures
            of one caption are alike and are left out together. About as many for each caption.
            None takes each for itself.
        reference_groups: (m,) likewise, numbered as `groups` are, where both sets were drawn for
            the same prompts: as `kid` with `prompts` no pair of one prompt counts, and a prompt is
            left out of both sets at once.

    Raises:
        ConfigError: fewer than 3 pictures or groups of a kind, or shapes that do not go together.
    """
    x, y = two_sets(generated, reference, fewest=3, measure="KID's interval")
    if reference_groups is not None:
        values = _SamePrompts.of(x, y, groups, reference_groups).values()
        return _jackknifed(float(values[0]), (values[1:],), confidence)
    parts = _Parts.of(x, y, _groups(len(x), groups))
    within = kernel_row_sums(y, y) - kernel_diagonal(y)
    n, m, both = len(x), len(y), parts.across.sum()
    estimate = parts.within_mean() + within.sum() / (m * (m - 1)) - 2 * both / (n * m)
    without_reference = (within.sum() - 2 * within) / ((m - 1) * (m - 2))
    left = without_reference - 2 * (both - parts.across) / (n * (m - 1))
    return _jackknifed(float(estimate), (parts.left_out(), left), confidence)


def kid_difference_interval(
    generated: Tensor,
    baseline: Tensor,
    reference: Tensor,
    confidence: float = 0.95,
    *,
    groups: Sequence[int] | None = None,
    reference_groups: Sequence[int] | None = None,
) -> Interval:
    """How far a model's raw KID lies above the baseline's, to the same reference pictures.

    A reference picture is left out for both models, and so is a drawing of one model together with
    the other's of the same prompt and seed: what they share drops out.

    Args:
        generated: (n, dim) features of one model's drawings.
        baseline: (n, dim), row by row the other's for the same prompt and seed.
        reference: (m, dim).
        confidence: in (0, 1).
        groups: (n,) captions, as in `kid_interval`.
        reference_groups: (m,) captions, as in `kid_interval`.

    Raises:
        ConfigError: unpaired drawings, or what `kid_interval` refuses.
    """
    x, y = two_sets(generated, reference, fewest=3, measure="KID's interval")
    other, _ = two_sets(baseline, reference, fewest=3, measure="KID's interval")
    if len(other) != len(x):
        raise ConfigError(
            f"`generated` has {len(x)} pictures but `baseline` has {len(other)}. Pass both models' "
            "drawings of the same prompts and seeds, in the same order."
        )
    if reference_groups is not None:
        of_both = [_SamePrompts.of(drawn, y, groups, reference_groups) for drawn in (x, other)]
        differences = of_both[0].values() - of_both[1].values()
        return _jackknifed(float(differences[0]), (differences[1:],), confidence)
    members = _groups(len(x), groups)
    one, two = _Parts.of(x, y, members), _Parts.of(other, y, members)
    n, m, across = len(x), len(y), one.across - two.across
    estimate = one.within_mean() - two.within_mean() - 2 * across.sum() / (n * m)
    left = -2 * (across.sum() - across) / (n * (m - 1))
    sides = one.left_out() - two.left_out(), left
    return _jackknifed(float(estimate), sides, confidence)


@dataclass(frozen=True)
class _Parts:
    """The sums that a KID of n drawings in p groups and m reference pictures is made of.

    Attributes:
        sizes: (p,) drawings in each group.
        within: (p,) of each group's drawings with all drawings but themselves.
        inside: (p,) that part of `within` where both are of the group.
        cross: (p,) of each group's drawings with all reference pictures.
        across: (m,) of each reference picture with all drawings.
    """

    sizes: Tensor
    within: Tensor
    inside: Tensor
    cross: Tensor
    across: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor, members: Tensor) -> _Parts:
        own = kernel_diagonal(x)
        count = int(members.max()) + 1
        inside = torch.zeros(count, dtype=torch.float64)
        if count < len(x):
            for group in range(count):
                drawn = x[members == group]
                inside[group] = kernel_row_sums(drawn, drawn).sum()
            inside -= _by_group(own, members, count)
        return cls(
            sizes=_by_group(torch.ones(len(x)), members, count),
            within=_by_group(kernel_row_sums(x, x) - own, members, count),
            inside=inside,
            cross=_by_group(kernel_row_sums(x, y), members, count),
            across=kernel_row_sums(y, x),
        )

    def within_mean(self) -> Tensor:
        """Return the kernel's mean over pairs of different drawings."""
        n = self.sizes.sum()
        return self.within.sum() / (n * (n - 1))

    def left_out(self) -> Tensor:
        """(p,) KID without each group, but for what does not depend on the drawings."""
        n, m = self.sizes.sum() - self.sizes, len(self.across)
        pairs = self.within.sum() - 2 * self.within + self.inside
        return pairs / (n * (n - 1)) - 2 * (self.cross.sum() - self.cross) / (n * m)


@dataclass(frozen=True)
class _SamePrompts:
    """The sums of a KID between two sets for the same p prompts, pairs of one prompt left out.

    Attributes:
        drawn: (p,) generated pictures of each prompt.
        real: (p,) reference pictures of each.
        within_drawn: (p,) of each prompt's generated pictures with those of other prompts.
        within_real: (p,) likewise of reference pictures.
        from_drawn: (p,) of each prompt's generated pictures with other prompts' reference ones.
        from_real: (p,) the other way round.
    """

    drawn: Tensor
    real: Tensor
    within_drawn: Tensor
    within_real: Tensor
    from_drawn: Tensor
    from_real: Tensor

    @classmethod
    def of(
        cls, x: Tensor, y: Tensor, groups: Sequence[int] | None, reference_groups: Sequence[int]
    ) -> _SamePrompts:
        if groups is None:
            raise ConfigError("`reference_groups` needs `groups` beside it: pass both or neither.")
        of_x, of_y = numbered_prompts(groups, reference_groups, counts=(len(x), len(y)))
        if min(len(set(groups)), len(set(reference_groups))) < _FEWEST_GROUPS:
            raise _too_few(min(len(set(groups)), len(set(reference_groups))))
        count = int(torch.cat([of_x, of_y]).max()) + 1
        return cls(
            _by_group(torch.ones(len(x)), of_x, count),
            _by_group(torch.ones(len(y)), of_y, count),
            _by_group(kernel_row_sums(x, x, (of_x, of_x)), of_x, count),
            _by_group(kernel_row_sums(y, y, (of_y, of_y)), of_y, count),
            _by_group(kernel_row_sums(x, y, (of_x, of_y)), of_x, count),
            _by_group(kernel_row_sums(y, x, (of_y, of_x)), of_y, count),
        )

    def values(self) -> Tensor:
        """(1 + p,) KID, then KID without each prompt."""
        both_ways = _less_each(self.from_drawn + self.from_real) - self.from_real.sum()
        return (
            (2 * _less_each(self.within_drawn) - self.within_drawn.sum()) / _pairs(self.drawn)
            + (2 * _less_each(self.within_real) - self.within_real.sum()) / _pairs(self.real)
            - 2 * both_ways / _pairs(self.drawn, self.real)
        )


def _less_each(values: Tensor) -> Tensor:
    """(p,) -> (1 + p,) the sum of all, then the sums without each."""
    nothing = torch.zeros(1, dtype=torch.float64)
    return values.sum() - torch.cat([nothing, values])


def _pairs(one: Tensor, other: Tensor | None = None) -> Tensor:
    """(p,) pictures of each prompt -> (1 + p,) pairs of two prompts: all, then without each."""
    other = one if other is None else other
    return _less_each(one) * _less_each(other) - _less_each(one * other)


def _jackknifed(estimate: float, sides: Sequence[Tensor], confidence: float) -> Interval:
    """Return the interval from the values with one left out, for each side that is sampled.

    The degrees of freedom are Welch's, of a sum of variances.
    """
    variances = [
        float((len(left) - 1) / len(left) * (left - left.mean()).square().sum()) for left in sides
    ]
    total = sum(variances)
    if total == 0:
        return Interval(estimate, estimate, estimate)
    parts = zip(variances, sides, strict=True)
    dof = total**2 / sum(one**2 / (len(left) - 1) for one, left in parts)
    return Interval.around(estimate, _t_quantile(confidence, dof) * math.sqrt(total))


def _by_group(values: Tensor, members: Tensor, count: int) -> Tensor:
    """(n,) -> (count,) sums over each group."""
    return torch.zeros(count, dtype=torch.float64).index_add(0, members, values.double())


def _groups(count: int, groups: Sequence[int] | None) -> Tensor:
    """(count,) -> the groups numbered from 0."""
    if groups is None:
        return torch.arange(count)
    if len(groups) != count:
        raise ConfigError(
            f"`groups` has {len(groups)} numbers but there are {count} generated pictures. Pass "
            "the caption of each picture."
        )
    numbers = {group: number for number, group in enumerate(sorted(set(groups)))}
    if len(numbers) < _FEWEST_GROUPS:
        raise _too_few(len(numbers))
    return torch.tensor([numbers[group] for group in groups])


def _too_few(groups: int) -> ConfigError:
    return ConfigError(
        f"KID's interval needs pictures of at least {_FEWEST_GROUPS} captions but got {groups}. "
        "Draw for more captions, or pass no `groups`."
    )


def _values(name: str, values: Sequence[float] | Tensor) -> Tensor:
    measured = torch.as_tensor(values, dtype=torch.float64).detach().cpu()
    if measured.ndim != 1 or not bool(measured.isfinite().all()):
        raise ConfigError(
            f"`{name}` must be a list of finite numbers but got {measured.tolist()}. Leave out "
            "what could not be measured."
        )
    return measured


def _t_quantile(confidence: float, dof: float) -> float:
    """Return t with P(|T| < t) = confidence."""
    if not 0 < confidence < 1:
        raise ConfigError(f"`confidence` must lie between 0 and 1 but got {confidence}.")
    from scipy.special import stdtrit

    return float(stdtrit(dof, (1 + confidence) / 2))
