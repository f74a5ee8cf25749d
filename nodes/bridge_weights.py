"""The host's weights -> a network of diffusers: copied, patched, renamed, filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.lora
import torch
from torch import Tensor, nn

from ..scoft_training.errors import ConfigError
from .bridge_families import ACCEPTED

__all__ = ["baked_weights", "filled", "norm_groups", "own_storage", "renamed"]

_PLAIN = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def baked_weights(
    patcher: Any, socket: str, dtype: torch.dtype, prefix: str = ""
) -> dict[str, Tensor]:
    """Return a patcher's weights under `prefix`, copied to the CPU, its patches applied.

    Args:
        patcher: the host's; unloaded, so that its patches are not in the weights already.
        socket: what it came through, for the message.
        dtype: of the copies; patches are applied in fp32.
        prefix: taken off the names.

    Raises:
        ConfigError: quantised weights.
    """
    found = {}
    for key, value in patcher.model.state_dict().items():
        if not key.startswith(prefix):
            continue
        if format_name := _foreign_format(value):
            raise ConfigError(
                f"This {socket}'s weights are quantised ({format_name}). Training needs them in "
                "fp16, bf16 or fp32: load such a file, with `weight_dtype` at default."
            )
        weight = value.detach().to("cpu", torch.float32, copy=True)
        if key in patcher.patches:
            patches = [_copied(patch) for patch in patcher.patches[key]]
            weight = comfy.lora.calculate_weight(patches, weight, key)
        found[key.removeprefix(prefix)] = weight.to(dtype).contiguous()
    return found


def _foreign_format(value: Tensor) -> str | None:
    """Name the format of a weight that is no plain tensor of numbers; None for one that is."""
    if found := own_storage(value):
        return found
    return None if value.dtype in _PLAIN else str(value.dtype).removeprefix("torch.")


def own_storage(value: Tensor) -> str | None:
    """Name how a custom loader keeps a weight; None for a plain tensor of any format.

    GGUF's keeps a class of its own, even for 16 bits, and shows the host shapes alone.
    """
    if type(value) not in (Tensor, nn.Parameter):
        return type(value).__name__
    return "no plain tensors" if value.is_meta else None


def _copied(value: Any) -> Any:
    """Return a weight patch with every tensor in it copied: the host's are inference tensors."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, (tuple, list)):
        return type(value)(_copied(entry) for entry in value)
    if isinstance(getattr(value, "weights", None), (tuple, list)):
        # The host's WeightAdapter objects keep theirs in a tuple.
        adapter = object.__new__(type(value))
        adapter.__dict__.update(value.__dict__)
        adapter.weights = _copied(value.weights)
        return adapter
    return value


def renamed(
    weights: Mapping[str, Tensor], names: Mapping[str, str], network: nn.Module, socket: str
) -> dict[str, Tensor]:
    """Return weights under diffusers' names.

    Args:
        weights: under the host's names.
        names: diffusers name -> host name; may hold several names of one weight.
        network: diffusers'; its names count.
        socket: what the weights came through, for the message.

    Raises:
        ConfigError: a weight that has no place in the network, and would be left out.
    """
    wanted = {ours: names.get(ours) for ours in network.state_dict()}
    unknown = sorted(set(weights) - set(wanted.values()))
    if unknown:
        raise ConfigError(
            f"This {socket} has weights beyond Stable Diffusion's layout ({unknown[0]}; "
            f"{len(unknown)} in all). {ACCEPTED}"
        )
    return {ours: weights[theirs] for ours, theirs in wanted.items() if theirs in weights}


def norm_groups(network: nn.Module) -> int:
    """Return how many groups the group norms of a network have."""
    groups = {m.num_groups for m in network.modules() if isinstance(m, nn.GroupNorm)}
    return max(groups, default=32)


def filled(network: nn.Module, weights: dict[str, Tensor], socket: str) -> nn.Module:
    """Make these tensors the weights of a network without any (on meta), and freeze it.

    Filling a network that has its own would hold every weight twice, and draw the first ones.

    Raises:
        ConfigError: one is missing or does not fit.
    """
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        detail = str(error).strip().splitlines()[1].strip()
        raise ConfigError(
            f"This {socket}'s weights do not fit Stable Diffusion's layout ({detail}). {ACCEPTED}"
        ) from error
    return network.requires_grad_(False).eval()
