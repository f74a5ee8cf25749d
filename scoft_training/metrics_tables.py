"""Scores in words: the three questions, all numbers, and what has to be known of them, as text.

The page is made in `metrics_report` from the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .checkpoint_choice import TRIPLE
from .metric_sheets import nearest_pairs
from .score_comparison import (
    QUESTIONS,
    baseline_of,
    beside,
    comparison_table,
    differences_from,
    verdict,
)
from .score_records import Difference, MetricValue, ModelScores, Scores
from .text_tables import aligned, decimals, ranged, width

__all__ = [
    "INTERVALS",
    "Answer",
    "AnswerRow",
    "answers",
    "digits_of",
    "directed",
    "main_models",
    "metrics_of",
    "report_text",
    "settings_rows",
    "text_table",
    "with_interval",
]

INTERVALS = (
    "Each number comes from some captions and some pictures of each, so chance is in it. In "
    "brackets stands how far chance may have moved it (the 95 % interval); where two models are "
    "said to have no clear difference, chance alone can explain what sets them apart."
)

_MEANINGS = {
    "copies": "How alike its drawings are to the training pictures whose captions it was given. "
    "Lower is better: less is copied. Some likeness is no copying: both show the same thing, and a "
    "model that never saw the photos has it, too.",
    "knows": "How far its drawings, taken together, are from pictures of the culture that were "
    "kept out of the training. Lower is better: nearer to how the culture looks.",
    "forgot": "How far its drawings for everyday prompts, taken together, are from general "
    "pictures. Lower is better: more of what it could draw before is kept. Around 0 no distance "
    "can be told, and below 0 is chance.",
}

_VERDICTS = {
    "copies": {"better": "copies less than {}", "worse": "copies more than {}"},
    "knows": {"better": "knows it better than {}", "worse": "knows it less well than {}"},
    "forgot": {"better": "keeps more than {}", "worse": "forgot more than {}"},
}
_UNCLEAR = "no clear difference from {}"

_MOST = 8


@dataclass(frozen=True)
class AnswerRow:
    """What one question found of one model.

    Attributes:
        model: its name.
        value: with its interval.
        words: what that says beside the baseline; empty where nothing can be said.
        difference: from the baseline, with its interval; empty of the baseline itself.
    """

    model: str
    value: str
    words: str = ""
    difference: str = ""


@dataclass(frozen=True)
class Answer:
    """What was measured for one of the three questions.

    Attributes:
        name: copies, knows or forgot.
        question: in a community's words.
        meaning: what the number is and which way is better.
        metric: the metric's title, unit and better direction; empty where nothing was measured.
        rows: a model each, of those that it was measured of.
    """

    name: str
    question: str
    meaning: str
    metric: str
    rows: tuple[AnswerRow, ...]


def answers(scores: Scores) -> list[Answer]:
    """Return the three questions with the answer of each of `main_models`.

    Args:
        scores: of a grid.
    """
    baseline = baseline_of(scores)
    found = {(one.model, one.key): one for one in differences_from(scores)}
    shown = main_models(scores)
    told = []
    for name in TRIPLE:
        of = [(one.model.name, getattr(one, name)) for one in shown]
        measured = [(model, metric) for model, metric in of if metric is not None]
        digits = digits_of([metric for _, metric in measured])
        pairs = [found.get((model, metric.key)) for model, metric in measured]
        known = [pair for pair in pairs if pair is not None]
        fine = decimals((pair.value, pair.low, pair.high) for pair in known)
        rows = tuple(
            AnswerRow(model, with_interval(metric, digits))
            if pair is None
            else AnswerRow(
                model,
                with_interval(metric, digits),
                _words(name, pair, metric, baseline),
                beside(pair, fine),
            )
            for (model, metric), pair in zip(measured, pairs, strict=True)
        )
        title = directed(measured[0][1]) if measured else ""
        told.append(Answer(name, QUESTIONS[name], _MEANINGS[name], title, rows))
    return told


def main_models(scores: Scores) -> list[ModelScores]:
    """Return the models that the questions are answered for.

    All of them, or where there are many: those that are no checkpoints, the suggested checkpoint
    and each run's last one.

    Args:
        scores: of a grid.
    """
    if len(scores.models) <= _MOST:
        return list(scores.models)
    kept = {one.model.name for one in scores.models if one.model.step is None}
    last: dict[str | None, ModelScores] = {}
    for one in scores.models:
        of_run = last.get(one.model.run_id)
        if one.model.step is not None and (of_run is None or one.model.step > _step(of_run)):
            last[one.model.run_id] = one
    kept |= {one.model.name for one in last.values()}
    if scores.suggestion is not None:
        kept.add(scores.suggestion.model)
    return [one for one in scores.models if one.model.name in kept]


def metrics_of(scores: Scores) -> Iterator[tuple[MetricValue, list[tuple[str, MetricValue]]]]:
    """Yield each metric once, as first met, with (model, value) of the models that have it."""
    keys = dict.fromkeys(metric.key for one in scores.models for metric in one.metrics)
    for key in keys:
        rows = [(one.model.name, metric) for one in scores.models if (metric := one.get(key))]
        yield rows[0][1], rows


def directed(metric: MetricValue) -> str:
    """Return a metric's title with its unit and which way is better."""
    title = f"{metric.title} ({metric.unit})" if metric.unit else metric.title
    return f"{title}; {metric.better} is better" if metric.better else title


def digits_of(metrics: Sequence[MetricValue]) -> int:
    """Return how many decimals these values are written with.

    Args:
        metrics: of several models, the same metric; may be empty.
    """
    return decimals((metric.value, metric.low, metric.high) for metric in metrics)


def with_interval(metric: MetricValue, digits: int) -> str:
    """Return a value as `30.2 (28.0 to 33.1)`, or alone where there is no interval."""
    return ranged(metric.value, metric.low, metric.high, digits)


def text_table(scores: Scores) -> str:
    """Return what was measured as lines of text: the questions first, then all other numbers.

    Args:
        scores: of a grid.
    """
    lines, against = [], baseline_of(scores)
    for answer in answers(scores):
        lines += [answer.question, f"  {answer.metric or 'Not measured.'}"]
        lines += [f"    {line}" for line in aligned([_cells(row, against) for row in answer.rows])]
        lines.append("")
    if scores.suggestion is not None:
        lines += [f"Suggested: {scores.suggestion.model}", f"  {scores.suggestion.reason}", ""]
    answered = {
        metric.key for one in scores.models for name in TRIPLE if (metric := getattr(one, name))
    }
    shown = {one.model.name for one in main_models(scores)}
    for metric, rows in metrics_of(scores):
        if metric.key not in answered or len(shown) < len(scores.models):
            digits = digits_of([of for _, of in rows])
            cells = [(model, with_interval(of, digits)) for model, of in rows]
            lines.append(directed(metric))
            lines += [f"    {line}" for line in aligned(cells)]
            lines.append("")
    lines.append(INTERVALS)
    lines += [f"Note: {warning}" for warning in scores.warnings]
    return "\n".join(lines)


def report_text(scores: Scores) -> str:
    """Return the whole report as text.

    Args:
        scores: of a grid.
    """
    parts = [
        (f"Scores of {scores.grid}, drawn with {scores.base_name}", text_table(scores)),
        ("Differences", comparison_table(scores)),
        ("Nearest training pictures", "\n".join(_nearest_lines(scores))),
        ("How it was measured", "\n".join(scores.conventions)),
        ("Settings", "\n".join(aligned([(a, b) for _, a, b in settings_rows(scores)]))),
    ]
    told = [f"{title}\n{'=' * width(title)}\n{text}\n" for title, text in parts if text]
    return "\n".join(told)


def settings_rows(scores: Scores) -> list[tuple[str, str, str]]:
    """Return (kind, name, value) of all that decides the numbers.

    Args:
        scores: of a grid.
    """
    sets = {
        name: ", ".join(f"{key} {value}" for key, value in of.items())
        for name, of in scores.picture_sets.items()
    }
    models = {
        one.model.name: f"LoRA {one.model.lora_sha256} at strength {one.model.strength:g}"
        for one in scores.models
        if one.model.lora_sha256 is not None
    }
    kinds: list[tuple[str, Mapping[str, Any]]] = [
        ("drawing", scores.drawing),
        ("scoring", scores.settings),
        ("model", models),
        ("network", scores.networks),
        ("set of pictures", sets),
        ("version", scores.versions),
    ]
    return [(kind, name, str(value)) for kind, of in kinds for name, value in of.items()]


def _words(name: str, difference: Difference, metric: MetricValue, baseline: str) -> str:
    word = verdict(difference, metric.better)
    return "" if word is None else _VERDICTS[name].get(word, _UNCLEAR).format(baseline)


def _cells(row: AnswerRow, baseline: str) -> tuple[str, str, str]:
    if not row.difference:
        return row.model, row.value, ""
    return row.model, row.value, f"{row.words or f'difference from {baseline}'}: {row.difference}"


def _nearest_lines(scores: Scores) -> Iterator[str]:
    for model, pairs in nearest_pairs(scores).items():
        yield f"{model}:"
        for pair in pairs:
            own = ", whose caption it is" if pair.own else ""
            yield f"  {pair.cosine:.3f}  {pair.picture}: {pair.caption}"
            # By its digest `scoft takedown` finds what shows it.
            yield f"         {pair.training_file} ({pair.training_sha256}){own}"


def _step(model: ModelScores) -> int:
    return model.model.step or 0
