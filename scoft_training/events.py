"""What a run reports while it goes on, read by command line, log file, canvas and tests alike.

Events are plain values: no tensors, no absolute paths of the machine.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "CaptionEvent",
    "CheckpointEvent",
    "EstimateEvent",
    "Event",
    "FinishedEvent",
    "HistogramEvent",
    "NegativeEvent",
    "PhaseEvent",
    "PlanEvent",
    "PreviewEvent",
    "SettingsEvent",
    "SnapshotEvent",
    "StepEvent",
    "StopRequested",
    "StoppedEvent",
    "TrialEvent",
    "ValidationEvent",
    "WarningEvent",
    "stop_check",
    "to_json",
]


@dataclass(frozen=True)
class PhaseEvent:
    """Work before or after the loop: `done` of `total` items of `phase` are ready."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True)
class EstimateEvent:
    """What a run will hold in memory, told before its first step.

    `level` is the level of `memory` that was decided on. `parts` maps words to bytes; of the parts
    of a step one is alive at a time. `peak_bytes` is all of it at its most, `needed_bytes` what of
    that is still to be taken, `free_bytes` what is free for it, if that is known.
    """

    level: str
    parts: Mapping[str, int]
    peak_bytes: int
    needed_bytes: int
    free_bytes: int | None
    fits: bool


@dataclass(frozen=True)
class PlanEvent:
    """What a run would do, from a dry run. `folder` is where it would lie."""

    run_id: str
    folder: str
    pictures: int
    steps: int
    start_step: int
    pictures_per_step: int
    device: str
    precision: str
    memory: Mapping[str, Any]
    estimate: EstimateEvent | None


@dataclass(frozen=True)
class SettingsEvent:
    """What was decided for this run before its first step."""

    run_id: str
    device: str
    precision: str
    memory: Mapping[str, Any]
    start_step: int
    steps: int
    trained_parameters: int


@dataclass(frozen=True)
class StepEvent:
    """One optimizer step.

    `losses` holds the unweighted mean of each term over the pictures that had it; a term that no
    picture had is missing. `seconds` is the step's wall time; `memory_bytes` the device's peak so
    far, or the process's on CPU.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    total_loss: float
    grad_norm: float
    learning_rate: float
    seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class ValidationEvent:
    """L_LDM over the held-out rows after `step` steps."""

    step: int
    loss: float
    pictures: int


@dataclass(frozen=True)
class PreviewEvent:
    """A preview after `step` steps lies in the run's folder: the base's picture, then the LoRA's.

    `name` is the file's path inside that folder, `prompt` what it shows.
    """

    step: int
    prompt: str
    name: str


@dataclass(frozen=True)
class CheckpointEvent:
    """A resumable checkpoint of the first `step` steps lies on disk."""

    step: int


@dataclass(frozen=True)
class SnapshotEvent:
    """The LoRA as it is after `step` steps lies in the run's folder, as a file of its own.

    `name` is the file's path inside that folder.
    """

    step: int
    name: str


@dataclass(frozen=True)
class CaptionEvent:
    """The generic captions drawn for the picture of row `row`.

    `flags` holds for each of `captions` the kinds of what is wrong with it, none if it is plain.
    """

    row: int
    captions: tuple[str, ...]
    flags: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class NegativeEvent:
    """A negative of row `row` was drawn for `prompt`; `name` is its path in the work folder."""

    row: int
    prompt: str
    name: str


@dataclass(frozen=True)
class TrialEvent:
    """A trial of an ablation begins, the `number`-th of `total`, counted from 1.

    `part` is what is done of it, say "training" or "drawing"; `arm` is empty for all arms at once.
    """

    part: str
    number: int
    total: int
    culture: str
    arm: str
    seed: int


@dataclass(frozen=True)
class WarningEvent:
    """Something a person should know that does not stop the run."""

    message: str


@dataclass(frozen=True)
class HistogramEvent:
    """How far negatives lie from their pictures, and what a threshold makes of them.

    `counts[i]` distances lie in [edges[i], edges[i + 1]); the last bin holds its upper edge too.
    `kept` and `dropped` follow the threshold, before what users decided by hand; without a
    threshold both are 0.
    """

    backbone: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    threshold: float | None
    kept: int
    dropped: int


@dataclass(frozen=True)
class StoppedEvent:
    """The run was asked to stop; the first `step` steps are saved.

    `name` is the LoRA as far as it was trained, empty where there is none.
    """

    step: int
    message: str
    name: str = ""


@dataclass(frozen=True)
class FinishedEvent:
    """The LoRA file is written. `already_done` when nothing had to be trained."""

    step: int
    name: str
    already_done: bool = False


Event = (
    PhaseEvent
    | EstimateEvent
    | PlanEvent
    | SettingsEvent
    | StepEvent
    | ValidationEvent
    | PreviewEvent
    | CheckpointEvent
    | SnapshotEvent
    | CaptionEvent
    | NegativeEvent
    | TrialEvent
    | WarningEvent
    | HistogramEvent
    | StoppedEvent
    | FinishedEvent
)


def to_json(event: Event) -> dict[str, Any]:
    """Return an event as plain values, its kind under `event` (say "step" for a StepEvent)."""
    kind = type(event).__name__.removesuffix("Event").lower()
    values = dataclasses.asdict(event)
    # JSON has no infinity, and an fp16 step that is skipped for its scale has such a norm.
    return {"event": kind} | {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


class StopRequested(Exception):
    """Raised inside a run when its caller wants it to stop; never reaches a caller of a run."""


def stop_check(should_stop: Callable[[], bool]) -> Callable[[], None]:
    """Return a callable that raises StopRequested once `should_stop()` is true."""

    def check() -> None:
        if should_stop():
            raise StopRequested

    return check
