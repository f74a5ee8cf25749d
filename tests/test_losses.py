"""Each equation against numbers derived by hand and against finite differences."""

import pytest
import torch
from torch.autograd import gradcheck

from scoft_training.errors import ConfigError
from scoft_training.losses import (
    ldm_loss,
    memorization_loss,
    min_snr_weight,
    noise_target,
    perceptual_loss,
    self_contrastive_loss,
    total_loss,
)

SHAPE = (2, 3, 5, 7)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def test_ldm_loss_is_the_mean_square_of_each_picture():
    prediction = torch.zeros(SHAPE)
    target = torch.stack([torch.full(SHAPE[1:], 2.0), torch.full(SHAPE[1:], -3.0)])
    assert ldm_loss(prediction, target).tolist() == [4.0, 9.0]
    assert ldm_loss(prediction, target, torch.tensor([0.5, 2.0])).tolist() == [2.0, 18.0]


def test_squares_are_summed_in_float32_where_the_networks_are_half():
    # 2048 + 1 is 2048 in fp16 and bf16: a half-precision sum of these squares would stand still.
    prediction = torch.ones(1, 4, 64, 64, dtype=torch.float16)
    loss = ldm_loss(prediction, torch.zeros_like(prediction))
    assert loss.dtype == torch.float32
    assert loss.item() == 1.0


def test_ldm_gradient_equals_finite_differences():
    target = random(*SHAPE, seed=1)
    assert gradcheck(
        lambda p: ldm_loss(p, target).sum(), random(*SHAPE).requires_grad_(), rtol=1e-9, atol=1e-9
    )


def test_memorization_loss_teaches_the_cultural_prediction_only():
    prediction = random(*SHAPE).requires_grad_()
    generic = random(*SHAPE, seed=1).requires_grad_()
    memorization_loss(prediction, generic).sum().backward()
    assert generic.grad is None
    # d/dp mean((p - g)^2) = 2 (p - g) / 105, 105 = 3 x 5 x 7 values a picture.
    torch.testing.assert_close(prediction.grad, 2 * (prediction - generic).detach() / 105)


def test_memorization_gradient_equals_finite_differences():
    generic = random(*SHAPE, seed=1)
    assert gradcheck(
        lambda p: memorization_loss(p, generic).sum(),
        random(*SHAPE).requires_grad_(),
        rtol=1e-9,
        atol=1e-9,
    )


def mean_square(one: list[torch.Tensor], other: list[torch.Tensor]) -> torch.Tensor:
    return (one[0] - other[0]).square().flatten(1).mean(1)


def test_perceptual_gradient_equals_finite_differences_and_spares_the_picture():
    picture = random(*SHAPE, seed=1).requires_grad_()
    denoised = random(*SHAPE).requires_grad_()
    assert gradcheck(
        lambda p: perceptual_loss([p], [picture], mean_square).sum(), denoised, rtol=1e-9, atol=1e-9
    )
    perceptual_loss([denoised], [picture], mean_square).sum().backward()
    assert picture.grad is None
    assert denoised.grad is not None


POSITIVE = torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64)
NEGATIVE = torch.tensor([[4.0, 8.0], [1.0, 3.0], [9.0, 9.0]], dtype=torch.float64)
KEPT = torch.tensor([[True, True], [True, False], [False, False]])


def test_self_contrastive_loss_by_hand():
    # Row 0: (1 - (4 + 8) / 2) / 10 + 0.2 = -0.3, cut to 0. Row 1, only its first negative kept:
    # (5 - 1) / 10 + 0.2 = 0.6. Row 2 has no negative: no L_C.
    loss = self_contrastive_loss(POSITIVE, NEGATIVE, KEPT, margin=0.2, distance_unit=10.0)
    torch.testing.assert_close(loss, torch.tensor([0.0, 0.6, 0.0], dtype=torch.float64))


def test_without_margin_there_is_no_maximum_and_no_unit():
    loss = self_contrastive_loss(POSITIVE, NEGATIVE, KEPT, margin=None, distance_unit=10.0)
    torch.testing.assert_close(loss, torch.tensor([-5.0, 4.0, 0.0], dtype=torch.float64))


def test_lambda_is_the_sum_of_the_negatives_weights():
    # Row 0: (1 - 0.5 * 6) / 10 + 1 = 0.8; row 1: (5 - 0.5 * 1) / 10 + 1 = 1.45.
    loss = self_contrastive_loss(
        POSITIVE, NEGATIVE, KEPT, negatives_lambda=0.5, margin=1.0, distance_unit=10.0
    )
    torch.testing.assert_close(loss, torch.tensor([0.8, 1.45, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("margin", [None, 3.0])
def test_self_contrastive_gradient_equals_finite_differences(margin):
    def loss(positive, negative):
        return self_contrastive_loss(
            positive, negative, KEPT, margin=margin, distance_unit=7.0
        ).sum()

    inputs = (POSITIVE.clone().requires_grad_(), NEGATIVE.clone().requires_grad_())
    assert gradcheck(loss, inputs, rtol=1e-9, atol=1e-9)


def test_a_dropped_negative_may_hold_anything_and_stops_no_gradient():
    positive = POSITIVE.clone().requires_grad_()
    negative = torch.where(KEPT, NEGATIVE, torch.inf)
    loss = self_contrastive_loss(positive, negative, KEPT, margin=3.0)
    loss.sum().backward()
    assert loss.isfinite().all()
    # Row 0: 1 - 6 + 3 < 0 is cut; row 1: 5 - 1 + 3 = 7 teaches; row 2 has no negatives.
    assert positive.grad.tolist() == [0.0, 1.0, 0.0]


def test_pictures_without_a_term_stay_in_the_divisor():
    terms = {"ldm": torch.tensor([1.0, 2.0, 3.0]), "perceptual": torch.tensor([10.0])}
    weights = {"ldm": 0.7, "perceptual": 0.05, "contrastive": 1.0}
    # 0.7 * 6 / 4 + 0.05 * 10 / 4
    assert total_loss(terms, weights, 4).item() == pytest.approx(1.175)


def test_the_target_is_noise_or_velocity():
    latents, noise = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 3.0)
    signal = torch.tensor([0.64])
    assert noise_target(latents, noise, signal, "epsilon") is noise
    # 0.8 * 3 - 0.6 * 2
    velocity = noise_target(latents, noise, signal, "v_prediction")
    assert velocity.item() == pytest.approx(1.2)
    with pytest.raises(ConfigError, match="prediction type is 'sample'; only epsilon and"):
        noise_target(latents, noise, signal, "sample")


def test_min_snr_weight_by_hand():
    # snr = 0.9 / 0.1 = 9 and 0.5 / 0.5 = 1; gamma = 5.
    signal = torch.tensor([0.9, 0.5], dtype=torch.float64)
    weight = min_snr_weight(signal, 5.0, "epsilon")
    torch.testing.assert_close(weight, torch.tensor([5 / 9, 1.0], dtype=torch.float64))
    weight = min_snr_weight(signal, 5.0, "v_prediction")
    torch.testing.assert_close(weight, torch.tensor([0.5, 0.5], dtype=torch.float64))
