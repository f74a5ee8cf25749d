"""Small words of a survey's report and plots: shares, names, places, orders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import takewhile

from .files import digest_text
from .survey_records import Estimate, Order, SurveyResult, item_title, order_text

__all__ = [
    "EVERYONE",
    "confidence",
    "counted",
    "isolated",
    "listed",
    "may_be_chance",
    "order_in_words",
    "percent",
    "percent_with_interval",
    "place_in",
    "question",
    "short_names",
    "slugs",
]

EVERYONE = "Everyone"
"""Stands for all groups together."""

_LONG = 16
"""Letters that every plot has room for."""


def question(item: str | None) -> str:
    """Return an item's title; None stands for all of them."""
    return "All questions" if item is None else item_title(item)


def percent(share: float) -> str:
    """Return a share as `62 %`; what is nearly, but not quite, none or all is no 0 or 100."""
    text = f"{100 * share:.0f}"
    if text == "0" and share > 0:
        text = "<1"
    elif text == "100" and share < 1:
        text = ">99"
    return f"{text}\u00a0%"


def percent_with_interval(of: Estimate, what: str = "") -> str:
    """Return a share as `62 % (55 to 69)`, or alone where there is no interval.

    Args:
        of: the share.
        what: behind it, say `of pairs`; may be empty.
    """
    text = f"{percent(of.mean)} {what}".rstrip(" ")
    if of.low is None or of.high is None:
        return text
    low, high = (f"{100 * min(max(end, 0), 1):.0f}" for end in (of.low, of.high))
    return f"{text} ({low} to {high})"


def may_be_chance(of: Estimate, level: float) -> bool | None:
    """Whether an interval holds a level; None where there is no interval."""
    if of.low is None or of.high is None:
        return None
    return of.low <= level <= of.high


def confidence(result: SurveyResult) -> str:
    """Return the confidence of a result's intervals as `95 %`."""
    found = result.settings.get("confidence", 0.95)
    return f"{100 * found:g}\u00a0%" if isinstance(found, int | float) else str(found)


def counted(count: int, what: str, plural: str = "") -> str:
    """Return `1 person` or `1,200 people`; the plural is with an s where none is given."""
    return f"{count:,} {what if count == 1 else plural or f'{what}s'}"


def listed(names: Sequence[str]) -> str:
    """Return `A`, `A and B` or `A, B and C`; one name or more."""
    *others, last = map(isolated, names)
    return f"{', '.join(others)} and {last}" if others else last


def isolated(name: str) -> str:
    """Return a name that leaves the order of a sentence alone, whichever way it is written."""
    if any(unicodedata.bidirectional(one) in ("R", "AL", "AN") for one in name):
        return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}"
    return name


def order_in_words(order: Order) -> str:
    """Return an order as `A > B = C`; what is not known is said."""
    tiers = tuple(tuple(isolated(model) for model in tier) for tier in order)
    return order_text(tiers) or "cannot be told"


def slugs(names: Sequence[str]) -> dict[str, str]:
    """Return what stands for groups or items in names of files: no two alike, all harmless."""
    taken: dict[str, str] = {}
    for name in names:
        slug = re.sub(r"\W+", "-", unicodedata.normalize("NFC", name.casefold())).strip("-_")[:40]
        if not slug or slug in taken.values():
            slug = f"{slug}-{digest_text(name)[:8]}".strip("-")
        taken[name] = slug
    return taken


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return names for plots: where one is long, without what all of them begin and end with.

    Names of checkpoints often differ in their middle alone, which a name that is cut to fit loses.
    """
    cut = [name.strip() for name in names]
    if len(set(cut)) > 1 and max(map(len, cut)) > _LONG:
        # No word is cut: behind the last sign that belongs to none.
        begin = re.sub(r"\w+$", "", _common(cut))
        end = re.sub(r"\w+$", "", _common([name[len(begin) :][::-1] for name in cut]))
        parts = [name[len(begin) : len(name) - len(end)] for name in cut]
        marks = ["\u2026" if len(one) > 1 else "" for one in (begin, end)]
        if all(parts):
            cut = [f"{marks[0]}{part}{marks[1]}" for part in parts]
    return dict(zip(names, cut, strict=True))


def place_in(order: Order, model: str) -> tuple[int, bool] | None:
    """Return a model's place in an order, from 1, and whether it shares it; None if not in it."""
    better = 0
    for tier in order:
        if model in tier:
            return better + 1, len(tier) > 1
        better += len(tier)
    return None


def _common(names: Sequence[str]) -> str:
    """Return what all names begin with."""
    signs = takewhile(lambda found: len(set(found)) == 1, zip(*names, strict=False))
    return "".join(found[0] for found in signs)
