"""Made-up answers of the size of the paper's survey whose averages are those of its table 1.

Nobody gave them: of all orders with ties, each next ranking is the one that brings the averages
nearest to the paper's. 51 people of 5 countries, 766 rankings.
"""

from __future__ import annotations

import itertools

import numpy as np
from made_rankings import competition, ranked

from scoft_training.survey_key import ITEMS

MODELS = ("SD", "+M", "+MP", "+MPC")
AVERAGES = {
    "alignment": (3.09, 2.57, 2.33, 1.83),
    "representation": (3.07, 2.56, 2.35, 1.84),
    "stereotypes": (2.98, 2.66, 2.34, 1.91),
    "offensiveness": (3.07, 2.59, 2.30, 1.78),
}
"""Table 1: the average ranks of `MODELS`, by item."""

_PEOPLE = {"China": 10, "India": 10, "Korea": 11, "Mexico": 10, "Nigeria": 10}
_RANKINGS = 766


def paper_answers():
    """Return the answers, with places that say nothing."""
    people = [(f"{name} {one}", name) for name, count in _PEOPLE.items() for one in range(count)]
    rng = np.random.default_rng(0)
    answers = []
    for number, item in enumerate(ITEMS):
        count = _RANKINGS // 4 + (number < _RANKINGS % 4)
        for place, ranks in enumerate(rankings(AVERAGES[item], count)):
            name, country = people[place % len(people)]
            answers += ranked(
                name,
                f"{country} page {place // len(people)}",
                dict(zip(MODELS, ranks, strict=True)),
                item=item,
                culture=country,
                country=country,
                places=dict(zip(MODELS, (rng.permutation(4) + 1).tolist(), strict=True)),
            )
    return answers


def rankings(averages, count):
    """Return (count) rankings, ties among them, whose averages come as near as it goes."""
    worths = np.array(list(itertools.product(range(4), repeat=4)))
    orders = np.unique(competition(worths), axis=0)
    missing, chosen = np.zeros(4), []
    for _ in range(count):
        missing += averages
        best = int(((missing - orders) ** 2).sum(axis=1).argmin())
        missing -= orders[best]
        chosen.append(orders[best].tolist())
    return chosen
