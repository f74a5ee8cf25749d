"""Options: each stands once, has a range, and is refused in a sentence when out of it."""

import argparse
import dataclasses

import pytest

from scoft_training.config import (
    PRESETS,
    CaptionConfig,
    DownloadConfig,
    GenerateConfig,
    GridConfig,
    MemoryConfig,
    NegativesConfig,
    ReportConfig,
    TrainConfig,
    named_after_values,
    preset_values,
)
from scoft_training.errors import ConfigError
from scoft_training.flags import add_flags, config_from_flags
from scoft_training.options import options, validate
from scoft_training.survey_config import SurveyAnalysisConfig, SurveyConfig

CONFIGS = [
    TrainConfig,
    MemoryConfig,
    GenerateConfig,
    GridConfig,
    NegativesConfig,
    CaptionConfig,
    DownloadConfig,
    ReportConfig,
    SurveyAnalysisConfig,
    SurveyConfig,
]


@pytest.mark.parametrize("config_class", CONFIGS)
def test_defaults_are_valid_and_every_option_is_explained(config_class):
    validate(config_class())
    for option in options(config_class):
        assert option.help.endswith((".", ")")), option.name
        if option.kind in (int, float):
            assert option.minimum is not None, option.name
            assert option.maximum is not None, option.name


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid_and_set_only_what_exists(preset):
    config = TrainConfig(**preset_values(preset), preset=preset)
    validate(config)
    assert named_after_values(config).preset == preset


def weights(preset):
    config = TrainConfig(**preset_values(preset))
    return (
        config.ldm_weight,
        config.memorization_weight,
        config.perceptual_weight,
        config.contrastive_weight,
    )


def test_presets_weigh_the_losses_as_the_method_says():
    assert weights("ldm") == (1.0, 0.0, 0.0, 0.0)
    assert weights("m") == (0.7, 0.3, 0.0, 0.0)
    assert weights("mp") == (0.7, 0.3, 0.05, 0.0)
    assert weights("mpc") == weights("paper") == (0.7, 0.3, 0.05, 0.05)
    assert weights("authors-code") == (0.7, 0.3, 0.0, 0.05)
    authors = TrainConfig(**preset_values("authors-code"))
    assert authors.margin is None
    assert authors.perceptual_backbone == "clip_vit_b32"
    assert (authors.augmentations, authors.lpips_weight) == (10, 0.01)
    assert (authors.optimizer, authors.lr_scheduler) == ("adamw", "cosine")
    assert authors.global_batch_size == 4
    assert TrainConfig().steps == 3000


def test_a_preset_whose_values_were_changed_is_custom():
    config = TrainConfig(**preset_values("m"), preset="m")
    assert named_after_values(dataclasses.replace(config, steps=5)).preset == "m"
    changed = dataclasses.replace(config, memorization_weight=0.4)
    assert named_after_values(changed).preset == "custom"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"perceptual_weight": -0.1}, "`perceptual_weight` must not be negative but got -0.1: a"),
        ({"resolution": 500}, "divisible by 8.* but got 500. Use 496 or 504"),
        ({"rank": 0}, "`rank` must be between 1 and 1024 but got 0"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be a finite number but got nan"),
        ({"steps": "many"}, "`steps` must be of type int but got 'many'"),
        ({"steps": True}, "`steps` must be of type int but got True"),
        ({"gradient_step": "frist"}, "Unknown value for `gradient_step` 'frist'.*mean 'first'"),
        ({"negatives_lambda": -1.0}, "`negatives_lambda` must be between 0.0 and 10.0"),
        ({"guidance_scale": 0.5}, "`guidance_scale` must be between 1.0 and 30.0 but got 0.5"),
        (
            {
                "ldm_weight": 0.0,
                "memorization_weight": 0.0,
                "perceptual_weight": 0.0,
                "contrastive_weight": 0.0,
            },
            "All loss weights are 0, so nothing would be learned",
        ),
    ],
)
def test_a_bad_value_is_refused_in_a_sentence(values, message):
    with pytest.raises(ConfigError, match=message):
        validate(dataclasses.replace(TrainConfig(), **values))


def test_an_unknown_preset_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"Unknown preset 'papper'.*Did you mean 'paper'\?"):
        preset_values("papper")


def test_only_what_changes_the_weights_enters_the_identity():
    plain = TrainConfig().identity()
    same = dataclasses.replace(
        TrainConfig(), preset="mpc", save_every=7, keep_checkpoints=5, validate_every=3
    )
    assert same.identity() == plain
    for values in ({"seed": 1}, {"steps": 1}, {"margin": None}, {"alpha": 3.0}, {"crop": "random"}):
        assert dataclasses.replace(TrainConfig(), **values).identity() != plain


def test_micro_batches_and_the_meaning_of_alpha_zero_do_not_count():
    one = TrainConfig(batch_size=4, gradient_accumulation_steps=1, alpha=0.0, rank=8)
    other = TrainConfig(batch_size=2, gradient_accumulation_steps=2, alpha=8.0, rank=8)
    assert one.identity() == other.identity()
    assert TrainConfig(batch_size=5).identity() != one.identity()


def from_flags(config_class, *words):
    parser = argparse.ArgumentParser()
    add_flags(parser, config_class)
    return config_from_flags(config_class, parser.parse_args(words))


def test_flags_without_words_are_the_paper():
    assert from_flags(TrainConfig) == TrainConfig()
    assert from_flags(MemoryConfig) == MemoryConfig()


def test_a_preset_comes_first_and_explicit_flags_after_it_in_any_order():
    words = ["--margin", "0.4", "--preset", "authors-code", "--no-random-flip", "--steps", "7"]
    config = from_flags(TrainConfig, *words)
    expected = TrainConfig(
        **{**preset_values("authors-code"), "margin": 0.4}, preset="authors-code"
    )
    assert config == dataclasses.replace(expected, random_flip=False, steps=7)


def test_none_is_a_value_of_optional_flags_only():
    assert from_flags(TrainConfig, "--margin", "none").margin is None
    with pytest.raises(SystemExit):
        from_flags(TrainConfig, "--steps", "none")


def test_every_option_has_a_flag_that_reaches_it():
    given = {
        int: lambda option: int(option.minimum) + 8,
        float: lambda option: option.minimum + 0.5,
        bool: lambda option: not option.default,
        str: lambda option: option.choices[-1] if option.choices else "clip_vit_b32",
    }
    for option in options(TrainConfig):
        if option.name == "preset":
            continue
        value = given[option.kind](option)
        words = [option.flag, str(value)]
        if option.kind is bool:
            words = [option.flag if value else option.flag.replace("--", "--no-", 1)]
        assert getattr(from_flags(TrainConfig, *words), option.name) == value, option.name


def test_help_is_printable():
    parser = argparse.ArgumentParser()
    add_flags(parser, TrainConfig)
    text = " ".join(parser.format_help().split())
    assert "Optimizer steps; the paper trains 3000. (default: 3000, 1 to 1000000)" in text
    assert "(default: on)" in text
