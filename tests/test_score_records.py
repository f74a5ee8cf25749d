"""metrics.json: what is written is read, and what cannot be a number is not written."""

import dataclasses
import json

import pytest

from scoft_training.errors import DatasetError
from scoft_training.grids import GridModel, GridPrompt
from scoft_training.score_records import (
    Difference,
    MetricValue,
    ModelScores,
    Nearest,
    Scores,
    Suggestion,
    read_scores,
    scores_to_json,
    write_scores,
)


def made_scores():
    metric = MetricValue(
        key="similarity_dreamsim",
        title="DreamSim",
        value=0.5,
        low=0.4,
        high=0.6,
        unit="cosine",
        better="lower",
        network="dreamsim",
        convention="the vector that DreamSim compares",
        pictures=6,
        captions=2,
        reference_pictures=2,
        std=0.1,
        note="",
        per_caption=(0.45, 0.55),
        prompts=(0, 3),
        forms={"cosine": 0.5},
    )
    lora = GridModel("step 150", "ab" * 32, 0.8, 150, "run")
    return Scores(
        grid="grid",
        base_name="miniature",
        drawing={"resolution": 128},
        models=(ModelScores(GridModel("base"), ()), ModelScores(lora, (metric,))),
        differences=(Difference("step 150", "base", "similarity_dreamsim", 0.1, -0.1, 0.3),),
        suggestion=Suggestion("step 150", 150, "the only one"),
        conventions=("one",),
        settings={"batch_size": 16},
        warnings=("two",),
        nearest=(Nearest("step 150", "pictures/a.png", "한복", "cd" * 32, "../b.jpg", 0.9, True),),
        networks={"dreamsim": "digest"},
        picture_sets={"reference": {"pictures": 5, "digest": "ef"}},
        versions={"torch": "2"},
        prompts=(GridPrompt("한복", "train", (0, 1), "cd" * 32),),
        absent_networks=("inception",),
    )


def test_what_is_written_is_read_again(tmp_path):
    write_scores(tmp_path / "metrics.json", made_scores())

    assert read_scores(tmp_path / "metrics.json") == made_scores()
    assert "한복" in (tmp_path / "metrics.json").read_text(encoding="utf-8")


def test_the_triple_is_found_by_what_it_asks():
    scores = made_scores()

    assert scores.of("step 150").copies.value == 0.5
    assert scores.of("step 150").knows is None
    assert scores.of("base").copies is None
    assert scores.of("another") is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_number_that_json_lacks_is_written(tmp_path, bad):
    scores = made_scores()
    metric = dataclasses.replace(scores.models[1].metrics[0], forms={"cosine": bad})
    models = (dataclasses.replace(scores.models[1], metrics=(metric,)),)

    with pytest.raises(ValueError, match=r"models\[0\].metrics\[0\].forms.cosine"):
        write_scores(tmp_path / "metrics.json", dataclasses.replace(scores, models=models))
    assert not (tmp_path / "metrics.json").exists()


def test_a_later_version_may_say_more(tmp_path):
    values = scores_to_json(made_scores()) | {"more": 1}
    (tmp_path / "metrics.json").write_text(json.dumps(values), encoding="utf-8")

    assert read_scores(tmp_path / "metrics.json") == made_scores()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot be opened .* Score the grid first"),
        ("{", "is no JSON"),
        ("[]", "does not hold what `scoft score` writes"),
        ('{"format": 2}', "is of format 2, but this version reads format 1"),
        ('{"format": 1, "grid": "g"}', "does not hold what `scoft score` writes"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, text, sentence):
    path = tmp_path / "metrics.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")

    with pytest.raises(DatasetError, match=sentence):
        read_scores(path)
