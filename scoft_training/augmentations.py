"""Random perspective crops in front of a backbone, the same ones for both sides of a distance.

The authors' code compares pictures through several such crops; here their parameters are drawn
first, as plain numbers, so that a picture, its target and its negatives can share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import ConfigError

__all__ = ["Augmentation", "augment", "average_over_augmentations", "draw_augmentations"]

_DISTORTION = 0.5
_CROP_AREA = 0.8

_Corners = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Augmentation:
    """One perspective and one square crop, in pixels of the picture they were drawn for.

    Args:
        height: of the pictures.
        width: of the pictures.
        corners: where the perspective moves the picture's corners, as (x, y), clockwise from the
            upper left one.
        top: of the crop.
        left: of the crop.
        side: of the crop.
    """

    height: int
    width: int
    corners: _Corners
    top: int
    left: int
    side: int


def draw_augmentations(
    count: int, height: int, width: int, generator: torch.Generator
) -> list[Augmentation]:
    """Draw perspective crops as the authors' code does (method: L_P).

    Each corner moves inwards by up to half of half a side (torchvision's RandomPerspective with
    distortion 0.5), then a square of 0.8 of the picture's area is cut out at a random place.

    Args:
        count: how many.
        height: of the pictures they are for.
        width: of the pictures they are for.
        generator: on CPU; the only source of chance.
    """
    reach_x, reach_y = int(_DISTORTION * (width // 2)), int(_DISTORTION * (height // 2))
    side = min(round((_CROP_AREA * height * width) ** 0.5), height, width)

    def draw(most: int) -> int:
        return int(torch.randint(most + 1, (), generator=generator))

    augmentations = []
    for _ in range(count):
        corners: _Corners = (
            (draw(reach_x), draw(reach_y)),
            (width - 1 - draw(reach_x), draw(reach_y)),
            (width - 1 - draw(reach_x), height - 1 - draw(reach_y)),
            (draw(reach_x), height - 1 - draw(reach_y)),
        )
        top, left = draw(height - side), draw(width - side)
        augmentations.append(Augmentation(height, width, corners, top, left, side))
    return augmentations


def augment(images: Tensor, augmentations: Sequence[Augmentation], *, size: int = 224) -> Tensor:
    """Return every picture under every augmentation; differentiable in the pictures.

    What a perspective uncovers is black. Pictures that draw their own augmentations are passed one
    at a time, each together with those it is compared with. On CUDA the backward pass adds up in no
    fixed order, so two runs agree to rounding only.

    Args:
        images: (batch, 3, height, width) in [0, 1].
        augmentations: drawn for this height and width.
        size: side of what comes back, 224 as in the authors' code.

    Returns:
        (batch * count, 3, size, size): all augmentations of picture 0, then all of picture 1, ...;
        entry `picture * count + i` is picture under augmentations[i].

    Raises:
        ConfigError: an augmentation was drawn for another size of picture.
    """
    from torchvision.transforms.v2 import functional

    height, width = images.shape[-2:]
    whole = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    views = []
    for augmentation in augmentations:
        if (augmentation.height, augmentation.width) != (height, width):
            raise ConfigError(
                f"The augmentations were drawn for pictures of {augmentation.height} x "
                f"{augmentation.width} pixels, but these have {height} x {width}. Draw them for "
                "the size of the pictures."
            )
        corners = [list(corner) for corner in augmentation.corners]
        # Without `fill`, which would be black too but is written in place and breaks the gradient.
        view = functional.perspective(images, whole, corners)
        top, left, side = augmentation.top, augmentation.left, augmentation.side
        views.append(
            functional.resized_crop(view, top, left, side, side, [size, size], antialias=True)
        )
    return torch.stack(views, dim=1).flatten(0, 1)


def average_over_augmentations(distances: Tensor, count: int) -> Tensor:
    """Return each picture's mean distance, (batch,), from those of its views, (batch * count,)."""
    return distances.reshape(-1, count).mean(dim=1)
