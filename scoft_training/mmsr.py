"""MMSR and the weighted vote: which of two pictures people prefer, each person weighed.

Ma & Olshevsky 2020 ("Adversarial Crowdsourcing Through Robust Rank-One Matrix Completion"): a
task is a question with two answers, here which of two pictures is better. People who say the
group's consensus with probability p = (1 + s) / 2 agree with each other in (1 + s_i s_j) / 2 of
their common tasks, so C_ij = 2 agreement - 1 has the rank one, C = s s^T off its diagonal, and s is
read from it. Which of a task's answers is called what does not matter to this, only whether two
people agree.

The paper names crowd-kit's MMSR. The iteration here gives the same values, but the rest is this
pack's own: crowd-kit 1.4.2 takes pairs of people without a common task for perfect opponents, puts
the skill of everybody to zero where as many people come out against as for, and that of somebody
whose agreements happen to add up to nothing, and starts its sign determination at random. Here
people who share no task, not even through others, are weighed apart from each other, signs come
from observed pairs alone, and somebody counts as against the others only where chance does not
explain it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .rank_table import Comparisons, Floats, Ints
from .survey_records import Order

__all__ = ["Vote", "VoteGroup", "majority_order", "mmsr_vote", "task_wins"]

_ITERATIONS, _TOLERANCE = 1000, 1e-10
"""The paper allows 10,000 iterations; of simulated groups that settle 99 in 100 did so in 500."""

_MOST_RATIOS = 20_000_000
"""So that a large group that does not settle takes seconds; those that do took some 60 rounds."""

_RUN_AWAY = 1e6
"""Products of two skills are at most 1."""

_FEWEST_PEOPLE = 6
"""Of three and of five people MMSR's vote was right in fewer simulated tasks than a majority's, by
some two points, from six on in more; of four, where a majority often draws, it was ahead by less
than one (benchmarks/results.md)."""

_FEWEST_ANSWERS = 3
"""Whoever answered fewer is weighed as if so many: else two answers would outvote many people's
single ones, and a majority be right more often."""

_CLEARLY_AGAINST = 2.0
"""Standard deviations by which answers at random would have to miss zero: one of forty who answer
at random is taken for an opponent."""

_Sparse: TypeAlias = Any
"""scipy.sparse.csr_array: scipy tells no types."""


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
        order: tiers of models by pairs won, then by tasks won; see `majority_order`.
        groups: which people voted together, and how they were weighed.
    """

    skills: Floats
    labels: NDArray[np.int64]
    wins: Floats
    order: Order
    groups: tuple[VoteGroup, ...]


def mmsr_vote(comparisons: Comparisons) -> Vote:
    """Weigh people by MMSR and let them vote on every task; a tie is no vote.

    Args:
        comparisons: of one slice; people may be of several groups that share nothing.

    Returns:
        The labels of the tasks, the order of the models that a majority of labels makes, and who
        was weighed how. The same for the same comparisons, in whichever order they come.
    """
    votes = _votes(comparisons)
    shared = abs(votes) @ abs(votes).T
    _, group_of = connected_components(shared, directed=False)
    has_voted = np.diff(votes.indptr) > 0
    skills = np.full(votes.shape[0], np.nan)
    groups = []
    for group in np.unique(group_of[has_voted]):
        people = np.flatnonzero(group_of == group)
        reason = _why_not(shared[people][:, people])
        if not reason:
            found = _skills(votes[people])
            if found is None:
                reason = "The estimate of who agrees with whom does not settle."
            else:
                skills[people] = found
        names = tuple(comparisons.participants[one] for one in people)
        groups.append(VoteGroup(names, "majority" if reason else "MMSR", reason))
    totals = np.nan_to_num(skills, nan=1.0) @ votes
    labels = np.where(np.abs(totals) > 1e-9, np.sign(totals), 0).astype(np.int64)
    wins = task_wins(comparisons, labels)
    return Vote(skills, labels, wins, majority_order(comparisons.models, wins), tuple(groups))


def _votes(comparisons: Comparisons) -> _Sparse:
    """Return (participants, tasks) 1 for the model of the lower index, -1 for the other."""
    told = comparisons.outcome != 0.5
    side = np.where(comparisons.left < comparisons.right, 1.0, -1.0)
    vote = (side * np.sign(comparisons.outcome - 0.5))[told]
    places = (comparisons.participant[told], comparisons.task[told])
    tasks = int(comparisons.task.max(initial=-1)) + 1
    votes = sparse.csr_array((vote, places), shape=(len(comparisons.participants), tasks))
    # Somebody who was asked a task twice and said both has not told the two apart.
    votes.data = np.sign(votes.data)
    votes.eliminate_zeros()
    return votes


def _why_not(shared: _Sparse) -> str:
    """Return why a connected group cannot be weighed, a sentence; empty where it can.

    Args:
        shared: (people, people) common tasks, its own on the diagonal.
    """
    people = shared.shape[0]
    if people < _FEWEST_PEOPLE:
        few = "one person" if people == 1 else f"{people} people"
        return (
            f"Only {few} compared these pictures; weighing people against each other takes "
            f"{_FEWEST_PEOPLE} or more."
        )
    links = shared.copy()
    links.setdiag(0)
    links.eliminate_zeros()
    # Products s_i s_j over a graph without a ring of odd length leave a free factor: what one side
    # has more, the other has less. Such a graph falls in two when each edge changes sides.
    doubled = sparse.block_array([[None, links], [links, None]])
    if connected_components(doubled, directed=False)[0] > 1:
        return "No three of the people compared pictures with one another in a ring."
    return ""


def _skills(votes: _Sparse) -> Floats | None:
    """Return (people,) log-odds that a person of a connected group says its consensus.

    The values s lie in [-1 + 1 / sqrt(n), 1 - 1 / sqrt(n)] for n answers of a person, or for three
    of one with fewer. The source bounds them by all tasks of the group; somebody who answered one
    page of twenty, and agrees with everybody there, would then decide that page alone. With a
    single answer the bound would be 0: no vote at all.
    """
    answered = np.diff(votes.indptr)
    sizes = _rank_one(votes)
    if sizes is None:
        return None
    most = 1 - 1 / np.sqrt(np.maximum(answered, _FEWEST_ANSWERS))
    signed = np.clip(_signs(votes, sizes) * sizes, -most, most)
    skills: Floats = 2 * np.arctanh(signed)
    return skills


def _rank_one(votes: _Sparse) -> Floats | None:
    """Return (people,) |s| with |C_ij| = |s_i| |s_j| for most pairs; None where none settles.

    Robust rank-one completion (M-MSR): each |s_j| in turn is the mean of |C_ij| / |s_i| over
    those i with whom j has common tasks, without the F largest and F smallest, as far as they lie
    above or below its present value. Two copies, u and v, are updated from each other. What makes
    it run away is several agreements of exactly zero among few people.
    """
    common = (abs(votes) @ abs(votes).T).toarray()
    np.fill_diagonal(common, 0)
    agreement = np.abs((votes @ votes.T).toarray()) / np.maximum(common, 1)
    known = common > 0
    degrees = known.sum(axis=1)
    # Only those with common tasks, in (people, most of anybody): a large survey has few of all.
    near = np.argsort(~known, axis=1, kind="stable")[:, : degrees.max()]
    known = np.take_along_axis(known, near, axis=1)
    entries = np.take_along_axis(agreement, near, axis=1)
    trimmed = max(int(degrees.min()) // 2 - 1, 0)
    # A skill of zero would be divided by: the least that the tasks can tell from it.
    least = 1 / math.sqrt(np.count_nonzero(np.bincount(votes.indices)))

    def means(others: Floats, own: Floats) -> Floats:
        ratios = np.where(known, entries / others[near], np.inf)
        return _trimmed_means(ratios, degrees, own, trimmed, least)

    left = right = np.full(len(entries), 0.5)
    for _ in range(min(_ITERATIONS, max(100, _MOST_RATIOS // entries.size))):
        left_before, right_before = left, right
        right = means(left, right)
        left = means(right, left)
        # No less than the norm of the change of all products of the two.
        change = np.linalg.norm(left) * np.linalg.norm(right - right_before)
        change += np.linalg.norm(left - left_before) * np.linalg.norm(right_before)
        if change < _TOLERANCE:
            # One is a multiple of the other, except where the least stands in for zero.
            sizes: Floats = np.sqrt(left * right)
            return sizes
        if left.max() * right.max() > _RUN_AWAY:
            break
    return None


def _trimmed_means(
    ratios: Floats, degrees: Ints, own: Floats, trimmed: int, least: float
) -> Floats:
    """Return (people,) new values of `own`.

    Args:
        ratios: (people, most) what others say of each, infinite beyond `degrees`.
        degrees: (people,) how many say something, 1 or more.
        own: (people,) the present values.
        trimmed: how many of the largest and of the smallest are left out.
        least: the value instead of zero.
    """
    ratios = np.sort(ratios, axis=1)
    below = (ratios < own[:, None]).sum(axis=1)
    above = ((ratios > own[:, None]) & np.isfinite(ratios)).sum(axis=1)
    first = np.minimum(below, trimmed)[:, None]
    last = (degrees - np.minimum(above, trimmed))[:, None]
    place = np.arange(ratios.shape[1])
    kept = (place >= first) & (place < last)
    count = kept.sum(axis=1)
    means = np.where(kept, ratios, 0).sum(axis=1) / np.maximum(count, 1)
    means = np.where(means > 0, means, least)
    return np.where(count > 0, means, own)


def _signs(votes: _Sparse, sizes: Floats) -> Floats:
    """Return (people,) -1 for those who are clearly against the others, else 1.

    Everybody is taken to be for the consensus; then whoever is most clearly against the weighted
    vote of the others changes sides, one after the other. Clearly: by so many standard deviations
    of what answers at random would say.
    """
    answered = np.diff(votes.indptr)
    signs = np.ones(len(sizes))
    for _ in range(2 * len(sizes)):
        own = signs * sizes
        total = own @ votes
        along = votes @ total
        with_others = along - own * answered
        variance = abs(votes) @ total**2 - 2 * own * along + own**2 * answered
        against = -signs * with_others / np.sqrt(np.maximum(variance, 1e-12))
        worst = int(against.argmax())
        if against[worst] <= _CLEARLY_AGAINST:
            break
        signs[worst] = -signs[worst]
    return signs if signs @ sizes >= 0 else -signs


def task_wins(comparisons: Comparisons, labels: Ints) -> Floats:
    """Return (models, models) tasks whose label says that row beats column.

    Args:
        comparisons: of the tasks.
        labels: (tasks,) as of a `Vote`.
    """
    tasks, first = np.unique(comparisons.task, return_index=True)
    left, right = comparisons.left[first], comparisons.right[first]
    low, high = np.minimum(left, right), np.maximum(left, right)
    says = labels[tasks]
    wins = np.zeros((len(comparisons.models), len(comparisons.models)))
    np.add.at(wins, (low[says > 0], high[says > 0]), 1)
    np.add.at(wins, (high[says < 0], low[says < 0]), 1)
    return wins


def majority_order(models: tuple[str, ...], wins: Floats) -> Order:
    """Return tiers of models by how many others they beat in more tasks than they lose (Copeland).

    A pair with as many of each is half a win. Models with equally many wins stand in one tier: a
    beats b, b beats c, c beats a is one. Only where none of them beats another, the share of all
    their tasks that they won parts them.

    Args:
        models: names.
        wins: (models, models) tasks that row won over column; models without any are left out.
    """
    met = wins + wins.T
    beats = np.where(wins > wins.T, 1.0, np.where((wins == wins.T) & (met > 0), 0.5, 0.0))
    pairs_won = beats.sum(axis=1)
    share = wins.sum(axis=1) / np.maximum(met.sum(axis=1), 1)
    present = np.flatnonzero(met.sum(axis=1))
    order: list[tuple[str, ...]] = []
    for won in np.unique(pairs_won[present])[::-1]:
        tier = present[pairs_won[present] == won]
        if (beats[np.ix_(tier, tier)] == 1).any():
            order.append(tuple(models[one] for one in tier))
            continue
        for part in np.unique(share[tier])[::-1]:
            order.append(tuple(models[one] for one in tier[share[tier] == part]))
    return tuple(order)
