"""Runs that are killed and resumed; started by test_resume.py in a process of its own.

The process imports everything but computes nothing, so that it can fork a child per attempt without
paying the imports again. Each trial has its own work folder: one attempt is killed, the next one
finishes. Prints a JSON list: per trial how it was killed, where the second attempt went on, and the
digest of the result.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import diffusers.optimization  # noqa: F401 - imported once, before forking
import peft  # noqa: F401
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: F401
from stack import SMALL_RUN, register_small

from scoft_training import checkpoints, files, runs
from scoft_training.events import CheckpointEvent, StepEvent
from scoft_training.files import digest_tensors


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_call(module: object, name: str, number: int) -> None:
    """Replace a function by one that kills the process when it is called the n-th time."""
    original = getattr(module, name)
    calls = 0

    def counting(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == number:
            die()
        return original(*args, **kwargs)

    setattr(module, name, counting)


def half_written_checkpoint(number: int) -> None:
    """Kill in the middle of the n-th checkpoint: half of its bytes are in the temporary file."""
    original = checkpoints.save_file
    calls = 0

    def half(tensors, path, metadata=None):
        nonlocal calls
        calls += 1
        original(tensors, path, metadata)
        if calls == number:
            os.truncate(path, os.path.getsize(path) // 2)
            die()

    checkpoints.save_file = half


def before_the_rename(number: int) -> None:
    """Kill between a complete temporary file and its rename."""
    original = os.replace
    calls = 0

    def replace(source, target):
        nonlocal calls
        if "step-" in str(target):
            calls += 1
            if calls == number:
                die()
        return original(source, target)

    files.os.replace = replace


def attempt(dataset: Path, work: Path, sabotage) -> tuple[int, list[str]]:
    """One child; returns its wait status. `sabotage` is called in the child before the run."""
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            register_small()
            if sabotage is not None:
                sabotage()
            request = runs.RunRequest(dataset, "small", SMALL_RUN, device="cpu", work=work)
            for event in runs.run_training(request):
                if isinstance(event, (StepEvent, CheckpointEvent)):
                    (work / "seen").write_text(f"{type(event).__name__} {event.step}")
        except BaseException as error:  # noqa: BLE001 - the parent reads it
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child


def result(work: Path) -> str:
    from safetensors.torch import load_file

    (path,) = work.glob("runs/*/lora.safetensors")
    return digest_tensors(load_file(path))


def trial(dataset: Path, work: Path, *, delay: float | None = None, sabotage=None) -> dict:
    """Kill one attempt, then start again and let it finish."""
    work.mkdir()
    child = attempt(dataset, work, sabotage)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    seen = work / "seen"
    at = seen.read_text() if seen.exists() else "before the first step"
    _, status = os.waitpid(attempt(dataset, work, None), 0)
    (log,) = work.glob("runs/*/events.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    starts = [event["start_step"] for event in events if event["event"] == "settings"]
    leftovers = [path.name for path in work.rglob("*.writing-*")]
    return {
        "killed": killed,
        "at": at,
        "status": status,
        "digest": result(work) if status == 0 else None,
        "resumed_from": starts[-1],
        "leftovers": leftovers,
    }


def main() -> None:
    dataset, folder, count, seed = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:5])
    begun = time.monotonic()
    undisturbed = folder / "undisturbed"
    undisturbed.mkdir()
    _, status = os.waitpid(attempt(dataset, undisturbed, None), 0)
    seconds = time.monotonic() - begun
    if status != 0:
        raise SystemExit("the undisturbed run failed")
    sabotages = {
        "in the first checkpoint": lambda: half_written_checkpoint(1),
        "in the third checkpoint": lambda: half_written_checkpoint(3),
        "before the second rename": lambda: before_the_rename(2),
        "after the last checkpoint": lambda: die_at_call(runs, "write_lora", 1),
    }
    trials = [{"how": "undisturbed", "digest": result(undisturbed), "killed": False}]
    for name, sabotage in sabotages.items():
        found = trial(dataset, folder / name.replace(" ", "-"), sabotage=sabotage)
        trials.append({"how": name, **found})
    chance = random.Random(seed)
    for number in range(count):
        delay = chance.uniform(0.05, 0.95) * seconds
        found = trial(dataset, folder / f"random-{number}", delay=delay)
        trials.append({"how": f"after {delay:.2f} s", **found})
    print(json.dumps(trials))


if __name__ == "__main__":
    main()
