"""An ablation on the miniature that is killed again and again, beside one that is not.

Started by test_ablation.py in a process of its own, which imports everything and then forks one
child per attempt. An attempt dies in the middle of one of its writes: the temporary file is there,
its rename is not. Prints the figures of both, and how often the second one was killed, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import peft  # noqa: F401 - imported once, before forking
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: F401

from scoft_training import files
from scoft_training.ablation import run_ablation
from scoft_training.ablation_file import read_ablation
from scoft_training.events import FinishedEvent
from scoft_training.miniature.export import ExportSizes, export_sets
from scoft_training.miniature.loading import register

WRITES, MORE_WRITES = 9, 2
"""Of the first attempt before it is killed, and of each later one more than of the one before.

What they wrote stays; but a report is written wholly or again, and has as many files as it has.
"""

FILE = """
base = "miniature"
device = "cpu"
seeds = [0]
[[cultures]]
name = "avelun"
dataset = "sets/avelun"
work = "{work}"
[train]
steps = 3
save_every = 1
batch_size = 2
resolution = 128
rank = 2
perceptual_backbone = "miniature_clip"
perceptual_every = 2
ddim_steps = 2
[memory]
memory = "fast"
[arms.ldm]
preset = "ldm"
[arms.mpc]
preset = "mpc"
[negatives]
controlnet = "miniature"
depth_weights = "miniature"
negatives_per_picture = 1
inference_steps = 2
filter_backbone = "none"
[grid]
train_captions = 2
pictures_per_caption = 2
test_captions = 3
many_test_captions = 1
neutral_prompts = 3
batch_size = 2
[draw]
inference_steps = 2
[score]
kid_network = "miniature_judge"
clip_network = "none"
similarity_networks = "miniature_judge"
diversity_network = "none"
"""


def attempt(root: Path, name: str, writes: int | None) -> bool:
    """Go on with an ablation in a child, which is killed in its n-th write; tells if it ended."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return status == 0
    try:
        if writes is not None:
            die_at(writes)
        path = root / f"{name}.toml"
        path.write_text(FILE.format(work=f"work-{name}"))
        *_, last = run_ablation(read_ablation(path, folder=root / name))
        os._exit(0 if isinstance(last, FinishedEvent) else 1)
    finally:
        os._exit(2)


def die_at(number: int) -> None:
    replace, left = files.os.replace, [number]

    def dying(source, target):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    files.os.replace = dying


def figures(folder: Path) -> dict:
    """All numbers of the report but the seconds, which nobody can repeat."""
    trials = json.loads((folder / "tables.json").read_text())["trials"]
    for trial in trials:
        for of_arm in trial["figures"].values():
            del of_arm["seconds"]
    return {f"{trial['culture']}-{trial['seed']}": trial["figures"] for trial in trials}


def main() -> None:
    root = Path(sys.argv[1])
    torch.set_num_threads(1)
    export_sets(root / "sets", seed=3, sizes=ExportSizes(train=3, test=4, others=0, crawl=0))
    register()
    if not attempt(root, "whole", None):
        raise SystemExit("The undisturbed ablation did not end.")
    kills = 0
    while not attempt(root, "killed", WRITES + MORE_WRITES * kills):
        kills += 1
        if kills > 40:
            raise SystemExit("The killed ablation does not get on.")
    loras = {
        name: sorted(
            path.parent.name for path in (root / f"work-{name}" / "runs").glob("*/lora.safetensors")
        )
        for name in ("whole", "killed")
    }
    found = {"whole": figures(root / "whole"), "killed": figures(root / "killed")}
    print(json.dumps({"kills": kills, "loras": loras, **found}))


if __name__ == "__main__":
    main()
