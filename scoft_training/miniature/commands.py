"""The command `scoft miniature`: write the world's sets, train its networks, measure them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["add_miniature"]

# Named here too, so that the command's help loads no heavy library; a test compares them.
STAGE_NAMES = ("vae", "unet", "controlnet", "clip", "judge", "depth")


def add_miniature(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add the subcommand and its own subcommands."""
    miniature = commands.add_parser(
        "miniature", help="the small trained model that comes with scoft, and its drawn world"
    )
    inner = miniature.add_subparsers(required=True, metavar="COMMAND")

    export = inner.add_parser("export", help="write the world's picture sets as datasets")
    export.add_argument("folder", type=Path, help="a new folder")
    export.add_argument("--seed", type=int, default=0, help="of all pictures (default: 0)")
    export.add_argument("--train", type=int, default=60, help="pictures to learn (default: 60)")
    export.add_argument("--test", type=int, default=200, help="held-out ones (default: 200)")
    export.set_defaults(run=_export)

    pretrain = inner.add_parser(
        "pretrain",
        help="make the weights anew, stage by stage; a stopped stage goes on where it was",
    )
    pretrain.add_argument("--seed", type=int, default=0, help="of all stages (default: 0)")
    pretrain.add_argument(
        "--stage", choices=STAGE_NAMES, help="only this one (default: all, in their order)"
    )
    pretrain.add_argument(
        "--folder",
        type=Path,
        default=Path("scoft-miniature"),
        help="where weights and unfinished stages go (default: ./scoft-miniature)",
    )
    pretrain.set_defaults(run=_pretrain)

    check = inner.add_parser(
        "check", help="print what each shipped network does on pictures it never saw"
    )
    check.add_argument("--seed", type=int, default=0, help="of the pictures (default: 0)")
    check.add_argument("--weights", type=Path, help="weights folder (default: the shipped one)")
    check.set_defaults(run=_check)


def _export(arguments: argparse.Namespace) -> int:
    from .export import ExportSizes, export_sets

    sizes = ExportSizes(train=arguments.train, test=arguments.test)
    with _bar("pictures") as show:
        folders = export_sets(
            arguments.folder, seed=arguments.seed, sizes=sizes, on_step=lambda i, n: show(i, n, {})
        )
    for folder in folders.values():
        print(folder)
    return 0


def _pretrain(arguments: argparse.Namespace) -> int:
    from .pretrain import STAGES, pretrain_stage

    folder: Path = arguments.folder
    for stage in [arguments.stage] if arguments.stage else STAGES:
        with _bar(stage) as show:
            made = pretrain_stage(
                stage,
                seed=arguments.seed,
                work=folder / "work",
                weights=folder / "weights",
                on_step=show,
            )
        print(f"{stage}: {made}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from .loading import WEIGHTS
    from .pretrain import held_out_figures

    for stage, figures in held_out_figures(arguments.weights or WEIGHTS, arguments.seed):
        for name, value in figures.items():
            print(f"{stage}: {name} {value:.4f}")
    return 0


class _bar:
    """A progress bar on standard error, made when the first step is told."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown: Callable[[], None] | None = None

    def __enter__(self) -> Callable[[int, int, dict[str, float]], None]:
        from tqdm import tqdm

        bar = tqdm(desc=self._what, file=sys.stderr, mininterval=0.5)
        self._shown = bar.close

        def show(step: int, of: int, values: dict[str, float]) -> None:
            if bar.total != of:
                bar.reset(of)
                bar.start_t = bar.last_print_t = time.time()
            bar.n = step
            told = {name: value for name, value in values.items() if name not in ("step", "cpu_s")}
            if told:
                bar.set_postfix(told, refresh=False)
            bar.refresh()

        return show

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._shown()
