"""Promises of the LoRA file: the same tensors, the same picture, every reader, a clear refusal."""

from __future__ import annotations

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
from safetensors.torch import load_file, save_file
from small_unet import (
    A_LAYER,
    ALPHA,
    ATTENTION,
    RANK,
    WITH_CONVOLUTIONS,
    attach,
    noise_pred,
    tiny_unet,
    trained_unet,
)
from transformers import CLIPTextConfig, CLIPTextModel

from scoft_training import lora_files
from scoft_training.errors import ConfigError, ModelFileError, OutputError
from scoft_training.lora_files import (
    lora_from_state_dict,
    lora_state_dict,
    read_lora,
    read_metadata,
    write_lora,
)
from scoft_training.lora_layers import (
    Lora,
    load_into_adapter,
    lora_digest,
    lora_from_adapter,
    weights_by_path,
)
from scoft_training.lora_names import ldm_names, spelled_modules

A_KEY = "lora_unet_" + A_LAYER.replace(".", "_")


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
        ldm = ldm_names(weights_by_path(unet))[name]
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
    ldm = {spelled: name for name, spelled in ldm_names(names).items()}
    checkpoint = {
        f"model.diffusion_model.{spelled}.{kind}": f"{name}.{kind}"
        for spelled, name in ldm.items()
        for kind in ("weight", "bias")
    }

    converted = convert_ldm_unet_checkpoint(checkpoint, dict(unet.config))

    assert len(ldm) == len(names) == count
    for block, place in enumerate(upsamplers):
        assert ldm[f"{place}.conv"] == f"up_blocks.{block}.upsamplers.0.conv"
    assert {value for value in converted.values() if value} >= {f"{name}.weight" for name in names}
    for new_name, carried in converted.items():
        assert carried is None or new_name == carried
    spellings = spelled_modules(names)
    assert spellings["input_blocks_4_1_transformer_blocks_0_attn1_to_q"] == (
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    )
    assert len(spellings) == 2 * count - len({*ldm} & {*names})


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


def imported_by(statement: str) -> set[str]:
    listing = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", listing], text=True).split())


def test_reading_a_lora_needs_neither_diffusers_nor_peft():
    root = Path(lora_files.__file__).parents[1]
    prologue = f"import sys; sys.path.insert(0, {str(root)!r})"

    modules = imported_by(f"{prologue}\nimport scoft_training.lora_files")

    assert "scoft_training.lora_files" in modules
    assert not {"diffusers", "peft"} & modules


def test_the_public_names_are_pinned():
    assert lora_files.__all__ == [
        "alpha_tensor",
        "gather_parts",
        "layers_from_parts",
        "lora_from_state_dict",
        "lora_state_dict",
        "read_lora",
        "read_metadata",
        "read_tensors",
        "write_lora",
    ]
