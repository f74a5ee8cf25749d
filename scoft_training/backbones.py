"""The perceptual networks by name: which there are, registering one, loading one.

Importing this room registers the built-in ones; a network's library is imported when that network
is loaded. Not here: what a network does (`backbone_interface`, and `clip_networks`,
`dreamsim_network`, `hub_networks`, `lpips_network`) and where its weights lie (`weights`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from .backbone_interface import BackboneRequest, PerceptualBackbone
from .clip_networks import CLIP_RN50, CLIP_RN101, CLIP_VIT_B32, load_clip
from .dreamsim_network import ENSEMBLE, OPEN_CLIP_VITB32, load_dreamsim
from .errors import ConfigError, unknown_name
from .hub_networks import BLIP2, DINOV2, load_blip2, load_dinov2
from .lpips_network import VGG16, load_lpips

__all__ = [
    "BackboneLoader",
    "backbone_description",
    "backbone_names",
    "load_backbone",
    "register_backbone",
]

BackboneLoader = Callable[[BackboneRequest], PerceptualBackbone]
"""Builds a backbone on CPU; the network's library is imported inside."""


@dataclass(frozen=True)
class _Entry:
    loader: BackboneLoader
    description: str


_REGISTRY: dict[str, _Entry] = {}


def register_backbone(name: str, loader: BackboneLoader, *, description: str) -> None:
    """Make a backbone known under `name`, in place of one that had that name before."""
    _REGISTRY[name] = _Entry(loader, description)


def backbone_names() -> tuple[str, ...]:
    """Return the registered names, in the order of their registration."""
    return tuple(_REGISTRY)


def backbone_description(name: str) -> str:
    """Return the sentence that a backbone was registered with.

    Raises:
        ConfigError: there is no backbone of that name.
    """
    return _entry(name).description


def load_backbone(
    name: str,
    *,
    weights: Path | None = None,
    device: torch.device | str,
    dtype: torch.dtype,
    allow_download: bool = True,
    search_folders: Sequence[Path] = (),
) -> PerceptualBackbone:
    """Return a registered backbone, ready on `device`; global random state is left alone.

    Args:
        name: one of `backbone_names()`.
        weights: its file or folder; None looks for it (`weights.find_weights`).
        device: where it is to compute.
        dtype: of the network; pictures and distances stay float32 or wider.
        allow_download: whether missing weights may be fetched.
        search_folders: parents of helpers' folders, say the host's models/scoft.

    Raises:
        ConfigError: no backbone of that name, or its library is not installed.
        ModelFileError: its weights are not found or are not its.
    """
    entry = _entry(name)
    try:
        # The canvas runs in inference mode, whose tensors no gradient can pass; and the libraries'
        # constructors draw random weights, which are overwritten.
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            request = BackboneRequest(dtype, weights, allow_download, search_folders)
            return entry.loader(request).to(device=device)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The perceptual backbone {name!r} needs the Python package {error.name!r}, which is "
            "not installed. Run `pip install -r requirements.txt`, or choose another backbone."
        ) from error


def _entry(name: str) -> _Entry:
    if name not in _REGISTRY:
        raise ConfigError(unknown_name("perceptual backbone", name, _REGISTRY))
    return _REGISTRY[name]


for _spec, _model_name, _description in (
    (CLIP_RN101, "RN101-quickgelu", "CLIPConv: last convolutions of CLIP RN101 (section 4.3)."),
    (CLIP_RN50, "RN50-quickgelu", "CLIPConv on the smaller RN50."),
    (CLIP_VIT_B32, "ViT-B-32-quickgelu", "CLIP ViT-B/32's last block, as in the authors' code."),
):
    register_backbone(_spec.name, partial(load_clip, _spec, _model_name), description=_description)
register_backbone(VGG16.name, load_lpips, description="LPIPS on VGG16, at the pictures' own size.")
register_backbone(
    ENSEMBLE.spec.name,
    partial(load_dreamsim, ENSEMBLE),
    description="DreamSim's ensemble of DINO, CLIP and OpenCLIP ViT-B/16 (section 4.3).",
)
register_backbone(
    OPEN_CLIP_VITB32.spec.name,
    partial(load_dreamsim, OPEN_CLIP_VITB32),
    description="DreamSim on OpenCLIP ViT-B/32 alone, which is smaller.",
)
register_backbone(
    DINOV2.name, load_dinov2, description="DINOv2 ViT-L/14's last layer, before the norm."
)
register_backbone(
    BLIP2.name, load_blip2, description="BLIP-2's projected query embeddings (ViT-g)."
)
