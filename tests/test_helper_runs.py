"""Captions and negatives as a user makes them, and training with what was made."""

import dataclasses
import json
import statistics

import pytest
import torch
from random_stack import draw_demo_dataset, random_controlnet
from stack import SMALL_RUN

from scoft_training import captioners, control_models
from scoft_training.cli import main
from scoft_training.config import NegativesConfig
from scoft_training.data import read_dataset
from scoft_training.errors import ConfigError, DatasetError, ModelFileError
from scoft_training.events import FinishedEvent, HistogramEvent, SettingsEvent, StoppedEvent
from scoft_training.helper_runs import (
    CaptionRequest,
    NegativesRequest,
    make_captions,
    make_negatives,
)
from scoft_training.overlays import overlaid
from scoft_training.runs import RunRequest, run_training
from scoft_training.work_folder import complete_dataset, default_work_folder

pytestmark = pytest.mark.usefixtures("small_registry")

DRAWING = NegativesConfig(
    resolution=64,
    negatives_per_picture=2,
    inference_steps=2,
    filter_backbone="pool",
    filter_threshold=0.001,
)


@pytest.fixture
def dataset(tmp_path):
    draw_demo_dataset(tmp_path / "aruna", num_pictures=3, negatives=0)
    return tmp_path / "aruna"


@pytest.fixture
def controlnet():
    def load(dtype):
        return control_models.ControlNet.of("small", random_controlnet().to(dtype))

    control_models.register_controlnet("small", load)
    yield "small"
    del control_models._CONTROLNETS["small"]


@pytest.fixture
def draw(tmp_path, dataset, controlnet):
    def start(should_stop=lambda: False, **values):
        fields = {field.name for field in dataclasses.fields(NegativesRequest)}
        run = {name: values.pop(name) for name in list(values) if name in fields}
        config = dataclasses.replace(DRAWING, **values)
        defaults = {"base": "small", "controlnet": controlnet, "work": tmp_path / "work"}
        defaults |= {"device": "cpu", "config": config, "allow_download": False}
        request = NegativesRequest(dataset, **{**defaults, **run})
        return list(make_negatives(request, should_stop=should_stop))

    return start


def train(dataset, tmp_path, **values):
    request = RunRequest(
        dataset,
        "small",
        dataclasses.replace(SMALL_RUN, steps=1),
        device="cpu",
        work=tmp_path / "work",
        **values,
    )
    return list(run_training(request))


def drawn(tmp_path):
    return sorted((tmp_path / "work" / "negatives").rglob("0*.png"))


def test_drawn_and_kept_negatives_are_what_is_trained_with(dataset, tmp_path, draw):
    with pytest.raises(DatasetError, match="Draw some with `scoft negatives`, bring your own"):
        train(dataset, tmp_path)
    events = draw()
    assert any(isinstance(event, HistogramEvent) and event.kept == 6 for event in events)
    assert len(drawn(tmp_path)) == 6
    config = dataclasses.replace(SMALL_RUN, steps=1)
    complete = complete_dataset(read_dataset(dataset), tmp_path / "work", config)
    assert [row.drawn_negatives for row in complete.rows] == [2, 2, 2]
    events = train(dataset, tmp_path)
    assert isinstance(events[-1], FinishedEvent)
    assert any("contrastive" in getattr(event, "losses", {}) for event in events)


def entries(tmp_path):
    paths = (tmp_path / "work").rglob("negatives.json")
    return [one for path in paths for one in json.loads(path.read_text())["negatives"].values()]


def run_id(events):
    (settings,) = [event for event in events if isinstance(event, SettingsEvent)]
    return settings.run_id


def test_another_threshold_filters_anew_draws_nothing_and_is_another_run(dataset, tmp_path, draw):
    draw()
    first = run_id(train(dataset, tmp_path))
    before = [(path, path.stat().st_mtime_ns) for path in drawn(tmp_path)]
    # The median: some are kept, some are not.
    threshold = statistics.median(entry["distance"] for entry in entries(tmp_path))
    (name,) = (path.name for path in (tmp_path / "work" / "negatives").iterdir())
    draw(only_filter=name, base=None, controlnet=None, filter_threshold=threshold)
    assert [(path, path.stat().st_mtime_ns) for path in drawn(tmp_path)] == before
    assert {entry["kept"] for entry in entries(tmp_path)} == {True, False}
    assert run_id(train(dataset, tmp_path)) != first


def test_of_several_sets_the_user_says_which(dataset, tmp_path, draw):
    draw()
    draw(suffix="in Elsewhere")
    with pytest.raises(ConfigError, match=r"there are 2 sets .*'in Aruna'.*Say which with --neg"):
        train(dataset, tmp_path)
    name = next((tmp_path / "work" / "negatives").iterdir()).name
    assert isinstance(train(dataset, tmp_path, negatives=name)[-1], FinishedEvent)
    # A set for another resolution is no candidate.
    config = dataclasses.replace(SMALL_RUN, resolution=72)
    with pytest.raises(ConfigError, match="were drawn for `resolution` 64"):
        complete_dataset(read_dataset(dataset), tmp_path / "work", config, negatives=name)


def test_stopped_drawing_goes_on(tmp_path, draw):
    calls = iter(range(10**6))
    events = draw(should_stop=lambda: next(calls) >= 9)
    assert isinstance(events[-1], StoppedEvent)
    assert 0 < len(drawn(tmp_path)) < 6
    before = [(path, path.stat().st_mtime_ns) for path in drawn(tmp_path)]
    draw()
    after = {path: path.stat().st_mtime_ns for path in drawn(tmp_path)}
    assert len(after) == 6
    assert all(after[path] == time for path, time in before)


def test_missing_weights_are_said_before_anything_is_drawn(dataset, tmp_path, draw, monkeypatch):
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelFileError, match="dreamsim"):
        draw(filter_backbone="dreamsim", filter_threshold=None)
    path = dataset / "train" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    del rows[1]["depth"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ModelFileError, match=r"dpt_hybrid-midas-501f0c75.pt.*midas.*https://"):
        draw()
    assert drawn(tmp_path) == []


class Parrot:
    """Captions that count up; the second of a picture names a people."""

    name = "parrot"
    digest = "parrot"

    def on(self, device, dtype):
        import contextlib

        return contextlib.nullcontext(self)

    def look(self, image):
        return image.size

    def draw(self, seen, generators, config):
        numbers = [int(torch.randint(1000, (1,), generator=draw)) for draw in generators]
        return ["a korean thing", *(f"a plain thing number {number}" for number in numbers[1:])]


@pytest.fixture
def parrot():
    captioners.register_captioner("parrot", lambda request: Parrot())
    yield "parrot"
    del captioners._REGISTRY["parrot"]


def test_made_captions_stand_in_for_missing_ones(dataset, tmp_path, parrot, draw):
    path = dataset / "train" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    del rows[1]["blip_text"]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text)
    with pytest.raises(DatasetError, match="row 2: `blip_text` is missing, and negatives are"):
        draw()
    with pytest.raises(DatasetError, match="row 2: `blip_text` is missing, but L_M.*scoft caption"):
        train(dataset, tmp_path)
    request = CaptionRequest(dataset, captioner=parrot, device="cpu", work=tmp_path / "work")
    events = list(make_captions(request))
    assert events[-1].step == 1, "only the row without captions is captioned"
    made = overlaid(read_dataset(dataset), tmp_path / "work").rows[1].generic_captions
    assert len(made) == 5
    assert all(caption.startswith("a plain thing") for caption in made)
    assert path.read_text() == text
    draw()
    assert isinstance(train(dataset, tmp_path)[-1], FinishedEvent)
    assert list(make_captions(request))[-1].already_done


def test_the_command_draws_filters_and_says_where(dataset, tmp_path, controlnet, capsys):
    words = ["negatives", str(dataset), "--base", "small", "--controlnet", controlnet]
    words += ["--device", "cpu", "--work", str(tmp_path / "work"), "--resolution", "64"]
    words += ["--inference-steps", "2", "--negatives-per-picture", "1"]
    words += ["--filter-backbone", "pool"]
    assert main(words) == 2
    assert "Set `filter_threshold`" in capsys.readouterr().err
    assert main([*words, "--filter-threshold", "0.001"]) == 0
    text = capsys.readouterr().err
    assert "threshold 0.001: 3 kept, 0 dropped" in text
    assert "Written: " in text
    (folder,) = (tmp_path / "work" / "negatives").iterdir()
    assert (folder / "histogram.png").is_file()
    assert (folder / "sheet-001.png").is_file()
    assert main(["negatives", str(dataset), "--work", str(tmp_path / "x")]) == 2


def test_the_work_folder_depends_on_where_the_dataset_lies(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = default_work_folder(tmp_path / "a"), default_work_folder(tmp_path / "b")
    assert one.parts[0] == "scoft-work"
    assert one.name.startswith("a-")
    assert one != other
    assert default_work_folder(tmp_path / "b" / ".." / "a") == one
