"""Trades of memory against time, decided once before the first step and kept for the whole run.

A recomputed forward must equal the first, so nothing here changes while a run goes on.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from .config import MemoryConfig
from .errors import NotEnoughMemoryError

__all__ = [
    "apply_memory",
    "begin_peak",
    "decide_memory",
    "free_memory",
    "keep_begun",
    "out_of_memory",
    "peak_memory",
]

_GIB = 2**30
# Stable Diffusion 1.x saves 3.8 GiB (UNet with a LoRA of rank 64) and 2.8 GiB (decoder) for the
# backward pass of one 512 x 512 picture in bf16, counted by saved-tensor hooks on meta tensors; the
# rest is room for what a step holds for a moment. Erring upwards costs time, downwards the run.
_UNET_ACTIVATIONS = 6 * _GIB
_DECODER_ACTIVATIONS = 6 * _GIB


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes of a GPU, or None where memory is not the bottleneck (CPU)."""
    if device.type != "cuda":
        return None
    return torch.cuda.mem_get_info(device)[0]


def decide_memory(
    config: MemoryConfig, *, free_bytes: int | None, resolution: int, batch_size: int
) -> MemoryConfig:
    """Replace every `auto` by a decision.

    Args:
        config: what was asked for.
        free_bytes: free memory of the device, or None to choose the fastest everywhere.
        resolution: side of the training pictures, in pixels.
        batch_size: pictures per micro-batch.

    Returns:
        A config without `auto` and with a decode_batch_size above 0.
    """
    pictures = (resolution / 512) ** 2 * batch_size

    def short_of(need: float) -> bool:
        return free_bytes is not None and free_bytes < need

    def switch(asked: str, automatic: bool) -> str:
        return ("on" if automatic else "off") if asked == "auto" else asked

    return MemoryConfig(
        gradient_checkpointing=switch(
            config.gradient_checkpointing, short_of(_UNET_ACTIVATIONS * pictures)
        ),
        decoder_checkpointing=switch(
            config.decoder_checkpointing, short_of(_DECODER_ACTIVATIONS * pictures / batch_size)
        ),
        decode_batch_size=config.decode_batch_size
        or (1 if short_of(_DECODER_ACTIVATIONS * pictures) else batch_size),
        batched_guidance=switch(
            config.batched_guidance, not short_of(_UNET_ACTIVATIONS * pictures / 2)
        ),
    )


def keep_begun(asked: MemoryConfig, chosen: MemoryConfig, begun: MemoryConfig) -> MemoryConfig:
    """Return the choices of a resumed run: those it began with where they still fit.

    Args:
        asked: what the user asks for now; an explicit choice stands.
        chosen: `asked` as `decide_memory` decides it now.
        begun: what the run began with; it stays unless the memory that is free now asks for less.
    """
    leaner = {
        "gradient_checkpointing": chosen.gradient_checkpointing > begun.gradient_checkpointing,
        "decoder_checkpointing": chosen.decoder_checkpointing > begun.decoder_checkpointing,
        "decode_batch_size": chosen.decode_batch_size < begun.decode_batch_size,
        "batched_guidance": chosen.batched_guidance < begun.batched_guidance,
    }
    kept = {
        name: getattr(begun, name)
        for name, needs_less in leaner.items()
        if getattr(asked, name) in ("auto", 0) and not needs_less
    }
    return dataclasses.replace(chosen, **kept)


def apply_memory(memory: MemoryConfig, unet: Any, vae: Any) -> None:
    """Switch checkpointing on the networks as decided."""
    for network, choice in (
        (unet, memory.gradient_checkpointing),
        (vae, memory.decoder_checkpointing),
    ):
        if choice == "on":
            network.enable_gradient_checkpointing()
            # diffusers recomputes in training mode only; these networks have no dropout.
            network.train()
        else:
            network.disable_gradient_checkpointing()
            network.eval()


def begin_peak(device: torch.device) -> None:
    """Let `peak_memory` count from here on; what came before the loop is not the loop's."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Return the device's peak allocation in bytes, or the process's resident memory on CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import psutil

    return int(psutil.Process().memory_info().rss)


def out_of_memory(
    device: torch.device, memory: MemoryConfig, batch_size: int
) -> NotEnoughMemoryError:
    """Return the error that says what to lower, in order of effect."""
    advice = []
    if memory.gradient_checkpointing != "on":
        advice.append("set `gradient_checkpointing` on")
    if batch_size > 1:
        advice.append(
            "lower `batch_size` and raise `gradient_accumulation_steps` by the same factor"
        )
    if memory.decode_batch_size != 1 and batch_size > 1:
        advice.append("set `decode_batch_size` 1")
    if memory.decoder_checkpointing != "on":
        advice.append("set `decoder_checkpointing` on")
    if memory.batched_guidance != "off":
        advice.append("set `batched_guidance` off")
    advice.append("lower `resolution`")
    return NotEnoughMemoryError(
        f"The memory of {device} does not suffice for this run. In order of effect: "
        f"{'; '.join(advice)}. What was saved so far is kept."
    )
