"""One trial: an arm trained with a seed, and what its run's folder tells afterwards."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from ..events import Event, FinishedEvent
from ..helper_runs import make_negatives
from ..run_folder import read_steps
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
    steps = read_steps(lora.parent)
    losses: dict[str, list[float]] = {}
    for step in steps:
        for name, value in step["losses"].items():
            losses.setdefault(name, []).append(value)
    return Trained(lora, sum(step["seconds"] for step in steps), losses)
