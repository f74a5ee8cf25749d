"""The tables of a survey hold the result's own numbers, and no formulas."""

import csv
from dataclasses import replace

import pytest
from made_survey_results import GROUPS, ITEMS, MODELS, made_result

from scoft_training.survey_records import Finding
from scoft_training.survey_tables import ALL, csv_tables, write_tables


def table(folder, name):
    with (folder / "tables" / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def result():
    return made_result()


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_tables(result, folder)
    return folder


def number(cell):
    try:
        return float(cell) == float(cell)
    except ValueError:
        return False


def slice_of(result, row):
    group, item = (None if row[name] == ALL else row[name] for name in ("group", "item"))
    return result.slice(group, item)


def figures_of(result, row):
    model = row["model"].removeprefix("'")
    return next(one for one in slice_of(result, row).models if one.model == model)


def ends(row, name):
    return tuple(float(row[column]) for column in (name, "low", "high"))


def estimate(one):
    return (one.mean, one.low, one.high)


@pytest.mark.parametrize(
    ("name", "column", "field"),
    [
        ("average_ranks", "average_rank", "average_rank"),
        ("first_places", "first_share", "first_share"),
        ("noisy_bradley_terry", "score", "nbt_score"),
    ],
)
def test_a_figure_of_each_model_and_slice(result, folder, name, column, field):
    rows = table(folder, name)
    assert len(rows) == len(MODELS) * (1 + len(GROUPS)) * (1 + len(ITEMS))
    for row in rows:
        assert ends(row, column) == estimate(getattr(figures_of(result, row), field))


@pytest.mark.parametrize(
    ("name", "column", "field"),
    [
        ("win_rates", "win_rate", "win_rates"),
        ("rank_differences", "rank_difference", "rank_differences"),
    ],
)
def test_a_figure_of_each_two_models(result, folder, name, column, field):
    rows = table(folder, name)
    assert len(rows) == 4 * 3 * (1 + len(GROUPS)) * (1 + len(ITEMS))
    for row in rows:
        pair = (row["model"].removeprefix("'"), row["against"].removeprefix("'"))
        assert ends(row, column) == estimate(getattr(slice_of(result, row), field)[pair])


def test_ranks_are_counted(result, folder):
    for row in table(folder, "rank_counts"):
        counted = figures_of(result, row).rank_counts[int(row["rank"]) - 1]
        assert int(row["count"]) == counted
    firsts = table(folder, "first_places")
    assert all(int(row["first"]) == figures_of(result, row).rank_counts[0] for row in firsts)
    assert all(int(row["rankings"]) == slice_of(result, row).rankings for row in firsts)


def test_places_are_shared_in_a_tier_and_the_next_is_further(result, tmp_path):
    whole = replace(result.slices[0], vote_order=(("SD", "+M"), ("+MPC",), ("+MP",)))
    write_tables(replace(result, slices=(whole,)), tmp_path)
    places = {row["model"].removeprefix("'"): row["place"] for row in table(tmp_path, "vote")}
    assert places == {"SD": "1", "+M": "1", "+MPC": "3", "+MP": "4"}


def test_people_and_their_agreement(result, folder):
    rows = table(folder, "people")
    assert [row["participant"] for row in rows] == [one.name for one in result.people]
    assert rows[1]["flags"] == "the same order of places on all pages"
    assert [float(row["vote_skill"]) for row in rows] == [one.vote_skill for one in result.people]
    matrix = table(folder, "agreement")
    assert matrix[2]["participant"] == "person 3"
    assert matrix[2]["person 3"] == ""
    assert float(matrix[2]["person 5"]) == result.agreement[2][4]


def test_what_cannot_be_told_is_an_empty_cell(tmp_path):
    alone = made_result(groups={"Korea": 1})
    write_tables(alone, tmp_path)
    assert {row["low"] for row in table(tmp_path, "average_ranks")} == {""}
    assert {row["score"] for row in table(tmp_path, "noisy_bradley_terry")} == {""}
    assert {row["place"] for row in table(tmp_path, "noisy_bradley_terry")} == {""}
    assert {row["kendalls_w"] for row in table(tmp_path, "slices")} == {""}
    assert table(tmp_path, "disagreements") == []
    cells = [cell for rows in csv_tables(alone).values() for row in rows for cell in row]
    assert not [cell for cell in cells if cell != cell]


def test_disagreement_bias_findings_and_settings(result, folder):
    first = table(folder, "disagreements")[0]
    assert (first["item"], first["group"], first["first"]) == (ALL, "Korea", "'+MPC")
    assert first["disagree"] == "True"
    assert first["sentence"] == result.disagreements[0].sentence
    bias = table(folder, "position_bias")
    assert len(bias) == 4 * 5
    assert float(bias[4]["average_rank"]) == result.position_bias[1].average_ranks[0]
    assert [row["kind"] for row in table(folder, "findings")] == [
        *("refused", "left out", "flagged", "flagged")
    ]
    settings = {row["option"]: row["value"] for row in table(folder, "settings")}
    assert settings["group_by"] == "culture"
    assert settings["resamples"] == "1000"
    assert table(folder, "differences")[0]["crowd_kit"] == "failed: no convergence"


def test_no_cell_is_a_formula(tmp_path):
    evil = "=HYPERLINK(1)"
    result = made_result(
        models=("+M", "@sum"),
        groups={evil: 2, "-1": 2},
        findings=(Finding("flagged", "\t=1", "+1"),),
    )
    result = replace(result, people=tuple(replace(one, name=evil) for one in result.people))
    write_tables(result, tmp_path)
    for path in (tmp_path / "tables").glob("*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t") and not number(cell)]
    assert f"'{evil}" in {row["group"] for row in table(tmp_path, "average_ranks")}
