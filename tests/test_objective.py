"""One micro-batch's gradient: against one joint backward, in its cost, and in its memory."""

import dataclasses
import weakref

import pytest
import torch
from stack import FAST, ZERO_SNR, PoolBackbone, lora_base, make_batch, make_objective, small_base

from scoft_training.config import MemoryConfig, TrainConfig
from scoft_training.losses import self_contrastive_loss
from scoft_training.models import lora_parameters
from scoft_training.sampling import strided_timesteps

CONFIG = TrainConfig(
    batch_size=1,
    rank=4,
    resolution=64,
    perceptual_weight=0.4,
    contrastive_weight=0.3,
    margin=0.5,
)


def never_stop():
    pass


def lora_gradients(base):
    return {
        name: parameter.grad.clone()
        for name, parameter in lora_parameters(base.unet).items()
        if parameter.grad is not None
    }


def with_batch_size(config, batch):
    return dataclasses.replace(config, batch_size=len(batch.timesteps))


def slow_gradients(base, config, batch):
    """One joint backward through textbook DDIM, decoder and backbone, row by row."""
    for parameter in lora_parameters(base.unet).values():
        parameter.grad = None
    alphas = base.schedule.alphas_cumprod
    uncond = base.captions.encode([""]).conditioning.prompt_embeds
    backbone = PoolBackbone()
    is_velocity = base.schedule.prediction_type == "v_prediction"

    def predict(latents, t, embeds):
        return base.unet(latents, t, encoder_hidden_states=embeds).sample

    total = 0
    for row in range(len(batch.timesteps)):
        t = batch.timesteps[row : row + 1]
        z0, eps = batch.latents[row : row + 1], batch.noise[row : row + 1]
        a = alphas[t].view(-1, 1, 1, 1)
        noisy = a.sqrt() * z0 + (1 - a).sqrt() * eps
        target = a.sqrt() * eps - (1 - a).sqrt() * z0 if is_velocity else eps
        cultural = batch.conditioning.prompt_embeds[row : row + 1]
        prediction = predict(noisy, t, cultural)
        generic = predict(
            noisy, t, batch.generic_conditioning.prompt_embeds[row : row + 1]
        ).detach()
        total = total + config.ldm_weight * (prediction - target).square().mean()
        total = total + config.memorization_weight * (prediction - generic).square().mean()
        if a < 1e-4:
            continue

        grid, num_steps = strided_timesteps(t, config.ddim_steps)
        count = int(num_steps)
        recorded = {
            "first": 0,
            "last": count - 1,
            "random": int(batch.recorded_draws[row] * count),
        }[config.gradient_step]
        latents = noisy
        for k in range(count):
            tau = grid[:, k]
            a = alphas[tau].view(-1, 1, 1, 1)
            b = alphas[grid[:, k + 1]].view(-1, 1, 1, 1) if k + 1 < count else torch.ones_like(a)
            latents = latents.detach() if k == recorded else latents
            cond = predict(latents, tau, cultural)
            null = predict(latents, tau, uncond).detach()
            guided = null + config.guidance_scale * (cond - null)
            noise = a.sqrt() * guided + (1 - a).sqrt() * latents.detach() if is_velocity else guided
            noise = noise if k == recorded else noise.detach()
            clean = (latents - (1 - a).sqrt() * noise) / a.sqrt()
            latents = b.sqrt() * clean + (1 - b).sqrt() * noise
        image = base.vae.decode(latents / base.scaling_factor).sample / 2 + 0.5
        features = backbone.features(image)
        shown = batch.targets[row].pictures
        distances = torch.cat(
            [backbone.distance(features, backbone.features(one[None])) for one in shown]
        )
        total = total + config.perceptual_weight * distances[0]
        if len(shown) > 1:
            contrastive = self_contrastive_loss(
                distances[:1],
                distances[None, 1:],
                torch.ones(1, len(shown) - 1, dtype=torch.bool),
                margin=config.margin,
                distance_unit=0.01,
            )
            total = total + config.contrastive_weight * contrastive.sum()
    (total / len(batch.timesteps)).backward()
    return lora_gradients(base), float(total.detach()) / len(batch.timesteps)


ORDINARY = [0, 1, 2, 19, 430, 999]
# The last two hold nothing to denoise, the one before them hardly more than that.
PURE_NOISE = [0, 1, 19, 500, 977, 998, 999]


@pytest.mark.parametrize(
    ("timesteps", "zero_snr", "perceptual", "contrastive"),
    [(ORDINARY, None, 6, 5), *((PURE_NOISE, kind, 5, 4) for kind in ZERO_SNR)],
)
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("gradient_step", ["first", "last", "random"])
def test_the_hand_over_gives_the_lora_gradient_of_one_joint_backward(
    gradient_step, prediction_type, timesteps, zero_snr, perceptual, contrastive
):
    base = lora_base(prediction_type=prediction_type, zero_snr=zero_snr)
    batch = make_batch(timesteps, negatives=[2, 1, 3, 0, 2, 1, 2][: len(timesteps)])
    config = dataclasses.replace(
        with_batch_size(CONFIG, batch), gradient_step=gradient_step, ddim_steps=4
    )
    objective = make_objective(base, config)
    terms = objective.accumulate(batch, check_stop=never_stop)
    ours = lora_gradients(base)
    true, total = slow_gradients(base, config, batch)
    assert {name: len(values) for name, values in terms.items()} == {
        "perceptual": perceptual,
        "contrastive": contrastive,
        "ldm": len(timesteps),
        "memorization": len(timesteps),
    }
    assert objective.weighted_total(terms) == pytest.approx(total, rel=1e-9)
    largest = max(gradient.abs().max().item() for gradient in true.values())
    assert largest > 1e-4
    for name, gradient in true.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-9, atol=1e-9 * largest)


def test_the_perceptual_losses_reach_the_lora():
    """The comparison above would also hold if neither side taught anything through the picture."""
    base = lora_base()
    batch = make_batch([430])
    only = dataclasses.replace(CONFIG, ldm_weight=0.0, memorization_weight=0.0)
    make_objective(base, only).accumulate(batch, check_stop=never_stop)
    assert max(gradient.abs().max() for gradient in lora_gradients(base).values()) > 1e-5


def gradients_of(config, batch, *, memory=FAST, moved=True, lpips=None):
    base = lora_base(moved=moved)
    objective = make_objective(base, config, memory=memory, lpips=lpips)
    terms = objective.accumulate(batch, check_stop=never_stop)
    return lora_gradients(base), terms


@pytest.mark.parametrize(
    "memory",
    [
        dataclasses.replace(FAST, batched_guidance="off"),
        dataclasses.replace(FAST, decode_batch_size=1),
        dataclasses.replace(FAST, decode_batch_size=2),
    ],
)
def test_memory_choices_change_nothing_that_is_computed(memory):
    batch = make_batch([5, 300, 700])
    config = with_batch_size(CONFIG, batch)
    fast, _ = gradients_of(config, batch)
    lean, _ = gradients_of(config, batch, memory=memory)
    for name, gradient in fast.items():
        torch.testing.assert_close(lean[name], gradient, rtol=1e-9, atol=1e-12)


def test_checkpointing_changes_nothing_that_is_computed():
    from scoft_training.memory import apply_memory

    batch = make_batch([300, 700])
    config = with_batch_size(CONFIG, batch)
    fast, _ = gradients_of(config, batch)
    base = lora_base()
    memory = MemoryConfig("low", "on", "on", 8, "on")
    apply_memory(memory, base.unet, base.vae)
    calls = count_calls(base.unet.mid_block)
    make_objective(base, config, memory=memory).accumulate(batch, check_stop=never_stop)
    assert sum(calls.values()) > 3, "nothing was recomputed"
    for name, gradient in fast.items():
        torch.testing.assert_close(lora_gradients(base)[name], gradient, rtol=1e-9, atol=1e-12)


def test_micro_batches_add_up_to_the_whole():
    batch = make_batch([5, 300, 700])
    whole, _ = gradients_of(with_batch_size(CONFIG, batch), batch)
    base = lora_base()
    split = dataclasses.replace(CONFIG, batch_size=1, gradient_accumulation_steps=3)
    objective = make_objective(base, split)
    for row in range(3):
        one = dataclasses.replace(
            batch,
            latents=batch.latents[row : row + 1],
            noise=batch.noise[row : row + 1],
            timesteps=batch.timesteps[row : row + 1],
            conditioning=batch.conditioning[row : row + 1],
            generic_conditioning=batch.generic_conditioning[row : row + 1],
            recorded_draws=batch.recorded_draws[row : row + 1],
            targets=batch.targets[row : row + 1],
        )
        objective.accumulate(one, check_stop=never_stop)
    for name, gradient in lora_gradients(base).items():
        torch.testing.assert_close(gradient, whole[name], rtol=1e-9, atol=1e-12)


def test_the_loss_scale_is_a_factor_on_every_part_of_the_gradient():
    batch = make_batch([300, 700])
    for gradient_step in ("first", "last"):
        config = dataclasses.replace(with_batch_size(CONFIG, batch), gradient_step=gradient_step)
        plain, _ = gradients_of(config, batch)
        base = lora_base()
        make_objective(base, config).accumulate(batch, loss_scale=8.0, check_stop=never_stop)
        for name, gradient in lora_gradients(base).items():
            torch.testing.assert_close(gradient, 8 * plain[name], rtol=1e-9, atol=1e-12)


def test_only_lora_weights_get_gradient():
    base = lora_base()
    batch = make_batch([430])
    make_objective(base, CONFIG).accumulate(batch, check_stop=never_stop)
    with_gradient = {name for name, value in base.unet.named_parameters() if value.grad is not None}
    assert with_gradient == set(lora_parameters(base.unet))
    assert all(value.grad is None for value in base.vae.parameters())


def test_the_generic_branch_gets_no_gradient():
    base = lora_base()
    batch = make_batch([430], targets=False)
    generic = batch.generic_conditioning.prompt_embeds.requires_grad_()
    cultural = batch.conditioning.prompt_embeds.requires_grad_()
    make_objective(base, CONFIG).accumulate(batch, check_stop=never_stop)
    assert generic.grad is None
    assert cultural.grad is not None


def test_a_fresh_lora_changes_nothing():
    plain, fresh = small_base(), lora_base(moved=False)
    batch = make_batch([430])
    arguments = (batch.latents, batch.timesteps, batch.conditioning.prompt_embeds)
    assert torch.equal(plain.unet(*arguments).sample, fresh.unet(*arguments).sample)
    moved = lora_base()
    assert not torch.equal(plain.unet(*arguments).sample, moved.unet(*arguments).sample)


def test_latents_without_signal_draw_no_perceptual_loss():
    base = lora_base()
    alphas = base.schedule.alphas_cumprod.clone()
    alphas[900:] = 0.0
    schedule = dataclasses.replace(
        base.schedule, alphas_cumprod=alphas, prediction_type="v_prediction"
    )
    base = dataclasses.replace(base, schedule=schedule)
    batch = make_batch([950, 300, 999])
    config = with_batch_size(CONFIG, batch)
    terms = make_objective(base, config).accumulate(batch, check_stop=never_stop)
    assert len(terms["ldm"]) == 3
    assert len(terms["perceptual"]) == 1
    assert all(gradient.isfinite().all() for gradient in lora_gradients(base).values())

    batch = make_batch([950, 999])
    terms = make_objective(base, with_batch_size(CONFIG, batch)).accumulate(
        batch, check_stop=never_stop
    )
    assert set(terms) == {"ldm", "memorization"}


def test_augmented_distances_are_means_over_joint_views():
    batch = make_batch([430])
    config = dataclasses.replace(CONFIG, augmentations=3)
    gradients, terms = gradients_of(config, batch)
    assert terms["perceptual"].shape == (1,)
    assert terms["perceptual"].item() > 0
    _again, same = gradients_of(config, batch)
    assert torch.equal(terms["perceptual"], same["perceptual"])
    assert max(gradient.abs().max() for gradient in gradients.values()) > 0
    other = dataclasses.replace(config, seed=1)
    _, different = gradients_of(other, batch)
    assert not torch.equal(terms["perceptual"], different["perceptual"])


def test_augmented_distances_pair_each_view_with_its_own():
    """One view, one picture at a time, against all at once."""
    from scoft_training.augmentations import augment, draw_augmentations
    from scoft_training.draws import generator

    config = dataclasses.replace(CONFIG, augmentations=3)
    objective = make_objective(lora_base(), config)
    target = make_batch([430], negatives=[2]).targets[0]
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(41)).double()
    backbone = PoolBackbone()
    draws = draw_augmentations(3, 64, 64, generator(config.seed, *target.augmentation_purpose))
    expected = []
    for other in target.pictures:
        distances = []
        for one in draws:
            sides = [augment(picture[None], [one], size=224) for picture in (image, other)]
            distances.append(backbone.distance(*map(backbone.features, sides)))
        expected.append(torch.cat(distances).mean())
    positive, negatives = objective._augmented_distances(backbone, image, target)
    torch.testing.assert_close(torch.cat([positive, negatives]), torch.stack(expected))


def test_lpips_looks_at_the_training_picture_alone():
    batch = make_batch([430, 700])
    config = dataclasses.replace(
        with_batch_size(CONFIG, batch), contrastive_weight=0.0, lpips_weight=0.5
    )
    _, terms = gradients_of(config, batch, lpips=PoolBackbone())
    # The stand-in for LPIPS is the backbone itself, so both terms are the same distance.
    torch.testing.assert_close(terms["lpips"], terms["perceptual"])


def count_calls(network):
    """Calls by whether a graph was recorded."""
    calls = {"graph": 0, "no_grad": 0}

    def hook(module, arguments):
        calls["graph" if torch.is_grad_enabled() else "no_grad"] += 1

    network.register_forward_pre_hook(hook)
    return calls


@pytest.mark.parametrize(
    ("gradient_step", "guidance", "graph", "no_grad"),
    [
        ("first", "on", 1, 21),
        ("first", "off", 1, 41),
        ("last", "on", 2, 21),
        ("random", "on", 2, 21),
        ("random", "off", 2, 41),
    ],
)
def test_a_perceptual_step_costs_exactly_its_chain(gradient_step, guidance, graph, no_grad):
    base = lora_base(torch.float32)
    config = dataclasses.replace(CONFIG, gradient_step=gradient_step, batch_size=2)
    memory = dataclasses.replace(FAST, batched_guidance=guidance)
    objective = make_objective(base, config, memory=memory, dtype=torch.float32)
    calls = count_calls(base.unet)
    encodes = count_calls(base.vae.encoder)
    objective.accumulate(
        make_batch([20, 999], dtype=torch.float32, targets=False), check_stop=never_stop
    )
    assert (calls["graph"], calls["no_grad"]) == (1, 1)
    calls.update(graph=0, no_grad=0)
    objective.accumulate(make_batch([20, 999], dtype=torch.float32), check_stop=never_stop)
    assert (calls["graph"], calls["no_grad"]) == (graph, no_grad)
    assert encodes == {"graph": 0, "no_grad": 0}


def test_fixed_features_are_not_computed_in_the_loop():
    backbone = PoolBackbone()
    seen = []
    features = backbone.features
    backbone.features = lambda images: (seen.append(len(images)), features(images))[1]
    batch = make_batch([300, 700])
    base = lora_base()
    objective = make_objective(base, with_batch_size(CONFIG, batch), backbone=backbone)
    objective.accumulate(batch, check_stop=never_stop)
    assert seen == [2], "only the two denoised pictures may be looked at"


class Box:
    """A saved tensor whose end can be watched."""

    def __init__(self, tensor):
        self.tensor = tensor


class SavedBytes:
    """Peak of the bytes that autograd keeps alive, each storage once, weights excepted."""

    def __init__(self, *networks):
        self._weights = {
            value.untyped_storage().data_ptr()
            for network in networks
            for value in (*network.parameters(), *network.buffers())
        }
        self._alive = {}
        self.now = self.peak = 0

    def __enter__(self):
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda box: box.tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error):
        self._hooks.__exit__(*error)

    def _pack(self, tensor):
        box = Box(tensor)
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        if key in self._weights:
            return box
        count, size = self._alive.get(key, (0, storage.nbytes()))
        if count == 0:
            self.now += size
            self.peak = max(self.peak, self.now)
        self._alive[key] = (count + 1, size)
        weakref.finalize(box, self._release, key)
        return box

    def _release(self, key):
        count, size = self._alive.pop(key)
        if count > 1:
            self._alive[key] = (count - 1, size)
        else:
            self.now -= size


TIMESTEPS = [30, 400, 700, 999]
ONE_BY_ONE = dataclasses.replace(FAST, decode_batch_size=1)


def peak_of_plain_step(base, config):
    objective = make_objective(base, config, dtype=torch.float32)
    with SavedBytes(base.unet, base.vae) as saved:
        objective.accumulate(
            make_batch(TIMESTEPS, dtype=torch.float32, targets=False, side=128),
            check_stop=never_stop,
        )
    assert saved.now == 0
    return saved.peak


def peak_of_decoder_and_backbone(base, batch):
    backbone = PoolBackbone(torch.float32)
    leaf = batch.latents[:1].float().requires_grad_()
    with SavedBytes(base.unet, base.vae, backbone) as saved:
        image = base.vae.decode(leaf / base.scaling_factor).sample / 2 + 0.5
        features = backbone.features(image)
        sum(part.square().sum() for part in features).backward()
    return saved.peak


@pytest.mark.parametrize("gradient_step", ["first", "last", "random"])
def test_the_peak_is_the_larger_of_two_graphs_not_their_sum(gradient_step):
    base = lora_base(torch.float32)
    config = dataclasses.replace(CONFIG, gradient_step=gradient_step, batch_size=4)
    batch = make_batch(TIMESTEPS, dtype=torch.float32, side=128)
    plain = peak_of_plain_step(base, config)
    decoder = peak_of_decoder_and_backbone(base, batch)
    # Were both graphs alive together it would be seen: neither is negligible.
    assert min(plain, decoder) > 0.25 * max(plain, decoder)
    objective = make_objective(base, config, memory=ONE_BY_ONE, dtype=torch.float32)
    with SavedBytes(base.unet, base.vae) as saved:
        objective.accumulate(batch, check_stop=never_stop)
    assert saved.now == 0, "a graph outlived the step"
    assert saved.peak <= 1.1 * max(plain, decoder)


def test_stopping_inside_the_chain_raises_at_once():
    from scoft_training.events import StopRequested, stop_check

    base = lora_base()
    calls = count_calls(base.unet)
    asked = iter([False, False, True])
    with pytest.raises(StopRequested):
        make_objective(base, CONFIG).accumulate(
            make_batch([430]), check_stop=stop_check(lambda: next(asked))
        )
    assert calls["no_grad"] == 2
