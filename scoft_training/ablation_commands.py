"""The command `scoft ablation`: of a file, or without one the paper's on the miniature."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import ConfigError
from .terminal import quiet_libraries, require_one_process, show_events
from .text_tables import aligned

if TYPE_CHECKING:
    from .ablation_config import Ablation
    from .ablation_plan import PlannedTrial

__all__ = ["add_ablation"]

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_WITHOUT_FILE = {"base": "miniature", "arms": None, "steps": 600, "pictures": 30}
_FOLDER, _SEEDS = Path("scoft-ablation"), (0, 1, 2, 3, 4)


def add_ablation(commands: _Commands) -> None:
    """Add the subcommand `ablation`."""
    ablation = commands.add_parser(
        "ablation",
        help="compare losses, backbones or other options over seeds; goes on where it stopped",
        description="With FILE: train, draw and measure what it lists, on any base and set "
        "(docs/ablations_of_your_own.md). Without: the paper's comparison on the miniature.",
    )
    ablation.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="a TOML file of cultures, arms and seeds"
    )
    ablation.add_argument(
        "--folder", type=Path, help="(default: the file's, or ./scoft-ablation without one)"
    )
    ablation.add_argument(
        "--seeds", type=int, nargs="+", help="(default: the file's, or 0 1 2 3 4 without one)"
    )
    ablation.add_argument("--json-events", action="store_true", help="print one JSON event a line")
    ablation.add_argument(
        "--dry-run",
        action="store_true",
        help="with FILE: say what each trial asks for and what is done; compute and write nothing",
    )
    plain = ablation.add_argument_group("without FILE")
    plain.add_argument("--base", choices=("miniature",), help="(default: miniature)")
    plain.add_argument("--arms", nargs="+", help="only these (default: all)")
    plain.add_argument("--steps", type=int, help=f"of each arm (default: {_WITHOUT_FILE['steps']})")
    plain.add_argument(
        "--pictures",
        type=int,
        help=f"to learn from (default: {_WITHOUT_FILE['pictures']}, so few that models overfit)",
    )
    ablation.set_defaults(run=_ablation)


def _ablation(arguments: argparse.Namespace) -> int:
    from .miniature.loading import register

    require_one_process("ablation")
    register()
    if arguments.file is None:
        return _of_the_miniature(arguments)
    given = [f"--{name}" for name in _WITHOUT_FILE if getattr(arguments, name) is not None]
    if given:
        raise ConfigError(
            f"{' and '.join(given)} belong to the ablation without a file. Write what you want "
            f"into {arguments.file} instead."
        )
    return _of_a_file(arguments)


def _of_a_file(arguments: argparse.Namespace) -> int:
    from .ablation import run_ablation
    from .ablation_file import read_ablation

    ablation = read_ablation(arguments.file, folder=arguments.folder)
    if arguments.seeds:
        ablation = dataclasses.replace(ablation, seeds=_seeds(arguments))
    if arguments.dry_run:
        return _plan(ablation, as_json=arguments.json_events)
    status = show_events(
        lambda stop: run_ablation(ablation, should_stop=stop), arguments.json_events
    )
    if status == 0 and not arguments.json_events:
        print((ablation.folder / "tables.md").read_text(encoding="utf-8"))
    return status


def _seeds(arguments: argparse.Namespace) -> tuple[int, ...]:
    """Return --seeds, each once: a trial that counts twice would narrow every interval."""
    from .ablation_config import checked_seeds

    return checked_seeds(list(dict.fromkeys(arguments.seeds)), where="--seeds")


def _plan(ablation: Ablation, *, as_json: bool) -> int:
    from .ablation_plan import PlannedNegatives, PlannedTrial, plan_ablation, still_to_do

    quiet_libraries()
    trials: list[PlannedTrial] = []
    negatives: list[PlannedNegatives] = []
    for one in plan_ablation(ablation):
        if isinstance(one, PlannedTrial):
            trials.append(one)
        elif isinstance(one, PlannedNegatives):
            negatives.append(one)
        else:
            print(one.message, file=sys.stderr)
    if as_json:
        for kind, planned in (("negatives", negatives), ("trial", trials)):
            for each in planned:
                values = {"event": kind, **dataclasses.asdict(each)}
                print(json.dumps(values, ensure_ascii=False))
        return 0
    rows = [[one.culture, f"seed {one.seed}", one.arm, _state(one)] for one in trials]
    print("\n".join([*aligned(rows), *still_to_do(ablation, trials, negatives)]))
    return 0


def _state(trial: PlannedTrial) -> str:
    if trial.scored:
        return "done"
    training = f"{trial.steps} steps" if trial.steps else "no training"
    if trial.steps and trial.trained:
        training = f"{training}, trained"
    elif trial.saved_step:
        training = f"{training}, {trial.saved_step} of them made"
    return f"{training}; {trial.drawn} of {trial.pictures} pictures"


def _of_the_miniature(arguments: argparse.Namespace) -> int:
    from .miniature.ablation import AblationRequest, run_ablation
    from .miniature.arms import ARMS, ArmScale

    if arguments.dry_run:
        raise ConfigError("--dry-run belongs to the ablation of a file. Name one.")
    given = {name: getattr(arguments, name) for name in _WITHOUT_FILE}
    chosen: dict[str, Any] = _WITHOUT_FILE | {k: v for k, v in given.items() if v is not None}
    request = AblationRequest(
        folder=arguments.folder or _FOLDER,
        seeds=_seeds(arguments) if arguments.seeds else _SEEDS,
        arms=tuple(dict.fromkeys(chosen["arms"] or ARMS)),
        scale=ArmScale(steps=chosen["steps"]),
        num_train=chosen["pictures"],
    )
    status = show_events(
        lambda stop: run_ablation(request, should_stop=stop), arguments.json_events
    )
    if status == 0 and not arguments.json_events:
        print((request.folder / "table.md").read_text(encoding="utf-8"))
    return status
