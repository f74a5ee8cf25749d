"""The one interface of perceptual networks: pictures in [0, 1] -> features, and their distance.

Every network is frozen and stays in eval mode; gradients go to the pictures only. Not here: the
networks themselves (`clip_networks`, `dreamsim_network`, `hub_networks`, `lpips_network`) and their
names (`backbones`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import ConfigError
from .files import digest_json, digest_tensors
from .weight_folders import FolderSpec, find_folder
from .weights import WeightsSpec, find_weights

__all__ = ["BackboneRequest", "PerceptualBackbone", "network_digest"]


class PerceptualBackbone(nn.Module):
    """One frozen network behind the one interface that losses, filter and metrics use.

    Args:
        name: under which it is registered.
        network: holds the weights, on CPU and in the file's number formats; it is cast to `dtype`.
        settings: everything else that decides the features, for the digest.
        dtype: of the network. Preprocessing and distances are float32, or float64 with float64.
        image_size: side to which pictures are resized; None leaves them as they are.
        constants: small tensors beside the network, which stay float32 or wider.
        filter_threshold: see below.

    Attributes:
        digest: sha256 over weights (names, shapes, values) and settings, `dtype` among them. Files
            that hold the same values in fp16 and in fp32 have the same digest.
        filter_threshold: distance under which a negative counts as false, since it already looks
            like its picture (section 4.4); None where nobody has measured one.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        *,
        settings: Mapping[str, Any],
        dtype: torch.dtype,
        image_size: int | None = None,
        constants: Mapping[str, Tensor],
        filter_threshold: float | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.filter_threshold = filter_threshold
        self.image_size = image_size
        self.dtype = dtype
        self.wide_dtype = torch.float64 if dtype == torch.float64 else torch.float32
        identity = {
            **settings,
            "class": type(self).__name__,
            "dtype": str(dtype),
            "image_size": image_size,
        }
        self.digest = network_digest({**network.state_dict(), **constants}, identity)
        self.network = network.to(dtype)
        for key, value in constants.items():
            self.register_buffer(key, value.to(self.wide_dtype), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the features of pictures.

        Args:
            images: (batch, 3, height, width) in [0, 1].

        Returns:
            Tensors of shape (batch, ...); differentiable in images.

        Raises:
            ConfigError: images have another shape.
        """
        raise NotImplementedError

    def distance(self, features: list[Tensor], other: list[Tensor]) -> Tensor:
        """Return S, (batch,), zero for equal features; here the mean of squared differences.

        It is computed in float32 or wider, whatever the features are in.
        """
        terms = [
            (self._wide(one) - self._wide(two)).square().flatten(1).mean(dim=1)
            for one, two in zip(features, other, strict=True)
        ]
        return torch.stack(terms).sum(dim=0)

    def train(self, mode: bool = True) -> PerceptualBackbone:  # noqa: ARG002 - the base class's
        """Stay in eval mode: a batch norm that follows the batch would be another network."""
        return super().train(False)

    def _wide(self, tensor: Tensor) -> Tensor:
        return tensor.to(torch.promote_types(tensor.dtype, self.wide_dtype))

    def _checked(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3:
            raise ConfigError(
                f"`images` must be (batch, 3, height, width) but got {tuple(images.shape)}. Pass "
                "pictures with three colour channels, and one alone as a batch of one."
            )
        return images.to(self.wide_dtype)

    def _resized(self, images: Tensor) -> Tensor:
        """Squeeze whole pictures into the network's square: bicubic, antialiased, differentiable.

        Args:
            images: (batch, 3, height, width) in [0, 1].

        Returns:
            (batch, 3, image_size, image_size), float32 or wider.
        """
        images = self._checked(images)
        for dim in (-2, -1):
            if images.shape[dim] != self.image_size:
                matrix = _resize_matrix(
                    images.shape[dim], int(self.image_size or 0), images.dtype, images.device
                )
                images = torch.tensordot(images, matrix, dims=([dim], [1])).movedim(-1, dim)
        return images


@dataclass(frozen=True)
class BackboneRequest:
    """What a loader is asked for; the fields are those of `backbones.load_backbone`."""

    dtype: torch.dtype
    weights: Path | None = None
    allow_download: bool = True
    search_folders: Sequence[Path] = ()

    def find(self, spec: WeightsSpec) -> Path:
        """Return the file with the weights that `spec` describes, by `find_weights`."""
        return find_weights(
            spec,
            explicit=self.weights,
            allow_download=self.allow_download,
            search_folders=self.search_folders,
        )

    def find_folder(self, spec: FolderSpec) -> tuple[Path, ...]:
        """Return the files that `spec` describes, in its order, by `find_folder`."""
        return find_folder(
            spec,
            explicit=self.weights,
            allow_download=self.allow_download,
            search_folders=self.search_folders,
        )


def network_digest(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> str:
    """Return the sha256 of a network: its weights, in whatever format, and its settings."""
    # float32 holds every fp16 and bf16 number, so the file's own format does not matter.
    wide = {
        name: tensor.to(torch.promote_types(tensor.dtype, torch.float32))
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
    }
    return digest_json({"weights": digest_tensors(wide), "settings": settings})


@lru_cache(maxsize=16)
def _resize_matrix(size: int, new_size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (new_size, size): bicubic antialiased resizing of one axis as a product.

    It is torch's own interpolation, read off at the unit vectors. As a product its backward pass
    is repeatable on CUDA to the last bit, which interpolate's is not, and resumed runs rely on it.
    """
    with torch.inference_mode(False):
        units = torch.eye(size, dtype=torch.float64)[None, None]
        matrix = nn.functional.interpolate(
            units, size=(new_size, size), mode="bicubic", antialias=True
        )
        return matrix[0, 0].to(device=device, dtype=dtype)
