"""CLIP's towers: what they compute, in which format, what is loaded and what refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from small_networks import MEAN, RESNET, STD, load, pictures, write_clip_folder, write_clip_folders

from scoft_training import clip_networks
from scoft_training.errors import ModelFileError


@pytest.fixture(scope="module")
def clip_folders(tmp_path_factory):
    return write_clip_folders(tmp_path_factory.mktemp("clips"))


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


def test_a_written_clip_is_the_one_that_open_clip_reads(clip_folders):
    folder, model = clip_folders["clipconv"]
    stored = load_file(folder / "open_clip_model.safetensors")
    torch.testing.assert_close(stored, dict(model.state_dict()), rtol=0, atol=0)
    assert stored["visual.layer1.0.bn3.weight"].min() > 0


def test_the_public_names_are_pinned():
    assert clip_networks.__all__ == [
        "CLIP_CONFIG_FILE",
        "CLIP_RN50",
        "CLIP_RN101",
        "CLIP_VIT_B32",
        "ClipBackbone",
        "clip_configs",
        "clip_statistics",
        "load_clip",
        "openai_clip",
    ]
