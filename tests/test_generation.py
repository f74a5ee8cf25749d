"""Pictures with and without a LoRA: base, seed and sheet are what they should be."""

import dataclasses

import pytest
import torch
from stack import CPU, lora_base, small_base

from scoft_training.config import GenerateConfig
from scoft_training.files import digest_tensors
from scoft_training.generation import GeneratedPicture, contact_sheet, generate, to_picture
from scoft_training.lora_layers import lora_from_adapter

CONFIG = GenerateConfig(inference_steps=3, resolution=64)


def draw(base, *, lora=None, config=CONFIG, prompts=("a house", "a bowl"), seeds=(0, 7)):
    return list(generate(base, prompts, seeds, config, lora=lora, device=CPU, dtype=torch.float64))


@pytest.fixture(scope="module")
def lora():
    return lora_from_adapter(lora_base().unet)


def test_every_prompt_is_drawn_with_every_seed_without_and_with(lora):
    pictures = draw(small_base(), lora=lora)
    assert [(p.prompt, p.seed, p.with_lora) for p in pictures] == [
        (prompt, seed, half)
        for half in (False, True)
        for prompt in ("a house", "a bowl")
        for seed in (0, 7)
    ]
    assert all(p.image.shape == (3, 64, 64) for p in pictures)
    assert all(0 <= p.image.min() and p.image.max() <= 1 for p in pictures)
    assert len({digest_tensors({"": p.image}) for p in pictures}) == 8


def test_the_same_seed_draws_the_same_picture_whatever_else_is_drawn(lora):
    pictures = draw(small_base(), lora=lora)
    alone = draw(small_base(), prompts=("a bowl",), seeds=(7,))
    assert torch.equal(alone[0].image, pictures[3].image)


def test_drawing_leaves_the_base_as_it_was(lora):
    base = small_base()
    draw(base, lora=lora)
    assert digest_tensors(base.unet.state_dict()) == digest_tensors(small_base().unet.state_dict())


def test_strength_zero_is_the_base(lora):
    without, with_it = draw(
        small_base(),
        lora=lora,
        config=dataclasses.replace(CONFIG, lora_strength=0.0),
        prompts=("a house",),
        seeds=(0,),
    )
    assert torch.equal(without.image, with_it.image)


def test_the_applied_lora_draws_what_the_adapter_draws(lora):
    adapted = draw(lora_base(), prompts=("a house",), seeds=(0,))[0]
    applied = draw(small_base(), lora=lora, prompts=("a house",), seeds=(0,))[1]
    torch.testing.assert_close(applied.image, adapted.image, rtol=0, atol=1e-6)


def test_it_draws_what_diffusers_draws():
    """DDIM of diffusers on the same grid, with the same guidance and start."""
    from diffusers import DDIMScheduler

    from scoft_training.draws import normal

    base = small_base()
    ours = draw(base, prompts=("a house",), seeds=(5,))[0].image
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
    )
    # Its own grids are evenly spaced from 0; ours is round(999 (1 - k / 3)): 999, 666, 333.
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    # It ends at timestep 0, the method where abar is 1.
    scheduler.alphas_cumprod[0] = 1.0
    embeds = base.captions.encode(["", "a house"]).conditioning.prompt_embeds
    latents = normal((1, 4, 8, 8), torch.float64, 5, "picture")
    scheduler.num_inference_steps = 3
    with torch.no_grad():
        for timestep in (999, 666, 333):
            both = base.unet(
                torch.cat([latents] * 2), timestep, encoder_hidden_states=embeds
            ).sample
            uncond, cond = both.chunk(2)
            latents = scheduler.step(uncond + 7.5 * (cond - uncond), timestep, latents).prev_sample
        image = base.vae.decode(latents / base.scaling_factor).sample[0] / 2 + 0.5
    torch.testing.assert_close(ours, image.clamp(0, 1).float(), rtol=0, atol=1e-5)


def test_the_sheet_shows_every_picture_at_its_place():
    shades = {(0, False): 0.0, (1, False): 0.25, (0, True): 0.75, (1, True): 0.5}
    pictures = [
        GeneratedPicture("a house", seed, half, torch.full((3, 40, 40), shade))
        for (seed, half), shade in shades.items()
    ]
    sheet = contact_sheet(pictures)
    found = [sheet.getpixel((8 + 48 * seed + 20, y)) for y in range(sheet.height) for seed in (0,)]
    # From top to bottom the first seed's column shows the base's picture, then the LoRA's.
    order = [pixel[0] for pixel in found if pixel[0] in (0, 191)]
    assert order == [0] * order.count(0) + [191] * order.count(191)
    assert order.count(191) == 40


def test_a_picture_is_rounded_not_cut():
    image = to_picture(torch.full((3, 2, 3), 0.999))
    assert image.size == (3, 2)
    assert image.getpixel((0, 0)) == (255, 255, 255)
