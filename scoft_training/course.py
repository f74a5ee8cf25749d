"""How far a whole call has come, as one number, from the events of its phases."""

from __future__ import annotations

from collections.abc import Sequence

from .events import Event, FinishedEvent, PhaseEvent, StepEvent

__all__ = ["Course"]

_MAIN = (0.1, 0.9)


class Course:
    """One fraction over all phases of a call; it never falls.

    The main phase takes the middle, from a tenth to nine tenths. What comes before and after it is
    not known beforehand, so each further phase takes half of what is left there.

    Args:
        main: name of the phase that takes longest; "steps" means training's. Of several, in their
            order, each takes an equal part of the middle, and what comes between them none.
    """

    def __init__(self, main: str | Sequence[str]) -> None:
        self._mains = (main,) if isinstance(main, str) else tuple(main)
        self._phase = ""
        self._low, self._high, self._limit = 0.0, 0.0, _MAIN[0]
        self.fraction = 0.0

    def advance(self, event: Event) -> float:
        """Take an event into account; returns the fraction, in [0, 1]."""
        if isinstance(event, FinishedEvent):
            self.fraction = 1.0
        elif isinstance(event, StepEvent):
            self._reach("steps", event.step, event.steps)
        elif isinstance(event, PhaseEvent):
            self._reach(event.phase, event.done, event.total)
        return self.fraction

    def _reach(self, phase: str, done: int, total: int) -> None:
        if phase != self._phase:
            self._phase = phase
            self._low = self._high
            self._high += (self._limit - self._high) / 2
            if phase in self._mains:
                low, high = _MAIN
                part, place = (high - low) / len(self._mains), self._mains.index(phase) + 1
                self._low, self._high = low + part * (place - 1), low + part * place
                self._limit = 1.0 if place == len(self._mains) else self._high
        part = done / total if total else 1.0
        self.fraction = max(self.fraction, self._low + part * (self._high - self._low))
