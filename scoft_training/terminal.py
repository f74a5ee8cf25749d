"""Work on a terminal: its events shown, Ctrl-C as a request to stop, the libraries kept quiet."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from .errors import ConfigError
from .events import Event, StoppedEvent
from .progress import JsonPrinter, Printer, TextPrinter

__all__ = [
    "STOPPED",
    "quiet_libraries",
    "require_one_process",
    "show_events",
    "stop_on_interrupt",
]

STOPPED = 130
"""Exit status of a command that Ctrl-C stopped, with everything saved."""


def show_events(
    start: Callable[[Callable[[], bool]], Iterator[Event]],
    json_events: bool = False,
    *,
    loads_networks: bool = True,
) -> int:
    """Show the events of work that is told to stop by what it is started with.

    Args:
        start: given a callable that says whether to stop, returns the work's events.
        json_events: print one JSON object a line instead of bars and sentences.
        loads_networks: the work uses diffusers or transformers, which are told to be quiet; they
            take seconds to import.

    Returns:
        The exit status: 0, or STOPPED.
    """
    if loads_networks:
        quiet_libraries()
    printer: Printer = JsonPrinter() if json_events else TextPrinter()
    # Under a launcher every process runs this; one of them speaks.
    speaks = int(os.environ.get("RANK", "0")) == 0
    stopped = False
    with stop_on_interrupt() as should_stop:
        try:
            for event in start(should_stop):
                stopped = isinstance(event, StoppedEvent)
                if speaks:
                    printer.show(event)
        finally:
            printer.close()
    return STOPPED if stopped else 0


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop; a second Ctrl-C ends at once."""
    asked = False

    def ask(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stderr.write("\nStopping; the state is being saved ...\n")

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def require_one_process(command: str) -> None:
    """Refuse several processes of a launcher for a command that does not share its work out.

    Args:
        command: what follows `scoft`.

    Raises:
        ConfigError: there are several.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        raise ConfigError(
            f"`scoft {command}` works in one process, and a launcher started {processes}. Start it "
            "without `accelerate launch` or torchrun; --device cuda:1 names another GPU."
        )


def quiet_libraries() -> None:
    """Loading bars and notes of libraries would drown our own; imports them, so call it late."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
