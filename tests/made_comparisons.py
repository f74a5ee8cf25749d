"""Simulated people rank simulated models, as comparisons at once: fast enough for 200 surveys.

People and rankings are those of `made_answers`: in a share `skill` of rankings the order is that of
strength plus Gumbel noise, in the others that of the places, first to last with probability
`bias`, else last to first. Somebody of the opponents orders by strength from worst to best.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from scoft_training.rank_table import Comparisons


@dataclass(frozen=True)
class MadeComparisons:
    """Comparisons and the truth behind them.

    Attributes:
        compared: what the people said.
        strengths: (models,).
        skills, biases: (people,).
        truth: (tasks,) 1 where the model of the lower index is the better one, else -1.
    """

    compared: Comparisons
    strengths: np.ndarray
    skills: np.ndarray
    biases: np.ndarray
    truth: np.ndarray

    @property
    def order(self):
        """Models by strength, best first."""
        return np.argsort(-self.strengths).tolist()


def made_comparisons(
    seed, *, people=50, groups=5, pages=20, items=4, models=4, gap=0.1, opponents=0.0, share=1.0
):
    """Simulate a survey in which each group ranks its own pages.

    Args:
        seed: of everything.
        people, groups, pages, items, models: how many; pages are those of a group.
        gap: by how much neighbouring models differ in strength, in log-odds.
        opponents: share of people who answer the other way round.
        share: of a group's pages that a person ranks, drawn by page.
    """
    chance = np.random.default_rng(seed)
    strengths = chance.permutation(gap * (np.arange(models) - (models - 1) / 2))
    # Most follow the pictures more or less; a fifth hardly looks and goes by place.
    careless = chance.random(people) < 0.2
    skills = np.where(careless, chance.uniform(0.02, 0.2, people), chance.beta(4, 2, people))
    biases = np.where(
        careless, chance.choice([0.05, 0.95], people), chance.uniform(0.3, 0.7, people)
    )
    worth = np.where(chance.random(people)[:, None] < opponents, -1, 1) * strengths

    person, page = np.nonzero(chance.random((people, pages)) < share)
    places = chance.random((len(person), models)).argsort(axis=1)
    person, page, places = (np.repeat(one, items, axis=0) for one in (person, page, places))
    item = np.tile(np.arange(items), len(person) // items)
    by_pictures = worth[person] + chance.gumbel(size=places.shape)
    by_place = np.where(chance.random(len(person)) < biases[person], -1, 1)[:, None] * places
    follows = chance.random(len(person)) < skills[person]
    value = np.where(follows[:, None], by_pictures, by_place)

    low, high = np.triu_indices(models, 1)
    low_first = places[:, low] < places[:, high]
    low_wins = value[:, low] > value[:, high]
    group_page = (person % groups) * pages + page
    task = (group_page * items + item)[:, None] * len(low) + np.arange(len(low))
    compared = Comparisons(
        models=tuple("ABCDEFGH"[:models]),
        participants=tuple(f"person {one}" for one in range(people)),
        participant=np.repeat(person, len(low)),
        task=task.ravel(),
        ranking=np.repeat(np.arange(len(person)), len(low)),
        left=np.where(low_first, low, high).ravel(),
        right=np.where(low_first, high, low).ravel(),
        outcome=(low_wins == low_first).astype(float).ravel(),
    )
    truth = np.tile(np.sign(strengths[low] - strengths[high]), groups * pages * items)
    return MadeComparisons(compared, strengths, skills, biases, truth.astype(int))


def compared_by_hand(models, rows):
    """Return comparisons from (person, task, left, right, outcome); names are letters."""
    people = sorted({row[0] for row in rows})
    tasks = sorted({row[1] for row in rows})
    return Comparisons(
        models=tuple(models),
        participants=tuple(people),
        participant=np.array([people.index(row[0]) for row in rows]),
        task=np.array([tasks.index(row[1]) for row in rows]),
        ranking=np.arange(len(rows)),
        left=np.array([models.index(row[2]) for row in rows]),
        right=np.array([models.index(row[3]) for row in rows]),
        outcome=np.array([float(row[4]) for row in rows]),
    )


def taken(compared, rows):
    """Return some of the comparisons, repeats allowed; the names stay."""
    fields = ("participant", "task", "ranking", "left", "right", "outcome")
    return replace(compared, **{name: getattr(compared, name)[rows] for name in fields})


def majority_share(made):
    """Share of tasks that a plain majority labels rightly, a draw counting half."""
    compared = made.compared
    said = np.where(compared.left < compared.right, 1, -1) * np.sign(compared.outcome - 0.5)
    totals = np.bincount(compared.task, said, len(made.truth))
    return right_share(np.sign(totals), made)


def right_share(labels, made):
    """Share of the tasks' labels that are right, 0 counting half."""
    asked = np.unique(made.compared.task)
    right = np.where(labels == 0, 0.5, labels == made.truth[: len(labels)])
    return right[asked].mean()


def bradley_terry(compared):
    """Return (models,) log-odds, mean 0, of plain Bradley-Terry: everybody is alike.

    With the noisy model's prior on scores: each won once and lost once against one of strength 0.
    """

    def loss(scores):
        ahead = scores[compared.left] - scores[compared.right]
        value = compared.outcome @ log_expit(ahead) + (1 - compared.outcome) @ log_expit(-ahead)
        slope = compared.outcome - expit(ahead)
        gradient = -np.tanh(scores / 2)
        np.add.at(gradient, compared.left, slope)
        np.add.at(gradient, compared.right, -slope)
        return -(value + (log_expit(scores) + log_expit(-scores)).sum()), -gradient

    found = minimize(loss, np.zeros(len(compared.models)), jac=True, method="L-BFGS-B").x
    return found - found.mean()
