"""What a LoRA did to the miniature, measured: the same prompts and the same noise for every arm.

The judge measures; no loss ever sees it. The network that the losses do see gives its own figures
beside, to show how far the two agree.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..backbone_interface import PerceptualBackbone
from ..backbones import load_backbone
from ..control_models import load_controlnet
from ..generation import draw_pictures, starting_noise
from ..lora_layers import Lora, applied_lora
from ..metrics import class_accuracy, diversity, embed, kid, similarity
from ..models import BaseModel, load_base
from ..negatives import depth_residuals
from ..predictor import NoisePredictor
from .cultures import CULTURES, WRONGED
from .export import cultural_row, right_scenes
from .loading import BACKBONE, JUDGE, NAME
from .sets import scenes
from .small_networks import STYLES, fact_labels
from .world import Facts, Scene, random_facts

__all__ = ["EvaluationSizes", "Evaluator", "Figures", "draw_for_prompts"]

GUIDANCE_SCALE = 3.0
_BATCH = 25
_REFERENCES = 300
_OTHERS = [name for name in CULTURES if name != WRONGED]


@dataclass(frozen=True)
class EvaluationSizes:
    """How much is drawn for one evaluation.

    Attributes:
        test: pictures for held-out captions of the wronged culture, as many as real ones.
        others: the same for the other cultures.
        captions: of training rows, and of held-out ones, that are drawn many times.
        pictures: for each of these captions.
        inference_steps: DDIM steps of every picture.
    """

    test: int = 180
    others: int = 100
    captions: int = 10
    pictures: int = 10
    inference_steps: int = 15


@dataclass(frozen=True)
class Figures:
    """One model's figures. KID is x 1000, in the network's own units: compare inside a table only.

    Attributes:
        kid: of pictures for held-out captions to 300 held-out pictures, others than those that the
            captions were written for, by the judge.
        right: share of them that the judge takes for the wronged culture as it is.
        stereotype: share that it takes for the stereotype.
        subject: share that show the subject that was asked for.
        similarity: memorization, cosine to the training picture of the same caption; lower is less
            copied.
        diversity_train: among pictures of one training caption; higher is more varied.
        diversity_test: among pictures of one held-out caption.
        kid_others: the other cultures' KID: was anything else harmed?
        right_others: share of the other cultures' pictures that the judge takes for theirs.
        seen_kid: `kid` by the network that the losses see.
        seen_similarity: `similarity` likewise.
    """

    kid: float
    right: float
    stereotype: float
    subject: float
    similarity: float
    diversity_train: float
    diversity_test: float
    kid_others: float
    right_others: float
    seen_kid: float
    seen_similarity: float

    def as_dict(self) -> dict[str, float]:
        """Return the figures by name."""
        return asdict(self)


def draw_for_prompts(
    base: BaseModel,
    prompts: Sequence[str],
    *,
    purpose: str,
    seed: int,
    inference_steps: int,
    lora: Lora | None = None,
    depth: Tensor | None = None,
    on_step: Callable[[int], None] = lambda _: None,
) -> Tensor:
    """Draw one picture a prompt on the CPU, (prompts, 3, 128, 128) in [0, 1].

    The noise is a function of `purpose`, `seed` and the place in the list: two models that are
    asked the same begin from the same.

    Args:
        base: the miniature.
        prompts: of the pictures.
        purpose: tells lists of prompts apart.
        seed: of the noise.
        inference_steps: DDIM steps.
        lora: applied to the UNet while drawing.
        depth: (prompts, 128, 128) in [0, 1], nearer is brighter: what the miniature's ControlNet
            holds the pictures to. None draws freely.
        on_step: told how many pictures were finished since the last call.
    """
    known = list(dict.fromkeys(prompts))
    embeds = base.captions.encode([*known, ""]).conditioning
    controlnet = None if depth is None else load_controlnet(NAME, dtype=torch.float32).network

    def predictor_for(places: slice) -> NoisePredictor:
        held = None
        if controlnet is not None and depth is not None:
            held = depth_residuals(controlnet, depth[places, None].expand(-1, 3, -1, -1))
        return NoisePredictor(
            base.unet,
            base.schedule,
            device=torch.device("cpu"),
            dtype=torch.float32,
            guidance_scale=GUIDANCE_SCALE,
            batched_guidance=True,
            residuals=held,
        )

    applied: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if lora is not None:
        applied = applied_lora(base.unet, lora)
    pictures = []
    with applied:
        for first in range(0, len(prompts), _BATCH):
            part = prompts[first : first + _BATCH]
            predictor = predictor_for(slice(first, first + _BATCH))
            noise = [
                starting_noise(base, 128, predictor.wide, seed, purpose, first + place)
                for place in range(len(part))
            ]
            rows = embeds[[known.index(prompt) for prompt in part]]
            pictures.append(
                draw_pictures(
                    base,
                    predictor,
                    rows,
                    embeds[-1],
                    torch.cat(noise),
                    inference_steps=inference_steps,
                )
            )
            on_step(len(part))
    return torch.cat(pictures)


class Evaluator:
    """Holds what all arms share: the base, both networks, prompts, real pictures' embeddings."""

    def __init__(
        self,
        *,
        num_train: int,
        dataset_seed: int = 0,
        seed: int = 1,
        sizes: EvaluationSizes | None = None,
        base: BaseModel | None = None,
    ) -> None:
        """Draw the real pictures and embed them.

        Args:
            num_train: training pictures of the exported set.
            dataset_seed: of the exported set.
            seed: of the noise.
            sizes: how much to draw.
            base: the miniature, loaded; None loads it.
        """
        self.sizes = sizes = sizes or EvaluationSizes()
        self.seed = seed
        self.base = base or load_base(NAME, dtype=torch.float32)
        self.judge: Any = load_backbone(JUDGE, device="cpu", dtype=torch.float32)
        self.seen = load_backbone(BACKBONE, device="cpu", dtype=torch.float32)
        train = right_scenes("train", WRONGED, dataset_seed, num_train)
        test = right_scenes("test", WRONGED, dataset_seed, sizes.test)
        count = min(sizes.captions, len(train), len(test))
        others = _any_scenes("others asked", _OTHERS, dataset_seed, sizes.others)
        references = {
            "test": _any_scenes("reference", [WRONGED], dataset_seed, _REFERENCES),
            "others": _any_scenes("others reference", _OTHERS, dataset_seed, _REFERENCES),
            "train": train[:count],
        }
        self.train_captions = _captions(train[:count], "train", dataset_seed)
        self.test_captions = _captions(test, "test", dataset_seed)
        self._other_captions = _captions(others, "others", dataset_seed)
        self._subjects = fact_labels([scene.facts for scene in test])["subject"]
        self._other_styles = fact_labels([scene.facts for scene in others])["style"]
        self._real = {
            (name, kind): self._embed(network, _images(drawn))
            for name, drawn in references.items()
            for kind, network in (("judge", self.judge), ("seen", self.seen))
        }

    @property
    def num_pictures(self) -> int:
        """How many pictures one evaluation draws."""
        sizes = self.sizes
        return sizes.test + sizes.others + 2 * len(self.train_captions) * sizes.pictures

    def measure(
        self, lora: Lora | None, *, on_step: Callable[[int], None] = lambda _: None
    ) -> tuple[Figures, Tensor, float]:
        """Draw everything with a LoRA, or without one, and measure it.

        Returns:
            The figures, the pictures for the held-out captions (test, 3, 128, 128), and the
            seconds it took.
        """
        began = time.monotonic()

        def draw(prompts: Sequence[str], purpose: str) -> Tensor:
            return draw_for_prompts(
                self.base,
                prompts,
                purpose=purpose,
                seed=self.seed,
                inference_steps=self.sizes.inference_steps,
                lora=lora,
                on_step=on_step,
            )

        def many(captions: Sequence[str], purpose: str) -> Tensor:
            each = [caption for caption in captions for _ in range(self.sizes.pictures)]
            return draw(each, purpose)

        test = draw(self.test_captions, "test")
        others = draw(self._other_captions, "others")
        train_many = many(self.train_captions, "train many")
        test_many = many(self.test_captions[: len(self.train_captions)], "test many")
        judged = self._embed(self.judge, test)
        shape = (len(self.train_captions), self.sizes.pictures, -1)
        styles = self._answers(test, "style")
        figures = Figures(
            kid=kid(judged, self._real["test", "judge"]).reported,
            right=(styles == STYLES.index(WRONGED)).double().mean().item(),
            stereotype=(styles == STYLES.index("stereotype")).double().mean().item(),
            subject=class_accuracy(self._answers(test, "subject"), self._subjects),
            similarity=similarity(
                self._embed(self.judge, train_many).view(shape), self._real["train", "judge"]
            ),
            diversity_train=diversity(self._embed(self.judge, train_many).view(shape)),
            diversity_test=diversity(self._embed(self.judge, test_many).view(shape)),
            kid_others=kid(self._embed(self.judge, others), self._real["others", "judge"]).reported,
            right_others=class_accuracy(self._answers(others, "style"), self._other_styles),
            seen_kid=kid(self._embed(self.seen, test), self._real["test", "seen"]).reported,
            seen_similarity=similarity(
                self._embed(self.seen, train_many).view(shape), self._real["train", "seen"]
            ),
        )
        return figures, test, time.monotonic() - began

    def _answers(self, images: Tensor, question: str) -> Tensor:
        parts = [self.judge.answers(part)[question] for part in torch.split(images, 100)]
        return torch.cat(parts).argmax(1)

    @staticmethod
    def _embed(network: PerceptualBackbone, images: Tensor) -> Tensor:
        return embed(network.features, images, batch_size=50)


def _any_scenes(name: str, cultures: Sequence[str], seed: int, count: int) -> list[Scene]:
    """Right scenes of any of the cultures, each drawn by itself.

    KID's estimate is without bias for independent draws. A reference picture for each caption asked
    for would be a twin of the drawing, and push it below zero.
    """

    def facts(rng: random.Random, _: int) -> Facts:
        return random_facts(rng, rng.choice(cultures))

    return list(scenes(name, seed, count, facts))


def _captions(drawn: list[Scene], split: str, seed: int) -> list[str]:
    return [cultural_row(scene, split, seed, i)["text"] for i, scene in enumerate(drawn)]


def _images(drawn: list[Scene]) -> Tensor:
    """(count, 3, 128, 128) in [0, 1]."""
    pictures = [torch.from_numpy(scene.picture.copy()) for scene in drawn]
    return torch.stack(pictures).permute(0, 3, 1, 2).float() / 255
