"""A LoRA in memory, in a peft adapter and in plain weights, and the ways between them.

Lives here: copying a LoRA out of an adapter and into one, merging it, its digest. Not here: its
file (`lora_files`), that file's header (`lora_metadata`) and making the adapter (`models`).

A LoRA layer adds strength * alpha / rank * up @ down to one weight; its name is the path of the
weight's module in diffusers' UNet.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from .errors import ConfigError, ModelFileError, unknown_name
from .files import digest_tensors

__all__ = [
    "Lora",
    "LoraLayer",
    "applied_lora",
    "fitted_layers",
    "load_into_adapter",
    "lora_digest",
    "lora_from_adapter",
    "merge_lora",
    "other_base_advice",
    "weights_by_path",
]

_Weighted: TypeAlias = "nn.Linear | nn.Conv2d"


@dataclass(frozen=True)
class LoraLayer:
    """The update alpha / rank * up @ down of one weight.

    `down` is (rank, in) for a linear layer and (rank, in, height, width) for a convolution; `up` is
    (out, rank) or (out, rank, 1, 1).
    """

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """Inner size of the product."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """The factor alpha / rank."""
        return self.alpha / self.rank


@dataclass(frozen=True)
class Lora:
    """A whole LoRA: layers by the path of their module in diffusers' UNet, and header strings."""

    layers: Mapping[str, LoraLayer]
    metadata: Mapping[str, str]


def lora_from_adapter(unet: nn.Module, adapter_name: str = "default") -> Lora:
    """Copy peft's LoRA layers out of a UNet, to the CPU, detached and sorted by name.

    Raises:
        ConfigError: the UNet has no adapter of that name.
    """
    layers = {}
    for name, module in _adapter(unet, adapter_name).items():
        down, up = (
            side[adapter_name].weight.detach().to("cpu", copy=True).contiguous()
            for side in (module.lora_A, module.lora_B)
        )
        layers[name] = LoraLayer(down, up, _adapter_alpha(module, adapter_name))
    return Lora(layers, {})


def load_into_adapter(unet: nn.Module, lora: Lora, adapter_name: str = "default") -> None:
    """Copy a LoRA into a peft adapter of the same layers, rank and alpha.

    Everything is compared before anything is copied, so a refused call changes nothing.

    Raises:
        ConfigError: no such adapter, or layers, rank, alpha or shapes differ.
    """
    adapter = _adapter(unet, adapter_name)
    if differing := sorted(adapter.keys() ^ lora.layers.keys()):
        owner = "the LoRA" if differing[0] in lora.layers else "the adapter"
        raise ConfigError(
            f"The LoRA has {len(lora.layers)} layers and the adapter to be filled "
            f"{len(adapter)}: '{differing[0]}' is only in {owner}. Start from a LoRA of the same "
            "layers, or from none."
        )
    for name, module in adapter.items():
        layer = lora.layers[name]
        rank, alpha = module.r[adapter_name], _adapter_alpha(module, adapter_name)
        if layer.rank != rank:
            raise ConfigError(
                f"The LoRA has rank {layer.rank} at '{name}', but `rank` is {rank}. Set `rank` to "
                f"{layer.rank}, or start from another LoRA."
            )
        # Loosely, since a file in half precision rounds its alpha.
        if not math.isclose(layer.alpha, alpha, rel_tol=1e-3):
            raise ConfigError(
                f"The LoRA has alpha {layer.alpha:g} at '{name}', but `alpha` is {alpha:g}. Set "
                f"`alpha` to {layer.alpha:g}, or start from another LoRA."
            )
        for tensor, side in ((layer.down, module.lora_A), (layer.up, module.lora_B)):
            if tensor.shape != side[adapter_name].weight.shape:
                raise ConfigError(
                    f"The LoRA has shape {tuple(tensor.shape)} at '{name}', but the adapter has "
                    f"{tuple(side[adapter_name].weight.shape)}. Start from a LoRA of this model."
                )
    with torch.no_grad():
        for name, module in adapter.items():
            module.lora_A[adapter_name].weight.copy_(lora.layers[name].down)
            module.lora_B[adapter_name].weight.copy_(lora.layers[name].up)


def merge_lora(unet: nn.Module, lora: Lora, strength: float = 1.0) -> None:
    """Add strength * alpha / rank * up @ down to the plain weights, in place.

    Computed in float32 or wider and rounded once to the weight's own dtype. Layers wrapped by peft
    are changed underneath the adapter. It cannot be taken back exactly; see `applied_lora`.

    Raises:
        ModelFileError: a layer is not in this UNet or has another shape; no weight has changed.
    """
    weights = weights_by_path(unet)
    with torch.no_grad():
        for name, layer in fitted_layers(lora.layers, weights, where="LoRA", metadata={}).items():
            weight = weights[name].weight
            dtype = torch.promote_types(weight.dtype, torch.float32)
            dtype = torch.promote_types(layer.up.dtype, dtype)
            up, down = (
                tensor.flatten(1).to(weight.device, dtype) for tensor in (layer.up, layer.down)
            )
            update = (strength * layer.scale * (up @ down)).reshape(weight.shape)
            weight.copy_(weight.to(dtype) + update)


@contextmanager
def applied_lora(unet: nn.Module, lora: Lora, strength: float = 1.0) -> Iterator[None]:
    """Merge a LoRA for the length of a `with` block, then put the weights back bit for bit.

    Copies of the touched weights wait in main memory, since subtracting the update again would
    leave rounding behind.

    Raises:
        ModelFileError: as `merge_lora`.
    """
    weights = weights_by_path(unet)
    fitted_layers(lora.layers, weights, where="LoRA", metadata={})
    originals = {name: weights[name].weight.detach().to("cpu", copy=True) for name in lora.layers}
    try:
        merge_lora(unet, lora, strength)
        yield
    finally:
        with torch.no_grad():
            for name, original in originals.items():
                weights[name].weight.copy_(original)


def lora_digest(lora: Lora) -> str:
    """Return the sha256 over names, shapes, dtypes, bytes and alphas; the header does not count."""
    tensors: dict[str, Tensor] = {}
    for name, layer in lora.layers.items():
        tensors[f"{name}.down"] = layer.down
        tensors[f"{name}.up"] = layer.up
        tensors[f"{name}.alpha"] = torch.tensor(layer.alpha, dtype=torch.float64)
    return digest_tensors(tensors)


def weights_by_path(unet: nn.Module) -> dict[str, _Weighted]:
    """Return linear layers and convolutions by path, as if no peft adapter were attached."""
    return {
        name.removesuffix(".base_layer"): module
        for name, module in unet.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and not re.search(r"\.lora_[AB]\.", name)
    }


def fitted_layers(
    layers: Mapping[str, LoraLayer],
    weights: Mapping[str, _Weighted],
    *,
    where: str,
    metadata: Mapping[str, str],
) -> dict[str, LoraLayer]:
    """Check every layer against the weight it changes, and give it the weight's dimensions.

    Args:
        layers: by path.
        weights: what `weights_by_path` returns.
        where: begins every message.
        metadata: the LoRA's header strings, asked for the base model it was made for.

    Raises:
        ModelFileError: a layer has no weight here, or one of another shape.
    """
    fitted = {}
    for name, layer in layers.items():
        if name not in weights:
            raise ModelFileError(f"{where}: no module of this UNet is called '{name}'.")
        shape, down, up = weights[name].weight.shape, layer.down, layer.up
        if down.ndim < 2 or up.ndim < 2 or down.shape[0] != up.shape[1] or down.shape[0] < 1:
            raise ModelFileError(
                f"{where}: layer '{name}' has down of shape {tuple(down.shape)} and up of shape "
                f"{tuple(up.shape)}, whose ranks do not fit each other. Use another file."
            )
        inputs, up_inner = math.prod(shape[1:]), math.prod(up.shape[2:])
        if (
            (up.shape[0], up_inner) != (shape[0], 1)
            or down.shape[1] != shape[1]
            or math.prod(down.shape[1:]) != inputs
        ):
            raise ModelFileError(
                f"{where}: layer '{name}' is for a weight of shape "
                f"{(up.shape[0], *down.shape[1:])}, but this UNet's has {tuple(shape)}. "
                f"{other_base_advice(metadata)}"
            )
        ones = (1,) * (len(shape) - 2)
        fitted[name] = replace(
            layer,
            down=down.reshape(layer.rank, *shape[1:]),
            up=up.reshape(shape[0], layer.rank, *ones),
        )
    return fitted


def other_base_advice(metadata: Mapping[str, str]) -> str:
    """Return what to do about a LoRA that does not fit, with the base model its header names."""
    version = metadata.get("ss_base_model_version") or metadata.get("modelspec.architecture")
    said = f" (its header says {version})" if version else ""
    return (
        f"The LoRA was made for another base model{said}: choose one made for this model, or load "
        "that base model."
    )


def _adapter(unet: nn.Module, adapter_name: str) -> dict[str, Any]:
    """Return peft's layers that hold the adapter, sorted by path."""
    wrapped = {name: module for name, module in unet.named_modules() if hasattr(module, "lora_A")}
    found = {
        name: module for name, module in sorted(wrapped.items()) if adapter_name in module.lora_A
    }
    if not found:
        known = sorted({known for module in wrapped.values() for known in module.lora_A})
        if not known:
            raise ConfigError("The UNet has no LoRA adapter. Attach one before this call.")
        raise ConfigError(unknown_name("LoRA adapter", adapter_name, known))
    return found


def _adapter_alpha(module: Any, adapter_name: str) -> float:
    rank, scale = module.r[adapter_name], module.scaling[adapter_name]
    alpha = float(module.lora_alpha[adapter_name])
    # scale * rank alone can miss alpha by a rounding, and alpha alone misses rsLoRA and set_scale.
    return alpha if alpha / rank == scale else float(scale * rank)
