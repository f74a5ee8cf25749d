"""Small words of a survey's report, plots and summary: shares, names, places, orders."""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, takewhile

from .files import digest_text
from .survey_records import (
    Estimate,
    Order,
    Person,
    Slice,
    SurveyResult,
    item_title,
    order_text,
)

__all__ = [
    "EVERYONE",
    "FEW",
    "confidence",
    "contradicting",
    "contradicts",
    "counted",
    "hardly_counted",
    "isolated",
    "listed",
    "may_be_chance",
    "neighbours",
    "order_in_words",
    "orders_by_method",
    "percent",
    "percent_with_interval",
    "place_in",
    "plain",
    "question",
    "short_names",
    "slugs",
    "weighed_otherwise",
]

EVERYONE = "Everyone"
"""Stands for all groups together."""

FEW = 10
"""Of fewer people than these it is said that they are few."""

_MARKS = str.maketrans({"\u00a0": " ", "\u2068": "", "\u2069": ""})

_FOLLOWS = 0.5
"""Share of answers."""

_LONG = 16
"""Letters that every plot has room for."""

_LONGEST = 40
"""Letters that a line of text has room for."""


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


def plain(text: str) -> str:
    """Return a text for a terminal or a plain file, on one line.

    Names are strangers' words, so nothing that breaks lines or steers a terminal is left; nor are
    the marks around names and the spaces that hold, which only a page needs.
    """
    shown = text.translate(_MARKS)
    return "".join(one if one.isprintable() else " " for one in shown)


def order_in_words(order: Order, names: Mapping[str, str]) -> str:
    """Return an order as `A > B = C`; what is not known is said.

    Args:
        order: of models.
        names: what each of them is called.
    """
    tiers = tuple(tuple(isolated(names[model]) for model in tier) for tier in order)
    return order_text(tiers) or "cannot be told"


def orders_by_method(part: Slice) -> Iterator[tuple[str, Order]]:
    """Yield each order of the models once, behind the methods that say so."""
    methods: dict[Order, list[str]] = {}
    for method, order in (
        ("average rank", part.average_order),
        ("MMSR and vote", part.vote_order),
        ("Noisy Bradley-Terry", part.nbt_order),
    ):
        methods.setdefault(order, []).append(method)
    for order, names in methods.items():
        by = "all three methods" if len(methods) == 1 else ", and by ".join(names)
        yield f"By {by}", order


def neighbours(part: Slice) -> Iterator[tuple[str, str, Estimate]]:
    """Yield a model, the next one by average rank, and how often the first was put before it.

    Of models that share a place the first one stands for all.
    """
    for better, worse in pairwise(tier[0] for tier in part.average_order):
        rate = part.win_rates.get((better, worse))
        if rate is not None:
            yield better, worse, rate


def contradicts(person: Person) -> bool:
    """Whether somebody says the opposite of the others more often than the same, by MMSR."""
    return person.vote_skill is not None and person.vote_skill < 0


def contradicting(result: SurveyResult) -> str:
    """Return how many people say the opposite of the others; empty where nobody does."""
    count = sum(map(contradicts, result.people))
    if not count:
        return ""
    return (
        f"{count} of {counted(len(result.people), 'person', 'people')} "
        f"{'says' if count == 1 else 'say'} the opposite of those who ranked the same pages more "
        "often than the same; that may be a minority's view"
    )


def weighed_otherwise(part: Slice, whole: Slice | None) -> str:
    """Return how a part's vote was weighed where that is not as it is meant, or as in the whole.

    Args:
        part: of the answers.
        whole: where it has been said already; None where it has not.
    """
    said = "" if whole is None else whole.vote_method
    return "" if part.vote_method in ("MMSR", said) else part.vote_method


def hardly_counted(result: SurveyResult) -> list[str]:
    """Return the groups whose answers Noisy Bradley-Terry takes for chance, mostly.

    It looks for one order of everyone together. Where most people of a group follow that order in
    less than half of their answers, while another group follows it, the group is one of another
    mind, and the scores of everyone together are not its own.
    """
    skills: dict[str, list[float]] = {}
    for person in result.people:
        if person.nbt_skill is not None:
            skills.setdefault(person.group, []).append(person.nbt_skill)
    follows = {group: statistics.median(found) for group, found in skills.items()}
    if max(follows.values(), default=0.0) < _FOLLOWS:
        return []
    return [group for group in result.groups if follows.get(group, 1.0) < _FOLLOWS]


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
    """Return names for plots and sentences: where one is long, without what all have in common.

    Names of checkpoints often begin and end alike, and differ in what a name that is cut to fit
    loses. No two become alike.
    """
    cut = [name.strip() for name in names]
    if len(set(cut)) > 1 and max(map(len, cut)) > _LONG:
        # No word is cut: behind the last sign that belongs to none.
        begin = re.sub(r"[^\W_]+$", "", _common(cut))
        end = re.sub(r"[^\W_]+$", "", _common([name[len(begin) :][::-1] for name in cut]))
        parts = [name[len(begin) : len(name) - len(end)] for name in cut]
        marks = ["\u2026" if len(one) > 1 else "" for one in (begin, end)]
        if all(parts):
            cut = [f"{marks[0]}{part}{marks[1]}" for part in parts]
    ends = [
        name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}\u2026{name[-_LONGEST // 2 :]}"
        for name in cut
    ]
    if len(set(ends)) == len(set(names)):
        cut = ends
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
