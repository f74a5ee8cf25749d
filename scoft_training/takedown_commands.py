"""The command that finds a picture and what was made from it: `scoft takedown`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .errors import ConfigError

if TYPE_CHECKING:
    from .takedown import Takedown

__all__ = ["add_takedown"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_TITLES = {
    "picture": "Copies of the picture",
    "row": "Rows of datasets",
    "statement": "Statements in work folders",
    "derived": "Made from the picture",
    "negatives": "Drawn negatives",
    "cache": "Cached examples",
    "run": "Runs",
    "lora": "LoRAs",
    "grid": "Grids",
    "scores": "Scores and reports",
    "uncertain": "Cannot be told",
    "mention": "Mentions",
}


def add_takedown(commands: Commands) -> None:
    """Add the subcommand."""
    takedown = commands.add_parser(
        "takedown", help="list every dataset, work folder, LoRA and grid that used a picture"
    )
    takedown.add_argument(
        "sha256", nargs="?", help="the picture's sha256, or the first 8 or more of its digits"
    )
    takedown.add_argument("--picture", type=Path, metavar="FILE", help="the picture itself")
    takedown.add_argument(
        "--in",
        dest="places",
        type=Path,
        action="append",
        metavar="FOLDER",
        help="search this folder, may be repeated (default: ./scoft-work, and datasets, LoRAs "
        "and grids in the current folder)",
    )
    takedown.add_argument(
        "--leave-out",
        action="store_true",
        help="state in the work folders found that the picture is left out from now on",
    )
    takedown.add_argument("--json", action="store_true", help="print JSON for programs")
    takedown.set_defaults(run=_takedown)


def _takedown(arguments: argparse.Namespace) -> int:
    from .files import file_sha256
    from .takedown import default_folders, find_picture, leave_out

    if (arguments.sha256 is None) == (arguments.picture is None):
        raise ConfigError("Name one picture: by its sha256, or its file with --picture.")
    wanted = arguments.sha256
    if wanted is None:
        if not arguments.picture.is_file():
            raise ConfigError(f"{arguments.picture}: there is no such file. Check the name.")
        wanted = file_sha256(arguments.picture)
    found = find_picture(wanted, arguments.places or default_folders(Path.cwd()))
    left_out = leave_out(found) if arguments.leave_out else []
    if arguments.json:
        values = dataclasses.asdict(found) | {"left_out_in": left_out}
        print(json.dumps(values, indent=2, ensure_ascii=False, default=str))
    else:
        print(_told(found, left_out))
    return 0


def _told(found: Takedown, left_out: list[Path]) -> str:
    lines = [f"Picture {found.sha256}: {len(found.findings)} places in {found.files} files."]
    for kind, title in _TITLES.items():
        of_kind = [finding for finding in found.findings if finding.kind == kind]
        if of_kind:
            lines += ["", f"{title}: {len(of_kind)}"]
            lines += [f"  {one.path}: {one.what}. {one.remedy}" for one in of_kind]
    if found.not_read:
        lines += ["", f"Not looked into: {len(found.not_read)}"]
        lines += [f"  {sentence}" for sentence in found.not_read]
    lines.append("")
    if left_out:
        lines.append(f"Left out from now on: {', '.join(str(work) for work in left_out)}")
    counts = Counter(finding.kind for finding in found.findings)
    if anew := counts["run"] + counts["lora"]:
        lines.append(f"To be trained anew: what {anew} runs and LoRA files hold.")
    lines.append("Nothing was deleted.")
    return "\n".join(lines)
