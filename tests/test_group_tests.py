"""Places and groups: found where they are planted, not where they are not; said in a sentence."""

import itertools

import numpy as np
import pytest
from made_rankings import competition, ranked, table_of

from scoft_training.group_tests import disagreements, holm, position_biases
from scoft_training.rank_table import rank_table


def dealt(rng, people, pages, models):
    """(people, pages, models) places in a random order."""
    return rng.permuted(np.tile(np.arange(1, models + 1), (people, pages, 1)), axis=2)


def placed_table(seed, pull=0.0, people=9, pages=3, items=2, models=4):
    """People like earlier places better, by `pull` each; the first models are better anyway."""
    rng = np.random.default_rng(seed)
    places = dealt(rng, people, pages, models)
    mood = rng.normal(0, 0.7, (people, pages, 1, models))
    worth = mood - 0.5 * np.arange(models) - pull * places[:, :, None]
    noise = rng.normal(0, 0.5, (people, pages, items, models))
    return table_of(competition(np.round(worth + noise, 1)), places=places)


def test_average_ranks_by_place_are_those_of_the_ranks_there():
    table = placed_table(1)
    whole, *items = position_biases(table, permutations=100, seed=0)
    assert (whole.item, whole.pages) == (None, 27)
    assert [one.item for one in items] == ["alignment", "representation"]
    by_place = [table.ranks[table.positions == place].mean() for place in (1, 2, 3, 4)]
    assert whole.average_ranks == pytest.approx(by_place)
    here = table.take(table.item == 1)
    by_place = [here.ranks[here.positions == place].mean() for place in (1, 2, 3, 4)]
    assert items[1].average_ranks == pytest.approx(by_place)


def test_a_pull_of_the_first_place_is_found():
    whole, *items = position_biases(placed_table(2, pull=0.7), permutations=999, seed=0)
    assert whole.p_value == 0.001
    assert all(one.p_value == 0.002 for one in items)
    assert list(whole.average_ranks) == sorted(whole.average_ranks)


def test_p_values_of_places_are_uniform_where_places_do_nothing():
    # Models differ and the two items of a page go together, so that what keeps them apart would
    # find far too much.
    found = [
        position_biases(placed_table(seed), permutations=99, seed=seed)[0].p_value
        for seed in range(400)
    ]
    # 0.05 +- 3 standard errors of 400 trials, and so on.
    for level, error in ((0.05, 0.033), (0.5, 0.075)):
        assert np.mean(np.array(found) <= level) == pytest.approx(level, abs=error)


def test_the_p_value_of_places_is_that_of_all_orders():
    # Two pages of three pictures, in the same places, and two of two.
    three, two = {"A": 2, "B": 1, "C": 3}, {"A": 2, "B": 1}
    answers = [
        *ranked("ann", "1", {"A": 2, "B": 3, "C": 1}, places=three),
        *ranked("ann", "2", {"A": 2, "B": 2, "C": 1}, places=three),
        *ranked("ben", "1", {"A": 1, "B": 2}, places=two),
        *ranked("ben", "2", {"A": 1, "B": 1}, places=two),
    ]
    # By place, less the ranking's mean.
    seen = [(1, 0, -1), (1 / 3, 1 / 3, -2 / 3), (0.5, -0.5, 0), (0, 0, 0)]
    orders = [
        list(itertools.permutations(seen[0])),
        list(itertools.permutations(seen[1])),
        [(0.5, -0.5, 0), (-0.5, 0.5, 0)],
        seen[3:],
    ]

    def moved(pages):
        return (np.sum(pages, axis=0) ** 2 / [4, 4, 2]).sum()

    reached = [moved(pages) > moved(seen) - 1e-9 for pages in itertools.product(*orders)]
    assert len(reached) == 72
    whole, item = position_biases(rank_table(answers), permutations=20_000, seed=0)
    assert whole.p_value == pytest.approx(np.mean(reached), abs=0.01)
    assert (item.item, whole.pages) == ("alignment", 4)
    # The ten pictures' ranks sum to 16.
    away = [(11 / 6, 4), (-1 / 6, 4), (-5 / 3, 2)]
    assert whole.average_ranks == pytest.approx([1.6 + one / count for one, count in away])


def test_items_of_one_page_are_dealt_out_together():
    # Four items with the same ranks are no more evidence than one.
    one = placed_table(5, items=1, people=4, pages=2)
    ranks = one.ranks.reshape(4, 2, 1, 4).repeat(4, axis=2)
    four = table_of(ranks, places=one.positions.reshape(4, 2, 4))
    (single, *_), (several, *_) = (
        position_biases(table, permutations=5000, seed=0) for table in (one, four)
    )
    assert several.pages == single.pages == 8
    assert several.p_value == pytest.approx(single.p_value, abs=0.03)


def test_pages_with_fewer_pictures_do_not_look_like_a_bias():
    # Pages of two have ranks 1 and 2 on places 1 and 2 alone; everybody ranks at random.
    rng = np.random.default_rng(7)
    answers = []
    for person in range(40):
        for models in ("AB", "ABCD"):
            ranks, places = (rng.permutation(len(models)) + 1 for _ in range(2))
            answers += ranked(
                str(person),
                models,
                dict(zip(models, ranks.tolist(), strict=True)),
                places=dict(zip(models, places.tolist(), strict=True)),
            )
    whole, _ = position_biases(rank_table(answers), permutations=500, seed=0)
    assert whole.p_value > 0.1
    assert max(whole.average_ranks) - min(whole.average_ranks) < 0.5


def test_rankings_without_known_places_are_passed_over():
    table = placed_table(3)
    assert position_biases(table_of(table.ranks.reshape(9, 3, 2, 4)), permutations=9, seed=0) == ()
    answers = [
        *ranked("ann", "1", {"A": 1, "B": 2}, places={"A": 1, "B": 2}),
        *ranked("ben", "1", {"A": 1, "B": 2}, places={"A": 1, "B": 3}),
        *ranked("eva", "1", {"A": 1, "B": 2}),
    ]
    whole, _ = position_biases(rank_table(answers), permutations=9, seed=0)
    assert (whole.pages, whole.average_ranks) == (1, (1, 2))


def test_everything_tied_shows_no_pull():
    ranks = np.ones((4, 2, 1, 3), int)
    table = table_of(ranks, places=dealt(np.random.default_rng(0), 4, 2, 3))
    whole, _ = position_biases(table, permutations=50, seed=0)
    assert (whole.p_value, whole.average_ranks) == (1, (1, 1, 1))


def test_permutations_may_come_in_parts(monkeypatch):
    table = placed_table(4, pull=0.3)
    (whole, *_) = position_biases(table, permutations=200, seed=0)
    monkeypatch.setattr("scoft_training.group_tests._NUMBERS_AT_ONCE", 1000)
    (parts, *_) = position_biases(table, permutations=200, seed=0)
    assert parts == whole


def grouped_table(seed, apart, sizes=(6, 8), *, own_pages=False, models=3):
    """People of the second group turn the order of the models round, by so much."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    slope = np.where(group == 1, 1 - 2 * apart, 1)[:, None, None, None]
    taste = rng.normal(0, 0.6, (len(group), 1, 1, models))
    worth = -slope * np.arange(models) * 0.8 + taste
    ranks = competition(worth + rng.normal(0, 0.6, (len(group), 3, 2, models)))
    return table_of(ranks, group=group, own_pages=own_pages)


def test_groups_that_rank_differently_are_told_apart_before_any_winner():
    whole, *items = disagreements(grouped_table(0, apart=1), permutations=999, seed=0)
    assert whole.winners == {"group 0": ("A",), "group 1": ("C",)}
    assert whole.disagree
    assert whole.p_value == 0.001
    assert whole.sentence == (
        "The groups disagree, more than chance explains (people in a group: 6 to 8; p = 0.001): "
        "people of group 0 put A first, people of group 1 put C first."
    )
    assert [one.item for one in items] == ["alignment", "representation"]
    assert all(one.disagree and one.p_value == 0.002 for one in items)


def test_groups_with_pages_of_their_own_may_differ_by_the_pictures():
    whole, *_ = disagreements(grouped_table(0, apart=1, own_pages=True), permutations=99, seed=0)
    assert whole.sentence.endswith(
        "C first. Each group ranked pages of its own, so the pictures may make the difference as "
        "well as the people."
    )


def test_groups_that_rank_alike_are_not_told_apart():
    whole, *_ = disagreements(grouped_table(1, apart=0), permutations=99, seed=0)
    assert not whole.disagree
    assert whole.p_value > 0.2
    assert whole.sentence == (
        "Both groups put A first; nothing shows that the groups rank the models differently, nor "
        f"that they rank them alike (people in a group: 6 to 8; p = {whole.p_value:.2g})."
    )


def test_p_values_of_groups_are_uniform_where_groups_are_alike():
    found = [
        disagreements(grouped_table(seed, apart=0), permutations=99, seed=seed)[0].p_value
        for seed in range(400)
    ]
    for level, error in ((0.05, 0.033), (0.5, 0.075)):
        assert np.mean(np.array(found) <= level) == pytest.approx(level, abs=error)


def test_the_p_value_of_groups_is_that_of_all_ways_to_deal_people_out():
    # Mean ranks of A, a person: 1.0 1.5 1.5 2.0 | 1.5 1.5 2.0 2.0; B has what is left of 3.
    means = [1.0, 1.5, 1.5, 2.0, 1.5, 1.5, 2.0, 2.0]
    ranks = np.array(
        [[(1, 2) if mean < 2 else (2, 1), (2, 1) if mean > 1 else (1, 2)] for mean in means]
    )
    table = table_of(ranks[:, :, None], group=[0, 0, 0, 0, 1, 1, 1, 1])
    ways = [sum(means[one] for one in some) for some in itertools.combinations(range(8), 4)]
    # Both models and both groups move alike, so the group's sum says it all; the mean is 6.5.
    expected = np.mean([abs(one - 6.5) >= 0.5 for one in ways])
    whole, _ = disagreements(table, permutations=20_000, seed=0)
    assert whole.p_value == pytest.approx(expected, abs=0.015)


def test_the_p_value_of_three_unequal_groups_is_that_of_all_ways():
    # So many of five pages with A first.
    firsts = np.array([1, 1, 4, 2, 5, 1, 2, 1, 1])
    ranks = np.array([[(1, 2)] * one + [(2, 1)] * (5 - one) for one in firsts])[:, :, None]

    def apart(groups):
        return sum(len(one) * (firsts[list(one)].mean() - firsts.mean()) ** 2 for one in groups)

    everybody, ways = set(range(9)), []
    for one in itertools.combinations(everybody, 2):
        for other in itertools.combinations(everybody - set(one), 2):
            ways.append((one, other, everybody - set(one) - set(other)))
    found = apart([(0, 1), (2, 3), (4, 5, 6, 7, 8)])
    whole, _ = disagreements(
        table_of(ranks, group=[0, 0, 1, 1, 2, 2, 2, 2, 2]), permutations=20_000, seed=0
    )
    assert len(ways) == 756
    reached = [apart(way) > found - 1e-9 for way in ways]
    assert whole.p_value == pytest.approx(np.mean(reached), abs=0.015)


def test_people_are_the_units_not_their_rankings():
    # Two people of a group differ from two of the other in all of 30 pages: of 6 ways to deal out
    # four people 3 are told from each other, so nothing can be told.
    ranks = np.array([[1, 2], [1, 2], [2, 1], [2, 1]])[:, None, None].repeat(30, axis=1)
    whole, _ = disagreements(table_of(ranks, group=[0, 0, 1, 1]), permutations=99, seed=0)
    assert (whole.p_value, whole.disagree) == (None, True)
    assert whole.sentence == (
        "People of group 0 put A first, people of group 1 put B first; too few people to tell "
        "whether groups differ (people in a group: 2)."
    )


def test_four_and_four_people_are_enough_to_tell():
    # 70 ways to deal them out, 35 told from each other: 1 / 35 is less than 1 / 20.
    ranks = np.array([[1, 2]] * 4 + [[2, 1]] * 4)[:, None, None]
    whole, _ = disagreements(table_of(ranks, group=[0] * 4 + [1] * 4), permutations=999, seed=0)
    assert whole.p_value == pytest.approx(1 / 35, abs=0.015)


def test_hundreds_of_people_can_be_told_apart():
    """They fall into groups in more ways than a float can count."""
    table = grouped_table(3, 2.0, (400, 300, 200))
    assert disagreements(table, permutations=200, seed=0)[0].p_value < 0.01


def test_winners_that_differ_by_chance_are_told_as_that():
    ranks = np.array([[1, 2], [2, 1], [1, 2], [1, 2], [2, 1], [2, 1], [1, 2], [2, 1]])[
        :, None, None
    ]
    whole, _ = disagreements(table_of(ranks, group=[0] * 4 + [1] * 4), permutations=99, seed=0)
    assert whole.winners == {"group 0": ("A",), "group 1": ("B",)}
    assert whole.disagree
    assert whole.sentence == (
        "People of group 0 put A first, people of group 1 put B first; chance alone often makes "
        f"such a difference (people in a group: 4; p = {whole.p_value:.2g})."
    )


def test_groups_with_one_winner_may_still_rank_differently():
    # B and C change places.
    ranks = np.array([[1, 2, 3]] * 5 + [[1, 3, 2]] * 5)[:, None, None]
    whole, _ = disagreements(table_of(ranks, group=[0] * 5 + [1] * 5), permutations=999, seed=0)
    assert whole.disagree
    assert whole.sentence.startswith("The groups rank the models differently, more than chance")
    assert whole.sentence.endswith("both groups put A first.")


def test_groups_that_say_the_same_are_named_together_and_ties_too():
    answers = [
        one
        for culture, ranks in {
            "Togo": {"A": 1, "B": 1, "C": 3},
            "Oman": {"A": 2, "B": 1, "C": 3},
            "Peru": {"A": 2, "B": 1, "C": 3},
            "Fiji": {"A": 2, "B": 1, "C": 3},
        }.items()
        for one in ranked(f"of {culture}", "1", ranks, culture=culture)
    ]
    whole, _ = disagreements(rank_table(answers), permutations=9, seed=0)
    # All have B in their first tier.
    assert not whole.disagree
    assert whole.sentence.startswith(
        "People of Fiji, Oman and Peru put B first, people of Togo put A and B first; too few"
    )


def test_who_ties_all_models_puts_none_of_them_first():
    ranks = np.array([[1, 1, 1]] * 5 + [[1, 2, 3]] * 5)[:, None, None]
    whole, _ = disagreements(table_of(ranks, group=[0] * 5 + [1] * 5), permutations=999, seed=0)
    assert whole.sentence.endswith(
        "people of group 0 put no model before another, people of group 1 put A first."
    )
    alike, _ = disagreements(
        table_of(ranks[[0] * 8], group=[0] * 4 + [1] * 4), permutations=9, seed=0
    )
    assert alike.sentence.startswith("Both groups put no model before another; nothing shows")


def test_one_group_has_nobody_to_disagree_with():
    assert disagreements(placed_table(0), permutations=9, seed=0) == ()
    table = grouped_table(0, apart=1)
    # An item that one group alone answered is not in it.
    some = table.take((table.group == 0) | (table.item == 0))
    assert [one.item for one in disagreements(some, permutations=9, seed=0)] == [None, "alignment"]


def test_a_model_that_a_group_never_saw_does_not_tell_it_apart():
    # All put A before B; the second group alone saw C, and put it last.
    ranks = np.array([[1, 2, 0]] * 5 + [[1, 2, 3]] * 5)[:, None, None]
    whole, *_ = disagreements(table_of(ranks, group=[0] * 5 + [1] * 5), permutations=99, seed=0)
    assert (whole.p_value, whole.disagree) == (1, False)


def test_what_a_person_ranked_in_another_group_is_not_held_against_their_own():
    rng = np.random.default_rng(8)
    answers = [
        one
        for person in range(10)
        for page in "123"
        for one in ranked(
            str(person),
            page,
            dict(zip("ABC", (rng.permutation(3) + 1).tolist(), strict=True)),
            culture="Peru" if person < 5 else "Togo",
        )
    ]
    guest = [
        one for page in "45" for one in ranked("1", page, {"A": 3, "B": 1, "C": 2}, culture="Togo")
    ]
    alone, with_guest = (
        disagreements(rank_table(some), permutations=500, seed=0)[0]
        for some in (answers, answers + guest)
    )
    assert with_guest.p_value == alone.p_value


def test_holms_correction_by_hand():
    assert holm([0.03, 0.01, 0.04, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.4, 0.9, 0.7]) == [1, 1, 1]
    assert holm([]) == []
