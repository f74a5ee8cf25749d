"""Plots: everything stands where its number says, and nothing a name holds can break them."""

import re
import subprocess
import sys
import warnings
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from drawn_plots import PAPER, bars, dots, texts
from PIL import Image

from scoft_training.errors import ConfigError
from scoft_training.plots import Series, curve_plot, interval_plot

NAMES = ["base", "<b>&</b>", "한국어 모델", "نموذج", "$x_1$ \\alpha", "a" * 300, "日本語" * 60]


def test_dots_and_bars_stand_where_the_axis_says():
    rows = [("a", 0.0, None, None), ("b", 50.0, 25.0, 75.0), ("c", 100.0, 90.0, 120.0)]
    svg = interval_plot("t", "n", rows, digits=0).svg()
    (a, b, c), (first, second) = dots(svg), bars(svg)
    assert a[1] < b[1] < c[1]
    scale = (c[0] - a[0]) / 100
    assert b[0] == pytest.approx(a[0] + 50 * scale, abs=0.01)
    assert first == pytest.approx((a[0] + 25 * scale, a[0] + 75 * scale), abs=0.01)
    assert second == pytest.approx((a[0] + 90 * scale, a[0] + 120 * scale), abs=0.01)
    assert {"a", "b", "c", "50", "100"} <= set(texts(svg))


def test_values_below_zero_stay_on_the_plot_with_a_true_minus():
    svg = interval_plot(
        "t", "n", [("a", -10.04, -30, 10), ("b", -0.04, None, None)], digits=1
    ).svg()
    names = [x for x, _ in dots(svg)] + [x for bar in bars(svg) for x in bar]
    assert all(30 < x < 390 for x in names)
    assert {"\N{MINUS SIGN}10.0", "0.0"} <= set(texts(svg))


def test_an_axis_begins_at_zero_only_where_it_is_near():
    near = texts(interval_plot("t", "", [("a", 1.0, 0.5, 4)], digits=1).svg())
    far = texts(interval_plot("t", "", [("a", 0.81, 0.80, 0.82)], digits=2).svg())
    assert "0" in near
    assert not {"0", "0.0", "0.00"} & set(far)


def test_curves_go_through_their_points_and_the_mark_stands_at_its_step():
    y = [30.0, 20.0, 15.0, 14.0]
    series = [Series("run", [100, 200, 300, 400], y, [v - 2 for v in y], [v + 2 for v in y])]
    svg = curve_plot("t", "n", series, mark=300, levels=[("base", 33.0)]).svg()
    points = dots(svg)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    heights = [y for _, y in points]
    # Equal steps of the value are equal steps upwards.
    assert (heights[1] - heights[0]) / 10 == pytest.approx((heights[2] - heights[1]) / 5, abs=0.01)
    dashed = re.findall(r'd="M ([\d.]+) [\d.]+ \nL ([\d.]+) [^>]*stroke-dasharray', svg)
    upright = [float(x) for x, end in dashed if x == end]
    assert upright == pytest.approx([points[2][0]], abs=0.01)
    assert {"base", "suggested", "training step"} <= set(texts(svg))
    assert "suggested: training step 300" in ElementTree.fromstring(svg).get("aria-label")


@pytest.mark.parametrize("count", [1, 2, 30])
def test_curves_of_any_length_are_drawn(count):
    steps = [150 * (n + 1) for n in range(count)]
    series = [Series("run", steps, [1.0] * count, [0.5] * count, [None] * count)]
    picture = curve_plot("t", "n", series, mark=150).image(1200)
    assert picture.width == 1200
    colours = {pixel for _, pixel in picture.getcolors(1 << 20)}
    assert (0, 114, 178) in colours


def test_names_at_the_ends_of_curves_do_not_cover_each_other():
    series = [Series(name, [0, 1], [0.0, end]) for name, end in (("a", 1), ("b", 1), ("c", 1.01))]
    root = ElementTree.fromstring(curve_plot("t", "n", series).svg())
    found = [one for one in root.iter(f"{{{PAPER}}}text") if "".join(one.itertext()) in "abc"]
    heights = sorted(float(one.get("y")) for one in found)
    assert len(heights) == 3
    assert np.diff(heights).min() > 11


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_drawn_as_it_is_and_inside_the_figure(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot = interval_plot(name, name, [(name, 0.5, 0.4, 0.6)], digits=1)
        svg, picture = plot.svg(), plot.image(480)
        curve_plot(name, name, [Series(name, [1], [1])] * 2, levels=[(name, 2)]).svg()
    assert "<b>" not in svg
    if len(name) < 100:
        assert texts(svg).count(name) == 3
    pixels = np.asarray(picture)
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, -4:] == 255).all()


def test_a_long_name_keeps_both_its_ends():
    name = "a checkpoint with an exceedingly long name of the run korea-mpc at step 1500"
    (short,) = (
        t for t in texts(interval_plot("t", "", [(name, 1, 0, 2)], digits=0).svg()) if "…" in t
    )
    assert short.startswith("a checkp")
    assert short.endswith("1500")


def test_plots_are_alike_each_time_and_share_no_name_in_one_page():
    def one(value):
        return interval_plot("t", "n", [("a", value, 0, 3)], digits=0).svg()

    assert one(1) == one(1)
    page = [set(re.findall(r' id="([^"]+)"', one(value))) for value in (1, 2)]
    assert page[0]
    assert not page[0] & page[1]
    used = set(re.findall(r'(?:url\(|href=")#([\w-]+)', one(1)))
    assert used == page[0]
    assert "<style" not in one(1)
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]+"', "", one(1))


def test_a_users_matplotlib_settings_change_nothing_and_are_left_alone():
    plot = interval_plot("t", "n", [("$a$", 1, 0, 3)], digits=0)
    before = plot.svg()
    with matplotlib.rc_context({"axes.facecolor": "red", "svg.fonttype": "path"}):
        assert plot.svg() == before
        assert matplotlib.rcParams["axes.facecolor"] == "red"
        assert matplotlib.rcParams["svg.fonttype"] == "path"


def test_pictures_have_the_width_that_was_asked_for():
    plot = interval_plot("t", "n", [("a", 1, 0, 3)], digits=0)
    picture = plot.image(777)
    assert isinstance(picture, Image.Image)
    assert (picture.mode, picture.width) == ("RGB", 777)
    assert plot.image(1554).height == pytest.approx(2 * picture.height, abs=2)
    with pytest.raises(ConfigError, match="`width` of a plot must be 100 pixels or more but got 9"):
        plot.image(9)


def test_nothing_to_draw_and_endless_numbers_are_refused():
    with pytest.raises(ConfigError, match="'t' has no row"):
        interval_plot("t", "", [], digits=0)
    with pytest.raises(ConfigError, match="'t' has no point"):
        curve_plot("t", "", [Series("a", [], [])], levels=[("base", 1)])
    with pytest.raises(ConfigError, match="no finite number"):
        interval_plot("t", "", [("a", float("nan"), None, None)], digits=0)
    with pytest.raises(ConfigError, match="no finite number"):
        curve_plot("t", "", [Series("a", [1], [float("inf")])])


def test_drawing_opens_no_window_and_importing_loads_no_matplotlib():
    code = (
        "import sys; from scoft_training.plots import interval_plot as p\n"
        "assert 'matplotlib' not in sys.modules\n"
        "p('t', 'n', [('a', 1, 0, 2)], digits=0).svg()\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lines_break_between_words_but_not_at_a_no_break_space():
    long = "KID to general pictures (x 1000); lower is better; the band is its 95\u00a0% interval"
    lines = [line for line in texts(interval_plot("t", long, [("a", 1, 0, 3)], digits=0).svg())]
    (second,) = (line for line in lines if "interval" in line)
    assert second.startswith("95\u00a0%")


def test_bands_that_cover_each_other_have_edges():
    def edges(count):
        one = Series("a", [0, 1], [1, 2], [0, 1], [2, 3])
        return curve_plot("t", "", [one] * count).svg().count("stroke-opacity: 0.6")

    assert [edges(1), edges(2)] == [0, 4]


def test_a_marks_long_name_stays_inside():
    name = "suggested: " + "a checkpoint with a long name " * 4 + "step 300"
    svg = curve_plot("t", "", [Series("a", [0, 1], [1, 2])], mark=1, mark_name=name).svg()
    (shown,) = (text for text in texts(svg) if text.startswith("suggested"))
    assert shown.endswith("step 300")
    assert "…" in shown


def test_an_axis_has_whole_numbers_whatever_their_size():
    def axis(value, half):
        rows = [("a", value, value - half, value + half)]
        found = texts(interval_plot("t", "", rows, digits=9).svg())
        return [float(text.replace("\N{MINUS SIGN}", "-")) for text in found if text not in "ta"]

    for value, half in ((0.81234, 0.00001), (4e6, 5e5), (2e-5, 1e-5)):
        room = 0.13 * half if value > 2 * half else value
        assert len(axis(value, half)) > 3
        assert all(abs(mark - value) <= half + room for mark in axis(value, half))
