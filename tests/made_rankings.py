"""Rankings for tests, written as a person would write them down, or as arrays."""

from __future__ import annotations

import numpy as np

from scoft_training.rank_table import RankTable
from scoft_training.survey_answers import Answer
from scoft_training.survey_key import ITEMS


def ranked(participant, page, ranks, *, item="alignment", culture="Korea", country="", places=None):
    """Return one ranking: {model: rank}, and {model: place} where places are known."""
    return [
        Answer(
            participant=participant,
            culture=culture,
            country=country,
            page=page,
            prompt="a market",
            item=item,
            model=model,
            position=places[model] if places else None,
            rank=rank,
            seconds=None,
        )
        for model, rank in ranks.items()
    ]


def table_of(ranks, *, places=None, group=None, own_pages=False):
    """Return rankings of simulated people.

    Args:
        ranks: (people, pages, items, models).
        places: (people, pages, models), or None where they are not known.
        group: (people,) from 0, or None for one group.
        own_pages: whether each group ranks pages of its own.
    """
    people, pages, items, models = ranks.shape
    group = np.zeros(people, np.int64) if group is None else np.asarray(group)
    person, page, item = (part.ravel() for part in np.indices((people, pages, items)))
    positions = np.zeros((people, pages, models), np.int64) if places is None else places
    shift = pages * group[person] if own_pages else 0
    groups = int(group.max()) + 1
    return RankTable(
        models=tuple("ABCDEFGHI"[:models]),
        participants=tuple(f"person {number}" for number in range(people)),
        groups=tuple(f"group {number}" for number in range(groups)),
        pages=tuple(f"page {number}" for number in range(pages * (groups if own_pages else 1))),
        items=ITEMS[:items],
        ranks=ranks.reshape(-1, models),
        positions=np.repeat(positions[:, :, None], items, axis=2).reshape(-1, models),
        participant=person,
        group=group[person],
        page=page + shift,
        item=item,
    )


def competition(worth):
    """Return ranks, best first, of (..., models) worth; equal ones share the better rank."""
    return 1 + (worth[..., None, :] > worth[..., :, None]).sum(axis=-1)
