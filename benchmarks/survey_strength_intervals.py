"""How often 95 % intervals of Noisy Bradley-Terry's strengths hold what a whole culture would give.

    python benchmarks/survey_strength_intervals.py [--trials 60]

Cultures of 300 people rank the same five pages of four models and agree more and more; a survey
asks a few of them. The true value is the fit to all 300. Where a strength is near 0 or 100 %, an
interval holds it that ends less than half a per cent away. Widths are in per cent of the scale.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from sys import path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

path.insert(0, str(Path(__file__).parent.parent / "tests"))

from made_rankings import competition, table_of

from scoft_training.noisy_bradley_terry import noisy_bradley_terry, resampled_scores
from scoft_training.rank_resampling import draw_resamples
from scoft_training.rank_table import comparisons

_POPULATION, _PAGES, _RESAMPLES, _NEAR = 300, 5, 200, 0.005
_CULTURES = {
    "differ": {"gap": 0.4, "taste": 0.7, "noise": 1.0, "minority": 0.0},
    "agree more": {"gap": 1.0, "taste": 0.5, "noise": 0.7, "minority": 0.0},
    "agree nearly": {"gap": 1.0, "taste": 0.2, "noise": 0.25, "minority": 0.0},
    "all agree": {"gap": 1.0, "taste": 0.02, "noise": 0.05, "minority": 0.0},
    "all but a tenth": {"gap": 1.0, "taste": 0.02, "noise": 0.05, "minority": 0.1},
}


def population(
    rng: np.random.Generator, *, gap: float, taste: float, noise: float, minority: float
) -> NDArray[np.int64]:
    """Return (people, pages, 1, models) ranks of a culture.

    Args:
        rng: draws them.
        gap: between neighbouring models.
        taste: how much people differ.
        noise: how much a person's rankings do.
        minority: share of people who turn the order of the models round.
    """
    turned = np.where(rng.random((_POPULATION, 1, 1, 1)) < minority, -1, 1)
    worth = turned * gap * np.array([1.5, 0.5, -0.5, -1.5])
    worth = worth + rng.normal(0, 0.3 * min(gap, 1), (1, _PAGES, 1, 4))
    worth = worth + rng.normal(0, taste, (_POPULATION, 1, 1, 4))
    return competition(np.round(worth + rng.normal(0, noise, (_POPULATION, _PAGES, 1, 4)), 3))


def report(name: str, people: int, trials: int) -> str:
    """Return a line: shares that hold the truth, and widths, without and with the error."""
    rng = np.random.default_rng(1)
    everybody = population(rng, **_CULTURES[name])
    truth = expit(noisy_bradley_terry(comparisons(table_of(everybody))).scores)
    held, width = np.zeros((2, trials, 2, 4))
    for trial in range(trials):
        table = table_of(everybody[rng.integers(_POPULATION, size=people)])
        compared = comparisons(table)
        fit = noisy_bradley_terry(compared)
        resamples = draw_resamples(table, _RESAMPLES, trial)
        drawn = resampled_scores(compared, resamples.weights)
        for model, score in enumerate(fit.scores):
            for way, error in enumerate((0.0, float(fit.errors[model]))):
                one = resamples.chance(score, drawn[:, model], np.arange(people), error=error)
                held[trial, way, model] = one.low - _NEAR <= truth[model] <= one.high + _NEAR
                width[trial, way, model] = one.high - one.low
    shares, widths = (100 * one.mean(axis=(0, 2)) for one in (held, width))
    true = " ".join(f"{100 * one:5.1f}" for one in truth)
    cells = "".join(
        f"   {share:5.1f} x {wide:2.0f}" for share, wide in zip(shares, widths, strict=True)
    )
    return f"{name:16}{people:3} people   true {true}{cells}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    trials = parser.parse_args().trials
    print(f"{'':59}resamples   and answers")
    for people in (2, 5, 10, 30):
        for name in _CULTURES:
            print(report(name, people, trials), flush=True)


if __name__ == "__main__":
    main()
