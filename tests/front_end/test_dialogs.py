"""Where the focus is and what Escape closes, in the desk and in what it asks."""

from __future__ import annotations

import pytest
from stand_in import SET
from test_gallery_page import cell, open_gallery, said

FOCUS = """() => {
    const { activeElement: at } = document;
    return [at.closest("dialog")?.getAttribute("aria-label") ?? at.tagName, at.textContent];
}"""
DESK = "Review of avelun"


def focus(page):
    return page.evaluate(FOCUS)


def walked(page, key, steps=60):
    """Return whose controls Tab stopped at, and how many; a browser's own have no dialog."""
    seen = []
    for _ in range(steps):
        page.keyboard.press(key)
        seen.append(tuple(focus(page)))
    return {where for where, _ in seen}, len(set(seen))


@pytest.mark.parametrize("key", ["Tab", "Shift+Tab"])
@pytest.mark.parametrize("kind", ["ScoftLoadDataset", "ScoftDrawNegatives"])
def test_tab_stays_in_the_desk_and_comes_by_all_of_it(page, key, kind):
    opened_by_its_node(page, kind)
    # Past its last control, a browser's own controls have their turn; the page has then no focus.
    where, stops = walked(page, key)
    assert where <= {DESK, "BODY"}
    assert DESK in where
    assert stops > 8


@pytest.mark.parametrize("key", ["Tab", "Shift+Tab"])
@pytest.mark.parametrize(("opening", "name"), [("d", "Leave out row 1"), ("?", "Keys")])
def test_tab_stays_in_what_the_desk_asks(page, key, opening, name):
    open_gallery(page)
    page.keyboard.press(opening)
    page.get_by_role("dialog", name=name).wait_for()
    where, _ = walked(page, key, steps=12)
    assert where <= {name, "BODY"}


def opened_by_its_node(page, kind):
    """Open the desk by its node's button, as a person who uses no mouse does."""
    page.evaluate("localStorage.setItem('scoft.reviewer', 'Mina')")
    page.evaluate("(kind) => helpers.addReviewed(kind)", kind)
    if kind != "ScoftLoadDataset":
        ids = {"dataset": "d1", "negatives": SET}
        page.evaluate("(ids) => node.onExecuted({ scoft: [ids] })", ids)
        page.get_by_text("negatives kept").wait_for()
    button = page.locator("#node button")
    button.focus()
    page.keyboard.press("Enter")
    page.locator("dialog .scoft-cell").first.wait_for()
    page.wait_for_function("document.activeElement.className === 'scoft-cell'")


@pytest.mark.parametrize("kind", ["ScoftLoadDataset", "ScoftDrawNegatives"])
def test_closing_the_desk_gives_the_focus_back_to_the_nodes_button(page, kind):
    opened_by_its_node(page, kind)
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    assert focus(page)[1].startswith("Review")
    page.keyboard.press("Enter")
    page.locator("dialog .scoft-cell").first.wait_for()


def test_an_impatient_person_gets_one_desk(page):
    page.evaluate("helpers.addReviewed('ScoftLoadDataset')")
    page.evaluate(
        "async () => { const entry = reviews.entries.get(node);"
        " await Promise.all([reviews.open(entry), reviews.open(entry)]); }"
    )
    assert page.locator("dialog").count() == 1


def test_escape_goes_one_step_out_at_a_time(page, server):
    opened_by_its_node(page, "ScoftLoadDataset")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("e")
    page.wait_for_function("document.activeElement.id === 'scoft-field-caption'")
    page.keyboard.type("new: ")
    page.keyboard.press("Escape")  # out of the field
    assert page.evaluate("document.activeElement.className") == "scoft-single"
    page.keyboard.press("d")
    page.get_by_role("dialog", name="Leave out row 2").wait_for()
    page.keyboard.press("Escape")  # out of the question, which changes nothing
    page.get_by_role("dialog", name="Leave out row 2").wait_for(state="detached")
    assert page.evaluate("document.activeElement.className") == "scoft-single"
    page.keyboard.press("Escape")  # back to all pictures; what was typed is saved
    said(page, "Row 2: cultural caption saved.")
    page.wait_for_function("document.activeElement.className === 'scoft-cell'")
    assert page.evaluate("document.activeElement.ariaColIndex") == "2"
    page.get_by_role("search").get_by_label("Category").focus()
    page.keyboard.press("Escape")  # out of a filter
    assert page.evaluate("document.activeElement.className") == "scoft-cell"
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    (_, opening), (_, body) = server.posts
    assert opening == {"name": "avelun"}
    assert list(body["changes"]) == ["caption"]


def test_every_negative_of_a_narrow_window_can_be_scrolled_to(page):
    page.set_viewport_size({"width": 390, "height": 844})
    open_gallery(page, SET)
    page.keyboard.press("End")
    inside = """(one) => {
        const box = one.getBoundingClientRect();
        const of = one.closest(".scoft-scroller").getBoundingClientRect();
        return [box.left >= of.left, box.right <= of.right];
    }"""
    assert cell(page, 4).evaluate(inside) == [True, True]


@pytest.mark.parametrize("language", ["no language at all", None])
def test_the_desk_reads_as_its_words_do_in_a_page_of_right_to_left(page, server, language):
    page.evaluate("Object.assign(document.documentElement, { dir: 'rtl', lang: 'ar' })")
    server.language = language
    open_gallery(page)
    direction = "(one) => getComputedStyle(one).direction"
    shown = page.locator(".scoft-shown")
    assert [shown.evaluate(direction), shown.evaluate("(one) => one.matches(':lang(en)')")] == [
        "ltr",
        True,
    ]
    caption = cell(page, 3).locator(".scoft-caption")
    assert caption.evaluate(direction) == "rtl"
    assert caption.get_attribute("lang") == ""  # and not the English of what is around it


def test_of_many_problems_the_errors_stand_first_and_the_others_are_folded(page, server):
    kinds = ["blurred", "tiny", "names-a-culture", "near-duplicate", "missing-caption"]
    server.rows[0]["problems"] = [
        {"kind": kind, "message": "Look at it.", "is_error": kind == "missing-caption"}
        for kind in kinds
    ]
    open_gallery(page)
    page.keyboard.press("Enter")
    shown = page.locator(".scoft-problem:visible")
    assert [text.split(" Look")[0] for text in shown.all_inner_texts()] == [
        "Missing caption",
        "Blurred",
        "Tiny",
    ]
    page.get_by_text("2 more problems").click()
    assert shown.count() == 5
    page.keyboard.press("ArrowRight")
    page.get_by_text("Row 2 (2 of 12)").wait_for()
    assert page.get_by_text("more problems").is_hidden()
