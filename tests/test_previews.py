"""Previews: beside the base's picture, at their steps, and without a trace in the training."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from stack import CPU, FAST, SMALL_RUN, lora_base, small_base, write_demo

from scoft_training.events import (
    FinishedEvent,
    PreviewEvent,
    StepEvent,
    StoppedEvent,
    WarningEvent,
)
from scoft_training.files import digest_tensors, file_sha256
from scoft_training.models import lora_parameters
from scoft_training.previews import Previews, preview_prompts
from scoft_training.runs import RunRequest, run_training

pytestmark = pytest.mark.usefixtures("small_registry")

CONFIG = dataclasses.replace(
    SMALL_RUN, steps=5, preview_every=2, preview_steps=2, preview_prompts="a house|a bowl"
)


@pytest.fixture
def run(tmp_path):
    dataset = write_demo(tmp_path / "aruna")

    def start(config, work, should_stop=lambda: False):
        request = RunRequest(dataset, "small", config, device="cpu", work=tmp_path / work)
        return list(run_training(request, should_stop=should_stop))

    return start


def the_run(tmp_path, work):
    (path,) = (tmp_path / work).glob("runs/*")
    return path


def test_previews_come_at_their_steps_and_change_nothing(run, tmp_path):
    plain = run(dataclasses.replace(CONFIG, preview_every=0), "plain")
    events = run(CONFIG, "with")
    previews = [event for event in events if isinstance(event, PreviewEvent)]
    assert [(event.step, event.prompt) for event in previews] == [
        (step, prompt) for step in (2, 4, 5) for prompt in ("a house", "a bowl")
    ]
    assert not any(isinstance(event, PreviewEvent) for event in plain)
    for event in previews:
        with Image.open(the_run(tmp_path, "with") / event.name) as image:
            assert image.size == (64 + 4 + 64, 64)
    assert the_run(tmp_path, "with").name == the_run(tmp_path, "plain").name
    loras = [
        digest_tensors(load_file(the_run(tmp_path, work) / "lora.safetensors"))
        for work in ("plain", "with")
    ]
    assert loras[0] == loras[1]


def halves(path):
    with Image.open(path) as image:
        return image.crop((0, 0, 64, 64)).tobytes(), image.crop((68, 0, 132, 64)).tobytes()


def test_the_left_half_stays_the_bases_and_the_right_half_moves(run, tmp_path):
    run(dataclasses.replace(CONFIG, learning_rate=0.05), "with")
    folder = the_run(tmp_path, "with") / "previews"
    (base_2, lora_2), (base_4, lora_4) = (
        halves(folder / f"step-0000000{step}-00.png") for step in (2, 4)
    )
    assert base_2 == base_4
    assert len({base_2, lora_2, lora_4}) == 3


def test_a_resumed_run_draws_the_same_previews(run, tmp_path):
    run(CONFIG, "whole")
    begun = iter(range(10**6))
    # Rows, steps and DDIM steps ask; somewhere behind the first previews it is stopped.
    events = run(CONFIG, "stopped", should_stop=lambda: next(begun) >= 56)
    assert isinstance(events[-1], StoppedEvent)
    assert 2 <= events[-1].step < 5
    events = run(CONFIG, "stopped")
    assert [event.step for event in events if isinstance(event, StepEvent)][-1] == 5
    for name in ("step-00000005-00.png", "step-00000005-01.png"):
        one, other = (the_run(tmp_path, w) / "previews" / name for w in ("whole", "stopped"))
        assert file_sha256(one) == file_sha256(other)


def test_a_preview_that_overflows_is_told_and_does_not_stop_the_run(tmp_path):
    base = small_base(torch.float32)
    decode = base.vae.decode

    def overflow(latents, **names):
        decoded = decode(latents, **names)
        return decoded if torch.is_grad_enabled() else SimpleNamespace(sample=decoded.sample / 0)

    base.vae.decode = overflow
    dataset = write_demo(tmp_path / "aruna")
    request = RunRequest(dataset, base, CONFIG, device="cpu", work=tmp_path / "work")
    events = list(run_training(request))
    warnings = [event.message for event in events if isinstance(event, WarningEvent)]
    assert sum("No preview after step" in message for message in warnings) == 3
    assert isinstance(events[-1], FinishedEvent)


def make(base):
    return Previews(
        base,
        CONFIG,
        FAST,
        prompts=["a house"],
        conditioning=base.captions.encode(["a house"]).conditioning,
        uncond=base.captions.encode([""]).conditioning[0],
        device=CPU,
        dtype=torch.float64,
    )


def test_no_graph_no_inference_tensor_and_no_switched_off_adapter_stay_behind():
    base = lora_base()
    parameters = lora_parameters(base.unet)
    for value in parameters.values():
        value.grad = torch.ones_like(value)
    state = torch.random.get_rng_state()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        list(make(base).draw(lambda: None))
    assert saved == []
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(value.requires_grad and not value.is_inference() for value in parameters.values())
    assert all((value.grad == 1).all() for value in parameters.values())
    batch = (torch.ones(1, 4, 8, 8).double(), 500, torch.ones(1, 3, 32).double())
    with_lora = base.unet(*batch[:2], encoder_hidden_states=batch[2]).sample
    without = small_base().unet(*batch[:2], encoder_hidden_states=batch[2]).sample
    assert not torch.equal(with_lora, without), "the adapter was left switched off"


def test_the_adapter_is_switched_on_again_when_drawing_is_stopped():
    base = lora_base()

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(make(base).draw(stop))
    arguments = (torch.ones(1, 4, 8, 8).double(), 500)
    embeds = torch.ones(1, 3, 32).double()
    with_lora = base.unet(*arguments, encoder_hidden_states=embeds).sample
    assert with_lora.requires_grad


def test_prompts_are_those_asked_for_or_the_first_captions():
    captions = ["one", "two", "three"]
    assert preview_prompts(CONFIG, captions) == ["a house", "a bowl"]
    asked = dataclasses.replace(CONFIG, preview_prompts="x\n\n y | ")
    assert preview_prompts(asked, captions) == ["x", "y"]
    nothing = dataclasses.replace(CONFIG, preview_prompts=" ")
    assert preview_prompts(nothing, captions) == ["one", "two"]
