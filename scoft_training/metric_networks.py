"""The networks that metrics measure with, by name: which there are, registering one, loading one.

Importing this room registers the built-in ones; a network's library is imported when that network
is loaded. Every perceptual backbone is one of them, too, by its own name. Not here: what a network
does (`metric_network_interface` and the rooms named after networks), pictures in files
(`picture_features`) and what is measured (`metrics`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from .backbone_interface import BackboneRequest, PerceptualBackbone
from .backbones import backbone_names, load_backbone
from .clip_networks import CLIP_VIT_B32
from .clip_score_network import CLIP_VIT_L14, load_clip_score
from .dino_networks import DINO_VITS16, load_dino, load_dinov2_token
from .errors import ConfigError, unknown_name
from .hub_networks import DINOV2
from .inception_network import INCEPTION, load_inception
from .metric_network_interface import MetricNetwork, TextMetricNetwork, squeezed
from .metrics import embed
from .models import resolve_device

__all__ = [
    "MetricNetwork",
    "MetricNetworkLoader",
    "TextMetricNetwork",
    "load_metric_network",
    "metric_network_names",
    "register_metric_network",
    "text_metric_network_names",
]

MetricNetworkLoader = Callable[[BackboneRequest], MetricNetwork]
"""Builds a network on CPU; its library is imported inside."""


@dataclass(frozen=True)
class _Entry:
    loader: MetricNetworkLoader
    reads_text: bool


_REGISTRY: dict[str, _Entry] = {}


def register_metric_network(
    name: str, loader: MetricNetworkLoader, *, reads_text: bool = False
) -> None:
    """Make a network known under `name`, in place of one or a backbone that had that name.

    Args:
        name: under which it is chosen.
        loader: builds it.
        reads_text: whether the loader returns a `TextMetricNetwork`.
    """
    _REGISTRY[name] = _Entry(loader, reads_text)


def metric_network_names() -> tuple[str, ...]:
    """Return the registered names, then those of the other perceptual backbones."""
    return (*_REGISTRY, *(name for name in backbone_names() if name not in _REGISTRY))


def text_metric_network_names() -> tuple[str, ...]:
    """Return the names of those that read texts, too, as CLIP Score needs."""
    return tuple(name for name, entry in _REGISTRY.items() if entry.reads_text)


def load_metric_network(
    name: str,
    *,
    weights: Path | None = None,
    device: torch.device | str = "auto",
    dtype: torch.dtype = torch.float32,
    allow_download: bool = True,
    search_folders: Sequence[Path] = (),
) -> MetricNetwork:
    """Return a network, ready on `device`; global random state is left alone.

    Args:
        name: one of `metric_network_names()`; of a backbone that is no metric network itself, the
            means of its feature maps are taken, as `metrics.embed` does.
        weights: its file or folder; None looks for it (`weights.find_weights`).
        device: where it is to compute; auto takes a GPU if there is one.
        dtype: float32 or float64.
        allow_download: whether missing weights may be fetched.
        search_folders: parents of helpers' folders, say the host's models/scoft.

    Raises:
        ConfigError: no such network, device or dtype, or its library is not installed.
        ModelFileError: its weights are not found or are not its.
    """
    _require_known(name)
    # Half precision moves KID by more than some pictures do.
    if dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"The metric network {name!r} cannot run in {dtype}. Choose float32 or float64."
        )
    chosen = resolve_device(str(device))
    request = BackboneRequest(dtype, weights, allow_download, search_folders)
    if name not in _REGISTRY:
        return _of_backbone(name, request).to(chosen)
    try:
        # The canvas runs in inference mode; and libraries' constructors draw random weights.
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            return _REGISTRY[name].loader(request).to(chosen)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The metric network {name!r} needs the Python package {error.name!r}, which is not "
            "installed. Run `pip install -r requirements.txt`, or choose another network."
        ) from error


class _BackboneNetwork(MetricNetwork):
    """A perceptual backbone's features, each map's mean over its places, side by side.

    Args:
        backbone: on the CPU, in float32 or float64.
    """

    def __init__(self, backbone: PerceptualBackbone) -> None:
        self._side = backbone.image_size
        side = self._side or 64
        dim = embed(backbone.features, torch.zeros(1, 3, side, side)).shape[1]
        size = f"squeezed to {side} x {side} pixels by Pillow's antialiased bicubic"
        super().__init__(
            backbone.name,
            backbone,
            settings={"backbone": backbone.digest},
            convention=(
                f"{backbone.name}: {_LAYERS.get(backbone.name, _MEANS)}; whole pictures, "
                f"{size if self._side else 'of their own size'}."
            ),
            dim=dim,
            dtype=backbone.dtype,
        )

    def prepare(self, images: Tensor) -> Tensor:
        """Return whole pictures squeezed to the backbone's size, if it has one."""
        return squeezed(images, self._side) if self._side else super().prepare(images)

    def _vectors(self, images: Tensor) -> Tensor:
        return embed(self.network.features, images, batch_size=len(images))


_MEANS = "its features as a perceptual backbone, each map's mean over its places"
_LAYERS = {
    name: "DreamSim's embedding (Fu et al. 2023), centred and of length 1, as the package gives it"
    for name in ("dreamsim", "dreamsim_vitb32")
}


def _of_backbone(name: str, request: BackboneRequest) -> _BackboneNetwork:
    backbone = load_backbone(
        name,
        weights=request.weights,
        device="cpu",
        dtype=request.dtype,
        allow_download=request.allow_download,
        search_folders=request.search_folders,
    )
    return _BackboneNetwork(backbone)


def _require_known(name: str) -> None:
    if name not in metric_network_names():
        raise ConfigError(unknown_name("metric network", name, metric_network_names()))


register_metric_network(INCEPTION.name, load_inception)
for _spec, _model_name in (
    (CLIP_VIT_B32, "ViT-B-32-quickgelu"),
    (CLIP_VIT_L14, "ViT-L-14-quickgelu"),
):
    register_metric_network(
        _spec.name, partial(load_clip_score, _spec, _model_name), reads_text=True
    )
register_metric_network(DINO_VITS16.name, load_dino)
register_metric_network(DINOV2.name, load_dinov2_token)
