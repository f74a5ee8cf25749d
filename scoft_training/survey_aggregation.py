"""A survey's answers read, analysed and told: the work behind `scoft survey aggregate`.

RESULTS/answers.csv         the answers that count, one line a rank
RESULTS/participants.csv    what people said of themselves
RESULTS/comments.csv        what they wrote
RESULTS/results.json        what the analysis found
RESULTS/tables/*.csv        the same as tables
RESULTS/report.html, report.txt, plots/
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .answer_checks import without
from .errors import OutputError, SurveyError
from .events import (
    Event,
    FinishedEvent,
    PhaseEvent,
    StoppedEvent,
    StopRequested,
    WarningEvent,
    stop_check,
)
from .survey_analysis import analyse
from .survey_answers import write_answers
from .survey_config import SurveyAnalysisConfig
from .survey_key import KEY_NAME, read_key
from .survey_records import Finding, SurveyResult
from .survey_report import PLOTS_FOLDER, REPORT, REPORT_TEXT, write_survey_report
from .survey_results import RESULTS_FILE, read_result, write_result
from .survey_returns import Returns, read_returns, write_comments, write_participants
from .survey_tables import TABLES_FOLDER, write_tables

__all__ = ["AggregateRequest", "aggregate", "key_of", "results_folder"]

_ANSWERS, _COMMENTS, _PARTICIPANTS = "answers.csv", "comments.csv", "participants.csv"
_WRITTEN = (_ANSWERS, _COMMENTS, _PARTICIPANTS, REPORT, REPORT_TEXT, TABLES_FOLDER, PLOTS_FOLDER)
_READ, _WRITE = "read answers", "write the report"
_STOPPED = "Stopped; nothing was written. Started again, it begins anew."


@dataclass(frozen=True)
class AggregateRequest:
    """Answers to aggregate.

    Attributes:
        inputs: files and folders: participants' .json files, and .csv files.
        key: the survey's key, or the folder that `scoft survey make` wrote; participants' files
            cannot be read without it. None takes the one that an input folder, or the folder around
            it, holds.
        out: folder of results; None is `results` beside the key, or beside the first input.
        config: the options.
    """

    inputs: Sequence[Path]
    key: Path | None = None
    out: Path | None = None
    config: SurveyAnalysisConfig = field(default_factory=SurveyAnalysisConfig)


def key_of(request: AggregateRequest) -> Path | None:
    """Return the file of the key that the answers are read with, or None without one.

    A path that may not be looked at is told where it is read: os.path's functions do not raise.
    """
    if request.key is not None:
        return request.key / KEY_NAME if os.path.isdir(request.key) else request.key
    folders = [path.resolve() for path in request.inputs if os.path.isdir(path)]
    near = (place / KEY_NAME for folder in folders for place in (folder, folder.parent))
    return next((path for path in near if os.path.isfile(path)), None)


def results_folder(request: AggregateRequest) -> Path:
    """Return where the results go."""
    if request.out is not None:
        return request.out
    key = key_of(request)
    if key is not None:
        return key.parent / "results"
    first = request.inputs[0]
    return (first if os.path.isdir(first) else first.parent) / "results"


def aggregate(
    request: AggregateRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Generator[Event, None, SurveyResult | None]:
    """Read answers, analyse them, write the results; returns None when stopped.

    The answers' files are never changed. What an earlier run wrote is replaced. The last event is a
    FinishedEvent with the report's path, or a StoppedEvent.

    Args:
        request: what to aggregate.
        should_stop: asked between the parts of the work.

    Raises:
        SurveyError: no answers can be read, or the key is needed or does not fit.
        ConfigError: an option is out of range, or who is to be left out is not there.
        OutputError: the folder cannot be written, or holds files that this did not make.
    """
    if not request.inputs:
        raise SurveyError("There are no answers to read. Name their files or folders.")
    out = results_folder(request)
    _refuse_others_files(out, request.inputs)
    check_stop = stop_check(should_stop)
    try:
        check_stop()
        yield PhaseEvent(_READ, 0, 1)
        returns = _counted(request)
        yield PhaseEvent(_READ, 1, 1)
        for finding in returns.findings:
            if finding.kind == "refused":
                yield WarningEvent(f"{finding.where}: {finding.sentence}")
        result = yield from analyse(
            returns.answers,
            returns.findings,
            request.config,
            flags=returns.flags,
            check_stop=check_stop,
        )
    except StopRequested:
        yield StoppedEvent(0, _STOPPED)
        return None
    yield PhaseEvent(_WRITE, 0, 1)
    report = _write(out, returns, result)
    yield PhaseEvent(_WRITE, 1, 1)
    yield FinishedEvent(0, str(report))
    return result


def _counted(request: AggregateRequest) -> Returns:
    """Read what came back, less those that the organiser leaves out."""
    key = key_of(request)
    returns = read_returns(request.inputs, read_key(key) if key is not None else None)
    if not request.config.leave_out:
        return returns
    answers, left = without(returns.answers, request.config.leave_out)
    if not answers:
        raise SurveyError("Everybody is left out. Name fewer people in `leave_out`.")
    out = {one.where for one in left}
    return replace(
        returns,
        answers=tuple(answers),
        comments=tuple(one for one in returns.comments if one.participant not in out),
        participants=tuple(one for one in returns.participants if one.participant not in out),
        # Why to look at answers that count is not said of those that do not.
        findings=(*left, *(one for one in returns.findings if _flagged(one) not in out)),
    )


def _flagged(finding: Finding) -> str:
    """Return the participant whom a finding flags; empty if it is about something else."""
    _, _, name = finding.where.partition(", participant ")
    return name if finding.kind == "flagged" else ""


def _refuse_others_files(out: Path, inputs: Sequence[Path]) -> None:
    """Refuse to replace what somebody brought: only what this wrote may be replaced.

    Raises:
        OutputError: a file or folder that this did not write stands where a result would.
    """
    ours = _holds_results(out)
    for name in (RESULTS_FILE, *_WRITTEN):
        path = out / name
        there = os.path.exists(path)
        read = there and any(os.path.exists(one) and path.samefile(one) for one in inputs)
        if read or (there and not ours):
            raise OutputError(
                f"{path}: is not replaced, for it holds answers that are read, or was written by "
                "somebody else. Choose another folder for the results."
            )


def _holds_results(folder: Path) -> bool:
    """Whether a folder's results.json is of an aggregation, of whichever version."""
    try:
        values = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and {"format", "slices", "findings"} <= values.keys()


def _write(out: Path, returns: Returns, result: SurveyResult) -> Path:
    """Write everything, results.json first: it tells that the other files are results."""
    earlier = _earlier(out)
    write_result(out / RESULTS_FILE, result)
    write_answers(out / _ANSWERS, returns.answers)
    write_participants(out / _PARTICIPANTS, returns.participants)
    write_comments(out / _COMMENTS, returns.comments)
    write_tables(result, out)
    return write_survey_report(result, out, earlier)


def _earlier(folder: Path) -> SurveyResult | None:
    """Return what an earlier aggregation found; None without one, or of another version."""
    try:
        return read_result(folder / RESULTS_FILE)
    except SurveyError:
        return None
