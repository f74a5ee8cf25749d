"""The small words of a report: shares, names, places, orders."""

import dataclasses
import re

import pytest
from made_survey_results import made_result

from scoft_training.survey_records import Estimate
from scoft_training.survey_wording import (
    confidence,
    counted,
    isolated,
    listed,
    may_be_chance,
    neighbours,
    order_in_words,
    percent,
    percent_with_interval,
    place_in,
    plain,
    question,
    short_names,
    slugs,
)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.004, "<1 %"), (0.624, "62 %"), (0.996, ">99 %"), (1, "100 %")],
)
def test_a_share_says_none_and_all_only_where_it_is(share, text):
    assert percent(share) == text.replace(" ", "\u00a0")


def test_an_interval_stands_behind_what_it_is_of_and_ends_at_all():
    assert percent_with_interval(Estimate(0.62, 0.55, 0.69), "of pairs") == (
        "62\u00a0% of pairs (55 to 69)"
    )
    assert percent_with_interval(Estimate(0.98, 0.9, 1.1)) == "98\u00a0% (90 to 100)"
    assert percent_with_interval(Estimate(0.5)) == "50\u00a0%"


def test_chance_is_what_an_interval_holds():
    assert may_be_chance(Estimate(0.6, 0.5, 0.7), 0.5) is True
    assert may_be_chance(Estimate(0.6, 0.51, 0.7), 0.5) is False
    assert may_be_chance(Estimate(0.6), 0.5) is None


def test_confidence_is_that_of_the_settings():
    assert confidence(made_result(settings={"confidence": 0.9})) == "90\u00a0%"
    assert confidence(made_result(settings={})) == "95\u00a0%"


def test_counts_and_lists():
    assert [counted(n, "person", "people") for n in (0, 1, 1234)] == [
        "0 people",
        "1 person",
        "1,234 people",
    ]
    assert counted(2, "pair") == "2 pairs"
    assert [listed("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_names_from_right_to_left_leave_a_sentence_in_order():
    assert isolated("Korea") == "Korea"
    assert isolated("\u05d0 b") == "\u2068\u05d0 b\u2069"
    names = {"\u05d0": "\u05d0", "b": "b", "long c": "c"}
    assert order_in_words((("\u05d0",), ("b", "long c")), names) == "\u2068\u05d0\u2069 > b = c"
    assert order_in_words((), names) == "cannot be told"


def test_a_place_counts_the_models_before_it():
    order = (("a", "b"), ("c",))
    assert [place_in(order, model) for model in "abcd"] == [(1, True), (1, True), (3, False), None]


def test_all_items_together_have_a_name():
    assert question(None) == "All questions"
    assert question("alignment") == "Description and Image Alignment"
    assert question("my own") == "my own"


def test_names_of_files_are_harmless_and_no_two_alike():
    names = [
        "Korea",
        "korea",
        "../..",
        "<b>",
        "",
        "나이지리아",
        "Côte d'Ivoire",
        "x" * 90,
        "x" * 91,
    ]
    found = list(slugs(names).values())
    assert len({one.casefold() for one in found}) == len(names)
    assert all(re.fullmatch(r"[\w-]{1,60}", one) for one in found)
    assert slugs(["Korea"]) == {"Korea": "korea"}


def test_names_that_fill_a_page_keep_their_ends_where_these_tell_them_apart():
    names = ["a" * 100 + "x", "b" * 100 + "y"]
    assert list(short_names(names).values()) == [
        f"{'a' * 20}\u2026{'a' * 19}x",
        f"{'b' * 20}\u2026{'b' * 19}y",
    ]
    inside = ["a" * 40 + "x" + "a" * 40, "a" * 40 + "y" + "a" * 40]
    assert list(short_names(inside).values()) == inside


def test_a_plain_text_is_one_line_that_steers_nothing():
    assert plain("a\u00a0b \u2068\u05d0\u2069\n\x1b[2Jc\u202e") == "a b \u05d0  [2Jc "


def test_neighbours_are_told_by_the_first_of_each_tier():
    part = dataclasses.replace(
        made_result().slice(),
        average_order=(("a", "b"), ("c",), ("d",)),
        win_rates={("a", "c"): Estimate(0.6), ("b", "c"): Estimate(0.7)},
    )
    assert list(neighbours(part)) == [("a", "c", Estimate(0.6))]


def test_long_names_lose_what_all_share_but_no_part_of_a_word():
    names = ["korea-mpc step 100 of the run", "korea-mpc step 150 of the run"]
    assert list(short_names(names).values()) == ["…100…", "…150…"]
    assert list(short_names(["SD", "SD+M"]).values()) == ["SD", "SD+M"]
    files = [f"sd-v1-5_scoft-r64_step{at:05d}_fp16.safetensors" for at in range(0, 4500, 500)]
    assert list(short_names(files).values())[:2] == ["…step00000…", "…step00500…"]
    alike = ["a model with a name", "a model with a name of its own"]
    assert len(set(short_names(alike).values())) == 2
    assert all(short_names(alike).values())
    assert short_names(["one long name only there"]) == {
        "one long name only there": "one long name only there"
    }
