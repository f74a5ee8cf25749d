"""What flows between the pack's own nodes where the host has no type for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..scoft_training.errors import ConfigError

__all__ = [
    "CanvasDataset",
    "CanvasGrid",
    "CanvasScores",
    "ScoftDataset",
    "ScoftGrid",
    "ScoftScores",
    "require_dataset",
    "require_grid",
    "require_scores",
]

ScoftDataset = io.Custom("SCOFT_DATASET")
ScoftGrid = io.Custom("SCOFT_GRID")
ScoftScores = io.Custom("SCOFT_SCORES")


@dataclass(frozen=True)
class CanvasDataset:
    """A picture set on its way over the canvas.

    Attributes:
        root: its folder, which is never written to.
        work: its work folder, which holds all that the pack makes of it.
        negatives: the set of drawn negatives to train with; None takes the only one.
        builtin: whether it is the miniature's own, whose depth network then stands in for MiDaS.
    """

    root: Path
    work: Path
    negatives: str | None = None
    builtin: bool = False

    @property
    def depth(self) -> str | None:
        """What estimates its depth where no row brings it: a registered name, or None for MiDaS."""
        return "miniature" if self.builtin else None


@dataclass(frozen=True)
class CanvasGrid:
    """A folder of drawn pictures of prompts x seeds x models, see the engine's `grids`."""

    folder: Path


def require_grid(value: Any) -> CanvasGrid:
    """Return the value if it came from one of our nodes.

    Raises:
        ConfigError: it is something else; the host lets any JSON through where a grid belongs.
    """
    if not isinstance(value, CanvasGrid):
        raise ConfigError(
            f"`grid`: got a {type(value).__name__}, not a grid. Connect SCoFT Draw Grid."
        )
    return value


def require_dataset(value: Any) -> CanvasDataset:
    """Return the value if it came from one of our nodes.

    Raises:
        ConfigError: it is something else; the host lets any JSON through where a dataset belongs.
    """
    if not isinstance(value, CanvasDataset):
        raise ConfigError(
            f"`dataset`: got a {type(value).__name__}, not a dataset. Connect SCoFT Load Dataset "
            "or SCoFT Load Miniature."
        )
    return value


@dataclass(frozen=True)
class CanvasScores:
    """The metrics of a grid's models on their way over the canvas.

    Attributes:
        path: metrics.json in the folder of the grid.
    """

    path: Path


def require_scores(value: Any) -> CanvasScores:
    """Return the value if it came from SCoFT Metrics.

    Raises:
        ConfigError: it is something else; the host lets any JSON through where scores belong.
    """
    if not isinstance(value, CanvasScores):
        raise ConfigError(
            f"`scores`: got a {type(value).__name__}, not scores. Connect SCoFT Metrics."
        )
    return value
