"""Copy a dataset and give each row a drawn depth picture, to try `scoft negatives` without MiDaS.

    python scripts/draw_depth.py DATASET COPY

The depth is no estimate: ground that rises towards us, and in the middle something nearer, of the
picture's own size, 16 bits.
"""

import json
import shutil
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps


def drawn_depth(width: int, height: int) -> Image.Image:
    """Return ground and an ellipse; near is bright."""
    image = Image.new("I", (width, height), 2000)
    draw = ImageDraw.Draw(image)
    horizon = height // 3
    for y in range(horizon, height):
        draw.line((0, y, width, y), fill=2000 + 40000 * (y - horizon) // (height - horizon))
    draw.ellipse((width // 3, height // 4, 2 * width // 3, 9 * height // 10), fill=60000)
    return image.convert("I;16")


def main() -> None:
    """Copy and extend the dataset named on the command line."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    source, copy = map(Path, sys.argv[1:])
    if copy.exists():
        raise SystemExit(f"{copy}: exists already; name a new folder.")
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    (copy / "depth").mkdir(exist_ok=True)
    metadata = copy / "train" / "metadata.jsonl"
    lines, count = [], 0
    for line in metadata.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        # The downloader keeps rows whose picture is gone.
        if "file_name" in row:
            path = copy / "train" / row["file_name"]
            with Image.open(path) as opened:
                width, height = ImageOps.exif_transpose(opened).size
            row["depth"] = f"depth/{path.stem}.png"
            drawn_depth(width, height).save(copy / row["depth"])
            count += 1
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    metadata.write_text("".join(lines), encoding="utf-8")
    print(f"{copy}: {count} depth pictures")


if __name__ == "__main__":
    main()
