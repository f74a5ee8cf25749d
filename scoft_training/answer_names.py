"""Names of people and pages told apart: hand-made tables count them anew in every culture."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

from .answer_records import Answer, Who, who_of
from .survey_records import Finding

__all__ = ["names_apart", "pages_apart", "renamed"]


def names_apart(people: Iterable[Who]) -> tuple[dict[Who, str], list[Finding]]:
    """Return names of which each is one person's, and a sentence for each that had to change.

    Names that stand for one person stay; the others get culture or country behind them.
    """
    groups: dict[str, set[tuple[str, str]]] = {}
    for name, culture, country in people:
        groups.setdefault(name, set()).add((culture, country))
    names = {(name, *one): name for name, of in groups.items() if len(of) == 1 for one in of}
    taken, findings = set(groups), []
    for name, of in sorted(groups.items()):
        if len(of) == 1:
            continue
        cultures = Counter(culture for culture, _ in of)
        for culture, country in sorted(of):
            parts = (culture,) if cultures[culture] == 1 else (culture, country)
            label = ", ".join(filter(None, parts)) or "no culture"
            apart = f"{name} ({label})"
            while apart in taken:
                apart += "'"
            taken.add(apart)
            names[name, culture, country] = apart
        told = " and ".join(names[(name, *one)] for one in sorted(of))
        findings.append(
            Finding(
                "flagged",
                name,
                f"This name stands in several cultures or countries, so it counts as {len(of)} "
                f"people: {told}. If it is one person, write one culture and one country in all "
                "lines.",
            )
        )
    return names, findings


def pages_apart(answers: Sequence[Answer]) -> tuple[list[Answer], list[Finding]]:
    """Return answers in which a page's name stands for one page, and a sentence for each changed.

    A page belongs to one culture. The same name in two is the same page only where both say the
    same prompt.
    """
    cultures: dict[str, dict[str, set[str]]] = {}
    for one in answers:
        cultures.setdefault(one.page, {}).setdefault(one.culture, set()).add(one.prompt)
    apart = {
        page: sorted(of)
        for page, of in cultures.items()
        if len(of) > 1 and (len(set.union(*of.values())) > 1 or "" in set.union(*of.values()))
    }
    if not apart:
        return list(answers), []
    pages = sorted(apart)
    named = ", ".join(pages[:3]) + (", ..." if len(pages) > 3 else "")
    finding = Finding(
        "flagged",
        f"page {named}",
        f"The same name of a page stands in several cultures ({', '.join(apart[pages[0]])}), so it "
        "counts as a page of each. If people of several cultures saw the same pictures, write the "
        "same `prompt` in their lines.",
    )
    return [
        dataclasses.replace(one, page=f"{one.page} ({one.culture or 'no culture'})")
        if one.page in apart
        else one
        for one in answers
    ], [finding]


def renamed(answers: Iterable[Answer]) -> tuple[list[Answer], list[Finding]]:
    """Return answers whose names of people and pages are each one's own, and what was changed."""
    listed = list(answers)
    names, told = names_apart(map(who_of, listed))
    with_names = [dataclasses.replace(one, participant=names[who_of(one)]) for one in listed]
    found, told_pages = pages_apart(with_names)
    return found, told + told_pages
