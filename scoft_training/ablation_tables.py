"""Figures of trials -> means over seeds, differences paired by seed, and tables of both.

Pure: figures in, text out. What the figures are, and which arms are compared, is the caller's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .intervals import mean_interval

__all__ = [
    "Column",
    "Estimate",
    "Figures",
    "Sheet",
    "Table",
    "cells",
    "common_keys",
    "csv_table",
    "markdown_table",
    "mean_of_cultures",
    "over_seeds",
    "paired_differences",
    "parted",
]

_PLUS_MINUS = " ± "

Figures: TypeAlias = Mapping[str, float]
"""Figure -> value, of one trial."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and half its 95 % interval; None where one seed tells no spread."""

    mean: float
    half_width: float | None

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return None if self.half_width is None else self.mean + self.half_width

    def text(self, digits: int) -> str:
        """Return it as tables show it, say `19.6 ± 1.2`."""
        mean = _rounded(self.mean, digits)
        if self.half_width is None:
            return mean
        return f"{mean}{_PLUS_MINUS}{self.half_width:.{digits}f}"


Table: TypeAlias = "dict[str, dict[str, Estimate]]"
"""Row -> figure -> mean and interval."""


@dataclass(frozen=True)
class Column:
    """A figure as a table shows it.

    Attributes:
        key: of the figure.
        title: over the column.
        digits: behind the point.
    """

    key: str
    title: str
    digits: int = 3


@dataclass(frozen=True)
class Sheet:
    """A table as text: what it is called, what is to be known of it, its header and its rows."""

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def over_seeds(results: Mapping[str, Sequence[Figures]], keys: Iterable[str]) -> Table:
    """Return each arm's means over seeds, of those figures that all its trials have.

    Args:
        results: arm -> figures, one entry a seed.
        keys: the figures, in their order.
    """
    keys = list(keys)
    return {
        arm: {
            key: _estimate([trial[key] for trial in trials])
            for key in keys
            if all(key in trial for trial in trials)
        }
        for arm, trials in results.items()
    }


def paired_differences(
    results: Mapping[str, Sequence[Figures]],
    pairs: Iterable[tuple[str, str]],
    keys: Iterable[str],
) -> Table:
    """Return what each step of a method changed: the differences of arms with the same seed.

    Both arms of a seed see the same noise, in training and in evaluation, so what the seeds share
    drops out; the intervals are narrower than those of the arms by themselves.

    Args:
        results: arm -> figures, one entry a seed, seeds in the same order.
        pairs: (arm, the arm that it is compared with); pairs of an unknown arm are left out.
        keys: the figures, in their order; those that a trial lacks are left out.
    """
    keys = list(keys)
    table: Table = {}
    for arm, other in pairs:
        if arm not in results or other not in results:
            continue
        both = list(zip(results[arm], results[other], strict=True))
        table[f"{arm} - {other}"] = {
            key: _estimate([a[key] - b[key] for a, b in both])
            for key in keys
            if all(key in a and key in b for a, b in both)
        }
    return table


def common_keys(results: Mapping[str, Sequence[Figures]], keys: Iterable[str]) -> list[str]:
    """Return those figures that every trial of every arm has."""
    trials = [trial for of_arm in results.values() for trial in of_arm]
    return [key for key in keys if all(key in trial for trial in trials)]


def mean_of_cultures(
    by_culture: Mapping[str, Mapping[str, Sequence[Figures]]], keys: Iterable[str]
) -> dict[str, list[dict[str, float]]]:
    """Return arm -> per seed the mean over cultures, every culture counting the same.

    A figure is a mean over the cultures of which every trial has it: the same ones for every arm.

    Args:
        by_culture: culture -> arm -> figures, one entry a seed, seeds in the same order.
        keys: the figures.
    """
    having = {
        key: [results for results in by_culture.values() if common_keys(results, [key])]
        for key in keys
    }
    first = next(iter(by_culture.values()))
    return {
        arm: [
            {
                key: sum(results[arm][seed][key] for results in those) / len(those)
                for key, those in having.items()
                if those
            }
            for seed in range(len(trials))
        ]
        for arm, trials in first.items()
    }


def cells(
    table: Table,
    columns: Iterable[Column],
    beside: Mapping[str, Mapping[str, str]] | None = None,
    beside_title: str = "",
) -> tuple[list[str], list[list[str]]]:
    """Return a table's header and rows as text, with the columns that any of its rows has.

    Args:
        table: row -> figure -> estimate.
        columns: in their order.
        beside: row -> figure -> what stands in a column of its own behind the figure's; only
            figures that have such an entry get the column.
        beside_title: of these columns.
    """
    beside = beside or {}
    shown = [column for column in columns if any(column.key in row for row in table.values())]
    extra = {key for row in beside.values() for key in row}
    header, rows = ["arm"], [[name] for name in table]
    for column in shown:
        header.append(column.title)
        for line, row in zip(rows, table.values(), strict=True):
            line.append(row[column.key].text(column.digits) if column.key in row else "")
        if column.key in extra:
            header.append(beside_title)
            for line, name in zip(rows, table, strict=True):
                line.append(beside.get(name, {}).get(column.key, ""))
    return header, rows


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown; a cell of names and numbers needs no escaping."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def parted(
    header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Return a table with each `19.6 ± 1.2` as two columns, so that spreadsheets read numbers."""
    columns = [list(column) for column in zip(header, *rows, strict=True)]
    found: list[list[str]] = []
    for title, *column in columns:
        pairs = [cell.partition(_PLUS_MINUS) for cell in column]
        found.append([title, *(mean for mean, _, _ in pairs)])
        if any(sign for _, sign, _ in pairs):
            found.append([f"{title} ±", *(half for _, _, half in pairs)])
    whole = [list(row) for row in zip(*found, strict=True)]
    return whole[0], whole[1:]


def csv_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV, for spreadsheets."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _estimate(values: Sequence[float]) -> Estimate:
    if len(values) < 2:
        return Estimate(values[0], None)
    interval = mean_interval(values)
    return Estimate(interval.mean, interval.half_width)


def _rounded(value: float, digits: int) -> str:
    """Format a number; what rounds to zero has no sign."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text
