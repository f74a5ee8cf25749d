"""The cache of vectors: what goes in comes out, whoever writes at the same time, or it is gone."""

import hashlib
import logging
import multiprocessing

import pytest
import torch
from safetensors.torch import load_file, save_file

from scoft_training import feature_shards
from scoft_training.feature_shards import FeatureShards

DIGEST = "ab" * 32


def name(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def some(numbers, dim=5):
    draw = torch.Generator()
    return {name(n): torch.randn(dim, generator=draw.manual_seed(n)) for n in numbers}


def fill(cache, numbers):
    FeatureShards(cache, DIGEST, 5).write(some(numbers))


def read(cache, numbers, dim=5, digest=DIGEST):
    return FeatureShards(cache, digest, dim).read({name(n) for n in numbers})


def assert_same(got, wanted):
    assert got.keys() == wanted.keys()
    assert all(torch.equal(got[key], wanted[key]) for key in got)


def test_what_was_written_is_read_and_nothing_else(tmp_path):
    fill(tmp_path, range(4))
    fill(tmp_path, range(4, 6))
    assert_same(read(tmp_path, [1, 5, 9]), some([1, 5]))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2


def test_the_vectors_of_another_network_are_not_mixed_in(tmp_path):
    fill(tmp_path, range(3))
    assert read(tmp_path, range(3), digest="cd" * 32) == {}


def test_a_shard_is_written_once_and_never_changed(tmp_path):
    fill(tmp_path, range(3))
    (shard,) = tmp_path.rglob("*.safetensors")
    before = shard.stat().st_mtime_ns, shard.read_bytes()
    fill(tmp_path, [7])
    assert (shard.stat().st_mtime_ns, shard.read_bytes()) == before


def test_the_same_vectors_are_the_same_shard_in_whatever_order_they_came(tmp_path):
    fill(tmp_path, [1, 2, 3])
    fill(tmp_path, [3, 2, 1])
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_without_a_cache_nothing_is_kept_and_nothing_found():
    shards = FeatureShards(None, DIGEST, 5)
    shards.write(some([1]))
    assert shards.read({name(1)}) == {}


def test_one_reader_sees_what_another_writes_later(tmp_path):
    shards = FeatureShards(tmp_path, DIGEST, 5)
    fill(tmp_path, [1, 2])
    assert_same(shards.read({name(1)}), some([1]))
    fill(tmp_path, [3])
    assert_same(shards.read({name(2), name(3)}), some([2, 3]))


def test_a_shard_that_holds_nothing_wanted_is_opened_once(tmp_path, monkeypatch):
    fill(tmp_path, [1, 2])
    fill(tmp_path, [3])
    shards = FeatureShards(tmp_path, DIGEST, 5)
    shards.read({name(9)})
    opened = []
    real = feature_shards.load_tensors
    monkeypatch.setattr(
        feature_shards, "load_tensors", lambda path: opened.append(path) or real(path)
    )
    assert_same(shards.read({name(3)}), some([3]))
    assert len(opened) == 1


def shorten(path):
    path.write_bytes(path.read_bytes()[:-3])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def strange(path):
    save_file({"other": torch.zeros(3)}, path)


@pytest.mark.parametrize("damage", [shorten, flip, empty, strange])
def test_a_damaged_shard_is_told_and_deleted_and_the_others_are_read(tmp_path, damage, caplog):
    fill(tmp_path, [1, 2])
    (shard,) = tmp_path.rglob("*.safetensors")
    damage(shard)
    fill(tmp_path, [3])
    with caplog.at_level(logging.WARNING):
        assert_same(read(tmp_path, [1, 2, 3]), some([3]))
    assert f"{shard} is damaged; its pictures are measured anew" in caplog.text
    assert not shard.exists()
    fill(tmp_path, [1, 2])
    assert_same(read(tmp_path, [1, 2, 3]), some([1, 2, 3]))


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path, caplog):
    (tmp_path / "cache").write_text("a file in its place")
    with caplog.at_level(logging.WARNING):
        fill(tmp_path / "cache", [1])
    assert "features are not kept" in caplog.text


def test_processes_may_write_at_the_same_time(tmp_path):
    context = multiprocessing.get_context("spawn")
    parts = [range(number * 20, number * 20 + 30) for number in range(3)]
    workers = [context.Process(target=fill, args=(tmp_path, part)) for part in parts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert_same(read(tmp_path, range(70)), some(range(70)))


def test_a_shard_holds_what_its_room_says(tmp_path):
    fill(tmp_path, [1, 2])
    (shard,) = (tmp_path / DIGEST[:32]).glob("*.safetensors")
    tensors = load_file(shard)
    assert tensors["pictures"].shape == (2, 32)
    assert tensors["vectors"].shape == (2, 5)
    assert bytes(tensors["pictures"][0].tolist()).hex() == min(name(1), name(2))


def test_the_public_names_are_pinned():
    assert feature_shards.__all__ == ["FeatureShards", "is_shard", "shard_pictures"]
