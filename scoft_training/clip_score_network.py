"""CLIP's projected embeddings of pictures and texts, for CLIP Score and CLIP-I.

Not here: CLIP's picture tower as a perceptual network (`clip_networks`) and the names to choose by
(`metric_networks`). open_clip is imported when a CLIP is loaded; its tokenizer comes with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .backbone_interface import BackboneRequest
from .clip_networks import CLIP_CONFIG_FILE, clip_configs, clip_statistics, openai_clip
from .errors import ModelFileError
from .metric_network_interface import TextMetricNetwork, centre_cut
from .weights import WeightsSpec, fill_network, load_tensors

__all__ = ["CLIP_VIT_L14", "ClipScoreNetwork", "load_clip_score"]

CLIP_VIT_L14 = openai_clip(
    "clip_vit_l14",
    "ViT-L-14.pt",
    "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    "timm/vit_large_patch14_clip_224.openai",
)

_NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that openai's archives keep among the weights."""


class ClipScoreNetwork(TextMetricNetwork):
    """A whole CLIP of open_clip: both towers' projections, as they come, not of length 1.

    Args:
        network: open_clip's CLIP.
        image_size: side of its pictures.
        statistics: mean and std of its pictures, (3, 1, 1) each.
        others: arguments of `TextMetricNetwork`.
    """

    def __init__(
        self,
        name: str,
        network: Any,
        *,
        image_size: int,
        statistics: dict[str, Tensor],
        **others: Any,
    ) -> None:
        self._image_size = image_size
        for key, value in statistics.items():
            network.register_buffer(f"pictures_{key}", value)
        super().__init__(name, network, tower=network.encode_text, **others)

    def prepare(self, images: Tensor) -> Tensor:
        """Return pictures as CLIP's own preprocessing cuts them, before mean and deviation."""
        return centre_cut(images, self._image_size, self._image_size)

    def _vectors(self, images: Tensor) -> Tensor:
        network = self.network
        vectors: Tensor = network.encode_image(
            (images - network.pictures_mean) / network.pictures_std
        )
        return vectors


def load_clip_score(
    spec: WeightsSpec, model_name: str, request: BackboneRequest
) -> ClipScoreNetwork:
    """Return a whole CLIP in open_clip's or openai's form, with open_clip's tokenizer.

    A folder in open_clip's own form decides the sizes, as in `clip_networks.load_clip`; else they
    are those of open_clip's `model_name`.

    Raises:
        ModelFileError: not found, or not the weights of a CLIP with both towers.
    """
    from open_clip.tokenizer import SimpleTokenizer

    path = request.find(spec)
    model_config, preprocess_config, origin = clip_configs(path, model_name)
    network, image_size = _build(path, model_config, preprocess_config)
    tensors = {
        key: value
        for key, value in load_tensors(path, sha256=spec.sha256).items()
        if key not in _NO_WEIGHTS
    }
    fill_network(network, tensors, path=path, expected=f"{origin} with both towers")
    # Made on meta, it holds nothing: token i sees the tokens up to itself.
    length = network.context_length
    network.attn_mask = torch.full((length, length), float("-inf")).triu_(1)
    tokenizer = SimpleTokenizer(context_length=length)
    return ClipScoreNetwork(
        spec.name,
        network,
        image_size=image_size,
        statistics=clip_statistics(preprocess_config),
        settings={"model": model_config, "tokenizer": "CLIP's"},
        convention=(
            f"{origin[0].upper()}{origin[1:]}, projected embeddings by open_clip; pictures in 8 "
            f"bits, the shortest side resized to {image_size} pixels by antialiased bicubic and "
            "the centre cut out, as CLIP's own preprocessing does."
        ),
        dim=int(model_config["embed_dim"]),
        dtype=request.dtype,
        context_length=length,
        encode=tokenizer.encode,
        tokenize=tokenizer,
    )


def _build(
    path: Path, model_config: dict[str, Any], preprocess_config: dict[str, Any]
) -> tuple[Any, int]:
    """Return open_clip's CLIP on meta, which costs and draws nothing, and its pictures' side."""
    import open_clip

    config_path = path.with_name(CLIP_CONFIG_FILE)
    try:
        foreign = [key for key in model_config["text_cfg"] if key.startswith("hf_")]
        if foreign:
            raise ValueError(f"{foreign[0]} names a text tower or tokenizer that is not CLIP's")
        for key, usual in (("resize_mode", "shortest"), ("interpolation", "bicubic")):
            if preprocess_config.get(key, usual) != usual:
                raise ValueError(f"its {key} is {preprocess_config[key]}, but CLIP's is {usual}")
        with torch.device("meta"):
            network = open_clip.CLIP(
                model_config["embed_dim"],
                vision_cfg=model_config["vision_cfg"],
                text_cfg=model_config["text_cfg"],
                quick_gelu=model_config.get("quick_gelu", False),
            )
        return network, int(model_config["vision_cfg"].get("image_size", 224))
    # What a config file says reaches constructors that check little, so every kind is translated.
    except Exception as error:
        raise ModelFileError(
            f"{config_path}: describes no CLIP that open_clip can build ({error!r}). Name a folder "
            "that open_clip saved, with CLIP's own text tower."
        ) from error
