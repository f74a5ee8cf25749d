"""What a UNet reads beside the latents: embeddings of captions and, for SDXL, sizes.

Lives here: the tensors of it as one thing, and how they go into a network's call. Not here: who
makes them (`models`, and the canvas's bridge).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Conditioning", "size_ids"]


@dataclass(frozen=True)
class Conditioning:
    """Captions as a UNet reads them; of one caption without, of several with the batch dimension.

    Attributes:
        prompt_embeds: (batch, tokens, channels).
        pooled_prompt_embeds: (batch, channels) of SDXL's second text encoder; None for Stable
            Diffusion 1.x and 2.x.
        time_ids: (batch, 6) of `size_ids`, float32; only beside pooled_prompt_embeds. None until
            it is known what picture the captions go with.
    """

    prompt_embeds: Tensor
    pooled_prompt_embeds: Tensor | None = None
    time_ids: Tensor | None = None

    def __len__(self) -> int:
        return len(self.prompt_embeds)

    def __getitem__(self, index: Any) -> Conditioning:
        """Index every tensor; an integer takes the batch dimension away."""
        return self._each(lambda tensor: tensor[index])

    def to(self, device: torch.device) -> Conditioning:
        """Move every tensor."""
        return self._each(lambda tensor: tensor.to(device))

    def sized(self, time_ids: Tensor | None) -> Conditioning:
        """Return the same captions for a picture of this size, where the network asks for one.

        Args:
            time_ids: (6,) for all captions, or (batch, 6); None changes nothing.
        """
        if self.pooled_prompt_embeds is None or time_ids is None:
            return self
        expanded = time_ids.to(self.prompt_embeds.device).expand(
            *self.prompt_embeds.shape[:-2], time_ids.shape[-1]
        )
        return dataclasses.replace(self, time_ids=expanded)

    def uncond_for(self, conditioning: Conditioning) -> Conditioning:
        """Return these captions beside others in guidance: as many of them, of the same sizes."""
        pooled, wanted = self.pooled_prompt_embeds, conditioning.pooled_prompt_embeds
        return Conditioning(
            self.prompt_embeds.expand_as(conditioning.prompt_embeds),
            None if pooled is None or wanted is None else pooled.expand_as(wanted),
            conditioning.time_ids,
        )

    def arguments(self, dtype: torch.dtype) -> dict[str, Any]:
        """Return the arguments of a call of diffusers' UNet or ControlNet of this dtype."""
        arguments: dict[str, Any] = {"encoder_hidden_states": self.prompt_embeds.to(dtype)}
        if self.pooled_prompt_embeds is not None:
            # The sizes go through sinusoids first and would lose digits in a narrow format.
            arguments["added_cond_kwargs"] = {
                "text_embeds": self.pooled_prompt_embeds.to(dtype),
                "time_ids": self.time_ids,
            }
        return arguments

    def _each(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        return Conditioning(*(None if one is None else change(one) for one in _tensors(self)))  # type: ignore[arg-type]

    @classmethod
    def cat(cls, parts: Sequence[Conditioning]) -> Conditioning:
        """Join batches."""
        return _joined(parts, torch.cat)

    @classmethod
    def stack(cls, parts: Sequence[Conditioning]) -> Conditioning:
        """Make a batch of single captions."""
        return _joined(parts, torch.stack)


def size_ids(
    original_size: tuple[int, int], crop_top_left: tuple[int, int], target_size: tuple[int, int]
) -> Tensor:
    """Return what SDXL is told about a picture, (6,) float32, in pixels.

    Source: Podell et al. 2023 (SDXL), section 2.2: the size before any scaling, and where the crop
    begins in the scaled picture. A drawing that says (side, side), (0, 0) asks for a picture that
    was neither scaled up nor cut.

    Args:
        original_size: (height, width) of the picture's file.
        crop_top_left: (top, left) of the crop in the scaled picture.
        target_size: (height, width) that the network sees.
    """
    return torch.tensor([*original_size, *crop_top_left, *target_size], dtype=torch.float32)


def _tensors(conditioning: Conditioning) -> tuple[Tensor | None, ...]:
    return (
        conditioning.prompt_embeds,
        conditioning.pooled_prompt_embeds,
        conditioning.time_ids,
    )


def _joined(parts: Sequence[Conditioning], join: Callable[[list[Tensor]], Tensor]) -> Conditioning:
    columns = zip(*map(_tensors, parts), strict=True)
    joined = [
        join([tensor for tensor in column if tensor is not None])
        if all(tensor is not None for tensor in column)
        else None
        for column in columns
    ]
    return Conditioning(*joined)  # type: ignore[arg-type]
