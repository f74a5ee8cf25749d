"""Pictures for prompts x seeds, with and without a LoRA, and the sheet that shows them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .conditioning import Conditioning, size_ids
from .config import GenerateConfig
from .draws import normal
from .errors import DivergenceError, NotEnoughMemoryError
from .lettering import draw_caption
from .lora_layers import Lora, applied_lora
from .models import BaseModel, on_device
from .predictor import NoisePredictor
from .sampling import ddim_sample, strided_timesteps

__all__ = [
    "GeneratedPicture",
    "contact_sheet",
    "draw_picture",
    "draw_pictures",
    "generate",
    "starting_noise",
    "to_picture",
]


@dataclass(frozen=True)
class GeneratedPicture:
    """One drawn picture: (3, side, side) in [0, 1], and what it was drawn for."""

    prompt: str
    seed: int
    with_lora: bool
    image: Tensor


def generate(
    base: BaseModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    config: GenerateConfig,
    *,
    lora: Lora | None,
    device: torch.device,
    dtype: torch.dtype,
    check_stop: Callable[[], None] = lambda: None,
) -> Iterator[GeneratedPicture]:
    """Draw every prompt with every seed by DDIM, first without the LoRA, then with it.

    A seed means the same starting noise everywhere, so pictures differ by prompt and LoRA alone.

    Args:
        base: unchanged afterwards, bit for bit; its networks visit `device`.
        prompts: one or more.
        seeds: one or more.
        config: steps, guidance, resolution, LoRA strength.
        lora: applied to the UNet for the second half, or None.
        device: where to compute.
        dtype: of the networks.
        check_stop: called before each DDIM step; raises to stop.

    Raises:
        NotEnoughMemoryError: out of memory.
    """
    try:
        yield from _generate(base, prompts, seeds, config, lora, device, dtype, check_stop)
    except torch.OutOfMemoryError as error:
        raise NotEnoughMemoryError(
            f"The memory of {device} does not suffice to draw at `resolution` {config.resolution}. "
            "Lower it, or close other programs that use the device."
        ) from error


def _generate(
    base: BaseModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    config: GenerateConfig,
    lora: Lora | None,
    device: torch.device,
    dtype: torch.dtype,
    check_stop: Callable[[], None],
) -> Iterator[GeneratedPicture]:
    with on_device(base.captions, device):
        encoded = base.captions.encode([*prompts, config.negative_prompt]).conditioning.to(device)
    predictor = NoisePredictor(
        base.unet,
        base.schedule,
        device=device,
        dtype=dtype,
        guidance_scale=config.guidance_scale,
        batched_guidance=True,
    )
    with on_device(base.unet, device), on_device(base.vae, device):
        for with_lora in (False, True) if lora is not None else (False,):
            applied: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
            if with_lora and lora is not None:
                applied = applied_lora(base.unet, lora, config.lora_strength)
            with applied:
                for index, prompt in enumerate(prompts):
                    for seed in seeds:
                        image = draw_picture(
                            base,
                            predictor,
                            encoded[index],
                            encoded[-1],
                            starting_noise(
                                base, config.resolution, predictor.wide, seed, "picture"
                            ),
                            inference_steps=config.inference_steps,
                            check_stop=check_stop,
                        )
                        yield GeneratedPicture(prompt, seed, with_lora, image)


def starting_noise(
    base: BaseModel, resolution: int, dtype: torch.dtype, seed: int, *purpose: str | int
) -> Tensor:
    """Return the noise of one picture, (1, channels, height, width): a function of its seed."""
    side = resolution // base.vae_scale_factor
    return normal((1, int(base.unet.config.in_channels), side, side), dtype, seed, *purpose)


def draw_picture(
    base: BaseModel,
    predictor: NoisePredictor,
    conditioning: Conditioning,
    uncond: Conditioning,
    noise: Tensor,
    *,
    inference_steps: int,
    check_stop: Callable[[], None] = lambda: None,
) -> Tensor:
    """Draw one picture: `draw_pictures` with a batch of one.

    Args:
        base: as there.
        predictor: as there.
        conditioning: of one prompt, not batched, on the device.
        uncond: likewise.
        noise: (1, channels, height, width) to begin with, from `starting_noise`.
        inference_steps: DDIM steps.
        check_stop: called before each of them; raises to stop.

    Returns:
        (3, resolution, resolution) in [0, 1], float32 on the CPU.

    Raises:
        DivergenceError: the networks' number format overflowed.
    """
    return draw_pictures(
        base,
        predictor,
        conditioning[None],
        uncond,
        noise,
        inference_steps=inference_steps,
        check_stop=check_stop,
    )[0]


@torch.no_grad()
def draw_pictures(
    base: BaseModel,
    predictor: NoisePredictor,
    conditioning: Conditioning,
    uncond: Conditioning,
    noise: Tensor,
    *,
    inference_steps: int,
    decode_batch_size: int = 0,
    check_stop: Callable[[], None] = lambda: None,
) -> Tensor:
    """Draw pictures at once by DDIM; no graph and no inference tensor is left behind.

    Args:
        base: its VAE decoder lies where the predictor's UNet does.
        predictor: with guidance.
        conditioning: of batch prompts, on the device.
        uncond: of one, likewise.
        noise: (batch, channels, height, width) to begin with, from `starting_noise`.
        inference_steps: DDIM steps.
        decode_batch_size: pictures decoded at once, which takes most of the memory; 0 is all.
        check_stop: called before each step; raises to stop.

    Returns:
        (batch, 3, resolution, resolution) in [0, 1], float32 on the CPU.

    Raises:
        DivergenceError: the networks' number format overflowed.
    """
    noise = noise.to(conditioning.prompt_embeds.device)
    height, width = (side * base.vae_scale_factor for side in noise.shape[-2:])
    conditioning = conditioning.sized(size_ids((height, width), (0, 0), (height, width)))
    alphas_cumprod = predictor.alphas_cumprod
    last = torch.tensor([len(alphas_cumprod) - 1], device=noise.device)
    grid, num_steps = strided_timesteps(last, inference_steps)
    x0_latents = ddim_sample(
        lambda latents, timesteps: predictor.guided_prediction(
            latents, timesteps, conditioning, uncond
        ),
        noise,
        grid[0, : int(num_steps)],
        alphas_cumprod,
        prediction_type=predictor.prediction_type,
        on_step=check_stop,
    )
    latents = (x0_latents / base.scaling_factor).to(base.vae.dtype)
    at_once = decode_batch_size or len(latents)
    decoded = torch.cat(
        [
            base.vae.decode(latents[start : start + at_once]).sample.float().cpu()
            for start in range(0, len(latents), at_once)
        ]
    )
    if not bool(decoded.isfinite().all()):
        raise DivergenceError(
            f"A drawing overflowed in {base.vae.dtype}. Set `precision` to bf16 or fp32."
        )
    return (decoded / 2 + 0.5).clamp(0, 1)


def to_picture(image: Tensor) -> Image.Image:
    """Return a PIL picture of a (3, height, width) tensor in [0, 1]."""
    pixels = (image.permute(1, 2, 0) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.numpy())


def contact_sheet(pictures: Sequence[GeneratedPicture]) -> Image.Image:
    """Return one picture: per prompt its seeds side by side, the LoRA's below the base's.

    Args:
        pictures: as `generate` yields them, at least one.
    """
    side = pictures[0].image.shape[-1]
    prompts = list(dict.fromkeys(picture.prompt for picture in pictures))
    seeds = list(dict.fromkeys(picture.seed for picture in pictures))
    halves = sorted({picture.with_lora for picture in pictures})
    size = max(12, side // 16)
    font = ImageFont.load_default(size)
    line = int(font.getbbox("Ag")[3]) + 4
    gap, label = 8, 3 * line
    block = label + len(halves) * (side + gap)
    width = max(len(seeds) * (side + gap) + gap, 320)
    sheet = Image.new("RGB", (width, gap + len(prompts) * block), "white")
    draw = ImageDraw.Draw(sheet)
    rows_said = "above without the LoRA, below with it" if len(halves) == 2 else "without a LoRA"
    for index, prompt in enumerate(prompts):
        top = gap + index * block
        seeds_said = f"seeds {', '.join(map(str, seeds))}; {rows_said}"
        draw_caption(
            draw,
            (gap, top),
            prompt,
            size=size,
            width=width - 2 * gap,
            lines=2,
            instead=f"prompt {index + 1} (no font here has its letters)",
        )
        draw.text((gap, top + 2 * line), seeds_said, "black", font)
    for picture in pictures:
        left = gap + seeds.index(picture.seed) * (side + gap)
        top = gap + prompts.index(picture.prompt) * block + label
        top += halves.index(picture.with_lora) * (side + gap)
        sheet.paste(to_picture(picture.image), (left, top))
    return sheet
