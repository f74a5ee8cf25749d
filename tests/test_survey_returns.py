"""Participants' files and tables, put together: each ranking counts once, whatever the order."""

import dataclasses
import hashlib
import itertools
import json
import os
import re

import pytest
from made_answers import made_survey, write_files
from survey_filling import begun, ids_shown, next_one, page_of, saved, to_overview
from survey_grid import MODELS, grid_of, prompts_of

from scoft_training.answer_records import in_order
from scoft_training.answer_tables import write_table
from scoft_training.errors import SurveyError
from scoft_training.participant_files import Comment
from scoft_training.survey_answers import write_answers
from scoft_training.survey_key import ITEMS, read_key, write_key
from scoft_training.survey_making import SurveyRequest, handed_out, make_survey
from scoft_training.survey_returns import read_returns, write_comments, write_participants

SURVEY = made_survey(pages=2)
KEY = SURVEY.key
FIRST = next(iter(SURVEY.files))


def told(returns):
    return [(one.kind, one.where, one.sentence) for one in returns.findings]


def test_what_everybody_sent_is_what_everybody_answered(tmp_path):
    folder = write_files(tmp_path / "in", SURVEY.files)
    returns = read_returns([folder], KEY)
    assert list(returns.answers) == in_order(SURVEY.answers)
    assert told(returns) == []
    assert [one.participant for one in returns.participants] == [
        name
        for culture in sorted(SURVEY.cultures)
        for name in sorted(
            one.participant for one in returns.participants if one.culture == culture
        )
    ]
    assert {one.participant for one in returns.participants} == set(SURVEY.people)
    assert {one.file for one in returns.participants} == set(SURVEY.files)


def test_the_order_of_files_changes_nothing_and_files_are_left_as_they_are(tmp_path):
    folder = write_files(tmp_path / "in", SURVEY.files)
    write_answers(folder / "table.csv", SURVEY.answers[:40])
    spoilt = SURVEY.file_of(1) | {"comment": "again", "finished": None}
    write_files(folder / "more", {"a.json": spoilt, "b.json": {}, "c.json": SURVEY.file_of(2)})
    paths = [one for one in folder.rglob("*") if one.is_file()]
    before = {
        one: (hashlib.sha256(one.read_bytes()).digest(), one.stat().st_mtime_ns) for one in paths
    }
    first = read_returns(sorted(paths), KEY)
    assert read_returns(sorted(paths, reverse=True), KEY) == first
    assert read_returns([folder, *paths], KEY) == read_returns([folder], KEY)
    assert read_returns([folder], KEY).answers == first.answers
    after = {
        one: (hashlib.sha256(one.read_bytes()).digest(), one.stat().st_mtime_ns) for one in paths
    }
    assert after == before
    assert sorted(one for one in folder.rglob("*") if one.is_file()) == sorted(paths)


def test_a_doubled_file_counts_once(tmp_path):
    write_files(
        tmp_path, {FIRST: SURVEY.file_of(0), FIRST.replace(".json", " (1).json"): SURVEY.file_of(0)}
    )
    returns = read_returns([tmp_path], KEY)
    assert len(returns.answers) == 2 * 4 * 4
    assert len(returns.participants) == 1
    assert told(returns) == [
        (
            "refused",
            FIRST.replace(".json", " (1).json"),
            f"It holds the same as {FIRST}, and counts once. Nothing has to be done.",
        )
    ]
    assert returns.participants[0].file == FIRST


VERSIONS = {
    "more": ({}, {"finished": None, "pages": []}, "holds more rankings"),
    "finished": ({}, {"finished": None}, "is later"),
    "later": ({"finished": "2026-03-02T00:00:00Z"}, {}, "is later"),
    "begun later": (
        {"finished": None, "started": "2026-03-02T00:00:00+09:00"},
        {"finished": None, "started": "2026-03-01T14:00:00Z"},
        "is later",
    ),
    "names": ({"comment": "x"}, {}, "has the shorter or earlier name"),
}


@pytest.mark.parametrize("name", VERSIONS)
@pytest.mark.parametrize("names", [("a.json", "b.json"), ("b.json", "a.json")])
def test_of_two_files_of_one_person_the_fuller_or_later_one_counts(tmp_path, name, names):
    good, other, why = VERSIONS[name]
    if name == "names":
        names = sorted(names)
    contents = [SURVEY.file_of(0) | good, SURVEY.file_of(0) | other]
    if contents[1]["pages"]:
        contents[1]["pages"].reverse()  # the same rankings, but not a doubled file
    write_files(tmp_path, dict(zip(names, contents, strict=True)))
    returns = read_returns([tmp_path], KEY)
    assert [one.file for one in returns.participants] == [names[0]]
    ((kind, where, sentence),) = told(returns)
    assert (kind, where) == ("refused", names[1])
    assert f"the same participant as {names[0]}, which {why}" in sentence


def test_files_of_one_name_are_told_apart(tmp_path):
    write_files(tmp_path / "mail", {"answers.json": SURVEY.file_of(0), "x.json": {}})
    write_files(tmp_path / "stick", {"answers.json": SURVEY.file_of(1), "x.json": {"format": 1}})
    returns = read_returns([tmp_path], KEY)
    files = {one.participant: one.file for one in returns.participants}
    assert [files[one] for one in SURVEY.people[:2]] == ["mail/answers.json", "stick/answers.json"]
    assert [one.where for one in returns.findings] == ["mail/x.json", "stick/x.json"]


def test_one_id_in_two_cultures_is_one_person_in_each(tmp_path):
    name = SURVEY.people[0]
    korea, mexico = SURVEY.file_of(0), SURVEY.file_of(6) | {"participant": name, "comment": "hola"}
    assert (korea["culture"], mexico["culture"]) == ("Korea", "Mexico")
    write_files(tmp_path, {"a.json": korea, "b.json": mexico})
    returns = read_returns([tmp_path], KEY)
    assert [(one.participant, one.culture) for one in returns.participants] == [
        (f"{name} (Korea)", "Korea"),
        (f"{name} (Mexico)", "Mexico"),
    ]
    assert {one.participant for one in returns.answers} == {f"{name} (Korea)", f"{name} (Mexico)"}
    assert [one.participant for one in returns.comments] == [f"{name} (Mexico)"]
    assert [(kind, where) for kind, where, _ in told(returns)] == [
        ("flagged", f"participant {name}")
    ]


def test_whoever_has_no_answers_changes_nobodys_name(tmp_path):
    strange = SURVEY.file_of(6) | {"culture": "Korea", "comment": "hola"}
    mine = SURVEY.file_of(0) | {"participant": strange["participant"]}
    strange["culture"] = "Mexico"
    for page in strange["pages"]:
        page["items"] = {}
    write_files(tmp_path, {"a.json": mine, "b.json": strange})
    returns = read_returns([tmp_path], KEY)
    assert {one.participant for one in returns.answers} == {strange["participant"]}
    assert [(one.participant, one.text) for one in returns.comments] == [
        (strange["participant"], "hola")
    ]
    assert [one.culture for one in returns.participants] == ["Korea"]


def test_countries_are_written_alike_over_all_files_and_participants_keep_their_words(tmp_path):
    said = ["Corea", "corea", "corea ", "Corea", "Corea"]
    files = [SURVEY.file_of(number) for number in range(5)]
    for file, country in zip(files, said, strict=True):
        file["declared"]["country"] = country
    write_files(tmp_path, {f"{number}.json": file for number, file in enumerate(files)})
    own = [one for one in SURVEY.answers if one.participant == SURVEY.people[0]]
    table = [dataclasses.replace(one, participant="t", culture="KOREA", country="") for one in own]
    write_answers(tmp_path / "t.csv", table)
    returns = read_returns([tmp_path], KEY)
    assert {(one.culture, one.country) for one in returns.answers} == {
        ("Korea", "Corea"),
        ("Korea", ""),
    }
    people = {one.participant: (one.culture, one.country) for one in returns.participants}
    assert people[SURVEY.people[1]] == ("Korea", "corea")
    assert people["t"] == ("Korea", "")
    assert [(one.kind, one.where) for one in returns.findings] == [
        ("flagged", "country corea"),
        ("flagged", "culture KOREA"),
    ]


def test_findings_stand_by_kind_then_file_then_line(tmp_path):
    ranks = [["x", "1"], ["1", "3"]]
    lines = [
        f"p{n},1,alignment,{m},{r}"
        for n in range(6)
        for m, r in zip("AB", ranks[n % 2], strict=True)
    ]
    table = "\n".join(
        ("participant,page,item,model,rank", *lines, "q,1,alignment,A,1", "q,1,alignment,B,2")
    )
    (tmp_path / "b.csv").write_text(table, encoding="utf-8")
    (tmp_path / "a.csv").write_text(table, encoding="utf-8")
    (tmp_path / "z.csv").write_text("", encoding="utf-8")
    wheres = [one.where for one in read_returns([tmp_path], None).findings]
    lines = [2, 4, 6, 8, 10, 12]
    assert wheres == [
        "z.csv",
        *(f"a.csv, line {line}" for line in lines),
        "b.csv",
        *(f"b.csv, line {line}" for line in lines),
    ]


def test_a_bad_file_among_good_ones_is_told_and_never_raised(tmp_path):
    folder = write_files(tmp_path / "in", SURVEY.files)
    (folder / "cut.json").write_text('{"format": "scoft-survey-answers",\n "ver', encoding="utf-8")
    (folder / "empty.json").touch()
    (folder / "list.json").write_text("[]", encoding="utf-8")
    (folder / "picture.json").write_bytes(bytes(range(256)) * 40)
    (folder / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (folder / "all.zip").write_bytes(b"PK\x03\x04")
    (folder / "all.xlsx").write_bytes(b"PK\x03\x04")
    (folder / "no.json").write_text(json.dumps(SURVEY.file_of(0) | {"consent": None}), "utf-8")
    returns = read_returns([folder], KEY)
    assert list(returns.answers) == in_order(SURVEY.answers)
    found = {where: (kind, sentence) for kind, where, sentence in told(returns)}
    assert {kind for kind, _ in found.values()} == {"refused"}
    begins = {
        "all.xlsx": "It is a workbook. Save its sheet as CSV",
        "all.zip": "It is an archive. Unpack it",
        "cut.json, line 2": "The file ends in the middle",
        "empty.json, line 1": "The file is empty",
        "list.json": "This is JSON, but not the answers",
        "no.json": "It does not say that the participant agreed",
        "other.csv, line 1": "There is no column `participant`",
    }
    for where, begin in begins.items():
        assert found.pop(where)[1].startswith(begin)
    assert list(found) == ["picture.json"]


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("scoft_training.survey_returns._LARGEST", 1 << 20)
    folder = write_files(tmp_path / "in", SURVEY.files)
    (folder / "large.json").write_text(" " * (1 << 21), encoding="utf-8")
    assert [one[1:] for one in told(read_returns([folder], KEY))] == [
        (
            "large.json",
            "It is larger than 1 MB, which no answers are. Take it out of the folder, or bring the "
            "right file.",
        )
    ]


def test_results_the_key_and_hidden_files_in_the_folder_are_passed_over(tmp_path):
    folder = write_files(tmp_path / "in", SURVEY.files)
    (folder / "by mail").mkdir()
    (folder / FIRST).rename(folder / "by mail" / FIRST)
    plain = read_returns([folder], KEY)
    assert len(plain.answers) == len(SURVEY.answers)
    write_key(folder / "survey-key.json", KEY)
    (folder / "readme.txt").write_text("Answers of March", encoding="utf-8")
    for place in (folder, folder / "results"):
        write_answers(place / "answers.csv", SURVEY.answers)
        write_comments(place / "comments.csv", [])
        write_participants(place / "participants.csv", plain.participants)
        (place / "results.json").write_text("{}", encoding="utf-8")
        write_table(place / "tables" / "average_ranks.csv", ["model", "average_rank"], [["SD", 3]])
    (folder / f"._{FIRST}").write_bytes(b"\0\5\x16\7")
    write_files(folder / ".trash", {"x.json": {}})
    assert read_returns([folder], KEY) == plain
    # A table that is named itself is read.
    assert read_returns([folder / "results" / "answers.csv"], None).answers == plain.answers
    with pytest.raises(
        SurveyError, match="There are no answers in what was named.*its answers.csv"
    ):
        read_returns([folder / "results"], KEY)


def test_text_that_was_copied_and_pasted_is_read_like_a_file(tmp_path):
    text = json.dumps(SURVEY.file_of(0), indent=1)
    (tmp_path / "message.txt").write_text("\ufeff\n" + text, encoding="utf-8")
    (tmp_path / "phone.json.txt").write_text(json.dumps(SURVEY.file_of(1)), encoding="utf-16")
    mail = f"Dear you,\n\nmine:\n{json.dumps(SURVEY.file_of(2), indent=1)}\n-- \nSent from a phone"
    (tmp_path / "mail.txt").write_text(mail, encoding="utf-8")
    returns = read_returns([tmp_path], KEY)
    assert {one.participant for one in returns.participants} == set(SURVEY.people[:3])
    assert told(returns) == []
    # Two people's answers in one text are not taken for one person's.
    (tmp_path / "mail.txt").write_text(f"{mail}\n{text}", encoding="utf-8")
    returns = read_returns([tmp_path], KEY)
    assert {one.participant for one in returns.participants} == set(SURVEY.people[:2])
    (finding,) = returns.findings
    line = 1 + mail.count("\n") - 1
    assert finding.where == f"mail.txt, line {line}"
    assert "not valid JSON (Extra data" in finding.sentence


def test_a_table_beside_the_files_counts_once_and_the_files_go_first(tmp_path):
    folder = write_files(tmp_path / "in", SURVEY.files)
    plain = read_returns([folder], KEY)
    write_answers(folder / "table.csv", SURVEY.answers)
    returns = read_returns([folder], KEY)
    assert returns.answers == plain.answers
    assert [one[1:] for one in told(returns)] == [
        (
            "table.csv",
            "120 of its rankings stand in participants' own files, too; each counts once.",
        )
    ]
    swapped = [
        dataclasses.replace(one, rank=5 - one.rank) if one.item == "alignment" else one
        for one in SURVEY.answers
    ]
    write_answers(folder / "table.csv", swapped)
    returns = read_returns([folder], KEY)
    assert returns.answers == plain.answers
    (sentence,) = [one for _, _, one in told(returns) if "not those of" in one]
    assert sentence.startswith("30 of its rankings (say ")
    assert "the participant's own file, which count" in sentence


def test_tables_add_up_and_what_they_contradict_does_not_count(tmp_path):
    own = [one for one in SURVEY.answers if one.participant == SURVEY.people[0]]
    bare = [dataclasses.replace(one, position=None, seconds=None) for one in own]
    parts = {
        item: [one for one in bare if one.item == item] for item in ("alignment", "stereotypes")
    }
    for item, part in parts.items():
        write_answers(tmp_path / f"{item}.csv", part)
    assert len(read_returns([tmp_path], None).answers) == 16
    # The same with places: they are not lost, whichever comes first.
    write_answers(tmp_path / "zz.csv", own)
    assert list(read_returns([tmp_path], None).answers) == in_order(own)
    wrong = [dataclasses.replace(one, rank=5 - one.rank) for one in parts["alignment"]]
    write_answers(tmp_path / "zz.csv", wrong)
    returns = read_returns([tmp_path], None)
    assert {one.item for one in returns.answers} == {"stereotypes"}
    ((kind, where, sentence),) = told(returns)
    assert (kind, where) == ("left out", "zz.csv")
    assert sentence.startswith("2 of its rankings (say ")
    assert "others than in alignment.csv, so neither count" in sentence


def test_a_table_is_held_against_the_pages_of_the_key_and_of_other_tables(tmp_path):
    own = [one for one in SURVEY.answers if one.participant == SURVEY.people[0]]
    strange = [
        dataclasses.replace(one, participant="t", model=one.model.replace("SD", "sd"))
        for one in own
        if one.item == "alignment"
    ]
    pages = {one.page for one in strange}
    write_answers(tmp_path / "t.csv", strange)
    write_files(tmp_path, {FIRST: SURVEY.file_of(0)})
    returns = read_returns([tmp_path], KEY)
    assert {one.model for one in returns.answers} == set(KEY.models)
    ((kind, where, sentence),) = told(returns)
    assert (kind, where) == ("left out", "t.csv")
    assert sentence.startswith("Unknown model of this page 'sd'. Use one of")
    assert sentence.endswith(
        f"2 of its rankings (say t, page {min(pages)}, alignment) do not count so."
    )
    # Without a key, what most tables say; who forgot a picture is told by its name.
    (tmp_path / FIRST).unlink()
    for name in ("a", "b"):
        others = [dataclasses.replace(one, participant=name) for one in own]
        write_answers(tmp_path / f"{name}.csv", others)
    # Tied ones, so that what is left without the last picture are possible ranks.
    fewer = [
        dataclasses.replace(one, participant="u", rank=1)
        for one in own
        if one.item == "alignment" and one.model != "+M"
    ]
    write_answers(tmp_path / "u.csv", fewer)
    returns = read_returns([tmp_path], None)
    assert {one.participant for one in returns.answers} == {"a", "b"}
    assert {where for _, where, _ in told(returns)} >= {"t.csv", "u.csv"}


def test_a_country_that_one_table_tells_is_the_persons_in_all(tmp_path):
    own = [one for one in SURVEY.answers if one.participant == SURVEY.people[0]]
    silent = [dataclasses.replace(one, country="") for one in own if one.item == "alignment"]
    write_answers(tmp_path / "a.csv", silent)
    write_answers(tmp_path / "b.csv", [one for one in own if one.item == "stereotypes"])
    returns = read_returns([tmp_path], None)
    assert {(one.participant, one.country) for one in returns.answers} == {
        (SURVEY.people[0], "Land of Korea")
    }
    assert told(returns) == []
    # Of two countries neither is everybody's.
    other = [dataclasses.replace(one, country="x") for one in own if one.item == "offensiveness"]
    write_answers(tmp_path / "c.csv", other)
    assert {one.country for one in read_returns([tmp_path], None).answers} == {
        "",
        "Land of Korea",
        "x",
    }


def test_people_of_several_tables_who_have_one_name_are_told_what_to_do(tmp_path):
    own = [one for one in SURVEY.answers if one.participant == SURVEY.people[0]]
    bare = [dataclasses.replace(one, participant="1", culture="", country="") for one in own]
    write_answers(tmp_path / "korea.csv", bare)
    swapped = [dataclasses.replace(one, rank=5 - one.rank) for one in bare]
    write_answers(tmp_path / "mexico.csv", swapped)
    with pytest.raises(SurveyError, match=r"mexico\.csv: .* or each table a column `culture`"):
        read_returns([tmp_path], None)


def test_what_cannot_be_read_at_all_is_an_error(tmp_path):
    with pytest.raises(
        SurveyError, match="there is no such file or folder that can be opened. Nam"
    ):
        read_returns([tmp_path / "absent"], KEY)
    with pytest.raises(SurveyError, match="can be opened .*null byte"):
        read_returns([tmp_path / "a\0b"], KEY)
    with pytest.raises(SurveyError, match="can be opened .*File name too long"):
        read_returns([tmp_path / ("x" * 5000)], KEY)
    with pytest.raises(SurveyError, match="There are no answers in what was named"):
        read_returns([tmp_path], KEY)
    write_files(tmp_path, SURVEY.files)
    with pytest.raises(SurveyError, match="and 14 more: .*Name the survey's survey-key.json"):
        read_returns([tmp_path], None)
    other = made_survey(seed=1).key
    with pytest.raises(SurveyError, match=r"No answer counts\. answers-.*It answers the survey"):
        read_returns([tmp_path], dataclasses.replace(other))


def test_careless_people_are_flagged_and_count(tmp_path):
    file = SURVEY.file_of(0)
    for page, item in itertools.product(file["pages"], file["pages"][0]["items"]):
        page["items"][item]["ranks"] = dict.fromkeys(page["order"], 1)
    write_files(tmp_path, SURVEY.files | {FIRST: file})
    returns = read_returns([tmp_path], KEY)
    assert len(returns.answers) == len(SURVEY.answers)
    assert list(returns.flags) == [SURVEY.people[0]]
    ((kind, where, sentence),) = told(returns)
    assert (kind, where) == ("flagged", f"{FIRST}, participant {SURVEY.people[0]}")
    assert sentence.startswith("8 of 8 rankings hold ties, which the page does not offer")
    assert sentence.endswith("unless you leave the participant out by name (`leave_out`).")
    loose = dataclasses.replace(KEY, allow_ties=True)
    assert read_returns([tmp_path], loose).flags == {}


def test_no_cell_of_the_two_tables_is_a_formula(tmp_path):
    file = SURVEY.file_of(0) | {"comment": '=HYPERLINK("http://x")\n=1'}
    file["declared"] |= {"country": "+1", "culture": "@SUM(A1)"}
    write_files(tmp_path / "in", {FIRST: file})
    returns = read_returns([tmp_path / "in"], KEY)
    assert returns.comments == (
        Comment(SURVEY.people[0], "Korea", "", "", '=HYPERLINK("http://x")\n=1'),
    )
    assert {one.country for one in returns.answers} == {"+1"}
    write_comments(tmp_path / "comments.csv", returns.comments)
    write_participants(tmp_path / "participants.csv", returns.participants)
    text = (tmp_path / "comments.csv").read_text("utf-8-sig")
    assert text.splitlines()[0] == "participant,culture,page,prompt,text"
    assert '"\'=HYPERLINK(""http://x"")\n=1"' in text
    text = (tmp_path / "participants.csv").read_text("utf-8-sig")
    assert "Korea,'@SUM(A1),'+1,20.0,en" in text


def test_links_in_circles_do_not_hang(tmp_path):
    folder = write_files(tmp_path / "in", SURVEY.files)
    try:
        (folder / "loop").symlink_to(folder, target_is_directory=True)
        (folder / "again.json").symlink_to(folder / FIRST)
    except OSError:
        pytest.skip("no links here")
    os.mkfifo(folder / "pipe.json")
    assert told(read_returns([folder], KEY)) == []


def test_what_the_page_saves_in_a_browser_is_read_by_the_key(browser, tmp_path):
    grid = grid_of(tmp_path / "grid", prompts_of(3))
    list(make_survey(SurveyRequest(grids=[grid.folder], out=tmp_path / "survey")))
    (path,) = handed_out(tmp_path / "survey")
    key = read_key(tmp_path / "survey")
    data = json.loads(
        re.search(r'id="survey-data">(.*?)</script>', path.read_text("utf-8"), re.S)[1]
    )
    models = {one: model for page in key.pages for one, model in page.pictures.items()}
    with browser.new_context(offline=True) as context:
        page = page_of(context, path)
        begun(page, culture="=cmd", years="31")
        for _ in range(2):  # of three pages
            shown = [models[one] for one in ids_shown(page, data)]
            for _ in ITEMS:
                for model in MODELS:
                    page.locator(".pick").nth(shown.index(model)).click()
                next_one(page)
        to_overview(page)
        name, file = saved(page)
    write_files(tmp_path / "sent", {name: file})
    returns = read_returns([tmp_path / "sent"], key)
    assert len(returns.answers) == 2 * len(ITEMS) * len(MODELS)
    assert all(MODELS.index(one.model) + 1 == one.rank for one in returns.answers)
    order = {
        (one["page"], at): place
        for one in file["pages"]
        for place, at in enumerate(one["order"], 1)
    }
    assert all(
        order[page.page, picture] == one.position
        for one in returns.answers
        for page in key.pages
        for picture, model in page.pictures.items()
        if (page.page, model) == (one.page, one.model)
    )
    (person,) = returns.participants
    assert (person.declared_culture, person.years, person.finished) == ("=cmd", 31.0, "")
    missing, *flags = returns.findings
    assert "4 of 12 rankings are not answered, 1 of 3 pages not complete" in missing.sentence
    assert {one.kind for one in flags} <= {"flagged"}  # the robot is fast
