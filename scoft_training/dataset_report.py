"""A report on a set: what it covers, what repeats, what is blurred; as values, words and a page.

The page itself is made in `report_page`; the numbers come from `coverage` and `dataset_quality`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .config import ReportConfig
from .coverage import Coverage, coverage_of
from .data import Dataset, read_dataset
from .data_sources import find_source
from .dataset_quality import PicturePair, Quality, measure, quality_of
from .errors import DatasetError
from .events import Event, FinishedEvent, StoppedEvent, StopRequested, stop_check
from .file_digests import FileDigests
from .files import write_text
from .overlays import overlaid
from .report_page import report_page
from .work_folder import default_work_folder

__all__ = ["DatasetReport", "ReportRequest", "make_report"]

_PAGE = "report.html"
_STOPPED = "Stopped; what is measured stays. Started again, it goes on from there."
_TOLD_HERE = ("same-caption", "same-picture")


@dataclass(frozen=True)
class ReportRequest:
    """A report on a dataset.

    Attributes:
        dataset: root folder of the picture set; never written to.
        config: the options.
        work: the work folder; None puts it under ./scoft-work.
        out: where the page goes; None is report.html in the work folder.
        device: where a second opinion on near-duplicates is computed; None is the CPU.
        search_folders: parents of helpers' folders, say the host's models/scoft.
    """

    dataset: Path
    config: ReportConfig = dataclasses.field(default_factory=ReportConfig)
    work: Path | None = None
    out: Path | None = None
    device: torch.device | None = None
    search_folders: Sequence[Path] = ()


@dataclass(frozen=True)
class DatasetReport:
    """What is known of a set, from what is measured.

    Attributes:
        dataset: the train split as its work folder completes it.
        held_out: the test split likewise, or None.
        coverage: categories and eras.
        quality: what repeats, is blurred, small or cut.
        messages: the sentences of the set's own check, errors first; what `quality` tells is left
            to it.
    """

    dataset: Dataset
    held_out: Dataset | None
    coverage: Coverage
    quality: Quality
    messages: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind of problem there are, by its name on the page."""
        found = self.quality
        return {
            "near-duplicates": len(found.pairs),
            "leaks into the test split": len(found.leaks),
            "repeated captions": len(found.captions),
            "blurred": len(found.blurred),
            "small": len(found.small),
            "cut by the square": len(found.cut),
            "other findings": len(self.messages),
        }

    def summary(self) -> str:
        """Return a few lines for a terminal or a node."""
        short = [
            f"{name} ({of.comparisons[0].lacking} more)"
            for name, of in self.coverage.categories.items()
            if of.comparisons[0].lacking
        ]
        lines = [f"{self.dataset.name}: {self.coverage.total} pictures"]
        if short:
            against = self.coverage.references[0].name
            lines.append(f"fewer than in {against} at this size: {', '.join(short)}")
        if self.coverage.eras["unstated"]:
            lines.append(f"era unstated: {self.coverage.eras['unstated']}")
        lines += [f"{name}: {count}" for name, count in self.counts.items() if count]
        if self.quality.unmeasured:
            lines.append(f"not measured: {len(self.quality.unmeasured)}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the report as values that JSON knows; pictures by row and sha256."""
        found = self.quality
        measured = {"blurred": found.blurred, "small": found.small, "cut": found.cut}
        return {
            "name": self.dataset.name,
            "culture": self.dataset.card.culture,
            "coverage": dataclasses.asdict(self.coverage),
            "near_duplicates": [_pair(pair) for pair in found.pairs],
            "leaks": [_pair(pair) for pair in found.leaks],
            "repeated_captions": [
                {"rows": [one.number, other.number], "overlap": round(1 - distance, 3)}
                for one, other, distance in found.captions
            ],
            **{
                name: [
                    {"row": row.number, "sha256": row.sha256, **dataclasses.asdict(of)}
                    for row, of in rows
                ]
                for name, rows in measured.items()
            },
            "unmeasured": [row.number for row in found.unmeasured],
            "second_opinion": found.second_opinion,
            "messages": list(self.messages),
        }

    def page(self) -> str:
        """Return the page: one self-contained HTML file; opens the pictures that it shows."""
        return report_page(
            self.dataset,
            self.coverage,
            self.quality,
            has_test=self.held_out is not None,
            messages=self.messages,
        )


def make_report(
    request: ReportRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Generator[Event, None, DatasetReport | None]:
    """Measure what is not measured yet and write the page; returns None when stopped.

    The last event is a FinishedEvent with the page's path, or a StoppedEvent.

    Raises:
        DatasetError: the set or its work folder's rows.jsonl cannot be read.
        ConfigError: an option is out of range.
        OutputError: the work folder or the page cannot be written.
    """
    work = request.work or default_work_folder(request.dataset)
    dataset, held_out = _read(request.dataset, work)
    try:
        yield from measure(
            dataset,
            work,
            request.config,
            held_out=held_out,
            device=request.device,
            search_folders=request.search_folders,
            check_stop=stop_check(should_stop),
        )
    except StopRequested:
        yield StoppedEvent(0, _STOPPED)
        return None
    report = _report(dataset, held_out, work, request.config)
    out = request.out or work / _PAGE
    write_text(out, report.page())
    yield FinishedEvent(0, str(out))
    return report


def _read(root: Path, work: Path) -> tuple[Dataset, Dataset | None]:
    """Return the set and its test split, if there is one, as the work folder completes them."""
    digests = FileDigests(work)
    splits = ("train", "test") if _has_test(root) else ("train",)
    read = [
        overlaid(read_dataset(root, split, check_pictures=False, digests=digests), work)
        for split in splits
    ]
    digests.save()
    return read[0], read[1] if len(read) > 1 else None


def _has_test(root: Path) -> bool:
    try:
        find_source(root, "test")
    except DatasetError:
        return False
    return True


def _report(
    dataset: Dataset, held_out: Dataset | None, work: Path, config: ReportConfig | None
) -> DatasetReport:
    problems = [*dataset.errors, *dataset.warnings]
    return DatasetReport(
        dataset,
        held_out,
        coverage_of(dataset),
        quality_of(dataset, work, config, held_out=held_out),
        tuple(one.message for one in problems if one.kind not in _TOLD_HERE),
    )


def _pair(pair: PicturePair) -> dict[str, Any]:
    return {
        "rows": [pair.one.number, pair.other.number],
        "sha256": [pair.one.sha256, pair.other.sha256],
        "same_file": pair.same,
        "bits": pair.bits,
        "mirrored": pair.mirrored,
        "distance": pair.likeness,
    }
