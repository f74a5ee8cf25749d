"""One trial: an arm trained with a seed, and what its run's folder tells afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from ..events import Event, FinishedEvent
from ..helper_runs import make_negatives
from ..runs import run_training
from .arms import ArmScale, negatives_request, run_request

__all__ = ["Trained", "draw_trial_negatives", "train_trial"]


@dataclass(frozen=True)
class Trained:
    """A finished trial.

    Attributes:
        lora: the file.
        seconds: spent in the training steps, over all sittings.
        losses: each term's value at the steps that had it, by name, in order.
    """

    lora: Path
    seconds: float
    losses: dict[str, list[float]]


def train_trial(
    arm: str,
    seed: int,
    scale: ArmScale,
    *,
    dataset: Path,
    work: Path,
    should_stop: Callable[[], bool],
) -> Generator[Event, None, Trained | None]:
    """Train an arm, or find it trained; passes on the events. None when it was stopped.

    Raises:
        ScoftError: of any kind; what was saved before stays.
    """
    request = run_request(arm, seed, scale, dataset=dataset, work=work)
    last: Event | None = None
    for event in run_training(request, should_stop=should_stop):
        last = event
        yield event
    if not isinstance(last, FinishedEvent):
        return None
    return _read(Path(last.name))


def draw_trial_negatives(
    scale: ArmScale, *, dataset: Path, work: Path, should_stop: Callable[[], bool]
) -> Generator[Event, None, bool]:
    """Draw and filter the negatives that all arms share; returns whether they are finished."""
    last: Event | None = None
    request = negatives_request(scale, dataset=dataset, work=work)
    for event in make_negatives(request, should_stop=should_stop):
        last = event
        yield event
    return isinstance(last, FinishedEvent)


def _read(lora: Path) -> Trained:
    steps = {}
    for line in (lora.parent / "events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "step":
            # A step after the last checkpoint of a killed run was made twice; the later one counts.
            steps[event["step"]] = event
    losses: dict[str, list[float]] = {}
    for number in sorted(steps):
        for name, value in steps[number]["losses"].items():
            losses.setdefault(name, []).append(value)
    return Trained(lora, sum(event["seconds"] for event in steps.values()), losses)
