"""Rankings as arrays, and the comparisons of pairs in them. Who reads files is elsewhere."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Comparisons", "RankTable"]

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


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
