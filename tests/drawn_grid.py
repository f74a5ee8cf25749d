"""A grid of plain pictures for the models of `made_scores`, with the nearest training pictures."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from made_scores import OTHER, made_scores
from PIL import Image, ImageDraw

from scoft_training.files import file_sha256
from scoft_training.grids import (
    GridPicture,
    GridPrompt,
    add_picture,
    extended,
    new_grid,
    picture_name,
    read_grid,
    write_grid,
)
from scoft_training.score_records import Nearest

ATTACK = "<script>document.title='attacked'</script> a temple"
CAPTIONS = ["a red gate in the rain", "한복을 입은 여인", "امرأة ترتدي ثوبًا", ATTACK]


def colour(*key):
    """Return a colour that belongs to these words."""
    return tuple(hashlib.sha256(repr(key).encode()).digest()[:3])


def plain(*key, size=(96, 96)):
    """Return a picture of one colour with a bar that tells its number."""
    picture = Image.new("RGB", size, colour(*key))
    ImageDraw.Draw(picture).rectangle((10, 10, 40, 20), fill="white")
    return picture


def drawn_grid(folder, scores=None, *, missing=()):
    """Write a grid of plain pictures; return it as it is read again.

    Args:
        folder: of the grid.
        scores: whose models draw.
        missing: (model, prompt) that are not drawn.
    """
    scores = scores or made_scores()
    prompts = [GridPrompt(text, "train", (0, 1), f"{n:064x}") for n, text in enumerate(CAPTIONS)]
    prompts += [
        GridPrompt(f"held out {text}", "test", (10 + n,)) for n, text in enumerate(CAPTIONS)
    ]
    prompts += [GridPrompt(f"a cup, number {n}", "neutral", (20 + n,)) for n in range(3)]
    prompts += [GridPrompt(f"a cup, number {n}", "general", (30 + n,)) for n in range(3)]
    models = [one.model for one in scores.models]
    grid = extended(new_grid(folder, "miniature", "digest", {"resolution": 96}), models, prompts)
    write_grid(grid)
    for model in models:
        for number, prompt in enumerate(prompts):
            for seed in prompt.seeds:
                if prompt.role == "general" and model.name != "base":
                    continue
                if (model.name, number) in missing:
                    continue
                path = folder / picture_name(grid, model.name, number, seed)
                path.parent.mkdir(parents=True, exist_ok=True)
                plain(model.name, number, seed).save(path)
                add_picture(grid, GridPicture(model.name, number, seed, path, file_sha256(path)))
    return read_grid(folder)


def with_nearest(scores, grid):
    """Return the scores with two nearest training pictures a model, which are written, too."""
    found = []
    for one in scores.models:
        for number, cosine in ((0, 0.61), (1, 0.93)):
            picture = next(
                p for p in grid.pictures if (p.model, p.prompt) == (one.model.name, number)
            )
            training = grid.folder.parent / "dataset" / f"{number}.png"
            training.parent.mkdir(exist_ok=True)
            plain("training", number, size=(120, 80)).save(training)
            found.append(
                Nearest(
                    one.model.name,
                    picture.path.relative_to(grid.folder).as_posix(),
                    CAPTIONS[number] if number else ATTACK,
                    file_sha256(training),
                    f"../dataset/{number}.png",
                    cosine,
                    own=number == 1,
                )
            )
    return replace(scores, nearest=tuple(found))


__all__ = ["ATTACK", "CAPTIONS", "OTHER", "colour", "drawn_grid", "plain", "with_nearest"]
