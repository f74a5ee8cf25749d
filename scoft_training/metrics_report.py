"""The report on a grid's scores: one page that needs nothing beside it, its text, plots and sheets.

    GRID/report.html
    GRID/report.txt
    GRID/plots/<name>.svg, <name>.png
    GRID/sheets/same-seeds.png, nearest.png

What was measured is in `score_records`, its wording in `metrics_tables`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from .checkpoint_choice import TRIPLE, curves, run_ids, run_name
from .errors import OutputError
from .files import write_aside, write_text
from .grids import Grid
from .metric_sheets import (
    nearest_pairs,
    nearest_sheet,
    same_seed_sheet,
    shown_models,
    shown_prompts,
    shown_rows,
    small_picture,
)
from .metrics_tables import (
    INTERVALS,
    Answer,
    AnswerRow,
    answers,
    digits_of,
    directed,
    main_models,
    metrics_of,
    report_text,
    settings_rows,
    text_table,
    with_interval,
)
from .pages import Html, page, picture_tag, plots_tag, table
from .plots import Plot, Series, curve_plot, interval_plot
from .score_comparison import QUESTIONS, baseline_of, beside, differences_from
from .score_records import Difference, MetricValue, Nearest, Scores
from .text_tables import decimals, number

__all__ = ["report_page", "text_table", "triple_plots", "write_report"]

_PLOTS = {*TRIPLE, *(f"{name}-steps" for name in TRIPLE)}
"""Names of all plots that a report can have."""

_SIDE = 256
_NOT_DRAWN = Html('<div class="lost">not drawn</div>')
_BAND = "the band is its 95\u00a0% interval"
_BAR = "the bar is its 95\u00a0% interval"
_DOUBTS = "Before you trust these numbers"

_STYLE = """
.three { display: grid; gap: 0 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(21rem, 100%), 1fr)); }
.box { border-left: 4px solid var(--line); background: var(--card); border-radius: 4px;
  padding: .2rem 1rem; margin: 1rem 0; max-width: 48rem; }
.sheet td, .sheet th { vertical-align: top; text-align: left; white-space: normal;
  border: 0; padding: .3rem; }
.sheet tbody th { min-width: 8rem; font-weight: 400; }
.sheet td { min-width: 8rem; width: 11rem; }
.sheet img { width: 100%; max-width: 11rem; min-width: 7rem; border-radius: 4px; }
@media (max-width: 40rem) {
  .sheet tbody th { min-width: 5.5rem; font-size: .85rem; overflow-wrap: break-word; }
  .sheet td { min-width: 6.3rem; } .sheet img { min-width: 5.7rem; } }
summary { cursor: pointer; }
.small img { image-rendering: pixelated; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem; }
.pairs figure { background: var(--card); border-radius: 8px; padding: .6rem; }
.pairs .both { display: grid; grid-template-columns: 1fr 1fr; gap: .3rem; align-items: start; }
.pairs img { width: 100%; border-radius: 4px; }
.pairs figcaption { font-size: .9rem; margin-top: .3rem; overflow-wrap: anywhere; }
.lost { display: grid; place-items: center; aspect-ratio: 1; background: var(--line);
  border-radius: 4px; font-size: .85rem; }
"""


def write_report(scores: Scores, grid: Grid, folder: Path) -> Path:
    """Write the page, its text, plots and sheets; return the page's path.

    Args:
        scores: of the grid.
        grid: as it lies in its folder.
        folder: where to; files of an earlier report there are replaced, or removed where this one
            has none of the name.

    Raises:
        OutputError: the folder cannot be written.
    """
    plots = dict(_named_plots(scores))
    for name, plot in plots.items():
        write_text(folder / "plots" / f"{name}.svg", plot.svg())
        _save(plot.image(960), folder / "plots" / f"{name}.png")
    for stale in _PLOTS - set(plots):
        for kind in ("svg", "png"):
            _remove(folder / "plots" / f"{stale}.{kind}")
    if shown_prompts(grid):
        sheet = same_seed_sheet(grid, models=_sheet_models(scores, grid))
        _save(sheet, folder / "sheets" / "same-seeds.png")
    nearest = folder / "sheets" / "nearest.png"
    if nearest_pairs(scores, models=_main_names(scores)):
        _save(nearest_sheet(scores, grid, models=_main_names(scores)), nearest)
    else:
        _remove(nearest)
    write_text(folder / "report.txt", report_text(scores))
    path = folder / "report.html"
    write_text(path, report_page(scores, grid))
    return path


def triple_plots(scores: Scores) -> list[Plot]:
    """Return plots of the three questions: by model, and over the steps where there are some.

    Args:
        scores: of a grid.
    """
    return [plot for _, plot in _named_plots(scores)]


def report_page(scores: Scores, grid: Grid) -> str:
    """Return the page: no script, nothing fetched, pictures inside it.

    Args:
        scores: of the grid.
        grid: in whose folder the pictures lie.
    """
    plots = dict(_named_plots(scores))
    by_model = [plot.svg() for name, plot in plots.items() if name in TRIPLE]
    over_steps = [plot.svg() for name, plot in plots.items() if name not in TRIPLE]
    sections = [
        ("questions", "Three questions", _questions(scores)),
        ("checkpoint", "Which checkpoint to keep", _checkpoint(scores, over_steps)),
        ("warnings", _DOUBTS, _sentences(scores.warnings)),
        ("plots", "The same as plots", plots_tag(by_model) if by_model else ""),
        ("pictures", "The same prompts from the same noise", _same_seeds(scores, grid)),
        ("nearest", "Drawings beside the nearest training picture", _nearest(scores, grid)),
        ("numbers", "All numbers", "".join(_numbers(scores))),
        ("conventions", "How it was measured", _sentences(scores.conventions)),
        ("settings", "Settings", _settings(scores)),
    ]
    models, prompts = len(scores.models), len(grid.prompts)
    lead = (
        f"{len(grid.pictures)} pictures by {models} {'model' if models == 1 else 'models'} of "
        f"{scores.base_name}, for {prompts} {'prompt' if prompts == 1 else 'prompts'}."
    )
    shown = [section for section in sections if section[2]]
    return page(f"Scores of {scores.grid}", lead, shown, style=_STYLE)


def _questions(scores: Scores) -> str:
    parts = [f"<p>{_text(INTERVALS)}</p>"]
    left_out = len(scores.models) - len(main_models(scores))
    if left_out:
        more = "1 more checkpoint is" if left_out == 1 else f"{left_out} more checkpoints are"
        parts.append(f'<p>{more} in the curves and under <a href="#numbers">All numbers</a>.</p>')
    each = "".join(f"<div>{_question(answer, scores)}</div>" for answer in answers(scores))
    return "".join([*parts, f'<div class="three">{each}</div>'])


def _question(answer: Answer, scores: Scores) -> str:
    head = f"<h3>{_text(answer.question)}</h3><p>{_text(answer.meaning)}</p>"
    if not answer.rows:
        why = f' Why is said below: <a href="#warnings">{_DOUBTS}</a>.' if scores.warnings else ""
        return f"{head}<p><b>Not measured.</b>{why}</p>"
    baseline = baseline_of(scores)
    rows = [[row.model, Html(_answer(row, baseline, len(answer.rows)))] for row in answer.rows]
    return head + table(["model", "answer"], rows, caption=answer.metric, words=(1,))


def _answer(row: AnswerRow, baseline: str, count: int) -> str:
    """One model's answer: in words if there are some, in numbers, beside the baseline's."""
    said = [f"<b>{_text(row.words)}</b>"] if row.words else []
    said.append(_text(row.value))
    if row.difference:
        said.append(_soft(f"difference from {baseline}: {row.difference}"))
    elif row.model == baseline and count > 1:
        said.append(_soft("the others are compared with it"))
    return "<br>".join(said)


def _soft(text: str) -> str:
    return f'<span class="soft">{_text(text)}</span>'


def _checkpoint(scores: Scores, plots: Sequence[str]) -> str:
    parts = []
    if scores.suggestion is not None:
        parts.append(
            f'<div class="box"><p dir="auto"><b>{_text(scores.suggestion.model)}</b></p>'
            f'<p dir="auto">{_text(scores.suggestion.reason)}</p></div>'
            "<p>This weighs numbers only. Look at the pictures before you decide.</p>"
        )
    elif plots:
        parts.append("<p>None is suggested: nothing tells how well they know the culture.</p>")
    if plots:
        parts.append(plots_tag(plots))
    return "".join(parts)


def _named_plots(scores: Scores) -> Iterator[tuple[str, Plot]]:
    shown = main_models(scores)
    for name in TRIPLE:
        of = [(one.model.name, getattr(one, name)) for one in shown]
        measured = [(model, metric) for model, metric in of if metric is not None]
        if measured:
            first = measured[0][1]
            rows = [(model, one.value, one.low, one.high) for model, one in measured]
            digits = digits_of([one for _, one in measured])
            note = f"{directed(first)}; {_BAR}"
            yield name, interval_plot(QUESTIONS[name], note, rows, digits=digits)
    for name in TRIPLE:
        if plot := _curve(scores, name):
            yield f"{name}-steps", plot


def _curve(scores: Scores, name: str) -> Plot | None:
    """One question over the steps of each run, or None without two checkpoints of one."""
    series = []
    for run in run_ids(scores):
        points = curves(scores, run)[name]
        if sum(point.step > 0 for point in points) > 1:
            series.append(
                Series(
                    run_name(scores, run),
                    [point.step for point in points],
                    [point.value for point in points],
                    [point.low for point in points],
                    [point.high for point in points],
                )
            )
    if not series:
        return None
    metric: MetricValue = next(found for one in scores.models if (found := getattr(one, name)))
    suggestion = scores.suggestion
    base = "; step 0 is the base model" if any(0 in one.x for one in series) else ""
    # Of one run's curve the step alone says which checkpoint is meant.
    of = "" if suggestion is None or len(series) == 1 else f": {suggestion.model}"
    return curve_plot(
        QUESTIONS[name],
        f"{directed(metric)}; {_BAND}{base}",
        series,
        mark=None if suggestion is None else suggestion.step,
        mark_name=f"suggested{of}",
    )


def _numbers(scores: Scores) -> Iterator[str]:
    baseline = baseline_of(scores)
    differences = {(one.model, one.key): one for one in differences_from(scores)}
    for metric, rows in metrics_of(scores):
        found = [differences.get((model, metric.key)) for model, _ in rows]
        columns = [
            ("model", [model for model, _ in rows]),
            *_value_columns([of for _, of in rows]),
            (f"difference from {baseline}", _differences(found)),
        ]
        # What no model has needs no column.
        shown = [(name, cells) for name, cells in columns if set(cells) != {"-"}]
        notes = dict.fromkeys(of.note for _, of in rows if of.note)
        by = f", by {metric.network}" if metric.network else ""
        yield table(
            [name for name, _ in shown],
            list(zip(*(cells for _, cells in shown), strict=True)),
            caption=f"{directed(metric)}{by}",
        )
        yield "".join(f'<p class="soft">{_text(note)}</p>' for note in notes)


def _value_columns(values: Sequence[MetricValue]) -> Iterator[tuple[str, list[str]]]:
    """One metric of each model: its value, the same as other tools write it, what it rests on."""
    digits = digits_of(values)
    yield "value (95 % interval)", [with_interval(of, digits) for of in values]
    for name in dict.fromkeys(name for of in values for name in of.forms):
        forms = [of.forms.get(name) for of in values]
        # The form in which the value is reported is there already.
        if not all(map(_same, forms, values)):
            fine = digits + _finer([of.value for of in values], forms)
            yield name, [number(form, max(0, fine)) for form in forms]
    yield "std", [number(of.std, digits) for of in values]
    yield "drawings", [str(of.pictures or "-") for of in values]
    yield "compared with", [str(of.reference_pictures or "-") for of in values]
    yield "captions", [str(of.captions or "-") for of in values]


def _same(form: float | None, of: MetricValue) -> bool:
    return form is not None and math.isclose(form, of.value, rel_tol=1e-6)


def _finer(values: Sequence[float], forms: Sequence[float | None]) -> int:
    """How many more decimals a form needs to be as exact as the values are."""
    largest = max(map(abs, values)), max(abs(form) for form in forms if form is not None)
    return -math.floor(math.log10(largest[1] / largest[0])) if min(largest) > 0 else 0


def _differences(found: Sequence[Difference | None]) -> list[str]:
    fine = decimals((one.value, one.low, one.high) for one in found if one is not None)
    return ["-" if one is None else beside(one, fine) for one in found]


def _same_seeds(scores: Scores, grid: Grid) -> str:
    if not shown_prompts(grid):
        return ""
    names, rows = shown_rows(grid, models=_sheet_models(scores, grid))
    body = []
    for row in rows:
        cells = []
        for name, picture in zip(names, row.pictures, strict=True):
            opened = None if picture is None else small_picture(picture.path, _SIDE)
            alt = f"{name}: {row.text}"
            cells.append(_NOT_DRAWN if opened is None else _img(opened, alt))
        body.append([Html(f"{_text(row.text)}<br><small>seed {row.seed}</small>"), *cells])
    shown = table(["prompt", *names], body, caption="The same prompts from the same noise")
    note = (
        "A column is a model. What a row's pictures have in common comes from the noise and the "
        "prompt; what sets them apart comes from the models."
    )
    if more := len(grid.models) - len(names):
        are = "1 more model is" if more == 1 else f"{more} more models are"
        note += f" {are} in the grid's folder."
    return f'<p>{note}</p><div class="sheet{_pixelated(grid)}">{shown}</div>'


def _nearest(scores: Scores, grid: Grid) -> str:
    pairs = nearest_pairs(scores, models=_main_names(scores))
    if not pairs:
        return ""
    parts = [
        "<p>Left a drawing, right the training picture nearest to it, the nearest pairs first. "
        "The number tells how alike the two are to the network that compares them, as a cosine; 1 "
        "is a copy.</p>"
    ]
    for model, of in pairs.items():
        figures = "".join(_pair(one, grid) for one in of)
        parts.append(f'<h3 dir="auto">{_text(model)}</h3>')
        parts.append(f'<div class="pairs{_pixelated(grid)}">{figures}</div>')
    return "".join(parts)


def _pair(one: Nearest, grid: Grid) -> str:
    both = "".join(
        '<div class="lost">not here</div>' if opened is None else _img(opened, alt)
        for opened, alt in (
            (small_picture(grid.folder / one.picture, _SIDE), f"drawing: {one.caption}"),
            (small_picture(grid.folder / one.training_file, _SIDE), "the nearest training picture"),
        )
    )
    own = "; it is the picture of this caption" if one.own else ""
    return (
        # By its digest `scoft takedown` finds the copy.
        f'<figure data-sha256="{html.escape(one.training_sha256, quote=True)}">'
        f'<div class="both">{both}</div><figcaption><b>{one.cosine:.3f}</b>{own}<br>'
        f'<span dir="auto">{_text(one.caption)}</span></figcaption></figure>'
    )


def _settings(scores: Scores) -> str:
    rows = settings_rows(scores)
    if not rows:
        return ""
    shown = table(["of", "name", "value"], rows, caption="Settings and digests", words=(1, 2))
    return f"<details><summary>Everything that decides the numbers</summary>{shown}</details>"


def _sentences(sentences: Sequence[str]) -> str:
    items = "".join(f'<li dir="auto">{_text(sentence)}</li>' for sentence in sentences)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _sheet_models(scores: Scores, grid: Grid) -> list[str]:
    suggested = [] if scores.suggestion is None else [scores.suggestion.model]
    return shown_models(grid, always=suggested)


def _main_names(scores: Scores) -> list[str]:
    return [one.model.name for one in main_models(scores)]


def _pixelated(grid: Grid) -> str:
    """The class of pictures so small that blurring them would hide what they are made of."""
    return " small" if (grid.drawing.get("resolution") or _SIDE) < _SIDE else ""


def _img(picture: Image.Image, alt: str) -> Html:
    return picture_tag(picture, alt, kind="JPEG")


def _save(picture: Image.Image, path: Path) -> None:
    write_aside(path, partial(_write_png, picture))


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: an earlier report's file could not be removed ({error.strerror}). Close what "
            "shows it, and score again."
        ) from error


def _write_png(picture: Image.Image, path: Path) -> None:
    picture.save(path, format="PNG", optimize=True)


def _text(text: str) -> str:
    return html.escape(text)
