"""DINO and DINOv2 by their class token, for likeness to training pictures: loading both.

Not here: DINOv2's tokens as a perceptual network (`hub_networks`) and the names to choose by
(`metric_networks`). transformers is imported when one of them is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .backbone_interface import BackboneRequest
from .hub_networks import DINOV2, IMAGENET_STATISTICS, hub_settings, load_hub_network
from .metric_network_interface import MetricNetwork, centre_cut
from .weight_folders import FolderSpec

__all__ = ["DINO_VITS16", "DinoNetwork", "load_dino", "load_dinov2_token"]

# Not seen on the hub itself: it is the snapshot that another public project names as its own.
_DINO_REVISION = "abe3b354cb6a9b6f146096b14a4a9d7eecbcb4bd"
DINO_VITS16 = FolderSpec(
    name="dino_vits16",
    files=(("config.json",), ("model.safetensors", "pytorch_model.bin")),
    link=f"https://huggingface.co/facebook/dino-vits16/tree/{_DINO_REVISION}",
    hub_repo="facebook/dino-vits16",
    hub_revision=_DINO_REVISION,
)

_SIDE, _SHORTEST = 224, 256
_ATTENTION = ("num_attention_heads", "layer_norm_eps", "hidden_act")


class DinoNetwork(MetricNetwork):
    """A vision transformer of transformers: its class token after the last norm.

    Args:
        title: what the convention calls it.
        network: whose `last_hidden_state` has the class token first.
        config: the network's.
        settings: of that config, for the digest.
    """

    def __init__(
        self,
        name: str,
        network: Any,
        *,
        title: str,
        config: Any,
        settings: Mapping[str, Any],
        dtype: torch.dtype,
    ) -> None:
        self._side = min(_SIDE, int(config.image_size))
        self._shortest = self._side * _SHORTEST // _SIDE
        mean, std = (torch.tensor(row, dtype=torch.float64) for row in IMAGENET_STATISTICS)
        network.register_buffer("pictures_mean", mean.view(3, 1, 1))
        network.register_buffer("pictures_std", std.view(3, 1, 1))
        super().__init__(
            name,
            network,
            settings={**settings, "shortest": self._shortest, "side": self._side},
            convention=(
                f"{title} by transformers, the class token after the last norm; pictures in 8 "
                f"bits, the shortest side resized to {self._shortest} pixels by antialiased "
                f"bicubic and {self._side} x {self._side} cut out of the centre, as its authors' "
                "evaluation does."
            ),
            dim=int(config.hidden_size),
            dtype=dtype,
        )

    def prepare(self, images: Tensor) -> Tensor:
        """Return pictures as the authors' evaluation cuts them, before mean and deviation."""
        return centre_cut(images, self._side, self._shortest)

    def _vectors(self, images: Tensor) -> Tensor:
        network = self.network
        pixel_values = (images - network.pictures_mean) / network.pictures_std
        token: Tensor = network(pixel_values=pixel_values).last_hidden_state[:, 0]
        return token


def load_dino(request: BackboneRequest) -> DinoNetwork:
    """Return DINO ViT-S/16, or as large as its config.json says: DreamBooth's DINO metric.

    Raises:
        ModelFileError: not found, or not the weights of such a network.
    """
    import transformers

    network, config = load_hub_network(
        transformers.ViTModel,
        request.find_folder(DINO_VITS16),
        request,
        model_type="vit",
        may_lack=("pooler.",),
        exact=("encoder.", "layers."),
    )
    network.pooler = None
    return DinoNetwork(
        DINO_VITS16.name,
        network,
        title="DINO ViT-S/16, DreamBooth's measure of likeness,",
        config=config,
        settings=hub_settings(config, *_ATTENTION, "qkv_bias"),
        dtype=request.dtype,
    )


def load_dinov2_token(request: BackboneRequest) -> DinoNetwork:
    """Return DINOv2, as large as its config.json says; the default is ViT-L/14 at 224 pixels.

    Raises:
        ModelFileError: not found, or not the weights of a DINOv2.
    """
    import transformers

    network, config = load_hub_network(
        transformers.Dinov2Model,
        request.find_folder(DINOV2),
        request,
        model_type="dinov2",
        may_lack=("embeddings.mask_token",),
        exact=("encoder.",),
    )
    # Nothing is masked.
    network.embeddings.mask_token = None
    return DinoNetwork(
        DINOV2.name,
        network,
        title="DINOv2",
        config=config,
        settings=hub_settings(config, *_ATTENTION, "use_swiglu_ffn"),
        dtype=request.dtype,
    )
