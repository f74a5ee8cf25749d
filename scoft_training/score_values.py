"""What scoring works on and hands back, and what every measured value has in common.

Not here: which pictures (`score_sets`) and which measures (`score_metrics`, `score_kid`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .config import ScoreConfig
from .grids import Grid, GridModel
from .intervals import Interval, difference_interval, mean_interval
from .score_records import Difference, MetricValue, Nearest
from .score_sets import ComparedPictures, Drawn, drawn

__all__ = ["Found", "Setting", "compared", "ends", "over_captions", "sentences"]


@dataclass(frozen=True)
class Setting:
    """What is scored: the grid, those of its models that are, what they are compared with, how.

    `check_stop` is called now and then by what takes long; it raises to stop.
    """

    grid: Grid
    models: tuple[GridModel, ...]
    compared: ComparedPictures
    config: ScoreConfig
    check_stop: Callable[[], None] = lambda: None

    @property
    def captioned(self) -> bool:
        """Whether the pictures were drawn for prompts; those of a mere folder were not."""
        return any(prompt.text for prompt in self.grid.prompts)

    def drawn(self, role: str, **which: Any) -> Drawn | None:
        """Return `score_sets.drawn` of these models."""
        return drawn(self.grid, self.models, role, **which)


@dataclass
class Found:
    """What was measured: by model, between models, and what a reader has to know."""

    values: dict[str, list[MetricValue]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    nearest: list[Nearest] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Take what another one holds, too."""
        for model, values in other.values.items():
            self.values.setdefault(model, []).extend(values)
        self.differences += other.differences
        self.nearest += other.nearest
        self.warnings += [one for one in other.warnings if one not in self.warnings]


def over_captions(
    each: Tensor, pictures: Drawn, *, within: tuple[float, float], **more: Any
) -> MetricValue:
    """Return the mean over captions with its interval.

    Args:
        each: (captions,) values of one model.
        pictures: of which they were measured.
        within: the least and the most that the measure can be; the interval is cut there, which
            loses no value that could be the true one.
        more: the other fields of the value.
    """
    several = len(each) > 1
    low, high = ends(mean_interval(each).within(*within) if several else None)
    return MetricValue(
        value=float(each.mean()),
        low=low,
        high=high,
        pictures=len(pictures.groups),
        captions=len(each),
        std=float(each.std(correction=1)) if several else None,
        per_caption=tuple(each.tolist()),
        prompts=pictures.prompts,
        **more,
    )


def compared(setting: Setting, found: Found) -> Found:
    """Add the differences to the baseline, caption by caption where there are captions."""
    baseline = {one.key: one for one in found.values.get(setting.config.baseline, ())}
    for model, values in found.values.items():
        for value in values if model != setting.config.baseline else ():
            if (other := baseline.get(value.key)) is None:
                continue
            difference, low, high = value.value - other.value, None, None
            if len(value.per_caption) > 1:
                interval = difference_interval(value.per_caption, other.per_caption)
                difference, (low, high) = interval.mean, ends(interval)
            found.differences.append(
                Difference(model, setting.config.baseline, value.key, difference, low, high)
            )
    return found


def ends(interval: Interval | None) -> tuple[float | None, float | None]:
    """Return where an interval ends, None and None where there is none."""
    return (None, None) if interval is None else (interval.low, interval.high)


def sentences(rule: str, network: str) -> str:
    """Return a convention: the measure's rule, then the network's."""
    return f"{rule}. {network}"
