"""How many people and pages a survey takes to tell models apart, in simulated surveys.

    python benchmarks/survey_size.py [--surveys 100] [--win-rates 0.6 0.7]

Four models of rising strength, each of whose pictures beats the one before in a given share of the
rankings. People rank four of five times by what they see and else by the place on the page, some
more, some less (Beta(8, 2)). Counted is in how many surveys the 95 % interval of two neighbours'
difference in average rank, under one of the four items, lies wholly on the right side of 0.
Real people also differ in taste and pictures from prompt to prompt, so that it takes more of them.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from made_answers import made_survey

from scoft_training.rank_resampling import draw_resamples, rank_estimates
from scoft_training.rank_table import rank_table

_MODELS = ("first", "second", "third", "fourth")
_PEOPLE, _PAGES = (5, 10, 15, 20, 30), (5, 10, 20)
_RESAMPLES = 400
_SKILL = (8, 2)
"""Beta distribution of the share of rankings that go by the pictures."""


def main() -> None:
    """Print one line for each size of a survey."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--surveys", type=int, default=100)
    parser.add_argument("--win-rates", type=float, nargs="+", default=[0.6, 0.7])
    arguments = parser.parse_args()
    rates = arguments.win_rates
    print("people  pages  " + "  ".join(f"won {rate:.0%}" for rate in rates))
    for people in _PEOPLE:
        for pages in _PAGES:
            shares = [told_apart(people, pages, rate, arguments.surveys) for rate in rates]
            print(f"{people:6}  {pages:5}  " + "  ".join(f"{share:7.0%}" for share in shares))


def told_apart(people: int, pages: int, win_rate: float, surveys: int) -> float:
    """Return the share of neighbours that are told apart, in the right order.

    Args:
        people: of one culture.
        pages: that each of them ranks.
        win_rate: of a model over the one before, in (0.5, 1).
        surveys: how many are simulated.
    """
    follows = _SKILL[0] / sum(_SKILL)
    by_pictures = (win_rate - (1 - follows) / 2) / follows
    step = math.log(by_pictures / (1 - by_pictures))
    strengths = tuple(step * place for place in range(len(_MODELS)))
    return float(np.mean([_one(people, pages, strengths, seed) for seed in range(surveys)]))


def _one(people: int, pages: int, strengths: tuple[float, ...], seed: int) -> float:
    survey = made_survey(
        cultures={"a culture": people},
        models=_MODELS,
        strengths=strengths,
        pages=pages,
        skills=np.random.default_rng(seed).beta(*_SKILL, size=people),
        seed=seed,
    )
    table = rank_table(survey.answers, "culture")
    resamples = draw_resamples(table, _RESAMPLES, seed)
    item = table.take(table.item == table.items.index("representation"))
    differences = rank_estimates(item, resamples).rank_differences
    places = [table.models.index(model) for model in _MODELS]
    ends = [differences[better, worse].high for worse, better in itertools.pairwise(places)]
    return float(np.mean([end is not None and end < 0 for end in ends]))


if __name__ == "__main__":
    main()
