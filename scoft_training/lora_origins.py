"""What only the style that a LoRA came from can say, kept in its header while it is in another.

Lives here: that header entry, noted, read and put back. Not here: when (`lora_conversion`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .lora_files import alpha_tensor
from .lora_layers import LoraLayer
from .lora_names import SPELLINGS, Spelling

__all__ = ["ORIGIN", "Layers", "Origin", "every_layer", "noted_origin", "read_origin"]

ORIGIN = "scoft.converted_from"
"""The header entry."""

Layers: TypeAlias = Mapping[str, Mapping[str, LoraLayer]]
"""Layers by component, then by path."""


@dataclass(frozen=True)
class Origin:
    """What the other styles cannot say. Layers are named `<component>.<path>` here.

    `spelling` is a name in `SPELLINGS`. `alpha` is the number format of most alphas and how many
    dimensions they have, `alphas` of those that differ, None where there is none. `shapes` has the
    tensors that were reshaped to their weight's dimensions. `record` is diffusers' header entry;
    `configs` and `headers` are what peft's files say, by component.
    """

    spelling: str
    alpha: list[Any] | None
    alphas: Mapping[str, list[Any] | None]
    shapes: Mapping[str, list[int]]
    record: str | None
    configs: Mapping[str, str]
    headers: Mapping[str, Mapping[str, str]]

    def text(self) -> str:
        """Return the header entry."""
        return json.dumps(asdict(self), ensure_ascii=False)

    def alpha_as_was(self, name: str, alpha: float, unsaid: float) -> Tensor | None:
        """Return a layer's alpha in the format it had, or None if it had none.

        Args:
            name: of the layer.
            alpha: its value now; one that the old format cannot hold gets a new one.
            unsaid: the value that a missing alpha stands for.
        """
        known = self.alphas.get(name, self.alpha)
        if known is None:
            return None if alpha == unsaid else alpha_tensor(alpha)
        dtype, dimensions = known
        tensor = torch.full((1,) * dimensions, alpha, dtype=getattr(torch, dtype))
        return tensor if tensor.item() == alpha else alpha_tensor(alpha)

    def shaped_as_was(self, name: str, tensor: Tensor) -> Tensor:
        """Return a tensor, named `<component>.<path>.<part>`, in the shape it had."""
        shape = self.shapes.get(name, tensor.shape)
        return tensor.reshape(shape) if torch.Size(shape).numel() == tensor.numel() else tensor


def noted_origin(
    spelling: str,
    layers: Layers,
    tensors: Mapping[str, Mapping[str, Tensor]],
    ldm: Mapping[str, str],
    *,
    record: str | None,
    configs: Mapping[str, str],
    headers: Mapping[str, Mapping[str, str]],
) -> Origin:
    """Note what a file says beyond its layers.

    Args:
        spelling: of the file.
        layers: what was read.
        tensors: the file's own, by component, then by key.
        ldm: LDM's path of each of the UNet's modules.
        record: as in `Origin`.
        configs: as in `Origin`.
        headers: as in `Origin`.
    """
    form = SPELLINGS[spelling]
    formats: dict[str, str] = {}
    shapes = {}
    for component, path, layer in every_layer(layers):
        name, own = f"{component}.{path}", tensors[component]
        for part, tensor in (("down", layer.down), ("up", layer.up)):
            shape = own[form.key(component, path, part, ldm)].shape
            if shape != tensor.shape:
                shapes[f"{name}.{part}"] = list(shape)
        formats[name] = json.dumps(_alpha_format(form, component, path, own, ldm))
    usual = Counter(formats.values()).most_common(1)[0][0]
    return Origin(
        spelling=spelling,
        alpha=json.loads(usual),
        alphas={name: json.loads(own) for name, own in formats.items() if own != usual},
        shapes=shapes,
        record=record,
        configs=configs,
        headers=headers,
    )


def read_origin(text: str | None) -> Origin | None:
    """Read the header entry; None if there is none that makes sense."""
    try:
        origin = Origin(**json.loads(text or ""))
        return origin if _makes_sense(origin) else None
    except (ValueError, TypeError, AttributeError):
        return None


def _makes_sense(origin: Origin) -> bool:
    """Return whether the entry is as `noted_origin` writes it; a file may say anything."""
    headers = [*origin.headers.values(), origin.configs]
    texts = [text for header in headers for text in header.values()]
    sizes = [size for shape in origin.shapes.values() for size in shape]
    formats = [known for known in (origin.alpha, *origin.alphas.values()) if known is not None]
    return (
        origin.spelling in SPELLINGS
        and isinstance(origin.record, str | None)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(size, int) and size > 0 for size in sizes)
        and all(
            isinstance(getattr(torch, dtype, None), torch.dtype) and dimensions in range(5)
            for dtype, dimensions in formats
        )
    )


def every_layer(layers: Layers) -> Iterator[tuple[str, str, LoraLayer]]:
    """Go through (component, path, layer)."""
    for component, by_path in layers.items():
        for path, layer in by_path.items():
            yield component, path, layer


def _alpha_format(
    form: Spelling, component: str, path: str, own: Mapping[str, Tensor], ldm: Mapping[str, str]
) -> list[Any] | None:
    if "alpha" not in form.endings:
        return None
    alpha = own.get(form.key(component, path, "alpha", ldm))
    return None if alpha is None else [str(alpha.dtype).removeprefix("torch."), alpha.ndim]
