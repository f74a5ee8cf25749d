"""Small pictures are made once, whole, and never of another content."""

import hashlib
import io
import threading

import pytest
from PIL import Image

from scoft_training import thumbnails
from scoft_training.errors import ConfigError, DatasetError
from scoft_training.thumbnails import Thumbnails


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.jpg"
    Image.effect_noise((900, 600), 60).convert("RGB").save(path)
    return path


@pytest.fixture
def made(monkeypatch):
    names = []
    original = thumbnails.open_picture

    def noting(path, **options):
        names.append(path.name)
        return original(path, **options)

    monkeypatch.setattr(thumbnails, "open_picture", noting)
    return names


def size_of(data):
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        return opened.size


def test_sizes_are_rounded_up_and_each_is_made_once(tmp_path, picture, made):
    small = Thumbnails(tmp_path / "work")
    assert size_of(small.get(picture, 200, digest)) == (256, 171)
    again = Thumbnails(tmp_path / "work")
    assert size_of(again.get(picture, 256, digest)) == (256, 171)
    assert size_of(again.get(picture, 1024, digest)) == (900, 600)
    assert made == ["a.jpg", "a.jpg"]
    name = f"{digest(picture)}.jpg"
    found = sorted(path.relative_to(tmp_path) for path in (tmp_path / "work").rglob("*.jpg"))
    assert [path.parts for path in found] == [
        ("work", "thumbnails", "1024", name),
        ("work", "thumbnails", "256", name),
    ]


def test_it_looks_like_its_picture(tmp_path):
    path = tmp_path / "a.jpg"
    whole = Image.linear_gradient("L").resize((1200, 800)).convert("RGB")
    whole.save(path, quality=95)
    data = Thumbnails(tmp_path).get(path, 128, digest)
    with Image.open(io.BytesIO(data)) as small:
        for x, y in ((10, 10), (64, 40), (120, 80)):
            wanted = whole.getpixel((x * 1200 // 128, y * 800 // 85))
            assert abs(small.getpixel((x, y))[0] - wanted[0]) <= 8


def test_a_changed_picture_gets_another_one(tmp_path, picture):
    small = Thumbnails(tmp_path)
    before = small.get(picture, 128, digest)
    Image.new("RGB", (300, 300), "red").save(picture)
    assert small.get(picture, 128, digest) != before


def test_many_requests_at_once_get_it_whole_and_it_is_made_once(tmp_path, picture, made):
    small, answers = Thumbnails(tmp_path / "work"), []
    ask = [
        threading.Thread(target=lambda: answers.append(small.get(picture, 256, digest)))
        for _ in range(12)
    ]
    for one in ask:
        one.start()
    for one in ask:
        one.join()
    assert len(answers) == 12
    assert len(set(answers)) == 1
    assert len(made) <= 2  # as many as may decode at once


def test_what_a_killed_process_left_is_removed(tmp_path):
    folder = tmp_path / "thumbnails" / "256"
    folder.mkdir(parents=True)
    (folder / "a.jpg.writing-999999999-abc").write_bytes(b"half")
    Thumbnails(tmp_path)
    assert list(folder.iterdir()) == []


def test_what_is_no_picture_is_a_sentence(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_text("no picture")
    with pytest.raises(DatasetError, match="`a.jpg` is not a picture"):
        Thumbnails(tmp_path).get(path, 128, digest)
    with pytest.raises(ConfigError, match="`size` must be between 64 and 1024 but got 4000"):
        Thumbnails(tmp_path).get(path, 4000, digest)
