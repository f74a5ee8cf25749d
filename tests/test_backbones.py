"""Promises of every perceptual network, of their names, and of what choosing one brings in."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from small_networks import load, pictures, write_clip_folders, write_vgg_file

from scoft_training import backbone_interface, backbones
from scoft_training.backbone_interface import BackboneRequest, PerceptualBackbone
from scoft_training.backbones import backbone_description, backbone_names, register_backbone
from scoft_training.errors import ConfigError, ModelFileError


@pytest.fixture(scope="module")
def clip_folders(tmp_path_factory):
    return write_clip_folders(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    return write_vgg_file(tmp_path_factory.mktemp("vgg"))


@pytest.fixture(scope="module")
def lpips_backbone(vgg_file):
    return load("lpips", vgg_file)


@pytest.fixture(params=["clipconv", "clip_vit_b32", "lpips"])
def backbone(request, clip_folders):
    if request.param == "lpips":
        return request.getfixturevalue("lpips_backbone")
    return load(request.param, clip_folders[request.param][0])


def test_equal_pictures_have_no_distance_and_pictures_do_not_mix(backbone):
    images, other = pictures(3, 24, 24), pictures(3, 24, 24, seed=1)
    other[1] = images[1]
    distances = backbone.distance(backbone.features(images), backbone.features(other))
    assert distances.shape == (3,)
    assert distances[1] < 1e-20
    assert distances[[0, 2]].min() > 1e-6
    alone = backbone.distance(backbone.features(images[2:]), backbone.features(other[2:]))
    torch.testing.assert_close(alone, distances[2:])


def test_the_gradient_in_the_pictures_is_that_of_finite_differences(backbone):
    images = pictures(2, 24, 24).requires_grad_()
    with torch.no_grad():
        target = backbone.features(pictures(2, 24, 24, seed=1))
    loss = backbone.distance(backbone.features(images), target).sum()
    (gradient,) = torch.autograd.grad(loss, images)
    for seed in (2, 3):
        direction, size = pictures(2, 24, 24, seed=seed) - 0.5, 1e-8
        with torch.no_grad():
            ahead = backbone.distance(backbone.features(images + size * direction), target).sum()
            behind = backbone.distance(backbone.features(images - size * direction), target).sum()
        torch.testing.assert_close(
            (gradient * direction).sum(), (ahead - behind) / (2 * size), rtol=1e-5, atol=1e-7
        )


def test_images_of_another_shape_are_refused(backbone):
    with pytest.raises(ConfigError) as caught:
        backbone.features(torch.zeros(3, 41, 43))
    assert str(caught.value) == (
        "`images` must be (batch, 3, height, width) but got (3, 41, 43). Pass pictures with three "
        "colour channels, and one alone as a batch of one."
    )


def test_a_backbone_is_frozen_and_stays_in_eval_mode(backbone):
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    backbone.train()
    assert not any(module.training for module in backbone.modules())


def test_loading_leaves_global_random_state_alone(clip_folders, vgg_file):
    before = torch.random.get_rng_state()
    for name in ("clipconv", "clip_vit_b32"):
        load(name, clip_folders[name][0])
    load("lpips", vgg_file)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_backbone_loaded_and_used_in_inference_mode_can_be_trained_through(clip_folders):
    with torch.inference_mode():
        backbone = load("clipconv", clip_folders["clipconv"][0])
        target = backbone.features(pictures(1, 71, 71))
    images = pictures(1, 71, 71, seed=1).requires_grad_()
    backbone.distance(backbone.features(images), [target[0].clone()]).sum().backward()
    assert images.grad.abs().sum() > 0


def test_the_names_are_listed_described_and_pinned():
    assert backbone_names()[:8] == (
        "clipconv",
        "clipconv_rn50",
        "clip_vit_b32",
        "lpips",
        "dreamsim",
        "dreamsim_vitb32",
        "dinov2",
        "blip2",
    )
    assert all(backbone_description(name).endswith(".") for name in backbone_names())
    assert backbones.__all__ == [
        "BackboneLoader",
        "backbone_description",
        "backbone_names",
        "load_backbone",
        "register_backbone",
    ]
    assert backbone_interface.__all__ == ["BackboneRequest", "PerceptualBackbone", "network_digest"]


def test_an_unknown_name_is_answered_with_the_nearest(monkeypatch):
    # Other tests of this session may have made the miniature's known.
    own = {name: e for name, e in backbones._REGISTRY.items() if not name.startswith("miniature")}
    monkeypatch.setattr(backbones, "_REGISTRY", own)
    sentence = (
        "Unknown perceptual backbone 'clipcov'. Use one of clipconv, clipconv_rn50, clip_vit_b32, "
        "lpips, dreamsim, dreamsim_vitb32, dinov2, blip2. Did you mean 'clipconv'?"
    )
    for ask in (lambda: load("clipcov", None), lambda: backbone_description("clipcov")):
        with pytest.raises(ConfigError) as caught:
            ask()
        assert str(caught.value) == sentence


def test_a_registered_backbone_gets_what_was_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(backbones, "_REGISTRY", dict(backbones._REGISTRY))
    asked = []

    def loader(request):
        asked.append(request)
        return PerceptualBackbone(
            "own", torch.nn.Linear(3, 2), settings={}, dtype=request.dtype, constants={}
        )

    register_backbone("own", loader, description="A line.")
    backbone = load("own", tmp_path, search_folders=[tmp_path / "host"])
    assert backbone_names()[-1] == "own"
    assert backbone.name == "own"
    assert asked == [BackboneRequest(torch.float64, tmp_path, False, [tmp_path / "host"])]


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    monkeypatch.setattr(backbones, "_REGISTRY", dict(backbones._REGISTRY))

    def loader(request):
        raise ModuleNotFoundError("No module named 'lpips'", name="lpips")

    register_backbone("lpips", loader, description="A line.")
    with pytest.raises(ConfigError) as caught:
        load("lpips", None)
    assert str(caught.value) == (
        "The perceptual backbone 'lpips' needs the Python package 'lpips', which is not installed. "
        "Run `pip install -r requirements.txt`, or choose another backbone."
    )


def test_missing_weights_are_named_with_their_link(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelFileError) as caught:
        load("clipconv_rn50", None)
    folder = tmp_path / "models" / "clipconv_rn50"
    assert str(caught.value) == (
        f"RN50.pt: the weights of clipconv_rn50 are not in {folder}, {tmp_path}/.cache/scoft/"
        f"clipconv_rn50, {tmp_path}/.cache/clip and the Hugging Face cache "
        "(timm/resnet50_clip.openai), and downloads are switched off. Allow them, or fetch "
        "https://openaipublic.azureedge.net/clip/models/afeb0e10f9e5a86da6080e35cf09123aca3b358a0c"
        f"3e3b6c78a7b63bc04b6762/RN50.pt yourself and put it into {folder}."
    )


def test_choosing_a_backbone_imports_its_library_and_no_other(clip_folders, vgg_file):
    script = f"""
import sys
from pathlib import Path

def show():
    print(*sorted({{"open_clip", "lpips", "transformers", "torchvision"}} & set(sys.modules)))

import scoft_training.augmentations
from scoft_training.backbones import load_backbone, torch
show()
load_backbone("lpips", weights=Path({str(vgg_file)!r}), device="cpu", dtype=torch.float32)
show()
folder = Path({str(clip_folders["clipconv"][0])!r})
load_backbone("clipconv", weights=folder, device="cpu", dtype=torch.float32)
show()
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    nothing, lpips_only, both = answer.stdout.splitlines()
    assert nothing == ""
    assert lpips_only == "lpips torchvision"
    # The check can fail: once a CLIP is chosen, it sees open_clip.
    assert {"lpips", "open_clip"} <= set(both.split())
