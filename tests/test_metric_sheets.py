"""Sheets show the picture of that prompt by that model, from one noise, in their place."""

from dataclasses import replace

import pytest
from drawn_grid import OTHER, colour, drawn_grid, with_nearest
from made_scores import made_scores

from scoft_training.errors import ConfigError
from scoft_training.grids import GridModel, GridPrompt
from scoft_training.metric_sheets import (
    nearest_pairs,
    nearest_sheet,
    same_seed_sheet,
    shown_models,
    shown_prompts,
    shown_rows,
    small_picture,
)

LINE, GAP, ABOVE = 28, 10, 66
LEGEND = 2 * LINE + 2 * GAP


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    return drawn_grid(tmp_path_factory.mktemp("sheets") / "grid", missing=[("step 200", 2)])


def test_a_rows_pictures_are_of_one_seed_and_stand_under_their_models(grid):
    sheet = same_seed_sheet(grid, prompts=[5, 0], models=["step 100", "base"])
    pitch = 256 + GAP
    for row, (prompt, seed) in enumerate([(5, 11), (0, 0)]):
        for column, name in enumerate(["step 100", "base"]):
            at = (GAP + column * pitch + 90, ABOVE + row * (pitch + LINE) + LINE + 90)
            assert sheet.getpixel(at) == colour(name, prompt, seed)


def test_what_is_not_drawn_is_said(grid):
    _, (row,) = shown_rows(grid, prompts=[2], models=["base", "step 200"])
    assert [picture is None for picture in row.pictures] == [False, True]
    sheet = same_seed_sheet(grid, prompts=[2], models=["base", "step 200"])
    assert sheet.getpixel((GAP + 266 + 200, ABOVE + LINE + 200)) == (217, 220, 228)


def test_prompts_of_every_role_are_shown_but_not_those_to_compare_with(grid):
    roles = [grid.prompts[place].role for place in shown_prompts(grid)]
    assert roles == ["test"] * 4 + ["train"] * 2 + ["neutral"] * 2
    assert len(shown_prompts(grid, most=3)) == 3
    assert len(shown_prompts(grid, most=100)) == 11
    only = replace(grid, prompts=(*[GridPrompt(f"p{n}", "test", (n,)) for n in range(50)],))
    # Evenly from the first to the last, not the first ones.
    assert shown_prompts(only, most=4) == [0, 16, 33, 49]


def test_of_many_models_the_ends_and_the_wanted_ones_are_shown(grid):
    names = [f"step {n}" for n in range(30)]
    many = replace(grid, models=tuple(GridModel(name) for name in names))
    shown = shown_models(many, always=["step 5", "nobody"])
    assert len(shown) == 10
    assert {"step 0", "step 5", "step 29"} <= set(shown)
    assert shown == sorted(shown, key=names.index)
    assert shown_models(grid) == [one.name for one in grid.models]


def test_sheets_stay_within_their_bounds(grid):
    models = [one.name for one in grid.models]
    wide = same_seed_sheet(grid, models=models * 5)
    high = same_seed_sheet(grid, prompts=list(range(11)) * 3)
    assert max(wide.size) <= 4000
    assert max(high.size) <= 4000
    scores = with_nearest(made_scores(), grid)
    assert max(nearest_sheet(scores, grid).size) <= 4000


def test_of_very_many_models_the_nearest_pairs_of_some_are_shown(grid):
    scores = with_nearest(made_scores(), grid)
    one = scores.models[0]
    names = [f"lora {number}" for number in range(40)]
    many = replace(
        scores,
        models=tuple(replace(one, model=GridModel(name, "ab")) for name in names),
        nearest=tuple(replace(scores.nearest[0], model=name) for name in names),
    )
    sheet = nearest_sheet(many, grid, models=names)
    assert 3000 < sheet.height <= 4000
    assert sheet.getpixel((GAP + 60, LEGEND + LINE + 60)) == colour("base", 0, 0)


def test_unknown_prompts_and_models_and_nothing_are_refused(grid):
    with pytest.raises(ConfigError, match="Unknown model 'step 10'.*Did you mean 'step 100'"):
        same_seed_sheet(grid, models=["step 10"])
    with pytest.raises(ConfigError, match="no prompt 99. Name numbers from 0 to 13"):
        same_seed_sheet(grid, prompts=[99])
    with pytest.raises(ConfigError, match="needs a model and a prompt"):
        same_seed_sheet(grid, prompts=[])
    with pytest.raises(ConfigError, match="no nearest training pictures"):
        nearest_sheet(made_scores(), grid)


def test_the_nearest_pairs_come_first_per_model(grid):
    scores = with_nearest(made_scores(), grid)
    pairs = nearest_pairs(scores)
    assert list(pairs) == ["base", "step 100", "step 200", "step 300", OTHER]
    assert [[one.cosine for one in of] for of in pairs.values()] == [[0.93, 0.61]] * 5
    assert [len(of) for of in nearest_pairs(scores, each=1).values()] == [1] * 5
    assert list(nearest_pairs(scores, models=["step 200"])) == ["step 200"]


def test_a_drawing_stands_beside_its_training_picture(grid):
    scores = with_nearest(made_scores(), grid)
    sheet = nearest_sheet(scores, grid, each=1, models=["step 300"])
    assert sheet.getpixel((GAP + 90, LEGEND + LINE + 90)) == colour("step 300", 1, 0)
    assert sheet.getpixel((GAP + 256 + 2 + 90, LEGEND + LINE + 90)) == colour("training", 1)


def test_a_picture_that_is_gone_leaves_a_place(grid, tmp_path):
    scores = with_nearest(made_scores(), grid)
    gone = tuple(replace(one, training_file="../gone.png") for one in scores.nearest)
    sheet = nearest_sheet(replace(scores, nearest=gone), grid, each=1, models=["base"])
    assert sheet.getpixel((GAP + 256 + 2 + 200, LEGEND + LINE + 200)) == (217, 220, 228)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert small_picture(tmp_path / "broken.png", 64) is None
    assert small_picture(tmp_path / "none.png", 64) is None
