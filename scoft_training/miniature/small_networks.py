"""Two networks of the miniature's own: the judge, and the one that estimates depth.

The others are small copies of the real classes (`networks`). How they are trained is in
`pretrain_images`.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from .canvas import SIZE
from .cultures import COLOURS, CULTURES
from .forms import SUBJECTS
from .world import BACKDROPS, TIMES, Facts

__all__ = ["STYLES", "DepthNetwork", "JudgeNetwork", "ScoreNetwork", "fact_labels", "new_clip"]

STYLES = (*CULTURES, "stereotype")
"""The judge's answers to whose a picture is: the cultures, then the stereotype."""

_ANSWERS: dict[str, tuple[str, ...]] = {
    "style": STYLES,
    "subject": SUBJECTS,
    "colour": tuple(COLOURS),
    "time": TIMES,
    "backdrop": BACKDROPS,
}


def fact_labels(facts: list[Facts]) -> dict[str, Tensor]:
    """Return what the judge should answer to each picture, one (count,) long tensor a question."""
    labels = {
        "style": [STYLES.index("stereotype" if f.stereotype else f.culture) for f in facts],
        "subject": [SUBJECTS.index(f.subject) for f in facts],
        "colour": [tuple(COLOURS).index(f.colour) for f in facts],
        "time": [TIMES.index(f.time) for f in facts],
        "backdrop": [BACKDROPS.index(f.backdrop) for f in facts],
    }
    return {question: torch.tensor(answers) for question, answers in labels.items()}


class JudgeNetwork(nn.Module):
    """Answers whose a picture is, and what it shows; no loss ever sees it.

    Four convolutions, each halving the picture, and a layer of 128 numbers that the metrics use as
    the picture's embedding.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        channels = [3, width, 2 * width, 4 * width, 4 * width]
        layers: list[nn.Module] = []
        for ingoing, outgoing in itertools.pairwise(channels):
            layers += [
                nn.Conv2d(ingoing, outgoing, 3, padding=1),
                nn.BatchNorm2d(outgoing),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        self.body = nn.Sequential(*layers)
        self.embedding = nn.Sequential(
            nn.Flatten(), nn.Linear(channels[-1] * 16, 128), nn.LayerNorm(128), nn.GELU()
        )
        self.heads = nn.ModuleDict({k: nn.Linear(128, len(v)) for k, v in _ANSWERS.items()})

    def embed(self, pixel_values: Tensor) -> Tensor:
        """Return (batch, 128) of pictures (batch, 3, 128, 128) in [-1, 1], seen at half size."""
        answer: Tensor = self.embedding(self.body(nn.functional.avg_pool2d(pixel_values, 2)))
        return answer

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Return the scores of the answers, (batch, answers) each, by question."""
        embedding = self.embed(pixel_values)
        return {question: head(embedding) for question, head in self.heads.items()}


class DepthNetwork(nn.Module):
    """Estimates depth: pictures (batch, 3, height, width) in [-1, 1] -> (batch, height, width).

    Sides are multiples of 16. It works at half the size: an encoder of four levels and a decoder
    with skips, group norms of 8 groups. Near things are bright, 0 to 1.
    """

    def __init__(self, channels: tuple[int, ...] = (16, 32, 48, 64)) -> None:
        super().__init__()
        ingoing = (3, *channels[:-1])
        self.down = nn.ModuleList(_block(a, b) for a, b in zip(ingoing, channels, strict=True))
        self.up = nn.ModuleList(
            _block(a + b, b) for a, b in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.out = nn.Conv2d(channels[0], 1, 3, padding=1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return the depth of pictures."""
        hidden = nn.functional.avg_pool2d(pixel_values, 2)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            hidden = block(nn.functional.max_pool2d(hidden, 2) if level else hidden)
            skips.append(hidden)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            larger = nn.functional.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = block(torch.cat([larger, skip], dim=1))
        larger = nn.functional.interpolate(hidden, scale_factor=2.0, mode="bilinear")
        depth: Tensor = self.out(larger)
        return depth[:, 0]


def _block(ingoing: int, outgoing: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(ingoing, outgoing, 3, padding=1),
        nn.GroupNorm(8, outgoing),
        nn.SiLU(),
        nn.Conv2d(outgoing, outgoing, 3, padding=1),
        nn.GroupNorm(8, outgoing),
        nn.SiLU(),
    )


CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {
        "layers": [1, 1, 1, 1],
        "width": 12,
        "head_width": 64,
        "image_size": SIZE // 2,
        "patch_size": None,
    },
    "text_cfg": {"context_length": 32, "width": 64, "heads": 4, "layers": 2},
    "quick_gelu": True,
}
"""Of the CLIP that losses see, in open_clip's form; `vocab_size` is the tokenizer's."""


PICTURE_MEAN, PICTURE_STD = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)
"""CLIP's own, of the pictures that it sees."""


def new_clip(vocab_size: int) -> Any:
    """Return an open_clip CLIP with a convolutional tower and random weights."""
    from open_clip import CLIP

    return CLIP(
        embed_dim=CLIP_CONFIG["embed_dim"],
        vision_cfg=CLIP_CONFIG["vision_cfg"],
        text_cfg={**CLIP_CONFIG["text_cfg"], "vocab_size": vocab_size},
        quick_gelu=True,
    )


class ScoreNetwork(nn.Module):
    """Tells how well a picture fits a text, for CLIP Score: the CLIP's tower, and a text tower.

    The picture tower is the one that losses see, as it is; a linear layer over the mean of its last
    map stands where CLIP's attention pool does, which would weigh more than everything else here.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        clip = new_clip(vocab_size)
        self.visual: Any = clip.visual
        self.visual.attnpool = None
        self.projection = nn.Linear(
            32 * CLIP_CONFIG["vision_cfg"]["width"], CLIP_CONFIG["embed_dim"]
        )
        clip.visual = None
        self.text: Any = clip

    def pooled(self, pixel_values: Tensor) -> Tensor:
        """Return (batch, 384), the mean of the tower's last map, of (batch, 3, 64, 64) pixels."""
        tower = self.visual
        hidden: Tensor = tower.stem(pixel_values)
        for layer in (tower.layer1, tower.layer2, tower.layer3, tower.layer4):
            hidden = layer(hidden)
        return hidden.mean(dim=(2, 3))

    def encode_image(self, pixel_values: Tensor) -> Tensor:
        """Return (batch, 64) of pictures (batch, 3, 64, 64), less CLIP's mean, by its deviation."""
        vectors: Tensor = self.projection(self.pooled(pixel_values))
        return vectors

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Return (batch, 64) of (batch, 32) tokens."""
        vectors: Tensor = self.text.encode_text(tokens)
        return vectors
