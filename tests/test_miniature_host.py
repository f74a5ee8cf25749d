"""ComfyUI's own classes carry the miniature: one forward of each network, and a whole drawing."""

from __future__ import annotations

import json

import pytest
import torch
from host_process import run_in_host
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from scoft_training.lora_files import write_lora
from scoft_training.lora_layers import lora_from_adapter
from scoft_training.miniature.networks import (
    new_controlnet,
    new_schedule_config,
    new_text_encoder,
    new_unet,
    new_vae,
)
from scoft_training.models import attach_lora
from scoft_training.sampling import classifier_free_guidance, denoise, strided_timesteps

pytestmark = pytest.mark.host

SETTINGS = {
    "prompt": "a red house, deep in the sea",
    "uncond": "",
    "steps": 3,
    "guidance_scale": 2.0,
    "control_strength": 0.7,
}
SCALING_FACTOR = 0.57  # what a miniature's VAE may measure; Stable Diffusion's is 0.18215
MERGES = [("r", "e"), ("re", "d</w>"), ("s", "e"), ("se", "a</w>")]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Untrained networks, every weight of them drawn, with a tokenizer, in diffusers' folders."""
    folder = tmp_path_factory.mktemp("miniature")
    tokenizer = _write_tokenizer(folder / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        unet = new_unet()
        networks = {
            "unet": unet,
            "vae": new_vae(),
            "text_encoder": new_text_encoder(
                len(tokenizer),
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            ),
            "controlnet": new_controlnet(unet),
        }
        for part, network in networks.items():
            _draw_constant_weights(network)
            network.eval().requires_grad_(False)
            if part == "vae":
                network.register_to_config(scaling_factor=SCALING_FACTOR)
            network.save_pretrained(folder / part)
    return folder, networks, tokenizer


def _write_tokenizer(folder):
    """Write a CLIP vocabulary of letters and two words, in the form every transformers reads."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [","]
    words = letters + [letter + "</w>" for letter in letters] + [a + b for a, b in MERGES]
    vocabulary = {word: index for index, word in enumerate(words)}
    vocabulary |= {"<|startoftext|>": len(words), "<|endoftext|>": len(words) + 1}
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, MERGES)]) + "\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def _draw_constant_weights(network):
    """Redraw what begins as 0 or 1: where all are alike, a swap would not show."""
    for parameter in network.parameters():
        if (parameter == parameter.flatten()[0]).all():
            parameter.data += 0.2 * torch.randn(parameter.shape)


@pytest.fixture(scope="module")
def questions():
    """Inputs, none of them square, so that height and width cannot be confused."""
    generator = torch.Generator().manual_seed(5)
    return {
        "latents": torch.randn(2, 4, 8, 12, generator=generator),
        "timesteps": torch.tensor([7, 801]),
        "context": torch.randn(2, 77, 96, generator=generator),
        "hint": torch.rand(2, 3, 64, 96, generator=generator),
        "images": torch.rand(2, 64, 96, 3, generator=generator),
        "vae_latents": torch.randn(2, 4, 8, 12, generator=generator),
    }


@pytest.fixture(scope="module")
def reference(stack, questions):
    """What diffusers, transformers and our own sampler answer; also writes the LoRA's file."""
    folder, networks, tokenizer = stack
    unet, vae = networks["unet"], networks["vae"]
    latents, timesteps, context = (questions[key] for key in ("latents", "timesteps", "context"))
    answers = {"noise_pred": unet(latents, timesteps, context).sample}
    told = networks["controlnet"](latents, timesteps, context, questions["hint"])
    for index, residual in enumerate([*told.down_block_res_samples, told.mid_block_res_sample]):
        answers[f"residual_{index}"] = residual
    pixel_values = questions["images"].movedim(-1, 1) * 2 - 1
    answers["encoded"] = vae.encode(pixel_values).latent_dist.mode()
    answers["decoded"] = _decode(vae, questions["vae_latents"])
    for name in ("prompt", "uncond"):
        tokens = tokenizer(SETTINGS[name], padding="max_length", return_tensors="pt").input_ids
        encoded = networks["text_encoder"](tokens)
        answers |= {f"{name}_tokens": tokens, f"{name}_embeds": encoded.last_hidden_state}
        answers.setdefault("pooled", encoded.pooler_output)
    answers["picture_without_lora"] = _drawn(networks, answers, questions)
    answers["picture_without_control"] = _drawn(networks, answers, questions, control_strength=0)
    attach_lora(unet, rank=3, alpha=6, seed=2, dtype=torch.float32)
    for name, parameter in unet.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(3))
    unet.requires_grad_(False)
    answers["picture"] = _drawn(networks, answers, questions)
    answers["noise_pred_with_lora"] = unet(latents, timesteps, context).sample
    write_lora(folder / "lora.safetensors", lora_from_adapter(unet))
    return answers


def _decode(vae, latents):
    """Latents -> pictures (batch, height, width, 3) in [0, 1], as the host's IMAGE."""
    return (vae.decode(latents).sample / 2 + 0.5).clamp(0, 1).movedim(1, -1)


def _drawn(networks, encoded, questions, control_strength=SETTINGS["control_strength"]):
    """Draw one picture with our own sampler, guided by text and ControlNet."""
    embeds = torch.cat([encoded["uncond_embeds"], encoded["prompt_embeds"]])
    hint = questions["hint"][:1].expand(2, -1, -1, -1)

    def predict_noise(latents, timesteps):
        latents, timesteps = latents.expand(2, -1, -1, -1), timesteps.expand(2)
        down, mid = networks["controlnet"](
            latents,
            timesteps,
            embeds,
            hint,
            conditioning_scale=control_strength,
            return_dict=False,
        )
        uncond, cond = networks["unet"](
            latents,
            timesteps,
            embeds,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        ).sample.chunk(2)
        return classifier_free_guidance(uncond, cond, SETTINGS["guidance_scale"])

    grid, num_steps = strided_timesteps(torch.tensor([999]), SETTINGS["steps"])
    chain = denoise(
        predict_noise,
        questions["latents"][:1],
        grid,
        num_steps,
        _schedule().alphas_cumprod,
        recorded_step=torch.tensor([0]),
    )
    return _decode(networks["vae"], chain.x0_latents / SCALING_FACTOR)


def _schedule():
    from diffusers import DDIMScheduler

    return DDIMScheduler(**new_schedule_config())


@pytest.fixture(scope="module")
def found(stack, questions, reference):
    """The host's answers to the same questions, from the same folders."""
    folder, _, _ = stack
    save_file(questions, folder / "questions.safetensors")
    (folder / "settings.json").write_text(json.dumps(SETTINGS))
    run_in_host("miniature_in_host", folder)
    return load_file(folder / "answers.safetensors")


def _agree(found, reference, *names):
    for name in names:
        assert reference[name].float().std() > 0.01, f"{name} is nearly constant: nothing is shown"
        assert_close(found[name], reference[name], rtol=0, atol=1e-4, msg=lambda m, n=name: n + m)


def test_the_unet_predicts_the_same_noise(found, reference):
    _agree(found, reference, "noise_pred")


def test_another_number_of_heads_would_show(found, reference):
    # Weights of any number of heads fit; the host would set Stable Diffusion's 8 by itself.
    assert (found["noise_pred_of_8_heads"] - reference["noise_pred"]).abs().max() > 1e-2


def test_the_controlnet_adds_the_same_residuals(found, reference):
    # One for the first convolution, one a residual block, one between two levels, and the middle.
    residuals = [name for name in reference if name.startswith("residual_")]
    assert len(residuals) == 1 + 3 + 2 + 1
    assert {name for name in found if name.startswith("residual_")} == set(residuals)
    _agree(found, reference, *residuals)


def test_the_vae_encodes_and_decodes_the_same(found, reference):
    _agree(found, reference, "encoded", "decoded")
    # The host cuts pictures to [0, 1]; what is cut everywhere agrees always.
    decoded = reference["decoded"]
    assert ((decoded > 0) & (decoded < 1)).float().mean() > 0.9


def test_the_host_scales_latents_by_our_factor(found, questions):
    assert_close(found["scaled"], questions["vae_latents"] * SCALING_FACTOR)
    assert_close(found["unscaled"], questions["vae_latents"])


def test_captions_become_the_same_tokens_and_embeddings(found, reference):
    assert torch.equal(found["prompt_tokens"], reference["prompt_tokens"])
    assert torch.equal(found["uncond_tokens"], reference["uncond_tokens"])
    _agree(found, reference, "prompt_embeds", "uncond_embeds")


def test_the_pooled_output_is_taken_at_our_own_end_of_text(found, reference):
    _agree(found, reference, "pooled")


def test_the_noise_schedule_is_the_hosts_own(found):
    signal = _schedule().alphas_cumprod
    assert_close(found["sigmas"], ((1 - signal) / signal).sqrt(), rtol=1e-4, atol=0)


def test_a_whole_drawing_agrees(found, reference):
    # Prompt, guidance, ControlNet, sampler, scaling and VAE; then the same with our LoRA's file.
    _agree(found, reference, "picture_without_lora", "picture")


def test_lora_and_controlnet_change_the_drawing(reference):
    picture = reference["picture_without_lora"]
    assert (reference["picture"] - picture).abs().max() > 1e-2
    assert (reference["picture_without_control"] - picture).abs().max() > 1e-2


def test_the_engines_copies_of_the_hosts_objects_answer_the_same(found, reference):
    residuals = [name for name in reference if name.startswith("residual_")]
    answers = ["noise_pred", "encoded", "decoded", "prompt_embeds", "uncond_embeds", *residuals]
    back = {name: found[f"back_{name}"] for name in answers}
    _agree(back, reference, *answers)
    assert_close(
        found["back_alphas_cumprod"].float(), _schedule().alphas_cumprod, atol=1e-6, rtol=0
    )
    assert found["back_scaling_factor"].item() == pytest.approx(SCALING_FACTOR)


def test_a_lora_on_the_model_is_in_the_copys_weights(found, reference):
    _agree(
        {"noise_pred_with_lora": found["back_noise_pred_with_lora"]},
        reference,
        "noise_pred_with_lora",
    )
    changed = (reference["noise_pred_with_lora"] - reference["noise_pred"]).abs().max()
    assert changed > 1e-2
