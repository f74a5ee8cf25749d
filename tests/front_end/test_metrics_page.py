"""The report on a grid's scores in a browser: read on a phone, by keyboard, by a screen reader."""

from __future__ import annotations

from dataclasses import replace

import pytest
from drawn_grid import ATTACK, drawn_grid, with_nearest
from made_scores import made_scores

from scoft_training.metrics_report import report_page

axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")

LONG = "a-model-with-one-exceedingly-long-name-" * 4
SEEN = "(ones) => ones.every((one) => one.getBoundingClientRect().right <= innerWidth + 0.5)"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the page for six models, one of them with a long name, and what attacks it."""
    base, *others = made_scores().models
    long = replace(others[0], model=replace(others[0].model, name=LONG, step=None))
    scores = made_scores(
        models=(base, *others, long), warnings=(ATTACK, "onewordwithoutanend" * 20)
    )
    grid = drawn_grid(tmp_path_factory.mktemp("grids") / "grid", scores)
    return report_page(with_nearest(scores, grid), grid)


@pytest.fixture
def opened(browser, report, tmp_path):
    """Return a function that opens the page at a width in a theme."""
    path = tmp_path / "report.html"
    path.write_text(report, encoding="utf-8")
    pages = []

    def at(width, theme="light"):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
        pages.append(page)
        page.goto(path.as_uri())
        return page

    yield at
    for page in pages:
        page.close()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [360, 1200])
def test_an_accessibility_checker_finds_no_fault(opened, width, theme):
    page = opened(width, theme)
    # Without its policy, which would keep the checker's script out as well.
    content = page.content().replace('http-equiv="Content-Security-Policy"', 'name="policy"')
    page.goto("about:blank")
    page.set_content(content)
    found = axe_playwright.Axe().run(page).response
    assert len(found["passes"]) > 15, "axe looked at nothing"
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []


def test_no_word_leaves_a_phones_screen(opened):
    page = opened(360)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("h1, h2, h3, p, li, figure, caption span, .plot svg").evaluate_all(SEEN)
    # The answers need no scrolling: their tables fit.
    assert page.locator(".three td").count() > 10
    assert page.locator(".three td").evaluate_all(SEEN)


def test_letters_of_plots_can_be_read_on_a_phone(opened):
    sizes = (
        opened(360)
        .locator(".plot svg text")
        .evaluate_all(
            "(ones) => ones.map((one) => parseFloat(getComputedStyle(one).fontSize)"
            " * one.ownerSVGElement.getBoundingClientRect().width / 400)"
        )
    )
    assert len(sizes) > 50
    assert min(sizes) >= 8.5


def test_what_scrolls_is_reached_by_keyboard(opened):
    page = opened(360)
    wide = page.locator(".wide").evaluate_all(
        "(ones) => ones.filter((one) => one.scrollWidth > one.clientWidth + 1)"
        ".map((one) => [one.tabIndex, one.getAttribute('aria-label')])"
    )
    assert wide
    assert all(index == 0 and label for index, label in wide)


def test_captions_cannot_do_anything(opened):
    page = opened(1200)
    assert page.title() == "Scores of my models-0123456789abcdef"
    assert page.get_by_text(ATTACK).count() > 3
    assert page.evaluate("document.scripts.length") == 0


def test_every_picture_and_plot_is_shown(opened):
    page = opened(1200)
    shown = page.locator("img").evaluate_all("(ones) => ones.map((one) => one.naturalWidth)")
    assert len(shown) > 50
    assert min(shown) > 0
    labels = page.get_by_role("img").evaluate_all(
        "(ones) => ones.map((one) => one.alt || one.getAttribute('aria-label'))"
    )
    assert all(labels)
    assert len([label for label in labels if "step 100: 24.0 (22.0 to 26.0)" in label]) == 1
