"""LPIPS: the package's own distance, gradients where that one gives none, and its weights."""

from __future__ import annotations

import warnings

import pytest
import torch
from small_networks import load, pictures, vgg_shapes, write_vgg_file

from scoft_training import lpips_network
from scoft_training.errors import ModelFileError


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    return write_vgg_file(tmp_path_factory.mktemp("vgg"))


@pytest.fixture(scope="module")
def lpips_backbone(vgg_file):
    return load("lpips", vgg_file)


def test_lpips_equals_the_packages_own_forward(vgg_file, lpips_backbone):
    import lpips

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        reference = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    trunk = {
        lpips_network._vgg_slice_key(key): value
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
        lpips_network._vgg_slice_key(key): shape
        for key, shape in vgg_shapes().items()
        if not key.startswith("classifier")
    }
    assert mapped == wanted
    assert len(wanted) == 26
    assert lpips_network._vgg_slice_key("features.16.bias") == "slice4.16.bias"
    assert lpips_network._vgg_slice_key("head.weight") == "head.weight"


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


def test_a_vgg_file_of_another_depth_is_refused(vgg_file, tmp_path):
    tensors = torch.load(vgg_file)
    tensors["features.31.weight"] = torch.zeros(2)
    del tensors["features.28.bias"]
    torch.save(tensors, tmp_path / "vgg19.pth")
    with pytest.raises(
        ModelFileError, match=r"weights of torchvision's VGG16: slice5\.28\.bias is"
    ):
        load("lpips", tmp_path / "vgg19.pth")


def test_the_public_names_are_pinned():
    assert lpips_network.__all__ == ["VGG16", "LpipsBackbone", "load_lpips"]
