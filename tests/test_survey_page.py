"""The survey's page in a real browser: filled by keyboard, mouse, pen and touch."""

import json

import pytest
from made_survey_page import made_data
from survey_filling import (
    DESKTOP,
    PHONE,
    aloud,
    badges,
    begun,
    check_file,
    drag,
    ids_shown,
    next_one,
    opened,
    page_shown,
    saved,
    to_overview,
    unharmed,
)

from scoft_training.survey_key import ITEMS
from scoft_training.survey_texts import survey_texts

ENGLISH = survey_texts("en").texts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "survey.html"


CHOICES = {"alignment": (2, 0, 3, 1), "representation": (0, 1, 2, 3)}
"""For some items, which picture on the page is best, second and so on; the others turned round."""


def choice(item):
    return CHOICES.get(item, (3, 2, 1, 0))


def filled(page, data, rank):
    """Rank all pages by `rank(order)`; return what was chosen as {page: {item: {id: rank}}}."""
    chosen = {}
    for _ in data["pages"]:
        ids, here = ids_shown(page, data), page_shown(page, data)
        chosen[here] = {}
        for item in ITEMS:
            order = choice(item)
            rank(order)
            chosen[here][item] = {ids[at]: place + 1 for place, at in enumerate(order)}
            next_one(page)
    return chosen


def ranks_of(file):
    return {
        page["page"]: {key: item["ranks"] for key, item in page["items"].items()}
        for page in file["pages"]
    }


def check_whole(page, path, data, chosen):
    name, file = saved(page)
    check_file(name, file, data)
    assert ranks_of(file) == chosen
    assert list(chosen) == file["page_order"]
    assert file["finished"] is not None
    assert unharmed(page, path)
    return file


@pytest.mark.parametrize(("device", "pages"), [(DESKTOP, 2), (PHONE, 1)], ids=["desktop", "phone"])
def test_a_whole_survey_by_taps_and_clicks(browser, path, device, pages):
    data = made_data(pages=pages)
    with opened(browser, path, data, **device) as page:
        begun(page, years="12.5")

        def rank(order):
            assert badges(page) == ["", "", "", ""], "an order was there before anybody chose"
            for at in order:
                pick = page.locator(".pick").nth(at)
                pick.tap() if device is PHONE else pick.click()

        chosen = filled(page, data, rank)
        assert page.locator(".lead").inner_text() == ENGLISH["end.complete"]
        file = check_whole(page, path, data, chosen)
        assert file["declared"] == {"culture": "Aruna, the north", "country": "", "years": 12.5}


def tab_to(page, locator):
    wanted = locator.element_handle()
    for _ in range(60):
        if page.evaluate("one => one === document.activeElement", wanted):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {locator}")


def test_a_whole_survey_by_keyboard_alone(browser, path):
    data = made_data(pages=1)
    with opened(browser, path, data) as page:
        tab_to(page, page.locator("#agree"))
        page.keyboard.press("Space")
        tab_to(page, page.locator("#culture"))
        page.keyboard.type("Aruna")
        page.keyboard.press("Enter")
        chosen = {}
        for _ in data["pages"]:
            ids, here = ids_shown(page, data), page_shown(page, data)
            chosen[here] = {}
            for item in ITEMS:
                order = choice(item)
                for place, at in enumerate(order):
                    tab_to(page, page.locator(".pick").nth(at))
                    page.keyboard.press(str(place + 1))
                chosen[here][item] = {ids[at]: place + 1 for place, at in enumerate(order)}
                tab_to(page, page.locator(".bar .next"))
                page.keyboard.press("Enter")
        tab_to(page, page.locator(".overview .primary").first)
        with page.expect_download() as waiting:
            page.keyboard.press("Enter")
        file = json.loads(waiting.value.path().read_text(encoding="utf-8"))
        check_file(waiting.value.suggested_filename, file, data)
        assert ranks_of(file) == chosen
        assert file["finished"]
        assert unharmed(page, path)


def test_a_whole_survey_by_dragging(browser, path):
    data = made_data(pages=1)
    with opened(browser, path, data) as page:
        begun(page)

        def rank(order):
            for place, at in reversed(list(enumerate(order))):
                drag(page, page.locator(".pick").nth(at), page.locator(".place").nth(place))

        check_whole(page, path, data, filled(page, data, rank))


def test_a_drag_moves_the_others_out_takes_away_and_escape_ends_it(browser, path):
    with opened(browser, path, made_data()) as page:
        begun(page)
        picks, places = page.locator(".pick"), page.locator(".place")
        for at in range(4):
            picks.nth(at).click()
        drag(page, places.nth(3).locator(".thumb"), places.nth(0))
        assert badges(page) == ["2", "3", "4", "1"]
        drag(page, picks.nth(3), places.nth(2))
        assert badges(page) == ["1", "2", "4", "3"]
        drag(page, places.nth(1).locator(".thumb"), picks.nth(0))
        assert badges(page) == ["1", "", "4", "3"]
        assert aloud(page) == "Picture B has no place any more"
        box = picks.nth(1).bounding_box()
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 120, box["y"] + 80, steps=3)
        assert page.locator(".ghost").is_visible()
        page.keyboard.press("Escape")
        assert page.locator(".ghost").count() == 0
        page.mouse.up()
        assert badges(page) == ["1", "", "4", "3"]


def touches(page, path):
    """Move one finger along a path of (x, y)."""
    session = page.context.new_cdp_session(page)
    for number, (x, y) in enumerate(path):
        kind = "touchMove" if number else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        page.wait_for_timeout(20)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(60)


def middle(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def line(start, end, points=5):
    (x0, y0), (x1, y1) = start, end
    shares = [step / points for step in range(points + 1)]
    return [(x0 + (x1 - x0) * one, y0 + (y1 - y0) * one) for one in shares]


def test_a_finger_drags_pictures_by_the_grip_without_scrolling(browser, path):
    data = made_data()
    with opened(browser, path, data, **PHONE) as page:
        begun(page)
        ids, here = ids_shown(page, data), page_shown(page, data)
        for place, at in enumerate(choice("alignment")):
            grip = page.locator(".pick .grip").nth(at)
            grip.evaluate("one => one.scrollIntoView({ block: 'center' })")
            page.wait_for_timeout(50)
            before = page.evaluate("scrollY")
            touches(page, line(middle(grip), middle(page.locator(".place").nth(place))))
            # Only the page's own scrolling at the edge may have happened, never the finger's.
            assert 0 <= page.evaluate("scrollY") - before < 100
        to_overview(page)
        chosen = {ids[at]: place + 1 for place, at in enumerate(choice("alignment"))}
        assert ranks_of(saved(page)[1])[here]["alignment"] == chosen
        assert unharmed(page, path)


def test_a_finger_on_a_picture_scrolls_and_drags_nothing(browser, path):
    with opened(browser, path, made_data(), **PHONE) as page:
        begun(page)
        image = page.locator(".pick img").first
        image.evaluate("one => one.scrollIntoView({ block: 'center' })")
        page.wait_for_timeout(50)
        before, (x, y) = page.evaluate("scrollY"), middle(image)
        touches(page, line((x, y), (x, y - 200)))
        page.wait_for_function("before => scrollY > before + 50", arg=before)
        assert badges(page) == ["", "", "", ""]
        # Nor does a finger that moves to the side, where the page has nowhere to scroll to.
        image.tap()
        x, y = middle(image)
        touches(page, line((x, y), (x + 160, y)))
        assert badges(page) == ["1", "", "", ""]


def test_keys_move_take_away_and_say_what_happened(browser, path):
    with opened(browser, path, made_data()) as page:
        begun(page)
        picks = page.locator(".pick")
        picks.nth(1).focus()
        steps = [
            ("3", ["", "3", "", ""], "Picture B: place 3 of 4"),
            ("ArrowUp", ["", "2", "", ""], "Picture B: place 2 of 4"),
            ("ArrowLeft", ["", "1", "", ""], "Picture B: place 1 of 4"),
            ("ArrowUp", ["", "1", "", ""], "Picture B: place 1 of 4"),
            ("ArrowRight", ["", "2", "", ""], "Picture B: place 2 of 4"),
            ("ArrowDown", ["", "3", "", ""], "Picture B: place 3 of 4"),
            ("5", ["", "3", "", ""], "Picture B: place 3 of 4"),
            ("Backspace", ["", "", "", ""], "Picture B has no place any more"),
            ("Enter", ["", "1", "", ""], "Picture B: place 1 of 4"),
            ("Space", ["", "", "", ""], "Picture B has no place any more"),
            ("ArrowDown", ["", "1", "", ""], "Picture B: place 1 of 4"),
            ("٤", ["", "4", "", ""], "Picture B: place 4 of 4"),
            ("२", ["", "2", "", ""], "Picture B: place 2 of 4"),
        ]
        for key, expected, said in steps:
            page.keyboard.press(key) if key.isascii() else typed(picks.nth(1), key)
            assert badges(page) == expected, key
            assert aloud(page) == said, key
            assert picks.nth(1).evaluate("one => one === document.activeElement"), key
        assert picks.nth(1).get_attribute("aria-label") == "Picture B: place 2 of 4"
        assert picks.nth(0).get_attribute("aria-label") == "Picture A: no place yet"
        for at, key in ((0, "1"), (2, "3"), (3, "4")):
            picks.nth(at).press(key)
        assert aloud(page) == "Picture D: place 4 of 4 All pictures have a place."
        # Those that make room are told, too.
        picks.nth(3).press("2")
        assert badges(page) == ["1", "3", "4", "2"]
        said = ["Picture D: place 2 of 4", "Picture B: place 3 of 4", "Picture C: place 4 of 4"]
        assert aloud(page) == " ".join([*said, "All pictures have a place."])
        page.get_by_role("button", name=ENGLISH["rank.clear"]).click()
        assert badges(page) == ["", "", "", ""]
        assert aloud(page) == ENGLISH["rank.cleared"]
        assert page.evaluate("document.activeElement.tagName") == "H2"


def test_a_new_page_is_told_and_each_question_read_from_its_heading(browser, path):
    data = made_data()
    data["pages"] = [{**one, "translation": "in other words"} for one in data["pages"]]

    def prompt():
        return next(one["prompt"] for one in data["pages"] if one["page"] == page_shown(page, data))

    with opened(browser, path, data) as page:
        begun(page)
        for question in range(5):
            number = 2 if question == 4 else 1
            told = f"Page {number} of 3 {prompt()} in other words" if question % 4 == 0 else ""
            assert aloud(page) == told
            heading = page.locator("h2:focus").inner_text()
            assert heading == ENGLISH[f"item.{ITEMS[question % 4]}.question"]
            next_one(page)


def typed(locator, key):
    """Press a key of another keyboard."""
    locator.dispatch_event("keydown", {"key": key, "bubbles": True, "cancelable": True})


def test_ctrl_and_digits_stay_the_browsers(browser, path):
    with opened(browser, path, made_data()) as page:
        begun(page)
        page.locator(".pick").first.press("Control+2")
        page.locator(".pick").first.press("Alt+ArrowDown")
        assert badges(page) == ["", "", "", ""]


def test_pictures_share_a_place_where_that_is_allowed_and_nowhere_else(browser, path):
    with opened(browser, path, made_data()) as page:
        begun(page)
        for at in range(4):
            page.locator(".pick").nth(at).press("1")
        assert badges(page) == ["4", "3", "2", "1"]
        assert page.locator(".share").count() == 0
        told = page.locator(".how").inner_text()
        assert told.endswith(ENGLISH["rank.how_strict"])
        assert ENGLISH["rank.how_ties"] not in told
    data = made_data(allow_ties=True)
    with opened(browser, path, data) as page:
        begun(page)
        for at, key in enumerate("1122"):
            page.locator(".pick").nth(at).press(key)
        assert badges(page) == ["1", "1", "3", "3"]
        told = page.locator(".how").inner_text()
        assert told.endswith(ENGLISH["rank.how_ties"])
        assert ENGLISH["rank.how_strict"] not in told
        page.locator(".pick").nth(3).press("4")
        assert badges(page) == ["1", "1", "3", "4"]
        next_one(page)
        for at in range(4):
            page.locator(".pick").nth(at).click()
        page.get_by_role("button", name="Picture B: same place as the one before").click()
        assert badges(page) == ["1", "1", "3", "4"]
        drag(page, page.locator(".pick").nth(3), page.locator(".place").nth(0))
        assert badges(page) == ["1", "1", "4", "1"]
        to_overview(page)
        name, file = saved(page)
        check_file(name, file, data)
        ranks = [item["ranks"] for item in file["pages"][0]["items"].values()]
        assert [sorted(one.values()) for one in ranks[:2]] == [[1, 1, 3, 4], [1, 1, 1, 4]]
