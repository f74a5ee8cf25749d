"""Helpers' weights: found in their order, fetched only when pinned, opened only when safe."""

import hashlib
import http.server
import logging
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scoft_training import weights
from scoft_training.errors import ModelFileError, OutputError
from scoft_training.weights import WeightsSpec, fill_network, find_weights, load_tensors

CONTENT = b"seventeen weights" * 5003
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No test sees or fills the caches of whoever runs it."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("SCOFT_MODELS", raising=False)
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return home


@pytest.fixture
def server():
    """Serve CONTENT at any path on loopback; /short ends early, /away redirects to ftp."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests.append(self.path)
            if self.path == "/missing":
                self.send_error(404)
                return
            self.send_response(302 if self.path == "/away" else 200)
            if self.path == "/away":
                self.send_header("Location", "ftp://127.0.0.1/helper.bin")
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1009] if self.path == "/short" else CONTENT)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def make_spec(url="http://127.0.0.1:9/helper.bin", sha256=DIGEST, **changes):
    values = {"name": "helper", "file_names": ("helper.bin", "helper.safetensors"), **changes}
    return WeightsSpec(url=url, sha256=sha256, **values)


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"w")
    return path


def find(spec, explicit=None, allow_download=False, search_folders=()):
    return find_weights(
        spec, explicit=explicit, allow_download=allow_download, search_folders=search_folders
    )


def test_places_are_searched_in_their_order(tmp_path, home, monkeypatch):
    spec = make_spec(hub_repo="some/helper", shared_folders=("~/.cache/other",), in_torch_hub=True)
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    snapshot = tmp_path / "hub" / "models--some--helper"
    write(snapshot / "refs" / "main").write_text("abc123")
    last_to_first = [
        snapshot / "snapshots" / "abc123" / "helper.safetensors",
        home / ".cache" / "torch" / "hub" / "checkpoints" / "helper.bin",
        home / ".cache" / "other" / "helper.safetensors",
        home / ".cache" / "scoft" / "helper" / "helper.bin",
        tmp_path / "models" / "helper" / "helper.safetensors",
        tmp_path / "models" / "helper" / "helper.bin",
        tmp_path / "host" / "helper" / "helper.safetensors",
    ]
    for path in last_to_first:
        write(path)
        assert find(spec, search_folders=[tmp_path / "host"]) == path
    explicit = write(tmp_path / "mine.bin")
    assert find(spec, explicit=explicit, search_folders=[tmp_path / "host"]) == explicit


def test_an_explicit_folder_gives_the_best_of_the_names(tmp_path):
    second = write(tmp_path / "helper.safetensors")
    assert find(make_spec(), explicit=tmp_path) == second
    first = write(tmp_path / "helper.bin")
    assert find(make_spec(), explicit=tmp_path) == first


def test_a_pinned_revision_takes_no_other_snapshot(tmp_path):
    snapshot = tmp_path / "hub" / "models--some--helper" / "snapshots"
    write(snapshot / "old" / "helper.bin")
    with pytest.raises(ModelFileError, match=r"and the Hugging Face cache \(some/helper\)"):
        find(make_spec(hub_repo="some/helper", hub_revision="new"))
    assert find(make_spec(hub_repo="some/helper", hub_revision="old")).is_file()


def test_an_explicit_path_is_never_replaced_by_another(tmp_path, monkeypatch):
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path))
    write(tmp_path / "helper" / "helper.bin")
    with pytest.raises(ModelFileError) as caught:
        find(make_spec(), explicit=tmp_path / "typo.bin")
    assert str(caught.value) == (
        f"{tmp_path / 'typo.bin'}: there is no such file or folder. Name the weights of helper, or "
        "leave the path empty to have them looked for."
    )
    with pytest.raises(ModelFileError) as caught:
        find(make_spec(), explicit=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: this folder holds no weights of helper. Put helper.bin or helper.safetensors "
        "there, or name the file itself."
    )


def test_without_downloads_one_sentence_names_file_folders_and_link(tmp_path, home, monkeypatch):
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path / "models"))
    own, cache = tmp_path / "models" / "helper", home / ".cache" / "scoft" / "helper"
    with pytest.raises(ModelFileError) as caught:
        find(make_spec())
    assert str(caught.value) == (
        f"helper.bin: the weights of helper are not in {own}, {cache}, and downloads are switched "
        f"off. Allow them, or fetch http://127.0.0.1:9/helper.bin yourself and put it into {own}."
    )
    with pytest.raises(ModelFileError, match=r"there is no link to fetch them from\. Put them"):
        find(make_spec(url=""), allow_download=True)


@pytest.mark.parametrize("sha256", [DIGEST, DIGEST[:8]])
def test_a_download_lands_complete_and_is_found_the_next_time(
    tmp_path, server, monkeypatch, caplog, sha256
):
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path / "models"))
    spec = make_spec(url=f"{server.url}/helper.bin", sha256=sha256)
    with caplog.at_level(logging.INFO, logger="scoft_training.weights"):
        path = find(spec, allow_download=True)
    assert path == tmp_path / "models" / "helper" / "helper.bin"
    assert path.read_bytes() == CONTENT
    assert [child.name for child in path.parent.iterdir()] == ["helper.bin"]
    # 17 bytes x 5003 = 85,051 bytes.
    assert caplog.messages == [f"Downloading helper.bin (0.1 MB) from {spec.url} to {path.parent}"]
    assert find(spec, allow_download=True) == path
    assert server.requests == ["/helper.bin"]


def test_a_download_goes_to_the_host_folder_or_the_cache_when_no_folder_is_set(
    tmp_path, home, server
):
    spec = make_spec(url=f"{server.url}/helper.bin")
    host = find(spec, allow_download=True, search_folders=[tmp_path / "host"])
    assert host == tmp_path / "host" / "helper" / "helper.bin"
    assert find(spec, allow_download=True) == home / ".cache" / "scoft" / "helper" / "helper.bin"


@pytest.mark.parametrize(
    ("path", "sha256", "reason"),
    [
        ("/other", "0" * 64, f"sha256 {DIGEST[:16]}... instead of {'0' * 16}..., so it was thrown"),
        ("/unpinned", "", "sha256"),
        ("/short", DIGEST, "ended after 1009 of 85051 bytes"),
        ("/missing", DIGEST, "HTTP Error 404"),
        ("/away", DIGEST, "ftp"),
    ],
)
def test_a_download_that_is_not_the_pinned_file_leaves_nothing(home, server, path, sha256, reason):
    spec = make_spec(url=server.url + path, sha256=sha256)
    with pytest.raises(ModelFileError, match=re.escape(reason)) as caught:
        find(spec, allow_download=True)
    assert "helper.bin: the weights of helper are not in" in str(caught.value)
    assert f"Try again, or fetch {spec.url} yourself and put it into" in str(caught.value)
    assert [entry for entry in home.rglob("*") if entry.is_file()] == []


def test_only_http_links_are_followed(tmp_path):
    secret = write(tmp_path / "secret")
    with pytest.raises(ModelFileError, match="only http and https links are followed"):
        find(make_spec(url=secret.as_uri()), allow_download=True)


def test_a_place_that_cannot_be_written_is_said_to_be_one(tmp_path, server, monkeypatch):
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path))
    (tmp_path / "helper" / "helper.bin").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"helper\.bin: could not be written"):
        find(make_spec(url=f"{server.url}/helper.bin"), allow_download=True)


def test_tensors_of_all_readable_forms_come_back_as_they_were(tmp_path):
    tensors = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(5, dtype=torch.float16)}
    save_file(tensors, tmp_path / "one.safetensors")
    torch.save(tensors, tmp_path / "two.pth")
    torch.save(tensors, tmp_path / "three.pth", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "four.pt")
    for name in ("one.safetensors", "two.pth", "three.pth", "four.pt"):
        loaded = load_tensors(tmp_path / name)
        assert list(loaded) == list(tensors)
        for key, tensor in tensors.items():
            torch.testing.assert_close(loaded[key], tensor, rtol=0, atol=0)


class Scripted(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.linear(inputs)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_an_archive_is_opened_only_if_its_digest_was_known(tmp_path, monkeypatch):
    path, module = tmp_path / "archive.pt", Scripted()
    torch.jit.save(torch.jit.script(module), str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    loaded = load_tensors(path, sha256=digest)
    torch.testing.assert_close(loaded, dict(module.state_dict()), rtol=0, atol=0)
    assert not any(tensor.requires_grad for tensor in loaded.values())

    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: pytest.fail("the archive was opened"))
    for wrong in (None, digest[:8], "0" * 64):
        with pytest.raises(ModelFileError, match=r"archive\.pt: this is a TorchScript archive, .*"):
            load_tensors(path, sha256=wrong)


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


def test_everything_else_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"a": Trap()}, protocol=2))
    torch.save({"a": Trap()}, tmp_path / "trap_in_zip.pth")
    (tmp_path / "text.pth").write_text("not found")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save({"a": torch.zeros(700)}, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:900])
    for name in ("trap.pth", "trap_in_zip.pth", "text.pth", "empty.pth", "cut.pth"):
        with pytest.raises(ModelFileError, match=f"{name}: cannot be read as weights"):
            load_tensors(tmp_path / name)
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    torch.save({"a": torch.zeros(2), "epoch": 3}, tmp_path / "mixed.pth")
    for name in ("list.pth", "mixed.pth"):
        with pytest.raises(ModelFileError, match=f"{name}: holds no table of named tensors"):
            load_tensors(tmp_path / name)
    (tmp_path / "damaged.safetensors").write_bytes(b"\x09" * 100)
    with pytest.raises(ModelFileError, match=r"cannot be read as safetensors .*fetch it again"):
        load_tensors(tmp_path / "damaged.safetensors")
    with pytest.raises(ModelFileError, match=r"nowhere\.pth: there is no such file\."):
        load_tensors(tmp_path / "nowhere.pth")


def test_a_network_takes_weights_that_fit_and_no_others(tmp_path):
    with torch.device("meta"):
        network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    source = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    tensors = {k: v for k, v in source.state_dict().items() if "num_batches" not in k}
    for changed in (
        {key: value for key, value in tensors.items() if key != "0.bias"},
        {**tensors, "0.weight": torch.zeros(3, 2)},
        {**tensors, "2.weight": torch.zeros(7)},
    ):
        with pytest.raises(ModelFileError):
            fill_network(network, changed, path=tmp_path, expected="a pair")
        assert all(tensor.is_meta for tensor in network.state_dict().values())

    fill_network(network, tensors, path=tmp_path, expected="a pair")
    torch.testing.assert_close(network(torch.ones(5, 3)), source(torch.ones(5, 3)))


def test_the_message_names_the_first_weights_that_differ(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 5))
    tensors = {"0.weight": torch.zeros(2, 4), "0.bias": torch.zeros(2), "x": torch.zeros(1)}
    with pytest.raises(ModelFileError) as caught:
        fill_network(network, tensors, path=tmp_path / "w.pth", expected="a pair")
    assert str(caught.value) == (
        f"{tmp_path / 'w.pth'}: does not hold the weights of a pair: 1.weight is missing; 1.bias "
        "is missing; 0.weight has the shape (2, 4) instead of (2, 3); and 1 more. Name the right "
        "file, or leave the path empty to have it looked for."
    )


def test_the_room_loads_neither_the_hub_nor_safetensors_before_they_are_needed():
    code = (
        "import sys, scoft_training.weights;"
        "sys.exit(' '.join({'huggingface_hub', 'safetensors'} & set(sys.modules)) or 0)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_public_names_are_pinned():
    assert weights.__all__ == [
        "WeightsSpec",
        "download_folder",
        "fill_network",
        "find_weights",
        "load_tensors",
        "own_folders",
    ]
