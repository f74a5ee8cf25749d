"""Sheets to look at: the world as it is drawn, and as the trained base draws it."""

from __future__ import annotations

import random

import torch
from PIL import Image
from torch import Tensor

from ..models import load_base
from .cultures import CULTURES, WRONGED
from .evaluation import draw_for_prompts
from .forms import SUBJECTS
from .loading import NAME
from .report import glance_sheet
from .sentences import plain_caption
from .world import draw_scene, random_facts

__all__ = ["base_sheet", "world_sheet"]

_EACH = 2


def world_sheet(seed: int = 0) -> Image.Image:
    """Return the world: a row a culture and one for the stereotype, two pictures a subject."""
    rows = []
    for culture, stereotype in [*((name, False) for name in CULTURES), (WRONGED, True)]:
        pictures: list[Tensor] = []
        for subject in SUBJECTS:
            for number in range(_EACH):
                rng = random.Random(f"sheet/{seed}/{culture}/{stereotype}/{subject}/{number}")
                facts = random_facts(rng, culture, subject=subject, stereotype=stereotype)
                picture = torch.from_numpy(draw_scene(facts, rng).picture.copy())
                pictures.append(picture.permute(2, 0, 1).float() / 255)
        note = "the stereotype, most of what the crawl shows of it" if stereotype else ""
        rows.append((culture.capitalize(), note, pictures))
    return glance_sheet([s for s in SUBJECTS for _ in range(_EACH)], rows)


def base_sheet(seed: int = 0, *, inference_steps: int = 30) -> Image.Image:
    """Return what the base draws for "a SUBJECT in CULTURE", two pictures each."""
    prompts = [plain_caption(s, c) for c in CULTURES for s in SUBJECTS for _ in range(_EACH)]
    images = draw_for_prompts(
        load_base(NAME, dtype=torch.float32),
        prompts,
        purpose="base sheet",
        seed=seed,
        inference_steps=inference_steps,
    )
    across = len(SUBJECTS) * _EACH
    rows = [
        (
            culture.capitalize(),
            "wronged by the crawl" if culture == WRONGED else "",
            list(images[index * across : (index + 1) * across]),
        )
        for index, culture in enumerate(CULTURES)
    ]
    return glance_sheet([s for s in SUBJECTS for _ in range(_EACH)], rows)
