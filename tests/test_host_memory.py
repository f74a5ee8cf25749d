"""What a training leaves behind in a running host: its models as they were, and its memory."""

from __future__ import annotations

import json

import numpy as np
import psutil
import pytest
from PIL import Image
from running_host import drawing, error_of, graph, until

pytestmark = [pytest.mark.host, pytest.mark.slow]


def succeed(host, prompt):
    ended = host.wait(host.queue(prompt))
    assert ended["status"]["status_str"] == "success", json.dumps(ended["status"], indent=1)[-4000:]
    return dict(ended["status"]["messages"])


def training(host, seed, *, steps=2):
    """The quick start's training alone, by its seed."""
    prompt = graph(host, steps=steps)
    prompt["3"]["inputs"]["run_seed"] = seed
    return prompt


def draw(host, name, width):
    """Draw with the miniature's MODEL; returns pixels, and the nodes that were not run again.

    The width decides only whether the host draws anew: it counts in steps of 8.
    """
    prompt = drawing("")
    del prompt["2"]
    prompt["6"]["inputs"]["model"] = ["1", 0]
    prompt["5"]["inputs"]["width"] = width
    prompt["8"]["inputs"]["filename_prefix"] = name
    cached = succeed(host, prompt)["execution_cached"]["nodes"]
    with Image.open(host.folder / "output" / f"{name}_00001_.png") as picture:
        return np.asarray(picture), cached


def test_the_model_draws_the_same_picture_after_a_training(host):
    before, _ = draw(host, "before", 128)
    succeed(host, training(host, 1))
    after, cached = draw(host, "after", 129)
    # The same MODEL object sampled again, not another one and not a picture kept from before.
    assert "1" in cached
    assert "6" not in cached
    assert before.std() > 10
    assert np.array_equal(before, after)


def test_the_hosts_own_trainer_takes_the_miniature(host):
    before, _ = draw(host, "before_theirs", 130)
    prompt = {key: drawing("")[key] for key in ("1", "3", "5")}
    slot = host.get("/object_info/TrainLoraNode")["TrainLoraNode"]["output"].index("LORA_MODEL")
    widgets = {"steps": 2, "training_dtype": "fp32", "lora_dtype": "fp32"}
    sockets = {"model": ["1", 0], "latents": ["5", 0], "positive": ["3", 0]}
    prompt["6"] = {
        "class_type": "TrainLoraNode",
        "inputs": host.defaults("TrainLoraNode") | widgets | sockets,
    }
    prompt["7"] = {
        "class_type": "SaveLoRA",
        "inputs": {"lora": ["6", slot], "prefix": "loras/theirs"},
    }
    succeed(host, prompt)
    assert list((host.folder / "output" / "loras").glob("theirs*.safetensors"))
    after, _ = draw(host, "after_theirs", 131)
    assert np.array_equal(before, after)


def test_an_error_in_the_middle_leaves_the_host_usable(host):
    before, _ = draw(host, "before_error", 132)
    prompt = training(host, 2, steps=300)
    queued = host.queue(prompt)
    runs = host.folder / "output" / "scoft" / "miniature-6" / "work" / "runs"

    def begun():
        for path in runs.glob("*/config.json"):
            events = path.with_name("events.jsonl")
            if json.loads(path.read_text())["config"]["steps"] == 300 and events.is_file():
                if events.read_text().count('"event": "step"') >= 5:
                    return path.parent
        return None

    until(begun, host)
    begun().rename(runs.parent / "moved away")
    assert "cannot be written" in error_of(host.wait(queued))
    after, cached = draw(host, "after_error", 133)
    assert "1" in cached
    assert np.array_equal(before, after)
    succeed(host, training(host, 2))


def test_ten_trainings_leave_no_memory_behind(host):
    process = psutil.Process(host.process.pid)
    resident = []
    for seed in range(100, 110):
        messages = succeed(host, training(host, seed))
        assert "3" not in messages["execution_cached"]["nodes"]
        resident.append(process.memory_info().rss)
    print([size >> 20 for size in resident])
    assert resident[-1] / resident[1] - 1 < 0.05
