"""How far the figures of a survey would move with other people: resamples of participants.

People are the units: one person's rankings are alike, so intervals over rankings would be too
narrow. The spread comes from a bootstrap, the ends from Student's t on an arcsine scale. Of five
people's average ranks the percentiles of a bootstrap, plain or BCa, that promise 95 % hold the true
value in 85 % of trials, these ends in 95 %; all that was measured is in benchmarks/results.md.
Pages and their pictures are taken as they are: other prompts might say something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, stdtrit

from .rank_statistics import meetings, ratio, sums
from .rank_table import Floats, Ints, RankTable
from .survey_records import Estimate

__all__ = ["RankEstimates", "Resamples", "draw_resamples", "rank_estimates"]

_NO_SPREAD = 1e-9
"""Resampled values closer than this differ by rounding only."""


@dataclass(frozen=True)
class Resamples:
    """Participants drawn again and again, each group for itself.

    Attributes:
        weights: (resamples, participants) how much a person counts, 1 in the mean.
        strata: (participants,) within whom a person was drawn: their group, or all people who are
            alone in theirs; -1 for people without a ranking.
        confidence: of the intervals, in (0, 1).
    """

    weights: Floats
    strata: Ints
    confidence: float

    def estimate(
        self, value: float, resampled: Floats, people: Ints, *, least: float, most: float
    ) -> Estimate:
        """Return a number with its interval.

        With p = (value - least) / (most - least) the ends are those of arcsin(sqrt(p)) plus and
        minus t times the standard deviation of the resampled ones, cut at least and most. The scale
        evens out the spread of shares, which is smaller near 0 and 1. t has as many degrees of
        freedom as there are people beyond the first of each stratum.

        Where no resample moves the number, for nobody differs, that says nothing of people who were
        not asked: the interval allows for the largest share q of people who might say anything
        else and yet be missed by all n, (1 - q)^n = 1 - confidence.

        Args:
            value: the number itself, in [least, most].
            resampled: (any,) the same from so many of the resamples; NaN where there is none.
            people: who is in it, as indexes.
            least, most: what the number can be.
        """
        moved = resampled[np.isfinite(resampled)]
        t = self._t(people)
        if t is None or len(moved) < 2:
            return Estimate(value)
        if np.ptp(moved) < _NO_SPREAD:
            missed = 1 - (1 - self.confidence) ** (1 / len(people))
            return Estimate(
                value, value - missed * (value - least), value + missed * (most - value)
            )
        middle, angles = (_angle((one - least) / (most - least)) for one in (value, moved))
        reach = t * float(angles.std(ddof=1))
        ends = np.sin(np.clip([middle - reach, middle + reach], 0, np.pi / 2)) ** 2
        low, high = (float(one) for one in least + (most - least) * ends)
        return Estimate(value, min(low, value), max(high, value))

    def chance(self, score: float, resampled: Floats, people: Ints, *, error: float) -> Estimate:
        """Return log-odds as a chance, with its interval.

        The ends are sigma(score plus and minus t times the standard deviation of the resampled
        ones, or `error` where that is more). Where people say much the same, resamples hardly move
        a fitted score, for it is the prior that holds it there; how far so few answers bound it,
        the error tells.

        Args:
            score: the log-odds.
            resampled: (resamples,) the same from so many of the resamples.
            people: who is in it, as indexes.
            error: standard deviation of the score by the answers themselves.
        """
        chance = float(expit(score))
        t = self._t(people)
        if t is None or len(resampled) < 2:
            return Estimate(chance)
        reach = t * max(float(resampled.std(ddof=1)), error)
        return Estimate(chance, float(expit(score - reach)), float(expit(score + reach)))

    def _t(self, people: Ints) -> float | None:
        """Return t with P(|T| < t) = confidence; None where each is alone in a stratum."""
        freedom = len(people) - len(np.unique(self.strata[people]))
        return float(stdtrit(freedom, (1 + self.confidence) / 2)) if freedom > 0 else None


@dataclass(frozen=True)
class RankEstimates:
    """The figures of some rankings with their intervals; None where a model is not there.

    Attributes:
        average_ranks: (models,) mean of the ranks as given.
        first_shares: (models,) share of a model's rankings with rank 1.
        win_rates: (models,) share of its comparisons won, a tie half; None also for a model that
            meets no other.
        pair_win_rates: (row, column), indexes of models that met -> share in which row beat column.
        rank_differences: (row, column) likewise -> mean of row's rank less column's; below 0 row is
            better.
    """

    average_ranks: tuple[Estimate | None, ...]
    first_shares: tuple[Estimate | None, ...]
    win_rates: tuple[Estimate | None, ...]
    pair_win_rates: Mapping[tuple[int, int], Estimate]
    rank_differences: Mapping[tuple[int, int], Estimate]


def draw_resamples(table: RankTable, count: int, seed: int, confidence: float = 0.95) -> Resamples:
    """Draw participants anew within their groups, for all slices of a table alike.

    Of n people n - 1 are drawn, with repeats, each counting n / (n - 1): drawing n would make the
    spread too small by (n - 1) / n (Rao and Wu 1988). People who are alone in their groups are
    drawn within a group of their own; one who is left alone all the same always counts once.

    Args:
        table: all rankings that count.
        count: how many resamples.
        seed: of the draw.
        confidence: of the intervals, in (0, 1).
    """
    chance = np.random.default_rng(seed)
    strata = _strata(table)
    weights = np.ones((count, len(strata)))
    for stratum in np.unique(strata[strata >= 0]):
        here = np.flatnonzero(strata == stratum)
        size = len(here)
        if size > 1:
            drawn = chance.multinomial(size - 1, np.full(size, 1 / size), count)
            weights[:, here] = drawn * (size / (size - 1))
    return Resamples(weights, strata, confidence)


def rank_estimates(table: RankTable, resamples: Resamples) -> RankEstimates:
    """Return the figures of some rankings of the table, each with its interval.

    All come from the same resamples, so that differences are paired: what a person gives to all
    models drops out.

    Args:
        table: the rankings, taken from the table that the resamples were drawn from.
        resamples: of its people.
    """
    shown = (table.ranks > 0).astype(np.float64)
    met, won = meetings(table)
    apart = met * (table.ranks[:, :, None] - table.ranks[:, None, :])
    people = np.unique(table.participant)
    most = float(shown.sum(axis=1).max(initial=1))

    def found(
        parts: NDArray[Any], wholes: NDArray[Any], least: float, most: float
    ) -> list[Estimate | None]:
        both = [_by_person(table, one) for one in (parts, wholes)]
        values = ratio(*(one.sum(axis=0) for one in both))
        moved = ratio(*(resamples.weights @ one for one in both))
        return [
            None
            if np.isnan(value)
            else resamples.estimate(float(value), column, people, least=least, most=most)
            for value, column in zip(values, moved.T, strict=True)
        ]

    def of_pairs(parts: Floats, least: float, most: float) -> dict[tuple[int, int], Estimate]:
        models = len(table.models)
        each = found(parts, met, least, most)
        return {divmod(place, models): one for place, one in enumerate(each) if one is not None}

    return RankEstimates(
        average_ranks=tuple(found(table.ranks, shown, 1, most)),
        first_shares=tuple(found(table.ranks == 1, shown, 0, 1)),
        win_rates=tuple(found(won.sum(axis=2), met.sum(axis=2), 0, 1)),
        pair_win_rates=of_pairs(won, 0, 1),
        rank_differences=of_pairs(apart, 1 - most, most - 1),
    )


def _by_person(table: RankTable, values: NDArray[Any]) -> Floats:
    """Return (participants, numbers) the sums of a person's rankings."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    return sums(table.participant, flat, len(table.participants))


def _strata(table: RankTable) -> Ints:
    """Return (participants,) the home groups, in which those of one person are one together."""
    homes = table.home_groups()
    sizes = np.bincount(homes[homes >= 0], minlength=len(table.groups))
    alone = (homes >= 0) & (sizes[homes] == 1)
    strata: Ints = np.where(alone, len(table.groups), homes)
    return strata


def _angle(share: Floats | float) -> Floats:
    """Return arcsin(sqrt(share)), the scale on which a share's spread hardly depends on it."""
    angle: Floats = np.arcsin(np.sqrt(np.clip(share, 0, 1)))
    return angle
