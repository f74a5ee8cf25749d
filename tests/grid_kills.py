"""Grids whose drawing is killed and begun again, in a process that test_grid_drawing.py starts.

The process imports everything but computes nothing, so that it can fork a child per attempt. Prints
a JSON list: per trial how it was killed, how many pictures there were, and the digests of all files
at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: F401 - imported before forking
from stack import small_base

from scoft_training import files, grid_drawing, grids
from scoft_training.config import GenerateConfig
from scoft_training.grids import GridPrompt, GridSource

PROMPTS = [
    GridPrompt("a house", "train", (0, 1, 2)),
    GridPrompt("a bowl", "test", (5,)),
    GridPrompt("an apple", "neutral", (8,)),
    GridPrompt("an apple", "general", (9,)),
]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(module, name, number, half=None) -> None:
    """Kill the process when a function is called the n-th time, after `half` of its work."""
    original, calls = getattr(module, name), 0

    def counting(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == number:
            if half is not None:
                half(*args, **kwargs)
            die()
        return original(*args, **kwargs)

    setattr(module, name, counting)


def half_a_line(grid, picture) -> None:
    with (grid.folder / "pictures.jsonl").open("a") as file:
        file.write('{"model": "base", "prom')


def half_a_picture(path, write) -> None:
    aside = path.with_name(f"{path.name}.writing-{os.getpid()}-abcd")
    aside.parent.mkdir(parents=True, exist_ok=True)
    aside.write_bytes(b"\x89PNG\r\n")


def attempt(folder: Path, lora: Path, sabotage=None) -> int:
    """Draw in a child; returns its number."""
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            if sabotage is not None:
                sabotage()
            request = grid_drawing.GridRequest(
                folder,
                small_base(torch.float32),
                [GridSource("base"), GridSource("ours", lora)],
                PROMPTS,
                GenerateConfig(inference_steps=2, resolution=64),
                batch_size=3,
                device="cpu",
            )
            list(grid_drawing.draw_grid(request))
        except BaseException as error:  # noqa: BLE001 - the parent reads it
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child


def state(folder: Path) -> dict[str, str]:
    """All files of a grid; the record's lines in any order, each once."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("grid.lock", "pictures.jsonl"):
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(
                path.read_bytes()
            ).hexdigest()
    grid = grids.read_grid(folder)
    found["pictures"] = json.dumps([[p.model, p.prompt, p.seed, p.sha256] for p in grid.pictures])
    return found


def trial(how: str, folder: Path, lora: Path, *, delay=None, sabotage=None) -> dict:
    child = attempt(folder, lora, sabotage)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    drawn = len(list(folder.glob("pictures/*/*.png")))
    _, status = os.waitpid(attempt(folder, lora), 0)
    return {
        "how": how,
        "killed": killed,
        "drawn": drawn,
        "files": state(folder) if status == 0 else None,
    }


def main() -> None:
    folder, lora = Path(sys.argv[1]), Path(sys.argv[2])
    begun = time.monotonic()
    _, status = os.waitpid(attempt(folder / "undisturbed", lora), 0)
    seconds = time.monotonic() - begun
    if status != 0:
        raise SystemExit("the undisturbed drawing failed")
    sabotages = {
        "before grid.json": lambda: at_call(grid_drawing, "write_grid", 1),
        "before the first picture": lambda: at_call(grid_drawing, "draw_pictures", 1),
        "in a picture": lambda: at_call(grid_drawing, "write_aside", 2, half_a_picture),
        "before a rename": lambda: at_call(files.os, "replace", 4),
        "before a line": lambda: at_call(grid_drawing, "add_picture", 3),
        "in a line": lambda: at_call(grid_drawing, "add_picture", 5, half_a_line),
        "in the second model": lambda: at_call(grid_drawing, "add_picture", 9),
    }
    trials = [{"how": "undisturbed", "killed": False, "files": state(folder / "undisturbed")}]
    for how, sabotage in sabotages.items():
        trials.append(trial(how, folder / how.replace(" ", "-"), lora, sabotage=sabotage))
    chance = random.Random(20261125)
    for number in range(3):
        delay = chance.uniform(0.1, 0.9) * seconds
        trials.append(trial(f"after {delay:.2f} s", folder / f"{number}", lora, delay=delay))
    print(json.dumps(trials))


if __name__ == "__main__":
    main()
