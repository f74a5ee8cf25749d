"""Which files are read: answers under whatever name, and a sentence for what looks like them."""

import os
import unicodedata
from pathlib import Path

import pytest
from made_answers import made_survey, write_files

from scoft_training.answer_folders import answer_files
from scoft_training.answer_records import in_order
from scoft_training.answer_tables import write_table
from scoft_training.errors import SurveyError
from scoft_training.survey_answers import write_answers
from scoft_training.survey_key import write_key
from scoft_training.survey_returns import read_returns

SURVEY = made_survey(cultures={"Korea": 3}, pages=1)
KEY = SURVEY.key
FIRST, SECOND, THIRD = SURVEY.files


@pytest.fixture
def folder(tmp_path):
    return write_files(tmp_path / "in", SURVEY.files)


def link(path, target):
    try:
        path.symlink_to(target, target_is_directory=Path(target).is_dir())
    except OSError:
        pytest.skip("no links here")


def told(returns):
    return [(one.kind, one.where, one.sentence) for one in returns.findings]


def names(folder):
    return [one.name for one in answer_files([folder])[0]]


def test_names_that_look_alike_are_two_files(tmp_path):
    people = [
        [one for one in SURVEY.answers if one.participant == name] for name in SURVEY.people[:2]
    ]
    for form, answers in zip(("NFC", "NFD"), people, strict=True):
        write_answers(tmp_path / unicodedata.normalize(form, "답.csv"), answers)
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("one name here")
    assert list(read_returns([tmp_path], None).answers) == in_order([*people[0], *people[1]])
    assert names(tmp_path) == ["답.csv", "답.csv'"] or len(set(names(tmp_path))) == 2


def test_names_that_are_no_text_are_read(tmp_path):
    try:
        for byte, name in zip((b"\xff", b"\xfe"), (FIRST, SECOND), strict=True):
            path = tmp_path / os.fsdecode(b"a" + byte + b".json")
            path.write_text((write_files(tmp_path / "x", SURVEY.files) / name).read_text("utf-8"))
    except OSError:
        pytest.skip("names are text here")
    files = [tmp_path / os.fsdecode(b"a" + byte + b".json") for byte in (b"\xff", b"\xfe")]
    returns = read_returns(files, KEY)
    assert {one.participant for one in returns.participants} == set(SURVEY.people[:2])
    assert all(one.file.isprintable() for one in returns.participants)


def test_links_to_folders_elsewhere_are_told_and_those_inside_are_not(tmp_path, folder):
    elsewhere = write_files(tmp_path / "elsewhere", {THIRD: SURVEY.file_of(2)})
    (folder / THIRD).unlink()
    link(folder / "friday", elsewhere)
    link(folder / "again", folder)
    returns = read_returns([folder], KEY)
    assert told(returns) == [
        ("refused", "friday", "It is a link to a folder elsewhere. Name that folder, too.")
    ]
    returns = read_returns([folder, elsewhere], KEY)
    assert told(returns) == []
    assert {one.participant for one in returns.participants} == set(SURVEY.people)


def test_a_link_to_nothing_is_told(tmp_path, folder):
    link(folder / "gone.json", tmp_path / "nowhere.json")
    link(folder / "notes.doc", tmp_path / "nowhere.doc")
    link(folder / "round.json", folder / "round.json")
    (nothing, circle) = told(read_returns([folder], KEY))
    assert nothing[1:] == (
        "gone.json",
        "It is a link to a file that is not there. Bring the file itself.",
    )
    assert circle[1] == "round.json"
    assert circle[2].startswith("It cannot be opened (")


def test_what_may_not_be_opened_is_told_by_its_own_name(folder, monkeypatch):
    def closed(top, onerror=None):
        error = PermissionError(13, "Permission denied")
        error.filename = os.path.join(top, "private")
        onerror(error)
        yield top, [], os.listdir(top)

    monkeypatch.setattr(os, "walk", closed)
    assert told(read_returns([folder], KEY)) == [
        (
            "refused",
            "private",
            "It cannot be opened (Permission denied), so nothing in it is read.",
        )
    ]


def test_a_folder_that_may_not_be_looked_into_is_an_error_of_ours(folder, monkeypatch):
    def denied(self, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(SurveyError, match=r"can be opened \(Permission denied\)\. Name the folder"):
        answer_files([folder])


def test_json_of_other_tools_asks_for_no_key(tmp_path):
    (tmp_path / "package.json").write_text('{"name": "x"}', "utf-8")
    write_answers(tmp_path / "t.csv", SURVEY.answers)
    returns = read_returns([tmp_path], None)
    assert list(returns.answers) == in_order(SURVEY.answers)
    ((kind, where, sentence),) = told(returns)
    assert (kind, where) == ("refused", "package.json")
    assert sentence.startswith("This does not look like the answers of a participant. Take it")


def test_a_folder_of_everything_is_told_in_one_sentence(folder):
    for number in range(4):
        (folder / f"{number}.json").write_text('{"name": "x"}', "utf-8")
        (folder / f"{number}.zip").write_bytes(b"PK\x03\x04")
        write_table(folder / f"{number}.csv", ["day", "sum"], [[1, 2]])
    returns = read_returns([folder], KEY)
    assert list(returns.answers) == in_order(SURVEY.answers)
    ((kind, where, sentence),) = told(returns)
    assert (kind, where) == ("refused", "0.csv, 0.json, 0.zip and 9 more")
    assert sentence.startswith("These do not look like answers, so none of them is read.")
    # A few are told one by one, and those that are named always.
    for path in sorted(folder.glob("[123].*")):
        path.unlink()
    assert [where for _, where, _ in told(read_returns([folder], KEY))] == [
        "0.csv, line 1",
        "0.json",
        "0.zip",
    ]


def test_the_page_itself_and_a_mail_are_no_answers(tmp_path, folder):
    page = '<!doctype html><script type="application/json" id="survey-data">{}</script>'
    (folder / "survey-korea-ko.html").write_text(page, "utf-8")
    (folder / "news.html").write_text("<p>news", "utf-8")
    (folder / "mail.eml").write_text("Subject: mine", "utf-8")
    mail, sent_back = told(read_returns([folder], KEY))
    assert mail[1:] == ("mail.eml", "It is a mail. Save what is attached to it, and bring that.")
    assert sent_back[1] == "survey-korea-ko.html"
    assert "kept on the device where the page was filled" in sent_back[2]
    # In the survey's own folder it is what is handed out.
    survey = tmp_path / "survey"
    (survey / "hand-out").mkdir(parents=True)
    write_key(survey / "survey-key.json", KEY)
    (survey / "hand-out" / "survey-korea-ko.html").write_text(page, "utf-8")
    (folder / "mail.eml").unlink()
    (folder / "survey-korea-ko.html").unlink()
    folder.rename(survey / "answers")
    assert told(read_returns([survey], KEY)) == []


def test_answers_are_read_under_any_ending(folder):
    for name, ending in zip((FIRST, SECOND), (".bin", ""), strict=True):
        (folder / name).rename(folder / (name.removesuffix(".json") + ending))
    (folder / "answers-to-faq.doc").write_bytes(b"x")
    returns = read_returns([folder], KEY)
    assert list(returns.answers) == in_order(SURVEY.answers)
    assert told(returns) == []
