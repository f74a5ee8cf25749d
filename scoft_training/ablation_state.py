"""What is there of an ablation: where each trial's files go, and which of them are finished.

A name holds a digest of all that its file depends on: base, pictures and captions, negatives,
options. So nothing is found that was made of something else, and a changed option makes new files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import __version__
from .ablation_config import Ablation, Arm, Culture
from .ablation_records import Trained, TrialResult, read_record, read_result, read_trained
from .backbones import backbone_names, load_backbone
from .checkpoints import latest_step
from .config import ScoreConfig, TrainConfig
from .data import dataset_digest, read_dataset
from .data_sources import find_source
from .errors import ConfigError, DatasetError, unknown_name
from .files import digest_json
from .grid_drawing import drawing_settings
from .grid_prompts import dataset_prompts
from .grids import BASE, GridPrompt, is_grid, read_grid
from .lora_files import read_lora
from .lora_layers import lora_digest, weights_by_path
from .models import LORA_TARGETS, load_base, resolve_device, resolve_precision
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
        self._unet: nn.Module | None = None
        self._digests: dict[tuple[Any, ...], str] = {}

    def require_sets(self) -> None:
        """Refuse what would fail in the end, as far as it shows without the base.

        Raises:
            ConfigError: an unknown network, a general folder that is missing, or nothing would be
                measured.
            DatasetError: a set cannot be read.
        """
        ablation = self._ablation
        require_names(ablation.score)
        for arm, name in self._backbones():
            if name not in backbone_names():
                known = backbone_names()
                raise ConfigError(
                    f"[arms.{arm.name}]: {unknown_name('perceptual backbone', name, known)}"
                )
        for culture in ablation.cultures:
            if culture.general is not None and not culture.general.is_dir():
                raise ConfigError(
                    f"{culture.general}: is no folder. Name one of pictures as `general`, or leave "
                    "it out."
                )
            prompts, _ = self.prompts(culture, ablation.seeds[0])
            _require_measured(culture, ablation.score, {prompt.role for prompt in prompts})

    def find_base(self) -> None:
        """Load the base once for its digest, which all names depend on; before what follows."""
        base = load_base(
            self._ablation.base,
            dtype=self._draw_dtype,
            allow_download=self._ablation.allow_download,
        )
        self._base_digest = base.digest
        # LoRAs are told apart by names and shapes; the weights can go.
        self._unet = base.unet.to("meta")

    def require_ready(self) -> None:
        """Refuse what would fail after hours: before the first training every arm is looked at.

        Raises:
            DatasetError: a set lacks what an arm trains with.
        """
        for culture in self._ablation.cultures:
            self.find_negatives(culture)
            for arm in self._ablation.trained_arms:
                self.noted(culture, arm, self._ablation.seeds[0])

    def require_backbones(self) -> None:
        """Load each backbone of a training that is to come, so that a missing one shows at once.

        Raises:
            ModelFileError: its weights are not found.
            ConfigError: its library is not installed.
        """
        ablation = self._ablation
        trials = [(culture, seed) for culture in ablation.cultures for seed in ablation.seeds]
        wanted = {
            name
            for arm, name in self._backbones()
            if not all(self.noted(culture, arm, seed) for culture, seed in trials)
        }
        for name in sorted(wanted):
            load_backbone(
                name,
                device="cpu",
                dtype=torch.float32,
                allow_download=ablation.allow_download,
            )

    def _backbones(self) -> Iterator[tuple[Arm, str]]:
        """Yield each trained arm with each network that its losses look through."""
        for arm in self._ablation.trained_arms:
            config = self._ablation.train_of(arm, 0)
            if config.uses_backbone:
                yield arm, config.perceptual_backbone
            if config.lpips_weight:
                yield arm, "lpips"

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
        """Return each arm's name in the grid: its own, unless another LoRA has that there."""
        models = read_grid(folder).models if is_grid(folder) else ()
        there = {model.name: model.lora_sha256 for model in models}
        names = {arm.name: BASE for arm in self._ablation.arms if arm.train is None}
        for arm, one in trained.items():
            taken = there.get(arm, one.sha256) != one.sha256
            names[arm] = f"{arm} {one.sha256[:_SHORT]}" if taken else arm
        return names

    def noted(self, culture: Culture, arm: Arm, seed: int) -> Trained | None:
        """Return an arm's training if it is noted; one that waits for its negatives is not."""
        if self._waits(culture, arm, seed):
            return None
        return read_trained(self.trained_path(culture, arm, seed))

    def saved_step(self, culture: Culture, arm: Arm, seed: int) -> int:
        """Return how far a training that was stopped is saved; 0 where it was not begun."""
        if self._waits(culture, arm, seed):
            return 0
        run_id = read_record(self.trained_path(culture, arm, seed)).get("run_id")
        if run_id is None:
            return 0
        return latest_step(work_of(culture) / "runs" / str(run_id) / "checkpoints") or 0

    def _waits(self, culture: Culture, arm: Arm, seed: int) -> bool:
        """Whether an arm trains with negatives that are still to be drawn."""
        waits = self._draws_negatives(culture) and self.negatives[culture.name] is None
        return waits and self._ablation.train_of(arm, seed).uses_negatives

    def finished(
        self, culture: Culture, seed: int, prompts: list[GridPrompt]
    ) -> TrialResult | None:
        """Return what was measured of a culture and seed, if all of it was.

        Its LoRAs and drawings may be gone: numbers that are there need them no more.
        """
        trained = {}
        for arm in self._ablation.trained_arms:
            noted = self.noted(culture, arm, seed)
            if noted is None:
                return None
            trained[arm.name] = noted
        folder = self.grid_folder(culture, seed, prompts)
        path = self.result_path(culture, seed, folder, trained)
        result = read_result(path, self._ablation.folder)
        # A network that was not there may be there now.
        return None if result is None or result.absent_networks else result

    def lora_digest(self, path: Path) -> str:
        """Return the digest of a LoRA's weights, as grids have it.

        Raises:
            ModelFileError: it cannot be read, or is no LoRA for the base.
        """
        if self._unet is None:
            raise RuntimeError("`find_base` comes before `lora_digest`.")
        return lora_digest(read_lora(path, self._unet))

    def lora_bytes(self, config: TrainConfig) -> int:
        """Return about how large an arm's LoRA gets: two matrices a layer in float32."""
        if self._unet is None:
            raise RuntimeError("`find_base` comes before `lora_bytes`.")
        layers = weights_by_path(self._unet)
        ends = tuple(f".{name}" for name in LORA_TARGETS)
        sides = [layer.weight.shape for path, layer in layers.items() if path.endswith(ends)]
        return 4 * config.rank * sum(shape[0] + shape[1] for shape in sides)

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
            "arms": {name: one.sha256 for name, one in trained.items()},
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


def _require_measured(culture: Culture, score: ScoreConfig, roles: Set[str]) -> None:
    """Refuse a trial that would be trained and drawn for nothing."""
    measured = (
        (score.kid_network, {"test", "neutral"}),
        (score.clip_network, {"test", "train"}),
        (score.similarity_networks, {"train"}),
        (score.diversity_network, {"test", "train"}),
    )
    for networks, wanted in measured:
        if networks not in ("", "none") and roles & wanted:
            return
    drawn = ", ".join(sorted(roles - {"general"})) or "none"
    raise ConfigError(
        f"{culture.name}: nothing would be measured: pictures are drawn for these prompts: "
        f"{drawn}, and [score] names no network for them. Raise `train_captions` or "
        "`neutral_prompts` in [grid], or name networks in [score]."
    )


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
