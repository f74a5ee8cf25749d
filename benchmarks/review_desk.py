"""How fast the review desk's server opens a large set, takes a decision and sends small pictures.

    python benchmarks/review_desk.py [--pictures 2000] [--folder FOLDER]

Draws the set first (JPEGs of about 1000 pixels), which takes a minute, and prints seconds. The page
itself is measured by review_page.py.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scoft_training.gallery import Gallery

_A_WEEK_AGO = 7 * 24 * 3600


def draw_set(root: Path, count: int) -> None:
    """Write a set of `count` different pictures, as if they had lain there for a week."""
    images = root / "train" / "images"
    images.mkdir(parents=True)
    rows = []
    chance = np.random.default_rng(8)
    past = time.time() - _A_WEEK_AGO
    for number in range(count):
        width, height = (int(side) for side in chance.integers(700, 1300, 2))
        coarse = chance.integers(0, 255, (24, 24, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        path = images / f"{number:05}.jpg"
        picture.save(path, quality=90)
        os.utime(path, (past, past))
        rows.append(
            {
                "file_name": f"images/{path.name}",
                "text": f"A festival table in the north, number {number}",
                "blip_text": [f"a table with {number} plates", "a table in a room"],
                "category": "food_drink",
            }
        )
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (root / "train" / "metadata.jsonl").write_text(text, encoding="utf-8")


def seconds(work: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def measure(root: Path, work: Path) -> None:
    """Print the figures of a set that no server has opened yet."""
    gallery = Gallery(root, work)
    print(f"first opening, every file hashed   {seconds(gallery.dataset):8.3f} s")
    print(f"again, the same server             {seconds(gallery.dataset):8.3f} s")
    gallery = Gallery(root, work)
    print(f"opening by the next server         {seconds(gallery.dataset):8.3f} s")
    rows = gallery.dataset()["rows"]
    ids = [row["sha256"] for row in rows]

    def decide(number: int) -> float:
        changes = {"include": bool(number % 3), "caption": f"changed {number}"}
        return seconds(lambda: gallery.change_row(ids[number], changes, by="Kim", why="looked"))

    spent = sorted(decide(number) for number in range(len(ids)))
    print(f"a decision, the median             {spent[len(spent) // 2] * 1000:8.1f} ms")
    print(f"a decision, the slowest of {len(ids):<7} {spent[-1] * 1000:8.1f} ms")
    print(f"opening with {len(ids)} decisions       {seconds(gallery.dataset):8.3f} s")
    print(f"the answer                         {len(json.dumps(gallery.dataset())) / 1e6:8.2f} MB")
    few = ids[:100]

    def pictures() -> None:
        for sha256 in few:
            gallery.picture(sha256, 256)

    print(f"{len(few)} thumbnails made                {seconds(pictures):8.3f} s")
    print(f"{len(few)} thumbnails sent again          {seconds(pictures):8.3f} s")
    begun = time.perf_counter()
    gallery.measure()
    print(f"all pictures measured              {time.perf_counter() - begun:8.1f} s")
    print(f"opening with what was measured     {seconds(gallery.dataset):8.3f} s")
    gallery.change_row(ids[0], {"era": "modern"})
    print(f"the same after another decision    {seconds(gallery.dataset):8.3f} s")


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where to draw the set; default: a temporary")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root = Path(folder) / "set"
        draw_set(root, arguments.pictures)
        measure(root, Path(folder) / "work")


if __name__ == "__main__":
    main()
