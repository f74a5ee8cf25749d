"""Promises of `scoft lora convert`: one LoRA in every style, and the same file on the way back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_unet import (
    A_LAYER,
    ATTENTION,
    WITH_CONVOLUTIONS,
    noise_pred,
    tiny_unet,
    trained_unet,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from scoft_training import lora_commands, lora_contents, lora_conversion, lora_names, lora_origins
from scoft_training.cli import main
from scoft_training.errors import ConfigError, ModelFileError, OutputError
from scoft_training.lora_contents import read_lora_file
from scoft_training.lora_conversion import convert_lora
from scoft_training.lora_files import read_lora, write_lora
from scoft_training.lora_layers import Lora, applied_lora, lora_from_adapter, weights_by_path
from scoft_training.unet_layouts import LAYOUTS, layout_unet

STYLES = ["kohya", "peft", "diffusers"]
HEADER = {
    "ss_network_dim": "4",
    "modelspec.title": "hanbok",
    "scoft.credits": '["Ana", "한국"]',
}
MIXED = {
    # ranks and alphas that differ by layer, one alpha of which is no round number
    "rank_pattern": {"attn2.to_k": 5, "conv1": 3},
    "alpha_pattern": {"attn2.to_k": 10, "mid_block.attentions.0.proj_in": 0.1},
}
TEXT_LAYERS = [
    f"encoder.layers.{layer}.{name}"
    for layer in range(2)
    for name in ("self_attn.q_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")
]


def text_config() -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=11,
        hidden_size=24,
        intermediate_size=28,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=7,
        projection_dim=24,
        bos_token_id=0,
        eos_token_id=10,
    )


def text_encoder(number: int = 1) -> CLIPTextModel:
    torch.manual_seed(number)
    kind = CLIPTextModel if number == 1 else CLIPTextModelWithProjection
    return kind(text_config()).eval()


def encoded(encoder) -> torch.Tensor:
    with torch.no_grad():
        return encoder(torch.tensor([[0, 3, 4, 5, 10]])).last_hidden_state


def pipeline(unet, encoder=None) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4),
        text_encoder=encoder or text_encoder(),
        tokenizer=None,
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def text_tensors(prefix: str, seed: int, *, rank: int = 3, alpha: float | None = 2.0) -> dict:
    """Return a text encoder's layers under kohya's keys."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name in TEXT_LAYERS:
        key = f"{prefix}text_model_{name.replace('.', '_')}"
        inputs, outputs = (28 if "fc2" in name else 24), (28 if "fc1" in name else 24)
        tensors[f"{key}.lora_down.weight"] = torch.randn(rank, inputs, generator=generator)
        tensors[f"{key}.lora_up.weight"] = torch.randn(outputs, rank, generator=generator)
        if alpha is not None:
            tensors[f"{key}.alpha"] = torch.tensor(alpha)
    return tensors


def contents(path: Path) -> dict:
    """Return everything that a file or folder says: formats, shapes, bytes, headers, configs."""
    files = sorted(path.rglob("*.*")) if path.is_dir() else [path]
    found = {}
    for file in files:
        name = str(file.relative_to(path))
        if file.suffix == ".json":
            found[name] = file.read_text(encoding="utf-8")
            continue
        with safe_open(file, framework="pt") as opened:
            tensors = {
                key: (tensor.dtype, tensor.shape, tensor.reshape(-1).view(torch.uint8).tolist())
                for key in opened.keys()
                for tensor in [opened.get_tensor(key)]
            }
            found[name] = tensors, opened.metadata()
    return found


def ours(folder: Path) -> Path:
    path = folder / "ours.safetensors"
    write_lora(path, Lora(lora_from_adapter(trained_unet()).layers, HEADER))
    return path


def ours_of_mixed_layers(folder: Path) -> Path:
    path = folder / "mixed.safetensors"
    layers = lora_from_adapter(trained_unet(1, WITH_CONVOLUTIONS, **MIXED)).layers
    assert {layer.rank for layer in layers.values()} == {3, 4, 5}
    assert {layer.alpha for layer in layers.values()} == {6, 10, 0.1}
    write_lora(path, Lora(layers, HEADER))
    return path


def somebody_s_kohya(folder: Path) -> Path:
    """As kohya's scripts save in half precision, with what stranger programs do to it."""
    tensors = load_file(ours_of_mixed_layers(folder))
    halves = {
        key: tensor.to(torch.bfloat16 if "to_v" in key else torch.float16)
        for key, tensor in (tensors | text_tensors("lora_te_", 5)).items()
    }
    layer = "lora_unet_mid_block_attentions_0_proj_in"
    assert halves[f"{layer}.lora_down.weight"].ndim == 4
    for part in ("lora_down", "lora_up"):  # a 1x1 convolution spelled as a linear layer
        halves[f"{layer}.{part}.weight"] = halves[f"{layer}.{part}.weight"].flatten(1)
    halves[f"{layer}.alpha"] = torch.tensor([6])  # a whole number in a list
    del halves["lora_unet_mid_block_resnets_0_conv1.alpha"]
    path = folder / "theirs.safetensors"
    save_file(halves, path, metadata=HEADER | {"format": "pt"})
    return path


def kohya_of_ldm_blocks(folder: Path) -> Path:
    tensors = {}
    ldm = lora_names.ldm_names(weights_by_path(tiny_unet()))
    for name, layer in lora_from_adapter(trained_unet(1, WITH_CONVOLUTIONS)).layers.items():
        key = f"lora_unet_{ldm[name].replace('.', '_')}"
        tensors[f"{key}.lora_down.weight"] = layer.down.half()
        tensors[f"{key}.lora_up.weight"] = layer.up.half()
        tensors[f"{key}.alpha"] = torch.tensor(layer.alpha, dtype=torch.float16)
    assert "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q.alpha" in tensors
    tensors |= text_tensors("lora_te1_", 5) | text_tensors("lora_te2_", 6, rank=2)
    path = folder / "ldm.safetensors"
    save_file(tensors, path)
    return path


def folder_of_peft(folder: Path) -> Path:
    config = LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=ATTENTION,
        rank_pattern={"attn2.to_k": 5, "to_v": 3},
        alpha_pattern={"attn2.to_k": 10, "attn1.to_q": 0.1},
        use_rslora=True,
        lora_dropout=0.25,
    )
    wrapped = get_peft_model(tiny_unet(), config)
    for name, parameter in wrapped.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
            parameter.data = parameter.data.bfloat16()
    wrapped.save_pretrained(folder / "peft")
    encoder = get_peft_model(text_encoder(), LoraConfig(r=2, target_modules=["q_proj", "fc1"]))
    for _, parameter in encoder.named_parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    encoder.save_pretrained(folder / "peft" / "text_encoder")
    text_file = folder / "peft" / "text_encoder" / "adapter_model.safetensors"
    save_file(load_file(text_file), text_file, metadata={"format": "pt", "note": "mine"})
    for readme in (folder / "peft").rglob("README.md"):
        readme.unlink()
    return folder / "peft"


def file_of_diffusers(folder: Path) -> Path:
    unet = trained_unet(1, WITH_CONVOLUTIONS, **MIXED)
    config = LoraConfig(r=2, lora_alpha=5, target_modules=["q_proj", "fc1"])
    encoder = get_peft_model(text_encoder(), config)
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=get_peft_model_state_dict(unet),
        text_encoder_lora_layers={
            key.removeprefix("base_model.model."): value
            for key, value in get_peft_model_state_dict(encoder).items()
        },
        unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
        text_encoder_lora_adapter_metadata=encoder.peft_config["default"].to_dict(),
    )
    return folder / "pytorch_lora_weights.safetensors"


def file_of_diffusers_without_record(folder: Path) -> Path:
    StableDiffusionPipeline.save_lora_weights(
        folder, unet_lora_layers=get_peft_model_state_dict(trained_unet())
    )
    return folder / "pytorch_lora_weights.safetensors"


MAKERS = {
    ours: "kohya",
    ours_of_mixed_layers: "kohya",
    somebody_s_kohya: "kohya",
    kohya_of_ldm_blocks: "kohya",
    folder_of_peft: "peft",
    file_of_diffusers: "diffusers",
    file_of_diffusers_without_record: "diffusers",
}


def place(folder: Path, name: str, style: str) -> Path:
    return folder / (name if style == "peft" else f"{name}.safetensors")


@pytest.mark.parametrize("make", MAKERS)
def test_there_and_back_is_the_identity(make, tmp_path):
    unet, style = tiny_unet(), MAKERS[make]
    source = make(tmp_path)
    before = contents(source)
    others = [other for other in STYLES if other != style]

    for ways in (others[:1], others[1:], others, others[::-1]):
        path = source
        for step, way in enumerate([*ways, style]):
            target = place(tmp_path, f"{'-'.join(ways)}-{step}", way)
            convert_lora(path, target, way, unet=unet)
            path = target
        after = contents(path)
        assert (
            after.keys() == {"." if name == source.name else name for name in before}
            or after.keys() == before.keys()
        )
        for old, new in zip(before.values(), after.values(), strict=True):
            assert old == new, ways
    assert contents(source) == before


@pytest.mark.parametrize("make", MAKERS)
def test_every_style_has_the_same_bytes_scales_and_header(make, tmp_path):
    unet, style = tiny_unet(), MAKERS[make]
    source = make(tmp_path)
    found = read_lora_file(source, unet=unet)
    assert found.spelling is not None

    for other in STYLES:
        if other == style:
            continue
        target = place(tmp_path, other, other)
        convert_lora(source, target, other, unet=unet)
        again = read_lora_file(target, unet=unet)
        assert lora_names.SPELLINGS[again.spelling].style == other
        assert again.layers.keys() == found.layers.keys()
        for component, layers in found.layers.items():
            assert again.layers[component].keys() == layers.keys()
            for name, layer in layers.items():
                new = again.layers[component][name]
                for part in ("down", "up"):
                    old_tensor, new_tensor = getattr(layer, part), getattr(new, part)
                    assert old_tensor.dtype == new_tensor.dtype
                    assert torch.equal(old_tensor, new_tensor)
                assert new.alpha == layer.alpha
        assert again.metadata == found.metadata
        if make is not folder_of_peft:
            header = contents(source)["."][1] or {}
            kept = {key: text for key, text in header.items() if key != "lora_adapter_metadata"}
            assert again.metadata == kept


@pytest.fixture
def mixed(tmp_path) -> Path:
    return ours_of_mixed_layers(tmp_path)


@pytest.fixture
def wanted(mixed) -> torch.Tensor:
    unet = tiny_unet()
    before = noise_pred(unet)
    with applied_lora(unet, read_lora(mixed, unet)):
        after = noise_pred(unet)
    assert (after - before).abs().max() > 0.01, "the LoRA does nothing, so nothing is shown"
    return after


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_peft_loads_the_folder_and_predicts_the_same(mixed, wanted, tmp_path):
    convert_lora(mixed, tmp_path / "peft", "peft", unet=tiny_unet())

    loaded = PeftModel.from_pretrained(tiny_unet(), tmp_path / "peft")
    close(noise_pred(loaded.base_model.model), wanted)

    config = LoraConfig.from_pretrained(tmp_path / "peft")
    unet = tiny_unet()
    unet.add_adapter(config)
    tensors = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    result = set_peft_model_state_dict(
        unet, {key.removeprefix("base_model.model."): value for key, value in tensors.items()}
    )
    assert not result.unexpected_keys
    assert not [key for key in result.missing_keys if "lora_" in key]
    close(noise_pred(unet), wanted)


@pytest.mark.parametrize("way", ["pipeline", "network"])
def test_diffusers_loads_the_file_and_predicts_the_same(mixed, wanted, tmp_path, way):
    convert_lora(mixed, tmp_path / "theirs.safetensors", "diffusers", unet=tiny_unet())
    unet = tiny_unet()

    if way == "pipeline":
        pipeline(unet).load_lora_weights(str(tmp_path / "theirs.safetensors"))
    else:
        unet.load_lora_adapter(tmp_path, weight_name="theirs.safetensors", prefix="unet")

    close(noise_pred(unet), wanted)


def test_what_peft_made_is_as_strong_in_kohya_s_style(tmp_path):
    source = folder_of_peft(tmp_path)
    convert_lora(source, tmp_path / "kohya.safetensors", "kohya", unet=tiny_unet())

    loaded = PeftModel.from_pretrained(tiny_unet(), source)
    unet = tiny_unet()
    with applied_lora(unet, read_lora(tmp_path / "kohya.safetensors", unet)):
        close(noise_pred(unet), noise_pred(loaded.base_model.model))


@pytest.fixture
def with_text(tmp_path) -> Path:
    """kohya's file with layers of both text encoders, of differing rank and alpha."""
    tensors = load_file(ours(tmp_path))
    tensors |= text_tensors("lora_te1_", 5) | text_tensors("lora_te2_", 6, rank=2, alpha=3.0)
    for odd in ("lora_te1_", "lora_te2_"):
        tensors[f"{odd}text_model_encoder_layers_1_mlp_fc1.alpha"] = torch.tensor(0.5)
    save_file(tensors, tmp_path / "text.safetensors")
    return tmp_path / "text.safetensors"


def text_wanted(path: Path, prefix: str, number: int) -> torch.Tensor:
    encoder = text_encoder(number)
    tensors = load_file(path)
    for name, module in encoder.named_modules():
        short = name[name.find("encoder.layers") :]
        key = f"{prefix}text_model_{short.replace('.', '_')}"
        if short in TEXT_LAYERS:
            up, down = (tensors[f"{key}.lora_{part}.weight"] for part in ("up", "down"))
            module.weight.data += tensors[f"{key}.alpha"] / len(down) * up @ down
    return encoded(encoder)


def test_text_encoders_are_as_strong_in_diffusers_and_peft(with_text, tmp_path, monkeypatch):
    # transformers asks for a newer peft than diffusers does; the version is all that is looked at.
    monkeypatch.setattr("transformers.integrations.peft.check_peft_version", lambda **_: None)
    first = text_wanted(with_text, "lora_te1_", 1)
    second = text_wanted(with_text, "lora_te2_", 2)
    assert (first - encoded(text_encoder(1))).abs().max() > 0.01
    convert_lora(with_text, tmp_path / "theirs.safetensors", "diffusers", unet=tiny_unet())
    convert_lora(with_text, tmp_path / "peft", "peft", unet=tiny_unet())

    from diffusers.loaders import StableDiffusionXLLoraLoaderMixin as Loader

    state, alphas, metadata = Loader.lora_state_dict(
        str(tmp_path / "theirs.safetensors"), return_lora_metadata=True
    )
    for number, prefix, expected in ((1, "text_encoder", first), (2, "text_encoder_2", second)):
        encoder = text_encoder(number)
        Loader.load_lora_into_text_encoder(state, alphas, encoder, prefix=prefix, metadata=metadata)
        close(encoded(encoder), expected)
        loaded = PeftModel.from_pretrained(text_encoder(number), tmp_path / "peft" / prefix)
        close(encoded(loaded.base_model.model), expected)


@pytest.mark.parametrize(
    ("family", "encoders", "prefixes"),
    [
        ("sd1", 1, {"lora_te_"}),
        ("sdxl", 1, {"lora_te1_"}),
        ("sdxl", 2, {"lora_te1_", "lora_te2_"}),
    ],
)
def test_sdxl_s_first_text_encoder_is_te1_in_kohya_s_style(family, encoders, prefixes, tmp_path):
    save_file(true_tensors(family, ldm=False), tmp_path / "unet.safetensors")
    convert_lora(tmp_path / "unet.safetensors", tmp_path / "unet-too.safetensors", "diffusers")
    tensors = load_file(tmp_path / "unet-too.safetensors")
    for component in ("text_encoder", "text_encoder_2")[:encoders]:
        for name in TEXT_LAYERS:
            key = f"{component}.text_model.{name}"
            tensors |= {f"{key}.lora_{part}.weight": torch.ones(2, 2) for part in "AB"}
    save_file(tensors, tmp_path / "theirs.safetensors")  # without a header that says more

    convert_lora(tmp_path / "theirs.safetensors", tmp_path / "a.safetensors", "kohya")

    keys = load_file(tmp_path / "a.safetensors")
    assert {key.split("text_model")[0] for key in keys if "text_model" in key} == prefixes


def true_tensors(family: str, *, ldm: bool) -> dict[str, torch.Tensor]:
    """Return a LoRA of rank 1 on all attention of a true UNet, under kohya's keys."""
    weights = weights_by_path(layout_unet(family))
    names = lora_names.ldm_names(weights)
    tensors = {}
    for number, (name, module) in enumerate(weights.items()):
        if name.endswith(tuple(f"attn{block}.{one}" for block in (1, 2) for one in ATTENTION)):
            key = f"lora_unet_{(names[name] if ldm else name).replace('.', '_')}"
            outputs, inputs = module.weight.shape
            tensors[f"{key}.lora_down.weight"] = torch.full((1, inputs), number / 1e3).half()
            tensors[f"{key}.lora_up.weight"] = torch.ones(outputs, 1).half()
            tensors[f"{key}.alpha"] = torch.tensor(0.5).half()
    return tensors


@pytest.mark.parametrize(
    ("family", "count", "ldm"),
    [("sd1", 128, False), ("sd2", 128, False), ("sdxl", 560, False), ("sdxl", 560, True)],
)
def test_the_family_is_found_and_its_dots_come_back(family, count, ldm, tmp_path):
    tensors = true_tensors(family, ldm=ldm)
    save_file(tensors, tmp_path / "kohya.safetensors", metadata=HEADER)
    assert len(tensors) == 3 * count

    found = convert_lora(
        tmp_path / "kohya.safetensors", tmp_path / "theirs.safetensors", "diffusers"
    )
    convert_lora(tmp_path / "theirs.safetensors", tmp_path / "back.safetensors", "kohya")

    assert found.family == family
    weights = weights_by_path(layout_unet(family))
    theirs = load_file(tmp_path / "theirs.safetensors")
    assert len(theirs) == 2 * count
    for key, tensor in theirs.items():
        name, part = key.removeprefix("unet.").rsplit(".lora_", 1)
        shape = weights[name].weight.shape
        assert tensor.shape == ((1, shape[1]) if part == "A.weight" else (shape[0], 1))
    assert contents(tmp_path / "back.safetensors") == contents(tmp_path / "kohya.safetensors")


def test_the_layouts_are_those_of_the_true_networks():
    from ldm_layout import SD1_UNET, SD2_UNET

    for family, config in (("sd1", SD1_UNET), ("sd2", SD2_UNET)):
        mine = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in LAYOUTS[family].items()
        }
        assert mine == config
    # The number of weights and of modules that the published SDXL UNet has.
    unet = layout_unet("sdxl")
    assert len(weights_by_path(unet)) == 794
    assert sum(parameter.numel() for parameter in unet.parameters()) == 2_567_463_684
    assert {parameter.device.type for parameter in unet.parameters()} == {"meta"}


def test_the_header_decides_where_names_and_shapes_fit_two_families(tmp_path):
    own = {key: value for key, value in true_tensors("sd1", ldm=False).items() if "attn1" in key}
    for version, family in (("sd_v1", "sd1"), ("sd_v2_v", "sd2"), (None, "sd1")):
        header = {"ss_base_model_version": version} if version else {}
        save_file(own, tmp_path / "lora.safetensors", metadata=header)
        assert read_lora_file(tmp_path / "lora.safetensors").family == family


def refused(tmp_path, tensors, message, **options):
    save_file(tensors, tmp_path / "odd.safetensors")
    with pytest.raises(ModelFileError, match=message):
        convert_lora(tmp_path / "odd.safetensors", tmp_path / "out", "peft", **options)
    assert not (tmp_path / "out").exists()


def test_a_lora_of_another_layout_needs_its_base(tmp_path):
    tensors = load_file(ours(tmp_path))
    refused(
        tmp_path, tensors, r"its layers \(32, for example 'down_blocks_0.*Say with --base which"
    )
    key = f"lora_unet_{A_LAYER.replace('.', '_').replace('attn1_to_q', 'attn2_to_k')}"
    narrow = {"lora_down": torch.ones(2, 768), "lora_up": torch.ones(32, 2)}  # 1.x has 320 there
    narrow_tensors = {f"{key}.{part}.weight": tensor for part, tensor in narrow.items()}
    refused(tmp_path, narrow_tensors, r"its layers \(1, .*Say with --base which")
    tensors["lora_unet_elsewhere.alpha"] = torch.tensor(1.0)
    refused(tmp_path, tensors, "match no module of this UNet", unet=tiny_unet())


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lora_te_text_model_embeddings.alpha", "no module of a CLIP text encoder is called"),
        ("lora_te2_text_projection.alpha", "so that layer would be lost"),
        ("lora_te3_x.alpha", "belongs to neither a UNet nor one of the two text encoders"),
        ("bundle_emb.hanbok.string_to_param.*", "belongs to neither"),
        ("text_encoder_3.x.lora_A.weight", "belongs to neither"),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1.alpha", "has no `lora_down`"),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1.dora_scale", "holds DoRA tensors"),
        ("lora_unet_mid_block_attentions_0_proj_in.dora_scale", "holds DoRA tensors"),
        ("lora_unet_mid_block_attentions_0_proj_in.hada_w1_a", "holds LoHa tensors"),
    ],
)
@pytest.mark.parametrize("base", ["given", "found"])
def test_what_would_be_lost_is_refused(key, message, base, tmp_path):
    options = {"unet": tiny_unet()} if base == "given" else {}
    tensors = load_file(ours(tmp_path)) if base == "given" else true_tensors("sd1", ldm=False)
    refused(tmp_path, tensors | {key: torch.tensor(1.0)}, message, **options)


def test_text_encoders_alone_a_rank_that_differs_and_no_number_are_refused(tmp_path):
    refused(tmp_path, text_tensors("lora_te_", 1), "no LoRA keys for a UNet")
    tensors = load_file(ours(tmp_path)) | text_tensors("lora_te_", 1)
    up = "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight"
    odd = {up: torch.ones(28, 2)}
    refused(
        tmp_path,
        tensors | odd,
        r"down of shape \(3, 24\) and up of shape \(28, 2\)",
        unet=tiny_unet(),
    )
    alpha = {up.replace("lora_up.weight", "alpha"): torch.tensor(float("nan"))}
    refused(
        tmp_path, tensors | alpha, r"alpha of layer 'text_encoder\..*' is nan", unet=tiny_unet()
    )


def test_nothing_is_overwritten_and_the_ending_must_be_the_style_s(tmp_path):
    source = ours(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there.safetensors").write_text("mine")
    for name, style, message in (
        ("there", "peft", "is there already. Nothing is replaced"),
        ("there.safetensors", "diffusers", "is there already"),
        ("new.safetensors", "peft", r"is a folder, so its name must not end in \.safetensors"),
        ("new.pt", "diffusers", r"one file that must end in \.safetensors"),
    ):
        with pytest.raises(OutputError, match=message):
            convert_lora(source, tmp_path / name, style, unet=tiny_unet())
    assert (tmp_path / "there.safetensors").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {
        "ours.safetensors",
        "there",
        "there.safetensors",
    }


@pytest.mark.parametrize("make", MAKERS)
def test_a_file_in_that_style_already_is_left_alone(make, tmp_path):
    source, target = make(tmp_path), place(tmp_path, "new", MAKERS[make])
    with pytest.raises(ConfigError, match=f"is in the style of {MAKERS[make]} already"):
        convert_lora(source, target, MAKERS[make], unet=tiny_unet())
    assert not target.exists()


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    source = ours(tmp_path)
    monkeypatch.setattr(lora_conversion, "save_file", full_disk)
    for name, style in (("new", "peft"), ("new.safetensors", "diffusers")):
        with pytest.raises(OutputError, match="No space left on device"):
            convert_lora(source, tmp_path / name, style, unet=tiny_unet())
    assert list(tmp_path.iterdir()) == [source]


def test_an_incomplete_folder_is_refused(tmp_path):
    folder = folder_of_peft(tmp_path)
    convert_lora(
        folder / "adapter_model.safetensors", tmp_path / "a.safetensors", "kohya", unet=tiny_unet()
    )  # the file in the folder is the folder
    assert any("lora_te_" in key for key in load_file(tmp_path / "a.safetensors"))
    (folder / "text_encoder" / "adapter_config.json").write_bytes(b"\xff")
    with pytest.raises(ModelFileError, match="cannot be read as UTF-8"):
        read_lora_file(folder, unet=tiny_unet())
    (folder / "text_encoder" / "adapter_config.json").unlink()
    with pytest.raises(ModelFileError, match=r"has no adapter_config\.json, so it is not a folder"):
        read_lora_file(folder, unet=tiny_unet())
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelFileError, match=r"has no adapter_model\.safetensors"):
        read_lora_file(folder, unet=tiny_unet())


def test_the_keys_of_peft_in_a_single_file_become_a_folder(tmp_path):
    folder = folder_of_peft(tmp_path)
    (folder / "adapter_model.safetensors").rename(tmp_path / "bare.safetensors")

    convert_lora(tmp_path / "bare.safetensors", tmp_path / "new", "peft", unet=tiny_unet())

    config = json.loads((tmp_path / "new" / "adapter_config.json").read_text())
    assert config["alpha_pattern"] == config["rank_pattern"] != {}  # nothing says another scale
    assert config["lora_alpha"] == config["r"] == 4


def test_a_record_that_is_wrong_by_now_is_written_anew(tmp_path):
    convert_lora(folder_of_peft(tmp_path), tmp_path / "a.safetensors", "kohya", unet=tiny_unet())
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        header = file.metadata()
    tensors = load_file(tmp_path / "a.safetensors")
    key = f"lora_unet_{A_LAYER.replace('.', '_')}.alpha"
    tensors[key] = torch.tensor(1.5)  # somebody makes one layer weaker
    save_file(tensors, tmp_path / "b.safetensors", metadata=header)

    convert_lora(tmp_path / "b.safetensors", tmp_path / "new", "peft", unet=tiny_unet())

    found = read_lora_file(tmp_path / "new", unet=tiny_unet())
    assert found.layers["unet"][A_LAYER].alpha == 1.5
    config = json.loads((tmp_path / "new" / "adapter_config.json").read_text())
    assert config["alpha_pattern"][f"^{A_LAYER}"] == 1.5
    assert config["use_rslora"] is False
    other = json.loads((tmp_path / "new" / "text_encoder" / "adapter_config.json").read_text())
    assert other["lora_alpha"] == 8  # peft's own default, and the file it wrote


def test_a_rank_that_has_changed_since_is_written_anew(tmp_path):
    source = file_of_diffusers(tmp_path)
    convert_lora(source, tmp_path / "a.safetensors", "kohya", unet=tiny_unet())
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        header = file.metadata()
    tensors = load_file(tmp_path / "a.safetensors")
    key = f"lora_unet_{A_LAYER.replace('.', '_')}"
    tensors[f"{key}.lora_down.weight"] = tensors[f"{key}.lora_down.weight"][:2].contiguous()
    tensors[f"{key}.lora_up.weight"] = tensors[f"{key}.lora_up.weight"][:, :2].contiguous()
    save_file(tensors, tmp_path / "b.safetensors", metadata=header)

    convert_lora(
        tmp_path / "b.safetensors", tmp_path / "c.safetensors", "diffusers", unet=tiny_unet()
    )

    with safe_open(tmp_path / "c.safetensors", framework="pt") as file:
        record = json.loads(file.metadata()["lora_adapter_metadata"])
    assert record["unet.rank_pattern"][f"^{A_LAYER}"] == 2


def test_an_alpha_that_its_old_number_format_cannot_hold_gets_another(tmp_path):
    convert_lora(somebody_s_kohya(tmp_path), tmp_path / "peft", "peft", unet=tiny_unet())
    config_file = tmp_path / "peft" / "adapter_config.json"
    config = json.loads(config_file.read_text())
    config["alpha_pattern"][f"^{A_LAYER}"] = 0.1
    config_file.write_text(json.dumps(config))

    convert_lora(tmp_path / "peft", tmp_path / "back.safetensors", "kohya", unet=tiny_unet())

    tensors = load_file(tmp_path / "back.safetensors")
    alpha = tensors[f"lora_unet_{A_LAYER.replace('.', '_')}.alpha"]
    assert (alpha.dtype, alpha.item()) == (torch.float64, 0.1)
    other = tensors[f"lora_unet_{A_LAYER.replace('.', '_').replace('to_q', 'to_k')}.alpha"]
    assert (other.dtype, other.item()) == (torch.float16, 6)


@pytest.mark.parametrize("start", ["^encoder", "^text_model.encoder", "encoder"])
def test_a_text_encoder_s_pattern_may_begin_where_transformers_begins(start, tmp_path):
    folder = folder_of_peft(tmp_path) / "text_encoder"
    config = json.loads((folder / "adapter_config.json").read_text())
    config["alpha_pattern"] = {f"{start}.layers.1.mlp.fc1": 0.5}
    (folder / "adapter_config.json").write_text(json.dumps(config))

    layers = read_lora_file(folder.parent, unet=tiny_unet()).layers["text_encoder"]

    assert {name for name, layer in layers.items() if layer.alpha == 0.5} == {
        "encoder.layers.1.mlp.fc1"
    }


@pytest.mark.parametrize(
    "entry",
    [
        "{",
        "[]",
        '{"spelling": "kohya"}',
        json.dumps(
            {
                "spelling": "no",
                "alpha": None,
                "alphas": {},
                "shapes": {},
                "record": None,
                "configs": {},
                "headers": {},
            }
        ),
        json.dumps(
            {
                "spelling": "peft",
                "alpha": None,
                "alphas": {},
                "shapes": {},
                "record": None,
                "configs": {"unet": 3},
                "headers": {},
            }
        ),
        json.dumps(
            {
                "spelling": "peft",
                "alpha": ["save", 0],
                "alphas": {},
                "shapes": {},
                "record": None,
                "configs": {},
                "headers": {},
            }
        ),
        json.dumps(
            {
                "spelling": "peft",
                "alpha": None,
                "alphas": {},
                "shapes": {"a": ["x"]},
                "record": None,
                "configs": {},
                "headers": {},
            }
        ),
    ],
)
def test_an_entry_that_makes_no_sense_is_not_followed(entry, tmp_path):
    tensors = load_file(ours(tmp_path))
    save_file(tensors, tmp_path / "odd.safetensors", metadata={lora_origins.ORIGIN: entry})

    convert_lora(tmp_path / "odd.safetensors", tmp_path / "new", "peft", unet=tiny_unet())

    assert read_lora_file(tmp_path / "new", unet=tiny_unet()).origin.spelling == "kohya"


def test_the_command_converts_and_shows(tmp_path, capsys):
    save_file(true_tensors("sd1", ldm=False), tmp_path / "a.safetensors", metadata=HEADER)

    assert (
        main(
            [
                "lora",
                "convert",
                str(tmp_path / "a.safetensors"),
                str(tmp_path / "b"),
                "--to",
                "peft",
            ]
        )
        == 0
    )
    assert "128 of the UNet, in the style of peft" in capsys.readouterr().out
    assert main(["lora", "show", str(tmp_path / "b")]) == 0
    shown = capsys.readouterr().out
    for line in (
        "layers: 128 of the UNet",
        "for: Stable Diffusion 1.x",
        "style: peft",
        "rank: 1",
        "alpha: 0.5",
        "alpha / rank: 0.5",
        "number format: float16",
        "| Credits | Ana; 한국 |",
    ):
        assert line in shown
    assert (
        main(
            [
                "lora",
                "convert",
                str(tmp_path / "b"),
                str(tmp_path / "a.safetensors"),
                "--to",
                "kohya",
            ]
        )
        == 2
    )
    assert "is there already" in capsys.readouterr().err


def test_the_command_takes_the_base_of_another_layout(tmp_path, capsys):
    from scoft_training.miniature.loading import register
    from scoft_training.models import load_base

    register()
    unet = load_base("miniature", dtype=torch.float32).unet
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"]))
    write_lora(tmp_path / "a.safetensors", lora_from_adapter(unet))
    command = [
        "lora",
        "convert",
        str(tmp_path / "a.safetensors"),
        str(tmp_path / "b"),
        "--to",
        "peft",
    ]

    assert main(command) == 2
    assert "Say with --base which" in capsys.readouterr().err
    assert main([*command, "--base", "miniature"]) == 0
    assert main(["lora", "show", str(tmp_path / "b"), "--base", "miniature"]) == 0
    assert "for: miniature" in capsys.readouterr().out


def test_the_command_s_help_loads_no_heavy_library():
    listing = "import scoft_training.lora_commands, sys\nprint(*sys.modules)"
    root = Path(lora_conversion.__file__).parents[1]
    done = subprocess.check_output([sys.executable, "-c", listing], text=True, cwd=root)
    assert "scoft_training.lora_commands" in done.split()
    assert not {"torch", "diffusers"} & set(done.split())
    assert lora_commands.STYLE_NAMES == lora_names.STYLES


def test_the_public_names_are_pinned():
    assert lora_conversion.__all__ == ["convert_lora"]
    assert lora_contents.__all__ == [
        "ADAPTER_CONFIG",
        "ADAPTER_MODEL",
        "LoraFile",
        "read_lora_file",
    ]
