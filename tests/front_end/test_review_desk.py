"""One picture alone, its form, and reviewing without a mouse."""

from __future__ import annotations

import pytest
from stand_in import DATASET, SET, StandIn
from test_gallery_page import FIRST, ROWS, cell, open_gallery, said


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def place(number):
    return f"{ROWS}/{number:064x}"


def stated(number, why="", **changes):
    return place(number), {"changes": changes, "by": "Mina", "why": why}


def test_ten_rows_are_reviewed_by_keyboard_alone(page, server):
    open_gallery(page, name=None)
    press(page, "k")
    page.keyboard.type("Mina")
    press(page, "Enter")
    said(page, "Row 1: kept")
    press(page, "ArrowRight", "d", "5", "Enter")  # no consent
    said(page, "Row 2: left out (no consent)")
    press(page, "ArrowRight", "k")
    said(page, "Row 3: kept")
    press(page, "w", "1", "Enter")
    said(page, "Row 3: kept (good example)")
    press(page, "ArrowRight", "u")
    said(page, "Row 4: undecided")
    press(page, "ArrowRight", "e", "Control+a")  # one picture alone, in its caption
    page.keyboard.type("새 설명, kept")  # letters that are shortcuts elsewhere
    press(page, "Escape", "PageDown")
    said(page, "Row 6, undecided")
    press(page, "d", "Tab", "Tab")  # past the reasons, whose radios are one stop
    assert page.evaluate("document.activeElement.type") == "submit"
    press(page, "Shift+Tab")
    page.keyboard.type("흐림")
    press(page, "Enter")
    said(page, "Row 6: left out (흐림)")
    press(page, "ArrowRight", "k")
    said(page, "Row 7: kept")
    press(page, "Control+z")
    said(page, "Undone: row 7, undecided as before.")
    press(page, "ArrowRight", "e", "Tab", "Tab")
    assert page.evaluate("document.activeElement.id") == "scoft-field-category"
    page.keyboard.type("Clo")
    press(page, "Escape", "ArrowRight")
    said(page, "Row 9")
    press(page, "k", "ArrowRight", "k")
    said(page, "Row 10: kept")
    press(page, "Escape")
    assert page.evaluate("document.activeElement.ariaColIndex") is not None
    press(page, "Escape")
    page.locator("dialog").wait_for(state="detached")
    assert server.posts == [
        stated(1, include=True),
        stated(2, "no consent", include=False),
        stated(3, include=True),
        stated(3, "good example", include=True),
        stated(4, include=None),
        stated(5, caption="새 설명, kept"),
        stated(6, "흐림", include=False),
        stated(7, include=True),
        stated(7, "undone", include=None),
        stated(8, category="clothing"),
        stated(9, include=True),
        stated(10, include=True),
    ]


def test_negatives_are_reviewed_by_keyboard_alone(page, server):
    open_gallery(page, SET, name=None)
    press(page, "ArrowRight", "d")
    page.get_by_role("dialog", name="Drop neg_01.png").wait_for()
    press(page, "4", "Tab")
    page.keyboard.type("모자가 다르다, kept")  # letters that are shortcuts elsewhere
    press(page, "Enter")
    page.get_by_role("dialog", name="Who is reviewing?").wait_for()
    page.keyboard.type("Mina")
    press(page, "Enter")
    why = "offensive: 모자가 다르다, kept"
    said(page, f"neg_01.png: dropped ({why}).")
    assert f"by Mina: {why}" in cell(page, 2).inner_text()
    press(page, "Enter")  # large, with all that is known of it
    large = page.get_by_role("dialog", name="Picture")
    assert large.get_by_text("dropped by Mina, Nov 25, 2026").is_visible()
    press(page, "Escape")
    large.wait_for(state="detached")
    press(page, "w", "1", "Enter")  # for another reason
    said(page, "neg_01.png: dropped (shows our culture after all).")
    press(page, "ArrowDown", "ArrowDown", "k")
    said(page, "neg_01.png: kept.")
    press(page, "u")
    said(page, "neg_01.png: undecided.")
    press(page, "u")
    said(page, "neg_01.png: no person has decided yet.")
    press(page, "Home", "d", "Escape")  # thought better of it
    press(page, "Tab", "Tab", "Tab")  # the card's two buttons, then the desk's
    assert page.evaluate("document.activeElement.textContent") == "Undo (4)"
    undone = ["kept", "undecided", "dropped", "kept by the filter"]
    for number, state in enumerate(undone):
        press(page, "Enter" if number else " ")
        said(page, f"Undone: neg_01.png, {state} as before.")
        left = len(undone) - 1 - number
        assert page.evaluate("document.activeElement.textContent") == f"Undo ({left})".replace(
            "Undo (0)", "Undo"
        )
    press(page, "Enter")
    said(page, "There is nothing to undo.")
    places = [
        f"/scoft/datasets/{DATASET}/negatives/{SET}/{folder}/neg_01.png"
        for folder in ("00001", "00003")
    ]
    sent = [(path, body["kept"], body["why"]) for path, body in server.posts]
    assert sent == [
        (places[0], False, why),
        (places[0], False, "shows our culture after all"),
        (places[1], True, ""),
        (places[1], None, ""),
        (places[1], True, "undone"),
        (places[1], None, "undone"),
        (places[0], False, "undone"),
        (places[0], None, "undone"),
    ]
    assert {body["by"] for _, body in server.posts} == {"Mina"}


def test_an_edit_is_marked_undone_and_given_back_to_the_dataset(page, server):
    open_gallery(page)
    press(page, "Enter")
    form = page.locator("[data-field=credit]")
    page.locator("#scoft-field-credit").fill("사진: 미나")
    page.get_by_text("Not saved yet").wait_for()
    press(page, "Control+s")
    said(page, "Row 1: credit saved.")
    assert form.get_by_text("changed here").is_visible()
    page.get_by_role("button", name="Undo (1)").click()
    said(page, "Undone: row 1, credit as before.")
    assert form.get_by_text("changed here").is_hidden()
    assert page.locator("#scoft-field-credit").input_value() == ""
    page.locator("#scoft-field-consent").select_option("in words")
    page.get_by_label("Consent in words").fill("asked by letter")
    page.locator("#scoft-field-generic_captions").fill("a house\n\n two windows ")
    press(page, "Control+s")
    said(page, "generic captions and consent saved")
    page.get_by_role("button", name="Use the dataset's own consent").click()
    said(page, "Row 1: consent saved.")
    assert page.evaluate("document.activeElement.id") == "scoft-field-consent"
    assert server.posts == [
        stated(1, credit="사진: 미나"),
        stated(1, "undone", credit=None),
        stated(1, generic_captions=["a house", "two windows"], consent="asked by letter"),
        stated(1, consent=None),
    ]
    page.get_by_text("History").click()
    page.locator(".scoft-history li").nth(3).wait_for()


def test_what_cannot_be_saved_stays_typed_and_in_sight(page, server):
    open_gallery(page)
    server.refuse = "`caption` must not be empty. Write one."
    press(page, "e", "Control+a", "Delete", "Escape", "ArrowRight")
    page.get_by_role("alert").get_by_text(server.refuse).wait_for()
    caption = page.locator("#scoft-field-caption")
    assert caption.input_value() == ""
    assert page.get_by_text("Row 1 (1 of 12)").is_visible()
    page.wait_for_function("document.activeElement.id === 'scoft-field-caption'")
    page.keyboard.type("A house")
    press(page, "Escape", "Escape")
    page.get_by_text("Go on without it?").wait_for()
    press(page, "Enter")  # the button in focus is the one that loses nothing
    assert caption.input_value() == "A house"
    server.refuse = None
    page.get_by_role("button", name="Next").click()
    page.get_by_text("Row 2 (2 of 12)").wait_for()
    assert server.posts[-1] == (FIRST, {"changes": {"caption": "A house"}, "by": "Mina", "why": ""})


def test_a_guessed_category_is_stated_by_choosing_it(page, server):
    open_gallery(page)
    page.get_by_role("gridcell").nth(5).click()
    category = page.locator("#scoft-field-category")
    chosen = "(select) => select.selectedOptions[0].label"
    assert category.evaluate(chosen) == "Architecture (guessed from the file name)"
    category.select_option("architecture")
    press(page, "Control+s")
    said(page, "category saved")
    assert server.posts == [stated(6, category="architecture")]


def test_shortcuts_work_on_a_keyboard_of_another_script_and_never_while_typing(page, server):
    open_gallery(page)
    stroke = {"key": "ㅏ", "code": "KeyK", "bubbles": True, "cancelable": True}
    strike = "(init) => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', init))"
    page.evaluate(strike, stroke)
    said(page, "Row 1: kept.")
    press(page, "/")
    page.keyboard.type("kdu?")
    assert page.get_by_label("Search captions").input_value() == "kdu?"
    page.evaluate(strike, stroke)
    press(page, "Control+z")
    assert len(server.posts) == 1


def test_history_says_what_a_program_added_and_what_was_taken_back(page):
    changes = {"generic_captions_added": ["a house"], "credit": None, "include": None}
    assert page.evaluate("(changes) => scoft.changesText(changes)", changes) == (
        "decision taken back; credit: the dataset's own; generic captions added: “a house”"
    )


def test_keys_are_shown_and_the_focus_comes_back(page):
    open_gallery(page)
    press(page, "?")
    page.get_by_role("heading", name="Keys").wait_for()
    press(page, "Escape")
    page.get_by_role("heading", name="Keys").wait_for(state="detached")
    assert page.evaluate("document.activeElement.className") == "scoft-cell"


def test_right_to_left_fields_take_their_direction_from_what_is_in_them(page):
    open_gallery(page)
    page.get_by_role("gridcell").nth(2).click()
    direction = page.locator("#scoft-field-caption").evaluate("(one) => one.matches(':dir(rtl)')")
    assert direction is True


class TestOfManyPictures:
    @pytest.fixture
    def server(self):
        running = StandIn(2000)
        yield running
        running.close()

    def test_the_page_holds_only_what_is_near_and_says_where_it_is(self, page):
        open_gallery(page)
        assert page.locator(".scoft-cell").count() < 100
        grid = page.get_by_role("grid")
        lines = int(grid.get_attribute("aria-rowcount"))
        columns = int(grid.get_attribute("aria-colcount"))
        assert lines == -(-2000 // columns)
        press(page, "Control+End")
        last = page.evaluate(
            "[document.activeElement.innerText, document.activeElement.closest('[role=row]')"
            ".ariaRowIndex]"
        )
        assert "Row 2000" in last[0]
        assert last[1] == str(lines)
        assert page.locator(".scoft-cell").count() < 100
        press(page, "ArrowUp")
        assert "Row 2000" not in page.evaluate("document.activeElement.innerText")

    def test_the_focus_stays_where_it_was_whatever_is_scrolled(self, page):
        open_gallery(page)
        press(page, "ArrowRight")
        scroller = page.locator(".scoft-pictures")
        scroller.evaluate("(one) => { one.scrollTop = one.scrollHeight; }")
        page.get_by_text("Row 2000").wait_for()
        assert "Row 2 " in page.evaluate("document.activeElement.innerText")
        press(page, "ArrowRight")
        assert scroller.evaluate("(one) => one.scrollTop") == 0
        assert cell(page, 3).evaluate("(one) => one === document.activeElement")

    def test_another_width_keeps_the_picture(self, page):
        open_gallery(page)
        press(page, "Control+End")
        page.set_viewport_size({"width": 500, "height": 800})
        page.wait_for_function(
            "document.querySelector('[role=grid]').getAttribute('aria-colcount') < 4"
        )
        page.wait_for_function("document.activeElement.innerText.includes('Row 2000')")
