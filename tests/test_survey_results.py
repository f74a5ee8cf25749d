"""results.json says what the analysis found, and nothing that is no number."""

import json
from dataclasses import replace

import pytest
from made_survey_results import made_result

from scoft_training.errors import SurveyError
from scoft_training.survey_records import Estimate
from scoft_training.survey_results import (
    read_result,
    result_from_json,
    result_to_json,
    write_result,
)


@pytest.mark.parametrize(
    "result",
    [
        made_result(),
        made_result(groups={"Korea": 1}),
        made_result(models=("a", "b"), groups={"x": 1, "y": 2}, items=("alignment",)),
        made_result(findings=(), differences=(), disagreements=(), position_bias=()),
    ],
)
def test_a_result_comes_back_from_its_file(result, tmp_path):
    write_result(tmp_path / "results.json", result)
    assert read_result(tmp_path / "results.json") == result


def test_the_file_is_plain_json(tmp_path):
    result = made_result(models=("우리", "SD"))
    write_result(tmp_path / "results.json", result)
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    values = json.loads(text, parse_constant=pytest.fail)
    rate = values["slices"][0]["win_rates"]["우리"]["SD"]
    assert rate["mean"] == result.slice().win_rates["우리", "SD"].mean
    assert "우리" in text
    assert values["slices"][0]["group"] is None


def test_no_number_may_be_nan():
    result = made_result()
    figures = replace(result.slices[3].models[1], first_share=Estimate(float("nan")))
    broken = replace(result.slices[3], models=(result.slices[3].models[0], figures))
    slices = (*result.slices[:3], broken, *result.slices[4:])
    with pytest.raises(ValueError, match=r"slices\[3\].models\[1\].first_share.mean is nan"):
        result_to_json(replace(result, slices=slices))


def test_fields_of_a_later_version_are_left():
    result = made_result()
    values = result_to_json(result)
    values["colour"] = values["people"][0]["colour"] = "red"
    assert result_from_json(json.loads(json.dumps(values)), where="here") == result


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.update(format=2), "is of format 2, but this version reads format 1"),
        (lambda values: values.pop("format"), "does not hold what `scoft survey aggregate` writes"),
        (lambda values: values.pop("models"), "models"),
        (lambda values: values.update(models="SD"), "'SD' is no list"),
        (lambda values: values["slices"][0].update(ties=True), "True is no int"),
        (lambda values: values["slices"][0].update(ties="3"), "'3' is no int"),
        (lambda values: values["people"].append(None), "None is no dict"),
        (lambda values: values["people"][0].update(nbt_skill=float("nan")), "nan is no number"),
    ],
)
def test_another_form_is_refused_with_its_place(change, words):
    values = json.loads(json.dumps(result_to_json(made_result())))
    change(values)
    with pytest.raises(SurveyError, match=words) as told:
        result_from_json(values, where="results.json")
    assert str(told.value).startswith("results.json: ")


@pytest.mark.parametrize(
    ("text", "words"), [(None, "Aggregate the answers first"), ("{", "is no JSON"), ("[]", "list")]
)
def test_a_file_that_is_none_is_refused(text, words, tmp_path):
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(SurveyError, match=words):
        read_result(tmp_path / "results.json")
