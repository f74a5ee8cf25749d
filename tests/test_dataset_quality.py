"""What a set repeats, blurs and leaks: measured once, told without opening a picture."""

import shutil
from unittest import mock

import pytest
import torch
from drawings import drawing, write_set
from PIL import ImageFilter, ImageOps
from stack import PoolBackbone

from scoft_training import backbones, dataset_quality
from scoft_training.backbones import register_backbone
from scoft_training.config import ReportConfig
from scoft_training.data import read_dataset
from scoft_training.dataset_quality import known_problems, measure, quality_of
from scoft_training.errors import ConfigError
from scoft_training.events import PhaseEvent, StopRequested, WarningEvent
from scoft_training.likeness import read_likeness
from scoft_training.picture_measures import read_measures

NO_SECOND = ReportConfig(similar_backbone="none")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Seven pictures and a test split of two, with one of everything that can be wrong."""
    root = tmp_path_factory.mktemp("sets") / "aruna"
    plain = [drawing(seed) for seed in range(3)]
    pictures = [
        *plain,
        ImageOps.mirror(plain[0]),
        drawing(7).filter(ImageFilter.GaussianBlur(6)),
        drawing(8, (300, 320)),
        drawing(9, (1400, 560)),
    ]
    write_set(root, pictures)
    write_set(root, [drawing(20), plain[1].resize((700, 612))], "test")
    return root


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


def both(root):
    return read_dataset(root), read_dataset(root, "test")


def rows_of(pairs):
    return [(pair.one.number, pair.other.number) for pair in pairs]


def test_each_kind_is_found_in_its_row_and_nowhere_else(root, work):
    train, test = both(root)
    list(measure(train, work, NO_SECOND, held_out=test))
    found = quality_of(train, work, NO_SECOND, held_out=test)
    assert rows_of(found.pairs) == [(1, 4)]
    assert found.pairs[0].mirrored
    assert rows_of(found.leaks) == [(2, 2)]
    assert [row.number for row, _ in found.blurred] == [5]
    assert [row.number for row, _ in found.small] == [6]
    assert [row.number for row, _ in found.cut] == [7]
    assert (found.captions, found.unmeasured, found.second_opinion) == ((), (), None)


def test_problems_are_sentences_by_picture_and_open_none(root, work):
    train, test = both(root)
    list(measure(train, work, NO_SECOND, held_out=test))
    with mock.patch.object(dataset_quality, "open_picture", side_effect=AssertionError):
        found = known_problems(train, work, held_out=test)
    kinds = {
        row.number: [problem.kind for problem in found.get(row.sha256, [])] for row in train.rows
    }
    assert kinds == {
        1: ["near-duplicate"],
        2: ["test-leak"],
        3: [],
        4: ["near-duplicate"],
        5: ["blurred"],
        6: ["small-picture"],
        7: ["extreme-aspect"],
    }
    messages = [problem.message for of in found.values() for problem in of]
    assert any("row 1: `images/0000.png` looks like row 4 (mirrored, " in one for one in messages)
    assert any("of which a square keeps 40%" in one for one in messages)
    assert not any(problem.is_error for of in found.values() for problem in of)


def test_nothing_is_known_before_it_is_measured(root, work):
    train, _ = both(root)
    assert known_problems(train, work) == {}
    assert len(quality_of(train, work).unmeasured) == 7


def test_pictures_are_measured_once_though_the_set_moves(root, work, tmp_path):
    train, _ = both(root)
    events = list(measure(train, work, NO_SECOND))
    assert events[-1] == PhaseEvent("measure", 7, 7)
    shutil.copytree(root, tmp_path / "elsewhere")
    moved = read_dataset(tmp_path / "elsewhere")
    with mock.patch.object(dataset_quality, "open_picture", side_effect=AssertionError):
        assert list(measure(moved, work, NO_SECOND)) == [PhaseEvent("measure", 0, 0)]


def test_stopped_it_keeps_what_is_measured_and_goes_on(root, work, monkeypatch):
    monkeypatch.setattr(dataset_quality, "_AT_ONCE", 2)
    train, _ = both(root)
    checks = iter([False, False, True])

    def check_stop():
        if next(checks):
            raise StopRequested

    with pytest.raises(StopRequested):
        list(measure(train, work, NO_SECOND, check_stop=check_stop))
    assert len(read_measures(work)) == 4
    assert next(measure(train, work, NO_SECOND)) == PhaseEvent("measure", 0, 3)


def test_a_damaged_picture_is_named_and_the_others_are_measured(root, work, tmp_path):
    shutil.copytree(root, tmp_path / "damaged")
    path = tmp_path / "damaged" / "train" / "images" / "0002.png"
    path.write_bytes(path.read_bytes()[:200])
    train = read_dataset(tmp_path / "damaged", check_pictures=False)
    warnings = [one for one in measure(train, work, NO_SECOND) if isinstance(one, WarningEvent)]
    assert len(warnings) == 1
    assert "row 3: `images/0002.png` cannot be read" in warnings[0].message
    assert [row.number for row in quality_of(train, work).unmeasured] == [3]


def test_equal_files_are_leaks_even_unmeasured(root, work, tmp_path):
    shutil.copytree(root, tmp_path / "leaky")
    images = tmp_path / "leaky" / "test" / "images"
    shutil.copy(tmp_path / "leaky" / "train" / "images" / "0002.png", images / "0000.png")
    train, test = both(tmp_path / "leaky")
    (leak,) = quality_of(train, work, held_out=test).leaks
    assert (leak.one.number, leak.other.number, leak.same) == (3, 1, True)


def test_captions_that_are_nearly_equal_are_told_and_equal_ones_left_to_the_check(tmp_path, work):
    captions = [
        "a woman in a red hanbok walks through the gate",
        "a woman in a red hanbok walks through a gate",
        "a bowl of soup",
        "A bowl of soup!",
    ]
    root = write_set(tmp_path / "set", [drawing(n, (64, 64)) for n in range(4)], captions=captions)
    train = read_dataset(root)
    found = quality_of(train, work).captions
    assert [(one.number, other.number, distance == 0) for one, other, distance in found] == [
        (1, 2, False),
        (3, 4, True),
    ]
    told = {problem.row for of in known_problems(train, work).values() for problem in of}
    assert told == {1, 2}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("near_duplicate_bits", 0),
        ("caption_overlap", 1.0),
        ("least_sharpness", 0.0),
        ("least_side", 1),
    ],
)
def test_each_threshold_counts(root, work, name, value):
    train, _ = both(root)
    list(measure(train, work, NO_SECOND))
    tuned = ReportConfig(similar_backbone="none", **{name: value})
    kind = {"least_sharpness": "blurred", "least_side": "small"}.get(name)
    if kind:
        assert getattr(quality_of(train, work), kind)
        assert not getattr(quality_of(train, work, tuned), kind)
    assert len(quality_of(train, work, tuned).pairs) <= len(quality_of(train, work).pairs)


def test_an_option_out_of_range_is_refused(root, work):
    train, _ = both(root)
    with pytest.raises(ConfigError, match="near_duplicate_bits"):
        list(measure(train, work, ReportConfig(near_duplicate_bits=65)))


@pytest.fixture
def second():
    with mock.patch.dict(backbones._REGISTRY):
        register_backbone(
            "dreamsim", lambda request: PoolBackbone(request.dtype), description="pool"
        )
        yield


def test_a_network_that_is_here_is_asked_once_and_finds_more(root, work, second):
    train, test = both(root)
    list(measure(train, work, held_out=test))
    opinion = read_likeness(work, "dreamsim")
    assert len(opinion.measured) == 9
    found = quality_of(train, work, held_out=test)
    assert found.second_opinion == "dreamsim"
    assert rows_of(found.pairs) == [(1, 4)]
    assert found.leaks[0].likeness == pytest.approx(
        opinion.of(found.leaks[0].one.sha256, found.leaks[0].other.sha256)
    )
    everything = quality_of(train, work, ReportConfig(similar_threshold=1.0))
    assert len(everything.pairs) == 7 * 6 // 2
    assert {pair.bits is None for pair in everything.pairs} == {True, False}
    # Asked again, it need not even be loaded.
    register_backbone("dreamsim", lambda request: pytest.fail("loaded"), description="pool")
    events = list(measure(train, work, held_out=test, device=torch.device("cpu")))
    assert events == [PhaseEvent("measure", 0, 0)]


def test_without_its_weights_nothing_is_said_and_nothing_fails(root, work, monkeypatch, tmp_path):
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    train, _ = both(root)
    list(measure(train, work))
    assert quality_of(train, work).second_opinion is None
    assert not (work / "likeness").exists()
