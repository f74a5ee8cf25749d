"""The review desk's two grids, and the nodes that open them."""

from __future__ import annotations

import pytest
from stand_in import AT, CAPTIONS, DATASET, SET

ROWS = f"/scoft/datasets/{DATASET}/rows"
FIRST = f"{ROWS}/{1:064x}"
FOLDER = f"/scoft/datasets/{DATASET}/negatives/{SET}/00001"


def open_gallery(page, negatives=None, name="Mina"):
    """Open the desk as someone whose name the browser knows, or does not (None)."""
    page.evaluate("(name) => name !== null && localStorage.setItem('scoft.reviewer', name)", name)
    ask = "([dataset, negatives]) => scoft.openGallery({ server, dataset, negatives })"
    page.evaluate(f"async (ids) => {{ await ({ask})(ids); }}", [DATASET, negatives])
    page.locator("dialog .scoft-cell").first.wait_for()


def cell(page, number):
    """Return the card of a row, which is in the page while it is near the window."""
    return page.locator(".scoft-cell").nth(number - 1)


def said(page, text):
    page.locator(".scoft-said", has_text=text).wait_for()


def test_a_picture_left_out_by_mouse_is_sent_with_who_and_why_and_stays_so(page, server):
    open_gallery(page)
    page.get_by_role("button", name="Leave out row 1", exact=True).click()
    page.get_by_label("stereotype").check()
    page.get_by_label("In your own words").fill("한복이 아니다")
    page.locator(".scoft-ask").get_by_role("button", name="Leave out").click()
    said(page, "Row 1: left out (stereotype: 한복이 아니다).")
    stated = {"changes": {"include": False}, "by": "Mina", "why": "stereotype: 한복이 아니다"}
    assert server.posts == [(FIRST, stated)]
    assert page.get_by_role("button", name="Left out 2").is_visible()
    page.get_by_role("button", name="Close").click()
    open_gallery(page)
    assert cell(page, 1).locator(".scoft-badge").inner_text().endswith("left out")
    page.get_by_role("button", name="Keep row 1", exact=True).click()
    said(page, "Row 1: kept.")
    assert server.posts[1] == (FIRST, {"changes": {"include": True}, "by": "Mina", "why": ""})


def test_who_reviews_is_asked_once_and_no_answer_changes_nothing(page, server):
    open_gallery(page, name=None)
    page.keyboard.press("k")
    page.get_by_text("Who is reviewing?").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("Who is reviewing?").wait_for(state="detached")
    assert server.posts == []
    assert page.evaluate("document.activeElement.className") == "scoft-cell"
    page.keyboard.press("k")
    page.get_by_label("Your name").fill("  Mina ")
    page.keyboard.press("Enter")
    said(page, "Row 1: kept.")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("k")
    said(page, "Row 2: kept.")
    assert [body["by"] for _, body in server.posts] == ["Mina", "Mina"]
    assert page.get_by_role("button", name="Reviewer: Mina").is_visible()


def test_filters_show_what_they_say_and_leave_a_changed_picture_in_sight(page):
    open_gallery(page)
    assert page.locator(".scoft-cell").count() == 12
    page.get_by_role("button", name="Left out 1").click()
    assert page.locator(".scoft-caption").all_inner_texts() == [CAPTIONS[3]]
    assert page.evaluate("document.activeElement.dataset.filter") == "dropped"
    page.get_by_role("button", name="Keep row 4").click()
    page.get_by_role("button", name="Left out 0").wait_for()
    assert page.locator(".scoft-cell").count() == 1
    page.get_by_role("button", name="Left out 0").click()
    assert page.get_by_text("Nothing to show here.").is_visible()


def test_rows_are_found_by_category_problem_and_words_of_any_script(page):
    open_gallery(page)
    page.get_by_role("search").get_by_label("Category").select_option("Not stated (4)")
    assert page.get_by_text("4 of 12 shown").is_visible()
    page.get_by_label("Problem", exact=True).select_option("Names a culture (3)")
    assert page.locator(".scoft-cell .scoft-meta").all_inner_texts() == ["Row 2 · Modern"]
    page.get_by_label("Problem", exact=True).select_option("")
    page.get_by_role("search").get_by_label("Category").select_option("")
    # Jamo as a Mac's file names have them are the same word.
    page.get_by_label("Search captions").fill("\u1112\u1161\u11ab\u110b\u1169\u11a8")
    assert page.locator(".scoft-caption").all_inner_texts() == [CAPTIONS[3]] * 2
    page.keyboard.press("Escape")
    assert page.get_by_text("12 shown").is_visible()


def test_checking_pictures_brings_its_problems(page, server):
    open_gallery(page)
    page.get_by_role("button", name="Check pictures").click()
    said(page, "All pictures are checked. Rows with something to look at: 4.")
    assert server.posts == [(f"/scoft/datasets/{DATASET}/measure", {})]
    assert cell(page, 3).get_by_text("1 problem").is_visible()


@pytest.mark.parametrize("negatives", [None, SET])
def test_a_refused_decision_is_not_shown_as_done_and_can_be_made_again(page, server, negatives):
    server.refuse = "rows.jsonl cannot be written: the disk is full. Free some space."
    open_gallery(page, negatives)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text(server.refuse).wait_for()
    state = cell(page, 2).locator(".scoft-card")
    assert state.get_attribute("data-state") == ("kept" if negatives else "undecided")
    server.refuse = None
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    page.locator(".scoft-said", has_text=":").wait_for()
    assert page.get_by_role("alert").inner_text() == ""
    assert state.get_attribute("data-state") == "dropped"
    assert page.get_by_role("button", name="Undo (1)").is_visible()


def test_a_negative_is_dropped_kept_and_given_back_to_the_filter_by_keyboard_alone(page, server):
    open_gallery(page, SET)
    page.keyboard.press("ArrowRight")
    card = cell(page, 2)
    for key in ("d", "2", "Enter"):
        page.keyboard.press(key)
    said(page, "neg_01.png: dropped (poor drawing).")
    assert "by Mina" in card.inner_text()
    page.keyboard.press("k")
    said(page, "neg_01.png: kept.")
    page.keyboard.press("Control+z")
    said(page, "Undone: neg_01.png, dropped as before.")
    page.keyboard.press("Control+z")
    said(page, "Undone: neg_01.png, kept by the filter as before.")
    place = f"{FOLDER}/neg_01.png"
    assert server.posts == [
        (place, {"kept": False, "by": "Mina", "why": "poor drawing"}),
        (place, {"kept": True, "by": "Mina", "why": ""}),
        (place, {"kept": False, "by": "Mina", "why": "undone"}),
        (place, {"kept": None, "by": "Mina", "why": "undone"}),
    ]
    assert page.evaluate("document.activeElement.className") == "scoft-cell"
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")


def test_negatives_stand_beside_their_picture_and_its_depth(page):
    open_gallery(page, SET)
    row = page.get_by_role("row").first
    sources = row.locator("img").evaluate_all(
        "(images) => images.map((image) => image.getAttribute('src'))"
    )
    start = f"/api/scoft/datasets/{DATASET}"
    assert sources[:3] == [
        f"{start}/pictures/{1:064x}?size=256",
        f"{start}/negatives/{SET}/00001/depth?size=256",
        f"{start}/negatives/{SET}/00001/pictures/neg_00.png?size=256",
    ]
    assert cell(page, 1).locator(".scoft-meta").inner_text() == "distance 0.1"
    counts = page.locator(".scoft-toolbar button").all_inner_texts()
    assert counts == ["All 48", "Kept 33", "Dropped 11", "Undecided 4"]
    page.get_by_role("button", name="Undecided 4").click()
    assert page.get_by_role("row").count() == 1
    page.get_by_role("button", name="Pictures", exact=True).click()
    assert page.locator(".scoft-cell").count() == 12


@pytest.mark.parametrize("negatives", [None, SET])
def test_a_caption_is_text_whatever_it_holds_in_its_language_and_direction(page, negatives):
    open_gallery(page, negatives)
    caption = page.locator(".scoft-caption").nth(1)
    assert caption.inner_text().startswith('<img src=x onerror="window.broken')
    assert [caption.get_attribute(name) for name in ("dir", "lang")] == ["auto", "ko"]
    assert page.evaluate("window.broken") is None
    direction = "(one) => getComputedStyle(one).direction"
    assert page.locator(".scoft-caption").nth(2).evaluate(direction) == "rtl"


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
    page.locator("dialog .scoft-cell").first.wait_for()
    assert server.posts == [("/scoft/datasets/open", {"name": "avelun"})]
    page.keyboard.press("Escape")
    page.get_by_text("avelun: 11 pictures · 1 left out · 11 undecided").wait_for()


def test_other_nodes_learn_their_dataset_when_they_ran(page):
    page.evaluate("helpers.addReviewed('ScoftDrawNegatives')")
    review = page.get_by_role("button", name="Review negatives")
    assert review.is_disabled()
    page.evaluate(
        "(ids) => node.onExecuted({ scoft: [ids] })", {"dataset": DATASET, "negatives": SET}
    )
    page.get_by_text("11 undecided · 33 of 48 negatives kept").wait_for()
    review.click()
    page.locator("dialog .scoft-negatives-head").first.wait_for()
    assert page.evaluate("node.properties") == {"scoft_dataset": DATASET, "scoft_negatives": SET}
    assert page.evaluate("[node.widget.serialize, node.widget.options.serialize]") == [False, False]


def test_a_dataset_that_is_not_open_is_forgotten_and_a_click_says_why(page, server):
    server.refused = True
    page.evaluate("helpers.addReviewed('ScoftCaption', { scoft_dataset: 'gone' })")
    page.evaluate("reviews.loaded(node)")
    assert page.get_by_role("button", name="Review pictures").is_disabled()
    assert page.evaluate("node.properties") == {}


def test_who_when_and_why_stand_beside_the_picture(page):
    open_gallery(page)
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    year = AT[:4]
    shown = page.locator(".scoft-panel > .scoft-muted").first.inner_text()
    assert shown.startswith("by Ana, ")
    assert year in shown
    assert shown.endswith(": stereotype")
