"""A real ComfyUI with the pack in it, started as a user would, and driven over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

PACK = Path(__file__).parents[1]
SHORT_TRAINING = {
    "preset": "ldm",
    "memorization_weight": 0.0,
    "perceptual_weight": 0.0,
    "contrastive_weight": 0.0,
    "ldm_weight": 1.0,
    "steps": 4,
    "rank": 4,
    "learning_rate": 1e-3,
    "resolution": 128,
    "snapshot_every": 2,
}
"""Widgets of Train LoRA: the quickest training that leaves steps to compare."""
COMFYUI = Path(os.environ.get("COMFYUI_PATH", "~/ComfyUI")).expanduser()


class Host:
    """A running host: its address, its folder and its log."""

    def __init__(self, process, port, folder, log):
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        self._log = log

    @property
    def log(self):
        return self._log.read_text(errors="replace")

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def post(self, path, body):
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return json.loads(text) if text else {}

    def queue(self, prompt):
        answer = self.post("/prompt", {"prompt": prompt})
        assert not answer.get("node_errors"), answer
        return answer["prompt_id"]

    def wait(self, prompt_id, seconds=300):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.get(f"/history/{prompt_id}"):
                return found[prompt_id]
            time.sleep(0.05)
        raise AssertionError(f"still running after {seconds} s: {self.log[-2000:]}")

    def defaults(self, node):
        """Return a node's widgets at their defaults, as the front end would queue them."""
        inputs = self.get(f"/object_info/{node}")[node]["input"]
        return {
            name: entry[1]["default"]
            for section in inputs.values()
            for name, entry in section.items()
            if len(entry) > 1 and "default" in entry[1]
        }


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_host(folder, *flags):
    """Start ComfyUI in an empty folder of its own; skip where there is none."""
    if not (COMFYUI / "main.py").is_file():
        pytest.skip(f"no ComfyUI checkout at {COMFYUI}: set COMFYUI_PATH")
    (folder / "custom_nodes").mkdir(parents=True)
    (folder / "custom_nodes" / "scoft").symlink_to(PACK)
    port, log = _free_port(), folder / "host.log"
    command = [sys.executable, "main.py", "--cpu", "--disable-api-nodes", "--port", str(port)]
    command += ["--base-directory", str(folder), "--disable-auto-launch", *flags]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=COMFYUI, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    running = Host(process, port, folder, log)
    try:
        for _ in range(240):
            if process.poll() is not None:
                break
            try:
                running.get("/queue")
                break
            except OSError:
                time.sleep(0.5)
        if process.poll() is not None and (missing := re.search(r"No module named.*", running.log)):
            pytest.skip(f"ComfyUI's own requirements are not installed here: {missing[0]}")
        assert process.poll() is None, running.log[-3000:]
        yield running
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def graph(host, *, steps=6, pictures=6):
    """The quick start: miniature -> negatives -> training -> file and a drawing."""
    negatives = host.defaults("ScoftDrawNegatives") | {
        "negatives_per_picture": 1,
        "inference_steps": 6,
        "guidance_scale": 3.0,
        "control_strength": 0.5,
        "resolution": 128,
        "filter_backbone": "miniature_clip",
        "filter_threshold": 0.05,
    }
    training = host.defaults("ScoftTrainLora") | {
        "preset": "mpc",
        "perceptual_backbone": "miniature_clip",
        "steps": steps,
        "rank": 8,
        "learning_rate": 1e-3,
        "resolution": 128,
        "ddim_steps": 4,
        "perceptual_every": 3,
        "batch_size": 2,
    }
    models = {"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2]}
    return {
        "1": {"class_type": "ScoftLoadMiniature", "inputs": {"pictures": pictures}},
        "2": {
            "class_type": "ScoftDrawNegatives",
            "inputs": negatives | models | {"control_net": ["1", 3], "dataset": ["1", 4]},
        },
        "3": {
            "class_type": "ScoftTrainLora",
            "inputs": training | models | {"dataset": ["2", 0]},
        },
        "4": {"class_type": "ScoftSaveLora", "inputs": {"path": ["3", 2], "name": "quick"}},
    }


def drawing(lora_name):
    """An ordinary text-to-image graph with the host's own nodes."""
    text = {"clip": ["1", 1]}
    return {
        "1": {"class_type": "ScoftLoadMiniature", "inputs": {"pictures": 6}},
        "2": {
            "class_type": "LoraLoader",
            "inputs": {
                "model": ["1", 0],
                "clip": ["1", 1],
                "lora_name": lora_name,
                "strength_model": 1.0,
                "strength_clip": 1.0,
            },
        },
        "3": {"class_type": "CLIPTextEncode", "inputs": text | {"text": "a house in avelun"}},
        "4": {"class_type": "CLIPTextEncode", "inputs": text | {"text": ""}},
        "5": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 128, "height": 128, "batch_size": 1},
        },
        "6": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["2", 0],
                "seed": 1,
                "steps": 4,
                "cfg": 3.0,
                "sampler_name": "ddim",
                "scheduler": "ddim_uniform",
                "positive": ["3", 0],
                "negative": ["4", 0],
                "latent_image": ["5", 0],
                "denoise": 1.0,
            },
        },
        "7": {"class_type": "VAEDecode", "inputs": {"samples": ["6", 0], "vae": ["1", 2]}},
        "8": {
            "class_type": "SaveImage",
            "inputs": {"images": ["7", 0], "filename_prefix": "drawn"},
        },
    }


def skip_without_views(page):
    """Skip where the open front end's new nodes show no widgets of extensions yet."""
    version = page.evaluate("window.__COMFYUI_FRONTEND_VERSION__ ?? '0'")
    if tuple(map(int, version.split(".")[:2])) < (1, 35):
        pytest.skip(f"the front end {version} shows no widgets of extensions in its new nodes yet")


def until(reached, host, seconds=120):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, host.log[-3000:]
        time.sleep(0.1)


def error_of(ended):
    assert ended["status"]["status_str"] == "error", ended["status"]
    messages = dict(ended["status"]["messages"])
    return messages["execution_error"]["exception_message"]
