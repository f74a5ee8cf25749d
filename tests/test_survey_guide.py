"""The guide for who asks the people says what the code says."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from scoft_training.cli import _parser
from scoft_training.survey_answers import Answer
from scoft_training.survey_key import ITEMS, KEY_NAME
from scoft_training.survey_making import MINUTES_PER_PICTURE
from scoft_training.survey_texts import LANGUAGES, survey_texts

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "survey.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", GUIDE, re.S)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_guide_is_understood(command):
    program, *arguments = shlex.split(command)
    assert program == "scoft"
    assert callable(_parser().parse_args(arguments).run)


def test_the_flags_of_the_guide_exist(capsys):
    known = set()
    for command in (("survey", "make"), ("survey", "texts"), ("survey", "aggregate"), ("grid",)):
        with pytest.raises(SystemExit):
            _parser().parse_args([*command, "--help"])
        known |= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    prose = re.sub(r"```.*?```", "", GUIDE, flags=re.S)
    named = set(re.findall(r"`(--[a-z-]+)", prose))
    assert len(named) > 10
    assert named <= known


def test_the_columns_of_the_guide_are_those_of_an_answer():
    _, table = GUIDE.split("one line for each rank:")
    rows = re.findall(r"^\| (`.*?) \|", table.split("\n\n")[1], re.M)
    columns = re.findall(r"`(\w+)`", " ".join(rows))
    assert columns == [field.name for field in dataclasses.fields(Answer)]


def test_the_guide_names_the_items_the_languages_and_the_files():
    for name in (*ITEMS, KEY_NAME, "answers.csv", "participants.csv", "comments.csv"):
        assert f"`{name}`" in GUIDE or f"/{name}`" in GUIDE, name
    assert f"`--languages {','.join(LANGUAGES)}`" in GUIDE
    assert survey_texts("en").texts["end.erase"] in GUIDE


def test_the_minutes_of_the_guide_are_those_that_the_page_promises():
    assert MINUTES_PER_PICTURE == 0.5
    assert "A page with four models takes about two minutes, half a minute a picture." in GUIDE


def test_the_links_of_the_guide_lead_somewhere():
    for target in re.findall(r"\]\((?!https:)([^)]+)\)", GUIDE):
        name, _, heading = target.partition("#")
        path = ROOT / "docs" / name
        assert path.exists(), target
        if not heading:
            continue
        headings = {
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith("#")
        }
        assert heading in headings, target
