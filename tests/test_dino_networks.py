"""DINO and DINOv2 by their class token: transformers' own, from the hub's folders."""

from __future__ import annotations

import json

import pytest
import torch
from drawings import drawing
from small_networks import write_hub_folders
from torchvision import transforms

from scoft_training import dino_networks
from scoft_training.errors import ModelFileError
from scoft_training.metric_networks import load_metric_network

# transformers 5 calls a ViT's layers otherwise than the files do that the hub keeps.
OLD_NAMES = {
    "layers.": "encoder.layer.",
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def load(name, weights, **options):
    return load_metric_network(name, weights=weights, device="cpu", allow_download=False, **options)


def old_name(name):
    if name.startswith("layers."):
        for new, old in OLD_NAMES.items():
            name = name.replace(new, old)
    return name


def small_vit(**options):
    import transformers

    sizes = {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 20}
    config = transformers.ViTConfig(
        **{**sizes, "num_hidden_layers": 2, "image_size": 48, "patch_size": 16, **options}
    )
    with torch.random.fork_rng(devices=[]):
        model = transformers.ViTModel(config)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        spread = torch.rand(tensor.shape, generator=generator) - 0.5
        positive = "norm" in name and name.endswith("weight")
        tensor.copy_(1 + spread / 2 if positive else spread * 0.8)
    return model.eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """By name: a folder, and transformers' model of it."""
    root = tmp_path_factory.mktemp("hub")
    vit = small_vit()
    vit.save_pretrained(root / "vit")
    return {
        "dino_vits16": (root / "vit", vit),
        "dinov2": write_hub_folders(root)["dinov2"],
    }


@pytest.fixture(params=["dino_vits16", "dinov2"])
def pair(request, folders):
    folder, model = folders[request.param]
    return load(request.param, folder), model


def test_the_vector_is_the_class_token_after_the_norm_of_dinos_own_pictures(pair):
    network, model = pair
    side = {"dino_vits16": 48, "dinov2": 42}[network.name]
    evaluation = transforms.Compose(
        [
            transforms.Resize(side * 256 // 224, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(side),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    for seed, size in enumerate([(90, 60), (60, 150), (80, 80), (side, side)]):
        picture = drawing(seed, size)
        with torch.no_grad():
            answer = model.float()(pixel_values=evaluation(picture)[None])
        got = network.embed(transforms.functional.to_tensor(picture)[None])
        assert got.shape == (1, 24)
        torch.testing.assert_close(got, answer.last_hidden_state[:, 0], rtol=1e-4, atol=1e-5)
        assert (got - answer.last_hidden_state[:, 1]).abs().max() > 0.1


def test_the_hubs_older_torch_file_is_the_same_network(folders, tmp_path):
    folder, model = folders["dino_vits16"]
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    tensors = {old_name(name): tensor for name, tensor in model.state_dict().items()}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    picture = transforms.functional.to_tensor(drawing(4, (70, 70)))[None]
    new, old = load("dino_vits16", folder), load("dino_vits16", tmp_path)
    assert old.digest == new.digest
    torch.testing.assert_close(old.embed(picture), new.embed(picture), rtol=0, atol=0)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a weights file was unpickled",))


def test_a_torch_file_with_more_than_tensors_is_not_opened(folders, tmp_path):
    folder, _ = folders["dino_vits16"]
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    torch.save({"embeddings.cls_token": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelFileError, match="holds other objects than tensors"):
        load("dino_vits16", tmp_path)


def test_a_pooler_may_be_missing_but_no_layer(tmp_path):
    from safetensors.torch import load_file, save_file

    small_vit().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = {n: t for n, t in load_file(path).items() if not n.startswith("pooler.")}
    save_file(tensors, path, metadata={"format": "pt"})
    whole = load("dino_vits16", tmp_path)
    assert "pooler.dense.weight" not in whole.network.state_dict()
    del tensors["layernorm.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelFileError, match=r"ViTModel of transformers: layernorm\.weight is mis"):
        load("dino_vits16", tmp_path)


def test_a_config_with_too_few_layers_is_refused(tmp_path):
    small_vit(num_hidden_layers=3).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))
    with pytest.raises(ModelFileError, match="is not one of its weights"):
        load("dino_vits16", tmp_path)


def test_a_folder_of_the_other_kind_is_refused(folders):
    with pytest.raises(ModelFileError, match="describes a dinov2 model, but a vit model is needed"):
        load("dino_vits16", folders["dinov2"][0])
    with pytest.raises(ModelFileError, match="describes a vit model, but a dinov2 model is needed"):
        load("dinov2", folders["dino_vits16"][0])


def test_they_say_how_they_measure(pair):
    network, _ = pair
    cut = {
        "dino_vits16": "resized to 54 pixels by antialiased bicubic and 48 x 48",
        "dinov2": "resized to 48 pixels by antialiased bicubic and 42 x 42",
    }[network.name]
    assert cut in network.convention
    assert "class token after the last norm" in network.convention
    assert network.dim == 24


def test_the_public_names_are_pinned():
    assert dino_networks.__all__ == ["DINO_VITS16", "DinoNetwork", "load_dino", "load_dinov2_token"]
