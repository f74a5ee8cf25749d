"""The prompts of a grid: a dataset's captions, a file's lines, and everyday ones.

Which captions are drawn for, and from which noise, is a function of each caption and the seed. So
another number of captions or pictures, or a row more or less, adds to a grid what is new and asks
for nothing of the rest anew.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .config import GridConfig
from .data import Dataset, read_dataset
from .data_rows import DatasetRow
from .data_sources import find_source
from .errors import ConfigError, DatasetError, unknown_name
from .files import digest_json
from .grids import ROLES, GridPrompt
from .overlays import overlaid

__all__ = [
    "NEUTRAL_PROMPTS",
    "dataset_prompts",
    "prompts_of_dataset",
    "read_prompts",
    "seeded",
    "typed_prompt",
    "with_general",
]

_ENDINGS = (".txt", ".jsonl", ".csv")
_BLOCK, _BLOCKS = 10_000, 10**9
"""Seeds of one prompt, the most that an option draws of one; and so many such blocks there are."""


def dataset_prompts(
    root: Path, work: Path, config: GridConfig
) -> tuple[list[GridPrompt], list[str]]:
    """Return the prompts of a dataset as its work folder completes it, and what to know of them.

    Args:
        root: the dataset's folder, with the splits train and, perhaps, test.
        work: its work folder; may be missing.
        config: how many of what.

    Raises:
        DatasetError: it cannot be read, or has errors that the work folder does not mend.
    """
    train = _split(root, "train", work)
    warnings, held_out = [], tuple[DatasetRow, ...]()
    try:
        find_source(Path(root).expanduser().absolute(), "test")
    except DatasetError:
        lacking = "there is no test split"
    else:
        held_out = _split(root, "test", work).rows
        lacking = "" if held_out else "every row of the test split is left out"
    if lacking:
        warnings.append(
            f"{train.name}: {lacking}, so no held-out captions are drawn for, and nothing tells "
            "how well the culture is known. Put some rows into test/ beside train/."
        )
    return prompts_of_dataset(train.rows, held_out, config, culture=train.card.culture), warnings


def prompts_of_dataset(
    train: Sequence[DatasetRow],
    test: Sequence[DatasetRow],
    config: GridConfig,
    *,
    culture: str | None = None,
) -> list[GridPrompt]:
    """Return what is drawn for a dataset, by role: train, test, neutral, general.

    Each prompt of a role has seeds of its own. From common ones the pictures of a set would all
    begin from the same noise and resemble each other, whatever the model.

    Args:
        train: the training rows, completed.
        test: the held-out rows, completed; may be none.
        config: how many of what; its seed chooses captions and seeds.
        culture: of rows that name none.
    """
    many, few, seed = config.pictures_per_caption, config.pictures_per_test_caption, config.seed
    shown = _chosen(train, config.train_captions, seed, "train")
    prompts = [_of_row(row, "train", many, seed, culture) for row in shown]
    wanted = _chosen(test, config.test_captions or len(test), seed, "test")
    with_many = {row.sha256 for row in _chosen(wanted, config.many_test_captions, seed, "test")}
    for row in wanted:
        count = max(few, many) if row.sha256 in with_many else few
        prompts.append(_of_row(row, "test", count, seed, culture))
    for text in NEUTRAL_PROMPTS[: config.neutral_prompts]:
        prompts.append(GridPrompt(text, "neutral", _own_seeds(1, seed, "neutral", text)))
    return with_general(prompts)


def with_general(prompts: Sequence[GridPrompt]) -> list[GridPrompt]:
    """Return the prompts and, for neutral ones without it, the same text once more as general.

    General ones have as many other seeds: the base's pictures from the same noise would be twins of
    a model that has forgotten little, and nearer to it than any real pictures could be.
    """
    there = {prompt.text for prompt in prompts if prompt.role == "general"}
    lone = [one for one in prompts if one.role == "neutral" and one.text not in there]
    return [
        *prompts,
        *(
            dataclasses.replace(
                prompt,
                role="general",
                seeds=_own_seeds(len(prompt.seeds), prompt.seeds[0], "general", prompt.text),
            )
            for prompt in lone
        ),
    ]


def seeded(prompts: Iterable[GridPrompt], first: int, count: int) -> list[GridPrompt]:
    """Return the prompts, those without seeds with `count` of their own, counted up from `first`.

    Of their own for the reason that `prompts_of_dataset` gives.
    """
    found = []
    for prompt in prompts:
        if not prompt.seeds:
            prompt = dataclasses.replace(prompt, seeds=tuple(range(first, first + count)))
            first += count
        found.append(prompt)
    return found


def typed_prompt(line: str, seeds: tuple[int, ...] = ()) -> GridPrompt:
    """Return the prompt of a typed line, whose role may stand before a colon; else it is test."""
    role, colon, text = line.partition(":")
    if not colon or role.strip() not in ROLES:
        return GridPrompt(line.strip(), "test", seeds)
    return GridPrompt(text.strip(), role.strip(), seeds)


def read_prompts(path: Path, seeds: Sequence[int] = ()) -> list[GridPrompt]:
    """Read prompts of a file: .txt as typed, one a line; .jsonl and .csv with text, role, seeds.

    A role that is not given is test; seeds, in a .csv parted by spaces, are those of the argument
    where none are given.

    Args:
        path: UTF-8.
        seeds: of all prompts that name none; may be none, see `seeded`.

    Raises:
        ConfigError: it cannot be read, holds no prompt, or a line is wrong.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise ConfigError(
            f"{path}: prompts are read from {', '.join(_ENDINGS)}. Save it as one of them."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 ({error}). Save it so.") from error
    prompts = [
        _prompt(values, tuple(seeds), f"{path.name}, line {number}:")
        for number, values in _lines(text, path)
    ]
    if not prompts:
        raise ConfigError(f"{path}: holds no prompt. Write one a line.")
    return prompts


def _split(root: Path, split: str, work: Path) -> Dataset:
    dataset = overlaid(read_dataset(root, split), work)
    dataset.require_usable()
    return dataset


def _of_row(row: DatasetRow, role: str, count: int, seed: int, culture: str | None) -> GridPrompt:
    text = row.cultural_caption
    return GridPrompt(
        text=text,
        role=role,
        seeds=_own_seeds(count, seed, role, text),
        picture=row.sha256,
        category=row.category,
        culture=row.culture or culture,
    )


def _own_seeds(count: int, *key: int | str) -> tuple[int, ...]:
    """Return `count` seeds that are a function of the key, and others for another key."""
    first = int(digest_json(key)[:15], 16) % _BLOCKS * _BLOCK
    return tuple(range(first, first + count))


def _chosen(rows: Sequence[DatasetRow], count: int, seed: int, role: str) -> list[DatasetRow]:
    """Return `count` rows of different captions, drawn by the seed, in the order of the rows.

    Each caption draws its own lot, so that a larger count keeps those of a smaller one.
    """
    by_caption: dict[str, DatasetRow] = {}
    for row in rows:
        by_caption.setdefault(row.cultural_caption, row)
    lots = {caption: digest_json([seed, role, caption]) for caption in by_caption}
    drawn = set(sorted(lots, key=lots.__getitem__)[:count])
    return [row for caption, row in by_caption.items() if caption in drawn]


def _lines(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield each line's number and values."""
    kind = path.suffix.lower()
    if kind == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        if "text" not in (reader.fieldnames or ()):
            raise ConfigError(f"{path}: has no column `text`. Name the prompts' column so.")
        for row in reader:
            cells = {key: value.strip() for key, value in row.items() if isinstance(value, str)}
            if any(cells.values()):
                values: dict[str, Any] = {key: cell for key, cell in cells.items() if cell}
                yield reader.line_num, values | {"seeds": cells.get("seeds", "").split()}
        return
    # Not splitlines: a prompt may hold U+2028 and its like.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        if kind == ".txt":
            typed = typed_prompt(line)
            yield number, {"text": typed.text, "role": typed.role}
            continue
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise ValueError("it is no object")
        except ValueError as error:
            raise ConfigError(
                f'{path.name}, line {number}: is not JSON ({error}). Write {{"text": "..."}}.'
            ) from error
        yield number, values


def _prompt(values: Mapping[str, Any], seeds: tuple[int, ...], where: str) -> GridPrompt:
    text, role = values.get("text"), values.get("role") or "test"
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"{where} `text` is missing. Write the prompt there.")
    if role not in ROLES:
        raise ConfigError(f"{where} {unknown_name('role', str(role), ROLES)}")
    given = values.get("seeds")
    listed = given if isinstance(given, list) else [] if given is None else [given]
    # JSON has numbers, a table their digits; 1.5 and true are neither.
    if not all(re.fullmatch("[0-9]{1,19}", str(seed)) for seed in listed):
        raise ConfigError(f"{where} `seeds` must be whole numbers from 0 but got {given!r}.")
    own = tuple(int(seed) for seed in listed)
    return GridPrompt(text.strip(), role, tuple(dict.fromkeys(own)) or seeds)


NEUTRAL_PROMPTS = (
    "a red apple on a wooden table",
    "a bowl of ripe strawberries",
    "three eggs in a cardboard box",
    "a glass of water with ice",
    "a slice of bread on a white plate",
    "a cup of black coffee beside a newspaper",
    "a bunch of yellow bananas",
    "a pile of oranges in a crate",
    "a carrot lying on a cutting board",
    "a jar of honey with a spoon",
    "a brown dog asleep on a rug",
    "a grey cat on a window sill",
    "two sparrows on a branch",
    "a black horse in a meadow",
    "a flock of sheep on a hill",
    "a white goose beside a pond",
    "a snail on a wet leaf",
    "a butterfly on a purple flower",
    "a squirrel holding a nut",
    "a frog on a mossy stone",
    "a goldfish in a round bowl",
    "an owl in a hollow tree",
    "a spider web with drops of dew",
    "a bee above a sunflower",
    "a cow drinking from a stream",
    "a tall oak tree in autumn",
    "a narrow path through a pine forest",
    "a field of wheat before rain",
    "snow on the branches of a fir",
    "a waterfall between rocks",
    "a wide sandy beach at low tide",
    "waves breaking against a cliff",
    "a small lake with fog in the morning",
    "a rainbow over green hills",
    "a full moon behind thin clouds",
    "stars above a dark ridge",
    "lightning over a plain",
    "a river bend seen from above",
    "ice on the surface of a puddle",
    "dry grass in the wind",
    "a gravel road after rain",
    "a wooden bridge over a creek",
    "a stone wall covered with ivy",
    "an empty park bench under a lamp",
    "a lighthouse on a rock at dusk",
    "a row of garages with blue doors",
    "a flight of concrete stairs",
    "a tunnel with a light at its end",
    "a tower crane against a clear sky",
    "a petrol station at night",
    "a crossroads with traffic lights",
    "a railway track running to the horizon",
    "an airport runway seen from a window",
    "a harbour crane lifting a container",
    "a greenhouse full of seedlings",
    "a warehouse with high shelves",
    "an office desk with two screens",
    "an empty classroom with rows of chairs",
    "a kitchen sink with clean dishes",
    "a bedroom with an unmade bed",
    "a bathroom mirror with steam on it",
    "a corridor with many doors",
    "a staircase with an iron rail",
    "a bookshelf filled with old books",
    "a wooden chair beside a window",
    "a round table with four stools",
    "a leather sofa in a bright room",
    "a standing lamp beside an armchair",
    "a clock on a plain wall",
    "a vase of tulips on a shelf",
    "a candle burning in the dark",
    "a folded blanket on a bench",
    "a bunch of keys on a hook",
    "an open umbrella on the floor",
    "a pair of muddy boots at a door",
    "a knitted scarf on a hanger",
    "a blue raincoat on a peg",
    "a straw basket with clean laundry",
    "a sewing machine with a spool of thread",
    "a hammer and a box of nails",
    "a saw leaning on a workbench",
    "a bucket of white paint with a brush",
    "a coil of garden hose",
    "a wheelbarrow full of leaves",
    "a ladder against a brick wall",
    "a rusty bicycle leaning on a fence",
    "a yellow bus at a stop",
    "a red car parked in the rain",
    "a white van on a motorway",
    "a truck loaded with logs",
    "a small sailing boat on calm water",
    "a rowing boat tied to a jetty",
    "a freight train crossing a bridge",
    "a helicopter above a mountain",
    "a hot air balloon at sunrise",
    "a motorcycle in front of a garage",
    "a tractor in a ploughed field",
    "a row of shopping carts",
    "a computer keyboard seen from above",
    "a telephone on a wooden desk",
    "a camera on a tripod",
    "a pair of glasses on an open book",
    "a pencil and a sheet of paper",
    "a roll of tape and scissors",
    "a heap of coloured paper clips",
    "a microscope in a laboratory",
    "a row of glass test tubes",
    "a thermometer on a wall",
    "a globe on a shelf",
    "a telescope on a balcony",
    "a football on wet grass",
    "a tennis racket and two balls",
    "a swimming pool without people",
    "coloured wooden blocks on a carpet",
    "a kite high in the sky",
    "a puzzle with one missing piece",
    "a deck of cards on a green cloth",
    "a stack of flat stones",
    "a soap bubble in sunlight",
    "a shadow of a tree on a wall",
)
"""Everyday things, without people, places or anything of a culture."""
