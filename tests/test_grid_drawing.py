"""Drawing a grid: one noise for all models, batches that change nothing, and going on."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ldm_layout import ldm_checkpoint, small_networks
from PIL import Image
from safetensors.torch import save_file
from stack import CPU, lora_base, small_base

from scoft_training import grid_drawing
from scoft_training.config import GenerateConfig
from scoft_training.errors import (
    ConfigError,
    DivergenceError,
    NotEnoughMemoryError,
    OutputError,
    ResumeError,
)
from scoft_training.events import FinishedEvent, PhaseEvent, StoppedEvent, WarningEvent
from scoft_training.files import digest_tensors, file_sha256
from scoft_training.generation import generate, to_picture
from scoft_training.grid_drawing import GridRequest, GridSource, draw_grid
from scoft_training.grids import GridPrompt, read_grid
from scoft_training.lora_files import lora_state_dict, write_lora
from scoft_training.lora_layers import lora_from_adapter
from scoft_training.models import attach_lora, detach_lora, load_base, lora_parameters

CONFIG = GenerateConfig(inference_steps=2, resolution=64)
PROMPTS = (
    GridPrompt("a house", "train", (0, 1, 2)),
    GridPrompt("a bowl", "test", (5,)),
    GridPrompt("an apple", "neutral", (8,)),
    GridPrompt("an apple", "general", (9,)),
)


@pytest.fixture(scope="module")
def lora():
    return lora_from_adapter(lora_base(torch.float32).unet)


@pytest.fixture(scope="module")
def lora_file(lora, tmp_path_factory):
    path = tmp_path_factory.mktemp("loras") / "ours.safetensors"
    write_lora(path, lora)
    return path


@pytest.fixture
def request_for(tmp_path, lora_file):
    def make(**values):
        sources = [GridSource("base"), GridSource("ours", lora_file)]
        defaults = {
            "folder": tmp_path / "grid",
            "base": small_base(torch.float32),
            "sources": sources,
            "prompts": PROMPTS,
            "config": CONFIG,
            "device": "cpu",
        }
        return GridRequest(**{**defaults, **values})

    return make


def draw(request, **arguments):
    return list(draw_grid(request, **arguments))


def pixels(path):
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"), dtype=np.int16)


def names_and_bytes(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}


def test_every_cell_is_drawn_and_only_the_base_draws_general_prompts(request_for, tmp_path):
    events = draw(request_for())
    grid = read_grid(tmp_path / "grid")
    assert events[-1] == FinishedEvent(0, str(tmp_path / "grid"))
    assert [event.done for event in events if isinstance(event, PhaseEvent)][2:] == [
        0,
        4,
        6,
        10,
        11,
    ]
    assert grid.missing() == ()
    assert [(p.prompt, p.seed) for p in grid.of("base", "train")] == [(0, 0), (0, 1), (0, 2)]
    assert len(grid.of("base", "general")) == 1
    assert grid.of("ours", "general") == ()
    assert len({picture.sha256 for picture in grid.pictures}) == len(grid.pictures) == 11
    assert all(file_sha256(picture.path) == picture.sha256 for picture in grid.pictures)
    assert grid.drawing == {
        "inference_steps": 2,
        "guidance_scale": 7.5,
        "resolution": 64,
        "negative_prompt": "",
        "precision": "float32",
        "sampler": "ddim",
    }


def test_pictures_are_those_of_scoft_generate(request_for, tmp_path, lora):
    draw(request_for(batch_size=1))
    grid = read_grid(tmp_path / "grid")
    theirs = generate(
        small_base(torch.float32),
        ["a bowl"],
        [5],
        CONFIG,
        lora=lora,
        device=CPU,
        dtype=torch.float32,
    )
    for model, picture in zip(("base", "ours"), theirs, strict=True):
        (ours,) = grid.of(model, "test")
        assert np.array_equal(pixels(ours.path), np.asarray(to_picture(picture.image)))


def test_the_noise_is_the_seeds_alone(request_for, tmp_path, lora_file):
    sources = [GridSource("base"), GridSource("nothing", lora_file, strength=0.0)]
    draw(request_for(sources=sources, config=dataclasses.replace(CONFIG, guidance_scale=0.0)))
    grid = read_grid(tmp_path / "grid")
    for one, other in zip(grid.of("base", "train"), grid.of("nothing", "train"), strict=True):
        assert one.sha256 == other.sha256
    # Without guidance towards a prompt all prompts give one picture, if their noise is one.
    again = [GridPrompt("a bridge", "test", (0,))]
    draw(
        request_for(
            prompts=again, config=dataclasses.replace(CONFIG, guidance_scale=0.0), sources=sources
        )
    )
    grid = read_grid(tmp_path / "grid")
    (bridge,) = [p for p in grid.of("base", "test") if grid.prompts[p.prompt].text == "a bridge"]
    difference = np.abs(pixels(bridge.path) - pixels(grid.of("base", "train")[0].path))
    assert difference.max() <= 1


@pytest.mark.parametrize("batch_size", [2, 3, 7])
def test_the_batch_size_changes_a_picture_by_rounding_at_most(request_for, tmp_path, batch_size):
    draw(request_for(folder=tmp_path / "one", batch_size=1))
    draw(request_for(folder=tmp_path / "many", batch_size=batch_size))
    one, many = (read_grid(tmp_path / name) for name in ("one", "many"))
    assert len(one.pictures) == len(many.pictures) == 11
    for first, second in zip(one.pictures, many.pictures, strict=True):
        assert np.abs(pixels(first.path) - pixels(second.path)).max() <= 1


def test_pictures_are_decoded_one_by_one_since_that_takes_the_memory(request_for, monkeypatch):
    request, sizes = request_for(batch_size=3), []
    decode = request.base.vae.decode

    def counted(latents):
        sizes.append(len(latents))
        return decode(latents)

    monkeypatch.setattr(request.base.vae, "decode", counted)
    draw(request)
    assert sizes == [1] * 11


def test_nothing_in_a_file_tells_which_model_drew_it(request_for, tmp_path):
    draw(request_for())
    for picture in read_grid(tmp_path / "grid").pictures:
        data, kinds, at = picture.path.read_bytes(), [], 8
        while at < len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            kinds.append(data[at + 4 : at + 8])
            at += 12 + length
        assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}


def test_the_base_stays_as_it_was(request_for):
    request = request_for()
    draw(request)
    fresh = small_base(torch.float32).unet.state_dict()
    assert digest_tensors(request.base.unet.state_dict()) == digest_tensors(fresh)


def test_what_is_there_is_not_drawn_again(request_for, tmp_path, monkeypatch):
    draw(request_for())
    monkeypatch.setattr(grid_drawing, "draw_pictures", None)
    events = draw(request_for())
    assert events[-1] == FinishedEvent(0, str(tmp_path / "grid"), already_done=True)
    assert len([event for event in events if isinstance(event, PhaseEvent)]) == 3


def test_stopped_it_keeps_what_is_drawn_and_goes_on_to_the_same_files(request_for, tmp_path):
    draw(request_for(folder=tmp_path / "undisturbed"))
    asked = iter(range(1000))
    # The encodings ask four times, each batch as often as it has DDIM steps.
    events = draw(request_for(), should_stop=lambda: next(asked) >= 9)
    assert isinstance(events[-1], StoppedEvent)
    assert "Stopped after 6 of 11 pictures; they are saved" in events[-1].message
    before = {p.path: p.path.stat().st_mtime_ns for p in read_grid(tmp_path / "grid").pictures}
    assert len(before) == 6
    assert isinstance(draw(request_for())[-1], FinishedEvent)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert names_and_bytes(tmp_path / "grid") == names_and_bytes(tmp_path / "undisturbed")


def test_a_lost_picture_is_drawn_again_as_it_was(request_for, tmp_path):
    draw(request_for())
    before = names_and_bytes(tmp_path / "grid")
    first, picture, *_ = read_grid(tmp_path / "grid").of("ours", "train")
    picture.path.unlink()
    untouched = first.path.stat().st_mtime_ns
    draw(request_for())
    assert names_and_bytes(tmp_path / "grid") == before
    # The others of its batch are drawn with it, but not written.
    assert first.path.stat().st_mtime_ns == untouched


def test_killed_at_any_instant_it_ends_with_the_files_of_an_undisturbed_drawing(
    tmp_path, lora_file
):
    script = Path(__file__).with_name("grid_kills.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path, lora_file], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    undisturbed, *trials = json.loads(done.stdout.splitlines()[-1])
    for trial in trials:
        assert trial["files"] == undisturbed["files"], trial["how"]
    assert sum(trial["killed"] for trial in trials) >= 7
    assert len({trial["drawn"] for trial in trials}) >= 4


def test_models_prompts_and_seeds_are_added_to_what_is_there(request_for, tmp_path, lora):
    few = [GridPrompt("a house", "train", (0,))]
    draw(request_for(sources=[GridSource("base")], prompts=few))
    before = names_and_bytes(tmp_path / "grid")
    half = GridSource("half", lora_state_dict(lora), 0.5, step=3, run_id="run")
    events = draw(request_for(sources=[half]))
    assert events[-2] == WarningEvent(
        f"Pictures of base are missing in {tmp_path / 'grid'}. Name these models again, and theirs "
        "are drawn, too."
    )
    grid = read_grid(tmp_path / "grid")
    assert (grid.models[1].strength, grid.models[1].step, grid.models[1].run_id) == (0.5, 3, "run")
    assert len(grid.of("half", "train")) == 3
    assert len(grid.of("base", "train")) == 1
    draw(request_for(sources=[GridSource("base")], prompts=[]))
    after = names_and_bytes(tmp_path / "grid")
    assert read_grid(tmp_path / "grid").missing() == ()
    assert before.items() <= after.items()
    assert len(after) == 11


def test_a_file_and_its_tensors_are_the_same_model(request_for, tmp_path, lora, lora_file):
    draw(request_for())
    tensors = GridSource("ours", lora_state_dict(lora))
    assert draw(request_for(sources=[tensors]))[-1].already_done
    assert read_grid(tmp_path / "grid").models[1].name == "ours"


def test_another_base_or_other_settings_are_refused(request_for):
    draw(request_for(prompts=PROMPTS[1:2]))
    other = dataclasses.replace(small_base(torch.float32), digest="other", name="other")
    said = r"drawn with the base model small \(small torch.\), and other \(other\) is another"
    with pytest.raises(ResumeError, match=said):
        draw(request_for(base=other))
    # Another device chose another precision, in which the base's digest is another one, too.
    half = dataclasses.replace(CONFIG, precision="bf16")
    with pytest.raises(ResumeError, match="`precision` was fp32, now bf16"):
        draw(request_for(base=other, config=half))
    with pytest.raises(ResumeError, match="`inference_steps` was 2, now 3.*Set them as they were"):
        draw(request_for(config=dataclasses.replace(CONFIG, inference_steps=3)))
    # Strengths are the models' own.
    assert draw(request_for(prompts=[], config=dataclasses.replace(CONFIG, lora_strength=0.3)))


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"batch_size": 0}, ConfigError, "`batch_size` must be 1 or more but got 0"),
        ({"sources": []}, ConfigError, "There is no model to draw with"),
        ({"sources": [GridSource("base")] * 2}, ConfigError, "Two models are called 'base'"),
        ({"prompts": []}, ConfigError, "There is nothing to draw"),
        ({"folder": Path(__file__).parent}, OutputError, "neither empty nor a grid"),
        ({"folder": Path(__file__)}, OutputError, "is a file"),
    ],
)
def test_what_will_not_do_is_refused_in_a_sentence(request_for, values, error, message):
    with pytest.raises(error, match=message):
        draw(request_for(**values))


def test_two_drawings_into_one_grid_at_once_are_refused(request_for, tmp_path, monkeypatch):
    monkeypatch.setattr(grid_drawing, "_LOCK_SECONDS", 0.1)
    first = draw_grid(request_for())
    for event in first:
        if event == PhaseEvent("grid", 0, 11):
            break
    with pytest.raises(OutputError, match="another program has been writing it"):
        draw(request_for())
    assert isinstance(list(first)[-1], FinishedEvent)
    assert draw(request_for())[-1].already_done


def test_out_of_memory_says_what_to_lower(request_for, monkeypatch):
    def full(*_arguments, **_options):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(grid_drawing, "draw_pictures", full)
    said = "`batch_size` 4 at `resolution` 64. Lower `batch_size` or close"
    with pytest.raises(NotEnoughMemoryError, match=said):
        draw(request_for())
    # One by one already; another resolution would not be this grid's.
    with pytest.raises(NotEnoughMemoryError, match="Lower `resolution`, which makes another grid"):
        draw(request_for(batch_size=1))


def test_a_drawing_that_overflows_names_its_model(request_for, lora):
    endless = {name: tensor * 1e30 for name, tensor in lora_state_dict(lora).items()}
    sources = [GridSource("base"), GridSource("broken", endless)]
    with pytest.raises(DivergenceError, match="broken: A drawing overflowed in torch.float32"):
        draw(request_for(sources=sources))


@pytest.mark.parametrize("when", ["listed", "drawing"])
def test_a_checkpoint_that_its_training_clears_away_is_left_out(
    request_for, tmp_path, lora_file, when
):
    step = tmp_path / "run" / "checkpoints" / "step-00000001.safetensors"
    step.parent.mkdir(parents=True)
    step.write_bytes(lora_file.read_bytes())
    sources = [
        GridSource("base"),
        GridSource("step 1", step, step=1, run_id="run"),
        GridSource("ours", lora_file),
    ]
    events = []
    if when == "listed":
        step.unlink()
    for event in draw_grid(request_for(sources=sources)):
        events.append(event)
        if event == PhaseEvent("grid", 4, 16):
            step.unlink()
    (gone, *_) = [event.message for event in events if isinstance(event, WarningEvent)]
    assert "step 1: " in gone
    assert "is gone, so it is left out; a training that goes on keeps its newest" in gone
    assert isinstance(events[-1], FinishedEvent)
    grid = read_grid(tmp_path / "grid")
    assert [len(grid.of(name, "train")) for name in ("base", "ours")] == [3, 3]
    assert {model for model, _, _ in grid.missing()} == ({"step 1"} if when == "drawing" else set())


def test_a_prompt_that_is_cut_is_named(request_for):
    long = "a house " * 12
    events = draw(request_for(prompts=[GridPrompt(long, "test", (0,)), PROMPTS[1]]))
    (warning,) = [event for event in events if isinstance(event, WarningEvent)]
    assert "1 prompt is longer than the text encoder's 77 tokens" in warning.message
    assert long in warning.message


def test_of_many_prompts_that_are_cut_some_are_named(request_for):
    many = [GridPrompt(f"number {n}" + " a house" * 12, "test", (0,)) for n in range(7)]
    events = draw(request_for(prompts=many))
    (warning,) = [event for event in events if isinstance(event, WarningEvent)]
    assert "7 prompts are longer" in warning.message
    assert warning.message.count("number ") == 5
    assert "; and 2 more. Shorten them." in warning.message


def test_sdxl_draws_its_grid_in_batches_too(tmp_path):
    file = tmp_path / "sdxl.safetensors"
    save_file(ldm_checkpoint(small_networks("sdxl"), "sdxl"), file)
    base = load_base(file, dtype=torch.float32, allow_download=False)
    attach_lora(base.unet, rank=2, alpha=2.0, seed=0, dtype=torch.float32)
    for name, parameter in lora_parameters(base.unet).items():
        if ".lora_B." in name:
            parameter.data.fill_(0.05)
    tensors = lora_state_dict(lora_from_adapter(base.unet))
    detach_lora(base.unet)
    for name, batch_size in (("one", 1), ("many", 4)):
        sources = [GridSource("base"), GridSource("ours", tensors)]
        request = GridRequest(
            tmp_path / name, base, sources, PROMPTS, CONFIG, batch_size=batch_size, device="cpu"
        )
        assert isinstance(draw(request)[-1], FinishedEvent)
    one, many = (read_grid(tmp_path / name).pictures for name in ("one", "many"))
    assert len(one) == len(many) == 11
    for first, second in zip(one, many, strict=True):
        assert np.abs(pixels(first.path) - pixels(second.path)).max() <= 1
    assert one[0].sha256 != one[6].sha256
