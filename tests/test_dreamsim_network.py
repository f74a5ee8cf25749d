"""DreamSim: the package's own distance from the package's own files, without its loader."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from small_networks import load, pictures, write_dreamsim_folder

from scoft_training import dreamsim_network
from scoft_training.errors import ModelFileError

TYPES = {"dreamsim": "ensemble", "dreamsim_vitb32": "open_clip_vitb32"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("dreamsim")
    for name, kind in TYPES.items():
        write_dreamsim_folder(root / name, kind)
    return {name: root / name for name in TYPES}


@pytest.fixture(params=list(TYPES))
def backbone(request, folders):
    return load(request.param, folders[request.param])


def reference(folder, kind, monkeypatch):
    """Return dreamsim's own PerceptualModel on the files in `folder`, DINO's code not fetched."""
    import dreamsim
    from dreamsim.feature_extraction import load_clip_as_dino, load_open_clip_as_dino
    from dreamsim.feature_extraction.vision_transformer import VisionTransformer

    small = partial(
        VisionTransformer,
        img_size=[64],
        embed_dim=64,
        depth=12,
        num_heads=1,
        mlp_ratio=1.5,
        qkv_bias=True,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )

    def dino(repository, name):
        trunk = small(patch_size=16)
        trunk.load_state_dict(torch.load(folder / "checkpoints" / "dino_vitbase16_pretrain.pth"))
        return trunk

    monkeypatch.setattr(load_clip_as_dino, "vit_base", small)
    monkeypatch.setattr(load_open_clip_as_dino, "vit_base", small)
    monkeypatch.setattr(torch.hub, "load", dino)
    monkeypatch.setattr(torch.hub, "set_dir", lambda folder: None)
    # DINO's head, which dreamsim loads and does not use for class tokens.
    head = [f"mlp.{n}.{part}" for n in (0, 2, 4) for part in ("weight", "bias")]
    student = {f"module.head.{key}": torch.zeros(1) for key in [*head, "last_layer.weight"]}
    torch.save({"student": student}, folder / "dino_vitb16_pretrain.pth")
    with torch.random.fork_rng(devices=[]):
        model, _ = dreamsim.dreamsim(device="cpu", cache_dir=str(folder), dreamsim_type=kind)
    for extractor in model.double().base_model.model.extractor_list:
        # CLIP's projections are tensors beside the modules.
        extractor.proj = extractor.proj.double()
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(TYPES))
def test_the_distance_is_that_of_dreamsims_own_model(name, folders, monkeypatch):
    images, other = pictures(3, 64, 64), pictures(3, 64, 64, seed=1)
    with torch.no_grad():
        wanted = reference(folders[name], TYPES[name], monkeypatch)(images, other)
    monkeypatch.setattr(torch.hub, "load", lambda *a, **k: pytest.fail("code was fetched"))
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        backbone = load(name, folders[name], dtype=dtype)
        got = backbone.distance(backbone.features(images), backbone.features(other))
        assert got.min() > 0.05
        torch.testing.assert_close(got.double(), wanted, rtol=tolerance, atol=tolerance)


def test_every_tower_and_its_lora_take_part(folders, tmp_path):
    images, other = pictures(1, 64, 64), pictures(1, 64, 64, seed=1)

    def distance(folder):
        backbone = load("dreamsim", folder)
        return backbone.distance(backbone.features(images), backbone.features(other)).item()

    whole, seen = distance(folders["dreamsim"]), []
    for tower in range(3):

        def without(name, tensors, tower=tower):
            silent = f"extractor_list.{tower}."
            if name != "adapter":
                return tensors
            return {k: 0 * v if silent in k else v for k, v in tensors.items()}

        write_dreamsim_folder(tmp_path / str(tower), change=without)
        seen.append(distance(tmp_path / str(tower)))
    assert len({whole, *seen}) == 4


def test_equal_pictures_have_no_distance_and_pictures_do_not_mix(backbone):
    images, other = pictures(3, 50, 70), pictures(3, 50, 70, seed=1)
    other[1] = images[1]
    distances = backbone.distance(backbone.features(images), backbone.features(other))
    assert distances.shape == (3,)
    assert distances[1] == 0
    assert distances[[0, 2]].min() > 1e-3
    alone = backbone.distance(backbone.features(images[2:]), backbone.features(other[2:]))
    torch.testing.assert_close(alone, distances[2:])


def test_the_distance_is_one_minus_the_cosine(backbone):
    one = torch.tensor([[0.6, 0.8], [1.0, 0.0], [0.0, 1.0]])
    two = torch.tensor([[0.8, 0.6], [0.0, 1.0], [0.0, -1.0]])
    # 1 - (0.48 + 0.48), 1 - 0, 1 + 1
    wanted = torch.tensor([0.04, 1.0, 2.0]).double()
    torch.testing.assert_close(backbone.distance([one], [two]), wanted, rtol=1e-6, atol=0)


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


def test_features_computed_again_are_the_same_bits(folders):
    backbone, images = load("dreamsim", folders["dreamsim"], torch.float32), pictures(2, 64, 64)
    again = load("dreamsim", folders["dreamsim"], torch.float32)
    with torch.no_grad():
        kept = backbone.features(images)
    (fresh,) = again.features(images.clone().requires_grad_())
    assert torch.equal(kept[0], fresh)
    assert again.digest == backbone.digest


def test_only_the_ensemble_has_a_measured_threshold(folders):
    thresholds = {name: load(name, folders[name]).filter_threshold for name in TYPES}
    assert thresholds == {"dreamsim": 0.30, "dreamsim_vitb32": None}


def test_the_network_has_its_format_and_distances_are_never_narrower(folders):
    backbone = load("dreamsim", folders["dreamsim"], torch.bfloat16)
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    images = pictures(2, 64, 64, dtype=torch.float32)
    (features,) = backbone.features(images)
    (wanted,) = load("dreamsim", folders["dreamsim"]).features(images.double())
    assert features.dtype == backbone.distance([features], [features]).dtype == torch.float32
    assert (features - wanted).norm(dim=1).max() < 0.3


def test_the_digest_is_that_of_weights_and_lora(folders, tmp_path):
    digests = {load("dreamsim", folders["dreamsim"]).digest}
    for changed in ("adapter", "clip_vitb16_pretrain.pth.tar"):

        def change(name, tensors, changed=changed):
            first = next(iter(tensors))
            return {**tensors, first: tensors[first] + 1} if name == changed else tensors

        write_dreamsim_folder(tmp_path / changed, change=change)
        digests.add(load("dreamsim", tmp_path / changed).digest)
    assert len(digests) == 3


def test_a_file_in_the_folder_names_the_folder_and_dino_may_lie_beside(folders, tmp_path):
    write_dreamsim_folder(tmp_path / "own")
    dino = tmp_path / "own" / "checkpoints" / "dino_vitbase16_pretrain.pth"
    dino.rename(tmp_path / "own" / dino.name)
    backbone = load("dreamsim", tmp_path / "own" / "clip_vitb16_pretrain.pth.tar")
    assert backbone.digest == load("dreamsim", folders["dreamsim"]).digest


@pytest.mark.parametrize("file", ["dino_vitbase16_pretrain.pth", "clip_vitb16_pretrain.pth.tar"])
def test_another_networks_file_is_refused(tmp_path, file):
    def other(name, tensors):
        return {"fc.weight": torch.zeros(2, 3)} if name.endswith(file) else tensors

    write_dreamsim_folder(tmp_path / "other", change=other)
    with pytest.raises(ModelFileError, match=f"{file}: does not hold the weights of the .* tower"):
        load("dreamsim", tmp_path / "other")


def test_a_part_that_lacks_is_named(tmp_path):
    def cut(part):
        def change(name, tensors):
            return {key: value for key, value in tensors.items() if not key.endswith(part)}

        return change

    write_dreamsim_folder(tmp_path / "lora", change=cut("blocks.11.attn.qkv.lora_B.weight"))
    with pytest.raises(ModelFileError, match=r"of DreamSim's LoRA: 0\.11\.lora_B\.weight is miss"):
        load("dreamsim", tmp_path / "lora")
    write_dreamsim_folder(tmp_path / "proj", change=cut("proj"))
    with pytest.raises(ModelFileError, match=r"clip tower of DreamSim: proj is missing"):
        load("dreamsim", tmp_path / "proj")
    write_dreamsim_folder(tmp_path / "norm", change=cut("blocks.3.norm1.weight"))
    with pytest.raises(ModelFileError, match=r"blocks\.3\.norm1\.weight is missing"):
        load("dreamsim", tmp_path / "norm")


def test_a_lora_of_another_kind_is_refused(tmp_path):
    write_dreamsim_folder(tmp_path / "own")
    path = tmp_path / "own" / "ensemble_lora" / "adapter_config.json"
    config = json.loads(path.read_text())
    for wrong in ({"use_rslora": True}, {"bias": "all"}, {"r": 0}, {"lora_alpha": None}):
        path.write_text(json.dumps({**config, **wrong}))
        with pytest.raises(
            ModelFileError, match=r"cannot be read as the config of DreamSim's LoRA"
        ):
            load("dreamsim", tmp_path / "own")
    # Another scale is another network.
    path.write_text(json.dumps({**config, "lora_alpha": 3.0}))
    twice = load("dreamsim", tmp_path / "own").digest
    path.write_text(json.dumps(config))
    assert twice != load("dreamsim", tmp_path / "own").digest


def test_a_pickle_in_place_of_the_adapter_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    write_dreamsim_folder(tmp_path / "own")
    adapter = tmp_path / "own" / "ensemble_lora" / "adapter_model.safetensors"
    wanted, tensors = load("dreamsim", tmp_path / "own").digest, load_file(adapter)
    adapter.unlink()
    torch.save(tensors, adapter.with_suffix(".bin"))
    assert load("dreamsim", tmp_path / "own").digest == wanted
    torch.save({"a": Trap()}, adapter.with_suffix(".bin"))
    with pytest.raises(ModelFileError, match=r"adapter_model\.bin: cannot be read as weights"):
        load("dreamsim", tmp_path / "own")


def test_missing_weights_are_named_with_folder_and_link(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path / "models"))
    with pytest.raises(ModelFileError) as caught:
        load("dreamsim_vitb32", None)
    folder = tmp_path / "models" / "dreamsim_vitb32"
    assert str(caught.value) == (
        "open_clip_vitb32_pretrain.pth.tar, open_clip_vitb32_single_lora/adapter_config.json, "
        "open_clip_vitb32_single_lora/adapter_model.safetensors or open_clip_vitb32_single_lora/"
        f"adapter_model.bin: the weights of dreamsim_vitb32 are not all in one of {folder}, "
        f"{tmp_path}/.cache/scoft/dreamsim_vitb32, and their publisher gives no digest to check a "
        "download against. Fetch https://github.com/ssundaram21/dreamsim/releases/download/"
        "v0.2.0-checkpoints/dreamsim_open_clip_vitb32_checkpoint.zip yourself and unpack it into "
        f"{folder}."
    )
    write_dreamsim_folder(tmp_path / "models" / "dreamsim")
    (tmp_path / "models" / "dreamsim" / "checkpoints" / "dino_vitbase16_pretrain.pth").unlink()
    with pytest.raises(
        ModelFileError, match=r"dino_vitbase16_pretrain\.pth: the weights of dreams"
    ):
        load("dreamsim", None)


def test_the_release_of_the_files_is_that_of_the_package(monkeypatch):
    from dreamsim.config import dreamsim_args, dreamsim_weights

    for kind, name in (
        (dreamsim_network.ENSEMBLE, "ensemble"),
        (dreamsim_network.OPEN_CLIP_VITB32, "open_clip_vitb32"),
    ):
        assert kind.spec.link == dreamsim_weights[name]
        towers = dreamsim_args["model_config"][name]["model_type"].split(",")
        assert tuple(tower.rsplit("_", 1)[0] for tower in towers) == kind.towers


def test_the_public_names_are_pinned():
    assert dreamsim_network.__all__ == [
        "ENSEMBLE",
        "OPEN_CLIP_VITB32",
        "DreamsimBackbone",
        "DreamsimType",
        "load_dreamsim",
    ]
