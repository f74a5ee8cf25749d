"""The first stage of the miniature's pretraining: its autoencoder, VAE of factor 8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..draws import generator
from .canvas import SIZE
from .networks import new_vae
from .pretrain_loop import LoopSettings, OnStep, quiet, run_loop
from .sets import balanced_facts, scenes

__all__ = ["VAE_SETTINGS", "balanced_pictures", "pretrain_vae", "to_pixel_values", "vae_error"]

VAE_SETTINGS = LoopSettings(steps=9000, learning_rate=1e-3, warmup=200, hold=0.3)

_NUM_PICTURES = 12_000
_CROP = 64
_CROP_BATCH = 8
# Whole pictures at the end: the attention in the middle has to see as many places as it will.
_WHOLE_FROM = 0.8
_WHOLE_BATCH = 2
_KL_WEIGHT = 5e-4
# The deviation of Stable Diffusion 1.x's latents before scaling, so that its hosts scale ours too.
_SCALING_FACTOR = 0.18215


def balanced_pictures(name: str, seed: int, count: int) -> Tensor:
    """Return pictures of all cultures and the stereotype, (count, 3, 128, 128) uint8."""
    pictures = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for index, scene in enumerate(scenes(name, seed, count, balanced_facts)):
        pictures[index] = scene.picture
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def to_pixel_values(pictures: Tensor) -> Tensor:
    """Return uint8 pictures as float32 in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def pretrain_vae(
    seed: int,
    folder: Path,
    settings: LoopSettings = VAE_SETTINGS,
    *,
    num_pictures: int = _NUM_PICTURES,
    on_step: OnStep = quiet,
) -> Any:
    """Train the VAE and return it, with latents of Stable Diffusion 1.x's scale.

    Absolute and squared error, and the absolute error of neighbours' differences, which keeps
    edges sharp; a little KL. Crops about the middle first: four times the steps in the same time.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = new_vae()
        with torch.no_grad():
            # Begin with almost no posterior noise: at unit variance nothing is learned at first.
            latent_channels = vae.config.latent_channels
            vae.quant_conv.weight[latent_channels:] *= 0.1
            vae.quant_conv.bias.zero_()
            vae.quant_conv.bias[latent_channels:] = -5
    vae.to(memory_format=torch.channels_last)
    pictures = balanced_pictures("vae", seed, num_pictures)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        draw = generator(seed, "vae", step)
        whole = step >= _WHOLE_FROM * settings.steps
        batch = _WHOLE_BATCH if whole else _CROP_BATCH
        rows = torch.randint(len(pictures), (batch,), generator=draw)
        flips = torch.rand(batch, generator=draw) < 0.5
        # Most crops hold the subject; the sky is soon learned.
        corners = (torch.rand(batch, 2, generator=draw) * 1.5 - 0.25).clamp(0, 1)
        crops = []
        for row, flip, corner in zip(rows.tolist(), flips, corners, strict=True):
            picture = pictures[row]
            if not whole:
                top, left = (corner * (SIZE - _CROP)).round().long().tolist()
                picture = picture[:, top : top + _CROP, left : left + _CROP]
            crops.append(picture.flip(2) if flip else picture)
        pixel_values = to_pixel_values(torch.stack(crops))
        pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(pixel_values).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=draw)
        error = vae.decode(posterior.mean + posterior.std * noise).sample - pixel_values
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        edges = (error[..., 1:] - error[..., :-1]).abs().mean()
        edges = edges + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
        absolute, squared = error.abs().mean(), error.square().mean()
        loss = absolute + 0.5 * squared + 0.4 * edges + _KL_WEIGHT * kl
        return loss, {"l1": absolute.item(), "mse": squared.item(), "kl": kl.item()}

    run_loop([vae], loss_at, settings, folder, on_step=on_step)
    _standardize(vae, pictures[:1400])
    return vae


@torch.no_grad()
def _standardize(vae: Any, pictures: Tensor) -> None:
    """Move and stretch each latent channel to mean 0 and the deviation of 1 / `scaling_factor`.

    Encoder and decoder change by inverse factors, so pictures come out as before.
    """
    vae.eval()
    latents = torch.cat(
        [vae.encode(to_pixel_values(part)).latent_dist.mean for part in torch.split(pictures, 50)]
    )
    mean = latents.mean((0, 2, 3))
    factor = 1 / (_SCALING_FACTOR * latents.std((0, 2, 3)))
    num = len(mean)
    vae.quant_conv.weight[:num] *= factor.view(-1, 1, 1, 1)
    vae.quant_conv.bias[:num] = (vae.quant_conv.bias[:num] - mean) * factor
    vae.quant_conv.bias[num:] += 2 * factor.log()
    shift = vae.post_quant_conv.weight.flatten(1) @ mean
    vae.post_quant_conv.weight /= factor.view(1, -1, 1, 1)
    vae.post_quant_conv.bias += shift
    vae.register_to_config(scaling_factor=_SCALING_FACTOR)


@torch.no_grad()
def vae_error(vae: Any, seed: int) -> dict[str, float]:
    """Return the PSNR in dB of 350 unseen pictures encoded and decoded, the stereotypes' too.

    Signal range 1 for pictures in [0, 1]; the mean squared error is taken over all pictures.
    """
    pictures = to_pixel_values(balanced_pictures("vae held out", seed, 350))
    errors = []
    for part in torch.split(pictures, 50):
        decoded = vae.decode(vae.encode(part).latent_dist.mean).sample.clamp(-1, 1)
        errors.append(((decoded - part) / 2).square().mean((1, 2, 3)))
    error = torch.cat(errors)
    culture = torch.arange(len(error)) % 7
    return {
        "psnr": (-10 * error.mean().log10()).item(),
        "psnr of the wronged culture": (-10 * error[culture == 0].mean().log10()).item(),
    }
