"""Both doors on models of real size: from the file to the engine, and through the host to it.

Random weights in fp16, in a temporary folder: some 2.7, 3.3 and 12 GB of it. SDXL takes up to 13 GB
of memory. `SCOFT_TRUE_SHAPES=1 pytest tests/test_true_shapes.py` runs it; without, it is left out.
"""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch
from host_process import run_in_host
from safetensors.torch import load_file
from torch.testing import assert_close
from true_shapes import (
    CAPTIONS,
    SPREAD_BIAS,
    Questions,
    networks_of,
    overwrite,
    transformers_name,
    unequal,
    write_checkpoint,
    write_network,
)

from scoft_training.lora_files import write_lora
from scoft_training.lora_layers import Lora, LoraLayer
from scoft_training.models import load_base
from scoft_training.single_files import open_weights, prediction_type

pytestmark = [
    pytest.mark.host,
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("SCOFT_TRUE_SHAPES"),
        reason="models of real size: gigabytes and minutes; set SCOFT_TRUE_SHAPES=1",
    ),
]

KINDS = {"sd1": "SD15", "sd2": "SD20", "sdxl": "SDXL"}
SCALING = {"sd1": 0.18215, "sd2": 0.18215, "sdxl": 0.13025}
# Of the random weights of 2.x: the spread of its last attention's bias is over ComfyUI's bound.
PREDICTIONS = {"sd1": "epsilon", "sd2": "v_prediction", "sdxl": "epsilon"}
HOST_FLAGS = ("--fp16-unet",)
"""The host keeps UNets on a CPU in fp32, which would take twice the memory."""


@pytest.fixture
def folder(tmp_path):
    """A folder that is emptied after the test: pytest keeps the last ones, gigabytes and all."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def ask_host(folder, family, what):
    (folder / "request.json").write_text(json.dumps({"family": family, "what": what}))
    run_in_host("true_shapes_in_host", folder, *HOST_FLAGS, timeout=2400)
    facts = json.loads((folder / "facts.json").read_text())
    return facts, load_file(folder / "answers.safetensors")


def write_separate_files(folder, networks):
    for part, name in (("text_encoder", "te"), ("text_encoder_2", "te_2")):
        if part in networks:
            path = folder / f"{name}.safetensors"
            write_network(path, networks[part], part, rename=transformers_name)
    write_network(folder / "control.safetensors", networks["controlnet"], "controlnet")


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_both_doors_read_every_weight_of_a_whole_checkpoint(folder, family):
    path = folder / "checkpoint.safetensors"
    write_checkpoint(path, family)
    write_separate_files(folder, networks_of(family))

    facts, theirs = ask_host(folder, family, "checkpoint")

    assert facts["unequal"] == {"unet": [], "vae": [], "controlnet": []}
    assert facts["kind"] == KINDS[family]
    assert facts["family"] == family
    assert facts["prediction_type"] == PREDICTIONS[family]
    assert facts["scaling_factor"] == SCALING[family]
    assert facts["vae_dtype"] == ("torch.float32" if family == "sdxl" else "torch.float16")
    assert torch.equal(theirs["embeds"], theirs["separate_embeds"])

    base = load_base(path, dtype=torch.float16)
    assert (base.family, base.schedule.prediction_type) == (family, PREDICTIONS[family])
    assert base.scaling_factor == SCALING[family]
    assert base.vae.dtype == (torch.float32 if family == "sdxl" else torch.float16)
    assert unequal("unet", base.unet) == unequal("vae", base.vae) == []
    assert_close(theirs["alphas_cumprod"], base.schedule.alphas_cumprod, atol=1e-6, rtol=1e-5)
    unet, captions = base.unet, base.captions
    del base
    for network, part in zip(_text_encoders(captions), ("", "_2"), strict=False):
        assert unequal(f"text_encoder{part}", network) == []
        network.float()
    encoded = captions.encode(CAPTIONS)
    conditioning = encoded.conditioning
    assert encoded.cut == tuple(facts["cut"]) == (2,)
    _agree(theirs["embeds"], conditioning.prompt_embeds)
    if family == "sdxl":
        _agree(theirs["pooled"], conditioning.pooled_prompt_embeds)
    del captions, encoded, network
    _agree(theirs["noise_pred"], Questions(family).ask_engine(unet.float()))
    if family == "sd2":
        overwrite(path, f"model.diffusion_model.{SPREAD_BIAS}", 0.08 * _spread_by_one(320))
        again, _ = ask_host(folder, family, "prediction_type")
        assert again["prediction_type"] == prediction_type(open_weights(path)) == "epsilon"


def _text_encoders(captions):
    pair = getattr(captions, "_text_encoders", None)
    return (captions._text_encoder,) if pair is None else pair


def _spread_by_one(count):
    """Numbers of mean 0 and standard deviation 1."""
    return torch.tensor([-1.0, 1.0] * (count // 2))


def _agree(host, engine):
    assert engine.std() > 0.05, "nearly constant: nothing is shown"
    assert_close(host, engine.float(), atol=1e-4, rtol=1e-4)


def test_separate_loaders_merges_loras_clip_skip_and_fp8(folder):
    networks = networks_of("sd1")
    write_separate_files(folder, networks)
    unet = networks["unet"]
    write_network(folder / "unet.safetensors", unet, "unet")
    write_network(folder / "other.safetensors", unet, "other")
    write_network(folder / "vae.safetensors", networks["vae"], "vae")
    write_network(folder / "fp8.safetensors", unet, "unet", dtype=torch.float8_e4m3fn)
    generator = torch.Generator().manual_seed(3)
    shapes = {name: value.shape for name, value in unet.state_dict().items()}
    layers = {}
    for name in (
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0",
    ):
        outputs, inputs = shapes[f"{name}.weight"]
        down = torch.randn(4, inputs, generator=generator) / 10
        layers[name] = LoraLayer(down, torch.randn(outputs, 4, generator=generator) / 10, 2.0)
    write_lora(folder / "lora.safetensors", Lora(layers, {}))

    facts, answers = ask_host(folder, "sd1", "loaders")

    assert facts["unequal"] == {"unet": [], "vae": []}
    # In steps of fp16; the patched weights are computed in fp32 and rounded once.
    assert facts["merge"] < 2
    assert facts["lora"] < 2
    assert facts["lora_changes"] == sorted(f"{name}.weight" for name in layers)
    assert len(set(facts["digests"])) == 4
    assert not answers["embeds_skip"].equal(answers["embeds"])
    quantised = "This MODEL's weights are quantised (float8_e4m3fn). Training needs them in fp16"
    assert facts["fp8 widget"].startswith(quantised)
    # A file in fp8 comes as fp16 once it is loaded: what it holds is trained on.
    assert facts["fp8 file"] == []
