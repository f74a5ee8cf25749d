"""Whole CLIPs: open_clip's own vectors of pictures and texts, from the files they come in."""

from __future__ import annotations

import json

import pytest
import torch
from drawings import drawing
from safetensors.torch import save_file
from small_networks import MEAN, RESNET, STD, TRANSFORMER
from torchvision.transforms.functional import to_tensor

from scoft_training import clip_score_network
from scoft_training.clip_networks import CLIP_VIT_B32
from scoft_training.clip_score_network import CLIP_VIT_L14
from scoft_training.errors import ModelFileError
from scoft_training.metric_networks import load_metric_network

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 12, "heads": 2, "layers": 2}
KINDS = {"clip_vit_b32": TRANSFORMER, "clip_vit_l14": RESNET}


def load(name, weights, **options):
    return load_metric_network(name, weights=weights, device="cpu", allow_download=False, **options)


def write(folder, vision, text=None, preprocess=None, change=lambda tensors: tensors):
    """Save a small CLIP with a real vocabulary in open_clip's own form; return its model."""
    import open_clip

    config = {
        "embed_dim": 10,
        "vision_cfg": vision,
        "text_cfg": {**TEXT, **(text or {})},
        "quick_gelu": True,
    }
    generator = torch.Generator().manual_seed(5)
    with torch.random.fork_rng(devices=[]):
        model = open_clip.CLIP(**{**config, "text_cfg": TEXT})
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            spread = torch.rand(tensor.shape, generator=generator)
            positive = "var" in name or (tensor.ndim == 1 and name.endswith("weight"))
            fan_in = max(tensor[0].numel(), 1) if tensor.ndim > 1 else 1
            tensor.copy_(spread + 0.5 if positive else (spread - 0.5) * 3 / fan_in**0.5)
    folder.mkdir(parents=True)
    settings = {"mean": MEAN, "std": STD, **(preprocess or {})}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": settings})
    )
    tensors = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    save_file(change(tensors), folder / "open_clip_model.safetensors")
    return model.eval()


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    """A network, and open_clip's model and transform of the same files."""
    import open_clip

    folder = tmp_path_factory.mktemp(request.param) / "clip"
    write(folder, KINDS[request.param])
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return load(request.param, folder), model.eval(), transform


def test_pictures_are_embedded_as_open_clip_does_from_file_to_vector(pair):
    network, model, transform = pair
    for seed, size in enumerate([(90, 60), (60, 150), (80, 80)]):
        picture = drawing(seed, size)
        with torch.no_grad():
            wanted = model.encode_image(transform(picture)[None])
        got = network.embed(to_tensor(picture)[None])
        assert got.shape == (1, 10)
        assert wanted.abs().max() > 0.1
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)


TEXTS = ["a red house by the water", "Ein Haus, ÄÖÜ & <b>", "", "word " * 200]


def test_texts_are_embedded_as_open_clip_does(pair):
    import open_clip

    network, model, _ = pair
    with torch.no_grad():
        wanted = model.encode_text(open_clip.tokenize(TEXTS))
    got = network.embed_text(TEXTS)
    assert (wanted[0] - wanted[1]).abs().max() > 0.05
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)


def test_texts_over_77_tokens_are_named_and_the_limit_is_the_tokenizers(pair):
    network, _, _ = pair
    # A start, 75 words of one token each, an end: 77.
    assert network.cut(["house " * 75, "house " * 76, "a house"]) == [1]
    full = network.embed_text(["house " * 75, "house " * 76])
    torch.testing.assert_close(full[0], full[1])
    shorter = network.embed_text(["house " * 74])
    assert (shorter[0] - full[0]).abs().max() > 1e-4


def test_vectors_are_those_of_the_pictures_alone(pair):
    network, _, _ = pair
    images = torch.stack([to_tensor(drawing(seed, (70, 50))) for seed in range(3)])
    together = network.embed(images)
    for index in range(3):
        torch.testing.assert_close(
            network.embed(images[index : index + 1])[0], together[index], rtol=1e-5, atol=1e-6
        )


def test_double_precision_reaches_both_towers(tmp_path):
    write(tmp_path / "clip", TRANSFORMER)
    single = load("clip_vit_b32", tmp_path / "clip")
    double = load("clip_vit_b32", tmp_path / "clip", dtype=torch.float64)
    image = to_tensor(drawing(1, (60, 60)))[None]
    torch.testing.assert_close(double.embed(image), single.embed(image), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(double.embed_text(TEXTS), single.embed_text(TEXTS))
    assert single.digest != double.digest


def test_it_says_how_it_measures(pair):
    network, _, _ = pair
    side = {"clip_vit_b32": 33, "clip_vit_l14": 64}[network.name]
    assert network.convention == (
        "The CLIP that open_clip_config.json describes, projected embeddings by open_clip; "
        f"pictures in 8 bits, the shortest side resized to {side} pixels by antialiased bicubic "
        "and the centre cut out, as CLIP's own preprocessing does."
    )
    assert (network.dim, network.context_length) == (10, 77)


def test_openais_extra_numbers_are_passed_over_and_its_mean_is_the_default(tmp_path):
    def with_extras(tensors):
        numbers = {"input_resolution": 33, "context_length": 77, "vocab_size": 49408}
        return {**tensors, **{name: torch.tensor(value) for name, value in numbers.items()}}

    write(tmp_path / "plain", TRANSFORMER)
    write(tmp_path / "extras", TRANSFORMER, change=with_extras)
    plain, extras = (load("clip_vit_b32", tmp_path / name) for name in ("plain", "extras"))
    assert plain.digest == extras.digest
    write(tmp_path / "mean", TRANSFORMER, preprocess={"mean": [0.1, 0.2, 0.3]})
    assert load("clip_vit_b32", tmp_path / "mean").digest != plain.digest


def test_a_file_with_the_picture_tower_alone_is_refused(tmp_path):
    def pictures_only(tensors):
        return {key: value for key, value in tensors.items() if key.startswith("visual.")}

    write(tmp_path / "clip", TRANSFORMER, change=pictures_only)
    with pytest.raises(ModelFileError, match=r"with both towers: positional_embedding is missing"):
        load("clip_vit_b32", tmp_path / "clip")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text": {"hf_tokenizer_name": "t5-base"}}, "hf_tokenizer_name names a text tower"),
        ({"preprocess": {"resize_mode": "squash"}}, "resize_mode is squash, but CLIP's is shortes"),
        ({"preprocess": {"interpolation": "bilinear"}}, "interpolation is bilinear, but CLIP's is"),
        ({"text": {"depth": 9}}, "depth"),
    ],
)
def test_a_folder_of_another_kind_of_model_is_refused(tmp_path, options, words):
    write(tmp_path / "clip", TRANSFORMER, **options)
    with pytest.raises(ModelFileError) as caught:
        load("clip_vit_b32", tmp_path / "clip")
    assert "open_clip_config.json: describes no CLIP that open_clip can build" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("spec", [CLIP_VIT_B32, CLIP_VIT_L14], ids=lambda spec: spec.name)
def test_the_links_are_those_that_open_clip_knows(spec):
    from open_clip.pretrained import get_pretrained_cfg

    model = {"clip_vit_b32": "ViT-B-32", "clip_vit_l14": "ViT-L-14"}[spec.name]
    known = get_pretrained_cfg(model, "openai")
    assert spec.url == known["url"]
    assert f"/{spec.sha256}/" in known["url"]
    assert spec.hub_repo == known["hf_hub"].rstrip("/")


def test_the_public_names_are_pinned():
    assert clip_score_network.__all__ == ["CLIP_VIT_L14", "ClipScoreNetwork", "load_clip_score"]
