"""What Noisy Bradley-Terry and MMSR recover of simulated surveys, beside crowd-kit and majority.

    python benchmarks/survey_recovery.py [--surveys 200] [--without-crowd-kit]

People and models are those of tests/made_comparisons.py: a fifth of the people hardly looks and
goes by place, each group ranks its own pages. Order right: all four models in the true order.
Labels right: share of tasks, which of two pictures is better; a task without a label counts half.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from made_comparisons import (
    MadeComparisons,
    bradley_terry,
    made_comparisons,
    majority_share,
    right_share,
)

from scoft_training import mmsr
from scoft_training import noisy_bradley_terry as rooms
from scoft_training.mmsr import mmsr_vote
from scoft_training.noisy_bradley_terry import (
    noisy_bradley_terry,
    resampled_scores,
)

_SURVEYS = {
    "near models": {"gap": 0.1},
    "one item": {"gap": 0.7, "items": 1},
    "small": {"people": 20, "groups": 2, "gap": 1.0, "items": 1},
    "five pages": {"gap": 0.4, "pages": 5, "items": 1},
}
_PRIORS = {"as it is": (1.0, 2.0, 1.0, 1.0), "no favour": (1.0, 1.0, 1.0, 1.0)}
_PRIORS["a tenth"] = (0.1, 0.2, 0.1, 0.1)


def in_order(scores: np.ndarray, made: MadeComparisons) -> bool:
    """Whether scores are in the true order."""
    return bool(np.argsort(-scores).tolist() == made.order)


def correlation(skills: np.ndarray, made: MadeComparisons) -> float:
    """Of skills with the true ones; those that are all alike correlate with nothing."""
    return float(np.corrcoef(skills, made.skills)[0, 1]) if np.ptp(skills) > 0 else 0.0


def use_priors(middle: float, pictures: float, place: float, sides: float) -> None:
    """Set the room's priors."""
    rooms._MET_THE_MIDDLE = middle
    rooms._FOLLOWED_PICTURES, rooms._FOLLOWED_PLACE = pictures, place
    rooms._EACH_PLACE = sides


def strengths(surveys: int) -> Iterator[str]:
    """Noisy Bradley-Terry, under several priors, and the plain one."""
    for name, how in _SURVEYS.items():
        made = [made_comparisons(seed, **how) for seed in range(surveys)]
        plain = np.mean([in_order(bradley_terry(one.compared), one) for one in made])
        yield f"{name}: plain Bradley-Terry: order right in {plain:.1%}"
        for prior, numbers in _PRIORS.items():
            use_priors(*numbers)
            fits = [noisy_bradley_terry(one.compared) for one in made]
            right = np.mean(
                [in_order(fit.scores, one) for fit, one in zip(fits, made, strict=True)]
            )
            near = [correlation(fit.skills, one) for fit, one in zip(fits, made, strict=True)]
            yield (
                f"  Noisy Bradley-Terry, priors {prior}: order right in {right:.1%}, skills "
                f"correlate by {np.mean(near):.3f} in the mean, {np.min(near):.3f} at least"
            )
        use_priors(*_PRIORS["as it is"])


def frame(made: MadeComparisons) -> object:
    """Return comparisons as crowd-kit reads them."""
    import pandas

    compared = made.compared
    winner = np.where(compared.outcome == 1, compared.left, compared.right)
    columns = {"worker": compared.participant, "left": compared.left, "right": compared.right}
    columns |= {"label": winner, "task": compared.task}
    return pandas.DataFrame(columns)


def crowd_kits_strengths(surveys: int) -> Iterator[str]:
    """crowd-kit's Noisy Bradley-Terry on the small surveys."""
    from crowdkit.aggregation import NoisyBradleyTerry

    right, near = [], []
    for seed in range(surveys):
        made = made_comparisons(seed, **_SURVEYS["small"])
        model = NoisyBradleyTerry().fit(frame(made))
        right.append(in_order(model.scores_.sort_index().to_numpy(), made))
        near.append(correlation(model.skills_.sort_index().to_numpy(), made))
    yield (
        f"small: crowd-kit's Noisy Bradley-Terry: order right in {np.mean(right):.1%}, skills "
        f"correlate by {np.mean(near):.3f} in the mean, {np.max(near):.3f} at most"
    )


def votes(surveys: int, with_crowd_kit: bool) -> Iterator[str]:
    """MMSR on five groups of ten that share nothing, with and without opponents."""
    for opponents in (0.0, 0.1, 0.2):
        rows = []
        for seed in range(surveys):
            made = made_comparisons(seed, gap=0.7, items=1, opponents=opponents)
            vote = mmsr_vote(made.compared)
            row = [right_share(vote.labels, made), majority_share(made)]
            row += [bool((vote.skills != 0).all()), float(np.mean(vote.skills < 0))]
            rows.append(row + (crowd_kits_vote(made) if with_crowd_kit else []))
        mean = np.mean(rows, axis=0)
        yield (
            f"five groups of ten, {opponents:.0%} opponents: labels right by MMSR {mean[0]:.1%}, "
            f"majority {mean[1]:.1%}; all skills other than zero in {mean[2]:.1%} of surveys; "
            f"{mean[3]:.1%} of people taken for opponents"
        )
        if with_crowd_kit:
            yield (
                f"  crowd-kit on everything at once: labels right {mean[4]:.1%}, {mean[5]:.1%} of "
                f"people taken for opponents; fails in {mean[6]:.1%} of surveys"
            )


def crowd_kits_vote(made: MadeComparisons) -> list[float]:
    """Labels right, share of opponents, whether it failed."""
    from crowdkit.aggregation import MMSR

    compared = made.compared
    side = np.where(compared.left < compared.right, 1, -1) * np.sign(compared.outcome - 0.5)
    try:
        model = MMSR()
        chosen = model.fit_predict(frame(made)[["task", "worker"]].assign(label=side))
    except Exception:  # noqa: BLE001 - however it fails
        return [0.5, 0.0, 1.0]
    labels = np.zeros(len(made.truth))
    labels[chosen.index] = chosen
    return [right_share(labels, made), float((model.skills_ < 0).mean()), 0.0]


def group_sizes(surveys: int) -> Iterator[str]:
    """MMSR against majority by the size of groups and the number of pages, three people too."""
    mmsr._FEWEST_PEOPLE = 3
    for people in (3, 4, 5, 6, 8, 10, 15):
        parts = []
        for pages in (4, 20):
            for opponents in (0.0, 0.15):
                how = {"people": 5 * people, "pages": pages, "opponents": opponents}
                rows = []
                for seed in range(surveys):
                    made = made_comparisons(seed, gap=0.7, items=1, **how)
                    rows.append(
                        (right_share(mmsr_vote(made.compared).labels, made), majority_share(made))
                    )
                ours, majority = np.mean(rows, axis=0)
                parts.append(f"{100 * (ours - majority):+.1f}")
        yield f"  {people:2} people: {', '.join(parts)}"


def speed() -> Iterator[str]:
    """One fit and 200 resamples of a survey of 60 people, 14,400 comparisons; one vote."""
    made = made_comparisons(0, people=60, groups=5, pages=10, items=4, gap=0.4)
    counts = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), 200)
    jobs = {
        "fit": lambda: noisy_bradley_terry(made.compared),
        "200 resamples": lambda: resampled_scores(made.compared, counts),
        "MMSR and vote": lambda: mmsr_vote(made.compared),
    }
    for name, job in jobs.items():
        start = time.process_time()
        job()
        yield f"  {name}: {time.process_time() - start:.3f} s"


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--surveys", type=int, default=200)
    parser.add_argument("--without-crowd-kit", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    with_crowd_kit = not arguments.without_crowd_kit
    print(f"{arguments.surveys} surveys each")
    for line in strengths(arguments.surveys):
        print(line, flush=True)
    for line in crowd_kits_strengths(arguments.surveys) if with_crowd_kit else ():
        print(line, flush=True)
    for line in votes(arguments.surveys, with_crowd_kit):
        print(line, flush=True)
    print("labels right by MMSR less those by majority, in points; groups of so many people,")
    print("4 pages without and with 15 % opponents, 20 pages without and with:")
    for line in group_sizes(max(1, arguments.surveys // 5)):
        print(line, flush=True)
    print("processor time, 60 people, 14,400 comparisons:")
    for line in speed():
        print(line, flush=True)


if __name__ == "__main__":
    main()
