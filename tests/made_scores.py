"""Scores made by hand: the base, three checkpoints of a run, and another LoRA."""

from __future__ import annotations

from scoft_training.grids import GridModel
from scoft_training.score_records import (
    Difference,
    MetricValue,
    ModelScores,
    Scores,
    Suggestion,
)

COPIES = "similarity_clip_vit_b32"
OTHER = "<b>우리 LoRA</b>"


def kid(key, value, half):
    return MetricValue(
        key,
        "KID to held-out pictures" if key == "kid_reference" else "KID to general pictures",
        value,
        value - half,
        value + half,
        unit="x 1000",
        better="lower",
        network="inception",
        pictures=60,
        reference_pictures=60,
    )


def likeness(*values, prompts=(0, 1, 2, 3)):
    mean = sum(values) / len(values)
    return MetricValue(
        COPIES,
        "CLIP-I similarity",
        mean,
        mean - 0.03,
        mean + 0.03,
        better="lower",
        network="clip_vit_b32",
        pictures=80,
        captions=len(values),
        per_caption=values,
        prompts=tuple(prompts),
    )


def model(name, step, knows, forgot, *captions):
    sha256 = None if name == "base" else "ab" * 32
    metrics = [likeness(*captions), kid("kid_reference", knows, 2.0)]
    metrics += [] if forgot is None else [kid("kid_general", forgot, 1.0)]
    run = None if step is None else "run1"
    return ModelScores(GridModel(name, sha256, 1.0, step, run), tuple(metrics))


def made_scores(**others):
    """Return scores whose every number is told by hand."""
    models = (
        model("base", None, 41.5, -0.25, 0.50, 0.52, 0.48, 0.50),
        model("step 100", 100, 24.0, 1.5, 0.60, 0.61, 0.58, 0.61),
        model("step 200", 200, 18.0, 3.0, 0.66, 0.66, 0.65, 0.67),
        model("step 300", 300, 17.5, 6.5, 0.80, 0.83, 0.78, 0.79),
        model(OTHER, None, 42.0, None, 0.50, 0.51, 0.49, 0.50),
    )
    against = [
        Difference("step 100", "base", "kid_reference", -17.5, -20.0, -15.0),
        Difference("step 200", "base", "kid_reference", -23.5, -26.0, -21.0),
        Difference("step 300", "base", "kid_reference", -24.0, -27.0, -21.0),
        Difference(OTHER, "base", "kid_reference", 0.5, -1.0, 2.0),
    ]
    values = {
        "grid": "my models-0123456789abcdef",
        "base_name": "miniature",
        "drawing": {"inference_steps": 20},
        "models": models,
        "differences": tuple(against),
        "suggestion": Suggestion("step 200", 200, "It copies least of those that know as well."),
        "conventions": ("KID is unbiased.",),
        "settings": {"baseline": "base"},
        "warnings": ("KID of 40 pictures says little. Draw more seeds.",),
    }
    return Scores(**values | others)
