"""Runs a module of these tests inside the host, in a process of its own.

The host parses `sys.argv` and owns names such as `nodes`, so it never shares a process with pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACK = Path(__file__).parents[1]
COMFYUI = Path(os.environ.get("COMFYUI_PATH", "~/ComfyUI")).expanduser()

_IN_THE_HOST = """
import importlib, importlib.machinery, importlib.util, sys, types
root, pack, module, folder, *flags = sys.argv[1:]
sys.argv = ["x", "--cpu", *flags]
sys.path[:0] = [root, pack + "/tests"]
if importlib.util.find_spec("torchaudio") is None:
    # The host's sound models import it; none of them runs here.
    for name in ("torchaudio", "torchaudio.functional", "torchaudio.transforms"):
        stand_in = types.ModuleType(name)
        stand_in.__spec__, stand_in.__path__ = importlib.machinery.ModuleSpec(name, None), []
        stand_in.MelScale = object
        sys.modules[name] = stand_in
import torch
torch.set_num_threads(1)
import comfy.options
comfy.options.enable_args_parsing()
spec = importlib.util.spec_from_file_location("scoft_pack", pack + "/__init__.py")
sys.modules["scoft_pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["scoft_pack"])
try:
    found = importlib.import_module(module)
except ModuleNotFoundError as error:
    sys.exit(f"missing: {error}")
found.main(folder)
"""


def run_in_host(module: str, folder: Path, *flags: str, timeout: float = 600) -> None:
    """Call `main(folder)` of a module of tests/, the host and the pack imported before.

    Args:
        module: by name; imports the pack as `scoft_pack`.
        folder: handed over, and the working folder.
        flags: of the host's command line, beside --cpu.
        timeout: in seconds.
    """
    if not (COMFYUI / "comfy" / "sd.py").is_file():
        pytest.skip(f"no ComfyUI checkout at {COMFYUI}: set COMFYUI_PATH")
    done = subprocess.run(
        [sys.executable, "-c", _IN_THE_HOST, COMFYUI, PACK, module, folder, *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if (last := done.stderr.strip().rpartition("\n")[2]).startswith("missing: "):
        pytest.skip(f"ComfyUI's own requirements are not installed here: {last}")
    assert done.returncode == 0, done.stderr
