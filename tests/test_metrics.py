"""Each measure against numbers derived by hand, plain loops, and what it promises."""

import math
from itertools import permutations, product

import pytest
import torch

from scoft_training import vectors
from scoft_training.errors import ConfigError
from scoft_training.intervals import mean_interval
from scoft_training.metrics import (
    KidEstimate,
    class_accuracy,
    diversity,
    embed,
    kid,
    similarity,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def kid_by_loops(x: list[list[float]], y: list[list[float]]) -> float:
    def kernel(one, two):
        return (sum(a * b for a, b in zip(one, two, strict=True)) / len(one) + 1) ** 3

    def mean(values):
        return sum(values) / len(values)

    within_x = mean([kernel(a, b) for a, b in permutations(x, 2)])
    within_y = mean([kernel(a, b) for a, b in permutations(y, 2)])
    return within_x + within_y - 2 * mean([kernel(a, b) for a, b in product(x, y)])


def test_kid_by_hand_in_thousandths():
    generated = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    reference = torch.tensor([[2.0, 2.0], [4.0, 0.0], [0.0, 0.0]])
    # Within generated: x1 . x2 = 0, (0 / 2 + 1)^3 = 1.
    # Within reference: 8, 0, 0 -> (4 + 1)^3 = 125, 1, 1; their mean is 127 / 3.
    # Between: 4, 8, 0 and 4, 0, 0 -> 27, 125, 1 and 27, 1, 1; their mean is 182 / 6.
    # MMD^2 = 1 + 127 / 3 - 2 * 182 / 6 = -52 / 3.
    estimate = kid(generated, reference)
    assert estimate.value == pytest.approx(-52 / 3, rel=1e-12)
    assert estimate.reported == pytest.approx(-52_000 / 3, rel=1e-12)
    assert estimate.reported_std is None
    assert (estimate.std, estimate.subset_size, estimate.num_subsets) == (None, None, 1)


def test_kid_equals_plain_loops_also_over_several_blocks_of_rows(monkeypatch):
    generated, reference = random(11, 5), 1.5 * random(7, 5, seed=1) + 0.3
    expected = pytest.approx(kid_by_loops(generated.tolist(), reference.tolist()), rel=1e-11)
    assert kid(generated, reference).value == expected
    monkeypatch.setattr(vectors, "_KERNEL_ROWS", 3)
    assert kid(generated, reference).value == expected


def test_kid_knows_no_order_of_pictures_and_no_sides():
    generated, reference = random(11, 5), 1.5 * random(7, 5, seed=1)
    expected = pytest.approx(kid(generated, reference).value, rel=1e-11)
    assert kid(generated.flip(0), reference.roll(3, 0)).value == expected
    assert kid(reference, generated).value == expected


def test_kid_of_one_distribution_is_zero_on_average_and_often_below():
    values = [kid(random(13, 3, seed=n), random(17, 3, seed=n + 1000)).value for n in range(300)]
    interval = mean_interval(values, confidence=0.999)
    assert abs(interval.mean) < interval.half_width
    # The biased estimate, with the diagonals, would lie far outside: it is never below 0.
    assert 50 < sum(value < 0 for value in values) < 250


def test_kid_grows_with_the_shift_between_distributions():
    generated = random(40, 3)
    values = [kid(generated + shift, random(50, 3, seed=1)).value for shift in (0.0, 0.5, 1.0)]
    assert values == sorted(values)
    assert values[2] > 10 * abs(values[0])


def test_half_precision_features_are_measured_in_double():
    generated, reference = (10 * random(9, 5)).half(), (10 * random(8, 5, seed=1)).half()
    expected = kid_by_loops(generated.tolist(), reference.tolist())
    assert kid(generated, reference).value == pytest.approx(expected, rel=1e-11)


def test_a_subset_as_large_as_its_set_is_the_set_since_no_picture_comes_twice():
    generated, reference = random(4, 5), random(4, 5, seed=1)
    estimate = kid(generated, reference, subset_size=4, num_subsets=6)
    assert estimate.value == pytest.approx(kid(generated, reference).value, rel=1e-11)
    assert estimate.std == pytest.approx(0, abs=1e-9)
    assert (estimate.subset_size, estimate.num_subsets) == (4, 6)


def test_subsets_are_a_function_of_the_seed_alone():
    generated, reference = random(20, 5), random(30, 5, seed=1)

    def estimate(seed: int) -> KidEstimate:
        return kid(generated, reference, subset_size=7, num_subsets=4, seed=seed)

    first = estimate(3)
    torch.manual_seed(99)
    assert estimate(3) == first
    assert estimate(4) != first


def test_mean_and_spread_are_over_subsets():
    generated, reference = random(20, 5), random(30, 5, seed=1)
    # Two subsets begin with the one that is drawn alone. With its value a and both's mean b, the
    # second has 2 b - a, and the spread of the two is half their difference, |b - a|.
    one = kid(generated, reference, subset_size=7, num_subsets=1)
    two = kid(generated, reference, subset_size=7, num_subsets=2)
    assert one.std == 0
    assert two.value != one.value
    assert two.std == pytest.approx(abs(two.value - one.value), rel=1e-9)


def test_subsets_are_drawn_from_each_set_for_itself():
    # A set against itself: with one draw for both sides each subset would meet itself, which makes
    # the mean some 50 / 10 times as negative. Drawn apart, it is that of the whole set.
    pictures = random(50, 5)
    whole = kid(pictures, pictures).value
    drawn = kid(pictures, pictures, subset_size=10, num_subsets=2000)
    assert whole < 0
    assert abs(drawn.value - whole) < 4 * drawn.std / math.sqrt(2000)
    assert 4 * drawn.std / math.sqrt(2000) < abs(whole)


def test_similarity_by_hand():
    # Caption 1: cosines 1, 0 and -1 with (2, 0); caption 2: 0.6, 0.8 and 1 with (0, 3).
    generated = torch.tensor(
        [[[5.0, 0.0], [0.0, 3.0], [-1.0, 0.0]], [[0.8, 0.6], [6.0, 8.0], [0.0, 1.0]]],
        dtype=torch.float64,
    )
    training = torch.tensor([[2.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    assert similarity(generated, training) == pytest.approx((1 + 0 - 1 + 0.6 + 0.8 + 1) / 6)


def test_similarity_is_one_for_copies_of_any_length():
    training = random(3, 5)
    copies = training[:, None] * torch.tensor([1e-20, 1.0, 7.0])[:, None]
    assert similarity(copies, training) == pytest.approx(1, rel=1e-12)
    assert similarity(copies.roll(1, 0), training) < 0.9


def test_diversity_by_hand():
    # Caption 1: pairs of (1, 0), (0, 1), (-1, 0) have cosines 0, -1, 0: mean distance 4 / 3.
    # Caption 2: pairs of (1, 0), (2, 0), (3, 4) have cosines 1, 0.6, 0.6: mean distance 0.8 / 3.
    embeddings = torch.tensor(
        [[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], [[1.0, 0.0], [2.0, 0.0], [3.0, 4.0]]],
        dtype=torch.float64,
    )
    assert diversity(embeddings) == pytest.approx((4 / 3 + 0.8 / 3) / 2)


def test_diversity_equals_plain_loops_and_compares_within_captions_only():
    embeddings = random(3, 4, 5)
    cosine = torch.nn.functional.cosine_similarity
    distances = [
        1 - cosine(one, two, dim=0).item()
        for caption in embeddings
        for one, two in permutations(caption, 2)
    ]
    assert diversity(embeddings) == pytest.approx(sum(distances) / len(distances), rel=1e-12)
    # One picture a caption repeated: captions differ, but within each there is no variety.
    assert diversity(embeddings[:, :1].expand(3, 4, 5)) == pytest.approx(0, abs=1e-12)


def test_class_accuracy_is_the_share_of_highest_scores():
    scores = torch.tensor([[0.1, 0.9, 0.0], [5.0, 1.0, 2.0], [-3.0, -2.0, -1.0], [0.0, 0.0, 9.0]])
    labels = torch.tensor([1, 0, 2, 1])
    assert class_accuracy(scores, labels) == 0.75
    assert class_accuracy(scores.argmax(dim=1), labels) == 0.75
    assert class_accuracy(labels.to(torch.int32), labels) == 1.0


def test_embed_means_over_places_and_joins_feature_maps():
    images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    batches = []

    def features(batch: torch.Tensor) -> list[torch.Tensor]:
        batches.append(len(batch))
        level = batch[:, 0, 0, 0]
        # (batch, 2 channels, 1 row, 3 columns); (batch, 3 tokens, 2 channels); (batch, 1 channel)
        grid = torch.tensor([[[0.0, 1.0, 5.0]], [[1.0, 1.0, 1.0]]]) + level.view(-1, 1, 1, 1)
        tokens = torch.tensor([[0.0, 1.0], [0.0, 2.0], [3.0, 3.0]]) * level.view(-1, 1, 1)
        return [grid, tokens, level[:, None]]

    vectors = embed(features, images, batch_size=2)
    assert batches == [2, 1]
    assert vectors.tolist() == [[2, 1, 0, 0, 0], [3, 2, 1, 2, 1], [4, 3, 2, 4, 2]]


def test_embed_takes_a_function_that_returns_vectors_and_keeps_no_graph():
    weight = torch.ones(3, requires_grad=True)
    images = torch.rand(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    vectors = embed(lambda batch: batch.mean(dim=(2, 3)) * weight, images, batch_size=4)
    torch.testing.assert_close(vectors, images.mean(dim=(2, 3)))
    assert not vectors.requires_grad


def test_embed_means_half_precision_features_in_float32():
    # 2048 and 4095 ones have the mean 6143 / 4096, which fp16 rounds to 1.5.
    places = torch.ones(1, 1, 64, 64, dtype=torch.float16)
    places[0, 0, 0, 0] = 2048
    vectors = embed(lambda _: [places], torch.zeros(1, 3, 2, 2))
    assert vectors.dtype == torch.float32
    assert vectors.item() == 6143 / 4096


ONE = torch.ones(4, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: kid(torch.ones(4, 3, 1), ONE),
            r"`generated` must be \(pictures, dim\), none of them 0, but got \(4, 3, 1\)",
        ),
        (lambda: kid(ONE, torch.ones(0, 3)), r"`reference` must be .* but got \(0, 3\)"),
        (
            lambda: kid(ONE, torch.ones(4, 2)),
            "`generated` has 3 numbers a picture but `reference` has 2. Embed both with the same",
        ),
        (lambda: kid(ONE, torch.ones(1, 3)), "at least 2 .* got 4 generated and 1 reference"),
        (
            lambda: kid(ONE, torch.ones(5, 3), subset_size=5),
            "`subset_size` must be from 2 to 4, the pictures of the smaller set, but got 5",
        ),
        (lambda: kid(ONE, ONE, subset_size=1), "`subset_size` must be from 2 to 4, .* got 1"),
        (
            lambda: kid(ONE, ONE, subset_size=2, num_subsets=0),
            "`num_subsets` must be 1 or more but got 0",
        ),
        (lambda: kid(ONE * torch.nan, ONE), "`generated` holds NaN or infinite numbers"),
        (
            lambda: similarity(torch.ones(2, 5, 3), torch.ones(5, 3)),
            r"`training` must be \(2, 3\) beside `generated` of shape \(2, 5, 3\) but got \(5, 3\)",
        ),
        (
            lambda: similarity(ONE, ONE),
            r"`generated` must be \(captions, pictures, dim\), none of them 0, but got \(4, 3\)",
        ),
        (
            lambda: similarity(torch.ones(4, 2, 3), 0 * ONE),
            "`training` holds a vector of length 0",
        ),
        (lambda: diversity(torch.ones(4, 1, 3)), "at least 2 pictures a caption but got 1"),
        (lambda: diversity(torch.zeros(4, 2, 3)), "`embeddings` holds a vector of length 0"),
        (
            lambda: class_accuracy(ONE, torch.tensor([0, 1, 2])),
            "`predictions` has 4 pictures but `labels` has 3",
        ),
        (
            lambda: class_accuracy(ONE, torch.tensor([0, 1, 3, 1])),
            "`labels` must be from 0 to 2, the classes of `predictions`, but got 0 to 3",
        ),
        (
            lambda: class_accuracy(ONE, torch.tensor([0, 1, -1, 1])),
            "`labels` must be from 0 to 2, .* but got -1 to 1",
        ),
        (
            lambda: class_accuracy(ONE[:, 0], torch.tensor([0, 1, 2, 1])),
            r"`predictions` must be \(pictures,\) integers, at least one, but got \(4,\) torch.flo",
        ),
        (lambda: class_accuracy(ONE * torch.inf, torch.tensor([0, 1, 2, 1])), "holds NaN or inf"),
        (
            lambda: embed(lambda images: images, torch.ones(3, 2, 2)),
            r"`images` must be \(pictures, channels, height, width\), .* but got \(3, 2, 2\)",
        ),
        (
            lambda: embed(lambda images: images, torch.ones(2, 3, 2, 2), batch_size=0),
            "`batch_size` must be 1 or more but got 0",
        ),
        (
            lambda: embed(lambda images: [images[0]], torch.ones(2, 3, 2, 2)),
            r"Features must be \(batch, channels\), .* but 2 pictures got \(3, 2, 2\)",
        ),
        (
            lambda: embed(lambda images: images[:, 0, 0, 0], torch.ones(2, 3, 2, 2)),
            r"Features must be \(batch, channels\), .* but 2 pictures got \(2,\)",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_in_clear_words(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
