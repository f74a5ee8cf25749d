"""What a file of weights is, and what training on it would take, without loading it.

Lives here: the report of `scoft model check`. Its networks are built from the names and shapes in
the file's header, on the meta device, so that everything that loading would refuse is refused here,
in the same sentence, in seconds.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .config import MemoryConfig, TrainConfig
from .control_models import kind_by_channels
from .errors import ModelFileError
from .memory import LEVELS, decide_memory
from .memory_estimate import MemoryEstimate, training_model
from .options import validate
from .single_file_networks import checkpoint_parts_of, controlnet_of_file
from .single_files import FILE_SUFFIXES, WeightsFile, open_weights, recognise

__all__ = ["ModelReport", "TrainingCost", "check_model"]

_FORMAT_NAMES = {"F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16"}


@dataclass(frozen=True)
class TrainingCost:
    """What a training would hold on its device.

    Attributes:
        level: of `memory`.
        estimate: in bytes.
    """

    level: str
    estimate: MemoryEstimate


@dataclass(frozen=True)
class ModelReport:
    """What a file is.

    Attributes:
        path: the file.
        what: a noun, say "an SDXL checkpoint".
        family: "sd1", "sd2", "sdxl"; of a ControlNet what it goes with, in words.
        formats: number format -> how many tensors of weights have it.
        num_bytes: of the file.
        parameters: part -> how many numbers it has.
        prediction_type: "epsilon" or "v_prediction"; None for a ControlNet.
        zero_terminal_snr: whether its schedule ends in pure noise.
        config: what `costs` are for; None for a ControlNet.
        costs: for each level of `memory`, in bf16 unless asked otherwise.
    """

    path: Path
    what: str
    family: str
    formats: dict[str, int]
    num_bytes: int
    parameters: dict[str, int]
    prediction_type: str | None = None
    zero_terminal_snr: bool = False
    config: TrainConfig | None = None
    costs: tuple[TrainingCost, ...] = ()


def check_model(
    path: Path, config: TrainConfig, *, resolution: int | None, dtype: torch.dtype
) -> ModelReport:
    """Say what a checkpoint's or a ControlNet's file is and what training on it would take.

    Args:
        path: a file that `load_base` or `load_controlnet` reads.
        config: of the training whose cost is told.
        resolution: of its pictures; None takes the one that the family was made for.
        dtype: of its frozen networks.

    Raises:
        ModelFileError: whatever loading the file would refuse: its kind, a missing part, quantised
            weights, damage.
        ConfigError: the resolution is out of range.
    """
    if not path.is_file():
        kinds = ", ".join(FILE_SUFFIXES)
        raise ModelFileError(f"{path}: there is no such file. Name a file of weights ({kinds}).")
    file = open_weights(path)
    contents = recognise(file)
    known: dict[str, Any] = {
        "path": path,
        "what": contents.what,
        # Counters beside the weights, such as positions, are whole numbers and say nothing.
        "formats": dict(
            Counter(
                _FORMAT_NAMES.get(kind, kind)
                for kind in file.formats.values()
                if not kind.startswith(("I", "U", "BOOL", "int", "uint", "bool"))
            )
        ),
        "num_bytes": path.stat().st_size,
    }
    if contents.kind == "controlnet":
        network = controlnet_of_file(path, dtype, numbers=False)
        family = kind_by_channels(network.config.cross_attention_dim)
        return ModelReport(**known, family=family, parameters={"ControlNet": _count(network)})
    return _checkpoint_report(file, known, config, resolution, dtype)


def _checkpoint_report(
    file: WeightsFile,
    known: dict[str, Any],
    config: TrainConfig,
    resolution: int | None,
    dtype: torch.dtype,
) -> ModelReport:
    parts = checkpoint_parts_of(file.without_numbers(), dtype)
    predicts_v = parts.prediction_type == "v_prediction"
    native = {"sd1": 512, "sd2": 768 if predicts_v else 512, "sdxl": 1024}[parts.family]
    config = dataclasses.replace(config, resolution=resolution or native)
    validate(config)
    model = training_model(parts.unet, parts.vae, config, dtype=dtype)
    encoders = {
        f"text encoder{f' {number}' if number > 1 else ''}": _count(encoder)
        for number, encoder in enumerate(parts.text_encoders, start=1)
    }
    return ModelReport(
        **known,
        family=parts.family,
        parameters={"UNet": _count(parts.unet), "VAE": _count(parts.vae), **encoders},
        prediction_type=parts.prediction_type,
        zero_terminal_snr=bool(parts.alphas_cumprod[-1] < 1e-6),
        config=config,
        costs=tuple(
            TrainingCost(level, model.estimate(_choices(level, config))) for level in LEVELS
        ),
    )


def _choices(level: str, config: TrainConfig) -> MemoryConfig:
    return decide_memory(
        MemoryConfig(memory=level), batch_size=config.batch_size, fits=lambda _: True
    )


def _count(network: torch.nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())
