"""Write the small stack of random weights that the walkthrough uses.

    python scripts/build_random_stack.py FOLDER

makes FOLDER/base (a text-to-image model in diffusers' layout), FOLDER/controlnet (its depth
ControlNet), FOLDER/clip (a convolutional CLIP in open_clip's local form, for --backbone-weights)
FOLDER/dreamsim (DreamSim's classes, shrunk, as its release unpacks, for --filter-weights) and
FOLDER/blip (BLIP's, shrunk, with a vocabulary of 21 words, for --captioner-weights).
"""

import sys
from pathlib import Path

# The tests know small random networks, and how DreamSim's and BLIP's files look.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from random_stack import save_random_base, save_random_clip, save_random_controlnet
from small_blip import write_blip
from small_networks import write_dreamsim_folder


def main() -> None:
    """Build all in the folder named on the command line."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    if folder.exists():
        raise SystemExit(f"{folder}: exists already; name a new folder.")
    save_random_base(folder / "base")
    save_random_controlnet(folder / "controlnet")
    save_random_clip(folder / "clip")
    write_dreamsim_folder(folder / "dreamsim")
    write_blip(folder / "blip")
    names = ("base", "controlnet", "clip", "dreamsim", "blip")
    print(*(folder / name for name in names), sep="\n")


if __name__ == "__main__":
    main()
