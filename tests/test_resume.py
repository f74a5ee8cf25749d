"""A run killed at any instant and started again ends with the same weights, byte for byte."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stack import write_demo

RANDOM_KILLS = 10


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    dataset = write_demo(folder / "dataset")
    script = Path(__file__).with_name("kill_trials.py")
    done = subprocess.run(
        [sys.executable, script, dataset, folder, str(RANDOM_KILLS), "20261124"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_killed_run_ends_with_the_undisturbed_weights(trials):
    undisturbed, *others = trials
    assert len(others) == RANDOM_KILLS + 4
    assert {trial["digest"] for trial in others} == {undisturbed["digest"]}


def test_the_kills_were_real_and_spread(trials):
    killed = [trial for trial in trials if trial["killed"]]
    assert len(killed) >= 10
    assert len({trial["at"] for trial in killed}) >= 4


def test_a_checkpoint_that_was_being_written_is_not_used_and_not_left(trials):
    by_name = {trial["how"]: trial for trial in trials}
    # Checkpoints are written after steps 2, 4, 6 and 8.
    assert by_name["in the first checkpoint"]["resumed_from"] == 0
    assert by_name["in the third checkpoint"]["resumed_from"] == 4
    assert by_name["before the second rename"]["resumed_from"] == 2
    assert by_name["after the last checkpoint"]["resumed_from"] == 8
    assert all(trial["leftovers"] == [] for trial in trials[1:])
