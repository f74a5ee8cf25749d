"""The UNet as the equations see it: eps_theta and guided eps~, in float32 or wider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .conditioning import Conditioning
from .models import NoiseSchedule
from .sampling import classifier_free_guidance, noise_from_prediction

__all__ = ["NoisePredictor", "Residuals"]

Residuals = Callable[[Tensor, Tensor, Conditioning], Mapping[str, Any]]
"""(latents, timesteps, conditioning), as the UNet gets them -> further arguments of its call."""


class NoisePredictor:
    """Predictions of one UNet, whatever number format it computes in.

    Args:
        unet: diffusers' UNet2DConditionModel on `device`.
        schedule: gives abar_t and the prediction type.
        device: of the UNet and of everything passed in.
        dtype: of the UNet's weights.
        guidance_scale: w; 1 makes no unconditional prediction.
        batched_guidance: both predictions of guidance in one call.
        residuals: what a ControlNet adds inside the UNet at each call; None adds nothing.
    """

    def __init__(
        self,
        unet: Any,
        schedule: NoiseSchedule,
        *,
        device: torch.device,
        dtype: torch.dtype,
        guidance_scale: float,
        batched_guidance: bool,
        residuals: Residuals | None = None,
    ) -> None:
        self._unet = unet
        self._dtype = dtype
        self._guidance_scale = guidance_scale
        self._batched_guidance = batched_guidance
        self._residuals = residuals
        self.prediction_type = schedule.prediction_type
        self.wide = torch.promote_types(dtype, torch.float32)
        self.alphas_cumprod = schedule.alphas_cumprod.to(device, self.wide)

    def predict(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """Return the network's own prediction, noise or velocity.

        Args:
            latents: (batch, channels, height, width) z_t, in VAE-scaled units.
            timesteps: (batch,).
            conditioning: of batch captions.
        """
        latents = latents.to(self._dtype)
        added = self._residuals(latents, timesteps, conditioning) if self._residuals else {}
        prediction: Tensor = self._unet(
            latents, timesteps, return_dict=False, **conditioning.arguments(self._dtype), **added
        )[0]
        return prediction.to(self.wide)

    def as_noise(self, prediction: Tensor, latents: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noise that a prediction at (latents, timesteps) means."""
        signal = self.alphas_cumprod[timesteps]
        return noise_from_prediction(prediction, latents, signal, self.prediction_type)

    def guided_noise(
        self,
        latents: Tensor,
        timesteps: Tensor,
        conditioning: Conditioning,
        uncond: Conditioning,
    ) -> Tensor:
        """Return eps~ = eps(null) + w (eps(c) - eps(null)); arguments of `guided_prediction`."""
        prediction = self.guided_prediction(latents, timesteps, conditioning, uncond)
        return self.as_noise(prediction, latents, timesteps)

    def guided_prediction(
        self,
        latents: Tensor,
        timesteps: Tensor,
        conditioning: Conditioning,
        uncond: Conditioning,
    ) -> Tensor:
        """Return the guided prediction as the network makes it, noise or velocity.

        A velocity holds more than the noise it means: where abar is 0, that is z itself.

        Args:
            latents: (batch, channels, height, width).
            timesteps: (batch,).
            conditioning: of batch captions.
            uncond: of the empty caption, once or batch times.
        """
        if self._guidance_scale == 1:
            return self.predict(latents, timesteps, conditioning)
        uncond = uncond.uncond_for(conditioning)
        if self._batched_guidance:
            uncond_pred, cond_pred = self.predict(
                torch.cat([latents, latents]),
                torch.cat([timesteps, timesteps]),
                Conditioning.cat([uncond, conditioning]),
            ).chunk(2)
        else:
            uncond_pred = self.predict(latents, timesteps, uncond)
            cond_pred = self.predict(latents, timesteps, conditioning)
        return classifier_free_guidance(uncond_pred, cond_pred, self._guidance_scale)
