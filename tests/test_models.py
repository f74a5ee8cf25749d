"""Base models: read from a folder, refused in a sentence, and given a LoRA that is a function."""

import json
import shutil

import pytest
import torch
from random_stack import save_random_base
from stack import CPU, small_base

from scoft_training.errors import ConfigError, ModelFileError
from scoft_training.files import digest_tensors
from scoft_training.models import (
    attach_lora,
    detach_lora,
    load_base,
    lora_parameters,
    on_device,
    register_base,
    resolve_device,
    resolve_precision,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "random"
    save_random_base(path)
    return path


def load(folder, dtype=torch.float32):
    return load_base(folder, dtype=dtype, allow_download=False)


def test_a_folder_in_diffusers_layout_is_read_frozen(folder):
    base = load(folder)
    assert (base.name, base.family) == ("random", "sd1")
    assert base.schedule.prediction_type == "epsilon"
    assert base.vae_scale_factor == 8
    assert base.scaling_factor == 0.18215
    # Stable Diffusion's schedule: 1 - 0.00085 at the first step.
    assert base.schedule.alphas_cumprod[0].item() == pytest.approx(0.99915, abs=1e-6)
    assert base.schedule.alphas_cumprod[-1].item() == pytest.approx(0.00466, abs=1e-5)
    for network in (base.unet, base.vae):
        assert not any(value.requires_grad for value in network.parameters())
        assert not network.training


def test_the_digest_follows_the_weights_and_nothing_else(folder, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    assert load(copy).digest == load(folder).digest
    assert load(folder, torch.float64).digest != load(folder).digest
    config = json.loads((copy / "scheduler" / "scheduler_config.json").read_text())
    config["beta_end"] = 0.013
    (copy / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    assert load(copy).digest != load(folder).digest


def test_captions_are_encoded_like_clip_and_the_cut_ones_are_named(folder):
    base = load(folder)
    encoded = base.captions.encode(["한복 입은 사람", "word " * 75, "word " * 76])
    assert encoded.conditioning.prompt_embeds.shape == (3, 77, 32)
    # 75 words and the two marks are just 77 tokens.
    assert encoded.cut == (2,)
    alone = base.captions.encode(["word " * 200])
    torch.testing.assert_close(
        alone.conditioning.prompt_embeds[0], encoded.conditioning.prompt_embeds[2]
    )


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(folder, tmp_path, part):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / part)
    with pytest.raises(ModelFileError, match=f"{part}: missing.*put the missing one there or name"):
        load(copy)


def test_a_truncated_or_missing_weights_file_is_named(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelFileError, match=r"unet: could not be loaded \(.+\).*safetensors"):
        load(copy)
    weights.unlink()
    with pytest.raises(ModelFileError, match=r"unet: could not be loaded"):
        load(copy)


def test_what_cannot_be_trained_is_refused_by_name(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "text_encoder_2").mkdir()
    with pytest.raises(
        ModelFileError, match="tokenizer_2: missing. .*text_encoder_2, tokenizer_2;"
    ):
        load(copy)
    shutil.rmtree(copy / "text_encoder")
    with pytest.raises(ModelFileError, match="this is SDXL's refiner"):
        load(copy)
    with pytest.raises(ModelFileError, match="nowhere: no such folder. Name a folder in diffusers"):
        load(tmp_path / "nowhere")


def test_a_hub_id_that_is_not_cached_says_where_to_fetch_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ModelFileError, match="is not cached, and downloads are off .*Fetch https://huggingface.co/"
    ):
        load("nobody/nothing-of-this-name")


def test_a_registered_name_is_loaded_by_its_loader():
    register_base("made-here", lambda dtype: small_base(dtype))
    assert load("made-here", torch.float64).unet.dtype == torch.float64
    with pytest.raises(ModelFileError, match="Did you mean 'made-here'"):
        load("made-her")


def test_a_v_prediction_base_is_read_as_one(tmp_path):
    save_random_base(tmp_path / "v", prediction_type="v_prediction")
    assert load(tmp_path / "v").schedule.prediction_type == "v_prediction"
    save_random_base(tmp_path / "s", prediction_type="sample")
    with pytest.raises(ModelFileError, match="prediction type 'sample' is not supported"):
        load(tmp_path / "s")


def attached(seed=0):
    base = small_base()
    attach_lora(base.unet, rank=4, alpha=2.0, seed=seed, dtype=torch.float64)
    return base


def test_a_lora_covers_the_attention_projections_and_is_a_function_of_the_seed():
    torch.manual_seed(1)
    one = lora_parameters(attached().unet)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    two = lora_parameters(attached().unet)
    assert torch.equal(torch.random.get_rng_state(), state), "global random state was drawn from"
    assert {name: digest_tensors({"": v}) for name, v in one.items()} == {
        name: digest_tensors({"": v}) for name, v in two.items()
    }
    other = lora_parameters(attached(seed=1).unet)
    downs = [name for name in one if ".lora_A." in name]
    # Self- and cross-attention, four projections each.
    assert {name.rsplit(".lora_A")[0].rsplit("attn", 1)[1] for name in downs} == {
        f"{number}.{target}" for number in (1, 2) for target in ("to_q", "to_k", "to_v", "to_out.0")
    }
    for name in downs:
        assert not torch.equal(one[name], other[name])
        assert one[name].dtype == torch.float64
        # Kaiming uniform with a = sqrt(5): within 1 / sqrt(inputs).
        assert 0 < one[name].abs().max() <= one[name].shape[1] ** -0.5
    assert all((v == 0).all() for name, v in one.items() if ".lora_B." in name)


def test_a_detached_lora_leaves_the_unet_as_it_was():
    base = attached()
    for value in lora_parameters(base.unet).values():
        value.data.fill_(0.5)
    detach_lora(base.unet)
    assert digest_tensors(base.unet.state_dict()) == digest_tensors(small_base().unet.state_dict())
    detach_lora(base.unet)


def test_devices_and_precisions_are_resolved_or_refused():
    assert resolve_device("cpu") == CPU
    assert resolve_precision("auto", CPU) == torch.float32
    assert resolve_precision("auto", torch.device("mps")) == torch.float32
    assert resolve_precision("fp64", CPU) == torch.float64
    assert resolve_precision("bf16", CPU) == torch.bfloat16
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        resolve_precision("fp16", CPU)
    with pytest.raises(ConfigError, match="fp64 is for the CPU only"):
        resolve_precision("fp64", torch.device("cuda"))
    with pytest.raises(ConfigError, match="Device 'gpu' cannot be used here"):
        resolve_device("gpu")


@pytest.mark.parametrize(
    ("asked", "rank", "given"),
    [("auto", "3", "cuda:3"), ("cuda", "1", "cuda:1"), ("cuda:0", "1", "cuda:0"), ("cuda", "", "")],
)
def test_each_process_of_a_machine_opens_its_own_gpu_alone(monkeypatch, asked, rank, given):
    opened = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda *_, device: opened.append(str(device)))
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert str(resolve_device(asked)) == (given or asked)
    assert opened == [given or asked]


def test_a_network_leaves_its_device_when_its_work_is_done():
    network = torch.nn.Linear(2, 3)
    moves = []
    network.to = lambda device: moves.append(device)
    with pytest.raises(ValueError, match="work"), on_device(network, torch.device("meta")):
        raise ValueError("work")
    assert moves == [torch.device("meta"), CPU]
