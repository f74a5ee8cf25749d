"""One engine call under the host: its events as progress and messages, its end as the host's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch

from ..scoft_training.config import CaptionConfig, GenerateConfig, NegativesConfig, TrainConfig
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
from .widgets import config_from_widgets

__all__ = ["carry_out", "chosen_config"]

_Config = TypeVar("_Config", TrainConfig, NegativesConfig, GenerateConfig, CaptionConfig)


def chosen_config(
    config_class: type[_Config], values: Mapping[str, Any]
) -> tuple[_Config, torch.device]:
    """Return the widgets' config, its precision decided for the host's device, and that device."""
    device = host.training_device()
    config = config_from_widgets(config_class, values)
    precision = host.precision(config.precision, device)
    return dataclasses.replace(config, precision=precision), device


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
