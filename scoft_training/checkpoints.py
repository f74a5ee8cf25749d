"""Resume state on disk: written aside and renamed, the newest few kept, damaged ones passed over.

What the tensors mean is the trainer's matter; here they have names only.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import ResumeError
from .files import remove_leftovers, write_aside

__all__ = ["TrainingState", "latest_step", "load_latest", "save_checkpoint"]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"step-(\d{8})\.safetensors")


@dataclass(frozen=True)
class TrainingState:
    """Everything that the next step depends on and that is not a function of the config.

    Attributes:
        step: optimizer steps done.
        tensors: adapter weights and optimizer moments by name.
        values: schedule and loss-scaler state, plain JSON.
    """

    step: int
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


def save_checkpoint(folder: Path, run_id: str, state: TrainingState, *, keep: int) -> Path:
    """Write a checkpoint, then drop all but the newest `keep`.

    Args:
        folder: made if missing.
        run_id: kept in the file, so that a checkpoint is never taken for another run's.
        state: moved to the CPU and copied as it is.
        keep: 1 or more.

    Raises:
        OutputError: the disk is full or the folder cannot be written; older checkpoints stay.
    """
    path = folder / f"step-{state.step:08d}.safetensors"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    metadata = {
        "run_id": run_id,
        "step": str(state.step),
        "values": json.dumps(state.values, allow_nan=False),
    }
    write_aside(path, lambda aside: save_file(tensors, aside, metadata))
    for old in _checkpoints(folder)[keep:]:
        old.unlink(missing_ok=True)
    return path


def load_latest(folder: Path, run_id: str) -> TrainingState | None:
    """Return the newest readable checkpoint of a run, or None where there is none.

    Args:
        folder: may be missing; leftovers of a killed write are removed.
        run_id: must match the file's.

    Raises:
        ResumeError: there are checkpoints but none can be read, or one belongs to another run.
    """
    if not folder.is_dir():
        return None
    remove_leftovers(folder)
    candidates = _checkpoints(folder)
    for path in candidates:
        try:
            return _read(path, run_id)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            logger.warning(
                "Checkpoint %s is damaged (%s); the one before it is used", path.name, error
            )
    if candidates:
        raise ResumeError(
            f"{folder}: none of its {len(candidates)} checkpoints can be read. Move the folder "
            "away to begin this run anew."
        )
    return None


def latest_step(folder: Path) -> int | None:
    """Return the step of the newest checkpoint without reading it, or None where there is none."""
    names = [_NAME.fullmatch(path.name) for path in _checkpoints(folder)] if folder.is_dir() else []
    return max((int(name[1]) for name in names if name), default=None)


def _checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


def _read(path: Path, run_id: str) -> TrainingState:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    if metadata["run_id"] != run_id:
        raise ResumeError(
            f"{path.name} belongs to run {metadata['run_id']}, not to {run_id}. Move it out of the "
            "run's folder."
        )
    return TrainingState(int(metadata["step"]), tensors, json.loads(metadata["values"]))
