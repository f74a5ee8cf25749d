"""Checkpoints: read back as written, the newest readable one, never another run's."""

import os
import subprocess
import sys

import pytest
import torch

from scoft_training.checkpoints import TrainingState, load_latest, save_checkpoint
from scoft_training.errors import OutputError, ResumeError


def state(step, value=0.0):
    tensors = {
        "lora.a": torch.full((2, 3), value, dtype=torch.float32),
        "optimizer.exp_avg.a": torch.full((2, 3), value / 3, dtype=torch.float64),
    }
    return TrainingState(step, tensors, {"lr_scheduler": {"last_epoch": step, "rate": 0.1 + 0.2}})


def test_a_state_is_read_back_bit_for_bit(tmp_path):
    save_checkpoint(tmp_path / "checkpoints", "run", state(7, 1 / 3), keep=2)
    found = load_latest(tmp_path / "checkpoints", "run")
    assert found.step == 7
    assert found.values == state(7).values
    assert set(found.tensors) == set(state(7).tensors)
    for name, tensor in state(7, 1 / 3).tensors.items():
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype


def test_the_newest_few_stay(tmp_path):
    for step in (2, 4, 10, 100):
        save_checkpoint(tmp_path, "run", state(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000010.safetensors",
        "step-00000100.safetensors",
    ]
    assert load_latest(tmp_path, "run").step == 100


def test_there_is_nothing_to_resume_at_the_beginning(tmp_path):
    assert load_latest(tmp_path / "missing", "run") is None
    assert load_latest(tmp_path, "run") is None


@pytest.mark.parametrize("keep_bytes", [0, 5, 200])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, keep_bytes, caplog):
    save_checkpoint(tmp_path, "run", state(2), keep=2)
    newest = save_checkpoint(tmp_path, "run", state(4), keep=2)
    newest.write_bytes(newest.read_bytes()[:keep_bytes])
    assert load_latest(tmp_path, "run").step == 2
    assert "step-00000004.safetensors is damaged" in caplog.text


def test_only_damaged_checkpoints_are_an_error(tmp_path):
    save_checkpoint(tmp_path, "run", state(2), keep=2).write_bytes(b"no")
    with pytest.raises(ResumeError, match="none of its 1 checkpoints can be read. Move the folder"):
        load_latest(tmp_path, "run")


def test_another_runs_checkpoint_is_refused(tmp_path):
    save_checkpoint(tmp_path, "one", state(2), keep=2)
    with pytest.raises(ResumeError, match="belongs to run one, not to other"):
        load_latest(tmp_path, "other")


def test_leftovers_of_a_killed_write_are_removed_and_a_living_ones_are_not(tmp_path):
    save_checkpoint(tmp_path, "run", state(2), keep=2)
    with subprocess.Popen([sys.executable, "-c", ""]) as killed:
        killed.wait()
    # The last one has the number of this process, but is older than it.
    writers = {"killed": killed.pid, "mine": os.getpid(), "recycled": os.getpid()}
    leftovers = {}
    for name, number in writers.items():
        leftovers[name] = tmp_path / f"{name}.safetensors.writing-{number}-abcd"
        leftovers[name].write_bytes(b"half")
    os.utime(leftovers["recycled"], (1, 1))
    assert load_latest(tmp_path, "run").step == 2
    assert {name for name, path in leftovers.items() if path.exists()} == {"mine"}


def test_a_full_disk_keeps_the_older_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, "run", state(2), keep=1)

    def full(tensors, path, metadata=None):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scoft_training.checkpoints.save_file", full)
    with pytest.raises(OutputError, match=r"could not be written .*No space left.*make room"):
        save_checkpoint(tmp_path, "run", state(4), keep=1)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002.safetensors"]
    assert load_latest(tmp_path, "run").step == 2
