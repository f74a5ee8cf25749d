"""The pack's part of the host's start: everything heavy waits for the first node that needs it."""

import json

import pytest
from host_process import run_in_host
from test_packaging import HEAVY

pytestmark = [pytest.mark.host]


def test_telling_the_nodes_loads_no_heavy_library(tmp_path):
    run_in_host("loading_in_host", tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["before"] == ["scoft_pack"]
    assert {"ScoftLoadDataset", "ScoftTrainLora"} <= set(found["nodes"])
    own = {*HEAVY, "dreamsim", "controlnet_aux"} - {"transformers", "torchvision"}  # the host's
    assert not own & set(found["modules"])
