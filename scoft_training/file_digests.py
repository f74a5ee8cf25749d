"""The sha256 of files, remembered by path, size and times, so that a large set opens fast.

For pages and reports only: training hashes every file anew. What is remembered lies in the work
folder's digests.json, which may be deleted at any time.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path

from .errors import OutputError
from .files import file_sha256, write_text

__all__ = ["DIGESTS", "FileDigests"]

logger = logging.getLogger(__name__)

DIGESTS = "digests.json"

_SETTLED_NS = 3_000_000_000
"""A file may be written twice within one tick of its disk's clock, which is 2 s on FAT."""

_Stamp = tuple[int, int, int]


class FileDigests:
    """Digests of files, of which only the changed ones are read. Several threads may ask.

    Args:
        work: the work folder; a digests.json there is read, a damaged one counts as none.
    """

    def __init__(self, work: Path) -> None:
        self._path = work / DIGESTS
        self._lock = threading.Lock()
        self._known = _read(self._path)
        self._asked: set[str] = set()
        self._changed = False

    def sha256(self, path: Path) -> str:
        """Return the sha256 of a file's bytes, as 64 hex digits.

        Raises:
            OSError: the file cannot be read.
        """
        name = str(path.absolute())
        stamp = _stamp(path)
        with self._lock:
            self._asked.add(name)
            known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        digest = file_sha256(path)
        # What changed while it was read, or a moment ago, may change again and keep its stamp.
        if _stamp(path) == stamp and time.time_ns() - stamp[1] > _SETTLED_NS:
            with self._lock:
                self._known[name] = stamp, digest
                self._changed = True
        return digest

    def save(self) -> None:
        """Write digests.json if something was learned; files that are gone are forgotten.

        A folder that cannot be written costs time at the next opening and nothing else.
        """
        with self._lock:
            if not self._changed:
                return
            for name in [name for name in self._known if name not in self._asked]:
                if not Path(name).exists():
                    del self._known[name]
            text = json.dumps(self._known, ensure_ascii=False)
            self._changed = False
        try:
            write_text(self._path, text)
        except OutputError as error:
            logger.warning("%s", error)


def _read(path: Path) -> dict[str, tuple[_Stamp, str]]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(name): ((int(size), int(modified), int(changed)), str(digest))
            for name, ((size, modified, changed), digest) in values.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError):
        logger.warning("%s cannot be read; files are hashed anew", path.name)
        return {}


def _stamp(path: Path) -> _Stamp:
    """Return size and times; the second time also moves when a copy keeps the first one."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
