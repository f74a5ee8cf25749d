"""Averages, wins and agreement against numbers worked out by hand."""

import itertools
import math

import numpy as np
import pytest
from made_paper_survey import AVERAGES, MODELS, paper_answers
from made_rankings import competition, ranked, table_of

from scoft_training.rank_statistics import (
    agreement,
    concordance,
    mid_ranks,
    rank_figures,
    ratio,
    sums,
    tiers,
)
from scoft_training.rank_table import comparisons, rank_table
from scoft_training.survey_answers import read_answers, write_answers


def table(*rankings):
    """Rankings of one page by as many people."""
    return rank_table(
        [
            answer
            for person, ranks in enumerate(rankings)
            for answer in ranked(str(person), "1", dict(zip("ABCDEFGHIJ", ranks, strict=False)))
        ]
    )


def test_figures_by_hand():
    figures = rank_figures(table([1, 2, 3, 4], [1, 1, 3, 4], [2, 1, 2, 4]))
    assert (figures.participants, figures.rankings) == (3, 3)
    # Six pairs each; A and B are tied by the second person, A and C by the third.
    assert (figures.comparisons, figures.ties) == (18, 2)
    assert figures.average_ranks.tolist() == [4 / 3, 4 / 3, 8 / 3, 4]
    assert figures.rank_counts.tolist() == [[2, 1, 0, 0], [2, 1, 0, 0], [0, 1, 2, 0], [0, 0, 0, 3]]
    assert figures.first_shares.tolist() == [2 / 3, 2 / 3, 0, 0]
    # A beats B once, ties once, loses once; C twice and ties once; D thrice.
    assert figures.pair_win_rates[0, 1:].tolist() == [1.5 / 3, 2.5 / 3, 1]
    assert figures.pair_win_rates[2].tolist()[:2] == [0.5 / 3, 0]
    assert np.isnan(figures.pair_win_rates.diagonal()).all()
    assert figures.win_rates.tolist() == [7 / 9, 7.5 / 9, 3.5 / 9, 0]


def test_a_strict_set_gives_its_own_averages_exactly():
    # All 24 orders of four once, and the first one 8 times more: each model has every rank 6
    # times, sum 60, and its own rank 8 times more, over 32 rankings.
    orders = [*itertools.permutations([1, 2, 3, 4]), *[(1, 2, 3, 4)] * 8]
    figures = rank_figures(table(*orders))
    assert figures.average_ranks.tolist() == [(60 + 8 * rank) / 32 for rank in (1, 2, 3, 4)]
    assert figures.average_ranks.tolist() == [2.125, 2.375, 2.625, 2.875]
    assert figures.average_ranks.sum() == 10
    assert figures.ties == 0
    # Of the 24 orders 12 have A before B, and so have the 8.
    assert figures.pair_win_rates[0, 1] == 20 / 32


def test_made_up_answers_give_back_the_papers_averages_and_order(tmp_path):
    write_answers(tmp_path / "answers.csv", paper_answers())
    answers, findings = read_answers(tmp_path / "answers.csv")
    assert findings == []
    whole = rank_table(answers)
    assert (len(whole.participants), len(whole.groups), len(whole.ranks)) == (51, 5, 766)
    assert whole.positions.min() == 1
    for index, item in enumerate(whole.items):
        figures = rank_figures(whole.take(whole.item == index))
        found = dict(zip(whole.models, figures.average_ranks, strict=True))
        for model, average in zip(MODELS, AVERAGES[item], strict=True):
            assert found[model] == pytest.approx(average, abs=0.01), (item, model)
        assert sum(found.values()) < 9.95
        assert figures.ties > 0
        order = tiers(whole.models, figures.average_ranks)
        assert order == (("+MPC",), ("+MP",), ("+M",), ("SD",))


def test_models_that_a_page_does_not_show_are_not_counted():
    answers = [
        *ranked("ann", "1", {"A": 1, "B": 2, "C": 3}),
        *ranked("ann", "2", {"A": 2, "B": 1}),
    ]
    figures = rank_figures(rank_table(answers))
    assert figures.average_ranks.tolist() == [1.5, 1.5, 3]
    assert figures.comparisons == 4
    assert figures.win_rates.tolist() == [2 / 3, 2 / 3, 0]
    assert figures.pair_win_rates[2, 0] == 0
    second = rank_figures(rank_table(answers).take(np.array([1])))
    assert second.rank_counts.tolist() == [[0, 1], [1, 0], [0, 0]]
    for numbers in (second.average_ranks, second.first_shares, second.win_rates):
        assert np.isnan(numbers).tolist() == [False, False, True]


def test_tied_pictures_share_the_mean_of_their_places():
    ranks = np.array([[1, 1, 3, 4], [1, 2, 2, 2], [3, 1, 1, 0], [1, 1, 1, 1]])
    expected = [[1.5, 1.5, 3, 4], [1, 3, 3, 3], [3, 1.5, 1.5, np.nan], [2.5] * 4]
    np.testing.assert_array_equal(mid_ranks(ranks), expected)


def test_kendalls_w_of_three_executives_and_six_applicants():
    # Siegel 1956, chapter 9: the sums of ranks 8 14 11 11 11 8 lie 25.5 squares from 10.5; the most
    # is 3^2 (6^3 - 6) / 12 = 157.5; W = 0.16.
    found = concordance(table([1, 6, 3, 2, 5, 4], [1, 5, 6, 4, 2, 3], [6, 3, 2, 5, 4, 1]))
    assert found.kendalls_w == pytest.approx(25.5 / 157.5)
    assert found.people == 3
    # Without ties the mean of all correlations follows: (3 * 0.162 - 1) / 2.
    assert found.mean_spearman == pytest.approx((3 * 25.5 / 157.5 - 1) / 2)


def test_kendalls_w_with_ties():
    # Kendall's example of three people and ten objects, as Siegel 1956 has it with mid-ranks. Their
    # sums are 5.5 6.5 9 13.5 12 20 23 23.5 25.5 26.5, by 591 squares away from 16.5. Ties: two
    # and three pairs, one of four and one of three: sum of t^3 - t = 12 + 18 + 60 + 24 = 114.
    found = concordance(
        table(
            [1, 4, 2, 4, 3, 7, 6, 9, 7, 10],
            [2, 1, 2, 4, 4, 8, 9, 6, 10, 6],
            [2, 1, 3, 3, 3, 3, 7, 7, 7, 10],
        )
    )
    assert found.kendalls_w == pytest.approx(12 * 591 / (9 * 990 - 3 * 114))
    assert found.kendalls_w == pytest.approx(0.828, abs=5e-4)


def test_the_mean_correlation_is_that_of_all_pairs_of_people():
    from scipy.stats import spearmanr

    worth = np.random.default_rng(4).integers(4, size=(7, 1, 1, 5))
    ranks = competition(worth)
    found = concordance(table_of(ranks))
    pairs = itertools.combinations(ranks[:, 0, 0], 2)
    expected = [spearmanr(one, other).statistic for one, other in pairs]
    assert not np.isnan(expected).any()
    assert found.mean_spearman == pytest.approx(np.mean(expected))
    # With ties the strict formula is another number.
    strict = (7 * found.kendalls_w - 1) / 6
    assert abs(strict - found.mean_spearman) > 1e-3


def test_agreement_is_the_mean_over_pages_and_items_with_two_people():
    alike, opposed = [1, 2, 3], [3, 2, 1]
    answers = [
        *ranked("ann", "1", dict(zip("ABC", alike, strict=True))),
        *ranked("ben", "1", dict(zip("ABC", alike, strict=True))),
        *ranked("eva", "1", dict(zip("ABC", alike, strict=True))),
        *ranked("ann", "1", dict(zip("ABC", alike, strict=True)), item="stereotypes"),
        *ranked("ben", "1", dict(zip("ABC", opposed, strict=True)), item="stereotypes"),
        *ranked("ann", "2", dict(zip("ABC", alike, strict=True))),
    ]
    # W is 1 for three people and 0 for two opposed ones; page 2 has one person.
    found = concordance(rank_table(answers))
    assert (found.kendalls_w, found.people) == (0.5, 2.5)
    assert found.mean_spearman == pytest.approx(0, abs=1e-12)


def test_people_who_ranked_other_pictures_of_a_page_are_not_held_against_each_other():
    answers = [
        *ranked("ann", "1", {"A": 1, "B": 2, "C": 3}),
        *ranked("ben", "1", {"A": 1, "B": 2}),
        *ranked("eva", "1", {"A": 2, "B": 1}),
    ]
    found = concordance(rank_table(answers))
    assert (found.kendalls_w, found.people) == (0, 2)


def test_models_that_a_page_does_not_show_are_no_ties():
    answers = [
        *ranked("ann", "1", {"A": 1, "B": 2}),
        *ranked("ben", "1", {"A": 1, "B": 2}),
        *ranked("ben", "2", {"C": 1, "D": 2, "E": 3}),
    ]
    assert concordance(rank_table(answers)).kendalls_w == 1


def test_what_says_nothing_of_agreement_has_no_number():
    alone = concordance(table([1, 2, 3]))
    assert (alone.kendalls_w, alone.people, alone.mean_spearman) == (None, 0, None)
    tied = concordance(table([1, 1, 1], [1, 1, 1]))
    assert (tied.kendalls_w, tied.mean_spearman) == (None, None)
    # Two rank alike, one ties all. Mid-ranks sum to 4 6 8: S = 8, T = 24, and so
    # W = 12 * 8 / (9 * 24 - 3 * 24) = 2/3. The third has no correlation.
    some = concordance(table([1, 2, 3], [1, 2, 3], [1, 1, 1]))
    assert some.kendalls_w == pytest.approx(2 / 3)
    assert some.mean_spearman == pytest.approx(1)
    empty = concordance(table([1, 2]).take(np.array([], np.int64)))
    assert (empty.kendalls_w, empty.people, empty.mean_spearman) == (None, 0, None)


def test_random_ranks_have_a_w_of_one_over_the_people_and_no_correlation():
    worth = np.random.default_rng(5).normal(size=(5, 500, 4, 4))
    found = concordance(table_of(competition(worth)))
    assert found.kendalls_w == pytest.approx(1 / 5, abs=0.01)
    assert found.mean_spearman == pytest.approx(0, abs=0.01)


def test_agreement_of_each_two_people_by_hand():
    # Against ann: ben agrees on A-B and A-C, not on B-C; eva ties B and C, agrees on A-B and A-C,
    # and half on B-C. Ben and eva: the same.
    found = agreement(comparisons(table([1, 2, 3], [1, 3, 2], [1, 2, 2])))
    expected = np.array(
        [[np.nan, 2 / 3, 2.5 / 3], [2 / 3, np.nan, 2.5 / 3], [2.5 / 3, 2.5 / 3, np.nan]]
    )
    np.testing.assert_allclose(found.pairs, expected)
    np.testing.assert_allclose(found.with_others, [4.5 / 6, 4.5 / 6, 5 / 6])


def test_two_who_tie_the_same_agree_wholly():
    found = agreement(comparisons(table([1, 1, 3], [1, 1, 3])))
    assert found.pairs[0, 1] == 1


def test_people_who_share_little_have_no_agreement():
    answers = [
        *ranked("ann", "1", {"A": 1, "B": 2}),
        *ranked("ann", "2", {"A": 1, "B": 2}),
        *ranked("ben", "1", {"A": 2, "B": 1}),
        *ranked("ben", "2", {"A": 1, "B": 2}),
        *ranked("eva", "3", {"A": 1, "B": 2}),
    ]
    found = agreement(comparisons(rank_table(answers)))
    assert np.isnan(found.pairs).all()
    np.testing.assert_array_equal(found.with_others, [0.5, 0.5, np.nan])


def test_where_a_picture_was_shown_does_not_matter_to_agreement():
    rng = np.random.default_rng(6)
    ranks = competition(rng.integers(5, size=(6, 4, 2, 5)))
    places = rng.permuted(np.tile(np.arange(1, 6), (6, 4, 1)), axis=2)
    here, there = (agreement(comparisons(table_of(ranks, places=one))) for one in (places, None))
    np.testing.assert_allclose(here.pairs, there.pairs)


def test_many_tasks_are_taken_in_parts(monkeypatch):
    ranks = competition(np.random.default_rng(7).integers(3, size=(5, 3, 2, 4)))
    compared = comparisons(table_of(ranks))
    whole = agreement(compared)
    monkeypatch.setattr("scoft_training.rank_statistics._TASKS_AT_ONCE", 7)
    parts = agreement(compared)
    np.testing.assert_allclose(parts.pairs, whole.pairs)
    np.testing.assert_allclose(parts.with_others, whole.with_others)


def test_equal_values_share_a_tier():
    models = ("A", "B", "C", "D", "E")
    values = np.array([2.0, 1.5, 2.0, math.nan, 1.0])
    assert tiers(models, values) == (("E",), ("B",), ("A", "C"))
    assert tiers(models, values, highest_first=True) == (("A", "C"), ("B",), ("E",))
    near = np.array([1.0, 1.4, 1.8, 9.0, 9.3])
    assert tiers(models, near, tolerance=0.5) == (("A", "B", "C"), ("D", "E"))
    assert tiers(models, np.full(5, math.nan)) == ()


def test_averages_of_different_rankings_that_are_equal_are_one_tier():
    # A has 1 2 4, B has 2 3 2: 7/3 both.
    figures = rank_figures(table([1, 2, 3, 4], [2, 3, 1, 4], [4, 2, 1, 3]))
    assert tiers("ABCD", figures.average_ranks) == (("C",), ("A", "B"), ("D",))


def test_ratios_and_sums():
    np.testing.assert_array_equal(ratio(np.array([1, 0]), np.array([4, 0])), [0.25, np.nan])
    added = sums(np.array([2, 0, 2]), np.array([[1.0, 2], [3, 4], [5, 6]]), 4)
    assert added.tolist() == [[3, 4], [0, 0], [6, 8], [0, 0]]
