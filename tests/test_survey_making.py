"""A survey made from grids: blind, whole, the same when made again, refused when it is another."""

import base64
import dataclasses
import hashlib
import io
import json
import re
import threading

import filelock
import pytest
from PIL import Image
from survey_grid import MODELS, data_of, grid_of, lora_digest, picture, prompts_of

from scoft_training.errors import (
    ConfigError,
    DatasetError,
    OutputError,
    ResumeError,
    ScoftError,
    SurveyError,
)
from scoft_training.events import FinishedEvent, PhaseEvent, StoppedEvent, WarningEvent
from scoft_training.files import file_sha256
from scoft_training.grids import GridPrompt
from scoft_training.survey_config import SurveyConfig
from scoft_training.survey_key import ITEMS, KEY_NAME, keyed_id, read_key
from scoft_training.survey_making import SurveyRequest, handed_out, make_survey
from scoft_training.survey_texts import language_file

SEED = 424_242_421
SMALL = SurveyConfig(pages=3)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    return grid_of(tmp_path_factory.mktemp("grids") / "gridfolder", prompts_of(4, seeds=(SEED,)))


def request_of(grids, out, **fields):
    grids = [one.folder for one in (grids if isinstance(grids, list) else [grids])]
    config = dataclasses.replace(SMALL, **fields.pop("config", {}))
    return SurveyRequest(
        grids=grids, out=out, config=config, **{"contact": "Kim <kim@example.org>"} | fields
    )


def make(grid, out, **fields):
    return list(make_survey(request_of(grid, out, **fields)))


def image_of(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def test_a_survey_is_a_key_for_the_organiser_and_pages_to_hand_out(grid, tmp_path):
    events = make(grid, tmp_path / "s", config={"languages": "en, ko"})
    assert isinstance(events[0], PhaseEvent)
    assert [(one.done, one.total) for one in events[:-1]] == [(n, 3) for n in range(4)]
    assert events[-1] == FinishedEvent(0, str(tmp_path / "s" / "hand-out"))
    names = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "s").rglob("*.*")}
    assert names - {f"s/{KEY_NAME}.lock"} == {
        f"s/{KEY_NAME}",
        "s/hand-out/survey-korea-en.html",
        "s/hand-out/survey-korea-ko.html",
    }
    assert [path.name for path in handed_out(tmp_path / "s")] == [
        "survey-korea-en.html",
        "survey-korea-ko.html",
    ]


def test_the_key_says_which_picture_is_whose_and_the_page_shows_those_pixels(tmp_path):
    # Small pictures are kept without loss, so a picture on the page can be recognised exactly.
    sizes = dict.fromkeys(MODELS, (32, 32))
    grid = grid_of(tmp_path / "g", prompts_of(3, seeds=(SEED,)), sizes=sizes)
    make(grid, tmp_path / "s")
    key = read_key(tmp_path / "s")
    data = data_of(tmp_path / "s/hand-out/survey-korea-en.html")
    assert (key.models, key.allow_ties, len(key.pages)) == (MODELS, False, 3)
    number = {prompt.text: n for n, prompt in enumerate(grid.prompts)}
    for page in key.pages:
        assert (page.culture, page.seed) == ("Korea", SEED)
        for one, model in page.pictures.items():
            expected = picture(model, number[page.prompt], SEED, size=(32, 32))
            assert image_of(data["pictures"][one]).tobytes() == expected.tobytes()


def test_the_page_holds_what_the_contract_says(grid, tmp_path):
    make(grid, tmp_path / "s", title="Tell us about {culture}", form_target="https://example.org/a")
    data, key = data_of(tmp_path / "s/hand-out/survey-korea-en.html"), read_key(tmp_path / "s")
    assert set(data) == {
        *("format", "survey", "culture", "language", "dir", "title", "about", "consent"),
        *("contact", "form_target", "allow_ties", "comments", "pages_per_participant", "items"),
        *("pages", "pictures", "texts"),
    }
    assert data["survey"] == key.survey
    assert (data["format"], data["culture"], data["language"], data["dir"]) == (
        *(1, "Korea", "en", "ltr"),
    )
    assert data["title"] == "Tell us about Korea"
    assert data["contact"] == "Kim <kim@example.org>"
    assert data["form_target"] == "https://example.org/a"
    assert (data["allow_ties"], data["comments"], data["pages_per_participant"]) == (False, True, 0)
    assert data["items"] == list(ITEMS)
    pages = {one.page: one for one in key.pages}
    assert [one["page"] for one in data["pages"]] == sorted(pages)
    for one in data["pages"]:
        assert one["prompt"] == pages[one["page"]].prompt
        assert one["pictures"] == sorted(pages[one["page"]].pictures)
    assert list(data["pictures"]) == sorted(one for page in key.pages for one in page.pictures)
    assert "item.alignment.title" in data["texts"]


def test_about_and_consent_are_paragraphs_with_their_places_filled(grid, tmp_path):
    make(
        grid,
        tmp_path / "s",
        about="First {pages} of {culture}.\r\n \r\nThen {minutes} minutes, {braces}.\nStill it.\n",
        contact="",
    )
    data = data_of(tmp_path / "s/hand-out/survey-korea-en.html")
    assert data["about"] == ["First 3 of Korea.", "Then 5 minutes, {braces}.\nStill it."]
    assert data["contact"] == ""
    usual = " ".join(data["consent"])
    assert "the person who gave you this page" in usual
    assert "{" not in usual
    assert len(data["consent"]) > 3


def test_latin_names_stand_apart_in_lines_from_right_to_left_only(grid, tmp_path):
    make(grid, tmp_path / "s", about="{culture} {contact}", config={"languages": "ar,en"})
    arabic, english = (data_of(one) for one in handed_out(tmp_path / "s"))
    assert english["about"] == ["Korea Kim <kim@example.org>"]
    assert arabic["about"] == ["\u2068Korea\u2069 \u2068Kim <kim@example.org>\u2069"]
    assert (arabic["dir"], arabic["contact"]) == ("rtl", "Kim <kim@example.org>")


@pytest.mark.parametrize(
    ("models", "minutes"), [(MODELS[:2], "3"), (MODELS, "5"), ((*MODELS, "vier"), "6")]
)
def test_minutes_are_told_by_pages_and_models(tmp_path, models, minutes):
    """Half a minute a picture, on three pages; a half begun is a whole one."""
    sizes = dict.fromkeys(models, (4, 4))
    grid = grid_of(tmp_path / "g", prompts_of(3), models=models, sizes=sizes)
    make(grid, tmp_path / "s", about="{minutes}")
    assert data_of(tmp_path / "s/hand-out/survey-korea-en.html")["about"] == [minutes]


@pytest.mark.parametrize(("asked", "shown", "counted"), [(2, 2, "2"), (3, 0, "3"), (0, 0, "3")])
def test_how_many_pages_one_person_sees_is_told_where_it_is_not_all(
    grid, tmp_path, asked, shown, counted
):
    make(grid, tmp_path / "s", about="{pages}", config={"pages_per_participant": asked})
    data = data_of(tmp_path / "s/hand-out/survey-korea-en.html")
    assert (data["pages_per_participant"], data["about"]) == (shown, [counted])


def test_nothing_that_is_handed_out_tells_a_model(tmp_path):
    """Neither names, paths, seeds, digests and the secret, nor these inside of encoded pictures."""
    prompts = prompts_of(3, seeds=(SEED, SEED + 1))
    grid = grid_of(tmp_path / "gridfolder", prompts)
    make(
        grid,
        tmp_path / "surveyfolder",
        config={"languages": "en,ko,ar", "pictures_per_prompt": 2},
        contact="",
    )
    key = read_key(tmp_path / "surveyfolder")
    words = [name for name in MODELS if name != "base"]
    words += [name.lower() for name in words] + ["gridfolder", "surveyfolder", tmp_path.name]
    words += [lora_digest(name) for name in MODELS] + [lora_digest(name)[:12] for name in MODELS]
    words += [str(SEED), str(SEED + 1), key.secret, "drawn by", "pictures/"]
    words += [file_sha256(one.path)[:12] for one in grid.pictures]
    pages = handed_out(tmp_path / "surveyfolder")
    assert len(pages) == 3
    for path in pages:
        text = path.read_text(encoding="utf-8")
        data = data_of(path)
        # The page's own words and code are not about this survey; "base" is part of some of them.
        assert "base" not in json.dumps({**data, "texts": {}, "pictures": {}})
        assert not [word for word in words if word in text]
        for url in data["pictures"].values():
            raw = base64.b64decode(url.partition(",")[2])
            assert not [word for word in (*words, "base") if word.encode() in raw]
            assert not [mark for mark in (b"Exif", b"ICC_PROFILE") if mark in raw]
        heads = {one.partition(",")[0] for one in data["pictures"].values()}
        assert len(heads) == 1
    # The words are spelt as the organiser's files have them.
    own = (tmp_path / "surveyfolder" / KEY_NAME).read_text() + "".join(
        path.read_text() for path in grid.folder.glob("*.json*")
    )
    assert all(word in own for word in (*MODELS, key.secret, str(SEED), lora_digest(MODELS[1])))


def test_no_order_and_no_id_tells_a_model(tmp_path):
    """Over many pages each model comes first among the sorted ids about as often as the others."""
    grid = grid_of(
        tmp_path / "g", prompts_of(60, seeds=(SEED,)), sizes=dict.fromkeys(MODELS, (4, 4))
    )
    make(grid, tmp_path / "s", config={"pages": 0})
    key = read_key(tmp_path / "s")
    firsts = [page.pictures[min(page.pictures)] for page in key.pages]
    # 60 pages, each first with probability 1/3: below 7 or above 34 once in 10,000 surveys.
    for model in MODELS:
        assert 7 <= firsts.count(model) <= 34
    order = [page.page for page in key.pages]
    assert order != sorted(order)
    other = grid_of(tmp_path / "h", prompts_of(3, seeds=(SEED,)))
    make(other, tmp_path / "t")
    make(other, tmp_path / "u")
    first, second = read_key(tmp_path / "t"), read_key(tmp_path / "u")
    assert first.secret != second.secret
    assert not {one.page for one in first.pages} & {one.page for one in second.pages}


def test_an_id_that_is_taken_is_not_given_twice(tmp_path, monkeypatch):
    """With two digits instead of eight, 240 ids out of 256 cannot but fall together."""
    monkeypatch.setattr(
        "scoft_training.survey_keeping.keyed_id",
        lambda secret, *what, digits=8: keyed_id(secret, *what, digits=2).rjust(digits, "0"),
    )
    tiny = dict.fromkeys(MODELS, (4, 4))
    grid = grid_of(tmp_path / "g", prompts_of(60, seeds=(SEED,)), sizes=tiny)
    make(grid, tmp_path / "s", config={"pages": 0})
    key = read_key(tmp_path / "s")
    ids = [one.page for one in key.pages] + [one for page in key.pages for one in page.pictures]
    assert len(set(ids)) == 240
    make(grid, tmp_path / "s", config={"pages": 0})
    assert read_key(tmp_path / "s") == key


def test_sizes_and_encoding_agree_across_models_that_drew_in_others(tmp_path):
    sizes = {"base": (160, 160), "Zweitmodell": (320, 320), "Drittmodell": (200, 200)}
    grid = grid_of(tmp_path / "g", prompts_of(3, seeds=(SEED,)), sizes=sizes)
    make(grid, tmp_path / "s")
    urls = data_of(tmp_path / "s/hand-out/survey-korea-en.html")["pictures"].values()
    assert {image_of(url).size for url in urls} == {(160, 160)}
    assert {url.partition(",")[0] for url in urls} == {"data:image/jpeg;base64"}

    events = make(grid, tmp_path / "s")
    told = [one.message for one in events if isinstance(one, WarningEvent)]
    assert len(told) == 1
    assert told[0].startswith("On 3 of 3 pages the models' pictures are of different sizes.")


def test_one_kind_of_picture_serves_a_whole_survey(tmp_path):
    small = grid_of(tmp_path / "a", prompts_of(2), sizes=dict.fromkeys(MODELS, (32, 32)))
    large = grid_of(tmp_path / "b", prompts_of(2, culture="India"))
    for number, grids in enumerate(([small], [small, large])):
        out = tmp_path / f"s{number}"
        make(grids, out)
        heads = {
            url.partition(",")[0]
            for path in handed_out(out)
            for url in data_of(path)["pictures"].values()
        }
        assert heads == {f"data:image/{('png', 'jpeg')[number]};base64"}


def test_each_culture_has_a_page_of_its_own_prompts(tmp_path):
    first = grid_of(tmp_path / "a", prompts_of(3) + prompts_of(2, culture="South  Korea"))
    second = grid_of(tmp_path / "b", prompts_of(3, culture="भारत"))
    make([first, second], tmp_path / "s")
    found = {path.name: data_of(path) for path in handed_out(tmp_path / "s")}
    assert sorted(found) == [
        "survey-korea-en.html",
        "survey-south-korea-en.html",
        "survey-भारत-en.html",
    ]
    data = found["survey-भारत-en.html"]
    assert data["culture"] == "भारत"
    assert {one["prompt"] for one in data["pages"]} == {one.text for one in second.prompts}
    assert len(data["pictures"]) == 9
    assert len({one["survey"] for one in found.values()}) == 1


def test_cultures_whose_names_become_one_get_files_of_their_own(tmp_path):
    prompts = prompts_of(1, culture="Korea") + prompts_of(1, culture="KOREA!")
    prompts += prompts_of(1, culture="???")
    grid = grid_of(tmp_path / "g", prompts)
    make(grid, tmp_path / "s")
    names = [path.name for path in handed_out(tmp_path / "s")]
    assert len(names) == 3
    assert all(re.fullmatch(r"survey-(korea-)?[0-9a-f]{8}-en\.html", name) for name in names)


def test_a_name_of_four_bytes_a_letter_fits_into_a_files_name(tmp_path):
    grid = grid_of(tmp_path / "g", prompts_of(1, culture="\U0001e922" * 70))
    make(grid, tmp_path / "s")
    (path,) = handed_out(tmp_path / "s")
    assert path.name == f"survey-{chr(0x1E922) * 45}-en.html"


def test_translations_stand_beside_prompts_and_in_the_text(grid, tmp_path):
    words = {"ko": {prompt.text: f"번역 {n}" for n, prompt in enumerate(grid.prompts)}}
    words["ko"]["Korea"] = "한국"
    path = tmp_path / "words.json"
    path.write_text(json.dumps(words))
    events = make(
        grid, tmp_path / "s", translations=path, about="{culture}", config={"languages": "en,ko"}
    )
    assert not [one for one in events if isinstance(one, WarningEvent)]
    english, korean = (data_of(one) for one in handed_out(tmp_path / "s"))
    assert {one["translation"] for one in english["pages"]} == {""}
    assert all(one["translation"].startswith("번역 ") for one in korean["pages"])
    assert (english["about"], korean["about"]) == (["Korea"], ["한국"])
    assert (english["culture"], korean["culture"]) == ("Korea", "Korea")
    words["ko"]["a typo"] = "x"
    path.write_text(json.dumps(words))
    events = make(grid, tmp_path / "s", translations=path, config={"languages": "en,ko"})
    assert "words.json: translates what no page asks about: 'a typo'" in events[0].message


def test_a_caption_is_data_and_no_part_of_the_page(tmp_path):
    attack = "</script><script>alert(1)</script> & \u2028 <!-- a gate"
    grid = grid_of(tmp_path / "g", [GridPrompt(attack, "test", (7,), culture="Korea")])
    make(grid, tmp_path / "s")
    (path,) = handed_out(tmp_path / "s")
    assert "alert(1)</script>" not in path.read_text(encoding="utf-8")
    assert data_of(path)["pages"][0]["prompt"] == attack


# Made again


def test_the_same_survey_made_again_keeps_every_id_whatever_its_words(grid, tmp_path):
    make(grid, tmp_path / "s")
    before = read_key(tmp_path / "s")
    make(
        grid,
        tmp_path / "s",
        title="another",
        consent="short",
        config={"languages": "ko", "picture_side": 96, "comments": False},
    )
    after = read_key(tmp_path / "s")
    assert (after.survey, after.secret, after.pages) == (
        *(before.survey, before.secret, before.pages),
    )
    assert after.settings["languages"] == "ko"
    english, korean = (data_of(one) for one in handed_out(tmp_path / "s"))
    assert [one["page"] for one in english["pages"]] == [one["page"] for one in korean["pages"]]
    assert list(english["pictures"]) == list(korean["pictures"])
    assert english["survey"] == korean["survey"]


def test_the_same_call_again_writes_the_same_bytes(grid, tmp_path):
    make(grid, tmp_path / "s")
    (path,) = handed_out(tmp_path / "s")
    files = (path, tmp_path / "s" / KEY_NAME)
    before = [file_sha256(one) for one in files]
    make(grid, tmp_path / "s")
    assert [file_sha256(one) for one in files] == before


def test_a_page_that_keeps_its_earlier_words_is_told(grid, tmp_path):
    make(grid, tmp_path / "s", config={"languages": "en,ko"})
    events = make(grid, tmp_path / "s", consent="another", config={"languages": "ko"})
    told = [one.message for one in events if isinstance(one, WarningEvent)]
    assert len(told) == 1
    assert (
        "hand-out: not made anew, so with the texts of an earlier time: survey-korea-en.html."
        in (told[0])
    )
    assert not [
        one
        for one in make(grid, tmp_path / "s", config={"languages": "en,ko"})
        if isinstance(one, WarningEvent)
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"config": {"pages": 4}}, "0 of 3 pages would be gone and 1 be new"),
        ({"config": {"pages": 2}}, "1 of 3 pages would be gone and 0 be new"),
        ({"config": {"allow_ties": True}}, "`allow_ties` was false, now it is true"),
        (
            {"models": ["base", "Drittmodell"]},
            "the models were base, Zweitmodell, Drittmodell, now they are base, Drittmodell",
        ),
    ],
)
def test_another_survey_is_refused_in_the_same_folder_and_changes_nothing(
    grid, tmp_path, fields, message
):
    make(grid, tmp_path / "s")
    files = [*handed_out(tmp_path / "s"), tmp_path / "s" / KEY_NAME]
    before = [file_sha256(one) for one in files]
    with pytest.raises(ResumeError, match=re.escape(message)) as caught:
        make(grid, tmp_path / "s", **fields)
    assert "Choose another folder" in str(caught.value)
    assert [file_sha256(one) for one in files] == before
    assert handed_out(tmp_path / "s") == files[:-1]


def test_pictures_that_were_drawn_anew_are_refused_too(tmp_path):
    grid = grid_of(tmp_path / "g", prompts_of(3, seeds=(SEED,)))
    make(grid, tmp_path / "s")
    picture("another").save(grid.pictures[0].path)
    with pytest.raises(ResumeError, match="pictures were drawn anew since"):
        make(grid, tmp_path / "s")


def test_a_damaged_key_is_never_replaced(grid, tmp_path):
    make(grid, tmp_path / "s")
    (tmp_path / "s" / KEY_NAME).write_text("{")
    with pytest.raises(SurveyError, match="cannot be read as a survey's key"):
        make(grid, tmp_path / "s")
    assert (tmp_path / "s" / KEY_NAME).read_text() == "{"


def test_a_folder_without_its_key_or_of_something_else_is_left_alone(grid, tmp_path):
    make(grid, tmp_path / "s")
    (tmp_path / "s" / KEY_NAME).unlink()
    with pytest.raises(OutputError, match="survey-key.json is missing.*or put the key back"):
        make(grid, tmp_path / "s")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="file: is a file"):
        make(grid, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# Interrupted, crowded, full


def stopped(grid, out, at):
    """Make a survey in two languages that is told to stop at a number of asking."""
    asked = iter(range(100))
    request = request_of(grid, out, config={"languages": "en,ko"})
    return list(make_survey(request, should_stop=lambda: next(asked) == at))


def test_a_request_to_stop_before_the_first_page_leaves_the_folder_free(grid, tmp_path):
    events = stopped(grid, tmp_path / "s", at=1)
    assert isinstance(events[-1], StoppedEvent)
    assert "Stopped after the pictures of 1 of 3 pages" in events[-1].message
    assert [one.name for one in (tmp_path / "s").iterdir()] == [f"{KEY_NAME}.lock"]
    make(grid, tmp_path / "s", config={"pages": 2})
    assert len(handed_out(tmp_path / "s")) == 1


def test_a_request_to_stop_after_a_page_keeps_its_key(grid, tmp_path):
    # Three pages, before the key, the first language, the second.
    assert isinstance(stopped(grid, tmp_path / "s", at=5)[-1], StoppedEvent)
    (path,) = handed_out(tmp_path / "s")
    key = read_key(tmp_path / "s")
    assert {one["page"] for one in data_of(path)["pages"]} == {one.page for one in key.pages}
    make(grid, tmp_path / "s", config={"languages": "en,ko"})
    assert read_key(tmp_path / "s") == key
    assert len(handed_out(tmp_path / "s")) == 2


def test_a_damaged_picture_binds_the_folder_to_nothing(tmp_path):
    grid = grid_of(tmp_path / "g", prompts_of(3, seeds=(SEED,)))
    path = grid.pictures[-1].path
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match="damaged or cut short"):
        make(grid, tmp_path / "s")
    path.write_bytes(whole)
    make(grid, tmp_path / "s")
    assert len(handed_out(tmp_path / "s")) == 1


def test_the_key_lies_on_the_disk_before_the_first_page(grid, tmp_path, monkeypatch):
    def broken(_):
        raise RuntimeError("the power is gone")

    monkeypatch.setattr("scoft_training.survey_making.survey_html", broken)
    with pytest.raises(RuntimeError):
        make(grid, tmp_path / "s")
    assert len(read_key(tmp_path / "s").pages) == 3


def test_leftovers_of_a_killed_process_are_not_handed_out(grid, tmp_path):
    make(grid, tmp_path / "s")
    left = tmp_path / "s/hand-out/survey-korea-en.html.writing-999999999-abcdef01"
    left.write_text("half a page")
    make(grid, tmp_path / "s")
    assert not left.exists()


def test_two_at_once_end_with_one_key(grid, tmp_path):
    failed = []

    def work():
        try:
            make(grid, tmp_path / "s")
        except ScoftError as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    key = read_key(tmp_path / "s")
    data = data_of(handed_out(tmp_path / "s")[0])
    assert {one["page"] for one in data["pages"]} == {one.page for one in key.pages}


def test_a_folder_that_another_program_fills_is_left_to_it(grid, tmp_path, monkeypatch):
    monkeypatch.setattr("scoft_training.survey_making._LOCK_SECONDS", 0.05)
    make(grid, tmp_path / "s")
    before = [file_sha256(path) for path in handed_out(tmp_path / "s")]
    with (
        filelock.FileLock(tmp_path / "s" / f"{KEY_NAME}.lock"),
        pytest.raises(OutputError, match="another program has been writing it"),
    ):
        make(grid, tmp_path / "s", title="another")
    assert [file_sha256(path) for path in handed_out(tmp_path / "s")] == before


def test_a_full_disk_leaves_the_earlier_page(grid, tmp_path, monkeypatch):
    make(grid, tmp_path / "s")
    (path,) = handed_out(tmp_path / "s")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scoft_training.files.os.replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        make(grid, tmp_path / "s", title="another")
    assert path.read_bytes() == before
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name]


def test_a_page_that_mail_does_not_carry_is_told_with_what_to_lower(grid, tmp_path, monkeypatch):
    monkeypatch.setattr("scoft_training.survey_making._MAIL_BYTES", 1000)
    warning = next(one for one in make(grid, tmp_path / "s") if isinstance(one, WarningEvent))
    assert warning.message.startswith("survey-korea-en.html has 0 MB, more than most mail services")
    assert "Lower `picture_side`, which keeps the survey" in warning.message


# Refused


def test_a_form_target_that_will_not_do_is_refused_before_anything_is_written(grid, tmp_path):
    with pytest.raises(ConfigError, match="is no address that a page can post to"):
        make(grid, tmp_path / "s", form_target="example.org")
    assert not (tmp_path / "s").exists()


def test_half_a_character_is_refused_before_anything_is_written(grid, tmp_path):
    with pytest.raises(ConfigError, match="`title` holds half a character"):
        make(grid, tmp_path / "s", title="a\ud83d")
    assert not (tmp_path / "s").exists()


def test_what_the_organiser_should_know_is_told(grid, tmp_path):
    events = make(grid, tmp_path / "s", contact=" ", form_target="http://example.org/a")
    told = [one.message for one in events if isinstance(one, WarningEvent)]
    assert len(told) == 2
    assert "`contact` is empty" in told[0]
    assert "would travel unencrypted" in told[1]


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"languages": "xx"}, SurveyError, "Unknown language of a survey 'xx'"),
        ({"languages": " , "}, ConfigError, "`languages` is empty"),
        ({"roles": ""}, ConfigError, "`roles` is empty"),
        ({"roles": "tets"}, ConfigError, "Unknown role 'tets'.*Did you mean 'test'"),
        ({"roles": "general"}, ConfigError, "`roles`: Unknown role 'general'"),
        ({"pages_per_participant": 4}, ConfigError, "there are at most 3 pages .3 prompts with 1"),
        ({"picture_side": 10}, ConfigError, "`picture_side` must be between"),
    ],
)
def test_options_that_will_not_do_are_refused_before_anything_is_written(
    grid, tmp_path, config, error, message
):
    with pytest.raises(error, match=message):
        make(grid, tmp_path / "s", config=config)
    assert not (tmp_path / "s").exists()


def test_texts_of_ones_own_are_a_language_of_their_own(grid, tmp_path):
    values = json.loads(language_file("en").read_text(encoding="utf-8"))
    own = tmp_path / "mine.json"
    own.write_text(json.dumps(values | {"language": "en-simple"}), encoding="utf-8")
    make(grid, tmp_path / "s", config={"languages": f"en,{own}"})
    assert [path.name for path in handed_out(tmp_path / "s")] == [
        "survey-korea-en-simple.html",
        "survey-korea-en.html",
    ]


def test_what_is_no_grid_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="there is no grid"):
        list(make_survey(SurveyRequest([tmp_path], tmp_path / "s")))


def test_the_grid_is_never_written_to(grid, tmp_path):
    def digest():
        return hashlib.sha256(
            b"".join(
                str(path).encode() + path.read_bytes()
                for path in sorted(grid.folder.rglob("*"))
                if path.is_file()
            )
        ).hexdigest()

    before = digest()
    make(grid, tmp_path / "s")
    assert digest() == before
