"""The commands `scoft demo` and `scoft miniature`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

__all__ = ["add_demo", "add_miniature"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# Named here too, so that the command's help loads no heavy library; a test compares them.
STAGE_NAMES = ("vae", "unet", "controlnet", "clip", "clip_text", "judge", "depth")


def add_miniature(commands: Commands) -> None:
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

    sheet = inner.add_parser("sheet", help="draw the world, and what the base makes of it, as PNGs")
    sheet.add_argument("folder", type=Path, help="gets world.png and base.png")
    sheet.add_argument("--seed", type=int, default=0, help="of the pictures (default: 0)")
    sheet.add_argument("--weights", type=Path, help="weights folder (default: the shipped one)")
    sheet.set_defaults(run=_sheet)


def add_demo(commands: Commands) -> None:
    """Add the subcommand `demo`."""
    demo = commands.add_parser(
        "demo", help="see a biased small model repaired, on this machine, without a download"
    )
    demo.add_argument(
        "--folder", type=Path, default=Path("scoft-demo"), help="(default: ./scoft-demo)"
    )
    demo.add_argument(
        "--quick", action="store_true", help="the same way in under a minute, for tests"
    )
    demo.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    import json

    from ..terminal import show_events
    from .demo import Demo, demo_table
    from .loading import register

    register()
    demo = Demo(arguments.folder, quick=arguments.quick)
    print(
        "A small model knows six imaginary cultures and shows one of them, avelun, in ruins. SCoFT "
        f"learns from {demo.num_train} right pictures of it. Everything goes to {demo.folder}/.",
        flush=True,
    )
    status = show_events(lambda _: demo.export())
    for title, step in (
        ("1/3 The unmodified model draws negatives", demo.negatives),
        ("2/3 SCoFT trains a LoRA", demo.train),
        ("3/3 The same prompts, before and after", demo.compare),
    ):
        if status:
            return status
        print(f"\n{title}", flush=True)
        status = show_events(step)
    if status:
        return status
    numbers = json.loads((demo.folder / "metrics.json").read_text(encoding="utf-8"))
    print(f"\n{demo_table(numbers)}\n")
    print(f"Look at {demo.folder / 'sheet.png'} and {demo.folder / 'report.html'}")
    return 0


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
    from ..terminal import quiet_libraries
    from .base_figures import base_accuracy, depth_following
    from .loading import WEIGHTS, register
    from .pretrain import held_out_figures

    quiet_libraries()
    weights: Path = arguments.weights or WEIGHTS
    register(weights)
    for stage, figures in held_out_figures(weights, arguments.seed):
        for name, value in figures.items():
            print(f"{stage}: {name} {value:.4f}", flush=True)
    for part, measured in (("controlnet", depth_following(weights)), ("base", base_accuracy())):
        for name, value in measured.items():
            print(f"{part}: {name} {value:.4f}", flush=True)
    return 0


def _sheet(arguments: argparse.Namespace) -> int:
    from ..errors import OutputError
    from ..terminal import quiet_libraries
    from .loading import WEIGHTS, register
    from .report import save_picture
    from .sheets import base_sheet, world_sheet

    quiet_libraries()
    register(arguments.weights or WEIGHTS)
    for name, draw in (("world.png", world_sheet), ("base.png", base_sheet)):
        path = arguments.folder / name
        if path.exists():
            raise OutputError(f"{path}: is there already. Nothing is replaced; move it away.")
        save_picture(draw(arguments.seed), path)
        print(path, flush=True)
    return 0


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """A progress bar on standard error, which learns its total when the first step is told."""
    from tqdm import tqdm

    with tqdm(desc=what, file=sys.stderr, mininterval=0.5) as bar:

        def show(step: int, of: int, values: dict[str, float]) -> None:
            if bar.total != of:
                bar.reset(of)
                bar.start_t = bar.last_print_t = time.time()
            bar.n = step
            told = {name: value for name, value in values.items() if name not in ("step", "cpu_s")}
            if told:
                bar.set_postfix(told, refresh=False)
            bar.refresh()

        yield show
