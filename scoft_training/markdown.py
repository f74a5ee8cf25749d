"""Markdown made of other people's words: escaped, in tables and lists, and as front matter."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["escape", "front_matter", "table"]

# An underscore inside a word marks nothing, and slugs such as food_drink stay readable.
_SPECIAL = re.compile(r"[\\`*\[\]<>#|~!&{}$]|(?<!\w)_|_(?!\w)")
_LIST_BEGINS = re.compile(r"^(?:[-+=]|\d+(?=[.)](?: |$)))")
_JOINERS = "\u200c\u200d"
"""Without the joiners Persian, Hindi and emoji fall apart; no other invisible sign is needed."""


def escape(text: Any) -> str:
    """Return text as one line that Markdown shows as it is, in a table's cell, too.

    Signs that cannot be seen go: some turn the reading direction of what comes after them.
    """
    line = " ".join(str(text).split())
    kept = "".join(
        sign for sign in line if sign in _JOINERS or unicodedata.category(sign) not in ("Cc", "Cf")
    )
    kept = _SPECIAL.sub(lambda found: "\\" + found[0], kept)
    begin = _LIST_BEGINS.match(kept)
    if begin is None:
        return kept
    end = begin.end()
    return f"\\{kept}" if begin[0] in "-+=" else f"{kept[:end]}\\{kept[end:]}"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return a table's lines; `head` is written as it is, the cells are escaped."""
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    return lines + [f"| {' | '.join(map(escape, row))} |" for row in rows]


def front_matter(values: dict[str, Any]) -> list[str]:
    """Return a block of YAML that stands before a card, as the Hugging Face hub reads it.

    Args:
        values: text, a list of texts, or what else JSON can hold, by key; empty ones are left out.
    """
    lines = ["---"]
    for key, value in values.items():
        if isinstance(value, list) and value:
            lines += [f"{key}:", *(f"- {_json(entry)}" for entry in value)]
        elif value:
            lines.append(f"{key}: {_json(value)}")
    return [*lines, "---", ""]


def _json(value: Any) -> str:
    """Return a value as JSON, which is YAML: no word is taken for a number or for "no"."""
    text = json.dumps(value, ensure_ascii=False)
    # YAML takes some signs for the end of a line, and others not at all.
    return "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in text)
