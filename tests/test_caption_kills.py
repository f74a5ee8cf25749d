"""Captioning killed at any instant and started again: nothing done is done twice, nothing lost."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from random_stack import draw_demo_dataset
from small_blip import write_blip

KILLS = 8
PAUSE = 0.04
"""Seconds in each drawing, so that a kill at random falls between two of its steps, too."""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    draw_demo_dataset(folder / "aruna", num_pictures=12, negatives=0)
    return folder / "aruna", write_blip(folder / "blip")


def start(given, work, log, pause=PAUSE):
    script = Path(__file__).with_name("caption_kills.py")
    words = [sys.executable, script, *given, work, log, str(pause)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def lines(log):
    return log.read_text().splitlines() if log.exists() else []


def statements(work):
    """What rows.jsonl says, without the dates."""
    found = [json.loads(line) for line in (work / "rows.jsonl").read_text().splitlines()]
    return [{key: value for key, value in one.items() if key != "at"} for one in found]


def captions(work):
    return {
        path.relative_to(work).as_posix(): path.read_bytes()
        for path in (work / "captions").rglob("*.json")
    }


def test_killed_captioning_ends_as_an_undisturbed_one(given, tmp_path):
    undisturbed = start(given, tmp_path / "whole", tmp_path / "whole.log", pause=0)
    assert undisturbed.wait(timeout=300) == 0, undisturbed.stderr.read()

    chance, log, work = random.Random(20261125), tmp_path / "log", tmp_path / "work"
    killed = 0
    for _ in range(KILLS):
        before = len(lines(log))
        process = start(given, work, log)
        # The process first imports for seconds; the kill is to fall among its drawings.
        while "started" not in lines(log)[before:] and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        killed += process.wait(timeout=60) == -signal.SIGKILL
    last = start(given, work, log)
    assert last.wait(timeout=300) == 0, last.stderr.read()

    assert captions(work) == captions(tmp_path / "whole")
    assert statements(work) == statements(tmp_path / "whole")
    assert len(statements(work)) == 12
    assert killed >= 3
    assert not list(work.rglob("*.writing-*"))
    done = set()
    drawn_in_attempts: list[set[str]] = []
    for kind, *about in map(str.split, lines(log)):
        if kind == "started":
            drawn_in_attempts.append(set())
        elif kind == "drawn":
            # Whose file was written is never drawn again, and within one attempt no round twice.
            assert about[0] not in done
            assert " ".join(about) not in drawn_in_attempts[-1]
            drawn_in_attempts[-1].add(" ".join(about))
        elif kind == "done":
            done.add(about[0])
    assert len(done) == 12
    twice = sum(map(len, drawn_in_attempts)) - len(set().union(*drawn_in_attempts))
    rounds = max(int(about.split()[1]) for about in set().union(*drawn_in_attempts)) + 1
    assert twice <= killed * rounds  # only the one picture that was being drawn
