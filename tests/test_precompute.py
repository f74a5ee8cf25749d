"""Constant tensors: right, on disk, computed once, and of one row alone."""

import dataclasses

import pytest
import torch
from stack import CPU, PoolBackbone, small_base, write_demo

from scoft_training.config import TrainConfig
from scoft_training.data import load_row_pictures, read_dataset
from scoft_training.errors import DatasetError
from scoft_training.events import StopRequested, stop_check
from scoft_training.precompute import precompute

CONFIG = TrainConfig(resolution=64)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return read_dataset(write_demo(tmp_path_factory.mktemp("aruna") / "d")).rows[:3]


def compute(rows, cache, *, config=CONFIG, base=None, backbone=None, should_stop=lambda: False):
    work = precompute(
        rows,
        config,
        base or small_base(),
        backbone=PoolBackbone() if backbone is None else backbone,
        cache=cache,
        device=CPU,
        dtype=torch.float64,
        check_stop=stop_check(should_stop),
    )
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as stop:
            return stop.value, events


def tensors_of(example):
    return {
        "mean": example.posterior_mean,
        "std": example.posterior_std,
        "prompt": example.conditioning.prompt_embeds,
        "generic": example.generic_conditioning.prompt_embeds,
        **{f"picture {n}": part for n, part in enumerate(example.picture_features)},
        **{f"negative {n}": part for n, part in enumerate(example.negative_features)},
        "distances": example.negative_distances,
        "pictures": example.pictures,
    }


def assert_same(one, other):
    for a, b in zip(one.examples, other.examples, strict=True):
        for name, tensor in tensors_of(a).items():
            assert torch.equal(tensors_of(b)[name], tensor), name
    assert one.distance_unit == other.distance_unit


def test_an_example_holds_what_the_networks_say_of_both_sides(rows, tmp_path):
    found, _ = compute(rows, tmp_path)
    base, backbone = small_base(), PoolBackbone()
    distances = []
    for row, example in zip(rows, found.examples, strict=True):
        pictures = load_row_pictures(row, resolution=64, crop_mode="center", seed=0)
        for side, shown in enumerate((pictures, pictures.flipped())):
            with torch.no_grad():
                pixel_values = 2 * shown.image[None].double() - 1
                posterior = base.vae.encode(pixel_values).latent_dist
            torch.testing.assert_close(example.posterior_mean[side], posterior.mean[0])
            torch.testing.assert_close(example.posterior_std[side], posterior.std[0])
            features = backbone.features(shown.image[None])
            for index, part in enumerate(features):
                torch.testing.assert_close(example.picture_features[index][side], part[0])
            for place, negative in enumerate(shown.negatives):
                negative_features = backbone.features(negative[None])
                for index, part in enumerate(negative_features):
                    kept = example.negative_features[index][side, place]
                    torch.testing.assert_close(kept, part[0])
                distance = backbone.distance(negative_features, features)[0]
                torch.testing.assert_close(example.negative_distances[side, place], distance)
                distances.append(distance)
        captions = base.captions.encode([row.cultural_caption, *row.generic_captions])
        assert torch.equal(
            example.conditioning.prompt_embeds, captions.conditioning.prompt_embeds[0]
        )
        assert torch.equal(
            example.generic_conditioning.prompt_embeds, captions.conditioning.prompt_embeds[1:]
        )
    assert found.distance_unit == pytest.approx(float(torch.stack(distances).mean()))
    assert torch.equal(
        found.uncond.prompt_embeds, base.captions.encode([""]).conditioning.prompt_embeds[0]
    )


def test_what_is_cached_is_read_back_the_same_and_not_computed_again(rows, tmp_path):
    first, events = compute(rows, tmp_path)
    done = [(event.phase, event.done) for event in events]
    assert done == [(phase, n) for phase in ("captions", "latents", "features") for n in range(4)]
    base = small_base()
    base.vae.encode = None
    again, events = compute(rows, tmp_path, base=base)
    assert [event.done for event in events] == [3, 3, 3]
    assert_same(first, again)


def test_a_row_does_not_depend_on_its_neighbours(rows, tmp_path):
    together, _ = compute(rows, tmp_path / "together")
    for index in range(3):
        alone, _ = compute(rows[index : index + 1], tmp_path / f"alone-{index}")
        one, other = tensors_of(alone.examples[0]), tensors_of(together.examples[index])
        for name, tensor in one.items():
            assert torch.equal(tensor, other[name]), name


def files(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*.*")}


@pytest.mark.parametrize(
    ("change", "computed"),
    [
        ({"crop": "random"}, {"latents", "features"}),
        ({"resolution": 72}, {"latents", "features"}),
        ({"random_flip": False}, {"latents", "features"}),
        ({"contrastive_weight": 0.0}, {"features"}),
        ({"learning_rate": 0.5, "seed": 8}, set()),
        ({"augmentations": 2}, {"pictures"}),
        ({"lpips_weight": 0.1}, {"pictures"}),
    ],
)
def test_a_changed_setting_computes_what_depends_on_it_and_leaves_the_old(
    rows, tmp_path, change, computed
):
    compute(rows, tmp_path)
    before = files(tmp_path)
    config = dataclasses.replace(CONFIG, **change)
    _, events = compute(rows, tmp_path, config=config)
    assert {event.phase for event in events if event.done == 0} == computed
    after = files(tmp_path)
    assert {path: after[path] for path in before} == before


def test_a_damaged_file_is_computed_again(rows, tmp_path, caplog):
    first, _ = compute(rows, tmp_path)
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:20])
    again, _ = compute(rows, tmp_path)
    assert "is damaged and will be computed again" in caplog.text
    assert_same(first, again)


def test_stopping_keeps_what_was_computed(rows, tmp_path):
    calls = iter(range(100))
    with pytest.raises(StopRequested):
        compute(rows, tmp_path, should_stop=lambda: next(calls) >= 4)
    _, events = compute(rows, tmp_path)
    begun = {}
    for event in events:
        begun.setdefault(event.phase, event.done)
    assert begun == {"captions": 3, "latents": 1, "features": 0}


def test_pictures_are_kept_where_they_are_looked_at_anew(rows, tmp_path):
    augmented, _ = compute(rows, tmp_path, config=dataclasses.replace(CONFIG, augmentations=2))
    pictures = load_row_pictures(rows[0], resolution=64, crop_mode="center", seed=0)
    kept = augmented.examples[0].pictures
    assert kept.shape == (3, 3, 64, 64)
    torch.testing.assert_close(kept[0] / 255, pictures.image, rtol=0, atol=0.5 / 255)
    torch.testing.assert_close(kept[1:] / 255, pictures.negatives, rtol=0, atol=0.5 / 255)
    plain = dataclasses.replace(CONFIG, lpips_weight=0.1)
    assert compute(rows, tmp_path, config=plain)[0].examples[0].pictures.shape == (1, 3, 64, 64)
    assert compute(rows, tmp_path)[0].examples[0].pictures.numel() == 0


def test_negatives_that_equal_their_pictures_are_refused(rows, tmp_path):
    blind = PoolBackbone()
    blind.features = lambda images: [torch.zeros(len(images), 1, dtype=torch.float64)]
    with pytest.raises(DatasetError, match="The negatives equal their training pictures"):
        compute(rows, tmp_path, backbone=blind)


def test_networks_visit_the_device_only_when_something_is_missing(rows, tmp_path):
    base, moves = small_base(), []
    base.vae.to = lambda device: moves.append(str(device))
    compute(rows, tmp_path, base=base)
    assert moves == ["cpu", "cpu"]
    compute(rows, tmp_path, base=base)
    assert moves == ["cpu", "cpu"]
