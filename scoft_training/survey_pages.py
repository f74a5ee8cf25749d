"""Which prompts and pictures of grids a survey asks about.

A page is one prompt with one seed and one picture of every model. Only what all the models have
drawn counts. The choice of prompts is a function of each prompt and the seed, evenly over the
categories of their rows, and a larger number of pages keeps those of a smaller one. How pictures
are made ready and what pages are called is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from unicodedata import normalize

from . import draws
from .errors import ConfigError, DatasetError, unknown_name
from .grids import Grid, GridPicture, GridPrompt
from .survey_config import SurveyConfig, parted

__all__ = ["MOST_MODELS", "ChosenPage", "ChosenPages", "choose_pages"]

MOST_MODELS = 9
"""Ranks are set by digit keys, and nobody ranks more pictures with care."""

_NAMED = 3
"""So many prompts of a sentence are named."""

_LOTS = 2**62


@dataclass(frozen=True)
class ChosenPage:
    """What one page shows: a prompt, and per model the picture of one seed."""

    culture: str
    prompt: str
    seed: int
    pictures: Mapping[str, GridPicture]


@dataclass(frozen=True)
class ChosenPages:
    """All that a survey asks about.

    Attributes:
        models: in the first grid's order.
        pages: by culture in the order in which it first comes, then as in the grids.
        warnings: what was left out, in sentences.
    """

    models: tuple[str, ...]
    pages: tuple[ChosenPage, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Candidate:
    """A prompt that can be asked about, and the seeds that all models drew."""

    culture: str
    prompt: GridPrompt
    seeds: tuple[int, ...]
    pictures: Mapping[tuple[str, int], GridPicture]


def choose_pages(
    grids: Sequence[Grid], *, culture: str | None, models: Sequence[str], config: SurveyConfig
) -> ChosenPages:
    """Choose what a survey asks about.

    Args:
        grids: one or more, say one for each culture; a page comes from one of them.
        culture: of prompts that name none; None takes the only one that their grid names.
        models: names that all grids have; none takes all.
        config: how many prompts, of which roles, by which seed.

    Raises:
        ConfigError: a model is unknown or not in each grid, there are fewer than 2 or more than 9,
            no prompt is of these roles, or its culture is not known.
        DatasetError: a grid has no prompt of which every model has a picture.
    """
    if not grids:
        raise ConfigError("There is no grid to ask about. Name one that `scoft grid` drew.")
    names = _models(grids, models)
    by_culture: dict[str, dict[str, _Candidate]] = {}
    names_of: dict[str, str] = {}
    warnings = []
    for grid in grids:
        found, incomplete = _candidates(grid, names, parted(config.roles), culture)
        warnings += _left_out(grid, incomplete)
        for one in found:
            # One culture in large and in small letters is one, as it is when answers are read.
            name = names_of.setdefault(one.culture.casefold(), one.culture)
            # The same prompt in two grids, or under two roles, is asked about once.
            of_culture = by_culture.setdefault(name, {})
            of_culture.setdefault(one.prompt.text, replace(one, culture=name))
    pages: list[ChosenPage] = []
    for candidates in by_culture.values():
        chosen = _drawn(list(candidates.values()), config)
        warnings += _too_few_seeds(chosen, config.pictures_per_prompt)
        pages += [
            ChosenPage(
                one.culture,
                one.prompt.text,
                seed,
                {name: one.pictures[name, seed] for name in names},
            )
            for one in chosen
            for seed in one.seeds[: config.pictures_per_prompt]
        ]
    return ChosenPages(names, tuple(pages), tuple(warnings))


def _models(grids: Sequence[Grid], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the models' names, each of which every grid has."""
    there = [[model.name for model in grid.models] for grid in grids]
    known = list(dict.fromkeys(name for names in there for name in names))
    for name in wanted:
        if name not in known:
            raise ConfigError(unknown_name("model", name, known))
    chosen = [name for name in known if name in wanted] if wanted else known
    common = [name for name in known if all(name in names for names in there)]
    for name in chosen:
        for grid, names in zip(grids, there, strict=True):
            if name not in names:
                raise ConfigError(
                    f"{grid.folder}: has no model called {name!r}, and another grid has. Draw it "
                    "with `scoft grid`, or name the models to compare in `models`; all grids "
                    f"have {', '.join(common) or 'none in common'}."
                )
    if len(chosen) < 2:
        raise ConfigError(
            f"A survey compares two models or more, and there is {chosen[0] if chosen else 'none'}"
            ". Draw another one with `scoft grid`."
        )
    if len(chosen) > MOST_MODELS:
        raise ConfigError(
            f"A survey compares at most {MOST_MODELS} models, and there are {len(chosen)}: "
            f"{', '.join(chosen)}. Name those to compare in `models`."
        )
    return tuple(chosen)


def _candidates(
    grid: Grid, models: Sequence[str], roles: Sequence[str], culture: str | None
) -> tuple[list[_Candidate], list[GridPrompt]]:
    """Return a grid's prompts that can be asked about, and those that not every model has drawn."""
    asked = [(n, one) for n, one in enumerate(grid.prompts) if one.role in roles]
    if not asked:
        has = sorted({one.role for one in grid.prompts}) or ["none"]
        raise ConfigError(
            f"{grid.folder}: has no prompt of the role {' or '.join(roles)}; its prompts are "
            f"{', '.join(has)}. Set `roles`, or draw for others with `scoft grid`."
        )
    drawn = {(one.model, one.prompt, one.seed): one for one in grid.pictures}
    found, incomplete = [], []
    for number, prompt in asked:
        seeds = tuple(
            seed for seed in prompt.seeds if all((name, number, seed) in drawn for name in models)
        )
        if not seeds:
            incomplete.append(prompt)
            continue
        pictures = {(name, seed): drawn[name, number, seed] for name in models for seed in seeds}
        found.append(_Candidate(_culture(grid, prompt, culture), prompt, seeds, pictures))
    if not found:
        counts = {name: sum(one.model == name for one in grid.pictures) for name in models}
        fewest = min(counts, key=counts.__getitem__)
        raise DatasetError(
            f"{grid.folder}: there is no prompt of which every model has a picture; {fewest!r} has "
            f"the fewest ({counts[fewest]}). Draw what is missing with `scoft grid`, or leave that "
            "model out of `models`."
        )
    return found, incomplete


def _culture(grid: Grid, prompt: GridPrompt, culture: str | None) -> str:
    """Return whose people are asked about a prompt."""
    own = _spelt(prompt.culture) or _spelt(culture)
    if own:
        return own
    named = [spelt for one in grid.prompts if (spelt := _spelt(one.culture))]
    if len({spelt.casefold() for spelt in named}) == 1:
        return named[0]
    raise ConfigError(
        f"{grid.folder}: the prompt {prompt.text[:60]!r} names no culture. Say in `culture` "
        "whose people are asked."
    )


def _spelt(culture: str | None) -> str:
    """Return a culture's name in one spelling of its letters and spaces."""
    return " ".join(normalize("NFC", culture or "").split())


def _drawn(candidates: Sequence[_Candidate], config: SurveyConfig) -> list[_Candidate]:
    """Return as many prompts of a culture as asked for, in the order of the grids.

    Categories take turns, and inside one the lots decide; a category's own lot says when its turn
    comes.
    """
    if not config.pages:
        return list(candidates)
    by_category: dict[str, list[tuple[int, int]]] = {}
    for number, one in enumerate(candidates):
        lot = draws.choice(_LOTS, config.seed, "survey prompt", one.culture, one.prompt.text)
        by_category.setdefault(one.prompt.category or "", []).append((lot, number))
    turns = []
    for category, lots in by_category.items():
        culture = candidates[lots[0][1]].culture
        place = draws.choice(_LOTS, config.seed, "survey category", culture, category)
        turns += [(turn, place, number) for turn, (_, number) in enumerate(sorted(lots))]
    chosen = sorted(number for _, _, number in sorted(turns)[: config.pages])
    return [candidates[number] for number in chosen]


def _left_out(grid: Grid, incomplete: Sequence[GridPrompt]) -> list[str]:
    if not incomplete:
        return []
    are, named = _counted(incomplete)
    return [
        f"{grid.folder.name}: {are} left out, for lack of pictures by every model: {named}. Draw "
        "what is missing with `scoft grid`."
    ]


def _too_few_seeds(chosen: Sequence[_Candidate], wanted: int) -> list[str]:
    few = [one.prompt for one in chosen if len(one.seeds) < wanted]
    if not few:
        return []
    are, named = _counted(few)
    return [
        f"{chosen[0].culture}: {are} asked about on fewer than {wanted} pages, since there are not "
        f"as many seeds that every model has drawn: {named}. Draw more seeds with `scoft grid`."
    ]


def _counted(prompts: Sequence[GridPrompt]) -> tuple[str, str]:
    """Return how many prompts there are with their verb, and the first few, quoted."""
    named = "; ".join(repr(one.text[:60]) for one in prompts[:_NAMED])
    more = f"; and {len(prompts) - _NAMED} more" if len(prompts) > _NAMED else ""
    are = "1 prompt is" if len(prompts) == 1 else f"{len(prompts)} prompts are"
    return are, named + more
