"""Other programs' loaders, by their rules for keys and strength: nothing of ours is left unmatched.

A1111 and Forge are not installed for tests, so their rules stand here as data, each with source.
What they look for, the weights of the original UNets, is laid out here from those UNets' own
numbers, without the engine's tables of names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline
from diffusers.loaders.lora_conversion_utils import _maybe_map_sgm_blocks_to_diffusers
from diffusers.loaders.lora_pipeline import StableDiffusionXLLoraLoaderMixin
from peft import LoraConfig
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from scoft_training.lora_files import lora_state_dict, read_lora, write_lora
from scoft_training.lora_layers import Lora, LoraLayer, applied_lora, lora_from_adapter
from scoft_training.unet_layouts import LAYOUTS, layout_unet

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
RANK, ALPHA = 2, 3  # strength 1.5


@dataclass(frozen=True)
class Original:
    """An original UNet: channels and attention blocks by level, in the middle, and both sides."""

    channels: tuple[int, ...]
    depths: tuple[int, ...]
    middle: int
    context: int
    residual_blocks: int = 2


# Stable Diffusion's published configs: v1-inference.yaml, v2-inference.yaml, sd_xl_base.yaml.
ORIGINALS = {
    "sd1": Original((320, 640, 1280, 1280), (1, 1, 1, 0), 1, 768),
    "sd2": Original((320, 640, 1280, 1280), (1, 1, 1, 0), 1, 1024),
    "sdxl": Original((320, 640, 1280), (0, 2, 10), 10, 2048),
}


def original_weights(unet: Original) -> dict[str, tuple[int, int]]:
    """Return the attention projections of LDM's UNet, (outputs, inputs) by name.

    The input side starts with one convolution and has a downsampler after each level but the last;
    the output side has one block more for each level, and the upsampler inside its last block.
    """
    places = [("middle_block.1", unet.channels[-1], unet.middle)]
    number = 1
    for channels, depth in zip(unet.channels, unet.depths, strict=True):
        for block in range(unet.residual_blocks):
            places.append((f"input_blocks.{number + block}.1", channels, depth))
        number += unet.residual_blocks + 1
    number = 0
    for channels, depth in zip(reversed(unet.channels), reversed(unet.depths), strict=True):
        for block in range(unet.residual_blocks + 1):
            places.append((f"output_blocks.{number + block}.1", channels, depth))
        number += unet.residual_blocks + 1
    return {
        f"diffusion_model.{place}.transformer_blocks.{index}.{attention}.{projection}": (
            channels,
            unet.context if attention == "attn2" and projection in ("to_k", "to_v") else channels,
        )
        for place, channels, depth in places
        for index in range(depth)
        for attention in ("attn1", "attn2")
        for projection in PROJECTIONS
    }


def our_tensors(family: str) -> dict[str, torch.Tensor]:
    """Return the file's tensors of a LoRA as we train it: on every attention projection."""
    unet = layout_unet(family)
    layers = {}
    for name, module in unet.named_modules():
        if isinstance(module, torch.nn.Linear) and re.search(r"\.attn[12]\.to_", name):
            outputs, inputs = module.weight.shape
            layers[name] = LoraLayer(torch.ones(RANK, inputs), torch.ones(outputs, RANK), ALPHA)
    return lora_state_dict(Lora(layers, {}))


@dataclass(frozen=True)
class BlockRule:
    """One row of a loader's table: diffusers' block -> LDM's, its number counted so.

    number = first + for_block * block + for_layer * layer, where LDM has a number; `layers` of
    them are in a block, which a loader needs to know that goes from its model to the file.
    """

    diffusers: str
    ldm: str
    first: int
    for_block: int
    for_layer: int
    layers: int


# AUTOMATIC1111/stable-diffusion-webui, extensions-builtin/Lora/networks.py at 873edba44bed
# (`convert_diffusers_name_to_compvis` and `load_network`): the rows for attention. A key is cut at
# its first dot. A name that no row fits is looked up with `lora_unet` replaced by
# `diffusion_model`, which is how LDM's own names are found. Modules are named with _ for dots.
A1111_BLOCKS = (
    BlockRule(
        "lora_unet_down_blocks_{block}_attentions_{layer}_", "input_blocks_{n}_1_", 1, 3, 1, 2
    ),
    BlockRule("lora_unet_mid_block_attentions_{layer}_", "middle_block_1_", 0, 0, 0, 1),
    BlockRule(
        "lora_unet_up_blocks_{block}_attentions_{layer}_", "output_blocks_{n}_1_", 0, 3, 1, 3
    ),
)
# The same file: what follows the dot decides the kind of layer (network_lora.py), and
# network.py at f2844bd024ff (`calc_scale`): alpha / rows of lora_down; 1 without alpha.
A1111_PARTS = {"lora_up.weight", "lora_down.weight", "alpha"}

# lllyasviel/stable-diffusion-webui-forge, packages_3rdparty/comfyui_lora_collection/lora.py and
# utils.py at 00f1cd36bd25 (`model_lora_keys_unet`, `unet_to_diffusers`, `load_lora`). Forge goes
# the other way: from each weight of its model to the names under which a file may have it.
FORGE_BLOCKS = (
    BlockRule("down_blocks_{block}_attentions_{layer}_", "input_blocks_{n}_1_", 1, 3, 1, 2),
    BlockRule("mid_block_attentions_0_", "middle_block_1_", 0, 0, 0, 1),
    BlockRule("up_blocks_{block}_attentions_{layer}_", "output_blocks_{n}_1_", 0, 3, 1, 3),
)
FORGE_PREFIX = "lora_unet_"
# For each name these endings are read. backend/patcher/lora.py at cea9f37fa5fd
# (`merge_lora_to_weight`): alpha / rows of lora_down; 1 without alpha.
FORGE_PARTS = {"lora_up.weight", "lora_down.weight", "alpha"}


def numbers(rule: BlockRule, name: str) -> tuple[str, str] | None:
    """Return LDM's block by a rule of A1111's, and the rest of the name."""
    pattern = rule.diffusers.replace("{block}", r"(?P<block>\d+)")
    match = re.match(pattern.replace("{layer}", r"(?P<layer>\d+)"), name)
    if match is None:
        return None
    at = {key: int(value) for key, value in match.groupdict().items()}
    number = rule.first + rule.for_block * at.get("block", 0) + rule.for_layer * at["layer"]
    return rule.ldm.replace("{n}", str(number)), name[match.end() :]


def a1111_module(name: str) -> str:
    for rule in A1111_BLOCKS:
        if found := numbers(rule, name):
            return "diffusion_model_" + "".join(found)
    return name.replace("lora_unet", "diffusion_model")


def forge_names(weight: str, unet: Original) -> list[str]:
    name = weight.removeprefix("diffusion_model.").replace(".", "_")
    names = [FORGE_PREFIX + name]
    for rule in FORGE_BLOCKS:
        for block in range(len(unet.channels)):
            for layer in range(rule.layers):
                number = rule.first + rule.for_block * block + rule.for_layer * layer
                start = rule.ldm.replace("{n}", str(number))
                spelled = rule.diffusers.format(block=block, layer=layer)
                if name.startswith(start):
                    names.append(FORGE_PREFIX + spelled + name[len(start) :])
    return list(dict.fromkeys(names))


def assert_strength(parts: dict[str, torch.Tensor], shape: tuple[int, int]) -> None:
    down, up = parts["lora_down.weight"], parts["lora_up.weight"]
    assert (up.shape[0], down.shape[1]) == shape
    assert parts["alpha"].item() / down.shape[0] == ALPHA / RANK


@pytest.mark.parametrize(("family", "count"), [("sd1", 128), ("sd2", 128), ("sdxl", 560)])
def test_the_original_networks_have_as_many_projections(family, count):
    weights = original_weights(ORIGINALS[family])
    assert len(weights) == count
    assert len(our_tensors(family)) == 3 * count


@pytest.mark.parametrize("family", ORIGINALS)
def test_a1111_finds_a_module_for_every_key(family):
    weights = original_weights(ORIGINALS[family])
    modules = {name.replace(".", "_"): shape for name, shape in weights.items()}
    assert len(modules) == len(weights)
    found: dict[str, dict[str, torch.Tensor]] = {}

    for key, tensor in our_tensors(family).items():
        name, _, part = key.partition(".")
        module = a1111_module(name)
        assert module in modules, f"unmatched: {key}"
        assert part not in found.setdefault(module, {}), f"twice: {key}"
        found[module][part] = tensor

    assert found.keys() == modules.keys()
    for module, parts in found.items():
        assert parts.keys() == A1111_PARTS
        assert_strength(parts, modules[module])


@pytest.mark.parametrize("family", ORIGINALS)
def test_forge_leaves_no_key_over(family):
    unet = ORIGINALS[family]
    tensors = our_tensors(family)
    over = set(tensors)

    for weight, shape in original_weights(unet).items():
        named = [name for name in forge_names(weight, unet) if f"{name}.lora_up.weight" in tensors]
        assert len(named) == 1, weight
        parts = {part: tensors[f"{named[0]}.{part}"] for part in FORGE_PARTS}
        assert_strength(parts, shape)
        over -= {f"{named[0]}.{part}" for part in FORGE_PARTS}

    assert not over


def test_the_rules_can_fail():
    modules = {name.replace(".", "_") for name in original_weights(ORIGINALS["sdxl"])}
    names = {key.partition(".")[0] for key in our_tensors("sd1")}

    matched = {name for name in names if a1111_module(name) in modules}

    assert 0 < len(matched) < len(names)  # a LoRA of 1.x on SDXL
    assert a1111_module("lora_unet_input_blocks_4_1_x") == "diffusion_model_input_blocks_4_1_x"


@pytest.mark.parametrize("family", ORIGINALS)
def test_diffusers_converts_every_key_of_the_true_names(family, tmp_path):
    unet = layout_unet(family)
    wanted = {
        f"unet.{name}"
        for name, module in unet.named_modules()
        if isinstance(module, torch.nn.Linear) and re.search(r"\.attn[12]\.to_", name)
    }
    tensors = our_tensors(family)
    mapped = _maybe_map_sgm_blocks_to_diffusers(dict(tensors), unet.config)
    assert mapped.keys() == tensors.keys()  # the rule for LDM's names does not touch ours

    state, alphas = StableDiffusionXLLoraLoaderMixin.lora_state_dict(
        dict(tensors), unet_config=unet.config
    )

    places = {
        re.sub(r"\.processor\.(to_\w+?)_lora\..*", r".\1", key).replace("to_out", "to_out.0")
        for key in state
    }
    assert places == wanted
    assert len(state) == 2 * len(wanted)
    assert len(alphas) == len(wanted)
    assert set(alphas.values()) == {ALPHA}


def small_xl():
    """Return a pipeline built as SDXL is, with few channels."""
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=11,
        hidden_size=16,
        intermediate_size=20,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=7,
        projection_dim=16,
        bos_token_id=0,
        eos_token_id=10,
    )
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        **LAYOUTS["sdxl"]
        | {
            "block_out_channels": (32, 64, 96),
            "attention_head_dim": (1, 2, 3),
            "transformer_layers_per_block": (1, 2, 3),
            "cross_attention_dim": 24,
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 64,
            "sample_size": 8,
        }
    )
    return StableDiffusionXLPipeline(
        vae=AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4),
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=None,
        tokenizer_2=None,
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler(),
    )


def predicted(unet) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    latents = torch.randn(2, 4, 8, 16, generator=generator)
    prompt_embeds = torch.randn(2, 5, 24, generator=generator)
    added = {
        "text_embeds": torch.randn(2, 16, generator=generator),
        "time_ids": torch.tensor([[64.0, 128, 0, 8, 64, 128]] * 2),
    }
    with torch.no_grad():
        return unet(latents, torch.tensor([3, 801]), prompt_embeds, added_cond_kwargs=added).sample


@pytest.mark.parametrize("style", ["kohya", "diffusers"])
def test_diffusers_loads_an_sdxl_lora_at_our_strength(style, tmp_path, caplog):
    from scoft_training.lora_conversion import convert_lora

    trained = small_xl().unet
    trained.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(PROJECTIONS)))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in trained.named_parameters():
        if ".lora_" in name:
            parameter.data = 0.15 * torch.randn(parameter.shape, generator=generator)
    path = tmp_path / "lora.safetensors"
    write_lora(path, lora_from_adapter(trained))
    keys = len(load_file(path))
    if style == "diffusers":
        convert_lora(path, tmp_path / "theirs.safetensors", style, unet=small_xl().unet)
        path = tmp_path / "theirs.safetensors"
    pipe = small_xl()
    before = predicted(pipe.unet)

    with caplog.at_level("WARNING", logger="diffusers"):
        pipe.load_lora_weights(str(path))

    loaded = [name for name, _ in pipe.unet.named_parameters() if ".lora_" in name]
    assert 3 * len(loaded) == 2 * keys
    assert "unexpected keys" not in caplog.text
    wanted = predicted(trained)
    assert (wanted - before).abs().max() > 0.05, "the LoRA does nothing, so nothing is shown"
    torch.testing.assert_close(predicted(pipe.unet), wanted, rtol=1e-4, atol=1e-5)
    ours = small_xl().unet
    if style == "kohya":
        with applied_lora(ours, read_lora(path, ours)):
            # Merged weights round elsewhere than a LoRA beside them.
            torch.testing.assert_close(predicted(ours), wanted, rtol=1e-4, atol=1e-4)
