"""Which checkpoint of a run to keep, and the three curves over its steps that say so.

It knows, copies, forgot: what is measured is in `score_records`; here the numbers are only weighed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .score_records import Difference, MetricValue, ModelScores, Scores, Suggestion
from .text_tables import decimals, ranged

__all__ = ["TRIPLE", "CurvePoint", "curves", "run_ids", "run_name", "suggest"]

TRIPLE = ("copies", "knows", "forgot")
"""The three questions, by the names of `ModelScores`' properties; lower is better in all three."""


@dataclass(frozen=True)
class CurvePoint:
    """One model's value after `step` steps, with its interval if there is one."""

    step: int
    value: float
    low: float | None
    high: float | None


def suggest(
    models: Sequence[ModelScores], differences: Sequence[Difference] = ()
) -> Suggestion | None:
    """Return the checkpoint that knows the culture as well as any and copies least.

    Among the models with a step, those count that cannot be told from the best-knowing one: whose
    difference to it has an interval that reaches 0, or, where that was not measured, whose own
    interval reaches its value. Of these the one is taken that copies least, then the one that
    forgot least, then the earliest. The rule is ours, after the one-standard-error rule (Breiman
    et al. 1984): of models that cannot be told apart, the most careful one.

    Args:
        models: of one grid; those without a step serve for comparison only.
        differences: of `kid_reference` between them, which share the held-out pictures' chance and
            so tell more apart than the models' own intervals.

    Returns:
        the checkpoint and the reason in numbers; None where no checkpoint's `knows` was measured.
    """
    known = [(model, model.knows) for model in models if model.model.step is not None]
    measured = [(model, knows) for model, knows in known if knows is not None]
    if not measured:
        return None
    best, best_knows = min(measured, key=lambda pair: (pair[1].value, pair[0].model.step))
    least_worse = _least_worse(best.model.name, differences)

    def reaches_best(model: ModelScores, knows: MetricValue) -> bool:
        own = (knows.value if knows.low is None else knows.low) - best_knows.value
        return least_worse.get(model.model.name, own) <= 0

    alike = [model for model, knows in measured if model is best or reaches_best(model, knows)]
    chosen = min(alike, key=_careful)
    told = bool(least_worse) or best_knows.low is not None
    reason = _reason(chosen, best, alike, len(measured), told=told)
    for model in models:
        knows = model.knows
        if model.model.lora_sha256 is None and knows is not None and reaches_best(model, knows):
            reason += (
                f" No checkpoint knows the culture measurably better than {model.model.name}, "
                f"{_written(knows, (chosen, best), 'knows')}, so take this with care: more test "
                "pictures tell more."
            )
    return Suggestion(chosen.model.name, chosen.model.step, reason)


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


def run_name(scores: Scores, run_id: str | None) -> str:
    """Return what a run's checkpoints' names begin with, as `plain` in "plain step 300".

    Args:
        scores: of a grid.
        run_id: of `run_ids`.

    Returns:
        the id itself where their names do not begin alike, and "checkpoints" where there is none.
    """
    models = [one.model for one in scores.models if one.model.run_id == run_id]
    ends = {one.name: f"step {one.step}" for one in models if one.step is not None}
    begun = {name.removesuffix(end).rstrip() for name, end in ends.items() if name.endswith(end)}
    return begun.pop() if len(begun) == 1 and "" not in begun else run_id or "checkpoints"


def _least_worse(best: str, differences: Sequence[Difference]) -> dict[str, float]:
    """Return by how much each model knows less than `best` at least: an interval's lower end."""
    found: dict[str, float] = {}
    for one in differences:
        if one.key != "kid_reference" or one.low is None or one.high is None:
            continue
        if one.baseline == best:
            found[one.model] = one.low
        elif one.model == best:
            found[one.baseline] = -one.high
    return found


def _careful(model: ModelScores) -> tuple[float, float, int]:
    """Sort by copies, forgot and step; what was not measured comes last."""
    copies, forgot = (
        float("inf") if metric is None else metric.value for metric in (model.copies, model.forgot)
    )
    return copies, forgot, model.model.step or 0


def _reason(
    chosen: ModelScores,
    best: ModelScores,
    alike: Sequence[ModelScores],
    count: int,
    *,
    told: bool,
) -> str:
    """Say why, in numbers; `told` is whether intervals tell the models apart."""
    name = chosen.model.name
    if count == 1:
        return (
            f"{name} is the only checkpoint that was measured: {_said(chosen)}. Draw and score "
            "more checkpoints of the run to compare it with."
        )
    if len(alike) == 1:
        less = "and the others measurably less"
        if not told:
            less = "by the mere numbers, since there are too few pictures to tell chance apart"
        return f"{name} knows the culture best of {count} checkpoints, {less}: {_said(chosen)}."
    group = f"{len(alike)} of {count} checkpoints"
    reason = (
        f"{group} know the culture as well as the best one, {best.model.name}, as far as the "
        f"intervals tell, and of these {_rule(chosen, alike)}: {_said(chosen, best)}"
    )
    if best is chosen:
        return f"{reason}."
    return f"{reason}; {best.model.name}: {_said(best, chosen)}."


def _rule(chosen: ModelScores, alike: Sequence[ModelScores]) -> str:
    """Return by what the chosen one was taken of those that know as well."""
    copies, forgot, _ = _careful(chosen)
    as_little = [one for one in alike if _careful(one)[0] == copies]
    if chosen.copies is not None and len(as_little) == 1:
        return "it copies least"
    if chosen.forgot is None:
        then = "it is the earliest"
    elif sum(_careful(one)[1] == forgot for one in as_little) == 1:
        then = "it forgot least"
    else:
        then = "none forgot less and it is the earliest"
    if chosen.copies is None:
        return f"{then} (copying was not measured)"
    return f"no other copies less, and of those that copy as little {then}"


def _said(model: ModelScores, beside: ModelScores | None = None) -> str:
    """Return a model's three numbers, as exact as those of `beside`."""
    parts = []
    for name, words in (
        ("knows", "KID to held-out pictures"),
        ("copies", "likeness to training pictures"),
        ("forgot", "KID to general pictures"),
    ):
        metric: MetricValue | None = getattr(model, name)
        if metric is not None:
            parts.append(f"{words} {_written(metric, (model, beside or model), name)}")
    return ", ".join(parts)


def _written(metric: MetricValue, models: Sequence[ModelScores], name: str) -> str:
    """Return a value with its interval, with the decimals of the models' answers together."""
    found = [answer for one in models if (answer := getattr(one, name)) is not None]
    digits = decimals((answer.value, answer.low, answer.high) for answer in found)
    return ranged(metric.value, metric.low, metric.high, digits)
