"""An analysis of a survey in lines of text, for the terminal: whether groups disagree first.

The whole of it, with plots, is `survey_report`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from .survey_records import Estimate, PositionBias, Slice, SurveyResult, item_title, order_text
from .text_tables import aligned, decimals, number, ranged

__all__ = ["summary"]

_FIRST_FINDINGS = 5
_METHODS = 3
_MOVED = 0.05
"""Places moved the ranks where chance alone does as much in fewer cases than these."""


def summary(result: SurveyResult) -> str:
    """Return what was found, the disagreement of groups before any order of the models."""
    blocks = [
        _disagreement(result),
        _whom(result),
        *(_slice(part) for part in result.slices if part.group is None),
        _groups(result),
        _places(result),
        _findings(result),
        _crowd_kit(result),
    ]
    told = [[_printable(line) for line in block] for block in blocks]
    return "\n\n".join("\n".join(lines) for lines in told if lines)


def _printable(line: str) -> str:
    """Names are strangers' words: no line breaks, and nothing that steers a terminal."""
    return "".join(one if one.isprintable() else " " for one in line)


def _disagreement(result: SurveyResult) -> Iterator[str]:
    """Yield each sentence once; items on which nobody disagrees have none."""
    whole = next((one for one in result.disagreements if one.item is None), None)
    if whole is not None:
        yield f"{item_title(None)}: {whole.sentence}"
    found = [one for one in result.disagreements if one.item is not None and one.disagree]
    alike = [one for one in found if whole and whole.disagree and one.winners == whole.winners]
    if alike:
        yield f"The same winners, and disagreement: {', '.join(item_title(o.item) for o in alike)}"
    yield from (f"{item_title(one.item)}: {one.sentence}" for one in found if one not in alike)


def _whom(result: SurveyResult) -> Iterator[str]:
    whole = result.slices[0]
    per_group = Counter(one.group for one in result.people)
    groups = ", ".join(f"{group} {per_group[group]}" for group in result.groups)
    yield f"People: {len(result.people)} ({groups})"
    ties = f", {whole.ties} of them tied" if whole.ties else ""
    yield f"Rankings: {whole.rankings}, with {whole.comparisons} pairs of pictures{ties}"
    confidence = result.settings.get("confidence")
    known = any(one.average_rank.low is not None for one in whole.models)
    if known and isinstance(confidence, float):
        yield f"In brackets: the {100 * confidence:g} % interval, had other people been asked."


def _slice(part: Slice) -> Iterator[str]:
    yield item_title(part.item)
    header = ("", "average rank", "pairs won", "came first", "Noisy Bradley-Terry", "MMSR and vote")
    columns = (
        [one.model for one in part.models],
        _column((one.average_rank for one in part.models), 1),
        _column((one.win_rate for one in part.models), 100, " %"),
        _column((one.first_share for one in part.models), 100, " %"),
        _column((one.nbt_score for one in part.models), 1),
        [_percent(one.vote_wins) for one in part.models],
    )
    rows = list(zip(*columns, strict=True))
    yield from (f"  {line}" for line in aligned([header, *rows]))
    yield from (f"  {line}" for line in _orders(part))
    if part.vote_method != "MMSR":
        yield f"  The vote: {part.vote_method}"
    yield f"  {_agreement(part)}"


def _column(values: Iterable[Estimate | None], factor: float, unit: str = "") -> list[str]:
    """Return estimates with one number of decimals; a dash where there is none."""
    scaled = [None if one is None else _scaled(one, factor) for one in values]
    digits = decimals(one for one in scaled if one is not None)
    return ["-" if one is None else f"{ranged(*one, digits)}{unit}" for one in scaled]


def _scaled(one: Estimate, factor: float) -> tuple[float, float | None, float | None]:
    low, high = (None if end is None else factor * end for end in (one.low, one.high))
    return factor * one.mean, low, high


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _orders(part: Slice) -> Iterator[str]:
    """Yield each order of the models once, with the methods that say so."""
    methods: dict[str, list[str]] = {}
    for method, order in (
        ("average rank", part.average_order),
        ("Noisy Bradley-Terry", part.nbt_order),
        ("MMSR and vote", part.vote_order),
    ):
        methods.setdefault(order_text(order) or "cannot be told", []).append(method)
    for order_in_words, names in methods.items():
        by = "all methods" if len(names) == _METHODS else ", and by ".join(names)
        yield f"By {by}: {order_in_words}"


def _agreement(part: Slice) -> str:
    if part.kendalls_w is None:
        return "Agreement of people: cannot be told, no page was told apart by two of them"
    correlation = (
        f", mean correlation of two people {number(part.mean_spearman, 2)}"
        if part.mean_spearman is not None
        else ""
    )
    return (
        f"Agreement of people: Kendall's W {number(part.kendalls_w, 2)} with "
        f"{number(part.kendalls_w_people, 1)} people a page{correlation}"
    )


def _groups(result: SurveyResult) -> Iterator[str]:
    if len(result.groups) < 2:
        return
    yield "By group, all items, order by average rank"
    parts = [part for group in result.groups if (part := result.slice(group)) is not None]
    rows = [(part.group or "", order_text(part.average_order)) for part in parts]
    yield from (f"  {line}" for line in aligned(rows))


def _places(result: SurveyResult) -> Iterator[str]:
    if not result.position_bias:
        yield "Place on the page: not known, so whether it moved the ranks cannot be told"
    for one in result.position_bias:
        moved = one.p_value < _MOVED
        if one.item is None or moved:
            yield _place(one, moved)


def _place(one: PositionBias, moved: bool) -> str:
    said = "moved the ranks" if moved else "no sign that it moved the ranks"
    ranks = ", ".join(number(rank, 2) for rank in one.average_ranks)
    return (
        f"Place on the page, {item_title(one.item).lower()}: {said} (p = {one.p_value:.2g}); "
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
        where = f"{one.group or 'all groups'}, {item_title(one.item).lower()}"
        yield f"  {one.method}, {where}: {one.sentence}"
        yield f"    here:      {one.ours}"
        yield f"    crowd-kit: {one.theirs}"
