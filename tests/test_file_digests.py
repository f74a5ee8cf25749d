"""Digests of files are remembered, and never those of another content."""

import hashlib
import json
import os
import threading

import pytest

from scoft_training import file_digests
from scoft_training.file_digests import DIGESTS, FileDigests

OLD = 1_700_000_000


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def write(path, data, at=OLD):
    path.write_bytes(data)
    os.utime(path, (at, at))
    return path


@pytest.fixture
def read(monkeypatch):
    """The files that were really read, in order."""
    names = []
    original = file_digests.file_sha256

    def noting(path):
        names.append(path.name)
        return original(path)

    monkeypatch.setattr(file_digests, "file_sha256", noting)
    return names


def test_a_file_is_read_once_also_by_the_next_server(tmp_path, read):
    path = write(tmp_path / "é 그림.jpg", b"one")
    work = tmp_path / "work"
    first = FileDigests(work)
    assert first.sha256(path) == first.sha256(path) == sha256(b"one")
    first.save()
    again = FileDigests(work)
    assert again.sha256(path) == sha256(b"one")
    assert read == [path.name]


@pytest.mark.parametrize(
    ("data", "at"),
    [(b"three", OLD), (b"two", OLD + 5), (b"two", OLD)],
    ids=["size", "time", "same"],
)
def test_a_changed_file_is_read_again_even_if_its_time_was_put_back(tmp_path, read, data, at):
    path = write(tmp_path / "a.jpg", b"one")
    digests = FileDigests(tmp_path / "work")
    digests.sha256(path)
    write(path, data, at)
    assert digests.sha256(path) == sha256(data)
    assert len(read) == 2


def test_a_file_written_a_moment_ago_is_not_trusted_yet(tmp_path, read):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    digests = FileDigests(tmp_path / "work")
    digests.sha256(path)
    digests.sha256(path)
    digests.save()
    assert len(read) == 2
    assert not (tmp_path / "work").exists()


def test_files_that_are_gone_are_forgotten_and_others_kept(tmp_path):
    paths = [write(tmp_path / f"{number}.jpg", b"x") for number in range(3)]
    digests = FileDigests(tmp_path)
    for path in paths:
        digests.sha256(path)
    digests.save()
    paths[0].unlink()
    later = FileDigests(tmp_path)
    later.sha256(write(tmp_path / "new.jpg", b"y"))
    later.save()
    known = json.loads((tmp_path / DIGESTS).read_text())
    assert sorted(name.rsplit("/", 1)[-1] for name in known) == ["1.jpg", "2.jpg", "new.jpg"]


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": [[1, 2], "x"]}'])
def test_a_damaged_file_counts_as_none(tmp_path, text):
    (tmp_path / DIGESTS).write_text(text)
    path = write(tmp_path / "a.jpg", b"one")
    digests = FileDigests(tmp_path)
    assert digests.sha256(path) == sha256(b"one")
    digests.save()
    assert list(json.loads((tmp_path / DIGESTS).read_text())) == [str(path)]


def test_a_work_folder_that_cannot_be_written_is_no_error(tmp_path, caplog):
    (tmp_path / "work").write_text("a file where the folder should be")
    path = write(tmp_path / "a.jpg", b"one")
    digests = FileDigests(tmp_path / "work")
    digests.sha256(path)
    digests.save()
    assert "could not be written" in caplog.text


def test_a_missing_file_is_the_systems_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        FileDigests(tmp_path).sha256(tmp_path / "a.jpg")


def test_several_threads_ask_at_once(tmp_path):
    paths = [write(tmp_path / f"{number}.jpg", b"%d" % number) for number in range(40)]
    digests = FileDigests(tmp_path / "work")
    found = [{} for _ in range(4)]

    def ask(mine):
        for path in paths:
            mine[path.name] = digests.sha256(path)
            digests.save()

    threads = [threading.Thread(target=ask, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == {f"{n}.jpg": sha256(b"%d" % n) for n in range(40)} for mine in found)
