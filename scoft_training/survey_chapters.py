"""What a survey's report says of the models: from whom, whether groups disagree, then the orders.

What there is to doubt is written in `survey_doubts`, how it was measured in `survey_methods`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from .group_tests import CHANCE
from .survey_document import Boxed, Chapter, Folded, Heading, Listing, Part, PlotNames, Table, Words
from .survey_records import Disagreement, Estimate, ModelFigures, Slice, SurveyResult
from .survey_wording import (
    FEW,
    confidence,
    contradicting,
    counted,
    hardly_counted,
    isolated,
    listed,
    may_be_chance,
    neighbours,
    order_in_words,
    orders_by_method,
    percent_with_interval,
    place_in,
    question,
    short_names,
    slugs,
    weighed_otherwise,
)
from .text_tables import number, ranged

__all__ = ["agreement_table", "agreement_words", "lead", "models_chapters", "several"]

_OPEN_GROUPS = 3
"""Of more groups the plots are shown when asked."""

_MEANINGS = {
    "alignment": "Which picture shows best what the text says? That one has rank 1.",
    "representation": (
        "Which picture shows the culture as its own people know it? The truest one has rank 1."
    ),
    "stereotypes": "Which picture shows the fewest stereotypes? That one has rank 1.",
    "offensiveness": "Which picture offends least? That one has rank 1.",
}

_AGREEMENT = ((0.1, "hardly at all"), (0.3, "a little"), (0.5, "somewhat"), (0.7, "largely"))
"""Mean correlations of two people's ranks below which they agree so: small, medium and large ones
(Cohen 1988), and one more."""

_PLURALS = {"culture": "cultures", "country": "countries"}


def several(result: SurveyResult) -> str:
    """Return what groups are called, say `cultures`."""
    return _PLURALS.get(result.group_by, f"groups by {result.group_by}")


def lead(result: SurveyResult) -> str:
    """Return the report's first sentences: how many people ranked what."""
    whole = result.slice()
    if whole is None:
        return "No answer counts, so nothing can be said of the models."
    ties = f", {counted(whole.ties, 'pair')} of them tied" if whole.ties else ""
    groups = counted(len(result.groups), result.group_by, several(result))
    return (
        f"{counted(len(result.people), 'person', 'people')} from {groups} ranked pictures by "
        f"{counted(len(result.models), 'model')} {counted(whole.rankings, 'time')}. That is "
        f"{counted(whole.comparisons, 'pair')} of pictures compared{ties}."
    )


def models_chapters(result: SurveyResult) -> Iterator[Chapter]:
    """Yield the chapters on the models; whether groups disagree stands before what is pooled.

    Args:
        result: of an analysis.
    """
    yield Chapter("people", "Whose answers these are", list(_whom(result)))
    whole = result.slice()
    if whole is None or not whole.models:
        return
    yield Chapter("groups", f"Do the {several(result)} agree?", list(_disagreement(result)))
    yield Chapter("everyone", "Everyone together", list(_everyone(result, whole)))
    if len(result.items) > 1:
        yield Chapter("items", "Each question", list(_items(result)))
    if len(result.groups) > 1:
        yield Chapter("each-group", f"Each {result.group_by}", list(_each_group(result)))


def agreement_words(part: Slice) -> str:
    """Return how far people agree, as a sentence."""
    word = _agreement_word(part)
    if word is None:
        return (
            "How far people agree cannot be told: no page was ranked by two of them who told its "
            "pictures apart."
        )
    return (
        f"People who ranked the same page agree {word}: the mean correlation of two people's ranks "
        f"is {part.mean_spearman:.2f}; Kendall's W is {part.kendalls_w:.2f} with "
        f"{part.kendalls_w_people:.3g} people a page."
    )


def agreement_table(of: str, parts: Sequence[tuple[str, Slice | None]], caption: str = "") -> Table:
    """Return how far people agree in several parts.

    Args:
        of: what the parts are.
        parts: each with its name; those without answers are passed over.
        caption: of the table.
    """
    return Table(
        (of, "people agree", "mean correlation", "Kendall's W", "people a page"),
        [
            (
                name,
                _agreement_word(part) or "cannot be told",
                number(part.mean_spearman, 2),
                number(part.kendalls_w, 2),
                f"{part.kendalls_w_people:.3g}" if part.kendalls_w is not None else "-",
            )
            for name, part in parts
            if part is not None
        ],
        caption,
        words=(1,),
    )


def _agreement_word(part: Slice) -> str | None:
    """Return how far people agree in a word, by what does not depend on how many they are."""
    if part.kendalls_w is None or part.mean_spearman is None:
        return None
    if part.mean_spearman < -_AGREEMENT[0][0]:
        return "not at all, but contradict each other"
    return next((word for below, word in _AGREEMENT if part.mean_spearman < below), "strongly")


def _whom(result: SurveyResult) -> Iterator[Part]:
    people = Counter(person.group for person in result.people)
    rankings: Counter[str] = Counter()
    looked_at: Counter[str] = Counter()
    for person in result.people:
        rankings[person.group] += person.rankings
        looked_at[person.group] += bool(person.flags)
    if result.groups:
        yield Table(
            (result.group_by, "people", "rankings", "people to look at"),
            [
                (group, str(people[group]), f"{rankings[group]:,}", str(looked_at[group]))
                for group in result.groups
            ],
        )
    short = short_names(result.models)
    if any(name.strip() != shown for name, shown in short.items()):
        rows = [(shown, name) for name, shown in short.items()]
        yield Table(("called here", "model"), rows, words=(1,))
    if few := [group for group in result.groups if people[group] < FEW]:
        yield Words(
            f"Fewer than {FEW} people: {listed(few)}. What so few say may look otherwise with the "
            "next answers."
        )
    if result.people:
        yield Words(
            "These people speak for themselves: they were not drawn by lot, so others of the same "
            f"{result.group_by} may think otherwise. Nor do these prompts stand for all others."
        )
    found = Counter(finding.kind for finding in result.findings)
    if found:
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.items())
        yield Words(f"Answers that are wrong or odd: {kinds}. Each is named further below.")
    if left_out := str(result.settings.get("leave_out") or ""):
        yield Words(f"Left out by whoever made this report: {left_out}.")


def _disagreement(result: SurveyResult) -> Iterator[Part]:
    if len(result.groups) < 2:
        yield Words(
            f"All answers come from one {result.group_by}, so nothing can be said about whether "
            f"{several(result)} disagree."
        )
        if minority := contradicting(result):
            yield Words(f"{minority}. Who they are is told below.")
        return
    whole = [one for one in result.disagreements if one.item is None]
    for one in whole:
        hides = ["What is said below of everyone together hides that."] if one.disagree else []
        yield Boxed([one.sentence, *hides])
    if minority := contradicting(result):
        yield Words(f"{minority}. Who they are is told below.")
    each = [one for one in result.disagreements if one.item is not None]
    if len(each) > 1:
        header = ("question", "more than chance?", "chance (p)", "put first")
        yield Table(
            header,
            [_row(one, short_names(result.models)) for one in each],
            caption=(
                "p: how often chance alone would set groups so far apart if all people thought "
                "alike; corrected for the number of questions (Holm)"
            ),
            words=(3,),
        )
    yield PlotNames(["groups"])


def _row(one: Disagreement, short: Mapping[str, str]) -> tuple[str, ...]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for group, models in one.winners.items():
        groups.setdefault(models, []).append(group)
    first = "; ".join(f"{_firsts(of, short)} ({listed(who)})" for of, who in groups.items() if of)
    if one.p_value is None:
        return question(one.item), "cannot be told", "-", first or "-"
    told = "yes" if one.p_value <= CHANCE else "not shown"
    return question(one.item), told, f"{one.p_value:.2g}", first or "-"


def _firsts(models: Sequence[str], short: Mapping[str, str]) -> str:
    if len(models) == len(short) > 1:
        return "no model before another"
    return listed([short[model] for model in models])


def _everyone(result: SurveyResult, whole: Slice) -> Iterator[Part]:
    if any(one.disagree for one in result.disagreements):
        yield Words(
            f"Remember that the {several(result)} put different models first in some of this: an "
            "order of everyone together leans to those of whom there are more."
        )
    if apart := hardly_counted(result):
        yield Words(
            "Noisy Bradley-Terry looks for one order of everyone, and takes most answers of people "
            f"of {listed(apart)} for chance because they differ from it. Its scores of everyone "
            "together are not theirs; see theirs below."
        )
    yield from _how_to_read(result, whole)
    yield from _orders(result, whole, None)
    if len(result.items) == 1:
        yield Words(_MEANINGS.get(result.items[0], f"The question was: {result.items[0]}."))
        yield _models_table(result, whole, question(result.items[0]))
    else:
        yield _models_table(result, whole, question(None))
    yield PlotNames(
        ["win-rates", "average-ranks", "ranks", "first-places", "vote", "noisy-bradley-terry"]
    )


def _how_to_read(result: SurveyResult, whole: Slice) -> Iterator[Part]:
    """Yield what the numbers of everyone, and all further below, mean."""
    said = (
        "Pairs won: how often a model's picture was put before another's. Noisy Bradley-Terry: how "
        "often it would beat a picture of middling strength. MMSR and vote: who agrees with others "
        "has more weight."
    )
    if _has_intervals(whole):
        said += (
            f" In brackets stands the {confidence(result)} interval: how far the number could lie "
            f"elsewhere had other people of the same {several(result)} been asked."
        )
    yield Words(f"{said} How all this is made is told at the end.", soft=True)


def _has_intervals(part: Slice) -> bool:
    return any(one.average_rank.low is not None for one in part.models)


def _orders(result: SurveyResult, part: Slice, whole: Slice | None) -> Iterator[Part]:
    """Yield each order of the models with the methods that say it, and the pairs of the first.

    Args:
        result: of the analysis.
        part: of the answers.
        whole: all of them, where it has been said how the vote was weighed; or None.
    """
    short = short_names(result.models)
    entries = [(methods, order_in_words(order, short)) for methods, order in orders_by_method(part)]
    if part.vote_order and (weighed := weighed_otherwise(part, whole)):
        entries.append(("How the vote was weighed", weighed))
    yield Listing(entries)
    yield Listing(
        [("", _pair(short[one], short[other], rate)) for one, other, rate in neighbours(part)]
    )


def _pair(better: str, worse: str, rate: Estimate) -> str:
    often = percent_with_interval(rate, "of pairs")
    said = f"People put {isolated(better)} before {isolated(worse)} in {often}"
    by_chance = may_be_chance(rate, 0.5)
    if by_chance is None:
        return f"{said}; too few people to tell how far chance decided."
    return f"{said}; chance alone can explain that." if by_chance else f"{said}."


def _models_table(result: SurveyResult, part: Slice, of: str) -> Table:
    header = (
        "model",
        "average rank",
        "pairs won",
        "came first",
        "Noisy\u00a0Bradley-Terry",
        "MMSR\u00a0and vote: place",
    )
    brackets = f"; in brackets the {confidence(result)} interval" if _has_intervals(part) else ""
    short = short_names(result.models)
    return Table(
        header,
        [(short[one.model], *_figures(part, one)) for one in part.models],
        caption=f"{of}: {counted(part.participants, 'person', 'people')}, "
        f"{counted(part.rankings, 'ranking')}; rank 1 is best{brackets}",
    )


def _figures(part: Slice, one: ModelFigures) -> tuple[str, ...]:
    place = place_in(part.vote_order, one.model)
    return (
        _rank(one),
        percent_with_interval(one.win_rate),
        percent_with_interval(one.first_share),
        "-" if one.nbt_score is None else percent_with_interval(one.nbt_score),
        "-" if place is None else f"{place[0]}{' (shared)' if place[1] else ''}",
    )


def _rank(one: ModelFigures) -> str:
    return ranged(one.average_rank.mean, one.average_rank.low, one.average_rank.high, 2)


def _items(result: SurveyResult) -> Iterator[Part]:
    apart = {one.item: one for one in result.disagreements}
    for item, slug in slugs(result.items).items():
        part = result.slice(item=item)
        if part is None or not part.models:
            continue
        yield Heading(question(item))
        if item in _MEANINGS:
            yield Words(_MEANINGS[item])
        if item in apart and apart[item].disagree:
            yield Words(apart[item].sentence)
        yield from _orders(result, part, result.slice())
        yield _models_table(result, part, question(item))
        yield Words(agreement_words(part), soft=True)
        yield PlotNames([f"win-rates-{slug}"])


def _each_group(result: SurveyResult) -> Iterator[Part]:
    for group, slug in slugs(result.groups).items():
        part = result.slice(group)
        if part is None or not part.models:
            continue
        yield Heading(group)
        yield from _orders(result, part, result.slice())
        yield _group_table(result, group)
        items = (None, *result.items)
        of_items = [(question(item), result.slice(group, item)) for item in items]
        yield agreement_table("question", of_items, f"How far people of {isolated(group)} agree")
        plots = PlotNames([f"average-ranks-{slug}", f"ranks-{slug}"])
        many = len(result.groups) > _OPEN_GROUPS
        yield Folded(f"Plots of {group}", [plots]) if many else plots


def _group_table(result: SurveyResult, group: str) -> Table:
    """Return the average ranks of a group, a column a question."""
    items = [item for item in (None, *result.items) if result.slice(group, item) is not None]
    found = {
        (one.model, item): _rank(one)
        for item in items
        if (part := result.slice(group, item)) is not None
        for one in part.models
    }
    whole = result.slice(group)
    people = 0 if whole is None else whole.participants
    return Table(
        ("model", *map(question, items)),
        [
            (shown, *(found.get((model, item), "-") for item in items))
            for model, shown in short_names(result.models).items()
            if any((model, item) in found for item in items)
        ],
        caption=f"Average ranks of {counted(people, 'person', 'people')} of {isolated(group)}",
    )
