"""An ablation's tables: what stands beside what, how exact it is, and what means are over."""

import dataclasses

import pytest
from made_ablation import METRICS, made_ablation, results_of

from scoft_training.ablation_config import Arm
from scoft_training.ablation_sheets import ablation_sheets
from scoft_training.config import ScoreConfig, TrainConfig


@pytest.fixture
def ablation(tmp_path):
    return made_ablation(tmp_path)


def sheet_of(ablation, name, **others):
    sheets = ablation_sheets(ablation, results_of(ablation, **others))
    return next(sheet for sheet in sheets if sheet.name == name)


def test_the_papers_numbers_stand_beside_its_own_measures(ablation):
    sheet = sheet_of(ablation, "overall")
    assert sheet.header == (
        "arm",
        "KID to held-out pictures, x 1000",
        "paper",
        "KID to general pictures, x 1000",
        "paper",
        "CLIP Score, 2.5 x cosine",
        "paper",
    )
    # The mean over cultures is 50 above the first, over seeds 5; half of 10 times t(0.975, 1).
    assert sheet.rows[1] == ("m", "56 ± 64", "22.643", "56 ± 64", "4.711", "56 ± 64", "0.802")
    assert sheet.rows[2][2::2] == ("", "", "")
    assert "not comparable" in sheet.note
    korea = sheet_of(ablation, "per_culture_kid_reference")
    assert korea.header == ("arm", "korea", "paper", "nigeria", "paper")
    assert [row[2] for row in korea.rows] == ["28.061", "24.118", ""]
    assert [row[4] for row in korea.rows] == ["32.687", "24.539", ""]


@pytest.mark.parametrize(
    ("score", "without"),
    [
        (ScoreConfig(kid_network="dinov2"), {"30.355", "4.396", "28.061"}),
        (ScoreConfig(clip_network="miniature_clip"), {"0.813", "0.802"}),
        (ScoreConfig(diversity_network="dinov2"), {"0.356"}),
    ],
)
def test_other_networks_have_no_number_of_the_papers(ablation, score, without):
    def numbers(of):
        return {
            cell
            for sheet in ablation_sheets(of, results_of(of))
            for row in sheet.rows
            for cell in row
        }

    assert without <= numbers(ablation) | {"0.813", "0.802"}
    assert not without & numbers(dataclasses.replace(ablation, score=score))


def test_a_lora_called_sd_is_not_the_papers_base(ablation):
    arms = (Arm("m", None), Arm("sd", TrainConfig()))
    other = dataclasses.replace(ablation, arms=arms, compare=())
    assert "paper" not in sheet_of(other, "overall").header


def test_means_over_different_comparisons_say_so(ablation, tmp_path):
    assert "different pictures" not in sheet_of(ablation, "overall").note
    korea, nigeria = ablation.cultures
    mixed = dataclasses.replace(
        ablation, cultures=(dataclasses.replace(korea, general=tmp_path / "coco"), nigeria)
    )
    note = sheet_of(mixed, "overall").note
    assert "different pictures (korea coco; nigeria with the drawings of the base)" in note
    assert "different pictures" not in sheet_of(mixed, "memorization").note


def test_units_that_differ_are_both_named(ablation):
    results = results_of(ablation)
    other = dataclasses.replace(METRICS[-1], unit="of 60 pictures")
    results[1] = dataclasses.replace(results[1], metrics=(*METRICS[:-1], other))
    (sheet,) = (one for one in ablation_sheets(ablation, results) if one.name == "others")
    assert "Vendi score, of 35 pictures or of 60 pictures" in sheet.header


def test_differences_say_how_many_chance_would_make(ablation):
    results = results_of(ablation)
    # m - sd is 1 in both seeds of every figure: no spread at all.
    (sheet,) = (one for one in ablation_sheets(ablation, results) if one.name == "differences")
    assert sheet.note.startswith("5 of 5 intervals leave 0 out. Where nothing differs, chance")
    first = [one for one in results if one.seed == 0]
    alone = dataclasses.replace(ablation, seeds=(0,))
    (sheet,) = (one for one in ablation_sheets(alone, first) if one.name == "differences")
    assert sheet.note == ""
