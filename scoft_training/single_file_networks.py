"""The networks inside one file of weights, as diffusers' and transformers' classes.

The file is in the layout of the original releases (LDM); diffusers' own functions rename its
tensors. Sizes are read off the tensors, and what they do not tell stands here: both families have
group norms of 32 groups, 64 channels per head in the text encoder and a latent scale of 0.18215;
1.x has 8 heads everywhere, 2.x 64 channels per head and reads the text encoder's last layer but
one. CLIP's vocabulary comes from open_clip, so no network is touched.

Not here: what kind of file it is (`single_files`).
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import ModelFileError
from .single_files import (
    CONTROL,
    UNET,
    WeightsFile,
    open_weights,
    prediction_type,
    recognise,
)
from .weights import fill_network

__all__ = ["CheckpointParts", "checkpoint_parts", "clip_tokenizer", "controlnet_of_file"]

_VAE = "first_stage_model."
_CLIP = "cond_stage_model.transformer."
_OPEN_CLIP = "cond_stage_model.model."
_SCALING_FACTOR = 0.18215


@dataclass(frozen=True)
class CheckpointParts:
    """A text-to-image checkpoint, taken apart.

    Attributes:
        family: "sd1" or "sd2".
        unet: diffusers' UNet2DConditionModel.
        vae: diffusers' AutoencoderKL.
        text_encoder: transformers' CLIPTextModel.
        tokenizer: transformers' CLIPTokenizer.
        alphas_cumprod: (1000,) abar_t of Stable Diffusion's schedule.
        prediction_type: "epsilon" or "v_prediction".
    """

    family: str
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    alphas_cumprod: Tensor
    prediction_type: str


def checkpoint_parts(path: Path, dtype: torch.dtype) -> CheckpointParts:
    """Read a Stable Diffusion 1.x or 2.x checkpoint, frozen and on the CPU.

    Args:
        path: safetensors or a torch file of tensors alone.
        dtype: of every weight; each is copied once, into a network that had none.

    Raises:
        ModelFileError: the file is something else, quantised, damaged or incomplete.
    """
    file = open_weights(path)
    contents = recognise(file)
    if contents.kind not in ("sd1", "sd2"):
        raise ModelFileError(
            f"{path}: this is {contents.what}; a base model is a whole Stable Diffusion 1.x or 2.x "
            "checkpoint. Name such a file."
        )
    family = contents.kind
    unet = _unet(file, dtype)
    vae = _vae(file, dtype)
    text_encoder = _text_encoder(file, dtype, family)
    widths = text_encoder.config.hidden_size, unet.config.cross_attention_dim
    if widths[0] != widths[1]:
        raise ModelFileError(
            f"{path}: its text encoder makes embeddings of {widths[0]} channels and its UNet reads "
            f"{widths[1]}; the file was put together from models that do not fit. Name another."
        )
    # open_clip fills a short caption up with zeros, which is the token of "!".
    tokenizer = clip_tokenizer(pad_token="!" if family == "sd2" else "<|endoftext|>")
    if text_encoder.config.vocab_size < len(tokenizer):
        raise ModelFileError(
            f"{path}: its text encoder knows {text_encoder.config.vocab_size} tokens, fewer than "
            f"CLIP's {len(tokenizer)}. Name a checkpoint with CLIP's own vocabulary."
        )
    return CheckpointParts(
        family, unet, vae, text_encoder, tokenizer, _alphas_cumprod(file), prediction_type(file)
    )


def controlnet_of_file(path: Path, dtype: torch.dtype) -> Any:
    """Read a ControlNet of Stable Diffusion 1.x or 2.x on the CPU, as diffusers' class.

    Args:
        path: in the layout of the original releases, with the prefix `control_model.` or bare, or
            in diffusers' layout.
        dtype: of every weight.

    Raises:
        ModelFileError: the file is something else, quantised, damaged or incomplete.
    """
    from diffusers import ControlNetModel
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    file = open_weights(path)
    contents = recognise(file)
    if contents.kind != "controlnet":
        raise ModelFileError(
            f"{path}: this is {contents.what}; a ControlNet of Stable Diffusion 1.x or 2.x is "
            "needed. Name such a file."
        )
    # Original releases hold the base model beside the ControlNet.
    prefix = CONTROL if file.under(CONTROL) else ""
    tensors = {
        name.removeprefix(prefix): tensor
        for name, tensor in file.read(file.under(prefix), dtype).items()
    }
    layers = {"layers_per_block": _layers_per_block(tensors)}
    part, hint = "ControlNet", "controlnet_cond_embedding."
    renamed = _renamed(file, part, tensors, convert_controlnet_checkpoint, layers)
    blocks = _count(renamed, rf"{re.escape(hint)}blocks\.(\d+)\.")
    # Of two convolutions the second one widens.
    widening = ["conv_in", *(f"blocks.{index}" for index in range(1, blocks, 2))]
    config = _encoder_config(file, part, renamed) | {
        "conditioning_channels": _size(file, part, renamed, f"{hint}conv_in.weight", 1),
        "conditioning_embedding_out_channels": [
            _size(file, part, renamed, f"{hint}{name}.weight", 0) for name in widening
        ],
    }
    return _filled(file, part, ControlNetModel, config, renamed)


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
    layers = {"layers_per_block": _layers_per_block(bare)}
    renamed = _renamed(file, "UNet", tensors, convert_ldm_unet_checkpoint, layers)
    config = _encoder_config(file, "UNet", renamed)
    downs = config["down_block_types"]
    config |= {
        "sample_size": 64,
        "in_channels": _size(file, "UNet", renamed, "conv_in.weight", 1),
        "out_channels": _size(file, "UNet", renamed, "conv_out.weight", 0),
        "up_block_types": [
            "CrossAttnUpBlock2D" if kind.startswith("Cross") else "UpBlock2D"
            for kind in reversed(downs)
        ],
    }
    return _filled(file, "UNet", UNet2DConditionModel, config, renamed)


def _layers_per_block(tensors: Mapping[str, Tensor]) -> int:
    """Residual blocks a level, by where the first level ends; names in the original layout."""
    places = _count(tensors, r"input_blocks\.(\d+)\.")
    ends = [i for i in range(places) if f"input_blocks.{i}.0.op.weight" in tensors]
    return (ends[0] if ends else places) - 1


def _encoder_config(file: WeightsFile, part: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what the down blocks of a UNet or ControlNet tell, under diffusers' names."""
    levels = range(_count(tensors, r"down_blocks\.(\d+)\."))
    channels = [
        _size(file, part, tensors, f"down_blocks.{level}.resnets.0.conv2.weight", 0)
        for level in levels
    ]
    attends = [f"down_blocks.{level}.attentions.0.proj_in.weight" in tensors for level in levels]
    contexts = [
        _size(file, part, tensors, name, 1)
        for name in tensors
        if name.endswith(".attn2.to_k.weight")
    ]
    projections = [t.ndim for key, t in tensors.items() if key.endswith(".proj_in.weight")]
    linear = bool(projections) and projections[0] == 2
    return {
        "in_channels": 4,
        "block_out_channels": channels,
        "down_block_types": ["CrossAttnDownBlock2D" if one else "DownBlock2D" for one in attends],
        "layers_per_block": _count(tensors, r"down_blocks\.0\.resnets\.(\d+)\."),
        "cross_attention_dim": contexts[0] if contexts else None,
        "use_linear_projection": linear,
        # diffusers' old name: Stable Diffusion has always counted heads there.
        "attention_head_dim": [max(1, width // 64) for width in channels] if linear else 8,
        # The attention of 2.1 overflows in fp16; in wider formats this changes nothing.
        "upcast_attention": linear,
    }


def _vae(file: WeightsFile, dtype: torch.dtype) -> Any:
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    # Some releases hold the weights of the loss that the VAE was trained by, too.
    parts = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
    tensors = file.read([name for part in parts for name in file.under(_VAE + part)], dtype)
    levels = _count(tensors, rf"{re.escape(_VAE)}encoder\.down\.(\d+)\.")
    config: dict[str, Any] = {
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }
    renamed = _renamed(file, "VAE", tensors, convert_ldm_vae_checkpoint, config)
    config |= {
        "block_out_channels": [
            _size(file, "VAE", renamed, f"encoder.down_blocks.{level}.resnets.0.conv2.weight", 0)
            for level in range(levels)
        ],
        "layers_per_block": _count(renamed, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
        "latent_channels": _size(file, "VAE", renamed, "decoder.conv_in.weight", 1),
        "scaling_factor": _SCALING_FACTOR,
    }
    return _filled(file, "VAE", AutoencoderKL, config, renamed)


def _text_encoder(file: WeightsFile, dtype: torch.dtype, family: str) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    tensors = _open_clip(file, dtype) if file.under(_OPEN_CLIP) else _clip(file, dtype)
    config = CLIPTextConfig(
        vocab_size=_size(file, "text encoder", tensors, "embeddings.token_embedding.weight", 0),
        hidden_size=(
            width := _size(file, "text encoder", tensors, "embeddings.token_embedding.weight", 1)
        ),
        intermediate_size=_size(
            file, "text encoder", tensors, "encoder.layers.0.mlp.fc1.weight", 0
        ),
        num_hidden_layers=_count(tensors, r"encoder\.layers\.(\d+)\."),
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=_size(
            file, "text encoder", tensors, "embeddings.position_embedding.weight", 0
        ),
        projection_dim=width,
        hidden_act="gelu" if family == "sd2" else "quick_gelu",
    )
    return _filled(file, "text encoder", CLIPTextModel, config, tensors)


def _clip(file: WeightsFile, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the weights of 1.x' text encoder, which is transformers' own, by bare names."""
    # Old merges lack the inner prefix. Positions are counted, whatever a file says of them, and
    # the projection is for comparing captions with pictures.
    names = {
        name: bare
        for name in file.under(_CLIP)
        if (bare := name.removeprefix(_CLIP).removeprefix("text_model.")).startswith(
            ("embeddings.", "encoder.", "final_layer_norm.")
        )
        and not bare.endswith("position_ids")
    }
    return {names[name]: tensor for name, tensor in file.read(names, dtype).items()}


def _open_clip(file: WeightsFile, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the weights of 2.x' text encoder without the last layer, which 2.x does not read."""
    from types import SimpleNamespace

    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    resblocks = f"{_OPEN_CLIP}transformer.resblocks."
    held = file.under(_OPEN_CLIP)
    last = _count(held, rf"{re.escape(resblocks)}(\d+)\.") - 1
    unread = (f"{resblocks}{last}.", f"{_OPEN_CLIP}logit_scale", f"{_OPEN_CLIP}attn_mask")
    names = [name for name in held if not name.startswith(unread)]
    tensors = file.read(names, dtype)
    width = _size(file, "text encoder", tensors, f"{_OPEN_CLIP}ln_final.weight", 0)
    # All that the function asks of a network.
    sizes = SimpleNamespace(config=SimpleNamespace(hidden_size=width, projection_dim=width))
    renamed = convert_open_clip_checkpoint(sizes, tensors, prefix=_OPEN_CLIP)
    renamed.pop("text_projection.weight", None)
    return {name.removeprefix("text_model."): tensor for name, tensor in renamed.items()}


def clip_tokenizer(*, pad_token: str) -> Any:
    """Return CLIP's tokenizer, made from the vocabulary that open_clip ships.

    Args:
        pad_token: fills short captions up.
    """
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    shipped = SimpleTokenizer()
    marks = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {marks.get(word, word): index for word, index in shipped.encoder.items()}
    merges = ["#version: 0.2", *(" ".join(pair) for pair in shipped.bpe_ranks)]
    # The constructor's arguments changed between versions of transformers; its files did not.
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "vocab.json": json.dumps(vocabulary, ensure_ascii=False),
            "merges.txt": "\n".join(merges) + "\n",
        }
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        return CLIPTokenizer.from_pretrained(
            folder,
            local_files_only=True,
            model_max_length=77,
            bos_token="<|startoftext|>",
            eos_token="<|endoftext|>",
            unk_token="<|endoftext|>",
            pad_token=pad_token,
        )


def _count(names: Mapping[str, Any] | list[str], pattern: str) -> int:
    """Return one more than the highest number in the names that begin like `pattern`, or 0."""
    numbers = [int(found[1]) for name in names if (found := re.match(pattern, name))]
    return max(numbers, default=-1) + 1


def _size(
    file: WeightsFile, part: str, tensors: Mapping[str, Tensor], name: str, dimension: int
) -> int:
    """Return how long a tensor is along a dimension."""
    if name not in tensors or tensors[name].ndim <= dimension:
        raise _foreign_layout(file, part, f"{name} is missing or does not fit")
    return int(tensors[name].shape[dimension])


def _renamed(
    file: WeightsFile,
    part: str,
    tensors: Mapping[str, Tensor],
    convert: Callable[..., dict[str, Tensor | None]],
    config: Mapping[str, Any],
) -> dict[str, Tensor]:
    """Return weights under diffusers' names; nothing of the file may be left out.

    Raises:
        ModelFileError: a weight that has no place in diffusers' network.
    """
    try:
        # The functions ask for every zero-convolution there could be, and give None for the rest.
        renamed = {k: t for k, t in convert(dict(tensors), config).items() if t is not None}
    except (KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise _foreign_layout(file, part, f"{error} is missing or does not fit") from error
    if len(renamed) < len(tensors):
        # A convolution of one place becomes a view of itself.
        used = {id(tensor) for tensor in renamed.values()}
        used |= {id(tensor._base) for tensor in renamed.values()}
        left = [name for name, tensor in tensors.items() if id(tensor) not in used]
        raise ModelFileError(
            f"{file.path}: its {part} has weights beyond Stable Diffusion's layout ({left[0]}; "
            f"{len(left)} in all), which training would leave out. Name another file."
        )
    return renamed


def _filled(
    file: WeightsFile, part: str, network_class: Any, config: Any, tensors: dict[str, Tensor]
) -> Any:
    """Make a network without weights and give it these, uncopied; frozen.

    Raises:
        ModelFileError: naming the first weights that are missing or do not fit.
    """
    from accelerate import init_empty_weights

    arguments = config if isinstance(config, dict) else {"config": config}
    try:
        # Buffers, such as the text encoder's positions, are in no file and are made for real.
        with torch.random.fork_rng(devices=[]), init_empty_weights(include_buffers=False):
            network = network_class(**arguments)
    except (RuntimeError, ValueError, TypeError, LookupError, ZeroDivisionError) as error:
        raise _foreign_layout(file, part, "its sizes do not make a network") from error
    # transformers below 5.6 keeps the text model one level deeper.
    if any(name.startswith("text_model.") for name in network.state_dict()):
        tensors = {f"text_model.{name}": tensor for name, tensor in tensors.items()}
    with torch.inference_mode(False):
        fill_network(
            network,
            tensors,
            path=file.path,
            expected=f"Stable Diffusion's {part}",
            remedy="The file is incomplete or of another kind: name another.",
        )
    return network.requires_grad_(False).eval()


def _foreign_layout(file: WeightsFile, part: str, detail: str) -> ModelFileError:
    return ModelFileError(
        f"{file.path}: its {part} does not have Stable Diffusion's layout ({detail}). The file is "
        "incomplete or of another kind; name another."
    )
