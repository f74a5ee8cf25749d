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
from .kid_sums import FEWEST_LEFT_OUT, KidReference, LeftOutKid

__all__ = [
    "Interval",
    "difference_interval",
    "jackknife_interval",
    "kid_difference_interval",
    "kid_interval",
    "mean_interval",
    "subsets_interval",
]


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

    def within(self, least: float, most: float) -> Interval:
        """Return it cut at the ends of what the value can be; the mean stays in it.

        By rounding the mean of copies' cosines may lie above 1.
        """
        low, high = max(self.low, least), min(self.high, most)
        return Interval(self.mean, min(low, self.mean), max(high, self.mean))


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
    shared = KidReference(reference, prompts=reference_groups)
    return jackknife_interval(shared.kid_of(generated, groups=groups), confidence)


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
    if len(baseline) != len(generated):
        raise ConfigError(
            f"`generated` has {len(generated)} pictures but `baseline` has {len(baseline)}. Pass "
            "both models' drawings of the same prompts and seeds, in the same order."
        )
    shared = KidReference(reference, prompts=reference_groups)
    one, other = (shared.kid_of(drawn, groups=groups) for drawn in (generated, baseline))
    return jackknife_interval(one.minus(other), confidence)


def jackknife_interval(kid: LeftOutKid, confidence: float = 0.95) -> Interval:
    """Return the interval of a KID, or of two KIDs' difference, by what it is with parts left out.

    The degrees of freedom are Welch's, of a sum of variances.

    Raises:
        ConfigError: too few parts to leave one out, or another confidence.
    """
    if not kid.left_out:
        raise ConfigError(
            f"KID's interval needs {FEWEST_LEFT_OUT} pictures of either kind, and of "
            f"{FEWEST_LEFT_OUT} captions where these have several. Draw for more captions, or "
            "bring more pictures."
        )
    variances = [
        float((len(left) - 1) / len(left) * (left - left.mean()).square().sum())
        for left in kid.left_out
    ]
    total = sum(variances)
    if total == 0:
        return Interval(kid.value, kid.value, kid.value)
    parts = zip(variances, kid.left_out, strict=True)
    dof = total**2 / sum(one**2 / (len(left) - 1) for one, left in parts)
    return Interval.around(kid.value, _t_quantile(confidence, dof) * math.sqrt(total))


def subsets_interval(
    whole: Interval, mean: float, std: float, count: int, confidence: float = 0.95
) -> Interval:
    """Return the interval of a KID over random subsets: that of the whole sets, and the choice's.

    Over all choices the subsets' mean is the whole sets' KID, so the two errors are independent
    and add by their squares.

    Args:
        whole: of the whole sets, with the same confidence.
        mean: over the subsets.
        std: over the subsets, divisor `count`.
        count: how many subsets, 2 or more.
        confidence: in (0, 1).

    Raises:
        ConfigError: one subset, of which no spread is known, or another confidence.
    """
    if count < 2:
        raise ConfigError(
            f"The interval over subsets needs at least 2 of them but got {count}. Draw more."
        )
    choice = _t_quantile(confidence, count - 1) * std / math.sqrt(count - 1)
    return Interval.around(mean, math.hypot(whole.half_width, choice))


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
