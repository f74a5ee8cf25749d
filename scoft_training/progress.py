"""Events as a person or a program reads them on a terminal."""

from __future__ import annotations

import json
import sys
import time
from typing import Protocol

from .events import (
    CaptionEvent,
    CheckpointEvent,
    EstimateEvent,
    Event,
    FinishedEvent,
    HistogramEvent,
    NegativeEvent,
    PhaseEvent,
    PlanEvent,
    PreviewEvent,
    SettingsEvent,
    SnapshotEvent,
    StepEvent,
    StoppedEvent,
    TrialEvent,
    ValidationEvent,
    WarningEvent,
    to_json,
)

__all__ = ["JsonPrinter", "Printer", "TextPrinter"]

_LONG = 100
"""So many items are long work."""


class Printer(Protocol):
    """Shows events as they come."""

    def show(self, event: Event) -> None:
        """Show one event."""
        ...

    def close(self) -> None:
        """Leave the terminal tidy."""
        ...


class JsonPrinter:
    """One JSON object a line on standard output, for programs."""

    def show(self, event: Event) -> None:
        """Print the event and flush, so that a reader sees it at once."""
        sys.stdout.write(json.dumps(to_json(event), ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """Nothing is open."""


class TextPrinter:
    """Progress bars with the time left; plain lines where standard error is no terminal.

    There long work says each tenth of it, so that a night's log can be followed.
    """

    def __init__(self) -> None:
        from tqdm import tqdm

        self._tqdm = tqdm
        self._bar: tqdm | None = None
        self._label = ""
        self._logged, self._begun, self._begun_at, self._tenth = "", 0, 0.0, 0
        self._terminal = sys.stderr.isatty()
        self._seconds = 0.0

    def show(self, event: Event) -> None:
        """Move the bar, or print a line above it."""
        if isinstance(event, PhaseEvent):
            self._advance(event.phase, event.done, event.total, "")
        elif isinstance(event, StepEvent):
            self._show_step(event)
        elif not isinstance(event, NegativeEvent):  # the bar counts them
            self.close()
            _say(_sentence(event))

    def close(self) -> None:
        """End the bar that is open."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None
        self._label = ""

    def _show_step(self, event: StepEvent) -> None:
        self._seconds += event.seconds
        parts = [f"{name} {value:.4g}" for name, value in event.losses.items()]
        parts.append(f"lr {event.learning_rate:.2e}")
        parts.append(f"{event.memory_bytes / 2**30:.1f} GiB")
        tenth = max(1, event.steps // 10)
        perceptual = "perceptual" in event.losses or "lpips" in event.losses
        if self._terminal:
            self._advance("train", event.step, event.steps, ", ".join(parts))
        elif event.step % tenth == 0 or event.step in (1, event.steps) or perceptual:
            losses = ", ".join(parts)
            line = f"step {event.step}/{event.steps}: {losses}, {event.seconds:.2f} s"
            _say(line)
        if event.step == event.steps:
            self.close()
            _say(f"{self._seconds:.1f} s in the training steps of this process")

    def _advance(self, label: str, done: int, total: int, note: str) -> None:
        if not self._terminal:
            self._log(label, done, total)
            return
        if self._bar is None or self._label != label:
            self.close()
            self._bar = self._tqdm(total=total, initial=done, desc=label, dynamic_ncols=True)
            self._label = label
        self._bar.update(done - self._bar.n)
        self._bar.set_postfix_str(note, refresh=False)
        if done == total:
            self.close()

    def _log(self, label: str, done: int, total: int) -> None:
        """Print a line at the end, and at each tenth of long work."""
        tenth = 10 * done // total if total else 10
        if label != self._logged or done < self._begun:
            self._logged, self._begun, self._begun_at = label, done, time.monotonic()
            self._tenth = -1
        if done < total and (total < _LONG or tenth <= self._tenth):
            return
        self._tenth = tenth
        left = ""
        if self._begun < done < total:
            seconds = (time.monotonic() - self._begun_at) / (done - self._begun) * (total - done)
            left = f", about {self._tqdm.format_interval(seconds)} left"
        _say(f"{label}: {done}/{total}{left}")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _sentence(event: Event) -> str:
    if isinstance(event, SettingsEvent):
        begun = f", going on after step {event.start_step}" if event.start_step else ""
        memory = ", ".join(f"{name} {value}" for name, value in event.memory.items())
        return (
            f"run {event.run_id} on {event.device} in {event.precision}{begun}; "
            f"{event.trained_parameters:,} LoRA weights; {memory}"
        )
    if isinstance(event, EstimateEvent):
        return _estimate(event)
    if isinstance(event, PlanEvent):
        return _plan(event)
    if isinstance(event, ValidationEvent):
        return f"step {event.step}: L_LDM {event.loss:.4f} on {event.pictures} held-out pictures"
    if isinstance(event, HistogramEvent):
        decided = ""
        if event.threshold is not None:
            decided = (
                f"; threshold {event.threshold:.3g}: {event.kept} kept, {event.dropped} dropped"
            )
        bins = zip(event.edges, event.edges[1:], event.counts, strict=False)
        filled = ", ".join(
            f"{low:.3g} to {high:.3g}: {count}" for low, high, count in bins if count
        )
        return f"distances by {event.backbone}: {filled}{decided}"
    if isinstance(event, PreviewEvent):
        return f"step {event.step}: {event.name}: {event.prompt}"
    if isinstance(event, CheckpointEvent):
        return f"step {event.step}: checkpoint written"
    if isinstance(event, SnapshotEvent):
        return f"step {event.step}: LoRA kept in {event.name}"
    if isinstance(event, CaptionEvent):
        captions = (
            f"{caption} ({', '.join(flags)})" if flags else caption
            for caption, flags in zip(event.captions, event.flags, strict=True)
        )
        return f"row {event.row}: {' | '.join(captions)}"
    if isinstance(event, TrialEvent):
        of = f"{event.arm}, " if event.arm else ""
        where = f"{of}{event.culture}, seed {event.seed}"
        return f"{event.part} {event.number} of {event.total}: {where}"
    if isinstance(event, WarningEvent):
        return f"warning: {event.message}"
    if isinstance(event, StoppedEvent):
        return event.message
    if isinstance(event, FinishedEvent):
        if event.already_done:
            return f"This run was finished before: {event.name}"
        is_lora = event.name.endswith(".safetensors")
        return f"{'LoRA written' if is_lora else 'Written'}: {event.name}"
    return str(event)


def _estimate(event: EstimateEvent) -> str:
    """One sentence: what will be held, and whether there is room for it."""
    free = "nobody knows how much is" if event.free_bytes is None else _size(event.free_bytes)
    doubt = "" if event.fits else "; it will hardly fit: lower `batch_size` or `resolution`"
    return (
        f"memory {event.level}: about {_size(event.peak_bytes)} at the peak, of which "
        f"{_size(event.needed_bytes)} still have to be taken; {free} free{doubt}"
    )


def _plan(event: PlanEvent) -> str:
    """What a run would do, and the estimate as a table."""
    begun = ""
    if event.start_step == event.steps:
        begun = " (all done)"
    elif event.start_step:
        begun = f" ({event.start_step} done)"
    choices = ", ".join(f"{name} {value}" for name, value in event.memory.items())
    lines = [
        f"This run would be {event.run_id}, in {event.folder}.",
        f"{event.pictures} pictures; {event.steps} steps{begun}, each with "
        f"{event.pictures_per_step} of them",
        f"on {event.device} in {event.precision}; {choices}",
    ]
    if event.estimate is not None:
        width = max(map(len, event.estimate.parts))
        lines += [
            f"  {name:{width}}  {_size(size):>10}" for name, size in event.estimate.parts.items()
        ]
        lines.append(_estimate(event.estimate))
    return "\n".join([*lines, "Nothing was computed or written."])


def _size(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
