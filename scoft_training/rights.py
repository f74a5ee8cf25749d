"""Whose pictures these are, under which licence and with whose consent, counted over rows.

For the header of a LoRA, its card and the dataset's card; nothing here decides what is trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from .data_rows import DatasetCard, DatasetRow

__all__ = ["CreditGroup", "consent_counts", "credit_groups", "licence_counts"]

GIVEN, NOT_STATED = "given", "not stated"


class CreditGroup(NamedTuple):
    """Pictures of one source under one licence; None is not stated."""

    credit: str | None
    licence: str | None
    pictures: int


def credit_groups(rows: Iterable[DatasetRow], card: DatasetCard) -> tuple[CreditGroup, ...]:
    """Return who is credited for how many pictures, the most first.

    A row without a licence of its own is under the card's. The card's credits name nobody's
    pictures, so they are not among the groups.
    """
    counts = Counter((row.credit, row.licence or card.licence) for row in rows)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], *map(str, item[0])))
    return tuple(CreditGroup(credit, licence, count) for (credit, licence), count in ordered)


def licence_counts(rows: Iterable[DatasetRow], card: DatasetCard) -> dict[str, int]:
    """Return how many pictures are under each licence, the most first; "not stated" is last."""
    return _counted(row.licence or card.licence or NOT_STATED for row in rows)


def consent_counts(rows: Iterable[DatasetRow]) -> dict[str, int]:
    """Return how many pictures have which consent: "given", the words of a row, "not stated"."""
    return _counted(_consent(row.consent) for row in rows)


def _consent(value: bool | str | None) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if value is True or text.casefold() in ("yes", "true"):
        return GIVEN
    return text or NOT_STATED


def _counted(values: Iterable[str]) -> dict[str, int]:
    counts = Counter(values)
    return dict(sorted(counts.items(), key=lambda item: (item[0] == NOT_STATED, -item[1], item[0])))
