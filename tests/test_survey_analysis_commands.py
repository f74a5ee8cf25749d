"""`scoft survey aggregate` from returned files to what the terminal says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from made_answers import made_survey, write_files

from scoft_training import survey_aggregation, survey_analysis
from scoft_training.cli import main
from scoft_training.survey_key import write_key
from scoft_training.survey_records import Difference
from scoft_training.survey_results import read_result

STRENGTHS = {
    "Korea": (-1.5, -0.5, 0.5, 1.5),
    "Mexico": (-1.5, -0.5, 0.5, 1.5),
    "Nigeria": (1.5, 0.5, -0.5, -1.5),
}
CULTURES = {"Korea": 7, "Mexico": 6, "Nigeria": 4}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A survey of three cultures, one of which wants it the other way round."""
    made = made_survey(cultures=CULTURES, strengths=STRENGTHS, pages=4, seed=7)
    write_key(tmp_path / "scoft-survey" / "survey-key.json", made.key)
    write_files(tmp_path / "answers", made.files)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def quick(monkeypatch):
    """A page without plots, which take most of the time."""
    monkeypatch.setattr(survey_aggregation, "write_survey_report", lambda _, out, __: out / PAGE)


PAGE = "report.html"
AGGREGATE = ["survey", "aggregate", "answers", "--resamples", "100"]
RESULTS = Path("scoft-survey/results/results.json")
KEY = ["--key", "scoft-survey/survey-key.json"]


def test_the_disagreement_is_told_before_the_winner_of_all(here, quick, capsys):
    assert main([*AGGREGATE, *KEY]) == 0
    printed = capsys.readouterr().out
    result = read_result(RESULTS)
    assert result.disagreements[0].disagree
    assert printed.startswith(f"All questions: {result.disagreements[0].sentence}\n")
    told, pooled = printed.index("Nigeria"), printed.index("average rank")
    assert told < pooled
    assert "Nigeria  SD > +M > +MP > +MPC" in printed
    assert "Korea    +MPC > +MP > +M > SD" in printed
    assert printed.endswith("\nReport: scoft-survey/results/report.html\n")


def test_the_true_order_of_each_culture_comes_back_by_every_method(here, quick, capsys):
    main([*AGGREGATE, *KEY])
    result = read_result(RESULTS)
    for culture, strengths in STRENGTHS.items():
        best_first = sorted(zip(strengths, here.key.models, strict=True), reverse=True)
        truth = tuple((model,) for _, model in best_first)
        part = result.slice(culture)
        assert part.average_order == part.nbt_order == part.vote_order == truth


def test_json_is_the_file(here, quick, capsys):
    assert main([*AGGREGATE, *KEY, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(RESULTS.read_text(encoding="utf-8"))


def test_events_are_printed_one_a_line(here, quick, capsys):
    assert main([*AGGREGATE, *KEY, "--json-events"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0]["event"] == "phase"
    assert events[-1] == {
        "event": "finished",
        "step": 0,
        "name": "scoft-survey/results/report.html",
        "already_done": False,
    }


def test_the_options_reach_the_analysis(here, quick, capsys):
    left = here.people[0]
    options = ["--group-by", "country", "--leave-out", left, "--confidence", "0.8"]
    assert main([*AGGREGATE, *KEY, *options, "--out", "elsewhere"]) == 0
    result = read_result(Path("elsewhere/results.json"))
    assert result.group_by == "country"
    assert result.groups == ("Land of Korea", "Land of Mexico", "Land of Nigeria")
    assert result.slice().participants == sum(CULTURES.values()) - 1
    assert "In brackets: the 80 % interval" in capsys.readouterr().out


def test_crowd_kit_is_told_beside_where_it_is_asked_for(here, quick, monkeypatch, capsys):
    differ = Difference("MMSR", None, None, "a > b", "b > a", "Its people share no page.")
    monkeypatch.setattr(survey_analysis, "crowd_kit_differences", lambda *_, **__: [differ])
    assert main([*AGGREGATE, *KEY, "--engine", "crowd-kit"]) == 0
    assert set(read_result(RESULTS).differences) == {differ}
    assert "MMSR, all groups, all questions: Its people share no page." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere"),
        (["answers"], "key"),
        (["answers", *KEY, "--leave-out", "nobody"], "nobody"),
        (["answers", "--key", "nowhere.json"], "nowhere.json: there is no such file"),
        (["answers", *KEY, "--confidence", "2"], "confidence"),
    ],
)
def test_what_cannot_be_read_is_refused(here, quick, capsys, arguments, sentence):
    assert main(["survey", "aggregate", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_it_imports_no_library_of_networks(here):
    """They take seconds, and answers hold no pictures."""
    script = (
        "import sys; from scoft_training import survey_aggregation; "
        "survey_aggregation.write_survey_report = lambda _, out, __: out / 'report.html'; "
        f"from scoft_training.cli import main; main({[*AGGREGATE, *KEY]!r}); "
        "print(sorted({'diffusers', 'transformers', 'open_clip'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
