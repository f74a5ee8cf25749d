"""Copy a dataset and give each row two made-up negatives, to try training before any are drawn.

    python scripts/bring_negatives.py DATASET COPY

The negatives are the picture itself in grey and the picture blurred and darkened: of its layout,
and not what the caption says. They stand in for pictures that the model draws itself.
"""

import json
import shutil
import sys
from pathlib import Path

from PIL import Image, ImageFilter, ImageOps


def main() -> None:
    """Copy and extend the dataset named on the command line."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    source, copy = map(Path, sys.argv[1:])
    if copy.exists():
        raise SystemExit(f"{copy}: exists already; name a new folder.")
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    folder = copy / "negative_images"
    folder.mkdir(exist_ok=True)
    metadata = copy / "train" / "metadata.jsonl"
    lines = []
    for line in metadata.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        path = copy / "train" / row["file_name"]
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        grey = ImageOps.grayscale(image).convert("RGB")
        dull = image.filter(ImageFilter.GaussianBlur(image.width / 60)).point(lambda v: v * 0.6)
        row["negative_imgpath"] = []
        for index, negative in enumerate((grey, dull)):
            name = f"negative_images/{path.stem}_{index}.png"
            negative.save(copy / name)
            row["negative_imgpath"].append(name)
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    metadata.write_text("".join(lines), encoding="utf-8")
    print(f"{copy}: {len(lines)} rows, {2 * len(lines)} negatives")


if __name__ == "__main__":
    main()
