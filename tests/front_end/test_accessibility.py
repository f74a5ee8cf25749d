"""What axe-core, an accessibility checker, says of the review desk."""

from __future__ import annotations

import pytest
from stand_in import SET
from test_gallery_page import open_gallery, said

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
    for key in ("d", "?"):
        page.keyboard.press(key)
        page.locator(".scoft-ask").wait_for()
        assert faults(page) == []
        page.keyboard.press("Escape")
        page.locator(".scoft-ask").wait_for(state="detached")
    page.evaluate("document.querySelector('dialog').close()")
    open_gallery(page, SET)
    assert faults(page) == []
    page.keyboard.press("Enter")
    page.locator(".scoft-picture-dialog").wait_for()
    assert faults(page) == []


def test_a_fault_would_be_found(page):
    open_gallery(page)
    page.evaluate(
        """() => ["aria-label", "placeholder"].forEach((name) =>
            document.querySelector("dialog .scoft-search").removeAttribute(name))"""
    )
    assert [fault[0] for fault in faults(page)] == ["label"]
