"""How far the figures of a survey would move with other people: resamples of participants."""

from __future__ import annotations

from dataclasses import dataclass

from .rank_table import Floats, Ints, RankTable
from .survey_records import Estimate

__all__ = ["RankEstimates", "Resamples", "draw_resamples", "rank_estimates"]


@dataclass(frozen=True)
class Resamples:
    """Participants drawn again and again, each group for itself.

    Attributes:
        weights: (resamples, participants) how much a person counts.
        strata: (participants,) whose group they were drawn within.
        confidence: of the intervals, in (0, 1).
    """

    weights: Floats
    strata: Ints
    confidence: float

    def estimate(
        self, value: float, resampled: Floats, people: Ints, *, least: float, most: float
    ) -> Estimate:
        """Return a number with its interval.

        Args:
            value: the number itself.
            resampled: (any,) the same from the first so many resamples; NaN where there is none.
            people: who is in it, as indexes.
            least, most: what the value can be.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class RankEstimates:
    """The figures of some rankings with their intervals; None where a model is not there.

    Attributes:
        average_ranks, first_shares, win_rates: (models,)
        pair_win_rates: (row, column) indexes of models -> share in which row beat column.
        rank_differences: (row, column) -> average rank of row less that of column.
    """

    average_ranks: tuple[Estimate | None, ...]
    first_shares: tuple[Estimate | None, ...]
    win_rates: tuple[Estimate | None, ...]
    pair_win_rates: dict[tuple[int, int], Estimate]
    rank_differences: dict[tuple[int, int], Estimate]


def draw_resamples(table: RankTable, count: int, seed: int, confidence: float = 0.95) -> Resamples:
    """Draw participants anew within their groups, for all slices of a table alike."""
    raise NotImplementedError


def rank_estimates(table: RankTable, resamples: Resamples) -> RankEstimates:
    """Return the figures of some rankings of the table, each with its interval."""
    raise NotImplementedError
