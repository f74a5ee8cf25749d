"""The library that the paper names, beside this pack's methods."""

import dataclasses
import sys

import numpy as np
import pytest
from made_comparisons import compared_by_hand, made_comparisons

from scoft_training.crowd_kit import crowd_kit_differences
from scoft_training.errors import ConfigError
from scoft_training.mmsr import mmsr_vote
from scoft_training.noisy_bradley_terry import noisy_bradley_terry


def differences(compared, *, nbt=None, vote=None):
    pytest.importorskip("crowdkit")
    return crowd_kit_differences(compared, nbt, vote, group="Korea", item="alignment")


def test_skills_that_differ_are_told_and_why():
    compared = made_comparisons(0, people=12, groups=1, pages=10, items=1, gap=1.0).compared
    (one,) = differences(compared, nbt=noisy_bradley_terry(compared))
    assert (one.method, one.group, one.item) == ("Noisy Bradley-Terry", "Korea", "alignment")
    assert "people of 12 differ by more than 0.05" in one.sentence
    assert "crowd-kit's gradient puts people's skills and biases one place too low" in one.sentence
    assert "Ties" not in one.sentence
    assert one.ours.count(" > ") == 3
    assert one.theirs.count(" > ") == 3


def test_ties_are_left_out_and_it_is_said():
    made = made_comparisons(0, people=6, groups=1, pages=5, items=1, gap=1.0).compared
    tied = dataclasses.replace(made, outcome=np.where(made.task % 5 == 0, 0.5, made.outcome))
    (one,) = differences(tied, nbt=noisy_bradley_terry(tied))
    assert "Ties are left out there, half a win each here." in one.sentence
    all_tied = dataclasses.replace(made, outcome=np.full(len(made.task), 0.5))
    assert differences(all_tied, nbt=noisy_bradley_terry(all_tied)) == []


def test_where_mmsr_is_the_same_nothing_is_told():
    made = made_comparisons(2, people=12, groups=1, pages=60, gap=2.0)
    vote = mmsr_vote(made.compared)
    assert np.abs(vote.skills).min() > 0.1
    assert differences(made.compared, vote=vote) == []


def test_groups_that_share_nothing_are_named_as_the_reason():
    compared = made_comparisons(0, people=20, groups=2, items=1, gap=0.7).compared
    (one,) = differences(compared, vote=mmsr_vote(compared))
    assert one.method == "MMSR"
    # Two groups of ten: 10 x 10 pairs.
    assert "here 100 pairs of people share none" in one.sentence


def test_somebody_without_weight_is_explained():
    # The agreements of one of these four add up to what crowd-kit takes for nothing.
    compared = made_comparisons(6, people=4, groups=1, pages=2, items=1, gap=0.7).compared
    (one,) = differences(compared, vote=mmsr_vote(compared))
    assert "none to somebody whose agreements add up to nothing" in one.sentence


def test_a_failure_is_told_in_words():
    rows = [(who, task, "A", "B", 1) for who in ("p", "q") for task in range(4)]
    compared = compared_by_hand("AB", rows)
    (one,) = differences(compared, vote=mmsr_vote(compared))
    assert one.ours == "A > B"
    assert one.theirs.startswith("failed: ")
    assert one.sentence.startswith("crowd-kit gives no answer.")
    assert "crowd-kit divides by zero where all answers are the same." in one.sentence
    assert "lets a majority decide" in one.sentence


def test_the_random_state_of_the_host_is_left_alone():
    compared = made_comparisons(0, people=6, groups=1, pages=4, items=1).compared
    np.random.seed(5)  # noqa: NPY002 - as a host may
    expected = np.random.RandomState(5).random_sample()
    differences(compared, nbt=noisy_bradley_terry(compared), vote=mmsr_vote(compared))
    assert np.random.random_sample() == expected  # noqa: NPY002


@pytest.mark.parametrize("package", ["pandas", "crowdkit.aggregation"])
def test_a_missing_package_is_a_sentence(monkeypatch, package):
    pytest.importorskip("crowdkit")
    monkeypatch.setitem(sys.modules, package, None)
    compared = made_comparisons(0, people=5, groups=1, pages=2, items=1).compared
    with pytest.raises(ConfigError, match="Install it by `pip install crowd-kit`, or choose"):
        differences(compared, vote=mmsr_vote(compared))
