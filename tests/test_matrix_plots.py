"""Fields in rows and columns: each has its own number and colour, and what is missing has none."""

import numpy as np
import pytest
from drawn_plots import fields, texts, words

from scoft_training.block_layout import Block
from scoft_training.errors import ConfigError
from scoft_training.matrix_plots import Cells, Field, matrix_plot, square_plot
from scoft_training.plot_colours import MISSING, one_colour, two_colours

BLOCKS = [
    Block("Up", [Cells("a", [Field("7", 0.1), Field("8", 0.9), None])]),
    Block("Down", [Cells("b", [Field("9", 0.4), None, Field("(10)", 0.6)])]),
]


def test_each_field_has_the_colour_of_its_share():
    svg = matrix_plot("t", "n", ("x", "y", "z"), BLOCKS, two_colours).svg()
    shares = (0.1, 0.9, None, 0.4, None, 0.6)
    wanted = [MISSING if share is None else two_colours(share) for share in shares]
    found = sorted(fields(svg), key=lambda field: (round(field[1]), field[0]))
    assert [field[4] for field in found] == wanted
    assert {"7", "8", "9", "(10)", "x", "y", "z", "a", "b", "Up", "Down"} <= set(texts(svg))
    assert "Up: a: x 7, y 8, z -. Down: b: x 9, y -, z (10)" in words(svg)


def test_wide_names_of_columns_stand_upright():
    rows = [Block("", [Cells("a", [Field("1", 0.5)] * 9)])]
    wide = matrix_plot("t", "", [f"a long name {at}" for at in range(9)], rows, one_colour)
    narrow = matrix_plot("t", "", [f"{at}" for at in range(9)], rows, one_colour)
    assert wide.svg().count("rotate(-90") == 9
    assert "rotate(-90" not in narrow.svg()
    assert wide.height > narrow.height


def test_a_square_has_the_colour_of_each_pair_in_the_order_of_the_rows():
    values = [[None, 1.0, 0.0], [1.0, None, 0.5], [0.0, 0.5, None]]
    plot = square_plot("t", "n", "three people", values, [("one", 2), ("two", 1)], two_colours)
    pixels = np.asarray(plot.image(1600)).astype(int)
    blue, orange = (tuple(bytes.fromhex(two_colours(end)[1:])) for end in (1, 0))
    is_blue, is_orange = ((pixels == colour).all(-1) for colour in (blue, orange))
    grey = (pixels == tuple(bytes.fromhex(MISSING[1:]))).all(-1)
    rows, columns = np.where(grey)
    left, top, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
    each = (right - left) / 3, (bottom - top) / 3

    def at(row, column):
        return int(top + (row + 0.5) * each[1]), int(left + (column + 0.5) * each[0])

    assert is_blue[at(0, 1)]
    assert is_blue[at(1, 0)]
    assert is_orange[at(0, 2)]
    assert is_orange[at(2, 0)]
    assert grey[at(1, 1)]
    assert {"one", "two"} <= set(texts(plot.svg()))
    assert "three people" in words(plot.svg())
    # White lines part the groups.
    assert (pixels[at(0, 0)[0], int(left + 2 * each[0])] == 255).all()


def test_a_square_in_a_page_fetches_nothing_and_is_not_blurred():
    svg = square_plot("t", "n", "w", [[None, 1.0], [1.0, None]], [("g", 2)], two_colours).svg()
    assert svg.count("<image") == 2
    assert svg.count('xlink:href="data:image/png;base64,') == 2
    assert "image-rendering:pixelated" in svg.replace(" ", "")


def test_groups_that_do_not_fit_and_no_rows_are_refused():
    with pytest.raises(ConfigError, match="has 2 rows and groups of 3"):
        square_plot("t", "", "", [[None, 1.0], [1.0, None]], [("g", 3)], two_colours)
    with pytest.raises(ConfigError, match="has 0 rows"):
        square_plot("t", "", "", [], [], two_colours)
    with pytest.raises(ConfigError, match="The plot 't' has no row"):
        matrix_plot("t", "", ("x",), [Block("", [])], one_colour)
