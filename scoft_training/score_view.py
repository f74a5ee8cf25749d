"""What a node shows of a grid's scores: the three questions, as plain values for its page's script.

Not here: how it looks (`js/lib/score_view.mjs`), and the report as a page (`metrics_report`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .checkpoint_choice import TRIPLE, run_name
from .score_comparison import QUESTIONS, baseline_of, differences_from, verdict
from .score_records import Difference, MetricValue, ModelScores, Scores
from .text_tables import decimals

__all__ = ["scores_for_page"]


def scores_for_page(scores: Scores, baseline: str = "") -> dict[str, Any]:
    """Return what a node shows.

    Args:
        scores: of a grid.
        baseline: the model that the others are compared with; as in `baseline_of`.

    Returns:
        "name", "base" and "baseline"; "questions", each with the metric that answers it and the
        decimals of its values and differences; "models", with the name of the run whose
        "step" they are, and "differences", each with a value or None a question; "suggestion"
        and "warnings".

    Raises:
        ConfigError: no model has the baseline's name.
    """
    against = baseline_of(scores, baseline)
    changes = {(one.model, one.key): one for one in differences_from(scores, against)}
    best = {name: _best([_answer(one, name) for one in scores.models]) for name in TRIPLE}
    return {
        "name": scores.grid,
        "base": scores.base_name,
        "baseline": against,
        "questions": [_question(scores, name, changes) for name in TRIPLE],
        "models": [
            {
                "name": one.model.name,
                "step": one.model.step,
                "run": None if one.model.step is None else run_name(scores, one.model.run_id),
                "values": [_value(_answer(one, name), *best[name]) for name in TRIPLE],
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


def _question(
    scores: Scores, name: str, changes: Mapping[tuple[str, str], Difference]
) -> dict[str, Any]:
    found = [metric for one in scores.models if (metric := _answer(one, name)) is not None]
    shown = ("title", "unit", "better", "network")
    of = [one for (_, key), one in changes.items() if found and key == found[0].key]
    return {
        "name": name,
        "question": QUESTIONS[name],
        **{field: getattr(found[0], field) if found else "" for field in shown},
        "digits": decimals((one.value, one.low, one.high) for one in found),
        "difference_digits": decimals((one.value, one.low, one.high) for one in of),
    }


def _best(answers: Sequence[MetricValue | None]) -> tuple[float | None, str]:
    """Return the lowest value and what to call it; None of fewer than two models.

    Lower is better in all three questions. It is best where no other model's interval reaches it,
    the rule by which `checkpoint_choice` tells models apart.
    """
    found = [answer for answer in answers if answer is not None]
    if len(found) < 2:
        return None, ""
    lowest = min(answer.value for answer in found)
    ends = [answer.value if answer.low is None else answer.low for answer in found]
    reaching = sum(end <= lowest for end in ends)
    return lowest, "best" if reaching == 1 else "lowest"


def _value(metric: MetricValue | None, lowest: float | None, mark: str) -> dict[str, Any] | None:
    if metric is None:
        return None
    ends = {"low": metric.low, "high": metric.high}
    return {"value": metric.value, **ends, "mark": mark if metric.value == lowest else ""}


def _change(
    model: ModelScores, name: str, changes: Mapping[tuple[str, str], Difference]
) -> dict[str, Any] | None:
    metric = _answer(model, name)
    found = None if metric is None else changes.get((model.model.name, metric.key))
    if metric is None or found is None:
        return None
    ends = {"low": found.low, "high": found.high}
    return {"value": found.value, **ends, "verdict": verdict(found, metric.better)}
