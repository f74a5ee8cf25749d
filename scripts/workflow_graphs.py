"""The example workflows as data: nodes by number, their values, and where they stand.

`make_workflows.py` builds them in the front end. Values that are not named stay at their defaults.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["GRAPHS", "Graph", "Group", "Node"]

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
CONTROLNET = "control_v11f1p_sd15_depth_fp16.safetensors"
DATASET = "my-pictures"
_HUB = "https://huggingface.co/"

DOWNLOADS = {
    CHECKPOINT: (
        f"{_HUB}Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/{CHECKPOINT}",
        "checkpoints",
    ),
    CONTROLNET: (
        f"{_HUB}comfyanonymous/ControlNet-v1-1_fp16_safetensors/resolve/main/{CONTROLNET}",
        "controlnet",
    ),
}
"""Model file -> where it is had and its folder; the front end offers it where it is missing."""


@dataclass(frozen=True)
class Node:
    """A node of the front end.

    Attributes:
        number: its id in both forms of the file.
        kind: its class.
        inputs: widget values, and links as (number, slot).
        title: what stands over it; empty takes the class's name.
        size: width and least height; None takes what the front end computes.
        room: height that is left free for what a widget shows later.
    """

    number: int
    kind: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    size: tuple[int, int] | None = None
    room: int = 0


@dataclass(frozen=True)
class Group:
    """A frame with a title round columns of nodes, each from top to bottom.

    Attributes:
        title: of the frame.
        columns: from left to right.
        spare: height that stays free below them, where a node grows by the host's preview.
    """

    title: str
    columns: Sequence[Sequence[Node]]
    spare: int = 0


@dataclass(frozen=True)
class Graph:
    """A workflow: groups from left to right.

    Attributes:
        name: of its files.
        groups: all its nodes.
        runs: whether it runs on any machine as it is, so that its preview shows what it gives.
    """

    name: str
    groups: Sequence[Group]
    runs: bool = False

    @property
    def nodes(self) -> list[Node]:
        """All nodes, from left to right."""
        return [node for group in self.groups for column in group.columns for node in column]


def _note(number: int, text: str, *, size: tuple[int, int], title: str = "Read me") -> Node:
    # One line a paragraph, as people write who see it wrapped.
    lines = re.sub(r"(?<!\n)\n *(?![\n#-]|\d+\. )", " ", text.strip())
    return Node(number, "MarkdownNote", {"": lines}, title=title, size=size)


_MODELS = {"model": (1, 0), "clip": (1, 1), "vae": (1, 2)}
"""Node 1 is the loader in all of them, and the miniature's slots are the checkpoint loader's."""

_MINIATURE_NEGATIVES = {
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

_MINIATURE_TRAINING = {
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

_MINIATURE_COMPARISON = {
    "num_seeds": 4,
    "inference_steps": 15,
    "guidance_scale": 3.0,
    "resolution": 128,
}
_PROMPTS = "a house in avelun\na robe in avelun\na drum in avelun\na house in estrix"
_LIVE_VIEW = 660
_HOST_PREVIEW = 240
_WIDE = 420

_QUICK_START = Graph(
    "scoft_quick_start",
    (
        Group(
            "1 · A small model with a wrong idea",
            (
                (
                    _note(
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
                (
                    Node(
                        2,
                        "ScoftDrawNegatives",
                        {
                            **_MODELS,
                            "control_net": (1, 3),
                            "dataset": (1, 4),
                            **_MINIATURE_NEGATIVES,
                        },
                        size=(_WIDE, 0),
                    ),
                ),
                (
                    Node(3, "PreviewImage", {"images": (2, 1)}, title="Sheets", size=(_WIDE, 560)),
                    _note(
                        21,
                        """
Each row of a sheet is a right picture, its depth, and what the model draws of the same scene: a
ruin. Green is kept as a negative, red was too near to the picture and is dropped.

**Review negatives** opens all of them; click one to decide otherwise.
""",
                        size=(_WIDE, 160),
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
                            **_MODELS,
                            "dataset": (2, 0),
                            **_MINIATURE_TRAINING,
                            "preview_every": 50,
                            "preview_prompts": "a house in avelun|a robe in avelun",
                        },
                        size=(_WIDE, 0),
                        room=_LIVE_VIEW,
                    ),
                ),
                (
                    _note(
                        22,
                        """
## While it trains

The node shows the losses and, every 50 steps, previews: left the model as it was, right with the
LoRA so far, same seed.

- **ldm** is the usual training loss.
- **memorization** keeps it from learning the pictures by heart.
- **perceptual** and **contrastive** come every tenth step: near the right picture, away from the
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
                            **_MODELS,
                            "lora": (4, 0),
                            "prompts": _PROMPTS,
                            **_MINIATURE_COMPARISON,
                        },
                        size=(_WIDE, 460),
                    ),
                    _note(
                        23,
                        """
Same prompts, same seeds, first without and then with the LoRA. The ruins of avelun should have
turned into houses, robes and drums; the house in **estrix**, another culture, should look as
before.
""",
                        size=(_WIDE, 140),
                        title="What to look at",
                    ),
                ),
                (Node(7, "PreviewImage", {"images": (6, 0)}, title="Grid", size=(560, 1280)),),
            ),
        ),
    ),
    runs=True,
)


def _own_models(*, note: Node) -> Group:
    return Group(
        "1 · Model and pictures",
        (
            (
                note,
                Node(1, "CheckpointLoaderSimple", {"ckpt_name": CHECKPOINT}, size=(400, 0)),
                Node(2, "ControlNetLoader", {"control_net_name": CONTROLNET}, size=(400, 0)),
                Node(3, "ScoftLoadDataset", {"dataset": DATASET}, size=(400, 0)),
                Node(4, "PreviewAny", {"source": (3, 1)}, title="Summary", size=(400, 220)),
            ),
        ),
    )


_OWN_DATASET = Graph(
    "scoft_train_own_dataset",
    (
        _own_models(
            note=_note(
                20,
                f"""
## Train on your own pictures

1. Put a folder into ComfyUI's `input` folder. It holds `train/metadata.jsonl`, one line a picture:
   `{{"file_name": "images/01.jpg", "text": "what a person of that culture calls it"}}`, and the
   pictures in `train/images`.
2. Choose it in **SCoFT Load Dataset**. (`{DATASET}` stands there as an example.)
3. Choose a **Stable Diffusion 1.5** checkpoint and a **depth ControlNet** for it.

Look at the summary before you train: it says what is missing or doubtful.
""",
                size=(400, 300),
            )
        ),
        Group(
            "2 · Plain captions and negatives",
            (
                (
                    Node(5, "ScoftCaption", {"dataset": (3, 0)}, size=(_WIDE, 0)),
                    Node(
                        6,
                        "ScoftDrawNegatives",
                        {
                            **_MODELS,
                            "control_net": (2, 0),
                            "dataset": (5, 0),
                            "suffix": "in Korea",
                        },
                        size=(_WIDE, 0),
                    ),
                ),
                (
                    _note(
                        21,
                        """
**suffix** names your culture as people write it in a prompt, such as `in Korea`. It goes to the end
of every plain caption, and what the model then draws are the negatives.

Captions, depth and filter need BLIP, MiDaS and DreamSim. They are fetched once; with
`allow_download` off, the error says which file goes where.

Look at the sheets, and at **Review negatives**, before the long training: a right picture among
the negatives teaches the wrong thing.
""",
                        size=(400, 240),
                        title="What to look at",
                    ),
                    Node(7, "PreviewImage", {"images": (6, 1)}, title="Sheets", size=(400, 720)),
                ),
            ),
        ),
        Group(
            "3 · Training",
            (
                (
                    Node(
                        8,
                        "ScoftTrainLora",
                        {
                            **_MODELS,
                            "dataset": (6, 0),
                            "preset": "paper",
                            "preview_every": 250,
                        },
                        size=(_WIDE, 0),
                        room=_LIVE_VIEW,
                    ),
                ),
                (
                    _note(
                        22,
                        """
## The paper's settings

3000 steps of rank 64 at 512 x 512. Previews come every 250 steps; the time that is left stands
under the curves after the first steps.

- **Not enough memory?** `gradient_checkpointing` on, then `batched_guidance` off, then a smaller
  `resolution` here and in Draw Negatives.
- **Too close to single pictures?** Fewer steps, or more `memorization_weight`.
- **Nothing changes?** More steps, or a higher `learning_rate`.
""",
                        size=(400, 280),
                        title="What to look at",
                    ),
                    Node(9, "ScoftSaveLora", {"path": (8, 2), "name": "scoft"}, size=(400, 0)),
                ),
            ),
        ),
    ),
)


_NEGATIVES_ONLY = Graph(
    "scoft_negatives_only",
    (
        _own_models(
            note=_note(
                20,
                """
## Draw negatives and look at them

No training: this graph only shows what the model makes of your scenes by itself. Anyone of the
culture can judge that, without knowing how training works.

Choose your dataset, a Stable Diffusion 1.5 checkpoint and a depth ControlNet for it. The rows need
plain captions; **SCoFT Caption** writes missing ones.
""",
                size=(400, 210),
            )
        ),
        Group(
            "2 · Depth",
            (
                (
                    Node(5, "ScoftDepthMaps", {"dataset": (3, 0)}, size=(_WIDE, 0)),
                    Node(6, "PreviewImage", {"images": (5, 1)}, title="Depth", size=(_WIDE, 320)),
                    Node(
                        7, "PreviewImage", {"images": (5, 2)}, title="Pictures", size=(_WIDE, 320)
                    ),
                    _note(
                        21,
                        """
Near things are bright. The negatives keep this layout, so that they differ from the picture in
*what* is shown and not in *where*.
""",
                        size=(_WIDE, 120),
                        title="What to look at",
                    ),
                ),
            ),
        ),
        Group(
            "3 · Negatives",
            (
                (
                    Node(
                        8,
                        "ScoftDrawNegatives",
                        {
                            **_MODELS,
                            "control_net": (2, 0),
                            "dataset": (5, 0),
                            "suffix": "in Korea",
                        },
                        size=(_WIDE, 0),
                    ),
                ),
                (
                    _note(
                        22,
                        """
Green is kept, red was nearer to its picture than **filter_threshold** and is dropped. Another
threshold filters anew and draws nothing.

**Review negatives** shows them large. What you decide there counts over the filter, is kept, and is
what SCoFT Train LoRA uses.
""",
                        size=(760, 110),
                        title="What to look at",
                    ),
                    Node(9, "PreviewImage", {"images": (8, 1)}, title="Sheets", size=(760, 720)),
                ),
            ),
        ),
    ),
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
                        **_MODELS,
                        "dataset": (2, 0),
                        **_MINIATURE_TRAINING,
                        "gradient_step": gradient_step,
                    },
                    title=f"Train LoRA: {gradient_step}",
                    size=(_WIDE, 0),
                    room=_LIVE_VIEW,
                ),
            ),
            (
                Node(
                    number + 1,
                    "ScoftCompare",
                    {
                        **_MODELS,
                        "lora": (number, 0),
                        "prompts": "a house in avelun\na drum in avelun\na tree in avelun",
                        **_MINIATURE_COMPARISON,
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


_GRADIENT_STEPS = Graph(
    "scoft_compare_gradient_steps",
    (
        Group(
            "1 · The miniature and its negatives",
            (
                (
                    _note(
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
                        size=(_WIDE, 270),
                    ),
                    Node(1, "ScoftLoadMiniature", {"pictures": 60}, size=(_WIDE, 0)),
                    Node(
                        2,
                        "ScoftDrawNegatives",
                        {
                            **_MODELS,
                            "control_net": (1, 3),
                            "dataset": (1, 4),
                            **_MINIATURE_NEGATIVES,
                        },
                        size=(_WIDE, 0),
                    ),
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


_APPLY_LORA = Graph(
    "scoft_apply_lora",
    (
        Group(
            "1 · Model and LoRA",
            (
                (
                    _note(
                        20,
                        """
## Draw with what was learned

Choose the checkpoint that the LoRA was trained on, and the LoRA that **SCoFT Save LoRA** wrote
(`scoft` unless you named it otherwise). Press **R** if a new file is not in the list yet.

ComfyUI's own Load LoRA takes the file as well; SCoFT Apply LoRA refuses one that does not fit the
model, where the other only writes a line into the log.
""",
                        size=(400, 200),
                    ),
                    Node(1, "CheckpointLoaderSimple", {"ckpt_name": CHECKPOINT}, size=(400, 0)),
                    Node(
                        2,
                        "ScoftApplyLora",
                        {"model": (1, 0), "clip": (1, 1), "lora_name": "scoft.safetensors"},
                        size=(400, 0),
                    ),
                ),
            ),
        ),
        Group(
            "2 · What to draw",
            (
                (
                    Node(
                        3,
                        "CLIPTextEncode",
                        {"clip": (2, 1), "text": "a bowl of soup in Korea"},
                        title="Prompt",
                        size=(400, 180),
                    ),
                    Node(
                        4,
                        "CLIPTextEncode",
                        {"clip": (2, 1), "text": ""},
                        title="Not in the picture",
                        size=(400, 140),
                    ),
                    Node(
                        5,
                        "EmptyLatentImage",
                        {"width": 512, "height": 512, "batch_size": 4},
                        size=(400, 0),
                    ),
                    _note(
                        21,
                        """
Name the culture as the training captions do. Set **strength_model** to 0 to see the model as it
was, with the same seed.
""",
                        size=(400, 110),
                        title="What to look at",
                    ),
                ),
            ),
        ),
        Group(
            "3 · Pictures",
            (
                (
                    Node(
                        6,
                        "KSampler",
                        {
                            "model": (2, 0),
                            "positive": (3, 0),
                            "negative": (4, 0),
                            "latent_image": (5, 0),
                            "seed": 0,
                            "control_after_generate": "fixed",
                            "steps": 30,
                            "cfg": 7.5,
                            "sampler_name": "ddim",
                            "scheduler": "ddim_uniform",
                        },
                        size=(340, 0),
                    ),
                    Node(7, "VAEDecode", {"samples": (6, 0), "vae": (1, 2)}, size=(340, 0)),
                ),
                (
                    Node(
                        8,
                        "SaveImage",
                        {"images": (7, 0), "filename_prefix": "scoft"},
                        size=(480, 540),
                    ),
                ),
            ),
        ),
    ),
)

GRAPHS = (_QUICK_START, _OWN_DATASET, _NEGATIVES_ONLY, _GRADIENT_STEPS, _APPLY_LORA)
