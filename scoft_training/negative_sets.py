"""Drawn negatives on disk: which sets there are, what was drawn for a row, what of it is kept.

    <work>/depth/<settings>/<sha>.png                               16-bit
    <work>/negatives/<settings>/settings.json                       what all files depend on
    <work>/negatives/<settings>/<sha>-<row digest>/00.png ...
    <work>/negatives/<settings>/<sha>-<row digest>/negatives.json   prompts, distances, decisions

`<settings>` is a digest of crop, resolution, models, suffix, seed and sampler, `<sha>` the
picture's; the row digest is that of its captions and brought depth, which differ from row to row.
So a changed setting or caption makes new files and leaves the old. How many negatives are drawn is
no part of it: more can be added later. Drawing and measuring are `negatives`' matter.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import TrainConfig
from .data_rows import DatasetRow
from .errors import ConfigError, DatasetError, OutputError, unknown_name
from .file_locks import locked
from .files import digest_json, file_sha256, write_json
from .statements import now

__all__ = [
    "Negative",
    "NegativeSet",
    "RowNegatives",
    "change_record",
    "decide_negative",
    "file_name",
    "negative_sets",
    "new_entry",
    "open_negative_set",
    "read_row_negatives",
    "row_folder",
    "save_negative_set",
    "with_negatives",
]

_RECORD = "negatives.json"
_SETTINGS = "settings.json"
_PLAIN_REASONS = {True: "kept by hand", False: "dropped by hand", None: "decision taken back"}


@dataclass(frozen=True)
class NegativeSet:
    """Negatives that were drawn alike.

    Attributes:
        digest: of `settings`; the name of the set's folder.
        settings: suffix, seed, crop, resolution, sampler, number format, and the models' names and
            digests.
        negatives_per_picture: how many were last asked for.
    """

    digest: str
    settings: Mapping[str, Any]
    negatives_per_picture: int

    @classmethod
    def of(cls, settings: Mapping[str, Any], negatives_per_picture: int) -> NegativeSet:
        """Return the set of these settings; the models' names do not tell sets apart."""
        identity = {key: value for key, value in settings.items() if not key.endswith("_name")}
        return cls(digest_json(identity)[:16], settings, negatives_per_picture)

    def folder(self, work: Path) -> Path:
        """Return where its files lie."""
        return work / "negatives" / self.digest


@dataclass(frozen=True)
class Negative:
    """One negative of a row.

    Attributes:
        name: "00.png" of a drawn one, the sha256 of one that the dataset brings.
        path: the file.
        prompt: what it was drawn for; None if brought.
        distance: to its picture in the eyes of the last filter, None before.
        distances: likewise of every network that ever measured it, by its digest.
        kept: whether training uses it; None while nobody has decided.
        by: who decided, "filter" or "user".
        who: the name of the person who decided or took that back, where no filter has since.
        why: their reason.
        at: when, as an ISO date and time.
    """

    name: str
    path: Path
    prompt: str | None
    distance: float | None
    distances: Mapping[str, float]
    kept: bool | None
    by: str | None
    who: str | None = None
    why: str | None = None
    at: str | None = None

    @property
    def drawn(self) -> bool:
        """Whether it was drawn here, and so lies on the picture's crop already."""
        return self.prompt is not None


@dataclass(frozen=True)
class RowNegatives:
    """A row and its negatives, those it brings first, then the drawn ones that exist.

    `folder` is where they lie; its name is the id for `decide_negative`. `depth` is the depth
    picture they were drawn for, or None.
    """

    row: DatasetRow
    folder: Path
    negatives: tuple[Negative, ...]
    depth: Path | None

    def row_with(self, negatives: Sequence[Negative]) -> DatasetRow:
        """Return the row with some of these negatives, in their order, and no others."""
        return dataclasses.replace(
            self.row,
            negative_paths=tuple(one.path for one in negatives),
            negative_sha256s=tuple(
                file_sha256(one.path) if one.drawn else one.name for one in negatives
            ),
            drawn_negatives=sum(one.drawn for one in negatives),
        )


def negative_sets(work: Path) -> list[NegativeSet]:
    """Return the sets in a work folder, in the order of their digests."""
    found = []
    for path in sorted((work / "negatives").glob(f"*/{_SETTINGS}")):
        values = _read_json(path)
        found.append(NegativeSet(path.parent.name, values["settings"], values["per_picture"]))
    return found


def open_negative_set(work: Path, settings: str) -> NegativeSet:
    """Return the set of that digest.

    Raises:
        ConfigError: there is none.
    """
    known = {found.digest: found for found in negative_sets(work)}
    if not known:
        raise ConfigError("This work folder holds no drawn negatives. Draw them first.")
    if settings not in known:
        raise ConfigError(unknown_name("set of negatives", settings, known))
    return known[settings]


def save_negative_set(work: Path, chosen: NegativeSet) -> None:
    """Write settings.json, unless it says the same already."""
    path = chosen.folder(work) / _SETTINGS
    values = {"settings": dict(chosen.settings), "per_picture": chosen.negatives_per_picture}
    if not path.is_file() or _read_json(path) != values:
        write_json(path, values)


def file_name(index: int) -> str:
    """Return the name of negative number `index`, from 0."""
    return f"{index:02d}.png"


def row_folder(row: DatasetRow, work: Path, chosen: NegativeSet) -> Path:
    """Return the folder of a row's negatives."""
    depth = None if row.depth_path is None else file_sha256(row.depth_path)
    digest = digest_json([row.generic_captions, depth])
    return chosen.folder(work) / f"{row.sha256}-{digest[:8]}"


def read_row_negatives(row: DatasetRow, work: Path, chosen: NegativeSet) -> RowNegatives:
    """Return what there is for a row, decided or not.

    Raises:
        DatasetError: its negatives.json is damaged.
    """
    folder = row_folder(row, work, chosen)
    record = _read_json(folder / _RECORD) if (folder / _RECORD).is_file() else {}
    entries = record.get("negatives", {})
    brought = len(row.negative_paths) - row.drawn_negatives
    places = dict(zip(row.negative_sha256s[:brought], row.negative_paths[:brought], strict=True))
    for index in range(chosen.negatives_per_picture):
        path = folder / file_name(index)
        if path.name in entries and path.is_file():
            places[path.name] = path
    negatives = []
    for name, path in places.items():
        entry = entries.get(name) or new_entry(None)
        negatives.append(_negative_of(name, path, entry))
    depth = work / record["depth"] if record.get("depth") else None
    return RowNegatives(row, folder, tuple(negatives), depth)


def new_entry(prompt: str | None) -> dict[str, Any]:
    """Return what negatives.json says of a negative at first; brought ones have no prompt."""
    return {"prompt": prompt, "distance": None, "distances": {}, "kept": None, "by": None}


def change_record(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Let `change` edit what a folder's negatives.json holds, an empty one if there is none.

    `negatives` in it maps names to entries. Nothing is written if nothing changed.
    """
    path = folder / _RECORD
    # A person may decide on a page while a filter runs elsewhere. One lock serves the whole set, so
    # that no file of it lies in each row's folder.
    with locked(folder.parent / _RECORD):
        before = _read_json(path) if path.is_file() else {}
        after = copy.deepcopy(before) or {"negatives": {}}
        change(after)
        if after != before:
            write_json(path, after)


def decide_negative(
    work: Path,
    settings: str,
    folder_name: str,
    name: str,
    *,
    kept: bool | None,
    who: str = "user",
    why: str = "",
) -> dict[str, Any]:
    """Keep or drop one negative by hand; no filter overrules it. None takes the decision back.

    Args:
        work: the work folder.
        settings: digest of the set.
        folder_name: name of `RowNegatives.folder`.
        name: `Negative.name`.
        kept: the decision; after None the last filter's holds again, and without one the negative
            is undecided until the next filter.
        who: the person's name.
        why: the reason; empty gets a plain one.

    Returns:
        `kept`, `by` and `why` of the decision by hand that held before, each None without one.

    Raises:
        ConfigError: there is no such set, row or negative.
    """
    chosen = open_negative_set(work, settings)
    folder = chosen.folder(work) / folder_name
    # Names come from a browser; both must be plain, whatever the disk holds.
    plain = re.fullmatch(r"[0-9a-f]{64}-[0-9a-f]{8}", folder_name)
    if not plain or not (folder / _RECORD).is_file():
        raise ConfigError(f"There are no negatives {folder_name!r} in set {settings}.")
    before: dict[str, Any] = {}

    def change(record: dict[str, Any]) -> None:
        if name not in record["negatives"]:
            raise ConfigError(unknown_name("negative", name, record["negatives"]))
        entry = record["negatives"][name]
        by_hand = entry["by"] == "user"
        before["kept"] = entry["kept"] if by_hand else None
        before["by"] = entry.get("who") if by_hand else None
        before["why"] = entry.get("why") if by_hand else None
        if entry["by"] == "filter":
            entry["filtered"] = entry["kept"]
        if kept is None:
            filtered = entry.get("filtered")
            entry |= {"kept": filtered, "by": None if filtered is None else "filter"}
        else:
            entry |= {"kept": kept, "by": "user"}
        entry |= {"who": who, "why": why or _PLAIN_REASONS[kept], "at": now()}

    change_record(folder, change)
    return before


def _negative_of(name: str, path: Path, entry: Mapping[str, Any]) -> Negative:
    # Records of earlier versions name no person; a filter that decided since is none.
    told = {} if entry["by"] == "filter" else entry
    return Negative(
        name=name,
        path=path,
        prompt=entry["prompt"],
        distance=entry["distance"],
        distances=entry["distances"],
        kept=entry["kept"],
        by=entry["by"],
        who=told.get("who"),
        why=told.get("why"),
        at=told.get("at"),
    )


def with_negatives(
    rows: Sequence[DatasetRow], work: Path, settings: str, *, config: TrainConfig | None = None
) -> tuple[DatasetRow, ...]:
    """Return rows whose negatives are the kept ones: those they bring, then those drawn for them.

    A brought negative that no filter has seen stays; a drawn one that nobody decided on does not.

    Args:
        rows: usable rows of the dataset.
        work: the work folder.
        settings: digest of the set.
        config: the training's; its crop has to be the one the set was drawn for.

    Raises:
        ConfigError: there is no such set, or it was drawn for another crop.
        DatasetError: nobody has decided yet on any negative of the set.
    """
    chosen = open_negative_set(work, settings)
    if config is not None:
        _require_same_crop(chosen, config)
    found = [read_row_negatives(row, work, chosen) for row in rows]
    drawn = [one for of_row in found for one in of_row.negatives if one.drawn]
    if drawn and all(one.kept is None for one in drawn):
        raise DatasetError(
            f"The negatives of set {settings} are drawn but not filtered. Filter them first; with "
            "`filter_backbone` none all are kept."
        )
    return tuple(
        of_row.row_with(
            [one for one in of_row.negatives if (one.kept if one.drawn else one.kept is not False)]
        )
        for of_row in found
    )


def _require_same_crop(chosen: NegativeSet, config: TrainConfig) -> None:
    wanted = {
        "resolution": config.resolution,
        "crop": config.crop,
        "crop_seed": config.seed if config.crop == "random" else None,
    }
    for key, value in wanted.items():
        if chosen.settings[key] != value:
            name = "seed" if key == "crop_seed" else key
            raise ConfigError(
                f"The negatives of set {chosen.digest} were drawn for `{name}` "
                f"{chosen.settings[key]}, but the training has {value}, so they would not lie on "
                "their pictures. Draw negatives for this crop, or train with theirs."
            )


def _read_json(path: Path) -> dict[str, Any]:
    where = "/".join(path.parts[-3:])
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OutputError(f"{where}: cannot be read ({error.strerror}). Check the disk.") from error
    except ValueError as error:
        raise DatasetError(
            f"{where}: is damaged ({error}). Delete this file and draw negatives again: pictures "
            "that exist are kept, what was decided by hand in it is lost."
        ) from error
    if not isinstance(values, dict):
        raise DatasetError(
            f"{where}: is no JSON object. Delete this file and draw negatives again."
        )
    return values
