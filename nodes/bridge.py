"""The host's MODEL, CLIP and VAE as the engine's base model: copies, no shared tensors.

The host builds its networks from Stable Diffusion's first published layout, the engine from
diffusers'. Weights are renamed and copied; what the copies compute is compared in
`tests/test_bridge.py` and `tests/test_miniature_host.py`, at full size in
`tests/test_true_shapes.py`. The other direction is in `bridge_to_host`, the CONTROL_NET in
`bridge_controlnet`.

Everything here runs outside of inference mode (`host.training_mode`): the host's tensors are
inference tensors, and a parameter that is one cannot be trained through.
"""

from __future__ import annotations

from typing import Any

import comfy.utils
import torch
from torch import nn

from ..scoft_training.errors import ConfigError
from ..scoft_training.models import BaseModel, base_digest, vae_dtype
from . import host
from .bridge_captions import HostCaptionEncoder
from .bridge_families import (
    diffusers_unet_config,
    family_of,
    noise_schedule,
    require_plain_network,
)
from .bridge_weights import baked_weights, filled, norm_groups, renamed

__all__ = ["base_from_host", "unet_from_host", "vae_from_host"]

_SIZE_CHANNELS = 6 * 256
"""What SDXL's UNet reads beside the pooled embeddings: six sizes of 256 sinusoids each."""


def base_from_host(model: Any, clip: Any, vae: Any, *, name: str, dtype: torch.dtype) -> BaseModel:
    """Return the host's model as the engine trains it.

    Args:
        model: MODEL; patches on its weights (LoRAs, merges) are baked into the copy.
        clip: CLIP; stays the host's, which encodes the captions.
        vae: VAE.
        name: shown to people and written into the LoRA file.
        dtype: of the copied weights; SDXL's VAE may get a wider one (`models.vae_dtype`).

    Raises:
        ConfigError: another family, quantised weights, parts that do not fit, or changes that a
            copy cannot carry.
    """
    family = family_of(model)
    require_plain_network(model)
    schedule = noise_schedule(model)
    # While a model is loaded, the host holds its patches in the weights themselves.
    host.unload_models()
    unet = unet_from_host(model, dtype)
    scaling_factor = float(model.get_model_object("latent_format").scale_factor)
    engine_vae = vae_from_host(vae, scaling_factor, vae_dtype(family, dtype))
    if unet.config.in_channels != engine_vae.config.latent_channels:
        raise ConfigError(
            f"The MODEL takes latents of {unet.config.in_channels} channels and the VAE makes "
            f"{engine_vae.config.latent_channels}. Connect the VAE that belongs to the model."
        )
    captions = HostCaptionEncoder(clip, pooled=family == "sdxl")
    _require_fitting(captions, unet)
    return BaseModel(
        name,
        family,
        unet,
        engine_vae,
        captions,
        schedule,
        base_digest(unet, engine_vae, captions, schedule),
    )


def _require_fitting(captions: HostCaptionEncoder, unet: Any) -> None:
    """Refuse a CLIP that does not make what the UNet reads."""
    made = captions.encode([""]).conditioning
    captions.to(torch.device("cpu"))
    width, reads = made.prompt_embeds.shape[-1], unet.config.cross_attention_dim
    if width != reads:
        raise ConfigError(
            f"The CLIP makes prompt embeddings of {width} channels and the MODEL reads {reads}. "
            "Connect the CLIP that belongs to the model."
        )
    if made.pooled_prompt_embeds is None:
        return
    width = made.pooled_prompt_embeds.shape[-1]
    reads = unet.config.projection_class_embeddings_input_dim - _SIZE_CHANNELS
    if width != reads:
        raise ConfigError(
            f"The CLIP makes pooled embeddings of {width} channels and the MODEL reads {reads}. "
            "Connect the CLIP that belongs to the model."
        )


def unet_from_host(model: Any, dtype: torch.dtype) -> Any:
    """Return a MODEL's UNet as diffusers', its patches baked in.

    Raises:
        ConfigError: its weights are quantised or do not fit.
    """
    from diffusers import UNet2DConditionModel

    layout = model.model.model_config.unet_config
    config = diffusers_unet_config(layout, norm_groups(model.model.diffusion_model))
    weights = baked_weights(model, "MODEL", dtype, "diffusion_model.")
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    ours = renamed(weights, comfy.utils.unet_to_diffusers(layout), unet, "MODEL")
    return filled(unet, ours, "MODEL")


def vae_from_host(vae: Any, scaling_factor: float, dtype: torch.dtype) -> Any:
    """Return a VAE as diffusers'.

    Args:
        vae: VAE.
        scaling_factor: of the MODEL's latents; the host's VAE does not know it.
        dtype: of the copied weights.

    Raises:
        ConfigError: it is of another kind, quantised, or does not fit.
    """
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    network: nn.Module = vae.first_stage_model
    held = network.state_dict()
    needed = ("encoder.conv_in.weight", "decoder.conv_in.weight", "quant_conv.weight")
    if any(key not in held or held[key].ndim != 4 for key in needed):
        raise ConfigError(
            f"This VAE is of the kind {type(network).__name__}, not Stable Diffusion's. Connect "
            "the VAE of the checkpoint."
        )
    weights = baked_weights(vae.patcher, "VAE", dtype)
    channels, layers = [], 0
    while (key := f"encoder.down.{len(channels)}.block.0.conv2.weight") in weights:
        channels.append(weights[key].shape[0])
    while f"encoder.down.0.block.{layers}.conv2.weight" in weights:
        layers += 1
    config = {
        "in_channels": weights["encoder.conv_in.weight"].shape[1],
        "out_channels": weights["decoder.conv_out.weight"].shape[0],
        "latent_channels": weights["decoder.conv_in.weight"].shape[1],
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * len(channels),
        "up_block_types": ["UpDecoderBlock2D"] * len(channels),
        "layers_per_block": layers,
        "norm_num_groups": norm_groups(network),
        "scaling_factor": scaling_factor,
    }
    with torch.device("meta"):
        engine_vae = AutoencoderKL(**config)
    return filled(engine_vae, convert_ldm_vae_checkpoint(weights, config), "VAE")
