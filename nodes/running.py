"""One engine call under the host: its events as progress and messages, its end as the host's."""

from __future__ import annotations

import dataclasses
import logging
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
    WarningEvent,
    to_json,
)
from ..scoft_training.models import BaseModel
from . import host
from .widgets import config_from_widgets

__all__ = ["carry_out", "chosen_config", "connected_base", "warn"]

logger = logging.getLogger(__name__)

_Config = TypeVar("_Config", TrainConfig, NegativesConfig, GenerateConfig, CaptionConfig)


def chosen_config(
    config_class: type[_Config], values: Mapping[str, Any]
) -> tuple[_Config, torch.device]:
    """Return the widgets' config, its precision decided for the host's device, and that device."""
    device = host.training_device()
    config = config_from_widgets(config_class, values)
    precision = host.precision(config.precision, device)
    return dataclasses.replace(config, precision=precision), device


def connected_base(
    hidden: Any, model: Any, clip: Any, vae: Any, *, dtype: torch.dtype
) -> BaseModel:
    """Return the connected model as the engine's, named after the file of its loader.

    Args:
        hidden: the node's, with `prompt` and `unique_id`.
        model: MODEL.
        clip: CLIP.
        vae: VAE.
        dtype: of the copied weights.
    """
    from . import bridge

    name = host.model_name(hidden.prompt, hidden.unique_id)
    return bridge.base_from_host(model, clip, vae, name=name, dtype=dtype)


def warn(node_id: Any, message: str) -> None:
    """Tell the client that queued, and the host's log, which is all that a headless user reads."""
    logger.warning("SCoFT: %s", message)
    host.send("scoft.event", {"node": str(node_id), **to_json(WarningEvent(message))})


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
        if isinstance(event, WarningEvent):
            warn(node_id, event.message)
            continue
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
