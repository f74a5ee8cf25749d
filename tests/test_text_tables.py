"""Numbers are written as exactly as they are known, in columns that stand straight."""

import pytest

from scoft_training.text_tables import aligned, decimals, number, signed, signed_range, width


def around(value, half):
    return value, value - half, value + half


@pytest.mark.parametrize(
    ("value", "half", "said"),
    [
        (286.22, 60.0, "286"),
        (286.22, 3.6, "286"),
        (286.22, 3.5, "286.2"),
        (30.214, 2.0, "30.2"),
        (30.214, 0.3, "30.21"),
        (0.65012, 0.013, "0.650"),
        (0.65012, 0.05, "0.65"),
        (-0.25, 1.0, "-0.2"),
        (0.123456789, 1e-6, "0.12346"),
    ],
)
def test_an_interval_decides_how_exact_its_number_is(value, half, said):
    assert number(value, decimals([around(value, half)])) == said


def test_of_several_intervals_the_middle_one_decides():
    column = [around(0.3, 0.5), around(210.0, 20.0), around(286.22, 60.0)]
    assert decimals(column) == 0
    # One number without an interval, or with one of no width, changes nothing.
    assert decimals([*column, (0.001, None, None), (1.0, 1.0, 1.0), around(1.0, 1e-12)]) == 0
    assert decimals([(1.0, 1.0, 1.0), around(30.2, 2.0)]) == 1


@pytest.mark.parametrize(
    ("values", "digits"),
    [([812.4], 0), ([30.24, 1.5], 1), ([0.3021], 3), ([0.00004], 3), ([0.0], 2), ([], 2)],
)
def test_without_an_interval_the_largest_number_has_three_digits(values, digits):
    assert decimals((value, None, None) for value in values) == digits


def test_what_rounds_to_zero_has_no_sign():
    assert [number(value, 1) for value in (-0.04, -0.06, None)] == ["0.0", "-0.1", "-"]
    assert [signed(value, 1) for value in (-0.04, 0.04, 0.06, -0.06)] == [
        "0.0",
        "0.0",
        "+0.1",
        "-0.1",
    ]


def test_an_interval_that_leaves_out_zero_looks_like_it():
    assert signed_range(0.001, 0.11, 2) == "+0.00 to +0.11"
    assert signed_range(-0.001, 0.11, 2) == "-0.00 to +0.11"
    assert signed_range(-0.11, 0.0, 2) == "-0.11 to 0.00"


def test_columns_stand_below_each_other_in_any_script():
    lines = aligned([("a", "1", "x"), ("한국", "22", ""), ("e\u0301", "333", "y")])
    assert lines == ["a     1    x", "한국  22", "e\u0301     333  y"]
    assert [width(line.partition("1")[0]) for line in lines[:1]] == [6]
    assert width("한국") == 4
    assert aligned([]) == []
