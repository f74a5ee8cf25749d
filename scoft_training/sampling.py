"""DDIM: with one recorded step, how a noisy latent becomes a picture that can teach; and drawing.

With s = sqrt((1 - abar) / abar) and y = z / sqrt(abar), a DDIM step (Song et al. 2021, eq. 12 with
sigma = 0) is y_next = y + (s_next - s) eps~. All K steps together are

    z_0^ = z_t / sqrt(abar_t) + sum_k (s_{k+1} - s_k) eps~_k,

and since every prediction but the recorded one stands under stop-gradient (SCoFT, section 4.3),
d z_0^ / d eps~_r = s_{r+1} - s_r, a number. So no graph runs through the chain: `denoise` goes
through it without gradient and `RecordedChain` attaches the one prediction that is made again.

y is infinite where abar is 0. Training leaves such latents out (`has_signal`); a drawing has to
begin there with a zero-terminal-SNR schedule, so `ddim_sample` steps in z.

Paper -> code: z_t -> latents, abar_t -> alphas_cumprod[t], s_k -> sigmas[:, k], eps~ -> guided
noise_pred, r -> recorded_step, K -> num_steps of a row. The authors' code steps DDPM here instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import ConfigError

__all__ = [
    "MINIMUM_ALPHA_CUMPROD",
    "RecordedChain",
    "classifier_free_guidance",
    "clean_from_prediction",
    "ddim_sample",
    "ddim_step",
    "denoise",
    "has_signal",
    "noise_from_prediction",
    "recorded_ddim_sample",
    "recorded_steps",
    "sigmas_of",
    "strided_timesteps",
]

PredictNoise = Callable[[Tensor, Tensor], Tensor]
"""(latents (batch, ...), timesteps (batch,)) -> noise of the same shape, guidance applied."""

Predict = Callable[[Tensor, Tensor], Tensor]
"""(latents (batch, ...), timesteps (batch,)) -> noise or velocity, guidance applied."""

MINIMUM_ALPHA_CUMPROD = 1e-4
"""Below it a latent holds no signal to denoise (zero-terminal-SNR schedules)."""


def strided_timesteps(timesteps: Tensor, ddim_steps: int) -> tuple[Tensor, Tensor]:
    """Return each row's own DDIM grid tau_k = round(t (1 - k / K)), K = min(ddim_steps, max(1, t)).

    Args:
        timesteps: (batch,) int64, where each latent stands, 0 or more.
        ddim_steps: the most steps a row may take.

    Returns:
        grid: (batch, ddim_steps) int64, strictly falling over a row's first K columns, then 0.
        num_steps: (batch,) int64, K of each row.
    """
    num_steps = timesteps.clamp(min=1, max=ddim_steps)
    step = torch.arange(ddim_steps, device=timesteps.device)
    # Whole numbers divided in float64 keep halves exact, so that rounding never repeats a step.
    remaining = (num_steps[:, None] - step).clamp(min=0)
    grid = (timesteps[:, None] * remaining).double() / num_steps[:, None].double()
    return grid.round().long(), num_steps


def sigmas_of(alphas_cumprod: Tensor, grid: Tensor, num_steps: Tensor) -> Tensor:
    """Return s_k of every step and of the end, where abar = 1 and s = 0.

    Args:
        alphas_cumprod: (num_train_timesteps,), in [0, 1].
        grid: (batch, ddim_steps) from `strided_timesteps`, where abar is above 0.
        num_steps: (batch,) from the same.

    Returns:
        (batch, ddim_steps + 1), dtype of alphas_cumprod; 0 from column num_steps on, so that the
        padding's steps have length 0.
    """
    signal = alphas_cumprod[grid]
    sigmas = ((1 - signal) / signal).sqrt()
    inside = torch.arange(grid.shape[1], device=grid.device) < num_steps[:, None]
    return torch.nn.functional.pad(torch.where(inside, sigmas, 0.0), (0, 1))


def ddim_step(scaled_latents: Tensor, noise_pred: Tensor, step_length: Tensor) -> Tensor:
    """One DDIM step in y = z / sqrt(abar): y + (s_next - s) eps~.

    Args:
        scaled_latents: (batch, channels, height, width), y.
        noise_pred: like scaled_latents, guidance applied.
        step_length: (batch,) s_next - s, not positive.
    """
    return scaled_latents + step_length.view(-1, 1, 1, 1) * noise_pred


def classifier_free_guidance(
    uncond_noise_pred: Tensor, noise_pred: Tensor, guidance_scale: float
) -> Tensor:
    """Return eps(null) + w (eps(c) - eps(null)) (Ho & Salimans 2022); w = 1 is no guidance."""
    return uncond_noise_pred + guidance_scale * (noise_pred - uncond_noise_pred)


def noise_from_prediction(
    model_pred: Tensor, latents: Tensor, alphas_cumprod: Tensor, prediction_type: str
) -> Tensor:
    """Return the noise that a prediction means: itself, or sqrt(abar) v + sqrt(1 - abar) z.

    Args:
        model_pred: (batch, channels, height, width), noise or velocity.
        latents: z, like model_pred.
        alphas_cumprod: (batch,) abar of each latent.
        prediction_type: "epsilon" or "v_prediction".
    """
    if prediction_type == "epsilon":
        return model_pred
    signal = alphas_cumprod.view(-1, 1, 1, 1)
    return signal.sqrt() * model_pred + (1 - signal).sqrt() * latents


def clean_from_prediction(
    model_pred: Tensor, latents: Tensor, alphas_cumprod: Tensor, prediction_type: str
) -> Tensor:
    """Return the z_0^ that a prediction means.

    (z - sqrt(1 - abar) eps) / sqrt(abar), or sqrt(abar) z - sqrt(1 - abar) v, which divides by
    nothing.

    Args:
        model_pred: (batch, channels, height, width), noise or velocity.
        latents: z, like model_pred.
        alphas_cumprod: (batch,) abar of each latent; above 0 for noise.
        prediction_type: "epsilon" or "v_prediction".
    """
    signal = alphas_cumprod.view(-1, 1, 1, 1)
    if prediction_type == "epsilon":
        return (latents - (1 - signal).sqrt() * model_pred) / signal.sqrt()
    return signal.sqrt() * latents - (1 - signal).sqrt() * model_pred


def has_signal(alphas_cumprod: Tensor) -> Tensor:
    """Return which abar_t, shape kept, are high enough for L_P and L_C."""
    return alphas_cumprod >= MINIMUM_ALPHA_CUMPROD


def recorded_steps(gradient_step: str, num_steps: Tensor, draws: Tensor) -> Tensor:
    """Return the recorded step r of each row: its first, its last, or a drawn one of its own.

    Args:
        gradient_step: "first", "last" or "random".
        num_steps: (batch,) K of each row.
        draws: (batch,) uniform in [0, 1), used by "random"; never lands in a row's padding.

    Raises:
        ConfigError: another gradient_step.
    """
    if gradient_step == "first":
        return torch.zeros_like(num_steps)
    if gradient_step == "last":
        return num_steps - 1
    if gradient_step == "random":
        return (draws * num_steps).long()
    raise ConfigError(f"`gradient_step` must be first, last or random but got {gradient_step!r}.")


@dataclass(frozen=True)
class RecordedChain:
    """A finished denoising and what is needed to attach its recorded prediction.

    Attributes:
        x0_latents: (batch, channels, height, width) z_0^, a constant.
        latents: z at the recorded step, like x0_latents; the input of the prediction made again.
        timesteps: (batch,) of the recorded step.
        noise_pred: sg(eps~_r), like x0_latents.
        step_length: (batch,) s_{r+1} - s_r, not positive.
    """

    x0_latents: Tensor
    latents: Tensor
    timesteps: Tensor
    noise_pred: Tensor
    step_length: Tensor

    def attach(self, noise_pred: Tensor) -> Tensor:
        """Return z_0^ = sg(z_0^) + (s_{r+1} - s_r) (eps~_r - sg(eps~_r)).

        Args:
            noise_pred: eps~_r with gradient, like x0_latents.
        """
        change = noise_pred - self.noise_pred
        return self.x0_latents + self.step_length.view(-1, 1, 1, 1) * change

    def hand_over(self, x0_gradient: Tensor, noise_pred: Tensor, *, unit: bool = False) -> Tensor:
        """Return < sg((s_{r+1} - s_r) g), eps~_r >, whose gradient is that of L through z_0^.

        Decoder and backbone are differentiated first, with z_0^ as a leaf, and their graph is freed
        before this prediction is made, so that the peak is the larger of two graphs, not their sum.

        Args:
            x0_gradient: g = dL / dz_0^, like x0_latents.
            noise_pred: eps~_r with gradient, like x0_latents.
            unit: use the sign of the step, -1, in place of its length (`unit_recorded_step`).

        Returns:
            Scalar.
        """
        length = self.step_length.sign() if unit else self.step_length
        return (length.view(-1, 1, 1, 1) * x0_gradient * noise_pred).sum()


@torch.no_grad()
def denoise(
    predict_noise: PredictNoise,
    latents: Tensor,
    grid: Tensor,
    num_steps: Tensor,
    alphas_cumprod: Tensor,
    *,
    recorded_step: Tensor,
    on_step: Callable[[], None] | None = None,
) -> RecordedChain:
    """Denoise latents to z_0^ by DDIM, all of it without gradient, keeping what step r saw.

    Args:
        predict_noise: called once per step of the longest row, for the whole batch.
        latents: (batch, channels, height, width) at grid[:, 0], in VAE-scaled units.
        grid: (batch, ddim_steps) from `strided_timesteps`.
        num_steps: (batch,) from the same.
        alphas_cumprod: (num_train_timesteps,), falling, in [0, 1], float32 or wider.
        recorded_step: (batch,) r, an index into a row's own steps; 0 is the noisiest.
        on_step: called before each step; may raise to stop.

    Raises:
        ConfigError: recorded_step is not one of the row's own steps, or a row has no signal.
    """
    if bool(((recorded_step < 0) | (recorded_step >= num_steps)).any()):
        raise ConfigError(
            f"recorded_step {recorded_step.tolist()} must be at least 0 and below the rows' own "
            f"numbers of steps {num_steps.tolist()}."
        )
    if not bool(has_signal(alphas_cumprod[grid[:, 0]]).all()):
        raise ConfigError(
            f"Of the timesteps {grid[:, 0].tolist()} at least one has `alphas_cumprod` below "
            f"{MINIMUM_ALPHA_CUMPROD}, where nothing is left to denoise. Leave such rows out "
            "(`has_signal`), or draw from pure noise with `ddim_sample`."
        )
    sigmas = sigmas_of(alphas_cumprod, grid, num_steps)
    step_lengths = sigmas.diff(dim=1)
    scaled_latents = latents / alphas_cumprod[grid[:, 0]].sqrt().view(-1, 1, 1, 1)
    recorded_latents, recorded_noise = latents, torch.zeros_like(latents)
    for step in range(int(num_steps.max())):
        if on_step is not None:
            on_step()
        # 1 / sqrt(1 + s^2) is sqrt(abar), and 1 in the padding, where s = 0.
        step_latents = scaled_latents * (1 + sigmas[:, step].square()).rsqrt().view(-1, 1, 1, 1)
        noise_pred = predict_noise(step_latents, grid[:, step])
        here = (recorded_step == step).view(-1, 1, 1, 1)
        recorded_latents = torch.where(here, step_latents, recorded_latents)
        recorded_noise = torch.where(here, noise_pred, recorded_noise)
        scaled_latents = ddim_step(scaled_latents, noise_pred, step_lengths[:, step])
    row = recorded_step[:, None]
    return RecordedChain(
        x0_latents=scaled_latents,
        latents=recorded_latents,
        timesteps=grid.gather(1, row)[:, 0],
        noise_pred=recorded_noise,
        step_length=step_lengths.gather(1, row)[:, 0],
    )


def recorded_ddim_sample(
    predict_noise: PredictNoise,
    latents: Tensor,
    timesteps: Tensor,
    alphas_cumprod: Tensor,
    *,
    ddim_steps: int = 20,
    recorded_step: Tensor,
) -> Tensor:
    """Denoise latents to x_0 by DDIM, keeping the gradient of one noise prediction.

    Source: SCoFT, section 4.3 and figure 7; Song et al. 2021, eq. 12 with sigma = 0, abar = 1 after
    the last step. This is the short form, whose graph is that of one prediction; training uses
    `denoise` and `RecordedChain.hand_over`, which never hold it together with the decoder's.

    Args:
        predict_noise: (latents, timesteps (batch,)) -> noise of the same shape, guidance applied.
        latents: (batch, channels, height, width) at `timesteps`, in VAE-scaled units.
        timesteps: (batch,) int64 in [0, num_train_timesteps), where there is signal.
        alphas_cumprod: (num_train_timesteps,), falling, in [0, 1], float32 or wider.
        ddim_steps: the most steps a row takes.
        recorded_step: (batch,) index into a row's own steps; 0 is the noisiest.

    Returns:
        x_0 latents, shaped like latents; the graph holds one call of predict_noise.

    Raises:
        ConfigError: recorded_step is not one of the row's own steps, or a row has no signal.
    """
    grid, num_steps = strided_timesteps(timesteps, ddim_steps)
    chain = denoise(
        predict_noise, latents, grid, num_steps, alphas_cumprod, recorded_step=recorded_step
    )
    return chain.attach(predict_noise(chain.latents, chain.timesteps))


@torch.no_grad()
def ddim_sample(
    predict: Predict,
    latents: Tensor,
    timesteps: Tensor,
    alphas_cumprod: Tensor,
    *,
    prediction_type: str,
    on_step: Callable[[], None] | None = None,
) -> Tensor:
    """Draw z_0 from pure noise by DDIM, all of it without gradient.

    z_next = sqrt(abar_next) z_0^ + sqrt(1 - abar_next) eps~ (Song et al. 2021, eq. 12 with
    sigma = 0), abar = 1 after the last step. With velocities abar may be 0: there z_0^ = -v.

    A noise prediction says nothing of z_0 where abar = 0, and close to it z_0^ is the network's
    error times 1 / sqrt(abar). So with epsilon models abar is floored at `MINIMUM_ALPHA_CUMPROD`,
    and no error grows more than 100 times. (diffusers' DDIM divides by zero there; ComfyUI ends its
    schedule at sigma 4518, that is 4518 times.)

    Args:
        predict: called once per step, for the whole batch.
        latents: (batch, channels, height, width), standard normal, to begin with.
        timesteps: (steps,) int64, falling, the same for the whole batch.
        alphas_cumprod: (num_train_timesteps,), falling, in [0, 1], float32 or wider.
        prediction_type: what `predict` returns, "epsilon" or "v_prediction".
        on_step: called before each step; may raise to stop.

    Returns:
        z_0 like latents, in VAE-scaled units.
    """
    signal = alphas_cumprod[timesteps]
    if prediction_type == "epsilon":
        signal = signal.clamp(min=MINIMUM_ALPHA_CUMPROD)
    signal = torch.nn.functional.pad(signal, (0, 1), value=1.0)
    for step, timestep in enumerate(timesteps):
        if on_step is not None:
            on_step()
        here = signal[step].expand(len(latents))
        prediction = predict(latents, timestep.expand(len(latents)))
        clean = clean_from_prediction(prediction, latents, here, prediction_type)
        noise_pred = noise_from_prediction(prediction, latents, here, prediction_type)
        latents = signal[step + 1].sqrt() * clean + (1 - signal[step + 1]).sqrt() * noise_pred
    return latents
