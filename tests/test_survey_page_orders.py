"""The survey's page: what chance decides, and how one ranking changes."""

import pytest
from made_survey_page import PAGES, made_data
from survey_filling import begun, check_file, ids_shown, modules, opened, saved, to_overview


@pytest.fixture
def path(tmp_path):
    return tmp_path / "survey.html"


@pytest.fixture
def bare(browser):
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_each_order_is_as_likely_as_the_others(bare):
    modules(bare, "chance")
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


SEEDED = """() => {
  // xorshift32: even, and the same each time.
  let state = 20250101;
  crypto.getRandomValues = (array) => {
    for (let at = 0; at < array.length; at += 1) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      array[at] = state >>> 0;
    }
    return array;
  };
}"""

DRAWN = """([data, people]) => {
  const counts = {};
  const count = (what) => { counts[what] = (counts[what] ?? 0) + 1; };
  for (let person = 0; person < people; person += 1) {
    const answers = newAnswers(data);
    begin(answers, data, {});
    count(`pages ${answers.order}`);
    count(`pictures ${answers.pages[answers.order[0]].order.map((one) => one.slice(2, 4))}`);
  }
  return counts;
}"""


def test_20000_people_see_each_choice_of_pages_and_each_order_equally_often(bare):
    modules(bare, "chance", "ranking", "answers")
    bare.evaluate(SEEDED)
    people = 20_000
    data = made_data(pages=5, pages_per_participant=2)
    counts = bare.evaluate(DRAWN, [{**data, "pictures": {}}, people])
    # Two of five pages in either order; four pictures. The limit is passed once in 1000 times.
    for kind, cells, limit in (("pages", 20, 43.8), ("pictures", 24, 49.7)):
        found = [number for what, number in counts.items() if what.startswith(kind)]
        assert len(found) == cells, kind
        expected = people / cells
        assert sum((one - expected) ** 2 / expected for one in found) < limit, kind


def test_the_order_of_a_page_says_nothing_about_that_of_the_next(bare):
    modules(bare, "chance", "ranking", "answers")
    bare.evaluate(SEEDED)
    found = bare.evaluate(
        """([data, pages]) => {
             const pairs = {};
             for (let person = 0; person < 20000; person += 1) {
               const answers = newAnswers(data);
               begin(answers, data, {});
               const first = pages.map((page) => answers.pages[page].order[0].slice(2, 4)).join();
               pairs[first] = (pairs[first] ?? 0) + 1;
             }
             return Object.values(pairs);
           }""",
        [{**made_data(pages=2), "pictures": {}}, list(PAGES[:2])],
    )
    assert len(found) == 16
    assert sum((one - 1250) ** 2 / 1250 for one in found) < 37.7


def test_a_participants_number_needs_no_secure_context(bare):
    modules(bare, "chance")
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
    modules(bare, "ranking")
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
    for _ in range(2):
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
    # That chance gives two people one order of nine pages happens in 1 of 362,880 such tests.
    assert page_orders[0] != page_orders[1]
    assert any(order != sorted(order) for order in picture_orders)
    assert participants[0] != participants[1]


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
