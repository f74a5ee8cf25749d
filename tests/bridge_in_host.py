"""The host's own networks and the engine's copies of them; for `test_bridge.py` alone.

Stable Diffusion's structures with few channels, which no loader of the host would recognise: its
classes are called by hand, with the layout that its detection finds in such weights. Runs in the
host's process: see `host_process`.
"""
# ruff: noqa: TID251 - this file stands on the host's side of the wall, as a node does

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.cldm.cldm
import comfy.cli_args
import comfy.controlnet
import comfy.hooks
import comfy.ldm.models.autoencoder
import comfy.ldm.wan.vae
import comfy.model_base
import comfy.model_detection
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.ops
import comfy.patcher_extension
import comfy.sample
import comfy.samplers
import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.t2i_adapter.adapter
import comfy.taesd.taesd
import comfy.utils
import torch
from safetensors.torch import save_file
from scoft_pack.nodes import bridge, bridge_captions, bridge_families, miniature
from scoft_pack.nodes.bridge_controlnet import controlnet_from_host
from scoft_pack.scoft_training import generation
from scoft_pack.scoft_training.caption_encoders import ClipCaptionEncoder, SdxlCaptionEncoder
from scoft_pack.scoft_training.config import GenerateConfig
from scoft_pack.scoft_training.errors import ConfigError
from scoft_pack.scoft_training.lora_files import write_lora
from scoft_pack.scoft_training.lora_layers import lora_from_adapter
from scoft_pack.scoft_training.miniature.loading import WEIGHTS
from scoft_pack.scoft_training.models import attach_lora, detach_lora
from scoft_pack.scoft_training.predictor import NoisePredictor
from scoft_pack.scoft_training.sampling import denoise, strided_timesteps
from torch import Tensor, nn

Pairs = dict[str, Tensor]
"""`<what>.host` and `<what>.engine`: the same question, answered by both."""

_SHARED = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "use_spatial_transformer": True,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
    "legacy": False,
}
_FOUR_LEVELS = _SHARED | {
    "model_channels": 32,
    "channel_mult": [1, 2, 4, 4],
    "num_res_blocks": [2, 2, 2, 2],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
    "adm_in_channels": None,
    "context_dim": 48,
}
LAYOUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "sd1": ("SD15", _FOUR_LEVELS | {"use_linear_in_transformer": False}),
    "sd2": ("SD20", _FOUR_LEVELS | {"use_linear_in_transformer": True}),
    "sdxl": (
        "SDXL",
        _SHARED
        | {
            "model_channels": 32,
            "channel_mult": [1, 2, 4],
            "num_res_blocks": [2, 2, 2],
            "transformer_depth": [0, 0, 2, 2, 10, 10],
            "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
            "transformer_depth_middle": 10,
            "use_linear_in_transformer": True,
            "num_classes": "sequential",
            # Pooled embeddings of 40 channels and six sizes of 256 each.
            "adm_in_channels": 40 + 6 * 256,
            # Both text encoders' channels.
            "context_dim": 48 + 40,
        },
    ),
}
_HEAD_CHANNELS = 16
"""Of Stable Diffusion 2.x and SDXL, whose 64 would not divide so few channels."""


def draw(network: nn.Module, seed: int) -> None:
    """Draw every weight, so that none is constant and signals keep their size."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            noise /= parameter[0].numel() ** 0.5
        elif name.endswith("weight"):
            noise = 1 + 0.2 * noise
        else:
            noise *= 0.1
        parameter.data.copy_(noise)
    network.eval().requires_grad_(False)


def host_model(
    family: str, seed: int = 1, kind: str = "", tensors: Any = None, **changes: Any
) -> Any:
    """Return the host's MODEL of a family's structure.

    Args:
        family: a key of LAYOUTS.
        seed: of its weights.
        kind: the host's record of it, in place of the family's.
        tensors: what stands in the file beside the weights, such as `v_pred`.
        changes: of its layout.
    """
    own_kind, layout = LAYOUTS[family]
    kind = kind or own_kind
    layout = {**layout, **changes}
    kind_class = getattr(comfy.supported_models, kind)
    widths = {}
    if kind != "SD15":
        widths = {"num_heads": -1, "num_head_channels": _HEAD_CHANNELS}
    # As the host's class, but for what its extra config fixes for the real number of channels.
    extra = {**kind_class.unet_extra_config, **widths}
    config = type(kind, (kind_class,), {"unet_extra_config": extra})(layout)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model(tensors or {}, "")
    draw(model.diffusion_model, seed)
    cpu = torch.device("cpu")
    patcher_class = getattr(
        comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher
    )
    return patcher_class(model, load_device=cpu, offload_device=cpu)


def require_detected_layout(family: str, model: Any) -> None:
    """What the host itself would read off these weights is the layout that is tested."""
    weights = model.model.diffusion_model.state_dict()
    found = comfy.model_detection.detect_unet_config(weights, "")
    for key, value in LAYOUTS[family][1].items():
        assert found.get(key) == value, (family, key, value, found.get(key))
    # The real sizes stand in the host's class, with the structure that is ours as well.
    real = getattr(comfy.supported_models, LAYOUTS[family][0]).unet_config
    sizes = ("model_channels", "context_dim", "adm_in_channels")
    assert all(found[key] == value for key, value in real.items() if key not in sizes)


def host_controlnet(model: Any, seed: int = 2, **changes: Any) -> Any:
    """Return the host's CONTROL_NET for a MODEL, with changes of its layout."""
    layout = dict(model.model.model_config.unet_config)
    layout.pop("out_channels")
    layout |= {"hint_channels": 3, "device": "cpu", "dtype": torch.float32, **changes}
    network = comfy.cldm.cldm.ControlNet(**layout, operations=comfy.ops.disable_weight_init)
    draw(network, seed)
    return comfy.controlnet.ControlNet(network, load_device=torch.device("cpu"))


class GgufLike(Tensor):
    """A weight as GGUF's loader keeps it: a class of its own around packed bytes."""


def host_vae(seed: int = 3, **changes: Any) -> Any:
    """Return the host's VAE, of Stable Diffusion's structure."""
    layout = {
        "double_z": True,
        "z_channels": 4,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_resolutions": [],
        "dropout": 0.0,
    } | changes
    network = comfy.ldm.models.autoencoder.AutoencoderKL(
        embed_dim=layout["z_channels"], ddconfig=layout
    )
    draw(network, seed)
    params = {"embed_dim": layout["z_channels"], "ddconfig": layout}
    return comfy.sd.VAE(sd=network.state_dict(), config={"params": params})


TEXT_CONFIG = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 12,
    "num_attention_heads": 4,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "eos_token_id": 49407,
}
TEXT_2_CONFIG = {
    **TEXT_CONFIG,
    "hidden_size": 40,
    "intermediate_size": 80,
    "num_hidden_layers": 5,
    "hidden_act": "gelu",
    # The host has a square projection.
    "projection_dim": 40,
}


def host_clip(weights: dict[str, Tensor]) -> Any:
    """Return the host's CLIP of Stable Diffusion 1.x, in the format that the host chooses."""
    text_model = functools.partial(
        comfy.sd1_clip.SDClipModel, textmodel_json_config=dict(TEXT_CONFIG)
    )
    tokenizer = functools.partial(comfy.sd1_clip.SDTokenizer, embedding_size=48)
    target = comfy.supported_models_base.ClipTarget(
        comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel
    )
    clip = comfy.sd.CLIP(
        target,
        tokenizer_data={"clip_l_tokenizer_class": tokenizer},
        model_options={"clip_l_class": text_model},
    )
    clip.cond_stage_model.clip_l.load_sd(weights)
    return clip


class SmallSdxlClip(comfy.sdxl_clip.SDXLClipModel):
    """The host's pair of SDXL with few channels; otherwise as its own constructor builds it."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, **_: Any) -> None:
        nn.Module.__init__(self)
        shared = {"layer": "hidden", "layer_idx": -2, "device": device, "dtype": dtype}
        shared |= {"layer_norm_hidden_state": False}
        self.clip_l = comfy.sd1_clip.SDClipModel(textmodel_json_config=dict(TEXT_CONFIG), **shared)
        self.clip_g = comfy.sd1_clip.SDClipModel(
            textmodel_json_config=dict(TEXT_2_CONFIG),
            special_tokens={"start": 49406, "end": 49407, "pad": 0},
            return_projected_pooled=True,
            **shared,
        )
        self.dtypes = {dtype}


def host_sdxl_clip(weights: dict[str, Tensor], weights_2: dict[str, Tensor]) -> Any:
    """Return the host's CLIP of SDXL."""
    target = comfy.supported_models_base.ClipTarget(comfy.sdxl_clip.SDXLTokenizer, SmallSdxlClip)
    clip = comfy.sd.CLIP(target)
    clip.cond_stage_model.clip_l.load_sd(weights)
    clip.cond_stage_model.clip_g.load_sd(weights_2)
    return clip


def text_encoder(seed: int = 4) -> tuple[dict[str, Tensor], ClipCaptionEncoder]:
    """Return a text encoder's weights as files have them, and the engine's encoder of them."""
    from transformers import CLIPTextConfig, CLIPTextModel

    network = CLIPTextModel(CLIPTextConfig(**TEXT_CONFIG, vocab_size=49408, bos_token_id=49406))
    draw(network, seed)
    return _as_in_files(network), ClipCaptionEncoder(network, _tokenizer("<|endoftext|>"))


def sdxl_text_encoders() -> tuple[list[dict[str, Tensor]], SdxlCaptionEncoder]:
    """Return the weights of both as files have them, and the engine's encoder of them."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    shared = {"vocab_size": 49408, "bos_token_id": 49406}
    networks = [
        CLIPTextModel(CLIPTextConfig(**TEXT_CONFIG, **shared)),
        CLIPTextModelWithProjection(CLIPTextConfig(**TEXT_2_CONFIG, **shared)),
    ]
    for seed, network in enumerate(networks, start=11):
        draw(network, seed)
    tokenizers = [_tokenizer("<|endoftext|>"), _tokenizer("!")]
    return [*map(_as_in_files, networks)], SdxlCaptionEncoder(*networks, *tokenizers)


def _tokenizer(pad_token: str) -> Any:
    from transformers import CLIPTokenizer

    folder = Path(comfy.sd1_clip.__file__).parent / "sd1_tokenizer"
    tokenizer = CLIPTokenizer.from_pretrained(folder, pad_token=pad_token)
    tokenizer.model_max_length = 77
    return tokenizer


def _as_in_files(network: nn.Module) -> dict[str, Tensor]:
    """Return weights by the names of released files; a projection stands beside the text model."""
    weights = {}
    for key, value in network.state_dict().items():
        beside = key.startswith("text_projection.")
        name = key if beside else f"text_model.{key.removeprefix('text_model.')}"
        weights[name] = value.clone()
    return weights


class Questions:
    """Inputs, none of them square, so that height and width cannot be confused."""

    def __init__(self, model: Any) -> None:
        layout = model.model.model_config.unet_config
        generator = torch.Generator().manual_seed(5)
        self.latents = torch.randn(2, 4, 8, 16, generator=generator)
        self.timesteps = torch.tensor([7, 801])
        self.context = torch.randn(2, 77, layout["context_dim"], generator=generator)
        self.hint = torch.rand(2, 3, 64, 128, generator=generator)
        self.for_host: dict[str, Any] = {}
        self.for_engine: dict[str, Any] = {}
        if layout["adm_in_channels"] is not None:
            pooled = torch.randn(2, 40, generator=generator)
            sizes = {"height": 640, "width": 1024, "crop_h": 32, "crop_w": 7}
            sizes |= {"target_height": 512, "target_width": 768}
            self.for_host["y"] = model.model.encode_adm(pooled_output=pooled, **sizes)
            ids = torch.tensor([[float(size) for size in sizes.values()]] * 2)
            added = {"text_embeds": pooled, "time_ids": ids}
            self.for_engine["added_cond_kwargs"] = added

    def ask_host(self, model: Any) -> Tensor:
        """One forward with the MODEL's patches in its weights, as for sampling."""
        comfy.model_management.load_models_gpu([model])
        answer = model.model.diffusion_model(
            self.latents, self.timesteps, context=self.context, **self.for_host
        )
        comfy.model_management.unload_all_models()
        return answer

    def ask_engine(self, unet: nn.Module) -> Tensor:
        return unet(self.latents, self.timesteps, self.context, **self.for_engine).sample


def conversions(family: str, folder: Path) -> Pairs:
    """Every network of a family, plain and with a LoRA's file and a merge on the MODEL."""
    model = host_model(family)
    require_detected_layout(family, model)
    asked = Questions(model)
    unet = bridge.unet_from_host(model, torch.float32)
    answers = {
        "noise_pred.host": asked.ask_host(model),
        "noise_pred.engine": asked.ask_engine(unet),
    }
    attach_lora(unet, rank=3, alpha=6, seed=2, dtype=torch.float32)
    for index, (name, parameter) in enumerate(sorted(unet.named_parameters())):
        if ".lora_B." in name:
            generator = torch.Generator().manual_seed(index)
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    path = folder / f"{family}.safetensors"
    write_lora(path, lora_from_adapter(unet))
    with_lora, _ = comfy.sd.load_lora_for_models(
        model, None, comfy.utils.load_torch_file(str(path)), 1.0, 0.0
    )
    answers |= {
        "lora.host": asked.ask_host(with_lora),
        "lora.engine": asked.ask_engine(unet),
        "baked_lora.host": asked.ask_host(with_lora),
        "baked_lora.engine": asked.ask_engine(bridge.unet_from_host(with_lora, torch.float32)),
    }
    detach_lora(unet)
    merged = model.clone()
    for key, patches in host_model(family, seed=9).get_key_patches("diffusion_model.").items():
        merged.add_patches({key: patches}, 0.4, 0.6)
    answers |= {
        "merge.host": asked.ask_host(merged),
        "merge.engine": asked.ask_engine(bridge.unet_from_host(merged, torch.float32)),
    }
    control = host_controlnet(model)
    told = control.control_model(
        asked.latents, asked.hint, asked.timesteps, asked.context, **asked.for_host
    )
    engine_control = controlnet_from_host(control, model, dtype=torch.float32)
    engine_told = engine_control.network(
        asked.latents, asked.timesteps, asked.context, asked.hint, **asked.for_engine
    )
    ours = [*engine_told.down_block_res_samples, engine_told.mid_block_res_sample]
    for index, (theirs, our) in enumerate(
        zip([*told["output"], *told["middle"]], ours, strict=True)
    ):
        answers |= {f"residual_{index}.host": theirs, f"residual_{index}.engine": our}
    return {f"{family}.{name}": value for name, value in answers.items()}


def vae_answers() -> Pairs:
    """Both directions of the VAE."""
    vae = host_vae()
    generator = torch.Generator().manual_seed(6)
    images = torch.rand(2, 64, 128, 3, generator=generator)
    latents = torch.randn(2, 4, 8, 16, generator=generator)
    ours = bridge.vae_from_host(vae, 0.5, torch.float32)
    decoded = ours.decode(latents).sample / 2 + 0.5
    return {
        "vae.encoded.host": vae.encode(images),
        "vae.encoded.engine": ours.encode(images.movedim(-1, 1) * 2 - 1).latent_dist.mode(),
        "vae.decoded.host": vae.decode(latents),
        "vae.decoded.engine": decoded.clamp(0, 1).movedim(1, -1),
    }


def text_answers() -> Pairs:
    """Captions as the host's CLIP encodes them, for us and for a node, and as transformers does."""
    weights, encoder = text_encoder()
    clip = host_clip(weights)
    captions = ["an old house by the river, at dusk", "", r"çà et là: 3 \(trois\) lampes"]
    ours = bridge_captions.HostCaptionEncoder(clip)
    # A node reads a bracket after a backslash without it; in a caption both are text.
    simple = captions[:2]
    asked = [clip.encode_from_tokens_scheduled(clip.tokenize(one))[0][0] for one in simple]
    skipped = clip.clone()
    skipped.clip_layer(-2)
    their_skip = skipped.encode_from_tokens_scheduled(skipped.tokenize(captions[0]))[0][0]
    our_skip = bridge_captions.HostCaptionEncoder(skipped)
    assert ours.digest != our_skip.digest
    long = ours.encode(["stone " * 100])
    assert long.cut == (0,)
    return {
        "text.embeds.host": ours.encode(captions).conditioning.prompt_embeds,
        "text.embeds.engine": encoder.encode(captions).conditioning.prompt_embeds,
        "text.as_asked.host": torch.cat(asked).float(),
        "text.as_asked.engine": ours.encode(simple).conditioning.prompt_embeds,
        "text.skip.host": their_skip.float(),
        "text.skip.engine": our_skip.encode(captions[:1]).conditioning.prompt_embeds,
        "text.cut.host": long.conditioning.prompt_embeds,
        "text.cut.engine": encoder.encode(["stone " * 100]).conditioning.prompt_embeds,
    }


def sdxl_text_answers() -> Pairs:
    """The same for SDXL's pair of text encoders, with the pooled embeddings."""
    weights, encoder = sdxl_text_encoders()
    clip = host_sdxl_clip(*weights)
    captions = ["an (old) house [by] the river: dusk", "", "stone " * 100]
    ours = bridge_captions.HostCaptionEncoder(clip, pooled=True)
    encoded, expected = ours.encode(captions), encoder.encode(captions)
    assert encoded.cut == expected.cut == (2,)
    # For a node, brackets are weights.
    asked, details = clip.encode_from_tokens_scheduled(clip.tokenize("an old house"))[0]
    plain = ours.encode(["an old house"]).conditioning
    skipped = clip.clone()
    skipped.clip_layer(-3)
    their_skip = skipped.encode_from_tokens_scheduled(skipped.tokenize("an old house"))[0][0]
    our_skip = bridge_captions.HostCaptionEncoder(skipped, pooled=True)
    digests = [ours.digest, our_skip.digest]
    for index in (0, 1):
        changed = [{**one} for one in weights]
        changed[index]["text_model.final_layer_norm.bias"] += 1
        other = host_sdxl_clip(*changed)
        digests.append(bridge_captions.HostCaptionEncoder(other, pooled=True).digest)
    assert len(set(digests)) == 4
    with_conditioning = {"embeds": "prompt_embeds", "pooled": "pooled_prompt_embeds"}
    pairs = {}
    for name, field in with_conditioning.items():
        pairs |= {
            f"{name}.host": getattr(encoded.conditioning, field),
            f"{name}.engine": getattr(expected.conditioning, field),
        }
    pairs |= {
        "as_asked.host": asked.float(),
        "as_asked.engine": plain.prompt_embeds,
        "pooled_as_asked.host": details["pooled_output"].float(),
        "pooled_as_asked.engine": plain.pooled_prompt_embeds,
        "skip.host": their_skip.float(),
        "skip.engine": our_skip.encode(["an old house"]).conditioning.prompt_embeds,
    }
    return {f"sdxl_text.{name}": value for name, value in pairs.items()}


def drawings() -> Pairs:
    """The miniature drawn by the host's KSampler and by the engine, from the same noise."""
    model, clip, vae, _ = miniature.host_objects(WEIGHTS)
    base = bridge.base_from_host(model, clip, vae, name="canvas", dtype=torch.float32)
    prompt, cfg = "a house in avelun", 3.0
    noise = generation.starting_noise(base, 128, torch.float32, 4, "picture")
    conditions = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (prompt, "")]
    flat = torch.zeros_like(noise)
    answers = {}
    for steps in (9, 4):
        grid, num_steps = strided_timesteps(torch.tensor([999]), steps)
        if steps == 9:
            # 9 divides 999: the host's sgm_uniform then falls on whole timesteps, which are ours.
            theirs = comfy.sample.sample(
                model, noise, steps, cfg, "ddim", "sgm_uniform", *conditions, flat,
                disable_pbar=True, seed=0,
            )  # fmt: skip
        else:
            # Elsewhere no scheduler of the host has our rounding, so it is given our sigmas.
            table = model.get_model_object("model_sampling").sigmas
            sigmas = torch.cat([table[grid[0]], torch.zeros(1)])
            sampler = comfy.samplers.sampler_object("ddim")
            theirs = comfy.sample.sample_custom(
                model, noise, cfg, sampler, sigmas, *conditions, flat,
                disable_pbar=True, seed=0,
            )  # fmt: skip
        embeds = base.captions.encode([prompt, ""]).conditioning
        predictor = NoisePredictor(
            base.unet,
            base.schedule,
            device=torch.device("cpu"),
            dtype=torch.float32,
            guidance_scale=cfg,
            batched_guidance=True,
        )
        chain = denoise(
            functools.partial(predictor.guided_noise, conditioning=embeds[:1], uncond=embeds[1]),
            noise,
            grid,
            num_steps,
            predictor.alphas_cumprod,
            recorded_step=torch.tensor([0]),
        )
        config = GenerateConfig(inference_steps=steps, guidance_scale=cfg, resolution=128)
        (drawn,) = generation.generate(
            base, [prompt], [4], config, lora=None,
            device=torch.device("cpu"), dtype=torch.float32,
        )  # fmt: skip
        answers |= {
            f"latents_{steps}.host": theirs * base.scaling_factor,
            f"latents_{steps}.engine": chain.x0_latents,
            f"picture_{steps}.host": vae.decode(theirs)[0].movedim(-1, 0),
            f"picture_{steps}.engine": drawn.image,
        }
    return {f"drawing.{name}": value for name, value in answers.items()}


def drawing_from_pure_noise() -> Pairs:
    """The same, as a velocity model whose schedule ends in pure noise."""
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete

    model, clip, vae, _ = miniature.host_objects(WEIGHTS)
    model = ModelSamplingDiscrete().patch(model, "v_prediction", zsnr=True)[0]
    base = bridge.base_from_host(model, clip, vae, name="canvas", dtype=torch.float32)
    prompt, cfg, steps = "a house in avelun", 7.5, 9
    noise = generation.starting_noise(base, 128, torch.float32, 4, "picture")
    conditions = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (prompt, "")]
    theirs = comfy.sample.sample(
        model, noise, steps, cfg, "ddim", "sgm_uniform", *conditions, torch.zeros_like(noise),
        disable_pbar=True, seed=0,
    )  # fmt: skip
    config = GenerateConfig(inference_steps=steps, guidance_scale=cfg, resolution=128)
    (drawn,) = generation.generate(
        base, [prompt], [4], config, lora=None, device=torch.device("cpu"), dtype=torch.float32
    )
    return {
        "drawing.pure_noise.host": vae.decode(theirs)[0].movedim(-1, 0),
        "drawing.pure_noise.engine": drawn.image,
    }


def refusals(folder: Path) -> dict[str, str]:
    """Return the sentence with which each thing that cannot be trained is refused."""
    weights, _ = text_encoder()
    model, clip, vae = host_model("sd1"), host_clip(weights), host_vae()
    found: dict[str, str] = {}

    def ask(case: str, call: Callable[[], Any]) -> None:
        try:
            call()
        except ConfigError as error:
            found[case] = str(error)
        else:
            found[case] = "accepted"

    def base(case: str, *, model: Any = model, clip: Any = clip, vae: Any = vae) -> None:
        ask(case, lambda: bridge.base_from_host(model, clip, vae, name="x", dtype=torch.float32))

    def changed(case: str, change: Callable[[Any], Any]) -> None:
        clone = model.clone()
        change(clone)
        base(case, model=clone)

    base("plain")
    sdxl, sdxl_clip = host_model("sdxl"), host_sdxl_clip(*sdxl_text_encoders()[0])
    base("sdxl", model=sdxl, clip=sdxl_clip)
    base("sd2", model=host_model("sd2"))
    v_prediction = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    base("sdxl_v_prediction", model=host_model("sdxl", tensors=v_prediction), clip=sdxl_clip)

    ssd1b = {"transformer_depth": [0, 0, 2, 2, 4, 4], "transformer_depth_middle": -1}
    ssd1b |= {"transformer_depth_output": [0, 0, 0, 1, 1, 2, 10, 4, 4]}
    vega = {"transformer_depth": [0, 0, 1, 1, 2, 2], "transformer_depth_middle": -1}
    vega |= {"transformer_depth_output": [0, 0, 0, 1, 1, 1, 2, 2, 2]}
    others = {
        "inpainting": host_model("sd1", in_channels=9),
        "inpainting_xl": host_model("sdxl", in_channels=9),
        "pix2pix": host_model("sd1", kind="SD15_instructpix2pix", in_channels=8),
        "pix2pix_xl": host_model("sdxl", kind="SDXL_instructpix2pix", in_channels=8),
        "refiner": host_model("sdxl", kind="SDXLRefiner"),
        "unclip": host_model(
            "sd2", kind="SD21UnclipL", adm_in_channels=1536, num_classes="sequential"
        ),
        "ssd1b": host_model("sdxl", kind="SSD1B", **ssd1b),
        # Evenly thinner, but for the middle, which it lacks.
        "vega": host_model("sdxl", kind="Segmind_Vega", **vega),
        "playground": host_model(
            "sdxl", tensors={"edm_mean": torch.zeros(1), "edm_std": torch.ones(1)}
        ),
        "cosxl": host_model("sdxl", tensors={"edm_vpred.sigma_max": torch.tensor(120.0)}),
        "video": host_model("sd1"),
        "dit": SimpleNamespace(
            model=SimpleNamespace(model_config=comfy.supported_models.Flux({"image_model": "flux"}))
        ),
    }
    others["video"].model.model_config.unet_config["use_temporal_attention"] = True
    for case, other in others.items():
        base(case, model=other, clip=sdxl_clip)

    base("other_clip", clip=host_clip(text_encoder()[0]), model=host_model("sd1", context_dim=40))
    base("clip_of_sd1_on_sdxl", model=sdxl)
    base("clip_of_sdxl_on_sd1", clip=sdxl_clip)
    fewer = host_model("sdxl", adm_in_channels=24 + 6 * 256)
    base("other_pooled", model=fewer, clip=sdxl_clip)
    # A text encoder of the right width that makes none.
    unpooled = host_model("sdxl", context_dim=48)
    bare = host_clip(weights)
    encode = bare.cond_stage_model.encode_token_weights
    bare.cond_stage_model.encode_token_weights = lambda tokens: (encode(tokens)[0], None)
    base("no_pooled", model=unpooled, clip=bare)

    weight = {"fp8": lambda one: one.to(torch.float8_e4m3fn)}
    weight |= {"gguf": lambda one: one.as_subclass(GgufLike), "lent": lambda one: one.to("meta")}
    for case, changed_weight in weight.items():
        quantised = host_model("sd1", seed=8)
        first = quantised.model.diffusion_model.input_blocks[1][1].proj_in
        first.weight = nn.Parameter(changed_weight(first.weight.data), requires_grad=False)
        base(case, model=quantised)
    packed = host_clip(weights)
    table = packed.cond_stage_model.clip_l.transformer.text_model.embeddings.position_embedding
    table.weight = nn.Parameter(table.weight.data.as_subclass(GgufLike), requires_grad=False)
    base("clip_gguf", clip=packed)
    more = host_model("sd1", seed=8)
    more.model.diffusion_model.heatmap_head = nn.Linear(2, 2)
    base("more_weights", model=more)

    for case, schedule, prediction in (
        ("flow", "ModelSamplingDiscreteFlow", "CONST"),
        ("edm", "ModelSamplingContinuousEDM", "EDM"),
        ("x0", "ModelSamplingDiscrete", "X0"),
        ("cascade", "StableCascadeSampling", "EPS"),
        ("v_prediction", "ModelSamplingDiscrete", "V_PREDICTION"),
    ):
        kinds = tuple(getattr(comfy.model_sampling, name) for name in (schedule, prediction))
        sampling = type("ModelSamplingAdvanced", kinds, {})()
        changed(case, lambda clone, one=sampling: clone.add_object_patch("model_sampling", one))
    import nodes  # the host's own, which the next two lines need

    assert nodes.NODE_CLASS_MAPPINGS
    from comfy_extras import nodes_freelunch, nodes_hypertile, nodes_model_advanced, nodes_tomesd

    patch = nodes_model_advanced.ModelSamplingDiscrete().patch
    base("lcm", model=patch(model, "lcm", zsnr=False)[0])
    zsnr = patch(model, "v_prediction", zsnr=True)[0]
    base("zsnr", model=zsnr)
    schedule, own = (bridge_families.noise_schedule(one) for one in (zsnr, model))
    assert schedule.prediction_type == "v_prediction"
    assert schedule.alphas_cumprod[-1] < 1e-6 < own.alphas_cumprod[-1]
    rescaled = nodes_model_advanced.RescaleCFG().patch(model, 0.7)[0]
    base("rescaled_cfg", model=rescaled)

    def node(module: Any, name: str, *values: Any) -> Any:
        node_class = getattr(module, name)
        if hasattr(node_class, "execute"):
            return node_class.execute(model, *values)[0]
        return getattr(node_class(), node_class.FUNCTION)(model, *values)[0]

    base("freeu", model=node(nodes_freelunch, "FreeU", 1.1, 1.2, 0.9, 0.2))
    base("hypertile", model=node(nodes_hypertile, "HyperTile", 256, 2, 0, False))
    base("tome", model=node(nodes_tomesd, "TomePatchModel", 0.3))
    changed("wrapper", lambda clone: clone.set_model_unet_function_wrapper(lambda f, a: f(**a)))
    kinds = comfy.patcher_extension.WrappersMP
    for case, kind, key in (
        ("diffusion_model", kinds.DIFFUSION_MODEL, "cache"),
        ("outer_sample", kinds.OUTER_SAMPLE, "cache"),
        ("torch_compile", kinds.APPLY_MODEL, "torch.compile"),
    ):
        changed(
            case,
            lambda clone, kind=kind, key=key: clone.add_wrapper_with_key(
                kind, key, lambda executor, *rest, **named: executor(*rest, **named)
            ),
        )
    changed(
        "replaced_module",
        lambda clone: clone.add_object_patch("diffusion_model.middle_block", nn.Identity()),
    )
    changed("trainers_lora", lambda clone: clone.add_weight_wrapper("x.weight", lambda w: w))
    injection = comfy.patcher_extension.PatcherInjection(lambda _: None, lambda _: None)
    changed("injection", lambda clone: clone.set_injections("bypass_lora", [injection]))
    text = clip.clone()
    text.patcher.set_injections("bypass_lora", [injection])
    base("clip_injection", clip=text)
    hooked = clip.clone()
    hooked.patcher.forced_hooks = comfy.hooks.create_hook_lora({}, 1.0, 1.0)
    base("clip_hook", clip=hooked)
    if hasattr(comfy.sd, "load_bypass_lora_for_models"):
        # Both ends of the LoRA that `conversions` wrote; the node of the host calls this.
        tensors = comfy.utils.load_torch_file(str(folder / "sd1.safetensors"))
        bypassed, _ = comfy.sd.load_bypass_lora_for_models(model, None, tensors, 1.0, 0.0)
        assert not bypassed.patches
        base("bypass", model=bypassed)

    autoencoder = comfy.ldm.models.autoencoder
    flux = {"double_z": True, "z_channels": 16, "resolution": 256, "in_channels": 3, "out_ch": 3}
    flux |= {"ch": 32, "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": []}
    parts = {"params": {**flux, "dropout": 0.0}}
    place = "comfy.ldm.modules.diffusionmodules.model"
    other_vaes = {
        "vae_of_16_channels": autoencoder.AutoencodingEngine(
            regularizer_config={
                "target": "comfy.ldm.models.autoencoder.DiagonalGaussianRegularizer"
            },
            encoder_config={"target": f"{place}.Encoder", **parts},
            decoder_config={"target": f"{place}.Decoder", **parts},
        ),
        "vae_of_wan": comfy.ldm.wan.vae.WanVAE(dim=16, z_dim=16),
        "taesd": comfy.taesd.taesd.TAESD(),
    }
    for case, network in other_vaes.items():
        base(case, vae=SimpleNamespace(first_stage_model=network))
    base("vae_of_8_channels", vae=host_vae(z_channels=8))

    def control(case: str, control_net: Any, model: Any = model) -> None:
        ask(case, lambda: controlnet_from_host(control_net, model, dtype=torch.float32))

    control("control", host_controlnet(model))
    control("control_lora", comfy.controlnet.ControlLora({}))
    adapter = comfy.t2i_adapter.adapter.Adapter_light(cin=192, channels=[32, 32, 32, 32], nums_rb=1)
    control("t2i", comfy.controlnet.T2IAdapter(adapter, 3, 8, "nearest-exact"))
    control(
        "control_of_sdxl",
        host_controlnet(host_model("sdxl", context_dim=2048)),
        host_model("sd1", context_dim=768),
    )
    wider = host_controlnet(host_model("sd1", model_channels=64))
    control("control_of_other_width", wider)
    control("control_sdxl", host_controlnet(sdxl), sdxl)
    union = host_controlnet(sdxl, union_controlnet_num_control_type=6)
    control("control_union", union, sdxl)
    less = {"transformer_depth": [0, 0, 0, 0, 1, 1], "transformer_depth_middle": 1}
    control("control_mid", host_controlnet(sdxl, **less), sdxl)
    return found


def sdxl_facts() -> dict[str, Any]:
    """What the engine's SDXL is, at two precisions, beside its weights."""
    model, vae = host_model("sdxl"), host_vae()
    clip = host_sdxl_clip(*sdxl_text_encoders()[0])
    facts = {}
    for dtype in (torch.float16, torch.bfloat16):
        base = bridge.base_from_host(model, clip, vae, name="x", dtype=dtype)
        name = str(dtype).removeprefix("torch.")
        facts[f"unet {name}"] = str(base.unet.dtype).removeprefix("torch.")
        facts[f"vae {name}"] = str(base.vae.dtype).removeprefix("torch.")
    facts |= {"family": base.family, "scaling_factor": base.scaling_factor}
    facts |= {"reads_sizes": base.reads_sizes}
    zero = host_model("sdxl", tensors={"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)})
    schedule = bridge_families.noise_schedule(zero)
    facts["prediction_type"] = schedule.prediction_type
    plain = bridge_families.noise_schedule(model).alphas_cumprod
    return facts | {
        "zsnr": schedule.alphas_cumprod.tolist(),
        "alphas_cumprod": plain.tolist(),
        "sd2": bridge.unet_from_host(host_model("sd2"), torch.float32).config.upcast_attention,
        "sd1": bridge.unet_from_host(host_model("sd1"), torch.float32).config.upcast_attention,
    }


def main(folder: str) -> None:
    """Answer as a node does: outside of inference mode, with objects made inside of it."""
    logging.basicConfig(level=logging.WARNING)
    place = Path(folder)
    with torch.inference_mode():
        made = host_model("sd1")
    with torch.inference_mode(False):
        drawn = torch.get_rng_state()
        unet = bridge.unet_from_host(made, torch.float32)
        assert torch.equal(torch.get_rng_state(), drawn)
        assert not any(parameter.is_inference() for parameter in unet.parameters())
    answers: Pairs = {}
    with torch.inference_mode(False), torch.no_grad():
        answers |= text_answers() | sdxl_text_answers()
        # Without the flag the host keeps text encoders in fp16; nothing else differs then.
        if comfy.cli_args.args.fp32_text_enc:
            for family in LAYOUTS:
                answers |= conversions(family, place)
            answers |= vae_answers() | drawings() | drawing_from_pure_noise()
            (place / "refusals.json").write_text(json.dumps(refusals(place)))
            (place / "facts.json").write_text(json.dumps(sdxl_facts()))
    save_file(
        {name: value.clone().contiguous() for name, value in answers.items()},
        place / "answers.safetensors",
    )
