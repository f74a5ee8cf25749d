"""What an ablation keeps of its trials, one small file each: trained LoRAs, and what was measured.

    FOLDER/
      loras/<culture>-<arm>-seed<seed>-<key>.json    where a trained LoRA is
      results/<culture>-seed<seed>-<key>.json        the figures of all arms of a culture and seed
      negatives/<culture>-<key>.json                 which set of negatives was drawn

`<key>` is a digest of all that a file depends on, so a changed option makes new files and leaves
the old.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .files import write_json
from .score_records import Scores

__all__ = [
    "SECONDS",
    "Metric",
    "Trained",
    "TrialResult",
    "read_record",
    "read_result",
    "read_trained",
    "result_of",
    "write_begun",
    "write_result",
    "write_trained",
]

SECONDS = "seconds"
"""Figure: how long the training steps took, over all sittings."""


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        lora: its LoRA's file, which may be gone by now.
        run_id: of its run.
        seconds: that its steps took, over all sittings.
        sha256: of the LoRA's weights, as grids have it.
    """

    lora: Path
    run_id: str
    seconds: float
    sha256: str


@dataclass(frozen=True)
class Metric:
    """What a figure is: see `score_records.MetricValue`."""

    key: str
    title: str
    better: str
    unit: str = ""

    @property
    def heading(self) -> str:
        """Title and unit, as over a column."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclass(frozen=True)
class TrialResult:
    """What was measured of all arms of a culture and seed.

    Attributes:
        culture: its name.
        seed: of training and drawings.
        grid: the folder of the drawings.
        models: arm -> its model's name in the grid.
        metrics: what the figures are, in the order of the scores.
        figures: arm -> figure -> value.
        conventions: of the scoring.
        warnings: likewise.
        settings: what the grid was drawn and scored with.
        absent_networks: that were to measure and were not there.
    """

    culture: str
    seed: int
    grid: Path
    models: Mapping[str, str]
    metrics: tuple[Metric, ...]
    figures: Mapping[str, Mapping[str, float]]
    conventions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    absent_networks: tuple[str, ...] = ()


def result_of(
    scores: Scores,
    *,
    culture: str,
    seed: int,
    grid: Path,
    models: Mapping[str, str],
    seconds: Mapping[str, float],
) -> TrialResult:
    """Return what a grid's scores say of the arms.

    Args:
        scores: of the grid; other models in it are left out.
        culture: the culture's name.
        seed: of the trial.
        grid: the grid's folder.
        models: arm -> model of the grid.
        seconds: arm -> seconds of training.
    """
    metrics: dict[str, Metric] = {}
    figures: dict[str, dict[str, float]] = {}
    for arm, model in models.items():
        measured = scores.of(model)
        figures[arm] = {}
        for metric in measured.metrics if measured else ():
            figures[arm][metric.key] = metric.value
            metrics[metric.key] = Metric(metric.key, metric.title, metric.better, metric.unit)
        figures[arm][SECONDS] = seconds.get(arm, 0.0)
    return TrialResult(
        culture=culture,
        seed=seed,
        grid=grid,
        models=dict(models),
        metrics=tuple(metrics.values()),
        figures=figures,
        conventions=scores.conventions,
        warnings=scores.warnings,
        settings={
            "base": scores.base_name,
            "drawing": dict(scores.drawing),
            "score": dict(scores.settings),
            "networks": dict(scores.networks),
            "versions": dict(scores.versions),
        },
        absent_networks=scores.absent_networks,
    )


def write_result(path: Path, result: TrialResult, folder: Path) -> None:
    """Write a result; the grid's place is noted relative to the ablation's folder."""
    values = dataclasses.asdict(result)
    values["grid"] = result.grid.relative_to(folder).as_posix()
    write_json(path, values)


def read_result(path: Path, folder: Path) -> TrialResult | None:
    """Return what `write_result` wrote; None where there is no such file, or a damaged one."""
    values = read_record(path)
    try:
        return TrialResult(
            **{
                **values,
                "grid": folder / values["grid"],
                "metrics": tuple(Metric(**one) for one in values["metrics"]),
                "conventions": tuple(values["conventions"]),
                "warnings": tuple(values["warnings"]),
                "absent_networks": tuple(values["absent_networks"]),
            }
        )
    except (KeyError, TypeError):
        return None


def write_trained(path: Path, trained: Trained) -> None:
    """Note a finished training."""
    write_json(path, dataclasses.asdict(trained) | {"lora": str(trained.lora.absolute())})


def write_begun(path: Path, run_id: str) -> None:
    """Note of which run a training is that has begun; one that was finished before stays noted."""
    if read_trained(path) is None:
        write_json(path, {"run_id": run_id})


def read_trained(path: Path) -> Trained | None:
    """Return what `write_trained` wrote; None where there is no such file, or a damaged one."""
    values = read_record(path)
    try:
        return Trained(
            Path(values["lora"]),
            str(values["run_id"]),
            float(values["seconds"]),
            str(values["sha256"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def read_record(path: Path) -> dict[str, Any]:
    """Return a record's values, none where there is no such file or a damaged one."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
