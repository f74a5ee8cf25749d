"""What is there of an ablation: where each trial's files go, and which of them are finished.

A name holds a digest of all that its file depends on: base, pictures and captions, negatives,
options. So nothing is found that was made of something else, and a changed option makes new files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import __version__
from .ablation_config import Ablation, Arm, Culture
from .ablation_records import Trained, read_record, read_trained
from .config import TrainConfig
from .data import dataset_digest, read_dataset
from .data_sources import find_source
from .errors import ConfigError, DatasetError
from .files import digest_json
from .grid_drawing import drawing_settings
from .grid_prompts import dataset_prompts
from .grids import BASE, GridPrompt, is_grid, read_grid
from .models import load_base, resolve_device, resolve_precision
from .overlays import overlaid
from .score_plan import require_names
from .work_folder import complete_dataset, default_work_folder

__all__ = ["AblationState", "work_of"]

_SHORT = 8
"""Digits of a digest in names of files."""


class AblationState:
    """Names and notes of an ablation's trials.

    Args:
        ablation: what is asked for.

    Attributes:
        negatives: culture -> the set of drawn negatives that its arms train with; None takes the
            only one that fits.

    Raises:
        ConfigError: the device is not there, or cannot compute in the precision asked for.
    """

    def __init__(self, ablation: Ablation) -> None:
        self.negatives = {culture.name: culture.negatives for culture in ablation.cultures}
        self._ablation = ablation
        self._device = resolve_device(ablation.device)
        self._draw_dtype = resolve_precision(ablation.draw.precision, self._device)
        self._base_digest = ""
        self._digests: dict[tuple[Any, ...], str] = {}

    def find_base(self) -> None:
        """Load the base once for its digest, which all names depend on; before all else."""
        base = load_base(
            self._ablation.base,
            dtype=self._draw_dtype,
            allow_download=self._ablation.allow_download,
        )
        self._base_digest = base.digest

    def require_ready(self) -> None:
        """Refuse what would fail after hours: before the first training all sets are looked at.

        Raises:
            ConfigError: an unknown network is to measure, or a general folder is missing.
            DatasetError: a set cannot be read, or lacks what an arm trains with.
        """
        require_names(self._ablation.score)
        for culture in self._ablation.cultures:
            if culture.general is not None and not culture.general.is_dir():
                raise ConfigError(
                    f"{culture.general}: is no folder. Name one of pictures as `general`, or leave "
                    "it out."
                )
            self.find_negatives(culture)
            self.prompts(culture, self._ablation.seeds[0])
            for arm in self._ablation.trained_arms:
                self.known(culture, arm, self._ablation.seeds[0])

    def find_negatives(self, culture: Culture) -> bool:
        """Find the set that was drawn for a culture; returns whether none has to be drawn."""
        if not self._draws_negatives(culture):
            return True
        drawn = read_record(self.negatives_path(culture)).get("set")
        if drawn is None or not (work_of(culture) / "negatives" / drawn).is_dir():
            return False
        self.negatives[culture.name] = drawn
        return True

    def negatives_path(self, culture: Culture) -> Path:
        """Return where it is noted which set was drawn for a culture."""
        asked = self._ablation.negatives
        dataset = overlaid(read_dataset(culture.dataset), work_of(culture))
        key = {
            "base": self._base_digest,
            "dataset": dataset_digest(dataset),
            "negatives": dataclasses.asdict(asked) | {"filter_weights": None} if asked else None,
        }
        name = f"{culture.name}-{digest_json(key)[:_SHORT]}.json"
        return self._ablation.folder / "negatives" / name

    def prompts(self, culture: Culture, seed: int) -> tuple[list[GridPrompt], list[str]]:
        """What is drawn for a culture; what to compare with is drawn only if no folder has it."""
        config = self._ablation.grid_of(seed)
        prompts, warnings = dataset_prompts(culture.dataset, work_of(culture), config)
        if culture.general is not None:
            prompts = [prompt for prompt in prompts if prompt.role != "general"]
        if not prompts:
            raise ConfigError(
                "[grid] asks for no picture at all. Raise `train_captions` or `neutral_prompts`."
            )
        return prompts, warnings

    def grid_folder(self, culture: Culture, seed: int, prompts: list[GridPrompt]) -> Path:
        """Where the arms' pictures go: a function of all but the arms, which can be added to."""
        key = {
            "base": self._base_digest,
            "drawing": drawing_settings(self._ablation.draw, self._draw_dtype),
            "strength": self._ablation.draw.lora_strength,
            "prompts": [dataclasses.asdict(prompt) for prompt in prompts],
        }
        name = f"{culture.name}-seed{seed}-{digest_json(key)[:_SHORT]}"
        return self._ablation.folder / "grids" / name

    def models(self, folder: Path, trained: Mapping[str, Trained]) -> dict[str, str]:
        """Return each arm's name in the grid: its own, unless another training has that there."""
        there = (
            {one.name: one.run_id for one in read_grid(folder).models} if is_grid(folder) else {}
        )
        names = {arm.name: BASE for arm in self._ablation.arms if arm.train is None}
        for arm, one in trained.items():
            taken = there.get(arm, one.run_id) != one.run_id
            names[arm] = f"{arm} {one.run_id[:_SHORT]}" if taken else arm
        return names

    def known(self, culture: Culture, arm: Arm, seed: int) -> Trained | None:
        """Return an arm's training if it is noted; one that waits for its negatives is not."""
        waits = self._draws_negatives(culture) and self.negatives[culture.name] is None
        if waits and self._ablation.train_of(arm, seed).uses_negatives:
            return None
        return read_trained(self.trained_path(culture, arm, seed))

    def trained_path(self, culture: Culture, arm: Arm, seed: int) -> Path:
        """Return where an arm's training is noted.

        Raises:
            DatasetError: the set lacks what the arm trains with.
        """
        config = self._ablation.train_of(arm, seed)
        key = {
            "base": self._base_digest,
            "precision": str(resolve_precision(config.precision, self._device)),
            "config": config.identity(),
            "learned": self._learned_digest(culture, config),
        }
        name = f"{culture.name}-{arm.name}-seed{seed}-{digest_json(key)[:_SHORT]}.json"
        return self._ablation.folder / "loras" / name

    def _draws_negatives(self, culture: Culture) -> bool:
        """Whether the ablation draws this culture's negatives itself."""
        wanted = any(arm.train and arm.train.uses_negatives for arm in self._ablation.arms)
        return wanted and self._ablation.negatives is not None and culture.negatives is None

    def _learned_digest(self, culture: Culture, config: TrainConfig) -> str:
        """Return the digest of what a training learns from; read once for what is read alike."""
        crop = (config.crop, config.resolution, config.seed if config.crop == "random" else None)
        negatives = self.negatives[culture.name] if config.uses_negatives else None
        key = (culture.name, crop, config.uses_negatives, negatives, config.uses_generic_captions)
        if key not in self._digests:
            dataset = read_dataset(
                culture.dataset, crop_mode=config.crop, resolution=config.resolution
            )
            complete = complete_dataset(dataset, work_of(culture), config, negatives=negatives)
            self._digests[key] = dataset_digest(complete)
        return self._digests[key]

    def result_path(
        self, culture: Culture, seed: int, grid: Path, trained: Mapping[str, Trained]
    ) -> Path:
        """Return where the figures of a culture and seed are noted."""
        key = {
            "grid": grid.name,
            "arms": {name: one.run_id for name, one in trained.items()},
            "base": self._ablation.arms[0].name,
            "score": dataclasses.asdict(self._ablation.score),
            "general": _stamp(culture.general),
            "reference": self._held_out_digest(culture),
            # Another version may measure in another way, and what it measures is quick to do again.
            "scoft": __version__,
        }
        name = f"{culture.name}-seed{seed}-{digest_json(key)[:_SHORT]}.json"
        return self._ablation.folder / "results" / name

    def _held_out_digest(self, culture: Culture) -> str | None:
        """Return the digest of the held-out rows that drawings are compared with."""
        key = (culture.name, "test")
        if key not in self._digests:
            try:
                find_source(culture.dataset.expanduser().absolute(), "test")
            except DatasetError:
                return None
            self._digests[key] = dataset_digest(
                overlaid(read_dataset(culture.dataset, "test"), work_of(culture))
            )
        return self._digests[key]


def work_of(culture: Culture) -> Path:
    """Return a culture's work folder."""
    return culture.work or default_work_folder(culture.dataset)


def _stamp(folder: Path | None) -> list[Any] | None:
    """Return what tells that a folder's files were changed, without reading them."""
    if folder is None:
        return None
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [(path, path.stat()) for path in files]
    return [
        [path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns]
        for path, stat in found
    ]
