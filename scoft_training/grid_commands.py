"""The command that draws grids: `scoft grid`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .config import GenerateConfig, GridConfig
from .errors import ConfigError
from .events import Event, WarningEvent
from .flags import add_flags, config_from_flags
from .options import options
from .terminal import require_one_process, show_events

if TYPE_CHECKING:
    from .grids import GridPrompt, GridSource

__all__ = ["add_grid"]

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_OF_ALL = ("seed", "batch_size")
"""Options of GridConfig that mean something without a dataset."""

# Strengths are the models' own.
_DRAWING = tuple(
    option.name for option in options(GenerateConfig) if option.name != "lora_strength"
)


def add_grid(commands: _Commands) -> None:
    """Add the subcommand."""
    grid = commands.add_parser(
        "grid",
        help="draw prompts x seeds x models from the same noise, to measure and compare them; the "
        "same command again goes on, another one adds to the grid",
        epilog="Another model later: name only it, and it draws all prompts that the grid has.",
    )
    grid.add_argument("grid", type=Path, help="folder of the grid: new, or one to add to")
    grid.add_argument(
        "--base",
        required=True,
        help="checkpoint file, folder in diffusers' layout, or a hub id such as owner/name",
    )
    grid.add_argument(
        "--dataset", type=Path, help="draw for its captions, and for neutral prompts beside them"
    )
    grid.add_argument("--work", type=Path, help="its work folder (default: ./scoft-work/...)")
    grid.add_argument(
        "--prompt",
        action="append",
        default=[],
        dest="prompts",
        help="may be given many times; 'neutral: ...' is one about nothing of the culture",
    )
    grid.add_argument(
        "--prompts",
        type=Path,
        dest="file",
        help="UTF-8 file: .txt, one such prompt a line; .jsonl or .csv with text, role and seeds",
    )
    grid.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        help="of all of --prompt and --prompts (default: one each, counted up from --seed)",
    )
    grid.add_argument(
        "--lora",
        action="append",
        default=[],
        dest="loras",
        metavar="NAME=FILE[@STRENGTH]",
        help="a model to compare: the base with this LoRA; may be given many times",
    )
    grid.add_argument(
        "--run",
        action="append",
        default=[],
        dest="runs",
        metavar="[NAME=]FOLDER",
        help="each snapshot, checkpoint and the LoRA of a run, as in scoft-work/.../runs/...",
    )
    grid.add_argument("--no-base", action="store_true", help="leave the unmodified model out")
    grid.add_argument("--json-events", action="store_true", help="print one JSON event a line")
    grid.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    grid.add_argument(
        "--allow-download",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether a missing base may be fetched (default: on)",
    )
    add_flags(grid.add_argument_group("prompts and seeds"), GridConfig)
    add_flags(grid.add_argument_group("drawing"), GenerateConfig, only=_DRAWING)
    grid.set_defaults(run=_grid)


def _grid(arguments: argparse.Namespace) -> int:
    from .grid_drawing import GridRequest, draw_grid
    from .miniature.loading import register as register_miniature

    require_one_process("grid")
    _require_dataset(arguments)
    register_miniature()
    config = config_from_flags(GridConfig, arguments)
    prompts, warnings = _prompts(arguments, config)
    request = GridRequest(
        folder=arguments.grid,
        base=arguments.base,
        sources=_sources(arguments),
        prompts=prompts,
        config=config_from_flags(GenerateConfig, arguments),
        batch_size=config.batch_size,
        device=arguments.device,
        allow_download=arguments.allow_download,
    )

    def start(should_stop: Callable[[], bool]) -> Iterator[Event]:
        yield from map(WarningEvent, warnings)
        yield from draw_grid(request, should_stop=should_stop)

    status = show_events(start, arguments.json_events)
    if status == 0 and not arguments.json_events:
        print(arguments.grid)
    return status


def _require_dataset(arguments: argparse.Namespace) -> None:
    """Refuse options that would do nothing without a dataset."""
    if arguments.dataset is not None:
        return
    given = ["--work"] if arguments.work is not None else []
    for option in options(GridConfig):
        if option.name not in _OF_ALL and hasattr(arguments, option.name):
            given.append(option.flag)
    if given:
        raise ConfigError(
            f"{', '.join(given)}: what is drawn for a dataset is meant, and there is none. Give "
            "--dataset, or name prompts of your own with --prompt and --prompts."
        )


def _prompts(
    arguments: argparse.Namespace, config: GridConfig
) -> tuple[list[GridPrompt], list[str]]:
    """Return the prompts, and what is to be known of them."""
    from .grid_prompts import (
        dataset_prompts,
        read_prompts,
        seeded,
        typed_prompt,
        with_general,
    )
    from .work_folder import default_work_folder

    prompts: list[GridPrompt] = []
    warnings: list[str] = []
    if arguments.dataset is not None:
        work = arguments.work or default_work_folder(arguments.dataset)
        prompts, warnings = dataset_prompts(arguments.dataset, work, config)
    seeds = tuple(dict.fromkeys(arguments.seeds or ()))
    typed = [typed_prompt(text, seeds) for text in arguments.prompts]
    if arguments.file is not None:
        typed += read_prompts(arguments.file, seeds)
    prompts += seeded(typed, config.seed, 1)
    return with_general(prompts), warnings


def _sources(arguments: argparse.Namespace) -> list[GridSource]:
    from .grids import BASE, GridSource
    from .run_loras import named_lora, run_loras

    sources = [] if arguments.no_base else [GridSource(BASE)]
    for text in arguments.loras:
        name, file, strength = named_lora(text)
        sources.append(GridSource(name, Path(file).expanduser(), strength))
    for text in arguments.runs:
        name, equals, folder = text.partition("=")
        if not equals or Path(text).is_dir():
            sources += run_loras(Path(text).expanduser())
            continue
        sources += [
            dataclasses.replace(source, name=f"{name.strip()} {source.name}")
            for source in run_loras(Path(folder.strip()).expanduser())
        ]
    if not sources:
        raise ConfigError("There is no model to draw with. Leave --no-base out, or give --lora.")
    return sources
