"""The workflows that measure: one LoRA scored, and the paper's four models beside each other."""

from __future__ import annotations

from .miniature import NEGATIVES, TRAINING
from .own_models import CHECKPOINT, DATASET
from .parts import LIVE_VIEW, MODELS, WIDE, Graph, Group, Node, negatives, note

__all__ = ["ABLATION_GRID", "SCORE_LORA"]

_SCORES = 420
"""Height that the table, the curves and the button of a measuring node take."""

SCORE_LORA = Graph(
    "scoft_score_lora",
    (
        Group(
            "1 · Model, pictures, LoRA",
            (
                (
                    note(
                        20,
                        f"""
## Score my LoRA

Three questions, answered with numbers and how far they can be trusted: **does it copy my photos,
does it know my culture, did it forget the rest?**

1. Choose the checkpoint that the LoRA was trained on, and the dataset. It needs a **test split**:
   `test/metadata.jsonl`, pictures that were not trained on. (`{DATASET}` is an example.)
2. Name the LoRA in **lora_files**, one file a line. Several lines compare several LoRAs;
   `name = file @ 0.8` gives a name and a strength.

To find the best step of a training, give SCoFT Train LoRA a **snapshot_every** and connect its
**path** to **checkpoints_of**: every snapshot is scored, and one is suggested.
""",
                        size=(WIDE, 380),
                    ),
                    Node(1, "CheckpointLoaderSimple", {"ckpt_name": CHECKPOINT}, size=(WIDE, 0)),
                    Node(2, "ScoftLoadDataset", {"dataset": DATASET}, size=(WIDE, 0)),
                ),
            ),
        ),
        Group(
            "2 · Pictures to measure",
            (
                (
                    Node(
                        3,
                        "ScoftDrawGrid",
                        {
                            **MODELS,
                            "dataset": (2, 0),
                            "lora_files": "my LoRA = scoft.safetensors",
                            "grid_name": "score",
                        },
                        size=(WIDE, 0),
                    ),
                    note(
                        21,
                        """
For 10 training captions 20 pictures each, one for each held-out caption, and 100 everyday prompts
without any culture; by the model as it was, and with the LoRA, from the same noise. That is some
minutes a model on a good GPU. Stopped, it goes on where it was.
""",
                        size=(WIDE, 150),
                        title="What is drawn",
                    ),
                ),
                (Node(4, "PreviewImage", {"images": (3, 1)}, title="Same seeds", size=(480, 900)),),
            ),
        ),
        Group(
            "3 · The three answers",
            (
                (
                    Node(
                        5,
                        "ScoftMetrics",
                        {"grid": (3, 0), "dataset": (2, 0)},
                        size=(640, 0),
                        room=_SCORES,
                    ),
                ),
                (
                    note(
                        22,
                        """
Each number has a range behind it: the true value lies there in 19 of 20 cases. Where the ranges of
two models overlap widely, the pictures do not tell them apart; draw more.

- **Copies**: likeness of drawings to the training picture of the same caption. Compare with the
  base, which has never seen the pictures.
- **Knows**: distance (KID) to the held-out pictures of the culture; lower is nearer.
- **Forgot**: distance of everyday drawings to what the base draws; name a folder of other pictures,
  say of COCO, in **general_folder** to compare with those.

The networks are fetched once; with `allow_download` off, the log says which file goes where.
**Open report** shows everything, with the nearest training picture of each drawing.
""",
                        size=(WIDE, 420),
                        title="How to read it",
                    ),
                    Node(6, "PreviewImage", {"images": (5, 1)}, title="Plots", size=(WIDE, 480)),
                ),
            ),
        ),
    ),
)


def _train(number: int, title: str, **values: float) -> Node:
    return Node(
        number,
        "ScoftTrainLora",
        {**MODELS, "dataset": (2, 0), **TRAINING, **values},
        title=f"Train LoRA: {title}",
        size=(WIDE, 0),
        room=LIVE_VIEW,
    )


_NEUTRAL = "\n".join(
    f"neutral: a {thing} in {culture}"
    for culture in ("belquor", "corvath", "estrix")
    for thing in ("house", "robe", "bowl", "drum", "tree")
)
"""What another culture's things look like is what the miniature could forget."""

_NO_PICTURES = {"perceptual_weight": 0.0, "contrastive_weight": 0.0}

ABLATION_GRID = Graph(
    "scoft_ablation_grid",
    (
        Group(
            "1 · The miniature and its negatives",
            (
                (
                    note(
                        20,
                        """
## Four models, the same seeds

The paper compares the model as it was (**SD**) with three trainings: **+M** (L_LDM and L_M),
**+MP** (and L_P), **+MPC** (and L_C). Here all of it runs on the miniature, without a download:
some fifteen minutes on two CPU cores.

The grid at the end holds the same prompts and seeds by all four models. It is measured here, and is
what a survey among people of the culture is made from.

One training a model is one draw of the dice: `scoft ablation` repeats them over seeds.
""",
                        size=(WIDE, 300),
                    ),
                    Node(1, "ScoftLoadMiniature", {"pictures": 30}, size=(WIDE, 0)),
                    negatives(2, (1, 3), (1, 4), **NEGATIVES),
                ),
            ),
            spare=240,
        ),
        Group(
            "2 · Three trainings",
            (
                (_train(3, "+M", **_NO_PICTURES),),
                (_train(4, "+MP", contrastive_weight=0.0),),
                (_train(5, "+MPC"),),
            ),
        ),
        Group(
            "3 · The grid",
            (
                (
                    Node(
                        6,
                        "ScoftDrawGrid",
                        {
                            **MODELS,
                            "dataset": (2, 0),
                            "lora_1": (3, 0),
                            "lora_2": (4, 0),
                            "lora_3": (5, 0),
                            "names": "+M\n+MP\n+MPC",
                            "prompts": _NEUTRAL,
                            "num_seeds": 4,
                            "train_captions": 6,
                            "pictures_per_caption": 6,
                            "many_test_captions": 6,
                            "neutral_prompts": 0,
                            "inference_steps": 15,
                            "guidance_scale": 3.0,
                            "resolution": 128,
                            "batch_size": 16,
                            "grid_name": "avelun",
                        },
                        size=(WIDE, 0),
                    ),
                ),
                (Node(7, "PreviewImage", {"images": (6, 1)}, title="Same seeds", size=(560, 900)),),
            ),
        ),
        Group(
            "4 · Measured and compared",
            (
                (
                    Node(
                        8,
                        "ScoftMetrics",
                        {
                            "grid": (6, 0),
                            "dataset": (2, 0),
                            "kid_network": "miniature_judge",
                            "clip_network": "miniature_clip",
                            "similarity_networks": "miniature_judge",
                            "diversity_network": "miniature_judge",
                            "allow_download": False,
                        },
                        size=(640, 0),
                        room=_SCORES,
                    ),
                ),
                (
                    Node(
                        9,
                        "ScoftCompareModels",
                        {"scores": (8, 0), "baseline": "+M"},
                        size=(640, 0),
                        room=_SCORES,
                    ),
                ),
                (
                    note(
                        21,
                        """
**Metrics** answers for each model by itself: does it copy, does it know, did it forget?

**Compare Models** tells each model apart from one of them, here **+M**, on the same prompts and
seeds. A range that holds 0 is no difference that these pictures show.

The ruins that the model was taught should be gone in all three. Between the three, look at the
ranges before you believe the numbers: docs/ablation.md has five seeds of each.
""",
                        size=(WIDE, 280),
                        title="How to read it",
                    ),
                    Node(10, "PreviewImage", {"images": (9, 1)}, title="Plots", size=(WIDE, 480)),
                ),
            ),
        ),
    ),
    runs=True,
)
