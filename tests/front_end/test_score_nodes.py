"""The nodes with scores: their table, curves, suggestion and report; and what a reload finds."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from made_scores import OTHER, made_scores
from stand_in import GRID
from test_accessibility import faults

from scoft_training.score_records import scores_from_json, scores_to_json
from scoft_training.score_view import scores_for_page

METRICS, COMPARE = "ScoftMetrics", "ScoftCompareModels"


def told(scores, baseline=""):
    """What the server tells: through JSON twice, as metrics.json and as its answer."""
    read = scores_from_json(json.loads(json.dumps(scores_to_json(scores))), where="here")
    return json.loads(json.dumps(scores_for_page(read, baseline)))


def add(page, server, kind, scores=None, baseline=""):
    server.scores[baseline] = told(scores or made_scores(), baseline)
    page.evaluate("(kind) => helpers.addScored(kind)", kind)
    found = {"grid": GRID} | ({"baseline": baseline} if baseline else {})
    page.evaluate("(found) => node.onExecuted({ scoft: [found] })", found)
    page.locator(".scoft-scores-table").wait_for()
    page.evaluate("helpers.drawn()")


def rows(page):
    """The table's texts: per row its cells, with one space for each break."""
    return page.locator(".scoft-scores-table tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.children].map("
        "(cell) => cell.innerText.replace(/\\s+/g, ' ').trim()))"
    )


def test_before_it_ran_the_node_says_what_to_do_and_opens_nothing(page):
    page.evaluate("(kind) => helpers.addScored(kind)", METRICS)
    assert page.get_by_text("Queue the graph to measure.").is_visible()
    assert page.get_by_role("button", name="Open report").is_disabled()
    for part in (".scoft-scores-box", ".scoft-suggestion", ".scoft-chart-box", ".scoft-warnings"):
        assert not page.locator(part).is_visible()


def test_the_three_questions_of_every_model_with_intervals_and_the_best_one(page, server):
    add(page, server, METRICS)
    assert page.locator(".scoft-scores-line").inner_text() == (
        "5 models of miniature, with 95 % intervals"
    )
    heads = page.locator(".scoft-scores-table thead th").all_inner_texts()
    assert [" ".join(head.split("\n")) for head in heads] == [
        "Model",
        "Does it copy my photos? CLIP-I similarity; lower is better",
        "Does it know my culture? KID to held-out pictures, x 1000; lower is better",
        "Did it forget the rest? KID to general pictures, x 1000; lower is better",
    ]
    found = rows(page)
    assert [row[0] for row in found] == [
        "base",
        "step 100",
        "step 200 suggested",
        "step 300",
        OTHER,
    ]
    assert found[0][1:] == [
        "0.500 lowest 0.470 to 0.530",
        "41.5 39.5 to 43.5",
        "\u22120.3 best \u22121.3 to 0.8",
    ]
    assert found[3][2] == "17.5 lowest 15.5 to 19.5"  # step 200 reaches as far
    assert found[4][3] == "not measured"
    assert page.locator("td.scoft-best").count() == 1
    assert page.evaluate("window.broken") is None


def test_what_was_measured_of_no_model_has_no_column(page, server):
    scores = made_scores()
    without = tuple(dataclasses.replace(one, metrics=one.metrics[:2]) for one in scores.models)
    add(page, server, METRICS, dataclasses.replace(scores, models=without))
    assert page.locator(".scoft-scores-table thead th").count() == 3


def test_a_dot_lies_where_its_value_is_on_the_columns_scale(page, server):
    add(page, server, METRICS)
    places = page.locator("tbody td:nth-child(3) circle").evaluate_all(
        "(dots) => dots.map((dot) => Number(dot.getAttribute('cx')))"
    )
    # 41.5, 24, 18, 17.5, 42: places differ as the values do.
    assert (places[0] - places[1]) / (places[1] - places[2]) == pytest.approx(17.5 / 6)
    assert places[3] == min(places)
    ends = page.locator("tbody tr:first-child td:nth-child(3) .scoft-bar-interval").evaluate(
        "(bar) => [Number(bar.getAttribute('x1')), Number(bar.getAttribute('x2'))]"
    )
    assert sum(ends) / 2 == pytest.approx(places[0])


def test_steps_are_curves_with_intervals_the_others_levels_and_the_suggestion_is_marked(
    page, server
):
    add(page, server, METRICS)
    assert page.locator(".scoft-suggestion").inner_text() == (
        "Suggested: step 200. It copies least of those that know as well."
    )
    tabs = page.get_by_role("group", name="What the chart shows").get_by_role("button")
    assert tabs.all_inner_texts() == ["copies", "knows", "forgot"]
    tabs.nth(1).focus()
    page.keyboard.press("Enter")
    pressed = tabs.evaluate_all("(all) => all.map((tab) => tab.ariaPressed)")
    assert pressed == ["false", "true", "false"]
    label = page.locator(".scoft-chart-svg").get_attribute("aria-label")
    assert label == (
        f"Up to step 300, linear scale; values of the last step: knows 17.5, base 41.5, {OTHER} 42"
    )
    assert page.locator(".scoft-interval.scoft-curve-knows").count() == 3
    assert page.locator(".scoft-level").count() == 2
    page.locator(".scoft-chart-plot").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert (
        page.locator(".scoft-chart [role=status]")
        .inner_text()
        .startswith("Step 200: knows 18, base 41.5")
    )
    cursor, mark = (
        page.locator(f"{one}").first.get_attribute("x1")
        for one in (".scoft-cursor line", ".scoft-mark")
    )
    assert cursor == mark


def test_each_run_has_a_curve_of_its_own(page, server):
    scores = made_scores()
    base, *steps = scores.models[:4]
    other = [
        dataclasses.replace(
            one, model=dataclasses.replace(one.model, name=f"b {one.model.name}", run_id="run2")
        )
        for one in steps[:2]
    ]
    add(page, server, METRICS, dataclasses.replace(scores, models=(base, *steps, *other)))
    found = page.locator(".scoft-line[d]:not(.scoft-interval):not(.scoft-level)").evaluate_all(
        "(lines) => lines.map((line) => [line.dataset.key, line.getAttribute('d')])"
    )
    # A line has as many corners as its run has steps, always to the right.
    corners = {key: [float(x) for x in re.findall(r"[ML]([\d.]+)", path)] for key, path in found}
    assert {key: len(places) for key, places in corners.items()} == {"run-0": 3, "run-1": 2}
    assert all(places == sorted(set(places)) for places in corners.values())
    legend = page.locator(".scoft-legend-item").all_inner_texts()
    assert [text.split()[0] for text in legend] == ["run1", "b", "base"]


def test_models_that_are_no_steps_have_no_curve(page, server):
    scores = made_scores(suggestion=None, warnings=())
    add(page, server, METRICS, dataclasses.replace(scores, models=scores.models[::4]))
    assert not page.locator(".scoft-chart-box").is_visible()
    assert not page.locator(".scoft-suggestion").is_visible()
    assert not page.locator(".scoft-warnings").is_visible()


def test_differences_say_what_is_better_worse_or_not_told(page, server):
    add(page, server, COMPARE, baseline="base")
    assert page.locator(".scoft-scores-line").inner_text() == (
        "Differences from base, with their 95 % intervals"
    )
    found = {name: values for name, *values in rows(page)}
    assert list(found) == ["step 100", "step 200", "step 300", OTHER]
    assert found["step 300"][1] == "\u221224.0 better \u221227.0 to \u221221.0"
    assert found["step 300"][0].startswith("+0.300 worse +0.2")
    assert found[OTHER][1] == "+0.5 no clear difference \u22121.0 to +2.0"
    # The pictures were not compared when these were scored.
    assert found["step 100"][2] == "+1.75 no interval"
    zero = page.locator("tbody td:nth-child(3) .scoft-bar-zero").first.get_attribute("x1")
    dots = page.locator("tbody td:nth-child(3) circle").evaluate_all(
        "(dots) => dots.map((dot) => Number(dot.getAttribute('cx')))"
    )
    assert [place < float(zero) for place in dots] == [True, True, True, False]


def test_an_interval_beside_zero_says_on_which_side_it_lies(page, server):
    changes = made_scores().differences
    near = dataclasses.replace(changes[0], value=-1.0, low=-2.0, high=-0.01)
    add(page, server, COMPARE, made_scores(differences=(near, *changes[1:])), baseline="base")
    found = {name: values for name, *values in rows(page)}
    assert found["step 100"][1] == "\u22121.0 better \u22122.0 to \u22120.0"
    # Where all differences lie on one side, 0 is in sight all the same.
    assert (
        float(page.locator("tbody td:nth-child(4) .scoft-bar-zero").first.get_attribute("x1")) > 0
    )


def test_warnings_can_be_read(page, server):
    add(page, server, METRICS)
    page.get_by_text("1 warning").click()
    assert page.get_by_text("Draw more seeds.").is_visible()


def test_the_report_opens_once_over_the_canvas_and_gives_the_focus_back(page, server):
    server.report = "<!doctype html><title>Models</title><h1>Models</h1>"
    add(page, server, METRICS)
    open_report = page.get_by_role("button", name="Open report")
    open_report.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Report on the models")
    dialog.frame_locator("iframe").get_by_role("heading", name="Models").wait_for()
    assert page.locator("dialog").count() == 1
    link = dialog.get_by_role("link", name="Open in a new tab")
    assert link.get_attribute("href") == f"/api/scoft/grids/{GRID}/report"
    assert dialog.locator("iframe").get_attribute("sandbox") == ""
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert open_report.evaluate("(one) => one === document.activeElement")


def test_a_loaded_workflow_finds_its_scores_and_their_baseline(page, server):
    server.scores["step 100"] = told(made_scores(), "step 100")
    held = {"scoft_grid": GRID, "scoft_baseline": "step 100"}
    page.evaluate("([kind, held]) => helpers.addScored(kind, held)", [COMPARE, held])
    page.evaluate("metrics.loaded(node)")
    page.get_by_text("Differences from step 100, with").wait_for()
    assert [row[0] for row in rows(page)] == ["base", "step 200", "step 300", OTHER]
    assert page.evaluate("[node.widget.serialize, node.widget.options.serialize]") == [False, False]


def test_what_ran_is_kept_for_the_next_load(page, server):
    add(page, server, COMPARE, baseline="base")
    assert page.evaluate("node.properties") == {"scoft_grid": GRID, "scoft_baseline": "base"}
    assert page.evaluate("[...kept]") == [["scoft_grid@7", GRID], ["scoft_baseline@7", "base"]]


def test_a_server_that_forgot_the_grid_says_so_and_another_run_mends_it(page, server):
    server.opened, server.refused = False, True
    page.evaluate(
        "([kind, grid]) => helpers.addScored(kind, { scoft_grid: grid })", [METRICS, GRID]
    )
    page.evaluate("metrics.loaded(node)")
    page.locator(".scoft-scores-line.scoft-error").get_by_text("There is nothing at").wait_for()
    server.opened = True
    server.scores[""] = told(made_scores())
    page.evaluate("(grid) => node.onExecuted({ scoft: [{ grid }] })", GRID)
    page.locator(".scoft-scores-table").wait_for()
    assert page.locator(".scoft-error").count() == 0


def test_a_run_that_was_stopped_leaves_the_scores_before_it(page, server):
    add(page, server, METRICS)
    page.evaluate("node.onExecuted({})")
    assert page.locator(".scoft-scores-table").is_visible()


def test_a_view_leaves_with_its_node(page, server):
    add(page, server, METRICS)
    page.evaluate("node.onRemoved()")
    assert page.evaluate("[metrics.entries.size, node.removed]") == [0, True]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_views_stand_out_and_have_no_serious_fault(page, server, tmp_path, theme):
    for kind, baseline in ((METRICS, ""), (COMPARE, "base")):
        page.evaluate("document.getElementById('node').replaceChildren()")
        add(page, server, kind, baseline=baseline)
        found = page.evaluate("helpers.lowestContrast('.scoft-scores')")
        assert found["contrast"] >= 4.5, found
        assert [fault for fault in faults(page) if "scoft" in fault[1]] == []
        page.locator(".scoft-scores").screenshot(path=tmp_path / f"{kind}-{theme}.png")


@pytest.mark.parametrize("width", [520, 300])
def test_nothing_is_cut_off_at_the_height_that_the_node_gives(page, server, width):
    page.evaluate("(width) => document.getElementById('node').style.width = `${width}px`", width)
    add(page, server, METRICS)
    view = page.locator(".scoft-scores")
    high = page.evaluate("metrics.entries.get(node).view.minHeight()")
    assert page.evaluate("node.widget.options.getMinHeight()") == high + 20
    view.evaluate("(one, high) => one.style.height = `${high}px`", high)
    bottom = page.get_by_role("button", name="Open report").bounding_box()
    box = view.bounding_box()
    assert bottom["y"] + bottom["height"] <= box["y"] + box["height"]
    assert page.locator(".scoft-chart-plot").bounding_box()["height"] >= 149
    assert page.locator(".scoft-scores-box").bounding_box()["height"] >= 200
