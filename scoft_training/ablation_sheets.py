"""An ablation's figures as tables: over all cultures, per culture, memorization, differences.

Figures in, text out; what is written and drawn of them is in `ablation_report`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from .ablation_config import Ablation, Arm
from .ablation_records import SECONDS, Metric, TrialResult
from .ablation_tables import (
    Column,
    Estimate,
    Figures,
    Sheet,
    Table,
    cells,
    mean_of_cultures,
    over_seeds,
    paired_differences,
)
from .paper_figures import PAPER_NOTE, is_paper_base, paper_overall, paper_per_culture
from .text_tables import decimals

__all__ = ["TABLE_1", "Gathered", "ablation_sheets", "digits_of"]

TABLE_1 = ("kid_reference", "kid_general", "fid_reference", "clip_score")
"""The figures of the paper's table 1, and FID if it was asked for."""

_VARIETY = ("diversity_train", "diversity_test")


class Gathered:
    """Results as tables need them: by culture and arm, one entry a seed, and over cultures."""

    def __init__(self, ablation: Ablation, results: Sequence[TrialResult]) -> None:
        self.ablation = ablation
        self.results = results
        self.arms = [arm.name for arm in ablation.arms]
        self.seeds = sorted({result.seed for result in results})
        self.cultures = [one.name for one in ablation.cultures]
        self.metrics = _metrics(results)
        by_trial = {(result.culture, result.seed): result.figures for result in results}
        self.by_culture: dict[str, dict[str, list[Figures]]] = {
            culture: {
                arm: [by_trial[culture, seed].get(arm, {}) for seed in self.seeds]
                for arm in self.arms
            }
            for culture in self.cultures
        }
        self.overall = mean_of_cultures(self.by_culture, self.metrics)

    @property
    def memorization(self) -> list[str]:
        """The figures of table 2, in its order."""
        likeness = [key for key in self.metrics if key.startswith("similarity_")]
        return [*likeness, *_VARIETY, "clip_score"]

    @property
    def three_questions(self) -> list[str]:
        """The figures that tell who copies, who knows the culture and who forgot the rest."""
        likeness = [key for key in self.metrics if key.startswith("similarity_")][:1]
        wanted = (*likeness, "kid_reference", "kid_general")
        return [key for key in wanted if key in self.metrics]

    @property
    def others(self) -> list[str]:
        """Figures that the paper has no table for."""
        shown = {*TABLE_1, *self.memorization, SECONDS}
        return [*(key for key in self.metrics if key not in shown), SECONDS]

    def columns(self, keys: Iterable[str], table: Table) -> list[Column]:
        """Return the columns of those figures that were measured, as exact as a table's are."""
        measured = [key for key in keys if key in self.metrics]
        digits = {
            key: digits_of(row[key] for row in table.values() if key in row) for key in measured
        }
        return [Column(key, self.metrics[key].heading, digits[key]) for key in measured]

    def lacking(self, key: str) -> list[str]:
        """Return the cultures of which not every trial has a figure."""
        return [
            culture
            for culture, arms in self.by_culture.items()
            if not all(key in trial for trials in arms.values() for trial in trials)
        ]


def digits_of(estimates: Iterable[Estimate]) -> int:
    """Return the decimals that estimates below each other are written with."""
    return decimals((one.mean, one.low, one.high) for one in estimates)


def ablation_sheets(ablation: Ablation, results: Sequence[TrialResult]) -> list[Sheet]:
    """Return the tables: over all cultures, memorization, per culture, differences, the rest."""
    gathered = Gathered(ablation, results)
    overall = over_seeds(gathered.overall, gathered.metrics)
    sheets = [
        _sheet(gathered, "overall", "Overall (the paper's table 1)", overall, TABLE_1, paper=1),
        _sheet(
            gathered,
            "memorization",
            "Memorization and variety (the paper's table 2)",
            overall,
            gathered.memorization,
            paper=2,
        ),
    ]
    if len(gathered.cultures) > 1:
        sheets += [_per_culture(gathered, key) for key in TABLE_1 if key in gathered.metrics]
    differences = paired_differences(gathered.overall, ablation.compare, gathered.metrics)
    keys = list(dict.fromkeys([*TABLE_1, *gathered.memorization]))
    title = "Differences of arms, paired by seed"
    sheet = _sheet(gathered, "differences", title, differences, keys)
    sheets.append(
        dataclasses.replace(sheet, note=f"{_chance(differences, keys)} {sheet.note}".strip())
    )
    sheets.append(_sheet(gathered, "others", "Further figures", overall, gathered.others))
    return [sheet for sheet in sheets if len(sheet.header) > 1 and sheet.rows]


def _sheet(
    gathered: Gathered,
    name: str,
    title: str,
    table: Table,
    keys: Sequence[str],
    *,
    paper: int | None = None,
) -> Sheet:
    beside: dict[str, dict[str, str]] = {}
    if paper is not None:
        beside = {
            arm.name: {
                key: f"{value:.3f}"
                for key, value in paper_overall(paper, arm.name).items()
                if _as_in_the_paper(gathered.ablation, arm, key)
            }
            for arm in gathered.ablation.arms
        }
    header, rows = cells(table, gathered.columns(keys, table), beside, "paper")
    notes = " ".join(_notes(gathered, [key for key in keys if key in gathered.metrics]))
    return _with_note(Sheet(name, title, tuple(header), tuple(map(tuple, rows)), notes))


def _chance(differences: Table, keys: Sequence[str]) -> str:
    """Say how many differences are beyond the seeds' spread, and how many chance alone makes so."""
    found = [row[key] for row in differences.values() for key in keys if key in row]
    known = [one.half_width is not None and abs(one.mean) > one.half_width for one in found]
    if all(one.half_width is None for one in found):
        return ""
    return (
        f"{sum(known)} of {len(known)} intervals leave 0 out. Where nothing differs, chance alone "
        "makes one in twenty do so."
    )


def _notes(gathered: Gathered, keys: Iterable[str]) -> Iterator[str]:
    """Say of figures over all cultures what their means do not show."""
    for key in keys:
        lacking, title = gathered.lacking(key), gathered.metrics[key].title
        if 0 < len(lacking) < len(gathered.cultures):
            yield f"{title}: without {', '.join(lacking)}, where it was not measured."
        compared = {one.general for one in gathered.ablation.cultures if one.name not in lacking}
        if key == "kid_general" and len(compared) > 1:
            each = "; ".join(
                f"{one.name} {one.general.name if one.general else 'with the drawings of the base'}"
                for one in gathered.ablation.cultures
                if one.name not in lacking
            )
            yield f"{title}: the mean is over comparisons with different pictures ({each})."


def _as_in_the_paper(ablation: Ablation, arm: Arm, key: str) -> bool:
    """Whether the paper's number of a figure may stand beside one's own.

    A distance or likeness under another network is another measure, and a LoRA that somebody calls
    `sd` is not the paper's base.
    """
    score = ablation.score
    network = {
        "kid": score.kid_network == "inception",
        "clip": score.clip_network.startswith("clip_vit_"),
        "diversity": score.diversity_network == "dreamsim",
        # Their networks are in the keys.
        "similarity": True,
    }
    return network[key.partition("_")[0]] and (arm.train is None) == is_paper_base(arm.name)


def _with_note(sheet: Sheet) -> Sheet:
    """Say of a table with the paper's numbers what they are."""
    if "paper" not in sheet.header:
        return sheet
    return dataclasses.replace(sheet, note=f"{PAPER_NOTE} {sheet.note}".strip())


def _per_culture(gathered: Gathered, key: str) -> Sheet:
    """One figure of all arms, a column a culture, as a part of the paper's table 4."""
    per_arm: Table = {arm: {} for arm in gathered.arms}
    beside: dict[str, dict[str, str]] = {}
    for culture, results in gathered.by_culture.items():
        for name, row in over_seeds(results, [key]).items():
            if key in row:
                per_arm[name][culture] = row[key]
        for arm in gathered.ablation.arms:
            reported = paper_per_culture(key, arm.name, culture)
            if reported is not None and _as_in_the_paper(gathered.ablation, arm, key):
                beside.setdefault(arm.name, {})[culture] = f"{reported:.3f}"
    digits = digits_of(one for row in per_arm.values() for one in row.values())
    columns = [Column(culture, culture, digits) for culture in gathered.cultures]
    header, rows = cells(per_arm, columns, beside, "paper")
    title = f"{gathered.metrics[key].heading}, per culture (the paper's table 4)"
    return _with_note(Sheet(f"per_culture_{key}", title, tuple(header), tuple(map(tuple, rows))))


def _metrics(results: Sequence[TrialResult]) -> dict[str, Metric]:
    """Return what the figures are; where trials differ in a unit, it names both."""
    units: dict[str, list[str]] = {}
    found: dict[str, Metric] = {}
    for metric in (metric for result in results for metric in result.metrics):
        found.setdefault(metric.key, metric)
        if metric.unit not in units.setdefault(metric.key, []):
            units[metric.key].append(metric.unit)
    found = {
        key: dataclasses.replace(metric, unit=" or ".join(units[key]))
        for key, metric in found.items()
    }
    return {**found, SECONDS: Metric(SECONDS, "seconds of training", "lower")}
