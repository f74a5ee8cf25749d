"""Our file in the real host: every key becomes a patch of the right weight and strength."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scoft_training.lora_conversion import convert_lora
from scoft_training.lora_files import write_lora
from scoft_training.lora_layers import Lora, LoraLayer, weights_by_path
from scoft_training.lora_names import ldm_names
from scoft_training.unet_layouts import layout_unet

COMFYUI = Path(os.environ.get("COMFYUI_PATH", "~/ComfyUI")).expanduser()

# The host parses sys.argv and owns names such as `nodes`, so it gets a process of its own.
IN_THE_HOST = """
import json, sys
root, path, family, config = sys.argv[1:]
sys.argv = ["host", "--cpu"]
sys.path.insert(0, root)
try:
    import comfy.options
    comfy.options.enable_args_parsing()
    import comfy.lora, comfy.model_base, comfy.supported_models, comfy.utils
except ModuleNotFoundError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit()
import logging, torch
unsaid = []
handler = logging.Handler()
handler.emit = lambda record: unsaid.append(record.getMessage())
logging.getLogger().addHandler(handler)
kind = getattr(comfy.supported_models, family)
config = kind(json.loads(config) | {"dtype": torch.float32})
model = comfy.model_base.BaseModel(config, device="meta")
keys = comfy.lora.model_lora_keys_unet(model, {})
tensors = comfy.utils.load_torch_file(path, safe_load=True)
patches = comfy.lora.load_lora(tensors, keys)
weights = dict(model.named_parameters())
found = {}
for name, patch in patches.items():
    zero = torch.zeros(weights[name].shape)
    one = [(1.0, patch, 1.0, None, None)]
    changed = comfy.lora.calculate_weight(one, zero, name)
    found[name] = [changed.min().item(), changed.max().item()]
print(json.dumps({"patches": found, "unsaid": unsaid}))
"""

COMMON = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "use_spatial_transformer": True,
    "legacy": False,
}
SD = {
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "adm_in_channels": None,
}
SD1 = {"num_heads": 8, "num_head_channels": -1, "context_dim": 768}
SD2 = {"num_heads": -1, "num_head_channels": 64, "context_dim": 1024}
HOSTS = {
    "sd1": ("SD15", COMMON | SD | SD1 | {"use_linear_in_transformer": False}),
    "sd2": ("SD20", COMMON | SD | SD2 | {"use_linear_in_transformer": True}),
    "sdxl": (
        "SDXL",
        COMMON
        | {
            "num_res_blocks": [2, 2, 2],
            "channel_mult": [1, 2, 4],
            "transformer_depth": [0, 0, 2, 2, 10, 10],
            "transformer_depth_middle": 10,
            "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
            "use_linear_in_transformer": True,
            "adm_in_channels": 2816,
            "num_classes": "sequential",
            "num_heads": -1,
            "num_head_channels": 64,
            "context_dim": 2048,
        },
    ),
}
RANK, ALPHA = 2, 3.0
ATTENTION = tuple(f"attn{n}.{one}" for n in (1, 2) for one in ("to_q", "to_k", "to_v", "to_out.0"))


@pytest.mark.host
@pytest.mark.parametrize("way", ["as trained", "through peft and back"])
@pytest.mark.parametrize(("family", "count"), [("sd1", 128), ("sd2", 128), ("sdxl", 560)])
def test_every_layer_becomes_a_patch_of_its_weight_at_our_strength(family, count, way, tmp_path):
    if not (COMFYUI / "comfy" / "lora.py").is_file():
        pytest.skip(f"no ComfyUI checkout at {COMFYUI}: set COMFYUI_PATH")
    weights = weights_by_path(layout_unet(family))
    names = [name for name in weights if name.endswith(ATTENTION)]
    assert len(names) == count
    layers = {}
    for number, name in enumerate(names, start=1):
        outputs, inputs = weights[name].weight.shape
        down, up = torch.full((RANK, inputs), float(number)), torch.ones(outputs, RANK)
        layers[name] = LoraLayer(down, up, ALPHA)
    path = tmp_path / "lora.safetensors"
    write_lora(path, Lora(layers, {}))
    if way != "as trained":
        convert_lora(path, tmp_path / "peft", "peft")
        path = tmp_path / "back.safetensors"
        convert_lora(tmp_path / "peft", path, "kohya")

    kind, config = HOSTS[family]
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_HOST, str(COMFYUI), str(path), kind, json.dumps(config)],
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    if "missing" in found:
        pytest.skip(f"ComfyUI's own requirements are not installed here: {found['missing']}")
    ldm = ldm_names(weights)
    # alpha / rank * up @ down: 3 / 2 * (1 * number + 1 * number)
    assert found["patches"] == {
        f"diffusion_model.{ldm[name]}.weight": [3.0 * number, 3.0 * number]
        for number, name in enumerate(names, start=1)
    }
    assert not [text for text in found["unsaid"] if "not loaded" in text]
