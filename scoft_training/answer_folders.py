"""Which files of the paths that somebody names hold answers, and what each is called."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .answer_tables import one_line
from .errors import SurveyError
from .participant_files import FORMAT
from .survey_key import KEY_NAME
from .survey_records import Finding
from .survey_results import RESULTS_FILE

__all__ = ["AnswerFile", "answer_files", "in_reading_order", "refusal"]

_TABLES = (".csv", ".tsv")
_ARCHIVES = (".zip", ".rar", ".7z", ".gz", ".tar")
_WORKBOOKS = (".xlsx", ".xls", ".ods", ".numbers")
_UNREAD = {
    **dict.fromkeys(_ARCHIVES, "It is an archive. Unpack it, and bring what it holds."),
    **dict.fromkeys(_WORKBOOKS, "It is a workbook. Save its sheet as CSV (UTF-8)."),
}
"""Endings of what people may take for answers, and what to do with it."""

_RESULTS = frozenset((RESULTS_FILE, "answers.csv", "comments.csv", "participants.csv"))
_RESULT_FOLDERS = frozenset(("tables", "plots"))
_GLANCE = 1 << 16
"""Bytes in which a pasted text says what it is, below whatever greeting."""

_KINDS = ("refused", "left out", "flagged")


@dataclass(frozen=True)
class AnswerFile:
    """A file to read: what sentences call it, where it lies, and whether it is a table."""

    name: str
    path: Path
    is_table: bool


def answer_files(paths: Sequence[Path]) -> tuple[list[AnswerFile], list[Finding]]:
    """Return the files to read, by name, and sentences about those that cannot be read as they are.

    In folders, participants' files (.json, or .txt that one was pasted into) and tables (.csv,
    .tsv) are looked for, all else is passed over: the key, hidden files, and results of an earlier
    analysis. A file that is named itself is always read.

    Raises:
        SurveyError: a path does not exist.
    """
    found: dict[str, tuple[Path, str]] = {}
    findings: list[Finding] = []
    for given in map(Path, paths):
        if given.is_dir():
            inside = sorted(_walked(given, findings))
            below = [(path, path.relative_to(given).as_posix()) for path in inside]
        elif given.is_file():
            below = [] if given.name == KEY_NAME else [(given, given.name)]
        else:
            raise SurveyError(
                f"{given}: there is no such file or folder. Name the folder that holds what the "
                "participants sent, or single files."
            )
        for path, short in below:
            found.setdefault(os.path.realpath(path), (path, short))
    files = []
    for name, path in sorted(_named(list(found.values()))):
        told = _UNREAD.get(path.suffix.lower())
        if told is None:
            files.append(AnswerFile(name, path, not _holds_answers(path)))
        else:
            findings.append(Finding("refused", name, told))
    return files, findings


def refusal(error: SurveyError, name: str) -> Finding:
    """Return the finding of an error about the file of this name, which begins its sentence."""
    said = str(error).removeprefix(name)
    line = re.match(r", line \d+", said)
    at = line[0] if line else ""
    sentence = said.removeprefix(at).removeprefix(":").strip()
    return Finding("refused", name + at, sentence[:1].upper() + sentence[1:])


def in_reading_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings by kind, refused first, then by file, line and page."""

    def place(one: Finding) -> tuple[int, str, list[int], str]:
        file, *numbers = re.split(r", (?:line|page) (\d+)", one.where)
        counted = [int(number) for number in numbers if number]
        return _KINDS.index(one.kind), file, counted, one.sentence

    return tuple(sorted(findings, key=place))


def _walked(folder: Path, findings: list[Finding]) -> Iterator[Path]:
    """Yield the files of a folder that may hold answers."""

    def unreadable(error: OSError) -> None:
        where = one_line(str(error.filename))
        sentence = f"It cannot be opened ({error.strerror}), so nothing in it is read."
        findings.append(Finding("refused", where, sentence))

    for base, folders, names in os.walk(folder, onerror=unreadable):
        earlier = RESULTS_FILE in names
        folders[:] = [
            one
            for one in folders
            if not one.startswith(".") and not (earlier and one in _RESULT_FOLDERS)
        ]
        for name in names:
            if name.startswith((".", "~$")) or name == KEY_NAME or (earlier and name in _RESULTS):
                continue
            path = Path(base, name)
            if path.is_file() and _may_hold_answers(path):
                yield path


def _may_hold_answers(path: Path) -> bool:
    ending = path.suffix.lower()
    if ending == ".txt":
        return _holds_answers(path)
    return ending == ".json" or ending in _TABLES or ending in _UNREAD


def _holds_answers(path: Path) -> bool:
    """Whether to read a file as a participant's: by its ending, or by what it says it is."""
    if path.suffix.lower() == ".json":
        return True
    try:
        with path.open("rb") as file:
            begin = file.read(_GLANCE)
    except OSError:
        return False  # whoever reads it as a table says why it cannot be opened
    # UTF-16, in which some editors save, has a zero beside each letter.
    return FORMAT.encode() in begin.replace(b"\0", b"")


def _named(found: Sequence[tuple[Path, str]]) -> Iterator[tuple[str, Path]]:
    """Yield each file with the shortest name that tells it from the others."""
    names = [(path.name, short, str(path)) for path, short in found]
    often = [Counter(at) for at in zip(*names, strict=True)]
    for (path, _), forms in zip(found, names, strict=True):
        alone = (form for form, count in zip(forms, often, strict=True) if count[form] == 1)
        yield one_line(next(alone, str(path))), path
