"""A survey's key: what it holds comes back, what is damaged is refused in a sentence."""

import json
import re

import pytest

from scoft_training.errors import SurveyError
from scoft_training.survey_key import (
    KEY_NAME,
    SurveyKey,
    SurveyPage,
    keyed_id,
    new_secret,
    read_key,
    write_key,
)

KEY = SurveyKey(
    survey="0123456789abcdef",
    secret="00112233445566778899aabbccddeeff",
    allow_ties=True,
    models=("base", "나의 것"),
    pages=(
        SurveyPage(
            "0a0a0a0a", "Korea", "a <b>gate</b>", 7, {"11111111": "나의 것", "22222222": "base"}
        ),
        SurveyPage(
            "0b0b0b0b", "India", "a gate", 2**62, {"33333333": "base", "44444444": "나의 것"}
        ),
    ),
    settings={"seed": 3, "roles": "test"},
)


def written(folder, change=lambda values: None):
    """Write the key, changed as JSON; return its path."""
    path = folder / KEY_NAME
    write_key(path, KEY)
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_a_key_comes_back_as_it_was_written_from_its_file_and_from_its_folder(tmp_path):
    write_key(tmp_path / KEY_NAME, KEY)
    assert read_key(tmp_path / KEY_NAME) == KEY
    assert read_key(tmp_path) == KEY
    assert list(read_key(tmp_path).pages[0].pictures) == ["11111111", "22222222"]
    assert json.loads((tmp_path / KEY_NAME).read_text(encoding="utf-8"))["format"] == 1


def test_a_key_that_an_editor_saved_with_a_byte_order_mark_is_read(tmp_path):
    path = written(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_key(path) == KEY


def test_ids_are_a_function_of_secret_and_meaning_and_differ_for_every_other_one():
    secret = "00" * 16
    assert keyed_id(secret, "page", "Korea", 7) == keyed_id(secret, "page", "Korea", 7)
    others = [
        keyed_id(secret, "page", "Korea", 7),
        keyed_id(secret, "page", "Korea", 8),
        keyed_id(secret, "page", "Korea", "7"),
        keyed_id(secret, "page", "Korea7"),
        keyed_id("01" * 16, "page", "Korea", 7),
    ]
    assert len(set(others)) == len(others)
    assert all(re.fullmatch("[0-9a-f]{8}", one) for one in others)
    assert re.fullmatch("[0-9a-f]{16}", keyed_id(secret, "survey", digits=16))


def test_an_id_is_hmac_sha256_over_the_meaning_as_json():
    # printf '["page", "가", 7]' | openssl dgst -sha256 -mac hmac -macopt hexkey:0b0b...
    assert keyed_id("0b" * 16, "page", "가", 7) == "d0f8e49d"


def test_secrets_are_32_hex_digits_and_never_twice_the_same():
    made = {new_secret() for _ in range(20)}
    assert len(made) == 20
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format=2), "is of format 2, and this version reads 1"),
        (lambda v: v.pop("pages"), "'pages' is missing"),
        (lambda v: v.update(survey="xyz"), "'xyz' stands where 16 hex digits belong"),
        (lambda v: v.update(secret="00"), "'00' stands where 32 hex digits belong"),
        (lambda v: v.update(models=["base"]), "`models` must be two or more different names"),
        (lambda v: v.update(models=["a", "a"]), "`models` must be two or more different names"),
        (lambda v: v.update(allow_ties="no"), "`allow_ties` must be true or false"),
        (lambda v: v.update(settings=[]), "`settings` an object"),
        (lambda v: v["pages"][0].update(seed=True), "a seed is True"),
        (lambda v: v["pages"][0].update(culture=" "), "a culture is ' '"),
        (lambda v: v["pages"][0].update(prompt=None), "a prompt is None"),
        (lambda v: v["pages"][0].update(page="0b0b0b0b"), "an id stands for two things"),
        (
            lambda v: v["pages"][0].update(pictures={"33333333": "base", "9" * 8: "나의 것"}),
            "an id stands for two things",
        ),
        (
            lambda v: v["pages"][0].update(pictures={"33333333": "base", "9" * 8: "base"}),
            "a page does not hold one picture of each model",
        ),
        (lambda v: v["pages"][0].update(pictures=3), "is damaged"),
        (lambda v: v.update(pages=[3]), "is damaged"),
        (lambda v: v.update(pages=[]), "is damaged (`pages` are none)"),
    ],
)
def test_a_damaged_key_is_refused_and_the_fault_is_named(tmp_path, change, message):
    path = written(tmp_path, change)
    with pytest.raises(SurveyError, match=re.escape(message)) as caught:
        read_key(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[]", "[" * 100_000])
def test_what_is_no_key_is_refused(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(SurveyError, match="key"):
        read_key(path)


def test_a_missing_key_is_asked_for(tmp_path):
    with pytest.raises(SurveyError, match="there is no such file. Name the survey-key.json"):
        read_key(tmp_path / "none.json")
    with pytest.raises(SurveyError, match="there is no such file"):
        read_key(tmp_path)
