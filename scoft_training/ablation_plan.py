"""What an ablation still asks for, trial by trial; nothing is computed, written or fetched."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .ablation_config import Ablation, Culture
from .ablation_state import AblationState, work_of
from .data import read_dataset
from .events import WarningEvent
from .grids import is_grid, read_grid
from .overlays import overlaid

__all__ = ["PlannedNegatives", "PlannedTrial", "plan_ablation", "still_to_do"]

_PNG_BYTES = 1.5
"""Of a pixel: photographs of 512 x 512 took 1.5, of 1024 x 1024 1.2."""


@dataclass(frozen=True)
class PlannedNegatives:
    """Negatives that are drawn for a culture before all trials, so many at most."""

    culture: str
    pictures: int


@dataclass(frozen=True)
class PlannedTrial:
    """What one trial still asks for.

    Attributes:
        culture: its name.
        arm: likewise.
        seed: of training and drawings.
        steps: of its training; 0 for the base.
        trained: whether the LoRA is there; True for the base.
        pictures: that are drawn for it.
        drawn: how many of them are there.
        scored: whether all its figures are there; LoRA and pictures are needed no more then.
        seconds: that its training took, where it is finished.
        lora_bytes: of a LoRA that is not there yet.
        saved_step: how far a training that is not finished got.
    """

    culture: str
    arm: str
    seed: int
    steps: int
    trained: bool
    pictures: int
    drawn: int
    scored: bool
    seconds: float | None = None
    lora_bytes: int = 0
    saved_step: int = 0


def plan_ablation(ablation: Ablation) -> Iterator[PlannedNegatives | PlannedTrial | WarningEvent]:
    """Yield every trial, in the order in which they are made, and what comes before them.

    Raises:
        ScoftError: something that the ablation needs cannot be read.
    """
    state = AblationState(dataclasses.replace(ablation, allow_download=False))
    state.require_sets()
    state.find_base()
    state.require_ready()
    for culture in ablation.cultures:
        if ablation.negatives is not None and not state.find_negatives(culture):
            rows = overlaid(read_dataset(culture.dataset), work_of(culture)).rows
            count = len(rows) * ablation.negatives.config.negatives_per_picture
            yield PlannedNegatives(culture.name, count)
    said: set[str] = set()
    for seed in ablation.seeds:
        for culture in ablation.cultures:
            for one in _planned(ablation, state, culture, seed):
                if isinstance(one, PlannedTrial) or one.message not in said:
                    yield one
                if isinstance(one, WarningEvent):
                    said.add(one.message)


def _planned(
    ablation: Ablation, state: AblationState, culture: Culture, seed: int
) -> Iterator[PlannedTrial | WarningEvent]:
    prompts, warnings = state.prompts(culture, seed)
    yield from (WarningEvent(text) for text in warnings)
    folder = state.grid_folder(culture, seed, prompts)
    drawn = read_grid(folder).pictures if is_grid(folder) else ()
    asked = {arm.name: state.noted(culture, arm, seed) for arm in ablation.trained_arms}
    noted = {name: one for name, one in asked.items() if one is not None}
    scored = state.finished(culture, seed, prompts) is not None
    names = state.models(folder, noted)
    for arm in ablation.arms:
        counted = [one for one in prompts if arm.train is None or one.role != "general"]
        training, name = noted.get(arm.name), names.get(arm.name)
        trained = arm.train is None or (training is not None and training.lora.is_file())
        yield PlannedTrial(
            culture=culture.name,
            arm=arm.name,
            seed=seed,
            steps=arm.train.steps if arm.train else 0,
            trained=trained,
            pictures=sum(len(prompt.seeds) for prompt in counted),
            drawn=sum(picture.model == name for picture in drawn),
            scored=scored,
            seconds=training.seconds if training is not None else None,
            saved_step=0 if trained else state.saved_step(culture, arm, seed),
            lora_bytes=0 if trained or arm.train is None else state.lora_bytes(arm.train),
        )


def still_to_do(
    ablation: Ablation,
    trials: Sequence[PlannedTrial],
    negatives: Sequence[PlannedNegatives] = (),
) -> list[str]:
    """Return in sentences how much work, disk and time trials still ask for."""
    left = [trial for trial in trials if not trial.scored]
    to_train = [trial for trial in left if not trial.trained]
    steps = sum(trial.steps - trial.saved_step for trial in to_train)
    pictures = sum(trial.pictures - trial.drawn for trial in left)
    said = [
        f"{len(trials)} trials in {ablation.folder}: {steps} training steps and {pictures} "
        "pictures are still to be made."
    ]
    if count := sum(one.pictures for one in negatives):
        said.append(f"Before them, {count} negatives are drawn.")
    if not left:
        return said
    loras = sum(trial.lora_bytes for trial in to_train)
    drawn = pictures * _PNG_BYTES * ablation.draw.resolution**2
    said.append(
        f"That takes some {_size(loras)} for LoRAs and {_size(drawn)} for pictures; "
        f"{_size(_free_bytes(ablation.folder))} are free."
    )
    if to_train and (known := _seconds_a_step(trials)):
        told = [trial for trial in to_train if trial.arm in known]
        seconds = sum((trial.steps - trial.saved_step) * known[trial.arm] for trial in told)
        lacking = sorted({trial.arm for trial in to_train} - known.keys())
        but = f", without {', '.join(lacking)}, which was not trained yet" if lacking else ""
        said.append(
            f"By the trainings so far, training takes {_duration(seconds)} more{but}. Drawing and "
            "measuring come on top."
        )
    return said


def _seconds_a_step(trials: Sequence[PlannedTrial]) -> dict[str, float]:
    """Return arm -> mean seconds a step, of those arms that were trained."""
    found: dict[str, list[float]] = {}
    for trial in trials:
        if trial.steps and trial.seconds:
            found.setdefault(trial.arm, []).append(trial.seconds / trial.steps)
    return {arm: sum(each) / len(each) for arm, each in found.items()}


def _free_bytes(folder: Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    return shutil.disk_usage(there).free


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.1f} h"
