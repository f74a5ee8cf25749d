"""The plots of a survey's result, like the paper's figures 5 and 10 to 13.

Those in rows and columns are made in `survey_matrices`; the words beside them in the report in
`survey_chapters`.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from .bar_plots import Counted, shares_plot
from .block_layout import Block
from .dot_plots import Dot, DotAxis, dots_plot
from .plots import Plot
from .survey_matrices import (
    agreement_plots,
    average_matrix,
    score_matrix,
    vote_matrix,
    win_rates_plot,
)
from .survey_records import Estimate, Slice, SurveyResult
from .survey_wording import confidence, percent, question, short_names, slugs

__all__ = ["result_plots"]

_STEP = 0.5
"""The axis of places reaches so far to either side, or a multiple of it: what is small looks so."""


def result_plots(result: SurveyResult) -> list[tuple[str, Plot]]:
    """Return plots with the names of their files, without endings.

    Where groups are compared they come before what is pooled.

    Args:
        result: of an analysis.
    """
    whole = result.slice()
    if whole is None or not whole.models:
        return []
    return [*_pooled(result), *agreement_plots(result), *_position(result), *_of_groups(result)]


def _pooled(result: SurveyResult) -> Iterator[tuple[str, Plot]]:
    if len(result.groups) > 1:
        yield "groups", average_matrix(result)
    yield "average-ranks", _average_ranks(result, None, "Average ranks, everyone together")
    yield "win-rates", win_rates_plot(result, None)
    for item, slug in slugs(result.items).items() if len(result.items) > 1 else ():
        if result.slice(item=item) is not None:
            yield f"win-rates-{slug}", win_rates_plot(result, item)
    yield "ranks", _ranks(result, None, "Which ranks each model got")
    yield "first-places", _first_places(result)
    if any(part.vote_order for part in result.slices):
        yield "vote", vote_matrix(result)
    if any(part.nbt_order for part in result.slices):
        yield "noisy-bradley-terry", score_matrix(result)


def _of_groups(result: SurveyResult) -> Iterator[tuple[str, Plot]]:
    for group, slug in slugs(result.groups).items() if len(result.groups) > 1 else ():
        part = result.slice(group)
        if part is not None and part.models:
            yield f"average-ranks-{slug}", _average_ranks(result, group, f"Average ranks, {group}")
            yield f"ranks-{slug}", _ranks(result, group, f"Which ranks each model got, {group}")


def _average_ranks(result: SurveyResult, group: str | None, title: str) -> Plot:
    short = short_names(result.models)
    blocks = [
        Block(heading, [_dot(short[one.model], one.average_rank) for one in part.models])
        for heading, part in _parts(result, group)
    ]
    most = _most_ranks(result)
    middle, ticks = (most + 1) / 2, range(1, most + 1)
    axis = DotAxis(1, most, ticks, "{:.2f}".format, level=middle, tick_text="{:.0f}".format)
    return dots_plot(title, f"1 is best; dashed is the middle{_bar(result, group)}", blocks, axis)


def _first_places(result: SurveyResult) -> Plot:
    short = short_names(result.models)
    blocks = [
        Block(heading, [_dot(short[one.model], one.first_share) for one in part.models])
        for heading, part in _parts(result, None)
    ]
    count = len(result.models)
    axis = DotAxis(0, 1, (0, 0.25, 0.5, 0.75, 1), percent, level=1 / count)
    note = f"like the paper's figure 13; shared first places count; dashed is one in {count}"
    return dots_plot(
        "How often each model comes first", f"{note}{_bar(result, None)}", blocks, axis
    )


def _ranks(result: SurveyResult, group: str | None, title: str) -> Plot:
    most, short = _most_ranks(result), short_names(result.models)

    def filled(counts: Sequence[int]) -> list[int]:
        return [*counts, *[0] * (most - len(counts))]

    blocks = [
        Block(heading, [Counted(short[one.model], filled(one.rank_counts)) for one in part.models])
        for heading, part in _parts(result, group)
    ]
    note = "like the paper's figure 5; in % of a model's ranks; 1 is best"
    return shares_plot(title, note, blocks, [str(rank) for rank in range(1, most + 1)])


def _position(result: SurveyResult) -> Iterator[tuple[str, Plot]]:
    told = [one for one in result.position_bias if one.average_ranks]
    if not told:
        return
    blocks = [
        Block(
            question(one.item),
            [Dot(f"place {at}", rank) for at, rank in enumerate(one.average_ranks, start=1)],
        )
        for one in told
    ]
    middle = statistics.fmean(told[0].average_ranks)
    farthest = max(abs(rank - middle) for one in told for rank in one.average_ranks)
    reach = _STEP * max(1, -(-farthest // _STEP))
    ends = middle - reach, middle + reach
    axis = DotAxis(*ends, (ends[0], middle, ends[1]), "{:.2f}".format, level=middle)
    note = "1 is best; dashed is what every place would have if places did not matter"
    yield "position", dots_plot("Average rank by place on the page", note, blocks, axis)


def _parts(result: SurveyResult, group: str | None) -> Iterator[tuple[str, Slice]]:
    """Yield all of a group's answers, or of everyone's, and each item's, by heading.

    Of one item alone everything is that item's.
    """
    for item in (None, *result.items) if len(result.items) != 1 else result.items:
        part = result.slice(group, item)
        if part is not None and part.models:
            yield question(item), part


def _most_ranks(result: SurveyResult) -> int:
    counted = (len(one.rank_counts) for part in result.slices for one in part.models)
    return max(2, *counted)


def _dot(name: str, value: Estimate) -> Dot:
    return Dot(name, value.mean, value.low, value.high)


def _bar(result: SurveyResult, group: str | None) -> str:
    """How to read the bars, where there are some."""
    part = result.slice(group)
    known = part is not None and any(one.average_rank.low is not None for one in part.models)
    return f"; the bar is its {confidence(result)} interval" if known else ""
