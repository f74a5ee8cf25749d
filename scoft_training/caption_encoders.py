"""Captions -> what the UNet reads, by the text encoders of the command line's models.

Lives here: CLIP's encoder of Stable Diffusion 1.x and 2.x, and SDXL's pair. Not here: where their
weights come from (`models`, `single_file_networks`), and the canvas's encoder, which is the host's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .conditioning import Conditioning
from .files import digest_json, digest_tensors

__all__ = ["CaptionEncoder", "ClipCaptionEncoder", "EncodedCaptions", "SdxlCaptionEncoder"]


@dataclass(frozen=True)
class EncodedCaptions:
    """Captions that went through the text encoder.

    Attributes:
        conditioning: of the captions, on the CPU and without sizes.
        cut: indices of the captions that were longer than one chunk of tokens.
    """

    conditioning: Conditioning
    cut: tuple[int, ...]


class CaptionEncoder(Protocol):
    """Turns captions into what the UNet reads; both doors bring one."""

    digest: str

    def encode(self, captions: Sequence[str]) -> EncodedCaptions:
        """Encode captions; only the first chunk of tokens (77 for CLIP) of each counts."""
        ...

    def to(self, device: torch.device) -> object:
        """Move the network; encoding happens where it is."""
        ...


class ClipCaptionEncoder:
    """CLIP's text transformer with its tokenizer: the last hidden state, as in SD 1.x and 2.x."""

    def __init__(self, text_encoder: torch.nn.Module, tokenizer: Any) -> None:
        self._text_encoder = text_encoder
        self._tokenizer = tokenizer
        self.digest = _digest(text_encoder, tokenizer)

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> EncodedCaptions:
        """Return (captions, model_max_length, channels) embeddings and which captions were cut."""
        ids, cut = _token_ids(self._tokenizer, captions, self._text_encoder)
        return EncodedCaptions(Conditioning(self._text_encoder(ids)[0].cpu()), cut)

    def to(self, device: torch.device) -> object:
        """Move the text transformer."""
        return self._text_encoder.to(device)


class SdxlCaptionEncoder:
    """SDXL's two text transformers (Podell et al. 2023, section 2.1).

    The hidden states before the last layer of both, side by side; pooled is the second one's
    projection of its end token. The empty caption is encoded like any other, as ComfyUI does;
    diffusers' pipeline puts zeros in its place.

    Args:
        text_encoder: transformers' CLIPTextModel (CLIP ViT-L).
        text_encoder_2: transformers' CLIPTextModelWithProjection (OpenCLIP ViT-bigG).
        tokenizer: of the first; fills short captions up with the end token.
        tokenizer_2: of the second; fills them up with "!", whose number is 0.
    """

    def __init__(
        self,
        text_encoder: torch.nn.Module,
        text_encoder_2: torch.nn.Module,
        tokenizer: Any,
        tokenizer_2: Any,
    ) -> None:
        self._text_encoders = (text_encoder, text_encoder_2)
        self._tokenizers = (tokenizer, tokenizer_2)
        self.digest = digest_json(
            [*map(_digest, self._text_encoders, self._tokenizers), tokenizer_2.pad_token_id]
        )

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> EncodedCaptions:
        """Return embeddings of both widths side by side, pooled ones, and which were cut."""
        hidden, cut, pooled = [], set[int](), None
        for network, tokenizer in zip(self._text_encoders, self._tokenizers, strict=True):
            ids, too_long = _token_ids(tokenizer, captions, network)
            output = network(ids, output_hidden_states=True)
            hidden.append(output.hidden_states[-2].cpu())
            # The second one's; the first has no projection.
            pooled = output[0].cpu()
            cut.update(too_long)
        conditioning = Conditioning(torch.cat(hidden, dim=-1), pooled)
        return EncodedCaptions(conditioning, tuple(sorted(cut)))

    def to(self, device: torch.device) -> object:
        """Move both text transformers."""
        for network in self._text_encoders:
            network.to(device)
        return self


def _digest(text_encoder: torch.nn.Module, tokenizer: Any) -> str:
    vocabulary = digest_json(tokenizer.get_vocab())
    return digest_json([digest_tensors(text_encoder.state_dict()), vocabulary])


def _token_ids(
    tokenizer: Any, captions: Sequence[str], network: torch.nn.Module
) -> tuple[Tensor, tuple[int, ...]]:
    """Return (captions, model_max_length) where the network is, and which captions were cut."""
    limit = tokenizer.model_max_length
    lengths = [len(ids) for ids in tokenizer(list(captions), verbose=False).input_ids]
    tokens = tokenizer(
        list(captions),
        padding="max_length",
        max_length=limit,
        truncation=True,
        return_tensors="pt",
    )
    cut = tuple(index for index, length in enumerate(lengths) if length > limit)
    return tokens.input_ids.to(next(network.parameters()).device), cut
