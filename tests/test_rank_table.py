"""Answers become arrays that hold the same, whatever order they come in; pairs are oriented."""

import dataclasses
import random

import numpy as np
import pytest
from made_rankings import ranked

from scoft_training.errors import ConfigError, SurveyError
from scoft_training.rank_table import comparisons, rank_table

# Ben sees B, C, A from first to last, Ann does not say; page 2 has no C.
ANSWERS = [
    *ranked(
        "ben", "1", {"A": 2, "B": 1, "C": 3}, item="offensiveness", places={"A": 3, "B": 1, "C": 2}
    ),
    *ranked("ann", "2", {"A": 1, "B": 1}, item="alignment", culture="", country="Peru"),
    *ranked("ann", "1", {"A": 1, "B": 2, "C": 2}, item="beauty"),
    *ranked("ann", "1", {"A": 3, "B": 2, "C": 1}, item="offensiveness"),
]


def test_the_arrays_hold_what_the_answers_say():
    table = rank_table(ANSWERS)
    assert table.models == ("A", "B", "C")
    assert table.participants == ("ann", "ben")
    assert table.groups == ("Korea", "unknown")
    assert table.pages == ("1", "2")
    # The survey's own order, then what is not its own.
    assert table.items == ("alignment", "offensiveness", "beauty")
    assert table.ranks.tolist() == [[3, 2, 1], [1, 2, 2], [1, 1, 0], [2, 1, 3]]
    assert table.positions.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 0], [3, 1, 2]]
    assert table.participant.tolist() == [0, 0, 0, 1]
    assert table.page.tolist() == [0, 0, 1, 0]
    assert table.item.tolist() == [1, 2, 0, 1]
    assert table.group.tolist() == [0, 0, 1, 0]


def test_the_order_of_the_answers_does_not_matter():
    shuffled = ANSWERS.copy()
    random.Random(3).shuffle(shuffled)
    assert shuffled != ANSWERS
    table, other = rank_table(ANSWERS), rank_table(shuffled)
    for field in dataclasses.fields(table):
        name = field.name
        assert np.array_equal(getattr(table, name), getattr(other, name)), name


def test_groups_are_countries_where_that_is_asked_for():
    table = rank_table(ANSWERS, "country")
    assert table.groups == ("Peru", "unknown")
    assert table.group.tolist() == [1, 1, 0, 1]


def test_a_person_belongs_to_the_group_of_most_of_their_rankings():
    table = rank_table(ANSWERS)
    assert table.home_groups().tolist() == [0, 0]
    only = table.take(table.page == 1)
    assert only.participants == ("ann", "ben")
    assert only.home_groups().tolist() == [1, -1]


def test_what_cannot_be_a_table_is_refused_in_a_sentence():
    with pytest.raises(
        ConfigError, match="Unknown group of people 'nation'. Use one of culture, country."
    ):
        rank_table(ANSWERS, "nation")
    with pytest.raises(SurveyError, match="There are no answers to count."):
        rank_table([])
    with pytest.raises(
        SurveyError,
        match="Participant 'ben', page '1', item 'offensiveness': model 'B' is ranked more than",
    ):
        rank_table([*ANSWERS, ANSWERS[1]])


def test_pairs_have_the_picture_shown_first_on_the_left():
    compared = comparisons(rank_table(ANSWERS).take(np.array([3])))
    # B was shown before C, C before A: ranks 1, 3, 2.
    pairs = {
        (a, b): won
        for a, b, won in zip(compared.left, compared.right, compared.outcome, strict=True)
    }
    assert pairs == {(1, 0): 1.0, (2, 0): 0.0, (1, 2): 1.0}
    assert compared.participant.tolist() == [1, 1, 1]
    assert compared.ranking.tolist() == [0, 0, 0]


def test_pairs_of_the_same_pictures_are_one_task():
    table = rank_table(ANSWERS)
    compared = comparisons(table)
    # 3 pairs in each ranking of three pictures, 1 in that of two.
    assert np.bincount(compared.ranking).tolist() == [3, 3, 1, 3]
    what = [
        (table.page[ranking], table.item[ranking], *sorted((left, right)))
        for ranking, left, right in zip(
            compared.ranking, compared.left, compared.right, strict=True
        )
    ]
    # Of page 1's offensiveness Ann and Ben compared the same pairs; the rest is Ann's alone.
    assert len(set(what)) == 7
    assert len(set(zip(compared.task, what, strict=True))) == 7
    assert compared.task.min() == 0
    assert compared.task.max() == 6
    ties = {what[index] for index in np.flatnonzero(compared.outcome == 0.5)}
    assert ties == {(1, 0, 0, 1), (0, 2, 1, 2)}


def test_without_places_chance_says_which_is_left_and_the_same_for_all_people():
    answers = [
        one
        for person in ("ann", "ben", "eva")
        for page in range(60)
        for one in ranked(person, str(page), {"A": 1, "B": 2})
    ]
    compared = comparisons(rank_table(answers))
    lefts = [set(compared.left[compared.task == task]) for task in range(60)]
    assert all(len(left) == 1 for left in lefts)
    assert 15 < sum(left == {0} for left in lefts) < 45
    # Whoever is left, A is better.
    assert np.array_equal(compared.outcome == 1, compared.left == 0)
