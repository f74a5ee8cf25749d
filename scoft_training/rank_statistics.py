"""What rankings say by counting: averages, wins, agreement of people. No models, no intervals.

Everything takes the rankings that it is to speak of: `table.take(rows)` makes a slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .rank_table import Comparisons, Floats, Ints, RankTable
from .survey_records import Order

__all__ = [
    "FEWEST_SHARED",
    "Agreement",
    "Concordance",
    "RankFigures",
    "agreement",
    "concordance",
    "meetings",
    "mid_ranks",
    "rank_figures",
    "ratio",
    "sums",
    "tiers",
]

FEWEST_SHARED = 3
"""Two people who share fewer comparisons have no agreement."""

_TASKS_AT_ONCE = 4096
"""So that many people and tasks do not fill the memory."""


@dataclass(frozen=True)
class RankFigures:
    """What was counted in some rankings.

    Attributes:
        participants, rankings: how many.
        comparisons: pairs of pictures in them; ties: pairs that share a rank.
        average_ranks: (models,) mean of the ranks as given; NaN for a model that is not there.
        rank_counts: (models, most models on a page) how often a model got rank 1, 2, ...
        first_shares: (models,) share of its rankings with rank 1; NaN likewise.
        win_rates: (models,) share of its comparisons won, a tie half; NaN likewise.
        pair_win_rates: (models, models) in which row beat column; NaN where they never met.
    """

    participants: int
    rankings: int
    comparisons: int
    ties: int
    average_ranks: Floats
    rank_counts: Ints
    first_shares: Floats
    win_rates: Floats
    pair_win_rates: Floats


@dataclass(frozen=True)
class Concordance:
    """How far the people who ranked the same pictures agree.

    Attributes:
        kendalls_w: 0 none to 1 all alike, mean over pages and items with two or more people; None
            where there is none.
        people: of a page and item, in the mean over these.
        mean_spearman: mean correlation of two people's ranks, -1 to 1, likewise.
    """

    kendalls_w: float | None
    people: float
    mean_spearman: float | None


@dataclass(frozen=True)
class Agreement:
    """Who says the same.

    Attributes:
        pairs: (participants, participants) share of shared comparisons on which two agree, in
            [0, 1]; NaN on the diagonal and where they share fewer than `FEWEST_SHARED`.
        with_others: (participants,) the same with everybody else together; NaN where nobody shares
            a comparison.
    """

    pairs: Floats
    with_others: Floats


def rank_figures(table: RankTable) -> RankFigures:
    """Count what some rankings say.

    An average rank is the mean of the ranks as given: two best are 1 and 1, the next is 3. The
    paper's averages, which sum to less than 10 over four models, cannot be of mid-ranks. Where
    pages show different numbers of models, ranks reach from 1 to the page's own number, so that
    averages of models on different pages cannot be compared; win rates can.
    """
    shown = table.ranks > 0
    met, won = meetings(table)
    meetings_met, meetings_won = met.sum(axis=0), won.sum(axis=0)
    most = int(shown.sum(axis=1).max(initial=1))
    counts = np.stack([(table.ranks == rank).sum(axis=0) for rank in range(1, most + 1)], axis=1)
    return RankFigures(
        participants=len(np.unique(table.participant)),
        rankings=len(table.ranks),
        comparisons=int(meetings_met.sum()) // 2,
        ties=int((won == 0.5).sum()) // 2,
        average_ranks=ratio(table.ranks.sum(axis=0), shown.sum(axis=0)),
        rank_counts=counts,
        first_shares=ratio(counts[:, 0], shown.sum(axis=0)),
        win_rates=ratio(meetings_won.sum(axis=1), meetings_met.sum(axis=1)),
        pair_win_rates=ratio(meetings_won, meetings_met),
    )


def meetings(table: RankTable) -> tuple[Floats, Floats]:
    """Return which models met in each ranking, and what row won of column.

    Returns:
        (rankings, models, models) 1 where both are on the page, 0 elsewhere and on the diagonal;
        the same with 1 where row is better, 0.5 where both share a rank.
    """
    shown = table.ranks > 0
    met = (shown[:, :, None] & shown[:, None, :]).astype(np.float64)
    met *= 1 - np.eye(len(table.models))
    better = np.sign(table.ranks[:, None, :] - table.ranks[:, :, None])
    return met, met * (1 + better) / 2


def mid_ranks(ranks: Ints) -> Floats:
    """Return ranks in which tied pictures share the mean of the places that they take: 1.5 1.5 3 4.

    Args:
        ranks: (rankings, models), 0 where a page does not show a model.

    Returns:
        (rankings, models), NaN where a page does not show a model.
    """
    shown = ranks > 0
    before = (ranks[:, None, :] < ranks[:, :, None]) & shown[:, None, :]
    beside = (ranks[:, None, :] == ranks[:, :, None]) & shown[:, None, :]
    places = before.sum(axis=2) + (beside.sum(axis=2) + 1) / 2
    return np.where(shown, places, np.nan)


def concordance(table: RankTable) -> Concordance:
    """Return how far people who ranked the same pictures agree, as means over pages and items.

    Of m people and n pictures, R_i the sum of picture i's mid-ranks, S the sum of (R_i - mean R)^2
    and T_j = sum of t^3 - t over person j's ties of t pictures:

        W = 12 S / (m^2 (n^3 - n) - m sum T_j)

    Source: Kendall and Babington Smith 1939; with ties, Siegel 1956, chapter 9. Where everybody
    ties everything both are 0 and the page says nothing. The mean Spearman is that of all pairs of
    people; a person who ties everything has no correlation with anyone. Without ties it is
    (m W - 1) / (m - 1). W by itself is no smaller than 0 and 1 / m in the mean where people rank at
    random, so it is large where few people share a page; the correlation is 0 there.
    """
    cells = _cells(table)
    places = mid_ranks(table.ranks)
    centred = np.nan_to_num(places - np.nanmean(places, axis=1, keepdims=True))
    w = _cells_w(cells, table.ranks, centred)
    correlation = _cells_correlation(cells, centred)
    told = ~np.isnan(w)
    people = np.bincount(cells)[told]
    return Concordance(
        kendalls_w=float(w[told].mean()) if told.any() else None,
        people=float(people.mean()) if told.any() else 0.0,
        mean_spearman=None if np.isnan(correlation).all() else float(np.nanmean(correlation)),
    )


def agreement(compared: Comparisons) -> Agreement:
    """Return how often each two people say the same of the same two pictures.

    Where one ties two pictures and the other does not they agree by half.
    """
    people = len(compared.participants)
    shared, same = np.zeros((2, people, people))
    tasks = int(compared.task.max(initial=-1)) + 1
    sides = np.where(compared.left < compared.right, 1, -1) * (2 * compared.outcome - 1)
    for start in range(0, tasks, _TASKS_AT_ONCE):
        here = (compared.task >= start) & (compared.task < start + _TASKS_AT_ONCE)
        who, what = compared.participant[here], compared.task[here] - start
        said, side, tied = np.zeros((3, people, _TASKS_AT_ONCE))
        said[who, what] = 1
        side[who, what] = sides[here]
        tied[who, what] = sides[here] == 0
        shared += said @ said.T
        # Two sides of +1 and -1 agree by (1 + product) / 2, one of 0 by half; two ties wholly.
        same += (said @ said.T + side @ side.T + tied @ tied.T) / 2
    np.fill_diagonal(shared, 0)
    np.fill_diagonal(same, 0)
    return Agreement(
        pairs=np.where(shared >= FEWEST_SHARED, ratio(same, shared), np.nan),
        with_others=ratio(same.sum(axis=1), shared.sum(axis=1)),
    )


def tiers(
    models: Sequence[str], values: Floats, *, highest_first: bool = False, tolerance: float = 1e-9
) -> Order:
    """Return the models in tiers, best first; equal values share one.

    Args:
        models: names, in the order that a tier lists them in.
        values: (models,); a model whose value is NaN is left out.
        highest_first: whether a high value is good, as of scores; a low one is, of ranks.
        tolerance: how far two neighbours in a tier may differ.
    """
    signed = -values if highest_first else values
    there = [index for index in np.argsort(signed, kind="stable") if not np.isnan(signed[index])]
    found: list[list[int]] = []
    for index in there:
        if found and signed[index] - signed[found[-1][-1]] <= tolerance:
            found[-1].append(index)
        else:
            found.append([index])
    return tuple(tuple(models[index] for index in sorted(tier)) for tier in found)


def ratio(parts: Ints | Floats, wholes: Ints | Floats) -> Floats:
    """Return parts / wholes, NaN where the whole is nothing."""
    empty = np.full(np.shape(parts), np.nan)
    ratio: Floats = np.divide(parts, wholes, out=empty, where=wholes > 0)
    return ratio


def sums(rows: Ints, values: Floats, count: int) -> Floats:
    """Return (count, numbers) the sums of all rows of `values` that belong to the same one.

    Args:
        rows: (any,) where a row of `values` belongs, from 0.
        values: (any, numbers).
        count: how many sums.
    """
    total = np.zeros((count, values.shape[1]))
    np.add.at(total, rows, values)
    return total


def _cells(table: RankTable) -> Ints:
    """Number the rankings so that those of the same pictures under the same item are alike."""
    what = np.column_stack([table.page, table.item, table.ranks > 0])
    _, cells = np.unique(what, axis=0, return_inverse=True)
    return cells.reshape(-1)


def _cells_w(cells: Ints, ranks: Ints, centred: Floats) -> Floats:
    """Return (cells,) Kendall's W; NaN for one person, or where everything is tied."""
    people = np.bincount(cells)
    spread = (sums(cells, centred, len(people)) ** 2).sum(axis=1)
    pictures = (ranks > 0).sum(axis=1)
    # Every picture of a tie of t adds t^2 - 1, so that the tie adds t^3 - t; one alone adds 0.
    beside = (ranks[:, None, :] == ranks[:, :, None]).sum(axis=2)
    ties = ((beside**2 - 1) * (ranks > 0)).sum(axis=1)
    most = people * np.bincount(cells, pictures**3 - pictures - ties)
    return np.where(people > 1, ratio(12 * spread, most), np.nan)


def _cells_correlation(cells: Ints, centred: Floats) -> Floats:
    """Return (cells,) the mean correlation of two people; NaN where no two have one."""
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    people = np.bincount(cells, length[:, 0] > 0)
    # |sum u|^2 holds every pair twice and every person with themselves.
    pairs = (sums(cells, unit, len(people)) ** 2).sum(axis=1) - people
    return ratio(pairs, people * (people - 1))
