"""Both bridges on the miniature's layout, inside the host; for `test_miniature_host.py` alone.

Runs in the host's process: see `host_process`.
"""
# ruff: noqa: TID251 - this file stands on the host's side of the wall, as a node does

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.sample
import comfy.sd
import comfy.utils
import pytest
import torch
from safetensors.torch import load_file, save_file
from scoft_pack.nodes.bridge import base_from_host
from scoft_pack.nodes.bridge_controlnet import controlnet_from_host
from scoft_pack.nodes.bridge_to_host import build_clip, build_controlnet, build_model, build_vae
from scoft_pack.scoft_training.errors import ConfigError
from torch import Tensor

Weights = Mapping[str, Tensor]
Config = Mapping[str, Any]


def write_answers(folder: Path) -> None:
    """Build all four from `folder`, run each on its `questions.safetensors`, write the answers."""
    asked = load_file(folder / "questions.safetensors")
    settings = json.loads((folder / "settings.json").read_text())
    configs = {
        part: json.loads((folder / part / "config.json").read_text())
        for part in ("unet", "vae", "text_encoder", "controlnet")
    }
    weights = {part: load_file(next((folder / part).glob("*.safetensors"))) for part in configs}
    factor = configs["vae"]["scaling_factor"]
    model = build_model(configs["unet"], weights["unet"], factor)
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    vae = build_vae(configs["vae"], weights["vae"])
    clip = build_clip(configs["text_encoder"], weights["text_encoder"], folder / "tokenizer")
    control = build_controlnet(configs["controlnet"], weights["controlnet"])
    answers: dict[str, Tensor] = {}

    latents, timesteps, context = asked["latents"], asked["timesteps"], asked["context"]
    unet = model.model.diffusion_model
    answers["noise_pred"] = unet(latents, timesteps, context=context)
    eight_heads = build_model({**configs["unet"], "attention_head_dim": 8}, weights["unet"], factor)
    answers["noise_pred_of_8_heads"] = eight_heads.model.diffusion_model(
        latents, timesteps, context=context
    )

    told = control.control_model(latents, asked["hint"], timesteps, context)
    for index, residual in enumerate([*told["output"], *told["middle"]]):
        answers[f"residual_{index}"] = residual

    # (batch, height, width, 3) in [0, 1], as the host's IMAGE.
    answers["encoded"] = vae.encode(asked["images"])
    answers["decoded"] = vae.decode(asked["vae_latents"])
    answers["scaled"] = model.model.process_latent_in(asked["vae_latents"])
    answers["unscaled"] = model.model.process_latent_out(answers["scaled"])
    answers["sigmas"] = model.model.model_sampling.sigmas

    conditionings = {}
    for name in ("prompt", "uncond"):
        tokens = clip.tokenize(settings[name])
        answers[f"{name}_tokens"] = torch.tensor([[token for token, _ in tokens["l"][0]]])
        conditionings[name] = clip.encode_from_tokens_scheduled(tokens)
        answers[f"{name}_embeds"] = conditionings[name][0][0]
    answers["pooled"] = conditionings["prompt"][0][1]["pooled_output"]

    lora = comfy.utils.load_torch_file(str(folder / "lora.safetensors"), safe_load=True)
    with_lora, _ = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)
    answers["picture_without_lora"] = vae.decode(
        _sample(model, control, conditionings, asked, settings)
    )
    # Last, so that the host still holds the LoRA in the weights when they are brought back.
    answers["picture"] = vae.decode(_sample(with_lora, control, conditionings, asked, settings))
    answers |= _brought_back(model, with_lora, clip, vae, control, asked, settings)
    after = model.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    save_file(
        {name: value.clone().contiguous() for name, value in answers.items()},
        folder / "answers.safetensors",
    )


def _expect_refusals(model: Any, clip: Any, vae: Any) -> None:
    """What cannot be trained is refused by name, each for its own reason."""

    def refused(other: Any, sentence: str) -> None:
        with pytest.raises(ConfigError, match=sentence):
            base_from_host(other, clip, vae, name="x", dtype=torch.float32)

    layout = model.model.model_config.unet_config
    for change, sentence in (
        ({"in_channels": 9}, "takes 9 channels, as inpainting"),
        ({"adm_in_channels": 2816, "context_dim": 2048}, "reads more than captions"),
        ({"use_temporal_attention": True}, "draws videos"),
        ({"num_res_blocks": [1, 2, 1]}, "layers left out unevenly"),
    ):
        kept = dict(layout)
        layout.update(change)
        refused(model, sentence)
        layout.clear()
        layout.update(kept)
    patched = model.clone()
    patched.set_model_attn1_patch(lambda q, k, v, extra: (q, k, v))
    refused(patched, "carries changes of its network")


def _brought_back(
    model: Any,
    with_lora: Any,
    clip: Any,
    vae: Any,
    control: Any,
    asked: Weights,
    settings: Config,
) -> dict[str, Tensor]:
    """What the engine's copies of the host's objects answer to the same questions."""
    with torch.inference_mode(False), torch.no_grad():
        asked = {name: value.clone() for name, value in asked.items()}
        base = base_from_host(model, clip, vae, name="canvas", dtype=torch.float32)
        patched = base_from_host(with_lora, clip, vae, name="canvas", dtype=torch.float32)
        assert base.digest != patched.digest
        _expect_refusals(model, clip, vae)
        asks = asked["latents"], asked["timesteps"], asked["context"]
        told = controlnet_from_host(control, model, dtype=torch.float32).network(
            *asks, asked["hint"]
        )
        residuals = [*told.down_block_res_samples, told.mid_block_res_sample]
        captions = [settings["prompt"], settings["uncond"], "a (red:1.5) sea " * 40]
        encoded = base.captions.encode(captions)
        assert encoded.cut == (2,)
        assert encoded.conditioning.prompt_embeds.shape[1] == 77
        pixel_values = asked["images"].movedim(-1, 1) * 2 - 1
        decoded = base.vae.decode(asked["vae_latents"]).sample / 2 + 0.5
        assert not any(p.is_inference() for p in base.unet.parameters())
        return {
            "back_noise_pred": base.unet(*asks).sample,
            "back_noise_pred_with_lora": patched.unet(*asks).sample,
            **{f"back_residual_{index}": one for index, one in enumerate(residuals)},
            "back_encoded": base.vae.encode(pixel_values).latent_dist.mode(),
            "back_decoded": decoded.clamp(0, 1).movedim(1, -1),
            "back_prompt_embeds": encoded.conditioning.prompt_embeds[:1],
            "back_uncond_embeds": encoded.conditioning.prompt_embeds[1:2],
            "back_alphas_cumprod": base.schedule.alphas_cumprod,
            "back_scaling_factor": torch.tensor(base.scaling_factor),
        }


def _sample(
    model: Any, control: Any, conditionings: dict[str, Any], asked: Weights, settings: Config
) -> Tensor:
    """Draw with the host's sampler and the ControlNet, as KSampler and ControlNetApply would."""
    hint = control.copy().set_cond_hint(asked["hint"][:1], settings["control_strength"])
    extra = {"control": hint, "control_apply_to_uncond": False}
    controlled = {
        name: [[embeds, {**rest, **extra}] for embeds, rest in conditioning]
        for name, conditioning in conditionings.items()
    }
    return comfy.sample.sample(
        model,
        asked["latents"][:1],
        steps=settings["steps"],
        cfg=settings["guidance_scale"],
        sampler_name="euler",
        scheduler="simple",
        positive=controlled["prompt"],
        negative=controlled["uncond"],
        latent_image=torch.zeros_like(asked["latents"][:1]),
        disable_pbar=True,
        seed=0,
    )


def main(folder: str) -> None:
    """Answer as a node would: under inference mode."""
    logging.basicConfig(level=logging.WARNING)
    with torch.inference_mode():
        write_answers(Path(folder))
