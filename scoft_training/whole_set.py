"""A picture set as a whole, for handing it on: all its splits as the work folder completes them.

What an export cannot hold as rows (what was left out and why, how negatives were drawn) is counted
here and travels in the `provenance` of its card.json.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .data import Dataset, read_dataset
from .data_rows import DatasetCard, DatasetRow
from .errors import ConfigError
from .negative_sets import NegativeSet, negative_sets, open_negative_set, with_negatives
from .overlays import overlaid, read_overlays, statements_by_picture, with_overlays

__all__ = ["NO_NEGATIVES", "PROVENANCE", "WholeSet", "dataset_splits", "read_whole_set"]

NO_NEGATIVES = "none"
"""In place of a set's digest: negatives that were drawn stay where they are."""

PROVENANCE = "provenance"
"""The key in card.json under which an export says what its rows cannot."""

_TABLES = ("metadata.jsonl", "metadata.csv", "metadata.tsv")
_HELD_OUT = ("test", "val", "validation")
_LEFT_OUT_THERE = "left out in the dataset itself"
_TOLD = ("suffix", "crop", "resolution", "seed", "sampler", "inference_steps", "guidance_scale")


@dataclass(frozen=True)
class WholeSet:
    """Every split of a set, complete.

    Attributes:
        root: its folder.
        name: the card's, or the folder's.
        card: without the provenance.
        splits: with captions and decisions of the work folder and the kept negatives; "train" is
            the first.
        left_out: how many pictures were left out for which reason.
        negatives: how the drawn ones were drawn, empty where there are none.
    """

    root: Path
    name: str
    card: DatasetCard
    splits: tuple[Dataset, ...]
    left_out: Mapping[str, int]
    negatives: Mapping[str, Any]

    @property
    def rows(self) -> list[DatasetRow]:
        """The rows of all splits."""
        return [row for split in self.splits for row in split.rows]


def dataset_splits(root: Path) -> tuple[str, ...]:
    """Return the names of a set's splits: train, then every folder with rows of its own."""
    found = set()
    for folder in root.iterdir() if root.is_dir() else ():
        if folder.is_dir() and folder.name != "train":
            table = any((folder / name).is_file() for name in _TABLES)
            if table or (folder.name in _HELD_OUT and any(folder.rglob("*.txt"))):
                found.add(folder.name)
    return ("train", *sorted(found))


def read_whole_set(
    root: Path, work: Path, *, negatives: str | None = None, splits: Sequence[str] = ()
) -> WholeSet:
    """Read and check a set, and complete it by its work folder.

    Args:
        root: the dataset's folder.
        work: its work folder; may be missing.
        negatives: digest of the set of drawn negatives, `NO_NEGATIVES`, or None for the only one.
        splits: names; none takes them all.

    Raises:
        DatasetError: a split is not usable, or nobody has decided on the drawn negatives.
        ConfigError: there are several sets of negatives and none is named, or not the named one.
    """
    root = root.expanduser().absolute()
    found = [read_dataset(root, split) for split in splits or dataset_splits(root)]
    card = found[0].card
    chosen = _chosen(work, negatives)
    told = _provenance(card)
    left_out = Counter({str(why): int(count) for why, count in told.get("left_out", {}).items()})
    complete = []
    for dataset in found:
        left_out.update(_reasons(dataset, work))
        as_stated = overlaid(dataset, work)
        as_stated.require_usable()
        rows = as_stated.rows
        if chosen is not None:
            rows = with_negatives(rows, work, chosen.digest)
        complete.append(dataclasses.replace(as_stated, rows=rows, excluded=0))
    extra = {key: value for key, value in card.extra.items() if key != PROVENANCE}
    return WholeSet(
        root=root,
        name=card.name or root.name,
        card=dataclasses.replace(card, extra=extra),
        splits=tuple(complete),
        left_out=dict(sorted(left_out.items())),
        negatives=_how_drawn(chosen) if chosen else dict(told.get("negatives", {})),
    )


def _provenance(card: DatasetCard) -> dict[str, Any]:
    """Return what the export that this set came from said of itself; files come from anywhere."""
    told = card.extra.get(PROVENANCE)
    if not isinstance(told, dict):
        return {}
    left_out = told.get("left_out")
    counts = left_out.items() if isinstance(left_out, dict) else ()
    return {
        "left_out": {why: count for why, count in counts if isinstance(count, int)},
        "negatives": told["negatives"] if isinstance(told.get("negatives"), dict) else {},
    }


def _chosen(work: Path, negatives: str | None) -> NegativeSet | None:
    if negatives == NO_NEGATIVES:
        return None
    if negatives is not None:
        return open_negative_set(work, negatives)
    known = negative_sets(work)
    if len(known) > 1:
        names = "; ".join(f"{one.digest} ({one.settings['suffix']!r})" for one in known)
        raise ConfigError(
            f"{work}: there are {len(known)} sets of drawn negatives: {names}. Say which with "
            f"--negatives, or --negatives {NO_NEGATIVES}."
        )
    return known[0] if known else None


def _how_drawn(chosen: NegativeSet) -> dict[str, Any]:
    settings = chosen.settings
    names = (*_TOLD, *(key for key in settings if key.endswith("_name")))
    return {key: settings[key] for key in names if key in settings}


def _reasons(dataset: Dataset, work: Path) -> Counter[str]:
    """Count the reasons for which rows are left out; whose decision it was is not told."""
    counts: Counter[str] = Counter()
    if dataset.excluded:
        counts[_LEFT_OUT_THERE] = dataset.excluded
    statements, overlays = statements_by_picture(work), read_overlays(work)
    for row in dataset.rows:
        if with_overlays([row], overlays):
            continue
        reasons = [
            one.why for one in statements[row.sha256] if {"include", "consent"} & one.touched()
        ]
        counts[reasons[-1]] += 1
    return counts
