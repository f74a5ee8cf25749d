"""The closed form of the recorded step against the chain it stands for."""

import itertools

import pytest
import torch

from scoft_training.errors import ConfigError
from scoft_training.sampling import (
    MINIMUM_ALPHA_CUMPROD,
    classifier_free_guidance,
    denoise,
    has_signal,
    noise_from_prediction,
    recorded_ddim_sample,
    recorded_steps,
    sigmas_of,
    strided_timesteps,
)

ALPHAS_CUMPROD = torch.linspace(0.9995**0.5, 0.0047**0.5, 1000, dtype=torch.float64) ** 2


def slow_chain(predict_noise, latents, timesteps, recorded_step, ddim_steps=20):
    """One row by the textbook: x0 and direction at every step, sg on all predictions but one."""
    t = int(timesteps)
    num_steps = min(ddim_steps, max(1, t))
    grid = [round(t * (num_steps - k) / num_steps) for k in range(num_steps)]
    for k, tau in enumerate(grid):
        a = ALPHAS_CUMPROD[tau]
        b = ALPHAS_CUMPROD[grid[k + 1]] if k + 1 < num_steps else torch.ones_like(a)
        noise_pred = predict_noise(latents, torch.tensor([tau]))
        if k != recorded_step:
            noise_pred = noise_pred.detach()
        x0 = (latents - (1 - a).sqrt() * noise_pred) / a.sqrt()
        latents = b.sqrt() * x0 + (1 - b).sqrt() * noise_pred
        if k < recorded_step:
            latents = latents.detach()
    return latents


class SmallNet(torch.nn.Module):
    """Nonlinear in latents and time, with few enough weights to compare every gradient."""

    def __init__(self):
        super().__init__()
        draw = torch.Generator().manual_seed(3)
        self.mix = torch.nn.Parameter(torch.randn(3, 3, generator=draw, dtype=torch.float64) / 3)

    def forward(self, latents, timesteps):
        time = (timesteps.double() / 1000).view(-1, 1, 1, 1)
        return torch.tanh(torch.einsum("oc,bchw->bohw", self.mix, latents) + time)


def every_timestep_grid():
    return strided_timesteps(torch.arange(1000), 20)


def test_the_grid_falls_strictly_for_every_timestep_and_starts_there():
    grid, num_steps = every_timestep_grid()
    for t in range(1000):
        own = grid[t, : num_steps[t]].tolist()
        assert own[0] == t
        assert all(one > other for one, other in itertools.pairwise(own)), own
        assert grid[t, num_steps[t] :].tolist() == [0] * (20 - len(own))


@pytest.mark.parametrize(
    ("t", "steps"),
    [(0, [0]), (1, [1]), (2, [2, 1]), (3, [3, 2, 1]), (19, list(range(19, 0, -1)))],
)
def test_short_rows_take_as_many_steps_as_they_have_timesteps(t, steps):
    grid, num_steps = strided_timesteps(torch.tensor([t]), 20)
    assert grid[0, : num_steps[0]].tolist() == steps


def test_the_last_step_ends_where_alpha_is_one_and_padding_has_no_length():
    timesteps = torch.tensor([0, 2, 500])
    grid, num_steps = strided_timesteps(timesteps, 20)
    sigmas = sigmas_of(ALPHAS_CUMPROD, grid, num_steps)
    assert sigmas.shape == (3, 21)
    for row, count in enumerate(num_steps.tolist()):
        assert (sigmas[row, :count] > 0).all()
        assert sigmas[row, count:].tolist() == [0.0] * (21 - count)
    a = ALPHAS_CUMPROD[500]
    assert sigmas[2, 0].item() == pytest.approx(((1 - a) / a).sqrt().item(), rel=1e-12)


@pytest.mark.parametrize("which", ["first", "middle", "last", "random"])
def test_closed_form_equals_backpropagation_through_the_whole_chain(which):
    net = SmallNet()
    timesteps = torch.tensor([0, 1, 2, 19, 20, 37, 500, 999])
    draw = torch.Generator().manual_seed(5)
    latents = torch.randn(8, 3, 5, 7, generator=draw, dtype=torch.float64)
    weights = torch.randn(8, 3, 5, 7, generator=draw, dtype=torch.float64)
    _, num_steps = strided_timesteps(timesteps, 20)
    recorded = {
        "first": 0 * num_steps,
        "middle": num_steps // 2,
        "last": num_steps - 1,
        "random": recorded_steps("random", num_steps, torch.rand(8, generator=draw)),
    }[which]

    x0 = recorded_ddim_sample(net, latents, timesteps, ALPHAS_CUMPROD, recorded_step=recorded)
    (ours,) = torch.autograd.grad((x0 * weights).sum(), net.mix)

    slow = torch.cat(
        [
            slow_chain(net, latents[row : row + 1], timesteps[row], int(recorded[row]))
            for row in range(8)
        ]
    )
    (true,) = torch.autograd.grad((slow * weights).sum(), net.mix)
    torch.testing.assert_close(x0, slow, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours, true, rtol=1e-9, atol=1e-9)
    assert ours.abs().max() > 1e-6


@pytest.mark.parametrize("recorded_step", [0, 1, 2])
def test_only_the_recorded_step_teaches_and_by_the_derived_amount(recorded_step):
    alphas_cumprod = torch.linspace(0.99, 0.05, 10, dtype=torch.float64)
    noise = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    latents = torch.ones(2, 3, 5, 7, dtype=torch.float64)
    x0 = recorded_ddim_sample(
        lambda latents, t: noise.expand_as(latents),
        latents,
        torch.tensor([9, 9]),
        alphas_cumprod,
        ddim_steps=3,
        recorded_step=torch.full((2,), recorded_step),
    )
    (gradient,) = torch.autograd.grad(x0.mean(), noise)
    # The grid is 9, 6, 3; a and b are abar at its ends. One step in the usual form is
    # x_prev = sqrt(b/a) x + (sqrt(1-b) - sqrt(b(1-a)/a)) eps; the later factors sqrt(b/a)
    # telescope to sqrt(1/b), because the last b is 1.
    a = alphas_cumprod[[9, 6, 3][recorded_step]]
    b = alphas_cumprod[[6, 3][recorded_step]] if recorded_step < 2 else torch.ones_like(a)
    torch.testing.assert_close(gradient, ((1 - b).sqrt() - (b * (1 - a) / a).sqrt()) / b.sqrt())


def test_a_perfect_predictor_gives_back_the_clean_latents():
    draw = torch.Generator().manual_seed(7)
    clean = torch.randn(3, 2, 5, 7, generator=draw, dtype=torch.float64)
    noise = torch.randn(3, 2, 5, 7, generator=draw, dtype=torch.float64)
    timesteps = torch.tensor([2, 300, 999])
    signal = ALPHAS_CUMPROD[timesteps].view(-1, 1, 1, 1)
    noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise
    x0 = recorded_ddim_sample(
        lambda latents, t: noise,
        noisy,
        timesteps,
        ALPHAS_CUMPROD,
        recorded_step=torch.zeros(3, dtype=torch.int64),
    )
    torch.testing.assert_close(x0, clean, rtol=1e-9, atol=1e-9)


def chain_of_two():
    net = SmallNet()
    draw = torch.Generator().manual_seed(9)
    latents = torch.randn(2, 3, 5, 7, generator=draw, dtype=torch.float64)
    grid, num_steps = strided_timesteps(torch.tensor([3, 700]), 20)
    chain = denoise(
        net, latents, grid, num_steps, ALPHAS_CUMPROD, recorded_step=torch.tensor([1, 4])
    )
    return net, chain


def test_the_hand_over_gives_the_gradient_of_the_joint_backward():
    net, chain = chain_of_two()
    x0 = chain.attach(net(chain.latents, chain.timesteps))
    (joint,) = torch.autograd.grad(x0.sin().sum(), net.mix)

    leaf = chain.x0_latents.clone().requires_grad_()
    (x0_gradient,) = torch.autograd.grad(leaf.sin().sum(), leaf)
    handed = chain.hand_over(x0_gradient, net(chain.latents, chain.timesteps))
    (two_stage,) = torch.autograd.grad(handed, net.mix)
    torch.testing.assert_close(two_stage, joint, rtol=1e-12, atol=1e-12)


def test_unit_recorded_step_divides_the_length_out():
    net, chain = chain_of_two()
    gradient = torch.ones_like(chain.x0_latents)
    noise_pred = net(chain.latents, chain.timesteps)
    lengths = chain.step_length
    assert (lengths < 0).all()
    for row in range(2):
        only = torch.zeros_like(gradient)
        only[row] = 1
        plain = chain.hand_over(only, noise_pred)
        unit = chain.hand_over(only, noise_pred, unit=True)
        torch.testing.assert_close(unit, plain / lengths[row].abs())


def test_a_chain_leaves_no_graph_and_makes_one_call_per_step_of_its_longest_row():
    calls = []

    def predict(latents, timesteps):
        calls.append((torch.is_grad_enabled(), timesteps.tolist()))
        return latents * 0

    grid, num_steps = strided_timesteps(torch.tensor([2, 5]), 20)
    chain = denoise(
        predict,
        torch.ones(2, 1, 2, 3, requires_grad=True),
        grid,
        num_steps,
        ALPHAS_CUMPROD.float(),
        recorded_step=torch.zeros(2, dtype=torch.int64),
    )
    assert not chain.x0_latents.requires_grad
    assert calls == [(False, [a, b]) for a, b in [(2, 5), (1, 4), (0, 3), (0, 2), (0, 1)]]


def test_random_steps_are_the_rows_own_and_all_of_them():
    num_steps = torch.tensor([1, 2, 7, 20])
    seen = {row: set() for row in range(4)}
    for draw in torch.linspace(0, 1 - 1e-7, 400):
        for row, step in enumerate(recorded_steps("random", num_steps, draw.expand(4)).tolist()):
            seen[row].add(step)
    assert [sorted(steps) for steps in seen.values()] == [list(range(k)) for k in [1, 2, 7, 20]]


def test_first_and_last_are_those_of_each_row():
    num_steps, draws = torch.tensor([1, 7, 20]), torch.rand(3)
    assert recorded_steps("first", num_steps, draws).tolist() == [0, 0, 0]
    assert recorded_steps("last", num_steps, draws).tolist() == [0, 6, 19]
    with pytest.raises(ConfigError, match="must be first, last or random but got 'middle'"):
        recorded_steps("middle", num_steps, draws)


def test_a_step_in_the_padding_is_refused():
    grid, num_steps = strided_timesteps(torch.tensor([2]), 20)
    with pytest.raises(ConfigError, match=r"recorded_step \[2\] must be at least 0 and below"):
        denoise(
            lambda latents, t: latents,
            torch.ones(1, 1, 1, 1),
            grid,
            num_steps,
            ALPHAS_CUMPROD,
            recorded_step=torch.tensor([2]),
        )


def test_guidance_by_hand():
    uncond, cond = torch.tensor([1.0]), torch.tensor([3.0])
    assert classifier_free_guidance(uncond, cond, 4.5).item() == 10.0
    assert classifier_free_guidance(uncond, cond, 1.0).item() == 3.0


def test_velocity_and_noise_mean_the_same():
    draw = torch.Generator().manual_seed(11)
    clean, noise = torch.randn(2, 2, 3, 5, 7, generator=draw, dtype=torch.float64)
    signal = torch.tensor([0.9, 0.01], dtype=torch.float64)
    a = signal.view(-1, 1, 1, 1)
    noisy = a.sqrt() * clean + (1 - a).sqrt() * noise
    velocity = a.sqrt() * noise - (1 - a).sqrt() * clean
    found = noise_from_prediction(velocity, noisy, signal, "v_prediction")
    torch.testing.assert_close(found, noise)
    assert noise_from_prediction(noise, noisy, signal, "epsilon") is noise


def test_latents_without_signal_are_named():
    signal = torch.tensor([0.5, MINIMUM_ALPHA_CUMPROD, 9.9e-5, 0.0])
    assert has_signal(signal).tolist() == [True, True, False, False]
