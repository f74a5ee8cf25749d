"""A survey's plots in rows and columns: groups by models, models by models, people by people."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby

from .block_layout import Block
from .matrix_plots import Cells, Field, matrix_plot, square_plot
from .plot_colours import one_colour, two_colours
from .plots import Plot
from .survey_records import Estimate, ModelFigures, Slice, SurveyResult
from .survey_wording import EVERYONE, may_be_chance, percent, place_in, question, short_names

__all__ = [
    "MOST_PEOPLE",
    "agreement_plots",
    "average_matrix",
    "group_agreement",
    "score_matrix",
    "vote_matrix",
    "win_rates_plot",
]

MOST_PEOPLE = 100
"""More people than this have no field of their own in the matrix of agreement."""

_MOST_ROWS = 40
"""Of a matrix of groups under each item; where there would be more, it has the groups once."""


def average_matrix(result: SurveyResult) -> Plot:
    """Return the average rank of each model in each group."""
    note = "1 is best; the darker, the better"
    title = "Average ranks of each group"
    return _matrix_of_groups(result, title, note, _average_field, one_colour)


def vote_matrix(result: SurveyResult) -> Plot:
    """Return each model's place by MMSR and vote, in each group and under each item."""
    note = "like the paper's figure 10; 1 is best, = is shared; a group's vote is its own people's"
    return _matrix_of_groups(result, "Places by MMSR and vote", note, _vote_field, one_colour)


def score_matrix(result: SurveyResult) -> Plot:
    """Return each model's Noisy Bradley-Terry score, in each group and under each item."""
    note = (
        "like the paper's figure 11; in %: how often it beats a picture of middling strength; "
        "above 50 is blue"
    )
    return _matrix_of_groups(result, "Noisy Bradley-Terry scores", note, _score_field, two_colours)


def win_rates_plot(result: SurveyResult, item: str | None) -> Plot:
    """Return how often each model was put before each other, of an item or of all (None)."""
    part = result.slice(item=item)
    names = [one.model for one in part.models] if part is not None else []
    rates: Mapping[tuple[str, str], Estimate] = part.win_rates if part is not None else {}

    def field(row: str, column: str) -> Field | None:
        rate = rates.get((row, column))
        if rate is None:
            return None
        text = f"{100 * rate.mean:.0f}"
        return Field(f"({text})" if may_be_chance(rate, 0.5) else text, rate.mean)

    short = short_names(result.models)
    rows = [Cells(short[row], [field(row, column) for column in names]) for row in names]
    note = "in % of the pairs of the two; a tie counts half"
    if any(cell is not None and "(" in cell.text for row in rows for cell in row.fields):
        note += "; in brackets where chance alone may have decided"
    of = "all questions" if item is None else question(item)
    title = f"How often the row's model was put before the column's: {of}"
    columns = [short[name] for name in names]
    return matrix_plot(title, note, columns, [Block("", rows)], two_colours)


def agreement_plots(result: SurveyResult) -> Iterator[tuple[str, Plot]]:
    """Yield the agreement of groups, and of people where they are not too many, by name."""
    known = [value for row in result.agreement for value in row if value is not None]
    if not known:
        return
    note = "of the pairs of pictures that both ranked; grey where they share too few"
    if len(result.groups) > 1:
        groups = list(short_names(result.groups).values())
        rows = [
            Cells(group, [_share_field(value) for value in values])
            for group, values in zip(groups, group_agreement(result), strict=True)
        ]
        title = "How often people of two groups say the same"
        plot = matrix_plot(title, f"in % {note}", groups, [Block("", rows)], two_colours)
        yield "agreement-groups", plot
    if 1 < len(result.people) <= MOST_PEOPLE:
        counted = [
            (short_names(result.groups).get(group, group), len(list(people)))
            for group, people in groupby(result.people, key=lambda person: person.group)
        ]
        words = (
            f"{len(result.people)} people: from {percent(min(known))} to {percent(max(known))}, "
            f"half of the pairs above {percent(statistics.median(known))}"
        )
        title = "How often two people say the same"
        note = f"like the paper's figure 12; a row and a column each; shares {note}"
        yield (
            "agreement-people",
            square_plot(title, note, words, result.agreement, counted, two_colours),
        )


def group_agreement(result: SurveyResult) -> list[list[float | None]]:
    """Return how often people of one group agree with people of another, in the mean over pairs.

    Args:
        result: of an analysis.

    Returns:
        (groups, groups) shares in [0, 1]; None where no two people share comparisons.
    """
    places: dict[str, list[int]] = {group: [] for group in result.groups}
    for at, person in enumerate(result.people):
        places.setdefault(person.group, []).append(at)

    def between(one: str, other: str) -> float | None:
        found = [result.agreement[a][b] for a in places[one] for b in places[other]]
        known = [value for value in found if value is not None]
        return statistics.fmean(known) if known else None

    return [[between(one, other) for other in result.groups] for one in result.groups]


def _matrix_of_groups(
    result: SurveyResult,
    title: str,
    note: str,
    field: Callable[[Slice, ModelFigures], Field | None],
    colour: Callable[[float], str],
) -> Plot:
    """Return a matrix of models in columns, groups in rows, items in blocks, everyone last."""

    def row(name: str, part: Slice | None) -> Cells:
        figures = {} if part is None else {one.model: one for one in part.models}
        fields = [
            None if part is None or model not in figures else field(part, figures[model])
            for model in result.models
        ]
        return Cells(name, fields)

    groups = list(result.groups) if len(result.groups) > 1 else []
    items = [None, *result.items] if len(result.items) != 1 else list(result.items)
    named = [(name, group) for group, name in short_names(groups).items()]
    if not groups:
        blocks = [Block("", [row(question(item), result.slice(item=item)) for item in items])]
    elif (len(groups) + 1) * len(items) <= _MOST_ROWS:
        whole: list[tuple[str, str | None]] = [*named, (EVERYONE, None)]
        blocks = [
            Block(question(item), [row(name, result.slice(of, item)) for name, of in whole])
            for item in items
        ]
    else:
        first = [row(name, result.slice(of, items[0])) for name, of in named]
        of_all = [row(question(item), result.slice(item=item)) for item in items]
        blocks = [Block(question(items[0]), first), Block(EVERYONE, of_all)]
    columns = list(short_names(result.models).values())
    return matrix_plot(title, note, columns, blocks, colour)


def _average_field(part: Slice, one: ModelFigures) -> Field:
    mean = one.average_rank.mean
    return Field(f"{mean:.2f}", 1 - (mean - 1) / max(len(part.models) - 1, 1))


def _vote_field(part: Slice, one: ModelFigures) -> Field | None:
    found = place_in(part.vote_order, one.model)
    if found is None:
        return None
    place, shared = found
    share = 1 - (place - 1) / max(len(part.models) - 1, 1)
    return Field(f"{place}=" if shared else str(place), share)


def _score_field(_: Slice, one: ModelFigures) -> Field | None:
    return None if one.nbt_score is None else _share_field(one.nbt_score.mean)


def _share_field(value: float | None) -> Field | None:
    return None if value is None else Field(f"{100 * value:.0f}", value)
