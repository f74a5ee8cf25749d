"""Draws are functions of their place; batches are made of them."""

import dataclasses

import pytest
import torch
from stack import CPU

from scoft_training.batches import draw_batch, split_positions
from scoft_training.conditioning import Conditioning
from scoft_training.config import TrainConfig
from scoft_training.draws import choice, generator, normal, row_order
from scoft_training.models import NoiseSchedule
from scoft_training.precompute import TrainingExample, TrainingSet


def test_a_draw_depends_on_its_purpose_and_on_nothing_before():
    first = normal((2, 3), torch.float64, 0, "noise", 5, 1)
    normal((2, 3), torch.float64, 0, "noise", 6, 1)
    assert torch.equal(normal((2, 3), torch.float64, 0, "noise", 5, 1), first)
    for other in [(1, "noise", 5, 1), (0, "posterior", 5, 1), (0, "noise", 1, 5), (0, "noise", 51)]:
        assert not torch.equal(normal((2, 3), torch.float64, *other), first)


def test_every_dtype_sees_the_same_noise():
    wide = normal((64,), torch.float64, 3, "noise")
    assert torch.equal(normal((64,), torch.float32, 3, "noise"), wide.float())


def test_drawing_leaves_the_global_state_alone():
    state = torch.random.get_rng_state()
    generator(0, "x")
    choice(5, 0, "x")
    normal((2,), torch.float32, 0, "x")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_choices_are_all_and_equally_likely():
    counts = torch.bincount(torch.tensor([choice(3, 0, "t", n) for n in range(3000)]))
    # Standard deviation of a third of 3000 draws is 26.
    assert (counts - 1000).abs().max() < 130


def test_an_epoch_shows_every_row_once_in_a_fresh_order():
    epochs = [[row_order(7, 7 * epoch + n, 4) for n in range(7)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize(("size", "micro", "processes"), [(5, 2, 2), (8, 3, 1), (7, 1, 3)])
def test_every_place_belongs_to_one_process(size, micro, processes):
    parts = [split_positions(size, micro, process, processes) for process in range(processes)]
    flat = [place for part in parts for batch in part for place in batch]
    assert sorted(flat) == list(range(size))
    assert max(len(batch) for part in parts for batch in part) <= micro


def example(value, negatives=0):
    sides = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    return TrainingExample(
        posterior_mean=value * sides.expand(2, 4, 2, 3).double(),
        posterior_std=torch.zeros(2, 4, 2, 3, dtype=torch.float64),
        conditioning=Conditioning(torch.full((3, 5), value)),
        generic_conditioning=Conditioning(
            torch.stack([torch.full((3, 5), value + k / 10) for k in range(3)])
        ),
        time_ids=None,
        picture_features=[torch.tensor([[value], [-value]])],
        negative_features=[torch.tensor([value, -value]).view(2, 1, 1).expand(2, negatives, 1)],
        negative_distances=torch.zeros(2, negatives),
        pictures=torch.zeros(0, dtype=torch.uint8),
    )


def draw(step, positions, *, examples=None, batch_size=4, **values):
    examples = examples or (example(1.0, 2), example(2.0), example(3.0, 1))
    training_set = TrainingSet(examples, Conditioning(torch.zeros(3, 5)), 1.0, ())
    return draw_batch(
        training_set,
        TrainConfig(batch_size=batch_size, **values),
        NoiseSchedule(torch.linspace(0.99, 0.01, 1000, dtype=torch.float64), "epsilon"),
        step=step,
        positions=positions,
        with_targets=True,
        scaling_factor=0.5,
        device=CPU,
    )


def tensors_of(batch):
    captions = (batch.conditioning, batch.generic_conditioning)
    embeds = [conditioning.prompt_embeds for conditioning in captions]
    return [batch.latents, batch.noise, batch.timesteps, batch.recorded_draws, *embeds]


def same(one, other):
    return all(map(torch.equal, tensors_of(one), tensors_of(other)))


def test_a_place_sees_the_same_sample_in_every_split():
    whole = draw(9, [0, 1, 2, 3])
    for position in range(4):
        alone = draw(9, [position])
        for of_one, of_all in zip(tensors_of(alone), tensors_of(whole), strict=True):
            assert torch.equal(of_one[0], of_all[position])
    assert same(draw(9, [0, 1, 2, 3]), whole)
    assert not same(draw(10, [0, 1, 2, 3]), whole)
    assert not same(draw(9, [0, 1, 2, 3], seed=1), whole)


def test_caption_picture_features_and_negatives_are_of_one_row_and_one_side():
    seen = set()
    for step in range(20):
        batch = draw(step, [0, 1, 2, 3])
        for place, target in enumerate(batch.targets):
            value = batch.conditioning.prompt_embeds[place, 0, 0].item()
            side = 1 if batch.latents[place].mean() > 0 else -1
            seen.add((value, side))
            # No posterior noise here: the latent is the mean times the scaling factor.
            assert (batch.latents[place] == 0.5 * value * side).all()
            assert target.picture_features[0].item() == value * side
            (negatives,) = target.negative_features
            assert len(negatives) == target.num_negatives == {1.0: 2, 2.0: 0, 3.0: 1}[value]
            assert (negatives == value * side).all()
            assert 0 <= batch.generic_conditioning.prompt_embeds[place, 0, 0] - value < 0.25
    assert seen == {(value, side) for value in (1.0, 2.0, 3.0) for side in (1, -1)}


def test_the_posterior_is_sampled_anew_at_each_step():
    spread = dataclasses.replace(
        example(1.0), posterior_std=torch.full((2, 4, 2, 3), 2.0, dtype=torch.float64)
    )
    one = draw(0, [0], examples=(spread,), random_flip=False).latents
    two = draw(1, [0], examples=(spread,), random_flip=False).latents
    assert not torch.equal(one, two)


def test_without_the_memorization_loss_no_generic_caption_is_drawn():
    assert draw(0, [0, 1], memorization_weight=0.0).generic_conditioning is None
