"""Rankings as arrays, and the comparisons of pairs in them. Who reads files is elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError, SurveyError, unknown_name
from .survey_key import ITEMS

__all__ = ["Comparisons", "RankTable", "RankedPicture", "comparisons", "rank_table"]

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

_GROUPS = ("culture", "country")


class RankedPicture(Protocol):
    """What rankings are made of: the rank of one picture, as `survey_answers.Answer` holds it."""

    @property
    def participant(self) -> str:
        """Who ranked."""

    @property
    def culture(self) -> str:
        """Whose pages they ranked; may be empty."""

    @property
    def country(self) -> str:
        """Where they say that they come from; may be empty."""

    @property
    def page(self) -> str:
        """The prompt and seed."""

    @property
    def item(self) -> str:
        """What was asked."""

    @property
    def model(self) -> str:
        """Which model drew the picture."""

    @property
    def position(self) -> int | None:
        """Place on the page from 1; None where it is not known."""

    @property
    def rank(self) -> int:
        """From 1, best."""


@dataclass(frozen=True)
class RankTable:
    """Rankings: each is one participant's, of one page, under one item.

    Attributes:
        models, participants, groups, pages, items: the names that the indexes below mean.
        ranks: (rankings, models), 1 best, tied ones share the better rank; 0 where a page does not
            show a model.
        positions: (rankings, models), place on the page from 1; 0 where it is not known.
        participant, group, page, item: (rankings,) indexes into the names.
    """

    models: tuple[str, ...]
    participants: tuple[str, ...]
    groups: tuple[str, ...]
    pages: tuple[str, ...]
    items: tuple[str, ...]
    ranks: Ints
    positions: Ints
    participant: Ints
    group: Ints
    page: Ints
    item: Ints

    def take(self, rows: NDArray[np.bool_] | Ints) -> RankTable:
        """Return some of the rankings; the names stay, so indexes mean the same.

        Args:
            rows: (rankings,) which, or (any,) their numbers, repeats allowed.
        """
        arrays = ("ranks", "positions", "participant", "group", "page", "item")
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in arrays})

    def home_groups(self) -> Ints:
        """Return (participants,) the group of most of a person's rankings, the first of equals.

        A person belongs to one group, although one who ranked two cultures' pages has rankings in
        two. -1 for people without a ranking.
        """
        counts = np.zeros((len(self.participants), len(self.groups)), np.int64)
        np.add.at(counts, (self.participant, self.group), 1)
        homes: Ints = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
        return homes


@dataclass(frozen=True)
class Comparisons:
    """Pairs of pictures that one participant saw beside each other under one item.

    Attributes:
        models, participants: the names that the indexes mean.
        participant: (comparisons,) index.
        task: (comparisons,) which pair of models of which page and item, counted from 0: people
            with the same number compared the same two pictures.
        ranking: (comparisons,) the row of the table that it comes from.
        left, right: (comparisons,) indexes of models; left was shown before right. Where the
            places are not known, left is either one, the same for all people of a task.
        outcome: (comparisons,) 1 where left is better, 0 where right is, 0.5 for a tie.
    """

    models: tuple[str, ...]
    participants: tuple[str, ...]
    participant: Ints
    task: Ints
    ranking: Ints
    left: Ints
    right: Ints
    outcome: Floats


def rank_table(answers: Sequence[RankedPicture], group_by: str = "culture") -> RankTable:
    """Put answers together to rankings.

    Names are sorted, items stand in the survey's order with others after them, and so do the
    rankings: by participant, page and item. The order of the answers does not matter. An unknown
    culture or country is the group `unknown`.

    Args:
        answers: valid ones; each picture of a ranking once.
        group_by: what the groups are: culture or country.

    Raises:
        ConfigError: another `group_by`.
        SurveyError: no answers, or one picture twice in a ranking.
    """
    if group_by not in _GROUPS:
        raise ConfigError(unknown_name("group of people", group_by, _GROUPS))
    if not answers:
        raise SurveyError("There are no answers to count. Pass files with at least one ranking.")
    models = sorted({one.model for one in answers})
    participants = sorted({one.participant for one in answers})
    pages = sorted({one.page for one in answers})
    items = _items_in_order({one.item for one in answers})
    group_names = [getattr(one, group_by) or "unknown" for one in answers]
    groups = sorted(set(group_names))
    keys = np.stack(
        [
            _indexes(participants, (one.participant for one in answers)),
            _indexes(pages, (one.page for one in answers)),
            _indexes(items, (one.item for one in answers)),
        ],
        axis=1,
    )
    rankings, row = np.unique(keys, axis=0, return_inverse=True)
    row = row.reshape(-1)
    model = _indexes(models, (one.model for one in answers))
    _refuse_twins(answers, row, model)
    ranks, positions = np.zeros((2, len(rankings), len(models)), np.int64)
    ranks[row, model] = [one.rank for one in answers]
    positions[row, model] = [one.position or 0 for one in answers]
    group = np.full(len(rankings), len(groups))
    np.minimum.at(group, row, _indexes(groups, group_names))
    return RankTable(
        models=tuple(models),
        participants=tuple(participants),
        groups=tuple(groups),
        pages=tuple(pages),
        items=tuple(items),
        ranks=ranks,
        positions=positions,
        participant=rankings[:, 0],
        group=group,
        page=rankings[:, 1],
        item=rankings[:, 2],
    )


def comparisons(table: RankTable) -> Comparisons:
    """Return every pair of models that a ranking holds, ordered by ranking and pair.

    Where the places are not known, chance says for each task which one is left: were it always the
    first by name, a model that everybody prefers would look like a bias of everybody.
    """
    first, second = np.triu_indices(len(table.models), 1)
    ranking, pair = np.nonzero((table.ranks[:, first] > 0) & (table.ranks[:, second] > 0))
    low, high = first[pair], second[pair]
    low_rank, high_rank = table.ranks[ranking, low], table.ranks[ranking, high]
    low_place, high_place = table.positions[ranking, low], table.positions[ranking, high]
    low_wins = (1 + np.sign(high_rank - low_rank)) / 2
    what = np.stack([table.page[ranking], table.item[ranking], pair], axis=1)
    tasks, task = np.unique(what, axis=0, return_inverse=True)
    task = task.reshape(-1)
    drawn = np.random.default_rng(0).integers(2, size=len(tasks)) == 1
    known = (low_place > 0) & (high_place > 0)
    turned = np.where(known, low_place > high_place, drawn[task])
    return Comparisons(
        models=table.models,
        participants=table.participants,
        participant=table.participant[ranking],
        task=task,
        ranking=ranking,
        left=np.where(turned, high, low),
        right=np.where(turned, low, high),
        outcome=np.where(turned, 1 - low_wins, low_wins),
    )


def _items_in_order(names: set[str]) -> list[str]:
    return [one for one in ITEMS if one in names] + sorted(names - set(ITEMS))


def _indexes(names: Sequence[str], chosen: Iterable[str]) -> Ints:
    place = {name: index for index, name in enumerate(names)}
    return np.array([place[name] for name in chosen], np.int64)


def _refuse_twins(answers: Sequence[RankedPicture], row: Ints, model: Ints) -> None:
    _, first, count = np.unique(
        np.stack([row, model], axis=1), axis=0, return_index=True, return_counts=True
    )
    if (count > 1).any():
        one = answers[int(first[count > 1][0])]
        raise SurveyError(
            f"Participant {one.participant!r}, page {one.page!r}, item {one.item!r}: model "
            f"{one.model!r} is ranked more than once. Keep one of the lines."
        )
