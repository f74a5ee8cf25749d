"""How numbers are made, and the paper's own beside them."""

import dataclasses

import pytest
from made_survey_results import made_result

from scoft_training.survey_document import Table, Words
from scoft_training.survey_methods import methods_chapters


def chapter(result, name):
    return next((one.parts for one in methods_chapters(result) if one.name == name), None)


def test_the_papers_averages_stand_beside_ones_own_as_not_comparable():
    result = made_result(items=("alignment", "offensiveness"))
    parts = chapter(result, "paper")
    assert parts[0].text.startswith("Not comparable")
    (table,) = (part for part in parts if isinstance(part, Table))
    assert table.header == ("model", "Description and Image Alignment", "Offensiveness")
    assert table.rows[-4:] == [
        ("the paper's SD", "3.09", "3.07"),
        ("the paper's SD+M", "2.57", "2.59"),
        ("the paper's SD+MP", "2.33", "2.30"),
        ("the paper's SD+MPC", "1.83", "1.78"),
    ]
    own = result.slice(item="offensiveness").models
    assert [row[2] for row in table.rows[:4]] == [f"{one.average_rank.mean:.2f}" for one in own]


def test_the_papers_averages_hold_ties():
    (table,) = (part for part in chapter(made_result(), "paper") if isinstance(part, Table))
    sums = [sum(float(row[at]) for row in table.rows[-4:]) for at in range(1, 5)]
    # Table 1: 9.82, 9.82, 9.89, 9.74; without ties each would be 1 + 2 + 3 + 4.
    assert sums == [pytest.approx(one, abs=1e-9) for one in (9.82, 9.82, 9.89, 9.74)]
    said = [part.text for part in chapter(made_result(), "paper") if isinstance(part, Words)]
    assert "less than 10" in said[1]


def test_other_questions_are_not_held_against_the_paper():
    assert chapter(made_result(items=("my own",)), "paper") is None


def test_every_method_says_how_and_the_limit_is_stated():
    (listing,) = chapter(made_result(), "methods")
    told = dict(listing.entries)
    for name in ("Average rank", "MMSR and vote", "Noisy Bradley-Terry", "Brackets", "Kendall's W"):
        assert len(told[name]) > 80
    assert "minority" in told["Limit of both"]


def test_settings_are_all_there():
    result = made_result(settings={"seed": 7, "leave_out": ""})
    (folded,) = chapter(result, "settings")
    assert folded.parts[0].rows == [("seed", "7"), ("leave_out", "-")]
    assert chapter(dataclasses.replace(result, settings={}), "settings") is None
