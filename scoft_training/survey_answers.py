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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .answer_names import filled, renamed, respelt
from .answer_records import (
    Answer,
    RankingKey,
    in_order,
    models_shown,
    other_models,
    ranking_fault,
    who_of,
)
from .answer_tables import Row, Table, read_table, seconds_of, shown, whole_number, write_table
from .errors import unknown_name
from .survey_key import ITEMS
from .survey_records import Finding, item_title

__all__ = ["Answer", "parse_answers", "read_answers", "write_answers"]

_NEEDED = ("participant", "page", "item", "model", "rank")
_OTHERS = ("culture", "country", "prompt", "position", "seconds")


@dataclass(frozen=True)
class _Line:
    """One line of a table: rank 0 where the cell is empty; `fault` is empty where it can count."""

    line: int
    answer: Answer
    fault: str


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


def parse_answers(path: Path, name: str) -> tuple[list[Answer], list[Finding]]:
    """Read a table as `read_answers` does, but leave the names of people as they stand there.

    Args:
        path: the table.
        name: begins the sentences.

    Raises:
        SurveyError: the table as a whole cannot be read.
    """
    table = read_table(path, name, _NEEDED, _OTHERS)
    findings = [Finding("flagged", name, note) for note in table.notes]
    findings += _odd_numbers(table, name)
    lines = [_line(row, table.delimiter) for row in table.rows]
    answers, told = respelt((one.answer for one in lines), f"{name}, ")
    findings += told
    pairs = zip(lines, filled(answers, "culture", "country"), strict=True)
    lines = [dataclasses.replace(line, answer=answer) for line, answer in pairs]
    groups: dict[RankingKey, list[_Line]] = {}
    for one in lines:
        answer = one.answer
        if answer.participant and answer.page:
            groups.setdefault((who_of(answer), answer.page, answer.item), []).append(one)
        else:
            findings.append(Finding("left out", f"{name}, line {one.line}", one.fault))
    kept: dict[RankingKey, list[_Line]] = {}
    for key, group in groups.items():
        found, told = _ranking(group, name)
        findings += told
        if found:
            kept[key] = found
    whole, told = _whole_pages(kept, name)
    return in_order(answer for group in whole for answer in _placed(group)), findings + told


def _line(row: Row, delimiter: str) -> _Line:
    cells = row.cells
    item, item_fault = _item(cells["item"])
    rank = whole_number(cells["rank"])
    fault = row.fault
    if lacking := [one for one in ("participant", "page", "item", "model") if not cells[one]]:
        fault = fault or f"`{lacking[0]}` is empty. Write it, or remove the line."
    fault = fault or item_fault
    if cells["rank"] and not rank:
        fault = fault or (
            f"The rank {shown(cells['rank'])!r} is no whole number from 1. Pictures that are as "
            "good as each other share the better rank, as in 1-1-3-4."
        )
    answer = Answer(
        participant=cells["participant"],
        culture=cells.get("culture", ""),
        country=cells.get("country", ""),
        page=cells["page"],
        prompt=cells.get("prompt", ""),
        item=item,
        model=cells["model"],
        position=whole_number(cells.get("position", "")),
        rank=rank or 0,
        seconds=seconds_of(cells.get("seconds", ""), delimiter),
    )
    return _Line(row.line, answer, fault)


_ITEM_NAMES = {one.casefold(): one for one in ITEMS} | {
    item_title(one).casefold(): one for one in ITEMS
}


def _item(text: str) -> tuple[str, str]:
    """Return an item's key and no fault, or the text as it is and what is wrong with it."""
    item = _ITEM_NAMES.get(text.casefold())
    return (item, "") if item else (text, unknown_name("item", shown(text), ITEMS))


def _odd_numbers(table: Table, name: str) -> list[Finding]:
    """Return a sentence about times that cannot be read; the ranks beside them count."""
    odd = [
        row.line
        for row in table.rows
        if row.cells.get("seconds") and seconds_of(row.cells["seconds"], table.delimiter) is None
    ]
    if not odd:
        return []
    more = f", nor in {len(odd) - 1} further lines" if len(odd) > 1 else ""
    sentence = f"`seconds` is no time{more}, so it is not used. Write a number, or nothing."
    return [Finding("flagged", f"{name}, line {odd[0]}", sentence)]


def _ranking(group: Sequence[_Line], name: str) -> tuple[list[_Line], list[Finding]]:
    """Return a ranking's lines without repeated ones, or none where it cannot count."""
    if not any(one.fault or one.answer.rank for one in group):
        return [], []
    by_model: dict[str, _Line] = {}
    findings = []
    fault, line = next(((one.fault, one.line) for one in group if one.fault), ("", 0))
    for one in group:
        before = by_model.setdefault(one.answer.model, one)
        if before is one or fault:
            continue
        if before.answer.rank != one.answer.rank:
            fault, line = (
                f"{shown(one.answer.model)!r} stands here a second time, with another rank than in "
                f"line {before.line}. Remove one of the two.",
                one.line,
            )
        else:
            sentence = f"It repeats line {before.line}, and counts once. Nothing has to be done."
            findings.append(Finding("left out", f"{name}, line {one.line}", sentence))
    if not fault and (empty := [one for one in by_model.values() if not one.answer.rank]):
        fault = f"The rank of {shown(empty[0].answer.model)!r} is missing. Write it."
        line = empty[0].line
    if not fault:
        line = group[0].line
        fault = ranking_fault({model: one.answer.rank for model, one in by_model.items()}) or ""
    if fault:
        return [], [Finding("left out", f"{name}, line {line}", f"{fault} {_said(group[0])}")]
    return list(by_model.values()), findings


def _said(line: _Line) -> str:
    one = line.answer
    of = ", page ".join(map(shown, (one.participant, one.page)))
    return f"The ranking of {of}, {shown(one.item)}, does not count so."


def _whole_pages(
    groups: Mapping[RankingKey, list[_Line]], name: str
) -> tuple[list[list[_Line]], list[Finding]]:
    """Return the rankings that hold all pictures of their page, and sentences about the others."""
    held = {key: frozenset(one.answer.model for one in group) for key, group in groups.items()}
    shown = models_shown(((who[1], page), models) for (who, page, _), models in held.items())
    whole, findings = [], []
    for key, group in groups.items():
        (_, culture, _), page, _ = key
        fault = other_models(held[key], shown[culture, page])
        if fault:
            where = f"{name}, line {group[0].line}"
            findings.append(Finding("left out", where, f"{fault} {_said(group[0])}"))
        else:
            whole.append(group)
    return whole, findings


def _placed(group: Sequence[_Line]) -> list[Answer]:
    """Return a ranking's answers, without places where these are not one each from 1."""
    answers = [one.answer for one in group]
    places = sorted(one.position or 0 for one in answers)
    if places == list(range(1, len(answers) + 1)):
        return answers
    return [dataclasses.replace(one, position=None) for one in answers]
