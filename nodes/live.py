"""What this server has opened: the runs that it trains or trained, the sets that nodes loaded, the
grids that they measured, the surveys that they made and whose answers they read.

Pages ask for these by id (`routes`); nothing else is answered. All of it is forgotten at the
server's end, while the work folders stay.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..scoft_training.errors import ScoftError
from ..scoft_training.events import (
    Event,
    FinishedEvent,
    PhaseEvent,
    SettingsEvent,
    StepEvent,
    StoppedEvent,
)
from ..scoft_training.gallery import Gallery
from ..scoft_training.run_folder import read_history
from .types import CanvasDataset

__all__ = [
    "LiveRun",
    "NotOpenError",
    "decided",
    "find_gallery",
    "find_grid",
    "find_results",
    "find_run",
    "find_survey",
    "forget_lost",
    "open_dataset",
    "open_grid",
    "open_results",
    "open_survey",
    "revision",
    "shown",
]


class NotOpenError(ScoftError):
    """This server has opened nothing of that id."""


class LiveRun:
    """A training as a page follows it.

    Args:
        node: id of the node that trains.
        runs: the work folder's runs.
    """

    def __init__(self, node: str, runs: Path) -> None:
        self.node = node
        self.run_id: str | None = None
        self.state = "running"
        self.message = ""
        self.stopping = False
        self._runs = runs
        self._phase: PhaseEvent | None = None

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self._runs / str(self.run_id)

    def note(self, event: Event) -> None:
        """Take an event into account; the first that names the run makes it known to pages."""
        if isinstance(event, PhaseEvent):
            self._phase = event
        elif isinstance(event, StepEvent):
            self._phase = None
        elif isinstance(event, SettingsEvent):
            self._open(event.run_id)
        elif isinstance(event, StoppedEvent):
            self.state, self.message = "stopped", event.message
        elif isinstance(event, FinishedEvent):
            self._open(Path(event.name).parent.name)
            self.state = "finished"

    def fail(self, message: str) -> None:
        """Record that an error ended the run."""
        self.state, self.message = "failed", message

    def report(self) -> dict[str, Any]:
        """Return all that a page shows of the run; reads its report from the disk."""
        phase = self._phase
        seen = read_history(self.folder)
        stopping = self.stopping and self.state == "running"
        return {
            "run": self.run_id,
            "node": self.node,
            "state": "stopping" if stopping else self.state,
            "message": self.message,
            "steps": seen["settings"]["steps"] if seen["settings"] else 0,
            "phase": None if phase is None else vars(phase),
            **seen,
        }

    def _open(self, run_id: str) -> None:
        self.run_id = run_id
        _runs[run_id] = self


_runs: dict[str, LiveRun] = {}
_galleries: dict[str, Gallery] = {}
_revisions: Counter[str] = Counter()


def find_run(run_id: str) -> LiveRun:
    """Return a run.

    Raises:
        NotOpenError: this server knows none of that id.
    """
    if run_id not in _runs:
        raise NotOpenError("This server has not opened that run. Queue its graph to see it.")
    return _runs[run_id]


def open_dataset(dataset: CanvasDataset) -> str:
    """Make a set known to pages; returns its id."""
    name = _id(dataset.work)
    if name not in _galleries:
        _galleries[name] = Gallery(dataset.root, dataset.work)
    return name


def shown(dataset: CanvasDataset) -> dict[str, Any]:
    """Return what a node tells its page of a set, which is thereby opened."""
    return {"scoft": [{"dataset": open_dataset(dataset), "negatives": dataset.negatives}]}


def find_gallery(name: str) -> Gallery:
    """Return an opened set.

    Raises:
        NotOpenError: this server knows none of that id.
    """
    if name not in _galleries:
        raise NotOpenError("This server has not opened that dataset. Queue its node once.")
    return _galleries[name]


class _Folders:
    """Folders that nodes wrote, by id; what a page asks of them is refused once they are gone."""

    def __init__(self, kind: str, unknown: str) -> None:
        self._kind = kind
        self._unknown = unknown
        self._opened: dict[str, tuple[Path, tuple[Path, ...]]] = {}

    def open(self, folder: Path, files: Iterable[Path] = ()) -> str:
        """Make a folder known to pages of the canvas; returns its id.

        Args:
            folder: that a node wrote.
            files: that its page shows; without one of them the node has to run again.
        """
        name = _id(folder)
        self._opened[name] = folder, tuple(files)
        return name

    def find(self, name: str) -> Path:
        """Return the folder of an id.

        Raises:
            NotOpenError: this server knows none of that id.
        """
        if name not in self._opened:
            raise NotOpenError(self._unknown)
        return self._opened[name][0]

    def forget_lost(self) -> None:
        """Forget folders that lack a file by now, so that their nodes run again."""
        for name, (_, files) in list(self._opened.items()):
            if not all(path.is_file() for path in files):
                del self._opened[name]
                decided(self._kind)


_grids = _Folders("grids", "This server has not measured that grid. Queue its node once.")
open_grid, find_grid = _grids.open, _grids.find

_surveys = _Folders("surveys", "This server has not made that survey. Queue its node once.")
open_survey, find_survey = _surveys.open, _surveys.find

_results = _Folders("results", "This server has not read those answers. Queue its node once.")
open_results, find_results = _results.open, _results.find


def forget_lost() -> None:
    """Forget surveys and results of which a file is gone, so that their nodes run again."""
    _surveys.forget_lost()
    _results.forget_lost()


def _id(folder: Path) -> str:
    return hashlib.sha256(str(folder.resolve()).encode("utf-8")).hexdigest()[:16]


def decided(kind: str) -> None:
    """Note that a person changed what the next run does, though no widget changed.

    Args:
        kind: "rows", "negatives", "run" for a run that was stopped from a page, "surveys" or
            "results" for files that were deleted.
    """
    _revisions[kind] += 1


def revision(*kinds: str) -> list[int]:
    """Return what differs whenever a node has to run again although its inputs are equal."""
    return [_revisions[kind] for kind in kinds]
