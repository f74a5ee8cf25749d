"""Intervals over people: against closed forms, plain recomputation, and what they promise."""

import math

import numpy as np
import pytest
from made_rankings import competition, ranked, table_of

from scoft_training.rank_resampling import Resamples, draw_resamples, rank_estimates
from scoft_training.rank_statistics import rank_figures
from scoft_training.rank_table import rank_table
from scoft_training.survey_records import Estimate

FREEDOM_4 = 2.776
"""Student's t for 95 % with four degrees of freedom, as tables print it."""


def made(people=12, pages=3, models=4, groups=1, seed=0, own_pages=False):
    rng = np.random.default_rng(seed)
    taste = np.linspace(0.6, -0.6, models) + rng.normal(0, 0.5, (people, 1, 1, models))
    worth = np.round(taste + rng.normal(0, 0.7, (people, pages, 2, models)), 1)
    return table_of(competition(worth), group=np.arange(people) % groups, own_pages=own_pages)


def test_people_are_drawn_within_their_groups_one_fewer_than_there_are():
    table = made(people=7, groups=2)
    drawn = draw_resamples(table, 400, seed=3)
    assert drawn.weights.shape == (400, 7)
    assert drawn.strata.tolist() == [0, 1, 0, 1, 0, 1, 0]
    for here, size in ((drawn.strata == 0, 4), (drawn.strata == 1, 3)):
        counts = drawn.weights[:, here] * (size - 1) / size
        np.testing.assert_allclose(counts, counts.round(), atol=1e-12)
        np.testing.assert_allclose(counts.sum(axis=1), size - 1)
    np.testing.assert_allclose(drawn.weights.mean(axis=0), 1, atol=0.2)
    again = draw_resamples(table, 400, seed=3)
    assert np.array_equal(drawn.weights, again.weights)
    assert not np.array_equal(drawn.weights, draw_resamples(table, 400, seed=4).weights)


def test_the_spread_is_that_of_a_mean_over_people():
    # The mean of 9 values has the standard error std / sqrt(9), divisor 8; drawing 9 of 9 would
    # give 8/9 of its square.
    values = np.random.default_rng(1).normal(size=9)
    weights = draw_resamples(made(people=9), 40_000, seed=0).weights
    means = weights @ values / weights.sum(axis=1)
    assert means.std() == pytest.approx(values.std(ddof=1) / 3, rel=0.02)


def test_people_alone_in_their_groups_are_drawn_together():
    answers = [
        one
        for person, culture in [("a", "Peru"), ("b", "Peru"), ("c", "Togo"), ("d", "Oman")]
        for one in ranked(person, "1", {"A": 1, "B": 2}, culture=culture)
    ]
    drawn = draw_resamples(rank_table(answers), 50, seed=0)
    assert drawn.strata.tolist() == [1, 1, 3, 3]
    assert set(drawn.weights.ravel()) == {0, 2}
    lonely = draw_resamples(rank_table(answers[:6]), 50, seed=0)
    assert lonely.strata.tolist() == [0, 0, 2]
    assert (lonely.weights[:, 2] == 1).all()


def test_ends_by_hand():
    # Five people, p = 1/2: the angle is pi / 4. Angles of pi / 4 +- 0.1 have the deviation
    # 0.1 sqrt(4 / 3) of four, and t is 2.776.
    drawn = Resamples(np.ones((4, 5)), np.zeros(5, np.int64), 0.95)
    moved = np.sin(math.pi / 4 + np.array([0.1, -0.1, 0.1, -0.1])) ** 2
    reach = FREEDOM_4 * 0.1 * math.sqrt(4 / 3)
    found = drawn.estimate(0.5, moved, np.arange(5), least=0, most=1)
    assert found.low == pytest.approx(math.sin(math.pi / 4 - reach) ** 2, abs=1e-4)
    assert found.high == pytest.approx(math.sin(math.pi / 4 + reach) ** 2, abs=1e-4)
    # On another range the same, stretched; a resample without the model is passed over.
    ranks = drawn.estimate(2.5, 1 + 3 * np.append(moved, np.nan), np.arange(5), least=1, most=4)
    assert ranks.low == pytest.approx(1 + 3 * found.low)
    assert ranks.high == pytest.approx(1 + 3 * found.high)
    # Two strata leave one degree of freedom less, t = 3.182.
    parted = Resamples(drawn.weights, np.array([0, 0, 0, 1, 1]), 0.95)
    wider = parted.estimate(0.5, moved, np.arange(5), least=0, most=1)
    assert wider.high == pytest.approx(
        math.sin(math.pi / 4 + reach * 3.182 / FREEDOM_4) ** 2, abs=1e-4
    )


def test_ends_stay_within_what_the_number_can_be():
    drawn = Resamples(np.ones((3, 3)), np.zeros(3, np.int64), 0.95)
    found = drawn.estimate(0.9, np.array([0.7, 0.9, 1.0]), np.arange(3), least=0, most=1)
    assert found.high == 1
    assert 0 <= found.low < 0.5


def test_one_person_has_no_interval():
    drawn = Resamples(np.ones((9, 3)), np.array([0, 1, 1]), 0.95)
    assert drawn.estimate(2.0, np.full(9, 2.0), np.array([0]), least=1, most=4) == Estimate(2.0)
    assert drawn.estimate(2.0, np.full(9, 2.0), np.array([0, 1]), least=1, most=4) == Estimate(2.0)
    gone = np.full(9, np.nan)
    assert drawn.estimate(2.0, gone, np.array([1, 2]), least=1, most=4) == Estimate(2.0)


def test_where_nobody_differs_the_interval_allows_for_people_who_were_missed():
    drawn = Resamples(np.ones((9, 5)), np.zeros(5, np.int64), 0.95)
    found = drawn.estimate(1.0, np.full(9, 1.0), np.arange(5), least=0, most=1)
    # A share of 45 % is missed by five people in 5 % of cases: 0.5493^5 = 0.05.
    assert (found.low, found.high) == (pytest.approx(0.5493, abs=1e-4), 1)
    middle = drawn.estimate(2.0, np.full(9, 2.0), np.arange(5), least=1, most=4)
    assert middle.low == pytest.approx(2 - 0.4507, abs=1e-4)
    assert middle.high == pytest.approx(2 + 2 * 0.4507, abs=1e-4)
    single = drawn.estimate(1.0, np.full(9, 1.0), np.arange(5), least=1, most=1)
    assert single == Estimate(1.0, 1.0, 1.0)


def test_a_chance_has_its_ends_on_the_scale_of_log_odds():
    # Five people: t is 2.776, and log-odds of +-0.1 have the deviation 0.1 sqrt(4 / 3) of four.
    drawn = Resamples(np.ones((4, 5)), np.zeros(5, np.int64), 0.95)
    moved = 1.2 + np.array([0.1, -0.1, 0.1, -0.1])
    found = drawn.chance(1.2, moved, np.arange(5), error=0.05)
    reach = FREEDOM_4 * 0.1 * math.sqrt(4 / 3)
    assert found.mean == pytest.approx(1 / (1 + math.exp(-1.2)))
    assert found.low == pytest.approx(1 / (1 + math.exp(reach - 1.2)), abs=1e-4)
    assert found.high == pytest.approx(1 / (1 + math.exp(-reach - 1.2)), abs=1e-4)
    # Resamples that do not move leave what the answers themselves leave open.
    still = drawn.chance(1.2, np.full(4, 1.2), np.arange(5), error=0.5)
    assert still.low == pytest.approx(1 / (1 + math.exp(FREEDOM_4 * 0.5 - 1.2)), abs=1e-4)
    assert still.high == pytest.approx(1 / (1 + math.exp(-FREEDOM_4 * 0.5 - 1.2)), abs=1e-4)
    alone = drawn.chance(1.2, moved, np.arange(1), error=0.5)
    assert (alone.mean, alone.low, alone.high) == (found.mean, None, None)


def resampled(table, drawn, statistic):
    """Weigh by repeating rankings: the plain way. The weights are whole numbers here."""
    values = []
    for weights in drawn.weights:
        times = np.rint(weights[table.participant]).astype(int)
        values.append(statistic(rank_figures(table.take(np.repeat(np.arange(len(times)), times)))))
    return np.array(values)


def test_estimates_are_those_of_resampled_tables():
    # Of two people a group one is drawn twice, so that weights are whole.
    table = made(people=10, groups=5, own_pages=True)
    drawn = draw_resamples(table, 60, seed=2)
    found = rank_estimates(table, drawn)
    figures = rank_figures(table)
    everybody = np.arange(10)
    for name, least, most in (
        ("average_ranks", 1, 4),
        ("first_shares", 0, 1),
        ("win_rates", 0, 1),
    ):
        moved = resampled(table, drawn, lambda one, name=name: getattr(one, name))
        for model in range(4):
            value = getattr(figures, name)[model]
            expected = drawn.estimate(value, moved[:, model], everybody, least=least, most=most)
            one = getattr(found, name)[model]
            assert (one.mean, one.low, one.high) == pytest.approx(
                (expected.mean, expected.low, expected.high)
            )
            assert one.low < one.mean < one.high
    pairs = resampled(table, drawn, lambda one: one.pair_win_rates)
    expected = drawn.estimate(
        figures.pair_win_rates[0, 3], pairs[:, 0, 3], everybody, least=0, most=1
    )
    assert found.pair_win_rates[0, 3].high == pytest.approx(expected.high)
    assert len(found.pair_win_rates) == 12
    ranks = resampled(table, drawn, lambda one: one.average_ranks)
    apart = drawn.estimate(
        figures.average_ranks[1] - figures.average_ranks[2],
        ranks[:, 1] - ranks[:, 2],
        everybody,
        least=-3,
        most=3,
    )
    one = found.rank_differences[1, 2]
    assert (one.mean, one.low, one.high) == pytest.approx((apart.mean, apart.low, apart.high))


def test_a_group_has_the_interval_of_its_own_people():
    table = made(people=24, groups=3, own_pages=True)
    drawn = draw_resamples(table, 2000, seed=0)
    rows = table.group == 1
    found = rank_estimates(table.take(rows), drawn)
    alone = table_of(table.ranks[rows].reshape(8, 3, 2, 4))
    expected = rank_estimates(alone, draw_resamples(alone, 2000, seed=9))
    for one, other in zip(found.average_ranks, expected.average_ranks, strict=True):
        assert one.mean == other.mean
        assert one.high - one.low == pytest.approx(other.high - other.low, rel=0.1)


def test_differences_are_paired():
    # Half of the people give A and B good ranks, half bad ones; A lies one before B for each.
    ranks = np.array([[1, 2, 3, 4], [3, 4, 1, 2]] * 6).reshape(12, 1, 1, 4).repeat(5, axis=1)
    found = rank_estimates(table_of(ranks), draw_resamples(table_of(ranks), 500, seed=0))
    assert found.average_ranks[0].high - found.average_ranks[0].low > 1
    apart = found.rank_differences[0, 1]
    assert apart.mean == -1
    # What 12 people who are all alike leave open: 22 % who might put A three before or behind.
    missed = 1 - 0.05 ** (1 / 12)
    assert (apart.low, apart.high) == pytest.approx((-1 - missed * 2, -1 + missed * 4))


def test_models_that_are_not_there_have_no_estimate():
    answers = [
        *ranked("ann", "1", {"A": 1, "B": 2}),
        *ranked("ben", "1", {"A": 2, "B": 1}),
        *ranked("eva", "2", {"C": 1}),
    ]
    table = rank_table(answers)
    drawn = draw_resamples(table, 100, seed=0)
    found = rank_estimates(table.take(table.page == 0), drawn)
    assert found.average_ranks[2] is None
    assert found.first_shares[2] is None
    whole = rank_estimates(table, drawn)
    assert whole.average_ranks[2].mean == 1
    assert whole.win_rates[2] is None
    assert set(whole.pair_win_rates) == {(0, 1), (1, 0)} == set(whole.rank_differences)


@pytest.mark.parametrize(("groups", "people"), [(1, 5), (5, 3), (1, 20)])
def test_95_percent_of_the_intervals_hold_the_true_value(groups, people):
    """Groups of so many people, from cultures of 2,000; every value that is reported."""
    rng = np.random.default_rng(11)
    cultures = [culture(rng) for _ in range(groups)]
    truth = values(table_of(np.concatenate(cultures)))
    held, percentiles = [], []
    for _ in range(250):
        chosen = np.concatenate([one[rng.integers(len(one), size=people)] for one in cultures])
        table = table_of(chosen, group=np.repeat(np.arange(groups), people), own_pages=True)
        drawn = draw_resamples(table, 200, seed=int(rng.integers(2**31)))
        found = estimates(rank_estimates(table, drawn))
        held.append([one.low <= true <= one.high for one, true in zip(found, truth, strict=True)])
        plain = plain_percentiles(table, groups, people, rng)
        percentiles.append((plain[0] <= truth[0]) & (truth[0] <= plain[1]))
    assert 0.925 <= np.mean(held) <= 0.98
    assert np.mean(held, axis=0).min() > 0.88
    if groups * people < 20:
        # Why it is not the percentiles of a plain bootstrap.
        assert np.mean(percentiles) < 0.91


def culture(rng):
    """(people, pages, items, models) ranks of all people of a culture, a tie here and there."""
    page, person = rng.normal(0, 0.5, (4, 1, 4)), rng.normal(0, 0.7, (2000, 1, 1, 4))
    worth = np.array([0.6, 0.2, -0.2, -0.6]) + page + person
    return competition(np.round(worth + rng.normal(0, 1, (2000, 4, 1, 4)), 1))


def values(table):
    figures = rank_figures(table)
    best = figures.average_ranks[0]
    return [
        best,
        *figures.first_shares,
        figures.pair_win_rates[0, 3],
        best - figures.average_ranks[2],
    ]


def estimates(found):
    return [
        found.average_ranks[0],
        *found.first_shares,
        found.pair_win_rates[0, 3],
        found.rank_differences[0, 2],
    ]


def plain_percentiles(table, groups, people, rng):
    """The 95 % percentiles of the first model's average rank with all people drawn anew."""
    means = table.ranks[:, 0].reshape(groups, people, -1).mean(axis=2)
    drawn = rng.integers(people, size=(200, groups, people))
    moved = np.take_along_axis(means[None], drawn, axis=2).mean(axis=(1, 2))
    return np.quantile(moved, [0.025, 0.975])
