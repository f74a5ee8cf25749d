"""Plots of numbers as the host's IMAGE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import host

if TYPE_CHECKING:
    import torch

    from ..scoft_training.plots import Plot

__all__ = ["images"]


def images(plots: Sequence[Plot]) -> torch.Tensor:
    """Plots -> IMAGE (plots, height, width, 3), the lower ones with paper below them."""
    import torch

    if not plots:
        return torch.ones(1, 64, 64, 3)
    drawn = [host.to_image(plot.image()) for plot in plots]
    height = max(image.shape[1] for image in drawn)
    room = [(0, 0, 0, 0, 0, height - image.shape[1]) for image in drawn]
    return torch.cat(
        [
            torch.nn.functional.pad(image, below, value=1.0)
            for image, below in zip(drawn, room, strict=True)
        ]
    )
