"""A grid's folder: what is asked for keeps its place, and what is drawn is found again."""

import json
from unicodedata import normalize

import pytest

from scoft_training.errors import ConfigError, DatasetError
from scoft_training.grids import (
    GridModel,
    GridPicture,
    GridPrompt,
    add_picture,
    batches,
    extended,
    new_grid,
    picture_name,
    read_grid,
    write_grid,
)

BASE = GridModel("base")
ONE = GridModel("one", "1" * 64, 0.5, 150, "run")
TWO = GridModel("two", "2" * 64)
HOUSE = GridPrompt("a house", "train", (3, 1, 2), "a" * 64, "architecture", "avelun")
BOWL = GridPrompt("그릇", "test", (7,))
APPLE = GridPrompt("an apple", "neutral", (0,))
OTHERS = GridPrompt("an apple", "general", (1, 2))


@pytest.fixture
def grid(tmp_path):
    empty = new_grid(tmp_path, "small", "d" * 64, {"inference_steps": 3, "sampler": "ddim"})
    return extended(empty, [BASE, ONE], [HOUSE, BOWL, APPLE, OTHERS])


def draw(grid, model, prompt, seed, data=b"png"):
    path = grid.folder / picture_name(grid, model, prompt, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    picture = GridPicture(model, prompt, seed, path, f"sha of {data!r}")
    add_picture(grid, picture)
    return picture


def test_what_is_written_is_read(grid):
    write_grid(grid)
    assert read_grid(grid.folder) == grid
    written = json.loads((grid.folder / "grid.json").read_text(encoding="utf-8"))
    assert (written["format"], written["base"]) == (1, {"name": "small", "digest": "d" * 64})


def test_pictures_are_found_by_model_and_role_in_the_order_of_prompt_and_seed(grid):
    write_grid(grid)
    drawn = {seed: draw(grid, "one", 0, seed) for seed in (3, 2, 1)}
    bowl = draw(grid, "one", 1, 7)
    draw(grid, "base", 0, 1)
    again = read_grid(grid.folder)
    assert again.of("one", "train") == (drawn[1], drawn[2], drawn[3])
    assert again.of("one", "test") == (bowl,)
    assert again.of("one", "neutral") == ()
    # Three seeds of the house, the bowl and the apple for both; two general ones by the base alone.
    assert len(again.missing()) == 2 * 5 + 2 - 5
    assert ("one", 3, 1) not in again.missing()
    assert ("base", 3, 1) in again.missing()


def test_of_two_lines_about_a_picture_the_later_counts_and_a_lost_file_does_not(grid):
    write_grid(grid)
    draw(grid, "base", 0, 1, b"first")
    later = draw(grid, "base", 0, 1, b"second")
    lost = draw(grid, "base", 0, 2)
    lost.path.unlink()
    assert read_grid(grid.folder).pictures == (later,)


def test_half_a_line_is_passed_over_and_the_next_one_stands_by_itself(grid):
    write_grid(grid)
    first = draw(grid, "base", 0, 1)
    with (grid.folder / "pictures.jsonl").open("a") as file:
        file.write('{"model": "base", "prompt": 0, "se')
    assert read_grid(grid.folder).pictures == (first,)
    second = draw(grid, "base", 0, 2)
    assert read_grid(grid.folder).pictures == (first, second)


def test_a_line_of_another_kind_is_passed_over_and_no_file_outside_is_taken(grid):
    write_grid(grid)
    inside = draw(grid, "base", 0, 1)
    line = json.loads((grid.folder / "pictures.jsonl").read_text())
    secret = grid.folder.parent / "secret.png"
    secret.write_bytes(b"secret")
    others = [
        {**line, "seed": 2, "file": "../secret.png"},
        {**line, "seed": 2, "file": str(secret)},
        {**line, "seed": 2, "file": r"C:\secret.png"},
        {**line, "seed": 2, "file": r"..\secret.png"},
        {**line, "model": ["base"]},
        {**line, "prompt": {}},
        {**line, "seed": 2, "file": 3},
        [1],
        7,
    ]
    with (grid.folder / "pictures.jsonl").open("a") as file:
        file.writelines(json.dumps(other) + "\n" for other in others)
    assert read_grid(grid.folder).pictures == (inside,)


def test_what_is_added_moves_nothing_that_was_there(grid):
    before = batches(grid, "one", 2)
    assert before == [
        [("one", 0, 3), ("one", 0, 1)],
        [("one", 0, 2), ("one", 1, 7)],
        [("one", 2, 0)],
    ]
    boat = GridPrompt("a boat", "test", (0,))
    more = extended(grid, [TWO], [GridPrompt("a house", "train", (2, 9), "a" * 64), boat])
    assert more.prompts[0].seeds == (3, 1, 2, 9)
    assert more.prompts[0].category == "architecture"
    assert more.prompts[4] == boat
    assert batches(more, "one", 2) == [*before, [("one", 0, 9), ("one", 4, 0)]]
    # A model that came later has everything in one round.
    assert sum(map(len, batches(more, "two", 2))) == 7
    assert batches(more, "two", 100)[0] == [
        ("two", 0, 3), ("two", 0, 1), ("two", 0, 2), ("two", 0, 9),
        ("two", 1, 7), ("two", 2, 0), ("two", 4, 0),
    ]  # fmt: skip
    write_grid(more)
    assert read_grid(grid.folder) == more


def test_nothing_new_changes_nothing(grid):
    assert extended(grid, [ONE], [BOWL]) is grid


def test_the_same_caption_of_two_pictures_and_roles_are_different_prompts(grid):
    other = GridPrompt("a house", "train", (1,), "b" * 64)
    assert extended(grid, [], [other]).prompts[-1] == other
    assert extended(grid, [], [GridPrompt("a house", "test", (1,))]).prompts[-1].role == "test"


def test_models_whose_names_clean_alike_have_folders_of_their_own(grid):
    names = ["step 150", "step-150", "Step 150", "???", "!!!", "모델", "con", "../up", "com7"]
    # The same letters in two spellings of Unicode.
    names.append(normalize("NFD", "모델"))
    many = extended(grid, [GridModel(name, "3" * 64) for name in names], [])
    folders = [picture_name(many, name, 0, 1).split("/")[1] for name in names]
    assert len({normalize("NFC", folder.casefold()) for folder in folders}) == len(names)
    assert folders[0] == "step-150"
    assert folders[5] == "모델"
    assert not {"con", "com7"} & set(folders)
    assert all(folder.strip("./") == folder != "" for folder in folders)
    assert picture_name(many, "step 150", 11, 5) == "pictures/step-150/0012-seed5.png"
    # What comes later changes no folder.
    more = extended(many, [GridModel("step_150", "3" * 64)], [])
    assert [picture_name(more, name, 0, 1).split("/")[1] for name in names] == folders


@pytest.mark.parametrize(
    ("models", "prompts", "message"),
    [
        (
            [GridModel("one", "9" * 64, 0.5)],
            [],
            "another model called 'one' in this grid .LoRA 1111",
        ),
        ([GridModel("one", "1" * 64, 0.7)], [], "at strength 0.5; now .* at strength 0.7"),
        ([GridModel("base", "9" * 64)], [], "'base' is the unmodified model's"),
        ([GridModel("plain")], [], "it has no other; got 'plain' for the base model"),
        ([], [GridPrompt(" ", "test", (1,))], "A prompt is empty"),
        ([], [GridPrompt("a", "tset", (1,))], r"Unknown role 'tset'.*Did you mean 'test'\?"),
        ([], [GridPrompt("a", "test", ())], "Prompt 'a': has no seeds"),
        ([], [GridPrompt("a", "test", (-1,))], "a whole number from 0 to 9223372036854775807"),
        ([], [GridPrompt("a", "test", (True,))], "but got True"),
    ],
)
def test_what_cannot_be_added_is_refused_in_a_sentence(grid, models, prompts, message):
    with pytest.raises(ConfigError, match=message):
        extended(grid, models, prompts)


def test_a_folder_without_a_grid_and_a_broken_one_are_refused(grid):
    with pytest.raises(DatasetError, match="there is no grid .grid.json is missing"):
        read_grid(grid.folder / "elsewhere")
    write_grid(grid)
    path = grid.folder / "grid.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "format": 2}))
    with pytest.raises(DatasetError, match="is of format 2, and this version reads 1"):
        read_grid(grid.folder)
    # By hand: a prompt more, which no round would draw.
    prompts = [*values["prompts"], {"text": "a", "role": "test", "seeds": [1]}]
    for broken in (
        "{",
        json.dumps({**values, "prompts": [{"txt": "a"}]}),
        json.dumps({**values, "prompts": prompts}),
        json.dumps({**values, "rounds": []}),
        "[]",
    ):
        path.write_text(broken)
        with pytest.raises(DatasetError, match=r"grid.json: cannot be read .* Put it back"):
            read_grid(grid.folder)
