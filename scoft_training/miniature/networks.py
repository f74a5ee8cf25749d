"""The miniature's networks, not yet trained: a small Stable Diffusion 1.x that a host can carry.

The sizes are not free. A host such as ComfyUI builds its own classes from SD 1.x's layout and fixes
what SD 1.x never varied: channels are multiples of 32, since every group norm is built with 32
groups; a VAE has four levels (factor 8), a ControlNet's hint network 16, 32, 96 and 256 channels, a
text encoder 77 positions. `tests/test_miniature_host.py` shows that these sizes are carried.

A group norm forgets the mean of its group, so groups of one or two channels forget colours and the
time. There are therefore 8 groups of 4 to 12 channels (SD 1.x has 4 to 60 in a group); the number
of groups is not in the weights' shapes, so a host's norms are told it after they are built. The
UNet takes the time as scale and shift after the norm, where no norm can take it back.

Every constructor draws its weights from torch's global generator: seed it, or fork it, before.
Nothing is trained, read or written here.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "new_controlnet",
    "new_schedule_config",
    "new_text_encoder",
    "new_unet",
    "new_vae",
]

# The text encoder's width is what the UNet's cross-attention reads.
_TEXT_WIDTH = 96
_GROUPS = 8


def new_vae() -> Any:
    """Return an AutoencoderKL of factor 8 with random weights.

    Pictures (batch, 3, 8 h, 8 w) in [-1, 1] <-> latents (batch, 4, h, w). Its `scaling_factor` is
    diffusers' default, that of Stable Diffusion; whoever trains the VAE has to measure its own.
    """
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        sample_size=128,
        latent_channels=4,
        block_out_channels=(32, 32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=_GROUPS,
    )


def new_unet() -> Any:
    """Return a UNet2DConditionModel for latents (batch, 4, h, w) with random weights.

    It reads prompt embeddings (batch, positions, 96). h and w are multiples of 4; pictures of
    128 x 128 pixels have latents of 16 x 16. Cross-attention works at 8 x 8 and 4 x 4 only: at
    16 x 16 it is where most of the time would go.
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(64, 64, 96),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=_TEXT_WIDTH,
        # For SD 1.x's sake diffusers reads this name as the number of heads, not their width.
        attention_head_dim=4,
        norm_num_groups=_GROUPS,
        resnet_time_scale_shift="scale_shift",
    )


def new_text_encoder(vocab_size: int, *, bos_token_id: int, eos_token_id: int) -> Any:
    """Return a CLIPTextModel with random weights: tokens (batch, 77) -> (batch, 77, 96).

    Args:
        vocab_size: tokens of the miniature's own tokenizer; a host has room for 49,408.
        bos_token_id: the token before every caption.
        eos_token_id: the token after every caption; it also fills up to 77, as in SD 1.x. Not 2:
            transformers then looks for the end of a caption at its highest id instead.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=_TEXT_WIDTH,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            hidden_act="quick_gelu",
            # CLIP's own width, unused here, would else stand in the file.
            projection_dim=_TEXT_WIDTH,
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            pad_token_id=eos_token_id,
        )
    )


def new_controlnet(unet: Any) -> Any:
    """Return a ControlNetModel that starts as `unet`'s encoder and adds nothing yet.

    It reads hints (batch, 3, 8 h, 8 w) in [0, 1]. The hint network keeps diffusers' default
    channels, which a host takes for granted; its new layers are random, its last ones zero.
    """
    from diffusers import ControlNetModel

    return ControlNetModel.from_unet(unet, conditioning_channels=3)


def new_schedule_config() -> dict[str, Any]:
    """Return Stable Diffusion 1.x's noise schedule as the settings of a diffusers DDIMScheduler.

    `DDPMScheduler.from_config` takes the same settings and leaves out what it does not know.
    """
    return {
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": "epsilon",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    }
