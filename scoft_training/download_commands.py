"""The commands that gather pictures from links: `scoft dataset download` and `replace`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TypeAlias

from .config import DownloadConfig
from .events import StoppedEvent
from .flags import add_flags, config_from_flags
from .progress import TextPrinter
from .terminal import STOPPED, stop_on_interrupt

__all__ = ["add_download", "add_replace"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_download(commands: Commands) -> None:
    """Add `scoft dataset download`."""
    download = commands.add_parser(
        "download", help="fetch a table of links and captions; the same command again goes on"
    )
    download.add_argument("table", type=Path, help="CSV or TSV with a header row; only read")
    download.add_argument("folder", type=Path, metavar="DIR", help="the dataset that it becomes")
    download.add_argument(
        "--locked", type=Path, metavar="LOCK", help="downloads.jsonl whose pictures these must be"
    )
    download.add_argument(
        "--verify", action="store_true", help="compare the files with what was downloaded"
    )
    download.add_argument("--json", action="store_true", help="print JSON for programs")
    add_flags(download.add_argument_group("download"), DownloadConfig)
    download.set_defaults(run=_download)


def add_replace(commands: Commands) -> None:
    """Add `scoft dataset replace`."""
    replace = commands.add_parser(
        "replace", help="bring another picture for a row of a downloaded table"
    )
    replace.add_argument("row", type=int, help="as report.csv counts it")
    replace.add_argument("file", type=Path, help="the picture; copied")
    replace.add_argument(
        "--in", type=Path, default=Path(), dest="folder", metavar="DIR", help="(default: here)"
    )
    replace.set_defaults(run=_replace)


def _download(arguments: argparse.Namespace) -> int:
    from .download_report import report_json, report_text
    from .downloads import DownloadRequest, download, download_verdicts

    request = DownloadRequest(
        table=arguments.table,
        folder=arguments.folder,
        config=config_from_flags(DownloadConfig, arguments),
        locked=arguments.locked,
        verify=arguments.verify,
    )
    printer, stopped = TextPrinter(), False
    with stop_on_interrupt() as should_stop:
        try:
            for event in download(request, should_stop=should_stop):
                printer.show(event)
                stopped = isinstance(event, StoppedEvent)
        finally:
            printer.close()
    verdicts = download_verdicts(arguments.folder)
    if arguments.json:
        print(json.dumps(report_json(verdicts), indent=2, ensure_ascii=False))
    else:
        print(report_text(verdicts))
    return STOPPED if stopped else 0


def _replace(arguments: argparse.Namespace) -> int:
    from .downloads import replace_picture

    verdict = replace_picture(arguments.row, arguments.file, arguments.folder, say=print)
    print(f"Row {verdict.row} has its picture now: {verdict.record and verdict.record.file}")
    return 0
