"""What is asked of a survey's making: refused in a sentence, or advised upon."""

import json
from dataclasses import replace

import pytest
from survey_grid import MODELS, grid_of, prompts_of

from scoft_training.errors import ConfigError
from scoft_training.survey_config import SurveyConfig
from scoft_training.survey_pages import ChosenPage, ChosenPages, choose_pages
from scoft_training.survey_request import (
    SurveyRequest,
    advice,
    require_letters,
    require_target,
    texts_of,
)
from scoft_training.survey_texts import language_file
from scoft_training.survey_translations import read_translations

NO_PAGES = ChosenPages(MODELS, (), ())


def request_of(**fields):
    return SurveyRequest(grids=(), out=None, **{"contact": "Kim"} | fields)


@pytest.mark.parametrize(
    "target",
    [
        "example.org",
        "ftp://example.org/a",
        "javascript:alert(1)",
        "https://",
        "https://user:word@example.org",
        "https://example.org/a b",
        "https://example.org; script-src *",
        'https://example.org/"',
        "https://[",
        "https://example.org:99999/",
        # What Python takes and browsers do not: the page would fail where answers are sent.
        "https://999.1.1.1/",
        "https://example.12/",
        "https://a%20b/",
        "https://a..b/",
        "https://ä..b/",
        f"https://{'ä' * 70}.org/",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_a_form_posts_to_a_plain_web_address_or_nowhere(target):
    with pytest.raises(ConfigError, match="is no address that a page can post to"):
        require_target(target)


@pytest.mark.parametrize(
    "target",
    [
        "",
        " https://example.org/answers?a=1&b=2 ",
        "HTTPS://EXAMPLE.ORG",
        "http://localhost:8000/",
        "http://192.168.1.20/answers",
        "http://[::1]:8000/",
        "https://my_server.example.org./",
        "https://пример.рф/a",
    ],
)
def test_addresses_that_browsers_know_are_taken(target):
    require_target(target)


@pytest.mark.parametrize("name", ["title", "about", "consent", "contact"])
def test_half_a_character_is_refused_where_it_stands(name):
    with pytest.raises(ConfigError, match=f"`{name}` holds half a character"):
        require_letters(request_of(**{name: "a\ud83d"}), NO_PAGES)
    require_letters(request_of(**{name: "a\U0001f600"}), NO_PAGES)


@pytest.mark.parametrize(("culture", "prompt"), [("K\udcff", "a"), ("K", "a\udcff")])
def test_half_a_character_in_a_grid_is_refused_too(culture, prompt):
    pages = replace(NO_PAGES, pages=(ChosenPage(culture, prompt, 7, {}),))
    with pytest.raises(ConfigError, match="The prompt 'a.*' of 'K.*' holds half a character"):
        require_letters(request_of(), pages)


@pytest.mark.parametrize(("own", "named"), [("en", "en"), ("pt-BR", "pt-br")])
def test_one_page_never_takes_the_name_of_another(tmp_path, own, named):
    values = json.loads(language_file("en").read_text(encoding="utf-8"))
    for name, language in (("a", own), ("b", own.replace("BR", "br"))):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(values | {"language": language}), encoding="utf-8")
    languages = f"{tmp_path / 'a.json'},{tmp_path / 'b.json'}"
    with pytest.raises(ConfigError, match=f"`languages` names '{named}' twice"):
        texts_of(SurveyConfig(languages=languages))
    assert len(texts_of(SurveyConfig(languages=f"ko,{tmp_path / 'a.json'}"))) == 2


def test_models_that_drew_the_same_are_told(tmp_path):
    grid = grid_of(tmp_path / "g", prompts_of(3), sizes=dict.fromkeys(MODELS, (4, 4)))
    found = choose_pages([grid], culture=None, models=(), config=SurveyConfig())
    assert list(advice(request_of(), [grid], found, read_translations(None, ["en"]))) == []
    pages = tuple(
        replace(page, pictures={**page.pictures, "base": page.pictures["Drittmodell"]})
        for page in found.pages[:2]
    )
    same = replace(found, pages=(*pages, found.pages[2]))
    (told,) = advice(request_of(), [grid], same, read_translations(None, ["en"]))
    assert told.startswith("On 2 of 3 pages 'base' and 'Drittmodell' have the same picture")
