"""Answers to a survey, one rank a line, and the table of them: answers.csv.

    participant,culture,country,page,prompt,item,model,position,rank,seconds

participant, page, item, model and rank are needed; a table made by hand may leave the rest out and
have columns of its own, which are not read. One ranking is the lines of one participant, page and
item: as many as the page has pictures, ranks counted from 1 (best; for stereotypes and
offensiveness least). Pictures that share a rank share the better one, and the next rank is as much
further: 1-1-3-4. `item` is alignment, representation, stereotypes or offensiveness, or its title;
`position` the picture's place on the page, from 1; `seconds` how long the ranking took. Tables may
be parted by commas, semicolons or tabs, in any common encoding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .survey_records import Finding

__all__ = ["Answer", "read_answers", "write_answers"]


@dataclass(frozen=True)
class Answer:
    """One rank that one participant gave one picture under one item.

    Attributes:
        participant: who, told from all others by this name alone.
        culture: whose pages they ranked; empty where it is not known.
        country: what they say they come from; empty where it is not known.
        page: the page's id.
        prompt: what its pictures were drawn for; empty where it is not known.
        item: alignment, representation, stereotypes or offensiveness.
        model: whose picture.
        position: its place on the page, from 1; None where it is not known.
        rank: 1 best; tied pictures share the better rank.
        seconds: how long the whole ranking took; None where it is not known.
    """

    participant: str
    culture: str
    country: str
    page: str
    prompt: str
    item: str
    model: str
    position: int | None
    rank: int
    seconds: float | None


def read_answers(path: Path) -> tuple[list[Answer], list[Finding]]:
    """Read a table of answers; what cannot count is left out and told.

    Returns:
        the answers, in an order that does not depend on the table's; what is wrong or odd.

    Raises:
        SurveyError: the table as a whole cannot be read.
    """
    raise NotImplementedError


def write_answers(path: Path, answers: Iterable[Answer]) -> None:
    """Write answers as a table that `read_answers` gives back.

    Raises:
        OutputError: it cannot be written.
    """
    raise NotImplementedError
