"""DreamSim as a perceptual network: what it computes, and loading it from its release's files.

The files are those that the package dreamsim unpacks into its own folder; its vision transformer is
used, its loader is not: that one runs code fetched by torch.hub, which here nothing does. Not here:
the names to choose by (`backbones`). dreamsim is imported when one of its types is loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .backbone_interface import BackboneRequest, PerceptualBackbone
from .errors import ModelFileError
from .weight_folders import FolderSpec
from .weights import WeightsSpec, fill_network, load_tensors

__all__ = ["ENSEMBLE", "OPEN_CLIP_VITB32", "DreamsimBackbone", "DreamsimType", "load_dreamsim"]

_RELEASE = "https://github.com/ssundaram21/dreamsim/releases/download/v0.2.0-checkpoints"
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_HEAD_WIDTH = 64


@dataclass(frozen=True)
class DreamsimType:
    """One of DreamSim's types: its towers, in the order of their embeddings, and their files.

    Args:
        spec: finds towers' files in the order of `towers` (without DINO's), then the adapter's.
        towers: out of dino, clip and open_clip.
        filter_threshold: as in `PerceptualBackbone`.
        dino: finds DINO's file, which the release lacks.
    """

    spec: FolderSpec
    towers: tuple[str, ...]
    filter_threshold: float | None = None
    dino: WeightsSpec | None = None


def _folder(name: str, archive: str, towers: tuple[str, ...], adapter: str) -> FolderSpec:
    return FolderSpec(
        name=name,
        files=(
            *((tower,) for tower in towers),
            (f"{adapter}/adapter_config.json",),
            (f"{adapter}/adapter_model.safetensors", f"{adapter}/adapter_model.bin"),
        ),
        link=f"{_RELEASE}/{archive}",
    )


ENSEMBLE = DreamsimType(
    _folder(
        "dreamsim",
        "dreamsim_ensemble_checkpoint.zip",
        ("clip_vitb16_pretrain.pth.tar", "open_clip_vitb16_pretrain.pth.tar"),
        "ensemble_lora",
    ),
    towers=("dino", "clip", "open_clip"),
    filter_threshold=0.30,
    dino=WeightsSpec(
        name="dreamsim",
        # The second is where dreamsim's own loader, by way of torch.hub, leaves it.
        file_names=("dino_vitbase16_pretrain.pth", "checkpoints/dino_vitbase16_pretrain.pth"),
        url="https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
        sha256="bf34ad0f424b9029b593e8dc3ed553bf26e88bcba0d32bf3e62a6209cb64c85e",
        in_torch_hub=True,
    ),
)
OPEN_CLIP_VITB32 = DreamsimType(
    _folder(
        "dreamsim_vitb32",
        "dreamsim_open_clip_vitb32_checkpoint.zip",
        ("open_clip_vitb32_pretrain.pth.tar",),
        "open_clip_vitb32_single_lora",
    ),
    towers=("open_clip",),
)


class DreamsimBackbone(PerceptualBackbone):
    """DreamSim (Fu et al. 2023): towers with LoRA, their embeddings side by side.

    d = 1 - cos(e(x), e(y)), with e the embedding less its own mean, as dreamsim normalises it.

    Attributes:
        means: of each tower's pictures, (towers, 3, 1, 1).
        stds: likewise.
    """

    means: Tensor
    stds: Tensor

    def features(self, images: Tensor) -> list[Tensor]:
        """Return one tensor: e of length 1, (batch, channels), float32 or wider."""
        resized, network = self._resized(images), self.network
        parts = [
            tower(((resized - mean) / std).to(self.dtype))
            for tower, mean, std in zip(network.children(), self.means, self.stds, strict=True)
        ]
        embedding = self._wide(torch.cat(parts, dim=1))
        return [nn.functional.normalize(embedding - embedding.mean(dim=1, keepdim=True), dim=1)]

    def distance(self, features: list[Tensor], other: list[Tensor]) -> Tensor:
        """Return 1 - cosine, (batch,), as half the square of the difference of unit vectors.

        That is the same number, never below zero, and without cancellation where it is small.
        """
        ((one,), (two,)) = (features, other)
        return (self._wide(one) - self._wide(two)).square().sum(dim=1) / 2


class _Tower(nn.Module):
    """One vision transformer: its class token, projected if there is a projection."""

    trunk: Any

    def __init__(self, trunk: nn.Module, projection: Tensor | None) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = None if projection is None else nn.Parameter(projection)

    def forward(self, pixel_values: Tensor) -> Tensor:
        token: Tensor = self.trunk(pixel_values)
        return token if self.projection is None else token @ self.projection


class _LowRank(nn.Module):
    """What a LoRA adds to a linear layer: scale * B A x."""

    def __init__(self, inputs: int, outputs: int, rank: int, scale: float) -> None:
        super().__init__()
        with torch.device("meta"):
            self.lora_A = nn.Linear(inputs, rank, bias=False)
            self.lora_B = nn.Linear(rank, outputs, bias=False)
        self.scale = scale

    def forward(self, inputs: Tensor) -> Tensor:
        update: Tensor = self.lora_B(self.lora_A(inputs)) * self.scale
        return update


class _Adapted(nn.Module):
    """A linear layer beside its LoRA. Not merged: a sum's last bits would enter the digest."""

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.base = base
        self.lora = _LowRank(base.in_features, base.out_features, rank, scale)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.base(inputs) + self.lora(inputs)
        return output


def load_dreamsim(kind: DreamsimType, request: BackboneRequest) -> DreamsimBackbone:
    """Return a type of DreamSim; sizes are those of the weights, with heads 64 wide.

    The backbone is called `kind.spec.name`.

    Raises:
        ModelFileError: not found, or not the weights of that type.
    """
    *paths, config_path, adapter_path = request.find_folder(kind.spec)
    if kind.dino is not None:
        # Named explicitly, the folder may have been given by any file in it.
        here = None if request.weights is None else paths[0].parent
        paths.insert(0, replace(request, weights=here).find(kind.dino))
    rank, scale = _read_adapter_config(config_path)
    towers = [_load_tower(tower, path) for tower, path in zip(kind.towers, paths, strict=True)]
    _attach_adapter(towers, adapter_path, rank, scale)
    image_size = towers[0].trunk.patch_embed.img_size
    if any(tower.trunk.patch_embed.img_size != image_size for tower in towers):
        raise ModelFileError(
            f"{paths[0]}: its pictures and those of {paths[-1].name} differ in size, so these are "
            f"not the towers of one DreamSim. Fetch {kind.spec.link} again."
        )
    statistics = [_IMAGENET if tower == "dino" else _CLIP for tower in kind.towers]
    means, stds = torch.tensor(statistics, dtype=torch.float64).unbind(1)
    return DreamsimBackbone(
        kind.spec.name,
        nn.ModuleList(towers),
        settings={"towers": kind.towers, "scale": scale, "head_width": _HEAD_WIDTH},
        dtype=request.dtype,
        image_size=image_size,
        constants={"means": means[..., None, None], "stds": stds[..., None, None]},
        filter_threshold=kind.filter_threshold,
    )


def _load_tower(kind: str, path: Path) -> _Tower:
    """Return dreamsim's vision transformer with the weights of DINO, or of CLIP in DINO's names."""
    from dreamsim.feature_extraction.load_clip_as_dino import QuickGELU
    from dreamsim.feature_extraction.vision_transformer import VisionTransformer

    tensors = load_tensors(path)
    expected = f"the {kind} tower of DreamSim"
    try:
        width, patch_size = (
            tensors["cls_token"].shape[-1],
            tensors["patch_embed.proj.weight"].shape[-1],
        )
        mlp_ratio = tensors["blocks.0.mlp.fc1.weight"].shape[0] / width
        image_size = isqrt(tensors["pos_embed"].shape[1] - 1) * patch_size
        trunk: Any = VisionTransformer(
            img_size=[image_size],
            patch_size=patch_size,
            embed_dim=width,
            depth=len({key.split(".")[1] for key in tensors if key.startswith("blocks.")}),
            num_heads=width // _HEAD_WIDTH,
            mlp_ratio=mlp_ratio,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6 if kind == "dino" else 1e-5),
        )
    except (LookupError, ArithmeticError, ValueError, RuntimeError) as error:
        raise ModelFileError(
            f"{path}: does not hold the weights of {expected} ({error!r}). Name the right folder, "
            "or leave the path empty to have it looked for."
        ) from error
    projection = None
    if kind == "dino":
        # dreamsim takes DINO's class token after the last block and before the norm.
        trunk.norm = nn.Identity()
        tensors = {key: value for key, value in tensors.items() if not key.startswith("norm.")}
    else:
        projection = tensors.pop("proj", None)
        if projection is None or projection.ndim != 2 or projection.shape[0] != width:
            raise ModelFileError(
                f"{path}: does not hold the weights of {expected}: proj is missing or of another "
                "shape. Name the right folder, or leave the path empty to have it looked for."
            )
        trunk.pos_drop = nn.LayerNorm(width, eps=1e-5)
    if kind == "clip":
        for block in trunk.blocks:
            block.mlp.act = QuickGELU()
    fill_network(trunk, tensors, path=path, expected=expected)
    return _Tower(trunk, projection)


def _attach_adapter(towers: Sequence[_Tower], path: Path, rank: int, scale: float) -> None:
    """Put the LoRA of peft's file beside each block's qkv."""
    blocks = [list(tower.trunk.blocks) for tower in towers]
    for block in (block for tower_blocks in blocks for block in tower_blocks):
        block.attn.qkv = _Adapted(block.attn.qkv, rank, scale)
    updates = nn.ModuleList(
        nn.ModuleList(block.attn.qkv.lora for block in tower_blocks) for tower_blocks in blocks
    )
    fill_network(
        updates,
        {_update_key(key): value for key, value in load_tensors(path).items()},
        path=path,
        expected="DreamSim's LoRA",
    )


def _update_key(key: str) -> str:
    """Turn peft's key into <tower>.<block>.lora_A.weight; others stay, to be refused."""
    parts = re.fullmatch(
        r"base_model\.model\.extractor_list\.(\d+)\.model\.blocks\.(\d+)\.attn\.qkv\."
        r"(lora_[AB]\.weight)",
        key,
    )
    return ".".join(parts.groups()) if parts else key


def _read_adapter_config(path: Path) -> tuple[int, float]:
    """Return rank and scale of peft's adapter_config.json; whatever else it may say is refused."""
    try:
        config: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        extras = [key for key in ("use_rslora", "use_dora", "rank_pattern") if config.get(key)]
        if config.get("bias", "none") != "none":
            extras.append("bias")
        if rank < 1 or extras:
            raise ValueError(f"rank {rank}, {', '.join(extras) or 'no extras'}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{path}: cannot be read as the config of DreamSim's LoRA ({error!r}). Take it from "
            "DreamSim's release again."
        ) from error
    return rank, alpha / rank
