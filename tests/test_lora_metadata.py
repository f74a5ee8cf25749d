"""Promises of the LoRA file's header: what managers look for, no path, and never too long."""

from __future__ import annotations

import dataclasses
import json
import logging

import pytest
import torch
from safetensors import safe_open
from small_unet import trained_unet

from scoft_training import lora_metadata as room
from scoft_training.config import TrainConfig
from scoft_training.errors import ConfigError
from scoft_training.lora_files import read_metadata, write_lora
from scoft_training.lora_layers import Lora, lora_from_adapter
from scoft_training.lora_metadata import (
    MAX_HEADER_BYTES,
    TrainingRecord,
    lora_metadata,
    pictures_of,
)
from scoft_training.rights import CreditGroup

RECORD = TrainingRecord(
    config={
        "steps": 3000,
        "batch_size": 2,
        "gradient_accumulation_steps": 3,
        "seed": 11,
        "optimizer": "adam",
        "perceptual_backbone": "clipconv",
        "folders": ["/home/ana/pictures", "C:\\Users\\Ana\\run 7", "~/models/base.ckpt"],
        "nested": {"model": "models/secret place/../base.safetensors", "kind": "food/drink"},
    },
    run_id="run-0123",
    dataset_digest="d" * 64,
    picture_sha256=tuple(f"{number:064x}" for number in range(13)),
    culture="Korea",
    suffix=", in South Korea",
    category_counts={"food": 8, "clothing": 5},
    final_losses={"ldm": 0.125, "perceptual": float("nan")},
    credits=("Museo / Ana", "Museo / Ana", "한국"),
    licences=("CC-BY-4.0", "CC0-1.0", "CC0-1.0"),
    credit_groups=(CreditGroup("Museo / Ana", "CC0-1.0", 9), CreditGroup(None, None, 4)),
    licence_counts={"CC0-1.0": 9, "not stated": 4},
    consent_counts={"given": 12, "only indoors": 1},
    contact="https://archive.example/forget.html",
    earlier_pictures=("e" * 64,),
    base_name="/home/ana/models/dreamshaper_8.safetensors",
    family="sd1",
    prediction_type="epsilon",
    resolution=512,
    steps=3000,
    learning_rate=1e-4,
    rank=64,
    alpha=32.0,
    num_pictures=13,
    started="2026-11-24T10:00:00+01:00",
    finished="2026-11-24T11:30:00Z",
    title="/home/ana/loras/hanbok",
)


def test_the_header_says_what_lora_managers_look_for(tmp_path):
    lora = Lora(lora_from_adapter(trained_unet()).layers, lora_metadata(RECORD))
    write_lora(tmp_path / "lora.safetensors", lora)

    metadata = read_metadata(tmp_path / "lora.safetensors")

    with safe_open(tmp_path / "lora.safetensors", framework="pt") as file:
        assert file.metadata() == metadata == lora_metadata(RECORD)
    expected = {
        "ss_base_model_version": "sd_v1",
        "ss_network_dim": "64",
        "ss_network_alpha": "32.0",
        "ss_network_module": "networks.lora",
        "ss_output_name": "hanbok",
        "ss_sd_model_name": "dreamshaper_8.safetensors",
        "ss_resolution": "(512, 512)",
        "ss_num_train_images": "13",
        "ss_learning_rate": "0.0001",
        "ss_num_epochs": "1385",  # 3000 steps of 2 * 3 pictures over 13, rounded up
        "ss_epoch": "1385",
        "ss_v2": "False",
        "ss_seed": "11",
        "ss_optimizer": "adam",
        "ss_gradient_accumulation_steps": "3",
        "ss_total_batch_size": "6",
        "ss_training_started_at": "1795510800.0",
        "ss_training_finished_at": "1795519800.0",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": "hanbok",
        "modelspec.trigger_phrase": ", in South Korea",
        "modelspec.prediction_type": "epsilon",
        "modelspec.resolution": "512x512",
        "modelspec.license": "CC-BY-4.0; CC0-1.0",
        "modelspec.implementation": "diffusers",
        "scoft.culture": "Korea",
        "scoft.run_id": "run-0123",
        "scoft.dataset_digest": "d" * 64,
    }
    assert {key: metadata[key] for key in expected} == expected
    parsed = {key: json.loads(metadata[key]) for key in metadata if metadata[key][0] in "[{"}
    assert parsed["ss_tag_frequency"] == {"Korea": {"food": 8, "clothing": 5}}
    assert parsed["scoft.picture_sha256"] == list(RECORD.picture_sha256)
    assert parsed["scoft.credit_groups"] == [
        {"credit": "Museo / Ana", "licence": "CC0-1.0", "pictures": 9},
        {"credit": "", "licence": "", "pictures": 4},
    ]
    assert parsed["scoft.licence_counts"] == {"CC0-1.0": 9, "not stated": 4}
    assert parsed["scoft.consent"] == {"given": 12, "only indoors": 1}
    assert metadata["scoft.contact"] == "https://archive.example/forget.html"
    assert pictures_of(metadata) == ({*RECORD.picture_sha256, "e" * 64}, True)
    assert parsed["scoft.credits"] == ["Museo / Ana", "한국"]
    assert parsed["scoft.category_counts"] == {"food": 8, "clothing": 5}
    assert parsed["scoft.final_losses"] == {"ldm": 0.125, "perceptual": None}
    assert parsed["scoft.config"]["steps"] == 3000
    assert parsed["scoft.software"]["torch"] == torch.__version__.split("+")[0]
    assert "scoft.trimmed" not in metadata


def test_no_path_gets_into_the_header():
    metadata = lora_metadata(RECORD)

    text = "\n".join(metadata.values())
    for part in ("home", "Users", "ana/", "secret", "models", ".."):
        assert part not in text, part
    config = json.loads(metadata["scoft.config"])
    assert config["folders"] == ["pictures", "run 7", "base.ckpt"]
    assert config["nested"] == {"model": "base.safetensors", "kind": "food/drink"}


@pytest.mark.parametrize(
    ("family", "prediction_type", "version", "architecture"),
    [
        ("sd2", "epsilon", "sd_v2", "stable-diffusion-v2-512/lora"),
        ("sd2", "v_prediction", "sd_v2_v", "stable-diffusion-v2-768-v/lora"),
        ("sdxl", "epsilon", "sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
        ("sdxl", "v_prediction", "sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
    ],
)
def test_each_family_has_its_names(family, prediction_type, version, architecture):
    record = dataclasses.replace(RECORD, family=family, prediction_type=prediction_type)

    metadata = lora_metadata(record)

    assert metadata["ss_base_model_version"] == version
    assert metadata["modelspec.architecture"] == architecture
    assert metadata["ss_v2"] == str(family == "sd2")
    assert metadata["modelspec.prediction_type"] == {"v_prediction": "v"}.get(
        prediction_type, prediction_type
    )


def test_an_sdxl_run_says_what_kohya_s_scripts_say():
    config = dataclasses.asdict(TrainConfig(resolution=1024, lr_warmup_steps=7, min_snr_gamma=5.0))
    record = dataclasses.replace(
        RECORD, config=config, family="sdxl", prediction_type="v_prediction", resolution=1024
    )

    metadata = lora_metadata(record)

    # kohya-ss/sd-scripts at 0010c81a3353: train_network.py and library/sai_model_spec.py.
    expected = {
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_v2": "False",
        "ss_resolution": "(1024, 1024)",
        "ss_lr_warmup_steps": "7",
        "ss_lr_scheduler": "constant",
        "ss_max_grad_norm": "1.0",
        "ss_min_snr_gamma": "5.0",
        "ss_gradient_accumulation_steps": "1",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.prediction_type": "v",
        "modelspec.resolution": "1024x1024",
        "modelspec.sai_model_spec": "1.0.0",
    }
    assert {key: metadata[key] for key in expected} == expected
    assert {"modelspec.implementation", "modelspec.title", "modelspec.date"} <= metadata.keys()


def test_an_unknown_family_is_refused():
    with pytest.raises(
        ConfigError, match=r"Unknown model family 'sd15'\. Use one of sd1, sd2, sdxl"
    ):
        lora_metadata(dataclasses.replace(RECORD, family="sd15"))


def test_empty_values_and_broken_text_do_not_stop_the_file(tmp_path):
    record = dataclasses.replace(
        RECORD, culture="", suffix="", credits=("\udcff",), licences=(), title="a\udcffb"
    )
    lora = Lora(lora_from_adapter(trained_unet()).layers, lora_metadata(record))

    write_lora(tmp_path / "lora.safetensors", lora)

    metadata = read_metadata(tmp_path / "lora.safetensors")
    assert metadata["modelspec.title"] == "a?b"
    assert not {"modelspec.trigger_phrase", "modelspec.license", "scoft.culture"} & metadata.keys()


def written(tmp_path, record):
    lora = Lora(lora_from_adapter(trained_unet()).layers, lora_metadata(record))
    path = tmp_path / "lora.safetensors"
    write_lora(path, lora)
    assert int.from_bytes(path.read_bytes()[:8], "little") <= MAX_HEADER_BYTES
    return lora.metadata, read_metadata(path)


@pytest.mark.parametrize("text", ["é", '"\\'], ids=["two bytes", "escaped"])
def test_of_20_000_pictures_every_digest_stays_with_fewer_digits(tmp_path, caplog, text):
    pictures = tuple(f"{number:064x}"[::-1] for number in range(20_000))
    record = dataclasses.replace(RECORD, picture_sha256=pictures, credits=(text * 9_999, text))
    with caplog.at_level(logging.WARNING, logger="scoft_training"):
        before, metadata = written(tmp_path, record)

    assert json.loads(metadata["scoft.picture_sha256"]) == [digest[:16] for digest in pictures]
    note = json.loads(metadata["scoft.trimmed"])
    assert note["scoft.picture_sha256"] == "first 16 digits of each"
    changed = {"scoft.picture_sha256", "scoft.trimmed"}
    assert {key: text for key, text in metadata.items() if key not in changed} == {
        key: text for key, text in before.items() if key not in changed
    }
    found, whole = pictures_of(metadata)
    assert whole
    assert len(found) == 20_001
    assert "header was too long" in caplog.text


def test_other_lists_go_before_the_pictures_digests(tmp_path):
    record = dataclasses.replace(RECORD, credits=tuple(f"{n:0100d}" for n in range(20_000)))
    _, metadata = written(tmp_path, record)

    assert json.loads(metadata["scoft.picture_sha256"]) == list(RECORD.picture_sha256)
    kept = json.loads(metadata["scoft.credits"])
    assert kept == list(record.credits[: len(kept)])
    assert json.loads(metadata["scoft.trimmed"])["scoft.credits"] == (
        f"first {len(kept)} of 20000 kept"
    )
    assert pictures_of(metadata)[1]


def test_digests_that_are_lost_are_said_to_be(tmp_path):
    pictures = tuple(f"{number:064x}"[::-1] for number in range(80_000))
    _, metadata = written(tmp_path, dataclasses.replace(RECORD, picture_sha256=pictures))

    kept = json.loads(metadata["scoft.picture_sha256"])
    assert 40_000 < len(kept) < 80_000
    note = json.loads(metadata["scoft.trimmed"])
    assert note["scoft.picture_sha256"] == f"first {len(kept)} of 80000 kept, 16 digits of each"
    assert metadata["modelspec.title"] == "hanbok"
    assert not pictures_of(metadata)[1]
    assert pictures_of({}) == (frozenset(), False)


def test_a_single_long_value_is_left_out_whole(tmp_path):
    lora = lora_from_adapter(trained_unet())
    metadata = {"ssmd_cover_images": "x" * 2_000_000, "short": "kept"}
    write_lora(tmp_path / "lora.safetensors", Lora(lora.layers, metadata))

    read = read_metadata(tmp_path / "lora.safetensors")

    assert read["short"] == "kept"
    assert json.loads(read["scoft.trimmed"])["ssmd_cover_images"] == "left out"
    assert "ssmd_cover_images" not in read


def test_the_public_names_are_pinned():
    assert room.__all__ == [
        "EARLIER_PICTURES",
        "MAX_HEADER_BYTES",
        "PICTURES",
        "RIGHTS_KEYS",
        "SHORT_DIGITS",
        "TRIMMED",
        "TrainingRecord",
        "lora_metadata",
        "pictures_of",
        "trimmed_metadata",
    ]
