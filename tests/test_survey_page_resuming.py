"""The survey's page: going on from a saved file, damaged memories, and the next person."""

import copy
import json

import pytest
from made_survey_page import PAGES, made_data
from survey_filling import (
    PHONE,
    badges,
    begun,
    check_file,
    ids_shown,
    modules,
    next_one,
    opened,
    page_of,
    saved,
    shown,
    to_overview,
    unharmed,
)

from scoft_training.survey_texts import survey_texts

ENGLISH = survey_texts("en").texts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "survey.html"


def half_filled(browser, path, data):
    """Fill a page and a question more; return the file's name and what it holds."""
    with opened(browser, path, data) as page:
        begun(page, years="12.5")
        for _ in range(4):
            for at in (2, 0, 3, 1):
                page.locator(".pick").nth(at).click()
            next_one(page)
        for at in range(4):
            page.locator(".pick").nth(at).click()
        page.locator(".comment summary").click()
        page.fill("#comment", "so it is")
        to_overview(page)
        page.fill("#last-word", "that was good")
        return saved(page)


def chosen(page, file, text=None):
    """Choose a file on the first step."""
    if not page.locator("#resume").is_visible():
        page.get_by_text(page.resume_heading).click()
    content = (text if text is not None else json.dumps(file)).encode()
    kept = {"name": "answers.json", "mimeType": "application/octet-stream", "buffer": content}
    page.set_input_files("#resume", kept)


def test_a_saved_file_goes_on_on_another_device_and_in_another_language(browser, path):
    data = made_data()
    name, file = half_filled(browser, path, data)
    korean = made_data("ko")
    with opened(browser, path, korean, **PHONE) as page:
        page.resume_heading = korean["texts"]["resume.heading"]
        # A messenger has put words around it.
        chosen(page, file, f"Hello!\n\ufeff{json.dumps(file)}\nyours, Mina")
        page.locator(".pick").first.wait_for()
        # The first question that is open, from the page on that was seen last.
        assert page.locator(".steps [aria-current=step]").inner_text().startswith("2")
        assert ids_shown(page, korean) == file["pages"][1]["order"]
        assert page.locator("#comment").input_value() == "so it is"
        page.locator(".pick").nth(3).tap()
        page.reload()
        assert badges(page) == ["", "", "", "1"]
        to_overview(page)
        again, fuller = saved(page)
        assert unharmed(page, path)
    check_file(again, fuller, korean)
    assert again == name
    assert fuller["language"] == "ko"
    for key in ("page", "order", "comment", "items"):
        assert fuller["pages"][0][key] == file["pages"][0][key], key
    for key in ("participant", "declared", "consent", "started", "page_order", "comment"):
        assert fuller[key] == file[key], key
    before, after = file["pages"][1]["items"], fuller["pages"][1]["items"]
    assert after["alignment"] == before["alignment"]
    assert list(after["representation"]["ranks"].values()) == [1]


def test_a_file_of_a_complete_survey_leads_to_its_end(browser, path):
    data = made_data(pages=1)
    with opened(browser, path, data) as page:
        begun(page)
        for _ in range(4):
            for at in range(4):
                page.locator(".pick").nth(at).click()
            next_one(page)
        _, file = saved(page)
        page.resume_heading = ENGLISH["resume.heading"]
        page.evaluate("localStorage.clear()")
        page.reload()
        chosen(page, file)
        assert page.locator(".lead").inner_text() == ENGLISH["end.complete"]
        again = saved(page)[1]
        assert again["finished"] == file["finished"]
        assert again["pages"][0]["items"] == file["pages"][0]["items"]


def spoilt(file, keys, value):
    """Return a copy of a file with one thing in it changed."""
    changed = copy.deepcopy(file)
    at = changed
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    return changed


def test_files_that_the_page_has_not_saved_are_refused_and_change_nothing(browser, path):
    data = made_data()
    _, file = half_filled(browser, path, data)
    ranks = ("pages", 0, "items", "alignment", "ranks")
    one, two, *_ = file["pages"][0]["order"]
    faults = [
        (("format",), "x"),
        (("version",), 2),
        (("survey",), "f" * 16),
        (("culture",), "Tal Ved"),
        (("participant",), "Mina"),
        (("consent",), None),
        (("consent", "agreed"), False),
        (("declared", "culture"), 7),
        (("declared", "years"), "7"),
        (("page_order",), []),
        (("page_order", 0), "ffffffff"),
        (("page_order", 0), file["page_order"][1]),
        (("pages", 0, "order"), file["pages"][0]["order"][:3]),
        (("pages", 0, "comment"), None),
        (("pages", 0, "items"), {}),
        (("pages", 0, "items", "alignment", "seconds"), -1),
        ((*ranks, one), 9),
        ((*ranks, one), 1.5),
        ((*ranks, one), file["pages"][0]["items"]["alignment"]["ranks"][two]),
        ((*ranks, "ffffffff"), 1),
        (("comment",), 7),
    ]
    spoilt_ones = [json.dumps(spoilt(file, keys, value)) for keys, value in faults]
    texts = ["", "[]", "{", "picture.png", json.dumps(file)[:-900], *spoilt_ones]
    with opened(browser, path, data) as page:
        page.resume_heading = ENGLISH["resume.heading"]
        wrong = page.locator("#resume-wrong")
        for text in texts[4:6]:
            wrong.evaluate("one => { one.hidden = true; }")
            chosen(page, None, text)
            wrong.wait_for()
            assert wrong.inner_text() == ENGLISH["resume.wrong"]
        assert page.locator("#resume").get_attribute("aria-invalid") == "true"
        assert page.evaluate("localStorage.length") == 0
        assert page.locator("#culture").input_value() == ""
        # The same file without a fault is taken.
        chosen(page, file)
        page.locator(".pick").first.wait_for()
        assert page.wrong == []
        modules(page, "chance", "ranking", "answers", "reading")
        read = "([texts, data]) => texts.map((text) => readFile(text, data) === null)"
        assert page.evaluate(read, [[*texts, json.dumps(file)], {**data, "pictures": {}}]) == [
            *(True for _ in texts),
            False,
        ]


def test_pages_that_nobody_has_seen_get_an_order_and_come_in_their_turn(browser, path):
    data = made_data(pages_per_participant=2)
    with opened(browser, path, data) as page:
        begun(page)
        to_overview(page)
        _, file = saved(page)
        assert len(file["pages"]) == 1
        page.resume_heading = ENGLISH["resume.heading"]
        page.evaluate("localStorage.clear()")
        page.reload()
        chosen(page, file)
        assert page.locator(".progress h1").inner_text() == "Page 1 of 2"
        for _ in range(4):
            next_one(page)
        number = PAGES.index(file["page_order"][1])
        assert sorted(ids_shown(page, data)) == data["pages"][number]["pictures"]


# What a kept entry may have become: `kept` is changed, and `first` is its first page.
DAMAGE = [
    "kept.at = { step: 'page', page: 9, item: 0 }",
    "kept.at = { step: 'page', page: 'length', item: 0 }",
    "kept.at = { step: 'page', page: 0, item: 4 }",
    "kept.at = { step: 'toString' }",
    "kept.at = null",
    "kept.last = { step: 'page', page: -1, item: 0 }",
    "kept.order = []",
    "kept.order = 'none'",
    "kept.pages = {}",
    "kept.consent = null",
    "kept.declared = null",
    "kept.version = 7",
    "kept.survey = 'another'",
    "first.order = ['a', 'b', 'c', 'd']",
    "first.items.alignment.places = null",
    "first.items.alignment.places = { x: 1 }",
    "first.items.alignment.seconds = '1'",
    "delete first.items.stereotypes",
]


def test_a_damaged_memory_begins_anew_and_breaks_nothing(browser, path):
    with opened(browser, path, made_data(pages=2)) as page:
        begun(page)
        entry = page.evaluate("Object.entries(localStorage)[0]")

        def reopened(change):
            page.evaluate(
                f"""([key, text]) => {{
                     const kept = JSON.parse(text);
                     const first = kept.pages[kept.order[0]];
                     {change};
                     localStorage.setItem(key, JSON.stringify(kept));
                   }}""",
                entry,
            )
            page.reload()

        for change in DAMAGE[::6]:
            reopened(change)
            assert page.locator("#agree").is_visible(), change
            assert page.wrong == [], change
        modules(page, "chance", "ranking", "answers", "reading")
        data = {**made_data(pages=2), "pictures": {}}
        for change in DAMAGE:
            read = f"""([text, data]) => {{
                 const kept = JSON.parse(text);
                 const first = kept.pages[kept.order[0]];
                 {change};
                 return readAnswers(JSON.stringify(kept), data);
               }}"""
            assert page.evaluate(read, [entry[1], data]) is None, change
        reopened("kept.at.item = 2")
        assert page.locator(".steps [aria-current=step]").inner_text().startswith("3")


def test_the_next_person_on_a_device_begins_anew_and_the_first_ones_file_is_safe(browser, path):
    data = made_data()
    with opened(browser, path, data) as page:
        assert page.get_by_text(ENGLISH["memory.here"]).count() == 0
        begun(page)
        page.locator(".pick").nth(1).click()
        next_one(page)
        assert page.get_by_text(ENGLISH["memory.here"]).count() == 0
        context = page.context
        page.close()
        page = page_of(context, path)
        assert page.get_by_text(ENGLISH["memory.here"]).is_visible()
        page.get_by_role("button", name=ENGLISH["memory.other"]).click()
        assert ENGLISH["end.unsaved"] in page.locator("dialog").inner_text()
        with page.expect_download() as waiting:
            page.locator("dialog").get_by_role("button", name=ENGLISH["end.save"]).click()
        file = json.loads(waiting.value.path().read_text(encoding="utf-8"))
        check_file(waiting.value.suggested_filename, file, data)
        assert list(file["pages"][0]["items"]["alignment"]["ranks"].values()) == [1]
        assert waiting.value.suggested_filename in page.locator("dialog [role=status]").inner_text()
        page.get_by_role("button", name=ENGLISH["memory.other_yes"]).click()
        assert page.locator("#culture").input_value() == ""
        assert not page.locator("#agree").is_checked()
        assert page.get_by_text(ENGLISH["memory.here"]).count() == 0
        begun(page, culture="Tal Ved")
        assert badges(page) == ["", "", "", ""]
        to_overview(page)
        assert saved(page)[1]["participant"] != file["participant"]


def test_who_goes_on_is_greeted_until_the_next_step(browser, path):
    with opened(browser, path, made_data()) as page:
        begun(page)
        order = shown(page)
        page.reload()
        assert page.get_by_text(ENGLISH["memory.here"]).is_visible()
        page.get_by_role("button", name=ENGLISH["memory.other"]).click()
        page.get_by_role("button", name=ENGLISH["ask.cancel"]).click()
        assert shown(page) == order
        next_one(page)
        assert page.get_by_text(ENGLISH["memory.here"]).count() == 0


def test_erasing_offers_the_file_only_of_what_no_file_holds(browser, path):
    def asked():
        page.get_by_role("button", name=ENGLISH["end.erase"]).click()
        text = page.locator("dialog").inner_text()
        page.get_by_role("button", name=ENGLISH["ask.cancel"]).click()
        assert ENGLISH["end.erase_ask"] in text
        return ENGLISH["end.unsaved"] in text

    with opened(browser, path, made_data(), permissions=["clipboard-write"]) as page:
        begun(page)
        to_overview(page)
        assert asked()
        saved(page)
        assert not asked()
        page.reload()
        assert not asked()
        page.fill("#last-word", "and one thing more")
        assert asked()
        page.get_by_text(ENGLISH["end.copy_heading"]).click()
        page.get_by_role("button", name=ENGLISH["end.copy"]).click()
        page.get_by_text(ENGLISH["end.copied"]).first.wait_for()
        assert not asked()
        page.locator(".chip").first.click()
        page.locator(".pick").first.click()
        to_overview(page)
        assert asked()
