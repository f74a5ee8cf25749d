"""What the page saves is what the analysis reads, to the last rank."""

import json

from made_survey_page import PAGES, made_data, picture_ids
from survey_filling import begun, ids_shown, next_one, opened, page_shown, saved, to_overview

from scoft_training.survey_key import ITEMS, SurveyKey, SurveyPage
from scoft_training.survey_returns import read_returns

MODELS = ("SD", "+M", "+MP", "+MPC")


def key_of(data):
    """Return the key of made data: every page's pictures are of the models in their order."""
    pages = []
    for at, page in enumerate(PAGES):
        pictures = dict(zip(picture_ids(at), MODELS, strict=True))
        pages.append(SurveyPage(page, data["culture"], f"a market, {at}", at, pictures))
    return SurveyKey(data["survey"], "0" * 32, data["allow_ties"], MODELS, tuple(pages), {})


def read(tmp_path, data, name, file):
    folder = tmp_path / "returned"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(file), encoding="utf-8")
    return read_returns([folder], key_of(data))


def test_every_rank_and_comment_arrives(browser, tmp_path):
    data = made_data(allow_ties=True, pages=2)
    with opened(browser, tmp_path / "survey.html", data) as page:
        begun(page, culture="Aruna, the north", years="30")
        chosen = {}
        for number in range(2):
            order, here = ids_shown(page, data), page_shown(page, data)
            for item in ITEMS:
                for at, key in enumerate("4211" if number else "3142"):
                    page.locator(".pick").nth(at).press(key)
                ranks = (4, 3, 1, 1) if number else (3, 1, 4, 2)
                chosen[here, item] = dict(zip(order, ranks, strict=True))
                next_one(page)
        page.fill("#last-word", "that was good")
        name, file = saved(page)
    returns = read(tmp_path, data, name, file)
    model_of = {one: model for page in key_of(data).pages for one, model in page.pictures.items()}
    wanted = {
        (page, item, model_of[picture]): rank
        for (page, item), ranks in chosen.items()
        for picture, rank in ranks.items()
    }
    assert {(one.page, one.item, one.model): one.rank for one in returns.answers} == wanted
    assert len(returns.answers) == 2 * 4 * 4
    assert {one.participant for one in returns.answers} == {file["participant"]}
    assert [one.text for one in returns.comments] == ["that was good"]
    assert not [one for one in returns.findings if one.kind != "flagged"]
    places = {one["page"]: one["order"] for one in file["pages"]}
    for answer in returns.answers:
        shown_at = [model_of[picture] for picture in places[answer.page]].index(answer.model)
        assert answer.position == shown_at + 1


def test_a_file_saved_half_way_arrives_as_far_as_it_goes(browser, tmp_path):
    data = made_data()
    with opened(browser, tmp_path / "survey.html", data) as page:
        begun(page)
        for at in range(4):
            page.locator(".pick").nth(at).click()
        next_one(page)
        page.locator(".pick").first.click()
        to_overview(page)
        name, file = saved(page)
    returns = read(tmp_path, data, name, file)
    assert len(returns.answers) == 4
    assert {one.item for one in returns.answers} == {ITEMS[0]}
    assert not [one for one in returns.findings if one.kind == "refused"]


def test_of_a_file_and_the_one_that_went_on_from_it_the_fuller_counts(browser, tmp_path):
    data = made_data()
    with opened(browser, tmp_path / "survey.html", data) as page:
        begun(page)
        ranked(page)
        to_overview(page)
        name, half = saved(page)
        page.evaluate("localStorage.clear()")
        page.reload()
        page.set_input_files("#resume", {**AS_JSON, "buffer": json.dumps(half).encode()})
        ranked(page)
        to_overview(page)
        again, fuller = saved(page)
    assert again == name
    read(tmp_path, data, name, half)
    returns = read(tmp_path, data, name.replace(".json", " (1).json"), fuller)
    assert len(returns.participants) == 1
    assert {one.item for one in returns.answers} == set(ITEMS[:2])
    assert len(returns.answers) == 8
    (told,) = [one for one in returns.findings if one.kind == "refused"]
    assert told.where == name
    assert "holds more rankings" in told.sentence


AS_JSON = {"name": "answers.json", "mimeType": "application/json"}


def ranked(page):
    for at in range(4):
        page.locator(".pick").nth(at).click()
