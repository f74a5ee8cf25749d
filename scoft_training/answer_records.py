"""What an answer is: one rank that one participant gave one picture under one item.

Also what makes the ranks of one page possible ones, and which pictures a page shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from .answer_tables import shown
from .errors import unknown_name
from .survey_key import ITEMS

__all__ = [
    "Answer",
    "Ranking",
    "RankingKey",
    "Who",
    "competition_ranks",
    "in_order",
    "models_shown",
    "other_models",
    "ranking_fault",
    "rankings_of",
    "who_of",
]


@dataclass(frozen=True)
class Answer:
    """One rank that one participant gave one picture under one item.

    Attributes:
        participant: who, told from all others by this name alone.
        culture: whose pages they ranked; empty where it is not known.
        country: what they say they come from; empty where it is not known.
        page: the page's id.
        prompt: what its pictures were drawn for; empty where it is not known.
        item: alignment, representation, stereotypes or offensiveness.
        model: whose picture.
        position: its place on the page, from 1; None where it is not known.
        rank: 1 best; tied pictures share the better rank.
        seconds: how long the whole ranking took; None where it is not known.
    """

    participant: str
    culture: str
    country: str
    page: str
    prompt: str
    item: str
    model: str
    position: int | None
    rank: int
    seconds: float | None


Who: TypeAlias = tuple[str, str, str]
"""A participant's name, culture and country: these together tell people apart."""

RankingKey: TypeAlias = tuple[Who, str, str]
"""Who, page, item."""

Ranking: TypeAlias = tuple[Answer, ...]
"""One participant's ranks of one page under one item."""

_Page = TypeVar("_Page", bound=Hashable)


def in_order(answers: Iterable[Answer]) -> list[Answer]:
    """Return answers by culture, participant, page, item and model."""
    return sorted(
        answers,
        key=lambda one: (one.culture, *who_of(one), one.page, ITEMS.index(one.item), one.model),
    )


def who_of(answer: Answer) -> Who:
    """Return whose answer it is."""
    return answer.participant, answer.culture, answer.country


def rankings_of(answers: Iterable[Answer]) -> dict[RankingKey, Ranking]:
    """Return answers by ranking, in the order of the first of each."""
    found: dict[RankingKey, list[Answer]] = {}
    for one in answers:
        found.setdefault((who_of(one), one.page, one.item), []).append(one)
    return {key: tuple(ranking) for key, ranking in found.items()}


def competition_ranks(values: Collection[float]) -> list[int]:
    """Return ranks by rising value, from 1; equal values share the better rank: 1-1-3-4.

    >>> competition_ranks([2.5, 1, 2.5, 9])
    [2, 1, 2, 4]
    """
    return [1 + sum(other < value for other in values) for value in values]


def ranking_fault(ranks: Mapping[str, int]) -> str | None:
    """Return what is wrong with a ranking and what to do, as a sentence; None if it can be.

    Args:
        ranks: what each picture got, by the name that the sentence gives it.
    """
    count = len(ranks)
    if count < 2:
        return "It ranks one picture alone, so nothing is compared. Add the page's other pictures."
    for name, rank in ranks.items():
        if not 1 <= rank <= count:
            return (
                f"The rank {rank} of {shown(name)!r} is none of 1 to {count}, as {count} pictures "
                "are ranked. Correct it, or take the ranking out."
            )
    given = sorted(ranks.values())
    possible = competition_ranks(given)
    if given == possible:
        return None
    return (
        f"{_joined(given)} are no ranks of {count} pictures: those that share a rank take the "
        f"better one, and the next is as much further. Write {_joined(possible)} if that is meant, "
        "or take the ranking out."
    )


def _joined(ranks: Collection[int]) -> str:
    return shown("-".join(map(str, ranks)))


def models_shown(
    rankings: Iterable[tuple[_Page, Collection[str]]],
) -> dict[_Page, frozenset[str]]:
    """Return which models each page shows, which answers alone do not say.

    So that one misspelt model does not spoil the page for everybody, it is what most rankings of it
    hold; of equally many, the models that all rankings together name most often.

    Args:
        rankings: page, and the models that one ranking of it holds.
    """
    sets: dict[_Page, Counter[tuple[str, ...]]] = {}
    often: Counter[str] = Counter()
    for page, models in rankings:
        held = tuple(sorted(models))
        sets.setdefault(page, Counter())[held] += 1
        often.update(held)

    def likelihood(pair: tuple[tuple[str, ...], int]) -> tuple[int, int, tuple[str, ...]]:
        models, count = pair
        return count, sum(often[one] for one in models), models

    return {page: frozenset(max(of.items(), key=likelihood)[0]) for page, of in sets.items()}


def other_models(models: frozenset[str], on_page: frozenset[str]) -> str:
    """Return what is wrong with ranking these models where the page shows those; empty if nothing.

    Args:
        models: of one ranking.
        on_page: of its page.
    """
    if strange := sorted(models - on_page):
        return unknown_name("model of this page", shown(strange[0]), map(shown, sorted(on_page)))
    if lacking := sorted(on_page - models):
        return f"{shown(lacking[0])!r}, which the page shows too, is missing. Add it with its rank."
    return ""
