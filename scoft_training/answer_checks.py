"""Answers that count, yet look as if nobody had looked at the pictures: flagged, never dropped.

Each sign may have an honest reason, so the organiser decides: whoever is to be left out is named.
A pattern is a sign only where chance would hardly make it.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from .answer_records import Answer, Ranking, rankings_of
from .errors import ConfigError
from .survey_key import ITEMS
from .survey_records import Finding

__all__ = ["FEWEST_COPIED", "FEWEST_PAGES", "SECONDS_A_PICTURE", "flags_of", "without"]

SECONDS_A_PICTURE = 0.5
"""Ranking takes at least a tap, a key or a drag for each picture, and two of those a second are as
fast as hands go; whoever looks takes several times as long."""

FEWEST_PAGES = 3
"""Pages on which somebody has to do the same before it is a habit."""

FEWEST_COPIED = 12
"""Rankings of four pictures that two people must share, all of theirs. Where pictures are easy to
tell apart, two people may agree in every third ranking; in twelve of twelve, once in half a
million. Of fewer pictures it takes more rankings."""

_CHANCE = 1 / 500
"""With pictures in random places, an order of places is flagged only where people who look would
make it more rarely than this: four pictures on three pages in the same order are one in 576."""

_FOUR = math.log(math.factorial(4))
"""How much the order of four pictures says; of two, it says less than a quarter of that."""

_SHORTEST_NAME = 4
"""Characters of a participant's name that may stand for it: files are named by eight."""


def flags_of(answers: Sequence[Answer], *, allow_ties: bool = True) -> dict[str, tuple[str, ...]]:
    """Return participant -> why to look at their answers, for those where there is a reason.

    Args:
        answers: all that count; each participant's name is one person's.
        allow_ties: whether the survey let pictures share a rank.
    """
    people: dict[str, list[Ranking]] = {}
    for ranking in rankings_of(answers).values():
        people.setdefault(ranking[0].participant, []).append(ranking)
    copies = _copies(people)
    found = {}
    for name, rankings in sorted(people.items()):
        flags = (
            _all_tied(rankings) or _same_places(rankings),
            "" if _all_tied(rankings) else _same_under_all_items(rankings),
            _fast(rankings),
            copies.get(name, ""),
            "" if allow_ties else _ties(rankings),
        )
        if any(flags):
            found[name] = tuple(filter(None, flags))
    return found


def without(answers: Sequence[Answer], leave_out: str) -> tuple[list[Answer], list[Finding]]:
    """Leave out participants that the organiser names, and say so.

    Args:
        answers: all that count.
        leave_out: names parted by commas, one that holds a comma in double quotes; the first
            characters do where they tell one, say the eight in the file's name.

    Raises:
        ConfigError: there is no such participant, or several.
    """
    names = sorted({one.participant for one in answers})
    wanted = next(csv.reader(io.StringIO(leave_out), skipinitialspace=True), [])
    out = {_meant(name.strip(), names) for name in wanted if name.strip()}
    findings = [
        Finding("left out", name, "Everything of this participant, as `leave_out` asks.")
        for name in sorted(out)
    ]
    return [one for one in answers if one.participant not in out], findings


def _meant(wanted: str, names: Sequence[str]) -> str:
    if wanted in names:
        return wanted
    begun = [name for name in names if name.startswith(wanted)]
    if len(wanted) < _SHORTEST_NAME or not begun:
        near = difflib.get_close_matches(wanted, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"`leave_out`: there is no participant {wanted!r} among the {len(names)} whose answers "
            f"count; participants.csv lists them.{hint}"
        )
    if len(begun) > 1:
        raise ConfigError(
            f"`leave_out`: {wanted!r} may be {begun[0]!r} or {begun[1]!r}. Write more of the name."
        )
    return begun[0]


def _all_tied(rankings: Sequence[Ranking]) -> str:
    if _pages(rankings) < FEWEST_PAGES or any(len(_ranks(one)) > 1 for one in rankings):
        return ""
    return f"All pictures share a rank in all {len(rankings)} rankings, which compares nothing."


def _same_places(rankings: Sequence[Ranking]) -> str:
    """Tell whoever ranks by place: under each item in the same order of places on every page."""
    orders: dict[tuple[str, int], Counter[tuple[int, ...]]] = {}
    for ranking in rankings:
        if ranking[0].position is None:
            return ""
        by_place = tuple(one.rank for one in sorted(ranking, key=lambda one: one.position or 0))
        orders.setdefault((ranking[0].item, len(ranking)), Counter())[by_place] += 1
    if _pages(rankings) < FEWEST_PAGES or any(len(of) > 1 for of in orders.values()):
        return ""
    # By chance one of k possible orders comes out on all of m pages once in k ** (m - 1); where
    # nothing offends, everybody may tie everything, for which k is 1.
    of_items = [pair for of in orders.values() for pair in of.items()]
    made = [(_arrangements(order) ** (1 - pages), order) for order, pages in of_items]
    chance, order = min(made)
    if chance > _CHANCE:
        return ""
    shown = "-".join(map(str, order))
    return (
        f"The pictures of all {_pages(rankings)} pages are ranked by their places, from the first "
        f"on {shown}, whatever is on them."
    )


def _same_under_all_items(rankings: Sequence[Ranking]) -> str:
    pages: dict[str, list[dict[str, int]]] = {}
    for ranking in rankings:
        pages.setdefault(ranking[0].page, []).append({one.model: one.rank for one in ranking})
    if sum(_says(len(of[0])) for of in pages.values()) < FEWEST_PAGES * _FOUR:
        return ""
    if any(len(of) < len(ITEMS) or any(one != of[0] for one in of) for of in pages.values()):
        return ""
    return f"On all {len(pages)} pages the ranks are the same under all {len(ITEMS)} items."


def _fast(rankings: Sequence[Ranking]) -> str:
    """Tell whoever ranks faster than anybody can look.

    A page's items share the time of looking at it, so its mean is taken before the middle of all.
    """
    pages: dict[str, list[tuple[float, int]]] = {}
    for ranking in rankings:
        seconds = ranking[0].seconds
        if seconds is not None:
            pages.setdefault(ranking[0].page, []).append((seconds, len(ranking)))
    if len(pages) < FEWEST_PAGES:
        return ""
    typical = statistics.median(statistics.fmean(s for s, _ in of) for of in pages.values())
    limit = SECONDS_A_PICTURE * statistics.median(n for of in pages.values() for _, n in of)
    if typical >= limit:
        return ""
    return (
        f"A ranking took {typical:.1f} seconds (median of the pages); in less than {limit:.1f} "
        "nobody can have looked at all pictures."
    )


def _ties(rankings: Sequence[Ranking]) -> str:
    tied = sum(len(_ranks(one)) < len(one) for one in rankings)
    if not tied:
        return ""
    return (
        f"{tied} of {len(rankings)} rankings hold ties, which the page does not offer in this "
        "survey, so the file was changed or comes from elsewhere."
    )


def _copies(people: dict[str, list[Ranking]]) -> dict[str, str]:
    """Return participant -> whose answers are the same throughout, as a copied file's are."""
    alike: dict[frozenset[tuple[object, ...]], list[str]] = {}
    for name, rankings in sorted(people.items()):
        said_much = sum(_says(len(one)) for one in rankings) >= FEWEST_COPIED * _FOUR
        if said_much and not _all_tied(rankings):
            # Places are drawn for everybody anew, so a copy has them, and a like mind has not.
            said = frozenset(
                (one.page, one.item, one.model, one.rank, one.position)
                for ranking in rankings
                for one in ranking
            )
            alike.setdefault(said, []).append(name)
    return {
        name: (
            f"All {len(people[name])} rankings are those of "
            f"{_first(other for other in names if other != name)}, as in a copied file."
        )
        for names in alike.values()
        if len(names) > 1
        for name in names
    }


def _first(names: Iterable[str]) -> str:
    name, *others = names
    return f"{name} and {len(others)} more" if others else name


def _ranks(ranking: Ranking) -> set[int]:
    return {one.rank for one in ranking}


def _arrangements(ranks: Sequence[int]) -> int:
    """Return in how many orders these ranks can stand."""
    alike = math.prod(math.factorial(count) for count in Counter(ranks).values())
    return math.factorial(len(ranks)) // alike


def _says(pictures: int) -> float:
    return math.log(math.factorial(pictures))


def _pages(rankings: Sequence[Ranking]) -> int:
    return len({one[0].page for one in rankings})
