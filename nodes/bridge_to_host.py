"""The miniature's networks as the host's own MODEL, VAE, CLIP and CONTROL_NET.

The host recognises Stable Diffusion 1.x by its sizes, so none of its loaders knows the miniature.
Here its classes are built by hand from diffusers' configs and weights, the way its loaders would.
It reports a key that does not fit by a log line at most and leaves that weight uninitialised, so
every builder compares the keys itself. The other direction is in `bridge`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import comfy.cldm.cldm
import comfy.controlnet
import comfy.diffusers_convert
import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import torch
from torch import Tensor

from .bridge_controlnet import control_names

__all__ = ["build_clip", "build_controlnet", "build_model", "build_vae", "unet_config"]

_PATCHER = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
"""What the host's own loaders make; hosts before 0.9 have one kind only."""

Weights = Mapping[str, Tensor]
Config = Mapping[str, Any]


class MiniatureLatents(comfy.latent_formats.LatentFormat):
    """Latents in the miniature's own units.

    Not the host's SD15 with another factor: that one also brings the colours (and the name of the
    small decoder) by which Stable Diffusion's latents are previewed, and they would be wrong here.
    """

    def __init__(self, scaling_factor: float) -> None:
        self.scale_factor = scaling_factor


class MiniatureConfig(comfy.supported_models.SD15):
    """The host's record of a model; its own SD15 would overwrite the number of heads by 8."""

    unet_extra_config: Mapping[str, Any] = {}


def build_model(
    config: Config, weights: Weights, scaling_factor: float, *, disable_dynamic: bool = False
) -> Any:
    """Return the host's MODEL, a ModelPatcher, of a UNet2DConditionModel.

    Args:
        config: of the UNet, as in its `config.json`.
        weights: its state dict, under diffusers' names.
        scaling_factor: of the VAE: the host's VAE gives and takes latents that are not scaled, and
            the MODEL scales them on their way in and out.
        disable_dynamic: never to page weights; the host asks for it when it builds a MODEL anew.
    """
    model_config = MiniatureConfig(unet_config(config))
    model_config.latent_format = MiniatureLatents(scaling_factor)
    dtype, manual_cast = _unet_dtypes(weights)
    model_config.set_inference_dtype(dtype, manual_cast)
    model = model_config.get_model({}, "")
    model.to(comfy.model_management.unet_offload_device())
    patcher = (comfy.model_patcher.ModelPatcher if disable_dynamic else _PATCHER)(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
    renamed = _renamed(weights, comfy.utils.unet_to_diffusers(model_config.unet_config))
    _require_same_keys("UNet", renamed, model.diffusion_model.state_dict())
    _set_groups(model.diffusion_model, config)
    # Newer hosts may page weights in as they are needed; theirs are the tensors themselves.
    if hasattr(patcher, "is_dynamic") and patcher.is_dynamic():
        own = {name: value.clone() for name, value in renamed.items()}
        model.load_model_weights(own, "", assign=True)
    else:
        model.load_model_weights(renamed, "")
    # How newer hosts get a second, independent MODEL: their own trainer asks for one. Older hosts
    # never read it.
    patcher.cached_patcher_init = (build_model, (config, weights, scaling_factor))
    return patcher


def build_vae(config: Config, weights: Weights) -> Any:
    """Return the host's VAE of an AutoencoderKL of four levels.

    The number of levels is fixed by the host's renaming, channels are multiples of 32.
    """
    channels = config["block_out_channels"]
    layout = {
        "double_z": True,
        "z_channels": config["latent_channels"],
        "resolution": config["sample_size"],
        "in_channels": config["in_channels"],
        "out_ch": config["out_channels"],
        "ch": channels[0],
        "ch_mult": _multiples(channels),
        "num_res_blocks": config["layers_per_block"],
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    params = {"embed_dim": config["latent_channels"], "ddconfig": layout}
    renamed = comfy.diffusers_convert.convert_vae_state_dict(weights)
    vae = comfy.sd.VAE(sd=renamed, config={"params": params})
    _require_same_keys("VAE", renamed, vae.first_stage_model.state_dict())
    _set_groups(vae.first_stage_model, config)
    return vae


def build_clip(config: Config, weights: Weights, tokenizer: Path) -> Any:
    """Return the host's CLIP, of Stable Diffusion 1.x's kind, of a CLIPTextModel.

    Args:
        config: of the text encoder, as in its `config.json`.
        weights: its state dict, with or without the prefix `text_model.` (transformers before 5).
        tokenizer: folder of a CLIPTokenizer: `vocab.json`, `merges.txt`.
    """
    settings = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    layout = {key: config[key] for key in (*settings, "max_position_embeddings", "hidden_act")}
    names = {"start": "bos_token_id", "end": "eos_token_id", "pad": "pad_token_id"}
    text_model = functools.partial(
        comfy.sd1_clip.SDClipModel,
        textmodel_json_config={**layout, "eos_token_id": config["eos_token_id"]},
        max_length=config["max_position_embeddings"],
        # Where the host would look for the pooled output, and what it weighs a prompt against.
        special_tokens={ours: config[theirs] for ours, theirs in names.items()},
        return_projected_pooled=False,
    )
    own_tokenizer = functools.partial(
        comfy.sd1_clip.SDTokenizer,
        tokenizer_path=str(tokenizer),
        max_length=config["max_position_embeddings"],
        embedding_size=config["hidden_size"],
    )
    target = comfy.supported_models_base.ClipTarget(
        comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel
    )
    state = _host_text_weights(weights)
    # The first hosts with V3 nodes load the weights after the constructor, not in it.
    takes_weights = "state_dict" in inspect.signature(comfy.sd.CLIP.__init__).parameters
    clip = comfy.sd.CLIP(
        target,
        parameters=comfy.utils.calculate_parameters(state),
        tokenizer_data={"clip_l_tokenizer_class": own_tokenizer},
        model_options={"clip_l_class": text_model, **_text_dtype(weights)},
        **({"state_dict": [state]} if takes_weights else {}),
    )
    if not takes_weights:
        clip.cond_stage_model.clip_l.load_sd(state)
    _require_same_keys("text encoder", state, clip.cond_stage_model.clip_l.transformer.state_dict())
    return clip


def build_controlnet(config: Config, weights: Weights) -> Any:
    """Return the host's CONTROL_NET of a ControlNetModel.

    Args:
        config: of the ControlNet, as in its `config.json`.
        weights: its state dict, under diffusers' names.
    """
    layout = unet_config(config)
    layout.pop("out_channels")
    dtype, manual_cast = _unet_dtypes(weights)
    network = comfy.cldm.cldm.ControlNet(
        **layout,
        hint_channels=config["conditioning_channels"],
        dtype=dtype,
        device=comfy.model_management.unet_offload_device(),
        operations=comfy.ops.pick_operations(dtype, manual_cast),
    )
    names = {**comfy.utils.unet_to_diffusers(layout), **control_names(config)}
    renamed = _renamed(weights, names)
    _require_same_keys("ControlNet", renamed, network.state_dict())
    _set_groups(network, config)
    network.load_state_dict(renamed)
    return comfy.controlnet.ControlNet(
        network.eval(),
        load_device=comfy.model_management.get_torch_device(),
        manual_cast_dtype=manual_cast,
    )


def unet_config(config: Config) -> dict[str, Any]:
    """Return the host's layout of a diffusers UNet or ControlNet.

    The host lists its transformers by residual block: on the way down layers_per_block a level, on
    the way up one more, and both lists begin at the full resolution. What diffusers never writes
    for an SD 1.x layout is what the host calls the default.
    """
    channels, layers = config["block_out_channels"], config["layers_per_block"]
    attends = [int(kind.startswith("CrossAttn")) for kind in config["down_block_types"]]
    return {
        "image_size": 32,
        "in_channels": config["in_channels"],
        "out_channels": config.get("out_channels", config["in_channels"]),
        "model_channels": channels[0],
        "channel_mult": _multiples(channels),
        "num_res_blocks": [layers] * len(channels),
        "transformer_depth": [depth for depth in attends for _ in range(layers)],
        "transformer_depth_output": [depth for depth in attends for _ in range(layers + 1)],
        "transformer_depth_middle": 1,
        "context_dim": config["cross_attention_dim"],
        # diffusers' old name for it: SD 1.x has always counted heads there.
        "num_heads": config["attention_head_dim"],
        "num_head_channels": -1,
        "use_scale_shift_norm": config["resnet_time_scale_shift"] == "scale_shift",
        "use_spatial_transformer": True,
        "use_linear_in_transformer": False,
        "adm_in_channels": None,
        "use_temporal_attention": False,
        "legacy": False,
    }


def _set_groups(network: torch.nn.Module, config: Config) -> None:
    """Give every group norm the groups it was trained with; the host always builds 32 of them."""
    for module in network.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = config["norm_num_groups"]


class _Multiple(float):
    """A factor of channel counts, such as 1.5: the host multiplies and needs a whole number."""

    def __mul__(self, channels: float) -> int:
        return round(float(self) * channels)

    __rmul__ = __mul__


def _multiples(channels: Sequence[int]) -> list[float]:
    """Return channel counts as multiples of the first one, plain integers where they are whole."""
    first = channels[0]
    return [_Multiple(count / first) if count % first else count // first for count in channels]


def _host_text_weights(weights: Weights) -> dict[str, Tensor]:
    """Return a text encoder's weights as the host's class has them.

    Its token table always has CLIP's 49,408 rows; rows past the miniature's own are zeros, never
    read. Its projection of the pooled output, which SD 1.x lacks and nobody reads, is the identity.
    """
    state = {f"text_model.{key.removeprefix('text_model.')}": weights[key] for key in weights}
    table = "text_model.embeddings.token_embedding.weight"
    padded = state[table].new_zeros(49408, state[table].shape[1])
    padded[: len(state[table])] = state[table]
    identity = torch.eye(padded.shape[1], dtype=padded.dtype, device=padded.device)
    return {**state, table: padded, "text_projection.weight": identity}


def _renamed(weights: Weights, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return weights under the host's names; one without a name there keeps its own."""
    return {names.get(key, key): value for key, value in weights.items()}


def _require_same_keys(network: str, ours: Iterable[str], theirs: Iterable[str]) -> None:
    missing, unknown = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
    if missing or unknown:
        raise ValueError(
            f"The host's {network} has another layout: it lacks {unknown[:3]} ({len(unknown)} in "
            f"all) and asks for {missing[:3]} ({len(missing)} in all)."
        )


def _unet_dtypes(weights: Weights) -> tuple[torch.dtype, torch.dtype | None]:
    """Return the format the host would keep these weights in, and the one it would compute in."""
    dtype = comfy.model_management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(weights),
        weight_dtype=comfy.utils.weight_dtype(weights),
    )
    device = comfy.model_management.get_torch_device()
    return dtype, comfy.model_management.unet_manual_cast(dtype, device)


def _text_dtype(weights: Weights) -> dict[str, torch.dtype]:
    """Keep the weights' own format: the host would round to fp16, though it computes in fp32."""
    return {"dtype": comfy.utils.weight_dtype(weights)}
