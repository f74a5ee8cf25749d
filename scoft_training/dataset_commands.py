"""The commands that gather, look at and hand on a picture set: `scoft dataset`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TypeAlias

from .config import TrainConfig
from .download_commands import add_download, add_replace
from .export_commands import add_card, add_export
from .flags import add_flags, config_from_flags
from .report_commands import add_report

__all__ = ["add_dataset"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_dataset(commands: Commands) -> None:
    """Add the subcommand and its own subcommands."""
    dataset = commands.add_parser("dataset", help="gather and look at a picture set")
    inner = dataset.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_download, add_replace, _add_check, add_card, add_export, add_report):
        add(inner)


def _add_check(commands: Commands) -> None:
    check = commands.add_parser(
        "check", help="count the pictures by category and list every problem; exit 2 if unusable"
    )
    check.add_argument("dataset", type=Path, help="root folder, with train/metadata.jsonl in it")
    check.add_argument("--split", default="train", help="which split (default: train)")
    check.add_argument(
        "--preset",
        default="m",
        metavar="PRESET",
        help="check for what this preset needs: m generic captions, mpc negatives too (default: m)",
    )
    add_flags(check, TrainConfig, only=("resolution", "crop"))
    check.add_argument("--json", action="store_true", help="print JSON for programs")
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from .data import read_dataset, report, report_json

    config = config_from_flags(TrainConfig, arguments)
    dataset = read_dataset(
        arguments.dataset,
        arguments.split,
        needs_generic_captions=config.uses_generic_captions,
        needs_negatives=config.uses_negatives,
        crop_mode=config.crop,
        resolution=config.resolution,
    )
    if arguments.json:
        print(json.dumps(report_json(dataset), indent=2, ensure_ascii=False))
    else:
        print(report(dataset))
    return 2 if dataset.errors else 0
