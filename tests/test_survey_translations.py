"""Prompts in the participants' languages: from JSON and CSV, and what does not fit is told."""

import json
import re
from unicodedata import normalize

import pytest

from scoft_training.errors import SurveyError
from scoft_training.survey_translations import read_translations

PROMPTS = ["a red gate", "a bowl of soup"]


def saved(folder, text, name="words.json"):
    path = folder / name
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


def test_no_file_translates_nothing_and_warns_of_nothing():
    none = read_translations(None, ["ko"])
    assert none.of("ko", "a red gate") == ""
    assert list(none.warnings(PROMPTS, PROMPTS)) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.json", {"ko": {"a red gate": "붉은 문"}, "es": {"a red gate": "una puerta roja"}}),
        ("w.csv", "prompt,language,text\na red gate,ko,붉은 문\na red gate,es,una puerta roja\n"),
        ("w.csv", "Language;Text;Prompt\r\nko;붉은 문;a red gate\r\nes;una puerta roja;a red gate"),
        ("w.csv", "\ufeffprompt\tlanguage\ttext\na red gate\tko\t붉은 문\n\t\t\na  red gate\tes\t"
                  '"una puerta roja"\n'),
    ],
)  # fmt: skip
def test_json_and_tables_of_several_languages_are_read(tmp_path, name, text):
    found = read_translations(saved(tmp_path, text, name), ["ko", "es"])
    assert found.of("ko", "a red gate") == "붉은 문"
    assert found.of("es", "a red\ngate") == "una puerta roja"
    assert found.of("es", "a bowl of soup") == found.of("hi", "a red gate") == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [("w.json", {"a red gate": "붉은 문"}), ("w.csv", "prompt,text\na red gate,붉은 문\n")],
)
def test_the_only_language_need_not_be_named_but_of_several_one_must(tmp_path, name, text):
    path = saved(tmp_path, text, name)
    assert read_translations(path, ["ko"]).of("ko", "a red gate") == "붉은 문"
    with pytest.raises(SurveyError, match="does not say which language it is in, .* has ko, es"):
        read_translations(path, ["ko", "es"])


def test_what_does_not_fit_the_survey_is_told(tmp_path):
    words = {"ko": {"a red gate": "붉은 문", "a rde gate": "x", "Korea": "한국"}, "kr": {"a": "b"}}
    found = read_translations(saved(tmp_path, words), ["ko", "en"])
    assert [one[:60] for one in found.warnings([*PROMPTS, "Korea"], PROMPTS)] == [
        "words.json: translates what no page asks about: 'a rde gate'. The text "[:60],
        "words.json: has no translation to 'ko' of 'a bowl of soup', so that is"[:60],
        "words.json: translates to 'kr', and the survey is in ko, en, so that is"[:60],
    ]


def test_many_names_are_cut_short(tmp_path):
    words = {"ko": {f"prompt {n}": "x" for n in range(9)}}
    found = read_translations(saved(tmp_path, words), ["ko"])
    (warning,) = found.warnings([], [])
    assert "'prompt 2'; and 6 more" in warning


def test_a_cell_that_nobody_has_filled_is_no_translation(tmp_path):
    found = read_translations(saved(tmp_path, {"ko": {"a red gate": " ", "b": "c"}}), ["ko"])
    assert found.of("ko", "a red gate") == ""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("w.json", "{", "w.json: is no JSON"),
        ("w.json", "[1]", "w.json: is no JSON object"),
        ("w.json", "{}", "w.json: holds no translation"),
        ("w.json", {"ko": {"a": 3}}, "the translation of 'a' is 3, not a text"),
        ("w.json", {"a": "b", "ko": {"a": "b"}}, "the translation of 'ko' is {'a': 'b'}"),
        ("w.csv", "prompt,translation\na,b\n", "has no columns `prompt` and `text`; it has prompt"),
        ("w.csv", "", "has no columns `prompt` and `text`; it has none"),
        ("w.csv", "prompt,text\n", "w.csv: holds no translation"),
        # What would be shown cut short, run together, or not at all.
        ("w.csv", "prompt,text\na,b, and c\n", "line 2: has more cells than the first line has"),
        ("w.csv", 'prompt,text\na,"b\nc,d\n', "line 2: is no line of a table (unexpected end"),
        ("w.csv", f'prompt,text\na,"{"b" * 200_000}"\n', "line 2: is no line of a table (field"),
        ("w.csv", "prompt,text\na,b\na ,c\n", "line 3: translates 'a ' a second time, and other"),
        ("w.json", '{"ko": {"a": "b", "a": "c"}}', "translates 'a' a second time, and otherwise"),
        ("w.json", '{"ko": {"a": "\\ud83d"}}', "the translation of 'a' holds half a character"),
    ],
)
def test_what_is_no_translation_is_refused_in_a_sentence(tmp_path, name, text, message):
    with pytest.raises(SurveyError, match=re.escape(message)):
        read_translations(saved(tmp_path, text, name), ["ko"])


def test_the_same_translation_twice_and_empty_cells_at_the_end_of_a_line_do_no_harm(tmp_path):
    text = "prompt,text,,\na,b,,\na,b,,\nc,d, ,,,\n"
    found = read_translations(saved(tmp_path, text, "w.csv"), ["ko"])
    assert (found.of("ko", "a"), found.of("ko", "c")) == ("b", "d")


def test_a_prompt_is_found_however_its_letters_are_put_together(tmp_path):
    taken_apart = normalize("NFD", "한국의 문")
    assert taken_apart != "한국의 문"
    found = read_translations(saved(tmp_path, {"es": {taken_apart: "puerta"}}), ["es"])
    assert found.of("es", "한국의 문") == "puerta"
    assert list(found.warnings(["한국의 문"], ["한국의 문"])) == []


def test_other_encodings_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "w.csv"
    path.write_bytes("prompt,text\na,붉은 문\n".encode("cp949"))
    with pytest.raises(SurveyError, match="is not encoded in UTF-8. Save it so; a spreadsheet"):
        read_translations(path, ["ko"])
    with pytest.raises(SurveyError, match="none.json: cannot be read"):
        read_translations(tmp_path / "none.json", ["ko"])
