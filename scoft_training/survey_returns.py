"""What came back from a survey, participants' files and tables, put together.

    comments.csv       participant,culture,page,prompt,text
    participants.csv   participant,culture,declared_culture,country,years,language,started,
                       finished,file

Folders are gone through with all folders in them; of an earlier analysis, told by its results.json,
nothing is read, unless a table of it is named itself. Nothing is ever written into what is read.
The order of the files changes nothing. Of two files of one participant the one with more rankings
counts, of equally many the later one. A ranking that a table holds too counts once; where tables
contradict each other it does not count, and a participant's own file goes before a table.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from .answer_checks import flags_of
from .answer_folders import answer_files, in_reading_order, refusal
from .answer_names import filled, names_apart, pages_apart, respelt
from .answer_records import (
    Answer,
    Ranking,
    RankingKey,
    Who,
    in_order,
    models_shown,
    other_models,
    rankings_of,
    who_of,
)
from .answer_tables import one_line, read_bounded, shown, write_table
from .errors import SurveyError
from .participant_files import Comment, Participant, Sheet, read_participant
from .survey_answers import parse_answers
from .survey_key import KEY_NAME, SurveyKey
from .survey_records import Finding

__all__ = [
    "Comment",
    "Participant",
    "Returns",
    "read_returns",
    "write_comments",
    "write_participants",
]

_LARGEST = 16 * 2**20
"""Bytes of a participant's file at most; one of a thousand pages is some 1 MB."""

_UNLIKE = (
    "this does not look like the answers of a participant. Take it out of the folder, or bring the "
    "right file."
)
_COUNTS = "The answers count, unless you leave the participant out by name (`leave_out`)."


Tables: TypeAlias = Mapping[str, Mapping[RankingKey, Ranking]]
"""Each table's rankings, by its name."""


@dataclass(frozen=True)
class Returns:
    """All that came back.

    Attributes:
        answers: those that count, in an order that does not depend on the files'.
        comments: in the order of participants and pages.
        participants: everybody whose answers count, by culture and name.
        findings: refused, left out, flagged; each by file, line and page.
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
        paths: files and folders; results of an earlier analysis in folders are passed over.
        key: of the survey; participants' files need it, tables do not.

    Raises:
        SurveyError: a path does not exist, participants' files came without the key, or there is
            no answer that counts.
    """
    files, findings = answer_files(paths)
    own = [file for file in files if file.is_likely and not file.is_table]
    if own and key is None:
        more = f" and {len(own) - 1} more" if len(own) > 1 else ""
        raise SurveyError(
            f"{own[0].name}{more}: participants' files name pictures by ids alone. Name the "
            f"survey's {KEY_NAME}, too, which `scoft survey make` wrote beside hand-out/."
        )
    sheets: list[Sheet] = []
    tables: dict[str, Mapping[RankingKey, Ranking]] = {}
    for file in files:
        try:
            if file.is_table:
                answers, told = parse_answers(file.path, file.name)
                tables[file.name] = rankings_of(answers)
                findings += told
            elif key is None:
                raise SurveyError(f"{file.name}: {_UNLIKE}")
            else:
                data = read_bounded(file.path, file.name, _LARGEST)
                sheets.append(read_participant(data, file.name, key))
        except SurveyError as error:
            findings.append(refusal(error, file.name))
    return _together(sheets, tables, findings, key)


def write_comments(path: Path, comments: Iterable[Comment]) -> None:
    """Write comments as a table in which no cell can be a formula.

    Raises:
        OutputError: it cannot be written.
    """
    _write(path, Comment, comments)


def write_participants(path: Path, participants: Iterable[Participant]) -> None:
    """Write what people declared as a table in which no cell can be a formula.

    Raises:
        OutputError: it cannot be written.
    """
    _write(path, Participant, participants)


def _write(path: Path, kind: type[Comment | Participant], rows: Iterable[Any]) -> None:
    write_table(
        path, [one.name for one in dataclasses.fields(kind)], map(dataclasses.astuple, rows)
    )


def _together(
    sheets: Sequence[Sheet],
    tables: Tables,
    findings: list[Finding],
    key: SurveyKey | None,
) -> Returns:
    """Return what counts of everybody's files and of all tables."""
    sheets, told = _one_each(sheets)
    findings += told
    sheets, tables, told = _alike(sheets, tables)
    findings += told
    tables, told = _of_whole_pages(tables, key)
    findings += told
    own = rankings_of(answer for sheet in sheets for answer in sheet.answers)
    rankings, told = _with_tables(own, tables)
    findings += told
    if not rankings:
        raise SurveyError(_nothing(findings))
    people = _people(sheets, tables)
    counting = {who for who, _, _ in rankings}
    names, told = names_apart(counting)
    findings += told
    answers, told = pages_apart(
        [
            dataclasses.replace(one, participant=names[who_of(one)])
            for ranking in rankings.values()
            for one in ranking
        ]
    )
    findings += told
    flags = flags_of(answers, allow_ties=key is None or key.allow_ties)
    files = {names[who]: people[who].file for who in counting}
    findings += [
        Finding("flagged", f"{files[name]}, participant {name}", f"{flag} {_COUNTS}")
        for name, of in flags.items()
        for flag in of
    ]
    named = {(who[0], who[1]): name for who, name in names.items()}
    return Returns(
        answers=tuple(in_order(answers)),
        comments=tuple(
            # Whoever only wrote has no answers whose name could have changed.
            dataclasses.replace(
                one, participant=named.get((one.participant, one.culture), one.participant)
            )
            for sheet in sheets
            for one in sheet.comments
        ),
        participants=tuple(
            sorted(
                (
                    dataclasses.replace(people[who], participant=name, culture=who[1])
                    for who, name in names.items()
                ),
                key=lambda one: (one.culture, one.participant),
            )
        ),
        findings=in_reading_order(findings),
        flags=flags,
    )


def _alike(sheets: Sequence[Sheet], tables: Tables) -> tuple[list[Sheet], Tables, list[Finding]]:
    """Return all answers with cultures and countries written alike, and what was changed.

    A country that only some of a participant's answers tell is that of all.
    """
    read = [one for sheet in sheets for one in sheet.answers]
    read += [one for of in tables.values() for ranking in of.values() for one in ranking]
    answers, findings = respelt(read, known=[sheet.person.culture for sheet in sheets])
    rest = iter(filled(answers, "country"))
    return (
        [
            dataclasses.replace(sheet, answers=tuple(islice(rest, len(sheet.answers))))
            for sheet in sheets
        ],
        {
            name: rankings_of(islice(rest, sum(len(ranking) for ranking in of.values())))
            for name, of in tables.items()
        },
        findings,
    )


def _of_whole_pages(tables: Tables, key: SurveyKey | None) -> tuple[Tables, list[Finding]]:
    """Return the rankings that hold all pictures of their page, and sentences about the others.

    Each table was held against itself; what a page shows, the key knows, or all tables together.
    """
    on_pages = models_shown(
        ((who[1], page), {one.model for one in ranking})
        for of in tables.values()
        for (who, page, _), ranking in of.items()
    )
    known = {one.page: one.pictures.values() for one in key.pages} if key else {}
    whole: dict[str, dict[RankingKey, Ranking]] = {name: {} for name in tables}
    faults: dict[tuple[str, str], list[RankingKey]] = {}
    for name, of in tables.items():
        for at, ranking in of.items():
            (_, culture, _), page, _ = at
            models = frozenset(map(one_line, known.get(page, on_pages[culture, page])))
            fault = other_models(frozenset(one.model for one in ranking), models)
            if fault:
                faults.setdefault((name, fault), []).append(at)
            else:
                whole[name][at] = ranking
    return whole, [
        Finding(
            "left out",
            name,
            f"{fault} {len(keys)} of its rankings ({_first(keys)}) do not count so.",
        )
        for (name, fault), keys in faults.items()
    ]


def _people(sheets: Sequence[Sheet], tables: Tables) -> dict[Who, Participant]:
    """Return whom the first table names that does, and who sent a file, whose own words count."""
    found: dict[Who, Participant] = {}
    for name, rankings in sorted(tables.items()):
        for who, _, _ in rankings:
            participant, culture, country = who
            person = Participant(participant, culture, "", country, None, "", "", "", name)
            found.setdefault(who, person)
    return found | {who_of(sheet.answers[0]): sheet.person for sheet in sheets if sheet.answers}


def _one_each(sheets: Sequence[Sheet]) -> tuple[list[Sheet], list[Finding]]:
    """Return one file of each participant and culture, with sentences about it and the others."""
    groups: dict[tuple[str, str], list[Sheet]] = {}
    # Of doubled files the one of the shortest name counts: the others are `name (1).json`.
    for sheet in sorted(sheets, key=lambda one: (len(one.person.file), one.person.file)):
        groups.setdefault((sheet.person.culture, sheet.person.participant), []).append(sheet)
    kept: list[Sheet] = []
    findings: list[Finding] = []
    for _, group in sorted(groups.items()):
        best = max(group, key=_completeness)
        kept.append(best)
        findings += best.findings
        findings += [
            Finding("refused", one.person.file, _why_not(one, best))
            for one in group
            if one is not best
        ]
    return kept, findings


def _completeness(sheet: Sheet) -> tuple[int, bool, float]:
    finished = _seconds_since(sheet.person.finished)
    return len(sheet.answers), finished > 0, finished or _seconds_since(sheet.person.started)


def _why_not(sheet: Sheet, best: Sheet) -> str:
    if sheet.digest == best.digest:
        return f"It holds the same as {best.person.file}, and counts once. Nothing has to be done."
    more = len(best.answers) > len(sheet.answers)
    later = _completeness(best) > _completeness(sheet)
    why = (
        "holds more rankings"
        if more
        else "is later"
        if later
        else "has the shorter or earlier name"
    )
    return (
        f"It is of the same participant as {best.person.file}, which {why} and so counts instead. "
        "If this one is right, take the other out of the folder."
    )


def _seconds_since(moment: str) -> float:
    """Return a time of a participant's file as seconds; 0 where there is none."""
    if not moment:
        return 0.0
    read = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    try:
        return (read if read.tzinfo else read.replace(tzinfo=datetime.timezone.utc)).timestamp()
    except (OverflowError, ValueError):  # a year at the end of the calendar
        return 0.0


def _with_tables(
    own: Mapping[RankingKey, Ranking], tables: Tables
) -> tuple[dict[RankingKey, Ranking], list[Finding]]:
    """Return each ranking once: of the participant's own file, else of the tables that agree."""
    found = dict(own)
    source = dict.fromkeys(own, "participants' own files")
    contradicted: set[RankingKey] = set()
    repeated: dict[tuple[str, str], list[RankingKey]] = {}
    other: dict[tuple[str, str], list[RankingKey]] = {}
    for name, rankings in sorted(tables.items()):
        for key, ranking in rankings.items():
            if key not in found:
                found[key], source[key] = ranking, name
            elif _ranks(found[key]) == _ranks(ranking):
                repeated.setdefault((name, source[key]), []).append(key)
                if key not in own:
                    found[key] = max(found[key], ranking, key=_knowledge)
            else:
                other.setdefault((name, source[key]), []).append(key)
                contradicted.update(() if key in own else (key,))
    findings = [
        Finding(
            "left out",
            name,
            f"{len(keys)} of its rankings stand in {before}, too; each counts once.",
        )
        for (name, before), keys in repeated.items()
    ]
    findings += [_contradiction(name, before, keys, own) for (name, before), keys in other.items()]
    return {key: one for key, one in found.items() if key not in contradicted}, findings


def _ranks(ranking: Ranking) -> dict[str, int]:
    return {one.model: one.rank for one in ranking}


def _knowledge(ranking: Ranking) -> tuple[bool, bool]:
    """Tell a ranking whose places and time are known from one without."""
    return ranking[0].position is not None, ranking[0].seconds is not None


def _contradiction(
    name: str, before: str, keys: Sequence[RankingKey], own: Mapping[RankingKey, Ranking]
) -> Finding:
    first = _first(keys)
    if keys[0] in own:
        sentence = (
            f"{len(keys)} of its rankings ({first}) are not those of the participant's own file, "
            "which count. Correct the table, or take it out of the folder."
        )
    else:
        sentence = (
            f"{len(keys)} of its rankings ({first}) are others than in {before}, so neither count. "
            "Take the wrong ones out. If one name stands for several people, give each a name of "
            "their own, or each table a column `culture`."
        )
    return Finding("left out", name, sentence)


def _first(keys: Sequence[RankingKey]) -> str:
    (participant, _, _), page, item = keys[0]
    return f"say {shown(participant)}, page {shown(page)}, {item}"


def _nothing(findings: Sequence[Finding]) -> str:
    """Return why there is nothing to analyse."""
    if not findings:
        return (
            "There are no answers in what was named. Name the folder with the files that "
            "participants sent (.json), or a table (.csv); of an earlier analysis, its answers.csv."
        )
    first, *others = in_reading_order(findings)
    more = f" (And {len(others)} more.)" if others else ""
    return f"No answer counts. {first.where}: {first.sentence}{more}"
