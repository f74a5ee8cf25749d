"""What the pack asks of its host: devices and memory.

With `bridge`, `bridge_to_host` and `routes` the only files that import the host.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

import comfy.model_management
import torch

__all__ = ["training_device", "training_mode", "unload_models"]


def training_device() -> torch.device:
    """Return the device on which the host computes."""
    device: torch.device = comfy.model_management.get_torch_device()
    return device


def unload_models() -> None:
    """Send the host's models back to where they wait, and give their memory free."""
    comfy.model_management.unload_all_models()
    comfy.model_management.soft_empty_cache()


@contextlib.contextmanager
def training_mode() -> Iterator[None]:
    """Leave the host's inference mode and clear its device for the length of a block.

    Tensors that the host made before stay inference tensors: copy them inside the block.
    """
    with torch.inference_mode(False):
        unload_models()
        try:
            yield
        finally:
            gc.collect()
            comfy.model_management.soft_empty_cache()
