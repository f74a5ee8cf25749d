"""The networks inside one file of weights, as diffusers' and transformers' classes.

The file is in the layout of the original releases (LDM); diffusers' own functions rename its
tensors. Sizes are read off the tensors, and what they do not tell stands here: all families have
group norms of 32 groups; 1.x has 8 heads everywhere, 2.x and SDXL 64 channels per head; latents are
scaled by 0.18215, SDXL's by 0.13025.

Not here: what kind of file it is (`single_files`), and its text encoders (`single_file_text`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import ModelFileError
from .single_file_filling import count, filled, renamed, size
from .single_file_text import text_encoders, tokenizers
from .single_files import (
    CONTROL,
    UNET,
    WeightsFile,
    open_weights,
    prediction_type,
    recognise,
)

__all__ = [
    "CheckpointParts",
    "checkpoint_parts",
    "checkpoint_parts_of",
    "controlnet_of_file",
    "vae_dtype",
]

_VAE = "first_stage_model."
_SCALING_FACTORS = {"sd1": 0.18215, "sd2": 0.18215, "sdxl": 0.13025}
_SIZE_EMBEDDING = {
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
"""What reads SDXL's pooled embeddings and sizes: diffusers' name -> the original one."""


@dataclass(frozen=True)
class CheckpointParts:
    """A text-to-image checkpoint, taken apart.

    Attributes:
        family: "sd1", "sd2" or "sdxl".
        unet: diffusers' UNet2DConditionModel.
        vae: diffusers' AutoencoderKL.
        text_encoders: transformers' CLIPTextModel, for SDXL with a CLIPTextModelWithProjection.
        tokenizers: transformers' CLIPTokenizer, one for each.
        alphas_cumprod: (1000,) abar_t of Stable Diffusion's schedule.
        prediction_type: "epsilon" or "v_prediction".
    """

    family: str
    unet: Any
    vae: Any
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    alphas_cumprod: Tensor
    prediction_type: str


def checkpoint_parts(path: Path, dtype: torch.dtype) -> CheckpointParts:
    """Read a Stable Diffusion 1.x, 2.x or SDXL checkpoint, frozen and on the CPU.

    Args:
        path: safetensors or a torch file of tensors alone.
        dtype: of every weight; each is copied once, into a network that had none. SDXL's VAE may
            get a wider one (`vae_dtype`).

    Raises:
        ModelFileError: the file is something else, quantised, damaged or incomplete.
    """
    return checkpoint_parts_of(open_weights(path), dtype)


def checkpoint_parts_of(file: WeightsFile, dtype: torch.dtype) -> CheckpointParts:
    """Do the same for a file that is open; one `without_numbers` gives networks on meta."""
    path, contents = file.path, recognise(file)
    if contents.kind not in ("sd1", "sd2", "sdxl"):
        raise ModelFileError(
            f"{path}: this is {contents.what}; a base model is a whole checkpoint (UNet, VAE and "
            "text encoder) of Stable Diffusion 1.x, 2.x or SDXL. Name such a file."
        )
    family = contents.kind
    unet = _unet(file, dtype)
    vae = _vae(file, vae_dtype(family, dtype), _SCALING_FACTORS[family])
    encoders = text_encoders(file, dtype, family)
    widths = sum(one.config.hidden_size for one in encoders), unet.config.cross_attention_dim
    if widths[0] != widths[1]:
        raise ModelFileError(
            f"{path}: its text encoder makes embeddings of {widths[0]} channels and its UNet reads "
            f"{widths[1]}; the file was put together from models that do not fit. Name another."
        )
    return CheckpointParts(
        family,
        unet,
        vae,
        encoders,
        tokenizers(family),
        _alphas_cumprod(file),
        prediction_type(file),
    )


def vae_dtype(family: str, dtype: torch.dtype, *, force_upcast: bool = True) -> torch.dtype:
    """Return the number format of a VAE whose UNet has `dtype`.

    SDXL's decoder overflows in fp16, so it computes in float32 there; bf16 reaches far enough.

    Args:
        family: "sd1", "sd2" or "sdxl".
        dtype: of the UNet.
        force_upcast: false for a VAE that was mended for fp16, as diffusers' config says. In a
            single file nothing says so.
    """
    overflows = family == "sdxl" and force_upcast and dtype == torch.float16
    return torch.float32 if overflows else dtype


def controlnet_of_file(path: Path, dtype: torch.dtype, *, numbers: bool = True) -> Any:
    """Read a ControlNet of Stable Diffusion 1.x, 2.x or SDXL on the CPU, as diffusers' class.

    Args:
        path: in the layout of the original releases, with the prefix `control_model.` or bare, or
            in diffusers' layout.
        dtype: of every weight.
        numbers: off gives a network on meta, of which only the file's header was read.

    Raises:
        ModelFileError: the file is something else, quantised, damaged or incomplete.
    """
    from diffusers import ControlNetModel

    file = open_weights(path)
    contents = recognise(file)
    if contents.kind != "controlnet":
        raise ModelFileError(
            f"{path}: this is {contents.what}; a ControlNet of Stable Diffusion 1.x, 2.x or "
            "SDXL is needed. Name such a file."
        )
    if not numbers:
        file = file.without_numbers()
    # Original releases hold the base model beside the ControlNet.
    prefix = CONTROL if file.under(CONTROL) else ""
    tensors = {
        name.removeprefix(prefix): tensor
        for name, tensor in file.read(file.under(prefix), dtype).items()
    }
    layers = {"layers_per_block": _layers_per_block(tensors)}
    part, hint = "ControlNet", "controlnet_cond_embedding."
    named = renamed(file, part, tensors, _converted_controlnet, layers)
    blocks = count(named, rf"{re.escape(hint)}blocks\.(\d+)\.")
    # Of two convolutions the second one widens.
    widening = ["conv_in", *(f"blocks.{index}" for index in range(1, blocks, 2))]
    config = _encoder_config(file, part, named) | {
        "conditioning_channels": size(file, part, named, f"{hint}conv_in.weight", 1),
        "conditioning_embedding_out_channels": [
            size(file, part, named, f"{hint}{name}.weight", 0) for name in widening
        ],
    }
    return filled(file, part, ControlNetModel, config, named)


def _converted_controlnet(tensors: dict[str, Tensor], config: Any) -> dict[str, Tensor | None]:
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    # The function does not know SDXL's.
    found: dict[str, Tensor | None] = {
        f"{ours}.{kind}": tensors[f"{theirs}.{kind}"]
        for ours, theirs in _SIZE_EMBEDDING.items()
        for kind in ("weight", "bias")
        if f"{theirs}.{kind}" in tensors
    }
    converted: dict[str, Tensor | None] = convert_controlnet_checkpoint(tensors, config)
    return converted | found


def _alphas_cumprod(file: WeightsFile) -> Tensor:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        rescale_betas_zero_snr="ztsnr" in file.shapes,
    )
    alphas_cumprod: Tensor = scheduler.alphas_cumprod
    return alphas_cumprod


def _unet(file: WeightsFile, dtype: torch.dtype) -> Any:
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    tensors = file.read(file.under(UNET), dtype)
    bare = {name.removeprefix(UNET): tensor for name, tensor in tensors.items()}
    layers: dict[str, Any] = {"layers_per_block": _layers_per_block(bare)}
    if f"{_SIZE_EMBEDDING['add_embedding.linear_1']}.weight" in bare:
        layers["addition_embed_type"] = "text_time"
    named = renamed(file, "UNet", tensors, convert_ldm_unet_checkpoint, layers)
    config = _encoder_config(file, "UNet", named)
    downs = config["down_block_types"]
    config |= {
        "sample_size": 64,
        "in_channels": size(file, "UNet", named, "conv_in.weight", 1),
        "out_channels": size(file, "UNet", named, "conv_out.weight", 0),
        "up_block_types": [
            "CrossAttnUpBlock2D" if kind.startswith("Cross") else "UpBlock2D"
            for kind in reversed(downs)
        ],
    }
    return filled(file, "UNet", UNet2DConditionModel, config, named)


def _layers_per_block(tensors: Mapping[str, Tensor]) -> int:
    """Residual blocks a level, by where the first level ends; names in the original layout."""
    places = count(tensors, r"input_blocks\.(\d+)\.")
    ends = [i for i in range(places) if f"input_blocks.{i}.0.op.weight" in tensors]
    return (ends[0] if ends else places) - 1


def _encoder_config(file: WeightsFile, part: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what the down blocks of a UNet or ControlNet tell, under diffusers' names."""
    levels = range(count(tensors, r"down_blocks\.(\d+)\."))
    channels = [
        size(file, part, tensors, f"down_blocks.{level}.resnets.0.conv2.weight", 0)
        for level in levels
    ]
    attends = [f"down_blocks.{level}.attentions.0.proj_in.weight" in tensors for level in levels]
    contexts = [
        size(file, part, tensors, name, 1)
        for name in tensors
        if name.endswith(".attn2.to_k.weight")
    ]
    projections = [t.ndim for key, t in tensors.items() if key.endswith(".proj_in.weight")]
    linear = bool(projections) and projections[0] == 2
    depths = [
        count(tensors, rf"down_blocks\.{level}\.attentions\.0\.transformer_blocks\.(\d+)\.")
        for level in levels
    ]
    config = {
        "in_channels": 4,
        "block_out_channels": channels,
        "down_block_types": ["CrossAttnDownBlock2D" if one else "DownBlock2D" for one in attends],
        "layers_per_block": count(tensors, r"down_blocks\.0\.resnets\.(\d+)\."),
        "cross_attention_dim": contexts[0] if contexts else None,
        "use_linear_projection": linear,
        # diffusers' old name: Stable Diffusion has always counted heads there.
        "attention_head_dim": [max(1, width // 64) for width in channels] if linear else 8,
        # The attention of 2.1 overflows in fp16; in wider formats this changes nothing.
        "upcast_attention": linear and "add_embedding.linear_1.weight" not in tensors,
        "transformer_layers_per_block": [max(1, depth) for depth in depths],
    }
    if "add_embedding.linear_1.weight" in tensors:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": size(
                file, part, tensors, "add_embedding.linear_1.weight", 1
            ),
        }
    return config


def _vae(file: WeightsFile, dtype: torch.dtype, scaling_factor: float) -> Any:
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    # Some releases hold the weights of the loss that the VAE was trained by, too.
    parts = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
    tensors = file.read([name for part in parts for name in file.under(_VAE + part)], dtype)
    levels = count(tensors, rf"{re.escape(_VAE)}encoder\.down\.(\d+)\.")
    config: dict[str, Any] = {
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }
    named = renamed(file, "VAE", tensors, convert_ldm_vae_checkpoint, config)
    config |= {
        "block_out_channels": [
            size(file, "VAE", named, f"encoder.down_blocks.{level}.resnets.0.conv2.weight", 0)
            for level in range(levels)
        ],
        "layers_per_block": count(named, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
        "latent_channels": size(file, "VAE", named, "decoder.conv_in.weight", 1),
        "scaling_factor": scaling_factor,
    }
    return filled(file, "VAE", AutoencoderKL, config, named)
