"""An ablation's report: its page, its files for spreadsheets and programs, its plots."""

import csv
import dataclasses
import io
import json

import pytest
from made_ablation import made_ablation, results_of

from scoft_training.ablation_config import Arm
from scoft_training.ablation_report import write_ablation_report
from scoft_training.config import TrainConfig


@pytest.fixture
def ablation(tmp_path):
    return made_ablation(tmp_path)


def test_tables_for_spreadsheets_hold_numbers(ablation):
    write_ablation_report(ablation, results_of(ablation))
    text = (ablation.folder / "tables" / "overall.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert float(rows[1]["KID to held-out pictures, x 1000"]) == 56
    assert float(rows[1]["KID to held-out pictures, x 1000 ±"]) == 64
    assert not any("±" in value for row in rows for value in row.values())
    values = json.loads((ablation.folder / "tables.json").read_text(encoding="utf-8"))
    assert values["mean_and_half_width"]["m"]["clip_score"][0] == 56


def test_the_page_says_what_the_arms_are_even_if_there_is_one(ablation):
    one = dataclasses.replace(
        ablation, arms=(Arm("base", None), Arm("m", TrainConfig(rank=7, save_every=9))), compare=()
    )
    html = write_ablation_report(one, results_of(one)).read_text(encoding="utf-8")
    assert '<th scope="row" dir="auto">rank</th><td dir="auto">7</td>' in html
    assert "learning_rate" not in html
    assert "save_every" not in html
    assert html.count("The drawings are gone") == 2


def test_the_three_questions_have_a_plot_of_their_differences(ablation):
    write_ablation_report(ablation, results_of(ablation))
    names = {path.stem for path in (ablation.folder / "plots").glob("difference-*.svg")}
    assert names == {
        f"difference-{key}" for key in ("similarity_dino_vits16", "kid_reference", "kid_general")
    }
    none = dataclasses.replace(ablation, folder=ablation.folder / "none", compare=())
    write_ablation_report(none, results_of(none))
    assert not list((none.folder / "plots").glob("difference-*.svg"))
