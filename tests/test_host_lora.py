"""Our file in the real host: every key of a Stable Diffusion 1.x LoRA becomes a patch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scoft_training.lora_files import write_lora
from scoft_training.lora_layers import lora_from_adapter

COMFYUI = Path(os.environ.get("COMFYUI_PATH", "~/ComfyUI")).expanduser()

# The host parses sys.argv and owns names such as `nodes`, so it gets a process of its own.
IN_THE_HOST = """
import json, sys
root, path = sys.argv[1:]
sys.argv = ["host", "--cpu"]
sys.path.insert(0, root)
try:
    import comfy.options
    comfy.options.enable_args_parsing()
    import comfy.lora, comfy.model_base, comfy.supported_models, comfy.utils
except ModuleNotFoundError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit()
import torch
config = comfy.supported_models.SD15({
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4], "num_heads": 8,
    "num_head_channels": -1, "use_spatial_transformer": True, "context_dim": 768,
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "use_linear_in_transformer": False, "adm_in_channels": None, "legacy": False,
    "dtype": torch.float32,
})
model = comfy.model_base.BaseModel(config, device="meta")
keys = comfy.lora.model_lora_keys_unet(model, {})
patches = comfy.lora.load_lora(comfy.utils.load_torch_file(path, safe_load=True), keys)
print(json.dumps({"patches": sorted(str(name) for name in patches)}))
"""


@pytest.mark.host
def test_every_layer_becomes_a_patch_in_the_host(tmp_path):
    if not (COMFYUI / "comfy" / "lora.py").is_file():
        pytest.skip(f"no ComfyUI checkout at {COMFYUI}: set COMFYUI_PATH")
    from diffusers import UNet2DConditionModel
    from peft import LoraConfig

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    unet.add_adapter(LoraConfig(r=1, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    adapters = [module for name, module in unet.named_modules() if name.endswith("default")]
    for module in adapters:
        module.to_empty(device="cpu")
    lora = lora_from_adapter(unet)
    # 16 transformers, self- and cross-attention, four projections each.
    assert len(lora.layers) == 128
    path = tmp_path / "lora.safetensors"
    write_lora(path, lora)
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_HOST, str(COMFYUI), str(path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    if "missing" in found:
        pytest.skip(f"ComfyUI's own requirements are not installed here: {found['missing']}")
    assert len(found["patches"]) == 128
    assert all(name.startswith("diffusion_model.") for name in found["patches"])
