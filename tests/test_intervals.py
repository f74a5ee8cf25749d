"""Intervals against tables, closed forms, plain recomputation, and what they promise: coverage."""

import math

import numpy as np
import pytest
import torch

from scoft_training.errors import ConfigError
from scoft_training.intervals import (
    Interval,
    difference_interval,
    kid_difference_interval,
    kid_interval,
    mean_interval,
    subsets_interval,
)
from scoft_training.metrics import kid

TRIALS = 1000


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def test_an_interval_by_its_ends_or_by_its_reach():
    interval = Interval(2.0, 1.0, 4.0)
    assert interval.half_width == 1.5
    assert interval.scaled(1000) == Interval(2000.0, 1000.0, 4000.0)
    assert Interval.around(2.0, 0.5) == Interval(2.0, 1.5, 2.5)
    assert interval.within(0, 3) == Interval(2.0, 1.0, 3)
    assert interval.within(1.5, 9) == Interval(2.0, 1.5, 4.0)
    rounded = Interval(1 + 2e-16, 1 - 1e-16, 1 + 5e-16)
    assert rounded.within(-1, 1).high == rounded.mean


@pytest.mark.parametrize(
    ("count", "t"),
    # Two-sided 95 % points of Student's t as tables print them, by degrees of freedom.
    [(2, 12.706), (3, 4.303), (4, 3.182), (5, 2.776), (10, 2.262), (31, 2.042), (121, 1.980)],
)
def test_the_interval_has_the_tables_t(count, t):
    # n values with mean 5 and unbiased variance n: std / sqrt(n) = 1, so the half width is t.
    spread = math.sqrt(count * (count - 1) / 2)
    interval = mean_interval([5.0 + spread, 5.0 - spread, *[5.0] * (count - 2)])
    assert interval.mean == pytest.approx(5)
    assert interval.half_width == pytest.approx(t, abs=5e-4)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99, 0.999999])
def test_t_in_closed_form_for_one_and_two_degrees_of_freedom(confidence):
    # One degree is Cauchy's: P(|T| < t) = 2 atan(t) / pi. Two: t = c sqrt(2 / (1 - c^2)).
    one = mean_interval([-1.0, 1.0], confidence).half_width
    assert one == pytest.approx(math.tan(math.pi * confidence / 2), rel=1e-9)
    two = mean_interval([-math.sqrt(3), 0.0, math.sqrt(3)], confidence).half_width
    assert two == pytest.approx(confidence * math.sqrt(2 / (1 - confidence**2)), rel=1e-9)


def test_equal_values_have_an_interval_of_no_width():
    assert mean_interval([0.25, 0.25, 0.25]) == Interval(0.25, 0.25, 0.25)


def drawn_values(name: str, captions: int) -> tuple[np.ndarray, float]:
    """(trials, captions) values of a distribution, and its mean."""
    rng = np.random.default_rng(20)
    if name == "normal":
        return rng.normal(0.3, 0.05, (TRIALS, captions)), 0.3
    return rng.beta(8, 4, (TRIALS, captions)), 8 / 12


@pytest.mark.parametrize("captions", [10, 20, 100])
@pytest.mark.parametrize("name", ["normal", "beta"])
def test_95_percent_of_the_intervals_over_captions_hold_the_mean(name, captions):
    trials, mean = drawn_values(name, captions)
    intervals = [mean_interval(values) for values in torch.from_numpy(trials)]
    share = sum(one.low <= mean <= one.high for one in intervals) / TRIALS
    assert 0.93 <= share <= 0.97


@pytest.mark.parametrize("name", ["normal", "beta"])
def test_a_percentile_bootstrap_would_not_hold_it_at_10_captions(name):
    trials, mean = drawn_values(name, 10)
    rng = np.random.default_rng(21)
    held = 0
    for values in trials:
        means = values[rng.integers(10, size=(1000, 10))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        held += low <= mean <= high
    assert held / TRIALS < 0.93


def test_differences_are_taken_caption_by_caption():
    # Captions differ by far more than the models do: 0.5 apart, with a mean difference of 0.02.
    easy = torch.tensor([0.1, 0.6, 0.2, 0.9], dtype=torch.float64)
    differences = torch.tensor([0.01, 0.03, 0.02, 0.02], dtype=torch.float64)
    interval = difference_interval(easy + differences, easy)
    assert interval.mean == pytest.approx(0.02)
    assert interval == mean_interval((easy + differences) - easy)
    # std sqrt(2 / 3) / 100 over sqrt(4) captions, t = 3.182.
    assert interval.half_width == pytest.approx(3.182 * math.sqrt(2 / 3) / 200, rel=1e-3)
    assert interval.low > 0
    # At 99 % t is 5.841.
    surer = difference_interval(easy + differences, easy, confidence=0.99)
    assert surer.half_width == pytest.approx(interval.half_width * 5.841 / 3.182, rel=1e-3)
    assert mean_interval(easy).half_width > 0.3


def without(vectors: torch.Tensor, *places: int) -> torch.Tensor:
    return vectors[[place for place in range(len(vectors)) if place not in places]]


def jackknife_variance(left_out: list[float]) -> float:
    count, mean = len(left_out), sum(left_out) / len(left_out)
    return (count - 1) / count * sum((value - mean) ** 2 for value in left_out)


def reach(drawn: list[float], reference: list[float]) -> float:
    """The half width that these values, each with something left out, amount to."""
    from scipy import stats

    parts = [(jackknife_variance(left), len(left) - 1) for left in (drawn, reference)]
    total = sum(variance for variance, _ in parts)
    dof = total**2 / sum(variance**2 / count for variance, count in parts)
    return float(stats.t.ppf(0.975, dof)) * math.sqrt(total)


def test_kids_interval_is_the_plain_jackknife_of_both_sets():
    generated, reference = random(9, 4), random(7, 4, seed=1) + 0.3
    drawn = [kid(without(generated, i), reference).value for i in range(9)]
    real = [kid(generated, without(reference, j)).value for j in range(7)]
    interval = kid_interval(generated, reference)
    assert interval.mean == pytest.approx(kid(generated, reference).value, rel=1e-11)
    assert interval.half_width == pytest.approx(reach(drawn, real), rel=1e-9)
    wider = kid_interval(generated, reference, confidence=0.99)
    assert (wider.mean, wider.low < interval.low) == (interval.mean, True)


def test_pictures_of_one_caption_are_left_out_together():
    generated, reference = random(9, 4), random(7, 4, seed=1) + 0.3
    groups = [40, 7, 7, 40, 12, 12, 7, 12, 40]
    drawn = [
        kid(without(generated, *[i for i in range(9) if groups[i] == group]), reference).value
        for group in (7, 12, 40)
    ]
    real = [kid(generated, without(reference, j)).value for j in range(7)]
    interval = kid_interval(generated, reference, groups=groups)
    assert interval.mean == pytest.approx(kid(generated, reference).value, rel=1e-11)
    assert interval.half_width == pytest.approx(reach(drawn, real), rel=1e-9)
    alone = kid_interval(generated, reference, groups=range(100, 109))
    assert alone == kid_interval(generated, reference)


@pytest.mark.parametrize("groups", [None, [0, 0, 0, 1, 1, 1, 2, 2, 2]])
def test_a_difference_leaves_out_pairs_and_shared_reference_pictures(groups):
    one, reference = random(9, 4), random(7, 4, seed=1) + 0.3
    other = one + 0.4 * random(9, 4, seed=2)
    sets = [[i] for i in range(9)] if groups is None else [[0, 1, 2], [3, 4, 5], [6, 7, 8]]

    def difference(out: list[int], real: torch.Tensor) -> float:
        return kid(without(one, *out), real).value - kid(without(other, *out), real).value

    drawn = [difference(out, reference) for out in sets]
    real = [difference([], without(reference, j)) for j in range(7)]
    interval = kid_difference_interval(one, other, reference, groups=groups)
    assert interval.mean == pytest.approx(difference([], reference), rel=1e-10)
    assert interval.half_width == pytest.approx(reach(drawn, real), rel=1e-9)


def test_of_sets_for_the_same_prompts_a_prompt_is_left_out_of_both():
    generated, reference = random(9, 4), random(7, 4, seed=1) + 0.3
    other = generated + 0.4 * random(9, 4, seed=2)
    groups, real = [5, 5, 8, 8, 8, 6, 6, 5, 7], [8, 6, 5, 5, 7, 6, 8]

    def value(drawn: torch.Tensor, prompt: int | None = None) -> float:
        kept = [i for i in range(9) if groups[i] != prompt]
        beside = [j for j in range(7) if real[j] != prompt]
        prompts = [groups[i] for i in kept], [real[j] for j in beside]
        return kid(drawn[kept], reference[beside], prompts=prompts).value

    left = [value(generated, prompt) for prompt in (5, 6, 7, 8)]
    interval = kid_interval(generated, reference, groups=groups, reference_groups=real)
    assert interval.mean == pytest.approx(value(generated), rel=1e-10)
    # Student's t of 3 degrees of freedom.
    error = math.sqrt(jackknife_variance(left))
    assert interval.half_width == pytest.approx(3.18245 * error, rel=1e-5)

    left = [value(generated, prompt) - value(other, prompt) for prompt in (5, 6, 7, 8)]
    interval = kid_difference_interval(
        generated, other, reference, groups=groups, reference_groups=real
    )
    assert interval.mean == pytest.approx(value(generated) - value(other), rel=1e-9)
    error = math.sqrt(jackknife_variance(left))
    assert interval.half_width == pytest.approx(3.18245 * error, rel=1e-5)


def test_a_model_differs_from_itself_by_nothing_at_all():
    pictures, reference = random(9, 4), random(7, 4, seed=1)
    assert kid_difference_interval(pictures, pictures, reference) == Interval(0.0, 0.0, 0.0)


def kid_coverage(generated_from: torch.Tensor, reference_from: torch.Tensor, trials: int) -> float:
    """Draw both sets from two finite populations, whose KID is known, and count the intervals."""

    def kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    # Two draws from a finite population may be the same picture: all pairs count, also (i, i).
    x, y = generated_from, reference_from
    known = float(kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean())
    draw = torch.Generator().manual_seed(4)
    held = 0
    for _ in range(trials):
        drawn, real = (torch.randint(len(p), (50,), generator=draw) for p in (x, y))
        interval = kid_interval(x[drawn], y[real])
        held += interval.low <= known <= interval.high
    return held / trials


def test_kids_intervals_hold_the_known_kid():
    population, other = random(300, 16), random(300, 16, seed=1) + 0.4
    assert 0.92 <= kid_coverage(population, other, 500) <= 0.98
    # Of one distribution the jackknife doubles the variance: too wide, never too narrow.
    assert kid_coverage(population, population, 500) >= 0.95


def test_the_choice_of_subsets_is_in_their_means_interval():
    whole, reference = random(40, 6), random(40, 6, seed=1) + 0.3
    of_all = kid_interval(whole, reference)
    held = 0
    for seed in range(100):
        drawn = kid(whole, reference, subset_size=10, num_subsets=6, seed=seed)
        # Nothing but the choice stands between the subsets' mean and the whole sets' KID.
        choice = subsets_interval(Interval(0, 0, 0), drawn.value, drawn.std, 6)
        held += choice.low <= of_all.mean <= choice.high
        both = subsets_interval(of_all, drawn.value, drawn.std, 6)
        assert both.mean == drawn.value
        assert both.half_width == pytest.approx(math.hypot(of_all.half_width, choice.half_width))
    assert held >= 90


ONE = torch.ones(4, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([1.0]), "at least 2 values but got 1. Measure more captions"),
        (lambda: mean_interval([1.0, 2.0], 95), "`confidence` must lie between 0 and 1 but got 95"),
        (lambda: mean_interval([1.0, math.nan]), r"`values` must be .* but got \[1.0, nan\]"),
        (lambda: mean_interval(ONE), "`values` must be a list of finite numbers"),
        (
            lambda: difference_interval([1.0, 2.0], [1.0, 2.0, 3.0]),
            "`values` has 2 captions but `baseline` has 3. Pass both models' values for the same",
        ),
        (
            lambda: kid_interval(ONE[:2], ONE),
            "KID's interval needs 3 pictures of either kind, and of 3 captions",
        ),
        (lambda: kid_interval(ONE, ONE * torch.nan), "`reference` holds NaN"),
        (
            lambda: subsets_interval(Interval(1, 0, 2), 1.0, 0.0, 1),
            "needs at least 2 of them but got 1",
        ),
        (lambda: kid_interval(random(4, 3), ONE, 1.0), "`confidence` must lie between 0 and 1"),
        (
            lambda: kid_interval(ONE, ONE, groups=[0, 1, 2]),
            "`groups` has 3 numbers but there are 4 generated pictures",
        ),
        (
            lambda: kid_interval(ONE, ONE, groups=[5, 9, 9, 5]),
            "of 3 captions where these have several. Draw for more captions",
        ),
        (
            lambda: kid_interval(ONE, ONE, reference_groups=[0, 1, 2, 3]),
            "prompts of the reference pictures are known, .* pass `groups` beside them",
        ),
        (
            lambda: kid_interval(ONE, ONE, groups=[0, 1, 2, 3], reference_groups=[0, 0, 1, 1]),
            "of 3 captions where these have several",
        ),
        (
            lambda: kid_difference_interval(ONE, torch.ones(5, 3), ONE),
            "`generated` has 4 pictures but `baseline` has 5. Pass both models' drawings",
        ),
    ],
)
def test_what_has_no_interval_is_refused_in_clear_words(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
