"""The stages that draw: the UNet with its text encoder on the crawl, and the depth ControlNet.

Both see latents of the finished VAE; its stage is in `pretrain_vae`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..draws import generator
from ..files import write_aside
from .canvas import SIZE
from .networks import new_controlnet, new_schedule_config, new_text_encoder, new_unet
from .pretrain_loop import LoopSettings, OnStep, quiet, run_loop
from .pretrain_vae import to_pixel_values
from .sentences import crawl_caption
from .sets import crawl_facts, scenes
from .world import Facts

__all__ = [
    "CONTROLNET_SETTINGS",
    "UNET_SETTINGS",
    "CrawlLatents",
    "crawl_latents",
    "pretrain_controlnet",
    "pretrain_unet",
    "wake_hint_network",
]

CRAWL_SIZE = 24_000

UNET_SETTINGS = LoopSettings(
    steps=6400,
    learning_rate=1.2e-3,
    warmup=200,
    hold=0.4,
    weight_decay=1e-3,
    average=0.999,
    shards=2,
)
CONTROLNET_SETTINGS = LoopSettings(
    steps=900,
    learning_rate=1e-3,
    warmup=50,
    hold=0.4,
    weight_decay=1e-3,
    average=0.995,
    shards=2,
)

# Of one shard.
_UNET_BATCH = 32
_CONTROLNET_BATCH = 16
_CAPTIONS_EACH = 4
_UNET_EMPTY_SHARE = 0.12
_CONTROLNET_EMPTY_SHARE = 0.3
_MIN_SNR_GAMMA = 5.0
_WAKING_PICTURES = 64


@dataclass(frozen=True)
class CrawlLatents:
    """The crawl as the diffusion network sees it.

    Attributes:
        mean: (count, 4, 16, 16) of the VAE's posteriors, in scaled units.
        std: likewise.
        depth: (count, 128, 128) uint8.
        facts: of each picture.
    """

    mean: Tensor
    std: Tensor
    depth: Tensor
    facts: list[Facts]

    def draw(self, rows: Tensor, draw: torch.Generator) -> Tensor:
        """Return a sample of the posteriors of these rows, (batch, 4, 16, 16)."""
        mean = self.mean[rows]
        return mean + self.std[rows] * torch.randn(mean.shape, generator=draw)


@torch.no_grad()
def crawl_latents(
    seed: int, vae: Any, folder: Path, *, count: int = CRAWL_SIZE, on_step: OnStep = quiet
) -> CrawlLatents:
    """Draw the crawl and encode it; the latents are kept in `folder`/latents.pt."""
    path = folder / "latents.pt"
    known = torch.load(path, weights_only=True) if path.is_file() else None
    depth = torch.empty((count, SIZE, SIZE), dtype=torch.uint8)
    facts: list[Facts] = []
    means, stds, pictures = [], [], []
    vae.eval().to(memory_format=torch.channels_last)
    for index, scene in enumerate(scenes("crawl", seed, count, crawl_facts)):
        depth[index] = torch.from_numpy(scene.depth.copy())
        facts.append(scene.facts)
        if known is not None:
            continue
        pictures.append(scene.picture)
        if len(pictures) == 50 or index == count - 1:
            pixel_values = to_pixel_values(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2))
            posterior = vae.encode(
                pixel_values.contiguous(memory_format=torch.channels_last)
            ).latent_dist
            means.append(posterior.mean * vae.config.scaling_factor)
            stds.append(posterior.std * vae.config.scaling_factor)
            pictures = []
            on_step(index + 1, count, {})
    if known is None:
        known = {"mean": torch.cat(means), "std": torch.cat(stds)}
        folder.mkdir(parents=True, exist_ok=True)
        write_aside(path, lambda aside: torch.save(known, aside))
    return CrawlLatents(known["mean"], known["std"], depth, facts)


def caption_tokens(seed: int, facts: list[Facts], tokenizer: Any) -> tuple[Tensor, Tensor]:
    """Return the crawl's captions as tokens (4, count, 77), four each, and the empty one (77,)."""
    sentences = []
    for version in range(_CAPTIONS_EACH):
        for index, fact in enumerate(facts):
            sentences.append(
                crawl_caption(fact, random.Random(f"caption/{seed}/{version}/{index}"))
            )
    tokens = _tokens(tokenizer, sentences).view(_CAPTIONS_EACH, len(facts), -1)
    return tokens, _tokens(tokenizer, [""])[0]


def _tokens(tokenizer: Any, sentences: list[str]) -> Tensor:
    answer = tokenizer(
        sentences, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    )
    tokens: Tensor = answer.input_ids
    return tokens


@dataclass(frozen=True)
class _Batch:
    noisy: Tensor
    noise: Tensor
    timesteps: Tensor
    tokens: Tensor
    rows: Tensor
    weights: Tensor


def _batch(
    crawl: CrawlLatents,
    tokens: tuple[Tensor, Tensor],
    alphas_cumprod: Tensor,
    draw: torch.Generator,
    *,
    size: int,
    empty_share: float,
) -> _Batch:
    """One batch of noisy latents: timesteps spread evenly, some captions empty, min-SNR weights."""
    rows = torch.randint(len(crawl.facts), (size,), generator=draw)
    latents = crawl.draw(rows, draw)
    captions, empty = tokens
    chosen = captions[torch.randint(len(captions), (size,), generator=draw), rows]
    is_empty = torch.rand(size, generator=draw) < empty_share
    chosen = torch.where(is_empty[:, None], empty, chosen)
    places = (torch.arange(size) + torch.rand(size, generator=draw)) / size
    timesteps = (places * len(alphas_cumprod)).long().clamp(max=len(alphas_cumprod) - 1)
    noise = torch.randn(latents.shape, generator=draw)
    signal = alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
    snr = (signal / (1 - signal)).flatten()
    return _Batch(
        noisy.contiguous(memory_format=torch.channels_last),
        noise,
        timesteps,
        chosen,
        rows,
        snr.clamp(max=_MIN_SNR_GAMMA) / snr,
    )


def _alphas_cumprod() -> Tensor:
    from diffusers import DDPMScheduler

    alphas: Tensor = DDPMScheduler.from_config(new_schedule_config()).alphas_cumprod
    return alphas


def pretrain_unet(
    seed: int,
    crawl: CrawlLatents,
    tokenizer: Any,
    folder: Path,
    settings: LoopSettings = UNET_SETTINGS,
    *,
    on_step: OnStep = quiet,
) -> tuple[Any, Any]:
    """Train UNet and text encoder together on the crawl; returns both.

    Noise prediction, min-SNR weights (gamma 5), timesteps stratified within a batch.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        unet = new_unet()
        text_encoder = new_text_encoder(
            len(tokenizer),
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    unet.train().to(memory_format=torch.channels_last)
    text_encoder.train()
    tokens = caption_tokens(seed, crawl.facts, tokenizer)
    alphas_cumprod = _alphas_cumprod()

    def loss_at(number: int) -> tuple[Tensor, dict[str, float]]:
        draw = generator(seed, "unet", number)
        batch = _batch(
            crawl, tokens, alphas_cumprod, draw, size=_UNET_BATCH, empty_share=_UNET_EMPTY_SHARE
        )
        prompt_embeds = text_encoder(batch.tokens).last_hidden_state
        noise_pred = unet(batch.noisy, batch.timesteps, prompt_embeds).sample
        squared = (noise_pred - batch.noise).square().mean((1, 2, 3))
        return (squared * batch.weights).mean(), {"eps_mse": squared.mean().item()}

    run_loop([unet, text_encoder], loss_at, settings, folder, on_step=on_step)
    return unet.eval(), text_encoder.eval()


def pretrain_controlnet(
    seed: int,
    crawl: CrawlLatents,
    tokenizer: Any,
    unet: Any,
    text_encoder: Any,
    folder: Path,
    settings: LoopSettings = CONTROLNET_SETTINGS,
    *,
    on_step: OnStep = quiet,
) -> Any:
    """Train the depth ControlNet on the frozen base, with the crawl's exact depth; returns it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 2)
        controlnet = new_controlnet(unet)
    controlnet.train().to(memory_format=torch.channels_last)
    unet.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    text_encoder.eval().requires_grad_(False)
    tokens = caption_tokens(seed, crawl.facts, tokenizer)
    alphas_cumprod = _alphas_cumprod()
    wake_hint_network(
        controlnet.controlnet_cond_embedding,
        _hints(crawl.depth[:_WAKING_PICTURES]),
        size=_conv_in_size(unet, crawl.mean[:_WAKING_PICTURES]),
        seed=seed,
    )

    def loss_at(number: int) -> tuple[Tensor, dict[str, float]]:
        draw = generator(seed, "controlnet", number)
        batch = _batch(
            crawl,
            tokens,
            alphas_cumprod,
            draw,
            size=_CONTROLNET_BATCH,
            empty_share=_CONTROLNET_EMPTY_SHARE,
        )
        with torch.no_grad():
            prompt_embeds = text_encoder(batch.tokens).last_hidden_state
        residuals, middle = controlnet(
            batch.noisy,
            batch.timesteps,
            prompt_embeds,
            _hints(crawl.depth[batch.rows]),
            return_dict=False,
        )
        noise_pred = unet(
            batch.noisy,
            batch.timesteps,
            prompt_embeds,
            down_block_additional_residuals=residuals,
            mid_block_additional_residual=middle,
        ).sample
        squared = (noise_pred - batch.noise).square().mean((1, 2, 3))
        return (squared * batch.weights).mean(), {"eps_mse": squared.mean().item()}

    run_loop([controlnet], loss_at, settings, folder, on_step=on_step)
    return controlnet.eval()


def _hints(depth: Tensor) -> Tensor:
    """Depth (batch, h, w) uint8 as a ControlNet's hints, (batch, 3, h, w) in [0, 1]."""
    hints = (depth.float() / 255)[:, None].expand(-1, 3, -1, -1)
    return hints.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def wake_hint_network(embedding: Any, hints: Tensor, *, size: float, seed: int) -> None:
    """Give a ControlNet's hint network weights with which a hint arrives, in place.

    With the usual random weights every layer shrinks its input, and after eight of them about a
    ten-thousandth of the hint is left; the last layer begins at zero. Large trainings get over
    that, a short one does not. So each layer gets random weights and is scaled and shifted until
    every channel has mean 0 and size 1 on real hints (layer-sequential unit variance, Mishkin and
    Matas 2016); the last one gets `size`. The ControlNet still adds nothing at the start: the
    layers that hand its states to the UNet stay at zero.

    Args:
        embedding: a ControlNetConditioningEmbedding.
        hints: (batch, 3, h, w) in [0, 1].
        size: standard deviation of each channel that the last layer gives.
        seed: of the weights.
    """
    draw = generator(seed, "hint network")
    states = hints
    layers = [embedding.conv_in, *embedding.blocks, embedding.conv_out]
    for layer in layers:
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw))
        layer.bias.zero_()
        std, mean = torch.std_mean(layer(states), (0, 2, 3))
        scale = (size if layer is layers[-1] else 1.0) / std
        layer.weight.mul_(scale[:, None, None, None])
        layer.bias.copy_(-mean * scale)
        states = functional.silu(layer(states))


@torch.no_grad()
def _conv_in_size(unet: Any, latents: Tensor) -> float:
    """The standard deviation of what the UNet's first layer makes of latents (batch, 4, h, w)."""
    return float(unet.conv_in(latents.contiguous(memory_format=torch.channels_last)).std())
