"""What a node shows of a grid's scores: the three questions, as plain values for its page's script.

Not here: how it looks (`js/lib/score_view.mjs`), and the report as a page (`metrics_report`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checkpoint_choice import TRIPLE
from .score_comparison import QUESTIONS, baseline_of, differences_from, verdict
from .score_records import Difference, MetricValue, ModelScores, Scores

__all__ = ["scores_for_page"]


def scores_for_page(scores: Scores, baseline: str = "") -> dict[str, Any]:
    """Return what a node shows.

    Args:
        scores: of a grid.
        baseline: the model that the others are compared with; as in `baseline_of`.

    Returns:
        "name", "base" and "baseline"; "questions", each with the metric that answers it; "models"
        and "differences", each with a value or None a question; "suggestion" and "warnings".

    Raises:
        ConfigError: no model has the baseline's name.
    """
    against = baseline_of(scores, baseline)
    changes = {(one.model, one.key): one for one in differences_from(scores, against)}
    best = {name: _best(scores, name) for name in TRIPLE}
    return {
        "name": scores.grid,
        "base": scores.base_name,
        "baseline": against,
        "questions": [_question(scores, name) for name in TRIPLE],
        "models": [
            {
                "name": one.model.name,
                "step": one.model.step,
                "values": [_value(_answer(one, name), best[name]) for name in TRIPLE],
            }
            for one in scores.models
        ],
        "differences": [
            {"name": one.model.name, "values": [_change(one, name, changes) for name in TRIPLE]}
            for one in scores.models
            if one.model.name != against
        ],
        "suggestion": vars(scores.suggestion) if scores.suggestion else None,
        "warnings": list(scores.warnings),
    }


def _answer(model: ModelScores, name: str) -> MetricValue | None:
    metric: MetricValue | None = getattr(model, name)
    return metric


def _question(scores: Scores, name: str) -> dict[str, Any]:
    answers = (_answer(one, name) for one in scores.models)
    metric = next((answer for answer in answers if answer is not None), None)
    shown = ("title", "unit", "better", "network")
    found = (
        dict.fromkeys(shown, "") if metric is None else {key: getattr(metric, key) for key in shown}
    )
    return {"name": name, "question": QUESTIONS[name], **found}


def _best(scores: Scores, name: str) -> float | None:
    """The lowest value, which is the best one of all three; None of fewer than two models."""
    values = [answer.value for one in scores.models if (answer := _answer(one, name)) is not None]
    return min(values) if len(values) > 1 else None


def _value(metric: MetricValue | None, best: float | None) -> dict[str, Any] | None:
    if metric is None:
        return None
    ends = {"low": metric.low, "high": metric.high}
    return {"value": metric.value, **ends, "best": metric.value == best}


def _change(
    model: ModelScores, name: str, changes: Mapping[tuple[str, str], Difference]
) -> dict[str, Any] | None:
    metric = _answer(model, name)
    found = None if metric is None else changes.get((model.model.name, metric.key))
    if metric is None or found is None:
        return None
    ends = {"low": found.low, "high": found.high}
    return {"value": found.value, **ends, "verdict": verdict(found, metric.better)}
