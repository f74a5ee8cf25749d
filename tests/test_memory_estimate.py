"""The estimate before a run, against what steps then hold, and against numbers derived by hand."""

import copy
import dataclasses
import itertools

import pytest
import torch
from small_networks import (
    load,
    write_clip_folders,
    write_dreamsim_folder,
    write_hub_folders,
    write_vgg_file,
)
from stack import FAST, PoolBackbone, lora_base, make_batch, make_objective

from scoft_training.config import MemoryConfig, TrainConfig
from scoft_training.live_bytes import LiveBytes
from scoft_training.memory import LEVELS, apply_memory, decide_memory
from scoft_training.memory_estimate import MemoryEstimate, StepModel, training_model
from scoft_training.models import detach_lora, lora_parameters
from scoft_training.unet_layouts import layout_unet

CONFIG = TrainConfig(preset="custom", batch_size=2, rank=4, resolution=128, ddim_steps=2)
NO_PICTURE = {"perceptual_weight": 0.0, "contrastive_weight": 0.0}
GIB = 2**30


def model_of(base, config, *, dtype=torch.float32, backbone=None, lpips=None, negatives=2):
    if config.uses_backbone:
        backbone = backbone or PoolBackbone(torch.float32)
    return StepModel(
        base, config, backbone=backbone, lpips=lpips, dtype=dtype, num_negatives=negatives
    )


def measured(base, config, memory, *, dtype=torch.float32, backbone=None, lpips=None):
    """The most that two optimizer steps hold beside the networks and the LoRA."""
    apply_memory(memory, base.unet, base.vae)
    parameters = list(lora_parameters(base.unet).values())
    optimizer = torch.optim.AdamW(parameters)
    objective = make_objective(
        base, config, memory=memory, backbone=backbone, lpips=lpips, dtype=dtype
    )
    batch = make_batch(
        [400, 999][: config.batch_size],
        dtype=dtype,
        negatives=[2] * config.batch_size,
        backbone=backbone,
        targets=config.uses_denoising,
        side=config.resolution,
    )
    with LiveBytes() as live:
        batch = dataclasses.replace(batch, targets=tuple(map(brought, batch.targets)))
        for _ in range(2):
            optimizer.zero_grad(set_to_none=True)
            for _ in range(config.gradient_accumulation_steps):
                objective.accumulate(batch, check_stop=lambda: None)
            optimizer.step()
    return live.peak


def brought(target):
    """A target as it comes to a device from elsewhere."""
    return dataclasses.replace(
        target,
        picture_features=[part.clone() for part in target.picture_features],
        negative_features=[part.clone() for part in target.negative_features],
        pictures=target.pictures.clone(),
    )


def assert_near(estimated, real):
    assert 0.85 * real < estimated < 1.15 * real, f"{estimated} estimated, {real} used"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("checkpointing", ["off", "on"])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_unets_step_holds_what_was_estimated(batch_size, checkpointing, dtype):
    base = lora_base(dtype)
    config = dataclasses.replace(CONFIG, batch_size=batch_size, resolution=256, **NO_PICTURE)
    memory = dataclasses.replace(FAST, gradient_checkpointing=checkpointing)
    estimate = model_of(base, config, dtype=dtype).estimate(memory)
    assert set(estimate.branches) == {"unet", "optimizer"}
    assert estimate.branches["unet"] > 10 * estimate.lora, "the activations are what is tested"
    assert_near(estimate.working, measured(base, config, memory, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("gradient_step", "decoder_checkpointing", "decode_batch_size"),
    [*itertools.product(["first"], ["off", "on"], [1, 2]), ("last", "off", 1)],
)
def test_the_decoders_step_holds_what_was_estimated(
    gradient_step, decoder_checkpointing, decode_batch_size, dtype
):
    base = lora_base(dtype)
    config = dataclasses.replace(CONFIG, gradient_step=gradient_step)
    memory = MemoryConfig("low", "on", decoder_checkpointing, decode_batch_size, "off")
    estimate = model_of(base, config, dtype=dtype).estimate(memory)
    assert max(estimate.branches, key=estimate.branches.get) == "decoder"
    backbone = PoolBackbone(torch.float32)
    assert_near(estimate.working, measured(base, config, memory, dtype=dtype, backbone=backbone))


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient_accumulation_steps": 2, "rank": 4},
        {"augmentations": 3, "batch_size": 1},
        {"lpips_weight": 0.5},
        {"lpips_weight": 0.5, **NO_PICTURE},
    ],
)
def test_what_else_a_step_looks_at_is_estimated_too(changes):
    base = lora_base(torch.float32)
    config = dataclasses.replace(CONFIG, **changes)
    lpips = PoolBackbone(torch.float32, side=2) if config.lpips_weight else None
    backbone = PoolBackbone(torch.float32) if config.uses_backbone else None
    estimate = model_of(base, config, lpips=lpips).estimate(FAST)
    real = measured(base, config, FAST, backbone=backbone, lpips=lpips)
    assert_near(estimate.working, real)


@pytest.fixture(scope="module")
def weights_of(tmp_path_factory):
    """Small weights of every perceptual network, by its registered name."""
    root = tmp_path_factory.mktemp("backbones")
    folders = write_clip_folders(root) | write_hub_folders(root)
    write_dreamsim_folder(root / "dreamsim")
    return {name: folder for name, (folder, _model) in folders.items()} | {
        "dreamsim": root / "dreamsim",
        "lpips": write_vgg_file(root),
    }


@pytest.mark.parametrize(
    ("name", "augmentations"),
    [
        ("clipconv", 0),
        ("clip_vit_b32", 0),
        ("clip_vit_b32", 2),
        ("dreamsim", 0),
        ("dinov2", 0),
        ("blip2", 0),
        ("blip2", 2),
        ("lpips", 0),
    ],
)
def test_every_backbones_step_holds_what_was_estimated(name, augmentations, weights_of):
    backbone = load(name, weights_of[name], torch.float32)
    config = dataclasses.replace(CONFIG, batch_size=1, augmentations=augmentations)
    base = lora_base(torch.float32)
    estimate = model_of(base, config, backbone=backbone).estimate(FAST)
    assert_near(estimate.working, measured(base, config, FAST, backbone=backbone))


def test_a_chain_without_gradient_holds_what_was_estimated():
    base = lora_base(torch.float32)
    for batched in ("on", "off"):
        memory = dataclasses.replace(FAST, batched_guidance=batched)
        estimate = model_of(base, CONFIG).estimate(memory)
        objective = make_objective(base, CONFIG, memory=memory, dtype=torch.float32)
        batch = make_batch([400, 999], dtype=torch.float32, side=128)
        with torch.no_grad(), LiveBytes() as live:
            objective.guided_noise(batch.latents, batch.timesteps, batch.conditioning)
        assert_near(estimate.branches["denoising"], live.peak)


def test_a_preview_is_counted_with_the_decoder_that_visits_for_it():
    base = lora_base(torch.float32)
    config = dataclasses.replace(CONFIG, preview_every=5)
    estimate = model_of(base, config).estimate(FAST)
    latents = make_batch([400], dtype=torch.float32, side=128, targets=False).latents
    with torch.no_grad(), LiveBytes() as live:
        base.vae.decode(latents)
    assert_near(estimate.branches["preview"], live.peak)
    alone = model_of(base, dataclasses.replace(config, **NO_PICTURE)).estimate(FAST)
    visiting = estimate.branches["preview"] + estimate.weights["decoder"]
    assert alone.branches["preview"] == visiting
    assert "decoder" not in alone.weights


def test_weights_lora_and_moments_are_counted_to_the_byte():
    base = lora_base(torch.bfloat16)
    estimate = model_of(base, CONFIG, dtype=torch.bfloat16).estimate(FAST)
    lora = sum(value.numel() * 4 for value in lora_parameters(base.unet).values())
    assert (estimate.lora, estimate.lora_gradients, estimate.optimizer) == (lora, lora, 2 * lora)
    detach_lora(base.unet)
    unet = sum(value.numel() * 2 for value in base.unet.parameters())
    decoder = sum(value.numel() * 2 for part in base.decoder_parts for value in part.parameters())
    assert estimate.weights == {"unet": unet, "decoder": decoder, "backbone": 5 * 3 * 3 * 3 * 4}


def test_branches_are_alternatives_and_the_rest_adds_up():
    estimate = MemoryEstimate(
        weights={"unet": 1000, "decoder": 200},
        lora=30,
        lora_gradients=30,
        optimizer=60,
        branches={"unet": 500, "denoising": 100, "decoder": 700, "optimizer": 60},
    )
    assert estimate.working == 60 + 700
    assert estimate.peak == 1000 + 200 + 30 + 60 + 700
    assert sum(estimate.parts().values()) == 1000 + 200 + 30 + 60 + 500 + 100 + 700 + 60


def test_gradients_that_wait_for_the_next_micro_batch_are_there_all_along():
    base = lora_base(torch.float32)
    one = model_of(base, CONFIG).estimate(FAST)
    many = dataclasses.replace(CONFIG, gradient_accumulation_steps=2)
    two = model_of(base, many).estimate(FAST)
    for branch in ("denoising", "decoder"):
        assert two.branches[branch] == one.branches[branch] + one.lora
    assert two.branches["optimizer"] == one.branches["optimizer"] == 2 * one.lora


@pytest.mark.parametrize("batch_size", [1, 40])
def test_each_level_takes_no_more_than_the_one_before(batch_size):
    config = dataclasses.replace(CONFIG, batch_size=batch_size)
    model = model_of(lora_base(torch.float32), config)
    needs = []
    for level in LEVELS:
        memory = decide_memory(MemoryConfig(level), batch_size=batch_size, fits=lambda _: True)
        needs.append(model.estimate(memory).working)
    assert needs[0] > needs[1] >= needs[2]
    # Of one picture the decoder holds most, of many the UNet, which takes them all at once.
    assert (needs[1] > needs[2]) == (batch_size == 40)


def test_nothing_of_the_run_is_touched():
    base, backbone = lora_base(torch.float32), PoolBackbone(torch.float32)
    networks = (base.unet, base.vae, backbone)
    before = [copy.deepcopy(network.state_dict()) for network in networks]
    calls = []
    base.unet.conv_in.register_forward_pre_hook(
        lambda _module, given: calls.append(given[0].device.type)
    )
    model_of(base, CONFIG, backbone=backbone).estimate(MemoryConfig("low", "on", "on", 1, "off"))
    assert set(calls) == {"meta"}
    assert not base.unet.is_gradient_checkpointing
    assert not base.unet.training
    for network, state in zip(networks, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
        assert all(value.grad is None for value in network.parameters())


def test_attention_is_counted_as_its_fused_kernels_keep_it():
    """At 128 x 128 latent places one head's matrix alone would take a GiB."""
    base = lora_base(torch.float32)
    config = dataclasses.replace(CONFIG, resolution=1024, batch_size=1, **NO_PICTURE)
    estimate = model_of(base, config).estimate(FAST)
    assert estimate.branches["unet"] < 1.5 * GIB
    # Outside of the estimate attention on meta is what torch makes of it.
    query = torch.empty(1, 2, 64, 8, device="meta")
    with LiveBytes() as live:
        torch.nn.functional.scaled_dot_product_attention(query, query, query)
    assert live.peak >= 2 * 64 * 64 * 4


@pytest.fixture(scope="module")
def vae():
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        return AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        )


def test_networks_on_meta_have_a_cost(vae):
    config = TrainConfig(rank=64, resolution=512)
    unet = layout_unet("sd1")
    names = list(unet.state_dict())
    estimate = training_model(unet, vae, config, dtype=torch.bfloat16).estimate(FAST)
    assert list(unet.state_dict()) == names, "the LoRA is attached to a twin"
    # 859.5 million weights of Stable Diffusion 1.x in two bytes each. Rank 64 at its 128 attention
    # projections: sum of 64 (in + out).
    assert estimate.weights["unet"] == 859_520_964 * 2
    assert estimate.lora == 4 * 12_754_944
    # The VAE is float32, whatever the UNet is in.
    assert estimate.weights["decoder"] == 4 * sum(
        value.numel() for part in (vae.decoder, vae.post_quant_conv) for value in part.parameters()
    )
    half = dataclasses.replace(config, rank=32)
    half = training_model(unet, vae, half, dtype=torch.bfloat16).estimate(FAST)
    assert half.lora * 2 == estimate.lora


@pytest.mark.slow
def test_sdxl_has_a_cost(vae):
    config = TrainConfig(rank=16, resolution=1024, **NO_PICTURE)
    model = training_model(layout_unet("sdxl"), vae, config, dtype=torch.bfloat16)
    kept = model.estimate(FAST)
    lean = dataclasses.replace(FAST, gradient_checkpointing="on")
    lower = model.estimate(lean)
    assert kept.weights["unet"] == pytest.approx(2 * 2_567_463_684)
    assert 5 * lower.branches["unet"] < kept.branches["unet"]
