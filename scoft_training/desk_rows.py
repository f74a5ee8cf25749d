"""A row as the review desk shows it, and what a page may change about it; see `gallery`.

The desk's names of fields differ from an overlay's in two: `caption` is `cultural_caption`, and its
`generic_captions`, a whole list, is `only_generic_captions`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .captions import caption_warnings
from .data_checks import Problem
from .data_rows import CATEGORIES, ERAS, NO_CAPTION, DatasetRow, refuses_consent
from .errors import ConfigError, unknown_name
from .overlays import Overlay, leaves_out, overlay_row
from .statements import merged, now

__all__ = ["history_of", "person", "reason", "restoring", "shown_row", "statement_of"]

_NAMES = {
    "caption": "cultural_caption",
    "generic_captions": "only_generic_captions",
    "category": "category",
    "era": "era",
    "credit": "credit",
    "licence": "licence",
    "consent": "consent",
    "include": "include",
}
_CAPTION_KINDS = ("degenerate-caption", "names-a-culture")
_CHOICES = {"category": CATEGORIES, "era": ERAS}
_LONGEST = {"caption": 4000, "generic_captions": 4000, "by": 100, "why": 1000}
_LONGEST_OTHER = 500
_MOST_CAPTIONS = 50
_NOBODY = "gallery"


def shown_row(
    row: DatasetRow,
    statements: Sequence[Overlay],
    problems: Iterable[Problem],
    *,
    culture: str | None,
) -> dict[str, Any]:
    """Return a row as its statements complete it; one that is left out is shown all the same.

    Args:
        row: as the dataset has it.
        statements: about its picture, the earliest first.
        problems: the dataset's with this row.
        culture: the card's.
    """
    overlay = merged(statements)
    shown = overlay_row(row, overlay)
    decision = _decision(statements)
    refused = refuses_consent(shown.consent)
    stated = {} if overlay is None else overlay.stated()
    return {
        "sha256": row.sha256,
        "number": row.number,
        "where": row.where,
        "file_name": row.file_name,
        "caption": shown.cultural_caption,
        "generic_captions": list(shown.generic_captions),
        "category": shown.category,
        "category_guessed": shown.category_guessed,
        "era": shown.era,
        "culture": shown.culture,
        "credit": shown.credit,
        "licence": shown.licence,
        "consent": shown.consent,
        "source_url": shown.source_url,
        "included": not (leaves_out(overlay) or refused),
        "decision": None if decision is None else ("kept" if decision.include else "dropped"),
        "by": None if decision is None else decision.by,
        "at": None if decision is None else decision.at,
        "why": None if decision is None else decision.why,
        "problems": _problems(row, shown, overlay, problems, culture),
        "edited": [
            name for name, theirs in _NAMES.items() if theirs in stated and name != "include"
        ],
    }


def statement_of(sha256: str, changes: Mapping[str, Any], by: str, why: str) -> Overlay:
    """Return what a page's changes state about a picture.

    Args:
        sha256: of the picture.
        changes: values by the desk's names; None takes back what was stated.
        by: who says so; empty counts as "gallery".
        why: the reason; empty gets a plain one.

    Raises:
        ConfigError: a name is unknown, or a value is not of the kind that belongs there.
    """
    if not changes:
        raise ConfigError(f"`changes` is empty. Send at least one of {', '.join(_NAMES)}.")
    values: dict[str, Any] = {}
    unset = []
    for name, value in changes.items():
        if name not in _NAMES:
            raise ConfigError(unknown_name("field", str(name), _NAMES))
        if value is None:
            unset.append(_NAMES[name])
        else:
            values[_NAMES[name]] = _checked(name, value)
    return Overlay(
        sha256=sha256,
        by=person(by),
        at=now(),
        why=reason(why) or _plain_reason(changes),
        unset=tuple(unset),
        **values,
    )


def restoring(held: Overlay | None, changes: Iterable[str]) -> dict[str, Any]:
    """Return the changes that bring back what was stated before, for undoing."""
    before: dict[str, Any] = {}
    for name in changes:
        value = None if held is None else getattr(held, _NAMES[name])
        before[name] = list(value) if isinstance(value, tuple) else value
    return before


def history_of(statements: Iterable[Overlay]) -> list[dict[str, Any]]:
    """Return statements for a page; `generic_captions_added` are what a command adds."""
    ours = {theirs: name for name, theirs in _NAMES.items()}
    ours["generic_captions"] = "generic_captions_added"
    return [
        {
            "at": one.at,
            "by": one.by,
            "why": one.why,
            "changes": {
                ours[name]: list(value) if isinstance(value, tuple) else value
                for name, value in {**dict.fromkeys(one.unset), **one.stated()}.items()
            },
        }
        for one in statements
    ]


def person(by: str) -> str:
    """Return who decides, as it is kept.

    Raises:
        ConfigError: it is no name.
    """
    return _text("by", by) or _NOBODY


def reason(why: str) -> str:
    """Return a reason as it is kept, perhaps empty.

    Raises:
        ConfigError: it is too long, or no text.
    """
    return _text("why", why)


def _decision(statements: Iterable[Overlay]) -> Overlay | None:
    decision = None
    for one in statements:
        if one.include is not None:
            decision = one
        elif "include" in one.unset:
            decision = None
    return decision


def _problems(
    row: DatasetRow,
    shown: DatasetRow,
    overlay: Overlay | None,
    problems: Iterable[Problem],
    culture: str | None,
) -> list[dict[str, Any]]:
    """Return what is wrong with a row as it is shown: of captions that were replaced nothing."""
    replaced = overlay is not None and overlay.only_generic_captions is not None
    found = [
        {"kind": one.kind, "message": one.message, "is_error": one.is_error}
        for one in problems
        if not (replaced and one.kind in _CAPTION_KINDS)
        and not (one.kind == NO_CAPTION and shown.cultural_caption)
        and not (one.kind == "same-caption" and shown.cultural_caption != row.cultural_caption)
    ]
    judged = set() if replaced else set(row.generic_captions)
    cultures = [name for name in (culture, row.culture) if name]
    begin = row.where
    for caption in shown.generic_captions:
        if caption not in judged:
            found += [
                {"kind": kind, "message": f"{begin} {sentence}", "is_error": False}
                for kind, sentence in caption_warnings(caption, cultures)
            ]
    if not shown.generic_captions:
        sentence = (
            f"{begin} there is no generic caption. Write one, or let `scoft caption` make some."
        )
        found.append({"kind": "no-generic-caption", "message": sentence, "is_error": False})
    return found


def _checked(name: str, value: Any) -> Any:
    if name == "include":
        if not isinstance(value, bool):
            raise ConfigError(f"`include` must be true, false or null but got {value!r}.")
        return value
    if name == "consent" and isinstance(value, bool):
        return value
    if name == "generic_captions":
        return _captions(value)
    text = _text(name, value)
    if name == "caption" and not text:
        raise ConfigError("`caption` is empty. Each picture needs its cultural caption: write one.")
    if text and name in _CHOICES and text not in _CHOICES[name]:
        raise ConfigError(unknown_name(name, text, _CHOICES[name]))
    return text


def _captions(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigError("`generic_captions` must be a list of texts. Send one, perhaps empty.")
    if len(value) > _MOST_CAPTIONS:
        raise ConfigError(
            f"`generic_captions` holds {len(value)} captions, but {_MOST_CAPTIONS} are the most. "
            "Leave some out."
        )
    texts = [_text("generic_captions", one) for one in value]
    return tuple(dict.fromkeys(text for text in texts if text))


def _text(name: str, value: Any) -> str:
    """Return a text on one line, its ends stripped."""
    if not isinstance(value, str):
        raise ConfigError(f"`{name}` must be text but got {value!r}."[:200])
    longest = _LONGEST.get(name, _LONGEST_OTHER)
    if len(value) > longest:
        raise ConfigError(
            f"`{name}` has {len(value)} characters, but {longest} are the most. Shorten it."
        )
    for character in value:
        # Format characters are needed: joiners in Persian and Hindi, marks of direction.
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise ConfigError(
                f"`{name}` holds a character that cannot be shown (U+{ord(character):04X}). "
                "Write it without."
            )
    return " ".join(value.split())


def _plain_reason(changes: Mapping[str, Any]) -> str:
    if "include" not in changes:
        return "edited by hand"
    include = changes["include"]
    if include is None:
        return "decision taken back"
    return "kept by hand" if include else "left out by hand"
