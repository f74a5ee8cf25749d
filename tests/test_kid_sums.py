"""KID with parts left out against KID measured anew without them; what is summed how often."""

import pytest
import torch

from scoft_training import kernels, kid_sums
from scoft_training.errors import ConfigError
from scoft_training.kid_sums import KidReference, LeftOutKid
from scoft_training.metrics import kid


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("block", [2**24, 30])
def test_each_part_left_out_is_kid_without_it(monkeypatch, block):
    # Small blocks: of 5, then of 4 and 3 rows.
    monkeypatch.setattr(kernels, "_BLOCK_VALUES", block)
    generated, reference = random(6, 4), random(7, 4, seed=1) + 0.3

    found = KidReference(reference).kid_of(generated)

    assert found.value == pytest.approx(kid(generated, reference).value, rel=1e-11)
    without_drawn, without_real = found.left_out
    for place, value in enumerate(without_drawn.tolist()):
        rest = generated[torch.arange(6) != place]
        assert value == pytest.approx(kid(rest, reference).value, rel=1e-10)
    for place, value in enumerate(without_real.tolist()):
        rest = reference[torch.arange(7) != place]
        assert value == pytest.approx(kid(generated, rest).value, rel=1e-10)


def test_groups_of_other_sizes_are_left_out_together():
    generated, reference = random(7, 4), random(5, 4, seed=1)
    groups = torch.tensor([9, 2, 2, 5, 9, 9, 9])

    found = KidReference(reference).kid_of(generated, groups=groups.tolist())

    for group, value in zip((2, 5, 9), found.left_out[0].tolist(), strict=True):
        rest = kid(generated[groups != group], reference)
        assert value == pytest.approx(rest.value, rel=1e-10)


@pytest.mark.parametrize("block", [2**24, 15])
def test_where_prompts_are_shared_no_pair_of_one_counts_and_it_is_left_out_of_both(
    monkeypatch, block
):
    monkeypatch.setattr(kernels, "_BLOCK_VALUES", block)
    generated, reference = random(6, 4), random(7, 4, seed=1)
    # Prompt 8 has drawings only, prompt 1 reference pictures only.
    drawn, real = torch.tensor([8, 3, 3, 4, 4, 6]), torch.tensor([3, 4, 6, 6, 1, 3, 4])

    found = KidReference(reference, prompts=real.tolist()).kid_of(generated, groups=drawn.tolist())

    whole = kid(generated, reference, prompts=(drawn.tolist(), real.tolist()))
    assert found.value == pytest.approx(whole.value, rel=1e-11)
    (without,) = found.left_out
    for prompt, value in zip((1, 3, 4, 6, 8), without.tolist(), strict=True):
        x, y = drawn != prompt, real != prompt
        rest = kid(generated[x], reference[y], prompts=(drawn[x].tolist(), real[y].tolist()))
        assert value == pytest.approx(rest.value, rel=1e-10)


def test_a_difference_leaves_the_same_out_of_both():
    generated, other, reference = random(6, 4), random(6, 4, seed=2), random(7, 4, seed=1)
    shared = KidReference(reference)

    difference = shared.kid_of(generated).minus(shared.kid_of(other))

    assert difference.value == pytest.approx(
        kid(generated, reference).value - kid(other, reference).value
    )
    rest = torch.arange(6) != 4
    expected = kid(generated[rest], reference).value - kid(other[rest], reference).value
    assert float(difference.left_out[0][4]) == pytest.approx(expected)
    rest = torch.arange(7) != 2
    expected = kid(generated, reference[rest]).value - kid(other, reference[rest]).value
    assert float(difference.left_out[1][2]) == pytest.approx(expected)


def test_the_references_own_pairs_are_summed_once_for_all_models(monkeypatch):
    summed = []
    within = kid_sums.within_sums

    def counted(x, *rest, **options):
        summed.append(len(x))
        return within(x, *rest, **options)

    monkeypatch.setattr(kid_sums, "within_sums", counted)
    shared = KidReference(random(50, 4))
    for seed in (1, 2, 3):
        shared.kid_of(random(6, 4, seed=seed))
    assert summed == [50, 6, 6, 6]


def test_too_few_parts_have_a_value_and_nothing_left_out():
    generated, reference = random(6, 4), random(2, 4, seed=1)
    assert KidReference(reference).kid_of(generated) == LeftOutKid(
        kid(generated, reference).value, ()
    )
    two = KidReference(random(7, 4, seed=1)).kid_of(generated, groups=[0, 0, 0, 1, 1, 1])
    assert two.left_out == ()
    apart = KidReference(reference, prompts=[0, 1]).kid_of(generated, groups=[0, 1, 2, 3, 4, 5])
    assert apart.left_out == ()


def test_it_can_be_stopped_between_blocks(monkeypatch):
    monkeypatch.setattr(kernels, "_BLOCK_VALUES", 20)
    asked = []

    def stop():
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        KidReference(random(20, 4), check_stop=stop)
    asked.clear()
    shared = KidReference(random(2, 4), check_stop=stop)
    with pytest.raises(KeyboardInterrupt):
        shared.kid_of(random(20, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: KidReference(torch.full((3, 2), float("nan"))), "`reference` holds NaN"),
        (
            lambda: KidReference(random(3, 2), prompts=[0, 1]),
            "3 reference pictures have 2 prompts",
        ),
        (
            lambda: KidReference(random(1, 2)).kid_of(random(3, 2)),
            "at least 2 pictures of either kind but got 3 generated and 1 reference",
        ),
        (lambda: KidReference(random(3, 2)).kid_of(random(3, 4)), "has 4 numbers a picture"),
        (
            lambda: KidReference(random(3, 2), prompts=[0, 1, 2]).kid_of(random(3, 2)),
            "pass `groups` beside them",
        ),
        (
            lambda: KidReference(random(3, 2), prompts=[0, 1, 2]).kid_of(
                random(3, 2), groups=[1, 1, 1]
            ),
            "got pictures of one prompt only",
        ),
        (
            lambda: (
                KidReference(random(3, 2))
                .kid_of(random(3, 2))
                .minus(KidReference(random(4, 2)).kid_of(random(3, 2)))
            ),
            r"leave out \[3, 3\] and \[3, 4\] pictures or prompts",
        ),
    ],
)
def test_what_has_no_kid_is_refused_in_clear_words(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
