"""Write the small stack of random weights that the walkthrough and `scoft demo` use.

    python scripts/build_random_stack.py FOLDER

makes FOLDER/base (a text-to-image model in diffusers' layout) and FOLDER/clip (a convolutional CLIP
in open_clip's local form, for --backbone-weights).
"""

import sys
from pathlib import Path

from scoft_training.demo import save_random_base, save_random_clip


def main() -> None:
    """Build both in the folder named on the command line."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    if folder.exists():
        raise SystemExit(f"{folder}: exists already; name a new folder.")
    save_random_base(folder / "base")
    save_random_clip(folder / "clip")
    print(f"{folder / 'base'}\n{folder / 'clip'}")


if __name__ == "__main__":
    main()
