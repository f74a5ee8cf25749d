"""The workflows that run on the miniature, without a download."""

from __future__ import annotations

from .parts import LIVE_VIEW, MODELS, WIDE, Graph, Group, Node, negatives, note

__all__ = ["GRADIENT_STEPS", "NEGATIVES", "QUICK_START", "TRAINING"]

NEGATIVES = {
    "negatives_per_picture": 2,
    "inference_steps": 12,
    "guidance_scale": 3.0,
    # Exact depth at full strength calls for the right thing; see docs/miniature.md.
    "control_strength": 0.5,
    "resolution": 128,
    "filter_backbone": "miniature_clip",
    "filter_threshold": 0.3,
    "allow_download": False,
}

TRAINING = {
    "preset": "custom",
    "perceptual_backbone": "miniature_clip",
    "steps": 300,
    "learning_rate": 5e-4,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "lr_scheduler": "cosine",
    "batch_size": 8,
    "rank": 32,
    "resolution": 128,
    # The world has a left and a right: banners hang to the right of their poles.
    "random_flip": False,
    "perceptual_weight": 0.3,
    "contrastive_weight": 0.3,
    "guidance_scale": 3.0,
    "save_every": 100,
    "allow_download": False,
}
"""The demo's settings (`scoft_training/miniature/arms.py`)."""

_COMPARISON = {
    "num_seeds": 4,
    "inference_steps": 15,
    "guidance_scale": 3.0,
    "resolution": 128,
}
_PROMPTS = "a house in avelun\na robe in avelun\na drum in avelun\na house in estrix"
_HOST_PREVIEW = 240

QUICK_START = Graph(
    "scoft_quick_start",
    (
        Group(
            "1 · A small model with a wrong idea",
            (
                (
                    note(
                        20,
                        """
## See a model repaired, without a GPU

The *miniature* is a small model of six imaginary cultures. The pictures it learned from showed one
of them, **avelun**, almost always as ruins, so that is what it draws.

This graph shows it 60 right pictures and trains a LoRA with SCoFT's losses. Nothing is downloaded.

**Press Run.** On two CPU cores it takes some five minutes; every node shows how far it is.

Then look at **4 · Before and after**.
""",
                        size=(380, 290),
                    ),
                    Node(1, "ScoftLoadMiniature", {"pictures": 60}, size=(380, 0)),
                ),
            ),
        ),
        Group(
            "2 · Negatives: what it draws by itself",
            (
                (negatives(2, (1, 3), (1, 4), **NEGATIVES),),
                (
                    Node(3, "PreviewImage", {"images": (2, 1)}, title="Sheets", size=(WIDE, 560)),
                    note(
                        21,
                        """
Each row of a sheet is a right picture, its depth, and what the model draws of the same scene: a
ruin. Green is kept as a negative, red was too near to the picture and is dropped.

**Review negatives** opens all of them; click one to decide otherwise.
""",
                        size=(WIDE, 160),
                        title="What to look at",
                    ),
                ),
            ),
        ),
        Group(
            "3 · Training",
            (
                (
                    Node(
                        4,
                        "ScoftTrainLora",
                        {
                            **MODELS,
                            "dataset": (2, 0),
                            **TRAINING,
                            "preview_every": 50,
                            "preview_prompts": "a house in avelun|a robe in avelun",
                        },
                        size=(WIDE, 0),
                        room=LIVE_VIEW,
                    ),
                ),
                (
                    note(
                        22,
                        """
## While it trains

The node shows the losses and, every 50 steps, previews: left the model as it was, right with the
LoRA so far, same seed.

- **L_LDM** is the usual training loss.
- **L_M** keeps it from learning the pictures by heart.
- **L_P** and **L_C** come every tenth step: near the right picture, away from the
  negatives.

**Stop and save** ends the training early, and the rest of the graph goes on with what was learned.
ComfyUI's own stop button ends the whole run; Run again goes on where it was.
""",
                        size=(380, 330),
                        title="What to look at",
                    ),
                    Node(5, "ScoftSaveLora", {"path": (4, 2), "name": "avelun"}, size=(380, 0)),
                ),
            ),
        ),
        Group(
            "4 · Before and after",
            (
                (
                    Node(
                        6,
                        "ScoftCompare",
                        {
                            **MODELS,
                            "lora": (4, 0),
                            "prompts": _PROMPTS,
                            **_COMPARISON,
                        },
                        size=(WIDE, 460),
                    ),
                    note(
                        23,
                        """
Same prompts, same seeds, first without and then with the LoRA. The ruins of avelun should have
turned into houses, robes and drums; the house in **estrix**, another culture, should look as
before.
""",
                        size=(WIDE, 140),
                        title="What to look at",
                    ),
                ),
                (Node(7, "PreviewImage", {"images": (6, 0)}, title="Grid", size=(560, 1280)),),
            ),
        ),
    ),
    runs=True,
)


def _arm(number: int, gradient_step: str, title: str) -> Group:
    """One training and its comparison, in nodes `number` to `number` + 2."""
    return Group(
        title,
        (
            (
                Node(
                    number,
                    "ScoftTrainLora",
                    {
                        **MODELS,
                        "dataset": (2, 0),
                        **TRAINING,
                        "gradient_step": gradient_step,
                    },
                    title=f"Train LoRA: {gradient_step}",
                    size=(WIDE, 0),
                    room=LIVE_VIEW,
                ),
            ),
            (
                Node(
                    number + 1,
                    "ScoftCompare",
                    {
                        **MODELS,
                        "lora": (number, 0),
                        "prompts": "a house in avelun\na drum in avelun\na tree in avelun",
                        **_COMPARISON,
                    },
                    title=f"Compare: {gradient_step}",
                    size=(480, 460),
                ),
                Node(
                    number + 2,
                    "PreviewImage",
                    {"images": (number + 1, 0)},
                    title=f"Grid: {gradient_step}",
                    size=(480, 960),
                ),
            ),
        ),
    )


GRADIENT_STEPS = Graph(
    "scoft_compare_gradient_steps",
    (
        Group(
            "1 · The miniature and its negatives",
            (
                (
                    note(
                        20,
                        """
## Which step should learn?

L_P and L_C look at a finished picture, which takes 20 denoising steps. To keep all of them for the
gradient takes too much memory, so one is kept: the **first**, the **last**, or one at **random**.
The paper found the first to be best.

Here the miniature is trained in all three ways, with everything else the same. **Run** takes some
ten minutes on two CPU cores.

One run is one draw of the dice: to tell the ways apart, repeat it with other `run_seed`s.
`scoft ablation` does that and counts.
""",
                        size=(WIDE, 270),
                    ),
                    Node(1, "ScoftLoadMiniature", {"pictures": 60}, size=(WIDE, 0)),
                    negatives(2, (1, 3), (1, 4), **NEGATIVES),
                ),
            ),
            spare=_HOST_PREVIEW,
        ),
        _arm(10, "first", "2 · The first step, as in the paper"),
        _arm(13, "last", "3 · The last step"),
        _arm(16, "random", "4 · One at random"),
    ),
    runs=True,
)
