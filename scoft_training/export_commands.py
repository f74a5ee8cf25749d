"""The commands that hand a picture set on: `scoft dataset export` and `scoft dataset card`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

__all__ = ["add_card", "add_export"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_export(commands: Commands) -> None:
    """Add `scoft dataset export`."""
    export = commands.add_parser(
        "export", help="write the set, as the work folder completes it, for other tools"
    )
    export.add_argument("dataset", type=Path, help="root folder of the picture set")
    export.add_argument("target", type=Path, help="a new folder")
    _add_common(export)
    export.add_argument(
        "--json-events", action="store_true", help="print one JSON object a line for programs"
    )
    export.set_defaults(run=_export)


def add_card(commands: Commands) -> None:
    """Add `scoft dataset card`."""
    card = commands.add_parser(
        "card", help="print what the set is, whose it is and how a picture is taken back"
    )
    card.add_argument("dataset", type=Path, help="root folder of the picture set")
    card.add_argument("--out", type=Path, metavar="FILE", help="write it to this new file")
    _add_common(card)
    card.set_defaults(run=_card)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--split", action="append", default=[], help="one split, may be repeated (default: all)"
    )
    parser.add_argument(
        "--negatives", metavar="SET", help="set of drawn negatives, or none (default: the only one)"
    )
    parser.add_argument("--work", type=Path, help="work folder (default: ./scoft-work/...)")


def _export(arguments: argparse.Namespace) -> int:
    from .exporting import ExportRequest, export_dataset
    from .terminal import show_events

    request = ExportRequest(
        dataset=arguments.dataset,
        target=arguments.target,
        work=arguments.work,
        negatives=arguments.negatives,
        splits=tuple(arguments.split),
    )
    return show_events(
        lambda stop: export_dataset(request, should_stop=stop), arguments.json_events
    )


def _card(arguments: argparse.Namespace) -> int:
    from .dataset_card import dataset_card
    from .errors import OutputError
    from .files import write_text
    from .whole_set import read_whole_set
    from .work_folder import default_work_folder

    whole = read_whole_set(
        arguments.dataset,
        arguments.work or default_work_folder(arguments.dataset),
        negatives=arguments.negatives,
        splits=arguments.split,
    )
    text = dataset_card(whole)
    if arguments.out is None:
        print(text, end="")
        return 0
    if arguments.out.exists():
        raise OutputError(
            f"{arguments.out}: is there already; nothing is replaced. Choose another."
        )
    write_text(arguments.out, text)
    print(arguments.out)
    return 0
