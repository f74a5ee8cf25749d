"""DINOv2 and BLIP-2 as perceptual networks: what they compute, and loading the hub's folders.

Not here: CLIP (`clip_networks`), DreamSim (`dreamsim_network`) and the names to choose by
(`backbones`). transformers is imported when one of them is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .backbone_interface import BackboneRequest, PerceptualBackbone
from .errors import ModelFileError
from .weight_folders import FolderSpec
from .weights import load_tensors

__all__ = [
    "BLIP2",
    "DINOV2",
    "IMAGENET_STATISTICS",
    "Blip2Backbone",
    "Dinov2Backbone",
    "hub_settings",
    "load_blip2",
    "load_dinov2",
    "load_hub_network",
]

_FILES = (("config.json",), ("model.safetensors", "model.safetensors.index.json"))

_DINOV2_REVISION = "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c"
DINOV2 = FolderSpec(
    name="dinov2",
    files=_FILES,
    link=f"https://huggingface.co/facebook/dinov2-large/tree/{_DINOV2_REVISION}",
    hub_repo="facebook/dinov2-large",
    hub_revision=_DINOV2_REVISION,
)

# Not seen on the hub itself: it is the snapshot that another public project names as its own.
_BLIP2_REVISION = "520bf73fd0ef6ccce791cd3f06908040aef2d8cc"
BLIP2 = FolderSpec(
    name="blip2",
    files=_FILES,
    link=f"https://huggingface.co/Salesforce/blip2-itm-vit-g/tree/{_BLIP2_REVISION}",
    hub_repo="Salesforce/blip2-itm-vit-g",
    hub_revision=_BLIP2_REVISION,
)

IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of each channel of ImageNet's pictures."""

_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


class _HubBackbone(PerceptualBackbone):
    """A network of transformers; distances are means of squared differences.

    Attributes:
        mean: of the network's pictures, (3, 1, 1).
        std: likewise.
    """

    mean: Tensor
    std: Tensor

    def preprocess(self, images: Tensor) -> Tensor:
        """Squeeze the whole picture into the network's square (bicubic, antialiased); normalise."""
        return (self._resized(images) - self.mean) / self.std


class Dinov2Backbone(_HubBackbone):
    """DINOv2's tokens after its last layer and before the final norm, as in the authors' code."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Return one tensor: (batch, 1 + patches, channels), the class token first."""
        pixel_values = self.preprocess(images).to(self.dtype)
        return [self.network(pixel_values=pixel_values).last_hidden_state]


class Blip2Backbone(_HubBackbone):
    """BLIP-2's query embeddings: out of the Q-Former, projected, each normalised to length 1."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Return one tensor: (batch, queries, channels)."""
        pixel_values = self.preprocess(images).to(self.dtype)
        return [self.network(pixel_values=pixel_values).image_embeds]


def load_dinov2(request: BackboneRequest) -> Dinov2Backbone:
    """Return DINOv2, as large as its config.json says; the default is ViT-L/14 at 224 pixels.

    Raises:
        ModelFileError: not found, or not the weights of a DINOv2.
    """
    import transformers

    files = request.find_folder(DINOV2)
    network, config = load_hub_network(
        transformers.Dinov2Model,
        files,
        request,
        model_type="dinov2",
        may_lack=("layernorm.", "embeddings.mask_token"),
        exact=("encoder.",),
    )
    # Features are taken before the norm, and nothing is masked.
    network.layernorm, network.embeddings.mask_token = nn.Identity(), None
    return Dinov2Backbone(
        DINOV2.name,
        network,
        settings=hub_settings(
            config, "num_attention_heads", "layer_norm_eps", "hidden_act", "use_swiglu_ffn"
        ),
        dtype=request.dtype,
        # Trained at 518, it is used at 224 everywhere, its own image processor included.
        image_size=min(224, int(config.image_size)),
        constants=_statistics(IMAGENET_STATISTICS),
    )


def load_blip2(request: BackboneRequest) -> Blip2Backbone:
    """Return BLIP-2's picture tower with Q-Former and projection; its text parts are dropped.

    Raises:
        ModelFileError: not found, or not the weights of a BLIP-2 for image-text retrieval.
    """
    import transformers

    files = request.find_folder(BLIP2)
    network, config = load_hub_network(
        transformers.Blip2VisionModelWithProjection,
        files,
        request,
        model_type="blip-2",
        may_lack=(),
        exact=("vision_model.encoder.", "qformer.encoder."),
    )
    shared = ("num_attention_heads", "layer_norm_eps", "hidden_act")
    return Blip2Backbone(
        BLIP2.name,
        network,
        settings={
            "vision": hub_settings(config.vision_config, *shared),
            "qformer": hub_settings(config.qformer_config, *shared, "cross_attention_frequency"),
        },
        dtype=request.dtype,
        image_size=int(config.vision_config.image_size),
        constants=_statistics(_CLIP),
    )


def load_hub_network(
    model_class: Any,
    files: Sequence[Path],
    request: BackboneRequest,
    *,
    model_type: str,
    may_lack: tuple[str, ...],
    exact: tuple[str, ...],
) -> tuple[Any, Any]:
    """Return a network of transformers and its config, from config.json and tensors alone.

    Args:
        model_class: decides which code runs; nothing in the folder does.
        files: config.json, and the weights beside it.
        request: decides whether the weights are read as float32 or, for float64, as that.
        model_type: that config.json has to name.
        may_lack: beginnings of weights that are not used and may be missing in the file.
        exact: beginnings of parts of which the file may hold no more than is built, lest a config
            with too few layers go unnoticed. Parts that are not built at all are passed over.
    """
    config_path, weights_path = files
    expected = f"{model_class.__name__} of transformers"
    try:
        named_type = json.loads(config_path.read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{config_path}: cannot be read as a config of transformers ({error!r}). Name a folder "
            f"that save_pretrained wrote, with a {model_type} model in it."
        ) from error
    if named_type != model_type:
        raise ModelFileError(
            f"{config_path}: describes a {named_type} model, but a {model_type} model is needed. "
            "Name another folder, or choose another backbone."
        )
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    # Its table of parts that are not built here would alarm; what matters is checked below.
    logging.set_verbosity_error()
    try:
        network, report = model_class.from_pretrained(
            **_source(model_class, config_path, weights_path),
            # fp16 and bf16 files fit into float32 exactly, so the digest is theirs.
            dtype=torch.float64 if request.dtype == torch.float64 else torch.float32,
            # Its backward pass repeats itself on CUDA, which that of fused attention need not.
            attn_implementation="eager",
            output_loading_info=True,
        )
    # What the files say reaches constructors that check little, so every kind is translated.
    except Exception as error:
        raise ModelFileError(
            f"{weights_path}: cannot be loaded as {expected} ({error}). Name a folder that "
            "save_pretrained wrote, or leave the path empty to have it looked for."
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    faults = [f"{key} is missing" for key in report["missing_keys"] if not key.startswith(may_lack)]
    faults += [
        f"{key} is not one of its weights"
        for key in report["unexpected_keys"]
        if key.startswith(exact)
    ]
    if faults:
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ModelFileError(
            f"{weights_path}: does not hold the weights of {expected}: "
            f"{'; '.join(sorted(faults)[:3])}{more}. Name the right folder, or leave the path "
            "empty to have it looked for."
        )
    return network, network.config


def _source(model_class: Any, config_path: Path, weights_path: Path) -> dict[str, Any]:
    """Return the arguments of from_pretrained that say where config and weights are."""
    if weights_path.suffix == ".bin":
        # Older folders of the hub hold a torch file, which is read here: tensors or nothing.
        return {
            "pretrained_model_name_or_path": None,
            "config": model_class.config_class.from_json_file(config_path),
            "state_dict": load_tensors(weights_path),
        }
    return {
        "pretrained_model_name_or_path": config_path.parent,
        "local_files_only": True,
        "use_safetensors": True,
    }


def hub_settings(config: Any, *names: str) -> dict[str, Any]:
    """Return what a config says of `names`, for a digest."""
    # Chosen by name: what later versions of transformers add to a config changes no digest.
    return {name: getattr(config, name) for name in names}


def _statistics(values: tuple[tuple[float, ...], tuple[float, ...]]) -> dict[str, Tensor]:
    mean, std = (torch.tensor(row, dtype=torch.float64).view(3, 1, 1) for row in values)
    return {"mean": mean, "std": std}
