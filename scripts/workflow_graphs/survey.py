"""The workflows that ask people: a survey made on the miniature, and its answers read."""

from __future__ import annotations

from .miniature import TRAINING
from .parts import LIVE_VIEW, MODELS, WIDE, Graph, Group, Node, note

__all__ = ["SURVEY_MAKE", "SURVEY_READ"]

_NAME = "avelun"
"""Of the survey: the reading workflow finds the key of the making one by it."""

_PAGES = 280
"""Height that the list of pages takes."""

SURVEY_MAKE = Graph(
    "scoft_survey_make",
    (
        Group(
            "1 · One training, four models",
            (
                (
                    note(
                        20,
                        f"""
## Ask the people

Whether pictures show a culture right, its people know. This graph makes a survey of the paper's
kind: one file that people open on a phone or a computer, rank pictures in, and send a small file
back. No server, no account, no names.

Here it is tried on the miniature, without a download, in some five minutes on two CPU cores. The
models are the miniature as it was, and after 100, 200 and 300 steps of training: **how much
training is enough?** For the paper's question, connect the grid of `scoft_ablation_grid`; for
yours, Draw Grid with your LoRAs.

The answers are read by the workflow `scoft_survey_read`, which finds this survey by its
**survey_name**, `{_NAME}`.
""",
                        size=(WIDE, 300),
                    ),
                    Node(1, "ScoftLoadMiniature", {"pictures": 30}, size=(WIDE, 0)),
                ),
                (
                    Node(
                        2,
                        "ScoftTrainLora",
                        {
                            **MODELS,
                            "dataset": (1, 4),
                            **TRAINING,
                            "perceptual_weight": 0.0,
                            "contrastive_weight": 0.0,
                            "snapshot_every": 100,
                        },
                        size=(WIDE, 0),
                        room=LIVE_VIEW,
                    ),
                ),
            ),
        ),
        Group(
            "2 · The same prompts and seeds by each",
            (
                (
                    Node(
                        3,
                        "ScoftDrawGrid",
                        {
                            **MODELS,
                            "dataset": (1, 4),
                            "checkpoints_of": (2, 2),
                            "train_captions": 0,
                            "test_captions": 8,
                            "many_test_captions": 0,
                            "neutral_prompts": 0,
                            "inference_steps": 15,
                            "guidance_scale": 3.0,
                            "resolution": 128,
                            "batch_size": 16,
                            "grid_name": "asked",
                        },
                        size=(WIDE, 0),
                    ),
                    note(
                        21,
                        """
People are asked about captions that no model was trained on. Look at the pictures before anybody
else does: what nobody should have to see, leave out by drawing without that prompt.
""",
                        size=(WIDE, 110),
                        title="What is drawn",
                    ),
                ),
                (Node(4, "PreviewImage", {"images": (3, 1)}, title="Same seeds", size=(480, 900)),),
            ),
        ),
        Group(
            "3 · The pages to hand out",
            (
                (
                    Node(
                        5,
                        "ScoftMakeSurvey",
                        {
                            "grid": (3, 0),
                            "contact": "you@example.org",
                            "languages": "en,ko,zh,es,hi,ar",
                            "pages": 8,
                            "survey_name": _NAME,
                        },
                        size=(480, 0),
                        room=_PAGES,
                    ),
                ),
                (
                    note(
                        22,
                        f"""
1. Write whom people can ask into **contact**, and what they should know into **about** and
   **consent**. Empty ones are filled in each language.
2. **Run**, then **Open** a page and fill it as a participant would.
3. **Save** the pages that you need, and send them: by messenger, by mail, on a USB stick. Only
   what lies in `hand-out` goes to people.
4. Keep `survey-key.json` to yourself, and make a copy of it. It says whose picture is whose, and
   without it nobody can read the answers. All of it lies in `output/scoft/surveys/{_NAME}`.
5. What comes back goes, as it is, into `input/answers`. Then open `scoft_survey_read`.

Ask 15 people of a culture, with 20 pages, to tell models apart that lie as near to each other as
the paper's. How to ask them well: docs/survey.md.
""",
                        size=(WIDE, 270),
                        title="What to do with them",
                    ),
                ),
            ),
        ),
    ),
    runs=True,
)

SURVEY_READ = Graph(
    "scoft_survey_read",
    (
        Group(
            "1 · What came back",
            (
                (
                    note(
                        20,
                        f"""
## Read the answers

1. Put the files that people sent, `answers-....json`, into the folder `answers` of ComfyUI's input
   folder. They are never changed.
2. **key** names the survey: `{_NAME}` is the one that `scoft_survey_make` makes. Write the
   **survey_name** of yours. A survey of another computer: put its `survey-key.json` into the input
   folder and write `survey-key.json`.
3. **Run**. More answers may come later: Run again.

To try it before anybody has answered, fill a page of Make Survey in its preview, more than once,
and put the files that it saves into the folder.
""",
                        size=(WIDE, 250),
                    ),
                ),
            ),
        ),
        Group(
            "2 · What people said",
            (
                (
                    Node(
                        1,
                        "ScoftAggregateSurvey",
                        {"answers": "answers", "key": _NAME},
                        size=(780, 0),
                        room=260,
                    ),
                ),
                (
                    note(
                        21,
                        """
**Open report** shows everything. Read it from above: first whether groups of people disagree, then
who comes first. Where the people of two cultures prefer different models, a winner over all is
nobody's.

- **average rank**: 1 is best. **pairs won**: 50 % is the middle. In brackets: how far the number
  would move had other people been asked. Wide ranges say: ask more people.
- **MMSR and vote**, **Noisy Bradley-Terry**: people who agree with others, or answer with care,
  weigh more. If the orders differ, the models lie close together.
- **Answers to look at** are flagged, not left out. Look, decide, and name whom you leave out in
  **leave_out**; the report says so.

Tables, plots and all numbers lie beside the report, in `output/scoft/surveys`.
""",
                        size=(WIDE, 240),
                        title="How to read it",
                    ),
                ),
                (Node(2, "PreviewImage", {"images": (1, 0)}, title="Plots", size=(560, 760)),),
            ),
        ),
    ),
)
