"""What other grids have is copied, if it would be drawn alike, and everything else is drawn."""

import dataclasses
import json

import pytest
import torch
from stack import lora_base, small_base

from scoft_training import grid_drawing
from scoft_training.config import GenerateConfig
from scoft_training.events import FinishedEvent, PhaseEvent, StoppedEvent
from scoft_training.grid_drawing import GridRequest, draw_grid
from scoft_training.grids import GridPrompt, GridSource, read_grid
from scoft_training.lora_files import lora_state_dict
from scoft_training.lora_layers import lora_from_adapter

HOUSE = GridPrompt("a house", "train", (0, 1), "a" * 64)
BOWL = GridPrompt("a bowl", "test", (5,))
CONFIG = GenerateConfig(inference_steps=2, resolution=64)


@pytest.fixture(scope="module")
def tensors():
    return lora_state_dict(lora_from_adapter(lora_base(torch.float32).unet))


@pytest.fixture(scope="module")
def first(tmp_path_factory, tensors):
    """A grid of the base and a LoRA."""
    folder = tmp_path_factory.mktemp("grids") / "first"
    draw(folder, [GridSource("base"), GridSource("ours", tensors)], [HOUSE, BOWL])
    return folder


def request(folder, sources, prompts, reuse=(), config=CONFIG, base=None):
    base = base or small_base(torch.float32)
    return GridRequest(folder, base, sources, prompts, config, device="cpu", reuse=reuse)


def draw(*arguments, **options):
    return list(draw_grid(request(*arguments, **options)))


@pytest.fixture
def drawn(monkeypatch):
    """How many pictures are drawn from now on."""
    counts, original = [], grid_drawing.draw_pictures

    def counting(base, predictor, conditioning, uncond, noise, **options):
        counts.append(len(noise))
        return original(base, predictor, conditioning, uncond, noise, **options)

    monkeypatch.setattr(grid_drawing, "draw_pictures", counting)
    return counts


def test_a_model_more_draws_its_own_pictures_only(first, tmp_path, tensors, drawn):
    sources = [
        GridSource("base"),
        GridSource("called otherwise", tensors),
        GridSource("half", tensors, 0.5),
    ]
    # Another role of the same text and seed is the same picture; a new seed is another one.
    prompts = [
        dataclasses.replace(HOUSE, role="test", seeds=(1, 0)),
        dataclasses.replace(BOWL, seeds=(5, 6)),
    ]
    events = draw(tmp_path / "second", sources, prompts, [tmp_path / "nowhere", first])
    assert isinstance(events[-1], FinishedEvent)
    done = [event.done for event in events if isinstance(event, PhaseEvent)][2:]
    assert done[:7] == list(range(7))
    assert done[-1] == 12
    assert sum(drawn) >= 6
    grid, there = read_grid(tmp_path / "second"), read_grid(first)
    assert grid.missing() == ()
    ours = {(p.model, grid.prompts[p.prompt].text, p.seed): p for p in grid.pictures}
    for picture in there.pictures:
        name = {"base": "base", "ours": "called otherwise"}[picture.model]
        copy = ours[name, there.prompts[picture.prompt].text, picture.seed]
        assert copy.sha256 == picture.sha256
        assert copy.path.read_bytes() == picture.path.read_bytes()
        assert copy.path.is_relative_to(tmp_path / "second")


def test_a_whole_grid_is_copied_without_a_drawing(first, tmp_path, tensors, drawn):
    events = draw(
        tmp_path / "copy", [GridSource("base"), GridSource("x", tensors)], [BOWL], [first]
    )
    assert isinstance(events[-1], FinishedEvent)
    assert drawn == []
    assert read_grid(tmp_path / "copy").missing() == ()


@pytest.mark.parametrize("how", ["settings", "base", "itself", "damaged grid", "changed picture"])
def test_what_was_not_drawn_alike_is_drawn(first, tmp_path, drawn, how):
    other, base, config = first, small_base(torch.float32), CONFIG
    if how == "settings":
        config = dataclasses.replace(CONFIG, guidance_scale=3.0)
    elif how == "base":
        base = dataclasses.replace(base, digest="other")
    elif how == "itself":
        other = tmp_path / "second"
    else:
        other = tmp_path / "other"
        draw(other, [GridSource("base")], [BOWL])
        drawn.clear()
    if how == "damaged grid":
        (other / "grid.json").write_text("{")
    elif how == "changed picture":
        (picture,) = other.glob("pictures/base/*.png")
        picture.write_bytes(picture.read_bytes() + b"more")
    draw(tmp_path / "second", [GridSource("base")], [BOWL], [other], config, base)
    assert drawn == [1]


def test_stopped_while_copying_it_goes_on(first, tmp_path, tensors, drawn):
    asked = iter(range(100))
    sources = [GridSource("base"), GridSource("ours", tensors)]
    one = request(tmp_path / "second", sources, [HOUSE, BOWL], [first])
    last = list(draw_grid(one, should_stop=lambda: next(asked) >= 2))[-1]
    assert isinstance(last, StoppedEvent)
    assert "Stopped after 2 of 6 pictures" in last.message
    assert isinstance(list(draw_grid(one))[-1], FinishedEvent)
    assert drawn == []
    lines = (tmp_path / "second" / "pictures.jsonl").read_text().splitlines()
    assert len({json.dumps(json.loads(line)) for line in lines}) == len(lines) == 6
