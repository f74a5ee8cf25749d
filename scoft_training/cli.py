"""The command `scoft`: one subcommand per room, no work of its own.

Exit status: 0 done, 2 the user has something to mend (the sentence is on standard error),
130 stopped by Ctrl-C with everything saved.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from . import __version__
from .ablation_commands import add_ablation
from .config import CaptionConfig, GenerateConfig, MemoryConfig, NegativesConfig, TrainConfig
from .dataset_commands import add_dataset
from .errors import ConfigError, OutputError, ScoftError
from .events import PlanEvent, StopRequested, stop_check
from .flags import add_flags, config_from_flags
from .grid_commands import add_grid
from .lora_commands import add_lora
from .miniature.commands import add_demo, add_miniature
from .model_commands import add_model
from .score_commands import add_score
from .survey_commands import add_survey
from .takedown_commands import add_takedown
from .terminal import STOPPED, quiet_libraries, show_events, stop_on_interrupt

__all__ = ["main"]

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger(__package__).setLevel(logging.INFO)
    try:
        return int(parsed.run(parsed))
    except ScoftError as error:
        print(f"scoft: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader, say `head`, has seen enough; what is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scoft",
        description="Teach a text-to-image model a community's own pictures (SCoFT, CVPR 2024).",
    )
    parser.add_argument("--version", action="version", version=f"scoft {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        add_dataset,
        _add_caption,
        _add_depth,
        _add_negatives,
        _add_train,
        _add_generate,
        add_grid,
        add_score,
        add_survey,
        add_lora,
        add_model,
        add_takedown,
        add_demo,
        add_ablation,
        add_miniature,
    ):
        add(commands)
    return parser


def _add_caption(commands: _Commands) -> None:
    caption = commands.add_parser(
        "caption", help="let BLIP write generic captions into the work folder"
    )
    caption.add_argument("dataset", type=Path, help="root folder of the picture set")
    _add_work(caption)
    caption.add_argument(
        "--captioner-weights", type=Path, help="BLIP's folder (config, tokenizer, safetensors)"
    )
    caption.add_argument(
        "--every-row", action="store_true", help="also pictures that have generic captions"
    )
    add_flags(caption.add_argument_group("captions"), CaptionConfig)
    caption.set_defaults(run=_caption)


def _add_depth(commands: _Commands) -> None:
    depth = commands.add_parser(
        "depth", help="estimate the pictures' depth to look at; `negatives` does so by itself"
    )
    depth.add_argument("dataset", type=Path, help="root folder of the picture set")
    depth.add_argument("--depth-weights", type=Path, help="MiDaS' file")
    _add_work(depth)
    add_flags(
        depth.add_argument_group("as for negatives"),
        NegativesConfig,
        only=("resolution", "crop", "seed"),
    )
    depth.set_defaults(run=_depth)


def _add_negatives(commands: _Commands) -> None:
    negatives = commands.add_parser(
        "negatives", help="draw negatives with the unmodified model, and filter them"
    )
    negatives.add_argument("dataset", type=Path, help="root folder of the picture set")
    negatives.add_argument("--base", help="checkpoint file, folder in diffusers' layout, or hub id")
    negatives.add_argument("--controlnet", help="depth ControlNet: file, folder or hub id")
    negatives.add_argument("--depth-weights", type=Path, help="MiDaS' file")
    negatives.add_argument("--filter-weights", type=Path, help="file or folder of the backbone")
    negatives.add_argument(
        "--only-filter", metavar="SET", help="filter this set anew and draw nothing"
    )
    _add_work(negatives)
    add_flags(negatives.add_argument_group("drawing and filter"), NegativesConfig)
    negatives.set_defaults(run=_negatives)


def _add_train(commands: _Commands) -> None:
    train = commands.add_parser(
        "train",
        help="train a LoRA; the same command again goes on with the same run",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("dataset", type=Path, help="root folder of the picture set")
    _add_base(train)
    train.add_argument("--output", type=Path, help="copy the LoRA to this new .safetensors file")
    train.add_argument("--work", type=Path, help="work folder (default: ./scoft-work/...)")
    train.add_argument(
        "--negatives", metavar="SET", help="set of drawn negatives (default: the only one)"
    )
    train.add_argument("--init-lora", type=Path, help="begin a new run from this LoRA")
    train.add_argument("--backbone-weights", type=Path, help="file or folder of the backbone")
    train.add_argument("--lpips-weights", type=Path, help="VGG16 file for LPIPS")
    train.add_argument(
        "--allow-inexact-resume",
        action="store_true",
        help="go on although memory choices, batch size or number of processes have changed",
    )
    train.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be done and how much memory it takes; compute and write nothing",
    )
    train.add_argument("--json-events", action="store_true", help="print one JSON event a line")
    add_flags(train.add_argument_group("training"), TrainConfig)
    add_flags(train.add_argument_group("memory"), MemoryConfig)
    train.set_defaults(run=_train)


def _add_generate(commands: _Commands) -> None:
    generate = commands.add_parser(
        "generate", help="draw prompts x seeds without and with a LoRA, and a contact sheet"
    )
    _add_base(generate)
    generate.add_argument("--lora", type=Path, help="LoRA file to compare the base model with")
    generate.add_argument(
        "--prompt", action="append", default=[], dest="prompts", help="may be given many times"
    )
    generate.add_argument("--prompts", type=Path, dest="file", help="UTF-8 file, one prompt a line")
    generate.add_argument("--seeds", type=int, nargs="+", default=[0], help="(default: 0)")
    generate.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    add_flags(generate.add_argument_group("drawing"), GenerateConfig)
    generate.set_defaults(run=_generate)


def _add_base(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base",
        required=True,
        help="checkpoint file, folder in diffusers' layout, or a hub id such as owner/name",
    )
    _add_device(parser)


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work", type=Path, help="work folder (default: ./scoft-work/...)")
    parser.add_argument("--json-events", action="store_true", help="print one JSON event a line")
    _add_device(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    parser.add_argument(
        "--allow-download",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether missing weights may be fetched (default: on)",
    )


def _train(arguments: argparse.Namespace) -> int:
    from .miniature.loading import register as register_miniature
    from .run_plan import plan_run
    from .runs import RunRequest, run_training

    register_miniature()
    request = RunRequest(
        dataset=arguments.dataset,
        base=arguments.base,
        config=config_from_flags(TrainConfig, arguments),
        memory=config_from_flags(MemoryConfig, arguments),
        device=arguments.device,
        work=arguments.work,
        negatives=arguments.negatives,
        output=arguments.output,
        init_lora=arguments.init_lora,
        backbone_weights=arguments.backbone_weights,
        lpips_weights=arguments.lpips_weights,
        allow_download=arguments.allow_download,
        allow_inexact_resume=arguments.allow_inexact_resume,
    )
    if arguments.dry_run:
        events = plan_run(request)
        if arguments.json_events:
            events = (event for event in events if isinstance(event, PlanEvent))
        return show_events(lambda _stop: events, arguments.json_events)
    return show_events(lambda stop: run_training(request, should_stop=stop), arguments.json_events)


def _caption(arguments: argparse.Namespace) -> int:
    from .helper_runs import CaptionRequest, make_captions

    request = CaptionRequest(
        dataset=arguments.dataset,
        config=config_from_flags(CaptionConfig, arguments),
        weights=arguments.captioner_weights,
        every_row=arguments.every_row,
        device=arguments.device,
        work=arguments.work,
        allow_download=arguments.allow_download,
    )
    return show_events(lambda stop: make_captions(request, should_stop=stop), arguments.json_events)


def _depth(arguments: argparse.Namespace) -> int:
    from .helper_runs import DepthRequest, make_depth
    from .miniature.loading import register as register_miniature

    register_miniature()
    request = DepthRequest(
        dataset=arguments.dataset,
        config=config_from_flags(NegativesConfig, arguments),
        depth=arguments.depth_weights,
        device=arguments.device,
        work=arguments.work,
        allow_download=arguments.allow_download,
    )
    return show_events(lambda stop: make_depth(request, should_stop=stop), arguments.json_events)


def _negatives(arguments: argparse.Namespace) -> int:
    from .helper_runs import NegativesRequest, make_negatives
    from .miniature.loading import register as register_miniature

    register_miniature()
    request = NegativesRequest(
        dataset=arguments.dataset,
        base=arguments.base,
        controlnet=arguments.controlnet,
        config=config_from_flags(NegativesConfig, arguments),
        depth=arguments.depth_weights,
        filter_weights=arguments.filter_weights,
        only_filter=arguments.only_filter,
        device=arguments.device,
        work=arguments.work,
        allow_download=arguments.allow_download,
    )
    return show_events(
        lambda stop: make_negatives(request, should_stop=stop), arguments.json_events
    )


def _generate(arguments: argparse.Namespace) -> int:
    from .generation import contact_sheet, generate, to_picture
    from .lora_files import read_lora
    from .miniature.loading import register as register_miniature
    from .models import load_base, resolve_device, resolve_precision

    register_miniature()
    quiet_libraries()
    config = config_from_flags(GenerateConfig, arguments)
    prompts = _prompts(arguments)
    out: Path = arguments.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: is not an empty folder; nothing is overwritten. Choose another.")
    device = resolve_device(arguments.device)
    dtype = resolve_precision(config.precision, device)
    base = load_base(arguments.base, dtype=dtype, allow_download=arguments.allow_download)
    lora = read_lora(arguments.lora, base.unet) if arguments.lora else None
    out.mkdir(parents=True, exist_ok=True)
    pictures = []
    with stop_on_interrupt() as should_stop, contextlib.suppress(StopRequested):
        for picture in generate(
            base,
            prompts,
            arguments.seeds,
            config,
            lora=lora,
            device=device,
            dtype=dtype,
            check_stop=stop_check(should_stop),
        ):
            number = prompts.index(picture.prompt) + 1
            half = "with" if picture.with_lora else "without"
            name = f"{number:03d}_seed{picture.seed}_{half}.png"
            to_picture(picture.image).save(out / name)
            pictures.append(picture)
            print(f"{name}: {picture.prompt}", file=sys.stderr)
        contact_sheet(pictures).save(out / "sheet.png")
        print(out / "sheet.png")
        return 0
    print(f"Stopped; {len(pictures)} pictures are in {out}.", file=sys.stderr)
    return STOPPED


def _prompts(arguments: argparse.Namespace) -> list[str]:
    prompts = list(arguments.prompts)
    if arguments.file is not None:
        try:
            lines = arguments.file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{arguments.file}: cannot be read as UTF-8 ({error}). Save it so."
            ) from error
        prompts += [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise ConfigError("There is nothing to draw: give --prompt or --prompts FILE.")
    return list(dict.fromkeys(prompts))
