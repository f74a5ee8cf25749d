"""Grids of made pictures to ask about, whose files tell on purpose which model drew them."""

import hashlib
import json
import re

import numpy as np
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from scoft_training.files import file_sha256
from scoft_training.grids import (
    GridModel,
    GridPicture,
    GridPrompt,
    add_picture,
    extended,
    new_grid,
    picture_name,
    read_grid,
    write_grid,
)

MODELS = ("base", "Zweitmodell", "Drittmodell")


def lora_digest(name):
    """Return what grid.json says of a model's LoRA."""
    return hashlib.sha256(name.encode()).hexdigest()


def picture(*key, size=(160, 160)):
    """Return a picture that belongs to these words."""
    seed = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little")
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def save_telling(image, path, name):
    """Save a picture as PNG with all that a file can say of its origin."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chunks = PngInfo()
    chunks.add_text("parameters", f"drawn by {name}")
    chunks.add_itxt("prompt", f"LoRA {name}")
    exif = Image.Exif()
    exif[0x0131] = f"software {name}"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(path, pnginfo=chunks, exif=exif, icc_profile=profile, dpi=(123, 123))


def grid_of(folder, prompts, *, models=MODELS, missing=(), sizes=None):
    """Write a grid; return it as it is read again.

    Args:
        folder: of the grid.
        prompts: its prompts.
        models: names.
        missing: (model, index of the prompt, seed) that are not drawn.
        sizes: model -> size of its pictures.
    """
    asked = [
        GridModel(name) if name == "base" else GridModel(name, lora_digest(name), 0.75)
        for name in models
    ]
    grid = extended(new_grid(folder, "tiny", "digest", {"resolution": 160}), asked, prompts)
    write_grid(grid)
    for name, number, seed in grid.missing():
        if (name, number, seed) in missing:
            continue
        path = folder / picture_name(grid, name, number, seed)
        size = (sizes or {}).get(name, (160, 160))
        save_telling(picture(name, number, seed, size=size), path, name)
        add_picture(grid, GridPicture(name, number, seed, path, file_sha256(path)))
    return read_grid(folder)


def prompts_of(count, *, culture="Korea", seeds=(7,), role="test", categories=("food",)):
    """Return prompts whose categories take turns."""
    return [
        GridPrompt(
            f"{role} prompt {n} of {culture}",
            role,
            seeds,
            culture=culture,
            category=categories[n % len(categories)],
        )
        for n in range(count)
    ]


def data_of(path):
    """Return what a page was made of, as the page reads it."""
    text = path.read_text(encoding="utf-8")
    (found,) = re.findall(
        r'<script type="application/json" id="survey-data">(.*?)</script>', text, re.DOTALL
    )
    return json.loads(found)
