"""The networks by name; every perceptual backbone is one; the miniature's are, too."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from drawings import drawing
from small_networks import load as load_small
from small_networks import write_clip_folders, write_dreamsim_folder
from torchvision.transforms.functional import to_tensor

from scoft_training import backbones, metric_networks, metrics
from scoft_training.backbone_interface import BackboneRequest, PerceptualBackbone
from scoft_training.errors import ConfigError
from scoft_training.metric_networks import (
    MetricNetwork,
    TextMetricNetwork,
    load_metric_network,
    metric_network_names,
    register_metric_network,
    text_metric_network_names,
)
from scoft_training.miniature.export import right_scenes
from scoft_training.miniature.loading import register

BUILT_IN = ("inception", "clip_vit_b32", "clip_vit_l14", "dino_vits16", "dinov2")


@pytest.fixture
def registries(monkeypatch):
    monkeypatch.setattr(metric_networks, "_REGISTRY", dict(metric_networks._REGISTRY))
    monkeypatch.setattr(backbones, "_REGISTRY", dict(backbones._REGISTRY))


@pytest.fixture(scope="module")
def clip_folders(tmp_path_factory):
    return write_clip_folders(tmp_path_factory.mktemp("clips"))


def load(name, weights=None, **options):
    return load_metric_network(name, weights=weights, device="cpu", allow_download=False, **options)


class Constant(MetricNetwork):
    def __init__(self, name="own"):
        super().__init__(name, torch.nn.Linear(1, 1), settings={}, convention="Ones.", dim=3)

    def _vectors(self, images):
        return torch.ones(len(images), 3)


def test_the_names_are_the_registered_ones_and_the_other_backbones(registries):
    names = metric_network_names()
    assert names[: len(BUILT_IN)] == BUILT_IN
    assert {"dreamsim", "dreamsim_vitb32", "clipconv", "lpips", "blip2"} <= set(names)
    assert len(set(names)) == len(names)
    register_metric_network("lpips", lambda request: Constant("lpips"))
    assert metric_network_names().count("lpips") == 1
    assert isinstance(load("lpips"), Constant)


def test_those_with_texts_are_told_without_loading_one(registries):
    assert text_metric_network_names()[:2] == ("clip_vit_b32", "clip_vit_l14")
    assert "inception" not in text_metric_network_names()
    register_metric_network("t", lambda request: Constant(), reads_text=True)
    assert text_metric_network_names()[-1] == "t"


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError) as caught:
        load("inceptoin")
    assert str(caught.value).startswith("Unknown metric network 'inceptoin'. Use one of ")
    assert str(caught.value).endswith("Did you mean 'inception'?")


def test_half_precision_is_refused_for_every_network():
    with pytest.raises(ConfigError) as caught:
        load("clipconv", dtype=torch.bfloat16)
    assert str(caught.value) == (
        "The metric network 'clipconv' cannot run in torch.bfloat16. Choose float32 or float64."
    )


def test_a_loader_gets_what_was_asked_and_global_randomness_stays(registries, tmp_path):
    asked = []

    def loader(request):
        asked.append(request)
        return Constant()

    register_metric_network("own", loader)
    before = torch.random.get_rng_state()
    network = load("own", tmp_path, dtype=torch.float64, search_folders=[tmp_path / "host"])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert asked == [BackboneRequest(torch.float64, tmp_path, False, [tmp_path / "host"])]
    assert network.device == torch.device("cpu")


def test_a_missing_library_is_named(registries):
    def loader(request):
        raise ModuleNotFoundError("No module named 'open_clip'", name="open_clip")

    register_metric_network("own", loader)
    with pytest.raises(ConfigError) as caught:
        load("own")
    assert str(caught.value) == (
        "The metric network 'own' needs the Python package 'open_clip', which is not installed. "
        "Run `pip install -r requirements.txt`, or choose another network."
    )


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="Device 'cuda:99' cannot be used here"):
        load_metric_network("clipconv", device="cuda:99")


def test_a_backbones_vector_is_its_maps_means_of_the_squeezed_picture(clip_folders):
    folder, _ = clip_folders["clipconv"]
    network, backbone = load("clipconv", folder), load_small("clipconv", folder, torch.float32)
    picture = drawing(2, (90, 60))
    images = to_tensor(picture)[None]
    (feature,) = backbone.features(to_tensor(picture.resize((64, 64), 3))[None])
    torch.testing.assert_close(network.embed(images), feature.mean(dim=(2, 3)))
    assert (network.name, network.dim) == ("clipconv", feature.shape[1])
    assert network.convention == (
        "clipconv: its features as a perceptual backbone, each map's mean over its places; whole "
        "pictures, squeezed to 64 x 64 pixels by Pillow's antialiased bicubic."
    )


def test_a_backbone_without_a_size_sees_pictures_in_their_own(registries):
    class Sums(PerceptualBackbone):
        def features(self, images):
            return [images, images.flatten(2).transpose(1, 2)[:, :, :2]]

    backbones.register_backbone(
        "sums",
        lambda request: Sums(
            "sums", torch.nn.Linear(1, 1), settings={}, dtype=request.dtype, constants={}
        ),
        description="A line.",
    )
    network = load("sums")
    images = to_tensor(drawing(1, (90, 60)))[None]
    means = images.mean(dim=(2, 3))
    # Two maps: of three channels, and of two.
    torch.testing.assert_close(network.embed(images), torch.cat([means, means[:, :2]], dim=1))
    assert network.dim == 5
    assert network.convention.endswith("whole pictures, of their own size.")


@pytest.mark.parametrize("kind", ["dreamsim_vitb32"])
def test_dreamsims_vector_is_its_embedding_of_length_1(tmp_path, kind):
    write_dreamsim_folder(tmp_path, "open_clip_vitb32")
    network, backbone = load(kind, tmp_path), load_small(kind, tmp_path, torch.float32)
    images = to_tensor(drawing(2, (90, 60)))[None]
    got = network.embed(images)
    (wanted,) = backbone.features(network.prepare(images))
    torch.testing.assert_close(got, wanted)
    assert got.norm() == pytest.approx(1, abs=1e-5)
    assert "DreamSim's embedding (Fu et al. 2023)" in network.convention


def test_a_backbone_asked_twice_has_one_digest_and_its_own(clip_folders):
    folder, _ = clip_folders["clipconv"]
    one, same = load("clipconv", folder), load("clipconv", folder)
    double = load("clipconv", folder, dtype=torch.float64)
    assert one.digest == same.digest != double.digest
    assert one.digest != load_small("clipconv", folder, torch.float32).digest


def miniature_images(culture, count):
    scenes = right_scenes("metric", culture, 3, count)
    pictures = [torch.from_numpy(scene.picture.copy()) for scene in scenes]
    return torch.stack(pictures).permute(0, 3, 1, 2).float() / 255, [s.facts for s in scenes]


def test_the_miniatures_judge_gives_what_its_own_evaluation_measures(registries):
    register()
    images, _ = miniature_images("corvath", 3)
    judge = backbones.load_backbone("miniature_judge", device="cpu", dtype=torch.float32)
    network = load("miniature_judge")
    wanted = metrics.embed(judge.features, images)
    torch.testing.assert_close(network.embed(images), wanted, rtol=1e-5, atol=1e-6)


def test_the_miniatures_clip_tells_which_text_fits_which_picture(registries):
    register()
    network = load("miniature_clip")
    assert isinstance(network, TextMetricNetwork)
    assert "miniature_clip" in text_metric_network_names()
    images, facts = miniature_images("corvath", 6)
    texts = [f"a {fact.subject} in {fact.culture}" for fact in facts]
    pictures, words = (
        torch.nn.functional.normalize(vectors.double(), dim=1)
        for vectors in (network.embed(images), network.embed_text(texts))
    )
    cosines = pictures @ words.T
    assert cosines.argmax(dim=1).tolist() == list(range(6))
    # Its loss ends near 0.75 for right pairs; other subjects of the same culture lie below.
    assert cosines.diagonal().min() > 0.5
    assert network.cut([*texts, "a house " * 40]) == [6]
    assert (network.dim, network.context_length) == (64, 32)


def test_loading_the_registry_imports_no_library_of_a_network():
    script = """
import sys
import scoft_training.metric_networks, scoft_training.picture_features
heavy = {"open_clip", "torch_fidelity", "transformers", "torchvision", "dreamsim", "lpips"}
print(sorted(heavy & set(sys.modules)))
import open_clip
print(sorted(heavy & set(sys.modules)))
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    nothing, one = answer.stdout.splitlines()
    assert nothing == "[]"
    # The check can fail.
    assert "open_clip" in one


def test_the_public_names_are_pinned():
    assert metric_networks.__all__ == [
        "MetricNetwork",
        "MetricNetworkLoader",
        "TextMetricNetwork",
        "load_metric_network",
        "metric_network_names",
        "register_metric_network",
        "text_metric_network_names",
    ]
