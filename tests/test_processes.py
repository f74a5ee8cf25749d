"""More than one process: the same draws, the same weights up to the order of summation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from random_stack import draw_demo_dataset
from safetensors.torch import load_file
from stack import write_demo

RUNNER = """
import sys
sys.path.insert(0, {tests!r})
import conftest
from stack import register_small
register_small()
from scoft_training.cli import main
from scoft_training.control_models import ControlNet, register_controlnet
from random_stack import random_controlnet
register_controlnet("small", lambda dtype: ControlNet.of("small", random_controlnet().to(dtype)))
sys.exit(main(sys.argv[1:]))
"""


TEN_STEPS = ("--steps", "10", "--save-every", "1", "--keep-checkpoints", "99")


@pytest.fixture
def torchrun(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(RUNNER.format(tests=str(Path(__file__).parent)))

    def start(processes, *words):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc_per_node", str(processes), str(script), *words]
        # accelerate chooses the number of threads by the number of processes where nothing is
        # said, and another number of threads rounds otherwise.
        threads = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=threads)

    return start


@pytest.fixture
def launch(tmp_path, torchrun):
    dataset = write_demo(tmp_path / "aruna")

    def start(processes, work, *words):
        command = ["train", str(dataset)]
        command += ["--base", "small", "--device", "cpu", "--perceptual-backbone", "pool"]
        command += ["--precision", "fp64", "--resolution", "64", "--rank", "4"]
        command += ["--ddim-steps", "3", "--perceptual-every", "2", "--learning-rate", "1e-3"]
        command += ["--work", str(tmp_path / work), *words]
        return torchrun(processes, *command)

    return start


def first_gradients(work):
    """Adam's first moment after one step is a tenth of the step's gradient."""
    (path,) = work.glob("runs/*/checkpoints/step-00000001.safetensors")
    prefix = "optimizer.exp_avg."
    moments = load_file(path)
    return {name: 10 * value for name, value in moments.items() if name.startswith(prefix)}


@pytest.mark.slow
def test_two_processes_train_what_one_trains_with_twice_the_batch(launch, tmp_path):
    batches = {1: ("--batch-size", "2"), 2: ("--gradient-accumulation-steps", "2")}
    for processes, batch in batches.items():
        done = launch(processes, f"work-{processes}", *batch, *TEN_STEPS)
        assert done.returncode == 0, done.stderr
        # One process speaks, however many there are.
        assert done.stderr.count("LoRA written: ") == 1
        (config,) = (tmp_path / f"work-{processes}").glob("runs/*/config.json")
        assert json.loads(config.read_text())["processes"] == processes
    (one,) = (tmp_path / "work-1").glob("runs/*/lora.safetensors")
    (two,) = (tmp_path / "work-2").glob("runs/*/lora.safetensors")
    assert one.parent.name == two.parent.name
    alone, together = load_file(one), load_file(two)
    moved = max(tensor.abs().max() for name, tensor in alone.items() if "lora_up" in name)
    assert moved > 1e-3
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=0, atol=1e-7)
    gradients = [first_gradients(tmp_path / f"work-{processes}") for processes in (1, 2)]
    assert max(gradient.abs().max() for gradient in gradients[0].values()) > 1e-4
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=1e-9)

    two.unlink()
    refused = launch(1, "work-2", *batches[2], *TEN_STEPS)
    assert refused.returncode != 0
    assert "processes was 2, now 1" in refused.stderr
    assert "--allow-inexact-resume" in refused.stderr
    consent = (*batches[2], *TEN_STEPS, "--allow-inexact-resume")
    assert launch(1, "work-2", *consent).returncode == 0
    for name, tensor in load_file(two).items():
        torch.testing.assert_close(tensor, alone[name], rtol=0, atol=1e-7)


@pytest.mark.slow
def test_more_processes_than_pictures_are_refused(launch):
    done = launch(2, "work")
    assert done.returncode != 0
    assert "2 processes cannot share 1 pictures per step. Raise `batch_size`" in done.stderr


@pytest.mark.slow
def test_two_processes_draw_the_negatives_of_one(torchrun, tmp_path):
    draw_demo_dataset(tmp_path / "aruna", num_pictures=3, negatives=0)
    for processes in (1, 2):
        words = ["negatives", str(tmp_path / "aruna"), "--base", "small", "--controlnet", "small"]
        words += ["--device", "cpu", "--work", str(tmp_path / f"work-{processes}")]
        words += ["--resolution", "64", "--inference-steps", "2", "--negatives-per-picture", "2"]
        words += ["--filter-backbone", "pool", "--filter-threshold", "0.001"]
        done = torchrun(processes, *words)
        assert done.returncode == 0, done.stderr
    one, two = (
        {
            path.relative_to(tmp_path / f"work-{processes}"): path.read_bytes()
            for path in (tmp_path / f"work-{processes}").rglob("*.*")
        }
        for processes in (1, 2)
    )
    assert (
        sum(path.parts[0] == "negatives" and path.name in ("00.png", "01.png") for path in one) == 6
    )
    assert one == two
