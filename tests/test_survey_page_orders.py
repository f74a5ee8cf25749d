"""The survey's page: what chance decides, and how one ranking changes."""

from pathlib import Path

import pytest
from made_survey_page import made_data
from survey_filling import begun, check_file, ids_shown, opened, saved, to_overview

from scoft_training import survey_html as room

FOLDER = Path(room.__file__).with_name("survey_page")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "survey.html"


def module(page, name):
    """Make a module without imports callable in an empty page."""
    source = (FOLDER / f"{name}.mjs").read_text(encoding="utf-8")
    page.evaluate(
        """async (source) => {
             const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
             Object.assign(globalThis, await import(address));
           }""",
        source,
    )


@pytest.fixture
def bare(browser):
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_each_order_is_as_likely_as_the_others(bare):
    module(bare, "chance")
    # All that chance can say for three cards, once each: a last card of 3, then one of 2.
    found = bare.evaluate(
        """() => {
             let answers;
             crypto.getRandomValues = (array) => array.fill(answers.shift());
             const all = [];
             for (const last of [0, 1, 2])
               for (const first of [0, 1]) {
                 answers = [last, first];
                 all.push(shuffled(["a", "b", "c"]).join(""));
               }
             return all;
           }"""
    )
    assert sorted(found) == ["abc", "acb", "bac", "bca", "cab", "cba"]
    # 2 ** 32 = 3 * 1431655765 + 1: the last number would make 0 likelier, and is drawn again.
    drawn = bare.evaluate(
        """() => {
             const answers = [2 ** 32 - 1, 2 ** 32 - 2];
             crypto.getRandomValues = (array) => array.fill(answers.shift());
             return [randomBelow(3), answers.length];
           }"""
    )
    assert drawn == [2, 0]


def test_a_participants_number_needs_no_secure_context(bare):
    module(bare, "chance")
    found = bare.evaluate(
        "() => { crypto.randomUUID = undefined; return [randomId(), randomId()] }"
    )
    assert found[0] != found[1]
    for one in found:
        assert len(one) == 36
        assert one[14] == "4"
        assert one[19] in "89ab"


# What putting, moving, joining and taking out do, worked out by hand.
PUT = [
    ({}, "c", 3, False, {"c": 3}),
    ({"a": 1}, "b", 1, False, {"b": 1, "a": 2}),
    ({"a": 1, "b": 2, "c": 3, "d": 4}, "d", 1, False, {"d": 1, "a": 2, "b": 3, "c": 4}),
    ({"a": 1, "b": 2, "c": 3, "d": 4}, "a", 3, False, {"b": 1, "c": 2, "a": 3, "d": 4}),
    ({"a": 2, "b": 3, "c": 4}, "d", 4, False, {"a": 1, "b": 2, "c": 3, "d": 4}),
    ({"a": 1, "b": 3}, "c", 1, False, {"c": 1, "a": 2, "b": 3}),
    ({"a": 1}, "b", 1, True, {"a": 1, "b": 1}),
    ({"a": 1, "b": 1, "c": 2}, "d", 4, True, {"a": 1, "b": 1, "c": 3, "d": 4}),
    ({"a": 1, "b": 2, "c": 3, "d": 4}, "a", 4, True, {"b": 1, "c": 2, "a": 3, "d": 3}),
    ({"a": 2, "b": 2, "c": 2}, "d", 2, True, {"a": 1, "b": 1, "c": 1, "d": 1}),
]


MOVED = [
    ({"a": 1, "b": 2, "c": 3, "d": 4}, "c", -1, False, {"a": 1, "c": 2, "b": 3, "d": 4}),
    ({"a": 1, "b": 2, "c": 3, "d": 4}, "d", 1, False, {"a": 1, "b": 2, "c": 3, "d": 4}),
    ({"a": 1}, "b", 1, False, {"a": 1, "b": 2}),
    ({"a": 1, "b": 1, "c": 3, "d": 4}, "c", -1, True, {"a": 1, "b": 1, "c": 1, "d": 4}),
    ({"a": 1, "b": 1, "c": 3, "d": 4}, "a", -1, True, {"a": 1, "b": 2, "c": 3, "d": 4}),
    ({"a": 1, "b": 1, "c": 3, "d": 4}, "a", 1, True, {"b": 1, "a": 2, "c": 3, "d": 4}),
    ({"a": 1, "b": 2, "c": 3, "d": 4}, "a", -1, True, {"a": 1, "b": 2, "c": 3, "d": 4}),
]


def test_rankings_make_room_and_ties_share_the_better_rank(bare):
    module(bare, "ranking")
    pictures = ["a", "b", "c", "d"]
    for name, cases in (("put", PUT), ("moved", MOVED)):
        for places, picture, by, ties, expected in cases:
            call = f"([places, one, by, all, ties]) => {name}(places, one, by, all, ties)"
            found = bare.evaluate(call, [places, picture, by, pictures, ties])
            assert found == expected, (name, places, picture, by)
    joining = "([places, one, all]) => joined(places, one, all)"
    four = {"a": 1, "b": 2, "c": 3, "d": 4}
    assert bare.evaluate(joining, [four, "c", pictures]) == {"a": 1, "b": 2, "c": 2, "d": 4}
    assert bare.evaluate(joining, [four, "a", pictures]) == four
    free = "places => freePlace(places, 4)"
    assert bare.evaluate(free, {"a": 1, "b": 1}) == 3
    assert bare.evaluate(free, {"a": 2, "b": 3}) == 1
    assert bare.evaluate(free, {"a": 1, "b": 4, "c": 4}) == 2


def test_orders_are_each_persons_own_fixed_and_recorded(browser, path):
    data = made_data(pages=9)
    page_orders, picture_orders, participants = [], [], []
    for _ in range(3):
        with opened(browser, path, data) as page:
            begun(page)
            order = ids_shown(page, data)
            to_overview(page)
            _, file = saved(page)
            assert file["pages"][0]["order"] == order
            assert file["page_order"][0] == file["pages"][0]["page"]
            page_orders.append(file["page_order"])
            picture_orders += kept_orders(page)
            participants.append(file["participant"])
    # That chance gives three people one order of nine pages happens in 1 of 10 ** 11 such tests.
    assert len(set(map(tuple, page_orders))) > 1
    assert any(order != sorted(order) for order in picture_orders)
    assert len(set(participants)) == 3


def kept_orders(page):
    """Return the orders of pictures on all pages of a person, seen or not."""
    kept = page.evaluate("JSON.parse(localStorage.getItem(Object.keys(localStorage)[0])).pages")
    assert len(kept) == 9
    return [one["order"] for one in kept.values()]


def test_one_person_sees_as_many_pages_as_were_asked_for(browser, path):
    data = made_data(pages_per_participant=2)
    with opened(browser, path, data) as page:
        begun(page)
        assert page.locator(".progress h1").inner_text() == "Page 1 of 2"
        to_overview(page)
        name, file = saved(page)
        check_file(name, file, data)
        assert len(file["page_order"]) == 2
        assert page.locator(".chip").count() == 2
