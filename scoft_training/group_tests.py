"""Whether the place on the page moved the ranks, and whether groups of people disagree.

Both are permutation tests: what was found is held against the same answers with places, or people's
groups, dealt out anew. Each is made over all items, which is the question, and for each item. The
items' p-values are Holm's (1979): with four of them one survey in five or so would else show
something somewhere by chance alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .rank_statistics import rank_figures, ratio, sums, tiers
from .rank_table import Floats, Ints, RankTable
from .survey_records import Disagreement, PositionBias

__all__ = ["CHANCE", "disagreements", "holm", "position_biases"]

CHANCE = 0.05
"""Up to this p-value a difference is not put down to chance."""

_NUMBERS_AT_ONCE = 4_000_000
"""So that many permutations of many answers do not fill the memory."""

_ROUNDING = 1e-9


def position_biases(table: RankTable, *, permutations: int, seed: int) -> tuple[PositionBias, ...]:
    """Return whether places moved the ranks: over everything, then of each item.

    The page draws the order of its pictures by chance, for each person anew, so that any other
    order was as likely, and the test is exact. All items of a person's page have one order and stay
    together. What counts is how far a rank lies from the mean of its ranking, so that pages may
    show different numbers of models.

    Args:
        table: the rankings; those whose places are unknown, or are not 1 to n, are passed over.
        permutations: how many orders are drawn for each p-value.
        seed: of the draw.

    Returns:
        p-values in [1 / (permutations + 1), 1]; empty where no places are known.
    """
    placed = table.take(_are_placed(table))
    if not len(placed.ranks):
        return ()
    parts = list(_parts(placed))
    chance = np.random.default_rng(seed)
    blocks = [_by_place(part) for _, part in parts]
    p_values = _after_holm([_places_p_value(block, permutations, chance) for block in blocks])
    return tuple(
        PositionBias(item, _average_by_place(part), p_value, len(block))
        for (item, part), block, p_value in zip(parts, blocks, p_values, strict=True)
        if p_value is not None
    )


def disagreements(table: RankTable, *, permutations: int, seed: int) -> tuple[Disagreement, ...]:
    """Return whether groups rank the models differently: over everything, then of each item.

    People are the units, each with their own average ranks: what is compared is the sum over models
    of the squares by which a group's mean of these lies from everybody's, times its people. Who has
    answers in two groups counts in the one of most of them.

    A group's people rank the same pages, so where groups have pages of their own, as cultures have,
    the test tells that these people rank these pictures differently, not whether the people or the
    pictures make the difference; the sentence says so.

    Args:
        table: the rankings.
        permutations: how often people are dealt out to the groups for each p-value.
        seed: of the draw.

    Returns:
        p-values in [1 / (permutations + 1), 1], None with too few people for any to be 1 / 20;
        empty with one group.
    """
    if len(np.unique(table.group)) < 2:
        return ()
    parts = [(item, part) for item, part in _parts(table) if len(np.unique(part.group)) > 1]
    chance = np.random.default_rng(seed)
    homes = table.home_groups()
    p_values = _after_holm(
        [_groups_p_value(part, homes, permutations, chance) for _, part in parts]
    )
    return tuple(
        _disagreement(item, part, p_value)
        for (item, part), p_value in zip(parts, p_values, strict=True)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all tests together.

    The smallest of n is taken times n, the next times n - 1, and so on, none below the one before
    and none above 1. Source: Holm 1979.
    """
    adjusted, least = [1.0] * len(p_values), 0.0
    for done, place in enumerate(np.argsort(p_values, kind="stable")):
        least = min(1.0, max(least, (len(p_values) - done) * p_values[place]))
        adjusted[place] = least
    return adjusted


def _parts(table: RankTable) -> Iterator[tuple[str | None, RankTable]]:
    """Yield everything as None, then each item that has rankings."""
    yield None, table
    for index in np.unique(table.item):
        yield table.items[index], table.take(table.item == index)


def _after_holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct all but the first, which is of everything; None is no test."""
    tested = [place for place, one in enumerate(p_values) if place and one is not None]
    after = list(p_values)
    for place, one in zip(tested, holm([p_values[place] or 0.0 for place in tested]), strict=True):
        after[place] = one
    return after


def _are_placed(table: RankTable) -> NDArray[np.bool_]:
    """Return (rankings,) whether the places of a ranking are 1 to n, each once."""
    shown = table.ranks > 0
    places = np.sort(np.where(shown, table.positions, 0), axis=1)[:, ::-1]
    wanted = np.maximum(shown.sum(axis=1)[:, None] - np.arange(table.ranks.shape[1]), 0)
    placed: NDArray[np.bool_] = (places == wanted).all(axis=1)
    return placed


def _by_place(table: RankTable) -> Floats:
    """Return (people's pages, places) how far ranks lay from their rankings' means, over items.

    NaN where a page has no such place.
    """
    away, places = _away(table)
    by_place = np.zeros((len(away), int(places.max()) + 1))
    np.put_along_axis(by_place, places, away, axis=1)
    seen = np.column_stack([table.participant, table.page, places])
    _, first, page = np.unique(seen, axis=0, return_index=True, return_inverse=True)
    summed = sums(page.reshape(-1), by_place[:, 1:], len(first))
    sizes = places[first].max(axis=1)
    return np.where(np.arange(summed.shape[1]) < sizes[:, None], summed, np.nan)


def _average_by_place(table: RankTable) -> tuple[float, ...]:
    """Return the mean over all ranks, moved by how far those at a place lie from their rankings'.

    Where all pages show as many models, that is the plain mean of the ranks at a place.
    """
    away, places = _away(table)
    count = np.bincount(places.ravel())[1:]
    moved = np.bincount(places.ravel(), away.ravel())[1:]
    overall = table.ranks.sum() / (table.ranks > 0).sum()
    return tuple(float(one) for one in overall + moved / count)


def _away(table: RankTable) -> tuple[Floats, Ints]:
    """Return (rankings, models) ranks less their ranking's mean, and places; 0 for none."""
    shown = table.ranks > 0
    means = table.ranks.sum(axis=1) / shown.sum(axis=1)
    return np.where(shown, table.ranks - means[:, None], 0), np.where(shown, table.positions, 0)


def _places_p_value(block: Floats, permutations: int, chance: np.random.Generator) -> float:
    """Return how often places that are dealt out anew move the ranks as far."""
    there = ~np.isnan(block)
    count, away = there.sum(axis=0), np.where(there, block, 0)

    def moved(drawn: int) -> Floats:
        keys = chance.random((drawn, *block.shape))
        keys[:, ~there] = np.inf
        dealt = np.take_along_axis(away[None], keys.argsort(axis=2), axis=2)
        return spread(dealt.sum(axis=1))

    def spread(summed: Floats) -> Floats:
        squares: Floats = (summed**2 / count).sum(axis=-1)
        return squares

    return _p_value(spread(away.sum(axis=0)), moved, permutations, block.size)


def _groups_p_value(
    table: RankTable, homes: Ints, permutations: int, chance: np.random.Generator
) -> float | None:
    """Return how often people who are dealt out anew lie as far apart; None with too few."""
    own = table.take(table.group == homes[table.participant])
    people = np.unique(own.participant)
    labels = homes[people]
    if _arrangements(labels) < 1 / CHANCE:
        return None
    groups = np.unique(labels)
    totals = [
        sums(own.participant, one.astype(np.float64), len(homes))[people]
        for one in (own.ranks, own.ranks > 0)
    ]
    averages = ratio(*totals)
    counted = ~np.isnan(averages)
    averages = np.where(counted, averages, 0)
    overall = ratio(averages.sum(axis=0), counted.sum(axis=0))

    def spread(dealt: Ints) -> Floats:
        member = (dealt[:, None, :] == groups[:, None]).astype(np.float64)
        size = member @ counted
        squares: Floats = np.nansum(size * (ratio(member @ averages, size) - overall) ** 2, (1, 2))
        return squares

    def moved(drawn: int) -> Floats:
        return spread(chance.permuted(np.tile(labels, (drawn, 1)), axis=1))

    numbers = len(people) * len(groups)
    return _p_value(spread(labels[None])[0], moved, permutations, numbers)


def _arrangements(labels: Ints) -> int:
    """Return in how many ways people fall into groups of these sizes, whichever group is which."""
    sizes = [int(one) for one in np.unique(labels, return_counts=True)[1]]
    alike = math.prod(math.factorial(one) for one in Counter(sizes).values())
    return math.factorial(sum(sizes)) // math.prod(map(math.factorial, sizes)) // alike


def _p_value(
    found: Floats, moved: Callable[[int], Floats], permutations: int, numbers: int
) -> float:
    """Return the share of permutations, what was found among them, that reach as far.

    Args:
        found: the statistic, never below 0.
        moved: draws so many permutations and returns their statistics.
        permutations: how many are drawn.
        numbers: how many numbers one of them takes.
    """
    at_once = max(1, _NUMBERS_AT_ONCE // numbers)
    reached = 0
    for start in range(0, permutations, at_once):
        drawn = moved(min(at_once, permutations - start))
        reached += int((drawn >= found - _ROUNDING * max(1.0, float(found))).sum())
    return (1 + reached) / (1 + permutations)


def _disagreement(item: str | None, table: RankTable, p_value: float | None) -> Disagreement:
    winners, people = {}, []
    for group in np.unique(table.group):
        own = table.take(table.group == group)
        figures = rank_figures(own)
        winners[table.groups[group]] = tiers(table.models, figures.average_ranks)[0]
        people.append(figures.participants)
    pages = np.unique(np.column_stack([table.page, table.group]), axis=0)[:, 0]
    shared = len(np.unique(pages)) < len(pages)
    apart = not set.intersection(*(set(models) for models in winners.values()))
    return Disagreement(
        item=item,
        p_value=p_value,
        winners=winners,
        disagree=apart or _is_told(p_value),
        sentence=_sentence(_firsts(winners, len(table.models)), apart, p_value, people, shared),
    )


def _is_told(p_value: float | None) -> bool:
    return p_value is not None and p_value <= CHANCE


def _sentence(
    firsts: str,
    apart: bool,
    p_value: float | None,
    people: Sequence[int],
    shared: bool,
) -> str:
    """Return what to say before any pooled winner.

    Args:
        firsts: who puts what first, as `_firsts` says it.
        apart: whether the groups' first tiers share no model.
        p_value: of the test.
        people: of each group.
        shared: whether some page was ranked by people of two groups.
    """
    few, many = min(people), max(people)
    each = f"{few}" if few == many else f"{few} to {many}"
    chance = f"people in a group: {each}" + ("" if p_value is None else f"; p = {p_value:.2g}")
    first = firsts[0].upper() + firsts[1:]
    if _is_told(p_value):
        start = "The groups disagree" if apart else "The groups rank the models differently"
        sentence = f"{start}, more than chance explains ({chance}): {firsts}."
    elif p_value is None:
        sentence = f"{first}; too few people to tell whether groups differ ({chance})."
    elif apart:
        sentence = f"{first}; chance alone often makes such a difference ({chance})."
    else:
        sentence = (
            f"{first}; nothing shows that the groups rank the models differently, nor that they "
            f"rank them alike ({chance})."
        )
    if shared or not (apart or _is_told(p_value)):
        return sentence
    return (
        f"{sentence} Each group ranked pages of its own, so the pictures may make the difference "
        "as well as the people."
    )


def _firsts(winners: Mapping[str, tuple[str, ...]], count: int) -> str:
    """Return who puts what first, groups that say the same together.

    Args:
        winners: group -> its first tier.
        count: of all models.
    """

    def put(models: Sequence[str]) -> str:
        # Who ties all of them has no winner.
        alike = len(models) == count > 1
        return "put no model before another" if alike else f"put {_listed(models)} first"

    groups: dict[tuple[str, ...], list[str]] = {}
    for group, models in winners.items():
        groups.setdefault(models, []).append(group)
    if len(groups) == 1:
        every = "both" if len(winners) == 2 else f"all {len(winners)}"
        return f"{every} groups {put(next(iter(groups)))}"
    return ", ".join(
        f"people of {_listed(names)} {put(models)}" for models, names in groups.items()
    )


def _listed(names: Sequence[str]) -> str:
    """Return `A`, `A and B` or `A, B and C`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
