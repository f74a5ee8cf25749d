"""Which of the host's MODELs can be trained, and how their UNets are laid out.

Here stands what is refused by name. Weights are copied elsewhere (`bridge_weights`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import comfy.model_base
import comfy.model_sampling
import torch

from ..scoft_training.errors import ConfigError
from ..scoft_training.models import NoiseSchedule

__all__ = [
    "ACCEPTED",
    "diffusers_unet_config",
    "family_of",
    "noise_schedule",
    "require_plain_network",
]

ACCEPTED = "Training on the canvas takes base models of Stable Diffusion 1.x and 2.x and of SDXL."

_PREDICTIONS = {
    comfy.model_sampling.EPS: "epsilon",
    comfy.model_sampling.V_PREDICTION: "v_prediction",
}


def family_of(model: Any) -> str:
    """Say what kind of model a MODEL is: "sd1", "sd2" or "sdxl". Channel counts do not matter.

    Raises:
        ConfigError: it is another kind and cannot be trained.
    """
    network = model.model
    kind = type(network.model_config).__name__
    layout = network.model_config.unet_config
    what = ""
    if "model_channels" not in layout or not layout.get("use_spatial_transformer", True):
        what = f"is of the kind {kind}, not a UNet"
    elif layout.get("use_temporal_attention"):
        what = f"({kind}) draws videos"
    elif layout["in_channels"] != 4 or layout.get("out_channels", 4) != 4:
        channels = layout["in_channels"]
        what = f"({kind}) takes {channels} channels, as inpainting and editing models do"
    elif isinstance(network, comfy.model_base.SDXLRefiner):
        what = "is SDXL's refiner, which only finishes pictures"
    elif isinstance(network, comfy.model_base.SD21UNCLIP):
        what = f"is an unCLIP model ({kind}), which reads pictures beside captions"
    elif layout.get("adm_in_channels") is not None and not isinstance(
        network, comfy.model_base.SDXL
    ):
        what = f"({kind}) reads more than captions"
    elif _depths(layout) is None:
        what = f"({kind}) has layers left out unevenly, as distilled models do"
    if what:
        raise ConfigError(f"This MODEL {what}. {ACCEPTED}")
    if layout.get("adm_in_channels") is not None:
        return "sdxl"
    # As in a file: 2.x has linear layers around its attention where 1.x has convolutions.
    return "sd2" if layout.get("use_linear_in_transformer") else "sd1"


def require_plain_network(model: Any) -> None:
    """Refuse a MODEL whose network computes something else than its weights say.

    Changes of the guidance and of the sampler pass: training denoises by its own. So do another
    kernel of the same attention and torch.compile, which compute the same.

    Raises:
        ConfigError: naming what was found and what to connect instead.
    """
    if model.injections or model.weight_wrapper_patches:
        raise ConfigError(
            "This MODEL carries a LoRA beside its weights (loaded in bypass mode, or as a trainer "
            "left it there), where a copy of the weights lacks it. Load that LoRA with Load LoRA."
        )
    transformer_options = model.model_options.get("transformer_options", {})
    kinds = ("apply_model", "diffusion_model")
    wrapped = [model.wrappers, transformer_options.get("wrappers", {})]
    keys = {key for wrappers in wrapped for kind in kinds for key in wrappers.get(kind, ())}
    if (
        transformer_options.get("patches")
        or transformer_options.get("patches_replace")
        or model.model_options.get("model_function_wrapper")
        or keys - {"torch.compile"}
        or any(name.split(".")[0] == "diffusion_model" for name in model.object_patches)
    ):
        raise ConfigError(
            "This MODEL carries changes of its network (such as FreeU, HyperTile, ToMe or "
            "IPAdapter), which training cannot see. Connect the MODEL as it comes from its "
            "loader, or with LoRAs only."
        )


def noise_schedule(model: Any) -> NoiseSchedule:
    """Return the noise schedule of a MODEL, with what ModelSamplingDiscrete changed of it.

    Raises:
        ConfigError: it is not discrete, or another prediction than of noise or velocity.
    """
    sampling = model.get_model_object("model_sampling")
    # The host joins a schedule and a prediction in a class of its own. What merely derives from
    # these two (LCM from eps, Cascade's schedule from the discrete one) computes something else.
    kinds = type(sampling).__bases__
    prediction = next((_PREDICTIONS[kind] for kind in kinds if kind in _PREDICTIONS), None)
    if prediction is None or comfy.model_sampling.ModelSamplingDiscrete not in kinds:
        names = [kind.__name__ for kind in kinds] if len(kinds) > 1 else [type(sampling).__name__]
        patched = "model_sampling" in model.object_patches
        remedy = (
            "connect the MODEL before the node that changed it"
            if patched
            else "load another checkpoint; Playground 2.5, CosXL and Lotus are none"
        )
        raise ConfigError(
            f"This MODEL samples by {' and '.join(names)}. Training takes the discrete schedules "
            f"eps and v_prediction, as ModelSamplingDiscrete sets them: {remedy}."
        )
    sigmas = sampling.sigmas.detach().double().cpu().clone()
    return NoiseSchedule(1 / (sigmas.square() + 1), prediction)


def diffusers_unet_config(layout: Mapping[str, Any], norm_num_groups: int) -> dict[str, Any]:
    """Return diffusers' config of the host's `unet_config`.

    Args:
        layout: of a MODEL that `family_of` accepts, with any numbers of channels.
        norm_num_groups: of its group norms, which the host does not write down.
    """
    channels = [round(layout["model_channels"] * factor) for factor in layout["channel_mult"]]
    depths = _depths(layout) or []
    heads = layout.get("num_heads", -1)
    width = layout.get("num_head_channels", -1)
    attends = [depth > 0 for depth in depths]
    config = {
        "sample_size": 64,
        "in_channels": layout["in_channels"],
        "out_channels": layout.get("out_channels", layout["in_channels"]),
        "block_out_channels": channels,
        "down_block_types": ["CrossAttnDownBlock2D" if one else "DownBlock2D" for one in attends],
        "up_block_types": [
            "CrossAttnUpBlock2D" if one else "UpBlock2D" for one in reversed(attends)
        ],
        "layers_per_block": layout["num_res_blocks"][0],
        "transformer_layers_per_block": [max(1, depth) for depth in depths],
        "cross_attention_dim": layout["context_dim"],
        # diffusers' old name: Stable Diffusion has always counted heads there.
        "attention_head_dim": heads if width == -1 else [count // width for count in channels],
        "use_linear_projection": bool(layout.get("use_linear_in_transformer")),
        # The attention of 2.1 overflows in fp16; the host says so by a number format.
        "upcast_attention": layout.get("attn_precision") == torch.float32,
        "norm_num_groups": norm_num_groups,
        "resnet_time_scale_shift": (
            "scale_shift" if layout.get("use_scale_shift_norm") else "default"
        ),
    }
    if layout.get("adm_in_channels") is not None:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": layout["adm_in_channels"],
        }
    return config


def _depths(layout: Mapping[str, Any]) -> list[int] | None:
    """Return how many transformer blocks an attention has on each level; None if they differ.

    diffusers' classes hold one number a level, the same on the way up, and the last one in the
    middle.
    """
    blocks = list(layout["num_res_blocks"])
    depths = _per_level(layout["transformer_depth"], blocks, 0)
    ups = _per_level(layout["transformer_depth_output"], blocks, 1)
    if len(set(blocks)) != 1 or depths is None or depths != ups:
        return None
    return depths if layout["transformer_depth_middle"] == max(1, depths[-1]) else None


def _per_level(depths: Sequence[int], blocks: Sequence[int], more: int) -> list[int] | None:
    """Return one depth a level from one a residual block; None where a level has several."""
    found, rest = [], list(depths)
    for count in blocks:
        level, rest = rest[: count + more], rest[count + more :]
        if len(set(level)) != 1:
            return None
        found.append(level[0])
    return found
