"""The trained miniature from its files, and its names in the registries.

`register` is all that the two doors need; they and the rest of the code know no more of it than a
name: `miniature` as base model, ControlNet and depth network, `miniature_clip` and
`miniature_judge` as perceptual backbones and as networks that metrics measure with.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..backbone_interface import BackboneRequest, PerceptualBackbone
from ..backbones import register_backbone
from ..clip_networks import load_clip
from ..control_models import ControlNet, load_controlnet, register_controlnet, register_depth
from ..depth import DepthEstimator
from ..errors import ModelFileError
from ..files import digest_tensors
from ..metric_network_interface import TextMetricNetwork, centre_cut
from ..metric_networks import register_metric_network
from ..models import BaseModel, load_base, register_base
from ..weights import WeightsSpec, fill_network, load_tensors
from .small_networks import (
    CLIP_CONFIG,
    PICTURE_MEAN,
    PICTURE_STD,
    DepthNetwork,
    JudgeNetwork,
    ScoreNetwork,
)

__all__ = [
    "BACKBONE",
    "FILTER_THRESHOLD",
    "JUDGE",
    "NAME",
    "WEIGHTS",
    "JudgeBackbone",
    "MiniatureClipScore",
    "load_clip_tokenizer",
    "load_clip_tower",
    "load_depth_network",
    "load_judge_network",
    "load_part",
    "load_score_network",
    "register",
    "weights_digests",
]

NAME = "miniature"
BACKBONE = "miniature_clip"
JUDGE = "miniature_judge"

WEIGHTS = Path(__file__).parent / "weights"
"""The shipped weights, one folder a part."""

FILTER_THRESHOLD = 0.3
"""Distance of `miniature_clip` under which a negative counts as false.

Of 60 negatives of the tuning's set (seed 100) it keeps 45 of 47 stereotypes, and 1 of 12 that the
judge takes for the culture as it is. Pairs of right pictures of one subject have a median of 0.24.
"""

_CLIP_SPEC = WeightsSpec(
    name=BACKBONE, file_names=("open_clip_model.safetensors",), url="", sha256=""
)


class JudgeBackbone(PerceptualBackbone):
    """The judge behind the interface of perceptual networks: one vector of 128 a picture."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Return [(batch, 128)]."""
        return [self.network.embed(self._pixel_values(images))]  # type: ignore[operator]

    @torch.no_grad()
    def answers(self, images: Tensor) -> dict[str, Tensor]:
        """Return the scores of the judge's answers, (batch, answers) each, by question."""
        scores: dict[str, Tensor] = self.network(self._pixel_values(images))
        return scores

    def _pixel_values(self, images: Tensor) -> Tensor:
        return (self._resized(images) * 2 - 1).to(self.dtype)


class MiniatureClipScore(TextMetricNetwork):
    """The miniature's CLIP with its text tower: what its CLIP Score is measured with."""

    def prepare(self, images: Tensor) -> Tensor:
        """Return pictures as CLIP's own preprocessing cuts them, at the tower's size."""
        side = CLIP_CONFIG["vision_cfg"]["image_size"]
        return centre_cut(images, side, side)

    def _vectors(self, images: Tensor) -> Tensor:
        mean, std = (images.new_tensor(row).view(3, 1, 1) for row in (PICTURE_MEAN, PICTURE_STD))
        vectors: Tensor = self.network.encode_image((images - mean) / std)
        return vectors


def register(weights: Path = WEIGHTS) -> None:
    """Make the miniature known under its names; nothing is read before it is asked for."""
    register_base(NAME, partial(_load_base, weights))
    register_controlnet(NAME, partial(_load_controlnet, weights))
    register_depth(NAME, partial(_load_depth, weights))
    register_backbone(
        BACKBONE,
        partial(_load_backbone, weights),
        description="The miniature's small CLIP, for its 128 x 128 pictures only.",
    )
    register_backbone(
        JUDGE,
        partial(_load_judge, weights),
        description="The miniature's judge, for metrics; train with miniature_clip instead.",
    )
    register_metric_network(
        BACKBONE,
        partial(_load_clip_score, weights),
        reads_text=True,
    )


def weights_digests(weights: Path = WEIGHTS) -> dict[str, str]:
    """Return the digest of each part as it was made, by stage."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))["digest"]
        for path in sorted(weights.glob("*/made.json"))
    }


def load_part(weights: Path, part: str) -> Any:
    """Return one network of a weights folder in fp32: vae, unet, text_encoder or controlnet.

    Raises:
        ModelFileError: it has not been made.
    """
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextModel

    loaders = {
        "vae": AutoencoderKL,
        "unet": UNet2DConditionModel,
        "text_encoder": CLIPTextModel,
        "controlnet": ControlNetModel,
    }
    folder = weights / part
    if not (folder / "config.json").is_file():
        stage = "unet" if part == "text_encoder" else part
        raise ModelFileError(
            f"{folder}: the miniature's {part} is not there. Make it with `scoft miniature "
            f"pretrain --stage {stage}`."
        )
    keyword = "dtype" if part == "text_encoder" else "torch_dtype"
    network = loaders[part].from_pretrained(
        folder, local_files_only=True, use_safetensors=True, **{keyword: torch.float32}
    )
    return network.requires_grad_(False).eval()


def load_clip_tokenizer(weights: Path) -> Any:
    """Return the tokenizer of a weights folder."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(weights / "tokenizer", local_files_only=True)


def load_clip_tower(weights: Path) -> PerceptualBackbone:
    """Return the CLIP's picture tower of a weights folder in fp32, as a perceptual backbone."""
    return _load_backbone(weights, BackboneRequest(torch.float32))


def load_judge_network(weights: Path) -> JudgeNetwork:
    """Return the judge of a weights folder in fp32."""
    network = JudgeNetwork()
    _fill(network, weights / "judge" / "model.safetensors")
    return network


def load_score_network(weights: Path) -> ScoreNetwork:
    """Return picture and text tower of a weights folder's CLIP in fp32.

    Raises:
        ModelFileError: a part of it has not been made.
    """
    path = weights / "clip_text" / "model.safetensors"
    if not path.is_file():
        raise ModelFileError(
            f"{path}: the miniature's text tower is not there. Make it with `scoft miniature "
            "pretrain --stage clip_text`."
        )
    network = ScoreNetwork(len(load_clip_tokenizer(weights)))
    tower = load_tensors(weights / "clip" / _CLIP_SPEC.file_names[0])
    fill_network(
        network, {**tower, **load_tensors(path)}, path=path, expected="the miniature's ScoreNetwork"
    )
    network.float().requires_grad_(False).eval()
    return network


def load_depth_network(weights: Path) -> DepthNetwork:
    """Return the depth network of a weights folder in fp32."""
    network = DepthNetwork()
    _fill(network, weights / "depth" / "model.safetensors")
    return network


def _fill(network: nn.Module, path: Path) -> None:
    tensors = load_tensors(path)
    fill_network(network, tensors, path=path, expected=f"the miniature's {type(network).__name__}")
    network.float().requires_grad_(False).eval()


def _load_base(weights: Path, dtype: torch.dtype) -> BaseModel:
    return replace(load_base(weights, dtype=dtype), name=NAME)


def _load_controlnet(weights: Path, dtype: torch.dtype) -> ControlNet:
    return replace(load_controlnet(weights / "controlnet", dtype=dtype), name=NAME)


def _load_depth(weights: Path) -> DepthEstimator:
    network: nn.Module = load_depth_network(weights)
    return DepthEstimator(network, digest=digest_tensors(network.state_dict()), multiple=16)


def _load_backbone(weights: Path, request: BackboneRequest) -> PerceptualBackbone:
    if request.weights is None:
        request = replace(request, weights=weights / "clip")
    backbone = load_clip(_CLIP_SPEC, "RN50-quickgelu", request)
    backbone.filter_threshold = FILTER_THRESHOLD
    return backbone


def _load_judge(weights: Path, request: BackboneRequest) -> JudgeBackbone:
    network = load_judge_network(request.weights or weights)
    return JudgeBackbone(
        JUDGE, network, settings={}, dtype=request.dtype, image_size=128, constants={}
    )


def _load_clip_score(weights: Path, request: BackboneRequest) -> MiniatureClipScore:
    folder = request.weights or weights
    network, tokenizer = load_score_network(folder), load_clip_tokenizer(folder)
    length = CLIP_CONFIG["text_cfg"]["context_length"]

    def tokenize(texts: list[str]) -> Tensor:
        answer = tokenizer(
            texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        tokens: Tensor = answer.input_ids
        return tokens

    return MiniatureClipScore(
        BACKBONE,
        network,
        settings={"mean": PICTURE_MEAN, "std": PICTURE_STD, "context_length": length},
        convention=(
            "The miniature's CLIP, projected embeddings; pictures in 8 bits, the shortest side "
            "resized to 64 pixels by antialiased bicubic and the centre cut out, as CLIP's own "
            "preprocessing does. Of the miniature's pictures only."
        ),
        dim=CLIP_CONFIG["embed_dim"],
        dtype=request.dtype,
        context_length=length,
        encode=lambda text: list(tokenizer(text, add_special_tokens=False).input_ids),
        tokenize=tokenize,
        tower=network.encode_text,
    )
