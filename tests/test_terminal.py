"""Work on a terminal or in a log: what is printed, and who may start it."""

import re

import pytest

from scoft_training.errors import ConfigError
from scoft_training.events import PhaseEvent, WarningEvent
from scoft_training.progress import TextPrinter
from scoft_training.terminal import require_one_process


def logged(events, capsys):
    printer = TextPrinter()
    for event in events:
        printer.show(event)
    printer.close()
    return capsys.readouterr().err.splitlines()


def test_in_a_log_long_work_says_each_tenth_and_the_time_left(capsys):
    lines = logged([PhaseEvent("grid", done, 1000) for done in range(0, 1001, 4)], capsys)
    assert [re.sub(", about [0-9:]+ left", " ...", line) for line in lines] == [
        "grid: 0/1000",
        *(f"grid: {done}/1000 ..." for done in range(100, 1000, 100)),
        "grid: 1000/1000",
    ]


def test_in_a_log_short_work_says_its_end(capsys):
    assert logged([PhaseEvent("load", done, 99) for done in range(100)], capsys) == ["load: 99/99"]
    assert logged([PhaseEvent("nothing", 0, 0)], capsys) == ["nothing: 0/0"]


def test_what_is_said_between_makes_no_line_more(capsys):
    events = [PhaseEvent("grid", 650, 1000), WarningEvent("so"), PhaseEvent("grid", 660, 1000)]
    # Gone on with, and then once more from the beginning.
    events += [PhaseEvent("grid", 0, 1000), PhaseEvent("other", 5, 1000)]
    assert logged(events, capsys) == [
        "grid: 650/1000",
        "warning: so",
        "grid: 0/1000",
        "other: 5/1000",
    ]


def test_a_command_of_one_process_refuses_a_launcher(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    require_one_process("grid")
    monkeypatch.setenv("WORLD_SIZE", "1")
    require_one_process("grid")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="`scoft grid` works in one process, and .* started 4"):
        require_one_process("grid")
