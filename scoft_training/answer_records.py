"""What an answer is: one rank that one participant gave one picture under one item."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from .survey_key import ITEMS

__all__ = ["Answer", "Ranking", "RankingKey", "Who", "in_order", "rankings_of", "who_of"]


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
