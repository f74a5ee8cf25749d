"""A survey analysed: answers in, `SurveyResult` out. Reads and writes no file.

Every figure is taken of each slice by itself: of everything, of each item, of each group of people,
and of each group and item. Intervals all rest on the same resamples of participants.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import __version__
from .crowd_kit import crowd_kit_differences
from .events import Event, PhaseEvent
from .group_tests import disagreements, position_biases
from .mmsr import Vote, VoteGroup, mmsr_vote
from .noisy_bradley_terry import NoisyBradleyTerry, noisy_bradley_terry, resampled_scores
from .rank_resampling import RankEstimates, Resamples, draw_resamples, rank_estimates
from .rank_statistics import (
    Concordance,
    RankFigures,
    agreement,
    concordance,
    rank_figures,
    tiers,
)
from .rank_table import Comparisons, RankedPicture, RankTable, comparisons, rank_table
from .survey_config import SurveyAnalysisConfig
from .survey_records import (
    Difference,
    Estimate,
    Finding,
    ModelFigures,
    Order,
    Person,
    Slice,
    SurveyResult,
)

__all__ = ["analyse"]

_PHASE = "analyse"

_SHARE_OF_FITS = 5
"""One resample in so many is fitted, too."""

_FEWEST_PEOPLE = 2
"""Of one person alone, skill and the models' strengths cannot be told apart."""

_TIE = 0.5

_EQUAL = 1e-4
"""Scores (log-odds) that differ by less are one tier: a search ends that near to its goal."""


def analyse(
    answers: Sequence[RankedPicture],
    findings: Sequence[Finding],
    config: SurveyAnalysisConfig,
    *,
    flags: Mapping[str, Sequence[str]] | None = None,
    check_stop: Callable[[], None] = lambda: None,
) -> Generator[Event, None, SurveyResult]:
    """Analyse answers; the same answers in any order give the same result.

    Args:
        answers: those that count, one a rank.
        findings: what is wrong or odd with them; handed on.
        config: the options.
        flags: participant -> why to look at their answers.
        check_stop: raises to stop; called between the parts.

    Raises:
        SurveyError: there are no answers.
        ConfigError: an unknown kind of group.
    """
    table = rank_table(answers, config.group_by)
    resamples = draw_resamples(table, config.resamples, config.seed, config.confidence)
    measured: list[_Slice] = []
    differences: list[Difference] = []
    parts = _parts(table)
    for number, (group, item, rows) in enumerate(parts):
        check_stop()
        yield PhaseEvent(_PHASE, number, len(parts) + 1)
        measured.append(_measured(table.take(rows), group, item, resamples))
        if config.engine == "crowd-kit":
            one = measured[-1]
            differences += crowd_kit_differences(
                one.compared, one.nbt, one.vote, group=group, item=item
            )
    check_stop()
    yield PhaseEvent(_PHASE, len(parts), len(parts) + 1)
    models = _models_in_order(table)
    people, pairs = _people(table, measured[0], flags or {})
    tests = {"permutations": config.resamples, "seed": config.seed}
    result = SurveyResult(
        models=models,
        items=table.items,
        groups=table.groups,
        group_by=config.group_by,
        slices=tuple(_record(one, models) for one in measured),
        people=people,
        agreement=pairs,
        position_bias=position_biases(table, **tests),
        disagreements=disagreements(table, **tests),
        findings=tuple(findings),
        differences=tuple(differences),
        settings={**dataclasses.asdict(config), "scoft": __version__},
    )
    yield PhaseEvent(_PHASE, len(parts) + 1, len(parts) + 1)
    return result


@dataclass(frozen=True)
class _Slice:
    """What was measured of a part of the rankings; models in the table's order."""

    group: str | None
    item: str | None
    compared: Comparisons
    figures: RankFigures
    concordance: Concordance
    estimates: RankEstimates
    strengths: tuple[Estimate | None, ...]
    nbt: NoisyBradleyTerry | None
    vote: Vote | None


def _parts(table: RankTable) -> list[tuple[str | None, str | None, NDArray[np.bool_]]]:
    """Return (group, item, rows) of every slice that holds rankings, everything first."""
    everything = np.ones(len(table.ranks), bool)
    of_item = [(item, table.item == at) for at, item in enumerate(table.items)]
    of_group = [(group, table.group == at) for at, group in enumerate(table.groups)]
    parts: list[tuple[str | None, str | None, NDArray[np.bool_]]] = [(None, None, everything)]
    parts += [(None, item, rows) for item, rows in of_item]
    parts += [(group, None, rows) for group, rows in of_group]
    parts += [(group, item, people & rows) for group, people in of_group for item, rows in of_item]
    return [part for part in parts if part[2].any()]


def _models_in_order(table: RankTable) -> tuple[str, ...]:
    averages = rank_figures(table).average_ranks
    return tuple(model for tier in tiers(table.models, averages) for model in tier)


def _measured(
    table: RankTable, group: str | None, item: str | None, resamples: Resamples
) -> _Slice:
    compared = comparisons(table)
    people = np.unique(compared.participant)
    fitted = len(people) >= _FEWEST_PEOPLE
    nbt = noisy_bradley_terry(compared) if fitted else None
    vote = mmsr_vote(compared) if (compared.outcome != _TIE).any() else None
    return _Slice(
        group=group,
        item=item,
        compared=compared,
        figures=rank_figures(table),
        concordance=concordance(table),
        estimates=rank_estimates(table, resamples),
        strengths=_strengths(compared, nbt, resamples) if nbt else (),
        nbt=nbt,
        vote=vote,
    )


def _strengths(
    compared: Comparisons, nbt: NoisyBradleyTerry, resamples: Resamples
) -> tuple[Estimate | None, ...]:
    """Return (models,) chances against a picture of middling strength, with their intervals."""
    counts = resamples.weights[: max(1, len(resamples.weights) // _SHARE_OF_FITS)]
    drawn = resampled_scores(compared, counts)
    people = np.unique(compared.participant)
    return tuple(
        None
        if np.isnan(score)
        else resamples.chance(float(score), drawn[:, model], people, error=float(nbt.errors[model]))
        for model, score in enumerate(nbt.scores)
    )


def _record(one: _Slice, models: Sequence[str]) -> Slice:
    """Return what reports read of a slice."""
    names, figures = one.compared.models, one.figures
    place = {name: at for at, name in enumerate(names)}
    shown = [model for name in models if (model := _figures(one, name, place[name]))]

    def named(pairs: Mapping[tuple[int, int], Estimate]) -> dict[tuple[str, str], Estimate]:
        known = [(row, column) for row in names for column in names if row != column]
        found = {pair: pairs.get((place[pair[0]], place[pair[1]])) for pair in known}
        return {pair: value for pair, value in found.items() if value is not None}

    return Slice(
        group=one.group,
        item=one.item,
        participants=figures.participants,
        rankings=figures.rankings,
        comparisons=figures.comparisons,
        ties=figures.ties,
        models=tuple(shown),
        win_rates=named(one.estimates.pair_win_rates),
        average_order=tiers(names, figures.average_ranks),
        nbt_order=_nbt_order(one),
        vote_order=one.vote.order if one.vote else (),
        vote_method=_vote_method(one.vote),
        kendalls_w=one.concordance.kendalls_w,
        kendalls_w_people=one.concordance.people,
        mean_spearman=one.concordance.mean_spearman,
        rank_differences=named(one.estimates.rank_differences),
    )


def _figures(one: _Slice, name: str, at: int) -> ModelFigures | None:
    """Return a model's figures; None where it was ranked beside no other."""
    average, first = one.estimates.average_ranks[at], one.estimates.first_shares[at]
    won = one.estimates.win_rates[at]
    if average is None or first is None or won is None:
        return None
    labels = one.vote.wins[at].sum() + one.vote.wins[:, at].sum() if one.vote else 0
    return ModelFigures(
        model=name,
        average_rank=average,
        rank_counts=tuple(int(count) for count in one.figures.rank_counts[at]),
        first_share=first,
        win_rate=won,
        nbt_score=one.strengths[at] if one.nbt else None,
        vote_wins=float(one.vote.wins[at].sum() / labels) if one.vote and labels else None,
    )


def _nbt_order(one: _Slice) -> Order:
    if one.nbt is None:
        return ()
    return tiers(one.compared.models, one.nbt.scores, highest_first=True, tolerance=_EQUAL)


def _vote_method(vote: Vote | None) -> str:
    """Return in words how people were weighed: MMSR alone where all were, against each other."""
    if vote is None:
        return "nobody ranked one picture before another, so there is no vote"
    alike: dict[str, list[VoteGroup]] = {}
    for group in sorted(vote.groups, key=lambda one: bool(one.reason)):
        alike.setdefault(group.reason, []).append(group)
    if list(alike) == [""] and len(alike[""]) == 1:
        return "MMSR"
    return "; ".join(
        f"{_who(groups)} with equal weight: {reason}" if reason else f"MMSR for {_who(groups)}"
        for reason, groups in alike.items()
    )


def _who(groups: Sequence[VoteGroup]) -> str:
    count = sum(len(group.participants) for group in groups)
    people = "1 person" if count == 1 else f"{count} people"
    return f"{people} (in {len(groups)} groups that share no page)" if len(groups) > 1 else people


def _people(
    table: RankTable, whole: _Slice, flags: Mapping[str, Sequence[str]]
) -> tuple[tuple[Person, ...], tuple[tuple[float | None, ...], ...]]:
    """Return everybody by group and name, and on what share of comparisons each two agree."""
    agreed = agreement(whole.compared)
    homes = table.home_groups()
    order = np.lexsort((np.arange(len(homes)), homes))
    rankings = np.bincount(table.participant, minlength=len(homes))
    placed = np.bincount(table.participant, (table.positions > 0).any(axis=1), len(homes))
    skills = whole.vote.skills if whole.vote else None
    nbt = whole.nbt
    people = tuple(
        Person(
            name=table.participants[at],
            group=table.groups[homes[at]],
            rankings=int(rankings[at]),
            agreement=_told(agreed.with_others[at]),
            vote_skill=None if skills is None else _told(skills[at]),
            nbt_skill=None if nbt is None else _told(nbt.skills[at]),
            # Without places nobody knows which picture stood first.
            nbt_bias=None if nbt is None or not placed[at] else _told(nbt.biases[at]),
            flags=tuple(flags.get(table.participants[at], ())),
        )
        for at in order
    )
    pairs = agreed.pairs[np.ix_(order, order)]
    return people, tuple(tuple(_told(one) for one in row) for row in pairs.tolist())


def _told(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
