"""Dots in blocks: all stand on one axis where their numbers say."""

import numpy as np
import pytest
from drawn_plots import bars, dots, texts, words

from scoft_training.block_layout import Block
from scoft_training.dot_plots import Dot, DotAxis, dots_plot
from scoft_training.errors import ConfigError

AXIS = DotAxis(1, 5, (1, 3, 5), "{:.2f}".format, level=3, tick_text="{:.0f}".format)
BLOCKS = [
    Block("First", [Dot("a", 1.0, 1.0, 2.0), Dot("b", 4.0)]),
    Block("Second", [Dot("c", 5.0, 3.0, 9.0)]),
]


def test_dots_and_bars_of_all_blocks_stand_on_one_axis():
    svg = dots_plot("t", "n", BLOCKS, AXIS).svg()
    (a, b, c), (first, second) = dots(svg), bars(svg)
    each = (c[0] - a[0]) / 4
    assert b[0] == pytest.approx(a[0] + 3 * each, abs=0.02)
    assert first == pytest.approx((a[0], a[0] + each), abs=0.02)
    # 9 lies beyond the axis, and the bar ends where that ends.
    assert second == pytest.approx((a[0] + 2 * each, c[0]), abs=0.02)
    assert a[1] < b[1] < c[1]


def test_headings_names_and_values_are_written_and_told():
    svg = dots_plot("t", "n", BLOCKS, AXIS).svg()
    assert {"First", "Second", "a", "b", "c", "1.00", "4.00", "5.00", "1", "3", "5"} <= set(
        texts(svg)
    )
    assert "First: a 1.00 (1.00 to 2.00); b 4.00. Second: c 5.00 (3.00 to 9.00)" in words(svg)


def test_the_dashed_line_stands_at_its_level_in_each_block():
    svg = dots_plot("t", "n", BLOCKS, AXIS).svg()
    (a, _, c) = dots(svg)
    dashed = [part for part in svg.split("<path") if "stroke-dasharray" in part]
    places = [float(part.split('d="M ')[1].split()[0]) for part in dashed]
    assert places == pytest.approx([(a[0] + c[0]) / 2] * 2, abs=0.02)
    without = DotAxis(1, 5, (1, 5), str)
    assert "stroke-dasharray" not in dots_plot("t", "n", BLOCKS, without).svg()


@pytest.mark.parametrize("name", ["<script>", "نموذج", "x" * 200, "$a_b$"])
def test_any_name_stays_inside(name):
    plot = dots_plot("t", "n", [Block(name, [Dot(name, 2.0)])], AXIS)
    pixels = np.asarray(plot.image(480))
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, -4:] == 255).all()
    assert "<script>" not in plot.svg()


def test_no_row_is_refused():
    with pytest.raises(ConfigError, match="The plot 't' has no row"):
        dots_plot("t", "n", [Block("empty", [])], AXIS)
