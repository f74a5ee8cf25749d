"""A survey's key kept from one making to the next: whole, or refused."""

import json
from dataclasses import replace

import pytest
from survey_grid import MODELS, grid_of, picture, prompts_of

from scoft_training.errors import ResumeError, SurveyError
from scoft_training.survey_config import SurveyConfig
from scoft_training.survey_keeping import kept_key
from scoft_training.survey_key import KEY_NAME, read_key, write_key
from scoft_training.survey_pages import choose_pages

SIZES = dict.fromkeys(MODELS, (4, 4))


@pytest.fixture
def chosen(tmp_path):
    grid = grid_of(tmp_path / "g", prompts_of(3), sizes=SIZES)
    return choose_pages([grid], culture=None, models=(), config=SurveyConfig())


@pytest.fixture
def out(tmp_path, chosen):
    """Return the folder of a survey whose key was written."""
    key, _ = kept_key(tmp_path / "s", chosen, False, {"a": 1})
    write_key(tmp_path / "s" / KEY_NAME, key)
    return tmp_path / "s"


def test_a_first_key_is_to_be_written_and_the_same_one_is_not(chosen, tmp_path):
    made, is_new = kept_key(tmp_path / "s", chosen, False, {"a": 1})
    assert is_new
    assert not (tmp_path / "s").exists()
    write_key(tmp_path / "s" / KEY_NAME, made)
    assert kept_key(tmp_path / "s", chosen, False, {"a": 1}) == (made, False)


def test_other_settings_are_written_into_the_same_key(chosen, out):
    before = read_key(out)
    after, is_new = kept_key(out, chosen, False, {"a": 2})
    assert is_new
    assert after == replace(before, settings={"a": 2})


def test_pages_in_another_order_are_the_same_survey_in_that_order(chosen, out):
    turned = replace(chosen, pages=chosen.pages[::-1])
    key, is_new = kept_key(out, turned, False, {"a": 1})
    assert key.pages == read_key(out).pages[::-1]
    assert not is_new


def test_a_copied_folder_keeps_its_ids(chosen, out, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / KEY_NAME).write_bytes((out / KEY_NAME).read_bytes())
    assert kept_key(tmp_path / "copy", chosen, False, {"a": 1})[0] == read_key(out)


def _swapped(values):
    pictures = values["pages"][1]["pictures"]
    first, second, *_ = pictures
    pictures[first], pictures[second] = pictures[second], pictures[first]


@pytest.mark.parametrize(
    "change",
    [
        _swapped,
        lambda values: values["pages"][1].update(prompt="another"),
        lambda values: values["pages"][1].update(seed=8),
        lambda values: values["pages"][1].update(culture="India"),
    ],
)
def test_a_key_by_which_answers_would_be_read_wrongly_is_refused_and_its_page_named(
    chosen, out, change
):
    values = json.loads((out / KEY_NAME).read_text(encoding="utf-8"))
    change(values)
    (out / KEY_NAME).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(SurveyError, match="was altered at the page [0-9a-f]{8} .'test prompt 1 of"):
        kept_key(out, chosen, False, {"a": 1})


def test_a_key_with_the_id_of_another_survey_is_refused(chosen, out):
    write_key(out / KEY_NAME, replace(read_key(out), survey="0" * 16))
    with pytest.raises(SurveyError, match="was altered, so that answers would be read wrongly"):
        kept_key(out, chosen, False, {"a": 1})


def test_pictures_pages_models_and_ties_are_each_named_when_they_are_others(chosen, out):
    fewer = replace(chosen, pages=chosen.pages[1:])
    with pytest.raises(ResumeError, match="1 of 3 pages would be gone and 0 be new; `allow_ties`"):
        kept_key(out, fewer, True, {"a": 1})
    picture("another").save(chosen.pages[0].pictures["base"].path)
    with pytest.raises(ResumeError, match="pictures were drawn anew since"):
        kept_key(out, chosen, False, {"a": 1})
    other = replace(chosen, models=("base", "x"))
    with pytest.raises(ResumeError, match="the models were base, Zweitmodell, Drittmodell, now"):
        kept_key(out, other, False, {"a": 1})
