"""`scoft ablation` by its two doors: a file, or the paper's comparison on the miniature."""

import json
from types import SimpleNamespace

import pytest

from scoft_training import ablation, ablation_plan
from scoft_training.cli import main
from scoft_training.events import FinishedEvent, StoppedEvent, WarningEvent
from scoft_training.miniature import ablation as miniature_ablation
from scoft_training.miniature.arms import ARMS

FILE = """
folder = "out"
base = "miniature"
[[cultures]]
name = "korea"
dataset = "korea"
[arms.ldm]
preset = "ldm"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def asked(monkeypatch):
    """What both ablations are asked for; they write a table and end as they are told to."""
    asked = SimpleNamespace(requests=[], end=FinishedEvent(0, "report.html"))

    def run(request, *, should_stop):
        asked.requests.append(request)
        request.folder.mkdir(parents=True, exist_ok=True)
        for name in ("tables.md", "table.md"):
            (request.folder / name).write_text("| arm |\n")
        yield asked.end

    monkeypatch.setattr(ablation, "run_ablation", run)
    monkeypatch.setattr(miniature_ablation, "run_ablation", run)
    return asked


def test_a_file_is_carried_out_and_its_tables_printed(file, asked, capsys, tmp_path):
    assert main(["ablation", str(file)]) == 0
    assert capsys.readouterr().out == "| arm |\n\n"
    assert main(["ablation", str(file), "--folder", str(tmp_path / "b"), "--seeds", "3", "3"]) == 0
    first, second = asked.requests
    assert (first.folder, first.seeds) == (tmp_path / "out", (0, 1, 2, 3, 4))
    assert (second.folder, second.seeds) == (tmp_path / "b", (3,))


def test_a_stopped_one_prints_no_table(file, asked, capsys):
    asked.end = StoppedEvent(0, "stopped")
    assert main(["ablation", str(file)]) == 130
    assert capsys.readouterr().out == ""


def test_events_for_programs_are_all_that_is_printed(file, asked, capsys):
    assert main(["ablation", str(file), "--json-events"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["finished"]


def test_without_a_file_it_is_the_miniatures_with_its_flags(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["ablation"]) == 0
    flags = ["--arms", "m", "m", "--steps", "7", "--pictures", "5", "--seeds", "2", "2"]
    assert main(["ablation", *flags]) == 0
    first, second = asked.requests
    assert (first.folder.name, tuple(first.arms)) == ("scoft-ablation", tuple(ARMS))
    assert (tuple(first.seeds), first.scale.steps, first.num_train) == ((0, 1, 2, 3, 4), 600, 30)
    assert (list(second.arms), list(second.seeds)) == (["m"], [2])
    assert (second.scale.steps, second.num_train) == (7, 5)


def test_a_dry_run_says_what_is_left(file, monkeypatch, capsys):
    trial = ablation_plan.PlannedTrial("korea", "ldm", 0, 30, False, 19, 4, False)
    others = [
        ablation_plan.PlannedTrial("한국", "base", 0, 0, True, 23, 23, True),
        ablation_plan.PlannedTrial("korea", "m", 0, 30, True, 19, 0, False),
        ablation_plan.PlannedTrial("korea", "mp", 0, 30, False, 19, 0, False, saved_step=20),
    ]
    negatives = ablation_plan.PlannedNegatives("korea", 6)
    plan = [WarningEvent("No test split."), negatives, trial, *others]
    monkeypatch.setattr(ablation_plan, "plan_ablation", lambda _: iter(plan))
    assert main(["ablation", str(file), "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[:6] == [
        "korea  seed 0  ldm   30 steps; 4 of 19 pictures",
        "한국   seed 0  base  done",
        "korea  seed 0  m     30 steps, trained; 0 of 19 pictures",
        "korea  seed 0  mp    30 steps, 20 of them made; 0 of 19 pictures",
        f"4 trials in {file.parent / 'out'}: 40 training steps and 53 pictures are still to be "
        "made.",
        "Before them, 6 negatives are drawn.",
    ]
    assert printed.err == "No test split.\n"
    assert main(["ablation", str(file), "--dry-run", "--json-events"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in lines] == ["negatives", *["trial"] * 4]
    assert (lines[1]["arm"], lines[1]["drawn"]) == ("ldm", 4)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["FILE", "--steps", "3", "--arms", "m"], "--arms and --steps belong to the ablation with"),
        (["--dry-run"], "--dry-run belongs to the ablation of a file"),
        (["none.toml"], "cannot be read"),
        (["--seeds", "-1"], "--seeds must be different whole numbers from 0"),
        (["FILE", "--seeds", "-1"], "--seeds must be different whole numbers from 0"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(file, capsys, flags, words):
    flags = [str(file) if flag == "FILE" else flag for flag in flags]
    assert main(["ablation", *flags]) == 2
    assert words in capsys.readouterr().err
