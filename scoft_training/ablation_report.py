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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import pages
from .ablation_config import Ablation
from .ablation_records import TrialResult
from .ablation_sheets import TABLE_1, Gathered, ablation_sheets, digits_of
from .ablation_tables import (
    Sheet,
    Table,
    csv_table,
    markdown_table,
    over_seeds,
    paired_differences,
    parted,
)
from .config import TrainConfig
from .errors import DatasetError
from .files import write_json, write_text
from .grids import read_grid
from .metric_sheets import same_seed_sheet
from .options import options
from .plots import Plot, interval_plot

__all__ = ["write_ablation_report"]

_FORMAT = 1


def write_ablation_report(ablation: Ablation, results: Sequence[TrialResult]) -> Path:
    """Write tables, plots and page of all results; returns the page.

    Args:
        ablation: whose results they are.
        results: of every culture and of one or more seeds, each with all of them.

    Raises:
        OutputError: a file cannot be written.
    """
    gathered = Gathered(ablation, results)
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


def _plots(gathered: Gathered) -> dict[str, Plot]:
    """One plot a figure over all cultures, KID of each culture as in figure 7, differences."""
    overall = over_seeds(gathered.overall, gathered.metrics)
    keys = [key for key in (*TABLE_1, *gathered.memorization) if key in gathered.metrics]
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


def _plot(gathered: Gathered, key: str, title: str, table: Table) -> Plot | None:
    found = [(arm, row[key]) for arm, row in table.items() if key in row]
    rows = [(arm, one.mean, one.low, one.high) for arm, one in found]
    if not rows:
        return None
    better = gathered.metrics[key].better
    note = f"{better} is better" if better else ""
    return interval_plot(title, note, rows, digits=digits_of(one for _, one in found))


def _markdown(gathered: Gathered, sheets: Iterable[Sheet]) -> str:
    parts = [f"# Ablation of {Path(gathered.ablation.base).name}\n\n{_lead(gathered)}\n"]
    for sheet in sheets:
        note = f"\n{sheet.note}\n" if sheet.note else ""
        parts.append(f"## {sheet.title}\n\n{markdown_table(sheet.header, sheet.rows)}{note}")
    parts.append("## Conventions\n\n" + "".join(f"- {one}\n" for one in _conventions(gathered)))
    if warnings := _warnings(gathered):
        parts.append("## Warnings\n\n" + "".join(f"- {one}\n" for one in warnings))
    return "\n".join(parts)


def _all_figures(gathered: Gathered) -> str:
    rows = [
        (result.culture, result.seed, arm, key, value)
        for result in gathered.results
        for arm, figures in result.figures.items()
        for key, value in figures.items()
    ]
    return csv_table(("culture", "seed", "arm", "figure", "value"), rows)


def _as_json(gathered: Gathered, sheets: Iterable[Sheet]) -> dict[str, Any]:
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


def _page(gathered: Gathered, sheets: Iterable[Sheet], plots: Mapping[str, str]) -> str:
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


def _pictures(gathered: Gathered, culture: str) -> str:
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


def _lead(gathered: Gathered) -> str:
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


def _conventions(gathered: Gathered) -> list[str]:
    found = dict.fromkeys(one for result in gathered.results for one in result.conventions)
    own = (
        "Intervals in these tables are over seeds. What follows is said of the figures of one "
        "trial, and of the intervals in its grid's own report."
    )
    return [own, *found]


def _warnings(gathered: Gathered) -> list[str]:
    found = [
        f"{result.culture}: {warning}" for result in gathered.results for warning in result.warnings
    ]
    return list(dict.fromkeys(found))


def _list(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(one)}</li>' for one in sentences)}</ul>"
