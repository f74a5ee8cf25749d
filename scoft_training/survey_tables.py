"""An analysis of a survey as CSV tables for spreadsheets, one number or model a line.

Numbers are not rounded; what cannot be told is an empty cell. `(all)` stands for all groups or
items together. Texts that a spreadsheet would take for a formula, such as the model's name `+M` or
a stranger's `=HYPERLINK(...)`, begin with an apostrophe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from .answer_tables import write_table
from .survey_records import Estimate, ModelFigures, Order, Slice, SurveyResult, order_text
from .survey_wording import place_in

__all__ = ["ALL", "TABLES_FOLDER", "csv_tables", "write_tables"]

ALL = "(all)"
"""Stands for all groups, or all items, together."""

TABLES_FOLDER = "tables"
"""Name of their folder in the folder of results."""

_Row: TypeAlias = "Sequence[str | int | float | bool | None]"


def write_tables(result: SurveyResult, folder: Path) -> None:
    """Write each table as `tables/<name>.csv`.

    Args:
        result: of an analysis.
        folder: of the results; tables of an earlier one there are replaced.

    Raises:
        OutputError: the folder cannot be written.
    """
    for name, (head, *rows) in csv_tables(result).items():
        write_table(folder / TABLES_FOLDER / f"{name}.csv", [str(cell) for cell in head], rows)


def csv_tables(result: SurveyResult) -> Mapping[str, Sequence[_Row]]:
    """Return the tables by name, each with its header first."""
    return {
        "average_ranks": _of_models(
            result,
            ("average_rank", "low", "high", "place", "rankings"),
            lambda part, one: (
                *_ends(one.average_rank),
                _place(part.average_order, one.model),
                sum(one.rank_counts),
            ),
        ),
        "rank_differences": _of_pairs(result, "rank_difference", lambda one: one.rank_differences),
        "win_rates": _of_pairs(result, "win_rate", lambda one: one.win_rates),
        "first_places": _of_models(
            result,
            ("first_share", "low", "high", "first", "rankings"),
            lambda _, one: (*_ends(one.first_share), one.rank_counts[0], sum(one.rank_counts)),
        ),
        "rank_counts": list(_rank_counts(result)),
        "noisy_bradley_terry": _of_models(
            result,
            ("score", "low", "high", "place"),
            lambda part, one: (*_ends(one.nbt_score), _place(part.nbt_order, one.model)),
        ),
        "vote": _of_models(
            result,
            ("wins", "place", "method"),
            lambda part, one: (
                one.vote_wins,
                _place(part.vote_order, one.model),
                part.vote_method,
            ),
        ),
        "slices": list(_slices(result)),
        "people": list(_people(result)),
        "agreement": list(_agreement(result)),
        "position_bias": list(_position_bias(result)),
        "disagreements": list(_disagreements(result)),
        "differences": list(_differences(result)),
        "findings": [
            ("kind", "where", "sentence"),
            *((one.kind, one.where, one.sentence) for one in result.findings),
        ],
        "settings": list(_settings(result)),
    }


def _of_models(
    result: SurveyResult, header: _Row, cells: Callable[[Slice, ModelFigures], _Row]
) -> list[_Row]:
    """Return a table of one line a model and slice."""
    rows = [
        (*_where(part), one.model, *cells(part, one))
        for part in result.slices
        for one in part.models
    ]
    return [("group", "item", "model", *header), *rows]


def _of_pairs(
    result: SurveyResult, name: str, pairs: Callable[[Slice], Mapping[tuple[str, str], Estimate]]
) -> list[_Row]:
    """Return a table of one line a slice and two models."""
    rows = [
        (*_where(part), model, against, *_ends(one))
        for part in result.slices
        for (model, against), one in pairs(part).items()
    ]
    return [("group", "item", "model", "against", name, "low", "high"), *rows]


def _rank_counts(result: SurveyResult) -> Iterator[_Row]:
    yield ("group", "item", "model", "rank", "count")
    for part in result.slices:
        for one in part.models:
            for rank, count in enumerate(one.rank_counts, start=1):
                yield (*_where(part), one.model, rank, count)


def _slices(result: SurveyResult) -> Iterator[_Row]:
    yield (
        *("group", "item", "participants", "rankings", "comparisons", "ties"),
        *("kendalls_w", "people_a_page", "mean_spearman"),
        *("average_order", "noisy_bradley_terry_order", "vote_order", "vote_method"),
    )
    for one in result.slices:
        yield (
            *(*_where(one), one.participants, one.rankings, one.comparisons, one.ties),
            *(one.kendalls_w, one.kendalls_w_people, one.mean_spearman),
            *map(order_text, (one.average_order, one.nbt_order, one.vote_order)),
            one.vote_method,
        )


def _people(result: SurveyResult) -> Iterator[_Row]:
    yield (
        *("participant", "group", "rankings", "agreement"),
        *("vote_skill", "noisy_bradley_terry_skill", "noisy_bradley_terry_bias", "flags"),
    )
    for one in result.people:
        yield (
            *(one.name, one.group, one.rankings, one.agreement),
            *(one.vote_skill, one.nbt_skill, one.nbt_bias, "; ".join(one.flags)),
        )


def _agreement(result: SurveyResult) -> Iterator[_Row]:
    names = [one.name for one in result.people]
    yield ("participant", *names)
    for name, row in zip(names, result.agreement, strict=True):
        yield (name, *row)


def _position_bias(result: SurveyResult) -> Iterator[_Row]:
    yield ("item", "place", "average_rank", "p_value", "pages")
    for one in result.position_bias:
        for place, rank in enumerate(one.average_ranks, start=1):
            yield (one.item or ALL, place, rank, one.p_value, one.pages)


def _disagreements(result: SurveyResult) -> Iterator[_Row]:
    yield ("item", "group", "first", "p_value", "disagree", "sentence")
    for one in result.disagreements:
        for group, first in one.winners.items():
            yield (
                *(one.item or ALL, group, order_text((first,))),
                *(one.p_value, one.disagree, one.sentence),
            )


def _differences(result: SurveyResult) -> Iterator[_Row]:
    yield ("method", "group", "item", "ours", "crowd_kit", "sentence")
    for one in result.differences:
        where = (one.group or ALL, one.item or ALL)
        yield (one.method, *where, one.ours, one.theirs, one.sentence)


def _settings(result: SurveyResult) -> Iterator[_Row]:
    yield ("option", "value")
    for name, value in sorted({**result.settings, "group_by": result.group_by}.items()):
        yield (name, str(value))


def _where(part: Slice) -> tuple[str, str]:
    return (ALL if part.group is None else part.group, ALL if part.item is None else part.item)


def _ends(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if estimate is None else (estimate.mean, estimate.low, estimate.high)


def _place(order: Order, model: str) -> int | None:
    """Return a model's place, the better one where it shares a tier; None without one."""
    found = place_in(order, model)
    return None if found is None else found[0]
