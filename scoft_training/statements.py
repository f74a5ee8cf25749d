"""One statement about one picture: a line of the work folder's rows.jsonl, read, written, merged.

The file of statements, and what follows from them for a dataset's rows, is `overlays`' matter.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .data_checks import Columns, Findings, parse_object
from .data_rows import CATEGORIES, ERAS
from .errors import DatasetError, unknown_name

__all__ = [
    "OVERLAYS",
    "STATED",
    "STATED_TEXTS",
    "Overlay",
    "format_statement",
    "merge_overlay",
    "merged",
    "now",
    "parse_statement",
]

OVERLAYS = "rows.jsonl"

STATED_TEXTS = ("cultural_caption", "category", "era", "credit", "licence")
_CAPTIONS = ("generic_captions", "only_generic_captions")
STATED = (*_CAPTIONS, *STATED_TEXTS, "consent", "include")
"""What a statement may be about, by the names of `Overlay`'s attributes."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What is stated about one picture; None is not stated.

    An empty text in category, era, credit, licence or consent states that there is none.

    Attributes:
        sha256: of the picture, 64 hex digits.
        by: who says so: a person's name as they wrote it, or a command.
        at: when, as an ISO date, with or without the time.
        why: the reason.
        generic_captions: added to the row's own; of statements the latest counts.
        only_generic_captions: these and no others, in place of the row's own and of those that
            are added; what a person wrote holds whatever a captioner adds later.
        cultural_caption: in place of the row's.
        category: likewise; one of CATEGORIES.
        era: likewise; one of ERAS.
        credit: likewise.
        licence: likewise.
        consent: likewise; text, or true or false.
        include: False drops the row; True takes an earlier False back.
        unset: names out of STATED that earlier statements gave a value and that are taken back, so
            that the dataset's own value holds again.
        extra: what else the line holds, kept as it is.
    """

    sha256: str
    by: str
    at: str
    why: str
    generic_captions: tuple[str, ...] | None = None
    only_generic_captions: tuple[str, ...] | None = None
    cultural_caption: str | None = None
    category: str | None = None
    era: str | None = None
    credit: str | None = None
    licence: str | None = None
    consent: bool | str | None = None
    include: bool | None = None
    unset: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def stated(self) -> dict[str, Any]:
        """Return what it gives a value, by name."""
        values = {name: getattr(self, name) for name in STATED}
        return {name: value for name, value in values.items() if value is not None}

    def touched(self) -> set[str]:
        """Return the names of what it gives a value or takes back."""
        return {*self.stated(), *self.unset}


def merge_overlay(earlier: Overlay | None, later: Overlay) -> Overlay:
    """Return what holds after both: the earlier one with what the later one states or takes back.

    Who, when and why are the later one's; the lines of the file keep each its own.
    """
    if earlier is None:
        return dataclasses.replace(later, unset=()) if later.unset else later
    if earlier.sha256 != later.sha256:
        raise ValueError(f"two pictures: {earlier.sha256} and {later.sha256}")
    changes: dict[str, Any] = {**dict.fromkeys(later.unset), **later.stated()}
    return dataclasses.replace(
        earlier,
        by=later.by,
        at=later.at,
        why=later.why,
        extra={**earlier.extra, **later.extra},
        **changes,
    )


def merged(statements: Iterable[Overlay]) -> Overlay | None:
    """Return what holds after statements about one picture, in their order."""
    held: Overlay | None = None
    for statement in statements:
        held = merge_overlay(held, statement)
    return held


def now() -> str:
    """Return the time of a statement that is made now, to the second, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def parse_statement(number: int, line: str) -> Overlay:
    """Return the statement in a line.

    Args:
        number: of the line, from 1, for messages.
        line: the JSON.

    Raises:
        DatasetError: the line is broken.
    """
    where = f"{OVERLAYS}, row {number}:"
    findings = Findings()
    values = parse_object(line, where=where)
    columns = Columns(values, findings, number, where)
    named = {name: columns.text(name) or "" for name in ("sha256", "by", "at", "why")}
    captions = {
        name: tuple(text for text in columns.texts(name, one_allowed=True) if text)
        for name in _CAPTIONS
    }
    texts: dict[str, Any] = {name: columns.text(name) for name in STATED_TEXTS}
    texts["cultural_caption"] = texts["cultural_caption"] or None
    consent, include = columns.flag_or_text("consent"), columns.flag("include")
    unset = columns.texts("unset", one_allowed=True)
    for problem in findings.in_order():
        raise DatasetError(problem.message)
    named["sha256"] = named["sha256"].lower()
    _check_source(where, named)
    for name, known in (("category", CATEGORIES), ("era", ERAS)):
        if texts[name] and texts[name] not in known:
            raise DatasetError(f"{where} {unknown_name(name, str(texts[name]), known)}")
    for name in unset:
        if name not in STATED:
            raise DatasetError(f"{where} `unset`: {unknown_name('column', name, STATED)}")
    given: dict[str, Any] = {
        name: captions[name] for name in _CAPTIONS if values.get(name) is not None
    }
    return Overlay(
        **given,
        **texts,
        consent=consent,
        include=include,
        unset=unset,
        extra=columns.rest,
        sha256=named["sha256"],
        by=named["by"],
        at=named["at"],
        why=named["why"],
    )


def format_statement(overlay: Overlay) -> str:
    """Return the line of a statement, without its end."""
    values: dict[str, Any] = {"sha256": overlay.sha256, **overlay.stated()}
    if overlay.unset:
        values["unset"] = overlay.unset
    values |= {"by": overlay.by, "at": overlay.at, "why": overlay.why}
    return json.dumps({**overlay.extra, **values}, ensure_ascii=False)


def _check_source(where: str, named: Mapping[str, str]) -> None:
    if not re.fullmatch("[0-9a-f]{64}", named["sha256"]):
        raise DatasetError(
            f"{where} `sha256` must be the 64 hex digits of a picture's sha256 but got "
            f"{named['sha256']!r}. Write it so, or remove the line."
        )
    for name in ("by", "why"):
        if not named[name]:
            raise DatasetError(
                f"{where} `{name}` is missing. Write who says so (`by`), when (`at`) and `why`."
            )
    try:
        datetime.date.fromisoformat(named["at"][:10])
    except ValueError as error:
        raise DatasetError(
            f"{where} `at` must be an ISO date such as 2026-03-31 but got {named['at']!r}. Write "
            "it so."
        ) from error
