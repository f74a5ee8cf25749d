"""What each network is for, which pictures it needs, and what cannot be answered."""

import pytest

from scoft_training.config import ScoreConfig
from scoft_training.grids import Grid, GridModel, GridPicture, GridPrompt
from scoft_training.picture_folders import PictureFile
from scoft_training.score_plan import lacks, uses
from scoft_training.score_sets import ComparedPictures
from scoft_training.score_values import Setting

PROMPTS = (
    GridPrompt("a train caption", "train", (1, 2), "one"),
    GridPrompt("a train caption of a lost picture", "train", (1, 2), "lost"),
    GridPrompt("a held-out caption", "test", (1,)),
    GridPrompt("a red cup", "neutral", (1,)),
)


def made(tmp_path, prompts=PROMPTS, *, reference=("r",), training=("one", "two"), general=("g",)):
    def files(names):
        return tuple(PictureFile(tmp_path / name, name) for name in names)

    model = GridModel("base")
    pictures = tuple(
        GridPicture("base", index, seed, tmp_path / "p", f"{prompt.role}{index}-{seed}")
        for index, prompt in enumerate(prompts)
        for seed in prompt.seeds
    )
    grid = Grid(tmp_path, "b", "d", {}, tuple(prompts), (model,), pictures)
    compared = ComparedPictures(files(reference), files(training), files(general))

    def setting(**options):
        return Setting(grid, (model,), compared, ScoreConfig(**options))

    return setting


def names(use):
    return sorted({file.sha256 for file in use.files()})


def test_a_network_is_asked_once_for_all_it_is_for(tmp_path):
    setting = made(tmp_path)(
        kid_network="dreamsim",
        clip_network="clip_vit_b32",
        similarity_networks="dino_vits16, dreamsim,dino_vits16",
        diversity_network="dreamsim",
    )

    found = uses(setting)

    assert {name: [use.title for use in of] for name, of in found.items()} == {
        "dreamsim": ["KID", "DreamSim likeness", "DIV and Vendi score"],
        "clip_vit_b32": ["CLIP Score"],
        "dino_vits16": ["DINO likeness"],
    }


def test_none_leaves_a_measure_out(tmp_path):
    setting = made(tmp_path)(
        kid_network="none", clip_network="", similarity_networks="none", diversity_network="none"
    )

    assert uses(setting) == {}


def test_each_measure_needs_its_own_pictures(tmp_path):
    setting = made(tmp_path)(similarity_networks="dino_vits16,dinov2")

    found = {name: of[0] for name, of in uses(setting).items()}

    assert names(found["inception"]) == ["g", "neutral3-1", "r", "test2-1"]
    assert names(found["clip_vit_b32"]) == ["test2-1"]
    # The first likeness also looks for the nearest picture, which may be any of them.
    assert names(found["dino_vits16"]) == ["one", "train0-1", "train0-2", "two"]
    assert names(found["dinov2"]) == ["one", "train0-1", "train0-2"]
    assert names(found["dreamsim"]) == [
        "test2-1",
        *("train0-1", "train0-2", "train1-1", "train1-2"),
    ]


def test_nothing_is_embedded_that_nothing_is_compared_with(tmp_path):
    setting = made(tmp_path, reference=(), training=(), general=())()

    found = {name: of[0] for name, of in uses(setting).items()}

    assert names(found["inception"]) == []
    assert names(found["dino_vits16"]) == []


def test_a_lost_training_picture_is_told(tmp_path):
    (warning,) = lacks(made(tmp_path)(), tmp_path)

    assert warning.startswith("1 of 2 training captions have no picture in the dataset's rows")
    assert "'a train caption of a lost picture'" in warning


def test_where_all_training_pictures_are_lost_nothing_is_said_to_be_measured(tmp_path):
    warnings = list(lacks(made(tmp_path, training=())(), tmp_path))

    assert warnings == [
        "Whether the models copy is not measured: none of the 2 training captions has its picture "
        "in the dataset's rows. Pass the dataset that the grid was drawn for."
    ]


@pytest.mark.parametrize(
    ("left_out", "sentence"),
    [
        ({"reference": ()}, "know the culture is not measured: there are no held-out pictures"),
        ({"prompts": PROMPTS[:2]}, "know the culture is not measured: the grid holds no pictures"),
        ({"general": ()}, "forgot the rest is not measured: there is no folder of general"),
        ({"prompts": PROMPTS[:3]}, "forgot the rest is not measured: the grid holds no pictures"),
        ({"prompts": PROMPTS[2:]}, "copy is not measured: the grid holds no pictures"),
    ],
)
def test_a_question_without_pictures_is_told_with_what_to_do(tmp_path, left_out, sentence):
    warnings = list(lacks(made(tmp_path, **left_out)(), tmp_path))

    (found,) = (warning for warning in warnings if sentence in warning)
    assert found.rstrip().endswith(".")
    assert found.count(".") >= 2


def test_without_a_dataset_nobody_knows_the_training_pictures(tmp_path):
    warnings = list(lacks(made(tmp_path, training=())(), None))

    assert warnings == [
        "Whether the models copy is not measured: their training pictures are not known. Pass the "
        "dataset that the grid was drawn for."
    ]
