"""What the desk does while the server is gone, and once it is back with nothing open."""

from __future__ import annotations

from stand_in import SET
from test_gallery_page import FOLDER, cell, open_gallery, said
from test_review_desk import stated

GONE = "The server does not answer. Check that ComfyUI is still running, then try again."


def failed(page, text):
    page.get_by_role("alert").get_by_text(text).wait_for()


def test_what_was_typed_while_the_server_is_gone_is_saved_once_it_is_back(page, server):
    open_gallery(page)
    page.keyboard.press("e")
    caption = page.locator("#scoft-field-caption")
    server.die()
    caption.fill("오래 쓴 설명")
    page.keyboard.press("Control+s")
    failed(page, GONE)
    for way_out in ("PageDown", "Escape"):  # on to the next picture, back to all of them
        page.keyboard.press("Escape")
        page.keyboard.press(way_out)
        if way_out == "Escape":
            asked = page.get_by_role("dialog", name="Not saved")
            asked.get_by_text(GONE).wait_for()
            page.keyboard.press("Enter")
            asked.wait_for(state="detached")
        page.get_by_text("Row 1 (1 of 12)").wait_for()
        assert caption.input_value() == "오래 쓴 설명"
    server.come_back()
    page.keyboard.press("Control+s")
    said(page, "Row 1: cultural caption saved.")
    assert page.get_by_role("alert").inner_text() == ""
    assert page.get_by_text("Not saved yet").is_hidden()
    # The new server was told of the dataset, once it had said that it knows none.
    change = stated(1, caption="오래 쓴 설명")
    assert server.posts == [change, ("/scoft/datasets/open", {"name": "avelun"}), change]


def test_a_decision_that_did_not_arrive_is_not_shown_and_can_be_made_and_undone_later(page, server):
    open_gallery(page)
    page.keyboard.press("k")
    said(page, "Row 1: kept.")
    server.die()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("k")
    failed(page, GONE)
    page.keyboard.press("Control+z")
    failed(page, GONE)
    assert cell(page, 2).locator(".scoft-card").get_attribute("data-state") == "undecided"
    assert page.get_by_role("button", name="Undo (1)").is_visible()
    server.come_back()
    page.keyboard.press("k")
    said(page, "Row 2: kept.")
    for row in (2, 1):
        page.keyboard.press("Control+z")
        said(page, f"Undone: row {row}, undecided as before.")


def test_pictures_that_were_lost_meanwhile_appear(page, server):
    open_gallery(page)
    server.die()
    page.keyboard.press("Enter")
    large = page.locator(".scoft-single-picture").element_handle()
    page.wait_for_function("(one) => one.complete && one.naturalWidth === 0", arg=large)
    server.come_back()
    page.keyboard.press("k")
    said(page, "Row 1: kept.")
    page.wait_for_function("(one) => one.complete && one.naturalWidth > 0", arg=large)


def test_a_negative_is_decided_once_the_server_is_back(page, server):
    open_gallery(page, SET)
    server.die()
    page.keyboard.press("k")
    failed(page, GONE)
    server.come_back()
    page.keyboard.press("k")
    said(page, "neg_00.png: kept.")
    assert server.posts[-1] == (
        f"{FOLDER}/neg_00.png",
        {"kept": True, "by": "Mina", "why": ""},
    )


def test_a_server_that_cannot_open_the_dataset_again_says_what_to_do(page, server):
    server.refused = True
    open_gallery(page)
    server.opened = False
    page.evaluate("server.openDataset = async () => ({ dataset: 'another' })")
    page.keyboard.press("k")
    failed(page, "There is nothing at")
    # A change for one dataset is never sent to another.
    assert server.posts == [stated(1, include=True)]
    assert cell(page, 1).locator(".scoft-card").get_attribute("data-state") == "undecided"
