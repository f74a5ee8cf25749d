"""Promises of the LoRA file: the same tensors, the same picture, every reader, a clear refusal."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from scoft_training import lora_files
from scoft_training.errors import ConfigError, ModelFileError, OutputError
from scoft_training.lora_files import (
    MAX_HEADER_BYTES,
    Lora,
    LoraLayer,
    TrainingRecord,
    applied_lora,
    load_into_adapter,
    lora_digest,
    lora_from_adapter,
    lora_from_state_dict,
    lora_metadata,
    lora_state_dict,
    merge_lora,
    read_lora,
    read_metadata,
    write_lora,
)

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
WITH_CONVOLUTIONS = [*ATTENTION, "conv1", "conv_shortcut", "proj_in"]
RANK, ALPHA = 4, 6  # scale 1.5
A_LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
A_KEY = "lora_unet_" + A_LAYER.replace(".", "_")


def tiny_unet(cross_attention_dim: int = 24) -> UNet2DConditionModel:
    return copy.deepcopy(_built_unet(cross_attention_dim))


@functools.cache
def _built_unet(cross_attention_dim: int) -> UNet2DConditionModel:
    torch.manual_seed(0)  # the initialisation has no other seed
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=cross_attention_dim,
        norm_num_groups=8,
        attention_head_dim=8,
    ).eval()


def attach(unet: UNet2DConditionModel, seed: int, targets=ATTENTION, **settings) -> None:
    settings = {"r": RANK, "lora_alpha": ALPHA} | settings
    unet.add_adapter(LoraConfig(target_modules=targets, **settings))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in unet.named_parameters():
        if ".lora_" in name:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = (0.2 * noise).to(parameter.dtype)


def trained_unet(seed: int = 1, targets=ATTENTION, **settings) -> UNet2DConditionModel:
    unet = tiny_unet()
    attach(unet, seed, targets, **settings)
    return unet


def noise_pred(unet: UNet2DConditionModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    latents = torch.randn(2, 4, 16, 8, generator=generator)
    prompt_embeds = torch.randn(2, 5, 24, generator=generator)
    with torch.no_grad():
        return unet(latents, torch.tensor([3, 801]), prompt_embeds).sample


def tiny_pipeline(unet: UNet2DConditionModel) -> StableDiffusionPipeline:
    text = CLIPTextConfig(
        vocab_size=11,
        hidden_size=24,
        intermediate_size=28,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=7,
    )
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4)
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=None,
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def all_bytes(module: torch.nn.Module) -> dict[str, bytes]:
    """Every parameter's bytes."""
    return {name: value.numpy().tobytes() for name, value in module.state_dict().items()}


def assert_same(found: Lora, wanted: Lora) -> None:
    assert list(found.layers) == list(wanted.layers)
    assert lora_digest(found) == lora_digest(wanted)
    for name, layer in wanted.layers.items():
        assert torch.equal(found.layers[name].down, layer.down)
        assert torch.equal(found.layers[name].up, layer.up)
        assert found.layers[name].alpha == layer.alpha


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "hanbok.safetensors"
    write_lora(path, lora_from_adapter(trained_unet()))
    return path


@pytest.mark.parametrize("targets", [ATTENTION, WITH_CONVOLUTIONS], ids=["attention", "convs"])
def test_file_to_model_to_file_is_the_identity_under_another_seed(tmp_path, targets):
    write_lora(tmp_path / "first.safetensors", lora_from_adapter(trained_unet(1, targets)))

    unet = trained_unet(2, targets)
    lora = read_lora(tmp_path / "first.safetensors", unet)
    assert lora_digest(lora) != lora_digest(lora_from_adapter(unet)), "the test would prove nothing"
    load_into_adapter(unet, lora)
    write_lora(tmp_path / "second.safetensors", lora_from_adapter(unet))

    first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("first", "second"))
    assert first.keys() == second.keys()
    for key, tensor in first.items():
        assert tensor.dtype == second[key].dtype
        assert tensor.numpy().tobytes() == second[key].numpy().tobytes(), key
    torch.testing.assert_close(
        noise_pred(unet), noise_pred(trained_unet(1, targets)), rtol=0, atol=0
    )


def test_float64_is_not_cast_down_and_an_odd_alpha_comes_back(tmp_path):
    unet = tiny_unet().double()
    attach(unet, 1, r=11, lora_alpha=0.1)
    assert 0.1 / 11 * 11 != 0.1, "scale * rank would do"
    lora = lora_from_adapter(unet)

    write_lora(tmp_path / "wide.safetensors", lora, dtype=torch.float64)

    assert lora.layers[A_LAYER].up.dtype == torch.float64
    assert lora.layers[A_LAYER].alpha == 0.1
    assert_same(read_lora(tmp_path / "wide.safetensors", unet), lora)


def test_half_precision_files_are_half_precision_and_keep_alpha(tmp_path):
    unet = trained_unet()
    write_lora(tmp_path / "half.safetensors", lora_from_adapter(unet), dtype=torch.float16)

    tensors = load_file(tmp_path / "half.safetensors")

    assert tensors[f"{A_KEY}.lora_up.weight"].dtype == torch.float16
    assert tensors[f"{A_KEY}.alpha"] == ALPHA
    load_into_adapter(unet, read_lora(tmp_path / "half.safetensors", unet))


def test_every_key_is_one_the_host_resolves_and_every_layer_has_its_alpha(saved):
    # ComfyUI's rule: lora_unet_ + diffusers' module name with _ for dots, or nothing is applied.
    known = {
        "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
        for name in tiny_unet().state_dict()
        if name.endswith(".weight")
    }

    tensors = load_file(saved)
    layers = {key.split(".")[0] for key in tensors}

    assert len(layers) == 4 * 8  # four transformers, each with two attentions of four projections
    assert layers <= known
    for layer in layers:
        assert set(tensors) >= {f"{layer}.{part}.weight" for part in ("lora_down", "lora_up")}
        assert tensors[f"{layer}.alpha"].shape == ()
        assert tensors[f"{layer}.alpha"] == ALPHA
    assert f"{A_KEY.removesuffix('to_q')}to_out_0.lora_down.weight" in tensors
    down = tensors[
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
    ]
    assert down.shape == (RANK, 24)  # down = A: (rank, in)


def test_diffusers_loads_the_file_and_draws_the_same(saved):
    wanted = noise_pred(trained_unet())
    unet = tiny_unet()
    before = noise_pred(unet)

    tiny_pipeline(unet).load_lora_weights(str(saved))

    assert (wanted - before).abs().max() > 0.01, "the LoRA does nothing, so nothing is shown"
    torch.testing.assert_close(noise_pred(unet), wanted, rtol=1e-5, atol=1e-5)


def test_a_file_of_diffusers_written_again_still_loads_in_diffusers(tmp_path):
    trained = trained_unet()
    trained.save_lora_adapter(tmp_path, weight_name="theirs.safetensors")
    ours = tmp_path / "ours.safetensors"
    write_lora(ours, read_lora(tmp_path / "theirs.safetensors", trained))

    unet = tiny_unet()
    tiny_pipeline(unet).load_lora_weights(str(ours))

    torch.testing.assert_close(noise_pred(unet), noise_pred(trained), rtol=1e-5, atol=1e-5)


def save_with_pipeline(unet, folder):
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=get_peft_model_state_dict(unet),
        unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
    )
    return folder / "pytorch_lora_weights.safetensors"


def save_with_unet(unet, folder):
    unet.save_lora_adapter(folder)
    return folder / "pytorch_lora_weights.safetensors"


def save_with_peft(unet, folder):
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=ATTENTION)
    wrapped = get_peft_model(tiny_unet(), config)
    load_into_adapter(wrapped.base_model.model, lora_from_adapter(unet))
    wrapped.save_pretrained(folder)
    return folder / "adapter_model.safetensors"


def save_with_adapter_name(unet, folder):
    tensors = {
        f"base_model.model.{name}": value.contiguous()
        for name, value in unet.state_dict().items()
        if ".lora_" in name
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    config = json.dumps({"lora_alpha": ALPHA, "r": RANK})
    (folder / "adapter_config.json").write_text(config, encoding="utf-8")
    assert any(".default." in key for key in tensors)
    return folder / "adapter_model.safetensors"


def save_as_lora_down_with_alphas(unet, folder, *, old=False):
    theirs = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    tensors = {f"unet.{key}": value for key, value in theirs.items()}
    alphas = {
        key.removesuffix(".lora.down.weight") + ".alpha": torch.tensor([float(ALPHA)])
        for key in tensors
        if key.endswith(".lora.down.weight")
    }
    assert len(alphas) == len(lora_from_adapter(unet).layers)
    tensors |= alphas
    if old:  # as diffusers 0.17 named its attention processors
        for new_part, old_part in (
            (".to_out.0.lora.", ".to_out.lora."),
            (".lora.", "_lora."),
            (".to_", ".processor.to_"),
            (".to_out.0.alpha", ".to_out.alpha"),
        ):
            tensors = {key.replace(new_part, old_part): value for key, value in tensors.items()}
        assert any(".processor.to_out_lora.up.weight" in key for key in tensors)
    save_file(tensors, folder / "lora.safetensors")
    return folder / "lora.safetensors"


def save_as_old_processors(unet, folder):
    return save_as_lora_down_with_alphas(unet, folder, old=True)


def save_as_host(unet, folder):
    """As ComfyUI's trainer names its layers."""
    tensors = {}
    for name, layer in lora_from_adapter(unet).layers.items():
        ldm = lora_files._ldm_name(name, 1, {"up_blocks.1.att"})
        tensors[f"diffusion_model.{ldm}.lora_down.weight"] = layer.down
        tensors[f"diffusion_model.{ldm}.lora_up.weight"] = layer.up
        tensors[f"diffusion_model.{ldm}.alpha"] = torch.tensor(layer.alpha)
    assert (
        "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.lora_up.weight" in tensors
    )
    save_file(tensors, folder / "lora.safetensors")
    return folder / "lora.safetensors"


def save_as_kohya_ldm(unet, folder):
    path = save_as_host(unet, folder)
    renamed = {}
    for key, tensor in load_file(path).items():
        name, _, part = key.removeprefix("diffusion_model.").partition(
            ".alpha" if key.endswith(".alpha") else ".lora_"
        )
        ending = ".alpha" if key.endswith(".alpha") else f".lora_{part}"
        renamed[f"lora_unet_{name.replace('.', '_')}{ending}"] = tensor
    assert "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q.lora_up.weight" in renamed
    save_file(renamed, path)
    return path


@pytest.mark.parametrize(
    "save",
    [
        save_with_pipeline,
        save_with_unet,
        save_with_peft,
        save_with_adapter_name,
        save_as_lora_down_with_alphas,
        save_as_old_processors,
        save_as_host,
        save_as_kohya_ldm,
    ],
)
def test_each_spelling_reads_to_the_same_tensors_and_scale(save, tmp_path):
    unet = trained_unet()

    path = save(unet, tmp_path)

    assert_same(read_lora(path, tiny_unet()), lora_from_adapter(unet))


def test_alphas_by_pattern_and_rank_stabilized_alphas_are_peft_s(tmp_path):
    settings = {"alpha_pattern": {"attn2.to_k": 10}, "rank_pattern": {"attn2.to_k": 5}}
    unet = trained_unet(**settings, use_rslora=True)
    unet.save_lora_adapter(tmp_path)

    lora = read_lora(tmp_path / "pytorch_lora_weights.safetensors", tiny_unet())

    # rsLoRA scales by alpha / sqrt(rank): 6 / sqrt(4) = 3, and 10 / sqrt(5).
    assert lora.layers[A_LAYER].scale == pytest.approx(3)
    assert lora.layers[A_LAYER.replace("attn1.to_q", "attn2.to_k")].scale == pytest.approx(20**0.5)
    for name, layer in lora_from_adapter(unet).layers.items():
        assert lora.layers[name].scale == pytest.approx(layer.scale)


def test_a_missing_alpha_means_scale_one(saved):
    tensors = {key: value for key, value in load_file(saved).items() if "alpha" not in key}

    lora = lora_from_state_dict(tensors, tiny_unet())

    assert {layer.alpha for layer in lora.layers.values()} == {RANK}
    assert {layer.scale for layer in lora.layers.values()} == {1.0}


SD1 = {"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768}
SDXL = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


# The upsamplers' places are the published checkpoints'; the converter takes others too.
@pytest.mark.parametrize(
    ("layout", "count", "upsamplers"),
    [
        (SD1, 282, ["output_blocks.2.1", "output_blocks.5.2", "output_blocks.8.2"]),
        (SDXL, 794, ["output_blocks.2.2", "output_blocks.5.2"]),
    ],
    ids=["sd1", "sdxl"],
)
def test_ldm_names_agree_with_the_checkpoint_converter_of_diffusers(layout, count, upsamplers):
    with torch.device("meta"):
        unet = UNet2DConditionModel(**layout)
    names = [
        name
        for name, module in unet.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
    ]
    attending = {
        f"up_blocks.{block}.att"
        for block in range(4)
        if any(name.startswith(f"up_blocks.{block}.attentions") for name in names)
    }
    ldm = {lora_files._ldm_name(name, 2, attending): name for name in names}
    checkpoint = {
        f"model.diffusion_model.{spelled}.{kind}": f"{name}.{kind}"
        for spelled, name in ldm.items()
        for kind in ("weight", "bias")
    }

    converted = convert_ldm_unet_checkpoint(checkpoint, dict(unet.config))

    assert len(ldm) == len(names) == count
    assert None not in ldm
    for block, place in enumerate(upsamplers):
        assert ldm[f"{place}.conv"] == f"up_blocks.{block}.upsamplers.0.conv"
    assert {value for value in converted.values() if value} >= {f"{name}.weight" for name in names}
    for new_name, carried in converted.items():
        assert carried is None or new_name == carried
    spellings = lora_files._spellings(names)
    assert spellings["input_blocks_4_1_transformer_blocks_0_attn1_to_q"] == (
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    )
    assert len(spellings) == 2 * count - len({*ldm} & {*names})


@pytest.mark.parametrize("strength", [1.0, -0.5])
def test_merging_equals_the_adapter(strength):
    wrapped = trained_unet(targets=WITH_CONVOLUTIONS)
    lora = lora_from_adapter(wrapped)
    assert {layer.down.ndim for layer in lora.layers.values()} == {2, 4}
    wrapped.set_adapters("default", strength)
    unet = tiny_unet()
    before = noise_pred(unet)

    merge_lora(unet, lora, strength)

    assert (noise_pred(unet) - before).abs().max() > 0.01
    torch.testing.assert_close(noise_pred(unet), noise_pred(wrapped), rtol=1e-5, atol=1e-5)


def test_merging_rounds_once_by_the_derived_amount():
    linear = torch.nn.Linear(2, 3, bias=False, dtype=torch.float16)
    linear.weight.data.fill_(1)
    unet = torch.nn.ModuleDict({"to_q": linear})
    layer = LoraLayer(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [5.0], [7.0]]), alpha=0.5)

    merge_lora(unet, Lora({"to_q": layer}, {}), strength=2.0)

    # strength * alpha / rank = 1, so W = 1 + up @ down.
    assert linear.weight.tolist() == [[4.0, 7.0], [6.0, 11.0], [8.0, 15.0]]
    assert linear.weight.dtype == torch.float16


def test_a_one_by_one_convolution_may_be_spelled_as_a_linear_layer():
    unet = trained_unet(targets=["proj_in"])
    lora = lora_from_adapter(unet)
    name = "mid_block.attentions.0.proj_in"
    tensors = {
        key: value.flatten(1) if value.ndim == 4 else value
        for key, value in lora_state_dict(lora).items()
    }

    read = lora_from_state_dict(tensors, unet)

    assert read.layers[name].down.shape == (RANK, 64, 1, 1)
    assert_same(read, lora)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("raises", [False, True])
def test_applied_lora_restores_every_bit_also_when_the_body_raises(dtype, raises):
    lora = lora_from_adapter(trained_unet(targets=WITH_CONVOLUTIONS))
    unet = tiny_unet().to(dtype)
    before = {name: value.clone() for name, value in unet.state_dict().items()}

    try:
        with applied_lora(unet, lora, 0.7):
            changed = {
                name.removesuffix(".weight")
                for name, value in unet.state_dict().items()
                if not torch.equal(value, before[name])
            }
            if raises:
                raise KeyError("drawing failed")
    except KeyError:
        assert raises

    assert changed == set(lora.layers)
    for name, value in unet.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_refused_merge_changes_nothing():
    unet = tiny_unet()
    before = all_bytes(unet)
    lora = lora_from_adapter(trained_unet())
    layers = {**lora.layers, "zz_last.to_q": lora.layers[A_LAYER]}

    with pytest.raises(ModelFileError, match=r"no module of this UNet is called 'zz_last\.to_q'"):
        merge_lora(unet, Lora(layers, {}))

    assert all_bytes(unet) == before


@pytest.mark.parametrize(
    ("settings", "targets", "message"),
    [
        ({"r": 5}, ATTENTION, "has rank 4 at '.*', but `rank` is 5. Set `rank` to 4"),
        ({"lora_alpha": 4}, ATTENTION, "has alpha 6 at '.*', but `alpha` is 4. Set `alpha` to 6"),
        ({}, ["to_q"], "has 32 layers and the adapter to be filled 8: '.*' is only in the LoRA"),
        ({}, [*ATTENTION, "proj_in"], "32 layers .* 36: '.*proj_in' is only in the adapter"),
    ],
    ids=["rank", "alpha", "fewer", "more"],
)
def test_a_refused_load_names_what_to_set_and_changes_nothing(settings, targets, message):
    lora = lora_from_adapter(trained_unet(1))
    unet = trained_unet(2, targets, **settings)
    before = all_bytes(unet)

    with pytest.raises(ConfigError, match=message):
        load_into_adapter(unet, lora)

    assert all_bytes(unet) == before


def test_a_late_mismatch_is_refused_before_the_first_copy():
    unet = trained_unet(2)
    before = all_bytes(unet)
    lora = lora_from_adapter(trained_unet(1))
    last = max(lora.layers)
    odd = dataclasses.replace(lora.layers[last], down=torch.ones(RANK, 23))

    with pytest.raises(
        ConfigError, match=r"has shape \(4, 23\) at '.*', but the adapter has \(4, "
    ):
        load_into_adapter(unet, Lora({**lora.layers, last: odd}, {}))

    assert all_bytes(unet) == before


def test_a_wrong_adapter_name_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"Unknown LoRA adapter 'defalt'.*Did you mean 'default'"):
        lora_from_adapter(trained_unet(), "defalt")
    with pytest.raises(ConfigError, match=r"has no LoRA adapter\. Attach one"):
        lora_from_adapter(tiny_unet())


def test_an_adapter_s_copy_is_detached_and_stays_as_it_was():
    unet = trained_unet()
    lora = lora_from_adapter(unet)
    digest = lora_digest(lora)

    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.zero_()

    assert lora_digest(lora) == digest
    assert not lora.layers[A_LAYER].up.requires_grad
    assert list(lora.layers) == sorted(lora.layers)


def test_text_encoder_keys_are_counted_and_ignored(saved, caplog):
    tensors = load_file(saved)
    wanted = lora_from_state_dict(tensors, tiny_unet())
    tensors |= {
        f"lora_te_text_model_encoder_layers_0_mlp_fc1.{part}": torch.ones(4, 4)
        for part in ("lora_down.weight", "lora_up.weight", "alpha")
    }
    save_file(tensors, saved)

    with caplog.at_level(logging.WARNING, logger="scoft_training"):
        lora = read_lora(saved, tiny_unet())

    assert_same(lora, wanted)
    assert "3 text-encoder tensors are ignored" in caplog.text


TWO = torch.ones(2, 3)
UP = torch.ones(32, 2)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"conv_in.weight": TWO, "conv_out.weight": TWO}, "no LoRA keys among its 2 tensors"),
        (
            {"model.diffusion_model.out.0.weight": TWO, "first_stage_model.layer_norm1.bias": TWO},
            "no LoRA keys among its 2 tensors, which are named like",
        ),
        ({}, "no LoRA keys for a UNet"),
        ({"lora_te_text_model_x.lora_down.weight": TWO}, "for a UNet, and 1 for a text encoder"),
        ({f"{A_KEY}.hada_w1_a": TWO}, "holds LoHa tensors, for example '.*hada_w1_a'"),
        ({f"{A_KEY}.lokr_w1": TWO}, "holds LoKr tensors"),
        ({f"{A_KEY}.oft_blocks": TWO}, "holds OFT tensors"),
        ({f"{A_KEY}.lora_down.weight": TWO, f"{A_KEY}.dora_scale": TWO}, "holds DoRA tensors"),
        ({f"{A_LAYER}.lora_magnitude_vector.weight": TWO}, "holds DoRA tensors"),
        ({f"{A_KEY}.lora_mid.weight": TWO}, "holds Tucker-decomposed LoCon tensors"),
        ({"diffusion_model.out.0.diff_b": TWO}, "holds full weight tensors"),
        ({f"{A_KEY}.lora_up.weight": UP, f"{A_KEY}.bias": TWO}, "holds unknown tensors"),
        ({f"{A_KEY}.lora_up.weight": UP}, "has no `lora_down`, so the file is incomplete"),
        ({f"{A_KEY}.alpha": torch.tensor(1.0)}, "has no `lora_down`"),
        (
            {f"{A_KEY}.lora_up.weight": UP, f"unet.{A_LAYER}.lora_B.weight": UP},
            f"holds layer '{A_LAYER}' twice",
        ),
        (
            {"lora_unet_double_blocks_0.lora_up.weight": UP, f"{A_KEY}.lora_up.weight": UP},
            "1 of 2 LoRA layers match no module of this UNet, for example "
            "'lora_unet_double_blocks_0'. The LoRA was made for another base model",
        ),
        (
            {f"{A_KEY}.lora_down.weight": torch.ones(3, 32), f"{A_KEY}.lora_up.weight": UP},
            r"down of shape \(3, 32\) and up of shape \(32, 2\), whose ranks do not fit",
        ),
        (
            {f"{A_KEY}.lora_down.weight": torch.tensor(1.0), f"{A_KEY}.lora_up.weight": UP},
            r"down of shape \(\)",
        ),
        (
            {f"{A_KEY}.lora_down.weight": torch.ones(2, 31), f"{A_KEY}.lora_up.weight": UP},
            r"is for a weight of shape \(32, 31\), but this UNet's has \(32, 32\)",
        ),
        (
            {
                f"{A_KEY}.lora_down.weight": torch.ones(2, 32),
                f"{A_KEY}.lora_up.weight": UP,
                f"{A_KEY}.alpha": torch.ones(3),
            },
            r"alpha of layer '.*' must be one number but has shape \(3,\)",
        ),
    ],
)
def test_what_is_no_plain_lora_of_this_unet_is_refused_in_words(tensors, message, tmp_path):
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}  # no two share memory
    save_file(tensors, tmp_path / "odd.safetensors")

    with pytest.raises(ModelFileError, match=message) as caught:
        read_lora(tmp_path / "odd.safetensors", tiny_unet())

    assert str(caught.value).startswith(f"{tmp_path / 'odd.safetensors'}: ")


def test_a_lora_of_another_base_model_is_refused_with_what_its_header_says(tmp_path):
    lora = Lora(lora_from_adapter(trained_unet()).layers, {"ss_base_model_version": "sd_v1"})
    write_lora(tmp_path / "lora.safetensors", lora)

    with pytest.raises(ModelFileError, match=r"another base model \(its header says sd_v1\)"):
        read_lora(tmp_path / "lora.safetensors", tiny_unet(cross_attention_dim=40))


def test_an_unreadable_record_of_alpha_is_refused(saved):
    tensors = {key: value for key, value in load_file(saved).items() if "alpha" not in key}

    for record in ("{", "[]", '{"lora_alpha": "x"}', '{"alpha_pattern": {"(": 1}}'):
        with pytest.raises(ModelFileError, match=r"record of alpha .* cannot be read"):
            lora_from_state_dict(tensors, tiny_unet(), metadata={"lora_adapter_metadata": record})


def test_pickles_are_refused_by_name_and_by_content(tmp_path, saved):
    torch.save({"a": torch.ones(1)}, tmp_path / "zip.safetensors")
    torch.save(
        {"a": torch.ones(1)}, tmp_path / "old.safetensors", _use_new_zipfile_serialization=False
    )
    (tmp_path / "lora.ckpt").write_bytes(saved.read_bytes())

    for name in ("zip.safetensors", "old.safetensors", "lora.ckpt"):
        with pytest.raises(ModelFileError, match="is a pickle, which can run code when opened"):
            read_lora(tmp_path / name, tiny_unet())


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path):
    path = tmp_path / "lora.safetensors"
    for padding in range(640):
        save_file({"a": torch.ones(1)}, path, metadata={"b": "c" * padding})
        if path.read_bytes()[:8] == b"\x80\x02" + b"\0" * 6:  # 640; pickles start like that too
            break

    assert path.read_bytes()[:2] == b"\x80\x02"
    assert read_metadata(path) == {"b": "c" * padding}


@pytest.mark.parametrize("kept", [-1, 4000, 200, 20])
def test_a_file_cut_short_is_called_so(saved, kept):
    content = saved.read_bytes()
    saved.write_bytes(content[:kept])

    with pytest.raises(ModelFileError, match=r"is cut short: .* bytes of at least"):
        read_lora(saved, tiny_unet())


def test_files_of_no_use_are_refused_in_words(tmp_path, saved):
    cases = {
        "page": (b"<!DOCTYPE html><html>", "is not a safetensors file"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1", "is not a safetensors file"),
        "empty": (b"", "is not a safetensors file"),
        "header": (b"\x0a" + b"\0" * 7 + b"{nonsense}", "its safetensors header is damaged"),
        "list": (b"\x0b" + b"\0" * 7 + b'{"a": "b"} ', "its safetensors header is damaged"),
        "longer": (saved.read_bytes() + b"\0" * 9, "is damaged"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=message):
            read_lora(path, tiny_unet())
    with pytest.raises(ModelFileError, match="there is no such file"):
        read_metadata(tmp_path / "absent.safetensors")
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_metadata(tmp_path)


def test_writing_refuses_another_ending_and_an_empty_lora(tmp_path):
    lora = lora_from_adapter(trained_unet())

    with pytest.raises(OutputError, match=r"must end in \.safetensors"):
        write_lora(tmp_path / "lora.pt", lora)
    with pytest.raises(ConfigError, match="has no layers"):
        write_lora(tmp_path / "lora.safetensors", Lora({}, {}))
    assert not any(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full_disk(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(lora_files, "save_file", full_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        write_lora(saved, lora_from_adapter(trained_unet(2)))

    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_lora_read_from_a_file_outlives_its_replacement(saved):
    unet = trained_unet(2)
    lora = read_lora(saved, unet)
    digest = lora_digest(lora)

    saved.write_bytes(b"\0" * saved.stat().st_size)

    assert lora_digest(lora) == digest


def test_the_digest_is_over_tensors_and_alphas_and_not_over_the_header():
    lora = lora_from_adapter(trained_unet())
    digest = lora_digest(lora)
    layer = lora.layers[A_LAYER]
    transposed = dataclasses.replace(layer, down=layer.down.reshape(layer.down.T.shape))
    others = [
        dataclasses.replace(layer, alpha=layer.alpha + 1),
        dataclasses.replace(layer, up=-layer.up),
        dataclasses.replace(layer, up=layer.up.double()),
        transposed,
    ]

    assert lora_digest(Lora(dict(reversed(lora.layers.items())), {"when": "now"})) == digest
    digests = {lora_digest(Lora({**lora.layers, A_LAYER: other}, {})) for other in others}
    assert len(digests | {digest}) == 5


RECORD = TrainingRecord(
    config={
        "steps": 3000,
        "batch_size": 2,
        "gradient_accumulation_steps": 3,
        "seed": 11,
        "optimizer": "adam",
        "perceptual_backbone": "clipconv",
        "folders": ["/home/ana/pictures", "C:\\Users\\Ana\\run 7", "~/models/base.ckpt"],
        "nested": {"model": "models/secret place/../base.safetensors", "kind": "food/drink"},
    },
    run_id="run-0123",
    dataset_digest="d" * 64,
    picture_sha256=tuple(f"{number:064x}" for number in range(13)),
    culture="Korea",
    suffix=", in South Korea",
    category_counts={"food": 8, "clothing": 5},
    final_losses={"ldm": 0.125, "perceptual": float("nan")},
    credits=("Museo / Ana", "Museo / Ana", "한국"),
    licences=("CC-BY-4.0", "CC0-1.0", "CC0-1.0"),
    base_name="/home/ana/models/dreamshaper_8.safetensors",
    family="sd1",
    prediction_type="epsilon",
    resolution=512,
    steps=3000,
    learning_rate=1e-4,
    rank=64,
    alpha=32.0,
    num_pictures=13,
    started="2026-11-24T10:00:00+01:00",
    finished="2026-11-24T11:30:00Z",
    title="/home/ana/loras/hanbok",
)


def test_the_header_says_what_lora_managers_look_for(tmp_path):
    lora = Lora(lora_from_adapter(trained_unet()).layers, lora_metadata(RECORD))
    write_lora(tmp_path / "lora.safetensors", lora)

    metadata = read_metadata(tmp_path / "lora.safetensors")

    with safe_open(tmp_path / "lora.safetensors", framework="pt") as file:
        assert file.metadata() == metadata == lora_metadata(RECORD)
    expected = {
        "ss_base_model_version": "sd_v1",
        "ss_network_dim": "64",
        "ss_network_alpha": "32.0",
        "ss_network_module": "networks.lora",
        "ss_output_name": "hanbok",
        "ss_sd_model_name": "dreamshaper_8.safetensors",
        "ss_resolution": "(512, 512)",
        "ss_num_train_images": "13",
        "ss_learning_rate": "0.0001",
        "ss_num_epochs": "1385",  # 3000 steps of 2 * 3 pictures over 13, rounded up
        "ss_v2": "False",
        "ss_seed": "11",
        "ss_training_started_at": "1795510800.0",
        "ss_training_finished_at": "1795519800.0",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": "hanbok",
        "modelspec.trigger_phrase": ", in South Korea",
        "modelspec.prediction_type": "epsilon",
        "modelspec.resolution": "512x512",
        "modelspec.license": "CC-BY-4.0; CC0-1.0",
        "modelspec.implementation": "diffusers",
        "scoft.culture": "Korea",
        "scoft.run_id": "run-0123",
        "scoft.dataset_digest": "d" * 64,
    }
    assert {key: metadata[key] for key in expected} == expected
    parsed = {key: json.loads(metadata[key]) for key in metadata if metadata[key][0] in "[{"}
    assert parsed["ss_tag_frequency"] == {"Korea": {"food": 8, "clothing": 5}}
    assert parsed["scoft.picture_sha256"] == list(RECORD.picture_sha256)
    assert parsed["scoft.credits"] == ["Museo / Ana", "한국"]
    assert parsed["scoft.category_counts"] == {"food": 8, "clothing": 5}
    assert parsed["scoft.final_losses"] == {"ldm": 0.125, "perceptual": None}
    assert parsed["scoft.config"]["steps"] == 3000
    assert parsed["scoft.software"]["torch"] == torch.__version__.split("+")[0]
    assert "scoft.trimmed" not in metadata


def test_no_path_gets_into_the_header():
    metadata = lora_metadata(RECORD)

    text = "\n".join(metadata.values())
    for part in ("home", "Users", "ana/", "secret", "models", ".."):
        assert part not in text, part
    config = json.loads(metadata["scoft.config"])
    assert config["folders"] == ["pictures", "run 7", "base.ckpt"]
    assert config["nested"] == {"model": "base.safetensors", "kind": "food/drink"}


@pytest.mark.parametrize(
    ("family", "prediction_type", "version", "architecture"),
    [
        ("sd2", "epsilon", "sd_v2", "stable-diffusion-v2-512/lora"),
        ("sd2", "v_prediction", "sd_v2_v", "stable-diffusion-v2-768-v/lora"),
        ("sdxl", "epsilon", "sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
    ],
)
def test_each_family_has_its_names(family, prediction_type, version, architecture):
    record = dataclasses.replace(RECORD, family=family, prediction_type=prediction_type)

    metadata = lora_metadata(record)

    assert metadata["ss_base_model_version"] == version
    assert metadata["modelspec.architecture"] == architecture
    assert metadata["ss_v2"] == str(family == "sd2")
    assert metadata["modelspec.prediction_type"] == {"v_prediction": "v"}.get(
        prediction_type, prediction_type
    )


def test_an_unknown_family_is_refused():
    with pytest.raises(
        ConfigError, match=r"Unknown model family 'sd15'\. Use one of sd1, sd2, sdxl"
    ):
        lora_metadata(dataclasses.replace(RECORD, family="sd15"))


def test_empty_values_and_broken_text_do_not_stop_the_file(tmp_path):
    record = dataclasses.replace(
        RECORD, culture="", suffix="", credits=("\udcff",), licences=(), title="a\udcffb"
    )
    lora = Lora(lora_from_adapter(trained_unet()).layers, lora_metadata(record))

    write_lora(tmp_path / "lora.safetensors", lora)

    metadata = read_metadata(tmp_path / "lora.safetensors")
    assert metadata["modelspec.title"] == "a?b"
    assert not {"modelspec.trigger_phrase", "modelspec.license", "scoft.culture"} & metadata.keys()


@pytest.mark.parametrize("text", ["é", '"\\'], ids=["two bytes", "escaped"])
def test_a_long_header_is_trimmed_from_its_longest_list_and_says_so(tmp_path, caplog, text):
    pictures = tuple(f"{number:064x}" for number in range(20_000))
    record = dataclasses.replace(RECORD, picture_sha256=pictures, credits=(text * 9_999, text))
    lora = Lora(lora_from_adapter(trained_unet()).layers, lora_metadata(record))
    path = tmp_path / "lora.safetensors"

    with caplog.at_level(logging.WARNING, logger="scoft_training"):
        write_lora(path, lora)

    header_bytes = int.from_bytes(path.read_bytes()[:8], "little")
    assert 0.9 * MAX_HEADER_BYTES < header_bytes <= MAX_HEADER_BYTES
    metadata = read_metadata(path)
    kept = json.loads(metadata["scoft.picture_sha256"])
    assert kept == list(pictures[: len(kept)])
    note = json.loads(metadata["scoft.trimmed"])
    assert note["scoft.picture_sha256"] == f"first {len(kept)} of 20000 kept"
    unchanged = lora.metadata.keys() - note.keys()
    assert {key: metadata[key] for key in unchanged} == {
        key: lora.metadata[key] for key in unchanged
    }
    assert "header was too long" in caplog.text


def test_a_single_long_value_is_left_out_whole(tmp_path):
    lora = lora_from_adapter(trained_unet())
    metadata = {"ssmd_cover_images": "x" * 2_000_000, "short": "kept"}
    write_lora(tmp_path / "lora.safetensors", Lora(lora.layers, metadata))

    read = read_metadata(tmp_path / "lora.safetensors")

    assert read["short"] == "kept"
    assert json.loads(read["scoft.trimmed"])["ssmd_cover_images"] == "left out"
    assert "ssmd_cover_images" not in read


def imported_by(statement: str) -> set[str]:
    listing = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", listing], text=True).split())


def test_reading_a_lora_needs_neither_diffusers_nor_peft():
    root = Path(lora_files.__file__).parents[1]
    prologue = f"import sys; sys.path.insert(0, {str(root)!r})"

    modules = imported_by(f"{prologue}\nimport scoft_training.lora_files")

    assert "scoft_training.lora_files" in modules
    assert not {"diffusers", "peft"} & modules
