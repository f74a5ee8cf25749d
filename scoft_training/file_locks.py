"""A file that several threads and processes write, one after the other."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import filelock

from .errors import OutputError

__all__ = ["locked"]

logger = logging.getLogger(__name__)

_SECONDS = 30.0
_threads: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)


@contextlib.contextmanager
def locked(path: Path, *, seconds: float = _SECONDS) -> Iterator[None]:
    """Keep other threads and processes from writing a file for the length of a block.

    The folder is made if it is missing. The system frees the lock of a killed process.

    Args:
        path: the file; `<name>.lock` beside it carries the lock and stays.
        seconds: how long another process is waited for.

    Raises:
        OutputError: another program writes it for too long, or the folder cannot be written.
    """
    with _threads[str(path.absolute())], contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(path.with_name(f"{path.name}.lock"), timeout=seconds)
            stack.enter_context(lock.acquire(poll_interval=0.005))
        except filelock.Timeout as error:
            raise OutputError(
                f"{path}: another program has been writing it for {seconds:.0f} seconds. Close "
                "it, then try again."
            ) from error
        except NotImplementedError:
            logger.warning("%s: this disk knows no locks; let one program write at a time", path)
        except OSError as error:
            raise OutputError(
                f"{path}: could not be written ({error}). Choose a work folder that you may write "
                "to."
            ) from error
        yield
