"""Which prompts and pictures a survey asks about: only what all models drew, evenly, for ever."""

from collections import Counter
from dataclasses import replace

import pytest
from survey_grid import MODELS, grid_of, prompts_of

from scoft_training.errors import ConfigError, DatasetError
from scoft_training.grids import ROLES, GridPrompt, read_grid
from scoft_training.survey_config import SURVEY_ROLES, SurveyConfig
from scoft_training.survey_pages import choose_pages

ALL = SurveyConfig(pages=0)


def chosen(*grids, culture=None, models=(), config=ALL):
    return choose_pages(grids, culture=culture, models=models, config=config)


def prompts(found):
    return [page.prompt for page in found.pages]


def test_a_page_is_one_prompt_and_seed_with_each_models_picture_of_it(tmp_path):
    grid = grid_of(tmp_path / "g", prompts_of(2, seeds=(7, 8)))
    found = chosen(grid)
    assert found.models == MODELS
    assert [(page.culture, page.prompt, page.seed) for page in found.pages] == [
        ("Korea", "test prompt 0 of Korea", 7),
        ("Korea", "test prompt 1 of Korea", 7),
    ]
    for number, page in enumerate(found.pages):
        assert tuple(page.pictures) == MODELS
        for name, picture in page.pictures.items():
            assert (picture.model, picture.prompt, picture.seed) == (name, number, 7)
    assert found.warnings == ()
    both = chosen(grid, config=replace(ALL, pictures_per_prompt=2))
    assert [page.seed for page in both.pages] == [7, 8, 7, 8]


def test_only_prompts_that_every_chosen_model_drew_are_asked_about_and_others_are_told(tmp_path):
    lacking = [("Drittmodell", 1, 7), ("base", 2, 7), ("base", 2, 8)]
    grid = grid_of(tmp_path / "g", prompts_of(4, seeds=(7, 8)), missing=lacking)
    found = chosen(grid)
    # The second prompt has its other seed; the third has none that all drew.
    assert [(page.prompt[12], page.seed) for page in found.pages] == [("0", 7), ("1", 8), ("3", 7)]
    assert found.warnings == (
        "g: 1 prompt is left out, for lack of pictures by every model: 'test prompt 2 of Korea'. "
        "Draw what is missing with `scoft grid`.",
    )
    without_base = chosen(grid, models=("Drittmodell", "Zweitmodell"))
    assert len(without_base.pages) == 4
    assert without_base.models == ("Zweitmodell", "Drittmodell")
    two = chosen(grid, config=replace(ALL, pictures_per_prompt=2))
    assert [page.seed for page in two.pages] == [7, 8, 8, 7, 8]
    assert "Korea: 1 prompt is asked about on fewer than 2 pages" in two.warnings[1]


def test_a_picture_whose_file_is_gone_does_not_count(tmp_path):
    grid = grid_of(tmp_path / "g", prompts_of(2))
    next(one for one in grid.pictures if one.prompt == 0).path.unlink()
    assert prompts(chosen(read_grid(grid.folder))) == ["test prompt 1 of Korea"]


def test_the_choice_is_even_over_categories_and_a_function_of_prompt_and_seed(tmp_path):
    # Twelve of food, two of dress, two of dance.
    many = prompts_of(12) + [
        replace(one, text=f"{one.text} {category}", category=category)
        for category in ("dress", "dance")
        for one in prompts_of(2)
    ]
    grid = grid_of(tmp_path / "g", many)
    category = {one.text: one.category for one in many}
    six = prompts(chosen(grid, config=SurveyConfig(pages=6)))
    assert Counter(category[text] for text in six) == {"food": 2, "dress": 2, "dance": 2}
    ten = prompts(chosen(grid, config=SurveyConfig(pages=10)))
    assert Counter(category[text] for text in ten) == {"food": 6, "dress": 2, "dance": 2}
    assert set(six) < set(ten)
    assert ten == [one.text for one in many if one.text in ten]  # in the grid's order
    others = {
        tuple(prompts(chosen(grid, config=SurveyConfig(pages=6, seed=seed)))) for seed in range(5)
    }
    assert len(others) > 1
    # Each prompt has a lot of its own: with fewer of the losers the winners are the same.
    kept = [one for one in many if one.text in six or one.text in ten or one.category == "dress"]
    assert len(six) < len(kept) < len(many)
    fewer = grid_of(tmp_path / "fewer", kept[::-1])
    assert set(prompts(chosen(fewer, config=SurveyConfig(pages=6)))) == set(six)


def test_all_prompts_are_taken_when_there_are_fewer_than_asked_for(tmp_path):
    grid = grid_of(tmp_path / "g", prompts_of(3))
    assert len(chosen(grid, config=SurveyConfig(pages=20)).pages) == 3


def test_roles_are_those_that_were_asked_for_and_general_prompts_are_never_among_them(tmp_path):
    assert set(SURVEY_ROLES) == set(ROLES) - {"general"}
    grid = grid_of(tmp_path / "g", prompts_of(2) + prompts_of(1, role="train"))
    assert prompts(chosen(grid)) == ["test prompt 0 of Korea", "test prompt 1 of Korea"]
    both = chosen(grid, config=replace(ALL, roles="train, test"))
    assert len(both.pages) == 3
    with pytest.raises(ConfigError, match="g: has no prompt of the role neutral; its prompts are "):
        chosen(grid, config=replace(ALL, roles="neutral"))


def test_cultures_of_prompts_make_page_sets_of_their_own_each_with_its_own_choice(tmp_path):
    mixed = grid_of(tmp_path / "a", prompts_of(3) + prompts_of(4, culture="Mexico"))
    third = grid_of(tmp_path / "b", prompts_of(5, culture="India"))
    found = chosen(mixed, third, config=SurveyConfig(pages=2))
    assert Counter(page.culture for page in found.pages) == {"Korea": 2, "Mexico": 2, "India": 2}
    assert list(dict.fromkeys(page.culture for page in found.pages)) == ["Korea", "Mexico", "India"]


def test_a_prompt_without_culture_takes_the_one_that_is_named_or_that_its_grid_has(tmp_path):
    plain = GridPrompt("a cup", "test", (7,))
    lone = grid_of(tmp_path / "lone", [plain])
    with pytest.raises(ConfigError, match="lone: the prompt 'a cup' names no culture. Say in "):
        chosen(lone)
    assert [page.culture for page in chosen(lone, culture=" Korea ").pages] == ["Korea"]
    beside = grid_of(tmp_path / "beside", [plain, *prompts_of(1, culture="India")])
    assert [page.culture for page in chosen(beside).pages] == ["India", "India"]
    # What names its own culture keeps it.
    named = chosen(beside, culture="Korea").pages
    assert [page.culture for page in named] == ["Korea", "India"]
    two = [plain, *prompts_of(1, culture="India"), *prompts_of(1)]
    with pytest.raises(ConfigError, match="names no culture"):
        chosen(grid_of(tmp_path / "two", two))


def test_a_culture_is_one_however_its_letters_and_spaces_are_written(tmp_path):
    names = ("Corée du Sud", " Core\u0301e  du Sud")
    grid = grid_of(tmp_path / "g", [one for name in names for one in prompts_of(1, culture=name)])
    assert [page.culture for page in chosen(grid).pages] == ["Corée du Sud"] * 2


def test_a_culture_in_large_and_small_letters_is_one_by_its_first_name(tmp_path):
    named = [*prompts_of(2), *prompts_of(2, culture="KOREA"), GridPrompt("a cup", "test", (7,))]
    grid = grid_of(tmp_path / "g", named)
    assert {page.culture for page in chosen(grid).pages} == {"Korea"}
    assert len(chosen(grid).pages) == 5
    # Their prompts share one choice, too.
    assert len(chosen(grid, config=SurveyConfig(pages=3)).pages) == 3


def test_the_same_prompt_in_two_grids_or_roles_is_asked_about_once(tmp_path):
    first = grid_of(tmp_path / "a", prompts_of(2))
    again = replace(prompts_of(1)[0], role="train")
    second = grid_of(tmp_path / "b", [*prompts_of(3), again])
    found = chosen(first, second, config=replace(ALL, roles="test,train"))
    assert prompts(found) == [f"test prompt {n} of Korea" for n in range(3)]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("bsae", "Zweitmodell"), "Unknown model 'bsae'.*Did you mean 'base'"),
        (("base",), "compares two models or more, and there is base"),
    ],
)
def test_models_must_exist_and_be_two_or_more(tmp_path, models, message):
    grid = grid_of(tmp_path / "g", prompts_of(1))
    with pytest.raises(ConfigError, match=message):
        chosen(grid, models=models)


def test_more_than_nine_models_must_be_chosen_from(tmp_path):
    names = [f"model {n}" for n in range(10)]
    grid = grid_of(tmp_path / "g", prompts_of(1), models=names)
    with pytest.raises(ConfigError, match="at most 9 models, and there are 10: model 0, model 1"):
        chosen(grid)
    assert len(chosen(grid, models=names[:9]).models) == 9


def test_grids_must_have_the_same_models_or_those_in_common_be_named(tmp_path):
    first = grid_of(tmp_path / "a", prompts_of(1))
    second = grid_of(tmp_path / "b", prompts_of(1, culture="India"), models=("base", "Drittmodell"))
    with pytest.raises(ConfigError) as caught:
        chosen(first, second)
    assert f"{second.folder}: has no model called 'Zweitmodell'" in str(caught.value)
    assert "all grids have base, Drittmodell" in str(caught.value)
    assert len(chosen(first, second, models=("Drittmodell", "base")).pages) == 2


def test_a_grid_of_which_no_prompt_is_complete_says_which_model_lacks_most(tmp_path):
    lacking = [("Drittmodell", 0, 7), ("Drittmodell", 1, 7), ("base", 0, 7)]
    grid = grid_of(tmp_path / "g", prompts_of(2), missing=lacking)
    with pytest.raises(DatasetError, match="'Drittmodell' has the fewest .0."):
        chosen(grid)


def test_no_grid_is_refused():
    with pytest.raises(ConfigError, match="There is no grid"):
        chosen()
