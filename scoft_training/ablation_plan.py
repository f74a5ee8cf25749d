"""What an ablation still asks for, trial by trial; nothing is computed, written or fetched."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from .ablation_config import Ablation, Culture
from .ablation_records import read_result
from .ablation_state import AblationState
from .events import WarningEvent
from .grids import is_grid, read_grid

__all__ = ["PlannedTrial", "plan_ablation"]


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
        scored: whether its figures are there.
    """

    culture: str
    arm: str
    seed: int
    steps: int
    trained: bool
    pictures: int
    drawn: int
    scored: bool


def plan_ablation(ablation: Ablation) -> Iterator[PlannedTrial | WarningEvent]:
    """Yield every trial, in the order in which they are made.

    Raises:
        ScoftError: something that the ablation needs cannot be read.
    """
    state = AblationState(dataclasses.replace(ablation, allow_download=False))
    state.find_base()
    state.require_ready()
    for seed in ablation.seeds:
        for culture in ablation.cultures:
            yield from _planned(ablation, state, culture, seed)


def _planned(
    ablation: Ablation, state: AblationState, culture: Culture, seed: int
) -> Iterator[PlannedTrial | WarningEvent]:
    prompts, warnings = state.prompts(culture, seed)
    yield from (WarningEvent(text) for text in warnings)
    folder = state.grid_folder(culture, seed, prompts)
    grid = read_grid(folder) if is_grid(folder) else None
    asked = {arm.name: state.known(culture, arm, seed) for arm in ablation.trained_arms}
    trained = {name: known for name, known in asked.items() if known is not None}
    path = state.result_path(culture, seed, folder, trained)
    result = read_result(path, ablation.folder)
    scored = (
        trained.keys() == asked.keys() and result is not None and result.measured_by(ablation.score)
    )
    names = state.models(folder, trained)
    for arm in ablation.arms:
        counted = [one for one in prompts if arm.train is None or one.role != "general"]
        name, drawn = names.get(arm.name), grid.pictures if grid else ()
        yield PlannedTrial(
            culture=culture.name,
            arm=arm.name,
            seed=seed,
            steps=arm.train.steps if arm.train else 0,
            trained=arm.train is None or arm.name in trained,
            pictures=sum(len(prompt.seeds) for prompt in counted),
            drawn=sum(picture.model == name for picture in drawn),
            scored=scored,
        )
