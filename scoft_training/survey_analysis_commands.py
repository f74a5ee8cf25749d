"""The command that reads a survey's answers: `scoft survey aggregate`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .events import Event
from .flags import add_flags, config_from_flags
from .survey_config import SurveyAnalysisConfig
from .terminal import require_one_process, show_events

if TYPE_CHECKING:
    from .survey_records import SurveyResult

__all__ = ["add_survey_analysis"]

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_survey_analysis(commands: _Commands) -> None:
    """Add `aggregate` to the subcommands of `scoft survey`."""
    aggregate = commands.add_parser(
        "aggregate",
        help="read the answers that came back: who is put first, by whom, and where groups of "
        "people disagree",
        epilog="The files of answers are never changed. See docs/survey.md.",
    )
    aggregate.add_argument(
        "answers",
        type=Path,
        nargs="+",
        metavar="ANSWERS",
        help="folders and files: the .json files that participants sent, or tables (.csv) of "
        "participant, page, item, model and rank",
    )
    aggregate.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="the survey-key.json that `scoft survey make` wrote; tables need none (default: the "
        "one in the answers' folder or around it)",
    )
    aggregate.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="of the report, the tables and the plots (default: results, beside the key or the "
        "answers)",
    )
    printed = aggregate.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="print results.json, not the summary")
    printed.add_argument("--json-events", action="store_true", help="print one JSON event a line")
    add_flags(aggregate.add_argument_group("analysis"), SurveyAnalysisConfig)
    aggregate.set_defaults(run=_aggregate)


def _aggregate(arguments: argparse.Namespace) -> int:
    from .survey_aggregation import AggregateRequest, aggregate, results_folder
    from .survey_report import REPORT
    from .survey_results import result_to_json
    from .survey_summary import summary

    require_one_process("survey aggregate")
    request = AggregateRequest(
        inputs=arguments.answers,
        key=arguments.key,
        out=arguments.out,
        config=config_from_flags(SurveyAnalysisConfig, arguments),
    )
    made: list[SurveyResult | None] = []

    def events(should_stop: Callable[[], bool]) -> Iterator[Event]:
        made.append((yield from aggregate(request, should_stop=should_stop)))

    status = show_events(events, arguments.json_events, loads_networks=False)
    for result in filter(None, made):
        if arguments.json:
            print(json.dumps(result_to_json(result), indent=2, ensure_ascii=False))
        elif not arguments.json_events:
            print(summary(result))
            print(f"\nReport: {results_folder(request) / REPORT}")
    return status
