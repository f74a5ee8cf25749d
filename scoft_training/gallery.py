"""A dataset and its negatives as people look at them: plain values for a page, and small pictures.

What they decide is written into the work folder and counts in the next run. Pages know rows by the
sha256 of their picture and negatives by set, folder and name; no path leaves this room. How a row
looks and what may be said of it: `desk_rows`.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .data import Dataset, dataset_version, read_dataset
from .data_checks import Problem
from .data_rows import CATEGORIES, ERAS, DatasetRow
from .dataset_quality import known_problems, measure
from .desk_rows import history_of, person, reason, restoring, shown_row, statement_of
from .errors import ConfigError, DatasetError
from .file_digests import FileDigests
from .negative_sets import (
    Negative,
    NegativeSet,
    RowNegatives,
    decide_negative,
    negative_sets,
    open_negative_set,
    read_row_negatives,
)
from .overlays import (
    Overlay,
    add_statement,
    overlaid,
    overlay_row,
    read_overlays,
    statements_by_picture,
)
from .picture_measures import QUALITY
from .thumbnails import Thumbnails

__all__ = ["Gallery"]


class Gallery:
    """One dataset with its work folder. Several threads may call it.

    Args:
        root: the dataset's folder, which is never written to.
        work: its work folder.
    """

    def __init__(self, root: Path, work: Path) -> None:
        self.root = root
        self.work = work
        self._lock = threading.Lock()
        self._digests = FileDigests(work)
        self._thumbnails = Thumbnails(work)
        self._read: tuple[Any, Dataset] | None = None
        self._known: tuple[Any, dict[str, list[Problem]]] | None = None

    def dataset(self) -> dict[str, Any]:
        """Return the set: its names, its problems, each row with what is decided, its sets.

        Rows with errors are listed too, where they have a picture; rows that the dataset itself
        leaves out are not.

        Raises:
            DatasetError: metadata.jsonl or rows.jsonl cannot be read.
        """
        found = self._dataset()
        statements = statements_by_picture(self.work)
        overlays = read_overlays(self.work)
        measured = self._measured_problems(found, overlays)
        of_rows: defaultdict[int | None, list[Problem]] = defaultdict(list)
        for problem in found.problems:
            of_rows[problem.row].append(problem)
        listed = sorted((*found.rows, *found.faulty), key=lambda row: row.number)
        rows = [
            shown_row(
                row,
                statements.get(row.sha256, ()),
                [*of_rows[row.number], *_of_number(measured, row)],
                culture=found.card.culture,
            )
            for row in listed
        ]
        included = overlaid(found, self.work).rows
        numbers = {row.number for row in listed}
        return {
            "name": found.name,
            "culture": found.card.culture,
            "suffix": found.card.suffix,
            "language": found.card.language,
            "kept": sum(row["included"] for row in rows),
            "left_out": sum(not row["included"] for row in rows),
            "undecided": sum(row["decision"] is None for row in rows),
            "problems": [
                problem.message for problem in found.problems if problem.row not in numbers
            ],
            "categories": list(CATEGORIES),
            "eras": list(ERAS),
            "rows": rows,
            "sets": [
                {
                    "negatives": one.digest,
                    "suffix": one.settings["suffix"],
                    "resolution": one.settings["resolution"],
                    **_counts(self._rows_of(one, included)),
                }
                for one in negative_sets(self.work)
            ],
        }

    def change_row(
        self, sha256: str, changes: Mapping[str, Any], *, by: str = "", why: str = ""
    ) -> dict[str, Any]:
        """State something about a picture; on the disk when this returns.

        Args:
            sha256: of the picture.
            changes: values by the desk's names; None takes back what was stated.
            by: who says so; empty counts as "gallery".
            why: the reason; empty gets a plain one.

        Returns:
            `row` as `dataset` has it, and `before`: the changes that bring back what held.

        Raises:
            ConfigError: there is no such picture or field, or a value does not belong there.
            OutputError: it cannot be written; nothing was changed.
        """
        row = self._row(sha256)
        held = add_statement(self.work, statement_of(row.sha256, changes, by, why))
        return {"row": self._shown(row), "before": restoring(held, changes)}

    def measure(self) -> dict[str, Any]:
        """Measure the pictures that were not yet, which may take minutes; returns the set anew.

        Raises:
            OutputError: the work folder cannot be written.
        """
        for _ in measure(self._dataset(), self.work, held_out=self._held_out()):
            pass
        return self.dataset()

    def history(self, sha256: str) -> dict[str, Any]:
        """Return all that was ever stated about a picture, the earliest first.

        Raises:
            ConfigError: there is no such picture.
        """
        row = self._row(sha256)
        return {"statements": history_of(statements_by_picture(self.work).get(row.sha256, ()))}

    def negatives(self, settings: str) -> dict[str, Any]:
        """Return a set of negatives: each included row with its negatives, decided or not.

        Raises:
            ConfigError: there is no such set.
            DatasetError: a record is damaged.
        """
        chosen = open_negative_set(self.work, settings)
        found = list(self._rows_of(chosen, self._included()))
        return {
            "negatives": settings,
            "suffix": chosen.settings["suffix"],
            "resolution": chosen.settings["resolution"],
            **_counts(found),
            "rows": [
                {
                    "sha256": one.row.sha256,
                    "number": one.row.number,
                    "caption": one.row.cultural_caption,
                    "generic_captions": list(one.row.generic_captions),
                    "folder": one.folder.name,
                    "depth": one.depth is not None,
                    "negatives": [_negative(negative) for negative in one.negatives],
                }
                for one in found
            ],
        }

    def decide_negative(
        self,
        settings: str,
        folder: str,
        name: str,
        *,
        kept: bool | None,
        by: str = "",
        why: str = "",
    ) -> dict[str, Any]:
        """Keep or drop a negative, or take that back.

        Returns:
            `negative` as `negatives` has it, and `before`: the decision by hand that held; its
            `kept` is None where there was none.

        Raises:
            ConfigError: there is no such set, row or negative.
        """
        before = decide_negative(
            self.work, settings, folder, name, kept=kept, who=person(by), why=reason(why)
        )
        return {"negative": _negative(self._negative(settings, folder, name)), "before": before}

    def picture(self, sha256: str, size: int) -> bytes:
        """Return a row's picture as a JPEG whose longest side is at least `size`.

        Raises:
            ConfigError: there is no such picture, or the size is out of range.
            DatasetError: the file cannot be read.
        """
        return self._small(self._row(sha256).image_path, size)

    def negative_picture(self, settings: str, folder: str, name: str, size: int) -> bytes:
        """Return a negative likewise.

        Raises:
            ConfigError: there is no such set, row or negative.
        """
        return self._small(self._negative(settings, folder, name).path, size)

    def depth_picture(self, settings: str, folder: str, size: int) -> bytes:
        """Return the depth that a row's negatives were drawn for likewise.

        Raises:
            ConfigError: there is no such set or row, or it has no depth.
        """
        found = self._row_negatives(settings, folder)
        if found.depth is None or not found.depth.is_file():
            raise ConfigError(f"Row {found.row.number}: there is no depth picture of this set.")
        return self._small(found.depth, size)

    def _small(self, path: Path, size: int) -> bytes:
        try:
            return self._thumbnails.get(path, size, self._digests.sha256)
        except FileNotFoundError as error:
            raise DatasetError(
                f"`{path.name}` does not exist any more. Put the picture back, then reload."
            ) from error

    def _dataset(self) -> Dataset:
        """Read the set, again only where its rows or captions changed."""
        with self._lock:
            version = dataset_version(self.root)
            if self._read is None or self._read[0] != version:
                # Damaged pictures show as such; decoding all of them would keep the page waiting.
                found = read_dataset(self.root, check_pictures=False, digests=self._digests)
                self._digests.save()
                self._read = version, found
            return self._read[1]

    def _held_out(self) -> Dataset | None:
        try:
            return read_dataset(self.root, "test", check_pictures=False, digests=self._digests)
        except DatasetError:  # most sets have none
            return None

    def _measured_problems(
        self, found: Dataset, overlays: Mapping[str, Overlay]
    ) -> dict[str, list[Problem]]:
        """Return what measurements say of the rows as shown, if there are any measurements."""
        try:
            stat = (self.work / QUALITY).stat()
        except FileNotFoundError:
            return {}
        key = (id(found), dict(overlays), stat.st_mtime_ns, stat.st_size)
        known = self._known
        if known is None or known[0] != key:
            rows = tuple(overlay_row(row, overlays.get(row.sha256)) for row in found.rows)
            shown = dataclasses.replace(found, rows=rows)
            known = key, known_problems(shown, self.work, held_out=self._held_out())
            self._known = known
        return known[1]

    def _included(self) -> tuple[DatasetRow, ...]:
        return overlaid(self._dataset(), self.work).rows

    def _row(self, sha256: str) -> DatasetRow:
        found = self._dataset()
        for row in (*found.rows, *found.faulty):
            if row.sha256 == sha256:
                return row
        raise ConfigError(f"There is no picture {sha256[:12]!r} in {self.root.name}.")

    def _shown(self, row: DatasetRow) -> dict[str, Any]:
        found = self._dataset()
        problems = [problem for problem in found.problems if problem.row == row.number]
        if self._known is not None:
            # As of the last time that the whole set was shown: one edit compares no pictures.
            problems += _of_number(self._known[1], row)
        statements = statements_by_picture(self.work).get(row.sha256, ())
        return shown_row(row, statements, problems, culture=found.card.culture)

    def _rows_of(self, chosen: NegativeSet, rows: Iterable[DatasetRow]) -> Iterator[RowNegatives]:
        return (read_row_negatives(row, self.work, chosen) for row in rows)

    def _row_negatives(self, settings: str, folder: str) -> RowNegatives:
        chosen = open_negative_set(self.work, settings)
        # By the folders of the rows, not by what the disk holds: the name comes from a page.
        for row in self._included():
            if folder.startswith(row.sha256):
                found = read_row_negatives(row, self.work, chosen)
                if found.folder.name == folder:
                    return found
        raise ConfigError(f"There are no negatives {folder!r} in set {settings}.")

    def _negative(self, settings: str, folder: str, name: str) -> Negative:
        for negative in self._row_negatives(settings, folder).negatives:
            if negative.name == name:
                return negative
        raise ConfigError(f"There is no negative {name!r} in {folder}.")


def _of_number(problems: Mapping[str, list[Problem]], row: DatasetRow) -> list[Problem]:
    return [problem for problem in problems.get(row.sha256, ()) if problem.row == row.number]


def _negative(negative: Negative) -> dict[str, Any]:
    return {
        "name": negative.name,
        "prompt": negative.prompt,
        "distance": negative.distance,
        "kept": negative.kept,
        "by": negative.by,
        "who": negative.who,
        "why": negative.why,
        "at": negative.at,
    }


def _counts(rows: Iterable[RowNegatives]) -> dict[str, int]:
    found = Counter(negative.kept for row in rows for negative in row.negatives)
    return {"kept": found[True], "dropped": found[False], "undecided": found[None]}
