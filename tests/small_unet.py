"""A small UNet of diffusers' own class and LoRAs on it, shared by the tests of the LoRA rooms."""

from __future__ import annotations

import copy
import functools

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
WITH_CONVOLUTIONS = [*ATTENTION, "conv1", "conv_shortcut", "proj_in"]
RANK, ALPHA = 4, 6  # scale 1.5
A_LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


def tiny_unet(cross_attention_dim: int = 24) -> UNet2DConditionModel:
    return copy.deepcopy(_built_unet(cross_attention_dim))


@functools.cache
def _built_unet(cross_attention_dim: int) -> UNet2DConditionModel:
    torch.manual_seed(0)  # the initialisation has no other seed
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=cross_attention_dim,
        norm_num_groups=8,
        attention_head_dim=8,
    ).eval()


def attach(unet: UNet2DConditionModel, seed: int, targets=ATTENTION, **settings) -> None:
    settings = {"r": RANK, "lora_alpha": ALPHA} | settings
    unet.add_adapter(LoraConfig(target_modules=targets, **settings))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in unet.named_parameters():
        if ".lora_" in name:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = (0.2 * noise).to(parameter.dtype)


def trained_unet(seed: int = 1, targets=ATTENTION, **settings) -> UNet2DConditionModel:
    unet = tiny_unet()
    attach(unet, seed, targets, **settings)
    return unet


def noise_pred(unet: UNet2DConditionModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    latents = torch.randn(2, 4, 16, 8, generator=generator)
    prompt_embeds = torch.randn(2, 5, 24, generator=generator)
    with torch.no_grad():
        return unet(latents, torch.tensor([3, 801]), prompt_embeds).sample
