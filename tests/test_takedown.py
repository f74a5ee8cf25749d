"""By a picture's sha256 every copy, row, work folder and LoRA is found, and nothing is touched."""

import dataclasses
import json
import os
import shutil

import pytest
import torch
from random_stack import draw_demo_dataset, random_controlnet
from safetensors.torch import load_file, save_file
from stack import SMALL_RUN, small_base

from scoft_training.cli import main
from scoft_training.config import GenerateConfig, NegativesConfig, ReportConfig
from scoft_training.control_models import ControlNet
from scoft_training.data import read_dataset
from scoft_training.dataset_report import ReportRequest, make_report
from scoft_training.errors import ConfigError
from scoft_training.exporting import ExportRequest, export_dataset
from scoft_training.feature_shards import FeatureShards
from scoft_training.files import file_sha256
from scoft_training.grid_drawing import GridRequest, draw_grid
from scoft_training.grids import GridPrompt, GridSource
from scoft_training.helper_runs import NegativesRequest, make_negatives
from scoft_training.lora_conversion import convert_lora
from scoft_training.lora_files import read_metadata
from scoft_training.overlays import Overlay, add_statement, read_overlays
from scoft_training.run_loras import run_loras
from scoft_training.runs import RunRequest, run_training
from scoft_training.takedown import default_folders, find_picture, leave_out
from scoft_training.work_folder import default_work_folder

pytestmark = pytest.mark.usefixtures("small_registry")

ONE_STEP = dataclasses.replace(SMALL_RUN, steps=1, perceptual_every=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory, small_registry):
    """A set, its work folder with negatives and a run, LoRAs in three styles, an export."""
    here = tmp_path_factory.mktemp("world").resolve()
    root = here / "aruna"
    draw_demo_dataset(root, num_pictures=3, negatives=1)
    work = here / "scoft-work" / default_work_folder(root).name
    config = NegativesConfig(
        resolution=64, negatives_per_picture=1, inference_steps=2, filter_backbone="none"
    )
    controlnet = ControlNet.of("small", random_controlnet())
    request = NegativesRequest(root, "small", controlnet, config, device="cpu", work=work)
    list(make_negatives(request))
    train = RunRequest(root, "small", ONE_STEP, device="cpu", work=work)
    list(run_training(train))
    (lora,) = work.glob("runs/*/lora.safetensors")
    (here / "loras").mkdir()
    shutil.copy(lora, here / "loras" / "renamed.safetensors")
    unet = small_base().unet
    convert_lora(lora, here / "loras" / "as-peft", "peft", unet=unet)
    convert_lora(lora, here / "loras" / "as-diffusers.safetensors", "diffusers", unet=unet)
    list(export_dataset(ExportRequest(root, here / "handed on", work)))
    return here


@pytest.fixture
def picture(world):
    return read_dataset(world / "aruna").rows[1]


def found_at(found, here):
    """Kinds and places, relative to the folder of the search."""
    return {
        (one.kind, os.path.relpath(one.path, here))
        for one in found.findings
        if one.kind != "mention"
    }


def test_everything_that_used_the_picture_is_found(world, picture):
    found = find_picture(picture.sha256, [world])
    places = found_at(found, world)
    kinds = {kind for kind, _ in places}
    assert {"picture", "row", "negatives", "cache", "run", "lora", "derived"} <= kinds
    assert ("picture", f"aruna/train/{picture.file_name}") in places
    assert ("picture", f"handed on/train/{picture.file_name}") in places
    assert ("row", "aruna/train/metadata.jsonl") in places
    assert ("row", "handed on/train/metadata.jsonl") in places
    assert {path for kind, path in places if kind == "lora"} >= {
        "loras/renamed.safetensors",
        "loras/as-diffusers.safetensors",
        "loras/as-peft/adapter_model.safetensors",
    }
    (row,) = [one for one in found.findings if one.kind == "row" and "aruna" in one.path]
    assert row.what == "metadata.jsonl, row 2: is its row"
    drawn = [path for kind, path in places if kind == "negatives"]
    assert len(drawn) == 1
    assert picture.sha256 in drawn[0]
    assert all(one.remedy.endswith(".") for one in found.findings)
    assert found.sha256 == picture.sha256
    assert found.not_read == ()


def test_a_picture_that_nobody_used_is_nowhere(world):
    held_out = read_dataset(world / "aruna", "test").rows[0]
    places = found_at(find_picture(held_out.sha256, [world]), world)
    assert {kind for kind, _ in places} <= {"picture", "row", "derived"}
    assert find_picture("ab" * 32, [world]).findings == ()


def test_nothing_is_changed_by_looking(world, picture):
    def state():
        return {path: file_sha256(path) for path in world.rglob("*") if path.is_file()}

    before = state()
    find_picture(picture.sha256, [world])
    assert state() == before


def test_a_beginning_is_enough_if_one_picture_has_it(world, picture, tmp_path):
    whole, begun = (
        find_picture(digits, [world]) for digits in (picture.sha256, picture.sha256[:9])
    )
    assert begun.sha256 == picture.sha256
    assert begun.findings == whole.findings
    other = picture.sha256[:9] + "0" * 55
    (tmp_path / "notes.json").write_text(json.dumps([picture.sha256, other]))
    with pytest.raises(ConfigError, match="is the beginning of 2 pictures' sha256.*more digits"):
        find_picture(picture.sha256[:9], [tmp_path])
    for wrong in ("abc", "xyz" * 10, "a" * 65):
        with pytest.raises(ConfigError, match="is no sha256"):
            find_picture(wrong, [world])
    with pytest.raises(ConfigError, match="nowhere: is not there"):
        find_picture(picture.sha256, [tmp_path / "nowhere"])


def test_a_run_that_never_ended_is_found_by_its_config(world, picture, tmp_path):
    (run,) = (world / "scoft-work").glob("*/runs/*")
    shutil.copytree(run, tmp_path / "w" / "runs" / run.name)
    (tmp_path / "w" / "runs" / run.name / "lora.safetensors").unlink()
    places = found_at(find_picture(picture.sha256, [tmp_path]), tmp_path)
    assert places == {("run", f"w/runs/{run.name}")}


def test_a_lora_that_went_on_from_one_that_knew_it_is_found(world, picture, tmp_path):
    draw_demo_dataset(tmp_path / "other", num_pictures=5, negatives=1)
    path = tmp_path / "other" / "train" / "metadata.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[3:]))
    start = world / "loras" / "renamed.safetensors"
    request = RunRequest(
        tmp_path / "other", "small", ONE_STEP, device="cpu", work=tmp_path / "w", init_lora=start
    )
    list(run_training(request))
    (lora,) = (tmp_path / "w").glob("runs/*/lora.safetensors")
    metadata = read_metadata(lora)
    assert picture.sha256 not in json.loads(metadata["scoft.picture_sha256"])
    kinds = found_at(find_picture(picture.sha256, [tmp_path / "w"]), tmp_path)
    assert ("lora", os.path.relpath(lora, tmp_path)) in kinds


def test_shortened_digests_are_matched_and_lost_ones_are_said(tmp_path):
    tensors = {"a": torch.zeros(2)}
    headers = {
        "short": {"scoft.picture_sha256": json.dumps(["ab" * 8])},
        "cut": {
            "scoft.picture_sha256": json.dumps(["cd" * 8]),
            "scoft.trimmed": json.dumps({"scoft.picture_sha256": "first 1 of 9 kept"}),
        },
        "foreign": {"ss_steps": "3"},
    }
    for name, header in headers.items():
        save_file(tensors, tmp_path / f"{name}.safetensors", metadata=header)
    found = find_picture("ab" * 32, [tmp_path])
    assert found_at(found, tmp_path) == {
        ("lora", "short.safetensors"),
        ("uncertain", "cut.safetensors"),
    }


def test_files_that_cannot_be_read_are_said_and_the_search_goes_on(world, picture, tmp_path):
    shutil.copy(world / "loras" / "renamed.safetensors", tmp_path / "good.safetensors")
    (tmp_path / "page.safetensors").write_text("<html>")
    (tmp_path / "long.safetensors").write_bytes((1 << 40).to_bytes(8, "little") + b"{")
    cut = (tmp_path / "good.safetensors").read_bytes()[:300]
    (tmp_path / "cut.safetensors").write_bytes(cut)
    (tmp_path / "away").symlink_to(world)
    (tmp_path / "inside.safetensors").symlink_to(tmp_path / "good.safetensors")
    found = find_picture(picture.sha256, [tmp_path])
    assert found_at(found, tmp_path) == {("lora", "good.safetensors")}
    assert len(found.not_read) == 4
    assert any("away: is a link that leads out" in sentence for sentence in found.not_read)
    assert any("longer than any LoRA's" in sentence for sentence in found.not_read)


def test_rows_left_out_and_other_forms_and_negatives_are_found(world, picture, tmp_path):
    shutil.copy(picture.image_path, tmp_path / "A B.jpg")
    (tmp_path / "metadata.csv").write_text('file_name,text,include\n"A B.jpg",x,no\n')
    found = find_picture(picture.sha256, [tmp_path])
    assert found_at(found, tmp_path) == {("picture", "A B.jpg"), ("row", "metadata.csv")}
    (tmp_path / "metadata.csv").write_text('file_name,text,negative_imgpath\nb.jpg,x,"A B.jpg"\n')
    (row,) = [one for one in find_picture(picture.sha256, [tmp_path]).findings if one.kind == "row"]
    assert row.what.endswith("has it as a negative")


def test_leaving_out_keeps_it_from_the_next_training(world, picture, tmp_path, monkeypatch, capsys):
    shutil.copytree(world / "aruna", tmp_path / "aruna")
    monkeypatch.chdir(tmp_path)
    work = default_work_folder(tmp_path / "aruna")
    add_statement(
        work,
        Overlay(sha256=picture.sha256, by="Kim", at="2026-11-25", why="right", credit="Kim"),
    )
    words = ["takedown", "--picture", str(picture.image_path), "--leave-out"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "Nothing was deleted." in told
    assert str(work) in told
    held = read_overlays(work)[picture.sha256]
    assert (held.include, held.why, held.credit) == (False, "takedown", "Kim")
    assert main([*words, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    statements = [one for one in values["findings"] if one["kind"] == "statement"]
    assert [one["remedy"][:4] for one in statements] == ["Remo", "Keep"]
    assert len((work / "rows.jsonl").read_text().splitlines()) == 2
    assert main(["takedown"]) == 2
    assert "Name one picture" in capsys.readouterr().err


def test_only_folders_with_a_part_of_their_own_are_work_folders(world, picture, tmp_path):
    (work,) = (world / "scoft-work").iterdir()
    (tmp_path / "depth").mkdir()
    shutil.copytree(work / "runs", tmp_path / "mine" / "runs")
    found = find_picture(picture.sha256, [tmp_path])
    assert found.work_folders == (tmp_path / "mine",)
    # The same set has one in the host's folder, too, though nothing of the picture is in it.
    (tmp_path / "scoft" / work.name / "runs").mkdir(parents=True)
    folders = find_picture(picture.sha256, [world, tmp_path]).work_folders
    assert tmp_path / "scoft" / work.name in folders
    # An export has none yet; the next training on it would make one there.
    made_next = default_work_folder(world / "handed on")
    assert find_picture(picture.sha256, [world]).work_folders == (work, made_next)


def test_by_default_the_current_folder_s_sets_and_loras_are_searched(world, tmp_path):
    shutil.copytree(world / "loras" / "as-peft", tmp_path / "peft")
    shutil.copy(world / "loras" / "renamed.safetensors", tmp_path)
    shutil.copytree(world / "aruna", tmp_path / "aruna")
    (tmp_path / "scoft-work").mkdir()
    (tmp_path / "unrelated").mkdir()
    assert [path.name for path in default_folders(tmp_path)] == [
        *("scoft-work", "aruna", "peft", "renamed.safetensors")
    ]


def test_a_report_that_shows_the_picture_is_found(tmp_path):
    root, work = tmp_path / "aruna", tmp_path / "scoft-work" / "aruna-12345678"
    draw_demo_dataset(root, num_pictures=3)
    small = root / "train" / read_dataset(root).rows[0].file_name
    request = ReportRequest(dataset=root, config=ReportConfig(), work=work)
    list(make_report(request))
    found = find_picture(file_sha256(small), [tmp_path])
    assert [one.what for one in found.findings if one.path.endswith("report.html")] == [
        "may show it"
    ]


def test_only_a_whole_digest_is_stated():
    found = find_picture("ab" * 8, [])
    with pytest.raises(ConfigError, match="Only 16 digits of the picture's sha256 are known"):
        leave_out(found)


def test_tensors_are_not_read(world, picture, tmp_path):
    path = tmp_path / "lora.safetensors"
    shutil.copy(world / "loras" / "renamed.safetensors", path)
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(header)
        file.write(b"\xff" * (size - header))
    assert not torch.isfinite(next(iter(load_file(path).values()))).all()
    assert found_at(find_picture(picture.sha256, [path]), tmp_path) == {("lora", path.name)}


@pytest.fixture
def grids(world, picture, tmp_path):
    """Grids: for the picture's caption, by its LoRA's file, by its run, and a foreign one."""
    (lora,) = (world / "scoft-work").glob("*/runs/*/lora.safetensors")
    held_out = read_dataset(world / "aruna", "test").rows[0].sha256
    wanted = {
        "captions": (GridPrompt("a house", "train", (0,), picture.sha256), GridSource("base")),
        "file": (GridPrompt("a cup", "test", (0,)), GridSource("ours", lora)),
        "run": (GridPrompt("a cup", "test", (0,)), run_loras(lora.parent)[-1]),
        "foreign": (GridPrompt("a gate", "train", (0,), held_out), GridSource("base")),
    }
    for name, (prompt, source) in wanted.items():
        drawing = GenerateConfig(inference_steps=1, resolution=64)
        base = small_base(torch.float32)
        request = GridRequest(tmp_path / name, base, [source], [prompt], drawing)
        list(draw_grid(request))
    return tmp_path


def test_grids_for_its_caption_and_by_loras_that_learned_from_it_are_found(world, picture, grids):
    found = find_picture(picture.sha256, [world / "scoft-work", grids])
    said = {
        os.path.relpath(one.path, grids): one.what for one in found.findings if one.kind == "grid"
    }
    assert said == {
        "captions": "holds drawings for its caption",
        "file": "holds drawings by LoRAs that learned from it: ours",
        "run": "holds drawings by LoRAs that learned from it: step 1",
    }
    # A grid is no work folder: nothing is stated in it.
    assert all(grids not in work.parents for work in found.work_folders)
    (grids / "run" / "grid.json").write_text("{")
    found = find_picture(picture.sha256, [world / "scoft-work", grids])
    assert any("grid.json: cannot be read" in sentence for sentence in found.not_read)


def test_scores_that_show_it_and_vectors_of_it_are_found(picture, grids, monkeypatch):
    (grids / "captions" / "metrics.json").write_text(
        json.dumps({"training_sha256": picture.sha256})
    )
    (grids / "other").mkdir()
    (grids / "other" / "metrics.json").write_text(json.dumps([picture.sha256]))
    features = grids / "captions" / "features"
    FeatureShards(features, "a" * 64, 3).write(
        {picture.sha256: torch.ones(3), "b" * 64: torch.ones(3)}
    )
    FeatureShards(features, "c" * 64, 3).write({"b" * 64: torch.ones(3)})
    (damaged,) = (features / ("c" * 32)).iterdir()
    (shard,) = (features / ("a" * 32)).iterdir()
    found = find_picture(picture.sha256[:12], [grids])
    places = found_at(found, grids)
    assert ("scores", "captions") in places
    assert ("scores", "other") not in places
    assert {path for kind, path in places if kind == "cache"} == {os.path.relpath(shard, grids)}
    damaged.write_bytes(damaged.read_bytes()[:-4])
    assert any(damaged.name in said for said in find_picture(picture.sha256, [grids]).not_read)
    assert damaged.exists()
    monkeypatch.chdir(grids)
    assert [path.name for path in default_folders(grids)] == ["captions", "file", "foreign", "run"]
    assert default_folders(grids / "run") == [grids / "run"]
    (grids / "study" / "grids").mkdir(parents=True)
    (grids / "run").rename(grids / "study" / "grids" / "run")
    assert "study" in {path.name for path in default_folders(grids)}


def test_the_command_tells_of_grids_and_scores(picture, grids, capsys):
    (grids / "captions" / "metrics.json").write_text(
        json.dumps({"training_sha256": picture.sha256})
    )
    assert main(["takedown", picture.sha256, "--in", str(grids)]) == 0
    told = capsys.readouterr().out
    assert "Grids: 1\n" in told
    assert "Scores and reports: 1\n" in told
