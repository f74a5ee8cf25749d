"""Whether the place on the page moved the ranks, and whether groups of people disagree."""

from __future__ import annotations

from .rank_table import RankTable
from .survey_records import Disagreement, PositionBias

__all__ = ["disagreements", "position_biases"]


def position_biases(table: RankTable, *, permutations: int, seed: int) -> tuple[PositionBias, ...]:
    """Return whether places moved the ranks: over everything, then of each item.

    Empty where no places are known.
    """
    raise NotImplementedError


def disagreements(table: RankTable, *, permutations: int, seed: int) -> tuple[Disagreement, ...]:
    """Return whether groups rank the models differently: over everything, then of each item.

    Empty with one group.
    """
    raise NotImplementedError
