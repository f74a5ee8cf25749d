"""The lines of a table of answers: checked one by one, by ranking, and by page.

Whose names are whose is not decided here.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .answer_names import respelt
from .answer_ranks import ranking_fault
from .answer_records import Answer, RankingKey, in_order, who_of
from .answer_tables import Row, Table, read_table, seconds_of, whole_number
from .errors import unknown_name
from .survey_key import ITEMS
from .survey_records import Finding, item_title

__all__ = ["parse_answers"]

_NEEDED = ("participant", "page", "item", "model", "rank")
_OTHERS = ("culture", "country", "prompt", "position", "seconds")


@dataclass(frozen=True)
class _Line:
    """One line of a table: rank 0 where the cell is empty; `fault` is empty where it can count."""

    line: int
    answer: Answer
    fault: str


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
    pairs = zip(lines, answers, strict=True)
    lines = _filled([dataclasses.replace(line, answer=answer) for line, answer in pairs])
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
            f"The rank {cells['rank']!r} is no whole number from 1. Pictures that are as good as "
            "each other share the better rank, as in 1-1-3-4."
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
    return (item, "") if item else (text, unknown_name("item", text, ITEMS))


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


def _filled(lines: Sequence[_Line]) -> list[_Line]:
    """Fill culture and country where a participant's other lines all say the same one."""
    cultures: dict[str, set[str]] = {}
    for one in lines:
        cultures.setdefault(one.answer.participant, set()).add(one.answer.culture)
    filled = [_with(one, culture=_only(cultures[one.answer.participant])) for one in lines]
    countries: dict[tuple[str, str], set[str]] = {}
    for one in filled:
        countries.setdefault((one.answer.participant, one.answer.culture), set()).add(
            one.answer.country
        )
    return [
        _with(one, country=_only(countries[one.answer.participant, one.answer.culture]))
        for one in filled
    ]


def _only(values: set[str]) -> str:
    named = values - {""}
    return named.pop() if len(named) == 1 else ""


def _with(line: _Line, culture: str = "", country: str = "") -> _Line:
    """Return the line with those of the two that it lacks."""
    answer = line.answer
    culture, country = answer.culture or culture, answer.country or country
    if (culture, country) == (answer.culture, answer.country):
        return line
    answer = dataclasses.replace(answer, culture=culture, country=country)
    return dataclasses.replace(line, answer=answer)


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
                f"{one.answer.model!r} stands here a second time, with another rank than in line "
                f"{before.line}. Remove one of the two.",
                one.line,
            )
        else:
            sentence = f"It repeats line {before.line}, and counts once. Nothing has to be done."
            findings.append(Finding("left out", f"{name}, line {one.line}", sentence))
    if not fault and (empty := [one for one in by_model.values() if not one.answer.rank]):
        fault = f"The rank of {empty[0].answer.model!r} is missing. Write it."
        line = empty[0].line
    if not fault:
        line = group[0].line
        fault = ranking_fault({model: one.answer.rank for model, one in by_model.items()}) or ""
    if fault:
        return [], [Finding("left out", f"{name}, line {line}", f"{fault} {_said(group[0])}")]
    return list(by_model.values()), findings


def _said(line: _Line) -> str:
    one = line.answer
    return f"The ranking of {one.participant}, page {one.page}, {one.item}, does not count so."


def _whole_pages(
    groups: Mapping[RankingKey, list[_Line]], name: str
) -> tuple[list[list[_Line]], list[Finding]]:
    """Return the rankings that hold all pictures of their page, and sentences about the others.

    A table does not say what a page shows. So that one misspelt model does not spoil the page for
    everybody, it is what most rankings of it hold; of equally many, the models that the table names
    most often.
    """
    sets: dict[tuple[str, str], Counter[tuple[str, ...]]] = {}
    often: Counter[str] = Counter()
    for ((_, culture, _), page, _), group in groups.items():
        held = tuple(sorted(one.answer.model for one in group))
        sets.setdefault((culture, page), Counter())[held] += 1
        often.update(held)

    shown = {page: _likeliest(of, often) for page, of in sets.items()}
    whole, findings = [], []
    for ((_, culture, _), page, _), group in groups.items():
        models = {one.answer.model for one in group}
        if models == shown[culture, page]:
            whole.append(group)
            continue
        where = f"{name}, line {group[0].line}"
        fault = f"{_unlike(models, shown[culture, page])} {_said(group[0])}"
        findings.append(Finding("left out", where, fault))
    return whole, findings


def _likeliest(sets: Counter[tuple[str, ...]], often: Mapping[str, int]) -> set[str]:
    """Return the set of models that a page shows, of those that its rankings hold."""

    def likelihood(models: tuple[str, ...]) -> tuple[int, int, tuple[str, ...]]:
        return sets[models], sum(often[one] for one in models), models

    best: tuple[str, ...] = max(sets, key=likelihood)
    return set(best)


def _unlike(models: set[str], shown: set[str]) -> str:
    if strange := sorted(models - shown):
        return unknown_name("model of this page", strange[0], sorted(shown))
    lacking = sorted(shown - models)[0]
    return f"{lacking!r}, which others ranked on this page, is missing. Add it with its rank."


def _placed(group: Sequence[_Line]) -> list[Answer]:
    """Return a ranking's answers, without places where these are not one each from 1."""
    answers = [one.answer for one in group]
    places = sorted(one.position or 0 for one in answers)
    if places == list(range(1, len(answers) + 1)):
        return answers
    return [dataclasses.replace(one, position=None) for one in answers]
