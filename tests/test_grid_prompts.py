"""A grid's prompts: chosen by the seed alone, each with its role and seeds."""

import collections
import dataclasses
import json

import pytest
from drawings import drawing, write_set

from scoft_training.config import GridConfig
from scoft_training.data import read_dataset
from scoft_training.errors import ConfigError, DatasetError
from scoft_training.grid_prompts import (
    NEUTRAL_PROMPTS,
    dataset_prompts,
    prompts_of_dataset,
    read_prompts,
    seeded,
    typed_prompt,
    with_general,
)
from scoft_training.grids import GridPrompt, extended, new_grid
from scoft_training.options import options
from scoft_training.overlays import Overlay, write_overlays

SMALL = GridConfig(
    train_captions=3,
    pictures_per_caption=4,
    test_captions=0,
    pictures_per_test_caption=2,
    many_test_captions=1,
    neutral_prompts=5,
    seed=10,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "aruna"
    pictures = [drawing(seed, (80, 72)) for seed in range(10)]
    captions = ["a well", "a well", *(f"house {number}" for number in range(6))]
    write_set(folder, pictures[:8], captions=captions, category="architecture")
    write_set(folder, pictures[8:], "test", captions=["a tower", "a gate"])
    (folder / "card.json").write_text(json.dumps({"culture": "aruna"}))
    return folder


def by_role(prompts):
    found = collections.defaultdict(list)
    for prompt in prompts:
        found[prompt.role].append(prompt)
    return found


def test_a_dataset_gives_every_role_its_number_of_pictures(root, tmp_path):
    prompts, warnings = dataset_prompts(root, tmp_path, SMALL)
    found = by_role(prompts)
    assert warnings == []
    assert [len(prompt.seeds) for prompt in found["train"]] == [4, 4, 4]
    assert sorted(len(prompt.seeds) for prompt in found["test"]) == [2, 4]
    assert {prompt.text for prompt in found["test"]} == {"a tower", "a gate"}
    assert [prompt.text for prompt in found["neutral"]] == list(NEUTRAL_PROMPTS[:5])
    assert [prompt.text for prompt in found["general"]] == list(NEUTRAL_PROMPTS[:5])
    rows = {row.sha256: row for row in read_dataset(root).rows}
    for prompt in found["train"]:
        assert rows[prompt.picture].cultural_caption == prompt.text
        assert (prompt.category, prompt.culture) == ("architecture", "aruna")


def test_no_noise_is_shared_within_a_role_nor_between_twins(root, tmp_path):
    found = by_role(dataset_prompts(root, tmp_path, SMALL)[0])
    for role in ("train", "test", "neutral", "general"):
        seeds = [seed for prompt in found[role] for seed in prompt.seeds]
        assert len(set(seeds)) == len(seeds) > 0
        # So that a browser's numbers hold them.
        assert 0 <= min(seeds) <= max(seeds) < 2**53
    twins = [{seed for one in found[role] for seed in one.seeds} for role in ("neutral", "general")]
    assert not twins[0] & twins[1]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, 0),
        ({"train_captions": 5}, 2 * 4),
        ({"pictures_per_caption": 6}, 3 * 2 + 2),
        ({"many_test_captions": 2}, 2),
        ({"test_captions": 1}, 0),
        ({"neutral_prompts": 7}, 2 + 2),
    ],
)
def test_another_number_adds_what_is_new_and_nothing_else(root, more, expected):
    train, test = read_dataset(root).rows, read_dataset(root, "test").rows
    grid = extended(new_grid(root, "b", "d", {}), [], prompts_of_dataset(train, test, SMALL))
    config = dataclasses.replace(SMALL, **more)
    larger = extended(grid, [], prompts_of_dataset(train, test, config))
    count, before = (sum(len(one.seeds) for one in of.prompts) for of in (larger, grid))
    assert count - before == expected


def test_a_row_less_changes_nothing_but_what_was_drawn_for_it(root):
    rows = read_dataset(root).rows
    before = prompts_of_dataset(rows, (), SMALL)
    (*_, gone) = [one for one in before if one.role == "train"]
    without = [row for row in rows if row.sha256 != gone.picture]
    after = prompts_of_dataset(without, (), SMALL)
    assert [one for one in before if one != gone] == [one for one in after if one in before]
    assert len(after) == len(before)


def test_the_choice_is_the_seeds_and_not_the_first_rows(root):
    train = read_dataset(root).rows
    chosen = {
        seed: [
            p.text for p in prompts_of_dataset(train, (), dataclasses.replace(SMALL, seed=seed))
        ][:3]
        for seed in range(12)
    }
    assert chosen == {
        seed: [
            p.text for p in prompts_of_dataset(train, (), dataclasses.replace(SMALL, seed=seed))
        ][:3]
        for seed in range(12)
    }
    assert len(set(map(tuple, chosen.values()))) > 3
    # A caption that two pictures have is drawn once.
    assert all(texts.count("a well") <= 1 for texts in chosen.values())
    all_of_them = prompts_of_dataset(train, (), dataclasses.replace(SMALL, train_captions=100))
    assert [p.text for p in all_of_them if p.role == "train"] == [
        "a well", *(f"house {number}" for number in range(6))
    ]  # fmt: skip


def test_what_the_work_folder_states_counts(root, tmp_path):
    left_out, kept, *_ = read_dataset(root, "test").rows
    dropped = Overlay(
        sha256=left_out.sha256, by="Kim", at="2026-11-25", why="blurred", include=False
    )
    write_overlays(tmp_path, [dropped])
    prompts, warnings = dataset_prompts(root, tmp_path, SMALL)
    assert [p.picture for p in prompts if p.role == "test"] == [kept.sha256]
    assert warnings == []
    write_overlays(tmp_path, [dropped, dataclasses.replace(dropped, sha256=kept.sha256)])
    prompts, (warning,) = dataset_prompts(root, tmp_path, SMALL)
    assert not by_role(prompts)["test"]
    assert "every row of the test split is left out, so no held-out captions" in warning


def test_a_set_without_a_test_split_says_what_is_not_known(tmp_path):
    write_set(tmp_path / "one", [drawing(1, (80, 72))])
    prompts, (warning,) = dataset_prompts(tmp_path / "one", tmp_path / "work", SMALL)
    assert "one: there is no test split, so no held-out captions are drawn for" in warning
    assert not by_role(prompts)["test"]
    (tmp_path / "one" / "test").mkdir()
    (tmp_path / "one" / "test" / "metadata.jsonl").write_text("{broken")
    with pytest.raises(DatasetError, match="line 1|row 1"):
        dataset_prompts(tmp_path / "one", tmp_path / "work", SMALL)


def test_neutral_prompts_are_enough_and_different():
    (option,) = (one for one in options(GridConfig) if one.name == "neutral_prompts")
    assert option.maximum == len(NEUTRAL_PROMPTS) == len(set(NEUTRAL_PROMPTS))
    assert all(text == text.strip() and text for text in NEUTRAL_PROMPTS)


def test_general_prompts_have_other_seeds_than_any_neutral_one():
    neutral = [GridPrompt("an apple", "neutral", (3, 4)), GridPrompt("a boat", "neutral", (5, 9))]
    own = GridPrompt("a boat", "general", (77,))
    *first, apple, boat = with_general(neutral)
    assert first == neutral
    assert (apple.text, apple.role, boat.text, boat.role) == (
        *("an apple", "general"),
        *("a boat", "general"),
    )
    seeds = [*apple.seeds, *boat.seeds]
    assert len(set(seeds)) == 4
    assert not {3, 4, 5, 9} & set(seeds)
    # Of its own: whatever else is neutral, and the same where seeds are added.
    assert with_general([*neutral, own])[3:] == [apple]
    longer = [dataclasses.replace(neutral[0], seeds=(3, 4, 8))]
    assert with_general(longer)[1].seeds[:2] == apple.seeds
    others = [dataclasses.replace(neutral[0], seeds=(13, 14))]
    assert not set(with_general(others)[1].seeds) & set(apple.seeds)
    assert with_general([GridPrompt("a house", "test", (1,))]) == [
        GridPrompt("a house", "test", (1,))
    ]


def test_prompts_without_seeds_get_some_of_their_own():
    typed = [typed_prompt("a house"), typed_prompt("a boat", (7,)), typed_prompt("a cup")]
    assert [prompt.seeds for prompt in seeded(typed, 3, 2)] == [(3, 4), (7,), (5, 6)]


def test_a_typed_line_may_name_its_role():
    assert typed_prompt(" a house ", (1, 2)) == GridPrompt("a house", "test", (1, 2))
    assert typed_prompt("neutral: a boat", (1,)) == GridPrompt("a boat", "neutral", (1,))
    assert typed_prompt("a sign: open", (1,)) == GridPrompt("a sign: open", "test", (1,))


def test_files_of_every_kind_are_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(
        "\ufeffa house\r\n\r\n  a\u2028bowl \nneutral: a boat".encode()
    )
    assert read_prompts(tmp_path / "a.txt", (1, 2)) == [
        GridPrompt("a house", "test", (1, 2)),
        GridPrompt("a\u2028bowl", "test", (1, 2)),
        GridPrompt("a boat", "neutral", (1, 2)),
    ]
    (tmp_path / "a.jsonl").write_text(
        '{"text": "a house", "role": "train", "seeds": [4, 5, 4]}\n\n{"text": "그릇", "seeds": 6}\n'
        '{"text": "a boat"}\n{"text": "a cup", "seeds": 0}\n{"text": "a jug", "seeds": []}',
        encoding="utf-8",
    )
    assert read_prompts(tmp_path / "a.jsonl", (1,)) == [
        GridPrompt("a house", "train", (4, 5)),
        GridPrompt("그릇", "test", (6,)),
        GridPrompt("a boat", "test", (1,)),
        GridPrompt("a cup", "test", (0,)),
        GridPrompt("a jug", "test", (1,)),
    ]
    (tmp_path / "a.csv").write_text('seeds,text,role\n"4 5","a house, red",train\n,a boat,\n,,\n')
    assert read_prompts(tmp_path / "a.csv", (1,)) == [
        GridPrompt("a house, red", "train", (4, 5)),
        GridPrompt("a boat", "test", (1,)),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xlsx", b"", "prompts are read from .txt, .jsonl, .csv"),
        ("a.txt", b"\xff\xfe\x00", "cannot be read as UTF-8"),
        ("a.txt", b" \n\n", "holds no prompt"),
        ("a.jsonl", b'{"text": "a"}\n{', "a.jsonl, line 2: is not JSON"),
        ("a.jsonl", b"[]", "a.jsonl, line 1: is not JSON .it is no object"),
        ("a.jsonl", b'{"text": " "}', "a.jsonl, line 1: `text` is missing"),
        ("a.jsonl", b'{"text": "a", "role": "tset"}', "line 1: Unknown role 'tset'"),
        ("a.jsonl", b'{"text": "a", "seeds": ["x"]}', "`seeds` must be whole numbers"),
        ("a.jsonl", b'{"text": "a", "seeds": [1.5]}', "`seeds` must be whole numbers"),
        ("a.jsonl", b'{"text": "a", "seeds": true}', "`seeds` must be whole numbers"),
        ("a.jsonl", b'{"text": "a", "seeds": -1}', "whole numbers from 0 but got -1"),
        ("a.csv", b"prompt\na house\n", "has no column `text`"),
        ("a.csv", b"text,seeds\na house,1.5\n", "line 2: `seeds` must be whole numbers"),
    ],
)
def test_a_file_that_will_not_do_is_refused_in_a_sentence(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text)
    with pytest.raises(ConfigError, match=message):
        read_prompts(tmp_path / name, (1,))
