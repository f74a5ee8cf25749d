"""Bars parted by shares: parts are as long as their shares, and named."""

import pytest
from drawn_plots import fields, texts, words

from scoft_training.bar_plots import Counted, shares_plot
from scoft_training.block_layout import Block
from scoft_training.errors import ConfigError


def bars_of(svg):
    """Return the fields of each bar, from top to bottom, without the key above them."""
    rows = {}
    for field in fields(svg):
        rows.setdefault(round(field[1], 1), []).append(field)
    return [rows[top] for top in sorted(rows)][1:]


def test_parts_are_as_long_as_their_shares_one_behind_the_other():
    rows = [Counted("a", (2, 1, 1)), Counted("b", (0, 0, 7))]
    first, second = bars_of(shares_plot("t", "n", [Block("", rows)], ("1", "2", "3")).svg())
    whole = sum(field[2] for field in first)
    assert [field[2] / whole for field in first] == pytest.approx([0.5, 0.25, 0.25], abs=0.001)
    ends = [field[0] + field[2] for field in first]
    assert [field[0] for field in first][1:] == pytest.approx(ends[:-1], abs=0.01)
    assert [field[2] / whole for field in second] == pytest.approx([0, 0, 1], abs=0.001)
    assert first[2][4] == second[2][4] != first[0][4]


def test_shares_are_written_where_they_fit_and_told_always():
    plot = shares_plot("t", "n", [Block("B", [Counted("a", (990, 10))])], ("best", "worst"))
    assert "99" in texts(plot.svg())
    assert "1" not in texts(plot.svg())
    assert "B: a: best 99%, worst 1%" in words(plot.svg())
    assert {"best", "worst", "B", "a"} <= set(texts(plot.svg()))


def test_what_was_not_counted_is_an_empty_bar():
    plot = shares_plot("t", "n", [Block("", [Counted("a", (0, 0))])], ("1", "2"))
    assert bars_of(plot.svg()) == []
    assert "a: nothing" in words(plot.svg())


def test_no_row_is_refused():
    with pytest.raises(ConfigError, match="The plot 't' has no row"):
        shares_plot("t", "n", [], ("1", "2"))
