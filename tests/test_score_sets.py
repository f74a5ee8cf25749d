"""Which pictures are scored, and which are compared with."""

import dataclasses

import pytest
from PIL import Image

from scoft_training.errors import DatasetError
from scoft_training.files import file_sha256
from scoft_training.grids import Grid, GridModel, GridPicture, GridPrompt
from scoft_training.overlays import Overlay, add_statement, now
from scoft_training.picture_folders import PictureFile
from scoft_training.score_sets import (
    compared_pictures,
    complete_models,
    drawn,
    relative_name,
    set_record,
)

BASE, LORA = GridModel("base"), GridModel("LoRA", "ab")


def made_grid(tmp_path, prompts, *, without=(), models=(BASE, LORA)):
    """A grid whose pictures are names only; `without` lists cells that are not drawn."""
    cells = [
        (model.name, index, seed)
        for model in models
        for index, prompt in enumerate(prompts)
        for seed in prompt.seeds
        if (prompt.role != "general" or model is BASE) and (model.name, index, seed) not in without
    ]
    pictures = tuple(
        GridPicture(*cell, tmp_path / f"{cell}.png", "-".join(map(str, cell))) for cell in cells
    )
    counts = tuple(len(prompt.seeds) for prompt in prompts)
    return Grid(tmp_path, "b", "d", {}, tuple(prompts), models, pictures, ((len(models), counts),))


def test_as_many_pictures_of_each_prompt_as_the_prompt_with_fewest_has(tmp_path):
    prompts = [
        GridPrompt("a", "test", (5, 1, 3)),
        GridPrompt("b", "neutral", (0,)),
        GridPrompt("c", "test", (7, 2)),
    ]

    found = drawn(made_grid(tmp_path, prompts), (BASE, LORA), "test")

    assert found.prompts == (0, 2)
    assert found.each == 2
    assert found.groups == [0, 0, 2, 2]
    cells = [(one.prompt, one.seed) for one in found.pictures["LoRA"]]
    assert cells == [(0, 1), (0, 3), (2, 2), (2, 7)]
    assert [(one.prompt, one.seed) for one in found.pictures["base"]] == cells


def test_prompts_with_too_few_pictures_are_left_out(tmp_path):
    prompts = [GridPrompt("a", "test", (1, 2, 3)), GridPrompt("b", "test", (1,))]
    grid = made_grid(tmp_path, prompts)

    assert drawn(grid, (BASE,), "test", least=2).prompts == (0,)
    assert drawn(grid, (BASE,), "test", least=2).each == 3
    assert drawn(grid, (BASE,), "test", least=4) is None
    assert drawn(grid, (BASE,), "train") is None
    assert drawn(grid, (BASE,), "test", only=lambda prompt: prompt == 1).prompts == (1,)


def test_what_cannot_be_read_of_one_model_is_left_out_of_all(tmp_path):
    prompts = [GridPrompt("a", "test", (1, 2)), GridPrompt("b", "test", (3, 4))]
    grid = made_grid(tmp_path, prompts)

    found = drawn(grid, (BASE, LORA), "test", readable=lambda one: one.sha256 != "LoRA-0-1")

    assert found.each == 1
    for pictures in found.pictures.values():
        assert [(one.prompt, one.seed) for one in pictures] == [(0, 2), (1, 3)]


def test_a_model_that_is_not_drawn_to_its_end_is_not_scored(tmp_path):
    prompts = [GridPrompt("a", "test", (1, 2))]
    grid = made_grid(tmp_path, prompts, without=[("LoRA", 0, 2)])

    models, warnings = complete_models(grid)

    assert models == (BASE,)
    assert warnings == [
        "LoRA is not scored, since it is not drawn completely (1 missing). Draw the grid to its "
        "end and score it again."
    ]
    with pytest.raises(DatasetError, match=r"no model of this grid is drawn completely \(4 pict"):
        complete_models(dataclasses.replace(grid, pictures=()))


def picture(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 24), colour).save(path)
    return path


def made_dataset(root, splits):
    number = 0
    for split, count in splits.items():
        lines = []
        for index in range(count):
            number += 1
            picture(root / split / "images" / f"{index}.png", (number * 20, 3, 7))
            lines.append(f'{{"file_name": "images/{index}.png", "text": "caption {number}"}}\n')
        (root / split / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
    return root


def test_the_splits_are_read_as_the_work_folder_completes_them(tmp_path):
    root, work = made_dataset(tmp_path / "set", {"train": 3, "test": 2}), tmp_path / "work"
    left_out = file_sha256(root / "test" / "images" / "0.png")
    add_statement(work, Overlay(sha256=left_out, by="me", at=now(), why="blurred", include=False))
    grid = made_grid(tmp_path, [GridPrompt("a", "test", (1,))])

    found = compared_pictures(grid, root, work)

    names = {file.path.name for file in found.reference}
    assert names == {"1.png"}
    assert len(found.training) == 3
    assert [file.sha256 for file in found.training] == sorted(
        file.sha256 for file in found.training
    )
    assert found.general == ()
    assert found.sources == {"training": "train split of set", "reference": "test split of set"}


def test_rows_with_errors_are_left_out_and_told(tmp_path):
    root = made_dataset(tmp_path / "set", {"train": 2, "test": 2})
    (root / "test" / "images" / "0.png").unlink()
    grid = made_grid(tmp_path, [GridPrompt("a", "test", (1,))])

    found = compared_pictures(grid, root, tmp_path / "work")

    assert len(found.reference) == 1
    assert found.warnings == (
        "set, test split: rows with errors are left out (1). `scoft dataset check` says what is "
        "wrong with them.",
    )


def test_without_a_test_split_there_is_nothing_held_out(tmp_path):
    root = made_dataset(tmp_path / "set", {"train": 2})
    grid = made_grid(tmp_path, [GridPrompt("a", "test", (1,))])

    assert compared_pictures(grid, root, tmp_path / "work").reference == ()


def test_held_out_pictures_that_were_trained_on_are_not_held_out(tmp_path):
    root = made_dataset(tmp_path / "set", {"train": 2, "test": 2})
    copied = root / "train" / "images" / "1.png"
    (root / "test" / "images" / "0.png").write_bytes(copied.read_bytes())
    grid = made_grid(tmp_path, [GridPrompt("a", "test", (1,))])

    found = compared_pictures(grid, root, tmp_path / "work")

    assert [file.path.name for file in found.reference] == ["1.png"]
    (warning,) = found.warnings
    assert warning.startswith("set: 1 of 2 pictures of the test split are in the training split")

    # A folder is taken as it is: who names it may mean it.
    folder = root / "train" / "images"
    found = compared_pictures(grid, root, tmp_path / "work", reference=folder)
    assert len(found.reference) == 2
    (warning,) = found.warnings
    assert warning.startswith("images: 2 of 2 pictures are training pictures, too, so that KID")


def test_general_pictures_that_are_not_all_drawn_are_told(tmp_path):
    prompts = [GridPrompt("a", "neutral", (1,)), GridPrompt("a", "general", (2, 3))]
    whole = made_grid(tmp_path, prompts)
    begun = made_grid(tmp_path, prompts, without=[("base", 1, 3)])

    assert compared_pictures(whole, None, None).warnings == ()
    (warning,) = compared_pictures(begun, None, None).warnings
    assert warning.startswith("The base has drawn 1 of 2 general pictures, and what")


def test_folders_take_the_place_of_what_the_grid_and_the_dataset_have(tmp_path):
    root = made_dataset(tmp_path / "set", {"train": 2, "test": 2})
    picture(tmp_path / "mine" / "a.png", "red")
    picture(tmp_path / "coco" / "b.png", "blue")
    prompts = [GridPrompt("a", "neutral", (1,)), GridPrompt("a", "general", (2,))]
    grid = made_grid(tmp_path, prompts)

    own = compared_pictures(grid, None, None)
    brought = compared_pictures(
        grid,
        root,
        tmp_path / "work",
        reference=tmp_path / "mine",
        general=tmp_path / "coco",
    )

    assert [file.sha256 for file in own.general] == ["base-1-2"]
    assert own.general_prompts == ("a",)
    assert brought.general_prompts == ()
    assert [file.path.name for file in brought.reference] == ["a.png"]
    assert [file.path.name for file in brought.general] == ["b.png"]
    assert brought.sources["general"] == "folder coco"


def test_a_sets_digest_knows_its_pictures_and_not_their_order(tmp_path):
    one, other = PictureFile(tmp_path / "1", "aa"), PictureFile(tmp_path / "2", "bb")

    record = set_record([one, other], "somewhere")

    assert record == set_record([other, one], "somewhere")
    assert record != set_record([one, one], "somewhere")
    assert (record["pictures"], record["source"]) == (2, "somewhere")


def test_paths_are_told_from_the_grid_on(tmp_path):
    assert relative_name(tmp_path / "set" / "a.jpg", tmp_path / "grid") == "../set/a.jpg"
