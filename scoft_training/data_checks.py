"""A dataset's problems, and the safe reading of its text, JSON and paths; rows: `data_rows`."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from .errors import DatasetError
from .text_encoding import decode_text, guess_sentence

__all__ = [
    "METADATA",
    "Columns",
    "Findings",
    "Problem",
    "as_on_disk",
    "inside",
    "missing_file",
    "parse_object",
    "place",
    "printable",
    "read_bytes",
    "read_text",
]

METADATA = "metadata.jsonl"


@dataclass(frozen=True)
class Problem:
    """What is wrong at one place of a dataset.

    `message` is the complete sentence; `kind` a stable code; `row` the line number, or None for the
    dataset as a whole.
    """

    row: int | None
    kind: str
    is_error: bool
    message: str


class Findings:
    """Problems as they are found."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def error(self, row: int | None, kind: str, message: str) -> None:
        """Note what keeps the row, or the dataset, from being used."""
        self._problems.append(Problem(row, kind, True, message))

    def warn(self, row: int | None, kind: str, message: str) -> None:
        """Note what the user should look at."""
        self._problems.append(Problem(row, kind, False, message))

    def in_order(self) -> tuple[Problem, ...]:
        """Return all problems: the dataset's first, then row by row as found."""
        return tuple(sorted(self._problems, key=lambda problem: problem.row or 0))

    @property
    def bad_rows(self) -> set[int | None]:
        """Rows with an error; None when the dataset as a whole has one."""
        return {problem.row for problem in self._problems if problem.is_error}


class Columns:
    """The values of one JSON object, taken out by name with their types checked.

    A value of another type is noted as an error, counts as absent, and its name is in `refused`.
    What nobody took is `rest`.
    """

    def __init__(
        self, values: Mapping[str, Any], findings: Findings, row: int | None, where: str
    ) -> None:
        self.rest = dict(values)
        self.refused: set[str] = set()
        self._findings = findings
        self._row = row
        self._where = where

    def text(self, name: str) -> str | None:
        """Take a string, its ends stripped; null and absent are None."""
        value = self._take(name, str, "text in quotes")
        return None if value is None else str(value).strip()

    def flag(self, name: str) -> bool | None:
        """Take true or false; null and absent are None."""
        value = self._take(name, bool, "true or false")
        return None if value is None else bool(value)

    def texts(self, name: str, *, one_allowed: bool) -> tuple[str, ...]:
        """Take a list of strings, each stripped; with `one_allowed` also a single string."""
        kinds: tuple[type, ...] = (list, str) if one_allowed else (list,)
        expected = "text or a list of texts" if one_allowed else "a list of texts"
        value = self._take(name, kinds, expected)
        if value is None:
            return ()
        values = [value] if isinstance(value, str) else value
        if wrong := [entry for entry in values if not isinstance(entry, str)]:
            self._refuse(name, expected, wrong[0])
            return ()
        return tuple(entry.strip() for entry in values)

    def flag_or_text(self, name: str) -> bool | str | None:
        """Take a string or true or false; null and absent are None."""
        value: bool | str | None = self._take(name, (bool, str), "text, true or false")
        return value

    def _take(self, name: str, kinds: type | tuple[type, ...], expected: str) -> Any:
        value = self.rest.pop(name, None)
        if value is None or isinstance(value, kinds):
            return value
        self._refuse(name, expected, value)
        return None

    def _refuse(self, name: str, expected: str, value: Any) -> None:
        self.refused.add(name)
        shown = json.dumps(value, ensure_ascii=False)
        self._findings.error(
            self._row,
            "wrong-type",
            f"{self._where} `{name}` must be {expected} but got "
            f"{shown if len(shown) <= 60 else shown[:57] + '...'}. Write it so, or leave it out.",
        )


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        DatasetError: it cannot be opened.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be opened ({error.strerror}). It must be a file that you may read."
        ) from error


def place(number: int) -> str:
    """Return how a sentence about a line of metadata.jsonl begins."""
    return f"{METADATA}, row {number}:"


def read_text(
    path: Path, name: str, findings: Findings | None = None, *, encoding: str | None = None
) -> str:
    """Return a file's text; where its encoding had to be guessed, that is a warning.

    Args:
        path: the file.
        name: how messages call it, say "metadata.jsonl".
        findings: takes the warning; without it a guess is refused.
        encoding: what the dataset's card states.

    Raises:
        DatasetError: it cannot be opened, or not be decoded.
    """
    try:
        decoded = decode_text(read_bytes(path), where=f"{name}:", encoding=encoding)
    except DatasetError as error:
        if findings is None and error.__cause__ is None:
            raise DatasetError(_not_utf8(name)) from error
        raise
    if decoded.guessed and findings is None:
        raise DatasetError(_not_utf8(name))
    if decoded.guessed and findings is not None:
        findings.warn(None, "guessed-encoding", guess_sentence(decoded, where=f"{name}:"))
    return decoded.text


def _not_utf8(name: str) -> str:
    return f"{name}: this is not UTF-8 text. Save the file as UTF-8 in your editor."


def parse_object(text: str, *, where: str) -> dict[str, Any]:
    """Parse one JSON object.

    Args:
        text: the JSON.
        where: begins the error's sentence, say "metadata.jsonl, row 17:".

    Raises:
        DatasetError: the text is no JSON, no object, or holds half characters.
    """
    try:
        value = json.loads(text)
        # A lone surrogate passes the parser, and fails wherever text is hashed or written.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{where} this is not valid JSON ({error.msg}, line {error.lineno} character "
            f"{error.colno} of it). Look for a missing quote, comma or brace there."
        ) from error
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{where} this holds half a character (a lone \\ud800 to \\udfff). Write that text "
            "anew."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where} this cannot be read ({error}). Write it anew.") from error
    if not isinstance(value, dict):
        raise DatasetError(f'{where} this is not a JSON object. Write {{"name": value, ...}}.')
    return value


def inside(root: Path, base: Path, value: str, *, where: str) -> Path:
    """Return the path that a dataset's file names, if it stays inside the dataset.

    Either slash separates folders, so that sets made on Windows work elsewhere.

    Args:
        root: the dataset's folder.
        base: the folder inside root that the path starts from.
        value: the path as written.
        where: subject of the error's sentence.

    Raises:
        DatasetError: the path is absolute, climbs up, or a link in it leads out of root.
    """
    parts = PureWindowsPath(value)
    if not value or "\0" in value or not parts.parts:
        raise DatasetError(f"{where} is not a file's path. Write one relative to {base.name}/.")
    if parts.drive or parts.root or PurePosixPath(value).is_absolute():
        raise DatasetError(
            f"{where} is an absolute path. Copy the file into the dataset and write its path "
            f"relative to {base.name}/."
        )
    path = base.joinpath(*parts.parts)
    try:
        leaves = ".." in parts.parts
        path = path if leaves else as_on_disk(base, path)
        leaves = leaves or not path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a circle of links
        leaves = True
    if leaves:
        raise DatasetError(
            f"{where} leads out of the dataset's folder. Copy the file into the dataset and write "
            "its path without `..` and links."
        )
    return path


def as_on_disk(base: Path, path: Path) -> Path:
    """Return a path below base with its accents spelled as the disk has them.

    Some systems write an accent as a character of its own, so a table and an unpacked archive may
    differ in that. Where the disk has no such name, or two, the path comes back as it is.
    """
    found = base
    try:
        if path.exists():
            return path
        for part in path.relative_to(base).parts:
            if (found / part).exists():
                found = found / part
                continue
            wanted = unicodedata.normalize("NFC", part)
            names = [entry.name for entry in found.iterdir()]
            (same,) = [name for name in names if unicodedata.normalize("NFC", name) == wanted]
            found = found / same
    except (OSError, ValueError):  # no folder, a name that is too long, or not one such name
        return path
    return found


def missing_file(path: Path) -> str | None:
    """Return None if `path` is a file, else the end of the sentence: what it may have meant."""
    siblings: list[str] = []
    try:
        if path.is_file():
            return None
        if path.exists():
            return "is not a file. Write the path of a picture."
        siblings = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:  # the folder is missing too, or the name longer than the system allows
        pass
    wanted = PurePosixPath(_plain(path.name))
    near = [name for name in siblings if _plain(name) == wanted.name]
    near += [name for name in siblings if PurePosixPath(_plain(name)).stem == wanted.stem]
    if near:
        return f"does not exist. Did you mean `{near[0]}`?"
    return "does not exist. Put the picture there, or remove its mention."


def printable(text: str) -> str:
    """Return text from a file as a message may show it: control characters escaped."""
    return text if text.isprintable() else repr(text)[1:-1]


def _plain(name: str) -> str:
    """Fold case and the two ways in which systems spell accents."""
    return unicodedata.normalize("NFC", name).casefold()
