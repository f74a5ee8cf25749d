"""The host's CONTROL_NET as the engine's: a copy, for drawing negatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.cldm.cldm
import comfy.controlnet
import comfy.utils
import torch
from torch import nn

from ..scoft_training.control_models import ControlNet, kind_by_channels
from ..scoft_training.errors import ConfigError
from . import host
from .bridge_families import diffusers_unet_config, family_of
from .bridge_weights import baked_weights, filled, norm_groups, renamed

__all__ = ["control_names", "controlnet_from_host"]

_SOCKET = "CONTROL_NET"
_HINT_CHANNELS = (16, 32, 96, 256)
"""Of the ControlNet's hint network: the host has them in its code, as diffusers' default."""


def controlnet_from_host(control_net: Any, model: Any, *, dtype: torch.dtype) -> ControlNet:
    """Return the host's CONTROL_NET as the engine draws with it.

    Args:
        control_net: a ControlNet for `model`.
        model: MODEL, whose layout a ControlNet of Stable Diffusion shares.
        dtype: of the copied weights.

    Raises:
        ConfigError: it is no such ControlNet, or one for another kind of model.
    """
    from diffusers import ControlNetModel

    family_of(model)
    network = getattr(control_net, "control_model", None)
    _require_full(control_net, network)
    layout = model.model.model_config.unet_config
    _require_fitting(network, layout)
    host.unload_models()
    config = diffusers_unet_config(layout, norm_groups(network))
    for key in ("sample_size", "out_channels", "up_block_types"):
        config.pop(key)
    weights = baked_weights(control_net.control_model_wrapped, _SOCKET, dtype)
    names = {**comfy.utils.unet_to_diffusers(layout), **control_names(config)}
    with torch.device("meta"):
        engine_network = ControlNetModel(
            **config,
            conditioning_channels=weights["input_hint_block.0.weight"].shape[1],
            conditioning_embedding_out_channels=_HINT_CHANNELS,
        )
    ours = renamed(weights, names, engine_network, _SOCKET)
    return ControlNet.of("from the canvas", filled(engine_network, ours, _SOCKET))


def _require_full(control_net: Any, network: Any) -> None:
    """Refuse what steers a model otherwise than a ControlNet of Stable Diffusion does."""
    kind = type(control_net).__name__
    full = isinstance(network, comfy.cldm.cldm.ControlNet)
    if isinstance(control_net, comfy.controlnet.ControlLora):
        full = False
    elif full and getattr(network, "task_embedding", None) is not None:
        kind, full = "ControlNet Union", False
    elif network is not None and not full:
        kind = type(network).__name__
    if not full:
        raise ConfigError(
            f"This CONTROL_NET is a {kind}. Negatives are drawn with a full ControlNet for depth, "
            "such as control_v11f1p_sd15_depth or SDXL's controlnet-depth-sdxl-1.0: load one."
        )


def _require_fitting(network: nn.Module, layout: Mapping[str, Any]) -> None:
    """Refuse a ControlNet for another kind of MODEL, or with fewer layers than its encoder."""
    widths = [
        module.in_features
        for name, module in network.named_modules()
        if name.endswith(".attn2.to_k")
    ]
    kind = kind_by_channels(layout["context_dim"])
    if widths and widths[0] != layout["context_dim"]:
        raise ConfigError(
            f"This CONTROL_NET is for {kind_by_channels(widths[0])} and the MODEL is {kind}. Load "
            "a ControlNet for depth that belongs to the model."
        )
    # One attention for each transformer block on the way down and in the middle.
    needed = sum(layout["transformer_depth"]) + layout["transformer_depth_middle"]
    if len(widths) != needed:
        raise ConfigError(
            f"This CONTROL_NET has {len(widths)} transformer blocks where a full one for {kind} "
            f"has {needed}, as the mid and small ones of SDXL do. Load a full one for depth."
        )


def control_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Return diffusers name -> host name of what a ControlNet has beside a UNet's encoder."""
    # One output for the first convolution, for each residual block and between two levels.
    levels, layers = len(config["block_out_channels"]), config["layers_per_block"]
    modules = {
        f"controlnet_down_blocks.{index}": f"zero_convs.{index}.0"
        for index in range(levels * (layers + 1))
    }
    modules["controlnet_mid_block"] = "middle_block_out.0"
    # In the host activations are counted too, hence every second place.
    blocks = 2 * (len(_HINT_CHANNELS) - 1)
    hints = ["conv_in", *(f"blocks.{index}" for index in range(blocks)), "conv_out"]
    for place, name in enumerate(hints):
        modules[f"controlnet_cond_embedding.{name}"] = f"input_hint_block.{2 * place}"
    return {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in modules.items()
        for kind in ("weight", "bias")
    }
