"""What a node's page is told of scores."""

from __future__ import annotations

import dataclasses
import json

import pytest
from made_scores import OTHER, made_scores

from scoft_training.errors import ConfigError
from scoft_training.score_view import scores_for_page


def test_a_page_is_told_of_every_model_a_value_for_each_question():
    seen = json.loads(json.dumps(scores_for_page(made_scores())))
    assert [one["name"] for one in seen["questions"]] == ["copies", "knows", "forgot"]
    assert seen["questions"][1]["question"] == "Does it know my culture?"
    assert seen["questions"][1]["network"] == "inception"
    # Intervals of 0.03, 2 and 1 to either side: of differences 0.013, 2.5 and none.
    digits = [(one["digits"], one["difference_digits"]) for one in seen["questions"]]
    assert digits == [(3, 3), (1, 1), (1, 2)]
    base, first, *_, other = seen["models"]
    assert (base["name"], base["step"], first["step"]) == ("base", None, 100)
    assert (base["run"], first["run"], other["run"]) == (None, "run1", None)
    assert first["values"][1] == {"value": 24.0, "low": 22.0, "high": 26.0, "mark": ""}
    # Another LoRA copies as little; no interval of another reaches what the base forgot, -0.25.
    assert [value["mark"] for value in base["values"]] == ["lowest", "", "best"]
    assert (other["name"], other["values"][2]) == (OTHER, None)
    assert seen["suggestion"]["step"] == 200
    assert seen["warnings"] == ["KID of 40 pictures says little. Draw more seeds."]


def test_differences_are_of_every_other_model_with_a_verdict():
    seen = scores_for_page(made_scores(), "step 100")
    assert seen["baseline"] == "step 100"
    assert [one["name"] for one in seen["differences"]] == ["base", "step 200", "step 300", OTHER]
    base = seen["differences"][0]["values"]
    assert base[1] == {"value": 17.5, "low": 15.0, "high": 20.0, "verdict": "worse"}
    assert base[0]["verdict"] == "better"
    assert seen["differences"][3]["values"][2] is None
    with pytest.raises(ConfigError, match="Unknown model 'x'"):
        scores_for_page(made_scores(), "x")


def test_one_model_alone_is_not_the_best_of_any():
    scores = dataclasses.replace(made_scores(), models=made_scores().models[1:2], suggestion=None)
    seen = scores_for_page(scores)
    assert [value["mark"] for value in seen["models"][0]["values"]] == [""] * 3
    assert (seen["differences"], seen["suggestion"]) == ([], None)


def test_what_was_not_measured_has_a_question_without_a_metric():
    without = tuple(dataclasses.replace(one, metrics=()) for one in made_scores().models)
    seen = scores_for_page(dataclasses.replace(made_scores(), models=without, differences=()))
    assert [one["title"] for one in seen["questions"]] == ["", "", ""]
    assert all(one["values"] == [None] * 3 for one in seen["models"])
