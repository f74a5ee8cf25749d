"""Small networks of the real classes and drawn pictures, shared by the tests that need a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoft_training.backbone_interface import PerceptualBackbone
from scoft_training.batches import Batch, PictureTarget
from scoft_training.caption_encoders import EncodedCaptions
from scoft_training.conditioning import Conditioning
from scoft_training.config import MemoryConfig, TrainConfig
from scoft_training.models import BaseModel, NoiseSchedule, attach_lora
from scoft_training.objective import Objective

CPU = torch.device("cpu")
FAST = MemoryConfig(
    gradient_checkpointing="off",
    decoder_checkpointing="off",
    decode_batch_size=8,
    batched_guidance="on",
)


class PoolBackbone(PerceptualBackbone):
    """Two smooth features of pooled pictures; cheap, differentiable everywhere."""

    def __init__(self, dtype: torch.dtype = torch.float64, side: int = 8) -> None:
        draw = torch.Generator().manual_seed(17)
        weight = torch.randn(5, 3, 3, 3, generator=draw, dtype=torch.float64) / 3
        super().__init__(
            "pool",
            torch.nn.Identity(),
            settings={"pool": side},
            dtype=dtype,
            constants={"weight": weight},
        )
        self._side = side

    def features(self, images: Tensor) -> list[Tensor]:
        pooled = torch.nn.functional.avg_pool2d(self._checked(images), self._side)
        return [pooled, torch.tanh(torch.nn.functional.conv2d(pooled, self.weight))]


class SpelledCaptions:
    """An encoder without a vocabulary: the embedding of a caption is drawn from its letters."""

    digest = "spelled"

    def __init__(self, tokens: int = 3, channels: int = 32, dtype=torch.float64) -> None:
        self._shape = (tokens, channels)
        self._dtype = dtype

    def encode(self, captions) -> EncodedCaptions:
        embeds = []
        for caption in captions:
            seed = sum(ord(letter) * (place + 1) for place, letter in enumerate(caption))
            draw = torch.Generator().manual_seed(seed)
            embeds.append(torch.randn(self._shape, generator=draw, dtype=torch.float64))
        cut = tuple(index for index, caption in enumerate(captions) if len(caption) > 77)
        return EncodedCaptions(Conditioning(torch.stack(embeds).to(self._dtype)), cut)

    def to(self, device: torch.device) -> object:
        return self


ZERO_SNR = ("diffusers", "comfyui")
"""Who rescales a schedule so that it ends in pure noise; each does it in a way of its own."""


def stable_diffusion_alphas(zero_snr: str | None = None) -> Tensor:
    """Stable Diffusion's abar, (1000,) float64; with zero_snr as one of `ZERO_SNR` rescales it."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        rescale_betas_zero_snr=zero_snr == "diffusers",
    )
    alphas = scheduler.alphas_cumprod.double()
    if zero_snr == "comfyui":
        # It keeps float32 sigmas, and in place of the infinite last one it has 4518.
        roots = alphas.sqrt()
        alphas = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])).square()
        alphas[-1] = 4.8973451890853435e-08
        sigmas = ((1 - alphas) / alphas).sqrt().float().double()
        alphas = 1 / (sigmas.square() + 1)
    return alphas


def small_base(
    dtype: torch.dtype = torch.float64,
    prediction_type: str = "epsilon",
    zero_snr: str | None = None,
) -> BaseModel:
    """A base model with random weights, without a LoRA; the same every time."""
    from random_stack import random_networks

    unet, vae = random_networks()
    schedule = NoiseSchedule(stable_diffusion_alphas(zero_snr), prediction_type)
    return BaseModel(
        name="small",
        family="sd1",
        unet=unet.to(dtype).requires_grad_(False).eval(),
        vae=vae.to(dtype).requires_grad_(False).eval(),
        captions=SpelledCaptions(dtype=dtype),
        schedule=schedule,
        digest=f"small {dtype} {prediction_type} {zero_snr}",
    )


def lora_base(dtype: torch.dtype = torch.float64, *, moved: bool = True, **kinds: Any) -> BaseModel:
    """A base model with a LoRA of rank 4 that already does something, unless `moved` is off."""
    base = small_base(dtype, **kinds)
    wide = torch.promote_types(dtype, torch.float32)
    attach_lora(base.unet, rank=4, alpha=4.0, seed=0, dtype=wide)
    if moved:
        draw = torch.Generator().manual_seed(29)
        for name, parameter in base.unet.named_parameters():
            if ".lora_B." in name:
                parameter.data = torch.randn(parameter.shape, generator=draw, dtype=wide) / 10
    return base


def make_batch(
    timesteps: list[int],
    *,
    dtype: torch.dtype = torch.float64,
    negatives: list[int] | None = None,
    backbone: PerceptualBackbone | None = None,
    generic: bool = True,
    targets: bool = True,
    side: int = 64,
) -> Batch:
    """A batch with a picture per timestep and as many negatives as asked for."""
    draw = torch.Generator().manual_seed(31)
    count = len(timesteps)
    wide = torch.promote_types(dtype, torch.float32)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(wide)

    def pictures(number: int) -> Tensor:
        return torch.rand(number, 3, side, side, generator=draw, dtype=torch.float64).to(wide)

    backbone = backbone or PoolBackbone(wide)
    made = []
    for index, number in enumerate(negatives or [2] * count):
        shown = pictures(1 + number)
        made.append(
            PictureTarget(
                picture_features=backbone.features(shown[:1]),
                negative_features=backbone.features(shown[1:]),
                num_negatives=number,
                pictures=shown,
                augmentation_purpose=("augmentation", 0, index),
            )
        )
    return Batch(
        latents=normal(count, 4, side // 8, side // 8),
        noise=normal(count, 4, side // 8, side // 8),
        timesteps=torch.tensor(timesteps),
        conditioning=Conditioning(normal(count, 3, 32)),
        generic_conditioning=Conditioning(normal(count, 3, 32)) if generic else None,
        recorded_draws=torch.rand(count, generator=draw),
        targets=tuple(made) if targets else (),
    )


def make_objective(
    base: BaseModel,
    config: TrainConfig,
    *,
    memory: MemoryConfig = FAST,
    backbone: PerceptualBackbone | None = None,
    lpips: PerceptualBackbone | None = None,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """An objective over a base of `lora_base`."""
    return Objective(
        base,
        config,
        memory,
        backbone=backbone or PoolBackbone(torch.promote_types(dtype, torch.float32)),
        lpips=lpips,
        uncond=base.captions.encode([""]).conditioning[0],
        distance_unit=0.01,
        device=CPU,
        dtype=dtype,
    )


def write_demo(folder: Path) -> Path:
    """The demo's dataset in a folder of its own."""
    from random_stack import draw_demo_dataset

    draw_demo_dataset(folder)
    return folder


def register_small() -> None:
    """Make the small base and backbone known by name, as both doors will do with theirs."""
    from scoft_training.backbones import register_backbone
    from scoft_training.models import register_base

    register_base("small", lambda dtype: small_base(dtype))
    register_backbone(
        "pool", lambda request: PoolBackbone(request.dtype), description="pooled pictures"
    )


SMALL_RUN = TrainConfig(
    preset="custom",
    perceptual_backbone="pool",
    steps=9,
    learning_rate=1e-3,
    batch_size=2,
    rank=4,
    resolution=64,
    perceptual_every=3,
    ddim_steps=3,
    save_every=2,
    keep_checkpoints=2,
    lr_scheduler="cosine",
    optimizer="adamw",
    gradient_step="random",
)
