"""An ablation as values: which cultures, arms and seeds, and the options that they share.

They are read from a file by `ablation_file` and carried out by `ablation`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .config import (
    GenerateConfig,
    GridConfig,
    MemoryConfig,
    NegativesConfig,
    ScoreConfig,
    TrainConfig,
)
from .errors import ConfigError

__all__ = [
    "BASE_ARM",
    "Ablation",
    "Arm",
    "Culture",
    "DrawnNegatives",
    "checked_seeds",
]

BASE_ARM = "base"
"""The model without a LoRA, where the file gives it no name."""

_SEED_STRIDE = 10_000_000
"""Between the first drawing seeds of two trials: more than a grid has pictures."""

_LARGEST_SEED = 100_000_000
"""Such that the drawing seeds stay whole numbers in JSON, too."""


@dataclass(frozen=True)
class Culture:
    """A picture set, and what belongs to it.

    Attributes:
        name: in tables and names of files.
        dataset: root folder of the picture set.
        work: its work folder; None puts it under ./scoft-work.
        negatives: the set of drawn negatives to train with; None takes the only one that fits.
        general: a folder of pictures of anything, to tell whether the rest was forgotten; None
            takes what the base itself draws for neutral prompts.
    """

    name: str
    dataset: Path
    work: Path | None = None
    negatives: str | None = None
    general: Path | None = None


@dataclass(frozen=True)
class Arm:
    """One of the models that are compared; `train` is None for the base without a LoRA."""

    name: str
    train: TrainConfig | None


@dataclass(frozen=True)
class DrawnNegatives:
    """How negatives are drawn where arms train with them.

    Attributes:
        controlnet: what `load_controlnet` understands.
        config: the options.
        depth: MiDaS' file or folder, or a registered name; None looks for it.
        filter_weights: of the filter's backbone; None looks for them.
    """

    controlnet: str
    config: NegativesConfig
    depth: str | None = None
    filter_weights: Path | None = None


@dataclass(frozen=True)
class Ablation:
    """What a file asks for.

    Attributes:
        folder: everything that is no culture's own goes here.
        base: what `load_base` understands.
        device: a name that `resolve_device` understands.
        allow_download: whether missing weights may be fetched.
        seeds: one trial of every arm and culture each.
        cultures: in the order of the file; at least one.
        arms: the base first, then the others in the order of the file.
        compare: (arm, the arm that it is compared with).
        memory: trades of memory against time, in every training.
        grid: which pictures are drawn; `grid_of` gives a trial's.
        draw: how they are drawn.
        score: how they are measured.
        negatives: None where they are there already, or not needed.
    """

    folder: Path
    base: str
    device: str
    allow_download: bool
    seeds: tuple[int, ...]
    cultures: tuple[Culture, ...]
    arms: tuple[Arm, ...]
    compare: tuple[tuple[str, str], ...]
    memory: MemoryConfig
    grid: GridConfig
    draw: GenerateConfig
    score: ScoreConfig
    negatives: DrawnNegatives | None = None

    @property
    def trained_arms(self) -> tuple[Arm, ...]:
        """Those that have a LoRA."""
        return tuple(arm for arm in self.arms if arm.train is not None)

    def train_of(self, arm: Arm, seed: int) -> TrainConfig:
        """Return the training options of a trained arm's trial."""
        if arm.train is None:
            raise ConfigError(f"[arms.{arm.name}]: has `lora = false`, so it is not trained.")
        return dataclasses.replace(arm.train, seed=seed)

    def grid_of(self, seed: int) -> GridConfig:
        """Return the grid's options for the trials of a seed, all of which share its noise."""
        return dataclasses.replace(self.grid, seed=self.grid.seed + _SEED_STRIDE * seed)


def checked_seeds(seeds: Sequence[int], *, where: str) -> tuple[int, ...]:
    """Return the seeds of an ablation's trials.

    Args:
        seeds: one or more different whole numbers from 0.
        where: begins the sentence of an error.

    Raises:
        ConfigError: they are none of these.
    """
    whole = all(type(seed) is int and 0 <= seed <= _LARGEST_SEED for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(
            f"{where} must be different whole numbers from 0 to {_LARGEST_SEED}, say [0, 1, 2], "
            f"but got {list(seeds)}."
        )
    return tuple(seeds)
