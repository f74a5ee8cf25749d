"""The LoRAs of a run: snapshots that stay, the adapter in a checkpoint, names and strengths."""

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import save_file
from stack import SMALL_RUN, small_base, write_demo

from scoft_training import runs
from scoft_training.errors import ConfigError, ModelFileError
from scoft_training.events import (
    CheckpointEvent,
    FinishedEvent,
    SnapshotEvent,
    StepEvent,
    WarningEvent,
)
from scoft_training.lora_files import read_lora, read_metadata
from scoft_training.lora_layers import lora_digest
from scoft_training.run_loras import named_lora, read_any_lora, run_loras
from scoft_training.runs import RunRequest, run_training

# Alpha is not the rank, so that a checkpoint read without it would be another LoRA.
CONFIG = dataclasses.replace(
    SMALL_RUN,
    steps=5,
    alpha=6.0,
    save_every=1,
    keep_checkpoints=3,
    snapshot_every=2,
    perceptual_weight=0.0,
    contrastive_weight=0.0,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("set") / "aruna")


def train(dataset, work, base=None, config=CONFIG, **arguments):
    base = base or small_base(torch.float32)
    request = RunRequest(dataset, base, config, device="cpu", work=work)
    return list(run_training(request, **arguments))


def run_of(work):
    (folder,) = (work / "runs").iterdir()
    return folder


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    events = train(dataset, work)
    return run_of(work), events


def test_a_snapshot_is_written_every_so_many_steps_and_stays(run):
    folder, events = run
    assert [event for event in events if isinstance(event, SnapshotEvent)] == [
        SnapshotEvent(2, "snapshots/step-00000002.safetensors"),
        SnapshotEvent(4, "snapshots/step-00000004.safetensors"),
    ]
    # Before the checkpoint of the same step: a run that is killed between goes on before both.
    kinds = [type(event) for event in events if getattr(event, "step", None) == 2]
    assert kinds == [StepEvent, SnapshotEvent, CheckpointEvent]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        f"step-{step:08d}.safetensors" for step in (3, 4, 5)
    ]
    header = read_metadata(folder / "snapshots" / "step-00000002.safetensors")
    assert header["ss_steps"] == "2"
    assert header["scoft.run_id"] == folder.name


def test_snapshots_change_nothing_of_the_run(run, dataset, tmp_path):
    folder, _ = run
    train(dataset, tmp_path, config=dataclasses.replace(CONFIG, snapshot_every=0))
    plain = run_of(tmp_path)
    assert plain.name == folder.name
    assert not (plain / "snapshots").exists()
    unet = small_base(torch.float32).unet
    ours, theirs = (read_lora(one / "lora.safetensors", unet) for one in (folder, plain))
    assert lora_digest(ours) == lora_digest(theirs)


def test_a_run_that_goes_on_has_the_same_snapshots(run, dataset, tmp_path):
    folder, _ = run
    seen = []
    request = RunRequest(dataset, small_base(torch.float32), CONFIG, device="cpu", work=tmp_path)
    for event in run_training(request, should_stop=lambda: len(seen) >= 3):
        if isinstance(event, StepEvent):
            seen.append(event)
    assert isinstance(train(dataset, tmp_path)[-1], FinishedEvent)
    unet = small_base(torch.float32).unet
    for name in ("step-00000002.safetensors", "step-00000004.safetensors"):
        ours, theirs = (
            read_lora(one / "snapshots" / name, unet) for one in (folder, run_of(tmp_path))
        )
        assert lora_digest(ours) == lora_digest(theirs)


def test_a_run_gives_its_loras_by_step(run):
    folder, _ = run
    sources = run_loras(folder)
    assert [(source.name, source.step, source.run_id) for source in sources] == [
        (f"step {step}", step, folder.name) for step in (2, 3, 4, 5)
    ]
    assert [source.lora.relative_to(folder).as_posix() for source in sources] == [
        "snapshots/step-00000002.safetensors",
        "checkpoints/step-00000003.safetensors",
        "snapshots/step-00000004.safetensors",
        "lora.safetensors",
    ]


def test_the_adapter_in_a_checkpoint_is_the_lora_of_that_step(run):
    folder, _ = run
    unet = small_base(torch.float32).unet
    for name, file in (("step-00000004", "snapshots/step-00000004"), ("step-00000005", "lora")):
        found = read_any_lora(folder / "checkpoints" / f"{name}.safetensors", unet)
        written = read_any_lora(folder / f"{file}.safetensors", unet)
        assert lora_digest(found) == lora_digest(written)
        assert {layer.alpha for layer in found.layers.values()} == {6.0}


def test_what_a_run_says_of_credit_reaches_its_snapshots(dataset, tmp_path):
    root = shutil.copytree(dataset, tmp_path / "set")
    train(root, tmp_path / "work")
    card = root / "card.json"
    values = json.loads(card.read_text()) if card.is_file() else {}
    card.write_text(json.dumps({**values, "credits": ["Ada of Aruna"]}))
    assert train(root, tmp_path / "work")[-1].already_done
    folder = run_of(tmp_path / "work")
    for path in (folder / "lora.safetensors", *(folder / "snapshots").iterdir()):
        assert "Ada of Aruna" in read_metadata(path)["scoft.credits"], path.name


def test_what_is_up_to_date_is_not_read_again(run, dataset, monkeypatch):
    folder, _ = run
    monkeypatch.setattr(runs, "read_lora", None)
    assert train(dataset, folder.parent.parent)[-1].already_done


def test_a_finished_run_says_which_snapshots_it_lacks(run, dataset, tmp_path):
    folder, _ = run
    work = tmp_path / "work"
    shutil.copytree(folder, work / "runs" / folder.name)

    def said(every):
        config = dataclasses.replace(CONFIG, snapshot_every=every)
        events = train(dataset, work, config=config)
        warnings = [one.message for one in events if isinstance(one, WarningEvent)]
        assert events[-1].already_done
        return [message for message in warnings if "snapshots" in message]

    assert [len(said(every)) for every in (0, CONFIG.snapshot_every, 1)] == [0, 0, 1]
    assert "ended without the snapshots of 3 steps from step 1 on" in said(1)[0]


def test_a_run_without_a_lora_and_what_is_no_run_are_refused(run, tmp_path):
    folder, _ = run
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-00000000.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="has no LoRA yet. Let it train, with `snapshot_every`"):
        run_loras(tmp_path)
    with pytest.raises(ConfigError, match="is no run's folder, since its config.json cannot"):
        run_loras(tmp_path / "elsewhere")
    # Other programs' folders have a config.json, too.
    for other in ({}, {"run_id": "x"}, {"run_id": "x", "config": {}}, {"run_id": "x", "config": 3}):
        (tmp_path / "config.json").write_text(json.dumps(other))
        with pytest.raises(ConfigError, match="is no run's folder, since its config.json cannot"):
            run_loras(tmp_path)


def test_a_damaged_checkpoint_is_named(run, tmp_path):
    folder, _ = run
    unet = small_base(torch.float32).unet
    whole = folder / "checkpoints" / "step-00000005.safetensors"
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="is cut short"):
        read_any_lora(cut, unet)
    (tmp_path / "a" / "checkpoints").mkdir(parents=True)
    moved = tmp_path / "a" / "checkpoints" / whole.name
    moved.write_bytes(whole.read_bytes())
    with pytest.raises(ConfigError, match="config.json cannot be read"):
        read_any_lora(moved, unet)
    (tmp_path / "a" / "config.json").write_text((folder / "config.json").read_text())
    save_file({"lora.x.lora_A.default.weight": torch.zeros(2, 3)}, moved, read_metadata(whole))
    with pytest.raises(ModelFileError, match="match no module of this UNet"):
        read_any_lora(moved, unet)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("korea.safetensors", ("korea", "korea.safetensors", 1.0)),
        ("loras/korea.safetensors @ 0.8", ("korea", "loras/korea.safetensors", 0.8)),
        (r"loras\korea.safetensors@-1", ("korea", r"loras\korea.safetensors", -1.0)),
        (" SCoFT = a b.safetensors@.5 ", ("SCoFT", "a b.safetensors", 0.5)),
        ("x=me@home.safetensors", ("x", "me@home.safetensors", 1.0)),
        ("x=a=b@2.safetensors@2", ("x", "a=b@2.safetensors", 2.0)),
    ],
)
def test_a_model_is_named_in_a_line(text, expected):
    assert named_lora(text) == expected


def test_a_line_without_a_file_is_refused():
    for text in ("", "name =", "name = "):
        with pytest.raises(ConfigError, match="names no LoRA file. Write NAME=FILE"):
            named_lora(text)
