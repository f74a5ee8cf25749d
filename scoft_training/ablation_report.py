"""The report of an ablation: tables like the paper's 1, 2 and 4, differences, plots, one page.

FOLDER/report.html            everything, self-contained
FOLDER/tables.md              the tables as text; tables/<name>.csv for spreadsheets
FOLDER/figures.csv            one line a culture, seed, arm and figure
FOLDER/tables.json            all of it for programs
FOLDER/plots/<name>.svg
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import pages
from .ablation_config import Ablation, Arm
from .ablation_records import SECONDS, Metric, TrialResult
from .ablation_tables import (
    Column,
    Estimate,
    Figures,
    Sheet,
    Table,
    cells,
    csv_table,
    markdown_table,
    mean_of_cultures,
    over_seeds,
    paired_differences,
    parted,
)
from .config import TrainConfig, options
from .errors import DatasetError
from .files import write_json, write_text
from .grids import read_grid
from .metric_sheets import same_seed_sheet
from .paper_figures import PAPER_NOTE, is_paper_base, paper_overall, paper_per_culture
from .plots import Plot, interval_plot
from .text_tables import decimals

__all__ = ["ablation_sheets", "write_ablation_report"]

_TABLE_1 = ("kid_reference", "kid_general", "fid_reference", "clip_score")
_VARIETY = ("diversity_train", "diversity_test")
_FORMAT = 1


class _Gathered:
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
        shown = {*_TABLE_1, *self.memorization, SECONDS}
        return [*(key for key in self.metrics if key not in shown), SECONDS]

    def columns(self, keys: Iterable[str], table: Table) -> list[Column]:
        """Return the columns of those figures that were measured, as exact as a table's are."""
        measured = [key for key in keys if key in self.metrics]
        digits = {
            key: _digits(row[key] for row in table.values() if key in row) for key in measured
        }
        return [Column(key, self.metrics[key].heading, digits[key]) for key in measured]

    def lacking(self, key: str) -> list[str]:
        """Return the cultures of which not every trial has a figure."""
        return [
            culture
            for culture, arms in self.by_culture.items()
            if not all(key in trial for trials in arms.values() for trial in trials)
        ]


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


def write_ablation_report(ablation: Ablation, results: Sequence[TrialResult]) -> Path:
    """Write tables, plots and page of all results; returns the page.

    Args:
        ablation: whose results they are.
        results: of every culture and of one or more seeds, each with all of them.

    Raises:
        OutputError: a file cannot be written.
    """
    gathered = _Gathered(ablation, results)
    sheets = ablation_sheets(ablation, results)
    folder = ablation.folder
    for sheet in sheets:
        header, rows = parted(sheet.header, sheet.rows)
        write_text(folder / "tables" / f"{sheet.name}.csv", csv_table(header, rows))
    write_text(folder / "tables.md", _markdown(gathered, sheets))
    write_text(folder / "figures.csv", _all_figures(gathered))
    write_json(folder / "tables.json", _as_json(gathered, sheets))
    plots = {name: plot.svg() for name, plot in _plots(gathered).items()}
    for name, svg in plots.items():
        write_text(folder / "plots" / f"{name}.svg", svg)
    report = folder / "report.html"
    write_text(report, _page(gathered, sheets, plots))
    return report


def ablation_sheets(ablation: Ablation, results: Sequence[TrialResult]) -> list[Sheet]:
    """Return the tables: over all cultures, memorization, per culture, differences, the rest."""
    gathered = _Gathered(ablation, results)
    overall = over_seeds(gathered.overall, gathered.metrics)
    sheets = [
        _sheet(gathered, "overall", "Overall (the paper's table 1)", overall, _TABLE_1, paper=1),
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
        sheets += [_per_culture(gathered, key) for key in _TABLE_1 if key in gathered.metrics]
    differences = paired_differences(gathered.overall, ablation.compare, gathered.metrics)
    keys = list(dict.fromkeys([*_TABLE_1, *gathered.memorization]))
    title = "Differences of arms, paired by seed"
    sheet = _sheet(gathered, "differences", title, differences, keys)
    sheets.append(
        dataclasses.replace(sheet, note=f"{_chance(differences, keys)} {sheet.note}".strip())
    )
    sheets.append(_sheet(gathered, "others", "Further figures", overall, gathered.others))
    return [sheet for sheet in sheets if len(sheet.header) > 1 and sheet.rows]


def _sheet(
    gathered: _Gathered,
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


def _notes(gathered: _Gathered, keys: Iterable[str]) -> Iterator[str]:
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


def _per_culture(gathered: _Gathered, key: str) -> Sheet:
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
    digits = _digits(one for row in per_arm.values() for one in row.values())
    columns = [Column(culture, culture, digits) for culture in gathered.cultures]
    header, rows = cells(per_arm, columns, beside, "paper")
    title = f"{gathered.metrics[key].heading}, per culture (the paper's table 4)"
    return _with_note(Sheet(f"per_culture_{key}", title, tuple(header), tuple(map(tuple, rows))))


def _plots(gathered: _Gathered) -> dict[str, Plot]:
    """One plot a figure over all cultures, KID of each culture as in figure 7, differences."""
    overall = over_seeds(gathered.overall, gathered.metrics)
    keys = [key for key in (*_TABLE_1, *gathered.memorization) if key in gathered.metrics]
    plots = {}
    for key in dict.fromkeys(keys):
        if plot := _plot(gathered, key, gathered.metrics[key].heading, overall):
            plots[key] = plot
    if len(gathered.cultures) > 1 and "kid_reference" in gathered.metrics:
        for culture, results in gathered.by_culture.items():
            title = f"{gathered.metrics['kid_reference'].heading}, {culture}"
            table = over_seeds(results, ["kid_reference"])
            if plot := _plot(gathered, "kid_reference", title, table):
                plots[f"kid_reference-{culture}"] = plot
    differences = paired_differences(gathered.overall, gathered.ablation.compare, gathered.metrics)
    for key in gathered.three_questions:
        title = f"{gathered.metrics[key].heading}: differences, paired by seed"
        if plot := _plot(gathered, key, title, differences):
            plots[f"difference-{key}"] = plot
    return plots


def _plot(gathered: _Gathered, key: str, title: str, table: Table) -> Plot | None:
    found = [(arm, row[key]) for arm, row in table.items() if key in row]
    rows = [(arm, one.mean, one.low, one.high) for arm, one in found]
    if not rows:
        return None
    better = gathered.metrics[key].better
    note = f"{better} is better" if better else ""
    return interval_plot(title, note, rows, digits=_digits(one for _, one in found))


def _markdown(gathered: _Gathered, sheets: Iterable[Sheet]) -> str:
    parts = [f"# Ablation of {Path(gathered.ablation.base).name}\n\n{_lead(gathered)}\n"]
    for sheet in sheets:
        note = f"\n{sheet.note}\n" if sheet.note else ""
        parts.append(f"## {sheet.title}\n\n{markdown_table(sheet.header, sheet.rows)}{note}")
    parts.append("## Conventions\n\n" + "".join(f"- {one}\n" for one in _conventions(gathered)))
    if warnings := _warnings(gathered):
        parts.append("## Warnings\n\n" + "".join(f"- {one}\n" for one in warnings))
    return "\n".join(parts)


def _all_figures(gathered: _Gathered) -> str:
    rows = [
        (result.culture, result.seed, arm, key, value)
        for result in gathered.results
        for arm, figures in result.figures.items()
        for key, value in figures.items()
    ]
    return csv_table(("culture", "seed", "arm", "figure", "value"), rows)


def _as_json(gathered: _Gathered, sheets: Iterable[Sheet]) -> dict[str, Any]:
    ablation = gathered.ablation
    return {
        "format": _FORMAT,
        "base": ablation.base,
        "seeds": gathered.seeds,
        "cultures": gathered.cultures,
        "arms": {
            arm.name: dataclasses.asdict(arm.train) if arm.train else None for arm in ablation.arms
        },
        "metrics": [dataclasses.asdict(metric) for metric in gathered.metrics.values()],
        "trials": [
            {
                "culture": result.culture,
                "seed": result.seed,
                "grid": result.grid.relative_to(ablation.folder).as_posix(),
                "models": dict(result.models),
                "figures": {arm: dict(figures) for arm, figures in result.figures.items()},
                "settings": dict(result.settings),
            }
            for result in gathered.results
        ],
        "mean_and_half_width": {
            arm: {key: [one.mean, one.half_width] for key, one in row.items()}
            for arm, row in over_seeds(gathered.overall, gathered.metrics).items()
        },
        "tables": [dataclasses.asdict(sheet) for sheet in sheets],
        "warnings": _warnings(gathered),
    }


def _page(gathered: _Gathered, sheets: Iterable[Sheet], plots: Mapping[str, str]) -> str:
    sections = []
    for sheet in sheets:
        note = f'<p class="soft">{html.escape(sheet.note)}</p>' if sheet.note else ""
        sections.append((sheet.name, sheet.title, f"{pages.table(sheet.header, sheet.rows)}{note}"))
    drawn = pages.plots_tag(list(plots.values()))
    sections.append(("plots", "Plots (the paper's figure 7)", drawn))
    for culture in gathered.cultures:
        title = f"The same prompts and noise, {culture}, seed {gathered.seeds[0]}"
        sections.append((f"pictures-{culture}", title, _pictures(gathered, culture)))
    sections.append(("arms", "What the arms are", _arms_table(gathered.ablation)))
    sections.append(("conventions", "Conventions", _list(_conventions(gathered))))
    if warnings := _warnings(gathered):
        sections.append(("warnings", "Warnings", _list(warnings)))
    title = f"Ablation of {Path(gathered.ablation.base).name}"
    return pages.page(title, _lead(gathered), sections)


def _pictures(gathered: _Gathered, culture: str) -> str:
    result = next(one for one in gathered.results if one.culture == culture)
    try:
        grid = read_grid(result.grid)
    except DatasetError:
        return "<p>The drawings are gone; the numbers were measured before.</p>"
    arms = {model: arm for arm, model in result.models.items()}
    grid = dataclasses.replace(
        grid,
        models=tuple(
            dataclasses.replace(one, name=arms[one.name]) for one in grid.models if one.name in arms
        ),
        pictures=tuple(
            dataclasses.replace(one, model=arms[one.model])
            for one in grid.pictures
            if one.model in arms
        ),
    )
    sheet = same_seed_sheet(grid, models=list(result.models))
    names = ", ".join(result.models)
    return pages.picture_tag(sheet, f"Drawings of {names} for the same prompts", kind="JPEG")


def _arms_table(ablation: Ablation) -> str:
    """The options in which arms differ from each other or from the defaults, a column an arm."""
    trained = [(arm.name, arm.train) for arm in ablation.arms if arm.train is not None]
    rows = [
        [option.name, *(str(getattr(config, option.name)) for _, config in trained)]
        for option in options(TrainConfig)
        if option.changes_weights
        and {getattr(config, option.name) for _, config in trained} != {option.default}
    ]
    return pages.table(["option", *(name for name, _ in trained)], rows)


def _lead(gathered: _Gathered) -> str:
    seeds, cultures = len(gathered.seeds), len(gathered.cultures)
    if seeds == 1:
        spread = "One seed tells no spread, so there are no intervals."
    else:
        spread = (
            "Means and 95 % intervals (Student's t) over seeds: they tell how trainings, drawings "
            "and the choice of captions scatter, not how base models or picture sets do."
        )
    if seeds == 2:
        spread += " Of two seeds they are wide: 12.7 standard errors to either side, of five 2.8."
    return (
        f"{_counted(len(gathered.arms), 'arm')}, {_counted(cultures, 'culture')}, "
        f"{_counted(seeds, 'seed')} each. {spread} Overall means count every culture the same."
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _conventions(gathered: _Gathered) -> list[str]:
    found = dict.fromkeys(one for result in gathered.results for one in result.conventions)
    own = (
        "Intervals in these tables are over seeds. What follows is said of the figures of one "
        "trial, and of the intervals in its grid's own report."
    )
    return [own, *found]


def _warnings(gathered: _Gathered) -> list[str]:
    found = [
        f"{result.culture}: {warning}" for result in gathered.results for warning in result.warnings
    ]
    return list(dict.fromkeys(found))


def _list(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(one)}</li>' for one in sentences)}</ul>"


def _digits(estimates: Iterable[Estimate]) -> int:
    return decimals((one.mean, one.low, one.high) for one in estimates)
