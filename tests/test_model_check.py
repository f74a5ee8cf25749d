"""`scoft model check`: what a file is, what it lacks, what it would take; nothing is loaded."""

import json

import pytest
import torch
from ldm_layout import controlnet_tensors, ldm_checkpoint, small_networks, write_sparse
from safetensors.torch import save_file
from test_single_files import full_size

from scoft_training.cli import main
from scoft_training.config import TrainConfig
from scoft_training.model_check import check_model
from scoft_training.single_files import open_weights


@pytest.fixture(scope="module")
def networks():
    return {family: small_networks(family) for family in ("sd1", "sdxl")}


def shapes_of(tensors):
    return {name: tuple(value.shape) for name, value in tensors.items()}


def check(capsys, path, *words):
    status = main(["model", "check", str(path), *words])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_a_checkpoint_is_described_without_its_numbers(networks, tmp_path, capsys):
    path = tmp_path / "sdxl.safetensors"
    # All zeros, on a disk that holds none of them: whatever reads numbers would still work, but
    # the counts below come from the header.
    shapes = shapes_of(ldm_checkpoint(networks["sdxl"], "sdxl"))
    shapes |= {"v_pred": (), "ztsnr": ()}
    write_sparse(path, shapes)
    status, text, _ = check(capsys, path, "--rank", "4", "--resolution", "64")
    assert status == 0
    assert f"{path}: an SDXL checkpoint, {path.stat().st_size / 1e9:.2f} GB, fp16" in text
    assert "predicts: velocity (v), down to pure noise (zero terminal SNR)" in text
    assert "lacks: nothing" in text
    assert "training at 64 x 64 in bf16, preset paper, rank 4, one picture at once" in text
    for level in ("fast", "balanced", "low"):
        assert f"--memory {level}" in text

    status, text, _ = check(capsys, path, "--json", "--rank", "4", "--resolution", "64")
    found = json.loads(text)
    counts = [sum(v.numel() for v in one.parameters()) for one in networks["sdxl"].values()]
    assert list(found["parameters"].values()) == counts
    assert (found["family"], found["prediction_type"]) == ("sdxl", "v_prediction")
    assert found["formats"] == {"fp16": len(open_weights(path).shapes)}
    assert found["training"]["peak_bytes"]["low"] <= found["training"]["peak_bytes"]["fast"]


def test_more_pictures_at_once_take_more(networks, tmp_path):
    path = tmp_path / "sd1.safetensors"
    tensors = ldm_checkpoint(networks["sd1"], "sd1")
    assert (
        tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"].dtype
        == torch.int64
    )
    save_file(tensors, path)
    peaks = []
    for config in (TrainConfig(), TrainConfig(batch_size=3), TrainConfig(rank=128)):
        report = check_model(path, config, resolution=64, dtype=torch.bfloat16)
        assert report.formats.keys() == {"fp32"}, "positions are no weights"
        peaks.append(report.costs[0].estimate.peak)
    assert peaks[0] < peaks[1]
    assert peaks[0] < peaks[2]


def test_without_a_resolution_it_is_the_familys_own(tmp_path):
    tensors, _ = full_size("sd2")
    shapes = shapes_of(tensors)
    config = TrainConfig(
        preset="ldm", memorization_weight=0.0, perceptual_weight=0.0, contrastive_weight=0.0
    )
    for marks, side in (({}, 512), ({"v_pred": ()}, 768)):
        path = tmp_path / f"{side}.safetensors"
        write_sparse(path, shapes | marks)
        report = check_model(path, config, resolution=None, dtype=torch.bfloat16)
        assert report.config.resolution == side
        assert report.parameters["UNet"] == 865_910_724


def test_a_controlnet_says_what_it_goes_with(networks, tmp_path, capsys):
    network = controlnet_tensors(networks["sd1"]["unet"])
    path = tmp_path / "depth.safetensors"
    save_file(network.state_dict(), path)
    status, text, _ = check(capsys, path)
    assert status == 0
    count = sum(value.numel() for value in network.parameters())
    assert f"a ControlNet, {path.stat().st_size / 1e9:.2f} GB, fp32" in text
    assert f"ControlNet: {count / 1e6:,.1f} M parameters" in text
    assert "goes with: a model that reads 64 channels" in text
    assert "training at" not in text


def test_what_cannot_be_used_exits_with_2_and_says_why(networks, tmp_path, capsys):
    tensors = ldm_checkpoint(networks["sd1"], "sd1")
    lacking = {n: v for n, v in tensors.items() if not n.startswith("first_stage_model.")}
    save_file(lacking, tmp_path / "novae.safetensors")
    status, text, sentence = check(capsys, tmp_path / "novae.safetensors")
    assert (status, text) == (2, "")
    assert "this is a checkpoint without its VAE" in sentence
    assert check(capsys, tmp_path / "nothing.safetensors")[2].startswith("scoft: ")
    (tmp_path / "page.safetensors").write_text("<!DOCTYPE html><html></html>")
    assert "this is a web page" in check(capsys, tmp_path / "page.safetensors")[2]
    status, _, sentence = check(capsys, tmp_path / "novae.safetensors", "--resolution", "70")
    assert status == 2
    assert "divisible by 8" in sentence
