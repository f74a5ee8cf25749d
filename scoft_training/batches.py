"""TrainingExample -> Batch: what is drawn at each step for each place, and the tensors it makes.

Every draw is a function of (seed, purpose, step, place in the global batch), see `draws`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .conditioning import Conditioning
from .config import TrainConfig
from .draws import choice, generator, normal, row_order
from .losses import Features
from .models import NoiseSchedule
from .precompute import TrainingExample, TrainingSet

__all__ = ["Batch", "PictureTarget", "draw_batch", "split_positions"]


@dataclass(frozen=True)
class PictureTarget:
    """What a denoised picture is compared with; on the device, constants.

    Attributes:
        picture_features: F(x), tensors of shape (1, ...); empty where no backbone is used.
        negative_features: F(x-), tensors of shape (negatives, ...).
        num_negatives: negatives of this picture.
        pictures: (1 + negatives, 3, side, side) in [0, 1], x first, where augmentations need them;
            x alone for LPIPS; else empty.
        augmentation_purpose: seeds the augmentations of this place at this step.
    """

    picture_features: Features
    negative_features: Features
    num_negatives: int
    pictures: Tensor
    augmentation_purpose: tuple[str | int, ...]


@dataclass(frozen=True)
class Batch:
    """One micro-batch on the device.

    Attributes:
        latents: (batch, channels, height, width) z_0, in VAE-scaled units, float32 or wider.
        noise: eps, like latents.
        timesteps: (batch,) int64.
        conditioning: of the cultural captions.
        generic_conditioning: of one generic caption each; None without L_M.
        recorded_draws: (batch,) uniform in [0, 1), for a random recorded step.
        targets: one per picture; empty on steps without perceptual losses.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    conditioning: Conditioning
    generic_conditioning: Conditioning | None
    recorded_draws: Tensor
    targets: tuple[PictureTarget, ...]


def split_positions(
    global_batch_size: int, batch_size: int, process: int, num_processes: int
) -> list[list[int]]:
    """Return the micro-batches of one process as places in the global batch.

    >>> split_positions(5, 2, process=0, num_processes=2)
    [[0, 2], [4]]
    """
    mine = list(range(process, global_batch_size, num_processes))
    return [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]


def draw_batch(
    training_set: TrainingSet,
    config: TrainConfig,
    schedule: NoiseSchedule,
    *,
    step: int,
    positions: Sequence[int],
    with_targets: bool,
    scaling_factor: float,
    device: torch.device,
) -> Batch:
    """Draw the micro-batch of some places of one step's global batch.

    Args:
        training_set: examples to draw from; every epoch shows each once, in a fresh order.
        config: seed, flips and which losses are on.
        schedule: gives the number of timesteps.
        step: optimizer step, from 0.
        positions: places in the global batch.
        with_targets: whether this is a step with perceptual losses.
        scaling_factor: of the VAE's latents.
        device: where the tensors go.
    """
    seed = config.seed
    examples, flips = [], []
    latents, noises, timesteps, draws = [], [], [], []
    cultural, generic = [], []
    for position in positions:
        sample = step * config.global_batch_size + position
        example = training_set.examples[row_order(len(training_set.examples), sample, seed)]
        flip = choice(len(example.posterior_mean), seed, "flip", step, position)
        mean, std = example.posterior_mean[flip], example.posterior_std[flip]
        shape, dtype = tuple(mean.shape), mean.dtype
        posterior_noise = normal(shape, dtype, seed, "posterior", step, position)
        latents.append((mean + std * posterior_noise) * scaling_factor)
        noises.append(normal(shape, dtype, seed, "noise", step, position))
        num_timesteps = len(schedule.alphas_cumprod)
        timesteps.append(choice(num_timesteps, seed, "timestep", step, position))
        time_ids = None if example.time_ids is None else example.time_ids[flip]
        cultural.append(example.conditioning.sized(time_ids))
        if config.uses_generic_captions:
            count = len(example.generic_conditioning)
            caption = choice(count, seed, "generic caption", step, position)
            generic.append(example.generic_conditioning[caption].sized(time_ids))
        uniform = torch.rand((), generator=generator(seed, "recorded step", step, position))
        draws.append(uniform)
        examples.append(example)
        flips.append(flip)
    targets: tuple[PictureTarget, ...] = ()
    if with_targets:
        targets = tuple(
            _target(example, flip, (step, position), device)
            for example, flip, position in zip(examples, flips, positions, strict=True)
        )
    return Batch(
        latents=torch.stack(latents).to(device),
        noise=torch.stack(noises).to(device),
        timesteps=torch.tensor(timesteps, device=device),
        conditioning=Conditioning.stack(cultural).to(device),
        generic_conditioning=Conditioning.stack(generic).to(device) if generic else None,
        recorded_draws=torch.stack(draws).to(device),
        targets=targets,
    )


def _target(
    example: TrainingExample, flip: int, place: tuple[int, int], device: torch.device
) -> PictureTarget:
    pictures = example.pictures.to(device, torch.float32) / 255
    return PictureTarget(
        picture_features=[part[flip][None].to(device) for part in example.picture_features],
        negative_features=[part[flip].to(device) for part in example.negative_features],
        num_negatives=example.num_negatives,
        pictures=pictures.flip(-1) if flip and len(pictures) else pictures,
        augmentation_purpose=("augmentation", *place),
    )
