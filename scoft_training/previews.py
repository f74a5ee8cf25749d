"""Pictures during training, beside the base model's of the same prompt and seed.

They are drawn between two steps, one at a time and without a graph, so the peak stays that of a
step; nothing they leave behind is seen by the next one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor

from .conditioning import Conditioning
from .config import MemoryConfig, TrainConfig
from .generation import draw_picture, starting_noise, to_picture
from .models import BaseModel, on_device
from .predictor import NoisePredictor

__all__ = ["Previews", "preview_prompts"]

_GUIDANCE_SCALE = 7.5
_SEED = 0
_GAP = 4


def preview_prompts(config: TrainConfig, captions: Sequence[str]) -> list[str]:
    """Return what previews show: the option's prompts, or the first two captions.

    Args:
        config: `preview_prompts` parted by | or new lines.
        captions: cultural captions of the rows, in order.
    """
    asked = [part.strip() for part in config.preview_prompts.replace("|", "\n").split("\n")]
    return [prompt for prompt in asked if prompt] or list(captions[:2])


class Previews:
    """Draws the same prompts with the same seed whenever asked.

    Args:
        base: its UNet carries the LoRA and lies on `device`; the VAE decoder visits it.
        config: resolution and steps.
        memory: decided; guidance is batched as in the loop.
        prompts: what is drawn.
        conditioning: of the prompts.
        uncond: of the empty caption.
        device: where the UNet is.
        dtype: of the frozen networks.
    """

    def __init__(
        self,
        base: BaseModel,
        config: TrainConfig,
        memory: MemoryConfig,
        *,
        prompts: Sequence[str],
        conditioning: Conditioning,
        uncond: Conditioning,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._base = base
        self._config = config
        self._prompts = tuple(prompts)
        self._conditioning = conditioning.to(device)
        self._uncond = uncond.to(device)
        self._device = device
        self._predictor = NoisePredictor(
            base.unet,
            base.schedule,
            device=device,
            dtype=dtype,
            guidance_scale=_GUIDANCE_SCALE,
            batched_guidance=memory.batched_guidance == "on",
        )
        self._of_base: list[Tensor] | None = None

    def draw(self, check_stop: Callable[[], None]) -> Iterator[tuple[str, Image.Image]]:
        """Yield each prompt with the base model's picture and the LoRA's side by side.

        Args:
            check_stop: called before each DDIM step; raises to stop.
        """
        if self._of_base is None:
            self._base.unet.disable_adapters()
            try:
                self._of_base = list(self._pictures(check_stop))
            finally:
                self._base.unet.enable_adapters()
        with_lora = self._pictures(check_stop)
        for prompt, left, right in zip(self._prompts, self._of_base, with_lora, strict=True):
            side = self._config.resolution
            both = Image.new("RGB", (2 * side + _GAP, side), "white")
            both.paste(to_picture(left), (0, 0))
            both.paste(to_picture(right), (side + _GAP, 0))
            yield prompt, both

    def _pictures(self, check_stop: Callable[[], None]) -> Iterator[Tensor]:
        with contextlib.ExitStack() as stack:
            for part in self._base.decoder_parts:
                # A run with perceptual losses keeps its decoder on the device, others do not.
                if next(part.parameters()).device != self._device:
                    stack.enter_context(on_device(part, self._device))
            wide = self._predictor.wide
            noise = starting_noise(self._base, self._config.resolution, wide, _SEED, "picture")
            for index in range(len(self._conditioning)):
                yield draw_picture(
                    self._base,
                    self._predictor,
                    self._conditioning[index],
                    self._uncond,
                    noise,
                    inference_steps=self._config.preview_steps,
                    check_stop=check_stop,
                )
