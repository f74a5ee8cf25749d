"""Which checkpoint of a run to keep, and the three curves over its steps that say so.

It knows, copies, forgot: what is measured is in `score_records`; here the numbers are only weighed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .score_records import MetricValue, ModelScores, Scores, Suggestion

__all__ = ["TRIPLE", "CurvePoint", "curves", "run_ids", "suggest"]

TRIPLE = ("copies", "knows", "forgot")
"""The three questions, by the names of `ModelScores`' properties; lower is better in all three."""


@dataclass(frozen=True)
class CurvePoint:
    """One model's value after `step` steps, with its interval if there is one."""

    step: int
    value: float
    low: float | None
    high: float | None


def suggest(models: Sequence[ModelScores]) -> Suggestion | None:
    """Return the checkpoint that knows the culture as well as any and copies least.

    Among the models with a step, those count whose interval of `knows` reaches the value of the
    best-knowing one: what lies further off knows measurably less. Of these the one is taken that
    copies least, then the one that forgot least, then the earliest. The rule is ours, after the
    one-standard-error rule (Breiman et al. 1984): of models that cannot be told apart, the most
    careful one.

    Args:
        models: of one grid; those without a step serve for comparison only.

    Returns:
        the checkpoint and the reason in numbers; None where no checkpoint's `knows` was measured.
    """
    known = [(model, model.knows) for model in models if model.model.step is not None]
    measured = [(model, knows) for model, knows in known if knows is not None]
    if not measured:
        return None
    best, best_knows = min(measured, key=lambda pair: (pair[1].value, pair[0].model.step))
    alike = [model for model, knows in measured if _lower_end(knows) <= best_knows.value]
    chosen = min(alike, key=_careful)
    return Suggestion(
        chosen.model.name,
        chosen.model.step,
        _reason(chosen, best, alike, len(measured)) + _beside_base(models, best_knows),
    )


def curves(scores: Scores, run_id: str | None = None) -> dict[str, list[CurvePoint]]:
    """Return `copies`, `knows` and `forgot` over the steps, the base as step 0.

    Args:
        scores: of a grid.
        run_id: of the run whose checkpoints are wanted; None takes all models with a step.

    Returns:
        for each of TRIPLE its points by step; all lists are empty where no model has a step.
    """
    trained = [
        one
        for one in scores.models
        if one.model.step is not None and run_id in (None, one.model.run_id)
    ]
    base = [one for one in scores.models if one.model.lora_sha256 is None]
    points: dict[str, list[CurvePoint]] = {name: [] for name in TRIPLE}
    for one in sorted(
        [*base, *trained] if trained else [], key=lambda scored: scored.model.step or 0
    ):
        for name in TRIPLE:
            metric: MetricValue | None = getattr(one, name)
            if metric is not None:
                step = one.model.step or 0
                points[name].append(CurvePoint(step, metric.value, metric.low, metric.high))
    return points


def run_ids(scores: Scores) -> tuple[str | None, ...]:
    """Return the runs that the checkpoints come from, each once, in the models' order."""
    found = [one.model.run_id for one in scores.models if one.model.step is not None]
    return tuple(dict.fromkeys(found))


def _lower_end(metric: MetricValue) -> float:
    return metric.value if metric.low is None else metric.low


def _careful(model: ModelScores) -> tuple[float, float, int]:
    """Sort by copies, forgot and step; what was not measured comes last."""
    copies, forgot = (
        float("inf") if metric is None else metric.value for metric in (model.copies, model.forgot)
    )
    return copies, forgot, model.model.step or 0


def _reason(
    chosen: ModelScores, best: ModelScores, alike: Sequence[ModelScores], count: int
) -> str:
    name = chosen.model.name
    if count == 1:
        return (
            f"{name} is the only checkpoint that was measured: {_said(chosen)}. Draw and score "
            "more checkpoints of the run to compare it with."
        )
    if len(alike) == 1:
        return (
            f"{name} knows the culture best of {count} checkpoints, and no other's interval "
            f"reaches it: {_said(chosen)}."
        )
    group = f"{len(alike)} of {count} checkpoints"
    if chosen.copies is None:
        by = "it forgot least" if chosen.forgot is not None else "it is the earliest"
        rule = f"{by} (copying was not measured)"
    elif sum(_copies(one) == chosen.copies.value for one in alike) > 1:
        rule = "no other copies less, and of those that copy as little it forgot least"
    else:
        rule = "it copies least"
    reason = (
        f"{group} know the culture as well as the best one, {best.model.name}, as far as their "
        f"intervals tell, and of these {rule}: {_said(chosen)}"
    )
    return f"{reason}; {best.model.name}: {_said(best)}." if best is not chosen else f"{reason}."


def _copies(model: ModelScores) -> float | None:
    return None if model.copies is None else model.copies.value


def _said(model: ModelScores) -> str:
    parts = []
    for metric, words, digits in (
        (model.knows, "KID to held-out pictures", 2),
        (model.copies, "likeness to training pictures", 3),
        (model.forgot, "KID to general pictures", 2),
    ):
        if metric is not None:
            text = f"{words} {metric.value:.{digits}f}"
            if metric.low is not None and metric.high is not None:
                text += f" ({metric.low:.{digits}f} to {metric.high:.{digits}f})"
            parts.append(text)
    return ", ".join(parts)


def _beside_base(models: Sequence[ModelScores], best: MetricValue) -> str:
    """Say so where the unmodified model, too, knows as much as the best checkpoint."""
    for one in models:
        knows = one.knows
        if (
            one.model.lora_sha256 is None
            and knows is not None
            and min(_lower_end(knows), knows.value) <= best.value
        ):
            return (
                f" No checkpoint knows the culture measurably better than {one.model.name} "
                f"({knows.value:.2f}), so take this with care: more test pictures tell more."
            )
    return ""
