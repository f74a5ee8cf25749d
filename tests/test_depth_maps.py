"""Depth of a set's rows: estimated, brought, or connected; written once, found by what follows."""

import dataclasses
import json
from unittest import mock

import pytest
import torch
from random_stack import draw_demo_dataset, random_controlnet

from scoft_training import control_models
from scoft_training.cli import main
from scoft_training.config import NegativesConfig
from scoft_training.data import read_dataset
from scoft_training.depth import DepthEstimator, load_depth_picture
from scoft_training.depth_maps import GivenDepth, SquareCrop, cropped_picture
from scoft_training.errors import ConfigError
from scoft_training.events import FinishedEvent, PhaseEvent, StoppedEvent
from scoft_training.helper_runs import DepthRequest, NegativesRequest, make_depth, make_negatives

pytestmark = pytest.mark.usefixtures("small_registry")

CONFIG = NegativesConfig(
    resolution=64, negatives_per_picture=1, inference_steps=2, filter_backbone="none"
)


class Brightness:
    """Stands in for a network: the mean of the colours, and a count of the calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, pixel_values):
        self.calls += 1
        return pixel_values.mean(1)


@pytest.fixture
def brightness():
    network = Brightness()
    with mock.patch.dict(control_models._DEPTHS):
        control_models.register_depth(
            "brightness", lambda: DepthEstimator(network, digest="brightness", multiple=8)
        )
        yield network


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "aruna"
    draw_demo_dataset(root, num_pictures=3, negatives=0)
    path = root / "train" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        del row["depth"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def request(dataset, tmp_path, **values):
    defaults = {"depth": "brightness", "device": "cpu", "work": tmp_path / "work"}
    return DepthRequest(dataset, CONFIG, **{**defaults, **values})


def carry_out(generator):
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return events, end.value


def test_each_row_gets_its_own_depth_once(dataset, tmp_path, brightness):
    events, found = carry_out(make_depth(request(dataset, tmp_path)))
    assert isinstance(events[-1], FinishedEvent)
    assert events[:4] == [PhaseEvent("depth", done, 3) for done in range(4)]
    assert [row.number for row, _ in found] == [1, 2, 3]
    assert brightness.calls == 3
    for row, path in found:
        grey = cropped_picture(row, SquareCrop.of(CONFIG)).mean(0, keepdim=True)
        wanted = (grey - grey.min()) / (grey.max() - grey.min())
        torch.testing.assert_close(load_depth_picture(path), wanted, atol=1 / 65535, rtol=0)
    carry_out(make_depth(request(dataset, tmp_path)))
    assert brightness.calls == 3


def test_stopping_keeps_what_is_done(dataset, tmp_path, brightness):
    asked = iter([False, False, True])
    events, found = carry_out(
        make_depth(request(dataset, tmp_path), should_stop=lambda: next(asked))
    )
    assert isinstance(events[-1], StoppedEvent)
    assert found == []
    events, _ = carry_out(make_depth(request(dataset, tmp_path)))
    assert events[0] == PhaseEvent("depth", 2, 3)
    assert brightness.calls == 3


def test_a_row_that_brings_depth_needs_no_network(tmp_path):
    draw_demo_dataset(tmp_path / "aruna", num_pictures=2, negatives=0)
    asked = request(tmp_path / "aruna", tmp_path, depth=None, allow_download=False)
    _, found = carry_out(make_depth(asked))
    assert all(path.is_file() for _, path in found)


@pytest.fixture
def negatives(dataset, tmp_path):
    """Draw them with connected depth pictures."""
    controlnet = control_models.ControlNet.of("small", random_controlnet())

    def draw(depths, **values):
        asked = NegativesRequest(
            dataset,
            "small",
            controlnet,
            dataclasses.replace(CONFIG, **values),
            depth_pictures=depths,
            device="cpu",
            work=tmp_path / "work",
            allow_download=False,
        )
        return list(make_negatives(asked))

    return draw


def test_connected_depth_is_taken_as_it_is_in_the_order_of_the_rows(dataset, tmp_path, negatives):
    depths = torch.stack([torch.full((1, 64, 64), shade) for shade in (0.2, 0.4, 0.6)])
    depths[:, :, :, 32:] += 0.1
    assert isinstance(negatives(depths)[-1], FinishedEvent)
    rows = {row.sha256: index for index, row in enumerate(read_dataset(dataset).rows)}
    found = sorted((tmp_path / "work" / "depth").glob("*/*.png"))
    assert len(found) == 3
    for path in found:
        wanted = depths[rows[path.stem]]
        torch.testing.assert_close(load_depth_picture(path), wanted, atol=1 / 65535, rtol=0)


def test_other_connected_depth_makes_another_set(tmp_path, negatives):
    depths = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    first, again, other = (negatives(one)[-1].name for one in (depths, depths, depths * 0.5))
    assert first == again != other


def test_too_few_or_wrongly_cut_depth_pictures_are_refused(negatives):
    with pytest.raises(ConfigError, match="There are 2 depth pictures for 3 pictures.*each row"):
        negatives(torch.zeros(2, 1, 64, 64))
    with pytest.raises(ConfigError, match="depth pictures are 32 x 32, but .* cut to 64 x 64"):
        negatives(torch.zeros(3, 1, 32, 32))


def test_connected_and_brought_depth_at_once_is_refused(dataset, negatives):
    draw_demo_dataset(dataset.parent / "other", num_pictures=3, negatives=0)
    (dataset / "depth").mkdir(exist_ok=True)
    metadata = "train/metadata.jsonl"
    (dataset / metadata).write_text((dataset.parent / "other" / metadata).read_text())
    with pytest.raises(ConfigError, match="row 1 brings its own in the column `depth`"):
        negatives(torch.zeros(3, 1, 64, 64))


def test_depth_is_looked_up_by_picture():
    pictures = torch.rand(2, 3, 8, 8)
    given = GivenDepth(list(pictures), torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)]))
    assert given.estimate(pictures[1]).mean() == 1
    with pytest.raises(ConfigError, match="for one of the rows"):
        given.estimate(pictures[0] + 0.1)


def test_the_command(dataset, tmp_path, brightness, capsys):
    arguments = ["depth", str(dataset), "--work", str(tmp_path / "w"), "--resolution", "64"]
    assert main([*arguments, "--depth-weights", "brightness", "--device", "cpu"]) == 0
    assert len(list((tmp_path / "w" / "depth").glob("*/*.png"))) == 3
