"""The UNets of Stable Diffusion 1.x, 2.x and SDXL, without weights: names and shapes of modules.

Lives here: their configs, and modules built from them on torch's meta device, which takes no
memory and no network. Not here: loading weights (`models`, `single_file_networks`).
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

__all__ = ["LAYOUTS", "layout_unet", "text_encoders_are_flat"]

_SD_BLOCKS: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "sd1": {**_SD_BLOCKS, "cross_attention_dim": 768, "attention_head_dim": 8},
    "sd2": {
        **_SD_BLOCKS,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
    "sdxl": {
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
"""Arguments of diffusers' `UNet2DConditionModel` by model family."""


@functools.cache
def layout_unet(family: str) -> nn.Module:
    """Return the UNet of a family in `LAYOUTS`, on the meta device."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet: nn.Module = UNet2DConditionModel(**LAYOUTS[family])
    return unet


@functools.cache
def text_encoders_are_flat() -> bool:
    """Return whether the installed transformers builds `CLIPTextModel` without `text_model.`."""
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        return not hasattr(CLIPTextModel(CLIPTextConfig(num_hidden_layers=1)), "text_model")
