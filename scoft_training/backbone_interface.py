"""The one interface of perceptual networks: pictures in [0, 1] -> features, and their distance.

Every network is frozen and stays in eval mode; gradients go to the pictures only. Not here: the
networks themselves (`clip_networks`, `lpips_network`) and their names (`backbones`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import ConfigError
from .files import digest_json, digest_tensors
from .weights import WeightsSpec, find_weights

__all__ = ["BackboneRequest", "PerceptualBackbone"]


class PerceptualBackbone(nn.Module):
    """One frozen network behind the one interface that losses, filter and metrics use.

    Args:
        name: under which it is registered.
        network: holds the weights, on CPU and in the file's number formats; it is cast to `dtype`.
        settings: everything else that decides the features, for the digest.
        dtype: of the network. Preprocessing and distances are float32, or float64 with float64.
        image_size: side to which pictures are resized; None leaves them as they are.
        constants: small tensors beside the network, which stay float32 or wider.

    Attributes:
        digest: sha256 over weights (names, shapes, values) and settings, `dtype` among them. Files
            that hold the same values in fp16 and in fp32 have the same digest.
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
    ) -> None:
        super().__init__()
        self.name = name
        self.image_size = image_size
        self.dtype = dtype
        self.wide_dtype = torch.float64 if dtype == torch.float64 else torch.float32
        identity = {
            **settings,
            "class": type(self).__name__,
            "dtype": str(dtype),
            "image_size": image_size,
        }
        self.digest = _digest({**network.state_dict(), **constants}, identity)
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


def _digest(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> str:
    # float32 holds every fp16 and bf16 number, so the file's own format does not matter.
    wide = {
        name: tensor.to(torch.promote_types(tensor.dtype, torch.float32))
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
    }
    return digest_json({"weights": digest_tensors(wide), "settings": settings})
