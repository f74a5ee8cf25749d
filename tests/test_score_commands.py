"""`scoft score` on the miniature's small grid."""

import json
import shutil

import pytest
from scored_grid import make_dataset, make_grid

from scoft_training.cli import main

MINIATURE = [
    *("--kid-network", "miniature_judge", "--clip-network", "none"),
    *("--similarity-networks", "miniature_judge", "--diversity-network", "none"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    dataset = make_dataset(folder / "sets")
    make_grid(folder / "grid", dataset)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A place with `grid` and `sets/avelun`, where the command is given."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_table_and_the_reports_place_are_printed(here, capsys):
    status = main(["score", "grid", "--dataset", "sets/avelun", *MINIATURE])

    printed = capsys.readouterr().out
    assert status == 0
    assert "step 200" in printed
    assert printed.endswith("Report: grid/report.html\n")
    assert (here / "grid" / "report.html").is_file()
    assert (here / "grid" / "metrics.json").is_file()
    assert [path.name for path in (here / "scoft-work").glob("*/features")] == ["features"]


def test_the_numbers_alone_are_printed_for_programs(here, capsys):
    status = main(["score", "grid", "--dataset", "sets/avelun", "--json", *MINIATURE])

    printed = json.loads(capsys.readouterr().out)
    assert status == 0
    assert printed == json.loads((here / "grid" / "metrics.json").read_text(encoding="utf-8"))


def test_events_are_printed_one_a_line(here, capsys):
    status = main(["score", "grid", "--dataset", "sets/avelun", "--json-events", *MINIATURE])

    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert status == 0
    assert events[-1]["event"] == "finished"
    assert {"phase", "warning"} <= {event["event"] for event in events}


def test_two_folders_are_compared(here, capsys):
    status = main(
        [
            *("score", "--folder", "sets/avelun/train/images"),
            *("--reference", "sets/avelun/test/images", *MINIATURE),
        ]
    )

    assert status == 0
    first, note = capsys.readouterr().out.splitlines()
    value, interval = first.removeprefix(
        "KID to the reference pictures (x 1000); lower is better: "
    ).split(" ", 1)
    low, high = interval.strip("()").split(" to ")
    assert float(low) < float(value) < float(high)
    # Nobody asked whether a mere folder knows a culture.
    assert note.startswith("Note: KID to the reference pictures: KID of 6 generated and 8 ref")
    assert not list((here / "sets").rglob("metrics.json"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "There is nothing to measure, or too much: give GRID or --folder."),
        (["grid", "--folder", "sets"], "There is nothing to measure, or too much"),
        (["--folder", "sets"], "--folder compares pictures with others: give --reference FOLDER."),
        (
            ["--folder", "sets", "--reference", "sets", "--dataset", "sets"],
            "--dataset, --work and --general belong to a grid.",
        ),
        (["--folder", "sets", "--reference", "sets", "--json-events"], "use --json."),
        (["grid", "--kid-network", "inseption"], "Did you mean 'inception'?"),
    ],
)
def test_what_does_not_go_together_is_refused(here, capsys, arguments, sentence):
    assert main(["score", *arguments]) == 2
    assert sentence in capsys.readouterr().err
