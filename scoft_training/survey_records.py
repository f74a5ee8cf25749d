"""What the analysis of a survey found, as records that reports, tables and nodes read.

Orders are tiers, best first: models that cannot be told apart stand in one tier. Ranks count from
1, best; an average rank is the mean of the ranks as they were given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = [
    "Difference",
    "Disagreement",
    "Estimate",
    "Finding",
    "ModelFigures",
    "Order",
    "Person",
    "PositionBias",
    "Slice",
    "SurveyResult",
    "item_title",
    "order_text",
]

_TITLES = {
    "alignment": "Description and Image Alignment",
    "representation": "Cultural Representation",
    "stereotypes": "Stereotypes",
    "offensiveness": "Offensiveness",
}

Order: TypeAlias = tuple[tuple[str, ...], ...]
"""Tiers of models, best first."""


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its interval over participants.

    Attributes:
        mean: the number itself, finite.
        low, high: the ends, of the confidence in the result's settings; None where there are too
            few people to tell.
    """

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Finding:
    """Something that is wrong or odd with answers.

    Attributes:
        kind: refused (a whole file or participant), left out (a ranking or line), or flagged
            (counts, but look at it).
        where: file and line, say `answers.csv, line 17`, or a participant.
        sentence: what is wrong and what to do.
    """

    kind: str
    where: str
    sentence: str


@dataclass(frozen=True)
class ModelFigures:
    """One model in one slice.

    Attributes:
        model: its name.
        average_rank: mean of the ranks as given, 1 best.
        rank_counts: how often it got rank 1, 2, ... n.
        first_share: in how many of its rankings it came first, shared first included, in [0, 1].
        win_rate: share of its comparisons that it won, a tie counting half, in [0, 1].
        nbt_score: Noisy Bradley-Terry, in (0, 1): against a picture of middling strength; None
            where it was not fitted.
        vote_wins: MMSR and weighted vote: share of its comparisons' labels that it won, in [0, 1];
            None where nothing was voted on.
    """

    model: str
    average_rank: Estimate
    rank_counts: tuple[int, ...]
    first_share: Estimate
    win_rate: Estimate
    nbt_score: Estimate | None
    vote_wins: float | None


@dataclass(frozen=True)
class Slice:
    """One part of the answers: everything, a group's, an item's, or a group's of an item.

    Attributes:
        group: None for all groups together.
        item: None for all items together.
        participants: how many people.
        rankings: how many rankings of a page under an item.
        comparisons: pairs of pictures in them.
        ties: pairs among these that share a rank.
        models: in the result's order of models; those that it does not hold are absent.
        win_rates: (row, column) -> share in which row beat column, a tie counting half.
        average_order: by average rank.
        nbt_order: by Noisy Bradley-Terry; empty where it was not fitted.
        vote_order: by MMSR, weighted vote and majority; empty where nothing was voted on.
        vote_method: in words: MMSR, or for which group of people which fallback, and why.
        kendalls_w: agreement of the people on a page, 0 none to 1 all alike, mean over pages with
            two or more people; None where there is none.
        kendalls_w_people: how many people a page has in the mean.
        mean_spearman: the same without its dependence on how many people there are: mean
            correlation of two people's ranks, -1 to 1; None likewise.
        rank_differences: (row, column) -> average rank of row less that of column, below 0 where
            row is better; the interval is of the same people's ranks of both.
    """

    group: str | None
    item: str | None
    participants: int
    rankings: int
    comparisons: int
    ties: int
    models: tuple[ModelFigures, ...]
    win_rates: Mapping[tuple[str, str], Estimate]
    average_order: Order
    nbt_order: Order
    vote_order: Order
    vote_method: str
    kendalls_w: float | None
    kendalls_w_people: float
    mean_spearman: float | None
    rank_differences: Mapping[tuple[str, str], Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Person:
    """One participant.

    Attributes:
        name: as in the answers.
        group: theirs.
        rankings: how many of theirs count.
        agreement: share of shared comparisons in which the others say the same; None where nobody
            shares one.
        vote_skill: MMSR's log-odds weight in the vote over everything; below 0, against the others.
        nbt_skill: Noisy Bradley-Terry's share of answers that follow everyone's order, in (0, 1);
            low for whoever thinks otherwise, too.
        nbt_bias: probability of choosing the picture shown first in the others, in (0, 1).
        flags: why to look at their answers; empty for most.
    """

    name: str
    group: str
    rankings: int
    agreement: float | None
    vote_skill: float | None
    nbt_skill: float | None
    nbt_bias: float | None
    flags: tuple[str, ...]


@dataclass(frozen=True)
class PositionBias:
    """Whether the place on the page moved the ranks.

    Attributes:
        item: None for all items together.
        average_ranks: by place, from the first; all places would have the same one.
        p_value: of a permutation of the places, in (0, 1]; of items after Holm's correction.
        pages: how many orders of pages it rests on.
    """

    item: str | None
    average_ranks: tuple[float, ...]
    p_value: float
    pages: int


@dataclass(frozen=True)
class Disagreement:
    """Whether groups rank the models differently.

    Attributes:
        item: None for all items together.
        p_value: of a permutation of people over groups, in (0, 1], of items after Holm's
            correction; None with too few people for a test.
        winners: group -> the first tier by average rank.
        disagree: the winners share no model, or the test tells the groups apart.
        sentence: what to say before any pooled winner.
    """

    item: str | None
    p_value: float | None
    winners: Mapping[str, tuple[str, ...]]
    disagree: bool
    sentence: str


@dataclass(frozen=True)
class Difference:
    """Where the library's own answer is another than this one's.

    Attributes:
        method: MMSR or Noisy Bradley-Terry.
        group, item: of the slice.
        ours, theirs: the orders, or what failed, in words.
        sentence: what differs, and why where it is known.
    """

    method: str
    group: str | None
    item: str | None
    ours: str
    theirs: str
    sentence: str


@dataclass(frozen=True)
class SurveyResult:
    """All that an analysis found.

    Attributes:
        models: best first by average rank over everything.
        items, groups: in the order of the report.
        group_by: what a group is: culture or country.
        slices: everything; each item; each group; each group and item.
        people: ordered by group and name.
        agreement: (person, person) share of shared comparisons on which two agree, in the order of
            `people`; None on the diagonal and where they share fewer than three.
        position_bias: each item's, and everything's first.
        disagreements: likewise; empty with one group.
        findings: what is wrong or odd with the answers.
        differences: of the engine crowd-kit; empty where it was not asked for or agrees.
        settings: of the analysis, by name.
    """

    models: tuple[str, ...]
    items: tuple[str, ...]
    groups: tuple[str, ...]
    group_by: str
    slices: tuple[Slice, ...]
    people: tuple[Person, ...]
    agreement: tuple[tuple[float | None, ...], ...]
    position_bias: tuple[PositionBias, ...]
    disagreements: tuple[Disagreement, ...]
    findings: tuple[Finding, ...]
    differences: tuple[Difference, ...]
    settings: Mapping[str, object]

    def slice(self, group: str | None = None, item: str | None = None) -> Slice | None:
        """Return the part of a group and an item, or None where there are no such answers."""
        found = (one for one in self.slices if (one.group, one.item) == (group, item))
        return next(found, None)


def item_title(item: str | None) -> str:
    """Return what an item is called in the paper; one of another survey by its own name."""
    return "All items" if item is None else _TITLES.get(item, item)


def order_text(order: Order) -> str:
    """Return an order as `+MPC > +MP = +M > SD`; equal ones stand in one tier."""
    return " > ".join(" = ".join(tier) for tier in order)
