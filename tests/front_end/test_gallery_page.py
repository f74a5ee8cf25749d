"""The gallery and the nodes that open it."""

from __future__ import annotations

import pytest
from stand_in import CAPTIONS, DATASET, SET


def open_gallery(page, negatives=None):
    ask = "([dataset, negatives]) => scoft.openGallery({ server, dataset, negatives })"
    page.evaluate(ask, [DATASET, negatives])


def test_leaving_a_picture_out_is_sent_shown_and_there_again_next_time(page, server):
    open_gallery(page)
    card = page.locator(".scoft-card").first
    toggle = card.locator(".scoft-toggle")
    assert toggle.get_attribute("aria-pressed") == "true"
    toggle.click()
    card.get_by_text("left out by you").wait_for()
    assert server.posts == [(f"/scoft/datasets/{DATASET}/rows/{1:064x}", {"included": False})]
    assert toggle.get_attribute("aria-pressed") == "false"
    assert page.get_by_role("button", name="Left out 2").is_visible()
    page.get_by_role("button", name="Close").click()
    open_gallery(page)
    assert card.locator(".scoft-badge").inner_text() == "left out by you"
    toggle.click()
    assert server.wait_for_post(2)[1][1] == {"included": True}
    assert card.locator(".scoft-badge").inner_text() == "kept"


def test_filters_show_what_they_say_and_leave_a_changed_picture_in_sight(page):
    open_gallery(page)
    assert page.locator(".scoft-card").count() == 12
    page.get_by_role("button", name="Left out 1").click()
    assert page.locator(".scoft-caption").all_inner_texts() == [CAPTIONS[3]]
    page.locator(".scoft-toggle").click()
    page.get_by_role("button", name="Left out 0").wait_for()
    assert page.locator(".scoft-card").count() == 1
    page.get_by_role("button", name="Left out 0").click()
    assert page.get_by_text("Nothing to show here.").is_visible()


def test_a_refused_decision_is_taken_back_with_its_sentence(page, server):
    server.refuse = "rows.jsonl cannot be written: the disk is full. Free some space."
    open_gallery(page, SET)
    card = page.locator(".scoft-card").nth(1)
    card.locator(".scoft-toggle").click()
    card.get_by_text(server.refuse).wait_for()
    assert card.locator(".scoft-toggle").get_attribute("aria-pressed") == "true"
    assert card.locator(".scoft-badge").inner_text() == "kept by the filter"
    server.refuse = None
    card.locator(".scoft-toggle").click()
    card.get_by_text("dropped by you").wait_for()
    assert card.locator(".scoft-error").is_hidden()


def test_a_negative_is_dropped_and_restored_by_keyboard_alone(page, server):
    open_gallery(page, SET)
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('scoft-toggle')"):
            break
    page.keyboard.press("ArrowRight")
    card = page.locator(".scoft-card").nth(1)
    page.keyboard.press("Space")
    card.get_by_text("dropped by you").wait_for()
    folder = f"/scoft/datasets/{DATASET}/negatives/{SET}/00001"
    assert server.posts == [(f"{folder}/neg_01.png", {"kept": False})]
    page.keyboard.press("Enter")
    card.get_by_text("kept by you").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Take back"
    page.keyboard.press("Enter")
    card.get_by_text("kept by the filter").wait_for()
    assert [body["kept"] for _, body in server.posts] == [False, True, None]
    assert page.evaluate("document.activeElement.classList.contains('scoft-toggle')")
    assert card.get_by_text("Take back").is_hidden()
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")


def test_negatives_stand_beside_their_picture_and_its_depth(page):
    open_gallery(page, SET)
    row = page.locator(".scoft-negatives-row").first
    sources = row.locator("img").evaluate_all(
        "(images) => images.map((image) => image.getAttribute('src'))"
    )
    start = f"/api/scoft/datasets/{DATASET}"
    assert sources[:3] == [
        f"{start}/pictures/{1:064x}?size=320",
        f"{start}/negatives/{SET}/00001/depth?size=320",
        f"{start}/negatives/{SET}/00001/pictures/neg_00.png?size=320",
    ]
    assert row.locator(".scoft-card .scoft-meta").first.inner_text() == "distance 0.1"
    counts = page.locator(".scoft-toolbar button").all_inner_texts()
    assert counts == ["All 48", "Kept 33", "Dropped 11", "Undecided 4"]
    page.get_by_role("button", name="Undecided 4").click()
    assert page.locator(".scoft-negatives-row").count() == 1
    assert page.locator(".scoft-toggle").first.get_attribute("aria-pressed") == "mixed"
    page.get_by_role("button", name="Pictures").click()
    assert page.locator(".scoft-card").count() == 12


@pytest.mark.parametrize("negatives", [None, SET])
def test_a_caption_is_text_whatever_it_holds(page, negatives):
    open_gallery(page, negatives)
    caption = page.locator(".scoft-caption").nth(1)
    assert caption.inner_text() == (
        '<img src=x onerror="window.broken = true"> a caption that is no markup'
    )
    assert caption.get_attribute("dir") == "auto"
    assert page.evaluate("window.broken") is None
    assert (
        page.evaluate("getComputedStyle(document.querySelectorAll('.scoft-caption')[2]).direction")
        == "rtl"
    )


def test_keys_in_the_gallery_do_not_reach_the_canvas(page):
    page.evaluate(
        "window.keys = []; window.addEventListener('keydown', ({ key }) => keys.push(key))"
    )
    open_gallery(page)
    page.keyboard.press("Delete")
    assert page.evaluate("keys") == []


def test_the_loader_opens_its_folder_before_anything_ran(page, server):
    page.evaluate("helpers.addReviewed('ScoftLoadDataset')")
    page.get_by_role("button", name="Review pictures").click()
    page.locator("dialog .scoft-card").first.wait_for()
    assert server.posts == [("/scoft/datasets/open", {"name": "avelun"})]
    page.keyboard.press("Escape")
    page.get_by_text("avelun: 11 pictures · 1 left out").wait_for()


def test_other_nodes_learn_their_dataset_when_they_ran(page):
    page.evaluate("helpers.addReviewed('ScoftDrawNegatives')")
    review = page.get_by_role("button", name="Review negatives")
    assert review.is_disabled()
    page.evaluate(
        "(ids) => node.onExecuted({ scoft: [ids] })", {"dataset": DATASET, "negatives": SET}
    )
    page.get_by_text("avelun: 11 pictures · 1 left out · 33 of 48 negatives kept").wait_for()
    review.click()
    page.locator("dialog .scoft-negatives-row").first.wait_for()
    assert page.evaluate("node.properties") == {"scoft_dataset": DATASET, "scoft_negatives": SET}
    assert page.evaluate("[node.widget.serialize, node.widget.options.serialize]") == [False, False]


def test_a_dataset_that_is_not_open_is_forgotten_and_a_click_says_why(page, server):
    server.refused = True
    page.evaluate("helpers.addReviewed('ScoftCaption', { scoft_dataset: 'gone' })")
    page.evaluate("reviews.loaded(node)")
    assert page.get_by_role("button", name="Review pictures").is_disabled()
    assert page.evaluate("node.properties") == {}
