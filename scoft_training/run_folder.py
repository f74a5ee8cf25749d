"""A run's own folder: config.json, events.jsonl, checkpoints/, previews/, snapshots/ and the LoRA.

A stopped run leaves lora-step-<step>.safetensors as well: the LoRA as far as it was trained.

Only the main process of a run writes; nothing that a user made is replaced.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from .checkpoints import TrainingState, latest_step, load_latest, save_checkpoint
from .errors import OutputError, ResumeError
from .events import CheckpointEvent, Event, PreviewEvent, to_json
from .files import copy_file, file_sha256, remove_leftovers, write_aside, write_json

__all__ = ["RunFolder", "read_history", "read_steps"]

logger = logging.getLogger(__name__)


def read_steps(folder: Path) -> list[dict[str, Any]]:
    """Return a run's steps as its events.jsonl has them, each once, in order.

    A step after the last checkpoint of a killed run was made twice; the later one counts.
    """
    return _steps_of(_latest_events(folder))


def read_history(folder: Path) -> dict[str, Any]:
    """Return what a run reported so far, for a page: its steps column by column, and the rest.

    `history` maps what a StepEvent holds to lists that run along `step`; a loss that a step did not
    have is None there. Before the first event everything is empty.
    """
    by_kind = _latest_events(folder)
    steps = _steps_of(by_kind)
    terms = dict.fromkeys(name for step in steps for name in step["losses"])
    columns = ("step", "seconds", "total_loss", "grad_norm", "learning_rate", "memory_bytes")
    history: dict[str, Any] = {name: [step[name] for step in steps] for name in columns}
    history["losses"] = {term: [step["losses"].get(term) for step in steps] for term in terms}
    settings = list(by_kind.get("settings", {}).values())
    estimates = list(by_kind.get("estimate", {}).values())
    return {
        "history": history,
        "estimate": estimates[-1] if estimates else None,
        "settings": settings[-1] if settings else None,
        "validations": list(by_kind.get("validation", {}).values()),
        "previews": list(by_kind.get("preview", {}).values()),
        "warnings": list(by_kind.get("warning", {})),
    }


def _latest_events(folder: Path) -> dict[str, dict[Any, dict[str, Any]]]:
    """Events by kind and by what they are about; of two about the same the later one counts."""
    path = folder / "events.jsonl"
    # A run may be writing the last line.
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    by_kind: dict[str, dict[Any, dict[str, Any]]] = {}
    for event in map(json.loads, lines):
        about = event.get("name") or event.get("message") or event.get("step")
        by_kind.setdefault(event["event"], {})[about] = event
    return by_kind


def _steps_of(by_kind: Mapping[str, Mapping[Any, dict[str, Any]]]) -> list[dict[str, Any]]:
    steps = by_kind.get("step", {})
    return [steps[number] for number in sorted(steps)]


class RunFolder:
    """The folder of one run id.

    Args:
        path: made if missing, where this process writes.
        run_id: the run's.
        output: where a copy of the LoRA is to go, or None.
        writes: whether this process is the one that writes.

    Attributes:
        path: of the folder.
        lora_path: of the finished LoRA.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, path: Path, run_id: str, output: Path | None, *, writes: bool) -> None:
        self.path = path
        self._run_id = run_id
        self._output = output
        self._writes = writes
        self.lora_path = path / "lora.safetensors"
        if not writes:
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be made ({error}). Choose another work folder."
            ) from error

    @property
    def result(self) -> str:
        """Where a person finds the finished LoRA."""
        return str(self._output or self.lora_path)

    def lora_so_far(self, step: int) -> Path:
        """Where the LoRA of a run lies that was stopped after `step` steps."""
        return self.path / f"lora-step-{step:08d}.safetensors"

    def snapshot(self, step: int) -> Path:
        """Where the LoRA as it is after `step` steps is kept, whatever checkpoints are."""
        return self.path / "snapshots" / f"step-{step:08d}.safetensors"

    def snapshots(self) -> list[Path]:
        """Return the snapshots that are there, by step."""
        return sorted((self.path / "snapshots").glob("step-*.safetensors"))

    def log(self, events: Iterable[Event]) -> None:
        """Append events to events.jsonl, each as one line.

        Raises:
            OutputError: the disk is full.
        """
        if not self._writes:
            return
        try:
            with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(to_json(event)) + "\n" for event in events)
        except OSError as error:
            raise OutputError(
                f"{self.path}: the log cannot be written ({error}). Make room on the disk, then "
                "start the same run again; it goes on from the last checkpoint."
            ) from error

    def require_free_output(self) -> None:
        """Refuse an output that is there already, before any work is done for it."""
        if self._output is None:
            return
        if self._output.suffix != ".safetensors":
            raise OutputError(
                f"{self._output}: the output must end in .safetensors. Choose such a name."
            )
        if self._output.exists():
            raise OutputError(
                f"{self._output}: exists already and is not this run's; nothing is overwritten. "
                "Choose another output."
            )

    def hand_out(self) -> None:
        """Copy the finished LoRA to the output, unless the same file is there already.

        Raises:
            OutputError: another file is there, or the copy cannot be written.
        """
        if self._output is None or not self._writes:
            return
        if self._output.exists() and file_sha256(self._output) == file_sha256(self.lora_path):
            return
        self.require_free_output()
        copy_file(self.lora_path, self._output)

    def renew(self, write: Callable[[Path], None], path: Path | None = None) -> None:
        """Let `write` replace a LoRA of the run; a copy of it that was handed out is replaced, too.

        Args:
            write: given the path, replaces the file.
            path: of a snapshot; None is the finished LoRA.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._writes:
            return
        copy = self._output if path is None else None
        is_ours = (
            copy is not None and copy.exists() and file_sha256(copy) == file_sha256(self.lora_path)
        )
        write(path or self.lora_path)
        if copy is not None and is_ours:
            copy_file(self.lora_path, copy)

    def write_config(self, values: Mapping[str, Any]) -> None:
        """Write config.json: what the run does and how it was begun."""
        if self._writes:
            write_json(self.path / "config.json", values)

    def save_preview(self, step: int, index: int, prompt: str, image: Image.Image) -> PreviewEvent:
        """Write previews/step-<step>-<index>.png."""
        name = f"previews/step-{step:08d}-{index:02d}.png"
        # A file ending that Pillow does not know needs the format by name.
        write_aside(self.path / name, lambda aside: image.save(aside, format="PNG"))
        return PreviewEvent(step, prompt, name)

    def begun(self) -> dict[str, Any]:
        """Return what `write_config` wrote at the run's beginning.

        Raises:
            ResumeError: the file is gone or damaged although there are checkpoints.
        """
        path = self.path / "config.json"
        try:
            begun: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResumeError(
                f"{path}: cannot be read ({error}), so it is not known how this run was begun. Put "
                "it back, or move the run's folder away to begin anew."
            ) from error
        return begun

    def require_same_choices(self, now: Mapping[str, Any], *, allow_other: bool) -> None:
        """Compare what sums are made of with the run's beginning.

        Args:
            now: memory choices, processes and batch size of this start.
            allow_other: go on all the same, inexactly.

        Raises:
            ResumeError: they differ and nobody agreed to it.
        """
        begun = self.begun()
        changed = [name for name in now if now[name] != begun[name]]
        if not changed:
            return
        changes = "; ".join(f"{name} was {begun[name]}, now {now[name]}" for name in changed)
        if not allow_other:
            raise ResumeError(
                f"Run {self._run_id} began with other choices than it would go on with now "
                f"({changes}), and would no longer end with exactly the same weights. Set them as "
                "they were, free memory where less of it is free than then, or allow the "
                "difference with --allow-inexact-resume."
            )
        logger.warning("Run %s goes on inexactly: %s", self._run_id, changes)

    def saved_step(self) -> int | None:
        """Return the step of the newest checkpoint, unread, or None where there is none."""
        return latest_step(self.path / "checkpoints")

    def load(self) -> TrainingState | None:
        """Return the newest checkpoint, or None at the beginning of a run."""
        if self._writes:
            remove_leftovers(self.path / "snapshots")
        return load_latest(self.path / "checkpoints", self._run_id)

    def save(self, state: TrainingState, *, keep: int) -> CheckpointEvent:
        """Write a checkpoint and keep the newest `keep`."""
        if self._writes:
            save_checkpoint(self.path / "checkpoints", self._run_id, state, keep=keep)
        return CheckpointEvent(state.step)
