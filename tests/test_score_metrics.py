"""From vectors to values: the right pictures, numbers that are known by hand, and their words."""

import dataclasses
import math

import pytest
import torch

from scoft_training.config import ScoreConfig
from scoft_training.grids import Grid, GridModel, GridPicture, GridPrompt
from scoft_training.intervals import kid_interval
from scoft_training.picture_folders import PictureFile
from scoft_training.score_features import Vectors
from scoft_training.score_kid import kid_values
from scoft_training.score_metrics import clip_values, diversity_values, similarity_values
from scoft_training.score_sets import ComparedPictures
from scoft_training.score_values import Setting


class Network:
    """Stands for a network: only its words are asked for here, and its texts' vectors."""

    convention = "hand: made by hand."
    context_length = 4

    def __init__(self, name="hand"):
        self.name = name

    def cut(self, texts):
        return [index for index, text in enumerate(texts) if len(text.split()) > 4]

    def embed_text(self, texts):
        return torch.stack([ANGLES[int(text.split()[-1])] for text in texts])


def at(degrees):
    return torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])


ANGLES = {degrees: at(degrees) for degrees in range(0, 360, 10)}


def scored(tmp_path, prompts, vectors, *, models=("base", "LoRA"), compared=None, **options):
    """A setting whose pictures' vectors are `vectors[model, prompt, seed]`."""
    known = [GridModel(name, None if name == "base" else "ab") for name in models]
    pictures = tuple(
        GridPicture(*cell, tmp_path / "p.png", "-".join(map(str, cell))) for cell in vectors
    )
    grid = Grid(tmp_path, "b", "d", {}, tuple(prompts), tuple(known), pictures)
    setting = Setting(grid, tuple(known), compared or ComparedPictures(), ScoreConfig(**options))
    files = [PictureFile(one.path, one.sha256) for one in pictures]
    rows = list(vectors.values())
    compared = setting.compared
    for file in (*compared.reference, *compared.training, *compared.general):
        if file.sha256 in REAL:
            files.append(file)
            rows.append(REAL[file.sha256])
    filled = Vectors()
    filled.fill(files, torch.stack(rows))
    return setting, filled


REAL = {"one": at(0), "two": at(90), "three": at(180)}


def files(tmp_path, *names):
    return tuple(PictureFile(tmp_path / f"{name}.jpg", name) for name in names)


def test_likeness_is_taken_to_each_captions_own_picture(tmp_path):
    prompts = [
        GridPrompt("caption 0", "train", (1, 2), "one"),
        GridPrompt("caption 1", "train", (1, 2), "two"),
        GridPrompt("of a picture that is gone", "train", (1, 2), "gone"),
        GridPrompt("without a picture", "train", (1, 2)),
    ]
    degrees = {
        "base": [(60, 60), (30, 30), (0, 0), (0, 0)],
        "LoRA": [(0, 60), (90, 90), (0, 0), (0, 0)],
    }
    vectors = {
        (model, prompt, seed): at(pair[seed - 1])
        for model, pairs in degrees.items()
        for prompt, pair in enumerate(pairs)
        for seed in (1, 2)
    }
    compared = ComparedPictures(training=files(tmp_path, "one", "two", "three"))
    setting, filled = scored(tmp_path, prompts, vectors, compared=compared)

    found = similarity_values(setting, Network("dreamsim"), filled, with_nearest=True)

    base, lora = (found.values[model][0] for model in ("base", "LoRA"))
    assert base.key == "similarity_dreamsim"
    assert base.title == "DreamSim likeness to training pictures"
    assert base.per_caption == pytest.approx((0.5, 0.5))
    assert lora.per_caption == pytest.approx((0.75, 1.0))
    assert lora.value == pytest.approx(0.875)
    assert lora.forms == pytest.approx({"cosine": 0.875})
    # Of the captions' values, as a sample's: 0.125 to either side, over n - 1 = 1.
    assert lora.std == pytest.approx(math.sqrt(2) * 0.125)
    assert (lora.prompts, lora.captions, lora.pictures, lora.reference_pictures) == (
        (0, 1),
        2,
        4,
        2,
    )
    assert lora.better == "lower"
    # t = 12.706 at one degree of freedom; the standard error of (0.75, 1) is 0.125.
    assert lora.value - lora.low == pytest.approx(12.7062 * 0.125, rel=1e-4)
    # No cosine is above 1, so the true mean is not, either.
    assert lora.high == 1
    # The pairs' differences are 0.25 and 0.5.
    (difference,) = found.differences
    assert (difference.model, difference.baseline) == ("LoRA", "base")
    assert difference.value == pytest.approx(0.375)
    assert difference.high - difference.value == pytest.approx(12.7062 * 0.125, rel=1e-4)


def test_the_nearest_training_picture_is_found_for_each_caption(tmp_path):
    prompts = [
        GridPrompt("caption 0", "train", (1, 2), "one"),
        GridPrompt("caption 1", "train", (1, 2), "two"),
    ]
    vectors = {
        ("base", 0, 1): at(40),
        ("base", 0, 2): at(100),  # nearest to two, which is not its own: 10 degrees
        ("base", 1, 1): at(90),
        ("base", 1, 2): at(50),
    }
    compared = ComparedPictures(training=files(tmp_path, "one", "two", "three"))
    setting, filled = scored(tmp_path, prompts, vectors, models=("base",), compared=compared)

    first, second = similarity_values(setting, Network(), filled, with_nearest=True).nearest

    assert (first.caption, first.training_sha256, first.own) == ("caption 1", "two", True)
    assert first.cosine == pytest.approx(1)
    assert (second.caption, second.training_sha256, second.own) == ("caption 0", "two", False)
    assert second.cosine == pytest.approx(math.cos(math.radians(10)))
    assert (second.picture, second.training_file) == ("p.png", "two.jpg")
    assert not similarity_values(setting, Network(), filled, with_nearest=False).nearest


def test_clip_score_is_taken_over_held_out_captions_and_cut_ones_are_told(tmp_path):
    prompts = [
        GridPrompt("a train caption 0", "train", (1,)),
        GridPrompt("held out 0", "test", (1, 2)),
        GridPrompt("held out and much too long 90", "test", (1,)),
    ]
    vectors = {
        ("base", 0, 1): at(0),
        ("base", 1, 1): at(60),
        ("base", 1, 2): at(0),
        ("base", 2, 1): at(270),  # opposite: clamped at 0 by Hessel's form
    }
    setting, filled = scored(tmp_path, prompts, vectors, models=("base",))

    found = clip_values(setting, Network(), filled)

    (score,) = found.values["base"]
    assert score.value == pytest.approx((2.5 * 0.5 + 0) / 2)
    assert score.per_caption == pytest.approx((1.25, 0))
    assert (score.low, score.high) == (0, 2.5)
    assert score.forms == pytest.approx({"cosine": -0.25, "2.5 x": 0.625, "100 x": 0})
    assert score.prompts == (1, 2)
    assert found.warnings == [
        "CLIP Score: 1 of 2 captions are longer than 4 tokens, and hand does not see their ends; "
        "the first is 'held out and much too long 90'."
    ]


def test_clip_score_falls_back_on_training_captions(tmp_path):
    prompts = [GridPrompt("a train caption 0", "train", (1,))]
    setting, filled = scored(tmp_path, prompts, {("base", 0, 1): at(0)}, models=("base",))

    (score,) = clip_values(setting, Network(), filled).values["base"]

    assert score.value == pytest.approx(2.5)
    assert score.low is None
    assert score.std is None


def test_diversity_takes_the_captions_that_were_drawn_more_than_once(tmp_path):
    prompts = [
        GridPrompt("caption 0", "test", (1, 2, 3)),
        GridPrompt("caption 1", "test", (1,)),
        GridPrompt("caption 2", "test", (1, 2)),
    ]
    vectors = {
        ("base", 0, 1): at(0),
        ("base", 0, 2): at(90),
        ("base", 0, 3): at(0),
        ("base", 1, 1): at(0),
        ("base", 2, 1): at(0),
        ("base", 2, 2): at(0),
    }
    setting, filled = scored(tmp_path, prompts, vectors, models=("base",))

    values = {one.key: one for one in diversity_values(setting, Network(), filled).values["base"]}

    assert set(values) == {"diversity_test", "vendi_test", "vendi_all"}
    # Two pictures of each of the captions 0 and 2: at a right angle, and the same.
    assert values["diversity_test"].per_caption == pytest.approx((1, 0))
    assert values["vendi_test"].per_caption == pytest.approx((2, 1))
    assert values["vendi_test"].unit == "of 2 pictures"
    assert (values["diversity_test"].low, values["diversity_test"].high) == (0, 2)
    assert (values["vendi_test"].low, values["vendi_test"].high) == (1, 2)
    # One picture of each caption, all the same.
    assert values["vendi_all"].value == pytest.approx(1)
    assert (values["vendi_all"].pictures, values["vendi_all"].low) == (3, None)
    assert values["vendi_all"].title == "Vendi score across held-out captions"
    assert "over all held-out captions, 1 of each" in values["vendi_all"].convention


def kid_setting(tmp_path, **options):
    prompts = [GridPrompt(f"caption {index}", "test", (1,)) for index in range(4)]
    vectors = {("base", index, 1): at(20 * index) for index in range(4)}
    vectors |= {("LoRA", index, 1): at(200 + 20 * index) for index in range(4)}
    compared = ComparedPictures(reference=files(tmp_path, "one", "two", "three"))
    return scored(tmp_path, prompts, vectors, compared=compared, **options)


def slow_kid(x, y):
    """MMD^2 with plain loops."""

    def kernel(a, b):
        return (float(a.double() @ b.double()) / len(a) + 1) ** 3

    def within(rows):
        pairs = [kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
        return sum(pairs) / len(pairs)

    across = [kernel(a, b) for a in x for b in y]
    return within(x) + within(y) - 2 * sum(across) / len(across)


def test_kid_is_taken_between_drawings_and_held_out_pictures(tmp_path):
    setting, filled = kid_setting(tmp_path)

    found = kid_values(setting, Network(), filled)

    base = [at(20 * index) for index in range(4)]
    lora = [at(200 + 20 * index) for index in range(4)]
    real = list(REAL.values())
    (value,) = found.values["base"]
    assert value.key == "kid_reference"
    assert value.value == pytest.approx(1000 * slow_kid(base, real), abs=1e-3)
    assert value.forms == pytest.approx({"raw": value.value / 1000, "x 1000": value.value})
    assert value.low < value.value < value.high
    assert (value.pictures, value.reference_pictures, value.std) == (4, 3, None)
    assert value.note.startswith("KID of 4 generated and 3 reference pictures")
    assert found.warnings == [f"KID to held-out pictures: {value.note}"]
    (difference,) = found.differences
    expected = 1000 * (slow_kid(lora, real) - slow_kid(base, real))
    assert difference.value == pytest.approx(expected, abs=1e-3)
    assert difference.low < difference.value < difference.high


def test_drawings_of_one_caption_are_left_out_together(tmp_path):
    prompts = [GridPrompt(f"caption {index}", "test", (1, 2)) for index in range(4)]
    vectors = {
        ("base", index, seed): at(50 * index + 10 * seed) for index in range(4) for seed in (1, 2)
    }
    compared = ComparedPictures(reference=files(tmp_path, "one", "two", "three"))
    setting, filled = scored(tmp_path, prompts, vectors, models=("base",), compared=compared)

    (value,) = kid_values(setting, Network(), filled).values["base"]

    drawn, real = torch.stack(list(vectors.values())), torch.stack(list(REAL.values()))
    expected = kid_interval(drawn, real, groups=[0, 0, 1, 1, 2, 2, 3, 3]).scaled(1000)
    assert (value.low, value.high) == pytest.approx((expected.low, expected.high))
    alone = kid_interval(drawn, real).scaled(1000)
    assert value.low != pytest.approx(alone.low)


def test_pictures_of_the_held_out_captions_themselves_are_told(tmp_path):
    plain, filled = kid_setting(tmp_path)
    prompts = [
        GridPrompt(f"caption {index}", "test", (1,), "one" if index else None) for index in range(4)
    ]
    own = dataclasses.replace(plain, grid=dataclasses.replace(plain.grid, prompts=tuple(prompts)))

    said = "among the held-out pictures are those whose captions were drawn for"
    assert said in kid_values(own, Network(), filled).values["base"][0].convention
    assert said not in kid_values(plain, Network(), filled).values["base"][0].convention


def neutral_setting(tmp_path, drawn, general, *, texts):
    """Two neutral prompts a, b ... of one picture each, and general pictures drawn for `texts`."""
    prompts = [GridPrompt(letter, "neutral", (1,)) for letter in "abcdef"[: len(drawn)]]
    vectors = {
        (model, index, 1): at(degrees + (0 if model == "base" else 35))
        for model in ("base", "LoRA")
        for index, degrees in enumerate(drawn)
    }
    names = [f"general {index}" for index in range(len(general))]
    compared = ComparedPictures(general=files(tmp_path, *names), general_prompts=tuple(texts))
    setting, filled = scored(tmp_path, prompts, vectors)
    setting = dataclasses.replace(setting, compared=compared)
    known = [PictureFile(one.path, one.sha256) for one in setting.grid.pictures]
    rows = [*vectors.values(), *(at(degrees) for degrees in general)]
    filled.fill([*known, *compared.general], torch.stack(rows))
    return setting, filled


def test_pairs_of_one_prompt_are_left_out_where_the_base_drew_for_the_same_prompts(tmp_path):
    drawn, general = [0, 40, 100, 160], [10, 30, 110, 300]
    setting, filled = neutral_setting(tmp_path, drawn, general, texts=["a", "b", "c", "another"])

    (value,) = kid_values(setting, Network(), filled).values["base"]

    def kernel(one, other):
        return (float(at(one).double() @ at(other).double()) / 2 + 1) ** 3

    def mean(pairs):
        values = [kernel(one, other) for one, other in pairs]
        return sum(values) / len(values)

    # The first three general pictures are of the prompts a, b, c; the last is of no drawn prompt.
    across = [
        (one, other)
        for i, one in enumerate(drawn)
        for j, other in enumerate(general)
        if i != j or i == 3
    ]
    within = [
        mean([(one, other) for one in of for other in of if one != other])
        for of in (drawn, general)
    ]
    assert value.value == pytest.approx(1000 * (sum(within) - 2 * mean(across)), abs=1e-3)
    assert value.low < value.value < value.high
    assert "pairs of pictures of one prompt are left out" in value.convention
    (difference,) = kid_values(setting, Network(), filled).differences
    (other,) = kid_values(setting, Network(), filled).values["LoRA"]
    assert difference.value == pytest.approx(other.value - value.value, abs=1e-6)

    folder = dataclasses.replace(setting.compared, general_prompts=())
    brought = dataclasses.replace(setting, compared=folder)
    (plain,) = kid_values(brought, Network(), filled).values["base"]
    assert plain.value == pytest.approx(
        1000 * slow_kid([at(one) for one in drawn], [at(one) for one in general]), abs=1e-3
    )
    assert "of one prompt" not in plain.convention


def test_one_prompt_is_too_few_where_pairs_of_one_prompt_are_left_out(tmp_path):
    setting, filled = neutral_setting(tmp_path, [0], [10], texts=["a"])

    found = kid_values(setting, Network(), filled)

    assert not found.values
    assert (
        "it needs 2 prompts of either kind but there are 1 drawn and 1 others"
        in (found.warnings[0])
    )


def test_kid_over_subsets_says_so_and_has_their_spread(tmp_path):
    setting, filled = kid_setting(tmp_path, kid_subset_size=2, kid_subsets=7)

    (value,) = kid_values(setting, Network(), filled).values["base"]

    assert value.std > 0
    assert "mean of 7 subsets of 2 pictures" in value.convention
    assert "differences are those of the whole sets" in value.convention
    # Its interval is around it, wider than the whole sets' by what the choice of subsets adds:
    # t = 2.4469 at 6 degrees of freedom.
    whole, _ = kid_setting(tmp_path)
    (of_all,) = kid_values(whole, Network(), filled).values["base"]
    assert value.value != of_all.value
    assert (value.low + value.high) / 2 == pytest.approx(value.value)
    choice = 2.4469 * value.std / math.sqrt(6)
    reach = math.hypot((of_all.high - of_all.low) / 2, choice)
    assert value.high - value.value == pytest.approx(reach, rel=1e-4)
    # One subset has no spread to tell it by.
    one, _ = kid_setting(tmp_path, kid_subset_size=2, kid_subsets=1)
    assert kid_values(one, Network(), filled).values["base"][0].low is None


def test_a_subset_holds_pictures_of_two_prompts_where_those_of_one_do_not_count(tmp_path):
    prompts = [GridPrompt(letter, "neutral", (1, 2)) for letter in "abc"]
    vectors = {
        ("base", index, seed): at(50 * index + 10 * seed) for index in range(3) for seed in (1, 2)
    }
    compared = ComparedPictures(
        general=files(tmp_path, "one", "two", "three"), general_prompts=("a", "b", "c")
    )
    options = {"compared": compared, "models": ("base",)}
    setting, filled = scored(tmp_path, prompts, vectors, kid_subset_size=2, **options)

    found = kid_values(setting, Network(), filled)

    # Two drawings may be of one prompt, so that no pair would be left.
    assert "`kid_subset_size` 2 must be from 3 to 3" in found.warnings[0]
    (value,) = found.values["base"]
    assert "whole sets" in value.convention
    setting, _ = scored(tmp_path, prompts, vectors, kid_subset_size=3, **options)
    (value,) = kid_values(setting, Network(), filled).values["base"]
    assert "subsets of 3 pictures" in value.convention


@pytest.mark.parametrize("size", [1, 4])
def test_a_subset_that_the_sets_cannot_fill_gives_way_to_the_whole_sets(tmp_path, size):
    whole, filled = kid_setting(tmp_path)
    setting, _ = kid_setting(tmp_path, kid_subset_size=size)

    found = kid_values(setting, Network(), filled)

    assert f"`kid_subset_size` {size} must be from 2 to 3" in found.warnings[0]
    expected = kid_values(whole, Network(), filled).values["base"][0].value
    assert found.values["base"][0].value == expected


def test_fid_comes_only_when_asked_for_and_with_its_warning(tmp_path):
    plain, filled = kid_setting(tmp_path)
    setting, _ = kid_setting(tmp_path, fid=True)

    assert {one.key for one in kid_values(plain, Network(), filled).values["base"]} == {
        "kid_reference"
    }
    found = kid_values(setting, Network(), filled)
    value = found.values["base"][1]
    assert value.key == "fid_reference"
    assert value.value > 0
    assert any(one.baseline == "base" and one.key == "fid_reference" for one in found.differences)


def test_differences_of_kid_go_to_the_baseline_and_between_all_others(tmp_path):
    names = ["base", "one", "two"]
    prompts = [GridPrompt(f"caption {index}", "test", (1,)) for index in range(3)]
    vectors = {
        (name, index, 1): at(20 * index + 30 * place)
        for place, name in enumerate(names)
        for index in range(3)
    }
    compared = ComparedPictures(reference=files(tmp_path, "one", "two", "three"))

    def pairs(**options):
        setting, filled = scored(
            tmp_path, prompts, vectors, models=names, compared=compared, **options
        )
        found = kid_values(setting, Network(), filled)
        return [(one.model, one.baseline) for one in found.differences]

    assert pairs() == [("one", "base"), ("two", "base"), ("two", "one")]
    assert pairs(baseline="two") == [("base", "two"), ("one", "two"), ("one", "base")]
    assert pairs(baseline="three") == [("one", "base"), ("two", "base"), ("two", "one")]


def test_too_few_pictures_for_an_interval_still_give_a_value(tmp_path):
    prompts = [GridPrompt("caption 0", "test", (1, 2))]
    vectors = {
        (model, 0, seed): at(20 * seed + add)
        for model, add in (("base", 0), ("LoRA", 50))
        for seed in (1, 2)
    }
    compared = ComparedPictures(reference=files(tmp_path, "one", "two"))
    setting, filled = scored(tmp_path, prompts, vectors, compared=compared)

    found = kid_values(setting, Network(), filled)

    assert found.values["base"][0].low is None
    (difference,) = found.differences
    values = [found.values[name][0].value for name in ("LoRA", "base")]
    assert difference.value == pytest.approx(values[0] - values[1])
    assert difference.low is None


def test_one_picture_is_too_few_for_kid(tmp_path):
    prompts = [GridPrompt("caption 0", "test", (1,))]
    compared = ComparedPictures(reference=files(tmp_path, "one", "two"))
    setting, filled = scored(
        tmp_path, prompts, {("base", 0, 1): at(0)}, models=("base",), compared=compared
    )

    found = kid_values(setting, Network(), filled)

    assert not found.values
    assert found.warnings == [
        "KID to held-out pictures is not measured: it needs 2 pictures of either kind but there "
        "are 1 drawn and 2 others. Draw or bring more."
    ]
