"""An analysis of a survey in lines of text, for the terminal: whether groups disagree first.

The whole of it, with plots, is `survey_report`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from .group_tests import CHANCE
from .survey_records import ModelFigures, PositionBias, Slice, SurveyResult
from .survey_wording import (
    FEW,
    confidence,
    contradicting,
    hardly_counted,
    listed,
    may_be_chance,
    neighbours,
    order_in_words,
    orders_by_method,
    percent,
    percent_with_interval,
    plain,
    question,
    short_names,
    weighed_otherwise,
)
from .text_tables import aligned, number, ranged

__all__ = ["summary"]

_FIRST_FINDINGS = 5


def summary(result: SurveyResult) -> str:
    """Return what was found, the disagreement of groups before any order of the models."""
    short = short_names(result.models)
    blocks = [
        _disagreement(result),
        _whom(result),
        _how_to_read(result, short),
        *(_slice(part, result, short) for part in result.slices if part.group is None),
        _groups(result, short),
        _places(result),
        _findings(result),
        _crowd_kit(result),
    ]
    told = [[plain(line) for line in block] for block in blocks]
    return "\n\n".join("\n".join(lines) for lines in told if lines)


def _disagreement(result: SurveyResult) -> Iterator[str]:
    """Yield each sentence once; items on which nobody disagrees have none."""
    whole = next((one for one in result.disagreements if one.item is None), None)
    if whole is not None:
        yield f"{question(None)}: {whole.sentence}"
    found = [one for one in result.disagreements if one.item is not None and one.disagree]
    alike = [one for one in found if whole and whole.disagree and one.winners == whole.winners]
    if alike:
        yield f"The same winners, and disagreement: {', '.join(question(o.item) for o in alike)}"
    yield from (f"{question(one.item)}: {one.sentence}" for one in found if one not in alike)
    if minority := contradicting(result):
        yield minority
    if apart := hardly_counted(result):
        yield (
            "Noisy Bradley-Terry of everyone together takes most answers of people of "
            f"{listed(apart)} for chance, because they differ from its one order"
        )


def _whom(result: SurveyResult) -> Iterator[str]:
    whole = result.slices[0]
    per_group = Counter(one.group for one in result.people)
    groups = ", ".join(f"{group} {per_group[group]}" for group in result.groups)
    yield f"People: {len(result.people)} ({groups})"
    ties = f", {whole.ties} of them tied" if whole.ties else ""
    yield f"Rankings: {whole.rankings}, with {whole.comparisons} pairs of pictures{ties}"
    if few := [group for group in result.groups if per_group[group] < FEW]:
        yield f"Fewer than {FEW} people: {listed(few)}; the next answers may change what they say"


def _how_to_read(result: SurveyResult, short: Mapping[str, str]) -> Iterator[str]:
    yield "Rank 1 is best; of stereotypes and offensiveness, the least"
    yield (
        "Noisy Bradley-Terry: how often the model would beat a picture of middling strength; "
        "MMSR and vote: pairs of pictures that it won in the vote"
    )
    if any(one.average_rank.low is not None for one in result.slices[0].models):
        yield f"In brackets: the {confidence(result)} interval, had other people been asked"
    for name, shown in short.items():
        if name.strip() != shown:
            yield f"{shown} is {name}"


def _slice(part: Slice, result: SurveyResult, short: Mapping[str, str]) -> Iterator[str]:
    yield question(part.item)
    header = ("", "average rank", "pairs won", "came first", "Noisy Bradley-Terry", "MMSR and vote")
    rows = [(short[one.model], *_figures(one)) for one in part.models]
    yield from (f"  {line}" for line in aligned([header, *rows]))
    yield from (f"  {by}: {order_in_words(order, short)}" for by, order in orders_by_method(part))
    chance = [
        f"{short[better]} before {short[worse]}"
        for better, worse, rate in neighbours(part)
        if may_be_chance(rate, 0.5)
    ]
    if chance:
        yield f"  Chance alone can explain: {', '.join(chance)}"
    whole = None if part.item is None else result.slice()
    if weighed := weighed_otherwise(part, whole):
        yield f"  The vote: {weighed}"
    yield f"  {_agreement(part)}"


def _figures(one: ModelFigures) -> tuple[str, ...]:
    rank = one.average_rank
    return (
        ranged(rank.mean, rank.low, rank.high, 2),
        percent_with_interval(one.win_rate),
        percent_with_interval(one.first_share),
        "-" if one.nbt_score is None else percent_with_interval(one.nbt_score),
        "-" if one.vote_wins is None else percent(one.vote_wins),
    )


def _agreement(part: Slice) -> str:
    if part.kendalls_w is None:
        return "Agreement on a page: cannot be told, no page was told apart by two people"
    correlation = (
        f", mean correlation of two people {number(part.mean_spearman, 2)}"
        if part.mean_spearman is not None
        else ""
    )
    return (
        f"Agreement on a page: Kendall's W {number(part.kendalls_w, 2)} with "
        f"{number(part.kendalls_w_people, 1)} people a page{correlation}"
    )


def _groups(result: SurveyResult, short: Mapping[str, str]) -> Iterator[str]:
    if len(result.groups) < 2:
        return
    yield f"By {result.group_by}, all questions, order by average rank"
    parts = [part for group in result.groups if (part := result.slice(group)) is not None]
    names = short_names(result.groups)
    rows = [(names[part.group or ""], order_in_words(part.average_order, short)) for part in parts]
    yield from (f"  {line}" for line in aligned(rows))


def _places(result: SurveyResult) -> Iterator[str]:
    if not result.position_bias:
        yield "Place on the page: not known, so whether it moved the ranks cannot be told"
    for one in result.position_bias:
        moved = one.p_value <= CHANCE
        if one.item is None or moved:
            yield _place(one, moved)


def _place(one: PositionBias, moved: bool) -> str:
    said = "moved the ranks" if moved else "no sign that it moved the ranks"
    ranks = ", ".join(number(rank, 2) for rank in one.average_ranks)
    return (
        f"Place on the page, {question(one.item).lower()}: {said} (p = {one.p_value:.2g}); "
        f"average rank from first to last place {ranks}"
    )


def _findings(result: SurveyResult) -> Iterator[str]:
    if not result.findings:
        return
    counts = Counter(one.kind for one in result.findings)
    yield "Answers to look at: " + ", ".join(f"{count} {kind}" for kind, count in counts.items())
    for one in result.findings[:_FIRST_FINDINGS]:
        yield f"  {one.kind}: {one.where}: {one.sentence}"
    more = len(result.findings) - _FIRST_FINDINGS
    if more > 0:
        yield f"  and {more} more, in the report"


def _crowd_kit(result: SurveyResult) -> Iterator[str]:
    if result.settings.get("engine") != "crowd-kit":
        return
    if not result.differences:
        yield "crowd-kit gives the same answers"
        return
    yield f"crowd-kit gives another answer; differences: {len(result.differences)}"
    for one in result.differences:
        where = f"{one.group or 'all groups'}, {question(one.item).lower()}"
        yield f"  {one.method}, {where}: {one.sentence}"
        yield f"    here:      {one.ours}"
        yield f"    crowd-kit: {one.theirs}"
