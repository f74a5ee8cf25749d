"""The command `scoft dataset report`: what a set covers, repeats and lacks, as a page."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .config import ReportConfig
from .events import Event
from .flags import add_flags, config_from_flags
from .terminal import STOPPED, show_events, stop_on_interrupt

if TYPE_CHECKING:
    from .dataset_report import DatasetReport

__all__ = ["add_report"]

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_report(commands: _Commands) -> None:
    """Add the subcommand."""
    report = commands.add_parser(
        "report", help="write a page on coverage, near-duplicates, leaks, blur and captions"
    )
    report.add_argument("dataset", type=Path, help="root folder of the picture set")
    report.add_argument(
        "--out", type=Path, help="the page's file (default: report.html in the work folder)"
    )
    report.add_argument("--work", type=Path, help="work folder (default: ./scoft-work/...)")
    report.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    report.add_argument("--json", action="store_true", help="print the report as JSON, too")
    add_flags(report, ReportConfig)
    report.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> int:
    from .dataset_report import ReportRequest, make_report
    from .models import resolve_device

    request = ReportRequest(
        dataset=arguments.dataset,
        config=config_from_flags(ReportConfig, arguments),
        work=arguments.work,
        out=arguments.out,
        device=resolve_device(arguments.device),
    )
    made: list[DatasetReport | None] = []

    def events(should_stop: Callable[[], bool]) -> Iterator[Event]:
        made.append((yield from make_report(request, should_stop=should_stop)))

    if arguments.json:
        # Standard output is the JSON's alone, so what is to be known goes to the other one.
        with stop_on_interrupt() as should_stop:
            for event in events(should_stop):
                if message := getattr(event, "message", ""):
                    sys.stderr.write(f"{message}\n")
        status = 0 if made[-1] else STOPPED
    else:
        status = show_events(events)
    for report in filter(None, made):
        print(
            json.dumps(report.as_json(), indent=2, ensure_ascii=False)
            if arguments.json
            else report.summary()
        )
    return status
