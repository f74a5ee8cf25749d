"""Answers become results: originals stay, results are never taken for answers."""

import csv
import hashlib
import json
import os
from dataclasses import replace

import pytest
from made_answers import made_survey, write_files

from scoft_training import survey_aggregation
from scoft_training.errors import ConfigError, OutputError, SurveyError
from scoft_training.events import FinishedEvent, PhaseEvent, StoppedEvent, WarningEvent
from scoft_training.survey_aggregation import AggregateRequest, aggregate, key_of, results_folder
from scoft_training.survey_answers import read_answers, write_answers
from scoft_training.survey_config import SurveyAnalysisConfig
from scoft_training.survey_key import write_key
from scoft_training.survey_results import read_result

CONFIG = SurveyAnalysisConfig(resamples=100)
STRENGTHS = {
    "Korea": (-1.5, -0.5, 0.5, 1.5),
    "Mexico": (-1.5, -0.5, 0.5, 1.5),
    "나이지리아": (1.5, 0.5, -0.5, -1.5),
}


@pytest.fixture(scope="module")
def made():
    return made_survey(strengths=STRENGTHS, pages=3, seed=5)


@pytest.fixture
def survey(made, tmp_path):
    """The survey's folder with its key, and the answers that came back."""
    write_key(tmp_path / "survey" / "survey-key.json", made.key)
    write_files(tmp_path / "answers", made.files)
    return tmp_path


@pytest.fixture
def quick(monkeypatch):
    """A page without plots, which take most of the time; the report has tests of its own."""

    def write_page(_result, folder, _earlier):
        (folder / "report.html").write_text("a page")
        return folder / "report.html"

    monkeypatch.setattr(survey_aggregation, "write_survey_report", write_page)


def request_of(folder, **changes):
    fields = {
        "inputs": [folder / "answers"],
        "key": folder / "survey" / "survey-key.json",
        "config": CONFIG,
    }
    return AggregateRequest(**fields | changes)


def run(request, **others):
    """Return the events and the result."""
    made, events = [], []

    def all_of():
        made.append((yield from aggregate(request, **others)))

    events.extend(all_of())
    return events, made[0]


def digests(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rows(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_written_and_the_report_is_named(made, survey):
    events, result = run(request_of(survey))
    out = survey / "survey" / "results"
    assert events[-1] == FinishedEvent(0, str(out / "report.html"))
    assert PhaseEvent("read answers", 1, 1) in events
    assert read_result(out / "results.json") == result
    answers, findings = read_answers(out / "answers.csv")
    assert sorted(answers, key=repr) == sorted(made.answers, key=repr)
    assert not findings
    assert {row["participant"] for row in rows(out / "participants.csv")} == set(made.people)
    assert (out / "comments.csv").is_file()
    assert (out / "report.txt").is_file()
    averages = rows(out / "tables" / "average_ranks.csv")
    best = result.slice("Korea", "alignment").models[0]
    (row,) = [
        row
        for row in averages
        if (row["group"], row["item"], row["model"]) == ("Korea", "alignment", f"'{best.model}")
    ]
    assert float(row["average_rank"]) == best.average_rank.mean
    assert list((out / "plots").glob("*.svg"))


def test_answers_and_key_are_left_as_they_are(quick, survey):
    before = digests(survey)
    run(request_of(survey))
    after = digests(survey)
    assert {path: after[path] for path in before} == before


def test_results_among_the_answers_are_not_read_as_answers(quick, survey):
    out = survey / "answers" / "results"
    _, first = run(request_of(survey, out=out))
    before = digests(out)
    _, again = run(request_of(survey, out=out))
    assert again == first
    # The same answers give the same files, to the byte.
    assert digests(out) == before


def test_answers_and_results_in_one_folder_are_told_apart(quick, survey):
    out = survey / "answers"
    _, first = run(request_of(survey, out=out))
    _, again = run(request_of(survey, out=out))
    assert again == first


def test_a_table_gives_what_the_files_gave(quick, made, survey):
    _, first = run(request_of(survey))
    write_answers(survey / "tables" / "by hand.csv", made.answers)
    _, second = run(request_of(survey, inputs=[survey / "tables" / "by hand.csv"], key=None))
    assert second.slices == first.slices
    assert second.people == first.people
    assert (survey / "tables" / "results" / "report.html").is_file()


def test_whom_the_organiser_leaves_out_is_gone_from_everything_and_told(quick, made, survey):
    person, other = made.people[:2]
    for number, name in enumerate((person, other)):
        file = next(one for one in made.files if name[:8] in one)
        write_files(survey / "answers", {file: made.file_of(number) | {"comment": "Good."}})
    config = replace(CONFIG, leave_out=person)
    _, result = run(request_of(survey, config=config))
    out = survey / "survey" / "results"
    assert person not in {one.name for one in result.people}
    assert result.slice().participants == len(made.people) - 1
    told = [one for one in result.findings if person in one.where + one.sentence]
    assert [one.kind for one in told] == ["left out"]
    for name in ("answers", "participants", "comments"):
        assert person not in (out / f"{name}.csv").read_text(encoding="utf-8")
    assert [row["participant"] for row in rows(out / "comments.csv")] == [other]
    assert result.settings["leave_out"] == person


def test_whoever_is_left_out_is_not_flagged_and_who_only_wrote_is_still_heard(quick, made, survey):
    tied, wrote = made.file_of(0), made.file_of(1) | {"comment": "Good."}
    for page in tied["pages"]:
        for item in page["items"].values():
            item["ranks"] = dict.fromkeys(item["ranks"], 1)
    for page in wrote["pages"]:
        page["items"] = {}
    write_files(survey / "answers", dict(zip(made.files, (tied, wrote), strict=False)))
    _, result = run(request_of(survey))
    assert [one.kind for one in result.findings] == ["left out", "flagged", "flagged"]
    assert all(made.people[0] in one.where for one in result.findings[1:])
    _, result = run(request_of(survey, config=replace(CONFIG, leave_out=made.people[0])))
    assert [one.kind for one in result.findings] == ["left out", "left out"]
    (comment,) = rows(survey / "survey" / "results" / "comments.csv")
    assert comment["participant"] == made.people[1]


def test_paths_that_may_not_be_looked_at_are_told_in_a_sentence(survey, monkeypatch):
    closed, stat = survey / "closed", os.stat

    def denied(path, **options):
        if str(path).startswith(str(closed)):
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", denied)
    with pytest.raises(SurveyError, match=r"can be opened \(Permission denied\)"):
        list(aggregate(request_of(survey, inputs=[closed / "answers"], key=None)))
    with pytest.raises(SurveyError, match=r"there is no such file\. Name the survey-key\.json"):
        list(aggregate(request_of(survey, key=closed)))


def test_who_is_not_there_cannot_be_left_out(quick, survey):
    with pytest.raises(ConfigError, match="nobody-of-that-name"):
        run(request_of(survey, config=replace(CONFIG, leave_out="nobody-of-that-name")))


def test_leaving_everybody_out_is_refused(quick, made, survey):
    everybody = replace(CONFIG, leave_out=", ".join(made.people))
    with pytest.raises(SurveyError, match="Everybody is left out"):
        run(request_of(survey, config=everybody))


def test_a_refused_file_is_told_at_once_and_in_the_result(quick, made, survey):
    name, content = next(iter(made.files.items()))
    (survey / "answers" / name).write_text(json.dumps(content | {"survey": "0" * 16}))
    events, result = run(request_of(survey))
    warnings = [one.message for one in events if isinstance(one, WarningEvent)]
    assert len(warnings) == 1
    assert warnings[0].startswith(name)
    refused = [one for one in result.findings if one.kind == "refused"]
    assert [f"{one.where}: {one.sentence}" for one in refused] == warnings
    assert result.slice().participants == len(made.people) - 1


def test_flagged_people_count_and_carry_their_flag(quick, made, survey):
    liar = made.people[2]
    name = next(one for one in made.files if liar[:8] in one)
    content = made.file_of(2)
    for page in content["pages"]:
        for item in page["items"].values():
            item["ranks"] = {one: at for at, one in enumerate(page["order"], start=1)}
    write_files(survey / "answers", {name: content})
    _, result = run(request_of(survey))
    (person,) = [one for one in result.people if one.name == liar]
    assert person.flags
    assert person.rankings == 12
    assert {one.kind for one in result.findings if liar in one.where} == {"flagged"}


def test_somebody_elses_tables_are_not_replaced(quick, made, survey):
    table = survey / "mine" / "answers.csv"
    write_answers(table, made.answers)
    before = table.read_bytes()
    with pytest.raises(OutputError, match=r"answers\.csv: is not replaced"):
        run(request_of(survey, out=survey / "mine"))
    # Nor when it is a result that is itself read.
    _, _ = run(request_of(survey, inputs=[table], key=None, out=survey / "out"))
    with pytest.raises(OutputError, match="Choose another folder"):
        run(request_of(survey, inputs=[survey / "out" / "answers.csv"], out=survey / "out"))
    assert table.read_bytes() == before
    assert [one.name for one in (survey / "mine").iterdir()] == ["answers.csv"]


@pytest.mark.parametrize(
    "name", ["report.html", "report.txt", "results.json", "tables/vote.csv", "plots/ranks.png"]
)
def test_nothing_that_somebody_else_wrote_is_replaced(quick, survey, name):
    theirs = survey / "mine" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text('{"format": 1, "scores": []}', encoding="utf-8")
    before = digests(survey)
    with pytest.raises(OutputError, match=f"{name.split('/')[0]}: is not replaced"):
        run(request_of(survey, out=survey / "mine"))
    assert digests(survey) == before


def test_results_of_another_version_are_replaced(monkeypatch, survey):
    old = survey / "out" / "results.json"
    old.parent.mkdir()
    old.write_text('{"format": 0, "slices": [], "findings": []}', encoding="utf-8")
    (survey / "out" / "report.html").write_text("an old page", encoding="utf-8")
    earlier = []

    def write_page(result, folder, before):
        earlier.append(before)
        return folder / "report.html"

    monkeypatch.setattr(survey_aggregation, "write_survey_report", write_page)
    run(request_of(survey, out=survey / "out"))
    found = read_result(old)
    run(request_of(survey, out=survey / "out"))
    # What the second one replaces is known, so that its plots can be removed.
    assert earlier == [None, found]


def test_the_key_is_found_in_the_answers_folder_or_around_it(quick, made, survey):
    inside = AggregateRequest([survey / "survey"])
    assert key_of(inside) == (survey / "survey" / "survey-key.json").resolve()
    write_files(survey / "survey" / "answers", made.files)
    around = AggregateRequest([survey / "survey" / "answers"], config=CONFIG)
    assert key_of(around) == (survey / "survey" / "survey-key.json").resolve()
    _, result = run(around)
    assert result.slice().participants == len(made.people)
    assert results_folder(around) == (survey / "survey" / "results").resolve()
    assert key_of(AggregateRequest([survey / "answers"])) is None
    folder = AggregateRequest([survey / "answers"], key=survey / "survey")
    assert key_of(folder) == survey / "survey" / "survey-key.json"


def test_where_results_go(quick, survey):
    (survey / "answers.csv").touch()
    assert results_folder(AggregateRequest([survey / "answers"])) == survey / "answers" / "results"
    assert results_folder(AggregateRequest([survey / "answers.csv"])) == survey / "results"
    assert results_folder(request_of(survey)) == survey / "survey" / "results"
    assert results_folder(request_of(survey, out=survey / "o")) == survey / "o"


def test_nothing_to_read_is_refused(quick, survey):
    with pytest.raises(SurveyError, match="no answers to read"):
        run(AggregateRequest([]))
    with pytest.raises(SurveyError, match="gone"):
        run(request_of(survey, inputs=[survey / "gone"]))


@pytest.mark.parametrize("asked", [1, 4])
def test_stopped_it_writes_nothing(quick, survey, asked):
    before = digests(survey)
    calls = []

    def should_stop():
        calls.append(1)
        return len(calls) >= asked

    events, result = run(request_of(survey), should_stop=should_stop)
    assert result is None
    assert isinstance(events[-1], StoppedEvent)
    assert digests(survey) == before
