"""The settings under which SCoFT is tried on the miniature: shared ones, and each arm's own.

The arms keep the presets' terms. The weights of L_P and L_C are those of the miniature's backbone:
what the presets have is for CLIPConv, whose distances are of another size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import MemoryConfig, NegativesConfig, TrainConfig, preset_values
from ..helper_runs import NegativesRequest
from ..runs import RunRequest
from .loading import BACKBONE, FILTER_THRESHOLD, NAME

__all__ = ["ARMS", "BASE_ARM", "ArmScale", "negatives_request", "run_request", "train_config"]

BASE_ARM = "base"
"""The model without a LoRA."""

PERCEPTUAL_WEIGHT = 0.3
CONTRASTIVE_WEIGHT = 0.3
"""Chosen on the tuning's pictures and seed (scripts/tune_miniature.py): from w_p = 3 on L_P pulls
the drawings away from the culture, between 0.3 and 1 nothing differs by more than seeds do."""

_OURS: Mapping[str, float] = {
    "perceptual_weight": PERCEPTUAL_WEIGHT,
    "contrastive_weight": CONTRASTIVE_WEIGHT,
}

ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "ldm": ("ldm", {}),
    "m": ("m", {}),
    "mp": ("mp", {"perceptual_weight": PERCEPTUAL_WEIGHT}),
    "mpc": ("mpc", {**_OURS, "gradient_step": "first"}),
    "mpc-last": ("mpc", {**_OURS, "gradient_step": "last"}),
    "mpc-random": ("mpc", {**_OURS, "gradient_step": "random"}),
    "mpc-unit": ("mpc", {**_OURS, "gradient_step": "first", "unit_recorded_step": True}),
    "mpc-0.05": ("mpc", {"gradient_step": "first"}),
}
"""Arm -> the preset it begins from and what it changes; `mpc-0.05` is the preset as it is."""


@dataclass(frozen=True)
class ArmScale:
    """How long an arm trains; the demo is shorter than the ablation.

    Attributes:
        steps: optimizer steps, of 8 pictures each.
        negatives_per_picture: drawn for each training picture.
        negative_steps: DDIM steps of a negative.
    """

    steps: int
    negatives_per_picture: int = 3
    negative_steps: int = 15


def train_config(arm: str, seed: int, scale: ArmScale) -> TrainConfig:
    """Return an arm's training options."""
    preset, changes = ARMS[arm]
    values: dict[str, Any] = {
        **preset_values(preset),
        "preset": preset,
        "perceptual_backbone": BACKBONE,
        "resolution": 128,
        "steps": scale.steps,
        "batch_size": 8,
        "learning_rate": 5e-4,
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "lr_scheduler": "cosine",
        "rank": 32,
        "guidance_scale": 3.0,
        # The world has a left and a right: banners hang to the right of their poles.
        "random_flip": False,
        "precision": "fp32",
        "save_every": max(1, scale.steps // 3),
        "keep_checkpoints": 1,
        "seed": seed,
    }
    return TrainConfig(**{**values, **changes})


def run_request(arm: str, seed: int, scale: ArmScale, *, dataset: Path, work: Path) -> RunRequest:
    """Return the training of an arm on the exported community set."""
    return RunRequest(
        dataset=dataset,
        base=NAME,
        config=train_config(arm, seed, scale),
        # One fixed choice, so that an interrupted run goes on bit for bit whatever memory is free.
        memory=MemoryConfig("fast", "off", "off", decode_batch_size=8, batched_guidance="on"),
        device="cpu",
        work=work,
        allow_download=False,
    )


def negatives_request(scale: ArmScale, *, dataset: Path, work: Path) -> NegativesRequest:
    """Return the drawing of negatives for the exported community set."""
    return NegativesRequest(
        dataset=dataset,
        base=NAME,
        controlnet=NAME,
        config=NegativesConfig(
            negatives_per_picture=scale.negatives_per_picture,
            inference_steps=scale.negative_steps,
            guidance_scale=3.0,
            resolution=128,
            # At full strength the exact outline of a right thing calls for the right thing: of 60
            # negatives 44 showed Avelun as it is, against 12 at half strength.
            control_strength=0.5,
            filter_threshold=FILTER_THRESHOLD,
            filter_backbone=BACKBONE,
            precision="fp32",
        ),
        device="cpu",
        work=work,
        allow_download=False,
    )
