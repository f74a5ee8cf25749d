"""What is installed, what is imported, and what is not."""

import importlib.metadata
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "scoft_training"
ROOMS = sorted(
    ".".join(path.relative_to(ENGINE).with_suffix("").parts)
    for folder in (ENGINE, ENGINE / "miniature")
    for path in folder.glob("*.py")
    if path.stem not in ("__main__", "__init__")
)
HOST = ("comfy", "comfy_api", "folder_paths", "nodes", "server", "execution")


def run(code):
    # From a folder of no meaning: `python -c` puts the working folder on sys.path.
    command = [sys.executable, "-c", code]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_packs_root_is_not_importable():
    """`nodes` would shadow the host's own module of that name."""
    found = run("import importlib.util; print(importlib.util.find_spec('nodes'))")
    assert found.strip() == "None"
    paths = json.loads(run("import json, sys, scoft_training; print(json.dumps(sys.path))"))
    assert not any(path and ROOT.samefile(path) for path in paths if Path(path).is_dir())


def test_requirements_name_nothing_that_the_host_brings():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    names = {
        line.split(">=")[0].strip().lower() for line in lines if line and not line.startswith("#")
    }
    assert names >= {"diffusers", "peft", "accelerate", "open_clip_torch", "lpips"}
    hosts = {"torch", "torchvision", "torchaudio", "numpy", "transformers", "safetensors", "pillow"}
    assert not names & hosts
    assert not any(sign in line for line in lines for sign in ("==", "<", "~="))


def test_the_command_is_installed():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="scoft")
    assert entry.value == "scoft_training.cli:main"


IMPORT_ALL = "import importlib, sys\nfor room in {rooms!r}: importlib.import_module(room)\n"
FIND_HOST = "print(sorted(set(sys.modules) & set({host!r})))\n"


def test_no_room_imports_the_host():
    rooms = [f"scoft_training.{room}" for room in ROOMS]
    assert len(rooms) > 20
    code = IMPORT_ALL.format(rooms=rooms) + FIND_HOST.format(host=HOST)
    assert run(code).strip() == "[]"


def test_an_import_of_the_host_would_be_found(tmp_path):
    (tmp_path / "folder_paths.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport folder_paths\n"
    assert run(code + FIND_HOST.format(host=HOST)).strip() == "['folder_paths']"


HEAVY = ("diffusers", "peft", "open_clip", "lpips", "transformers", "torchvision", "accelerate")


@pytest.mark.parametrize("room", ["losses", "sampling", "config", "data", "lora_files", "events"])
def test_the_lower_rooms_load_no_heavy_library(room):
    code = f"import scoft_training.{room}, sys\nprint(sorted(set(sys.modules) & set({HEAVY!r})))"
    assert run(code).strip() == "[]"


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_exist_and_rooms_say_what_they_are(room):
    module = __import__(f"scoft_training.{room}", fromlist=["__all__"])
    assert module.__doc__
    assert module.__doc__.splitlines()[0].endswith((".", ":"))
    assert sorted(module.__all__) == sorted(set(module.__all__))
    for name in module.__all__:
        assert hasattr(module, name), name


def test_public_names_of_the_equations_are_pinned():
    from scoft_training import losses, sampling

    assert set(losses.__all__) >= {
        "ldm_loss",
        "memorization_loss",
        "perceptual_loss",
        "self_contrastive_loss",
        "total_loss",
    }
    assert set(sampling.__all__) >= {
        "ddim_step",
        "recorded_ddim_sample",
        "classifier_free_guidance",
        "strided_timesteps",
    }
