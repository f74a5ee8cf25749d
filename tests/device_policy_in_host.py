"""What reaches the engine when the host names a device; for `test_device_policy.py` alone.

The engine's calls and the host's device functions are stand-ins that record; no such device is
needed. Runs in the host's process: see `host_process`.
"""
# ruff: noqa: TID251 - this file stands on the host's side of the wall, as a node does

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import comfy.model_management
import torch
from scoft_pack.nodes import captioning, generation, miniature, negatives, trainer
from scoft_pack.nodes.types import CanvasDataset
from scoft_pack.scoft_training import generation as engine_generation
from scoft_pack.scoft_training import helper_runs, runs
from scoft_pack.scoft_training.miniature.loading import WEIGHTS

NODES = {
    "train": (trainer.TrainLora, runs, "run_training"),
    "negatives": (negatives.DrawNegatives, helper_runs, "make_negatives"),
    "captions": (captioning.Caption, helper_runs, "make_captions"),
    "compare": (generation.Compare, engine_generation, "generate"),
}


class Asked(Exception):
    """The engine was called; ends the node there."""


@contextlib.contextmanager
def stand_in_device(device: str, bf16: bool, fp16: bool) -> Iterator[list[str]]:
    """Let the host name this device, and record what it is asked."""
    calls: list[str] = []

    def answers(name: str, value: Any) -> Any:
        def answer(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return value

        return mock.patch.object(comfy.model_management, name, answer)

    with contextlib.ExitStack() as stack:
        for name, value in (
            ("get_torch_device", torch.device(device)),
            ("should_use_bf16", bf16),
            ("should_use_fp16", fp16),
            ("unload_all_models", None),
            ("soft_empty_cache", None),
        ):
            stack.enter_context(answers(name, value))
        yield calls


def asked_of_engine(node: str, sockets: dict[str, Any], calls: list[str]) -> dict[str, Any]:
    """Run a node up to its call of the engine; return device, precision and dtype it was given."""
    node_class, module, function = NODES[node]
    values = {
        "train": {"precision": "auto", "preset": "custom"},
        "negatives": {"precision": "auto", "allow_download": False},
        "captions": {"precision": "auto", "allow_download": False, "every_row": False},
        "compare": {"prompts": "a house", "first_seed": 0, "num_seeds": 1, "precision": "auto"},
    }[node]
    found: dict[str, Any] = {}

    def engine(request: Any, *args: Any, **kwargs: Any) -> None:
        calls.append("engine")
        if node == "compare":
            found["device"], found["precision"] = str(kwargs["device"]), args[2].precision
            found["dtypes"] = [str(kwargs["dtype"]), str(request.unet.dtype)]
        else:
            found["device"], found["precision"] = request.device, request.config.precision
            base = getattr(request, "base", None)
            controlnet = getattr(request, "controlnet", None)
            networks = [base.unet, base.vae] if base else []
            networks += [controlnet.network] if controlnet else []
            found["dtypes"] = [str(network.dtype) for network in networks]
        raise Asked

    with mock.patch.object(module, function, engine), contextlib.suppress(Asked):
        node_class.hidden = SimpleNamespace(prompt={}, unique_id="1")
        node_class.execute(**sockets, **values)
    return found


def main(folder: str) -> None:
    """Write what each node handed over, for each device that the host may name."""
    place = Path(folder)
    with torch.inference_mode():
        model, clip, vae, control_net = miniature.host_objects(WEIGHTS)
        dataset = CanvasDataset(place, place)
        models = {"model": model, "clip": clip, "vae": vae}
        from safetensors.torch import load_file

        lora = load_file(place / "lora.safetensors")
        sockets = {
            "train": {**models, "dataset": dataset},
            "negatives": {**models, "control_net": control_net, "dataset": dataset},
            "captions": {"dataset": dataset},
            "compare": {**models, "lora": lora},
        }
        found = {}
        for device, bf16, fp16 in json.loads((place / "devices.json").read_text()):
            for node in NODES:
                with stand_in_device(device, bf16, fp16) as calls:
                    handed = asked_of_engine(node, sockets[node], calls)
                found[f"{node} {device} {bf16} {fp16}"] = {**handed, "calls": calls}
    (place / "found.json").write_text(json.dumps(found))
