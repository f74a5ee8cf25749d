"""The workflows for people's own files: a checkpoint, a depth ControlNet, a picture set."""

from __future__ import annotations

from .parts import LIVE_VIEW, MODELS, WIDE, Graph, Group, Node, negatives, note

__all__ = ["APPLY_LORA", "CURATE", "DOWNLOADS", "NEGATIVES_ONLY", "OWN_DATASET"]

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
CONTROLNET = "control_v11f1p_sd15_depth_fp16.safetensors"
DATASET = "my-pictures"
TABLE = "links.csv"
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


def _own_models(*, read_me: Node) -> Group:
    return Group(
        "1 · Model and pictures",
        (
            (
                read_me,
                Node(1, "CheckpointLoaderSimple", {"ckpt_name": CHECKPOINT}, size=(400, 0)),
                Node(2, "ControlNetLoader", {"control_net_name": CONTROLNET}, size=(400, 0)),
                Node(3, "ScoftLoadDataset", {"dataset": DATASET}, size=(400, 0)),
                Node(4, "PreviewAny", {"source": (3, 1)}, title="Summary", size=(400, 220)),
            ),
        ),
    )


OWN_DATASET = Graph(
    "scoft_train_own_dataset",
    (
        _own_models(
            read_me=note(
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
                    Node(5, "ScoftCaption", {"dataset": (3, 0)}, size=(WIDE, 0)),
                    negatives(6, (2, 0), (5, 0), suffix="in Korea"),
                ),
                (
                    note(
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
                            **MODELS,
                            "dataset": (6, 0),
                            "preset": "paper",
                            "preview_every": 250,
                        },
                        size=(WIDE, 0),
                        room=LIVE_VIEW,
                    ),
                ),
                (
                    note(
                        22,
                        """
## The paper's settings

3000 steps of rank 64 at 512 x 512. Previews come every 250 steps; the time that is left stands
under the curves after the first steps.

- **Not enough memory?** `memory` low, then a smaller `resolution` here and in Draw Negatives. What
  a run will take stands on the node before its first step.
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


CURATE = Graph(
    "scoft_curate_dataset",
    (
        Group(
            "1 · Pictures from a table of links",
            (
                (
                    note(
                        20,
                        f"""
## Gather and check a community's pictures

1. Put a table of links and captions (`.csv` or `.tsv`, with a header row) into ComfyUI's `input`
   folder, press **R**, choose it in **SCoFT Download Dataset**, and name the folder to make.
2. Queue. What is gone, refused or no picture is told row by row; `scoft dataset replace` puts a
   picture of your own in its place. Queue again at any time: nothing is fetched twice.

Pictures on your disk already? Put **SCoFT Load Dataset** in place of the download. (`{TABLE}`
stands there as an example.)
""",
                        size=(WIDE, 270),
                    ),
                    Node(1, "ScoftDownloadDataset", {"table": TABLE}, size=(WIDE, 0)),
                ),
                (Node(2, "PreviewAny", {"source": (1, 1)}, title="Summary", size=(400, 640)),),
            ),
        ),
        Group(
            "2 · What it covers, and what to look at",
            (
                (
                    Node(3, "ScoftDatasetReport", {"dataset": (1, 0)}, size=(WIDE, 0)),
                    note(
                        21,
                        """
**Open report** shows the set by category and era beside CCUB, near-duplicates, test leaks, blurred
and small pictures, captions that repeat, and who is credited.

**Review pictures**, on the first node, opens the review desk: keep or drop each picture, with your
name and a reason; edit captions, category, era, credit, licence and consent. Keys do all of it:
press **?** there. Your files are never written to; queue again, and the report follows your
decisions.
""",
                        size=(WIDE, 240),
                        title="What to look at",
                    ),
                ),
            ),
        ),
        Group(
            "3 · Hand it on",
            (
                (
                    Node(4, "ScoftExportDataset", {"dataset": (3, 0)}, size=(400, 0)),
                    note(
                        22,
                        """
The set as training would see it, with every decision and its dataset card, in a folder that other
tools read. Connect **dataset** to SCoFT Caption or SCoFT Draw Negatives to go on to training.
""",
                        size=(400, 130),
                        title="What comes out",
                    ),
                ),
            ),
        ),
    ),
)


NEGATIVES_ONLY = Graph(
    "scoft_negatives_only",
    (
        _own_models(
            read_me=note(
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
                    Node(5, "ScoftDepthMaps", {"dataset": (3, 0)}, size=(WIDE, 0)),
                    Node(6, "PreviewImage", {"images": (5, 1)}, title="Depth", size=(WIDE, 320)),
                    Node(7, "PreviewImage", {"images": (5, 2)}, title="Pictures", size=(WIDE, 320)),
                    note(
                        21,
                        """
Near things are bright. The negatives keep this layout, so that they differ from the picture in
*what* is shown and not in *where*.
""",
                        size=(WIDE, 120),
                        title="What to look at",
                    ),
                ),
            ),
        ),
        Group(
            "3 · Negatives",
            (
                (negatives(8, (2, 0), (5, 0), suffix="in Korea"),),
                (
                    note(
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


APPLY_LORA = Graph(
    "scoft_apply_lora",
    (
        Group(
            "1 · Model and LoRA",
            (
                (
                    note(
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
                    note(
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
