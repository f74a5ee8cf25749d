"""The file of an ablation: what it may say, what arms inherit, and every refusal by its words."""

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from scoft_training import ablation_file
from scoft_training.ablation_config import BASE_ARM
from scoft_training.ablation_file import read_ablation
from scoft_training.config import PRESETS
from scoft_training.errors import ConfigError
from scoft_training.grid_prompts import dataset_prompts

SMALL = """
folder = "out"
base = "miniature"
[[cultures]]
name = "korea"
dataset = "sets/korea"
[arms.ldm]
preset = "ldm"
[arms.mpc]
preset = "mpc"
"""


@pytest.fixture
def read(tmp_path):
    def read(text=SMALL, **options):
        path = tmp_path / "ablation.toml"
        path.write_text(text, encoding="utf-8")
        return read_ablation(path, **options)

    return read


def train(ablation, name):
    return next(arm.train for arm in ablation.arms if arm.name == name)


def test_a_small_file_is_enough(read, tmp_path):
    ablation = read()
    assert ablation.folder == tmp_path / "out"
    assert ablation.seeds == (0, 1, 2, 3, 4)
    assert [arm.name for arm in ablation.arms] == [BASE_ARM, "ldm", "mpc"]
    assert [arm.name for arm in ablation.trained_arms] == ["ldm", "mpc"]
    assert ablation.compare == (("ldm", "base"), ("mpc", "ldm"))
    assert ablation.cultures[0].dataset == tmp_path / "sets" / "korea"
    assert ablation.negatives is None
    for name in ("ldm", "mpc"):
        config = train(ablation, name)
        assert {key: getattr(config, key) for key in PRESETS[name]} == PRESETS[name]
    assert read(folder=tmp_path / "other").folder == tmp_path / "other"


def test_an_arm_takes_train_then_its_preset_then_its_own(read):
    ablation = read(
        SMALL
        + "[arms.weak]\npreset = 'mpc'\ncontrastive_weight = 0.01\n"
        + "[arms.plain]\n[train]\nsteps = 7\nrank = 3\nperceptual_weight = 2\n"
    )
    assert {arm.train.steps for arm in ablation.trained_arms} == {7}
    assert train(ablation, "mpc").perceptual_weight == PRESETS["mpc"]["perceptual_weight"]
    assert train(ablation, "plain").perceptual_weight == 2.0
    assert train(ablation, "plain").contrastive_weight == PRESETS["paper"]["contrastive_weight"]
    assert train(ablation, "weak").contrastive_weight == 0.01


def test_each_trial_has_its_own_seed_and_its_own_noise(read):
    ablation = read("seeds = [0, 3]\n" + SMALL + "[grid]\nseed = 5\npictures_per_caption = 10000\n")
    arm = ablation.trained_arms[0]
    assert [ablation.train_of(arm, seed).seed for seed in ablation.seeds] == [0, 3]
    first, second = (ablation.grid_of(seed).seed for seed in ablation.seeds)
    assert first == 5
    # Every picture of a role has a seed of its own: 10 captions of 10,000 pictures here.
    assert second - first >= ablation.grid.train_captions * ablation.grid.pictures_per_caption
    with pytest.raises(ConfigError, match="not trained"):
        ablation.train_of(ablation.arms[0], 0)


def test_the_base_may_have_a_name_and_is_always_measured(read):
    ablation = read(SMALL + "[arms.SD]\nlora = false\n[score]\nbaseline = 'SD'\n")
    assert [arm.name for arm in ablation.arms] == ["SD", "ldm", "mpc"]
    assert ablation.arms[0].train is None
    # Grids have one name for it.
    assert ablation.score.baseline == "base"


def test_toml_has_no_none_and_numbers_may_be_written_short(read):
    ablation = read(SMALL + "[train]\nmargin = 'none'\nlearning_rate = 1\n")
    assert train(ablation, "ldm").margin is None
    rate = train(ablation, "ldm").learning_rate
    assert (rate, type(rate)) == (1.0, float)


def test_drawings_are_as_large_as_what_is_trained_on_unless_said(read):
    text = SMALL + "[train]\nresolution = 128\ncrop = 'random'\n[negatives]\ncontrolnet = 'c'\n"
    ablation = read(text)
    assert ablation.draw.resolution == 128
    assert (ablation.negatives.config.resolution, ablation.negatives.config.crop) == (128, "random")
    assert read(text + "[draw]\nresolution = 256\n").draw.resolution == 256


def test_names_beside_the_file_are_files_and_others_stay_names(read, tmp_path):
    (tmp_path / "model.safetensors").touch()
    assert read(SMALL.replace('"miniature"', '"model.safetensors"')).base == str(
        tmp_path / "model.safetensors"
    )
    assert read(SMALL.replace('"miniature"', '"owner/name"')).base == "owner/name"
    culture = read('general = "coco"\n' + SMALL).cultures[0]
    assert culture.general == tmp_path / "coco"
    assert (culture.work, culture.negatives) == (None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("folder = ", "is no valid TOML"),
        (SMALL.replace('base = "miniature"', ""), "`base` is missing"),
        (SMALL.replace('folder = "out"', ""), "give --folder"),
        ("sedes = [1]\n" + SMALL, "Unknown key 'sedes'.*Did you mean 'seeds'"),
        ("seeds = []\n" + SMALL, "different whole numbers"),
        ("seeds = [1, 1]\n" + SMALL, "different whole numbers"),
        ("seeds = [true]\n" + SMALL, "different whole numbers"),
        ("seeds = [100000001]\n" + SMALL, "whole numbers from 0 to 100000000"),
        ("seeds = 3\n" + SMALL, r"written in brackets, say \[0, 1, 2\]"),
        ("device = 3\n" + SMALL, "`device` must be text in quotes but got 3"),
        ('allow_download = "no"\n' + SMALL, "true or false"),
        (SMALL + "[train]\nsteps = 0\n", r"\[train\]: `steps` must be between 1 and"),
        (SMALL + "[train]\nsteps = [1, 2]\n", r"\[train\]: `steps` must be of type int"),
        (SMALL + "[arms.x]\nsteps = 0\n", r"\[arms.x\]: `steps` must be between 1 and"),
        (SMALL + "[train]\nstep = 3\n", r"\[train\]: .*Did you mean 'steps'"),
        (SMALL + "[train]\npreset = 'mcp'\n", r"\[train\]: .*Did you mean 'm"),
        (SMALL + "seeds = [0]\n", r"\[arms.mpc\]: `seeds` stands at the top, above the first"),
        (SMALL.replace("dataset =", "seeds = [0]\ndataset ="), "`seeds` stands at the top"),
        (SMALL + "[draw]\nbatch_size = 2\n", r"`batch_size` is an option of \[train\], \[grid\]"),
        ("steps = 3\n" + SMALL, r"the top: `steps` is an option of \[train\], not here"),
        (SMALL + "[arms.mpc-0.05]\npreset = 'mpc'\n", r"in quotes: \[arms.\"mpc-0.05\"\]"),
        ("arms = ['ldm']\n" + SMALL.partition("[arms")[0], r"must be sections, one an arm"),
        (SMALL + "[train]\nseed = 3\n", r"\[train\]: `seed` is each trial's own"),
        (SMALL + "[train]\nldm_weight = 0.5\n", r"\[train\]: `ldm_weight` has no effect"),
        (SMALL + "[arms.x]\npreset = 'mcp'\n", r"\[arms.x\]: Unknown preset 'mcp'"),
        (SMALL + "[arms.x]\ngradient_step = 'frist'\n", "Did you mean 'first'"),
        (SMALL + "[arms.x]\nlora = 0\n", "true or false"),
        (SMALL + "[arms.x]\nlora = false\nsteps = 3\n", "Take one of them away"),
        (SMALL + "[arms.x]\nlora = false\n[arms.y]\nlora = false\n", "the same model"),
        (SMALL + "[arms.base]\npreset = 'm'\n", "the name of the base"),
        (SMALL + "[arms.'a/b']\npreset = 'm'\n", "'a/b' is no name"),
        (SMALL + "[arms.LDM]\npreset = 'm'\n", "is there twice"),
        (SMALL.partition("[arms")[0], "no arm trains"),
        (SMALL.replace("[[cultures]]", "[cultures]"), r"written as \[\[cultures\]\]"),
        (SMALL.replace('name = "korea"', ""), "`name` or `dataset` is missing"),
        (SMALL.replace("name =", "nane ="), "Did you mean 'name'"),
        ('compare = [["mpc"]]\n' + SMALL, "pairs of arms"),
        ('compare = [["mpc", "mp"]]\n' + SMALL, "Unknown arm 'mp'"),
        ('compare = [["mpc", "mpc"]]\n' + SMALL, "'mpc' is compared with itself"),
        (SMALL.replace('"sets/korea"', '"C:\\Users\\me"'), "single ones if they hold a backslash"),
        (SMALL.replace('"sets/korea"', '"C:\\new"'), "`dataset` holds a tab, a new line"),
        (SMALL + "[arms.sd]\nlora = False\n", "true and false are written small"),
        (SMALL + "[draw]\nresolution = 100\n", r"\[draw\]: `resolution` must be divisible by 8"),
        (SMALL + "[grid]\npictures = 3\n", r"\[grid\]: Unknown key 'pictures'"),
        (SMALL + "[score]\nbaseline = 'lmd'\n", "Did you mean 'ldm'"),
        (SMALL + "[negatives]\nsuffix = 'x'\n", "`controlnet` is missing"),
        ("grid = 3\n" + SMALL, r"must be a section: \[grid\]"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_file_and_place(read, text, words):
    with pytest.raises(ConfigError, match=words) as refused:
        read(text)
    assert "ablation.toml" in str(refused.value)
    assert str(refused.value).endswith(("?", "."))


def test_a_file_in_another_encoding_is_to_be_saved_as_utf_8(tmp_path):
    path = tmp_path / "ablation.toml"
    path.write_bytes(SMALL.encode("utf-16"))
    with pytest.raises(ConfigError, match="Save it as UTF-8"):
        read_ablation(path)
    path.write_bytes(SMALL.replace("korea", "한국").encode("utf-8-sig"))
    assert read_ablation(path).cultures[0].name == "한국"


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_ablation(tmp_path / "none.toml")


def test_the_example_in_the_documents_is_read_and_shows_every_key():
    example = Path(__file__).parent.parent / "docs" / "ablation.toml"
    ablation = read_ablation(example)
    assert ablation.arms[0].name == "sd"
    text = example.read_text(encoding="utf-8")
    for key in (
        *ablation_file._TOP,
        *ablation_file._CULTURE,
        *ablation_file._NEGATIVES_FILES,
    ):
        assert f"{key} =" in text or f"[{key}" in text, key


def test_the_example_of_figure_7_compares_backbones_and_steps_by_200_pictures(tmp_path):
    ablation = read_ablation(Path(__file__).parent.parent / "docs" / "figure7.toml")
    settings = {
        (arm.train.perceptual_backbone, arm.train.gradient_step) for arm in ablation.trained_arms
    }
    assert settings == {
        *((name, "first") for name in ("clipconv", "dreamsim", "dinov2", "blip2")),
        *(("clipconv", step) for step in ("last", "random")),
    }
    # All else is equal.
    alike = {
        dataclasses.replace(arm.train, perceptual_backbone="clipconv", gradient_step="first")
        for arm in ablation.trained_arms
    }
    (config,) = alike
    assert config.uses_negatives
    for name, count in (("train", 30), ("test", 12)):
        rows = [{"file_name": f"{at}.png", "text": f"{name} {at}"} for at in range(count)]
        (tmp_path / name).mkdir()
        for at in range(count):
            picture = Image.new("RGB", (64, 64), (at, len(name), 0))
            picture.save(tmp_path / name / f"{at}.png")
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name / "metadata.jsonl").write_text(lines)
    prompts, _ = dataset_prompts(tmp_path, tmp_path / "work", ablation.grid_of(0))
    assert {prompt.role for prompt in prompts} == {"test"}
    assert sum(len(prompt.seeds) for prompt in prompts) == 200


def test_configs_are_frozen(read):
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().base = "other"
