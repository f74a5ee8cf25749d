"""Tensors of one file -> a network of diffusers or transformers: sizes read off, weights put in.

Not here: which networks a file holds (`single_file_networks`, `single_file_text`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .errors import ModelFileError
from .single_files import WeightsFile
from .weights import fill_network

__all__ = ["count", "filled", "foreign_layout", "renamed", "size"]


def count(names: Mapping[str, Any] | list[str], pattern: str) -> int:
    """Return one more than the highest number in the names that begin like `pattern`, or 0."""
    numbers = [int(found[1]) for name in names if (found := re.match(pattern, name))]
    return max(numbers, default=-1) + 1


def size(
    file: WeightsFile, part: str, tensors: Mapping[str, Tensor], name: str, dimension: int
) -> int:
    """Return how long a tensor is along a dimension."""
    if name not in tensors or tensors[name].ndim <= dimension:
        raise foreign_layout(file, part, f"{name} is missing or does not fit")
    return int(tensors[name].shape[dimension])


def renamed(
    file: WeightsFile,
    part: str,
    tensors: Mapping[str, Tensor],
    convert: Callable[..., dict[str, Tensor | None]],
    config: Mapping[str, Any],
) -> dict[str, Tensor]:
    """Return weights under diffusers' names; nothing of the file may be left out.

    Raises:
        ModelFileError: a weight that has no place in diffusers' network.
    """
    try:
        # The functions ask for every zero-convolution there could be, and give None for the rest.
        renamed = {k: t for k, t in convert(dict(tensors), config).items() if t is not None}
    except (KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise foreign_layout(file, part, f"{error} is missing or does not fit") from error
    if len(renamed) < len(tensors):
        # A convolution of one place becomes a view of itself.
        used = {id(tensor) for tensor in renamed.values()}
        used |= {id(tensor._base) for tensor in renamed.values()}
        left = [name for name, tensor in tensors.items() if id(tensor) not in used]
        raise ModelFileError(
            f"{file.path}: its {part} has weights beyond Stable Diffusion's layout ({left[0]}; "
            f"{len(left)} in all), which training would leave out. Name another file."
        )
    return renamed


def filled(
    file: WeightsFile, part: str, network_class: Any, config: Any, tensors: dict[str, Tensor]
) -> Any:
    """Make a network without weights and give it these, uncopied; frozen.

    Args:
        file: named in messages.
        part: likewise, say "UNet".
        network_class: of diffusers or transformers.
        config: keyword arguments of the class, or one config object.
        tensors: by the class's own names.

    Raises:
        ModelFileError: naming the first weights that are missing or do not fit.
    """
    from accelerate import init_empty_weights

    arguments = config if isinstance(config, dict) else {"config": config}
    try:
        # Buffers, such as the text encoder's positions, are in no file and are made for real.
        with torch.random.fork_rng(devices=[]), init_empty_weights(include_buffers=False):
            network = network_class(**arguments)
    except (RuntimeError, ValueError, TypeError, LookupError, ZeroDivisionError) as error:
        raise foreign_layout(file, part, "its sizes do not make a network") from error
    # transformers below 5.6 keeps the text model one level deeper; beside a projection all do.
    if any(name.startswith("text_model.") for name in network.state_dict()):
        tensors = {
            name if name.startswith("text_projection.") else f"text_model.{name}": tensor
            for name, tensor in tensors.items()
        }
    with torch.inference_mode(False):
        fill_network(
            network,
            tensors,
            path=file.path,
            expected=f"Stable Diffusion's {part}",
            remedy="The file is incomplete or of another kind: name another.",
        )
    return network.requires_grad_(False).eval()


def foreign_layout(file: WeightsFile, part: str, detail: str) -> ModelFileError:
    """Return the error for a part that is built otherwise than it should."""
    return ModelFileError(
        f"{file.path}: its {part} does not have Stable Diffusion's layout ({detail}). The file is "
        "incomplete or of another kind; name another."
    )
