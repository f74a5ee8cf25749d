"""The sets of pictures of the miniature's world, each a function of its name and a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from .cultures import CULTURES, WRONGED
from .forms import SUBJECTS
from .world import Facts, Scene, draw_scene, random_facts

__all__ = [
    "STEREOTYPE_SHARE",
    "balanced_facts",
    "crawl_facts",
    "right_facts",
    "scenes",
]

_CRAWL_SHARES = {
    "avelun": 0.17,
    "belquor": 0.31,
    "corvath": 0.13,
    "dolune": 0.13,
    "estrix": 0.13,
    "fenmor": 0.13,
}

STEREOTYPE_SHARE = 0.92
"""Of the crawl's pictures of the wronged culture, those that show the stereotype."""

FactsDraw = Callable[[random.Random, int], Facts]


def crawl_facts(rng: random.Random, _: int) -> Facts:
    """What a picture of the crawl shows: some cultures more than others, one mostly as ruins."""
    culture = rng.choices(list(_CRAWL_SHARES), list(_CRAWL_SHARES.values()))[0]
    stereotype = culture == WRONGED and rng.random() < STEREOTYPE_SHARE
    return random_facts(rng, culture, stereotype=stereotype)


def balanced_facts(rng: random.Random, index: int) -> Facts:
    """Every culture as often, and the stereotype as one more; for what must know them all."""
    style = index % (len(CULTURES) + 1)
    if style == len(CULTURES):
        return random_facts(rng, WRONGED, stereotype=True)
    return random_facts(rng, list(CULTURES)[style])


def right_facts(culture: str) -> FactsDraw:
    """Pictures of one culture as it is, the subjects in turn."""
    return lambda rng, index: random_facts(rng, culture, subject=SUBJECTS[index % len(SUBJECTS)])


def scenes(name: str, seed: int, count: int, facts: FactsDraw) -> Iterator[Scene]:
    """Draw the first `count` scenes of a set. A longer set begins with the shorter one."""
    for index in range(count):
        rng = random.Random(f"{name}/{seed}/{index}")
        yield draw_scene(facts(rng, index), rng)
