"""Feature vectors of pictures: pooled, checked, put in an order.

What the measures (`metrics`) and their intervals (`intervals`) share. All checks answer in one
sentence; what they return is float64 on the CPU, whatever network and device it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from .errors import ConfigError

__all__ = [
    "canonical_order",
    "checked",
    "embed",
    "require_axes",
    "unit",
]


def embed(
    features: Callable[[Tensor], Tensor | list[Tensor]], images: Tensor, *, batch_size: int = 16
) -> Tensor:
    """Return one vector a picture: every feature map's mean over its places, concatenated.

    Where the measure is defined on another vector, pass a function that returns it, say the class
    token: `lambda images: backbone.features(images)[0][:, 0]`.

    Args:
        features: (batch, 3, height, width) in [0, 1] -> one tensor or a list of them, each
            (batch, channels), (batch, tokens, channels) or (batch, channels, rows, columns).
        images: (pictures, 3, height, width) in [0, 1], on the device that `features` expects.
        batch_size: pictures that go through the network at once.

    Returns:
        (pictures, dim), float32 or wider, on the CPU, without gradient.

    Raises:
        ConfigError: no pictures, no batch, or features of another shape.
    """
    require_axes("images", images, ("pictures", "channels", "height", "width"))
    if batch_size < 1:
        raise ConfigError(f"`batch_size` must be 1 or more but got {batch_size}.")
    vectors = []
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            answer = features(batch)
            maps = [answer] if isinstance(answer, Tensor) else answer
            vectors.append(torch.cat([_pooled(one, len(batch)) for one in maps], dim=1).cpu())
    return torch.cat(vectors)


def canonical_order(vectors: Tensor, keys: Sequence[str] | None = None) -> Tensor:
    """Return the places of the vectors in an order that does not depend on the one they came in.

    Args:
        vectors: (pictures, dim).
        keys: one a picture, say its file's digest: sorted by these. None sorts by the first
            number, then the second and so on; two computations of the same features that differ
            in the last digits may then order two nearly equal pictures differently.

    Returns:
        (pictures,) integers.

    Raises:
        ConfigError: not one key a picture.
    """
    if keys is None:
        return torch.from_numpy(np.lexsort(vectors.numpy().T[::-1]).copy())
    if len(keys) != len(vectors):
        raise ConfigError(
            f"{len(vectors)} pictures have {len(keys)} keys to order them by. Pass one a picture."
        )
    return torch.tensor(sorted(range(len(keys)), key=lambda place: keys[place]))


def require_axes(name: str, tensor: Tensor, axes: tuple[str, ...]) -> None:
    """Raise ConfigError unless the tensor has as many axes as are named, none of them empty."""
    if tensor.ndim != len(axes) or tensor.numel() == 0:
        raise ConfigError(
            f"`{name}` must be ({', '.join(axes)}), none of them 0, but got {tuple(tensor.shape)}."
        )


def checked(name: str, tensor: Tensor, axes: tuple[str, ...]) -> Tensor:
    """Return the tensor in float64 on the CPU.

    Raises:
        ConfigError: other axes, an empty one, or a number that is NaN or infinite.
    """
    require_axes(name, tensor, axes)
    if not bool(tensor.isfinite().all()):
        raise ConfigError(
            f"`{name}` holds NaN or infinite numbers, of which nothing can be measured. Run the "
            "network in float32."
        )
    return tensor.detach().to("cpu", torch.float64)


def unit(name: str, tensor: Tensor, axes: tuple[str, ...]) -> Tensor:
    """Return what `checked` does, each vector along the last axis scaled to length 1.

    Raises:
        ConfigError: as `checked`, or a vector of length 0.
    """
    vectors = checked(name, tensor, axes)
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    if bool((lengths == 0).any()):
        raise ConfigError(
            f"`{name}` holds a vector of length 0, which has no direction to compare. Embed with "
            "another network."
        )
    return vectors / lengths


def _pooled(feature: Tensor, count: int) -> Tensor:
    """(batch, ...) -> (batch, channels), the mean over tokens or over rows and columns."""
    if feature.ndim not in (2, 3, 4) or len(feature) != count:
        raise ConfigError(
            "Features must be (batch, channels), (batch, tokens, channels) or (batch, channels, "
            f"rows, columns) but {count} pictures got {tuple(feature.shape)}. Choose another "
            "network, or shape its features."
        )
    # In half precision a sum over many places would lose what is small.
    wide = feature.to(torch.promote_types(feature.dtype, torch.float32))
    if wide.ndim == 2:
        return wide
    return wide.mean(dim=1) if wide.ndim == 3 else wide.mean(dim=(2, 3))
