"""Small drawn pictures and a set of them, for tests of what is measured of pictures."""

import json
import random

from PIL import Image, ImageDraw


def drawing(seed, size=(640, 560)):
    """Return a scene of lines and shapes on a shaded ground: sharp, and like no other seed's."""
    rng = random.Random(seed)
    small = Image.new("L", (4, 4))
    small.putdata([rng.randrange(40, 220) for _ in range(16)])
    image = small.resize(size, Image.Resampling.BICUBIC).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        w, h = rng.randrange(20, size[0] // 2), rng.randrange(20, size[1] // 2)
        colour = tuple(rng.randrange(256) for _ in range(3))
        shape = rng.choice((draw.ellipse, draw.rectangle))
        shape((x - w // 2, y - h // 2, x + w // 2, y + h // 2), fill=colour, outline="black")
    return image


def write_set(root, pictures, split="train", captions=None, **columns):
    """Write pictures as a split; captions are "picture <seed words>" unless given."""
    folder = root / split
    (folder / "images").mkdir(parents=True)
    lines = []
    for number, picture in enumerate(pictures):
        name = f"images/{number:04}.png"
        picture.save(folder / name)
        caption = captions[number] if captions else f"scene {number * 7919 % 1009} of {split}"
        lines.append(json.dumps({"file_name": name, "text": caption, **columns}))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return root
