"""The paper's losses: tensors in, one value per picture out, and their weighted sum.

Values stay per picture because a step's terms are sums over the whole global batch, spread over
micro-batches and processes, and because a picture without negatives has no L_C. `total_loss` makes
the one number that is differentiated. Nothing is loaded or drawn here.

Paper -> code: eps_theta(z_t, t, c) -> model_pred, sg(eps_theta(z_t, t, c_gen)) -> generic_pred,
S(F(x^), F(x)) -> positive_distance, S(F(x^), F(x-_i)) -> negative_distances, m -> margin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .errors import ConfigError

Features = list[Tensor]
"""What a perceptual backbone sees in pictures: tensors of shape (batch, ...)."""

Distance = Callable[[Features, Features], Tensor]
"""S: two lists of features -> (batch,)."""

__all__ = [
    "Distance",
    "Features",
    "ldm_loss",
    "memorization_loss",
    "min_snr_weight",
    "noise_target",
    "perceptual_loss",
    "self_contrastive_loss",
    "total_loss",
]


def noise_target(
    latents: Tensor, noise: Tensor, alphas_cumprod: Tensor, prediction_type: str
) -> Tensor:
    """What the network is to predict: the noise, or the velocity of v-prediction models.

    Source: Salimans & Ho 2022, v = sqrt(abar) eps - sqrt(1 - abar) z_0.

    Args:
        latents: (batch, channels, height, width), clean, in VAE-scaled units.
        noise: like latents, standard normal.
        alphas_cumprod: (batch,) abar_t of each picture's timestep.
        prediction_type: "epsilon" or "v_prediction".

    Raises:
        ConfigError: another prediction type.
    """
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "v_prediction":
        signal = alphas_cumprod.view(-1, 1, 1, 1)
        return signal.sqrt() * noise - (1 - signal).sqrt() * latents
    raise ConfigError(
        f"The base model's prediction type is {prediction_type!r}; only epsilon and v_prediction "
        "models can be trained. Choose another base model."
    )


def ldm_loss(model_pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """L_LDM (eq. 1): squared error of the noise prediction under the cultural caption.

    Args:
        model_pred: (batch, channels, height, width), noise or velocity.
        target: like model_pred.
        weight: (batch,) weight of each picture's timestep (`min_snr_weight`); 1 when absent.

    Returns:
        (batch,), the mean over channels and places, float32 or wider.
    """
    loss = _mean_square(model_pred, target)
    return loss if weight is None else loss * weight


def memorization_loss(model_pred: Tensor, generic_pred: Tensor) -> Tensor:
    """L_M (eq. 2): stay near the same network's prediction under the generic caption.

    Args:
        model_pred: (batch, channels, height, width), under the cultural caption.
        generic_pred: the same z_t and t under a generic caption; a constant: no gradient enters it.

    Returns:
        (batch,), the mean over channels and places, float32 or wider.
    """
    return _mean_square(model_pred, generic_pred.detach())


def perceptual_loss(
    denoised_features: Features, picture_features: Features, distance: Distance
) -> Tensor:
    """L_P (eq. 3): S(F(D(z_0^)), F(x)), the denoised picture against the training picture.

    Args:
        denoised_features: F(D(z_0^)), with gradient; tensors of shape (batch, ...).
        picture_features: F(x), constants of the same shapes.
        distance: S of the backbone.

    Returns:
        (batch,), in the backbone's own units.
    """
    return distance(denoised_features, [feature.detach() for feature in picture_features])


def self_contrastive_loss(
    positive_distance: Tensor,
    negative_distances: Tensor,
    kept: Tensor,
    *,
    negatives_lambda: float = 1.0,
    margin: float | None = 0.2,
    distance_unit: float = 1.0,
) -> Tensor:
    """L_C (eq. 4): a triplet, near the training picture and away from its negatives.

    max( S(F(x^), F(x)) - sum_i lambda_i S(F(x^), F(x-_i)) + m, 0 ), lambda_i = lambda / n. The
    formula is reconstructed, and so is the unit: all distances are divided by the set's mean
    S(F(x-), F(x)), since backbones differ by orders of magnitude and the paper's m is lost. With
    `margin` None there is neither margin nor maximum nor unit, as in the authors' code.

    Args:
        positive_distance: (batch,).
        negative_distances: (batch, num_negatives); entries that are not kept may hold anything.
        kept: (batch, num_negatives) bool; a picture without any has the loss 0.
        negatives_lambda: the sum of the lambda_i.
        margin: m, in units of `distance_unit`, or None.
        distance_unit: the set's mean distance between negatives and their pictures, above 0.

    Returns:
        (batch,); not negative unless `margin` is None.
    """
    count = kept.sum(dim=1)
    # where, not a product: a distance that is not kept may be inf or NaN.
    total = torch.where(kept, negative_distances, 0.0).sum(dim=1)
    gap = positive_distance - negatives_lambda * total / count.clamp(min=1)
    if margin is not None:
        gap = (gap / distance_unit + margin).clamp(min=0)
    return torch.where(count > 0, gap, 0.0)


def total_loss(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], global_batch_size: int
) -> Tensor:
    """L (section 9 of the method): the weighted sum of the terms over the global batch.

    Args:
        terms: name -> (pictures,), those of this micro-batch that have the term.
        weights: name -> w; a name may be missing from `terms`, never from `weights`.
        global_batch_size: pictures of the whole optimizer step; also those without a term divide.

    Returns:
        Scalar; summed over micro-batches and processes it is the step's loss.
    """
    parts = [weights[name] * values.sum() / global_batch_size for name, values in terms.items()]
    return torch.stack(parts).sum()


def min_snr_weight(alphas_cumprod: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """Weight of L_LDM that bounds the signal-to-noise ratio by gamma.

    Source: Hang et al. 2023, section 3.4: min(snr, gamma) / snr; for velocities divided by snr + 1
    instead, so that a latent without any signal (zero-terminal-SNR schedules) has the weight 0.

    Args:
        alphas_cumprod: (batch,) abar_t, in [0, 1).
        gamma: the bound, above 0.
        prediction_type: "epsilon" or "v_prediction".

    Returns:
        (batch,), in [0, 1].
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    if prediction_type == "v_prediction":
        return snr.clamp(max=gamma) / (snr + 1)
    # The same as min(snr, gamma) / snr, and 1 where snr is 0.
    return gamma / snr.clamp(min=gamma)


def _mean_square(prediction: Tensor, target: Tensor) -> Tensor:
    """(batch, ...) x 2 -> (batch,), in float32 or wider: half-precision squares lose their sum."""
    wide = torch.promote_types(prediction.dtype, torch.float32)
    return (prediction.to(wide) - target.to(wide)).square().flatten(1).mean(dim=1)
