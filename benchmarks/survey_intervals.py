"""How often 95 % intervals over a survey's participants hold the true value, in simulated surveys.

    python benchmarks/survey_intervals.py [--trials 400]

Cultures of 3,000 people each rank the same ten pages of four models, or five to nine of them, with
tastes of their own and ties here and there; a survey asks a few of them. What holds is counted for
four kinds of numbers: average ranks, shares of first places, win rates and differences of average
ranks. Beside each share: the mean width of the intervals over that of ideal ones, 1.96 standard
deviations of the estimates to either side.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from scoft_training.rank_resampling import Resamples, draw_resamples
from scoft_training.rank_table import RankTable

Floats = NDArray[np.float64]

_PAGES, _MODELS, _POPULATION, _RESAMPLES = 10, 4, 3000, 1000
_LEAST = np.array([1.0] * 4 + [0] * 6 + [-3] * 2)
_MOST = np.array([4.0] * 4 + [1] * 6 + [3] * 2)
_KINDS = {"rank": slice(0, 4), "first": slice(4, 8), "wins": slice(8, 10), "apart": slice(10, 12)}


@dataclass(frozen=True)
class Asked:
    """The people of a survey, stratum by stratum.

    Attributes:
        sums: (people, numbers) of a person's rankings; the numbers are sums / counts.
        counts: (people, numbers) how many rankings that are.
        strata: how many groups.
    """

    sums: Floats
    counts: Floats
    strata: int

    @property
    def values(self) -> Floats:
        """The estimates, (numbers,)."""
        return self.sums.sum(axis=0) / self.counts.sum(axis=0)

    def weighted(self, weights: Floats) -> Floats:
        """Return the estimates with people weighed, (any, numbers)."""
        return (weights @ self.sums) / (weights @ self.counts)

    @property
    def freedom(self) -> int:
        """People beyond the first of each group."""
        return len(self.sums) - self.strata


def population(
    rng: np.random.Generator, *, taste: float, noise: float, minority: float
) -> tuple[Floats, Floats]:
    """Return (people, numbers) sums and counts of all people of a culture.

    Args:
        rng: draws them.
        taste: how much people differ.
        noise: how much a person's rankings do.
        minority: share of people who turn the order of the models round.
    """
    people = (_POPULATION, 1, 1)
    models = np.array([0.6, 0.2, -0.2, -0.6]) + rng.normal(0, 0.2, _MODELS)
    turned = np.where(rng.random(people) < minority, -1, 1)
    worth = turned * models + rng.normal(0, 0.5, (_PAGES, _MODELS))
    worth = worth + rng.normal(0, taste, (_POPULATION, 1, _MODELS))
    worth = np.round(worth + rng.normal(0, noise, (_POPULATION, _PAGES, _MODELS)), 1)
    ranks = 1 + (worth[..., None, :] > worth[..., :, None]).sum(axis=-1)
    few = rng.integers(_PAGES // 2, _PAGES, people[:1])
    seen = rng.random((_POPULATION, _PAGES)).argsort(axis=1) < few[:, None]
    wins = (1 + np.sign(ranks[..., [3, 2]] - ranks[..., [0, 1]])) / 2
    apart = ranks[..., [0, 1]] - ranks[..., [3, 2]]
    numbers = np.concatenate([ranks, ranks == 1, wins, apart], axis=2)
    sums = (numbers * seen[..., None]).sum(axis=1)
    return sums, np.broadcast_to(seen.sum(axis=1)[:, None].astype(np.float64), sums.shape)


def percentiles(asked: Asked, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Plain: all people of a group drawn anew, the middle 95 %."""
    low, high = np.quantile(asked.weighted(plain_weights(asked, rng)), [0.025, 0.975], axis=0)
    return low, high


def bca(asked: Asked, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Bias-corrected and accelerated percentiles (Efron 1987)."""
    drawn, value = asked.weighted(plain_weights(asked, rng)), asked.values
    below = (drawn < value).mean(axis=0) + (drawn == value).mean(axis=0) / 2
    shift = ndtri(np.clip(below, 1 / _RESAMPLES, 1 - 1 / _RESAMPLES))
    without = asked.weighted(1 - np.eye(len(asked.sums)))
    away = without.mean(axis=0) - without
    skew = (away**3).sum(axis=0) / (6 * (away**2).sum(axis=0) ** 1.5 + 1e-30)
    ends = []
    for end in ndtri([0.025, 0.975]):
        level = ndtr(shift + (shift + end) / (1 - skew * (shift + end)))
        ends.append(
            np.array([np.quantile(one, at) for one, at in zip(drawn.T, level, strict=True)])
        )
    return ends[0], ends[1]


def studentised(asked: Asked, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Bootstrap-t: each resample over its own standard error, by linearising the ratio."""
    weights = plain_weights(asked, rng)
    drawn, value = asked.weighted(weights), asked.values
    own = standard_errors(asked, weights, drawn)
    error = standard_errors(asked, np.ones((1, len(asked.sums))), value)[0]
    ratios = (drawn - value) / np.where(own > 0, own, np.nan)
    upper, lower = np.nanquantile(ratios, [0.975, 0.025], axis=0)
    return value - upper * error, value - lower * error


def t_without_resamples(asked: Asked, _rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Student's t times the standard error of the linearised ratio."""
    value = asked.values
    error = standard_errors(asked, np.ones((1, len(asked.sums))), value)[0]
    reach = stdtrit(asked.freedom, 0.975) * error
    return value - reach, value + reach


def ours(asked: Asked, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """`Resamples.estimate`."""
    drawn = resamples(asked, rng)
    values, moved = asked.values, asked.weighted(drawn.weights).T
    people = np.arange(len(asked.sums))
    found = [
        drawn.estimate(value, column, people, least=least, most=most)
        for value, column, least, most in zip(values, moved, _LEAST, _MOST, strict=True)
    ]
    return np.array([one.low for one in found]), np.array([one.high for one in found])


METHODS: dict[str, Callable[[Asked, np.random.Generator], tuple[Floats, Floats]]] = {
    "percentiles": percentiles,
    "BCa": bca,
    "bootstrap-t": studentised,
    "t, no resamples": t_without_resamples,
    "t on arcsine scale (ours)": ours,
}


def plain_weights(asked: Asked, rng: np.random.Generator) -> Floats:
    """Draw as many people of a group as there are: (resamples, people)."""
    size = len(asked.sums) // asked.strata
    drawn = rng.multinomial(size, np.full(size, 1 / size), (_RESAMPLES, asked.strata))
    return drawn.reshape(_RESAMPLES, -1).astype(np.float64)


def resamples(asked: Asked, rng: np.random.Generator) -> Resamples:
    """Draw as the analysis does."""
    people = np.arange(len(asked.sums))
    zeros = np.zeros((len(people), 1), np.int64)
    table = RankTable(
        models=("model",),
        participants=tuple(map(str, people)),
        groups=tuple(map(str, range(asked.strata))),
        pages=("page",),
        items=("item",),
        ranks=zeros + 1,
        positions=zeros,
        participant=people,
        group=people * asked.strata // len(people),
        page=zeros[:, 0],
        item=zeros[:, 0],
    )
    return draw_resamples(table, _RESAMPLES, int(rng.integers(2**31)))


def standard_errors(asked: Asked, weights: Floats, values: Floats) -> Floats:
    """Return (any, numbers) of ratios that are linearised about `values`, strata for themselves."""
    size = len(asked.sums) // asked.strata
    squares = np.zeros((len(weights), asked.sums.shape[1]))
    for start in range(0, len(asked.sums), size):
        here = slice(start, start + size)
        weight, sums, counts = weights[:, here], asked.sums[here], asked.counts[here]
        square = weight @ sums**2 - 2 * values * (weight @ (sums * counts))
        square += values**2 * (weight @ counts**2)
        mean = weight @ sums - values * (weight @ counts)
        squares += size / (size - 1) * np.maximum(square - mean**2 / size, 0)
    return np.sqrt(squares) / (weights @ asked.counts)


def report(name: str, strata: int, people: int, trials: int, **culture: float) -> None:
    """Print how often each method holds the truth for surveys of so many people a group."""
    rng = np.random.default_rng(1)
    cultures = [population(rng, **culture) for _ in range(strata)]
    truth = Asked(
        *(np.concatenate(part) for part in zip(*cultures, strict=True)), strata=strata
    ).values
    held: dict[str, list[Floats]] = {method: [] for method in METHODS}
    width: dict[str, list[Floats]] = {method: [] for method in METHODS}
    estimates = []
    for _ in range(trials):
        chosen = rng.integers(_POPULATION, size=(strata, people))
        sums, counts = (
            np.concatenate([one[part][who] for one, who in zip(cultures, chosen, strict=True)])
            for part in (0, 1)
        )
        asked = Asked(sums, counts, strata)
        estimates.append(asked.values)
        for method, ends in METHODS.items():
            low, high = (np.clip(end, _LEAST, _MOST) for end in ends(asked, rng))
            held[method].append((low - 1e-9 <= truth) & (truth <= high + 1e-9))
            width[method].append(high - low)
    ideal = 2 * 1.96 * np.std(estimates, axis=0)
    for method in METHODS:
        share, wide = np.mean(held[method], axis=0), np.nanmean(width[method], axis=0) / ideal
        cells = "".join(
            f"   {100 * share[kind].mean():5.1f} x {wide[kind].mean():.2f}"
            for kind in _KINDS.values()
        )
        print(f"{name:26} {method:26}{cells}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    trials = parser.parse_args().trials
    print(f"{'':53}" + "".join(f"{kind:>15}" for kind in _KINDS))
    for strata, people in [(1, 3), (1, 5), (1, 10), (1, 20), (1, 51), (5, 2), (5, 3), (5, 10)]:
        report(f"{strata} x {people}", strata, people, trials, taste=0.7, noise=1, minority=0)
    for people in (5, 10, 20):
        agreed = {"taste": 0.2, "noise": 0.3, "minority": 0.0}
        report(f"1 x {people}, people agree", 1, people, trials, **agreed)
        some = {"taste": 0.2, "noise": 1.0, "minority": 0.15}
        report(f"1 x {people}, a minority", 1, people, trials, **some)


if __name__ == "__main__":
    with np.errstate(invalid="ignore", divide="ignore"):
        main()
