"""What peft and diffusers write about a LoRA beside its tensors: rank and alpha of each layer.

Lives here: reading and writing the fields that peft's `adapter_config.json` and diffusers' header
entry `lora_adapter_metadata` share. Not here: the files (`lora_files`, `lora_conversion`).

Rank and alpha are one number each, with patterns for the layers that differ. diffusers puts the
component before each field (`unet.r`), peft has one file for each component.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .errors import ModelFileError

__all__ = ["ADAPTER_RECORD", "AdapterRecord", "adapter_fields", "read_record", "recorded_name"]

ADAPTER_RECORD = "lora_adapter_metadata"
"""The header entry in which diffusers keeps the fields."""


_T = TypeVar("_T", int, float)


@dataclass(frozen=True)
class AdapterRecord:
    """Rank and alpha of each layer; without any field, every scale is 1."""

    rank: int | None
    alpha: float | None
    rank_patterns: Sequence[tuple[re.Pattern[str], int]]
    alpha_patterns: Sequence[tuple[re.Pattern[str], float]]
    rank_stabilized: bool

    def rank_of(self, name: str) -> int | None:
        """Return a layer's rank, if the record says one."""
        return _first(self.rank_patterns, name, self.rank)

    def alpha_of(self, name: str, rank: int) -> float:
        """Return the alpha with which alpha / rank is a layer's scale."""
        value = _first(self.alpha_patterns, name, self.alpha)
        if value is None:
            return float(rank)
        # rsLoRA divides by the root of the rank.
        return value * math.sqrt(rank) if self.rank_stabilized else value


def read_record(text: str, component: str, where: str) -> AdapterRecord:
    """Read the fields of one component from JSON.

    Args:
        text: an `adapter_config.json`, or diffusers' header entry.
        component: unet, text_encoder or text_encoder_2.
        where: begins every message.

    Raises:
        ModelFileError: not JSON, or not such fields.
    """
    try:
        fields = json.loads(text)
        prefix = f"{component}."
        own = {key[len(prefix) :]: fields[key] for key in fields if key.startswith(prefix)}
        own = own or fields  # peft's file has one network's, without a prefix
        return AdapterRecord(
            rank=None if own.get("r") is None else int(own["r"]),
            alpha=None if own.get("lora_alpha") is None else float(own["lora_alpha"]),
            rank_patterns=[
                (_pattern(key), int(value))
                for key, value in (own.get("rank_pattern") or {}).items()
            ],
            alpha_patterns=[
                (_pattern(key), float(value))
                for key, value in (own.get("alpha_pattern") or {}).items()
            ],
            rank_stabilized=bool(own.get("use_rslora")),
        )
    except (ValueError, TypeError, AttributeError, re.error) as error:
        raise ModelFileError(
            f"{where}: its record of alpha ({ADAPTER_RECORD} or adapter_config.json) cannot be "
            "read. Save the LoRA again with the program that made it."
        ) from error


def recorded_name(component: str, path: str) -> str:
    """Return the whole path by which a record names a layer, given a text encoder's short one."""
    return path if component == "unet" else f"text_model.{path}"


def adapter_fields(sizes: Mapping[str, tuple[int, float]], *, whole_paths: bool) -> dict[str, Any]:
    """Return the fields that say rank and alpha of each layer, as `LoraConfig` takes them.

    Args:
        sizes: (rank, alpha) by the layer's path.
        whole_paths: whether the paths begin at the model's root. A text encoder's do not: what
            comes before `encoder` depends on the version of transformers.
    """
    rank = Counter(rank for rank, _ in sizes.values()).most_common(1)[0][0]
    alpha = Counter(alpha for _, alpha in sizes.values()).most_common(1)[0][0]
    start = "^" if whole_paths else ""  # without it, a pattern may leave out a path's beginning
    return {
        "r": rank,
        "lora_alpha": _number(alpha),
        "rank_pattern": {f"{start}{name}": own for name, (own, _) in sizes.items() if own != rank},
        "alpha_pattern": {
            f"{start}{name}": _number(own) for name, (_, own) in sizes.items() if own != alpha
        },
        "target_modules": sorted(sizes),
    }


def _pattern(text: str) -> re.Pattern[str]:
    # A pattern may leave out the beginning of a layer's path: peft's own rule.
    return re.compile(rf"(?:.*\.)?(?:{text})$")


def _first(
    patterns: Iterable[tuple[re.Pattern[str], _T]], name: str, usual: _T | None
) -> _T | None:
    # transformers 5 builds a text encoder without the first part of its paths.
    names = (name, name.removeprefix("text_model."))
    return next((value for pattern, value in patterns if any(map(pattern.match, names))), usual)


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() else value
