"""Which files of the paths that somebody names hold answers, and what each is called."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .answer_names import few_names
from .answer_tables import one_line
from .errors import SurveyError
from .participant_files import FORMAT
from .survey_key import KEY_NAME
from .survey_records import Finding
from .survey_results import RESULTS_FILE

__all__ = ["AnswerFile", "answer_files", "in_reading_order", "refusal"]

_TABLES = (".csv", ".tsv")
_PAGES = (".html", ".htm")
_SAVED = "answers-"
"""What the names that the page gives begin with, whatever ending a mail program puts behind."""

_UNREAD = {
    **dict.fromkeys(
        (".zip", ".rar", ".7z", ".gz", ".tar"),
        "It is an archive. Unpack it, and bring what it holds.",
    ),
    **dict.fromkeys(
        (".xlsx", ".xls", ".ods", ".numbers"), "It is a workbook. Save its sheet as CSV (UTF-8)."
    ),
    **dict.fromkeys((".eml", ".msg"), "It is a mail. Save what is attached to it, and bring that."),
}
"""Endings of what people may take for answers, and what to do with it."""

_PAGE = (
    "It is the survey's page, which holds no answers. They are kept on the device where the page "
    "was filled: save them there on its last step, and bring the file of answers."
)
_PAGE_MARK = b'id="survey-data"'
_RESULTS = frozenset((RESULTS_FILE, "answers.csv", "comments.csv", "participants.csv"))
_RESULT_FOLDERS = frozenset(("tables", "plots"))
_GLANCE = 1 << 16
"""Bytes in which a file says what it is; a pasted text, below whatever greeting."""

_MOST_OTHERS = 10
"""Files of a folder that do not look like answers; more are told in one sentence, since somebody
named the folder of all downloads."""

_KINDS = ("refused", "left out", "flagged")


@dataclass(frozen=True)
class AnswerFile:
    """A file to read.

    Attributes:
        name: what sentences call it.
        path: where it lies.
        is_table: whether it is a table, or else one participant's file.
        is_likely: whether it says that it holds answers. What is wrong with another is told where
            it is read.
    """

    name: str
    path: Path
    is_table: bool
    is_likely: bool


@dataclass(frozen=True)
class _Found:
    """A file that may hold answers.

    Attributes:
        path: where it lies.
        short: its name below the folder that was named.
        is_named: whether it was named itself.
        is_own, is_page: whether its beginning says that it is a participant's, or the page.
        has_people: whether its beginning tells of participants, as a table's head does.
    """

    path: Path
    short: str
    is_named: bool
    is_own: bool
    is_page: bool
    has_people: bool

    @property
    def is_table(self) -> bool:
        return not self.is_own and self.path.suffix.lower() != ".json"

    @property
    def is_likely(self) -> bool:
        return self.is_own or (self.is_table and self.has_people)

    @property
    def not_to_read(self) -> str:
        """Why it is not to be read, as a sentence; empty otherwise."""
        ending = self.path.suffix.lower()
        return _PAGE if ending in _PAGES and self.is_page else _UNREAD.get(ending, "")

    @property
    def is_nothing(self) -> bool:
        """Whether it lies in a folder and is nothing that anybody would take for answers."""
        ending = self.path.suffix.lower()
        if self.is_named or self.is_own or ending in (".json", *_TABLES, *_UNREAD):
            return False
        # In a survey's own folder lie the pages that are handed out.
        handed_out = (self.path.parent.parent / KEY_NAME).exists()
        return ending not in _PAGES or not self.is_page or handed_out


def answer_files(paths: Sequence[Path]) -> tuple[list[AnswerFile], list[Finding]]:
    """Return the files to read, by name, and sentences about those that cannot be read as they are.

    In folders, participants' files (.json, .txt that one was pasted into, or whatever ending the
    name got that the page gave) and tables (.csv, .tsv) are looked for, all else is passed over:
    the key, hidden files, and results of an earlier analysis. Links to folders outside are not
    followed, and told. A file that is named itself is always read.

    Raises:
        SurveyError: a path does not exist, or cannot be reached.
    """
    findings: list[Finding] = []
    found: dict[str, _Found] = {}
    for one in _all_of(paths, findings):
        found.setdefault(os.path.realpath(one.path), one)
    named = sorted(_named([one for one in found.values() if not one.is_nothing]))
    others = [
        name for name, one in named if not one.is_named and (one.not_to_read or not one.is_likely)
    ]
    if len(others) > _MOST_OTHERS:
        sentence = (
            "These do not look like answers, so none of them is read. Put the answers into a "
            "folder of their own; unpack archives, and save workbooks as CSV (UTF-8)."
        )
        findings.append(Finding("refused", few_names(others), sentence))
        named = [(name, one) for name, one in named if name not in set(others)]
    findings += [
        Finding("refused", name, one.not_to_read) for name, one in named if one.not_to_read
    ]
    return [
        AnswerFile(name, one.path, one.is_table, one.is_likely)
        for name, one in named
        if not one.not_to_read
    ], findings


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


def _all_of(paths: Sequence[Path], findings: list[Finding]) -> Iterator[_Found]:
    """Yield all files that may hold answers."""
    roots = [os.path.realpath(path) for path in paths if os.path.isdir(path)]
    for given in map(Path, paths):
        try:
            mode = given.stat().st_mode
        except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
            known = not isinstance(error, FileNotFoundError)
            reason = f" ({getattr(error, 'strerror', error)})" if known else ""
            raise SurveyError(
                f"{given}: there is no such file or folder that can be opened{reason}. Name the "
                "folder that holds what the participants sent, or single files."
            ) from error
        if stat.S_ISDIR(mode):
            for path in sorted(_walked(given, roots, findings)):
                yield _found(path, path.relative_to(given).as_posix(), is_named=False)
        elif given.name != KEY_NAME:
            yield _found(given, given.name, is_named=True)


def _walked(folder: Path, roots: Sequence[str], findings: list[Finding]) -> Iterator[Path]:
    """Yield the files of a folder whose names are those of answers.

    Args:
        folder: gone through with all folders in it.
        roots: all folders that are gone through, without links.
        findings: what cannot be reached is put here.
    """

    def refuse(path: Path, sentence: str) -> None:
        short = path.relative_to(folder).as_posix() if path != folder else folder.name
        findings.append(Finding("refused", one_line(short) or str(folder), sentence))

    def unreadable(error: OSError) -> None:
        sentence = f"It cannot be opened ({error.strerror}), so nothing in it is read."
        refuse(Path(error.filename), sentence)

    for base, folders, names in os.walk(folder, onerror=unreadable):
        earlier = RESULTS_FILE in names
        folders[:] = [
            one
            for one in folders
            if not one.startswith(".") and not (earlier and one in _RESULT_FOLDERS)
        ]
        for path in (Path(base, one) for one in folders):
            if path.is_symlink() and not _lies_in(os.path.realpath(path), roots):
                sentence = "It is a link to a folder elsewhere. Name that folder, too."
                refuse(path, sentence)
        for name in names:
            if not _is_answers_name(name) or (earlier and name in _RESULTS):
                continue
            path = Path(base, name)
            try:
                if stat.S_ISREG(path.stat().st_mode):
                    yield path
            except FileNotFoundError:
                refuse(path, "It is a link to a file that is not there. Bring the file itself.")
            except OSError:
                yield path  # whoever reads it says why it cannot be opened


def _lies_in(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def _is_answers_name(name: str) -> bool:
    if name.startswith((".", "~$")) or name == KEY_NAME:
        return False
    known = (".json", ".txt", *_TABLES, *_PAGES, *_UNREAD)
    return name.startswith(_SAVED) or Path(name).suffix.lower() in known


def _found(path: Path, short: str, *, is_named: bool) -> _Found:
    """Return a file with what its beginning says."""
    begin = _begin(path)
    return _Found(
        path,
        short,
        is_named,
        is_own=FORMAT.encode() in begin,
        is_page=_PAGE_MARK in begin,
        has_people=b"participant" in begin.lower(),
    )


def _begin(path: Path) -> bytes:
    """Return a file's first bytes; nothing of one that cannot be opened."""
    try:
        with path.open("rb") as file:
            begin = file.read(_GLANCE)
    except OSError:
        return b""  # whoever reads it says why it cannot be opened
    # UTF-16, in which some editors save, has a zero beside each letter.
    return begin.replace(b"\0", b"")


def _named(found: Sequence[_Found]) -> Iterator[tuple[str, _Found]]:
    """Yield each file with the shortest name that tells it from the others as it is shown."""
    forms = [tuple(map(one_line, (one.path.name, one.short, str(one.path)))) for one in found]
    often = [Counter(at) for at in zip(*forms, strict=True)]
    taken: set[str] = set()
    for one, names in zip(found, forms, strict=True):
        alone = (name for name, count in zip(names, often, strict=True) if count[name] == 1)
        name = next(alone, names[-1])
        # Names that differ only by how an accent is written, or by bytes that are no text.
        while name in taken:
            name += "'"
        taken.add(name)
        yield name, one
