"""Checkpoints of real size through the host's own loaders; for `test_true_shapes.py` alone.

Runs in the host's process: see `host_process`.
"""
# ruff: noqa: TID251 - this file stands on the host's side of the wall, as a node does

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.controlnet
import comfy.model_management
import comfy.sd
import folder_paths
import torch
from comfy_extras import nodes_model_merging
from safetensors.torch import load_file, save_file
from scoft_pack.nodes import bridge, bridge_captions
from scoft_pack.nodes.bridge_controlnet import controlnet_from_host
from scoft_pack.scoft_training.errors import ConfigError
from torch import Tensor
from true_shapes import CAPTIONS, Questions, drawn, unequal

import nodes  # the host's own

_HALF, _FP8 = torch.float16, torch.float8_e4m3fn


def ask_host(model: Any, asked: Questions) -> Tensor:
    """One forward of the host's UNet, its patches in its weights."""
    comfy.model_management.load_models_gpu([model])
    added = {}
    if asked.pooled is not None:
        added["y"] = model.model.encode_adm(pooled_output=asked.pooled, **asked.sizes)
    answer: Tensor = model.model.diffusion_model(
        asked.latents, asked.timesteps, context=asked.context, **added
    )
    comfy.model_management.unload_all_models()
    return answer


def whole_checkpoint(place: Path, family: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Load a checkpoint and a ControlNet and copy both: facts about the copies, and answers."""
    with torch.inference_mode():
        model, clip, vae = comfy.sd.load_checkpoint_guess_config(
            str(place / "checkpoint.safetensors"), output_vae=True, output_clip=True
        )[:3]
    answers = {"noise_pred": ask_host(model, Questions(family))}
    base = bridge.base_from_host(model, clip, vae, name="x", dtype=_HALF)
    facts = {
        "kind": type(model.model.model_config).__name__,
        "family": base.family,
        "prediction_type": base.schedule.prediction_type,
        "unequal": {part: unequal(part, getattr(base, part)) for part in ("unet", "vae")},
        "scaling_factor": base.scaling_factor,
        "vae_dtype": str(base.vae.dtype),
    }
    answers["alphas_cumprod"] = base.schedule.alphas_cumprod
    encoded = base.captions.encode(CAPTIONS)
    facts["cut"] = encoded.cut
    answers["embeds"] = encoded.conditioning.prompt_embeds
    if encoded.conditioning.pooled_prompt_embeds is not None:
        answers["pooled"] = encoded.conditioning.pooled_prompt_embeds
    del base, clip, vae
    gc.collect()
    with torch.inference_mode():
        control = comfy.controlnet.load_controlnet(str(place / "control.safetensors"))
    copied = controlnet_from_host(control, model, dtype=_HALF)
    facts["unequal"]["controlnet"] = unequal("controlnet", copied.network)
    return facts, answers


def separate_text_encoders(family: str) -> Tensor:
    """Return the captions' embeddings by the loader of text encoders alone."""
    if family == "sdxl":
        (clip,) = nodes.DualCLIPLoader().load_clip("te.safetensors", "te_2.safetensors", "sdxl")
    else:
        (clip,) = nodes.CLIPLoader().load_clip("te.safetensors", "stable_diffusion")
    encoder = bridge_captions.HostCaptionEncoder(clip, pooled=family == "sdxl")
    embeds: Tensor = encoder.encode(CAPTIONS).conditioning.prompt_embeds
    return embeds


def other_loaders(place: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Separate loaders, merges, LoRAs, clip skip and fp8, by the host's nodes, on 1.x."""
    load = nodes.UNETLoader().load_unet
    (model,) = load("unet.safetensors", "default")
    (clip,) = nodes.CLIPLoader().load_clip("te.safetensors", "stable_diffusion")
    (vae,) = nodes.VAELoader().load_vae("vae.safetensors")

    def base(model: Any, clip: Any = clip) -> Any:
        return bridge.base_from_host(model, clip, vae, name="x", dtype=_HALF)

    def refusal(call: Callable[[], Any]) -> str:
        try:
            call()
        except ConfigError as error:
            return str(error)
        return "accepted"

    plain = base(model)
    facts: dict[str, Any] = {
        "unequal": {part: unequal(part, getattr(plain, part)) for part in ("unet", "vae")}
    }
    answers = {"embeds": plain.captions.encode(CAPTIONS[:1]).conditioning.prompt_embeds}
    digests = [plain.digest]
    del plain

    (other,) = load("other.safetensors", "default")
    (merged,) = nodes_model_merging.ModelMergeSimple().merge(model, other, 0.25)
    merge = base(merged)
    digests.append(merge.digest)
    facts["merge"] = _farthest(
        merge.unet, lambda name, shape: 0.25 * _drawn("unet", name, shape) + 0.75 * _drawn(
            "other", name, shape
        )
    )  # fmt: skip
    del merge, merged, other
    gc.collect()

    lora = load_file(place / "lora.safetensors")
    with_lora, clip_with_lora = nodes.LoraLoader().load_lora(
        model, clip, "lora.safetensors", 0.5, 1.0
    )
    patched = base(with_lora, clip_with_lora)
    digests.append(patched.digest)

    def expected(name: str, shape: torch.Size) -> Tensor:
        weight = _drawn("unet", name, shape)
        key = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
        if f"{key}.lora_up.weight" in lora:
            up, down = (lora[f"{key}.lora_{way}.weight"].float() for way in ("up", "down"))
            weight = weight + 0.5 * lora[f"{key}.alpha"] / len(down) * (up @ down).view(shape)
        return weight

    facts["lora"] = _farthest(patched.unet, expected)
    facts["lora_changes"] = sorted(unequal("unet", patched.unet))
    answers["embeds_lora"] = patched.captions.encode(CAPTIONS[:1]).conditioning.prompt_embeds
    del patched, with_lora
    gc.collect()

    (skipped,) = nodes.CLIPSetLastLayer().set_last_layer(clip, -2)
    skip = base(model, skipped)
    digests.append(skip.digest)
    answers["embeds_skip"] = skip.captions.encode(CAPTIONS[:1]).conditioning.prompt_embeds
    facts["digests"] = digests
    del skip, model
    gc.collect()

    facts["fp8 widget"] = refusal(lambda: base(load("unet.safetensors", "fp8_e4m3fn")[0]))
    # Where the file is fp8 and the widget is left alone, the host has room and widens the weights.
    (stored,) = load("fp8.safetensors", "default")
    widened = base(stored).unet.state_dict()
    facts["fp8 file"] = [
        name
        for name, value in widened.items()
        if not torch.equal(value.float(), _drawn("unet", name, value.shape).to(_FP8).float())
    ]
    return facts, answers


def _drawn(part: str, name: str, shape: torch.Size) -> Tensor:
    return drawn(f"{part}.{name}", shape).float()


def _farthest(unet: Any, expected: Callable[[str, torch.Size], Tensor]) -> float:
    """Return the largest distance of any weight from what is expected, in units of fp16's steps."""
    distances = [
        ((value.float() - (wanted := expected(name, value.shape))).abs() / (wanted.abs() + 1e-2))
        .max()
        .item()
        for name, value in unet.state_dict().items()
    ]
    return max(distances) * 2**11


def main(folder: str) -> None:
    """Answer what `request.json` asks for."""
    place = Path(folder)
    request = json.loads((place / "request.json").read_text())
    family = request["family"]
    for kind in ("diffusion_models", "text_encoders", "vae", "loras"):
        folder_paths.add_model_folder_path(kind, folder)
    with torch.inference_mode(False), torch.no_grad():
        if request["what"] == "prediction_type":
            model = comfy.sd.load_checkpoint_guess_config(
                str(place / "checkpoint.safetensors"), output_vae=False, output_clip=False
            )[0]
            schedule = bridge.noise_schedule(model)
            facts, answers = {"prediction_type": schedule.prediction_type}, {}
        elif request["what"] == "loaders":
            facts, answers = other_loaders(place)
        else:
            facts, answers = whole_checkpoint(place, family)
            gc.collect()
            answers["separate_embeds"] = separate_text_encoders(family)
    (place / "facts.json").write_text(json.dumps(facts))
    tensors = {name: value.clone().contiguous() for name, value in answers.items()}
    save_file(tensors, place / "answers.safetensors")
