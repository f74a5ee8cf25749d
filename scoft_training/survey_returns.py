"""What came back from a survey: participants' files and tables, put together.

Not here: what the answers say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .survey_answers import Answer
from .survey_key import SurveyKey
from .survey_records import Finding

__all__ = ["Comment", "Participant", "Returns", "read_returns"]


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
        file: the name of the file.
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
class Returns:
    """All that came back.

    Attributes:
        answers: those that count, in an order that does not depend on the files'.
        comments: in the order of participants and pages.
        participants: everybody whose answers count, by culture and name.
        findings: refused and left out first, then flagged.
        flags: participant -> why to look at their answers, for those who have any.
    """

    answers: tuple[Answer, ...]
    comments: tuple[Comment, ...]
    participants: tuple[Participant, ...]
    findings: tuple[Finding, ...]
    flags: Mapping[str, tuple[str, ...]]


def read_returns(paths: Sequence[Path], key: SurveyKey | None) -> Returns:
    """Read participants' files, tables of answers, and folders of either.

    Args:
        paths: files and folders; results of an earlier analysis in them are passed over.
        key: of the survey; participants' files need it, tables do not.

    Raises:
        SurveyError: a path does not exist, participants' files came without the key, or there is
            no answer that counts.
    """
    raise NotImplementedError
