"""Schedules that end in pure noise: each equation against a slow plain version, up to the end."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from random_stack import random_controlnet, save_random_base
from stack import (
    CPU,
    FAST,
    ZERO_SNR,
    lora_base,
    make_batch,
    make_objective,
    small_base,
    stable_diffusion_alphas,
    write_demo,
)

from scoft_training.config import GenerateConfig, NegativesConfig, TrainConfig
from scoft_training.control_models import ControlNet
from scoft_training.data import read_dataset
from scoft_training.depth import DepthEstimator, load_depth_picture
from scoft_training.errors import ConfigError
from scoft_training.generation import generate, starting_noise
from scoft_training.losses import min_snr_weight, noise_target
from scoft_training.models import load_base, lora_parameters
from scoft_training.negatives import draw_negatives
from scoft_training.previews import Previews
from scoft_training.sampling import (
    MINIMUM_ALPHA_CUMPROD,
    ddim_sample,
    denoise,
    has_signal,
    noise_from_prediction,
    recorded_steps,
    strided_timesteps,
)

schedules = pytest.mark.parametrize("zero_snr", ZERO_SNR)
predictions = pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])

TIMESTEPS = [0, 1, 19, 500, 998, 999]
GAMMA = 5.0


def normal(*shape, seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def last_with_signal(alphas):
    return max(t for t in range(1000) if float(alphas[t]) >= 1e-4)


def plain_velocity(clean, noise, alpha):
    """dz / dphi where z = cos(phi) z_0 + sin(phi) eps, by a difference: how v is defined."""
    phi, h = math.acos(math.sqrt(alpha)), 1e-4
    ahead, behind = (math.cos(p) * clean + math.sin(p) * noise for p in (phi + h, phi - h))
    return (ahead - behind) / (2 * h)


def plain_clean_and_noise(prediction, latents, alpha, prediction_type):
    """x0 and eps of the textbook; alpha is above 0 for epsilon."""
    signal, noise_share = math.sqrt(alpha), math.sqrt(1 - alpha)
    if prediction_type == "epsilon":
        return (latents - noise_share * prediction) / signal, prediction
    clean = signal * latents - noise_share * prediction
    return clean, signal * prediction + noise_share * latents


@schedules
def test_the_schedules_are_what_they_are_taken_for(zero_snr):
    alphas = stable_diffusion_alphas(zero_snr)
    assert (alphas.diff() < 0).all()
    assert 0 < alphas[998] < 1e-6
    if zero_snr == "diffusers":
        assert alphas[999] == 0
    else:
        assert 1 / alphas[999].sqrt() == pytest.approx(4518.8, abs=0.1)
    assert has_signal(alphas).sum() == last_with_signal(alphas) + 1 == 978


@schedules
def test_the_target_is_the_velocity_up_to_the_end(zero_snr):
    alphas = stable_diffusion_alphas(zero_snr)[TIMESTEPS]
    clean, noise = normal(2, len(TIMESTEPS), 2, 3, 5, seed=1)
    target = noise_target(clean, noise, alphas, "v_prediction")
    for row, alpha in enumerate(alphas.tolist()):
        expected = plain_velocity(clean[row], noise[row], alpha)
        torch.testing.assert_close(target[row], expected, rtol=1e-7, atol=1e-7)
    if zero_snr == "diffusers":
        assert torch.equal(target[-1], -clean[-1])
    assert torch.equal(noise_target(clean, noise, alphas, "epsilon"), noise)


def plain_losses(base, batch, gamma):
    """L_LDM and L_M of each picture, and L_LDM without a weight, in float64.

    The min-SNR weight is taken where it is defined, on the error of x0 (Hang et al. 2023).
    """
    prediction_type = base.schedule.prediction_type
    weighted, memorization, unweighted = [], [], []
    for row, t in enumerate(batch.timesteps.tolist()):
        alpha = float(base.schedule.alphas_cumprod[t])
        clean, noise = batch.latents[row].double(), batch.noise[row].double()
        latents = math.sqrt(alpha) * clean + math.sqrt(1 - alpha) * noise

        def predict(conditioning, row=row, t=t, latents=latents):
            embeds = conditioning.prompt_embeds[row : row + 1]
            given = latents[None].to(embeds.dtype)
            with torch.no_grad():
                return base.unet(given, t, encoder_hidden_states=embeds).sample[0].double()

        ours, generic = predict(batch.conditioning), predict(batch.generic_conditioning)
        is_velocity = prediction_type == "v_prediction"
        target = plain_velocity(clean, noise, alpha) if is_velocity else noise
        error = (ours - target).square().mean()
        unweighted.append(error)
        memorization.append((ours - generic).square().mean())
        if not gamma:
            weighted.append(error)
        elif alpha == 0:
            # The limits: no weight on a velocity, the whole one on noise, as with every small snr.
            weighted.append(0 * error if is_velocity else error)
        else:
            found, _ = plain_clean_and_noise(ours, latents, alpha, prediction_type)
            weight = min(alpha / (1 - alpha), gamma)
            weighted.append(weight * (found - clean).square().mean())
    return map(torch.stack, (weighted, memorization, unweighted))


@schedules
@predictions
@pytest.mark.parametrize("gamma", [0.0, GAMMA])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-7), (torch.float32, 1e-4)])
def test_ldm_memorization_and_validation_losses_hold_up_to_the_end(
    zero_snr, prediction_type, gamma, dtype, tolerance
):
    base = lora_base(dtype, prediction_type=prediction_type, zero_snr=zero_snr)
    batch = make_batch(TIMESTEPS, dtype=dtype, targets=False)
    config = TrainConfig(batch_size=len(TIMESTEPS), min_snr_gamma=gamma)
    objective = make_objective(base, config, dtype=dtype)
    terms = objective.accumulate(batch, check_stop=lambda: None)
    weighted, memorization, unweighted = plain_losses(base, batch, gamma)

    def same(found, expected):
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)

    same(terms["ldm"], weighted)
    same(terms["memorization"], memorization)
    same(objective.validation_loss(batch), unweighted)
    assert unweighted.min() > 0.1
    assert memorization.min() > 1e-4
    gradients = [parameter.grad for parameter in lora_parameters(base.unet).values()]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert max(gradient.abs().max() for gradient in gradients) > 1e-4


@schedules
def test_min_snr_weights_are_those_of_the_clean_error(zero_snr):
    alphas = stable_diffusion_alphas(zero_snr)[TIMESTEPS]
    ours = {
        kind: min_snr_weight(alphas, GAMMA, kind).tolist() for kind in ("epsilon", "v_prediction")
    }
    for row, alpha in enumerate(alphas.tolist()):
        on_clean = min(alpha / (1 - alpha), GAMMA)
        # The error of x0 is sqrt(1 - abar) that of v and sqrt((1 - abar) / abar) that of eps.
        assert ours["v_prediction"][row] == pytest.approx(on_clean * (1 - alpha), rel=1e-12)
        on_noise = on_clean * (1 - alpha) / alpha if alpha else 1.0
        assert ours["epsilon"][row] == pytest.approx(on_noise, rel=1e-12)


class SmallNet(torch.nn.Module):
    """Nonlinear in latents and time, with few enough weights to compare every gradient."""

    def __init__(self):
        super().__init__()
        self.mix = torch.nn.Parameter(normal(3, 3, seed=3) / 3)

    def forward(self, latents, timesteps):
        time = (timesteps.to(latents) / 1000).view(-1, 1, 1, 1)
        mix = self.mix.to(latents)
        return torch.tanh(torch.einsum("oc,bchw->bohw", mix, latents) + time)


def plain_chain(net, latents, t, alphas, prediction_type, recorded):
    """One row: x0 and eps at every step, sg on every eps but one.

    Returns z_0 with the graph, and the latents, timestep and noise of the recorded step.
    """
    count = min(20, max(1, t))
    grid = [round(t * (count - k) / count) for k in range(count)]
    ends = [*(float(alphas[tau]) for tau in grid), 1.0]
    seen = None
    for k, tau in enumerate(grid):
        alpha, after = ends[k], ends[k + 1]
        prediction = net(latents, torch.tensor([tau]))
        clean, noise = plain_clean_and_noise(prediction, latents.detach(), alpha, prediction_type)
        if k == recorded:
            seen = latents.detach(), tau, noise.detach()
        else:
            noise = noise.detach()
        by_noise = (latents - math.sqrt(1 - alpha) * noise) / math.sqrt(alpha)
        torch.testing.assert_close(by_noise, clean, rtol=1e-9, atol=1e-9)
        latents = math.sqrt(after) * by_noise + math.sqrt(1 - after) * noise
        latents = latents.detach() if k < recorded else latents
    return latents, *seen


@schedules
@predictions
@pytest.mark.parametrize("gradient_step", ["first", "last", "random"])
def test_the_recorded_chain_and_its_hand_over_hold_for_every_row_with_signal(
    zero_snr, prediction_type, gradient_step
):
    alphas, net = stable_diffusion_alphas(zero_snr), SmallNet()
    rows = [0, 1, 19, 500, last_with_signal(alphas)]
    latents, weights = normal(2, len(rows), 3, 4, 5, seed=5)
    timesteps = torch.tensor(rows)
    grid, num_steps = strided_timesteps(timesteps, 20)
    draws = torch.rand(len(rows), generator=torch.Generator().manual_seed(6))
    recorded = recorded_steps(gradient_step, num_steps, draws)

    def predict_noise(latents, timesteps):
        found = net(latents, timesteps)
        return noise_from_prediction(found, latents, alphas[timesteps], prediction_type)

    chain = denoise(predict_noise, latents, grid, num_steps, alphas, recorded_step=recorded)
    handed = chain.hand_over(weights, predict_noise(chain.latents, chain.timesteps))
    (ours,) = torch.autograd.grad(handed, net.mix)

    total = 0
    for row, t in enumerate(rows):
        expected, at, tau, noise = plain_chain(
            net, latents[row : row + 1], t, alphas, prediction_type, int(recorded[row])
        )
        total = total + (expected * weights[row]).sum()
        torch.testing.assert_close(chain.x0_latents[row], expected[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(chain.latents[row], at[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(chain.noise_pred[row], noise[0], rtol=1e-9, atol=1e-9)
        assert chain.timesteps[row] == tau
    (true,) = torch.autograd.grad(total, net.mix)
    torch.testing.assert_close(ours, true, rtol=1e-9, atol=1e-9 * true.abs().max().item())
    assert true.abs().max() > 1e-3


@schedules
@pytest.mark.parametrize("t", [998, 999])
def test_a_chain_does_not_begin_in_pure_noise(zero_snr, t):
    alphas = stable_diffusion_alphas(zero_snr)
    grid, num_steps = strided_timesteps(torch.tensor([500, t]), 20)
    with pytest.raises(ConfigError, match=rf"timesteps \[500, {t}\] at least one has `alphas_cum"):
        denoise(
            lambda latents, t: latents,
            torch.ones(2, 1, 1, 1),
            grid,
            num_steps,
            alphas,
            recorded_step=torch.zeros(2, dtype=torch.int64),
        )


def plain_drawing(net, latents, timesteps, alphas, prediction_type):
    ends = [float(alphas[t]) for t in timesteps]
    if prediction_type == "epsilon":
        ends = [max(end, MINIMUM_ALPHA_CUMPROD) for end in ends]
    ends.append(1.0)
    for k, t in enumerate(timesteps):
        prediction = net(latents, torch.tensor([t]))
        clean, noise = plain_clean_and_noise(prediction, latents, ends[k], prediction_type)
        latents = math.sqrt(ends[k + 1]) * clean + math.sqrt(1 - ends[k + 1]) * noise
    return latents


@schedules
@predictions
@pytest.mark.parametrize("timesteps", [[999, 998, 500, 19, 1, 0], [999], [999, 979, 20]])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_drawing_from_pure_noise_is_plain_ddim(
    zero_snr, prediction_type, timesteps, dtype, tolerance
):
    alphas, net, noise = stable_diffusion_alphas(zero_snr), SmallNet(), normal(2, 3, 4, 5, seed=7)
    seen = []
    x0 = ddim_sample(
        lambda latents, t: (seen.append(t.tolist()), net(latents, t))[1],
        noise.to(dtype),
        torch.tensor(timesteps),
        alphas.to(dtype),
        prediction_type=prediction_type,
    )
    with torch.no_grad():
        expected = plain_drawing(net, noise, timesteps, alphas, prediction_type)
    assert seen == [[t, t] for t in timesteps]
    assert x0.isfinite().all()
    assert not x0.requires_grad
    largest = expected.abs().max().item()
    torch.testing.assert_close(x0.double(), expected, rtol=tolerance, atol=tolerance * largest)
    if prediction_type == "epsilon":
        # 1 / sqrt(abar) at its floor, times noise of some 4 and a prediction below 1.
        assert largest < 500


@schedules
def test_in_pure_noise_the_picture_is_all_in_the_velocity(zero_snr):
    noise, clean = normal(2, 1, 3, 4, 5, seed=8)
    x0 = ddim_sample(
        lambda latents, t: -clean,
        noise,
        torch.tensor([999]),
        stable_diffusion_alphas(zero_snr),
        prediction_type="v_prediction",
    )
    # Where ComfyUI stops, abar is 4.9e-8: the noise still has a share of 2.2e-4.
    torch.testing.assert_close(x0, clean, rtol=0, atol=0 if zero_snr == "diffusers" else 1e-3)


def diffusers_drawing(base, noise, embeds, steps, residuals=None):
    """The picture that DDIM of diffusers draws on our grid, (3, side, side) in [0, 1].

    Args:
        embeds: of the empty caption and of the prompt.
        steps: divides 999, so that its even strides fall on round(999 (1 - k / steps)).
        residuals: of a ControlNet, as arguments of the UNet.
    """
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        rescale_betas_zero_snr=True,
        prediction_type="v_prediction",
        clip_sample=False,
    )
    # By default that is this schedule in float32; ComfyUI's differs in its last digits and its end.
    torch.testing.assert_close(
        scheduler.alphas_cumprod.double(), base.schedule.alphas_cumprod, rtol=1e-4, atol=1e-6
    )
    scheduler.alphas_cumprod = base.schedule.alphas_cumprod.to(noise)
    # It ends at timestep 0, the method where abar is 1.
    scheduler.alphas_cumprod[0] = 1.0
    scheduler.num_inference_steps = steps
    latents = noise
    with torch.no_grad():
        for timestep in range(999, 0, -999 // steps):
            twice = torch.cat([latents] * 2)
            added = residuals(twice, timestep, embeds) if residuals else {}
            both = base.unet(twice, timestep, encoder_hidden_states=embeds, **added).sample
            uncond, cond = both.chunk(2)
            guided = uncond + 7.5 * (cond - uncond)
            latents = scheduler.step(guided, timestep, latents).prev_sample
        image = base.vae.decode(latents / base.scaling_factor).sample[0] / 2 + 0.5
    return image.clamp(0, 1).float()


def velocity_base(zero_snr, dtype=torch.float64):
    return small_base(dtype, "v_prediction", zero_snr)


# 111 steps: 990 and 981 lie below what counts as signal in training.
@schedules
@pytest.mark.parametrize("steps", [3, 111])
def test_generated_pictures_are_those_of_diffusers(zero_snr, steps):
    base = velocity_base(zero_snr)
    config = GenerateConfig(inference_steps=steps, resolution=64)
    (drawn,) = generate(base, ["a house"], [5], config, lora=None, device=CPU, dtype=torch.float64)
    noise = starting_noise(base, 64, torch.float64, 5, "picture")
    embeds = base.captions.encode(["", "a house"]).conditioning.prompt_embeds
    expected = diffusers_drawing(base, noise, embeds, steps)
    assert expected.std() > 0.01
    torch.testing.assert_close(drawn.image, expected, rtol=0, atol=1e-5)


@schedules
def test_previews_are_those_of_diffusers(zero_snr):
    base = lora_base(prediction_type="v_prediction", zero_snr=zero_snr)
    config = TrainConfig(resolution=64, preview_steps=9)
    embeds = base.captions.encode(["", "a house"]).conditioning
    previews = Previews(
        base,
        config,
        FAST,
        prompts=["a house"],
        conditioning=embeds[1:],
        uncond=embeds[0],
        device=CPU,
        dtype=torch.float64,
    )
    ((_, both),) = previews.draw(lambda: None)
    noise = starting_noise(base, 64, torch.float64, 0, "picture")
    expected = diffusers_drawing(base, noise, embeds.prompt_embeds, 9)
    with_lora = pixels(both.crop((both.width - 64, 0, both.width, 64)))
    torch.testing.assert_close(with_lora, expected, rtol=0, atol=0.51 / 255)
    assert (pixels(both.crop((0, 0, 64, 64))) - expected).abs().max() > 2 / 255


def pixels(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


class Grey(torch.nn.Module):
    def forward(self, images):
        return images.mean(1)


@schedules
def test_negatives_are_those_of_diffusers(zero_snr, tmp_path):
    base, network = velocity_base(zero_snr, torch.float32), random_controlnet().float()
    row = read_dataset(write_demo(tmp_path / "aruna")).rows[0]
    row = dataclasses.replace(row, negative_paths=(), negative_sha256s=(), depth_path=None)
    config = NegativesConfig(
        suffix="in Aruna", negatives_per_picture=1, inference_steps=3, resolution=64
    )
    control, depth = ControlNet.of("small", network), DepthEstimator(Grey(), digest="grey")
    work = tmp_path / "work"
    list(
        draw_negatives(
            (row,), config, base, control, depth, work=work, device=CPU, dtype=torch.float32
        )
    )
    (drawn,) = work.glob("negatives/**/*.png")
    (shown,) = work.glob("depth/**/*.png")

    condition = load_depth_picture(shown).expand(2, 3, -1, -1)

    def residuals(latents, timestep, embeds):
        down, middle = network(latents, timestep, embeds, condition, return_dict=False)
        return {
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }

    noise = starting_noise(base, 64, torch.float32, config.seed, "negative", row.sha256, 0)
    prompts = ["", f"{row.generic_captions[0]} in Aruna"]
    embeds = base.captions.encode(prompts).conditioning.prompt_embeds
    expected = diffusers_drawing(base, noise, embeds, 3, residuals)
    found = pixels(Image.open(drawn))
    torch.testing.assert_close(found, expected, rtol=0, atol=0.51 / 255)


@predictions
def test_a_folder_that_says_so_is_drawn_with_it(prediction_type, tmp_path):
    save_random_base(tmp_path, prediction_type=prediction_type)
    path = tmp_path / "scheduler" / "scheduler_config.json"
    said = json.loads(path.read_text()) | {"rescale_betas_zero_snr": True}
    path.write_text(json.dumps(said))
    base = load_base(tmp_path, dtype=torch.float32, allow_download=False)
    assert torch.equal(base.schedule.alphas_cumprod, stable_diffusion_alphas("diffusers"))
    config = GenerateConfig(inference_steps=2, resolution=64)
    (drawn,) = generate(base, ["a house"], [5], config, lora=None, device=CPU, dtype=torch.float32)
    assert drawn.image.isfinite().all()
    assert drawn.image.std() > 0.01
