"""The words of a survey's page: six languages that say the same, and the user's own."""

import json
import re
import shutil
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path

import pytest

from scoft_training.errors import SurveyError
from scoft_training.survey_texts import LANGUAGES, filled, language_file, survey_texts

ROOT = Path(__file__).parent.parent
ENGLISH = survey_texts("en").texts
OTHERS = [language for language in LANGUAGES if language != "en"]
SCRIPTS = {"ko": "HANGUL", "zh": "CJK", "hi": "DEVANAGARI", "ar": "ARABIC"}
FOREIGN = re.compile(r"JavaScript|Chrome|Edge|Firefox|Safari|Tab|Backspace|\{\w+\}")
"""Words that are the same everywhere, in Latin letters."""

WIDE, ARABIC = "。？！，；：", "؟،؛"


def written(text):
    return FOREIGN.sub("", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_the_keys_and_placeholders_of_the_english_one(language):
    found = json.loads(language_file(language).read_text(encoding="utf-8"))
    assert found["language"] == language
    assert list(found["texts"]) == list(ENGLISH)
    for key, text in found["texts"].items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(
            re.findall(r"\{\w+\}", ENGLISH[key])
        ), key
        assert text.count("\n\n") == ENGLISH[key].count("\n\n"), key
        assert text == text.strip() == unicodedata.normalize("NFC", text), key


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_is_left_in_english(language):
    same = {key for key, text in survey_texts(language).texts.items() if text == ENGLISH[key]}
    assert same <= {"picture.letters"}
    assert survey_texts(language).name != "English"


@pytest.mark.parametrize("language", SCRIPTS)
def test_a_language_is_written_in_its_script(language):
    for key, text in survey_texts(language).texts.items():
        letters = [one for one in written(text) if one.isalpha()]
        if key == "picture.letters" or not letters:
            continue
        foreign = {
            one for one in letters if not unicodedata.name(one).startswith(SCRIPTS[language])
        }
        assert not foreign, key


def test_arabic_alone_is_read_from_right_to_left():
    directions = {language: survey_texts(language).direction for language in LANGUAGES}
    assert directions == {**dict.fromkeys(LANGUAGES, "ltr"), "ar": "rtl"}


@pytest.mark.parametrize(
    ("language", "question", "ends", "wrong"),
    [
        ("en", "?", ".!", WIDE + ARABIC + "।"),
        ("ko", "?", ".!", WIDE + ARABIC + "।"),
        ("zh", "？", "。！", ".?!,;:" + ARABIC + "।"),
        ("es", "?", ".!", WIDE + ARABIC + "।"),
        ("hi", "?", "।!", WIDE + ARABIC + "."),
        ("ar", "؟", ".!", WIDE + "?,;।"),
    ],
)
def test_punctuation_is_that_of_the_language(language, question, ends, wrong):
    for key, text in survey_texts(language).texts.items():
        assert not set(wrong) & set(written(text)), key
        if ENGLISH[key].endswith("?"):
            assert text.endswith(question), key
        elif ENGLISH[key].endswith("."):
            assert text.endswith(tuple(ends)), key


def test_spanish_questions_are_opened():
    for key, text in survey_texts("es").texts.items():
        assert text.count("¿") == text.count("?"), key
        assert text.count("¡") == text.count("!"), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_nine_pictures_have_letters_that_differ(language):
    letters = survey_texts(language).texts["picture.letters"].split(" ")
    assert len(set(letters)) == len(letters) == 9


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_ends_of_an_item_differ_and_the_items_too(language):
    texts = survey_texts(language).texts
    items = ("alignment", "representation", "stereotypes", "offensiveness")
    ends = [texts[f"item.{item}.{end}"] for item in items for end in ("best", "worst")]
    assert len(set(ends)) == 8


@pytest.mark.parametrize("language", LANGUAGES)
def test_consent_names_the_button_that_leads_away_from_a_page(language):
    texts = survey_texts(language).texts
    assert texts["progress.overview"] in texts["consent.default"]


def test_placeholders_are_filled_once_and_braces_in_values_stay():
    text = "About {culture}: {pages} pages, {minutes}"
    values = {"culture": "{pages} {0.__class__}", "pages": 20}
    assert filled(text, values) == "About {pages} {0.__class__}: 20 pages, {minutes}"


def own_file(folder, change=lambda values: None, *, encoding="utf-8"):
    values = json.loads(language_file("en").read_text(encoding="utf-8"))
    values |= {"language": "vi", "name": "Tiếng Việt"}
    change(values)
    path = folder / "my.json"
    text = json.dumps(values, ensure_ascii=False, indent=1)
    # Half a character cannot be written as itself.
    path.write_bytes(text.encode(encoding, "backslashreplace"))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_language_of_ones_own_is_read(tmp_path, encoding):
    def change(values):
        values["texts"]["nav.next"] = "Tiếp"

    texts = survey_texts(f" {own_file(tmp_path, change, encoding=encoding)} ")
    assert (texts.language, texts.direction, texts.name) == ("vi", "ltr", "Tiếng Việt")
    assert texts.texts == {**ENGLISH, "nav.next": "Tiếp"}


def test_a_hebrew_file_is_read_from_right_to_left(tmp_path):
    def change(values):
        values |= {"language": "he", "direction": "rtl"}
        values["texts"] = {
            key: "".join(re.findall(r"\{\w+\}", text)) + "שלום לכולם" * 3
            for key, text in ENGLISH.items()
        } | {"picture.letters": "א ב ג ד ה ו ז ח ט"}

    assert survey_texts(str(own_file(tmp_path, change))).direction == "rtl"


def texts_but(**changes):
    def change(values):
        values["texts"] |= {key.replace("__", "."): text for key, text in changes.items()}

    return change


def without(*keys):
    def change(values):
        for key in keys:
            del values["texts"][key]

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without("nav.next"), "the text `nav.next` is missing. `scoft survey texts en` prints"),
        (
            without("nav.next", "nav.back", "title.default", "end.save", "end.copy"),
            "the text `title.default`, `nav.back`, `nav.next` and 2 more is missing.",
        ),
        (texts_but(nav__nxt="Next"), "no text `nav.nxt`. Did you mean `nav.next`?"),
        (texts_but(zzz="?"), "no text `zzz`. Remove it."),
        (texts_but(nav__next=" "), "`nav.next` is empty or no text. Translate it."),
        (texts_but(nav__next=7), "`nav.next` is empty or no text. Translate it."),
        (texts_but(nav__next="\ud83d"), "`nav.next` holds half a character"),
        (
            texts_but(picture__letters="A B C"),
            "`picture.letters` must be 9 different letters, parted by single spaces, but is 'A B",
        ),
        (texts_but(picture__letters="A B C D E F G H A"), "must be 9 different letters"),
        (texts_but(picture__letters="A B C D E F G H  I"), "must be 9 different letters"),
        (texts_but(picture__name="Picture"), "`picture.name` lost {letter}."),
        (
            texts_but(picture__name="Picture {letter} {n}"),
            "`picture.name` has {n}, which the page does not fill; it fills {letter}.",
        ),
        (
            texts_but(nav__next="{n}"),
            "`nav.next` has {n}, which the page does not fill; it fills none.",
        ),
        (lambda values: values.update(texts=[]), '"texts" must be an object'),
        (lambda values: values.pop("name"), "the field `name` is missing."),
        (lambda values: values.update(nam="x"), "no field `nam`. Did you mean `name`?"),
        (lambda values: values.update(name=" "), '"name" is empty.'),
        (lambda values: values.update(language="../x"), "\"language\" is '../x'; give the short"),
        (lambda values: values.update(language=None), '"language" is None; give the short'),
        (lambda values: values.update(direction="rtl"), 'from left to right: write "ltr".'),
        (lambda values: values.update(direction=None), '"direction" is None, but the texts'),
    ],
)
def test_a_faulty_file_is_refused_with_its_name_and_key(tmp_path, change, sentence):
    path = own_file(tmp_path, change)
    with pytest.raises(SurveyError) as caught:
        survey_texts(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"language": "vi",\n "name" "x"}', ", line 2: is no JSON"),
        ('{"name": "Tiếng"}'.encode("utf-16"), ": is not encoded in UTF-8. Save it as UTF-8."),
        (b'{"name": "a", "name": "b"}', ": `name` stands there twice. Remove one of them."),
        (b"[]", ": is no JSON object."),
        (b"[" * 100_000, ": is nested too deeply."),
        (b" " * 1_000_001, ": is far too large"),
    ],
)
def test_a_file_that_is_no_json_object_is_refused(tmp_path, data, sentence):
    path = tmp_path / "my.json"
    path.write_bytes(data)
    with pytest.raises(SurveyError, match=re.escape(f"{path}{sentence}")):
        survey_texts(str(path))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SurveyError, match=r"none\.json: cannot be read \(No such file"):
        survey_texts(str(tmp_path / "none.json"))


def test_a_language_is_found_however_it_is_written():
    assert survey_texts(" KO ") == survey_texts("ko")


def test_an_unknown_language_is_told_with_the_nearest_and_the_way_out():
    with pytest.raises(SurveyError, match="Unknown language of a survey 'kor'.*'ko'.*JSON file"):
        survey_texts("kor")
    with pytest.raises(SurveyError, match="Unknown language of a survey 'de'"):
        language_file("de")


def test_a_wheel_brings_the_texts_and_the_page(tmp_path):
    """Built from a copy, since building leaves files beside the sources."""
    source = tmp_path / "source"
    skipped = shutil.ignore_patterns("__pycache__", "weights")
    shutil.copytree(ROOT / "scoft_training", source / "scoft_training", ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, source)
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= {f"scoft_training/survey_texts/{language}.json" for language in LANGUAGES}
    page = {path.name for path in (ROOT / "scoft_training" / "survey_page").iterdir()}
    assert "page.css" in page
    assert names >= {f"scoft_training/survey_page/{name}" for name in page}
