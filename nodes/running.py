"""One engine call under the host: its events as progress and messages, its end as the host's."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..scoft_training.config import CaptionConfig, GenerateConfig, NegativesConfig, TrainConfig
from ..scoft_training.course import Course
from ..scoft_training.errors import ScoftError
from ..scoft_training.events import (
    Event,
    FinishedEvent,
    NegativeEvent,
    PreviewEvent,
    StoppedEvent,
    WarningEvent,
    to_json,
)
from ..scoft_training.models import BaseModel
from . import host
from .live import LiveRun
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
    _tell(node_id, WarningEvent(message))


def carry_out(
    events: Iterator[Event],
    node_id: Any,
    *,
    main: str | Sequence[str],
    work: Path,
    run: LiveRun | None = None,
) -> FinishedEvent | StoppedEvent:
    """Let an engine call run to its end, telling the host; returns its last event.

    Every event goes to the client that queued, as `scoft.event` with the node's id.

    Args:
        events: the call's.
        node_id: of the node that makes it.
        main: name of the phase that takes longest, or of several (`Course`).
        work: the work folder, where drawn negatives lie.
        run: the training, which pages may follow and stop.

    Returns:
        the end; a StoppedEvent only of a run that was stopped from a page and has learned
        something.

    Raises:
        Exception: the host's own, when the queue was interrupted; what was made is saved by then.
        ScoftError: the engine's, or that it ended without a result.
    """
    course, progress = Course(main), host.Progress()
    last: Event | None = None
    try:
        for event in events:
            last = event
            if run is not None:
                run.note(event)
            _tell(node_id, event, run)
            progress.update(course.advance(event), _preview(event, work, run))
    # Whatever it is goes on to the host; a page that follows the run has to hear of it.
    except Exception as error:
        if run is not None:
            run.fail(str(error))
        host.send("scoft.event", {"node": str(node_id), "event": "failed", "message": str(error)})
        raise
    if isinstance(last, StoppedEvent):
        host.raise_if_interrupted()
        if run is not None and run.stopping and last.name:
            return last
        raise ScoftError(last.message)
    if not isinstance(last, FinishedEvent):
        raise ScoftError("The run ended without a result. Queue it again; it goes on.")
    return last


def _tell(node_id: Any, event: Event, run: LiveRun | None = None) -> None:
    if isinstance(event, WarningEvent):
        logger.warning("SCoFT: %s", event.message)
    known = {} if run is None or run.run_id is None else {"run": run.run_id}
    host.send("scoft.event", {"node": str(node_id), **known, **to_json(event)})


def _preview(event: Event, work: Path, run: LiveRun | None) -> Path | None:
    """Return the picture that an event is about."""
    if isinstance(event, NegativeEvent):
        return work / event.name
    if isinstance(event, PreviewEvent) and run is not None:
        return run.folder / event.name
    return None
