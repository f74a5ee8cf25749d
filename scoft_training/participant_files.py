"""The file that a participant sends back, read with the organiser's key.

    {"format": "scoft-survey-answers", "version": 1, "survey": id, "culture", "language",
     "participant": random id,
     "declared": {"culture", "country", "years": number or null},
     "consent": {"agreed": true, "at": time},
     "started": time, "finished": time or null, "page_order": [page ids as this person sees them],
     "pages": [{"page": id, "order": [picture ids from first to last], "seconds": s, "comment": "",
                "items": {"alignment": {"ranks": {picture id: rank}, "seconds": s}, ...}}],
     "comment": ""}

Times are ISO 8601. A file may be sent half filled: rankings without any rank, and pages that are
absent, were not answered. A ranking with a fault is left out, and told by its line and page; a file
whose whole cannot be trusted is refused: another survey's, one without consent, a damaged one.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .answer_records import Answer, ranking_fault
from .answer_tables import STATED_BY, guess_note, one_line, whole_number
from .errors import DatasetError, SurveyError, unknown_name
from .files import digest_text
from .json_lines import NOT_ANSWERS, LocatedObject, parse_located
from .survey_key import ITEMS, SurveyKey, SurveyPage
from .survey_records import Finding
from .text_encoding import DecodedText, decode_text

__all__ = ["FORMAT", "Comment", "Participant", "Sheet", "read_participant"]

FORMAT = "scoft-survey-answers"
_VERSION = 1
_LONGEST_NAME = 200
"""Characters of what people say of themselves; more would burst the tables."""

_MOST_YEARS = 150
_FAR = 10**9
"""Ranks from here on are not written out in a sentence."""

_AS_SAVED = "The other pages count; ask for the file as the page saved it."


@dataclass(frozen=True)
class Comment:
    """What a participant wrote: on a page, or on the survey, then page and prompt are empty."""

    participant: str
    culture: str
    page: str
    prompt: str
    text: str


@dataclass(frozen=True)
class Participant:
    """What one participant declared, and where it stands.

    Attributes:
        participant: as in the answers.
        culture: whose pages they ranked.
        declared_culture, country: theirs, in their own words.
        years: how long they have lived there; None where they did not say.
        language: of the page that they filled.
        started, finished: ISO 8601; empty where it is not known, or they did not finish.
        file: its name.
    """

    participant: str
    culture: str
    declared_culture: str
    country: str
    years: float | None
    language: str
    started: str
    finished: str
    file: str


@dataclass(frozen=True)
class Sheet:
    """One participant's answers, from one file.

    Attributes:
        person: who.
        answers: those that count.
        comments: of the pages in the file's order, then of the survey.
        findings: what is wrong or odd.
        digest: of the content; equal for a doubled file. Empty for a part of a table.
    """

    person: Participant
    answers: tuple[Answer, ...]
    comments: tuple[Comment, ...]
    findings: tuple[Finding, ...]
    digest: str


def read_participant(data: bytes, name: str, key: SurveyKey) -> Sheet:
    """Read one file.

    Args:
        data: its bytes.
        name: begins the sentences.
        key: of the survey.

    Raises:
        SurveyError: the file as a whole does not count.
    """
    decoded = _decoded(data, name)
    file = parse_located(_object_in(decoded.text), where=name)
    _check(file, name, key)
    person = _person(file, name)
    reading = _Reading(name, person, {page.page: page for page in key.pages})
    for number, page in enumerate(file["pages"], start=1):
        reading.page(page, number)
    reading.comment(file.get("comment"))
    if decoded.guessed:
        reading.findings.append(Finding("flagged", name, guess_note(decoded)))
    reading.note_missing(file.get("page_order"))
    return Sheet(
        person,
        tuple(reading.answers),
        tuple(reading.comments),
        tuple(reading.findings),
        # Not the bytes: a mail program may have changed line ends.
        digest_text(json.dumps(file, sort_keys=True)),
    )


def _decoded(data: bytes, name: str) -> DecodedText:
    try:
        return decode_text(data, where="", stated_by=STATED_BY)
    except DatasetError as error:
        line = re.match(r" line \d+", str(error))
        raise SurveyError(
            f"{name}{f',{line[0]}' if line else ''}: this is no text that the page saves, so it "
            "was damaged on its way, or is something else. Ask for the file anew, or take it out "
            "of the folder."
        ) from error


def _object_in(text: str) -> str:
    """Return the object in a text that somebody pasted, say out of a mail; it keeps its lines."""
    start = text.find("{")
    if start < 0 or (not text[:start].strip() and text.rstrip().endswith("}")):
        return text
    before = "\n" * text.count("\n", 0, start)
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):  # told where the object is read
        return before + text[start:]
    # A greeting below is passed over, the answers of a second person are not.
    rest = text[end:]
    return before + text[start:end] + (rest if FORMAT in rest else "")


def _check(file: LocatedObject, name: str, key: SurveyKey) -> None:
    """Refuse what is no answer to this survey, or was given without consent."""
    if file.get("format") != FORMAT:
        raise SurveyError(f"{name}: {NOT_ANSWERS}")
    if file.get("version") != _VERSION:
        raise SurveyError(
            f"{name}: it is of version {_shown(file.get('version'))}, and {_VERSION} is read here. "
            "Use the version of scoft that made the survey."
        )
    if file.get("survey") != key.survey:
        raise SurveyError(
            f"{name}: it answers the survey {_shown(file.get('survey'))}, and the key is that of "
            f"{key.survey}. Read it with the survey-key.json of its own survey."
        )
    consent = file.get("consent")
    if not isinstance(consent, dict) or consent.get("agreed") is not True:
        raise SurveyError(
            f"{name}: it does not say that the participant agreed (`consent`), so nothing of it is "
            "read. Ask the person, who can save the file again after agreeing."
        )
    if not _text(file.get("participant")):
        raise SurveyError(
            f"{name}: `participant` is missing, so it cannot be told from other people's. Ask for "
            "the file as the page saved it."
        )
    cultures = sorted({one_line(page.culture) for page in key.pages})
    if _culture(file) not in cultures:
        said = unknown_name("culture of the survey", _text(file.get("culture")), cultures)
        raise SurveyError(f"{name}: {said}")
    if not isinstance(file.get("pages"), list):
        raise SurveyError(
            f"{name}: `pages` is no list, so there are no answers. Ask for the file as the page "
            "saved it."
        )


def _person(file: Mapping[str, Any], name: str) -> Participant:
    declared = file.get("declared")
    declared = declared if isinstance(declared, dict) else {}
    years = _number(declared.get("years"))
    return Participant(
        participant=_text(file["participant"]),
        culture=_culture(file),
        declared_culture=_text(declared.get("culture")),
        country=_text(declared.get("country")),
        years=None if years is None or years > _MOST_YEARS else years,
        language=_text(file.get("language")),
        started=_moment(file.get("started")),
        finished=_moment(file.get("finished")),
        file=name,
    )


class _Reading:
    """One file's pages, taken one by one."""

    def __init__(self, name: str, person: Participant, pages: Mapping[str, SurveyPage]) -> None:
        self.answers: list[Answer] = []
        self.comments: list[Comment] = []
        self.findings: list[Finding] = []
        self._name = name
        self._person = person
        self._pages = pages
        self._seen: set[str] = set()
        self._spoilt = 0

    def page(self, value: Any, number: int) -> None:
        """Take the page of this number, from 1."""
        name = _text(value.get("page")) if isinstance(value, dict) else ""
        page = self._pages.get(name)
        fault = ""
        if page is None:
            fault = f"The page {name!r} is none of the survey's."
        elif one_line(page.culture) != self._person.culture:
            fault = f"The page {name} is one of {page.culture}, the file of {self._person.culture}."
        elif name in self._seen:
            fault = f"The page {name} stands here a second time."
        elif not isinstance(value.get("items"), dict):
            fault = f"The page {name} has no `items`."
        if fault or page is None:
            self._leave_out(value, number, f"{fault} {_AS_SAVED}")
            return
        self._seen.add(name)
        places = self._places(value, number, page)
        for item, entry in value["items"].items():
            self._item(item, entry, number, page, places)
        self.comment(value.get("comment"), page)

    def comment(self, value: Any, page: SurveyPage | None = None) -> None:
        """Take what was written on a page, or on the survey."""
        text = "\n".join(map(one_line, value.splitlines())) if isinstance(value, str) else ""
        if text.strip():
            name, prompt = (page.page, one_line(page.prompt)) if page else ("", "")
            person = self._person
            self.comments.append(
                Comment(person.participant, person.culture, name, prompt, text.strip())
            )

    def note_missing(self, order: Any) -> None:
        """Say how much was not answered of the pages that the person was to see."""
        shown = {one for one in order if isinstance(one, str)} if isinstance(order, list) else set()
        culture = self._person.culture
        asked = {name for name, page in self._pages.items() if one_line(page.culture) == culture}
        shown = (shown & asked) | self._seen
        counted = {(one.page, one.item) for one in self.answers}
        missing = len(shown) * len(ITEMS) - len(counted) - self._spoilt
        if missing > 0:
            full = sum(all((page, item) in counted for item in ITEMS) for page in shown)
            self.findings.append(
                Finding(
                    "left out",
                    self._name,
                    f"{missing} of {len(shown) * len(ITEMS)} rankings are not answered, "
                    f"{len(shown) - full} of {len(shown)} pages not complete. The others count; "
                    "the person may finish on the same device and send the file again.",
                )
            )

    def _item(
        self, item: str, entry: Any, number: int, page: SurveyPage, places: Mapping[str, int]
    ) -> None:
        ranks = entry.get("ranks") if isinstance(entry, dict) else None
        said = f"Page {page.page}, {one_line(item, 40)}, does not count so."
        if item not in ITEMS:
            self._leave_out(entry, number, unknown_name("item", one_line(item, 40), ITEMS))
        elif not isinstance(ranks, dict):
            self._spoil(entry, number, f"There are no `ranks`. {said}")
        elif any(one is not None for one in ranks.values()):
            found = _ranks(ranks, page)
            if isinstance(found, str):
                self._spoil(ranks, number, f"{found} {said}")
            else:
                self._add(item, found, page, places, _number(entry.get("seconds")))

    def _add(
        self,
        item: str,
        ranks: Mapping[str, int],
        page: SurveyPage,
        places: Mapping[str, int],
        seconds: float | None,
    ) -> None:
        person = self._person
        for picture, rank in ranks.items():
            self.answers.append(
                Answer(
                    participant=person.participant,
                    culture=person.culture,
                    country=person.country,
                    page=page.page,
                    prompt=one_line(page.prompt),
                    item=item,
                    model=one_line(page.pictures[picture]),
                    position=places.get(picture),
                    rank=rank,
                    seconds=seconds,
                )
            )

    def _places(self, value: Mapping[str, Any], number: int, page: SurveyPage) -> Mapping[str, int]:
        """Return each picture's place from 1, or nothing where the file does not tell them."""
        order = value.get("order")
        if isinstance(order, list) and all(isinstance(one, str) for one in order):
            if sorted(order) == sorted(page.pictures):
                return {picture: place for place, picture in enumerate(order, start=1)}
        sentence = (
            f"`order` does not hold the pictures of the page {page.page} once each, so their "
            "places are not known. Its ranks count."
        )
        self.findings.append(Finding("flagged", self._where(value, number), sentence))
        return {}

    def _spoil(self, value: Any, number: int, sentence: str) -> None:
        self._spoilt += 1
        self._leave_out(value, number, sentence)

    def _leave_out(self, value: Any, number: int, sentence: str) -> None:
        self.findings.append(Finding("left out", self._where(value, number), sentence))

    def _where(self, value: Any, number: int) -> str:
        line = value.line if isinstance(value, LocatedObject) else 0
        # A file that was written in one line is all in line 1, which helps nobody.
        return f"{self._name}, {f'line {line}, ' if line > 1 else ''}page {number}"


def _ranks(ranks: Mapping[str, Any], page: SurveyPage) -> dict[str, int] | str:
    """Return picture -> rank, or what is wrong with them."""
    if strange := [one for one in ranks if one not in page.pictures]:
        return f"The picture {one_line(strange[0], 40)!r} is none of the page's."
    found: dict[str, int] = {}
    for picture, value in ranks.items():
        rank = _rank(value)
        if rank is None:
            count = len(page.pictures)
            return f"The rank {_shown(value)} of {picture!r} is no whole number of 1 to {count}."
        if value is not None:
            found[picture] = rank
    if len(found) < len(page.pictures):
        return f"It ranks {len(found)} of {len(page.pictures)} pictures only."
    return ranking_fault(found) or found


def _rank(value: Any) -> int | None:
    """Return a rank; 0 for null, None for what is no whole number, or one of many digits."""
    if value is None:
        return 0
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return whole_number(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and abs(value) < _FAR else None


def _text(value: Any) -> str:
    return one_line(value, _LONGEST_NAME) if isinstance(value, str) else ""


def _culture(file: Mapping[str, Any]) -> str:
    """Return whose pages were ranked, as long as the key may name it."""
    culture = file.get("culture")
    return one_line(culture) if isinstance(culture, str) else ""


def _number(value: Any) -> float | None:
    """Return a finite number from 0, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _moment(value: Any) -> str:
    """Return a time as it is written, or nothing where it is none."""
    text = _text(value)
    try:
        datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return ""
    return text


def _shown(value: Any) -> str:
    """Return a value as a message may show it."""
    return one_line(json.dumps(value, ensure_ascii=False), 40)
