"""Differences from one model, by hand: their values, intervals, words and plots."""

from __future__ import annotations

import dataclasses
import math

import pytest
from made_scores import COPIES, OTHER, likeness, made_scores

from scoft_training.errors import ConfigError
from scoft_training.grids import GridModel
from scoft_training.score_comparison import (
    baseline_of,
    comparison_plots,
    comparison_table,
    differences_from,
    verdict,
)
from scoft_training.score_records import Difference, ModelScores

T_OF_3 = 3.182446305284263
"""Student's t with P(|T| < t) = 0.95 and 3 degrees of freedom, from a table."""


def found(scores, model, key, baseline=""):
    (one,) = [
        one for one in differences_from(scores, baseline) if (one.model, one.key) == (model, key)
    ]
    return one


def test_captions_are_compared_one_by_one():
    # 0.60 - 0.50, 0.61 - 0.52, 0.58 - 0.48, 0.61 - 0.50: mean 0.1, deviations 0, -1, 0, 1 in 0.01.
    difference = found(made_scores(), "step 100", COPIES)
    half = T_OF_3 * math.sqrt(2e-4 / 3) / 2
    assert difference.baseline == "base"
    assert difference.value == pytest.approx(0.1)
    assert (difference.low, difference.high) == pytest.approx((0.1 - half, 0.1 + half))


def test_only_captions_that_both_drew_are_compared_and_one_alone_has_no_interval():
    def scores(prompts):
        models = (
            ModelScores(GridModel("base"), (likeness(0.1, 0.2, 0.3, prompts=(0, 1, 2)),)),
            ModelScores(GridModel("mine", "ab"), (likeness(0.5, 0.7, 0.9, prompts=prompts),)),
        )
        return made_scores(models=models, differences=(), suggestion=None)

    # Prompts 1 and 2: 0.5 - 0.2 and 0.7 - 0.3.
    assert found(scores((1, 2, 3)), "mine", COPIES).value == pytest.approx(0.35)
    alone = found(scores((2, 3, 4)), "mine", COPIES)
    assert alone.value == pytest.approx(0.7 - 0.2)  # of the means
    assert (alone.low, alone.high) == (None, None)


def test_a_measure_of_whole_sets_keeps_the_interval_that_was_measured_in_either_direction():
    scores = made_scores()
    assert found(scores, "step 200", "kid_reference") == scores.differences[1]
    turned = found(scores, "base", "kid_reference", "step 200")
    assert (turned.value, turned.low, turned.high) == (23.5, 21.0, 26.0)
    never = found(scores, "step 300", "kid_reference", "step 200")
    assert (never.value, never.low, never.high) == (-0.5, None, None)


def test_what_was_measured_of_one_model_only_is_no_difference():
    keys = {one.key for one in differences_from(made_scores()) if one.model == OTHER}
    assert keys == {COPIES, "kid_reference"}


def test_the_baseline_is_the_scores_own_unless_another_is_named():
    assert baseline_of(made_scores()) == "base"
    assert baseline_of(made_scores(), "step 100") == "step 100"
    # A baseline that was not drawn leaves the first model.
    assert baseline_of(made_scores(settings={"baseline": "gone"})) == "base"
    with pytest.raises(ConfigError, match=r"`baseline`: Unknown model 'step 20'.*'step 200'"):
        baseline_of(made_scores(), "step 20")


@pytest.mark.parametrize(
    ("low", "high", "better", "word"),
    [
        (-2.0, -1.0, "lower", "better"),
        (1.0, 2.0, "lower", "worse"),
        (1.0, 2.0, "higher", "better"),
        (-2.0, -1.0, "higher", "worse"),
        (-1.0, 0.0, "lower", "unclear"),
        (-1.0, 1.0, "higher", "unclear"),
        (1.0, 2.0, "", None),
        (None, None, "lower", None),
    ],
)
def test_an_interval_that_reaches_0_tells_nothing(low, high, better, word):
    assert verdict(Difference("a", "b", "key", 1.0, low, high), better) == word


def test_the_table_in_words():
    lines = comparison_table(made_scores()).splitlines()
    assert lines[0] == "Differences from base, with 95 % intervals"
    at = lines.index("KID to held-out pictures (x 1000); lower is better")
    assert lines[at + 1].endswith("  -17.5 (-20.0 to -15.0)  better")
    assert (
        lines[at + 1].index("-17.5") == lines[at + 4].index("+0.5") + 2
    )  # Korean letters take two cells
    assert lines[at + 4].endswith(f"{OTHER}  +0.5 (-1.0 to +2.0)     no clear difference")
    assert any(line.endswith("+1.75  (no interval)") for line in lines)
    alone = dataclasses.replace(made_scores(), models=made_scores().models[:1])
    assert "no other model" in comparison_table(alone)


def test_a_plot_for_each_question_that_was_answered():
    plots = comparison_plots(made_scores(), "step 100")
    assert [(plot.title, plot.note.partition(".")[0]) for plot in plots] == [
        ("Does it copy my photos?", "CLIP-I similarity: difference from step 100"),
        (
            "Does it know my culture?",
            "KID to held-out pictures (x 1000): difference from step 100",
        ),
        ("Did it forget the rest?", "KID to general pictures (x 1000): difference from step 100"),
    ]
    assert all(". Below 0 is better;" in plot.note for plot in plots)
    assert plots[1].words.startswith("base: +17.5 (15.0 to 20.0); step 200: \N{MINUS SIGN}6.0")
    assert plots[0].image(400).width == 400
