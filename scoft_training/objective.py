"""One micro-batch's share of the gradient, in the order that keeps the peak at one graph.

1. The whole DDIM chain without gradient.
2. Decode z_0^ as a leaf, take g = dL / dz_0^ through decoder and backbone, free that graph.
3. Only then predict with gradient. For r = first the prediction of L_LDM is the recorded one; for
   last and random it is made by itself, after L_LDM's graph is freed.

See `sampling` for the mathematics of the recorded step, `losses` for the terms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .augmentations import augment, average_over_augmentations, draw_augmentations
from .backbone_interface import PerceptualBackbone
from .batches import Batch, PictureTarget
from .conditioning import Conditioning
from .config import MemoryConfig, TrainConfig
from .draws import generator
from .losses import (
    ldm_loss,
    memorization_loss,
    min_snr_weight,
    noise_target,
    perceptual_loss,
    self_contrastive_loss,
    total_loss,
)
from .models import BaseModel
from .predictor import NoisePredictor
from .sampling import (
    RecordedChain,
    denoise,
    has_signal,
    recorded_steps,
    strided_timesteps,
)

__all__ = ["Objective"]

Terms = dict[str, Tensor]
"""Name of a loss -> its values, one per picture that has it, detached."""


@dataclass(frozen=True)
class _Handover:
    """What the perceptual losses ask of the recorded prediction, for some rows of a batch."""

    rows: Tensor
    chain: RecordedChain
    x0_gradient: Tensor


class Objective:
    """The weighted losses of the paper for one UNet, and their gradient on its LoRA.

    Args:
        base: its UNet carries the LoRA; UNet and VAE decoder lie on `device`.
        config: weights and settings of the losses.
        memory: decided, without `auto`.
        backbone: on `device`, or None where L_P and L_C are off.
        lpips: likewise, or None where `lpips_weight` is 0.
        uncond: of the empty caption.
        distance_unit: see `self_contrastive_loss`.
        device: of the networks and batches.
        dtype: of the frozen networks.
    """

    def __init__(
        self,
        base: BaseModel,
        config: TrainConfig,
        memory: MemoryConfig,
        *,
        backbone: PerceptualBackbone | None,
        lpips: PerceptualBackbone | None,
        uncond: Conditioning,
        distance_unit: float,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._vae: Any = base.vae
        self._schedule = base.schedule
        self._predictor = NoisePredictor(
            base.unet,
            base.schedule,
            device=device,
            dtype=dtype,
            guidance_scale=config.guidance_scale,
            batched_guidance=memory.batched_guidance == "on",
        )
        self._predict = self._predictor.predict
        self._scaling_factor = base.scaling_factor
        self._config = config
        self._memory = memory
        self._backbone = backbone
        self._lpips = lpips
        self._uncond = uncond.to(device)
        self._distance_unit = distance_unit
        self._dtype = dtype
        self._alphas_cumprod = self._predictor.alphas_cumprod
        self._weights = {
            "ldm": config.ldm_weight,
            "memorization": config.memorization_weight,
            "perceptual": config.perceptual_weight,
            "contrastive": config.contrastive_weight,
            "lpips": config.lpips_weight,
        }

    def is_perceptual(self, step: int) -> bool:
        """Whether L_P and L_C are computed at this optimizer step."""
        return self._config.uses_denoising and step % self._config.perceptual_every == 0

    def accumulate(
        self, batch: Batch, *, loss_scale: float = 1.0, check_stop: Callable[[], None]
    ) -> Terms:
        """Add this micro-batch's gradient to the LoRA's and return the terms' values.

        Args:
            batch: with targets on a perceptual step, else without.
            loss_scale: factor on the gradient (fp16 needs one).
            check_stop: called before each DDIM step; raises to stop.
        """
        terms: Terms = {}
        handover = None
        if batch.targets:
            handover = self._perceptual_branch(batch, terms, loss_scale, check_stop)
        noisy_latents = self._schedule.add_noise(batch.latents, batch.noise, batch.timesteps)
        generic_pred = None
        if batch.generic_conditioning is not None:
            with torch.no_grad():
                generic_pred = self._predict(
                    noisy_latents, batch.timesteps, batch.generic_conditioning
                )
        model_pred = self._predict(noisy_latents, batch.timesteps, batch.conditioning)
        plain = self._plain_terms(batch, model_pred, generic_pred)
        loss = loss_scale * self._total(plain)
        if handover is not None and self._config.gradient_step == "first":
            loss = loss + self._hand_over(handover, model_pred[handover.rows])
            handover = None
        loss.backward()  # type: ignore[no-untyped-call]
        del loss, model_pred
        terms |= {name: values.detach() for name, values in plain.items()}
        del plain
        if handover is not None:
            model_pred = self._predict(
                handover.chain.latents, handover.chain.timesteps, batch.conditioning[handover.rows]
            )
            self._hand_over(handover, model_pred).backward()  # type: ignore[no-untyped-call]
        return terms

    @torch.no_grad()
    def validation_loss(self, batch: Batch) -> Tensor:
        """L_LDM of each picture, (batch,), weight 1 for every timestep."""
        noisy_latents = self._schedule.add_noise(batch.latents, batch.noise, batch.timesteps)
        model_pred = self._predict(noisy_latents, batch.timesteps, batch.conditioning)
        return ldm_loss(model_pred, self._target(batch))

    def guided_noise(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """eps~ of one step of the chain; see `NoisePredictor.guided_noise`."""
        return self._predictor.guided_noise(latents, timesteps, conditioning, self._uncond)

    def picture_gradient(
        self, x0_latents: Tensor, targets: list[PictureTarget], loss_scale: float = 1.0
    ) -> tuple[Tensor, Terms]:
        """Decode z_0^ as a leaf and return g = dL / dz_0^ with the terms; leaves no graph behind.

        Args:
            x0_latents: (pictures, channels, height, width), decoded all at once.
            targets: one per picture.
            loss_scale: factor on the gradient.
        """
        leaf = x0_latents.detach().requires_grad_()
        terms = self._picture_terms(self._decode(leaf), targets)
        (gradient,) = torch.autograd.grad(loss_scale * self._total(terms), leaf)
        return gradient, {name: values.detach() for name, values in terms.items()}

    def weighted_total(self, terms: Terms) -> float:
        """The micro-batch's share of the step's total loss."""
        return float(self._total(terms))

    def _plain_terms(self, batch: Batch, model_pred: Tensor, generic_pred: Tensor | None) -> Terms:
        weight = None
        if self._config.min_snr_gamma:
            signal = self._alphas_cumprod[batch.timesteps]
            prediction_type = self._schedule.prediction_type
            weight = min_snr_weight(signal, self._config.min_snr_gamma, prediction_type)
        terms = {"ldm": ldm_loss(model_pred, self._target(batch), weight)}
        if generic_pred is not None:
            terms["memorization"] = memorization_loss(model_pred, generic_pred)
        return terms

    def _target(self, batch: Batch) -> Tensor:
        signal = self._alphas_cumprod[batch.timesteps]
        prediction_type = self._schedule.prediction_type
        return noise_target(batch.latents, batch.noise, signal, prediction_type)

    def _total(self, terms: Terms) -> Tensor:
        return total_loss(terms, self._weights, self._config.global_batch_size)

    def _perceptual_branch(
        self, batch: Batch, terms: Terms, loss_scale: float, check_stop: Callable[[], None]
    ) -> _Handover | None:
        """Steps 1 and 2: denoise, decode, differentiate; leaves no graph behind."""
        rows = has_signal(self._alphas_cumprod[batch.timesteps]).nonzero()[:, 0]
        if not len(rows):
            return None
        conditioning = batch.conditioning[rows]
        timesteps = batch.timesteps[rows]
        noisy_latents = self._schedule.add_noise(batch.latents[rows], batch.noise[rows], timesteps)
        grid, num_steps = strided_timesteps(timesteps, self._config.ddim_steps)
        chain = denoise(
            lambda latents, step_timesteps: self.guided_noise(
                latents, step_timesteps, conditioning
            ),
            noisy_latents,
            grid,
            num_steps,
            self._alphas_cumprod,
            recorded_step=recorded_steps(
                self._config.gradient_step, num_steps, batch.recorded_draws[rows]
            ),
            on_step=check_stop,
        )
        gradients: list[Tensor] = []
        found: dict[str, list[Tensor]] = {}
        for some in torch.split(torch.arange(len(rows)), self._memory.decode_batch_size):
            targets = [batch.targets[int(rows[place])] for place in some]
            gradient, picture_terms = self.picture_gradient(
                chain.x0_latents[some], targets, loss_scale
            )
            gradients.append(gradient)
            for name, values in picture_terms.items():
                found.setdefault(name, []).append(values)
        terms |= {name: torch.cat(values) for name, values in found.items()}
        return _Handover(rows, chain, torch.cat(gradients))

    def _hand_over(self, handover: _Handover, model_pred: Tensor) -> Tensor:
        """Step 3; the unconditional prediction is a constant, so d eps~ / d eps(c) = w."""
        chain = handover.chain
        noise_pred = self._predictor.as_noise(model_pred, chain.latents, chain.timesteps)
        return chain.hand_over(
            handover.x0_gradient,
            self._config.guidance_scale * noise_pred,
            unit=self._config.unit_recorded_step,
        )

    def _decode(self, latents: Tensor) -> Tensor:
        """D: latents -> pictures around [0, 1], not clamped: a clamp would stop the gradient of
        exactly those pixels that have to come back."""
        decoded: Tensor = self._vae.decode(
            (latents / self._scaling_factor).to(self._vae.dtype)
        ).sample
        return decoded.to(self._predictor.wide) / 2 + 0.5

    def _picture_terms(self, images: Tensor, targets: list[PictureTarget]) -> Terms:
        """L_P, LPIPS and, where there are negatives, L_C of decoded pictures; (pictures,) each."""
        found: dict[str, list[Tensor]] = {}
        if self._backbone is not None:
            whole = None if self._config.augmentations else self._backbone.features(images)
            for place, target in enumerate(targets):
                if whole is None:
                    positive, negatives = self._augmented_distances(
                        self._backbone, images[place], target
                    )
                else:
                    positive, negatives = _distances(
                        self._backbone, [part[place : place + 1] for part in whole], target
                    )
                found.setdefault("perceptual", []).append(positive)
                if self._config.uses_negatives and target.num_negatives:
                    contrastive = self_contrastive_loss(
                        positive,
                        negatives[None],
                        torch.ones_like(negatives[None], dtype=torch.bool),
                        negatives_lambda=self._config.negatives_lambda,
                        margin=self._config.margin,
                        distance_unit=self._distance_unit,
                    )
                    found.setdefault("contrastive", []).append(contrastive)
        if self._lpips is not None:
            with torch.no_grad():
                pictures = torch.stack([target.pictures[0] for target in targets]).to(images)
                wanted = self._lpips.features(pictures)
            features = self._lpips.features(images)
            found["lpips"] = [perceptual_loss(features, wanted, self._lpips.distance)]
        return {name: torch.cat(values) for name, values in found.items()}

    def _augmented_distances(
        self, backbone: PerceptualBackbone, image: Tensor, target: PictureTarget
    ) -> tuple[Tensor, Tensor]:
        """S to picture and negatives, averaged over augmentations drawn jointly for all of them."""
        height, width = image.shape[-2:]
        count = self._config.augmentations
        draw = generator(self._config.seed, *target.augmentation_purpose)
        augmentations = draw_augmentations(count, height, width, draw)
        size = backbone.image_size or 224
        features = backbone.features(augment(image[None], augmentations, size=size))
        with torch.no_grad():
            views = augment(target.pictures.to(image), augmentations, size=size)
            others = backbone.features(views)
        repeated = [torch.cat([part] * len(target.pictures)) for part in features]
        distances = perceptual_loss(repeated, others, backbone.distance)
        means = average_over_augmentations(distances, count)
        return means[:1], means[1:]


def _distances(
    backbone: PerceptualBackbone, features: list[Tensor], target: PictureTarget
) -> tuple[Tensor, Tensor]:
    """S(F(x^), F(x)) (1,) and S(F(x^), F(x-_i)) (negatives,) of one picture."""
    positive = perceptual_loss(features, target.picture_features, backbone.distance)
    repeated = [part.expand(target.num_negatives, *part.shape[1:]) for part in features]
    return positive, perceptual_loss(repeated, target.negative_features, backbone.distance)
