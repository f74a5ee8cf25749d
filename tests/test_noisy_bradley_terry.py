"""Noisy Bradley-Terry: its gradient, what it recovers of simulated people, and its resamples."""

import dataclasses
import math

import numpy as np
import pytest
from made_comparisons import bradley_terry, compared_by_hand, made_comparisons, taken

from scoft_training.noisy_bradley_terry import (
    negative_log_posterior,
    noisy_bradley_terry,
    resampled_scores,
)

SURVEYS = 200


def with_ties(compared, share, seed):
    tied = np.random.default_rng(seed).random(len(compared.outcome)) < share
    return dataclasses.replace(compared, outcome=np.where(tied, 0.5, compared.outcome))


def small(seed=0, ties=0.2):
    made = made_comparisons(seed, people=7, groups=1, pages=3, items=1, models=5, gap=0.5)
    return with_ties(made.compared, ties, seed)


def by_differences(value, parameters, step=1e-5):
    moves = np.eye(len(parameters)) * step
    return np.array([(value(parameters + one) - value(parameters - one)) for one in moves]) / (
        2 * step
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_gradient_is_that_of_finite_differences(seed):
    compared = small(seed)
    # Some comparisons count several times: 5 models, 7 people.
    compared = taken(compared, np.random.default_rng(seed).integers(0, len(compared.task), 300))
    parameters = np.random.default_rng(seed).normal(scale=1.5, size=5 + 2 * 7)
    _, gradient = negative_log_posterior(parameters, compared)
    expected = by_differences(lambda at: negative_log_posterior(at, compared)[0], parameters)
    assert np.abs(gradient - expected).max() < 1e-6
    assert np.abs(gradient).min() > 1e-3, "every parameter is moved, or nothing was tested"


def test_the_value_is_the_formula_written_out():
    compared = compared_by_hand("AB", [("p", 0, "A", "B", 1), ("p", 1, "B", "A", 0.5)])
    scores, gamma, q = (0.4, -0.7), 0.9, -0.3

    def sigma(at):
        return 1 / (1 + math.exp(-at))

    def left(ahead):
        return sigma(gamma) * sigma(ahead) + (1 - sigma(gamma)) * sigma(q)

    likelihood = left(1.1) * math.sqrt(left(-1.1) * (1 - left(-1.1)))
    prior = math.prod(sigma(one) * sigma(-one) for one in (*scores, q))
    prior *= sigma(gamma) ** 2 * sigma(-gamma)
    value, _ = negative_log_posterior(np.array([*scores, gamma, q]), compared)
    assert value == pytest.approx(-math.log(likelihood * prior), abs=1e-12)


def test_plain_bradley_terry_by_hand():
    # A wins 3 of 4. By symmetry the scores are t and -t, where 3 - 4 sigma(2t) = tanh(t / 2): the
    # slope of the likelihood against that of one win and one loss against the middle.
    rows = [(f"p{one}", one, "A", "B", one > 0) for one in range(4)]
    first, second = bradley_terry(compared_by_hand("AB", rows))
    assert first == pytest.approx(-second, abs=1e-12)
    assert 3 - 4 / (1 + math.exp(-2 * first)) == pytest.approx(math.tanh(first / 2), abs=1e-5)


def test_the_fit_is_the_least_value_that_is_found():
    compared = small(1)
    fit = noisy_bradley_terry(compared)
    assert fit.converged
    logit = [np.log(share / (1 - share)) for share in (fit.skills, fit.biases)]
    # Scores come with mean 0; where the middle lies, the search decided.
    shifts = np.linspace(-0.5, 0.5, 2001)
    best = min(
        negative_log_posterior(np.concatenate([fit.scores + shift, *logit]), compared)[0]
        for shift in shifts
    )
    chance = np.random.default_rng(0)
    for size in (0.01, 0.1, 1.0):
        moved = [
            np.concatenate([fit.scores, *logit]) + chance.normal(scale=size, size=19)
            for _ in range(50)
        ]
        assert min(negative_log_posterior(one, compared)[0] for one in moved) > best


def test_errors_are_those_of_the_expected_information():
    compared = small(3)
    fit = noisy_bradley_terry(compared)
    skills, biases = fit.skills, fit.biases
    logit = [np.log(share / (1 - share)) for share in (skills, biases)]
    # The middle lies where the prior is at its greatest.
    shifts = np.linspace(-0.5, 0.5, 2001)
    prior = -np.log(np.cosh((fit.scores[:, None] + shifts) / 2)).sum(axis=0)
    at = np.concatenate([fit.scores + shifts[np.argmax(prior)], *logit])
    # Were each answer as likely as it is, the curvature would be the expected one.
    ahead = fit.scores[compared.left] - fit.scores[compared.right]
    skill, bias = skills[compared.participant], biases[compared.participant]
    likely = skill / (1 + np.exp(-ahead)) + (1 - skill) * bias
    expected = dataclasses.replace(compared, outcome=likely)
    moves = np.eye(len(at)) * 1e-5
    ends = [
        [negative_log_posterior(at + sign * one, expected)[1] for sign in (1, -1)] for one in moves
    ]
    information = np.array([(up - down) / 2e-5 for up, down in ends])
    covariance = np.linalg.inv(information)[:5, :5]
    centred = np.eye(5) - 1 / 5
    np.testing.assert_allclose(
        fit.errors, np.sqrt(np.diagonal(centred @ covariance @ centred)), rtol=1e-3
    )
    assert np.ptp(fit.errors) > 0.01


def test_the_more_answers_say_the_same_the_less_they_bound_a_score():
    # A always wins of B. More answers raise the score, and leave it as open above.
    few, many = (
        noisy_bradley_terry(
            compared_by_hand(
                "AB", [(f"p{who}", page, "A", "B", 1) for who in range(3) for page in range(pages)]
            )
        )
        for pages in (2, 40)
    )
    assert many.scores[0] > few.scores[0] + 0.5
    assert many.errors[0] > 0.5
    # Half and half bounds it well.
    rows = [(f"p{who}", page, "A", "B", page % 2) for who in range(3) for page in range(40)]
    assert noisy_bradley_terry(compared_by_hand("AB", rows)).errors[0] < 0.3


@pytest.fixture(scope="module")
def surveys():
    """Of 200 surveys: order right by ours and by plain Bradley-Terry, and ours' correlations."""
    rows = []
    for seed in range(SURVEYS):
        # Models so near to each other that a survey may well get their order wrong.
        near = made_comparisons(seed, gap=0.1)
        ours, plain = noisy_bradley_terry(near.compared), bradley_terry(near.compared)
        far = made_comparisons(seed, gap=0.7, items=1)
        fit = noisy_bradley_terry(far.compared)
        rows.append(
            (
                np.argsort(-ours.scores).tolist() == near.order,
                np.argsort(-plain).tolist() == near.order,
                np.corrcoef(fit.skills, far.skills)[0, 1],
                np.corrcoef(fit.biases, far.biases)[0, 1],
                ours.converged and fit.converged,
            )
        )
    return np.array(rows, float)


@pytest.mark.slow
def test_the_order_is_right_at_least_as_often_as_plain_bradley_terrys(surveys):
    ours, plain = surveys[:, 0].mean(), surveys[:, 1].mean()
    assert ours >= plain
    assert 0.5 < plain < 0.9 < ours, "a task that plain Bradley-Terry solves would test nothing"
    assert surveys[:, 4].all()


@pytest.mark.slow
def test_skills_and_biases_are_the_true_ones(surveys):
    assert surveys[:, 2].mean() > 0.82
    assert surveys[:, 2].min() > 0.6
    assert surveys[:, 3].mean() > 0.75


@pytest.mark.slow
def test_crowd_kits_skills_are_not():
    aggregation = pytest.importorskip("crowdkit.aggregation")
    pandas = pytest.importorskip("pandas")
    found = []
    for seed in range(10):
        made = made_comparisons(seed, people=20, groups=2, gap=1.0, items=1)
        compared = made.compared
        winner = np.where(compared.outcome == 1, compared.left, compared.right)
        columns = {"worker": compared.participant, "left": compared.left, "right": compared.right}
        frame = pandas.DataFrame({**columns, "label": winner})
        state = np.random.get_state()  # noqa: NPY002 - crowd-kit seeds it
        skills = aggregation.NoisyBradleyTerry().fit(frame).skills_.sort_index()
        np.random.set_state(state)  # noqa: NPY002
        ours = noisy_bradley_terry(compared).skills
        found.append([np.corrcoef(one, made.skills)[0, 1] for one in (ours, skills)])
    ours, theirs = np.array(found).T
    assert ours.mean() > 0.8
    assert theirs.mean() < 0.5
    assert theirs.max() < 0.8


def person(compared, number, choose):
    """Answer all comparisons anew, as one more person does."""
    more = taken(compared, compared.participant == 0)
    return dataclasses.replace(
        compared,
        participants=(*compared.participants, "another"),
        **{
            name: np.concatenate([getattr(compared, name), getattr(more, name)])
            for name in ("task", "ranking", "left", "right")
        },
        participant=np.append(compared.participant, np.full(len(more.task), number)),
        outcome=np.append(compared.outcome, choose(more)),
    )


def test_who_goes_by_the_place_guesses_or_opposes_is_told_from_who_looks():
    made = made_comparisons(3, people=10, groups=1, gap=1.0)
    chance = np.random.default_rng(0)
    better = made.strengths
    kinds = {
        "left": lambda one: np.ones(len(one.task)),
        "guess": lambda one: chance.integers(0, 2, len(one.task)).astype(float),
        "oppose": lambda one: (better[one.left] < better[one.right]).astype(float),
        "look": lambda one: (better[one.left] > better[one.right]).astype(float),
    }
    fits = {
        name: noisy_bradley_terry(person(made.compared, 10, choose))
        for name, choose in kinds.items()
    }
    skills = {name: fit.skills[10] for name, fit in fits.items()}
    assert fits["left"].biases[10] > 0.95
    assert 0.3 < fits["guess"].biases[10] < 0.7
    assert max(skills["left"], skills["guess"], skills["oppose"]) < 0.2
    assert skills["look"] > 0.95
    # Below nothing the model knows no skill: an opponent is one who does not look.
    assert skills["oppose"] > 0
    assert all(np.argsort(-fit.scores).tolist() == made.order for fit in fits.values())


def test_nothing_changes_when_pictures_change_sides_or_answers_their_order():
    compared = small(2)
    fit = noisy_bradley_terry(compared)
    mirrored = noisy_bradley_terry(
        dataclasses.replace(
            compared, left=compared.right, right=compared.left, outcome=1 - compared.outcome
        )
    )
    np.testing.assert_allclose(mirrored.scores, fit.scores, atol=1e-4)
    np.testing.assert_allclose(mirrored.skills, fit.skills, atol=1e-4)
    np.testing.assert_allclose(mirrored.biases, 1 - fit.biases, atol=1e-4)
    shuffled = np.random.default_rng(0).permutation(len(compared.task))
    again = noisy_bradley_terry(taken(compared, shuffled))
    np.testing.assert_allclose(again.scores, fit.scores, atol=1e-9)


def test_a_tie_is_half_a_win_of_each():
    compared = small(4, ties=0.4)
    rows = np.arange(len(compared.task))
    doubled = taken(compared, np.repeat(rows, 2))
    split = np.where(doubled.outcome == 0.5, np.tile([0.0, 1.0], len(rows)), doubled.outcome)
    parameters = np.random.default_rng(0).normal(size=19)
    value, gradient = negative_log_posterior(parameters, doubled)
    other, slope = negative_log_posterior(parameters, dataclasses.replace(doubled, outcome=split))
    assert value == pytest.approx(other, rel=1e-12)
    np.testing.assert_allclose(gradient, slope, atol=1e-9)


def test_who_or_what_was_not_compared_is_nan_and_disturbs_nothing():
    compared = small(5)
    fit = noisy_bradley_terry(compared)
    wider = dataclasses.replace(
        compared,
        models=("before", *compared.models, "after"),
        left=compared.left + 1,
        right=compared.right + 1,
        participants=("nobody", *compared.participants),
        participant=compared.participant + 1,
    )
    wide = noisy_bradley_terry(wider)
    assert np.isnan(wide.scores[[0, -1]]).all()
    assert np.isnan(wide.errors[[0, -1]]).all()
    assert np.isnan([wide.skills[0], wide.biases[0]]).all()
    np.testing.assert_array_equal(wide.scores[1:-1], fit.scores)
    np.testing.assert_array_equal(wide.skills[1:], fit.skills)
    counts = np.ones((2, 8))
    assert np.isnan(resampled_scores(wider, counts)[:, [0, -1]]).all()


def test_somebody_who_always_wins_and_all_tied_have_finite_scores():
    rows = [(f"p{who}", page, "A", "B", 1) for who in range(3) for page in range(5)]
    fit = noisy_bradley_terry(compared_by_hand("AB", rows))
    assert 1 < fit.scores[0] < 10
    tied = [(*row[:4], 0.5) for row in rows]
    fit = noisy_bradley_terry(compared_by_hand("AB", tied))
    assert fit.scores.tolist() == pytest.approx([0, 0], abs=1e-4)
    one = noisy_bradley_terry(compared_by_hand("AB", rows[:1]))
    assert np.isfinite([*one.scores, *one.skills, *one.biases]).all()
    assert one.scores[0] > one.scores[1]


def test_a_resample_is_the_fit_to_people_drawn_as_often():
    made = made_comparisons(6, people=8, groups=2, pages=6, items=2, gap=0.4)
    compared = with_ties(made.compared, 0.1, 0)
    counts = np.array(
        [[2, 0, 1, 1, 0, 3, 0, 1], [1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 4, 4, 0, 0, 0]]
    )
    expected = []
    for times in counts:
        people = np.repeat(np.arange(8), times)
        parts = [np.flatnonzero(compared.participant == one) for one in people]
        drawn = taken(compared, np.concatenate(parts))
        drawn = dataclasses.replace(
            drawn,
            participants=tuple(map(str, range(len(people)))),
            participant=np.repeat(np.arange(len(people)), [len(part) for part in parts]),
        )
        expected.append(noisy_bradley_terry(drawn).scores)
    found = resampled_scores(compared, counts)
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert np.ptp(found, axis=0).min() > 0.05, "resamples that are all alike would test nothing"


def test_resamples_are_the_same_in_parts(monkeypatch):
    compared = small(7)
    counts = np.random.default_rng(0).integers(0, 3, (9, 7))
    whole = resampled_scores(compared, counts)
    monkeypatch.setattr("scoft_training.noisy_bradley_terry._CELLS_AT_ONCE", 300)
    np.testing.assert_allclose(resampled_scores(compared, counts), whole, atol=1e-9)
