"""Trades of memory against time, decided once before the first step and kept for the whole run.

A recomputed forward must equal the first, so nothing here changes while a run goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from .config import MemoryConfig
from .errors import NotEnoughMemoryError

__all__ = [
    "LEVELS",
    "apply_memory",
    "begin_peak",
    "decide_memory",
    "enough",
    "free_memory",
    "keep_begun",
    "out_of_memory",
    "peak_memory",
    "single_choices",
]

LEVELS = ("fast", "balanced", "low")
"""Values of `memory`, from the one that takes most memory to the one that takes least."""

_ROOM = 0.9
"""Part of the free memory that is counted on; the rest is for what no estimate sees."""


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes where a run would live, or None where nobody knows."""
    if device.type == "cuda":
        # What torch holds for later is free for a run as well.
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    if device.type in ("cpu", "mps"):
        import psutil

        return int(psutil.virtual_memory().available)
    return None


def enough(needed: int, free: int | None) -> bool:
    """Whether so many bytes fit into the free ones, with room for what an estimate misses."""
    return free is None or needed <= _ROOM * free


def decide_memory(
    asked: MemoryConfig, *, batch_size: int, fits: Callable[[MemoryConfig], bool]
) -> MemoryConfig:
    """Replace every `auto` by a decision.

    Args:
        asked: what was asked for; a single option that is not auto overrules the level.
        batch_size: pictures per micro-batch.
        fits: whether a run under decided choices has memory enough; asked from `fast` on until one
            does, and not where there is no choice.

    Returns:
        A config without `auto` and with a decode_batch_size above 0. Its `memory` is the level: the
        first that fits, or `low` where none does.
    """
    levels = LEVELS if asked.memory == "auto" else (asked.memory,)
    for level in levels[:-1]:
        chosen = _overruled(_choices(level, batch_size), asked)
        if fits(chosen):
            return chosen
    return _overruled(_choices(levels[-1], batch_size), asked)


def _choices(level: str, batch_size: int) -> MemoryConfig:
    # The decoder holds most (2.9 of 4.7 GiB for SD 1.5 at 512 x 512 in bf16, by `scoft model
    # check`), and only perceptual steps recompute it; recomputing the UNet makes every step longer.
    return {
        "fast": MemoryConfig("fast", "off", "off", batch_size, "on"),
        "balanced": MemoryConfig("balanced", "off", "on", 1, "on"),
        "low": MemoryConfig("low", "on", "on", 1, "off"),
    }[level]


def _overruled(chosen: MemoryConfig, asked: MemoryConfig) -> MemoryConfig:
    explicit = {
        name: value for name, value in single_choices(asked).items() if value not in ("auto", 0)
    }
    return dataclasses.replace(chosen, **explicit)


def single_choices(memory: MemoryConfig) -> dict[str, Any]:
    """Return the options without the level, which only stands for them."""
    values = dataclasses.asdict(memory)
    del values["memory"]
    return values


def keep_begun(
    asked: MemoryConfig,
    chosen: MemoryConfig,
    begun: Mapping[str, Any],
    *,
    batch_size: int,
    fits: Callable[[MemoryConfig], bool],
) -> MemoryConfig:
    """Return the choices of a resumed run: those it began with where they still fit.

    Args:
        asked: what the user asks for now; an explicit choice stands.
        chosen: `asked` as `decide_memory` decides it now.
        begun: the `single_choices` that the run began with.
        batch_size: pictures per micro-batch.
        fits: as for `decide_memory`.
    """
    if asked.memory != "auto":
        return chosen
    kept = _overruled(MemoryConfig(chosen.memory, **begun), asked)
    for level in LEVELS:
        if single_choices(_choices(level, batch_size)) == single_choices(kept):
            kept = dataclasses.replace(kept, memory=level)
            break
    return kept if fits(kept) else chosen


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
    lowest = single_choices(_choices("low", batch_size))
    left = [
        f"`{name}` {value}"
        for name, value in lowest.items()
        if value != getattr(memory, name) and (name != "decode_batch_size" or batch_size > 1)
    ]
    advice = []
    if left:
        advice.append(f"set `memory` low, which means {', '.join(left)} unless you set it yourself")
    if batch_size > 1:
        advice.append(
            "lower `batch_size` and raise `gradient_accumulation_steps` by the same factor"
        )
    advice.append("lower `resolution`")
    return NotEnoughMemoryError(
        f"The memory of {device} does not suffice for this run. In order of effect: "
        f"{'; '.join(advice)}. What was saved so far is kept."
    )
