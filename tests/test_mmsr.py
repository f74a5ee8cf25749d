"""MMSR and the weighted vote: crowd-kit's values where it is right, and right where it is not."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from made_comparisons import (
    compared_by_hand,
    made_comparisons,
    majority_share,
    right_share,
    taken,
)

from scoft_training.mmsr import majority_order, mmsr_vote

SURVEYS = 200


def crowd_kits_skills(compared):
    """crowd-kit's MMSR on everything at once: log-odds of the people, in their order."""
    aggregation = pytest.importorskip("crowdkit.aggregation")
    pandas = pytest.importorskip("pandas")
    side = np.where(compared.left < compared.right, 1, -1) * np.sign(compared.outcome - 0.5)
    columns = {"task": compared.task, "worker": compared.participant, "label": side}
    with np.errstate(all="ignore"):
        skills = aggregation.MMSR().fit(pandas.DataFrame(columns)).skills_
    return skills.reindex(range(len(compared.participants))).to_numpy()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("opponents", [0.0, 0.25])
def test_weights_are_crowd_kits_where_it_is_right(seed, opponents):
    # Everybody shares many tasks with everybody, and nobody's side is in doubt.
    made = made_comparisons(seed, people=12, groups=1, pages=60, gap=2.0, opponents=opponents)
    vote = mmsr_vote(made.compared)
    assert [group.method for group in vote.groups] == ["MMSR"]
    theirs = crowd_kits_skills(made.compared)
    clear = np.abs(vote.skills) > 0.3
    assert clear.sum() >= 8
    np.testing.assert_allclose(vote.skills[clear], theirs[clear], atol=1e-6)
    np.testing.assert_allclose(np.abs(vote.skills), np.abs(theirs), atol=1e-6)


@pytest.mark.slow
def test_five_groups_that_share_nothing():
    shares = []
    for seed in range(SURVEYS):
        made = made_comparisons(seed, gap=0.7, items=1)
        vote = mmsr_vote(made.compared)
        assert [len(group.participants) for group in vote.groups] == [10] * 5
        assert [group.method for group in vote.groups] == ["MMSR"] * 5
        assert np.isfinite(vote.skills).all()
        assert np.abs(vote.skills).min() > 0
        assert np.sign(vote.skills).mean() > 0.5
        shares.append((right_share(vote.labels, made), majority_share(made)))
    ours, majority = np.mean(shares, axis=0)
    assert 0.6 < majority <= ours


def test_opponents_are_found_and_outvoted():
    shares = []
    for seed in range(20):
        made = made_comparisons(seed, gap=0.7, opponents=0.2)
        shares.append((right_share(mmsr_vote(made.compared).labels, made), majority_share(made)))
    ours, majority = np.mean(shares, axis=0)
    assert ours > majority + 0.04


def test_crowd_kit_makes_opponents_of_a_group_that_shares_nothing():
    # The reason why groups are weighed apart, and for signs of this room's own.
    for seed in range(5):
        compared = made_comparisons(seed, gap=0.7, items=1).compared
        theirs, ours = crowd_kits_skills(compared) < 0, mmsr_vote(compared).skills < 0
        group = np.arange(50) % 5
        against = [theirs[group == one].sum() for one in range(5)]
        assert max(against) > 7, "nearly a whole group of ten"
        assert ours.sum() <= 2


def said(compared):
    """(people, tasks) 1 for the model of the lower index, -1 for the other, 0 for no answer."""
    side = np.where(compared.left < compared.right, 1, -1) * np.sign(compared.outcome - 0.5)
    table = np.zeros((len(compared.participants), compared.task.max() + 1))
    table[compared.participant, compared.task] = side
    return table


def chain():
    """Eight people who share pages with their neighbours in a row alone; one opposes."""
    made = made_comparisons(11, people=8, groups=1, pages=160, items=1, gap=3.0)
    compared = made.compared
    page = compared.task // 6
    # Person k ranks pages 20 k to 20 k + 59: three neighbours share a page.
    kept = (page >= 20 * compared.participant) & (page < 20 * compared.participant + 60)
    compared = taken(compared, kept)
    opposed = np.where(compared.participant == 6, 1 - compared.outcome, compared.outcome)
    return dataclasses.replace(made, compared=dataclasses.replace(compared, outcome=opposed))


def test_people_without_common_tasks_are_no_opponents():
    made = chain()
    vote = mmsr_vote(made.compared)
    (group,) = vote.groups
    assert group.method == "MMSR"
    assert (vote.skills < 0).tolist() == [one == 6 for one in range(8)]
    assert right_share(vote.labels, made) > majority_share(made) + 0.02


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_people_tasks_and_models_means_nothing(seed):
    made = made_comparisons(seed, people=14, groups=2, pages=6, items=2, gap=0.5)
    compared, chance = made.compared, np.random.default_rng(seed)
    vote = mmsr_vote(compared)
    places, names = chance.permutation(14), np.array(compared.participants)
    participants = np.empty(14, object)
    participants[places] = names
    turned = dataclasses.replace(
        taken(compared, chance.permutation(len(compared.task))),
        participants=tuple(participants),
    )
    turned = dataclasses.replace(turned, participant=places[turned.participant])
    turned = dataclasses.replace(turned, models=compared.models[::-1])
    turned = dataclasses.replace(turned, left=3 - turned.left, right=3 - turned.right)
    other = mmsr_vote(turned)
    np.testing.assert_allclose(other.skills[places], vote.skills, atol=1e-8)
    assert (other.labels == -vote.labels).all()
    assert {frozenset(tier) for tier in other.order} == {frozenset(tier) for tier in vote.order}
    assert [frozenset(tier) for tier in other.order] == [frozenset(tier) for tier in vote.order]


def test_one_page_answered_does_not_decide_that_page():
    made = made_comparisons(0, people=12, groups=1, pages=20, items=1, gap=1.5)
    compared = made.compared
    first = compared.participant == 0
    page = compared.task // 6 == 0
    # One person answers the first page only, and says there what most say.
    said = np.where(compared.left < compared.right, 1, -1) * np.sign(compared.outcome - 0.5)
    most = np.sign(np.bincount(compared.task[~first], said[~first]))
    agreeing = np.where(
        compared.left < compared.right, most[compared.task] > 0, most[compared.task] < 0
    )
    outcome = np.where(first, agreeing, compared.outcome).astype(float)
    compared = taken(dataclasses.replace(compared, outcome=outcome), ~first | page)
    weights = mmsr_vote(compared).skills
    # Six answers: at most 1 - 1 / sqrt(6), whatever they agree with.
    assert weights[0] <= 2 * np.arctanh(1 - 1 / np.sqrt(6)) + 1e-12
    assert weights[0] < np.sort(weights)[-3:].sum() / 2


def answers(people, tasks, say):
    return [(f"p{who}", task, "A", "B", say(who, task)) for who in people for task in tasks(who)]


def test_a_single_answer_of_each_is_a_vote():
    # One page, two models, one item: five people for A, one for B.
    rows = answers(range(6), lambda who: [0], lambda who, task: who < 5)
    vote = mmsr_vote(compared_by_hand("AB", rows))
    assert vote.labels.tolist() == [1]
    assert vote.order == (("A",), ("B",))
    assert np.ptp(vote.skills) == 0


def test_two_answers_do_not_outvote_single_ones_of_more_people():
    # Four told task 0 alone, for A; one, who also told task 1 with six others, is for B.
    rows = [
        *answers(range(4), lambda who: [0], lambda who, task: 1),
        *answers([4], lambda who: [0, 1], lambda who, task: task),
        *answers(range(5, 11), lambda who: [1], lambda who, task: 1),
    ]
    vote = mmsr_vote(compared_by_hand("AB", rows))
    assert [group.method for group in vote.groups] == ["MMSR"]
    assert vote.labels.tolist() == [1, 1]


def test_small_groups_let_a_majority_decide_and_say_why():
    three = answers(range(3), lambda who: range(9), lambda who, task: who < 2)
    vote = mmsr_vote(compared_by_hand("AB", three))
    (group,) = vote.groups
    assert (group.method, group.participants) == ("majority", ("p0", "p1", "p2"))
    assert group.reason == (
        "Only 3 people compared these pictures; weighing people against each other takes 6 or more."
    )
    assert np.isnan(vote.skills).all()
    assert vote.labels.tolist() == [1] * 9
    assert vote.order == (("A",), ("B",))
    alone = mmsr_vote(compared_by_hand("AB", three[:2]))
    assert alone.groups[0].reason.startswith("Only one person compared these pictures;")


def test_without_a_ring_of_three_nobody_can_be_weighed():
    # Six people in a circle: each shares tasks with two, never three among themselves.
    edges = {who: (who, (who + 1) % 6) for who in range(6)}

    def tasks(who):
        return [20 * edge + one for edge in edges[who] for one in range(20)]

    circle = answers(range(6), tasks, lambda who, task: (task * 7 + who) % 5 > 1)
    (group,) = mmsr_vote(compared_by_hand("AB", circle)).groups
    assert group.method == "majority"
    assert "in a ring" in group.reason
    chord = [*circle, *[("p0", 45, "A", "B", 1), ("p0", 46, "A", "B", 0)]]
    (group,) = mmsr_vote(compared_by_hand("AB", chord)).groups
    assert "in a ring" not in group.reason


def test_what_does_not_settle_is_left_to_a_majority():
    # Few people, two pages, near models: several agreements are nothing.
    made = made_comparisons(16, people=6, groups=1, pages=2, items=1, gap=0.3)
    vote = mmsr_vote(made.compared)
    (group,) = vote.groups
    assert group.method == "majority"
    assert group.reason == "The estimate of who agrees with whom does not settle."
    assert np.isnan(vote.skills).all()
    np.testing.assert_array_equal(vote.labels, np.sign(said(made.compared).sum(axis=0)))


def test_who_agrees_with_nobody_more_than_chance_has_hardly_a_vote():
    # Five say the same eight things, the sixth the opposite of every other one: agreement 0.
    rows = answers(range(6), lambda who: range(8), lambda who, task: who < 5 or task % 2)
    vote = mmsr_vote(compared_by_hand("AB", rows))
    assert vote.groups[0].method == "MMSR"
    assert vote.skills[:5] == pytest.approx(2 * np.arctanh(1 - 1 / np.sqrt(8)))
    assert 0 <= vote.skills[5] < vote.skills[0] / 2
    assert vote.labels.tolist() == [1] * 8


def test_ties_and_votes_that_cancel_label_nothing():
    rows = [
        *[("a", 0, "A", "B", 0.5), ("b", 0, "B", "A", 0.5)],
        *[("a", 1, "A", "B", 1), ("b", 1, "B", "A", 1)],
        *[("a", 2, "A", "B", 1), ("b", 2, "B", "A", 0)],
        # Asked twice, and both said: neither.
        *[("a", 3, "A", "B", 1), ("a", 3, "A", "B", 0)],
        # Asked twice, and said the same: one vote against one.
        *[("a", 4, "A", "B", 1), ("a", 4, "A", "B", 1), ("b", 4, "A", "B", 0)],
    ]
    vote = mmsr_vote(compared_by_hand("AB", rows))
    assert vote.labels.tolist() == [0, 0, 1, 0, 0]
    assert vote.wins.tolist() == [[0, 1], [0, 0]]
    only_ties = mmsr_vote(compared_by_hand("AB", rows[:2]))
    assert (only_ties.order, only_ties.groups) == ((), ())


def test_a_cycle_is_one_tier_and_the_rest_stands_in_order():
    wins = np.zeros((5, 5))
    # A beats B, B beats C, C beats A, whatever by; all beat D; E met nobody.
    wins[0, 1], wins[1, 0], wins[1, 2], wins[2, 0] = 9, 1, 5, 6
    wins[:3, 3] = 4
    assert majority_order(tuple("ABCDE"), wins) == (("A", "B", "C"), ("D",))


def test_draws_are_parted_by_all_tasks_won_or_not_at_all():
    wins = np.array([[0, 3, 2.0], [3, 0, 6], [2, 0, 0]])
    # A and B draw; A draws with C, too: one pair won of B, halves else.
    assert majority_order(tuple("ABC"), wins) == (("B",), ("A",), ("C",))
    wins = np.array([[0, 3, 5.0], [3, 0, 6], [2, 0, 0]])
    # A and B draw and both beat C: 8 of 13 tasks against 9 of 12.
    assert majority_order(tuple("ABC"), wins) == (("B",), ("A",), ("C",))
    wins = np.array([[0, 3, 5.0], [3, 0, 5], [2, 2, 0]])
    assert majority_order(tuple("ABC"), wins) == (("A", "B"), ("C",))


def test_the_library_is_not_imported():
    code = (
        "import sys, scoft_training.mmsr, scoft_training.noisy_bradley_terry, "
        "scoft_training.crowd_kit; print(sorted({'crowdkit', 'pandas'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
