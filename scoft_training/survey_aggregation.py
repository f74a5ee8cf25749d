"""A survey's answers read, analysed and told: the work behind `scoft survey aggregate`.

RESULTS/answers.csv         the answers that count, one line a rank
RESULTS/participants.csv    what people said of themselves
RESULTS/comments.csv        what they wrote
RESULTS/results.json        what the analysis found
RESULTS/tables/*.csv        the same as tables
RESULTS/report.html, report.txt, plots/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .events import Event
from .survey_config import SurveyAnalysisConfig

__all__ = ["AggregateRequest", "aggregate", "results_folder"]


@dataclass(frozen=True)
class AggregateRequest:
    """Answers to aggregate.

    Attributes:
        inputs: files and folders: participants' .json files, and .csv files.
        key: the survey's key, or the folder that `scoft survey make` wrote; participants' files
            cannot be read without it. None where all answers are .csv files.
        out: folder of results; None is `results` beside the key, or beside the first input.
        config: the options.
    """

    inputs: Sequence[Path]
    key: Path | None = None
    out: Path | None = None
    config: SurveyAnalysisConfig = field(default_factory=SurveyAnalysisConfig)


def results_folder(request: AggregateRequest) -> Path:
    """Return where the results go."""
    if request.out is not None:
        return request.out
    beside = request.key or request.inputs[0]
    return (beside if beside.is_dir() else beside.parent) / "results"


def aggregate(
    request: AggregateRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Read answers, analyse them, write the results; the last event names the report.

    Participants' files are never changed. What an earlier run wrote is replaced.

    Args:
        request: what to aggregate.
        should_stop: asked between the parts of the work.

    Raises:
        SurveyError: no answers can be read, or the key is needed or does not fit.
        ConfigError: an option is out of range.
        OutputError: the folder cannot be written.
    """
    raise NotImplementedError
