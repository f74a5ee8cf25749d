"""Perceptual networks: what they compute, where gradients go, what is loaded and what refused."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from scoft_training import backbones
from scoft_training.backbones import (
    PerceptualBackbone,
    backbone_description,
    backbone_names,
    load_backbone,
    register_backbone,
)
from scoft_training.errors import ConfigError, ModelFileError

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
RESNET = {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 64}
TRANSFORMER = {"image_size": 33, "layers": 2, "width": 24, "head_width": 12, "patch_size": 11}


def pictures(batch, height, width, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, height, width, generator=generator, dtype=dtype)


def write_clip_folder(folder, vision, *, change=lambda tensors: tensors, **preprocess):
    """Save a small CLIP in open_clip's own local form; return open_clip's model of it."""
    import open_clip

    text = {"context_length": 7, "vocab_size": 19, "width": 12, "heads": 2, "layers": 1}
    config = {"embed_dim": 10, "vision_cfg": vision, "text_cfg": text, "quick_gelu": True}
    generator = torch.Generator().manual_seed(5)
    with torch.random.fork_rng(devices=[]):
        model = open_clip.CLIP(**config)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            spread = torch.rand(tensor.shape, generator=generator)
            # Running variances and norms' factors have to be positive; the rest is centred.
            positive = "var" in name or (tensor.ndim == 1 and name.endswith("weight"))
            fan_in = max(tensor[0].numel(), 1) if tensor.ndim > 1 else 1
            tensor.copy_(spread + 0.5 if positive else (spread - 0.5) * 3 / fan_in**0.5)
    folder.mkdir(parents=True)
    settings = {"mean": MEAN, "std": STD, **preprocess}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": settings})
    )
    tensors = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    save_file(change(tensors), folder / "open_clip_model.safetensors")
    return model.eval()


@pytest.fixture(scope="module")
def clip_folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    resnet, transformer = root / "resnet", root / "transformer"
    return {
        "clipconv": (resnet, write_clip_folder(resnet, RESNET)),
        "clip_vit_b32": (transformer, write_clip_folder(transformer, TRANSFORMER)),
    }


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """A torchvision VGG16 file with random weights, without the classifier's 490 MB."""
    generator = torch.Generator().manual_seed(11)
    tensors = {}
    for key, shape in vgg_shapes().items():
        if key.startswith("features"):
            # He's width keeps the deep layers alive.
            width = (2 / (shape[1] * 9)) ** 0.5 if len(shape) == 4 else 0.1
            tensors[key] = torch.randn(shape, generator=generator) * width
    tensors["classifier.6.bias"] = torch.zeros(1000)
    path = tmp_path_factory.mktemp("vgg") / "vgg16-397923af.pth"
    torch.save(tensors, path)
    return path


def vgg_shapes():
    from torchvision.models import vgg16

    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in vgg16().state_dict().items()}


def load(name, weights, dtype=torch.float64, **options):
    return load_backbone(
        name, weights=weights, device="cpu", dtype=dtype, allow_download=False, **options
    )


@pytest.fixture(scope="module")
def lpips_backbone(vgg_file):
    return load("lpips", vgg_file)


# What is computed


def test_clipconv_is_open_clips_tower_up_to_layer4(clip_folders):
    import open_clip

    folder, _ = clip_folders["clipconv"]
    reference = open_clip.create_model(f"local-dir:{folder}").double().eval().visual
    images = pictures(2, 64, 64)
    normalised = (images - torch.tensor(MEAN).double().view(3, 1, 1)) / torch.tensor(
        STD
    ).double().view(3, 1, 1)
    seen = []
    reference.layer4.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        reference(normalised)
    (features,) = load("clipconv", folder).features(images)
    # 64 pixels, halved by the stem twice and by layers 2 to 4; 8 * 8 planes times expansion 4.
    assert features.shape == (2, 256, 2, 2)
    torch.testing.assert_close(features, seen[0], rtol=1e-6, atol=1e-7)


def test_clip_vit_gives_all_tokens_after_the_last_block_and_before_the_norm(clip_folders):
    import open_clip

    folder, _ = clip_folders["clip_vit_b32"]
    reference = open_clip.create_model(f"local-dir:{folder}").double().eval().visual
    backbone = load("clip_vit_b32", folder)
    images = pictures(2, 50, 50)
    seen = []
    reference.transformer.resblocks[-1].register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    reference(backbone.preprocess(images))
    (features,) = backbone.features(images)
    # 33 / 11 = 3 patches a side and the class token.
    assert features.shape == (2, 10, 24)
    torch.testing.assert_close(features, seen[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["clipconv", "clip_vit_b32"])
def test_a_clip_distance_is_the_mean_of_squared_differences(clip_folders, name):
    backbone = load(name, clip_folders[name][0], dtype=torch.float32)
    features, other = torch.zeros(2, 5, 7), torch.zeros(2, 5, 7)
    other[0], other[1, :, :3] = 2.0, 0.5
    # Picture 0: 2^2 everywhere. Picture 1: 0.5^2 in three columns of seven.
    torch.testing.assert_close(
        backbone.distance([features], [other]), torch.tensor([4.0, 0.25 * 3 / 7])
    )


def test_lpips_equals_the_packages_own_forward(vgg_file, lpips_backbone):
    import lpips

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        reference = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    trunk = {
        backbones._vgg_slice_key(key): value
        for key, value in torch.load(vgg_file).items()
        if key.startswith("features")
    }
    reference.net.load_state_dict(trunk)
    reference.double()
    images, other = pictures(2, 33, 47), pictures(2, 33, 47, seed=1)
    wanted = reference(2 * images - 1, 2 * other - 1).flatten()
    features = lpips_backbone.features(images)
    assert [part.shape[1:] for part in features] == [
        (64, 33, 47),
        (128, 16, 23),
        (256, 8, 11),
        (512, 4, 5),
        (512, 2, 2),
    ]
    got = lpips_backbone.distance(features, lpips_backbone.features(other))
    assert got.min() > 0.01
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=0)


def test_vgg_keys_of_torchvision_become_those_of_lpips():
    from lpips.pretrained_networks import vgg16

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trunk = vgg16(pretrained=False)
    wanted = {key: tuple(value.shape) for key, value in trunk.state_dict().items()}
    mapped = {
        backbones._vgg_slice_key(key): shape
        for key, shape in vgg_shapes().items()
        if not key.startswith("classifier")
    }
    assert mapped == wanted
    assert len(wanted) == 26
    assert backbones._vgg_slice_key("features.16.bias") == "slice4.16.bias"
    assert backbones._vgg_slice_key("head.weight") == "head.weight"


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


def test_black_pictures_give_lpips_a_finite_gradient(lpips_backbone):
    images = torch.zeros(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    features = lpips_backbone.features(images)
    sum(part.square().sum() for part in features).backward()
    assert images.grad.isfinite().all()


def test_features_that_are_zero_everywhere_have_gradient_zero(lpips_backbone, monkeypatch):
    scale = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    monkeypatch.setattr(
        lpips_backbone.network, "forward", lambda pixels: [scale * pixels.mean(1, keepdim=True)] * 5
    )
    images = pictures(1, 5, 7).requires_grad_()
    sum(part.sum() for part in lpips_backbone.features(images)).backward()
    assert images.grad.eq(0).all()


# Preprocessing


def test_resizing_is_torchs_antialiased_bicubic(clip_folders):
    backbone = load("clipconv", clip_folders["clipconv"][0])
    for height, width in ((150, 97), (21, 64), (64, 64)):
        images = pictures(2, height, width)
        wanted = torch.nn.functional.interpolate(
            images, size=(64, 64), mode="bicubic", antialias=True
        )
        got = backbone.preprocess(images) * backbone.std + backbone.mean
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_preprocessing_agrees_with_clips_own_on_a_smooth_picture(clip_folders):
    from torchvision.transforms.v2 import functional

    backbone = load("clipconv", clip_folders["clipconv"][0])
    rows, columns = np.mgrid[0:128, 0:128] / 127
    picture = np.stack([rows, columns, (rows + columns) / 2], axis=-1) * 0.8 + 0.1
    eight_bit = Image.fromarray((picture * 255).round().astype(np.uint8))
    pil = functional.to_image(functional.resize(eight_bit, [64, 64], interpolation=3))
    wanted = functional.normalize(pil.double() / 255, MEAN, STD)
    images = functional.to_image(eight_bit).double()[None] / 255
    # PIL rounds to whole levels after each of its two passes: one level, over the smallest std.
    torch.testing.assert_close(
        backbone.preprocess(images)[0], wanted, rtol=0, atol=1.01 / 255 / min(STD)
    )


def test_a_constant_picture_stays_constant_and_so_does_its_gradients_sum(tmp_path):
    write_clip_folder(tmp_path / "clip", RESNET, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    backbone = load("clipconv", tmp_path / "clip")
    images = torch.full((1, 3, 100, 100), 0.7, dtype=torch.float64, requires_grad=True)
    prepared = backbone.preprocess(images)
    # (0.7 - 0.1) / 0.5, (0.7 - 0.2) / 0.25, (0.7 - 0.3) / 0.125
    wanted = torch.tensor([1.2, 2.0, 3.2], dtype=torch.float64).view(1, 3, 1, 1)
    torch.testing.assert_close(prepared, wanted.expand(1, 3, 64, 64))
    prepared.sum().backward()
    # A shift of all pixels by d shifts each of 64 x 64 outputs by d / std.
    torch.testing.assert_close(
        images.grad.sum(dim=(0, 2, 3)), 64 * 64 * torch.tensor([2.0, 4.0, 8.0]).double()
    )


def test_images_of_another_shape_are_refused(backbone):
    with pytest.raises(ConfigError) as caught:
        backbone.features(torch.zeros(3, 41, 43))
    assert str(caught.value) == (
        "`images` must be (batch, 3, height, width) but got (3, 41, 43). Pass pictures with three "
        "colour channels, and one alone as a batch of one."
    )


# Number formats, freezing, identity


@pytest.mark.parametrize("name", ["clipconv", "clip_vit_b32"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_network_has_its_format_and_distances_are_never_narrower(clip_folders, name, dtype):
    backbone = load(name, clip_folders[name][0], dtype=dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert {parameter.dtype for parameter in backbone.parameters()} == {dtype}
    assert backbone.mean.dtype == wide
    images = pictures(2, 40, 40, dtype=wide).requires_grad_()
    features = backbone.features(images)
    assert features[0].dtype == dtype
    distances = backbone.distance(features, [torch.zeros_like(features[0])])
    assert distances.dtype == wide
    distances.sum().backward()
    assert images.grad.dtype == wide
    exact = load(name, clip_folders[name][0])
    (wanted,) = exact.features(images.detach().double())
    scale = wanted.abs().max()
    error = (features[0].double() - wanted).abs().max() / scale
    assert error < {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.06}[dtype]


def test_nothing_is_cast_down_in_double(clip_folders):
    backbone = load("clipconv", clip_folders["clipconv"][0])
    images = pictures(1, 64, 64)
    shifted = images + 1e-12
    assert not torch.equal(backbone.features(images)[0], backbone.features(shifted)[0])


def test_a_backbone_is_frozen_and_stays_in_eval_mode(backbone):
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    backbone.train()
    assert not any(module.training for module in backbone.modules())


def test_only_what_is_used_is_kept(clip_folders):
    conv = load("clipconv", clip_folders["clipconv"][0])
    tokens = load("clip_vit_b32", clip_folders["clip_vit_b32"][0])
    names = [name for part in (conv, tokens) for name in part.state_dict()]
    assert not [n for n in names if "text" in n or "attnpool" in n or "proj" == n.split(".")[-1]]
    assert not [n for n in names if "ln_post" in n or "token_embedding" in n]


def test_weights_of_unused_parts_may_be_missing(tmp_path):
    used = ("visual.conv", "visual.bn", "visual.layer")

    def keep(tensors):
        return {key: value for key, value in tensors.items() if key.startswith(used)}

    write_clip_folder(tmp_path / "whole", RESNET)
    write_clip_folder(tmp_path / "part", RESNET, change=keep)
    images = pictures(1, 64, 64)
    whole, part = load("clipconv", tmp_path / "whole"), load("clipconv", tmp_path / "part")
    torch.testing.assert_close(part.features(images)[0], whole.features(images)[0], rtol=0, atol=0)
    assert part.digest == whole.digest


def test_the_digest_follows_values_settings_and_format_but_not_the_files_format(tmp_path):
    def halve(tensors):
        return {key: value.half() for key, value in tensors.items()}

    def restore(tensors):
        return {key: value.half().float() for key, value in tensors.items()}

    def move_one(tensors):
        tensors = restore(tensors)
        tensors["visual.bn1.bias"][3] += 0.5
        return tensors

    for name, change in (("half", halve), ("float", restore), ("moved", move_one)):
        write_clip_folder(tmp_path / name, RESNET, change=change)
    write_clip_folder(tmp_path / "mean", RESNET, change=restore, mean=(0.1, 0.2, 0.3))
    write_clip_folder(tmp_path / "size", {**RESNET, "image_size": 96}, change=restore)
    half, full, moved, mean = (
        load("clipconv", tmp_path / name).digest for name in ("half", "float", "moved", "mean")
    )
    single = load("clipconv", tmp_path / "float", dtype=torch.float32).digest
    size = load("clipconv", tmp_path / "size").digest
    assert half == full
    assert len({full, moved, mean, single, size}) == 5
    assert len(full) == 64


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


# What is loaded, and what refused


def test_the_names_are_listed_described_and_pinned():
    assert backbone_names()[:4] == ("clipconv", "clipconv_rn50", "clip_vit_b32", "lpips")
    assert all(backbone_description(name).endswith(".") for name in backbone_names())
    assert backbones.__all__ == [
        "BackboneLoader",
        "BackboneRequest",
        "ClipBackbone",
        "LpipsBackbone",
        "PerceptualBackbone",
        "backbone_description",
        "backbone_names",
        "load_backbone",
        "load_clip",
        "register_backbone",
    ]


def test_an_unknown_name_is_answered_with_the_nearest():
    sentence = (
        "Unknown perceptual backbone 'clipcov'. Use one of clipconv, clipconv_rn50, clip_vit_b32, "
        "lpips. Did you mean 'clipconv'?"
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
    assert asked == [backbones.BackboneRequest(torch.float64, tmp_path, False, [tmp_path / "host"])]


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


def test_a_folder_of_the_other_kind_of_clip_is_refused(clip_folders):
    folder, _ = clip_folders["clip_vit_b32"]
    with pytest.raises(ModelFileError) as caught:
        load("clipconv", folder)
    assert str(caught.value) == (
        f"{folder / 'open_clip_config.json'}: describes a VisionTransformer, but the perceptual "
        "backbone 'clipconv' needs a ModifiedResNet. Name another folder, or choose another "
        "backbone."
    )


def test_weights_that_do_not_fit_are_refused_by_their_names(tmp_path):
    def change(tensors):
        tensors["visual.conv1.weight"] = torch.zeros(6, 3, 3, 3)
        del tensors["visual.layer4.0.bn3.bias"]
        return tensors

    write_clip_folder(tmp_path / "clip", RESNET, change=change)
    path = tmp_path / "clip" / "open_clip_model.safetensors"
    with pytest.raises(ModelFileError) as caught:
        load("clipconv", tmp_path / "clip")
    assert str(caught.value) == (
        f"{path}: does not hold the weights of the CLIP that open_clip_config.json describes "
        "(ModifiedResNet): layer4.0.bn3.bias is missing; conv1.weight has the shape (6, 3, 3, 3) "
        "instead of (4, 3, 3, 3). Name the right file, or leave the path empty to have it looked "
        "for."
    )
    # The same weights as a file of another name are held against the full-sized network.
    path = path.rename(tmp_path / "small.safetensors")
    with pytest.raises(
        ModelFileError, match=r"weights of CLIP RN101 \(ModifiedResNet\): layer1\.1"
    ):
        load("clipconv", path)


def test_a_vgg_file_of_another_depth_is_refused(vgg_file, tmp_path):
    tensors = torch.load(vgg_file)
    tensors["features.31.weight"] = torch.zeros(2)
    del tensors["features.28.bias"]
    torch.save(tensors, tmp_path / "vgg19.pth")
    with pytest.raises(
        ModelFileError, match=r"weights of torchvision's VGG16: slice5\.28\.bias is"
    ):
        load("lpips", tmp_path / "vgg19.pth")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", "cannot be read as open_clip's config"),
        ("[]", "cannot be read as open_clip's config"),
        ('{"model_cfg": {"embed_dim": 3}}', "describes no CLIP that open_clip can build"),
        (
            json.dumps({"model_cfg": {"embed_dim": 3, "vision_cfg": {**RESNET, "depth": 9}}}),
            r"describes no CLIP .*depth.*with a ModifiedResNet for pictures\.",
        ),
    ],
)
def test_a_config_that_is_none_is_refused(tmp_path, config, words):
    (tmp_path / "open_clip_config.json").write_text(config)
    save_file({"visual.a": torch.zeros(2)}, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(ModelFileError, match=rf"open_clip_config\.json: {words}"):
        load("clipconv", tmp_path)


@pytest.mark.parametrize(
    ("name", "model_name", "channels"),
    [("clipconv_rn50", "RN50", 2048), ("clipconv", "RN101", 2048)],
)
def test_the_full_sizes_load_from_an_explicit_file(tmp_path, name, model_name, channels):
    import open_clip

    with torch.device("meta"):
        visual = open_clip.CLIP(**open_clip.get_model_config(model_name)).visual
    tensors = {
        f"visual.{key}": torch.full(value.shape, 0.01, dtype=torch.float16)
        for key, value in visual.state_dict().items()
        if not key.startswith("attnpool")
    }
    save_file(tensors, tmp_path / "any_name.safetensors")
    backbone = load(name, tmp_path / "any_name.safetensors", dtype=torch.float32)
    assert backbone.image_size == 224
    with torch.no_grad():
        (features,) = backbone.features(pictures(1, 96, 96, dtype=torch.float32))
    assert features.shape == (1, channels, 7, 7)


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


def test_a_written_clip_is_the_one_that_open_clip_reads(clip_folders):
    folder, model = clip_folders["clipconv"]
    stored = load_file(folder / "open_clip_model.safetensors")
    torch.testing.assert_close(stored, dict(model.state_dict()), rtol=0, atol=0)
    assert stored["visual.layer1.0.bn3.weight"].min() > 0
