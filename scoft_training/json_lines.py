"""JSON of strangers, read with the line on which each object begins, and nothing said twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .errors import SurveyError

__all__ = ["NOT_ANSWERS", "LocatedObject", "parse_located"]

NOT_ANSWERS = (
    "this is JSON, but not the answers of a participant. Take it out of the folder, or bring the "
    "right file."
)
"""What to say of an intact file of something else."""

_MARKS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\n]', re.DOTALL)

_WORD = 8
"""More characters than `false` or the escape of a character have, of which a part may be left where
a file was cut off."""


class LocatedObject(dict[str, Any]):
    """A JSON object that knows its line, from 1."""

    line: int = 0


def parse_located(text: str, *, where: str) -> LocatedObject:
    """Parse one JSON object; all objects in it are located.

    Args:
        text: the JSON.
        where: begins the errors' sentences, say a file's name.

    Raises:
        SurveyError: it is cut off, no JSON, no object, or has a name twice in one object.
    """
    try:
        # Only text that is known to be JSON is gone through by the expression above, which would
        # look far from each of many open quotation marks.
        value = json.loads(text)
        lines = _lines_by_end(text)

        def located(pairs: list[tuple[str, Any]]) -> LocatedObject:
            found = LocatedObject(pairs)
            found.line = next(lines)
            if len(found) < len(pairs):
                (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
                raise SurveyError(
                    f"{where}, line {found.line}: {twice!r} stands twice in one object, so the "
                    "file was changed after it was saved. Ask for the file as the page saved it."
                )
            return found

        if isinstance(value, dict):
            whole: LocatedObject = json.loads(text, object_pairs_hook=located)
            return whole
    except json.JSONDecodeError as error:
        raise SurveyError(f"{where}, line {error.lineno}: {_fault(error)}") from error
    except (ValueError, RecursionError) as error:
        # The only ValueError of its own is about integers of thousands of digits.
        deep = isinstance(error, RecursionError)
        fault = "is nested too deeply" if deep else "holds a number of thousands of digits"
        raise SurveyError(
            f"{where}: this {fault}, which the page never saves. Ask for the file as the page "
            "saved it."
        ) from error
    raise SurveyError(f"{where}: {NOT_ANSWERS}")


def _fault(error: json.JSONDecodeError) -> str:
    """Return what is wrong with text that is no JSON, and what to do."""
    rest = error.doc[error.pos :]
    if not error.doc.strip():
        return "the file is empty. Ask for it anew."
    begun = error.doc.lstrip("\ufeff \t\r\n").startswith("{")
    if begun and (len(rest) < _WORD or error.msg.startswith("Unterminated string")):
        return "the file ends in the middle, so it was cut off on its way. Ask for it anew."
    return (
        f"this is not valid JSON ({error.msg}, character {error.colno}), so the file was changed "
        "after it was saved. Ask for the file as the page saved it."
    )


def _lines_by_end(text: str) -> Iterator[int]:
    """Yield the line on which each object begins, in the order in which the objects end."""
    line, open_lines = 1, []
    for mark in _MARKS.finditer(text):
        first = mark[0][0]
        if first == "\n":
            line += 1
        elif first == "{":
            open_lines.append(line)
        elif first == "}":
            yield open_lines.pop()
