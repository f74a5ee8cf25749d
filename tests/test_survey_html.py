"""The survey's page as a file: one, closed, and with nothing in it that is not text."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from made_survey_page import made_data

from scoft_training import survey_html as room
from scoft_training.errors import SurveyError
from scoft_training.survey_html import survey_html

ATTACK = "</script><script>alert(1)</script><!-- \"'&\u2028\u2029"
FOLDER = Path(room.__file__).with_name("survey_page")


def inside(text, tag):
    return re.search(f"<{tag}[^>]*>(.*?)</{tag}>", text, re.DOTALL)[1]


def policy_of(text):
    return re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]


def test_the_policy_allows_this_script_and_style_and_nothing_else():
    text = survey_html(made_data())
    script = re.search(r'<script type="module">(.*?)</script>', text, re.DOTALL)[1]
    digests = [
        f"sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}"
        for one in (inside(text, "style"), script)
    ]
    assert policy_of(text) == (
        f"default-src 'none'; img-src data:; style-src '{digests[0]}'; "
        f"script-src '{digests[1]}'; form-action 'none'; base-uri 'none'"
    )
    assert len(re.findall(r"<script", text)) == 2
    # The namespace of drawings is a name, which is never fetched.
    assert set(re.findall(r"https?://[\w./]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<link|<img|@import|url\(|\bimport\(|fetch\(|XMLHttp|sendBeacon", text)


def test_the_policy_comes_before_all_that_it_rules():
    text = survey_html(made_data())
    assert text.index("Content-Security-Policy") < min(text.index("<style"), text.index("<script"))


def test_data_come_back_as_they_were_and_end_no_element():
    data = made_data(title=ATTACK, culture=ATTACK)
    text = survey_html(data)
    kept = re.search(r'id="survey-data">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(kept) == data
    assert not set(kept) & set("<>&\u2028\u2029")
    assert len(re.findall(r"<script", text)) == 2
    assert inside(text, "title").startswith("&lt;/script&gt;&lt;script&gt;alert(1)")


def test_braces_in_the_data_are_no_placeholders():
    data = made_data(title="{script} {data}")
    assert "<title>{script} {data}</title>" in survey_html(data)


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        ("https://example.org/forms/1?key=2;3", "https://example.org"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("https://me:secret@example.org/", "https://example.org"),
        ("http://[::1]:80/x", "http://[::1]:80"),
        ("https://한국.example/", "https://xn--3e0b707e.example"),
    ],
)
def test_a_form_may_go_to_its_target_alone(target, origin):
    policy = policy_of(survey_html(made_data(form_target=target)))
    assert f"form-action {origin}; base-uri" in policy


@pytest.mark.parametrize(
    "target", ["ftp://example.org/", "javascript:alert(1)", "https://", "https://a b/", "x;y"]
)
def test_other_form_targets_are_refused(target):
    with pytest.raises(SurveyError, match="is no address that a form can be sent to"):
        survey_html(made_data(form_target=target))


def test_every_module_is_inside_once_and_after_those_that_it_imports():
    assert sorted(room._MODULES) == sorted(path.stem for path in FOLDER.glob("*.mjs"))
    for at, name in enumerate(room._MODULES):
        source = (FOLDER / f"{name}.mjs").read_text(encoding="utf-8")
        for one in re.findall(r'from "\./(\w+)\.mjs"', source):
            assert one in room._MODULES[:at], f"{name} imports {one}, which comes later"


def test_joining_leaves_no_import_and_no_export():
    script = re.search(r'<script type="module">(.*?)</script>', survey_html(made_data()), re.DOTALL)
    assert not re.search(r"^(import|export)\b", script[1], re.MULTILINE)


def test_no_module_writes_markup_and_texts_and_keys_are_those_of_the_page():
    texts = made_data()["texts"]
    used = set()
    for path in FOLDER.glob("*.mjs"):
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|insertAdjacentHTML|outerHTML|document\.write", source)
        used |= set(re.findall(r'"((?:\w+)\.(?:\w+))"', source)) & set(texts)
        used |= {f"welcome.{name}" for name in re.findall(r'"(\w+_(?:missing|wrong))"', source)}
        used |= {f"welcome.{name}" for name in re.findall(r'field\(words, "(\w+)"', source)}
    made_elsewhere = {"title.default", "about.default", "consent.default", "page.needs_script"}
    built = {key for key in texts if key.startswith("item.")} | {"welcome.culture_help"}
    assert set(texts) - used - made_elsewhere - built == set()
