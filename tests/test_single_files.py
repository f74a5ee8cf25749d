"""One file as a base or a ControlNet: read exactly, without a network, or refused in a sentence."""

import copy
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ldm_layout import (
    TRUE_SIZES,
    build,
    controlnet_tensors,
    ldm_checkpoint,
    ldm_controlnet,
    small_networks,
    write_sparse,
)
from safetensors.torch import save_file
from stack import write_demo

from scoft_training import single_file_networks
from scoft_training.cli import main
from scoft_training.conditioning import Conditioning, size_ids
from scoft_training.control_models import load_controlnet, require_fitting
from scoft_training.errors import ModelFileError
from scoft_training.models import load_base
from scoft_training.single_file_networks import checkpoint_parts, checkpoint_parts_of, vae_dtype
from scoft_training.single_file_text import clip_tokenizer
from scoft_training.single_files import WeightsFile, open_weights, prediction_type, recognise

FAMILIES = ("sd1", "sd2", "sdxl")


@pytest.fixture(scope="module")
def networks():
    return {family: small_networks(family) for family in FAMILIES}


@pytest.fixture(scope="module")
def files(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for family in FAMILIES:
        save_file(ldm_checkpoint(networks[family], family), folder / f"{family}.safetensors")
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_the_watch_on_the_network_sees_a_connection():
    with pytest.raises(AssertionError, match="the network was touched"):
        socket.create_connection(("127.0.0.1", 9))


def load(path, dtype=torch.float32):
    return load_base(path, dtype=dtype, allow_download=False)


def assert_same(network, original, dtype=torch.float32):
    found, expected = network.state_dict(), original.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value.to(dtype)), name
        assert found[name].dtype == dtype


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def captions_for(network):
    context = normal(2, 2, 77, network.config.cross_attention_dim)
    if not network.config.addition_embed_type:
        return Conditioning(context)
    width = network.config.projection_class_embeddings_input_dim - 6 * 256
    sizes = size_ids((300, 400), (0, 43), (256, 256))
    return Conditioning(context, normal(3, 2, width)).sized(sizes)


def draw(unet):
    arguments = captions_for(unet).arguments(torch.float32)
    with torch.no_grad():
        return unet(normal(1, 2, 4, 16, 8), torch.tensor([7, 600]), **arguments).sample


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_in_the_original_layout_becomes_the_networks_it_was_written_from(
    networks, files, family
):
    originals = networks[family]
    base = load(files / f"{family}.safetensors")
    assert (base.name, base.family) == (family, family)
    scale = 0.13025 if family == "sdxl" else 0.18215
    assert (base.scaling_factor, base.vae_scale_factor) == (scale, 8)
    assert base.reads_sizes == (family == "sdxl")
    assert base.schedule.prediction_type == "epsilon"
    assert base.schedule.alphas_cumprod[-1].item() == pytest.approx(0.00466, abs=1e-5)
    found = {"unet": base.unet, "vae": base.vae}
    if family == "sdxl":
        encoders = base.captions._text_encoders
        found |= dict(zip(("text_encoder", "text_encoder_2"), encoders, strict=True))
    else:
        found["text_encoder"] = base.captions._text_encoder
    assert found.keys() == originals.keys()
    for name, network in found.items():
        assert_same(network, originals[name])
        assert not network.training
        assert not any(value.requires_grad for value in network.parameters())
        assert not any(value.is_meta for value in [*network.parameters(), *network.buffers()])
    assert torch.equal(draw(base.unet), draw(originals["unet"]))
    images = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        latents = base.vae.encode(images).latent_dist.mean
        assert torch.equal(latents, originals["vae"].encode(images).latent_dist.mean)
        assert torch.equal(base.vae.decode(latents).sample, originals["vae"].decode(latents).sample)


@pytest.mark.parametrize("family", FAMILIES)
def test_captions_are_encoded_as_by_the_original_and_padded_as_its_family_pads(
    networks, files, family
):
    encoded = load(files / f"{family}.safetensors").captions.encode(["a house", "word " * 80])
    assert encoded.cut == (1,)
    # By CLIP's vocabulary: start, "a", "house", end; 1.x fills up with ends, 2.x with "!".
    ends, zeros = (
        torch.tensor([[49406, 320, 1212, 49407] + [padding] * 73]) for padding in (49407, 0)
    )
    first = networks[family]["text_encoder"]
    found = encoded.conditioning[:1]
    with torch.no_grad():
        if family != "sdxl":
            expected, pooled = first(ends if family == "sd1" else zeros)[0], None
        else:
            second = networks[family]["text_encoder_2"](zeros, output_hidden_states=True)
            hidden = first(ends, output_hidden_states=True).hidden_states[-2]
            expected = torch.cat([hidden, second.hidden_states[-2]], dim=-1)
            pooled = second.text_embeds
    torch.testing.assert_close(found.prompt_embeds, expected)
    torch.testing.assert_close(found.pooled_prompt_embeds, pooled)


def test_a_2x_text_encoder_is_open_clips_up_to_its_last_layer_but_one(networks, tmp_path):
    from open_clip import CLIP

    text = {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 4}
    vision = {"layers": 1, "width": 64, "head_width": 32, "image_size": 32, "patch_size": 16}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        original = CLIP(embed_dim=128, vision_cfg=vision, text_cfg=text).eval()
        for name, value in original.named_parameters():
            if "ln_" in name or "bias" in name:
                torch.nn.init.normal_(value, mean=float("ln_" in name), std=0.2)
    tensors = {
        name: value
        for name, value in ldm_checkpoint(networks["sd2"], "sd2").items()
        if not name.startswith("cond_stage_model.")
    }
    for name, value in original.state_dict().items():
        if not name.startswith("visual."):
            tensors[f"cond_stage_model.model.{name}"] = value.contiguous()
    save_file(tensors, tmp_path / "sd2.safetensors")
    found = (
        load(tmp_path / "sd2.safetensors").captions.encode(["a house"]).conditioning.prompt_embeds
    )
    with torch.no_grad():
        ids = torch.tensor([[49406, 320, 1212, 49407] + [0] * 73])
        hidden = original.token_embedding(ids) + original.positional_embedding
        for block in original.transformer.resblocks[:-1]:
            hidden = block(hidden, attn_mask=original.attn_mask)
        torch.testing.assert_close(found, original.ln_final(hidden))


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_same_model_as_folder_and_as_file_is_one_base(networks, files, tmp_path, family):
    from diffusers import DDIMScheduler
    from random_stack import save_clip_tokenizer

    for name, network in networks[family].items():
        network.save_pretrained(tmp_path / family / name)
    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
    ).save_pretrained(tmp_path / family / "scheduler")
    save_clip_tokenizer(tmp_path / family / "tokenizer")
    if family == "sdxl":
        clip_tokenizer(pad_token="!").save_pretrained(tmp_path / family / "tokenizer_2")
    folder, file = load(tmp_path / family), load(files / f"{family}.safetensors")
    assert (folder.digest, folder.name) == (file.digest, file.name)
    assert folder.family == family
    assert load(files / f"{family}.safetensors", torch.float16).digest != file.digest


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_weights_come_in_the_format_asked_for_and_outlive_the_file(networks, tmp_path, stored):
    halves = {
        name: value.to(stored) if value.is_floating_point() else value
        for name, value in ldm_checkpoint(networks["sd1"], "sd1").items()
    }
    path = tmp_path / "half.safetensors"
    save_file(halves, path)
    original = copy.deepcopy(networks["sd1"]["unet"]).to(stored)
    for dtype in (stored, torch.float32):
        assert_same(load(path, dtype).unet, original, dtype)
    base = load(path, stored)
    before = base.unet.conv_in.weight.clone()
    # Whoever writes over the file must not change a model that is loaded.
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(base.unet.conv_in.weight, before)


def test_a_linked_file_is_named_by_its_link(files, tmp_path):
    (tmp_path / "dreamy.safetensors").symlink_to(files / "sd1.safetensors")
    assert load(tmp_path / "dreamy.safetensors").name == "dreamy"


class Checkpoint:
    """Lightning's note on its best checkpoint, as the first releases carry it."""


@pytest.mark.parametrize("zipped", [True, False])
def test_a_ckpt_is_read_with_what_old_trainers_left_in_it(networks, files, tmp_path, zipped):
    import numpy

    tensors = ldm_checkpoint(networks["sd1"], "sd1")
    Checkpoint.__module__ = "pytorch_lightning.callbacks.model_checkpoint"
    Checkpoint.__qualname__ = Checkpoint.__name__ = "ModelCheckpoint"
    module = type(sys)("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = Checkpoint
    with pytest.MonkeyPatch.context() as patch:
        for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
            patch.setitem(sys.modules, name, module)
        notes = {Checkpoint: {"best": numpy.float64(0.5)}}
        torch.save(
            {"state_dict": tensors, "global_step": 1, "callbacks": notes},
            tmp_path / "sd1.ckpt",
            _use_new_zipfile_serialization=zipped,
        )
    base = load(tmp_path / "sd1.ckpt")
    assert base.digest == load(files / "sd1.safetensors").digest


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path):
    proof = tmp_path / "ran"

    class Attack:
        def __reduce__(self):
            return Path.touch, (proof,)

    (tmp_path / "new.pt").write_bytes(pickle.dumps(Attack(), protocol=4))
    with pytest.raises(ModelFileError, match="this pickle is not of torch's form.*was not opened"):
        load(tmp_path / "new.pt")
    for name, write in (
        ("zipped.ckpt", lambda path: torch.save({"state_dict": Attack()}, path)),
        ("oldest.ckpt", lambda path: path.write_bytes(pickle.dumps(Attack(), protocol=0))),
        ("plain.pt", lambda path: path.write_bytes(pickle.dumps({"w": Attack()}, protocol=2))),
        ("named.safetensors", lambda path: torch.save(Attack(), path)),
    ):
        write(tmp_path / name)
        for loader in (load, lambda path: load_controlnet(path, dtype=torch.float32)):
            with pytest.raises(
                ModelFileError, match=r"this pickle holds more than tensors \(\S+\).*was not opened"
            ):
                loader(tmp_path / name)
    assert not proof.exists()
    # The attack works: whoever unpickles it runs it.
    pickle.loads(pickle.dumps(Attack()))
    assert proof.exists()


def lora():
    return {"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": torch.zeros(4, 8)}


def alone(prefix, tensors):
    return {name: value for name, value in tensors.items() if name.startswith(prefix)}


def changed(tensors, **other):
    return {**tensors, **{name.replace("__", "."): value for name, value in other.items()}}


UNET = "model__diffusion_model__"
WRONG_BASES = {
    "this is a LoRA; a base model is a whole": lambda sd1: lora(),
    "this is a LoRA;": lambda sd1: {"unet.mid_block.attn1.to_q.lora_A.weight": torch.zeros(4, 8)},
    "this is a VAE alone": lambda sd1: alone("first_stage_model.", sd1),
    "this is a checkpoint without its VAE and text encoder": lambda sd1: alone("model.d", sd1),
    "this is a text encoder alone": lambda sd1: alone("cond_stage_model.", sd1),
    "this is an unCLIP model": lambda sd1: changed(
        sd1, **{f"{UNET}label_emb__0__0__weight": torch.zeros(8, 8)}
    ),
    r"this is a checkpoint for inpainting \(9 input channels\)": lambda sd1: changed(
        sd1, **{f"{UNET}input_blocks__0__0__weight": torch.zeros(32, 9, 3, 3)}
    ),
    "this is a Flux checkpoint": lambda sd1: {"double_blocks.0.img_attn.qkv.weight": torch.ones(1)},
    "this is a Stable Diffusion 3 checkpoint": lambda sd1: {
        "model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": torch.ones(1)
    },
    "this is a diffusion transformer": lambda sd1: {"blocks.0.self_attn.q.weight": torch.ones(1)},
    "this is a T2I adapter": lambda sd1: {"body.0.block1.weight": torch.ones(1)},
    "this is a control-LoRA": lambda sd1: {"lora_controlnet": torch.ones(1)},
    "this is a ControlNet; a base": lambda sd1: {"input_hint_block.0.weight": torch.ones(1)},
    r"this is a file of an unknown kind \(its first tensors: a, b\)": lambda sd1: {
        "a": torch.ones(1),
        "b": torch.ones(1),
    },
    "its weights are quantised .* is F8_E4M3.*name such a file": lambda sd1: {
        name: value.to(torch.float8_e4m3fn) if name.endswith(".weight") else value
        for name, value in sd1.items()
    },
    r"does not hold .*'s UNet: conv_out.bias is missing; conv_out.weight has": lambda sd1: (
        {name: value for name, value in sd1.items() if ".diffusion_model.out.2" not in name}
        | {"model.diffusion_model.out.2.weight": torch.zeros(4, 5, 3, 3)}
    ),
    r"its UNet does not have Stable Diffusion's layout \(conv_out.weight is missing": lambda sd1: {
        name: value for name, value in sd1.items() if ".diffusion_model.out.2" not in name
    },
    r"its UNet has weights beyond .*\(model.diffusion_model.gate; 1 in all\)": lambda sd1: changed(
        sd1, **{f"{UNET}gate": torch.ones(1)}
    ),
    "its text encoder makes embeddings of 32 channels and its UNet reads 64": lambda sd1: {
        name: value[..., :32].contiguous() if name.startswith("cond_stage_model.") else value
        for name, value in sd1.items()
    },
}


@pytest.mark.parametrize("sentence", WRONG_BASES)
def test_a_wrong_file_as_a_base_is_named(networks, tmp_path, sentence):
    path = tmp_path / "model.safetensors"
    save_file(WRONG_BASES[sentence](ldm_checkpoint(networks["sd1"], "sd1")), path)
    if "embeddings of 32" in sentence:
        shrink_text_encoder(path)
    with pytest.raises(ModelFileError, match=f"model.safetensors: {sentence}") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def shrink_text_encoder(path):
    """Half the channels on both sides of every weight of the text encoder."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    for name, value in tensors.items():
        if name.startswith("cond_stage_model.") and "embeddings" not in name:
            rows = 192 if "fc1" in name else 32
            columns = 192 if "fc2" in name else 32
            value = value[:rows]
            tensors[name] = value.repeat(1, 6)[:, :columns] if value.ndim == 2 else value
            if value.ndim == 1 and "fc1" in name:
                tensors[name] = torch.zeros(192)
            tensors[name] = tensors[name].contiguous()
    save_file(tensors, path)


@pytest.mark.parametrize("loader", [load, lambda path: load_controlnet(path, dtype=torch.float32)])
def test_a_file_that_is_no_model_is_named(files, tmp_path, loader):
    whole = (files / "sd1.safetensors").read_bytes()
    torch.save({"a": torch.ones(9)}, tmp_path / "whole.ckpt")
    torch.save({"a": torch.ones(9)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    contents = {
        "cut.safetensors": (whole[: len(whole) // 2], "cannot be read as safetensors .*cut short"),
        "short.safetensors": (whole[:100], "cannot be read as safetensors .*cut short"),
        "empty.safetensors": (b"", "cannot be read as safetensors .*cut short"),
        "page.safetensors": (b"\n<!DOCTYPE html><html>", "this is a web page, not a model"),
        "model.gguf": (b"GGUF\x03\x00\x00\x00", "this is a GGUF file, whose weights are quantised"),
        "pointer.safetensors": (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "this is git's pointer to a model",
        ),
        "cut.pt": (
            (tmp_path / "old.pt").read_bytes()[:-1],
            r"cannot be read as a torch file \(.+\). The download was cut short",
        ),
        "shorter.pt": (
            (tmp_path / "old.pt").read_bytes()[:20],
            r"cannot be read as a torch file \(.+\). The download was cut short",
        ),
        "cut.ckpt": (
            (tmp_path / "whole.ckpt").read_bytes()[:-200],
            r"cannot be read as a torch file \(.+\). The download was cut short",
        ),
    }
    for name, (content, sentence) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelFileError, match=f"{name}: {sentence}") as caught:
            loader(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelFileError, match="nowhere.ckpt: there is no such file"):
        loader(Path("models/nowhere.ckpt"))
    torch.save([torch.ones(1)], tmp_path / "list.pt")
    with pytest.raises(ModelFileError, match="list.pt: holds no table of named tensors"):
        loader(tmp_path / "list.pt")


def sd2_with(networks, path, *, spread=None, tensors=None, metadata=None):
    written = ldm_checkpoint(networks["sd2"], "sd2") | (tensors or {})
    if spread is not None:
        # Half up, half down: a standard deviation of exactly this.
        name = "model.diffusion_model.output_blocks.8.1.transformer_blocks.0.norm1.bias"
        signs = torch.arange(written[name].numel()) % 2 * 2 - 1
        written[name] = 1 + spread * signs
    save_file(written, path, metadata=metadata)
    return open_weights(path)


def test_what_a_model_predicts_is_measured_unless_it_is_stated(networks, tmp_path):
    path = tmp_path / "m.safetensors"
    assert prediction_type(sd2_with(networks, path, spread=0.0898)) == "epsilon"
    assert prediction_type(sd2_with(networks, path, spread=0.0902)) == "v_prediction"
    eps, v = ({"modelspec.prediction_type": kind} for kind in ("epsilon", "v"))
    assert prediction_type(sd2_with(networks, path, spread=0.2, metadata=eps)) == "epsilon"
    assert prediction_type(sd2_with(networks, path, spread=0.0, metadata=v)) == "v_prediction"
    key = {"v_pred": torch.tensor([])}
    file = sd2_with(networks, path, spread=0.0, tensors=key, metadata=eps)
    assert prediction_type(file) == "v_prediction"
    assert load(path).schedule.prediction_type == "v_prediction"
    (tmp_path / "m.yaml").write_text("model:\n  params:\n    linear_start: 0.00085\n")
    assert prediction_type(file) == "epsilon"
    (tmp_path / "m.yaml").write_text("notes: of another program\n")
    assert prediction_type(file) == "v_prediction"
    (tmp_path / "m.yaml").write_text('model:\n  params:\n    parameterization: "v"\n')
    assert prediction_type(sd2_with(networks, path, spread=0.0)) == "v_prediction"


def test_a_1x_model_predicts_v_only_if_it_says_so(networks, files, tmp_path):
    assert prediction_type(open_weights(files / "sd1.safetensors")) == "epsilon"
    tensors = ldm_checkpoint(networks["sd1"], "sd1")
    tensors |= {"v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}
    save_file(tensors, tmp_path / "v.safetensors")
    schedule = load(tmp_path / "v.safetensors").schedule
    assert schedule.prediction_type == "v_prediction"
    # Zero terminal SNR: at the last step nothing of the picture is left.
    assert schedule.alphas_cumprod[-1].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", ["control_model.", "bare", "diffusers"])
def test_a_controlnet_of_one_file_is_read_exactly(networks, files, tmp_path, family, layout):
    original = controlnet_tensors(networks[family]["unet"])
    path = tmp_path / "depth.safetensors"
    if layout == "diffusers":
        save_file(original.state_dict(), path)
    elif layout == "bare":
        save_file(ldm_controlnet(original, ""), path)
    else:
        # The first releases hold the base model, too.
        base = ldm_checkpoint(networks[family], family)
        save_file(base | ldm_controlnet(original), path)
    controlnet = load_controlnet(path, dtype=torch.float32, allow_download=False)
    assert controlnet.name == "depth"
    assert_same(controlnet.network, original)
    require_fitting(controlnet, load(files / f"{family}.safetensors"))
    arguments = captions_for(original).arguments(torch.float32)
    arguments |= {"controlnet_cond": torch.full((2, 3, 64, 128), 0.3), "return_dict": False}
    inputs = (normal(1, 2, 4, 8, 16), torch.tensor([9, 9]))
    with torch.no_grad():
        ours, theirs = (one(*inputs, **arguments)[0] for one in (controlnet.network, original))
    for found, expected in zip(ours, theirs, strict=True):
        assert torch.equal(found, expected)


def test_a_wrong_file_as_a_controlnet_is_named(networks, tmp_path):
    tensors = ldm_controlnet(controlnet_tensors(networks["sd1"]["unet"]), "")
    sd1 = ldm_checkpoint(networks["sd1"], "sd1")
    wrong = {
        "this is a VAE alone; a ControlNet": alone("first_stage_model.", sd1),
        "this is a Stable Diffusion 1.x checkpoint; a ControlNet": sd1,
        "this is a LoRA;": lora(),
        "this is a control-LoRA;": {
            "lora_controlnet": torch.tensor([]),
            "input_hint_block.0.weight": torch.zeros(16, 3, 3, 3),
        },
        "this is a T2I adapter;": {"adapter.body.0.resnets.0.block1.weight": torch.zeros(1)},
        "this is a ControlNet-LLLite;": {"lllite_unet_x.cond_emb.weight": torch.zeros(1)},
        "this is a ControlNet Union;": tensors | {"task_embedding": torch.zeros(1)},
        "this is a ControlNet for a diffusion transformer;": {
            "controlnet_x_embedder.weight": torch.zeros(1)
        },
        "its ControlNet has weights beyond": tensors | {"gate": torch.zeros(1)},
    }
    del tensors["middle_block_out.0.weight"]
    wrong["does not hold .* Stable Diffusion's ControlNet: .*mid_block.weight is mis"] = tensors
    wrong["its ControlNet does not have Stable Diffusion's layout .*attn2.to_k.weight is"] = {
        name: torch.zeros(()) if name.endswith("attn2.to_k.weight") else value
        for name, value in tensors.items()
    }
    for sentence, content in wrong.items():
        save_file(content, tmp_path / "c.safetensors")
        with pytest.raises(ModelFileError, match=f"c.safetensors: {sentence}"):
            load_controlnet(tmp_path / "c.safetensors", dtype=torch.float32)


OTHER_SDXL = {
    "SDXL's refiner": {"conditioner.embedders.0.model.ln_final.weight": torch.zeros(1)},
    "a model of SDXL's shape with another noise schedule .EDM.": {"edm_mean": torch.zeros(4)},
}


@pytest.mark.parametrize("sentence", [*OTHER_SDXL, "a distilled SDXL", "for inpainting"])
def test_what_is_built_like_sdxl_and_is_not_it_is_named(networks, tmp_path, sentence):
    tensors = ldm_checkpoint(networks["sdxl"], "sdxl")
    if sentence == "a distilled SDXL":
        tensors = {name: one for name, one in tensors.items() if ".middle_block.1." not in name}
    if sentence == "for inpainting":
        tensors["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(64, 9, 3, 3)
    save_file(tensors | OTHER_SDXL.get(sentence, {}), tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match=f"m.safetensors: this is .*{sentence}.*; a base"):
        load(tmp_path / "m.safetensors")


def test_an_sdxl_file_without_its_second_text_encoder_says_so(networks, tmp_path):
    tensors = ldm_checkpoint(networks["sdxl"], "sdxl")
    lacking = {name: one for name, one in tensors.items() if ".embedders.1." not in name}
    save_file(lacking, tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match="a checkpoint without its text encoders"):
        load(tmp_path / "m.safetensors")


def test_an_sdxl_controlnet_does_not_go_with_another_family(networks, files, tmp_path):
    save_file(controlnet_tensors(networks["sdxl"]["unet"]).state_dict(), tmp_path / "c.safetensors")
    controlnet = load_controlnet(tmp_path / "c.safetensors", dtype=torch.float32)
    controlnet.network.register_to_config(cross_attention_dim=2048)
    base = load(files / "sd1.safetensors")
    base.unet.register_to_config(cross_attention_dim=768)
    with pytest.raises(
        ModelFileError, match="this ControlNet is for SDXL but the base sd1 is Stable Diffusion 1"
    ):
        require_fitting(controlnet, base)


def test_an_sdxl_vae_stays_wide_where_the_rest_is_fp16(files):
    half = load(files / "sdxl.safetensors", torch.float16)
    assert (half.unet.dtype, half.vae.dtype) == (torch.float16, torch.float32)
    brain = load(files / "sdxl.safetensors", torch.bfloat16)
    assert brain.vae.dtype == torch.bfloat16
    assert load(files / "sd1.safetensors", torch.float16).vae.dtype == torch.float16
    assert vae_dtype("sdxl", torch.float16, force_upcast=False) == torch.float16


def full_size(family):
    """A checkpoint of the true shapes, on meta: (tensors, the networks it was written from)."""
    with torch.device("meta"):
        networks = build(*TRUE_SIZES[family])
        return ldm_checkpoint(networks, family), networks


def test_the_names_and_shapes_are_those_of_the_releases():
    tensors, _ = full_size("sd1")
    unet, vae = "model.diffusion_model.", "first_stage_model."
    assert {name: tuple(tensors[name].shape) for name in KNOWN_SHAPES} == KNOWN_SHAPES
    assert len([name for name in tensors if name.startswith(unet)]) == 686
    assert len([name for name in tensors if name.startswith(vae)]) == 248
    assert len([name for name in tensors if name.startswith("cond_stage_model.")]) == 197


KNOWN_SHAPES = {
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
    "model.diffusion_model.input_blocks.3.0.op.weight": (320, 320, 3, 3),
    "model.diffusion_model.middle_block.1.proj_in.weight": (1280, 1280, 1, 1),
    "model.diffusion_model.output_blocks.2.1.conv.weight": (1280, 1280, 3, 3),
    "model.diffusion_model.output_blocks.5.2.conv.weight": (1280, 1280, 3, 3),
    "model.diffusion_model.output_blocks.11.0.skip_connection.weight": (320, 640, 1, 1),
    "model.diffusion_model.out.2.weight": (4, 320, 3, 3),
    "first_stage_model.encoder.mid.attn_1.q.weight": (512, 512, 1, 1),
    "first_stage_model.encoder.down.2.block.0.nin_shortcut.weight": (512, 256, 1, 1),
    "first_stage_model.decoder.up.3.upsample.conv.weight": (512, 512, 3, 3),
    "first_stage_model.quant_conv.weight": (8, 8, 1, 1),
    "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc1.weight": (3072, 768),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_true_shapes_become_the_published_networks(monkeypatch, tmp_path, family):
    tensors, originals = full_size(family)
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    file = WeightsFile(
        tmp_path / "full.safetensors",
        shapes,
        dict.fromkeys(tensors, "F32"),
        {"modelspec.prediction_type": "v"},
        tensors,
        True,
    )
    monkeypatch.setattr(single_file_networks, "open_weights", lambda path: file)
    parts = checkpoint_parts(file.path, torch.float16)
    assert (parts.family, parts.prediction_type) == (family, "v_prediction")
    # Parameters of the releases: SD 1.x; SD 2.x with the 23 layers that are read.
    counts = {
        "sd1": (859_520_964, 83_653_863, 123_060_480),
        "sd2": (865_910_724, 83_653_863, 340_387_840),
        "sdxl": (2_567_463_684, 83_653_863, 123_060_480, 694_659_840),
    }
    found = (parts.unet, parts.vae, *parts.text_encoders)
    assert tuple(sum(v.numel() for v in one.parameters()) for one in found) == counts[family]
    for network, name in zip(found, originals, strict=True):
        expected = {k: v.shape for k, v in originals[name].state_dict().items()}
        assert {k: v.shape for k, v in network.state_dict().items()} == expected
    heads = {"sd1": 8, "sd2": [5, 10, 20, 20], "sdxl": [5, 10, 20]}
    assert parts.unet.config.attention_head_dim == heads[family]
    assert parts.unet.config.layers_per_block == 2
    text_heads = [one.config.num_attention_heads for one in parts.text_encoders]
    assert text_heads == {"sd1": [12], "sd2": [16], "sdxl": [12, 20]}[family]


def test_a_file_can_be_taken_apart_without_its_numbers(files):
    file = open_weights(files / "sdxl.safetensors").without_numbers()
    parts = checkpoint_parts_of(file, torch.float16)
    for network in (parts.unet, parts.vae, *parts.text_encoders):
        assert all(value.is_meta for value in network.parameters())
    assert parts.unet.dtype == torch.float16


def test_a_file_is_recognised_without_being_read(tmp_path):
    tensors, _ = full_size("sd2")
    path = tmp_path / "big.safetensors"
    write_sparse(path, {name: tuple(value.shape) for name, value in tensors.items()}, "F32")
    assert path.stat().st_size > 5e9
    found = recognise(open_weights(path))
    assert (found.kind, found.what) == ("sd2", "a Stable Diffusion 2.x checkpoint")


PEAK = """
import resource, sys, torch
from pathlib import Path
from scoft_training.models import load_base
import diffusers, transformers, accelerate, open_clip
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
base = load_base(Path(sys.argv[1]), dtype=torch.float16)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts otherwise elsewhere")
def test_loading_a_full_size_file_holds_it_less_than_twice_and_a_bit(tmp_path):
    tensors, _ = full_size("sd1")
    path = tmp_path / "full.safetensors"
    write_sparse(path, {name: tuple(value.shape) for name, value in tensors.items()}, "F16")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2.2 * path.stat().st_size


def test_train_takes_a_file_as_its_base(files, tmp_path, capsys, small_registry):
    dataset = write_demo(tmp_path / "aruna")
    words = ["--device", "cpu", "--perceptual-backbone", "pool", "--resolution", "64"]
    words += ["--rank", "4", "--steps", "1", "--work", str(tmp_path / "work")]
    output = tmp_path / "aruna.safetensors"
    words += ["--output", str(output), "--base", str(files / "sd2.safetensors")]
    assert main(["train", str(dataset), *words]) == 0, capsys.readouterr().err
    import safetensors

    with safetensors.safe_open(output, framework="pt") as file:
        assert file.metadata()["ss_sd_model_name"] == "sd2"
        assert any("up_blocks_2_attentions_2" in name for name in file.keys())
