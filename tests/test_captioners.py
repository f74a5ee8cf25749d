"""Captioners: tokens drawn by their generators alone; BLIP as transformers has it, in its files."""

import dataclasses
import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from small_blip import write_blip

from scoft_training import captioners
from scoft_training.captioners import (
    BLIP,
    captioner_names,
    load_captioner,
    register_captioner,
    top_p_sample,
)
from scoft_training.config import CaptionConfig
from scoft_training.errors import ConfigError, ModelFileError

SHORT = CaptionConfig(captions_per_picture=3, max_new_tokens=7, min_new_tokens=3)


@pytest.fixture(scope="module")
def blip_folder(tmp_path_factory):
    return write_blip(tmp_path_factory.mktemp("weights") / "blip")


@pytest.fixture(scope="module")
def blip(blip_folder):
    return load_captioner(weights=blip_folder, allow_download=False)


# The nucleus


def test_a_token_is_drawn_from_the_smallest_likely_set():
    logits = torch.tensor([0.2, 0.5, -torch.inf, 0.3], dtype=torch.float64).clamp_min(0).log()
    # 0.5 + 0.3 reaches 0.79: of these two, token 1 has 0.5 / 0.8 = 0.625.
    for seed in range(40):
        draw = torch.Generator().manual_seed(seed)
        uniform = float(torch.rand((), generator=draw, dtype=torch.float64))
        draw = torch.Generator().manual_seed(seed)
        token = top_p_sample(logits[None], [draw], top_p=0.79, temperature=1.0)
        assert token.tolist() == [1 if uniform < 0.625 else 3]


def test_temperature_divides_the_logits_and_one_keeps_every_token():
    logits = torch.tensor([0.64, 0.04, 0.32]).log()
    draws = [torch.Generator().manual_seed(seed) for seed in range(400)]
    uniform = torch.stack(
        [
            torch.rand((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            for seed in range(400)
        ]
    )
    tokens = top_p_sample(logits.expand(400, 3), draws, top_p=1.0, temperature=2.0)
    # Roots: 0.8, 0.2 and 0.5657, in sum 1.5657; the likeliest come first.
    edges = torch.tensor([0.8, 1.36569], dtype=torch.float64) / 1.56569
    expected = torch.tensor([0, 2, 1])[torch.bucketize(uniform, edges, right=True)]
    assert set(tokens.tolist()) == {0, 1, 2}
    assert torch.equal(tokens, expected)


def test_a_tiny_nucleus_is_the_likeliest_token():
    logits = torch.randn(5, 11, generator=torch.Generator().manual_seed(1))
    draws = [torch.Generator().manual_seed(seed) for seed in range(5)]
    tokens = top_p_sample(logits, draws, top_p=0.01, temperature=1.0)
    assert torch.equal(tokens, logits.argmax(dim=1))


# Drawing


def two_pictures():
    noise = torch.randint(256, (40, 50, 3), generator=torch.Generator().manual_seed(3))
    return Image.new("RGB", (50, 40), "navy"), Image.fromarray(noise.to(torch.uint8).numpy())


def test_the_picture_decides_not_the_seed_alone(blip):
    captions = []
    for picture in two_pictures():
        draws = [torch.Generator().manual_seed(seed) for seed in range(8)]
        captions.append(blip.draw(blip.look(picture), draws, SHORT))
    assert captions[0] != captions[1]


def test_the_likeliest_caption_is_the_one_that_transformers_finds(blip, blip_folder):
    from transformers import BlipForConditionalGeneration, BlipProcessor

    network = BlipForConditionalGeneration.from_pretrained(blip_folder)
    processor = BlipProcessor.from_pretrained(blip_folder)
    greedy = dataclasses.replace(SHORT, top_p=0.01)
    for picture in two_pictures():
        tokens = network.generate(
            **processor(images=picture, return_tensors="pt"),
            do_sample=False,
            max_new_tokens=SHORT.max_new_tokens,
            min_new_tokens=SHORT.min_new_tokens,
        )
        expected = processor.decode(tokens[0], skip_special_tokens=True)
        (caption,) = blip.draw(blip.look(picture), [torch.Generator()], greedy)
        assert caption == expected


def test_captions_keep_to_their_lengths(blip):
    seen = blip.look(two_pictures()[1])
    for low, high in ((1, 1), (4, 4), (2, 9)):
        config = CaptionConfig(min_new_tokens=low, max_new_tokens=high)
        draws = [torch.Generator().manual_seed(seed) for seed in range(20)]
        lengths = {len(caption.split()) for caption in blip.draw(seen, draws, config)}
        # Special tokens other than the end may be drawn by random weights, and are no words.
        assert max(lengths) <= high
        assert len(lengths) > 1 or low == high


# Files


def test_blip_is_found_where_helpers_lie(blip, blip_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelFileError, match="model.safetensors") as missing:
        load_captioner(allow_download=False)
    message = str(missing.value)
    assert str(tmp_path / "models" / "blip") in message
    assert "https://huggingface.co/Salesforce/blip-image-captioning-large" in message
    assert "\n" not in message

    for parent, search in (("host", [tmp_path / "host"]), ("models", [])):
        shutil.copytree(blip_folder, tmp_path / parent / "blip")
        found = load_captioner(allow_download=False, search_folders=search)
        assert found.digest == blip.digest


@pytest.mark.parametrize("branch", ["main", None])
def test_a_copy_in_the_hugging_face_cache_will_do(blip, blip_folder, tmp_path, monkeypatch, branch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SCOFT_MODELS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repo = tmp_path / "hub" / "models--Salesforce--blip-image-captioning-large"
    revision = "0123456789" * 4 if branch else BLIP.hub_revision
    shutil.copytree(blip_folder, repo / "snapshots" / revision)
    if branch:
        (repo / "refs").mkdir()
        (repo / "refs" / branch).write_text(revision)
    assert load_captioner(allow_download=False).digest == blip.digest


def test_blip_as_the_hub_holds_it_and_by_its_weights_file(blip, blip_folder, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(blip_folder, folder)
    pixels = json.loads((folder / "processor_config.json").read_text())["image_processor"]
    (folder / "processor_config.json").unlink()
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    found = load_captioner(weights=folder / "model.safetensors", allow_download=False)
    assert found.digest == blip.digest


def test_other_weights_have_another_digest(blip, tmp_path):
    other = load_captioner(weights=write_blip(tmp_path / "other", seed=1), allow_download=False)
    assert other.digest != blip.digest


def without_a_weight(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["text_decoder.bert.encoder.layer.0.attention.self.query.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def of_another_kind(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "blip-2"}))


def cut_short(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_a_weight, "could not be loaded as BLIP .*query.weight is missing"),
        (of_another_kind, "describes a model of type 'blip-2', not 'blip'"),
        (cut_short, "could not be loaded as BLIP"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
    ],
)
def test_a_damaged_blip_is_one_sentence(blip_folder, tmp_path, damage, message):
    folder = tmp_path / "damaged"
    shutil.copytree(blip_folder, folder)
    damage(folder)
    with pytest.raises(ModelFileError, match=message) as error:
        load_captioner(weights=folder, allow_download=False)
    assert "\n" not in str(error.value)


def test_other_captioners_can_be_registered(monkeypatch):
    monkeypatch.setattr(captioners, "_REGISTRY", dict(captioners._REGISTRY))
    scripted = object()
    register_captioner("scripted", lambda request: scripted)
    assert load_captioner("scripted") is scripted
    assert captioner_names() == ("blip", "scripted")
    with pytest.raises(ConfigError, match=r"Unknown captioner 'blib'.*Did you mean 'blip'\?"):
        load_captioner("blib")
