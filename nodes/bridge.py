"""The host's MODEL, CLIP, VAE and CONTROL_NET as the engine's objects: copies, no shared tensors.

The host builds its networks from Stable Diffusion's first published layout, the engine from
diffusers'. Weights are renamed and copied; what the copies compute is compared in
`tests/test_bridge.py` and `tests/test_miniature_host.py`. The other direction is in
`bridge_to_host`.

Everything here runs outside of inference mode (`host.training_mode`): the host's tensors are
inference tensors, and a parameter that is one cannot be trained through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import comfy.cldm.cldm
import comfy.controlnet
import comfy.lora
import comfy.model_sampling
import comfy.utils
import torch
from torch import Tensor, nn

from ..scoft_training.control_models import ControlNet
from ..scoft_training.errors import ConfigError
from ..scoft_training.models import BaseModel, NoiseSchedule, base_digest
from . import host
from .bridge_captions import HostCaptionEncoder

__all__ = ["base_from_host", "control_names", "controlnet_from_host"]

_ACCEPTED = "Training on the canvas takes Stable Diffusion 1.x models."
_KINDS = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "SDXL"}
"""By the channels of the prompt embeddings that a network reads."""
_HINT_CHANNELS = (16, 32, 96, 256)
"""Of the ControlNet's hint network: the host has them in its code, as diffusers' default."""


def base_from_host(model: Any, clip: Any, vae: Any, *, name: str, dtype: torch.dtype) -> BaseModel:
    """Return the host's model as the engine trains it.

    Args:
        model: MODEL; patches on its weights (LoRAs, merges) are baked into the copy.
        clip: CLIP; stays the host's, which encodes the captions.
        vae: VAE.
        name: shown to people and written into the LoRA file.
        dtype: of the copied weights.

    Raises:
        ConfigError: another family, quantised weights, or changes that a copy cannot carry.
    """
    family = _family(model)
    _require_plain_network(model)
    # While a model is loaded, the host holds its patches in the weights themselves.
    host.unload_models()
    unet = _unet(model, dtype)
    schedule = _schedule(model)
    latent_format = model.get_model_object("latent_format")
    engine_vae = _vae(vae, float(latent_format.scale_factor), dtype)
    if unet.config.in_channels != engine_vae.config.latent_channels:
        raise ConfigError(
            f"The MODEL takes latents of {unet.config.in_channels} channels and the VAE makes "
            f"{engine_vae.config.latent_channels}. Connect the VAE that belongs to the model."
        )
    captions = HostCaptionEncoder(clip)
    widths = (
        captions.encode([""]).conditioning.prompt_embeds.shape[-1],
        unet.config.cross_attention_dim,
    )
    captions.to(torch.device("cpu"))
    if widths[0] != widths[1]:
        raise ConfigError(
            f"The CLIP makes prompt embeddings of {widths[0]} channels and the MODEL reads "
            f"{widths[1]}. Connect the CLIP that belongs to the model."
        )
    return BaseModel(
        name,
        family,
        unet,
        engine_vae,
        captions,
        schedule,
        base_digest(unet, engine_vae, captions, schedule),
    )


def _family(model: Any) -> str:
    """Say what kind of model this is, or why it cannot be trained."""
    network = model.model
    kind = type(network.model_config).__name__
    config = network.model_config.unet_config
    if "model_channels" not in config or not config.get("use_spatial_transformer", True):
        raise ConfigError(f"This MODEL is of the kind {kind}, not a UNet. {_ACCEPTED}")
    if config["in_channels"] != 4 or config.get("out_channels", 4) != 4:
        raise ConfigError(
            f"This MODEL ({kind}) takes {config['in_channels']} channels, as inpainting and "
            f"editing models do. {_ACCEPTED}"
        )
    if config.get("use_temporal_attention"):
        raise ConfigError(f"This MODEL ({kind}) draws videos. {_ACCEPTED}")
    if config.get("adm_in_channels") is not None or config["context_dim"] == 1024:
        named = "SDXL" if config["context_dim"] == 2048 else kind
        raise ConfigError(
            f"This MODEL is of the kind {named}. {_ACCEPTED} Stable Diffusion 2.x is trained by "
            "the command `scoft train`."
        )
    return "sd1"


def _require_plain_network(model: Any) -> None:
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


def diffusers_unet_config(layout: Mapping[str, Any], norm_num_groups: int) -> dict[str, Any]:
    """Return diffusers' config of the host's `unet_config`.

    Args:
        layout: of Stable Diffusion 1.x, 2.x or SDXL, with any numbers of channels.
        norm_num_groups: of its group norms, which the host does not write down.

    Raises:
        ConfigError: levels of different depth inside, which diffusers' classes cannot hold.
    """
    channels = [round(layout["model_channels"] * factor) for factor in layout["channel_mult"]]
    blocks = list(layout["num_res_blocks"])
    depths = _per_level(layout["transformer_depth"], blocks, 0)
    ups = _per_level(layout["transformer_depth_output"], blocks, 1)
    if len(set(blocks)) != 1 or depths is None or depths != ups:
        raise ConfigError(f"This MODEL's UNet is built unevenly. {_ACCEPTED}")
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
        "layers_per_block": blocks[0],
        "transformer_layers_per_block": [max(1, depth) for depth in depths],
        "cross_attention_dim": layout["context_dim"],
        # diffusers' old name: Stable Diffusion has always counted heads there.
        "attention_head_dim": heads if width == -1 else [count // width for count in channels],
        "use_linear_projection": bool(layout.get("use_linear_in_transformer")),
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


def _per_level(depths: Sequence[int], blocks: Sequence[int], more: int) -> list[int] | None:
    """Return one depth a level from one a residual block; None where a level has several."""
    found, rest = [], list(depths)
    for count in blocks:
        level, rest = rest[: count + more], rest[count + more :]
        if len(set(level)) != 1:
            return None
        found.append(level[0])
    return found


def _unet(model: Any, dtype: torch.dtype) -> nn.Module:
    from diffusers import UNet2DConditionModel

    layout = model.model.model_config.unet_config
    config = diffusers_unet_config(layout, _norm_groups(model.model.diffusion_model))
    weights = _baked_weights(model, "MODEL", dtype, "diffusion_model.")
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    renamed = _renamed(weights, comfy.utils.unet_to_diffusers(layout), unet, "MODEL")
    return _filled(unet, renamed, "MODEL")


def _baked_weights(
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
        if value.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
            raise ConfigError(
                f"This {socket}'s weights are quantised "
                f"({str(value.dtype).removeprefix('torch.')}). Training needs them in fp16, bf16 "
                "or fp32: load such a file, with `weight_dtype` at default."
            )
        weight = value.detach().to("cpu", torch.float32, copy=True)
        if key in patcher.patches:
            patches = [_copied(patch) for patch in patcher.patches[key]]
            weight = comfy.lora.calculate_weight(patches, weight, key)
        found[key.removeprefix(prefix)] = weight.to(dtype).contiguous()
    return found


def _renamed(
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
            f"{len(unknown)} in all). {_ACCEPTED}"
        )
    return {ours: weights[theirs] for ours, theirs in wanted.items() if theirs in weights}


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


_PREDICTIONS = {
    comfy.model_sampling.EPS: "epsilon",
    comfy.model_sampling.V_PREDICTION: "v_prediction",
}


def _schedule(model: Any) -> NoiseSchedule:
    sampling = model.get_model_object("model_sampling")
    # The host joins a schedule and a prediction in a class of its own. What merely derives from
    # these two (LCM from eps, Cascade's schedule from the discrete one) computes something else.
    kinds = type(sampling).__bases__
    prediction = next((_PREDICTIONS[kind] for kind in kinds if kind in _PREDICTIONS), None)
    if prediction is None or comfy.model_sampling.ModelSamplingDiscrete not in kinds:
        names = [kind.__name__ for kind in kinds] if len(kinds) > 1 else [type(sampling).__name__]
        raise ConfigError(
            f"This MODEL samples by {' and '.join(names)}. Training takes the discrete schedules "
            "eps and v_prediction, as ModelSamplingDiscrete sets them: connect the MODEL before "
            "the node that changed it."
        )
    sigmas = sampling.sigmas.detach().double().cpu().clone()
    return NoiseSchedule(1 / (sigmas.square() + 1), prediction)


def _vae(vae: Any, scaling_factor: float, dtype: torch.dtype) -> nn.Module:
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    network = vae.first_stage_model
    held = network.state_dict()
    needed = ("encoder.conv_in.weight", "decoder.conv_in.weight", "quant_conv.weight")
    if any(key not in held or held[key].ndim != 4 for key in needed):
        raise ConfigError(
            f"This VAE is of the kind {type(network).__name__}, not Stable Diffusion's. Connect "
            "the VAE of the checkpoint."
        )
    weights = _baked_weights(vae.patcher, "VAE", dtype)
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
        "norm_num_groups": _norm_groups(network),
        "scaling_factor": scaling_factor,
    }
    with torch.device("meta"):
        engine_vae = AutoencoderKL(**config)
    renamed = convert_ldm_vae_checkpoint(weights, config)
    return _filled(engine_vae, renamed, "VAE")


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

    network = getattr(control_net, "control_model", None)
    if not isinstance(network, comfy.cldm.cldm.ControlNet) or isinstance(
        control_net, comfy.controlnet.ControlLora
    ):
        raise ConfigError(
            f"This CONTROL_NET is a {type(control_net).__name__}. Negatives are drawn with a full "
            "ControlNet for depth, such as control_v11f1p_sd15_depth: load one."
        )
    layout = model.model.model_config.unet_config
    read = _context_channels(network)
    if read != layout["context_dim"]:
        raise ConfigError(
            f"This CONTROL_NET is for {_kind(read)} and the MODEL is {_kind(layout['context_dim'])}"
            ". Load a ControlNet for depth that belongs to the model."
        )
    host.unload_models()
    config = diffusers_unet_config(layout, _norm_groups(network))
    for key in ("sample_size", "out_channels", "up_block_types"):
        config.pop(key)
    weights = _baked_weights(control_net.control_model_wrapped, "CONTROL_NET", dtype)
    names = {**comfy.utils.unet_to_diffusers(layout), **control_names(config)}
    with torch.device("meta"):
        engine_network = ControlNetModel(
            **config,
            conditioning_channels=weights["input_hint_block.0.weight"].shape[1],
            conditioning_embedding_out_channels=_HINT_CHANNELS,
        )
    renamed = _renamed(weights, names, engine_network, "CONTROL_NET")
    return ControlNet.of("from the canvas", _filled(engine_network, renamed, "CONTROL_NET"))


def _context_channels(network: nn.Module) -> int | None:
    """How wide the prompt embeddings are that a network of the host reads."""
    widths = (
        module.in_features
        for name, module in network.named_modules()
        if name.endswith(".attn2.to_k")
    )
    return next(widths, None)


def _kind(context_channels: int | None) -> str:
    return _KINDS.get(context_channels, f"a model that reads {context_channels} channels")


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


def _norm_groups(network: nn.Module) -> int:
    groups = {m.num_groups for m in network.modules() if isinstance(m, nn.GroupNorm)}
    return max(groups, default=32)


def _filled(network: nn.Module, weights: dict[str, Tensor], socket: str) -> nn.Module:
    """Make these tensors the weights of a network without any (on meta), and freeze it.

    Filling a network that has its own would hold every weight twice, and draw the first ones.
    """
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        detail = str(error).strip().splitlines()[1].strip()
        raise ConfigError(
            f"This {socket}'s weights do not fit Stable Diffusion's layout ({detail}). {_ACCEPTED}"
        ) from error
    return network.requires_grad_(False).eval()
