"""Colours of fields: numbers can be read on all of them, and lightness tells their order."""

from itertools import pairwise

import pytest

from scoft_training.plot_colours import MISSING, ink_on, one_colour, two_colours


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scale", [one_colour, two_colours])
def test_a_number_can_be_read_on_every_colour(scale):
    for at in range(101):
        colour = scale(at / 100)
        assert contrast(ink_on(colour), colour) >= 4.5, colour
    assert contrast(ink_on(MISSING), MISSING) > 7


def test_the_one_colour_gets_darker_all_the_way():
    lights = [luminance(one_colour(at / 50)) for at in range(51)]
    assert all(after < before for before, after in pairwise(lights))


def test_the_two_colours_are_told_apart_by_blue_and_are_palest_in_the_middle():
    lights = [luminance(two_colours(at / 50)) for at in range(51)]
    assert max(lights) == lights[25]
    for at in range(12, 50):
        low, high = two_colours(0.5 - at / 100), two_colours(0.5 + at / 100)
        # Blue against yellow or orange is what no red-green blindness takes away.
        assert int(high[5:], 16) - int(low[5:], 16) > 30, at


def test_beyond_the_ends_the_ends_are_meant():
    assert one_colour(-3) == one_colour(0)
    assert two_colours(7) == two_colours(1)
    assert one_colour(1) == "#0a3d6b"
