"""Each measure against numbers derived by hand, plain loops, and what it promises."""

import math
from itertools import permutations, product

import pytest
import torch

from scoft_training import kernels, metrics
from scoft_training.errors import ConfigError
from scoft_training.intervals import mean_interval
from scoft_training.metrics import (
    CLIP_SCORE_FORMS,
    KidEstimate,
    caption_clip_scores,
    class_accuracy,
    clip_score_forms,
    diversities,
    diversity,
    embed,
    fid,
    kid,
    nearest,
    similarities,
    similarity,
    vendi_score,
    vendi_scores,
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
    monkeypatch.setattr(kernels, "_BLOCK_VALUES", 22)
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


def inception_like(pictures: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    """(pictures, 2048) float32, 0 or more, with a few directions in which most of them vary."""
    directions = random(12, 2048, seed=77)
    vectors = random(pictures, 12, seed=seed) @ directions + random(pictures, 2048, seed=seed + 1)
    return (0.2 * vectors + 0.3 + shift).clamp(min=0).float()


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_kid_is_torch_fidelitys_and_clean_fids(shift):
    from cleanfid import fid as clean_fid
    from torch_fidelity import metric_kid as torch_fidelity

    generated, reference = inception_like(60, 1), inception_like(60, 5, shift)
    theirs = torch_fidelity.kid_features_to_metric(
        generated, reference, kid_subsets=1, kid_subset_size=60, verbose=False
    )["kernel_inception_distance_mean"]
    also_theirs = clean_fid.kernel_distance(
        generated.numpy(), reference.numpy(), num_subsets=1, max_subset_size=60
    )
    ours = kid(generated, reference).value
    assert ours > 0.1 if shift else abs(ours) < 0.05
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert ours == pytest.approx(also_theirs, abs=1e-4)
    # In double precision nothing of the difference is left, so it was theirs.
    wide = torch_fidelity.kid_features_to_metric(
        generated.double(), reference.double(), kid_subsets=1, kid_subset_size=60, verbose=False
    )["kernel_inception_distance_mean"]
    assert ours == pytest.approx(wide, abs=1e-9)


def test_kid_of_identical_and_of_disjoint_sets_by_hand():
    # Vectors at right angles, of length 2 in 4 dims: k = (4 / 4 + 1)^3 = 8 with itself, else 1.
    pictures = 2 * torch.eye(4, dtype=torch.float64)
    # Identical: 1 + 1 - 2 (4 * 8 + 12 * 1) / 16 = -3.5; each picture meets its copy across only.
    assert kid(pictures, pictures).value == pytest.approx(-3.5)
    # Disjoint: every pair is at right angles, within as across.
    assert kid(pictures[:2], pictures[2:]).value == pytest.approx(0, abs=1e-12)
    # One duplicate, e1 twice: within 1 / 3 of the pairs is (8 + 1 + 1) / 3, within the other 1.
    doubled = pictures[[0, 0, 1]]
    assert kid(doubled, pictures[2:]).value == pytest.approx(10 / 3 + 1 - 2)


def test_negative_kid_is_shown_as_it_is():
    pictures = random(60, 5)
    estimate = kid(pictures, pictures)
    assert estimate.value < 0
    assert estimate.reported == 1000 * estimate.value


def test_fewer_than_50_pictures_are_warned_of_in_words():
    pictures = random(70, 3)
    assert kid(pictures, pictures[:50]).warning == ""
    warning = kid(pictures, pictures[:49]).warning
    assert warning.startswith("KID of 70 generated and 49 reference pictures rests on fewer than 5")
    warning = kid(pictures, pictures, subset_size=20, num_subsets=2).warning
    assert "70 reference pictures, 20 at a time, rests on fewer than 50" in warning
    assert kid(pictures, pictures, subset_size=50, num_subsets=2).warning == ""


def test_the_order_of_pictures_changes_no_subset():
    generated, reference = random(20, 5), random(30, 5, seed=1)
    # Two that differ in the last number only, and one that comes twice.
    generated[4], generated[3] = generated[7], generated[2]
    generated[4, 4] += 1
    first = kid(generated, reference, subset_size=7, num_subsets=30)
    again = kid(generated.flip(0), reference.flip(0), subset_size=7, num_subsets=30)
    assert again.value == pytest.approx(first.value, rel=1e-12)
    assert again.std == pytest.approx(first.std, rel=1e-12)


def test_with_keys_rounding_changes_no_subset_either():
    generated, reference = random(20, 5), random(30, 5, seed=1)
    generated[:, 0] = 0.5
    noise = 1e-9 * random(20, 5, seed=2)
    keys = [f"{place * 7 % 20:02}" for place in range(20)], [f"{place:02}" for place in range(30)]
    first = kid(generated, reference, subset_size=7, num_subsets=3, keys=keys)
    turned = [key[::-1] for key in (list(keys[0]), list(keys[1]))]
    again = kid(
        (generated + noise).flip(0),
        reference.flip(0),
        subset_size=7,
        num_subsets=3,
        keys=(turned[0], turned[1]),
    )
    assert again.value == pytest.approx(first.value, rel=1e-6)
    # Known by their vectors alone, the noise in the first number would have mixed them up.
    mixed = kid(generated + noise, reference, subset_size=7, num_subsets=3)
    plain = kid(generated, reference, subset_size=7, num_subsets=3)
    assert mixed.value != pytest.approx(plain.value, rel=1e-6)


def test_pairs_of_one_prompt_are_left_out_of_all_three_means(monkeypatch):
    monkeypatch.setattr(kernels, "_BLOCK_VALUES", 20)
    generated, reference = random(6, 5), random(7, 5, seed=1)
    prompts = [3, 3, 9, 4, 9, 3], [9, 4, 4, 3, 9, 3, 4]

    def mean(one: str, other: str) -> float:
        sets = {"x": (generated, prompts[0]), "y": (reference, prompts[1])}
        kernel = [
            (float(a @ b) / 5 + 1) ** 3
            for a, of_a in zip(*sets[one], strict=True)
            for b, of_b in zip(*sets[other], strict=True)
            if of_a != of_b
        ]
        return sum(kernel) / len(kernel)

    expected = mean("x", "x") + mean("y", "y") - 2 * mean("x", "y")
    assert kid(generated, reference, prompts=prompts).value == pytest.approx(expected, rel=1e-11)
    # A subset as large as the sets, whatever its order.
    pictures, of_prompt = generated, prompts[0]
    whole = kid(pictures, reference[:6], prompts=(of_prompt, prompts[1][:6]))
    drawn = kid(
        pictures, reference[:6], prompts=(of_prompt, prompts[1][:6]), subset_size=6, num_subsets=2
    )
    assert drawn.value == pytest.approx(whole.value, rel=1e-11)


def test_one_picture_a_prompt_is_torch_fidelitys_u_statistic():
    from torch_fidelity import metric_kid

    generated, reference = random(9, 5).numpy(), random(9, 5, seed=1).numpy()
    pairs = ((generated, generated), (generated, reference), (reference, reference))
    expected = metric_kid.mmd2(*[(x @ y.T / 5 + 1) ** 3 for x, y in pairs], mmd_est="u-statistic")
    found = kid(*map(torch.from_numpy, (generated, reference)), prompts=(range(9), range(9)))
    assert found.value == pytest.approx(expected, rel=1e-11)


def test_what_two_sets_owe_to_their_prompts_does_not_count():
    # Both sets are the same prompts' pictures plus a little noise each: one distribution.
    plain, apart = [], []
    for trial in range(40):
        prompts = random(30, 8, seed=trial)
        one, other = (prompts + 0.3 * random(30, 8, seed=1000 * n + trial) for n in (1, 2))
        plain.append(kid(one, other).value)
        apart.append(kid(one, other, prompts=(range(30), range(30))).value)
    assert mean_interval(plain).high < -0.1
    assert mean_interval(apart).low < 0 < mean_interval(apart).high


def test_fid_by_hand():
    # Means (0, 0) and (3, 0), variances 2 and 8 along the first axis, 2 and 2 along the second.
    cross = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    generated = math.sqrt(3) * cross
    reference = generated * torch.tensor([2.0, 1.0]) + torch.tensor([3.0, 0.0])
    # Tr(S_x) = 4, Tr(S_y) = 10, Tr root = sqrt(2 * 8) + 2 = 6: 9 + 4 + 10 - 12.
    assert fid(generated, reference).value == pytest.approx(11)
    assert fid(generated, generated.flip(0)).value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("generated", "reference"), [(90, 70), (90, 9), (8, 70)])
def test_fid_is_torch_fidelitys(generated, reference):
    from torch_fidelity import metric_fid as theirs

    x, y = random(generated, 12), 1.4 * random(reference, 12, seed=1) + 0.2
    statistics = [theirs.fid_features_to_statistics(vectors) for vectors in (x, y)]
    expected = theirs.fid_statistics_to_metric(*statistics, verbose=False)
    # Theirs takes roots of what rounding leaves of a singular product's zeros.
    assert fid(x, y).value == pytest.approx(expected["frechet_inception_distance"], abs=1e-5)


def test_fid_warns_where_a_covariance_cannot_be_full():
    assert fid(random(14, 13), random(15, 13)).warning == ""
    warning = fid(random(14, 13), random(13, 13)).warning
    assert "of 14 generated and 13 reference pictures is far too high" in warning
    assert "13 numbers needs 14 pictures" in warning


def test_clip_scores_by_hand_in_every_form():
    images = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]], dtype=torch.float64)
    texts = torch.tensor([[1.0, 0.0], [0.0, -5.0], [4.0, 3.0]], dtype=torch.float64)
    cosines = caption_clip_scores(images, texts)
    assert cosines.tolist() == pytest.approx([1.0, -1.0, 0.96])
    # Hessel: the -1 counts as 0, (1 + 0 + 0.96) / 3; torchmetrics: it counts.
    forms = clip_score_forms(cosines)
    assert list(forms) == list(CLIP_SCORE_FORMS)
    assert forms == pytest.approx({"cosine": 0.32, "2.5 x": 2.5 * 1.96 / 3, "100 x": 32.0})
    below = clip_score_forms(-cosines)
    assert below == pytest.approx({"cosine": -0.32, "2.5 x": 2.5 / 3, "100 x": 0.0})


class StandInProcessor:
    """Pictures as they are; a text's letters as tokens, the end of text behind them."""

    def __call__(self, *, text=None, images=None, **_):
        if images is not None:
            return {"pixel_values": torch.stack(images)}
        longest = max(map(len, text))
        tokens = [[ord(x) % 40 for x in one] + [49] * (longest + 1 - len(one)) for one in text]
        return {
            "input_ids": torch.tensor(tokens),
            "attention_mask": torch.ones(len(text), longest + 1, dtype=torch.long),
        }


class SmallClip:
    """A random CLIPModel whose features are tensors in every version of transformers."""

    def __init__(self):
        import transformers

        torch.manual_seed(3)
        tower = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
        tower |= {"num_attention_heads": 2, "projection_dim": 12}
        config = transformers.CLIPConfig(
            text_config={**tower, "vocab_size": 50, "eos_token_id": 49},
            vision_config={**tower, "image_size": 8, "patch_size": 4},
            projection_dim=12,
        )
        self.network = transformers.CLIPModel(config).eval().requires_grad_(False)
        self.config = self.network.config

    def to(self, _):
        return self

    def get_image_features(self, pixel_values):
        return self._tensor(self.network.get_image_features(pixel_values))

    def get_text_features(self, input_ids, attention_mask):
        return self._tensor(self.network.get_text_features(input_ids, attention_mask))

    def _tensor(self, features):
        return features if isinstance(features, torch.Tensor) else features.pooler_output


def test_clip_scores_are_torchmetrics_and_hessels_of_a_small_clip():
    from torchmetrics.multimodal import CLIPScore

    clip, processor = SmallClip(), StandInProcessor()
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    texts = ["a red kite", "tea", "two boats on a river", "a door", "rice", "a drum in a yard"]
    tokens = processor(text=texts)
    # What the network itself calls the embeddings, not what `get_..._features` returns.
    output = clip.network(pixel_values=images, **tokens)
    cosines = caption_clip_scores(output.image_embeds, output.text_embeds)
    assert cosines.std() > 0.01

    metric = CLIPScore(lambda: (clip, processor))
    for part in (slice(0, 4), slice(4, 6)):
        metric.update(list(images[part]), texts[part])
    forms = clip_score_forms(cosines)
    assert forms["100 x"] == pytest.approx(max(float(metric.compute()), 0), abs=1e-4)
    assert forms["cosine"] == pytest.approx(float(metric.score) / 600, abs=1e-6)

    # CLIP-S(c, v) = 2.5 max(cos(c, v), 0), averaged over the corpus.
    unit = torch.nn.functional.normalize
    pairs = zip(unit(output.image_embeds), unit(output.text_embeds), strict=True)
    hessel = [2.5 * max(float(image @ text), 0) for image, text in pairs]
    assert forms["2.5 x"] == pytest.approx(sum(hessel) / 6, abs=1e-6)


def test_similarity_by_hand():
    # Caption 1: cosines 1, 0 and -1 with (2, 0); caption 2: 0.6, 0.8 and 1 with (0, 3).
    generated = torch.tensor(
        [[[5.0, 0.0], [0.0, 3.0], [-1.0, 0.0]], [[0.8, 0.6], [6.0, 8.0], [0.0, 1.0]]],
        dtype=torch.float64,
    )
    training = torch.tensor([[2.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    assert similarities(generated, training).tolist() == pytest.approx([0.0, 0.8])
    assert similarity(generated, training) == pytest.approx((1 + 0 - 1 + 0.6 + 0.8 + 1) / 6)


def test_similarities_equal_plain_loops():
    generated, training = random(3, 4, 5), random(3, 5, seed=1)
    expected = []
    for drawn, original in zip(generated.tolist(), training.tolist(), strict=True):
        cosines = [
            sum(a * b for a, b in zip(one, original, strict=True))
            / math.hypot(*one)
            / math.hypot(*original)
            for one in drawn
        ]
        expected.append(sum(cosines) / len(cosines))
    assert similarities(generated, training).tolist() == pytest.approx(expected, rel=1e-12)


def test_similarities_of_one_copy_and_of_nothing_in_common():
    training = torch.eye(3, dtype=torch.float64)
    generated = training[torch.tensor([[1, 2], [1, 0], [0, 1]])]
    assert similarities(generated, training).tolist() == [0.0, 0.5, 0.0]


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
    assert diversities(embeddings).tolist() == pytest.approx([4 / 3, 0.8 / 3])
    assert diversity(embeddings) == pytest.approx((4 / 3 + 0.8 / 3) / 2)


def test_diversities_of_identical_disjoint_and_doubled_pictures():
    pictures = torch.eye(3)[torch.tensor([[0, 0, 0], [0, 1, 2], [0, 0, 1]])]
    # One duplicate among three: one of three pairs has distance 0, the others 1.
    assert diversities(pictures).tolist() == pytest.approx([0, 1, 2 / 3])
    # No rounding makes equal pictures vary by less than nothing.
    equal = random(50, 1, 7).expand(50, 3, 7)
    assert min(diversities(equal).tolist()) >= 0


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


def test_vendi_counts_pictures_of_no_likeness_by_hand():
    apart = torch.diag(torch.tensor([1.0, 2.0, 5.0, 7.0], dtype=torch.float64))
    assert vendi_score(apart) == pytest.approx(4)
    assert vendi_score(apart[[0, 0, 0, 0]]) == pytest.approx(1)
    # One duplicate: shares 1/2, 1/4, 1/4, entropy 1.5 log 2.
    assert vendi_score(apart[[0, 0, 1, 2]]) == pytest.approx(2**1.5)
    each = vendi_scores(torch.stack([apart, apart[[0, 0, 1, 2]]]))
    assert each.tolist() == pytest.approx([4, 2**1.5])


@pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
@pytest.mark.parametrize("shape", [(7, 30), (30, 7)])
def test_vendi_is_its_packages(shape):
    from vendi_score import vendi

    vectors = random(*shape) + 0.5
    lengths = vectors.norm(dim=1, keepdim=True)
    expected = vendi.score_K((vectors / lengths @ (vectors / lengths).T).numpy())
    assert 2 < expected < 7
    assert vendi_score(vectors) == pytest.approx(expected, rel=1e-10)
    assert vendi_score(vectors) == pytest.approx(vendi.score_dual(vectors.numpy()), rel=1e-10)


def test_nearest_finds_the_copy_whatever_its_length(monkeypatch):
    monkeypatch.setattr(metrics, "_NEAREST_ROWS", 2)
    training = random(5, 4)
    places, cosines = nearest(3 * training[[4, 0, 2]], training)
    assert places.tolist() == [4, 0, 2]
    assert cosines.tolist() == pytest.approx([1, 1, 1])


def test_nearest_is_by_direction_and_the_first_of_equals():
    training = torch.tensor([[0.0, 9.0], [1.0, 0.0], [2.0, 0.0]])
    places, cosines = nearest(torch.tensor([[4.0, 3.0], [-1.0, -0.1]]), training)
    assert places.tolist() == [1, 0]
    assert cosines.tolist() == pytest.approx([0.8, -0.1 / math.sqrt(1.01)])


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
        (
            lambda: kid(ONE, ONE, subset_size=2, keys=(["a"] * 4, ["a"] * 3)),
            "4 pictures have 3 keys to order them by",
        ),
        (
            lambda: kid(ONE, ONE, prompts=([0, 1, 2], [0, 1, 2, 3])),
            "4 generated pictures have 3 prompts or captions. Pass the one of each",
        ),
        (
            lambda: kid(ONE, ONE, prompts=([0, 1, 2, 3], [0])),
            "4 reference pictures have 1 prompts",
        ),
        (
            lambda: kid(ONE, ONE, prompts=([7, 7, 7, 7], [1, 2, 3, 4])),
            "KID compares pictures of different prompts but got pictures of one prompt only",
        ),
        (lambda: fid(ONE, torch.ones(1, 3)), "FID needs at least 2 .* 1 reference pictures"),
        (
            lambda: caption_clip_scores(ONE, torch.ones(1, 3)),
            r"`image_vectors` is \(4, 3\) but `text_vectors` is \(1, 3\)",
        ),
        (lambda: clip_score_forms(ONE[:, 0] / 0 * 0), "`cosines` holds NaN or infinite"),
        (lambda: vendi_score(0 * ONE), "`embeddings` holds a vector of length 0"),
        (lambda: vendi_scores(ONE), r"`embeddings` must be \(captions, pictures, dim\)"),
        (
            lambda: nearest(ONE, torch.ones(4, 2)),
            "`generated` has 3 numbers a picture but `training` has 2",
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
