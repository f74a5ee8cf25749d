"""The host's CLIP as the engine asks for it: captions in, prompt embeddings out.

The text encoder itself stays the host's, and is not copied as `bridge` copies the other networks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..scoft_training.caption_encoders import EncodedCaptions
from ..scoft_training.conditioning import Conditioning
from ..scoft_training.errors import ConfigError
from ..scoft_training.files import digest_json, digest_tensors
from . import host
from .bridge_weights import own_storage

__all__ = ["HostCaptionEncoder"]


class HostCaptionEncoder:
    """The host's CLIP as the engine asks for it: captions in, prompt embeddings out.

    Brackets and colons of a caption are read as they are, not as weights. A CLIP Set Last Layer and
    LoRAs on the text encoders count.

    Args:
        clip: CLIP, of one text encoder or of several.
        pooled: whether the model reads pooled embeddings, too, as SDXL does.

    Raises:
        ConfigError: changes or a storage of the text encoders that their digest cannot tell.
    """

    def __init__(self, clip: Any, *, pooled: bool = False) -> None:
        if clip.patcher.injections or clip.patcher.forced_hooks:
            raise ConfigError(
                "This CLIP carries a LoRA beside its weights (loaded in bypass mode, or as a "
                "hook). Load that LoRA with Load LoRA."
            )
        weights = clip.get_sd()
        if storage := next(filter(None, map(own_storage, weights.values())), None):
            raise ConfigError(
                f"This CLIP's weights are quantised ({storage}). Load its text encoders in fp16, "
                "bf16, fp32 or fp8, with the host's own loaders."
            )
        self._clip = clip
        self._pooled = pooled
        patches = {
            f"{key} {index} {place}": tensor
            for key, entries in clip.patcher.patches.items()
            for index, entry in enumerate(entries)
            for place, tensor in enumerate(_tensors_of(entry))
        }
        strengths = [
            [key, [[float(entry[0]), float(entry[2])] for entry in entries]]
            for key, entries in sorted(clip.patcher.patches.items())
        ]
        self.digest = digest_json(
            [digest_tensors(weights), digest_tensors(patches), strengths, clip.layer_idx]
        )

    def encode(self, captions: Sequence[str]) -> EncodedCaptions:
        """Return (captions, 77, channels) embeddings, pooled ones if asked for, and what was cut.

        Raises:
            ConfigError: pooled embeddings are asked for and this CLIP makes none.
        """
        embeds, pooled, cut = [], [], []
        for index, caption in enumerate(captions):
            tokens = self._clip.tokenize(_literal(caption), disable_weights=True)
            if any(len(chunks) > 1 for chunks in tokens.values()):
                cut.append(index)
            first = {name: chunks[:1] for name, chunks in tokens.items()}
            with torch.no_grad():
                encoded, its_pooled = self._clip.encode_from_tokens(first, return_pooled=True)
            embeds.append(_copied(encoded))
            if self._pooled and its_pooled is None:
                raise ConfigError(
                    "This CLIP makes no pooled embeddings, which the MODEL reads. Connect the CLIP "
                    "that belongs to the model."
                )
            if self._pooled:
                pooled.append(_copied(its_pooled))
        conditioning = Conditioning(torch.cat(embeds), torch.cat(pooled) if pooled else None)
        return EncodedCaptions(conditioning, tuple(cut))

    def to(self, device: torch.device) -> object:
        """The host moves its own networks; called with the CPU it lets go of the device."""
        if device.type == "cpu":
            host.unload_models()
        return self


def _literal(caption: str) -> str:
    """Return what the host reads as this caption: it takes the backslash before a bracket away."""
    return re.sub(r"\\([()])", r"\\\\\1", caption)


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().float().cpu().clone()


def _tensors_of(value: Any) -> list[Tensor]:
    """Every tensor inside a weight patch, in order."""
    if isinstance(value, Tensor):
        return [value.detach().clone()]
    if isinstance(value, (tuple, list)):
        return [tensor for entry in value for tensor in _tensors_of(entry)]
    if isinstance(getattr(value, "weights", None), (tuple, list)):
        return _tensors_of(value.weights)
    return []
