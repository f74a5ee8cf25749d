"""DINOv2 and BLIP-2: what they compute, and folders of the hub loaded or refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_networks import load, pictures, write_dreamsim_folder, write_hub_folders

from scoft_training import hub_networks
from scoft_training.errors import ModelFileError

NAMES = ("dinov2", "blip2")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    return write_hub_folders(tmp_path_factory.mktemp("hub"))


@pytest.fixture(params=NAMES)
def backbone(request, hub):
    return load(request.param, hub[request.param][0])


@pytest.fixture
def home(tmp_path, monkeypatch):
    """No test sees or fills the caches of whoever runs it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.delenv("SCOFT_MODELS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "home"


def normalised(images, statistics):
    mean, std = (torch.tensor(row).double().view(3, 1, 1) for row in statistics)
    return (images - mean) / std


def test_dinov2_gives_all_tokens_of_the_last_layer_before_the_norm(hub):
    folder, model = hub["dinov2"]
    images, seen = pictures(2, 42, 42), []
    hook = model.encoder.layer[-1].register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    with torch.no_grad():
        model.double()(pixel_values=normalised(images, hub_networks.IMAGENET_STATISTICS))
    hook.remove()
    (features,) = load("dinov2", folder).features(images)
    # 42 / 14 = 3 patches a side and the class token.
    assert features.shape == (2, 10, 24)
    torch.testing.assert_close(features, seen[0], rtol=1e-6, atol=1e-6)


def test_blip2_gives_the_projected_queries_of_image_text_retrieval(hub):
    import transformers

    folder, _ = hub["blip2"]
    model = transformers.Blip2ForImageTextRetrieval.from_pretrained(folder).double().eval()
    images = pictures(2, 30, 30)
    with torch.no_grad():
        wanted = model(
            pixel_values=normalised(images, hub_networks._CLIP),
            # Five places for the queries and two words.
            input_ids=torch.arange(14).view(2, 7),
            attention_mask=torch.ones(2, 7, dtype=torch.long),
            use_image_text_matching_head=False,
        ).image_embeds
    (features,) = load("blip2", folder).features(images)
    assert features.shape == (2, 5, 7)
    torch.testing.assert_close(features, wanted, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(features.norm(dim=2), torch.ones(2, 5).double())


def test_dinov2_trained_on_larger_pictures_sees_224_of_its_pixels(tmp_path):
    import transformers

    with torch.random.fork_rng(devices=[]):
        config = transformers.Dinov2Config(
            hidden_size=12, num_attention_heads=2, num_hidden_layers=1, image_size=518
        )
        transformers.Dinov2Model(config).save_pretrained(tmp_path / "large")
    backbone = load("dinov2", tmp_path / "large")
    assert backbone.image_size == 224
    # 224 / 14 = 16 patches a side and the class token.
    assert backbone.features(pictures(1, 40, 60))[0].shape == (1, 257, 12)


@pytest.mark.parametrize("name", NAMES)
def test_preprocessing_is_torchs_antialiased_bicubic_and_the_networks_own_statistics(name, hub):
    backbone = load(name, hub[name][0])
    side = backbone.image_size
    for height, width in ((150, 97), (21, side), (side, side)):
        images = pictures(2, height, width)
        resized = torch.nn.functional.interpolate(
            images, size=(side, side), mode="bicubic", antialias=True
        )
        statistics = hub_networks.IMAGENET_STATISTICS if name == "dinov2" else hub_networks._CLIP
        wanted = normalised(resized, statistics)
        torch.testing.assert_close(backbone.preprocess(images), wanted, rtol=1e-6, atol=1e-6)


def test_the_statistics_are_those_of_the_networks_own_processors():
    import transformers

    for values, prefix in (
        (hub_networks.IMAGENET_STATISTICS, "IMAGENET_DEFAULT"),
        (hub_networks._CLIP, "OPENAI_CLIP"),
    ):
        assert values[0] == tuple(getattr(transformers.image_utils, f"{prefix}_MEAN"))
        assert values[1] == tuple(getattr(transformers.image_utils, f"{prefix}_STD"))


def test_a_distance_is_the_mean_of_squared_differences(backbone):
    features = torch.zeros(2, 5, 7, dtype=torch.float64)
    other = features.clone()
    other[0], other[1, :, :3] = 2.0, 0.5
    # Picture 0: 2^2 everywhere. Picture 1: 0.5^2 in three columns of seven.
    wanted = torch.tensor([4.0, 0.25 * 3 / 7], dtype=torch.float64)
    torch.testing.assert_close(backbone.distance([features], [other]), wanted)


def test_equal_pictures_have_no_distance_and_pictures_do_not_mix(backbone):
    images, other = pictures(3, 50, 70), pictures(3, 50, 70, seed=1)
    other[1] = images[1]
    distances = backbone.distance(backbone.features(images), backbone.features(other))
    assert distances.shape == (3,)
    assert distances[1] == 0
    assert distances[[0, 2]].min() > 1e-4
    alone = backbone.distance(backbone.features(images[2:]), backbone.features(other[2:]))
    torch.testing.assert_close(alone, distances[2:])


def test_the_gradient_in_the_pictures_is_that_of_finite_differences(backbone):
    images = pictures(2, 40, 72).requires_grad_()
    with torch.no_grad():
        target = backbone.features(pictures(2, 40, 72, seed=1))
    loss = backbone.distance(backbone.features(images), target).sum()
    (gradient,) = torch.autograd.grad(loss, images)
    for seed in (2, 3):
        direction, size = pictures(2, 40, 72, seed=seed) - 0.5, 1e-6
        with torch.no_grad():
            ahead = backbone.distance(backbone.features(images + size * direction), target).sum()
            behind = backbone.distance(backbone.features(images - size * direction), target).sum()
        torch.testing.assert_close(
            (gradient * direction).sum(), (ahead - behind) / (2 * size), rtol=1e-5, atol=1e-8
        )


@pytest.mark.parametrize("name", NAMES)
def test_features_computed_again_are_the_same_bits(hub, name):
    backbone, again = (load(name, hub[name][0], torch.float32) for _ in range(2))
    images = pictures(2, 64, 64)
    with torch.no_grad():
        kept = backbone.features(images)
    (fresh,) = again.features(images.clone().requires_grad_())
    assert torch.equal(kept[0], fresh)
    assert again.digest == backbone.digest


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_network_has_its_format_and_distances_are_never_narrower(hub, name, dtype):
    backbone = load(name, hub[name][0], dtype=dtype)
    assert {parameter.dtype for parameter in backbone.parameters()} == {dtype}
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert backbone.filter_threshold is None
    images = pictures(2, 40, 40, dtype=torch.float32).requires_grad_()
    features = backbone.features(images)
    assert features[0].dtype == dtype
    distances = backbone.distance(features, [torch.zeros_like(features[0])])
    assert distances.dtype == torch.float32
    distances.sum().backward()
    assert images.grad.isfinite().all()
    (wanted,) = load(name, hub[name][0]).features(images.detach().double())
    error = (features[0].double() - wanted).norm() / wanted.norm()
    assert error < {torch.float32: 1e-4, torch.bfloat16: 0.1}[dtype]


@pytest.mark.parametrize("name", NAMES)
def test_a_half_file_and_a_file_in_shards_are_the_same_network(hub, tmp_path, name):
    folder, _ = hub[name]
    tensors = load_file(folder / "model.safetensors")
    halves = {key: value.half() for key, value in tensors.items()}
    digests = set()
    for kind, dtype in (("half", torch.float16), ("wide", torch.float32)):
        shutil.copytree(folder, tmp_path / kind)
        save_file(
            {key: value.to(dtype) for key, value in halves.items()},
            tmp_path / kind / "model.safetensors",
            metadata={"format": "pt"},
        )
        digests.add(load(name, tmp_path / kind, torch.float32).digest)

    shards = tmp_path / "shards"
    shutil.copytree(folder, shards)
    (shards / "model.safetensors").unlink()
    keys, places = sorted(halves), {}
    for number, part in enumerate((keys[::2], keys[1::2]), start=1):
        shard = f"model-0000{number}-of-00002.safetensors"
        save_file({k: halves[k] for k in part}, shards / shard, metadata={"format": "pt"})
        places |= dict.fromkeys(part, shard)
    index = shards / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    digests.add(load(name, shards, torch.float32).digest)
    assert len(digests) == 1

    (shards / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"it lacks parts that its index names\."):
        load(name, shards)
    index.write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))
    with pytest.raises(ModelFileError, match=r"names weights outside its folder"):
        load(name, shards)


def test_only_what_is_used_is_kept(hub):
    names = [key for name in NAMES for key in load(name, hub[name][0]).state_dict()]
    assert not [key for key in names if "itm_head" in key or "text_projection" in key]
    assert not [key for key in names if key.startswith("network.layernorm") or "mask_token" in key]
    assert not [key for key in names if "word_embeddings" in key]


def changed(hub, name, target, change=lambda tensors: tensors, **config):
    """Copy a folder with other tensors or another config."""
    shutil.copytree(hub[name][0], target)
    path = target / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    settings = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**settings, **config}))
    return target


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_another_network_are_refused(hub, tmp_path, name):
    def cut(tensors):
        first = next(key for key in sorted(tensors) if key.endswith("norm1.weight"))
        return {key: value for key, value in tensors.items() if key != first}

    def more(tensors):
        part = "encoder.layer" if name == "dinov2" else "vision_model.encoder.layers"
        return {**tensors, f"{part}.2.norm1.weight": torch.zeros(3)}

    cases = (("cut", cut, "is missing"), ("more", more, "is not one of its weights"))
    for label, change, words in cases:
        target = changed(hub, name, tmp_path / label, change)
        with pytest.raises(ModelFileError, match=rf"does not hold the weights of .*{words}"):
            load(name, target)
    swapped = changed(hub, name, tmp_path / "swapped", model_type="bert")
    with pytest.raises(ModelFileError, match=r"config\.json: describes a bert model, but a "):
        load(name, swapped)
    sizes = {"hidden_size": 32} if name == "dinov2" else {"image_text_hidden_size": 9}
    other = changed(hub, name, tmp_path / "other", **sizes)
    with pytest.raises(ModelFileError, match=r"model\.safetensors: cannot be loaded as "):
        load(name, other)
    (swapped / "config.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"cannot be read as a config of transformers"):
        load(name, swapped)
    (other / "model.safetensors").write_bytes(b"\x09" * 100)
    with pytest.raises(ModelFileError, match=r"model\.safetensors: cannot be loaded as "):
        load(name, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_pickle_beside_the_config_is_never_opened(hub, tmp_path, name):
    shutil.copytree(hub[name][0], tmp_path / "own")
    (tmp_path / "own" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "own" / "pytorch_model.bin")
    with pytest.raises(ModelFileError) as caught:
        load(name, tmp_path / "own")
    spec = hub_networks.DINOV2 if name == "dinov2" else hub_networks.BLIP2
    assert str(caught.value) == (
        f"{tmp_path / 'own'}: this folder does not hold the whole weights of {name}; it lacks "
        f"model.safetensors or model.safetensors.index.json. Get them from {spec.link}, or name "
        "another folder."
    )


def test_missing_weights_are_named_with_folder_and_link(home):
    with pytest.raises(ModelFileError) as caught:
        load("dinov2", None, search_folders=[home / "host"])
    assert str(caught.value) == (
        "config.json, model.safetensors or model.safetensors.index.json: the weights of dinov2 are "
        f"not all in one of {home}/host/dinov2, {home}/.cache/scoft/dinov2 and the Hugging Face "
        "cache (facebook/dinov2-large), and downloads are switched off. Allow them, or fetch these "
        "files from https://huggingface.co/facebook/dinov2-large/tree/"
        "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c yourself and put them into "
        f"{home}/host/dinov2."
    )
    with pytest.raises(ModelFileError, match=r"nowhere: there is no such file or folder\."):
        load("dinov2", home / "nowhere")


def test_choosing_one_imports_its_library_and_no_other(hub, tmp_path):
    write_dreamsim_folder(tmp_path / "dreamsim")
    script = f"""
import sys
from pathlib import Path

def show():
    print(*sorted({{"open_clip", "lpips", "transformers", "dreamsim", "peft"}} & set(sys.modules)))

from scoft_training.backbones import load_backbone, torch
show()
for name, folder in (("dinov2", {str(hub["dinov2"][0])!r}), ("dreamsim", {str(tmp_path)!r})):
    folder = Path(folder) / "dreamsim" if name == "dreamsim" else Path(folder)
    load_backbone(name, weights=folder, device="cpu", dtype=torch.float32)
    show()
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    nothing, hub_only, both = answer.stdout.splitlines()
    assert nothing == ""
    assert hub_only == "transformers"
    # The check can fail: once DreamSim is chosen, it sees dreamsim.
    assert "dreamsim" in both.split()


def test_loading_leaves_random_state_and_verbosity_alone(hub):
    from transformers.utils import logging as verbosity

    before = torch.random.get_rng_state(), verbosity.get_verbosity()
    for name in NAMES:
        load(name, hub[name][0])
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert verbosity.get_verbosity() == before[1]


def test_the_public_names_are_pinned():
    assert hub_networks.__all__ == [
        "BLIP2",
        "DINOV2",
        "IMAGENET_STATISTICS",
        "Blip2Backbone",
        "Dinov2Backbone",
        "hub_settings",
        "load_blip2",
        "load_dinov2",
        "load_hub_network",
    ]
