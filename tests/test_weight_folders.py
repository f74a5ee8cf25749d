"""Helpers' folders: found in their order, taken only whole, fetched file by named file."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scoft_training import weight_folders
from scoft_training.errors import ModelFileError
from scoft_training.weight_folders import FolderSpec, find_folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """No test sees or fills the caches of whoever runs it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.delenv("SCOFT_MODELS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "home"


SPEC = FolderSpec(
    name="helper",
    files=(("config.json",), ("model.safetensors", "model.safetensors.index.json")),
    link="https://example.org/helper",
    hub_repo="owner/helper",
    hub_revision="0" * 40,
)


def fill(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("{}")
    return folder


def find(home, **options):
    options = {"explicit": None, "allow_download": False, **options}
    return find_folder(SPEC, search_folders=[home / "host"], **options)


def test_folders_are_searched_in_order_and_taken_only_whole(home, tmp_path, monkeypatch):
    monkeypatch.setenv("SCOFT_MODELS", str(home / "models"))
    whole = ("config.json", "model.safetensors")
    snapshot = tmp_path / "cache" / "models--owner--helper" / "snapshots" / SPEC.hub_revision
    places = [snapshot, home / ".cache/scoft/helper", home / "models/helper", home / "host/helper"]
    for folder in places:
        fill(folder, "config.json")
    with pytest.raises(ModelFileError, match="are not all in one of"):
        find(home)
    for folder in places:
        fill(folder, *whole)
        assert find(home) == (folder / "config.json", folder / "model.safetensors")
    explicit = fill(tmp_path / "explicit", *whole)
    for named in (explicit, explicit / "model.safetensors"):
        assert find(home, explicit=named)[0].parent == explicit


@pytest.fixture
def fake_hub(monkeypatch):
    """Stand in for the hub's client; `files` is what the repository holds."""
    hub = SimpleNamespace(files={}, calls=[])

    class Api:
        def model_info(self, repo, revision, files_metadata):
            siblings = [SimpleNamespace(rfilename=n, size=s) for n, s in hub.files.items()]
            return SimpleNamespace(siblings=siblings)

    def snapshot_download(repo, revision, allow_patterns, local_dir):
        hub.calls.append((repo, revision, allow_patterns))
        shards = dict.fromkeys("ab", "model-00001-of-00001.safetensors")
        fill(Path(local_dir), *allow_patterns)
        for name in allow_patterns:
            if name.endswith("index.json"):
                (Path(local_dir) / name).write_text(json.dumps({"weight_map": shards}))

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return hub


def test_a_download_takes_the_pinned_json_and_safetensors_alone(home, fake_hub, caplog):
    caplog.set_level(logging.INFO, "scoft_training.weight_folders")
    fake_hub.files = {
        "README.md": 5,
        "code.py": 5,
        "config.json": 500_000,
        "model.safetensors": 3_000_000,
        "pytorch_model.bin": 7_000_000,
    }
    files = find(home, allow_download=True)
    assert files == tuple(home / "host/helper" / n for n in ("config.json", "model.safetensors"))
    names = ["config.json", "model.safetensors"]
    assert fake_hub.calls == [("owner/helper", "0" * 40, names)]
    assert caplog.messages == [
        "Downloading config.json, model.safetensors (3.5 MB) from https://huggingface.co/"
        f"owner/helper to {home}/host/helper"
    ]
    find(home, allow_download=True)
    assert len(fake_hub.calls) == 1


def test_shards_are_fetched_with_their_index(home, fake_hub):
    index, shard = "model.safetensors.index.json", "model-00001-of-00001.safetensors"
    fake_hub.files = {"config.json": 1, index: 1, shard: 1, "other-00001.safetensors": 1}
    assert find(home, allow_download=True)[1].name == index
    assert fake_hub.calls[0][2] == ["config.json", index, shard]


def test_a_failed_download_says_how_to_do_it_by_hand(home, fake_hub, monkeypatch):
    fake_hub.files = {"config.json": 1, "pytorch_model.bin": 1}
    by_hand = (
        r"Try again, or fetch these files from https://example\.org/helper yourself and put them "
        r"into .*host/helper\."
    )
    with pytest.raises(ModelFileError, match=rf"owner/helper has no model\.safetensors.*{by_hand}"):
        find(home, allow_download=True)

    def broken(*arguments, **options):
        raise ConnectionError("no route")

    fake_hub.files["model.safetensors"] = 1
    monkeypatch.setattr("huggingface_hub.snapshot_download", broken)
    with pytest.raises(ModelFileError, match=rf"download failed \(no route\)\. {by_hand}"):
        find(home, allow_download=True)


def test_the_room_loads_neither_the_hub_nor_safetensors_before_they_are_needed():
    code = (
        "import sys, scoft_training.weight_folders;"
        "sys.exit(' '.join({'huggingface_hub', 'safetensors'} & set(sys.modules)) or 0)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_public_names_are_pinned():
    assert weight_folders.__all__ == ["FolderSpec", "find_folder"]
