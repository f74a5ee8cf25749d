"""The nodes of a survey: pages to preview and save, a report to open, what a reload finds."""

from __future__ import annotations

import json

import pytest
from made_survey_page import made_data
from stand_in import RESULTS, SURVEY
from survey_filling import begun
from test_accessibility import faults

from scoft_training.survey_html import survey_html

MAKER, READER = "ScoftMakeSurvey", "ScoftAggregateSurvey"
ENGLISH, KOREAN = "survey-aruna-en.html", "survey-아루나-ko.html"
SUMMARY = "People: 2\n\nAll items\n        average rank\n  base  1.5 (1.0 to 3.0)   " + "x" * 90
REPORT = "<!doctype html><html lang='en'><title>A</title><h1>What people said</h1></html>"


def add(page, kind, **properties):
    page.evaluate("(given) => helpers.addSurveyNode(...given)", [kind, properties])


def run(page, **found):
    page.evaluate("(found) => node.onExecuted({ scoft: [found] })", found)


@pytest.fixture
def maker(page, server):
    """A page with a node whose survey is made, in two languages."""
    for name, language in ((ENGLISH, "en"), (KOREAN, "ko")):
        server.survey[name] = survey_html(made_data(language, form_target=f"{server.url}/sent"))
    add(page, MAKER)
    run(page, survey=SURVEY)
    page.get_by_role("button", name=f"Open {ENGLISH}").wait_for()
    return page


@pytest.fixture
def reader(page, server):
    """A page with a node whose answers are read."""
    server.report = REPORT
    add(page, READER)
    run(page, results=RESULTS, summary=SUMMARY)
    return page


def preview(page, name=ENGLISH):
    """Open a page's preview; returns its frame."""
    page.get_by_role("button", name=f"Open {name}").click()
    page.get_by_role("dialog", name=f"Preview of {name}").wait_for()
    frame = page.locator("dialog iframe").element_handle().content_frame()
    frame.locator("#agree").wait_for()
    return frame


def test_before_they_ran_the_nodes_say_what_to_do_and_open_nothing(page):
    add(page, MAKER)
    assert page.get_by_text("Queue the graph to make the pages.").is_visible()
    assert page.locator(".scoft-survey-pages, .scoft-warnings").evaluate_all(
        "(all) => all.map((one) => one.checkVisibility())"
    ) == [False, False]
    add(page, READER)
    assert page.get_by_text("Queue the graph to read the answers.").is_visible()
    assert page.get_by_role("button", name="Open report").is_disabled()


def test_warnings_of_the_making_stand_on_the_node_until_it_is_made_without(maker):
    warnings = maker.locator(".scoft-warnings")
    assert not warnings.is_visible()
    run(maker, survey=SURVEY, warnings=["`contact` is empty.", "<b>no</b> markup"])
    warnings.get_by_text("2 warnings").click()
    assert warnings.locator("li").all_inner_texts() == ["`contact` is empty.", "<b>no</b> markup"]
    run(maker, survey=SURVEY, warnings=[])
    assert not warnings.is_visible()


def test_in_the_preview_a_page_can_be_filled_and_its_file_be_tried(maker):
    frame = preview(maker)
    assert frame.evaluate("window.origin") == "null"
    begun(frame)
    frame.locator(".progress .quiet").click()
    frame.locator(".overview").wait_for()
    with maker.expect_download() as waiting:
        frame.locator(".overview .primary").first.click()
    held = json.loads(waiting.value.path().read_text(encoding="utf-8"))
    assert held["format"] == "scoft-survey-answers"
    assert held["declared"]["culture"] == "Aruna, the north"


def test_a_preview_sends_nothing_and_says_so(maker, server):
    server.refused = True  # the browser notes the window that it does not open
    frame = preview(maker)
    head = maker.get_by_role("dialog").locator("header").first.inner_text()
    assert "Preview: what you enter is not kept, and cannot be sent." in head
    begun(frame)
    frame.locator(".progress .quiet").click()
    frame.get_by_role("button", name="Send to").click()
    pages = len(maker.context.pages)
    frame.get_by_role("dialog").get_by_role("button", name="Send", exact=True).click()
    maker.wait_for_timeout(300)
    assert len(maker.context.pages) == pages
    assert server.posts == []


def test_save_keeps_the_name_and_every_byte(maker, server):
    with maker.expect_download() as waiting:
        maker.get_by_role("link", name=f"Save {KOREAN}").click()
    assert waiting.value.suggested_filename == KOREAN
    assert waiting.value.path().read_text(encoding="utf-8") == server.survey[KOREAN]


def test_a_page_that_is_gone_is_told_and_leaves_the_canvas_alone(maker, server):
    server.refused = True
    del server.survey[KOREAN]
    maker.get_by_role("button", name=f"Open {KOREAN}").click()
    line = maker.locator(".scoft-report-lines.scoft-error")
    line.get_by_text(f"{KOREAN} is no longer in hand-out. Queue the graph again").wait_for()
    assert maker.locator("dialog").count() == 0
    address = maker.url
    maker.get_by_role("link", name=f"Save {KOREAN}").click()
    maker.wait_for_timeout(300)
    assert maker.url == address
    # The rest is as good as before.
    preview(maker)


def test_a_server_started_anew_says_so_on_both_nodes(maker, server):
    server.opened, server.refused = False, True
    maker.get_by_role("button", name=f"Open {ENGLISH}").click()
    maker.locator(".scoft-error").get_by_text("There is nothing at").wait_for()
    maker.evaluate("document.getElementById('node').replaceChildren()")
    add(maker, READER, scoft_survey_results=RESULTS, scoft_survey_summary=SUMMARY)
    maker.evaluate("surveys.loaded(node)")
    maker.get_by_role("button", name="Open report").click()
    maker.locator(".scoft-error").get_by_text("There is nothing at").wait_for()
    assert maker.locator("dialog").count() == 0


def test_the_report_opens_over_the_canvas(reader):
    reader.get_by_role("button", name="Open report").click()
    dialog = reader.get_by_role("dialog", name="Report on the survey")
    dialog.frame_locator("iframe").get_by_role("heading", name="What people said").wait_for()
    link = dialog.get_by_role("link", name="Open in a new tab")
    assert link.get_attribute("href") == f"/api/scoft/results/{RESULTS}/report"
    assert dialog.locator("iframe").get_attribute("sandbox") == ""


def test_a_loaded_workflow_shows_what_its_nodes_made_and_found(page, server):
    server.survey[ENGLISH] = survey_html(made_data())
    add(page, MAKER, scoft_survey=SURVEY)
    page.evaluate("surveys.loaded(node)")
    page.get_by_role("button", name=f"Open {ENGLISH}").wait_for()
    add(page, READER, scoft_survey_results=RESULTS, scoft_survey_summary=SUMMARY)
    page.evaluate("surveys.loaded(node)")
    assert page.locator(".scoft-survey-summary").inner_text() == SUMMARY
    assert page.get_by_role("button", name="Open report").is_enabled()


def test_the_tables_columns_stay_below_each_other_and_a_keyboard_reaches_the_end(reader):
    lines = reader.locator(".scoft-survey-summary")
    assert lines.evaluate("(one) => one.scrollWidth > one.clientWidth")
    heights = "(one) => one.scrollHeight / parseFloat(getComputedStyle(one).lineHeight)"
    assert round(lines.evaluate(heights)) == len(SUMMARY.split("\n"))
    lines.focus()
    reader.evaluate("window.addEventListener('keydown', () => { window.heard = true; })")
    reader.keyboard.press("End")
    reader.keyboard.press("ArrowRight")
    reader.wait_for_function("document.querySelector('.scoft-survey-summary').scrollLeft > 0")
    assert reader.evaluate("window.heard") is None, "a key of the view moved the canvas, too"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_both_nodes_have_no_serious_fault_and_enough_contrast(maker, server, theme):
    run(maker, survey=SURVEY, warnings=["`contact` is empty."])
    server.report = REPORT
    add(maker, READER)
    run(maker, results=RESULTS, summary=SUMMARY)
    maker.locator("details summary").click()
    assert faults(maker) == []
    assert maker.evaluate("helpers.lowestContrast('#node')")["contrast"] >= 4.5
    maker.get_by_role("button", name="Open report").click()
    maker.locator("dialog iframe").wait_for()
    assert maker.evaluate("helpers.lowestContrast('dialog')")["contrast"] >= 4.5
