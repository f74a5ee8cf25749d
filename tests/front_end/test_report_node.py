"""The node that makes a report: its lines, its button, and the page over the canvas."""

from __future__ import annotations

import pytest
from stand_in import DATASET

SUMMARY = "avelun: 12 pictures\n1 pair of near-duplicates"
REPORT = """<!doctype html><html lang="en"><head><title>Report on avelun</title></head>
<body><main><h1>Report on avelun</h1><script>parent.broken = true</script></main></body></html>"""


def run(page, **found):
    page.evaluate("(found) => node.onExecuted({ scoft: [found] })", found)


@pytest.fixture
def reporter(page, server):
    """A page with a node whose report is made."""
    server.report = REPORT
    server.refused = True  # the browser notes the page's script, which it does not run
    page.evaluate("helpers.addReporter()")
    run(page, dataset=DATASET, summary=SUMMARY)
    return page


def test_before_it_ran_the_node_says_what_to_do_and_opens_nothing(page):
    page.evaluate("helpers.addReporter()")
    assert page.get_by_text("Queue the graph to see the report.").is_visible()
    assert page.get_by_role("button", name="Open report").is_disabled()


def test_a_run_that_was_stopped_leaves_the_report_before_it(reporter):
    run(reporter)
    reporter.evaluate("node.onExecuted({})")
    assert reporter.locator(".scoft-report-lines").inner_text() == SUMMARY
    assert reporter.get_by_role("button", name="Open report").is_enabled()


def test_the_report_opens_over_the_canvas_runs_nothing_and_gives_the_focus_back(reporter):
    page = reporter
    assert page.locator(".scoft-report-lines").inner_text() == SUMMARY
    open_report = page.get_by_role("button", name="Open report")
    open_report.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Report on the dataset")
    dialog.frame_locator("iframe").get_by_role("heading", name="Report on avelun").wait_for()
    link = dialog.get_by_role("link", name="Open in a new tab")
    assert link.get_attribute("href") == f"/api/scoft/datasets/{DATASET}/report"
    assert page.evaluate("window.broken") is None
    for _ in range(6):
        page.keyboard.press("Tab")
        at = "document.activeElement.closest('dialog')?.ariaLabel ?? document.activeElement.tagName"
        assert page.evaluate(at) in ("Report on the dataset", "BODY")
    dialog.get_by_role("button", name="Close").focus()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert open_report.evaluate("(one) => one === document.activeElement")
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Close").click()
    dialog.wait_for(state="detached")
    assert open_report.evaluate("(one) => one === document.activeElement")


def test_an_impatient_person_gets_one_report(reporter):
    reporter.evaluate(
        "async () => { const { report } = reports.entries.get(node);"
        " await Promise.all([report.open(), report.open()]); }"
    )
    assert reporter.locator("dialog").count() == 1


def test_a_server_that_forgot_the_dataset_says_so_on_the_node_until_it_runs_again(reporter, server):
    server.opened = False
    reporter.get_by_role("button", name="Open report").click()
    line = reporter.locator(".scoft-report-lines.scoft-error")
    line.get_by_text("There is nothing at").wait_for()
    assert reporter.locator("dialog").count() == 0
    server.opened = True
    run(reporter, dataset=DATASET, summary=SUMMARY)
    assert line.count() == 0
    reporter.get_by_role("button", name="Open report").click()
    reporter.locator("dialog iframe").wait_for()


def test_a_loaded_workflow_shows_what_its_node_found(page):
    held = {"scoft_report": DATASET, "scoft_report_summary": SUMMARY}
    page.evaluate("(held) => helpers.addReporter(held)", held)
    page.evaluate("reports.loaded(node)")
    assert page.locator(".scoft-report-lines").inner_text() == SUMMARY
    assert page.get_by_role("button", name="Open report").is_enabled()
    assert page.evaluate("[node.widget.serialize, node.widget.options.serialize]") == [False, False]
