"""The command that measures grids and folders of pictures: `scoft score`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .config import ScoreConfig
from .errors import ConfigError
from .events import Event
from .flags import add_flags, config_from_flags
from .terminal import require_one_process, show_events

if TYPE_CHECKING:
    from .score_records import Scores

__all__ = ["add_score"]

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_Scoring: TypeAlias = "Generator[Event, None, Scores | None]"

_FEATURES = Path("scoft-work") / "features"
"""Where vectors of two folders' pictures are kept."""


def add_score(commands: _Commands) -> None:
    """Add the subcommand."""
    score = commands.add_parser(
        "score",
        help="measure a grid: does each model copy, know the culture, forget the rest; or compare "
        "two folders of pictures",
    )
    score.add_argument("grid", type=Path, nargs="?", help="folder of a grid, drawn by `scoft grid`")
    score.add_argument(
        "--folder",
        type=Path,
        metavar="PICTURES",
        help="instead of a grid: any pictures, to compare with those of --reference",
    )
    score.add_argument(
        "--dataset", type=Path, help="picture set whose captions were drawn for, test split and all"
    )
    score.add_argument("--work", type=Path, help="its work folder (default: ./scoft-work/...)")
    score.add_argument(
        "--general",
        type=Path,
        metavar="FOLDER",
        help="general pictures, such as MS COCO's (default: the base's own for neutral prompts)",
    )
    score.add_argument(
        "--reference",
        type=Path,
        metavar="FOLDER",
        help="pictures of the culture (default: the dataset's test split)",
    )
    score.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    score.add_argument(
        "--allow-download",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether missing weights may be fetched (default: on)",
    )
    printed = score.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="print metrics.json, not the table")
    printed.add_argument("--json-events", action="store_true", help="print one JSON event a line")
    add_flags(score.add_argument_group("measures"), ScoreConfig)
    score.set_defaults(run=_score)


def _score(arguments: argparse.Namespace) -> int:
    from .metrics_report import text_table
    from .miniature.loading import register as register_miniature
    from .score_records import scores_to_json

    require_one_process("score")
    register_miniature()
    made: list[Scores | None] = []
    start = _start(arguments)

    def events(should_stop: Callable[[], bool]) -> Iterator[Event]:
        made.append((yield from start(should_stop)))

    status = show_events(events, arguments.json_events)
    for scores in filter(None, made):
        if arguments.json:
            print(json.dumps(scores_to_json(scores), indent=2, ensure_ascii=False))
        elif not arguments.json_events:
            told = text_table(scores) if arguments.grid is not None else _folder_text(scores)
            print(told)
            if arguments.grid is not None:
                print(f"\nReport: {arguments.grid / 'report.html'}")
    return status


def _folder_text(scores: Scores) -> str:
    """Return a folder's numbers as lines; the three questions are asked of grids only."""
    from .metrics_tables import digits_of, directed, with_interval

    lines = [
        f"{directed(metric)}: {with_interval(metric, digits_of([metric]))}"
        for model in scores.models
        for metric in model.metrics
    ]
    return "\n".join([*lines, *(f"Note: {warning}" for warning in scores.warnings)])


def _start(arguments: argparse.Namespace) -> Callable[[Callable[[], bool]], _Scoring]:
    """Return what begins the scoring that was asked for."""
    from .scoring import FolderRequest, ScoreRequest, score_folder, score_grid

    config = config_from_flags(ScoreConfig, arguments)
    if (arguments.grid is None) == (arguments.folder is None):
        raise ConfigError("There is nothing to measure, or too much: give GRID or --folder.")
    if arguments.grid is not None:
        request = ScoreRequest(
            grid=arguments.grid,
            dataset=arguments.dataset,
            work=arguments.work,
            general=arguments.general,
            reference=arguments.reference,
            config=config,
            device=arguments.device,
            allow_download=arguments.allow_download,
        )
        return lambda should_stop: score_grid(request, should_stop=should_stop)
    if arguments.reference is None:
        raise ConfigError("--folder compares pictures with others: give --reference FOLDER.")
    if arguments.json_events:
        raise ConfigError("--folder writes no file, so its numbers are printed: use --json.")
    if arguments.dataset or arguments.work or arguments.general:
        raise ConfigError(
            "--dataset, --work and --general belong to a grid. Leave them out with --folder."
        )
    pictures = FolderRequest(
        folder=arguments.folder,
        reference=arguments.reference,
        features=_FEATURES,
        config=config,
        device=arguments.device,
        allow_download=arguments.allow_download,
    )
    return lambda should_stop: score_folder(pictures, should_stop=should_stop)
