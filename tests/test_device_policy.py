"""The nodes compute where and in the format that the host says, and clear its device first."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from host_process import run_in_host

from scoft_training.lora_files import write_lora
from scoft_training.lora_layers import lora_from_adapter
from scoft_training.miniature.networks import new_unet
from scoft_training.models import attach_lora

NODES = Path(__file__).parents[1] / "nodes"
COMPUTING = ("train", "negatives", "captions", "compare")
DEVICES = [
    # What the host names, whether it wants bf16 and fp16 there, and the precision that follows.
    ("cuda:3", True, True, "bf16"),
    ("cuda:3", False, True, "fp16"),
    ("xpu:1", False, False, "fp32"),
    ("cpu", True, True, "fp32"),
]
DTYPES = {"bf16": "torch.bfloat16", "fp16": "torch.float16", "fp32": "torch.float32"}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    with torch.random.fork_rng(devices=[]):
        unet = new_unet()
    attach_lora(unet, rank=2, alpha=2, seed=1, dtype=torch.float32)
    write_lora(folder / "lora.safetensors", lora_from_adapter(unet))
    (folder / "devices.json").write_text(json.dumps([device[:3] for device in DEVICES]))
    run_in_host("device_policy_in_host", folder)
    return json.loads((folder / "found.json").read_text())


@pytest.mark.host
@pytest.mark.parametrize("node", COMPUTING)
@pytest.mark.parametrize(("device", "bf16", "fp16", "precision"), DEVICES)
def test_the_engine_gets_the_hosts_device_and_format(found, node, device, bf16, fp16, precision):
    handed = found[f"{node} {device} {bf16} {fp16}"]
    assert handed["device"] == device
    assert handed["precision"] == precision
    assert set(handed["dtypes"]) == (set() if node == "captions" else {DTYPES[precision]})


@pytest.mark.host
@pytest.mark.parametrize("node", COMPUTING)
@pytest.mark.parametrize("device", DEVICES, ids=lambda device: " ".join(map(str, device[:3])))
def test_the_hosts_models_leave_its_device_before_and_after(found, node, device):
    calls = found["{} {} {} {}".format(node, *device[:3])]["calls"]
    engine = calls.index("engine")
    for part in (calls[:engine], calls[engine:]):
        assert "unload_all_models" in part
        assert "soft_empty_cache" in part
        assert part.index("unload_all_models") < part.index("soft_empty_cache")


def test_no_node_names_a_device_of_its_own():
    files = sorted(NODES.glob("*.py"))
    assert len(files) > 10
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(cuda|mps|xpu|npu|is_available)\b", text), path.name
        assert set(re.findall(r"torch\.device\(([^)]*)\)", text)) <= {'"cpu"', '"meta"'}, path.name
