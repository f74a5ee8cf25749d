"""What the unmodified base draws: the thing asked for, its bias, the depth it is held to."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from ..backbones import load_backbone
from ..models import load_base
from .cultures import CULTURES, WRONGED
from .evaluation import draw_for_prompts
from .forms import SUBJECTS
from .loading import JUDGE, NAME, WEIGHTS, load_depth_network
from .sentences import plain_caption
from .sets import scenes
from .small_networks import STYLES
from .world import Facts, random_facts

__all__ = ["base_accuracy", "depth_following"]


def base_accuracy(
    *, pictures_each: int = 10, seed: int = 2, inference_steps: int = 20
) -> dict[str, float]:
    """Return what the judge says of the base's pictures for "a SUBJECT in CULTURE".

    `category asked for`: over the cultures that were not wronged, the share with the right subject;
    `culture asked for`: the share that is of the right culture; `stereotype`: over the wronged
    culture, the share that is the stereotype; `right`: that is the culture as it is.
    """
    base = load_base(NAME, dtype=torch.float32)
    judge: Any = load_backbone(JUDGE, device="cpu", dtype=torch.float32)
    cultures = STYLES[:-1]
    asked = [
        (subject, culture)
        for culture in cultures
        for subject in SUBJECTS
        for _ in range(pictures_each)
    ]
    images = draw_for_prompts(
        base,
        [plain_caption(subject, culture) for subject, culture in asked],
        purpose="base accuracy",
        seed=seed,
        inference_steps=inference_steps,
    )
    answers = [judge.answers(part) for part in torch.split(images, 100)]
    subjects = torch.cat([answer["subject"] for answer in answers]).argmax(1).tolist()
    styles = torch.cat([answer["style"] for answer in answers]).argmax(1).tolist()
    others = [
        (SUBJECTS[found] == subject, STYLES[style] == culture)
        for (subject, culture), found, style in zip(asked, subjects, styles, strict=True)
        if culture != WRONGED
    ]
    wronged = [
        STYLES[style]
        for (_, culture), style in zip(asked, styles, strict=True)
        if culture == WRONGED
    ]
    return {
        "category asked for, other cultures": sum(hit for hit, _ in others) / len(others),
        "culture asked for, other cultures": sum(hit for _, hit in others) / len(others),
        "stereotype, wronged culture": wronged.count("stereotype") / len(wronged),
        "right, wronged culture": wronged.count(WRONGED) / len(wronged),
    }


def depth_following(
    weights: Path = WEIGHTS, *, pictures: int = 60, seed: int = 2
) -> dict[str, float]:
    """Return how far the depth of drawings is from the depth that the ControlNet was given.

    Mean absolute differences of depths in [0, 1], by the depth network, which the ControlNet never
    met: to the depth asked for; to that of another picture of the same subject, which is what a
    drawing that ignores it comes to; and to the depth asked for when it was not given.

    Args:
        weights: where the depth network is read from; the rest comes from the registries.
        pictures: drawn with the depth, and as many without.
        seed: of scenes and noise.
    """
    given = list(scenes("depth asked", seed, pictures, _each_in_turn))
    prompts = [plain_caption(scene.facts.subject, scene.facts.culture) for scene in given]
    asked = torch.stack([torch.from_numpy(scene.depth.copy()) for scene in given]).float() / 255
    network = load_depth_network(weights)
    base = load_base(NAME, dtype=torch.float32)
    found = [
        network(
            2
            * draw_for_prompts(
                base,
                prompts,
                purpose="depth following",
                seed=seed,
                inference_steps=20,
                depth=depth,
            )
            - 1
        )
        for depth in (asked, None)
    ]
    held, free = found
    others = asked.roll(len(SUBJECTS), 0)
    return {
        "l1 to the depth asked for": (held - asked).abs().mean().item(),
        "l1 to another's depth": (held - others).abs().mean().item(),
        "l1 to it, drawn without": (free - asked).abs().mean().item(),
    }


def _each_in_turn(rng: random.Random, index: int) -> Facts:
    """Facts of a right picture, subject by subject, so that one a round later has the same."""
    culture = rng.choice(list(CULTURES))
    return random_facts(rng, culture, subject=SUBJECTS[index % len(SUBJECTS)])
