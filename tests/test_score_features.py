"""Vectors of files for scoring: cut square, once each, found by digest."""

import pytest
import torch
from PIL import Image

from scoft_training.errors import DatasetError, NotEnoughMemoryError
from scoft_training.events import PhaseEvent
from scoft_training.files import file_sha256
from scoft_training.metric_networks import load_metric_network
from scoft_training.miniature.loading import register
from scoft_training.picture_folders import PictureFile
from scoft_training.score_features import measured

register()


@pytest.fixture(scope="module")
def judge():
    return load_metric_network("miniature_judge", device="cpu")


def saved(path, picture):
    picture.save(path)
    return PictureFile(path, file_sha256(path))


def noise(seed, width=96, height=96):
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (height, width, 3), generator=draw, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def run(steps):
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            return events, end.value


def vectors_of(judge, files, cache, **options):
    options = {"batch_size": 4, "skip_unreadable": False} | options
    return run(measured(judge, files, cache, **options))


@pytest.mark.parametrize("size", [(131, 96), (96, 151)])
def test_only_the_square_at_the_centre_enters(judge, tmp_path, size):
    square = noise(1)
    wide = noise(2, *size)
    wide.paste(square, ((size[0] - 96) // 2, (size[1] - 96) // 2))
    files = [saved(tmp_path / "a.png", square), saved(tmp_path / "b.png", wide)]

    _, vectors = vectors_of(judge, files, tmp_path / "cache")

    one, other = vectors.of(files)
    assert torch.equal(one, other)


def test_vectors_come_in_the_order_in_which_they_are_asked_for(judge, tmp_path):
    files = [saved(tmp_path / f"{seed}.png", noise(seed)) for seed in range(3)]

    events, vectors = vectors_of(judge, [*files, files[0]], tmp_path / "cache")

    rows = vectors.of(files)
    assert torch.equal(vectors.of([files[2], files[0], files[2]]), rows[[2, 0, 2]])
    assert not torch.equal(rows[0], rows[1])
    # Each picture counts once, however often it is wanted.
    assert events[-1] == PhaseEvent("pictures under miniature_judge", 3, 3)
    assert vectors.has(files[1])
    assert not vectors.has(PictureFile(tmp_path / "x.png", "00"))


def test_events_come_now_and_then(judge, tmp_path):
    files = [saved(tmp_path / f"{seed}.png", noise(seed, 16, 16)) for seed in range(35)]

    events, _ = vectors_of(judge, files, tmp_path / "cache", batch_size=1)

    assert sorted({event.done for event in events}) == [0, 16, 32, 35]


def test_too_little_memory_says_what_to_lower(judge, tmp_path, monkeypatch):
    def full(images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(judge, "embed_prepared", full)

    with pytest.raises(NotEnoughMemoryError, match="on 4 pictures at once. Lower `batch_size`"):
        vectors_of(judge, [saved(tmp_path / "1.png", noise(1))], tmp_path / "cache")


def test_unreadable_pictures_are_left_out_only_if_told(judge, tmp_path):
    files = [saved(tmp_path / f"{seed}.png", noise(seed)) for seed in range(3)]
    (tmp_path / "1.png").write_bytes(b"no picture")
    bad = PictureFile(tmp_path / "1.png", file_sha256(tmp_path / "1.png"))
    files[1] = bad

    with pytest.raises(DatasetError, match="1.png"):
        vectors_of(judge, files, tmp_path / "cache")
    _, vectors = vectors_of(judge, files, tmp_path / "cache", skip_unreadable=True)

    assert [one.file for one in vectors.skipped] == [bad]
    assert not vectors.has(bad)
    assert vectors.of([files[0], files[2]]).shape == (2, 128)
