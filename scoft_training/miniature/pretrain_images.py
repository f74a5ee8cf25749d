"""The stages that look: the CLIP for the losses, the judge for the metrics, the depth network."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..backbone_interface import PerceptualBackbone
from ..draws import generator
from .canvas import SIZE
from .cultures import CULTURES
from .forms import SUBJECTS
from .pretrain_loop import LoopSettings, OnStep, quiet, run_loop
from .pretrain_vae import to_pixel_values
from .sentences import crawl_caption, plain_caption
from .sets import balanced_facts, crawl_facts, scenes
from .small_networks import (
    CLIP_CONFIG,
    PICTURE_MEAN,
    PICTURE_STD,
    DepthNetwork,
    JudgeNetwork,
    ScoreNetwork,
    fact_labels,
    new_clip,
)
from .world import Facts

__all__ = [
    "CLIP_SETTINGS",
    "CLIP_TEXT_SETTINGS",
    "DEPTH_SETTINGS",
    "JUDGE_SETTINGS",
    "clip_accuracy",
    "clip_separation",
    "depth_error",
    "judge_accuracy",
    "pretrain_clip",
    "pretrain_clip_text",
    "pretrain_depth",
    "pretrain_judge",
]

CLIP_SETTINGS = LoopSettings(
    steps=1200, learning_rate=2e-3, warmup=50, hold=0.3, weight_decay=0.02, average=0.99
)
CLIP_TEXT_SETTINGS = LoopSettings(
    steps=1500, learning_rate=3e-3, warmup=50, hold=0.3, weight_decay=0.02, average=0.99
)
JUDGE_SETTINGS = LoopSettings(
    steps=1000, learning_rate=3e-3, warmup=100, hold=0.3, weight_decay=0.02, average=0.99
)
DEPTH_SETTINGS = LoopSettings(steps=1000, learning_rate=2e-3, warmup=50, hold=0.3, average=0.99)

_CLIP_BATCH, _CLIP_PICTURES = 96, 16_000
_JUDGE_BATCH, _JUDGE_PICTURES = 64, 10_000
_DEPTH_BATCH, _DEPTH_PICTURES = 16, 6_000
_HELD_OUT = 500
_MAX_LOGIT_SCALE = 60.0


def _drawn(
    name: str, seed: int, count: int, facts_draw: Callable[[random.Random, int], Facts]
) -> tuple[Tensor, Tensor, list[Facts]]:
    """Return pictures (count, 3, 128, 128) and depth (count, 128, 128), uint8, and facts."""
    pictures = np.empty((count, SIZE, SIZE, 3), np.uint8)
    depth = np.empty((count, SIZE, SIZE), np.uint8)
    facts = []
    for index, scene in enumerate(scenes(name, seed, count, facts_draw)):
        pictures[index], depth[index] = scene.picture, scene.depth
        facts.append(scene.facts)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(depth), facts


def _softened(pixel_values: Tensor, draw: torch.Generator) -> Tensor:
    """A third of the pictures at half or a quarter of their sharpness, all a little noisy.

    What a small diffusion model draws is soft, and these networks have to read it.
    """
    kind = torch.rand(len(pixel_values), 1, 1, 1, generator=draw)
    size = pixel_values.shape[-2:]
    soft = {}
    for factor in (2, 4):
        small = nn.functional.avg_pool2d(pixel_values, factor)
        soft[factor] = nn.functional.interpolate(small, size=size, mode="bilinear")
    pixel_values = torch.where(kind < 0.2, soft[2], pixel_values)
    pixel_values = torch.where(kind > 0.87, soft[4], pixel_values)
    strength = 0.08 * torch.rand(len(pixel_values), 1, 1, 1, generator=draw)
    return pixel_values + strength * torch.randn(pixel_values.shape, generator=draw)


def _mirrored(pixel_values: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    flips = torch.rand(len(pixel_values), generator=draw) < 0.5
    return torch.where(flips.view(-1, 1, 1, 1), pixel_values.flip(3), pixel_values), flips


def pretrain_judge(
    seed: int,
    folder: Path,
    settings: LoopSettings = JUDGE_SETTINGS,
    *,
    num_pictures: int = _JUDGE_PICTURES,
    on_step: OnStep = quiet,
) -> JudgeNetwork:
    """Train the judge on balanced pictures and their true facts; returns it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 3)
        judge = JudgeNetwork()
    judge.train().to(memory_format=torch.channels_last)
    pictures, _, facts = _drawn("judge", seed, num_pictures, balanced_facts)
    labels = fact_labels(facts)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        draw = generator(seed, "judge", step)
        rows = torch.randint(num_pictures, (_JUDGE_BATCH,), generator=draw)
        pixel_values, _ = _mirrored(to_pixel_values(pictures[rows]), draw)
        pixel_values = _softened(pixel_values, draw)
        scores = judge(pixel_values.contiguous(memory_format=torch.channels_last))
        losses = [
            nn.functional.cross_entropy(scores[question], labels[question][rows])
            for question in scores
        ]
        loss = torch.stack(losses).sum()
        return loss, {"cross_entropy": loss.item()}

    run_loop([judge], loss_at, settings, folder, on_step=on_step)
    _settle_batch_norms(judge, num_pictures, lambda part: judge(to_pixel_values(pictures[part])))
    return judge


@torch.no_grad()
def judge_accuracy(judge: JudgeNetwork, seed: int) -> dict[str, float]:
    """Return the share of right answers to 700 pictures it never saw, by question."""
    pictures, _, facts = _drawn("judge held out", seed, 700, balanced_facts)
    labels = fact_labels(facts)
    scores = [judge(to_pixel_values(part)) for part in torch.split(pictures, 100)]
    return {
        question: (torch.cat([s[question] for s in scores]).argmax(1) == answers)
        .float()
        .mean()
        .item()
        for question, answers in labels.items()
    }


def _settle_batch_norms(
    network: nn.Module, num_pictures: int, look: Callable[[Tensor], object]
) -> None:
    """Measure the batch norms anew: the averaged weights are not those they followed."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of what follows
    network.train()
    with torch.no_grad():
        for part in torch.split(torch.arange(min(4000, num_pictures)), 100):
            look(part)
    network.eval()
    for norm in norms:
        norm.momentum = 0.1


def _clip_pixels(pictures: Tensor) -> Tensor:
    """uint8 pictures -> what the CLIP sees: half the size, CLIP's mean and deviation."""
    images = nn.functional.interpolate(
        pictures.float() / 255, size=SIZE // 2, mode="bicubic", antialias=True
    )
    mean, std = (torch.tensor(row).view(3, 1, 1) for row in (PICTURE_MEAN, PICTURE_STD))
    return (images - mean) / std


def _clip_tokens(tokenizer: Any, sentences: list[str]) -> Tensor:
    answer = tokenizer(
        sentences,
        padding="max_length",
        truncation=True,
        max_length=CLIP_CONFIG["text_cfg"]["context_length"],
        return_tensors="pt",
    )
    tokens: Tensor = answer.input_ids
    return tokens


def pretrain_clip(
    seed: int,
    tokenizer: Any,
    folder: Path,
    settings: LoopSettings = CLIP_SETTINGS,
    *,
    num_pictures: int = _CLIP_PICTURES,
    on_step: OnStep = quiet,
) -> Any:
    """Train a CLIP on the crawl's pictures and captions, bias and all; returns it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 4)
        clip = new_clip(len(tokenizer))
    clip.train()
    pictures, _, facts = _drawn("crawl", seed, num_pictures, crawl_facts)
    pixels = torch.cat([_clip_pixels(part).half() for part in torch.split(pictures, 200)])
    del pictures
    tokens = _crawl_tokens(tokenizer, facts, seed)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        draw = generator(seed, "clip", step)
        rows = torch.randint(num_pictures, (_CLIP_BATCH,), generator=draw)
        shown, _ = _mirrored(pixels[rows].float(), draw)
        said = tokens[int(torch.randint(2, (1,), generator=draw)), rows]
        image_embeds = clip.encode_image(_softened(shown, draw), normalize=True)
        text_embeds = clip.encode_text(said, normalize=True)
        loss = _contrastive(clip.logit_scale, image_embeds, text_embeds, said)
        return loss, {"contrastive": loss.item()}

    run_loop([clip], loss_at, settings, folder, on_step=on_step)
    _settle_batch_norms(clip.visual, num_pictures, lambda part: clip.visual(pixels[part].float()))
    return clip.eval()


def pretrain_clip_text(
    seed: int,
    tower: nn.Module,
    tokenizer: Any,
    folder: Path,
    settings: LoopSettings = CLIP_TEXT_SETTINGS,
    *,
    num_pictures: int = _CLIP_PICTURES,
    on_step: OnStep = quiet,
) -> ScoreNetwork:
    """Train a text tower and a projection on the CLIP's frozen picture tower; returns both.

    So a score of pictures and texts needs no other picture tower than the one that is shipped. It
    learns from the pictures and captions that the CLIP learned from.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 6)
        network = ScoreNetwork(len(tokenizer))
    network.visual.load_state_dict(tower.state_dict())
    network.visual.requires_grad_(False)
    network.eval()
    pictures, _, facts = _drawn("crawl", seed, num_pictures, crawl_facts)
    pooled = _pooled_versions(network, pictures, seed)
    del pictures
    tokens = _crawl_tokens(tokenizer, facts, seed)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        draw = generator(seed, "clip text", step)
        rows = torch.randint(num_pictures, (_CLIP_BATCH,), generator=draw)
        shown = pooled[int(torch.randint(len(pooled), (1,), generator=draw)), rows]
        said = tokens[int(torch.randint(2, (1,), generator=draw)), rows]
        image_embeds = nn.functional.normalize(network.projection(shown), dim=1)
        text_embeds = nn.functional.normalize(network.encode_text(said), dim=1)
        loss = _contrastive(network.text.logit_scale, image_embeds, text_embeds, said)
        return loss, {"contrastive": loss.item()}

    run_loop([network], loss_at, settings, folder, on_step=on_step)
    return network


@torch.no_grad()
def _pooled_versions(network: ScoreNetwork, pictures: Tensor, seed: int) -> Tensor:
    """(count, 3, 128, 128) uint8 -> (3, count, 384): each picture softened in three ways."""
    versions = []
    for version in range(3):
        draw = generator(seed, "clip text pictures", version)
        parts = [
            network.pooled(_softened(_mirrored(_clip_pixels(part), draw)[0], draw))
            for part in torch.split(pictures, 200)
        ]
        versions.append(torch.cat(parts))
    return torch.stack(versions)


def _crawl_tokens(tokenizer: Any, facts: list[Facts], seed: int) -> Tensor:
    """Two captions of each picture of the crawl, (2, pictures, tokens)."""
    sentences = [
        crawl_caption(fact, random.Random(f"clip/{seed}/{version}/{index}"))
        for version in range(2)
        for index, fact in enumerate(facts)
    ]
    return _clip_tokens(tokenizer, sentences).view(2, len(facts), -1)


def _contrastive(
    logit_scale: Tensor, image_embeds: Tensor, text_embeds: Tensor, said: Tensor
) -> Tensor:
    """CLIP's loss of vectors of length 1, of pictures and what is said of them, in tokens."""
    logits = logit_scale.exp().clamp(max=_MAX_LOGIT_SCALE) * image_embeds @ text_embeds.T
    # Equal captions are equally right.
    right = (said[:, None] == said[None]).all(-1).float()
    right = right / right.sum(1, keepdim=True)
    there, back = (nn.functional.cross_entropy(one, right) for one in (logits, logits.T))
    return (there + back) / 2


@torch.no_grad()
def clip_accuracy(clip: Any, tokenizer: Any, seed: int) -> dict[str, float]:
    """Return how often the CLIP picks the right "a SUBJECT in CULTURE" of 36, unseen pictures.

    The pictures are the crawl's; "right pictures" are those of all cultures without the stereotype.
    """
    pictures, _, facts = _drawn("crawl held out", seed, _HELD_OUT, crawl_facts)
    prompts = [plain_caption(subject, culture) for culture in CULTURES for subject in SUBJECTS]
    text_embeds = nn.functional.normalize(clip.encode_text(_clip_tokens(tokenizer, prompts)), dim=1)
    image_embeds = nn.functional.normalize(clip.encode_image(_clip_pixels(pictures)), dim=1)
    chosen = (image_embeds @ text_embeds.T).argmax(1).tolist()
    hits = [
        prompts[pick] == plain_caption(fact.subject, fact.culture)
        for pick, fact in zip(chosen, facts, strict=True)
    ]
    right = [hit for hit, fact in zip(hits, facts, strict=True) if not fact.stereotype]
    return {
        "subject and culture": sum(hits) / len(hits),
        "subject and culture, right pictures": sum(right) / len(right),
    }


@torch.no_grad()
def clip_separation(tower: PerceptualBackbone, seed: int) -> dict[str, float]:
    """Return how far the shipped tower tells pictures apart by what they show.

    Of every unseen picture, does its nearest neighbour among the others show the same subject of
    the same culture (or both the stereotype)? Chance is one in 42.
    """
    pictures, _, facts = _drawn("clip held out", seed, 700, balanced_facts)
    features = torch.cat(
        [tower.features(part.float() / 255)[0] for part in torch.split(pictures, 100)]
    )
    distances = torch.cdist(features.flatten(1), features.flatten(1))
    nearest = distances.fill_diagonal_(torch.inf).argmin(1).tolist()
    kinds = [(fact.subject, fact.culture, fact.stereotype) for fact in facts]
    hits = [kind == kinds[near] for kind, near in zip(kinds, nearest, strict=True)]
    return {"nearest neighbour of the same kind": sum(hits) / len(hits), "chance": 1 / 42}


def pretrain_depth(
    seed: int,
    folder: Path,
    settings: LoopSettings = DEPTH_SETTINGS,
    *,
    num_pictures: int = _DEPTH_PICTURES,
    on_step: OnStep = quiet,
) -> DepthNetwork:
    """Train the depth network on balanced pictures and their exact depth; returns it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 5)
        network = DepthNetwork()
    network.train().to(memory_format=torch.channels_last)
    pictures, depth, _ = _drawn("depth", seed, num_pictures, balanced_facts)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        draw = generator(seed, "depth", step)
        rows = torch.randint(num_pictures, (_DEPTH_BATCH,), generator=draw)
        pixel_values, flips = _mirrored(to_pixel_values(pictures[rows]), draw)
        target = depth[rows].float() / 255
        target = torch.where(flips.view(-1, 1, 1), target.flip(2), target)
        pixel_values = _softened(pixel_values, draw)
        estimate = network(pixel_values.contiguous(memory_format=torch.channels_last))
        loss = (estimate - target).abs().mean()
        return loss, {"l1": loss.item()}

    run_loop([network], loss_at, settings, folder, on_step=on_step)
    return network.eval()


@torch.no_grad()
def depth_error(network: DepthNetwork, seed: int) -> dict[str, float]:
    """Return the mean absolute error on 350 unseen pictures, and that of the best constant map.

    Depth is 0 to 1. The constant map is the mean depth of those pictures, place by place.
    """
    pictures, depth, _ = _drawn("depth held out", seed, 350, balanced_facts)
    target = depth.float() / 255
    estimate = torch.cat([network(to_pixel_values(part)) for part in torch.split(pictures, 50)])
    return {
        "l1": (estimate - target).abs().mean().item(),
        "l1 of the mean map": (target.mean(0) - target).abs().mean().item(),
    }
