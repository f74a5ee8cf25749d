"""What sets a grid's models apart from one of them: differences with intervals, in words and plots.

Not here: what was measured (`scoring`), and how the models stand by themselves (`metrics_report`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .errors import ConfigError, unknown_name
from .intervals import difference_interval
from .score_records import Difference, MetricValue, Scores
from .text_tables import aligned, decimals, signed, signed_range

if TYPE_CHECKING:
    from .plots import Plot

__all__ = [
    "QUESTIONS",
    "baseline_of",
    "beside",
    "comparison_plots",
    "comparison_table",
    "differences_from",
    "verdict",
]

QUESTIONS = {
    "copies": "Does it copy my photos?",
    "knows": "Does it know my culture?",
    "forgot": "Did it forget the rest?",
}
"""What each of `checkpoint_choice.TRIPLE` answers."""

_VERDICTS = {"better": "better", "worse": "worse", "unclear": "no clear difference"}


def baseline_of(scores: Scores, baseline: str = "") -> str:
    """Return the name of the model that the others are compared with.

    Args:
        scores: of a grid.
        baseline: a model's name; empty takes the one that the scores were made with, or the first
            model where that was not drawn.

    Raises:
        ConfigError: no model has that name.
    """
    names = [one.model.name for one in scores.models]
    if baseline and baseline not in names:
        raise ConfigError(f"`baseline`: {unknown_name('model', baseline, names)}")
    own = str(scores.settings.get("baseline", ""))
    return baseline or (own if own in names else names[0])


def differences_from(scores: Scores, baseline: str = "") -> tuple[Difference, ...]:
    """Return every metric of every other model minus the baseline's.

    A mean over captions is compared caption by caption. The interval of a measure of whole sets,
    as KID is, needs the pictures: it is there where these two were compared when they were scored.

    Args:
        scores: of a grid.
        baseline: as in `baseline_of`.

    Raises:
        ConfigError: no model has that name.
    """
    name = baseline_of(scores, baseline)
    against = next(one for one in scores.models if one.model.name == name)
    known = dict(_known(scores))
    found = []
    for one in scores.models:
        for metric in one.metrics if one is not against else ():
            other = against.get(metric.key)
            if other is not None:
                pair = (one.model.name, name, metric.key)
                found.append(known.get(pair) or _difference(pair, metric, other))
    return tuple(found)


def verdict(difference: Difference, better: str) -> str | None:
    """Return "better" or "worse" where the interval leaves out 0, else "unclear".

    Args:
        difference: of one metric.
        better: "lower", "higher", or "" for a metric without a direction.

    Returns:
        None where there is no interval or no direction.
    """
    if not better or difference.low is None or difference.high is None:
        return None
    if difference.low <= 0 <= difference.high:
        return "unclear"
    return "better" if (difference.low > 0) == (better == "higher") else "worse"


def beside(difference: Difference, digits: int) -> str:
    """Return a difference as `+0.10 (+0.08 to +0.12)`, or alone where no interval is known."""
    value = signed(difference.value, digits)
    if difference.low is None or difference.high is None:
        return value
    return f"{value} ({signed_range(difference.low, difference.high, digits)})"


def comparison_table(scores: Scores, baseline: str = "") -> str:
    """Return the differences as lines of text, a block a metric.

    Raises:
        ConfigError: as in `differences_from`.
    """
    name = baseline_of(scores, baseline)
    lines = [f"Differences from {name}, with 95 % intervals"]
    for metric, rows in _by_metric(scores, differences_from(scores, name)):
        direction = f"; {metric.better} is better" if metric.better else ""
        lines += ["", f"{_heading(metric)}{direction}"]
        digits = _digits(rows)
        cells = [(one.model, *_said(one, metric, digits)) for one in rows]
        lines += [f"  {line}" for line in aligned(cells)]
    if len(lines) == 1:
        lines.append("There is no other model in this grid, or nothing was measured of both.")
    return "\n".join(lines)


def comparison_plots(scores: Scores, baseline: str = "") -> list[Plot]:
    """Return a plot of the differences for each of the three questions that was answered.

    Raises:
        ConfigError: as in `differences_from`.
    """
    from .plots import interval_plot

    name = baseline_of(scores, baseline)
    found = {
        metric.key: rows for metric, rows in _by_metric(scores, differences_from(scores, name))
    }
    plots = []
    for question, text in QUESTIONS.items():
        answers = (getattr(one, question) for one in scores.models)
        metric = next((answer for answer in answers if answer is not None), None)
        if metric is None or metric.key not in found:
            continue
        rows = found[metric.key]
        side = "Above" if metric.better == "higher" else "Below"
        note = (
            f"{_heading(metric)}: difference from {name}. {side} 0 is better; a bar, the 95\u00a0% "
            "interval, that reaches 0 tells no difference."
        )
        values = [(one.model, one.value, one.low, one.high) for one in rows]
        plots.append(interval_plot(text, note, values, digits=_digits(rows), signed=True))
    return plots


def _known(scores: Scores) -> Iterator[tuple[tuple[str, str, str], Difference]]:
    """The differences that were measured with the pictures, in both directions."""
    for one in scores.differences:
        yield (one.model, one.baseline, one.key), one
        low = None if one.high is None else -one.high
        high = None if one.low is None else -one.low
        turned = Difference(one.baseline, one.model, one.key, -one.value, low, high)
        yield (one.baseline, one.model, one.key), turned


def _difference(pair: tuple[str, str, str], metric: MetricValue, other: MetricValue) -> Difference:
    shared = sorted(set(metric.prompts) & set(other.prompts))
    if len(shared) < 2:
        return Difference(*pair, metric.value - other.value)
    mine, others = (dict(zip(one.prompts, one.per_caption, strict=True)) for one in (metric, other))
    interval = difference_interval(
        [mine[prompt] for prompt in shared], [others[prompt] for prompt in shared]
    )
    return Difference(*pair, interval.mean, interval.low, interval.high)


def _by_metric(
    scores: Scores, differences: tuple[Difference, ...]
) -> Iterator[tuple[MetricValue, list[Difference]]]:
    """The differences of each metric, in the order in which metrics are first met."""
    metrics = {metric.key: metric for one in scores.models for metric in one.metrics}
    for key, metric in metrics.items():
        if rows := [one for one in differences if one.key == key]:
            yield metric, rows


def _heading(metric: MetricValue) -> str:
    return f"{metric.title} ({metric.unit})" if metric.unit else metric.title


def _said(difference: Difference, metric: MetricValue, digits: int) -> tuple[str, str]:
    if difference.low is None or difference.high is None:
        return beside(difference, digits), "(no interval)"
    return beside(difference, digits), _VERDICTS.get(verdict(difference, metric.better) or "", "")


def _digits(differences: Iterable[Difference]) -> int:
    return decimals((one.value, one.low, one.high) for one in differences)
