"""Checkpoints in the layout of the original releases, written from diffusers' networks.

The names are inverted here on their own, without diffusers' converter, which the engine uses.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "SD1_UNET",
    "SD2_UNET",
    "SDXL_TEXT_2",
    "SDXL_UNET",
    "SDXL_VAE",
    "SD_TEXT",
    "SD_VAE",
    "TRUE_SIZES",
    "build",
    "controlnet_tensors",
    "ldm_checkpoint",
    "ldm_controlnet",
    "small_networks",
    "write_sparse",
]

_ATTENDING = {
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
SD1_UNET = {
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    **_ATTENDING,
}
SD2_UNET = {
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
    **_ATTENDING,
}
SDXL_UNET = {
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
}
SD_VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
}
SD_TEXT = {
    "sd1": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "hidden_act": "quick_gelu",
    },
    "sd2": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "hidden_act": "gelu",
    },
}
SDXL_TEXT_2 = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
SDXL_VAE = {**SD_VAE, "scaling_factor": 0.13025}
TRUE_SIZES = {
    "sd1": (SD1_UNET, SD_VAE, SD_TEXT["sd1"]),
    "sd2": (SD2_UNET, SD_VAE, SD_TEXT["sd2"]),
    "sdxl": (SDXL_UNET, SDXL_VAE, SD_TEXT["sd1"], SDXL_TEXT_2),
}
"""Arguments of `build` for the networks of the releases."""


def build(unet: dict, vae: dict, text: dict, text_2: dict | None = None) -> dict[str, Any]:
    """Return the networks of these configs; SDXL's has a second text encoder."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    networks = {
        "unet": UNet2DConditionModel(**unet),
        "vae": AutoencoderKL(**vae),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**text)),
    }
    if text_2 is not None:
        networks["text_encoder_2"] = CLIPTextModelWithProjection(CLIPTextConfig(**text_2))
    return networks


def small_networks(family: str) -> dict[str, Any]:
    """Return networks built as a family is, with few channels and random weights."""
    if family == "sdxl":
        return _random_networks(*_small_sdxl())
    channels = [32, 64, 96] if family == "sd1" else [64, 128, 192]
    width = channels[1]
    unet = {
        "block_out_channels": channels,
        "down_block_types": ["CrossAttnDownBlock2D"] * 2 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 2,
        "cross_attention_dim": width,
        "attention_head_dim": 8 if family == "sd1" else [1, 2, 3],
        "use_linear_projection": family == "sd2",
        "sample_size": 64,
    }
    vae = {**SD_VAE, "block_out_channels": [32, 32, 64, 64], "layers_per_block": 1}
    text = {
        **SD_TEXT[family],
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": 3,
        "num_attention_heads": width // 64,
    }
    return _random_networks(unet, vae, text)


def _small_sdxl() -> tuple[dict, ...]:
    unet = {
        **SDXL_UNET,
        "block_out_channels": [64, 128, 192],
        "attention_head_dim": [1, 2, 3],
        "transformer_layers_per_block": [1, 2, 3],
        # Both text encoders' channels; the second's projection and six sizes.
        "cross_attention_dim": 64 + 128,
        "projection_class_embeddings_input_dim": 96 + 6 * 256,
        "sample_size": 64,
    }
    vae = {**SDXL_VAE, "block_out_channels": [32, 32, 64, 64], "layers_per_block": 1}
    texts = [
        {
            **shape,
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_hidden_layers": 3,
            "num_attention_heads": width // 64,
        }
        for shape, width in ((SD_TEXT["sd1"], 64), (SDXL_TEXT_2, 128))
    ]
    texts[1]["projection_dim"] = 96
    return unet, vae, *texts


def _random_networks(*configs: dict) -> dict[str, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20240801)
        networks = build(*configs)
        # Fresh norms are ones and zeros, which hides a swap of two of them.
        for network in networks.values():
            for name, value in network.named_parameters():
                if "norm" in name:
                    torch.nn.init.normal_(value, mean=float(name.endswith("weight")), std=0.03)
    return {name: network.requires_grad_(False).eval() for name, network in networks.items()}


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


def _unet_name(name: str, layers: int, attending: set[int]) -> str:
    module, _, kind = name.rpartition(".")
    if module in _UNET_ENDS:
        return f"{_UNET_ENDS[module]}.{kind}"
    side, *rest = name.split(".")
    if side == "mid_block":
        what, index, *inner = rest
        place = f"middle_block.{1 if what == 'attentions' else 2 * int(index)}"
    else:
        block, what, index, *inner = rest
        block, index = int(block), int(index)
        if what == "downsamplers":
            return f"input_blocks.{(block + 1) * (layers + 1)}.0.op.{kind}"
        if what == "upsamplers":
            second = 2 if block in attending else 1
            return f"output_blocks.{block * (layers + 1) + layers}.{second}.conv.{kind}"
        first = 1 if side == "down_blocks" else 0
        sides = {"down_blocks": "input_blocks", "up_blocks": "output_blocks"}
        place = f"{sides[side]}.{first + block * (layers + 1) + index}"
        place += ".1" if what == "attentions" else ".0"
    if what == "resnets":
        inner = [_RESNET[inner[0]], *inner[1:]]
    return ".".join([place, *inner])


def _vae_name(name: str, levels: int) -> str:
    found = re.match(r"decoder\.up_blocks\.(\d+)\.", name)
    if found:
        name = f"decoder.up.{levels - 1 - int(found[1])}.{name[found.end() :]}"
    for ours, theirs in (
        (r"\.down_blocks\.", ".down."),
        (r"\.(down|up)samplers\.0\.conv", r".\1sample.conv"),
        (r"\.mid_block\.resnets\.0", ".mid.block_1"),
        (r"\.mid_block\.resnets\.1", ".mid.block_2"),
        (r"\.mid_block\.attentions\.0\.group_norm", ".mid.attn_1.norm"),
        (r"\.mid_block\.attentions\.0\.to_([qkv])", r".mid.attn_1.\1"),
        (r"\.mid_block\.attentions\.0\.to_out\.0", ".mid.attn_1.proj_out"),
        (r"\.resnets\.", ".block."),
        (r"\.conv_shortcut", ".nin_shortcut"),
        (r"\.conv_norm_out", ".norm_out"),
    ):
        name = re.sub(ours, theirs, name)
    return name


def _open_clip(weights: dict, layers: int, projection: torch.Tensor | None = None) -> dict:
    """open_clip's text tower: joined projections.

    Without a projection (2.x) with one layer more than is read.
    """
    found = {
        "positional_embedding": weights["embeddings.position_embedding.weight"],
        "token_embedding.weight": weights["embeddings.token_embedding.weight"],
        "ln_final.weight": weights["final_layer_norm.weight"],
        "ln_final.bias": weights["final_layer_norm.bias"],
    }
    width = found["ln_final.weight"].shape[0]
    found["text_projection"] = torch.zeros(width, width) if projection is None else projection.T
    found["logit_scale"] = torch.zeros(())
    names = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
    }
    for layer in range(layers + (projection is None)):
        block = f"transformer.resblocks.{layer}"
        source = f"encoder.layers.{min(layer, layers - 1)}"
        for kind in ("weight", "bias"):
            for ours, theirs in names.items():
                found[f"{block}.{theirs}.{kind}"] = weights[f"{source}.{ours}.{kind}"]
            parts = [weights[f"{source}.self_attn.{one}_proj.{kind}"] for one in "qkv"]
            found[f"{block}.attn.in_proj_{kind}"] = torch.cat(parts)
    return found


def ldm_checkpoint(networks: dict[str, Any], family: str) -> dict[str, torch.Tensor]:
    """Return a whole checkpoint's tensors under the original releases' names."""
    unet, vae = networks["unet"], networks["vae"]
    kinds = unet.config.up_block_types
    attending = {index for index, kind in enumerate(kinds) if kind.startswith("CrossAttn")}
    tensors = {}
    for name, value in unet.state_dict().items():
        theirs = _unet_name(name, unet.config.layers_per_block, attending)
        tensors[f"model.diffusion_model.{theirs}"] = value
    for name, value in vae.state_dict().items():
        theirs = _vae_name(name, len(vae.config.block_out_channels))
        if ".attn_1." in theirs and value.ndim == 2:
            value = value[:, :, None, None]
        tensors[f"first_stage_model.{theirs}"] = value
    text = _bare(networks["text_encoder"])
    if family != "sd2":
        prefix = "cond_stage_model.transformer.text_model."
        if family == "sdxl":
            prefix = "conditioner.embedders.0.transformer.text_model."
        tensors |= {prefix + name: value for name, value in text.items()}
        tensors[f"{prefix}embeddings.position_ids"] = torch.arange(77)[None]
    else:
        layers = networks["text_encoder"].config.num_hidden_layers
        joined = _open_clip(text, layers)
        tensors |= {f"cond_stage_model.model.{name}": value for name, value in joined.items()}
    if family == "sdxl":
        second = networks["text_encoder_2"]
        layers = second.config.num_hidden_layers
        joined = _open_clip(_bare(second), layers, second.text_projection.weight)
        tensors |= {
            f"conditioner.embedders.1.model.{name}": value for name, value in joined.items()
        }
    # What the trainer kept beside the weights.
    tensors["alphas_cumprod"] = torch.zeros(1000)
    tensors["model_ema.decay"] = torch.tensor(0.9999)
    tensors["model_ema.diffusion_modelinput_blocks00weight"] = torch.zeros(3)
    return {name: value.contiguous().clone() for name, value in tensors.items()}


def _bare(text_encoder: Any) -> dict[str, torch.Tensor]:
    weights = text_encoder.state_dict()
    return {name.removeprefix("text_model."): value for name, value in weights.items()}


def controlnet_tensors(unet: Any) -> Any:
    """Return a ControlNetModel for a UNet whose last layers are not silent."""
    from diffusers import ControlNetModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = ControlNetModel.from_unet(unet)
        for name, value in network.named_parameters():
            if "controlnet_" in name:
                torch.nn.init.normal_(value, std=0.1)
    return network.requires_grad_(False).eval()


def ldm_controlnet(network: Any, prefix: str = "control_model.") -> dict[str, torch.Tensor]:
    """Return a ControlNet's tensors under the original releases' names."""
    tensors = {}
    for name, value in network.state_dict().items():
        module, _, kind = name.rpartition(".")
        if found := re.fullmatch(r"controlnet_down_blocks\.(\d+)", module):
            theirs = f"zero_convs.{found[1]}.0"
        elif module == "controlnet_mid_block":
            theirs = "middle_block_out.0"
        elif module == "controlnet_cond_embedding.conv_in":
            theirs = "input_hint_block.0"
        elif module == "controlnet_cond_embedding.conv_out":
            theirs = "input_hint_block.14"
        elif found := re.fullmatch(r"controlnet_cond_embedding\.blocks\.(\d+)", module):
            theirs = f"input_hint_block.{2 * int(found[1]) + 2}"
        else:
            renamed = _unet_name(name, network.config.layers_per_block, set())
            theirs = renamed.rpartition(".")[0]
        tensors[f"{prefix}{theirs}.{kind}"] = value.clone()
    return tensors


def write_sparse(path: Path, shapes: dict[str, tuple[int, ...]], kind: str = "F16") -> None:
    """Write a safetensors file of zeros of these shapes that takes no room on the disk.

    Args:
        path: new.
        shapes: by name.
        kind: number format, of 4, 2 or 1 bytes: F32, F16, F8_E4M3.
    """
    size = {"F32": 4, "F16": 2, "F8_E4M3": 1}[kind]
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + size * torch.Size(shape).numel()
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
