"""A small grid with its dataset, made without a diffusion model: blends of the world's pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

from scoft_training.data import read_dataset
from scoft_training.files import file_sha256
from scoft_training.grids import (
    GridModel,
    GridPicture,
    GridPrompt,
    add_picture,
    batches,
    extended,
    new_grid,
    picture_name,
    write_grid,
)
from scoft_training.miniature.export import ExportSizes, export_sets

SIZES = ExportSizes(train=6, test=8, others=6, crawl=0)
SHARES = {"base": 0.0, "step 100": 0.5, "step 200": 0.9}
"""How much of a picture of the dataset each model's drawings hold."""


def make_dataset(folder: Path) -> Path:
    """Export the miniature's set of the wronged culture: 6 training and 8 held-out pictures."""
    return export_sets(folder, sizes=SIZES)["community"]


def make_grid(folder: Path, dataset: Path, shares=None):
    """Write a grid: 4 training captions x 3, 8 held-out captions (2 x 3, 6 x 1), 5 neutral ones."""
    shares = shares or SHARES
    train, test = read_dataset(dataset), read_dataset(dataset, "test")
    prompts = [
        GridPrompt(row.cultural_caption, "train", (0, 1, 2), row.sha256) for row in train.rows[:4]
    ]
    prompts += [
        GridPrompt(
            row.cultural_caption,
            "test",
            (10 + place, 20 + place, 30 + place) if place < 2 else (10 + place,),
            row.sha256,
        )
        for place, row in enumerate(test.rows)
    ]
    prompts += [GridPrompt(f"a red cup number {n}", "neutral", (40 + n,)) for n in range(5)]
    prompts += [GridPrompt(f"a red cup number {n}", "general", (50 + n,)) for n in range(5)]
    models = [
        GridModel("base")
        if name == "base"
        else GridModel(name, name.encode().hex().ljust(64, "0"), 1.0, int(name[5:]), "run")
        for name in shares
    ]
    grid = extended(new_grid(folder, "miniature", "digest", {"resolution": 128}), models, prompts)
    write_grid(grid)
    paths = {row.sha256: row.image_path for row in (*train.rows, *test.rows)}
    for model, share in shares.items():
        for batch in batches(grid, model, 100):
            for cell in batch:
                path = folder / picture_name(grid, *cell)
                path.parent.mkdir(parents=True, exist_ok=True)
                _blend(paths.get(grid.prompts[cell[1]].picture), share, cell[2]).save(path)
                add_picture(grid, GridPicture(*cell, path, file_sha256(path)))
    return grid


def _blend(original: Path | None, share: float, seed: int) -> Image.Image:
    """Return a picture that is partly the original's, partly blocks drawn by the seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.float64)
    pixels = np.kron(blocks, np.ones((16, 16, 1)))
    if original is not None:
        pixels = share * np.asarray(Image.open(original).convert("RGB")) + (1 - share) * pixels
    return Image.fromarray(pixels.round().astype(np.uint8))
