"""The LoRAs of a grid's models: named ones, and those that a run left, by training step."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .errors import ConfigError, ModelFileError
from .grids import GridSource
from .lora_files import lora_from_state_dict, read_lora, read_metadata
from .lora_layers import Lora

__all__ = ["named_lora", "read_any_lora", "run_loras"]

_NAME = re.compile(r"step-(\d{8})\.safetensors")
_OF_CHECKPOINT = {"run_id", "step", "values"}
"""What a checkpoint's header holds, and no LoRA's (`checkpoints`)."""
_ADAPTER = "lora."
"""How the names of a checkpoint's LoRA weights begin (`trainer`)."""


@dataclass(frozen=True)
class _Begun:
    """What is needed of a run's config.json."""

    run_id: str
    steps: int
    alpha: float


def named_lora(text: str) -> tuple[str, str, float]:
    """Return name, file and strength of `name = file @ strength`.

    Without a name it is the file's without its folder and ending, without a strength 1. A file's
    name may hold these signs itself where a name, or a strength, is given.

    Raises:
        ConfigError: there is no file.
    """
    name, equals, rest = (part.strip() for part in text.partition("="))
    if not equals:
        name, rest = "", text.strip()
    strength = 1.0
    if match := re.fullmatch(r"(.+?)\s*@\s*([+-]?[0-9]*\.?[0-9]+)", rest):
        rest, strength = match[1], float(match[2])
    if not rest:
        raise ConfigError(f"{text!r}: names no LoRA file. Write NAME=FILE, or NAME=FILE@STRENGTH.")
    return name or PurePath(rest.replace("\\", "/")).stem, rest, strength


def run_loras(run_folder: Path) -> list[GridSource]:
    """Return a run's LoRAs by training step, called "step 150" and so on.

    They are its snapshots, its checkpoints of steps without a snapshot, and the finished LoRA.

    Args:
        run_folder: of one run, finished or not, as `<work folder>/runs/<run id>`.

    Raises:
        ConfigError: it is no run's folder, or no LoRA is in it yet.
    """
    run_folder = Path(run_folder)
    begun = _begun(run_folder)
    files: dict[int, Path] = {}
    for part in ("checkpoints", "snapshots"):
        folder = run_folder / part
        for path in folder.iterdir() if folder.is_dir() else ():
            if match := _NAME.fullmatch(path.name):
                files[int(match[1])] = path
    finished = run_folder / "lora.safetensors"
    if finished.is_file():
        files[begun.steps] = finished
    # A checkpoint that was written before the first step has learned nothing.
    steps = [step for step in sorted(files) if step]
    if not steps:
        raise ConfigError(
            f"{run_folder}: this run has no LoRA yet. Let it train, with `snapshot_every` or "
            "`save_every` above 0."
        )
    return [
        GridSource(f"step {step}", files[step], step=step, run_id=begun.run_id) for step in steps
    ]


def read_any_lora(path: Path, unet: nn.Module) -> Lora:
    """Read a LoRA file, or the LoRA inside a checkpoint that lies in its run's folder.

    Args:
        path: `.safetensors`.
        unet: that the LoRA is for.

    Raises:
        ModelFileError: it is neither, is damaged, or was made for another UNet.
        ConfigError: it is a checkpoint, and its run's config.json, which holds alpha, is gone.
    """
    if not read_metadata(path).keys() >= _OF_CHECKPOINT:
        return read_lora(path, unet)
    alpha = torch.tensor(_begun(path.parent.parent).alpha, dtype=torch.float64)
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            for key in file.keys():
                if key.startswith(_ADAPTER):
                    name = key.removeprefix(_ADAPTER)
                    tensors[name] = file.get_tensor(key).clone()
                    tensors[f"{name.rpartition('.lora_')[0]}.alpha"] = alpha
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"{path}: is damaged ({error}). Take a LoRA of another step."
        ) from error
    return lora_from_state_dict(tensors, unet, where=str(path))


def _begun(run_folder: Path) -> _Begun:
    path = run_folder / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        config = values["config"]
        alpha = float(config["alpha"] or config["rank"])
        return _Begun(str(values["run_id"]), int(config["steps"]), alpha)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{run_folder}: is no run's folder, since its config.json cannot be read ({error}). "
            "Name a folder as <work folder>/runs/<run id>."
        ) from error
