"""Answers to a survey, one rank a line, and the table of them: answers.csv.

    participant,culture,country,page,prompt,item,model,position,rank,seconds

participant, page, item, model and rank are needed; a table made by hand may leave the rest out and
have columns of its own, which are passed over. One ranking is the lines of one participant, page
and item: as many as the page has pictures, ranks counted from 1 (best; for stereotypes and
offensiveness least). Pictures that share a rank share the better rank, and the next is as much
further: 1-1-3-4. `item` is alignment, representation, stereotypes or offensiveness, or its title;
`position` the picture's place on the page, from 1; `seconds` how long the ranking took. Tables may
be parted by commas, semicolons or tabs, in any common encoding. A cell that begins with = + - @ or
an apostrophe has an apostrophe before it, so that no spreadsheet takes it for a formula; reading
takes it off again.

A ranking with a fault is left out as a whole and told by its line. The participant 7 of one culture
and the participant 7 of another are two people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from .answer_lines import parse_answers
from .answer_names import renamed
from .answer_records import Answer, in_order
from .answer_tables import write_table
from .survey_records import Finding

__all__ = ["Answer", "read_answers", "write_answers"]


def read_answers(path: Path) -> tuple[list[Answer], list[Finding]]:
    """Read a table of answers; what cannot count is left out and told.

    Returns:
        the answers, in an order that does not depend on the table's; what is wrong or odd.

    Raises:
        SurveyError: the table as a whole cannot be read.
    """
    answers, findings = parse_answers(Path(path), Path(path).name)
    apart, told = renamed(answers)
    return in_order(apart), findings + told


def write_answers(path: Path, answers: Iterable[Answer]) -> None:
    """Write answers as a table that `read_answers` gives back.

    Raises:
        OutputError: it cannot be written.
    """
    head = [field.name for field in dataclasses.fields(Answer)]
    write_table(path, head, map(dataclasses.astuple, in_order(answers)))
