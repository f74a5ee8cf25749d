"""One engine call under the host: its events as progress and messages, its end as the host's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..scoft_training.errors import ScoftError
from ..scoft_training.events import (
    Event,
    FinishedEvent,
    PhaseEvent,
    StepEvent,
    StoppedEvent,
    to_json,
)
from . import host

__all__ = ["carry_out"]


def carry_out(events: Iterator[Event], node_id: Any) -> FinishedEvent:
    """Let an engine call run to its end, telling the host; returns its last event.

    Every event goes to the client that queued, as `scoft.event` with the node's id.

    Raises:
        Exception: the host's own, when the queue was interrupted; what was made is saved by then.
        ScoftError: the engine's, or that it ended without a result.
    """
    progress = host.Progress()
    last: Event | None = None
    for event in events:
        last = event
        host.send("scoft.event", {"node": str(node_id), **to_json(event)})
        if isinstance(event, PhaseEvent):
            progress.update(event.done, event.total)
        elif isinstance(event, StepEvent):
            progress.update(event.step, event.steps)
    if isinstance(last, StoppedEvent):
        host.raise_if_interrupted()
        raise ScoftError(last.message)
    if not isinstance(last, FinishedEvent):
        raise ScoftError("The run ended without a result. Queue it again; it goes on.")
    return last
