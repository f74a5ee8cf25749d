"""The engine's copies of the host's objects compute what the originals do, or are refused."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import DDIMScheduler
from host_process import run_in_host
from safetensors.torch import load_file
from torch.testing import assert_close

pytestmark = [pytest.mark.host, pytest.mark.slow]

FAMILIES = ("sd1", "sd2", "sdxl")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bridge")
    run_in_host("bridge_in_host", folder, "--fp32-text-enc")
    told = [json.loads((folder / f"{name}.json").read_text()) for name in ("refusals", "facts")]
    return load_file(folder / "answers.safetensors"), *told


@pytest.fixture(scope="module")
def in_fp16(tmp_path_factory):
    """Text encodings of a host as it starts by default, with text encoders in fp16."""
    folder = tmp_path_factory.mktemp("fp16")
    run_in_host("bridge_in_host", folder)
    return load_file(folder / "answers.safetensors")


def _agree(answers, name, *, atol, rtol=1e-5):
    engine = answers[f"{name}.engine"]
    assert engine.float().std() > 0.05, f"{name} is nearly constant: nothing is shown"
    assert_close(
        answers[f"{name}.host"], engine, atol=atol, rtol=rtol, msg=lambda m: f"{name}: {m}"
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("what", ["noise_pred", "lora", "baked_lora", "merge"])
def test_the_unet_predicts_the_same_noise(found, family, what):
    answers = found[0]
    _agree(answers, f"{family}.{what}", atol=1e-4)
    if what != "noise_pred":
        change = answers[f"{family}.{what}.host"] - answers[f"{family}.noise_pred.host"]
        assert change.abs().max() > 0.01


@pytest.mark.parametrize(("family", "count"), [("sd1", 13), ("sd2", 13), ("sdxl", 10)])
def test_the_controlnet_adds_the_same_residuals(found, family, count):
    # One for the first convolution, one a residual block, one between two levels, and the middle.
    answers = found[0]
    names = {name.rpartition(".")[0] for name in answers if name.startswith(f"{family}.residual_")}
    assert len(names) == count
    for name in names:
        _agree(answers, name, atol=1e-4)


def test_the_vae_encodes_and_decodes_the_same(found):
    answers = found[0]
    _agree(answers, "vae.encoded", atol=1e-4)
    _agree(answers, "vae.decoded", atol=1e-4)
    # The host cuts pictures to [0, 1]; what is cut everywhere agrees always.
    decoded = answers["vae.decoded.engine"]
    assert ((decoded > 0) & (decoded < 1)).float().mean() > 0.7


@pytest.mark.parametrize("what", ["embeds", "as_asked", "skip", "cut"])
def test_captions_are_encoded_the_same(found, what):
    _agree(found[0], f"text.{what}", atol=1e-4)


@pytest.mark.parametrize("what", ["embeds", "as_asked", "skip", "cut"])
def test_captions_are_encoded_the_same_in_the_hosts_default_format(in_fp16, found, what):
    _agree(in_fp16, f"text.{what}", atol=5e-3)
    # And it is another format.
    assert not in_fp16["text.embeds.host"].equal(found[0]["text.embeds.host"])


@pytest.mark.parametrize("what", ["embeds", "pooled", "as_asked", "pooled_as_asked", "skip"])
def test_captions_of_sdxl_are_encoded_the_same(found, what):
    _agree(found[0], f"sdxl_text.{what}", atol=1e-4)
    assert found[0]["sdxl_text.skip.host"].shape == (1, 77, 48 + 40)
    # A clip skip, and brackets that are weights, would show.
    plain = found[0]["sdxl_text.as_asked.engine"]
    assert (found[0]["sdxl_text.skip.engine"] - plain).abs().max() > 0.01


def test_sdxl_keeps_its_vae_wide_in_fp16_and_scales_latents_by_its_own_factor(found):
    facts = found[2]
    formats = {key: facts[key] for key in facts if key.startswith(("unet ", "vae "))}
    assert formats == {
        "unet float16": "float16",
        "vae float16": "float32",
        "unet bfloat16": "bfloat16",
        "vae bfloat16": "bfloat16",
    }
    assert facts["family"] == "sdxl"
    assert facts["scaling_factor"] == 0.13025
    assert facts["reads_sizes"]


def test_both_doors_have_the_same_schedules(found):
    facts = found[2]
    assert facts["prediction_type"] == "v_prediction"
    for name, rescaled in (("alphas_cumprod", False), ("zsnr", True)):
        engine = DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            rescale_betas_zero_snr=rescaled,
        ).alphas_cumprod.double()
        host = torch.tensor(facts[name], dtype=torch.float64)
        # The host keeps a last signal of 5e-8, where diffusers has none.
        assert_close(host, engine, atol=1e-6, rtol=1e-4)
        assert (host[-1] < 1e-6) == rescaled


def test_only_the_attention_of_2_x_is_upcast(found):
    assert (found[2]["sd1"], found[2]["sd2"]) == (False, True)


@pytest.mark.parametrize("steps", [4, 9])
def test_the_hosts_ksampler_and_the_engine_draw_the_same(found, steps):
    answers = found[0]
    _agree(answers, f"drawing.latents_{steps}", atol=1e-3)
    _agree(answers, f"drawing.picture_{steps}", atol=1e-3)


def test_they_draw_the_same_with_velocities_from_pure_noise(found):
    _agree(found[0], "drawing.pure_noise", atol=1e-3)


def test_what_training_can_do_without_is_accepted(found):
    cases = ("plain", "sd2", "sdxl", "v_prediction", "sdxl_v_prediction", "zsnr", "rescaled_cfg")
    cases += ("outer_sample", "torch_compile", "control", "control_sdxl")
    assert {case: found[1][case] for case in cases} == dict.fromkeys(cases, "accepted")


@pytest.mark.parametrize(
    ("case", "what", "remedy"),
    [
        ("inpainting", "(SD15) takes 9 channels, as inpainting", "takes base models of"),
        ("inpainting_xl", "(SDXL) takes 9 channels, as inpainting", "takes base models of"),
        ("pix2pix", "(SD15_instructpix2pix) takes 8 channels", "takes base models of"),
        ("pix2pix_xl", "(SDXL_instructpix2pix) takes 8 channels", "takes base models of"),
        ("refiner", "is SDXL's refiner", "base models of Stable Diffusion 1.x and 2.x and of SDXL"),
        ("unclip", "is an unCLIP model (SD21UnclipL)", "takes base models of"),
        ("ssd1b", "(SSD1B) has layers left out unevenly", "takes base models of"),
        ("vega", "(Segmind_Vega) has layers left out unevenly", "takes base models of"),
        ("playground", "samples by ModelSamplingContinuousEDM and EDM", "Playground 2.5"),
        ("cosxl", "ModelSamplingContinuousEDM and V_PREDICTION", "load another checkpoint"),
        ("video", "(SD15) draws videos", "takes base models of"),
        ("dit", "of the kind Flux, not a UNet", "takes base models of"),
        ("fp8", "MODEL's weights are quantised (float8_e4m3fn)", "in fp16, bf16 or fp32"),
        ("gguf", "MODEL's weights are quantised (GgufLike)", "in fp16, bf16 or fp32"),
        ("clip_gguf", "CLIP's weights are quantised (GgufLike)", "fp16, bf16, fp32 or fp8"),
        ("lent", "MODEL's weights are quantised (no plain tensors)", "in fp16, bf16 or fp32"),
        ("more_weights", "beyond Stable Diffusion's layout (heatmap_head.bias; 2", "takes base"),
        ("flow", "samples by ModelSamplingDiscreteFlow and CONST", "takes the discrete schedules"),
        ("edm", "samples by ModelSamplingContinuousEDM and EDM", "takes the discrete schedules"),
        ("x0", "samples by ModelSamplingDiscrete and X0", "takes the discrete schedules"),
        ("cascade", "samples by StableCascadeSampling and EPS", "takes the discrete schedules"),
        ("lcm", "samples by ModelSamplingDiscreteDistilled and LCM", "before the node"),
        ("freeu", "carries changes of its network", "as it comes from its loader"),
        ("hypertile", "carries changes of its network", "as it comes from its loader"),
        ("tome", "carries changes of its network", "as it comes from its loader"),
        ("wrapper", "carries changes of its network", "as it comes from its loader"),
        ("diffusion_model", "carries changes of its network", "as it comes from its loader"),
        ("replaced_module", "carries changes of its network", "as it comes from its loader"),
        ("trainers_lora", "MODEL carries a LoRA beside its weights", "with Load LoRA"),
        ("injection", "MODEL carries a LoRA beside its weights", "with Load LoRA"),
        ("clip_injection", "CLIP carries a LoRA beside its weights", "with Load LoRA"),
        ("clip_hook", "CLIP carries a LoRA beside its weights", "with Load LoRA"),
        ("other_clip", "embeddings of 48 channels and the MODEL reads 40", "the CLIP that belongs"),
        ("clip_of_sd1_on_sdxl", "of 48 channels and the MODEL reads 88", "the CLIP that belongs"),
        ("clip_of_sdxl_on_sd1", "of 88 channels and the MODEL reads 48", "the CLIP that belongs"),
        ("other_pooled", "pooled embeddings of 40 channels and the MODEL reads 24", "CLIP that"),
        ("no_pooled", "makes no pooled embeddings, which the MODEL reads", "CLIP that belongs"),
        ("vae_of_16_channels", "VAE is of the kind AutoencodingEngine", "VAE of the checkpoint"),
        ("vae_of_wan", "VAE is of the kind WanVAE", "VAE of the checkpoint"),
        ("taesd", "VAE is of the kind TAESD", "VAE of the checkpoint"),
        ("vae_of_8_channels", "latents of 4 channels and the VAE makes 8", "the VAE that belongs"),
        ("control_lora", "CONTROL_NET is a ControlLora", "such as control_v11f1p_sd15_depth"),
        ("t2i", "CONTROL_NET is a T2IAdapter", "such as control_v11f1p_sd15_depth"),
        ("control_union", "CONTROL_NET is a ControlNet Union", "SDXL's controlnet-depth-sdxl-1.0"),
        (
            "control_mid",
            "has 3 transformer blocks where a full one",
            "mid and small ones of",
        ),
        ("control_of_sdxl", "for SDXL and the MODEL is Stable Diffusion 1.x", "for depth that"),
        ("control_of_other_width", "weights do not fit", "conv_in.weight"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(found, case, what, remedy):
    sentence = found[1][case]
    assert what in sentence
    assert remedy in sentence


def test_a_lora_that_the_host_loads_in_bypass_mode_is_refused(found):
    if "bypass" not in found[1]:
        pytest.skip("this host has no bypass mode")
    assert "loaded in bypass mode" in found[1]["bypass"]
