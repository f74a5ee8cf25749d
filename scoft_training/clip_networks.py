"""CLIP's picture towers as perceptual networks: what they compute, and loading them.

Not here: LPIPS (`lpips_network`), the names to choose by (`backbones`), CLIP's text. open_clip is
imported when a CLIP is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .backbone_interface import BackboneRequest, PerceptualBackbone
from .errors import ModelFileError
from .weights import WeightsSpec, fill_network, load_tensors

__all__ = [
    "CLIP_CONFIG_FILE",
    "CLIP_RN50",
    "CLIP_RN101",
    "CLIP_VIT_B32",
    "ClipBackbone",
    "clip_configs",
    "clip_statistics",
    "load_clip",
    "openai_clip",
]

CLIP_CONFIG_FILE = "open_clip_config.json"


class ClipBackbone(PerceptualBackbone):
    """CLIP's picture tower up to its last map: convolutions or transformer tokens.

    Of the ResNet: layer4(layer3(layer2(layer1(stem(x))))), without the attention pool
    (CLIPConv, section 4.3). Of the transformer: all tokens after the last block, before the final
    norm, as in the authors' code. Distances are means of squared differences.

    Attributes:
        mean: of CLIP's pictures, (3, 1, 1).
        std: likewise.
    """

    mean: Tensor
    std: Tensor

    def features(self, images: Tensor) -> list[Tensor]:
        """Return one tensor: (batch, channels, rows, columns) or (batch, tokens, channels)."""
        pixel_values = self.preprocess(images).to(self.dtype)
        network: Any = self.network
        if hasattr(network, "layer4"):
            stem = network.stem(pixel_values)
            return [network.layer4(network.layer3(network.layer2(network.layer1(stem))))]
        answer = network.forward_intermediates(
            pixel_values,
            indices=1,  # the last one
            intermediates_only=True,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        tokens = [answer["image_intermediates_prefix"][0], answer["image_intermediates"][0]]
        return [torch.cat(tokens, dim=1)]

    def preprocess(self, images: Tensor) -> Tensor:
        """Resize the whole picture to the network's square (bicubic, antialiased), and normalise.

        CLIP's own preprocessing also clamps and rounds to 8 bits, which has no gradient. A picture
        that is not square is squeezed.
        """
        return (self._resized(images) - self.mean) / self.std


def load_clip(spec: WeightsSpec, model_name: str, request: BackboneRequest) -> ClipBackbone:
    """Return the picture tower of a CLIP in open_clip's or openai's form; its text is dropped.

    A folder in open_clip's own form (open_clip_config.json beside open_clip_model.safetensors)
    decides the sizes, the picture's included; else they are those of open_clip's `model_name`,
    which decides between ResNet and transformer in any case. The backbone is called `spec.name`.
    The weights of the attention pool or the final norm and projection may be missing.

    Raises:
        ModelFileError: not found, or not the weights of that kind of network.
    """
    import open_clip

    path = request.find(spec)
    is_resnet = isinstance(open_clip.get_model_config(model_name)["vision_cfg"]["layers"], list)
    model_config, preprocess_config, origin = clip_configs(path, model_name)
    config_path = path.with_name(CLIP_CONFIG_FILE)
    kind = "ModifiedResNet" if is_resnet else "VisionTransformer"
    try:
        # On meta nothing is allocated or drawn, and the text tower costs nothing.
        with torch.device("meta"):
            network = open_clip.CLIP(
                model_config["embed_dim"],
                vision_cfg=model_config["vision_cfg"],
                text_cfg={"layers": 1},
                quick_gelu=model_config.get("quick_gelu", False),
            ).visual
        constants = clip_statistics(preprocess_config)
        image_size = int(model_config["vision_cfg"].get("image_size", 224))
    # What a config file says reaches constructors that check little, so every kind is translated.
    except Exception as error:
        raise ModelFileError(
            f"{config_path}: describes no CLIP that open_clip can build ({error!r}). Name a folder "
            f"that open_clip saved, with a {kind} for pictures."
        ) from error
    if type(network).__name__ != kind:
        raise ModelFileError(
            f"{config_path}: describes a {type(network).__name__}, but the perceptual backbone "
            f"{spec.name!r} needs a {kind}. Name another folder, or choose another backbone."
        )
    unused: tuple[str, ...] = ("attnpool.",)
    settings: dict[str, Any] = {}
    if is_resnet:
        network.attnpool = None
    else:
        network.ln_post, network.proj, network.attn_pool = nn.Identity(), None, None
        unused = ("ln_post.", "proj", "attn_pool")
        vision = open_clip.CLIPVisionCfg(**model_config["vision_cfg"])
        settings = {**asdict(vision), "quick_gelu": bool(model_config.get("quick_gelu"))}
    tensors = {
        key.removeprefix("visual."): value
        for key, value in load_tensors(path, sha256=spec.sha256).items()
        if key.startswith("visual.") and not key.removeprefix("visual.").startswith(unused)
    }
    fill_network(network, tensors, path=path, expected=f"{origin} ({kind})")
    return ClipBackbone(
        spec.name,
        network,
        settings=settings,
        dtype=request.dtype,
        image_size=image_size,
        constants=constants,
    )


def clip_configs(path: Path, model_name: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return open_clip's settings of the CLIP in a file, of its pictures, and what to call it.

    Args:
        path: the weights; open_clip_config.json beside open_clip_model.safetensors decides.
        model_name: open_clip's, which decides where there is none.

    Raises:
        ModelFileError: the config beside the weights cannot be read.
    """
    import open_clip

    config_path = path.with_name(CLIP_CONFIG_FILE)
    if path.name.startswith("open_clip_") and config_path.is_file():
        return *_read_config(config_path), f"the CLIP that {config_path.name} describes"
    origin = f"CLIP {model_name.removesuffix('-quickgelu')}"
    return open_clip.get_model_config(model_name), {}, origin


def clip_statistics(preprocess_config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return mean and std of a CLIP's pictures, (3, 1, 1) each; openai's where none are named."""
    import open_clip

    defaults = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    return {
        key: torch.tensor(preprocess_config.get(key, default), dtype=torch.float64).view(3, 1, 1)
        for key, default in defaults.items()
    }


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return dict(config["model_cfg"]), dict(config.get("preprocess_cfg", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{path}: cannot be read as open_clip's config ({error!r}). It needs `model_cfg` and "
            "may have `preprocess_cfg`; save the model again with open_clip."
        ) from error


def openai_clip(name: str, file_name: str, sha256: str, hub_repo: str) -> WeightsSpec:
    """Return how openai's file of a CLIP is found: its own, or the hub's copy in safetensors."""
    return WeightsSpec(
        name=name,
        file_names=(file_name, "open_clip_model.safetensors"),
        url=f"https://openaipublic.azureedge.net/clip/models/{sha256}/{file_name}",
        sha256=sha256,
        hub_repo=hub_repo,
        shared_folders=("~/.cache/clip",),
    )


CLIP_RN101 = openai_clip(
    "clipconv",
    "RN101.pt",
    "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
    "timm/resnet101_clip.openai",
)
CLIP_RN50 = openai_clip(
    "clipconv_rn50",
    "RN50.pt",
    "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
    "timm/resnet50_clip.openai",
)
CLIP_VIT_B32 = openai_clip(
    "clip_vit_b32",
    "ViT-B-32.pt",
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    "timm/vit_base_patch32_clip_224.openai",
)
