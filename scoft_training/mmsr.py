"""MMSR and the weighted vote: which of two pictures the people prefer, each person weighed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .rank_table import Comparisons, Floats
from .survey_records import Order

__all__ = ["Vote", "VoteGroup", "mmsr_vote"]


@dataclass(frozen=True)
class VoteGroup:
    """People who are joined by tasks that they share, directly or through others.

    Attributes:
        participants: their names.
        method: MMSR, or majority: each counts the same.
        reason: why majority, a sentence; empty for MMSR.
    """

    participants: tuple[str, ...]
    method: str
    reason: str


@dataclass(frozen=True)
class Vote:
    """What the weighted vote says of tasks, people and models.

    Attributes:
        skills: (participants,) log-odds that a person says the group's consensus, the weight of
            their vote; NaN where all count the same or who compared nothing.
        labels: (tasks,) 1 where the task's model of the lower index is better, -1 where the other
            is, 0 where the votes cancel or nobody told the two apart.
        wins: (models, models) tasks whose label says that row beats column.
        order: tiers of models by pairs won, then by tasks won.
        groups: which people voted together, and how they were weighed.
    """

    skills: Floats
    labels: NDArray[np.int64]
    wins: Floats
    order: Order
    groups: tuple[VoteGroup, ...]


def mmsr_vote(comparisons: Comparisons) -> Vote:
    """Weigh people by MMSR and let them vote on every task."""
    raise NotImplementedError
