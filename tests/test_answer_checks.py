"""Careless answers are flagged, honest ones are not, and nobody is left out but by name."""

import dataclasses

import numpy as np
import pytest
from made_answers import made_survey

from scoft_training.answer_checks import FEWEST_COPIED, flags_of, without
from scoft_training.errors import ConfigError
from scoft_training.survey_answers import Answer
from scoft_training.survey_key import ITEMS

RNG = np.random.default_rng


def person(name, ranks, *, places=None, seconds=20.0):
    """Return answers to rankings given as {(page, item): ranks by model}."""
    found = []
    for (page, item), of in ranks.items():
        at = places[page] if places else [None] * len(of)
        for number, (rank, place) in enumerate(zip(of, at, strict=True)):
            model = f"model {number}"
            found.append(
                Answer(name, "Korea", "", page, "", item, model, place, int(rank), seconds)
            )
    return found


def random_places(rng, pages, models=4):
    return {f"p{page}": list(rng.permutation(models) + 1) for page in range(pages)}


def random_ranks(rng, pages, models=4):
    return {
        (f"p{page}", item): rng.permutation(models) + 1 for page in range(pages) for item in ITEMS
    }


def test_people_who_look_are_not_flagged():
    survey = made_survey(pages=8, cultures={"Korea": 30, "Mexico": 30}, ties=0.1, skills=0.95)
    assert flags_of(survey.answers) == {}


def by_place(pages, orders, models=4, rng=None):
    """Return answers of somebody who gives each place its rank, and the places."""
    places = random_places(rng or RNG(0), pages, models)
    ranks = {
        (page, item): [orders[item][place - 1] for place in of]
        for page, of in places.items()
        for item in ITEMS
    }
    return person("p", ranks, places=places)


def test_whoever_ranks_by_place_is_flagged_however_the_order_is():
    for order in ((1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3)):
        flags = flags_of(by_place(3, dict.fromkeys(ITEMS, order)))["p"]
        (said,) = [one for one in flags if "by their places" in one]
        assert "-".join(map(str, order)) in said
        assert "all 3 pages" in said
    # An order of its own under each item is a habit as well.
    orders = dict(zip(ITEMS, ((1, 2, 3, 4), (2, 1, 3, 4), (4, 3, 2, 1), (1, 1, 1, 1)), strict=True))
    assert "1-2-3-4" in flags_of(by_place(3, orders))["p"][0]


def test_one_page_out_of_order_or_unknown_places_are_no_habit():
    answers = by_place(6, dict.fromkeys(ITEMS, (1, 2, 3, 4)))
    last = [one for one in answers if one.page == "p5" and one.item == "stereotypes"]
    swapped = {one: dataclasses.replace(one, rank=5 - one.rank) for one in last}
    assert flags_of([swapped.get(one, one) for one in answers]) == {}
    blind = [dataclasses.replace(one, position=None) for one in answers]
    assert not any("places" in flag for flag in flags_of(blind).get("p", ()))


@pytest.mark.parametrize(
    ("models", "order", "pages", "flagged"),
    [
        (4, (1, 2, 3, 4), 2, False),  # once in 24: no sign
        (4, (1, 2, 3, 4), 3, True),  # once in 576
        (2, (1, 2), 9, False),  # once in 256
        (2, (1, 2), 10, True),  # once in 512
        (4, (1, 1, 1, 4), 5, False),  # 4 ways to stand: once in 256
        (4, (1, 1, 1, 4), 6, True),  # once in 1024
    ],
)
def test_what_chance_may_do_is_no_sign(models, order, pages, flagged):
    answers = by_place(pages, dict.fromkeys(ITEMS, order), models)
    flags = flags_of(answers).get("p", ())
    assert any("by their places" in one for one in flags) == flagged


def test_all_tied_is_said_once_and_one_item_tied_is_honest():
    tied = {(f"p{page}", item): (1, 1, 1, 1) for page in range(3) for item in ITEMS}
    places = random_places(RNG(0), 3)
    flags = flags_of(person("p", tied, places=places))["p"]
    assert flags == ("All pictures share a rank in all 12 rankings, which compares nothing.",)
    ranks = random_ranks(RNG(1), 3) | {(f"p{page}", "offensiveness"): (1,) * 4 for page in range(3)}
    assert flags_of(person("p", ranks, places=places)) == {}


def test_the_same_ranks_under_all_items():
    rng = RNG(2)
    ranks = {}
    for page in range(3):
        of = rng.permutation(4) + 1
        ranks |= {(f"p{page}", item): of for item in ITEMS}
    (flag,) = flags_of(person("p", ranks))["p"]
    assert flag == "On all 3 pages the ranks are the same under all 4 items."
    del ranks["p2", "alignment"]
    assert flags_of(person("p", ranks)) == {}
    # The order of two pictures says so little that three pages are no sign.
    two = {(f"p{page}", item): (1, 2) for page in range(13) for item in ITEMS}
    assert flags_of(person("p", two)) == {}
    two |= {("p13", item): (2, 1) for item in ITEMS}
    assert "On all 14 pages" in flags_of(person("p", two))["p"][0]


def test_whoever_is_faster_than_hands_is_flagged_with_the_limit():
    ranks = random_ranks(RNG(3), 5)
    (flag,) = flags_of(person("p", ranks, seconds=1.9))["p"]
    assert flag.startswith("A ranking took 1.9 seconds")
    assert "less than 2.0 nobody" in flag
    assert flags_of(person("p", ranks, seconds=2.0)) == {}
    assert flags_of(person("p", ranks, seconds=None)) == {}
    # Looking at a page may fall to its first item; its mean counts.
    answers = person("p", ranks, seconds=1.0)
    slow = [
        dataclasses.replace(one, seconds=9.0) if one.item == "alignment" else one for one in answers
    ]
    assert flags_of(slow) == {}
    # Two pictures need half the time.
    assert flags_of(person("p", random_ranks(RNG(3), 5, models=2), seconds=1.1)) == {}


def test_a_copied_file_is_flagged_on_both_sides():
    ranks = random_ranks(RNG(4), 3)
    other = random_ranks(RNG(5), 3)
    answers = person("a", ranks) + person("b", other) + person("c", ranks) + person("d", ranks)
    flags = flags_of(answers)
    assert set(flags) == {"a", "c", "d"}
    assert flags["a"] == ("All 12 rankings are those of c and 1 more, as in a copied file.",)
    # Whoever saw the pictures in another order is of the same mind, and no copy.
    answers = [
        one
        for number, name in enumerate("acd")
        for one in person(name, ranks, places=random_places(RNG(number // 2), 3))
    ]
    assert set(flags_of(answers)) == {"a", "c"}
    few = dict(list(ranks.items())[: FEWEST_COPIED - 1])
    assert flags_of(person("a", few) + person("c", few)) == {}


def test_ties_are_flagged_where_the_page_has_none():
    ranks = random_ranks(RNG(6), 3) | {("p0", "alignment"): (1, 1, 3, 4)}
    answers = person("p", ranks)
    assert flags_of(answers) == {}
    (flag,) = flags_of(answers, allow_ties=False)["p"]
    assert flag.startswith("1 of 12 rankings hold ties")


def test_the_order_of_answers_changes_no_flag():
    answers = by_place(3, dict.fromkeys(ITEMS, (2, 1, 3, 4)))
    answers += person("q", {key: (1,) * 4 for key in random_ranks(RNG(0), 3)})
    shuffled = [answers[at] for at in RNG(1).permutation(len(answers))]
    assert flags_of(shuffled) == flags_of(answers) != {}


def test_whoever_is_named_is_left_out_and_that_is_said():
    survey = made_survey(pages=1)
    first, second, third, *_ = survey.people
    kept, findings = without(survey.answers, f" {first}, {second[:8]} ,,")
    assert {one.participant for one in kept} == set(survey.people) - {first, second}
    assert {(one.kind, one.where) for one in findings} == {
        ("left out", first),
        ("left out", second),
    }
    assert without(survey.answers, "") == (survey.answers, [])
    with pytest.raises(ConfigError, match="no participant 'nobody' among the 15 whose answers"):
        without(survey.answers, f"{third},nobody")
    with pytest.raises(ConfigError, match="there is no participant"):
        without(survey.answers, first[:3])


def test_names_with_commas_and_beginnings_of_several_names():
    ranks = {("p0", "alignment"): (1, 2)}
    answers = person("Kim, Jo", ranks) + person("anna 1", ranks) + person("anna 12", ranks)
    assert {one.participant for one in without(answers, '"Kim, Jo", anna 1')[0]} == {"anna 12"}
    with pytest.raises(ConfigError, match="'anna' may be 'anna 1' or 'anna 12'. Write more"):
        without(answers, "anna")
    with pytest.raises(ConfigError, match="Did you mean 'anna 12'"):
        without(answers, "ana 12")
