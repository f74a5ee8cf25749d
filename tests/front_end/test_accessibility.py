"""What axe-core, an accessibility checker, says of the review desk and of the report."""

from __future__ import annotations

import json

import pytest
from drawings import drawing, write_set
from PIL import ImageFilter
from stand_in import DATASET, SET
from test_gallery_page import open_gallery, said

from scoft_training.config import ReportConfig
from scoft_training.dataset_report import ReportRequest, make_report

axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")


def faults(page):
    """Return the serious and critical faults of the page as it is."""
    found = axe_playwright.Axe().run(page).response
    assert len(found["passes"]) > 10, "axe looked at nothing"
    return [
        (fault["id"], node["html"][:200], node["failureSummary"])
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_desk_has_no_serious_fault_in_any_view_and_dialog(page, theme):
    # The bare page around the desk is no part of it; a modal dialog hides it from everyone.
    open_gallery(page)
    page.keyboard.press("k")
    said(page, "Row 1: kept")
    assert faults(page) == []
    page.keyboard.press("e")
    page.locator("#scoft-field-credit").fill("Mina")
    page.keyboard.press("Control+s")
    said(page, "credit saved")
    page.get_by_text("History").click()
    page.locator(".scoft-history li").first.wait_for()
    assert faults(page) == []
    page.keyboard.press("Escape")
    page.evaluate("document.querySelector('dialog').close()")
    open_gallery(page, SET)
    assert faults(page) == []
    page.keyboard.press("Enter")
    page.locator(".scoft-picture-dialog").wait_for()
    assert faults(page) == []


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_what_the_desk_asks_and_tells_has_no_serious_fault(page, server, theme):
    open_gallery(page)
    for opening, name in (
        (lambda: page.keyboard.press("d"), "Leave out row 1"),
        (lambda: page.keyboard.press("?"), "Keys"),
        (lambda: page.get_by_role("button", name="Reviewer: Mina").click(), "Who is reviewing?"),
    ):
        opening()
        asked = page.get_by_role("dialog", name=name)
        asked.wait_for()
        assert faults(page) == []
        page.keyboard.press("Escape")
        asked.wait_for(state="detached")
    server.refuse = "rows.jsonl cannot be written: the disk is full. Free some space."
    page.locator(".scoft-cell").first.focus()
    for key in ("e", "x", "Escape", "Escape"):
        page.keyboard.press(key)
    page.get_by_role("dialog", name="Not saved").wait_for()
    assert faults(page) == []


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_many_problems_and_long_words_have_no_serious_fault(page, server, theme, width):
    page.set_viewport_size({"width": width, "height": 844})
    server.rows[0] |= {
        "caption": "a very long caption " * 30,
        "credit": "onewordwithoutanend" * 20,
        "edited": ["credit"],
        "problems": [
            {"kind": "blurred", "message": f"Look at it, {n}.", "is_error": n == 3}
            for n in range(10)
        ],
    }
    open_gallery(page)
    page.get_by_label("Problem", exact=True).select_option("(any)")
    page.get_by_text("note on the dataset").click()
    page.get_by_role("button", name="Check pictures").click()
    said(page, "All pictures are checked.")
    assert faults(page) == []
    page.locator(".scoft-cell").first.click()
    page.get_by_text("7 more problems").click()
    assert faults(page) == []


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the report's page on twins, a blurred picture, a small one, a leak and more."""
    root = tmp_path_factory.mktemp("sets") / "avelun"
    twin = drawing(0)
    pictures = [twin, twin.resize((800, 700)), drawing(2).filter(ImageFilter.GaussianBlur(6))]
    pictures += [drawing(3), drawing(4, (900, 300)), drawing(5, (200, 160))]
    captions = ["한복을 입은 여인", "امرأة ترتدي ثوبًا", "A house", "A house", "A wall", "A door"]
    write_set(root, pictures, captions=captions, category="city", era="modern", credit="Mina")
    write_set(root, [drawing(3).resize((700, 612))], "test")
    (root / "card.json").write_text(json.dumps({"culture": "avelun", "language": "ko"}))
    work = root.parent / "work"
    list(make_report(ReportRequest(root, ReportConfig(similar_backbone="none"), work)))
    return (work / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_report_has_no_serious_fault(page, report, theme, width, tmp_path):
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=theme)
    # Without its policy, which would keep the checker's script out as well.
    page.goto("about:blank")
    page.set_content(report.replace('http-equiv="Content-Security-Policy"', 'name="policy"'))
    page.screenshot(path=tmp_path / f"report-{width}-{theme}.png", full_page=True)
    assert page.locator("figure").count() > 6
    assert faults(page) == []
    # Tables scroll in their boxes; the page and what is said above a table do not.
    seen = "(ones) => ones.every((one) => one.getBoundingClientRect().right <= innerWidth)"
    assert page.locator("h1, h2, p, li, figure, caption span").evaluate_all(seen)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_reports_node_and_dialog_have_no_serious_fault(page, server, report, theme):
    server.report = report
    page.emulate_media(color_scheme=theme)
    page.evaluate("helpers.addReporter()")
    summary = "\n".join(f"line {number} of what it found" for number in range(30))
    found = {"dataset": DATASET, "summary": summary}
    page.evaluate("(found) => node.onExecuted({ scoft: [found] })", found)
    around = ("document-title", "html-has-lang", "landmark-one-main", "region")
    assert [fault for fault in faults(page) if fault[0] not in around] == []
    page.get_by_role("button", name="Open report").click()
    page.frame_locator("dialog iframe").get_by_role("heading", level=1).wait_for()
    assert faults(page) == []


def test_a_fault_would_be_found(page):
    open_gallery(page)
    page.evaluate(
        """() => ["aria-label", "placeholder"].forEach((name) =>
            document.querySelector("dialog .scoft-search").removeAttribute(name))"""
    )
    assert [fault[0] for fault in faults(page)] == ["label"]
