"""results.json: an analysis as a file, and back.

Fields have the names of `survey_records`. What is known of two models lies under the row's, then
the column's name.
What cannot be told is null; no number is NaN or infinite.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from .errors import SurveyError
from .files import write_json
from .survey_records import SurveyResult

__all__ = [
    "RESULTS_FILE",
    "read_result",
    "result_from_json",
    "result_to_json",
    "write_result",
]

RESULTS_FILE = "results.json"
"""Name of the result's file in the folder of results."""

_FORMAT = 1


def result_to_json(result: SurveyResult) -> dict[str, Any]:
    """Return a result as values that JSON knows.

    Raises:
        ValueError: a number is NaN or infinite, which no analysis may return.
    """
    values: dict[str, Any] = {"format": _FORMAT, **dataclasses.asdict(result)}
    for one in values["slices"]:
        for name in ("win_rates", "rank_differences"):
            one[name] = _nested(one[name])
    _require_finite(values, "result")
    return values


def result_from_json(values: Any, *, where: str) -> SurveyResult:
    """Return the result that `result_to_json` turned into `values`.

    Raises:
        SurveyError: they are of another form; `where` begins the sentence.
    """
    try:
        if values["format"] != _FORMAT:
            raise SurveyError(
                f"{where}: is of format {values['format']!r}, but this version reads format "
                f"{_FORMAT}. Update the pack, or aggregate the answers again."
            )
        made: SurveyResult = _record(SurveyResult, values)
        return made
    except (KeyError, TypeError, AttributeError) as error:
        raise SurveyError(
            f"{where}: does not hold what `scoft survey aggregate` writes ({error}). Aggregate the "
            "answers again."
        ) from error


def write_result(path: Path, result: SurveyResult) -> None:
    """Write results.json aside and rename it.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_json(path, result_to_json(result))


def read_result(path: Path) -> SurveyResult:
    """Read what `write_result` wrote.

    Raises:
        SurveyError: the file is missing, no JSON, or of another form.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SurveyError(
            f"{path}: cannot be opened ({error.strerror}). Aggregate the answers first: `scoft "
            "survey aggregate`."
        ) from error
    except ValueError as error:
        raise SurveyError(
            f"{path}: is no JSON ({error}). Aggregate the answers again: `scoft survey aggregate`."
        ) from error
    return result_from_json(values, where=str(path))


def _nested(pairs: Mapping[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for (row, column), value in pairs.items():
        nested.setdefault(row, {})[column] = value
    return nested


def _value(kind: Any, value: Any) -> Any:
    """Return a value of JSON as the type that a record's field is of.

    Raises:
        TypeError: it is of another one.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any or kind is object:
        return value
    if dataclasses.is_dataclass(kind):
        return _record(kind, value)
    if origin in (types.UnionType, Union):
        return None if value is None else _value(parts[0], value)
    if origin is tuple:
        # They are lists in a file, and tuples before they are written.
        listed = value if type(value) is tuple else _checked(value, list)
        return tuple(_value(parts[0], one) for one in listed)
    if origin is Mapping and parts[0] is not str:
        return {
            (row, column): _value(parts[1], one)
            for row, columns in _checked(value, dict).items()
            for column, one in _checked(columns, dict).items()
        }
    if origin is Mapping:
        return {key: _value(parts[1], one) for key, one in _checked(value, dict).items()}
    if kind is float and type(value) is int:
        return float(value)
    return _checked(value, kind)


def _record(kind: Any, values: Any) -> Any:
    fields = _checked(values, dict)
    # Names that are not known are of a later version, and are left.
    hints = {name: one for name, one in get_type_hints(kind).items() if name in fields}
    return kind(**{name: _value(hint, fields[name]) for name, hint in hints.items()})


def _checked(value: Any, kind: Any) -> Any:
    # JSON's true is an int to Python, and no count.
    if type(value) is not kind:
        raise TypeError(f"{value!r:.60} is no {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise TypeError(f"{value} is no number")
    return value


def _require_finite(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}")
    if isinstance(value, Mapping):
        for name, one in value.items():
            _require_finite(one, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            _require_finite(one, f"{where}[{number}]")
