"""Depth of a cropped picture, pixel for pixel, and the 16-bit file that keeps it.

Which network estimates it and where its weights lie is `control_models`' matter.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .errors import ModelFileError
from .files import write_aside
from .pictures import open_depth

__all__ = ["DepthEstimator", "load_depth_picture", "save_depth_picture"]


class DepthEstimator:
    """A depth network behind one call: picture in [0, 1] -> depth in [0, 1], near things bright.

    Args:
        network: (1, 3, height, width) in [-1, 1] -> (1, height, width) or (1, 1, height, width), in
            any unit that grows towards the viewer; a torch module.
        digest: of its weights and of everything else that decides the depth.
        multiple: the network takes sides that are multiples of this (32 for MiDaS).
    """

    def __init__(
        self, network: Callable[[Tensor], Tensor], *, digest: str, multiple: int = 32
    ) -> None:
        self._network = network
        self._multiple = multiple
        self._device = torch.device("cpu")
        self.digest = digest

    def to(self, device: torch.device) -> DepthEstimator:
        """Move the network."""
        if isinstance(self._network, torch.nn.Module):
            self._network.to(device)
        self._device = device
        return self

    @torch.no_grad()
    def estimate(self, image: Tensor) -> Tensor:
        """Return the depth, (1, height, width) float32 in [0, 1] on CPU, of (3, height, width).

        The picture is padded to the right and below, not resized, so that depth lies on it pixel
        for pixel. A constant depth is 0 everywhere.

        Raises:
            ModelFileError: the network's numbers are not finite.
        """
        height, width = image.shape[-2:]
        padded = _padded(2 * image[None].to(self._device, torch.float32) - 1, self._multiple)
        depth = self._network(padded).reshape(1, *padded.shape[-2:])[:, :height, :width]
        depth = depth.float().cpu()
        if not bool(depth.isfinite().all()):
            raise ModelFileError(
                "The depth network gave numbers that are not finite. Its weights are damaged or of "
                "another network: fetch them again."
            )
        low, high = depth.min(), depth.max()
        if low == high:
            return torch.zeros_like(depth)
        return (depth - low) / (high - low)


def save_depth_picture(path: Path, depth: Tensor) -> None:
    """Write (1, height, width) depth in [0, 1] as a 16-bit grey PNG, aside and renamed."""
    numbers = (depth[0].double() * 65535).round().numpy().astype(np.uint16)
    picture = Image.fromarray(numbers)
    write_aside(path, lambda aside: picture.save(aside, format="PNG"))


def load_depth_picture(path: Path) -> Tensor:
    """Return what `save_depth_picture` wrote, (1, height, width) float32 in [0, 1].

    Raises:
        DatasetError: the file is gone or damaged.
    """
    picture = open_depth(path, where=f"Depth picture {path.name}")
    return torch.from_numpy(np.array(picture, dtype=np.float32))[None]


def _padded(images: Tensor, multiple: int) -> Tensor:
    """(batch, 3, height, width) -> the same with sides rounded up to a multiple."""
    height, width = images.shape[-2:]
    below, right = -height % multiple, -width % multiple
    # A reflection needs more pixels than it adds.
    mode = "reflect" if below < height and right < width else "replicate"
    return torch.nn.functional.pad(images, (0, right, 0, below), mode=mode)
