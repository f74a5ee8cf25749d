"""What a survey's report says of how far to trust it: agreement, places, people, findings."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from .group_tests import CHANCE
from .survey_chapters import agreement_table, agreement_words, several
from .survey_document import Boxed, Chapter, Folded, Listing, Part, PlotNames, Table, Words
from .survey_matrices import MOST_PEOPLE, group_agreement
from .survey_records import Person, PositionBias, SurveyResult
from .survey_wording import contradicts, isolated, percent, question
from .text_tables import number

__all__ = ["doubts_chapters"]

_KINDS = {
    "refused": "Refused: nothing of this counts",
    "left out": "Left out: the rest of the file counts",
    "flagged": "Flagged: this counts, but look at it",
}

_OPEN = 12
"""Of more people or findings of a kind the others are shown when asked."""

_MINORITY = (
    "A weight below 0 in the vote means that someone says the opposite of the people they share "
    "pages with more often than the same. That may be the view of a minority, and no error: MMSR "
    "looks for one consensus, and so can undervalue a small group, as the paper says of its own "
    "survey. Read such answers before you decide anything; nobody is left out by itself."
)


def doubts_chapters(result: SurveyResult) -> Iterator[Chapter]:
    """Yield the chapters on how far the numbers can be trusted; none is empty.

    Args:
        result: of an analysis.
    """
    chapters = (
        Chapter("agreement", "How far people agree", list(_agreement(result))),
        Chapter("places", "Does the place on the page matter?", list(_places(result))),
        Chapter("persons", "People whose answers to look at", list(_persons(result))),
        Chapter("findings", "What is wrong or odd with the answers", list(_findings(result))),
        Chapter("crowd-kit", "Where crowd-kit says something else", list(_differences(result))),
    )
    yield from (chapter for chapter in chapters if chapter.parts)


def _agreement(result: SurveyResult) -> Iterator[Part]:
    whole = result.slice()
    if whole is None:
        return
    yield Words(agreement_words(whole))
    yield Words(
        "Kendall's W is 0 where nobody agrees and 1 where all rank alike. Of few people it is "
        "large by chance alone (1 / 2 of two, 1 / 5 of five); the mean correlation is then around "
        "0, however many they are. Both tell of people who ranked the same pages.",
        soft=True,
    )
    if len(result.items) > 1:
        of_items = [(question(item), result.slice(item=item)) for item in result.items]
        yield agreement_table("question", of_items, "Everyone together")
    if len(result.groups) > 1:
        of_groups = [(group, result.slice(group)) for group in result.groups]
        yield agreement_table(result.group_by, of_groups, "All questions")
    within = group_agreement(result)
    same = [
        (group, f"two people say the same of {percent(share)} of the pairs that both ranked.")
        for at, group in enumerate(result.groups)
        if (share := within[at][at]) is not None
    ]
    yield Listing(same)
    if len(result.groups) > 1 and not _meet(within):
        yield Words(
            f"People of different {several(result)} ranked no page in common, so they cannot be "
            "compared pair by pair."
        )
    if len(result.people) > MOST_PEOPLE:
        yield Words(
            f"There are more than {MOST_PEOPLE} people, so the matrix of all of them is not drawn; "
            "tables/agreement.csv holds it."
        )
    yield PlotNames(["agreement-groups", "agreement-people"])


def _meet(within: Sequence[Sequence[float | None]]) -> bool:
    return any(
        share is not None
        for at, row in enumerate(within)
        for other, share in enumerate(row)
        if at != other
    )


def _places(result: SurveyResult) -> Iterator[Part]:
    told = [one for one in result.position_bias if one.average_ranks]
    if not told:
        yield Words(
            "The answers do not say at which place of the page a picture stood, so whether the "
            "place moved the ranks cannot be told."
        )
        return
    if moved := [one for one in told if one.p_value <= CHANCE]:
        yield Boxed(["The place on the page moved the ranks.", *map(_moved, moved)])
        yield Words(
            "Each person saw the pictures in an order drawn by lot, so no model gains by this; it "
            "blurs the differences between all of them. Noisy Bradley-Terry takes it into account."
        )
    else:
        lowest = min(one.p_value for one in told)
        yield Words(
            "No sign of it: pictures did not get better or worse ranks at one place than at "
            f"another, more than chance explains (p = {lowest:.2g} or more)."
        )
    most = max(len(one.average_ranks) for one in told)
    yield Table(
        ("question", *(f"place {at}" for at in range(1, most + 1)), "chance (p)", "pages"),
        [_places_row(one, most) for one in told],
        caption="Average rank of the pictures at each place, whichever model drew them",
    )
    yield PlotNames(["position"])


def _moved(one: PositionBias) -> str:
    ranks = list(one.average_ranks)
    best, worst = ranks.index(min(ranks)) + 1, ranks.index(max(ranks)) + 1
    return (
        f"{question(one.item)}: pictures at place {best} got rank {min(ranks):.2f} in the mean, "
        f"those at place {worst} rank {max(ranks):.2f} (p = {one.p_value:.2g})."
    )


def _places_row(one: PositionBias, most: int) -> tuple[str, ...]:
    ranks = [f"{rank:.2f}" for rank in one.average_ranks]
    blank = ["-"] * (most - len(ranks))
    return question(one.item), *ranks, *blank, f"{one.p_value:.2g}", str(one.pages)


def _persons(result: SurveyResult) -> Iterator[Part]:
    if not result.people:
        return
    odd = [person for person in result.people if any(_why(person))]
    if any(map(contradicts, odd)):
        yield Words(_MINORITY)
    elif odd:
        yield Words("Their answers count; look at them and decide.")
    else:
        yield Words("Nobody's answers look odd.")
    entries = [
        (f"{person.name} ({isolated(person.group)})", " ".join(_why(person))) for person in odd
    ]
    yield from _opened(entries)
    known = [person.agreement for person in result.people if person.agreement is not None]
    if len(known) > 1:
        low, high = min(known), max(known)
        yield Words(
            f"How often one person says what the others say: {percent(low)} to {percent(high)}, "
            f"half of the people {percent(statistics.median(known))} or more."
        )
    columns = (
        "person",
        result.group_by,
        "rankings",
        "says what others say",
        "weight in the vote",
        "follows the common order",
        "otherwise takes the first",
    )
    caption = (
        "Weight: log-odds by MMSR. Follows the common order, otherwise takes the first shown: "
        "shares of answers by Noisy Bradley-Terry, whose common order is everyone's: whoever "
        "thinks otherwise has a low share. Few answers tell little of either."
    )
    people = Table(columns, [_person_row(one) for one in result.people], caption, words=(1,))
    yield Folded(f"Every person ({len(result.people)})", [people])


def _why(person: Person) -> Iterator[str]:
    yield from (f"{flag.rstrip('.')}." for flag in person.flags)
    if contradicts(person):
        weight = number(person.vote_skill, 2)
        yield f"Says the opposite of the others more often than the same (weight {weight})."


def _person_row(person: Person) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return "-" if value is None else percent(value)

    return (
        person.name,
        person.group,
        str(person.rankings),
        share(person.agreement),
        number(person.vote_skill, 2),
        share(person.nbt_skill),
        share(person.nbt_bias),
    )


def _findings(result: SurveyResult) -> Iterator[Part]:
    if not result.findings:
        return
    known = dict.fromkeys((*_KINDS, *(finding.kind for finding in result.findings)))
    for kind in known:
        found = [finding for finding in result.findings if finding.kind == kind]
        if not found:
            continue
        yield Words(f"{_KINDS.get(kind, kind)} ({len(found)}).")
        yield from _opened([(finding.where, finding.sentence) for finding in found])


def _opened(entries: Sequence[tuple[str, str]]) -> Iterator[Part]:
    """Yield the first entries, and the others where somebody asks for them."""
    if entries:
        yield Listing(entries[:_OPEN])
    if more := entries[_OPEN:]:
        yield Folded(f"{len(more)} more", [Listing(more)])


def _differences(result: SurveyResult) -> Iterator[Part]:
    if result.settings.get("engine") != "crowd-kit":
        return
    if not result.differences:
        yield Words("Nowhere: crowd-kit's own run gives the same orders and weights.")
        return
    yield Words(
        "The paper names this library. It was run on the same comparisons; the report's numbers "
        "are this program's own."
    )
    yield Table(
        ("method", "of whom", "question", "here", "crowd-kit", "what differs"),
        [
            (
                one.method,
                "everyone" if one.group is None else isolated(one.group),
                question(one.item),
                one.ours,
                one.theirs,
                one.sentence,
            )
            for one in result.differences
        ],
        words=(1, 2, 3, 4, 5),
    )
