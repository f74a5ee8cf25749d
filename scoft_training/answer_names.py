"""Names put in order, which people who make tables and fill pages do not see to.

People and pages are told apart, since tables count them anew in every culture; cultures and
countries are written alike.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from .answer_records import Answer, Who, who_of
from .answer_tables import shown
from .survey_records import Finding

__all__ = ["few_names", "filled", "names_apart", "pages_apart", "renamed", "respelt"]

_NOWHERE = "no culture"


def respelt(
    answers: Iterable[Answer], where: str = "", known: Iterable[str] = ()
) -> tuple[list[Answer], list[Finding]]:
    """Return answers in which a culture and a country are always written alike.

    Phones begin some words with a capital and some not: of spellings that differ in case and spaces
    alone, the commonest counts.

    Args:
        answers: in any order, which stays.
        where: stands before what the findings are about, say a file's name.
        known: cultures whose spelling is settled.
    """
    listed = list(answers)
    cultures = _spellings(Counter(one.culture for one in listed), set(known))
    countries = _spellings(Counter(one.country for one in listed), set())
    findings = [
        Finding(
            "flagged",
            f"{where}{kind} {written}",
            f"It is read as {right!r}, as it is written elsewhere. If it is another {kind}, give "
            "it a name of its own.",
        )
        for kind, spellings in (("culture", cultures), ("country", countries))
        for written, right in spellings.items()
        if written != right
    ]
    if not findings:
        return listed, []
    return [
        dataclasses.replace(one, culture=cultures[one.culture], country=countries[one.country])
        for one in listed
    ], findings


def _spellings(often: Mapping[str, int], settled: Container[str]) -> dict[str, str]:
    """Return each spelling -> the one that counts."""
    alike: dict[str, list[str]] = {}
    for name in sorted(often):
        alike.setdefault(" ".join(name.casefold().split()), []).append(name)
    return {
        name: max(names, key=lambda one: (one in settled, often[one]))
        for names in alike.values()
        for name in names
    }


def filled(answers: Sequence[Answer], *names: str) -> list[Answer]:
    """Return answers with what a participant's other answers all say the same of.

    Args:
        answers: in any order, which stays.
        names: `country`, or `culture` and `country`, in this order; a country is a participant's of
            one culture.
    """
    found = list(answers)
    for name in names:
        said: dict[tuple[str, ...], set[str]] = {}
        for one in found:
            said.setdefault(_person(one, name), set()).add(getattr(one, name))
        only = {person: min(of - {""}) for person, of in said.items() if len(of - {""}) == 1}
        for at, one in enumerate(found):
            if not getattr(one, name) and _person(one, name) in only:
                change: dict[str, Any] = {name: only[_person(one, name)]}
                found[at] = dataclasses.replace(one, **change)
    return found


def _person(answer: Answer, name: str) -> tuple[str, ...]:
    """Return whose answer it is as far as that is known before `name` is filled."""
    return (answer.participant,) if name == "culture" else (answer.participant, answer.culture)


def names_apart(people: Iterable[Who]) -> tuple[dict[Who, str], list[Finding]]:
    """Return names of which each is one person's, and a sentence where any had to change.

    Names that stand for one person stay; the others get culture or country behind them.
    """
    groups: dict[str, set[tuple[str, str]]] = {}
    for name, culture, country in people:
        groups.setdefault(name, set()).add((culture, country))
    names = {(name, *one): name for name, of in groups.items() if len(of) == 1 for one in of}
    taken = set(groups)
    several = sorted(name for name, of in groups.items() if len(of) > 1)
    for name in several:
        cultures = Counter(culture for culture, _ in groups[name])
        for culture, country in sorted(groups[name]):
            parts = (culture,) if cultures[culture] == 1 else (culture, country)
            apart = f"{name} ({', '.join(filter(None, parts)) or _NOWHERE})"
            while apart in taken:
                apart += "'"
            taken.add(apart)
            names[name, culture, country] = apart
    if not several:
        return names, []
    told = sorted(apart for who, apart in names.items() if who[0] == several[0])
    sentence = (
        "The same name stands in several cultures or countries, so it counts as a person in each: "
        f"{few_names(told)}. If it is one person, write one culture and one country in all lines."
    )
    return names, [Finding("flagged", f"participant {few_names(several)}", sentence)]


def pages_apart(answers: Sequence[Answer]) -> tuple[list[Answer], list[Finding]]:
    """Return answers in which a page's name stands for one page, and what is odd about the names.

    A page belongs to one culture. The same name in two is the same page only where both say the
    same prompt. Several prompts of a name in one culture are told only, since people mistype them.
    """
    cultures: dict[str, dict[str, set[str]]] = {}
    for one in answers:
        cultures.setdefault(one.page, {}).setdefault(one.culture, set()).add(one.prompt)
    apart = {
        page: sorted(of)
        for page, of in cultures.items()
        if len(of) > 1 and (len(set.union(*of.values())) > 1 or "" in set.union(*of.values()))
    }
    findings = _prompts_told(cultures)
    if not apart:
        return list(answers), findings
    pages = sorted(apart)
    cultures_of = few_names([one or _NOWHERE for one in apart[pages[0]]])
    finding = Finding(
        "flagged",
        f"page {few_names(pages)}",
        f"The same name of a page stands in several cultures ({cultures_of}), so it "
        "counts as a page of each. If people of several cultures saw the same pictures, write the "
        "same `prompt` in their lines.",
    )
    return [
        dataclasses.replace(one, page=f"{one.page} ({one.culture or _NOWHERE})")
        if one.page in apart
        else one
        for one in answers
    ], [finding, *findings]


def _prompts_told(cultures: Mapping[str, Mapping[str, set[str]]]) -> list[Finding]:
    """Return a sentence where a page of one culture has several prompts.

    Args:
        cultures: page -> culture -> prompts.
    """
    found = {
        page: sorted(prompts - {""})
        for page, of in sorted(cultures.items())
        for prompts in of.values()
        if len(prompts - {""}) > 1
    }
    if not found:
        return []
    first, second, *_ = map(shown, next(iter(found.values())))
    sentence = (
        f"It has several prompts, {first!r} and {second!r}, and counts as one page. If these are "
        "different pages, give each a name of its own."
    )
    return [Finding("flagged", f"page {few_names(list(found))}", sentence)]


def renamed(answers: Iterable[Answer]) -> tuple[list[Answer], list[Finding]]:
    """Return answers whose names of people and pages are each one's own, and what was changed."""
    listed = list(answers)
    names, told = names_apart(map(who_of, listed))
    with_names = [dataclasses.replace(one, participant=names[who_of(one)]) for one in listed]
    found, told_pages = pages_apart(with_names)
    return found, told + told_pages


def few_names(names: Sequence[str]) -> str:
    """Return the first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
