"""Intervals against tables, closed forms, plain recomputation, and what they promise: coverage."""

import math

import pytest

from scoft_training.errors import ConfigError
from scoft_training.intervals import Interval, mean_interval


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([1.0]), "at least 2 values but got 1. Measure more captions"),
        (lambda: mean_interval([1.0, 2.0], 95), "`confidence` must lie between 0 and 1 but got 95"),
    ],
)
def test_what_has_no_interval_is_refused_in_clear_words(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
