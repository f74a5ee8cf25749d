"""Results of a survey made up from simulated rankings, for the report, the tables and the nodes.

Their numbers fit each other, yet come from simple formulas of their own: whoever tests the
analysis itself does it with answers (`made_answers`).
"""

from __future__ import annotations

import itertools

import numpy as np

from scoft_training.survey_records import (
    Difference,
    Disagreement,
    Estimate,
    Finding,
    ModelFigures,
    Person,
    PositionBias,
    Slice,
    SurveyResult,
)

ITEMS = ("alignment", "representation", "stereotypes", "offensiveness")
MODELS = ("+MPC", "+MP", "+M", "SD")
GROUPS = {"Korea": 7, "Mexico": 5, "나이지리아": 4}


def made_result(models=MODELS, groups=GROUPS, items=ITEMS, pages=6, seed=0, **changes):
    """Return a result of groups of so many people each.

    The last group turns the order of the models round, so it disagrees with the others. One
    group or more, one person or more; `changes` replace fields of the result.
    """
    rng = np.random.default_rng(seed)
    group_of = np.repeat(np.arange(len(groups)), list(groups.values()))
    ranks = _ranks(rng, len(models), group_of, pages, len(items))
    people = _people(ranks, group_of, list(groups), rng)
    wheres = [(None, None), *((None, item) for item in items), *((one, None) for one in groups)]
    wheres += [(one, item) for one in groups for item in items]
    slices = tuple(_slice(ranks, models, list(groups), items, group_of, *one) for one in wheres)
    fields = {
        "models": models,
        "items": items,
        "groups": tuple(groups),
        "group_by": "culture",
        "slices": slices,
        "people": people,
        "agreement": _agreement(ranks),
        "position_bias": tuple(_bias(one, rng, len(models)) for one in (None, *items)),
        "disagreements": tuple(
            _disagreement(one, slices, list(groups)) for one in (None, *items) if len(groups) > 1
        ),
        "findings": FINDINGS,
        "differences": DIFFERENCES,
        "settings": {"engine": "crowd-kit", "confidence": 0.95, "resamples": 1000, "leave_out": ""},
    }
    return SurveyResult(**fields | changes)


FINDINGS = (
    Finding(
        "refused",
        "answers-korea-0123abcd.json",
        "It belongs to another survey. Ask its sender which page they filled, or leave it out.",
    ),
    Finding(
        "left out",
        "answers.csv, line 17",
        "The ranks 1, 1, 2, 3 skip none after a tie. Write 1, 1, 3, 4.",
    ),
    Finding(
        "flagged",
        "person 2",
        "Ranked all 6 pages in the same order of places. Look at their answers; they count.",
    ),
    Finding("flagged", "<script>alert(1)</script>", "Took 0.4 s a ranking. They count."),
)

DIFFERENCES = (
    Difference(
        "MMSR",
        None,
        "alignment",
        "+MPC > +MP > +M > SD",
        "failed: no convergence",
        "crowd-kit's own run failed: its groups of people share no page.",
    ),
)


def _ranks(rng, models, group_of, pages, items):
    """(people, pages, items, models), 1 best, strict."""
    quality = np.linspace(1.2, -1.2, models)
    of_group = np.tile(quality, (group_of.max() + 1, 1))
    if len(of_group) > 1:
        of_group[-1] = quality[::-1]
    shape = (len(group_of), pages, items, models)
    seen = of_group[group_of][:, None, None, :] + rng.normal(0, 1.1, shape)
    return (-seen).argsort(-1).argsort(-1) + 1


def _estimate(by_person):
    mean = float(np.mean(by_person))
    if len(by_person) < 2:
        return Estimate(mean)
    reach = 2 * float(np.std(by_person, ddof=1)) / len(by_person) ** 0.5
    return Estimate(mean, mean - reach, mean + reach)


def _slice(ranks, models, groups, items, group_of, group, item):
    chosen = ranks if group is None else ranks[group_of == groups.index(group)]
    chosen = chosen if item is None else chosen[:, :, [items.index(item)]]
    beats = (chosen[..., :, None] < chosen[..., None, :]).mean((1, 2))
    figures = [_figures(chosen, beats, models, place) for place in range(len(models))]
    order = tuple(
        (figure.model,) for figure in sorted(figures, key=lambda one: one.average_rank.mean)
    )
    people, _, _, many = chosen.shape
    rankings = chosen[..., 0].size
    enough = people > 1
    by_page = chosen.sum(0)
    spread = ((by_page - by_page.mean(-1, keepdims=True)) ** 2).sum(-1)
    w = float((12 * spread / (people**2 * (many**3 - many))).mean()) if enough else None
    pairs = list(itertools.permutations(range(many), 2))
    return Slice(
        group=group,
        item=item,
        participants=people,
        rankings=rankings,
        comparisons=rankings * many * (many - 1) // 2,
        ties=0,
        models=tuple(figures),
        win_rates={(models[a], models[b]): _estimate(beats[:, a, b]) for a, b in pairs},
        average_order=order,
        nbt_order=order if enough else (),
        vote_order=(*order[:-2], order[-2] + order[-1]) if many > 2 and enough else order,
        vote_method="MMSR" if enough else "majority: MMSR needs three people or more",
        kendalls_w=w,
        kendalls_w_people=float(people) if enough else 0.0,
        mean_spearman=(people * w - 1) / (people - 1) if enough else None,
        rank_differences={
            (models[a], models[b]): _estimate((chosen[..., a] - chosen[..., b]).mean((1, 2)))
            for a, b in pairs
        },
    )


def _figures(chosen, beats, models, place):
    many = len(models)
    mine = chosen[..., place]
    wins = _estimate(beats[:, place].sum(-1) / (many - 1))
    enough = len(chosen) > 1
    return ModelFigures(
        model=models[place],
        average_rank=_estimate(mine.mean((1, 2))),
        rank_counts=tuple(int((mine == rank).sum()) for rank in range(1, many + 1)),
        first_share=_estimate((mine == 1).mean((1, 2))),
        win_rate=wins,
        nbt_score=wins if enough else None,
        vote_wins=float((beats.mean(0)[place] > 0.5).sum() / (many - 1)),
    )


def _people(ranks, group_of, groups, rng):
    return tuple(
        Person(
            name=f"person {number + 1}",
            group=groups[group],
            rankings=ranks[number, ..., 0].size,
            agreement=float(rng.uniform(0.4, 0.9)) if len(ranks) > 1 else None,
            vote_skill=float(rng.normal(1, 1)) if len(ranks) > 2 else None,
            nbt_skill=float(rng.uniform(0.3, 0.95)) if len(ranks) > 1 else None,
            nbt_bias=float(rng.uniform(0.2, 0.8)) if len(ranks) > 1 else None,
            flags=("the same order of places on all pages",) if number == 1 else (),
        )
        for number, group in enumerate(group_of)
    )


def _agreement(ranks):
    better = ranks[..., :, None] < ranks[..., None, :]
    people = range(len(ranks))
    return tuple(
        tuple(None if a == b else float((better[a] == better[b]).mean()) for b in people)
        for a in people
    )


def _bias(item, rng, models):
    middle = (models + 1) / 2
    moved = rng.normal(0, 0.05, models)
    ranks = tuple(float(one) for one in middle + moved - moved.mean())
    return PositionBias(item, ranks, p_value=0.37, pages=96)


def _disagreement(item, slices, groups):
    found = {(one.group, one.item): one for one in slices}
    winners = {group: found[group, item].average_order[0] for group in groups}
    disagree = len(set(winners.values())) > 1
    told = ", ".join(f"people of {group} put {one[0]} first" for group, one in winners.items())
    sentence = told[0].upper() + told[1:] + "."
    return Disagreement(item, 0.002 if disagree else 0.6, winners, disagree, sentence)
