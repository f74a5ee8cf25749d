"""Pictures in files to vectors: in any order, batch or process, kept, stopped or unreadable."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
from drawings import drawing
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms.functional import pil_to_tensor

from scoft_training import picture_features
from scoft_training.errors import ConfigError, DatasetError, NotEnoughMemoryError
from scoft_training.files import file_sha256
from scoft_training.metric_network_interface import MetricNetwork, squeezed
from scoft_training.metric_networks import load_metric_network
from scoft_training.metrics import kid
from scoft_training.miniature.loading import register
from scoft_training.picture_features import PictureFeatures
from scoft_training.picture_folders import PictureFile, pictures_of_folder

SIZES = [(90, 60), (60, 90), (64, 64), (120, 80), (90, 60)]


class Corners(MetricNetwork):
    """The mean colour of a picture and of its left half; tells how often and what it was asked."""

    def __init__(self, side=None, scale=1.0):
        layer = torch.nn.Linear(6, 6, bias=False)
        torch.nn.init.constant_(layer.weight, scale)
        self.side, self.shapes = side, []
        super().__init__("corners", layer, settings={"side": side}, convention="Means.", dim=6)

    def prepare(self, images):
        return squeezed(images, self.side) if self.side else super().prepare(images)

    def _vectors(self, images):
        self.shapes.append(tuple(images.shape))
        halves = images[..., : images.shape[-1] // 2]
        return torch.cat([images.mean(dim=(2, 3)), halves.mean(dim=(2, 3))], dim=1)


@pytest.fixture
def folder(tmp_path):
    """Eleven pictures of four sizes."""
    (tmp_path / "pictures").mkdir()
    for number in range(11):
        picture = drawing(number, SIZES[number % len(SIZES)])
        picture.save(tmp_path / "pictures" / f"{number:02}.png")
    return tmp_path / "pictures"


@pytest.fixture
def files(folder):
    return pictures_of_folder(folder)


def plain(files):
    """The vectors as a slow plain version computes them."""
    rows = []
    for file in files:
        pixels = pil_to_tensor(Image.open(file.path)).double() / 255
        left = pixels[..., : pixels.shape[-1] // 2]
        rows.append(torch.cat([pixels.mean(dim=(1, 2)), left.mean(dim=(1, 2))]))
    return torch.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("turn", [1, -1])
def test_each_picture_gets_its_own_vector_in_the_order_asked(files, batch_size, turn):
    asked = files[::turn]
    vectors = PictureFeatures(Corners(), None, batch_size=batch_size).of(asked)
    assert (vectors.dtype, vectors.shape) == (torch.float32, (11, 6))
    torch.testing.assert_close(vectors.double(), plain(asked), rtol=0, atol=1e-5)


def test_pictures_of_one_size_go_together(files):
    network = Corners()
    PictureFeatures(network, None, batch_size=3).of(files)
    counts = {}
    for shape in network.shapes:
        counts.setdefault(shape[2:], []).append(shape[0])
    # Of eleven: five of 90 x 60 wide, two each of the three others.
    assert counts == {(60, 90): [3, 2], (90, 60): [2], (64, 64): [2], (80, 120): [2]}


def test_a_network_with_a_size_gets_full_batches_of_mixed_pictures(files):
    network = Corners(side=16)
    PictureFeatures(network, None, batch_size=4).of(files)
    assert network.shapes == [(4, 3, 16, 16), (4, 3, 16, 16), (3, 3, 16, 16)]


def test_few_pictures_wait_at_a_time(tmp_path):
    """Of forty sizes none fills a batch; what waits is bounded all the same."""
    (tmp_path / "pictures").mkdir()
    for number in range(40):
        drawing(number, (50 + number, 50)).save(tmp_path / "pictures" / f"{number}.png")
    files = pictures_of_folder(tmp_path / "pictures")
    network, seen = Corners(), []
    features = PictureFeatures(network, None, batch_size=2)
    for done, _ in features.steps(files, check_stop=lambda: seen.append(len(network.shapes))):
        assert len(seen) - done <= 16
    assert len(network.shapes) == 40


class Stop(Exception):
    pass


def stop_after(count):
    calls = []

    def check():
        calls.append(1)
        if len(calls) > count:
            raise Stop

    return check


def test_what_was_computed_before_a_stop_is_not_computed_again(files, tmp_path):
    first, second = Corners(side=16), Corners(side=16)
    with pytest.raises(Stop):
        PictureFeatures(first, tmp_path / "cache", batch_size=2).of(files, check_stop=stop_after(7))
    done = sum(shape[0] for shape in first.shapes)
    assert done == 6
    vectors = PictureFeatures(second, tmp_path / "cache", batch_size=2).of(files)
    assert sum(shape[0] for shape in second.shapes) == 11 - done
    whole = PictureFeatures(Corners(side=16), None).of(files)
    torch.testing.assert_close(vectors, whole, rtol=0, atol=1e-6)


def test_kept_vectors_need_no_file(files, tmp_path):
    before = PictureFeatures(Corners(), tmp_path / "cache").of(files)
    shutil.rmtree(files[0].path.parent)
    network = Corners()
    after = PictureFeatures(network, tmp_path / "cache").of(files[::-1])
    assert network.shapes == []
    assert torch.equal(after, before.flip(0))


def test_another_network_or_cut_does_not_get_the_kept_vectors(files, tmp_path):
    PictureFeatures(Corners(), tmp_path / "cache").of(files)
    for network, square in ((Corners(scale=2.0), False), (Corners(), True)):
        PictureFeatures(network, tmp_path / "cache", square=square).of(files)
        assert sum(shape[0] for shape in network.shapes) == 11


def test_shards_are_written_on_the_way(files, tmp_path, monkeypatch):
    monkeypatch.setattr(picture_features, "_SHARD_ROWS", 4)
    PictureFeatures(Corners(side=16), tmp_path / "cache", batch_size=1).of(files)
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 3


def test_a_picture_asked_for_twice_is_computed_once_and_returned_twice(folder, files):
    shutil.copy(files[0].path, folder / "copy.png")
    network = Corners(side=16)
    asked = [*pictures_of_folder(folder), files[3]]
    vectors = PictureFeatures(network, None).of(asked)
    assert vectors.shape == (13, 6)
    assert sum(shape[0] for shape in network.shapes) == 11
    torch.testing.assert_close(vectors.double(), plain(asked), rtol=0, atol=2e-2)


def test_progress_counts_all_files_and_ends_with_them(files, tmp_path):
    cache = tmp_path / "cache"
    PictureFeatures(Corners(), cache).of(files[:4])
    told = []
    PictureFeatures(Corners(), cache).of(files, on_progress=lambda *step: told.append(step))
    assert told == [(done, 11) for done in range(4, 12)]


def test_the_square_is_the_centre_that_training_cuts(tmp_path):
    picture = Image.new("RGB", (90, 60), (255, 0, 0))
    picture.paste((0, 0, 255), (15, 0, 75, 60))
    picture.save(tmp_path / "a.png")
    files = pictures_of_folder(tmp_path)
    network = Corners()
    whole = PictureFeatures(Corners(), None).of(files)
    cut = PictureFeatures(network, None, square=True).of(files)
    assert network.shapes == [(1, 3, 60, 60)]
    # Two thirds are blue of the whole, all of the square.
    assert whole[0, :3].tolist() == pytest.approx([1 / 3, 0, 2 / 3], abs=1e-5)
    assert cut[0, :3].tolist() == pytest.approx([0, 0, 1], abs=1e-5)


def break_some(folder, count=2):
    broken = sorted(folder.iterdir())[:count]
    for path in broken:
        path.write_bytes(path.read_bytes()[:200])
    return broken


def test_unreadable_pictures_are_all_named_and_the_rest_is_kept(folder, tmp_path):
    broken = break_some(folder)
    files = pictures_of_folder(folder)
    with pytest.raises(DatasetError) as caught:
        PictureFeatures(Corners(side=16), tmp_path / "cache").of(files)
    first, *lines = str(caught.value).splitlines()
    assert first == (
        "2 pictures cannot be measured. Mend them or take them away, or go on without them by "
        "`skip_unreadable`:"
    )
    assert {line.split(" cannot be read")[0] for line in lines} == {f"- {p}" for p in broken}
    network = Corners(side=16)
    good = [file for file in files if file.path not in broken]
    PictureFeatures(network, tmp_path / "cache").of(good)
    assert network.shapes == []


def test_of_many_unreadable_pictures_ten_are_named(tmp_path):
    files = [PictureFile(tmp_path / f"{n}.png", f"{n:064}") for n in range(13)]
    with pytest.raises(DatasetError) as caught:
        PictureFeatures(Corners(), None).of(files)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("13 pictures cannot be measured.")
    assert len(lines) == 12
    assert lines[1] == (
        f"- {tmp_path / '0.png'} does not exist. Put the picture there, or remove its mention."
    )
    assert lines[-1] == "- and 3 more"


def test_told_to_it_goes_on_without_them_and_says_which(folder):
    broken = break_some(folder)
    files = pictures_of_folder(folder)
    features = PictureFeatures(Corners(), None, skip_unreadable=True)
    told = []
    vectors = features.of(files, on_progress=lambda *step: told.append(step))
    kept = features.kept(files)
    assert [file.path for file in kept] == [f.path for f in files if f.path not in broken]
    torch.testing.assert_close(vectors.double(), plain(kept), rtol=0, atol=1e-5)
    assert {one.file.path for one in features.skipped} == set(broken)
    assert all(str(one.file.path) in one.reason for one in features.skipped)
    assert told[-1] == (11, 11)
    assert torch.equal(features.of(files), vectors)
    assert len(features.skipped) == 2
    nothing = features.of([one.file for one in features.skipped])
    assert nothing.shape == (0, 6)


def test_a_picture_that_changed_since_it_was_listed_is_not_taken_for_the_old_one(files, tmp_path):
    drawing(99, (64, 64)).save(files[2].path)
    with pytest.raises(DatasetError, match="is not the picture that was listed: it has changed"):
        PictureFeatures(Corners(), tmp_path / "cache").of(files)
    new = dataclasses.replace(files[2], sha256=file_sha256(files[2].path))
    network = Corners()
    PictureFeatures(network, tmp_path / "cache").of([*files[:2], new, *files[3:]])
    assert len(network.shapes) == 1


def test_too_little_memory_says_what_to_lower_and_keeps_what_was_computed(files, tmp_path):
    class Full(Corners):
        def _vectors(self, images):
            if len(self.shapes) == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super()._vectors(images)

    with pytest.raises(NotEnoughMemoryError) as caught:
        PictureFeatures(Full(side=16), tmp_path / "cache", batch_size=4).of(files)
    assert str(caught.value) == (
        "The memory of cpu does not suffice for corners on 4 pictures at once. Lower `batch_size`, "
        "or close other programs that use the device."
    )
    (shard,) = (tmp_path / "cache").rglob("*.safetensors")
    assert load_file(shard)["vectors"].shape == (8, 6)


def test_a_batch_of_none_is_refused():
    with pytest.raises(ConfigError, match="`batch_size` must be 1 or more but got 0"):
        PictureFeatures(Corners(), None, batch_size=0)


@pytest.fixture
def judge():
    register()
    return load_metric_network("miniature_judge", device="cpu")


def measured(network, files, **options):
    """KID between two halves of a folder, which the digests decide."""
    half = sorted(files, key=lambda file: file.sha256)[: len(files) // 2]
    features = PictureFeatures(network, None, **options)
    asked = {True: [], False: []}
    for file in files:
        asked[file in half].append(file)
    return kid(features.of(asked[True]), features.of(asked[False])).value


def test_a_metric_does_not_depend_on_order_names_or_batch_size(folder, files, judge, tmp_path):
    wanted = measured(judge, files)
    for batch_size in (1, 3, 16):
        assert measured(judge, files, batch_size=batch_size) == pytest.approx(wanted, abs=1e-5)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0)).tolist()
    assert measured(judge, [files[i] for i in order]) == pytest.approx(wanted, abs=1e-5)
    (tmp_path / "renamed").mkdir()
    for number, file in enumerate(files):
        shutil.copy(file.path, tmp_path / "renamed" / f"{97 * number % 11}.png")
    renamed = pictures_of_folder(tmp_path / "renamed")
    assert measured(judge, renamed) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.gpu
def test_a_metric_does_not_depend_on_the_device(files, judge):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    wanted = measured(judge, files)
    register()
    elsewhere = load_metric_network("miniature_judge", device="cuda")
    assert measured(elsewhere, files) == pytest.approx(wanted, abs=1e-5)


def test_the_public_names_are_pinned():
    assert picture_features.__all__ == ["PictureFeatures", "Unreadable"]
