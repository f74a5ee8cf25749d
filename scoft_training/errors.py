"""What can go wrong for a user, one class per kind of remedy. Nothing else lives here.

    ScoftError
    ├── DatasetError          mend the picture set: a row, a caption, a picture
    ├── ModelFileError        bring a weights file, or name another one
    ├── ConfigError           change a setting
    ├── NotEnoughMemoryError  lower what the message lists, in its order
    ├── OutputError           make room or choose another place to write to
    ├── ResumeError           a saved run does not fit what was asked for
    ├── SurveyError           mend a survey's texts, key or answers
    └── DivergenceError       the training itself went wrong: NaN, explosion, no movement

Every message says where it is, what is wrong and what to do. Exceptions of libraries are
translated where they enter (`raise ... from error`), so a caller needs to catch `ScoftError` only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConfigError",
    "DatasetError",
    "DivergenceError",
    "ModelFileError",
    "NotEnoughMemoryError",
    "OutputError",
    "ResumeError",
    "ScoftError",
    "SurveyError",
    "unknown_name",
]


class ScoftError(Exception):
    """Base of every error that a user can mend."""


class DatasetError(ScoftError):
    """The picture set has to be mended; the message names the file and the row."""


class ModelFileError(ScoftError):
    """A weights or config file is missing, unreadable or of the wrong kind."""


class ConfigError(ScoftError):
    """A setting is out of range, unknown, or does not go with another one."""


class NotEnoughMemoryError(ScoftError):
    """The device's memory does not suffice."""


class OutputError(ScoftError):
    """A result cannot be written where it was to go."""


class ResumeError(ScoftError):
    """A saved run and the request to go on with it do not fit each other."""


class SurveyError(ScoftError):
    """A survey's texts, key or answers cannot be used; the message names the file and the line."""


class DivergenceError(ScoftError):
    """Training produced NaN, exploded, or moved nothing."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that is not in a list, with the nearest known one.

    >>> unknown_name("perceptual backbone", "dinov1", ["clipconv", "dinov2"])
    "Unknown perceptual backbone 'dinov1'. Use one of clipconv, dinov2. Did you mean 'dinov2'?"
    """
    choices = list(known)
    sentence = f"Unknown {kind} {name!r}. Use one of {', '.join(choices)}."
    near = difflib.get_close_matches(name, choices, n=1)
    return f"{sentence} Did you mean {near[0]!r}?" if near else sentence
