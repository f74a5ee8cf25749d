"""How often the metrics' 95 % intervals hold the true value, in simulated trials where it is known.

    python benchmarks/interval_coverage.py [--trials 1000]

Means over captions: values from a normal distribution, Beta(8, 4), and a mixture in which a tenth
of the captions is copied. KID: both sets are drawn, with repeats, from finite populations of
pictures, between which the expected KID is a plain mean over all pairs. Beside each share: the mean
half width of the intervals over that of ideal ones, 1.96 standard deviations of the estimates.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoft_training.intervals import (
    Interval,
    kid_difference_interval,
    kid_interval,
    mean_interval,
)

_POPULATION = 1500
_MODERATE, _CLEAR = 0.1, 0.4
"""Shares of a direction's spread by which the shifted populations differ."""


@dataclass(frozen=True)
class Pictures:
    """A population: (pictures, dim) features, 0 or more as Inception's are."""

    features: Tensor

    @classmethod
    def made(cls, dim: int, *, shift: float, seed: int) -> Pictures:
        """Return pictures that vary along 24 directions, some far more than others."""
        chance = np.random.default_rng(17)
        directions = chance.normal(size=(24, dim)) * np.linspace(1, 0.1, 24)[:, None]
        own = np.random.default_rng(seed)
        places = own.normal(size=(_POPULATION, 24))
        places[:, ::3] += shift
        noise = own.normal(size=(_POPULATION, dim))
        return cls(torch.from_numpy(np.maximum(0.3 + 0.15 * (places @ directions + noise), 0)))

    def draw(self, count: int, chance: torch.Generator) -> Tensor:
        """Draw independently, so that a picture may come twice."""
        return self.features[self.places(count, chance)]

    def places(self, count: int, chance: torch.Generator) -> Tensor:
        """Return which pictures a draw takes."""
        return torch.randint(len(self.features), (count,), generator=chance)


def known_kid(x: Tensor, y: Tensor) -> float:
    """KID between two populations: every pair may be drawn, also a picture with itself."""

    def mean(one: Tensor, other: Tensor) -> float:
        return float((one @ other.T / one.shape[1] + 1).pow(3).mean())

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def report(name: str, known: float, intervals: list[Interval]) -> None:
    """Print the share that holds the known value, and how wide they are."""
    held = sum(one.low <= known <= one.high for one in intervals) / len(intervals)
    spread = float(np.std([one.mean for one in intervals]))
    width = float(np.mean([one.half_width for one in intervals])) / (1.96 * spread)
    print(f"{name:58} {100 * held:5.1f} %   width x {width:.2f}", flush=True)


def over_captions(trials: int) -> None:
    """Student's t, and a percentile bootstrap beside it."""
    draws: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float]] = {
        "normal": (lambda rng, n: rng.normal(0.3, 0.05, n), 0.3),
        "Beta(8, 4)": (lambda rng, n: rng.beta(8, 4, n), 2 / 3),
        "a tenth copied": (
            lambda rng, n: np.where(rng.random(n) < 0.1, 0.95, rng.normal(0.5, 0.05, n)),
            0.545,
        ),
    }
    for name, (draw, known) in draws.items():
        for captions in (10, 20, 100):
            rng = np.random.default_rng(captions)
            sets = [draw(rng, captions) for _ in range(trials)]
            report(
                f"mean, {name}, {captions} captions: t",
                known,
                [mean_interval(values.tolist()) for values in sets],
            )
            report(
                f"mean, {name}, {captions} captions: percentile bootstrap",
                known,
                list(bootstrapped(sets, rng)),
            )


def bootstrapped(sets: list[np.ndarray], rng: np.random.Generator) -> Iterator[Interval]:
    """Yield the percentile bootstrap's interval of each set."""
    for values in sets:
        means = values[rng.integers(len(values), size=(1000, len(values)))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        yield Interval(float(values.mean()), float(low), float(high))


def of_kid(trials: int) -> None:
    """The jackknife's intervals of one KID, by dim, size of the sets and shift."""
    for dim in (16, 2048):
        reference = Pictures.made(dim, shift=0, seed=1)
        for shift in (0.0, _MODERATE, _CLEAR):
            drawn = reference if shift == 0 else Pictures.made(dim, shift=shift, seed=2)
            known = known_kid(drawn.features, reference.features)
            for count in (50, 200):
                chance = torch.Generator().manual_seed(count)
                report(
                    f"KID x 1000 = {1000 * known:.1f}, dim {dim}, {count} and {count} pictures",
                    known,
                    [
                        kid_interval(drawn.draw(count, chance), reference.draw(count, chance))
                        for _ in range(trials)
                    ],
                )


def of_captions_pictures(trials: int) -> None:
    """Several pictures a caption, alike: left out together, and as if they were independent."""
    dim, captions, pictures = 2048, 20, 5
    reference, other = (Pictures.made(dim, shift=s, seed=n) for n, s in ((1, 0), (2, _MODERATE)))
    chance = torch.Generator().manual_seed(5)
    together, apart, estimates = [], [], []
    for _ in range(trials):
        places = other.places(captions, chance).repeat_interleave(pictures)
        noise = torch.randn(len(places), dim, generator=chance, dtype=torch.float64)
        drawn, real = other.features[places] + 0.05 * noise, reference.draw(100, chance)
        groups = [number // pictures for number in range(len(places))]
        together.append(kid_interval(drawn, real, groups=groups))
        apart.append(kid_interval(drawn, real))
        estimates.append(apart[-1].mean)
    # Pairs of one caption lift this KID for every model; the mean of the estimates is its value.
    known = float(np.mean(estimates))
    report(f"KID, {captions} captions x {pictures} pictures, a caption left out", known, together)
    report(f"KID, {captions} captions x {pictures} pictures, a picture left out", known, apart)


def of_same_prompts(trials: int) -> None:
    """Both sets by one model for the same prompts, which decide 70 % of a picture: KID is 0."""
    dim = 2048
    chance = np.random.default_rng(7)
    directions = chance.normal(size=(24, dim)) * np.linspace(1, 0.1, 24)[:, None]

    def drawn(prompts: np.ndarray) -> Tensor:
        places = 0.7**0.5 * prompts + 0.3**0.5 * chance.normal(size=prompts.shape)
        noise = chance.normal(size=(len(prompts), dim))
        return torch.from_numpy(np.maximum(0.3 + 0.15 * (places @ directions + noise), 0))

    for count in (20, 100):
        known_prompts, all_pairs = [], []
        for _ in range(trials):
            prompts, numbers = chance.normal(size=(count, 24)), range(count)
            one, other = drawn(prompts), drawn(prompts)
            all_pairs.append(kid_interval(one, other))
            known_prompts.append(kid_interval(one, other, groups=numbers, reference_groups=numbers))
        for name, intervals in (("left out", known_prompts), ("counted", all_pairs)):
            mean = 1000 * float(np.mean([one.mean for one in intervals]))
            report(f"KID = 0, {count} same prompts, twins {name}: mean {mean:.1f}", 0, intervals)


def of_differences(trials: int) -> None:
    """Two models' KID to the same pictures, drawings paired by prompt and seed."""
    dim, count = 2048, 100
    reference, base = (Pictures.made(dim, shift=s, seed=n) for n, s in ((1, 0), (2, _CLEAR)))
    chance = torch.Generator().manual_seed(6)
    for name, step in (("the same picture, a little nearer", 0.02), ("equally far", 0.0)):
        rough = torch.randn(base.features.shape, generator=chance, dtype=torch.float64)
        towards = reference.features.mean(dim=0) - base.features.mean(dim=0)
        model = base.features + step * 5 * towards + 0.02 * rough
        known = known_kid(model, reference.features) - known_kid(base.features, reference.features)
        intervals = []
        for _ in range(trials):
            places = base.places(count, chance)
            real = reference.draw(count, chance)
            intervals.append(kid_difference_interval(model[places], base.features[places], real))
        report(f"KID difference x 1000 = {1000 * known:.2f}, {name}", known, intervals)


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    over_captions(trials)
    of_kid(trials)
    of_captions_pictures(trials)
    of_differences(trials)
    of_same_prompts(trials)


if __name__ == "__main__":
    main()
