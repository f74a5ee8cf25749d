"""The command that looks at files of models: `scoft model check`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .config import TrainConfig
from .flags import add_flags, config_from_flags

if TYPE_CHECKING:
    from .model_check import ModelReport

__all__ = ["add_model"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_GIB = 2**30
_ASKED = ("preset", "rank", "batch_size", "resolution", "precision")
_SAYS = {"epsilon": "noise (epsilon)", "v_prediction": "velocity (v)"}


def add_model(commands: Commands) -> None:
    """Add the subcommand and its own subcommand."""
    model = commands.add_parser("model", help="look at a checkpoint or a ControlNet")
    inner = model.add_subparsers(required=True, metavar="COMMAND")
    check = inner.add_parser(
        "check",
        help="say what a file is, what it lacks and what training on it would take; loads nothing, "
        "exit 2 if it cannot be used",
    )
    check.add_argument("file", type=Path, help="checkpoint or ControlNet, .safetensors or .ckpt")
    group = check.add_argument_group(
        "the training whose memory is told (resolution: what the family was made for)"
    )
    add_flags(group, TrainConfig, only=_ASKED)
    check.add_argument("--json", action="store_true", help="print JSON for programs")
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    import torch

    from .model_check import check_model
    from .terminal import quiet_libraries

    quiet_libraries()
    config = config_from_flags(TrainConfig, arguments)
    formats = {"fp32": torch.float32, "fp16": torch.float16, "fp64": torch.float64}
    report = check_model(
        arguments.file,
        config,
        resolution=getattr(arguments, "resolution", None),
        dtype=formats.get(config.precision, torch.bfloat16),
    )
    print(json.dumps(_as_json(report), indent=2) if arguments.json else _as_text(report))
    return 0


def _as_text(report: ModelReport) -> str:
    formats = ", ".join(
        f"{kind} ({count} tensors)" if len(report.formats) > 1 else kind
        for kind, count in sorted(report.formats.items(), key=lambda pair: -pair[1])
    )
    lines = [f"{report.path}: {report.what}, {report.num_bytes / 1e9:.2f} GB, {formats}"]
    lines += [
        f"{part}: {count / 1e6:,.1f} M parameters" for part, count in report.parameters.items()
    ]
    config = report.config
    if config is None:
        lines.append(f"goes with: {report.family}")
        return "\n".join(lines)
    snr = ", down to pure noise (zero terminal SNR)" if report.zero_terminal_snr else ""
    lines.append(f"predicts: {_SAYS[str(report.prediction_type)]}{snr}")
    lines.append("lacks: nothing")
    asked = "bf16" if config.precision == "auto" else config.precision
    pictures = "one picture" if config.batch_size == 1 else f"{config.batch_size} pictures"
    lines.append(
        f"training at {config.resolution} x {config.resolution} in {asked}, preset "
        f"{config.preset}, rank {config.rank}, {pictures} at once, without the backbone's share:"
    )
    for cost in report.costs:
        parts = cost.estimate.parts()
        largest = max(cost.estimate.branches.values())
        weights = sum(cost.estimate.weights.values())
        lines.append(
            f"  --memory {cost.level:<9} {cost.estimate.peak / _GIB:5.1f} GiB: weights "
            f"{weights / _GIB:.1f}, LoRA and optimizer "
            f"{(parts['LoRA'] + parts['optimizer']) / _GIB:.1f}, a step {largest / _GIB:.1f}"
        )
    return "\n".join(lines)


def _as_json(report: ModelReport) -> dict[str, object]:
    training = None
    if report.config is not None:
        training = {
            "resolution": report.config.resolution,
            "rank": report.config.rank,
            "batch_size": report.config.batch_size,
            "peak_bytes": {cost.level: cost.estimate.peak for cost in report.costs},
            "parts": {cost.level: cost.estimate.parts() for cost in report.costs},
        }
    return {
        "file": str(report.path),
        "what": report.what,
        "family": report.family,
        "bytes": report.num_bytes,
        "formats": report.formats,
        "parameters": report.parameters,
        "prediction_type": report.prediction_type,
        "zero_terminal_snr": report.zero_terminal_snr,
        "training": training,
    }
