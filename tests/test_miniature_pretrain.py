"""The pretraining's loop: resumable to the bit, in shards, logged; each stage at a toy's size."""

import dataclasses
import json
import shutil

import pytest
import torch
from torch import nn

from scoft_training.errors import ConfigError, ModelFileError, ResumeError
from scoft_training.miniature import commands, pretrain
from scoft_training.miniature.loading import (
    WEIGHTS,
    load_clip_tokenizer,
    load_clip_tower,
    load_part,
    load_score_network,
)
from scoft_training.miniature.networks import new_controlnet, new_unet, new_vae
from scoft_training.miniature.pretrain_drawing import wake_hint_network
from scoft_training.miniature.pretrain_images import (
    clip_accuracy,
    depth_error,
    judge_accuracy,
    pretrain_clip_text,
)
from scoft_training.miniature.pretrain_loop import LoopSettings, run_loop
from scoft_training.miniature.pretrain_vae import _standardize, balanced_pictures, to_pixel_values
from scoft_training.miniature.small_networks import (
    DepthNetwork,
    JudgeNetwork,
    fact_labels,
)
from scoft_training.miniature.world import Facts

SETTINGS = LoopSettings(steps=150, learning_rate=0.05, warmup=10, average=0.9, save_every=0.0)


class Killed(BaseException):
    pass


def line(seed=0):
    """A network of two numbers, and a loss whose draws depend on the number alone."""
    torch.manual_seed(seed)
    network = nn.Linear(1, 1, dtype=torch.float64)

    def loss_at(number):
        draw = torch.Generator().manual_seed(number)
        x = torch.randn(8, 1, generator=draw, dtype=torch.float64)
        loss = (network(x) - (3 * x - 1)).square().mean()
        return loss, {"square": loss.item()}

    return network, loss_at


def weights(network):
    return [p.detach().clone() for p in network.parameters()]


def test_the_rate_warms_up_holds_and_falls():
    settings = LoopSettings(steps=100, learning_rate=1.0, warmup=10, hold=0.5)
    assert settings.rate_at(0) == pytest.approx(0.1)
    assert settings.rate_at(9) == settings.rate_at(50) == 1.0
    assert settings.rate_at(75) == pytest.approx(0.01 + 0.99 * 0.5)  # half way down a cosine
    assert settings.rate_at(99) == pytest.approx(0.011, abs=1e-3)


def test_it_learns_and_leaves_the_average(tmp_path):
    network, loss_at = line()
    run_loop([network], loss_at, SETTINGS, tmp_path)
    assert network.weight.item() == pytest.approx(3, abs=0.2)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert torch.equal(weights(network)[0], state["average"][0])
    assert not torch.equal(state["average"][0], state["parameters"][0])


def test_the_average_is_the_moving_one(tmp_path):
    """Two steps by hand: the decay is (1 + step) / (10 + step) at first."""
    network, loss_at = line()
    start = weights(network)
    seen = []

    def spying(number):
        seen.append(weights(network))
        return loss_at(number)

    settings = dataclasses.replace(SETTINGS, steps=2)
    run_loop([network], spying, settings, tmp_path)
    last = torch.load(tmp_path / "state.pt", weights_only=True)["parameters"]
    first = start[0] * 0.1 + seen[1][0] * 0.9
    torch.testing.assert_close(weights(network)[0], first * (2 / 11) + last[0] * (9 / 11))


def test_a_killed_loop_comes_to_the_same_weights_and_log(tmp_path):
    whole, loss_at = line()
    run_loop([whole], loss_at, SETTINGS, tmp_path / "whole")
    killed, loss_at = line()

    def dying(number):
        if number == 120:
            raise Killed
        return loss_at(number)

    with pytest.raises(Killed):
        run_loop([killed], dying, SETTINGS, tmp_path / "killed")
    resumed, loss_at = line(seed=9)
    run_loop([resumed], loss_at, SETTINGS, tmp_path / "killed")
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(one, other)
    logs = []
    for name in ("whole", "killed"):
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()
        values = [json.loads(line) for line in lines]
        logs.append([(value.get("step"), value.get("square")) for value in values])
    assert logs[0] == logs[1]
    assert [step for step, _ in logs[0]] == [None, 50, 100, 150]


def test_shards_are_the_mean_and_repeat_to_the_bit(tmp_path):
    settings = dataclasses.replace(SETTINGS, steps=50, shards=2)
    found = []
    for name in ("one", "two"):
        network, loss_at = line()
        run_loop([network], loss_at, settings, tmp_path / name)
        found.append(weights(network))
    assert torch.equal(found[0][0], found[1][0])
    network, loss_at = line()

    def both(step):
        losses = [loss_at(2 * step + shard) for shard in range(2)]
        return (losses[0][0] + losses[1][0]) / 2, {}

    run_loop([network], both, dataclasses.replace(settings, shards=1), tmp_path / "slow")
    torch.testing.assert_close(weights(network), found[0], rtol=1e-9, atol=1e-9)


def test_another_setting_does_not_go_on(tmp_path):
    network, loss_at = line()
    run_loop([network], loss_at, SETTINGS, tmp_path)
    with pytest.raises(ResumeError, match="other settings"):
        run_loop([network], loss_at, dataclasses.replace(SETTINGS, steps=200), tmp_path)
    other = nn.Linear(2, 1, dtype=torch.float64)
    with pytest.raises(ResumeError, match="other settings or networks"):
        run_loop([other], loss_at, SETTINGS, tmp_path)


def test_standard_latents_decode_to_the_same_pictures():
    torch.manual_seed(0)
    vae = new_vae().eval()
    pictures = balanced_pictures("t", 0, 14)
    pixel_values = to_pixel_values(pictures[:4])
    with torch.no_grad():
        before = vae.decode(vae.encode(pixel_values).latent_dist.mean).sample
        spread = vae.encode(pixel_values).latent_dist
        _standardize(vae, pictures)
        posterior = vae.encode(pixel_values).latent_dist
        after = vae.decode(posterior.mean).sample
        latents = vae.encode(to_pixel_values(pictures)).latent_dist.mean * 0.18215
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(4), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-3)
    # The posterior's noise is stretched with its mean.
    factor = posterior.std / spread.std
    torch.testing.assert_close(factor, factor[:1, :, :1, :1].expand_as(factor))
    assert vae.config.scaling_factor == 0.18215


def test_labels_are_the_facts():
    facts = [
        Facts("avelun", "robe", "teal", "dusk", "water"),
        Facts("avelun", "house", "red", "day", "plain", stereotype=True),
    ]
    labels = fact_labels(facts)
    assert labels["style"].tolist() == [0, 6]
    assert labels["subject"].tolist() == [1, 0]
    assert labels["time"].tolist() == [1, 0]


def test_untrained_networks_are_no_better_than_chance():
    torch.manual_seed(0)
    found = judge_accuracy(JudgeNetwork().eval(), 0)
    assert found["style"] < 0.35
    assert found["subject"] < 0.4
    depth = depth_error(DepthNetwork().eval(), 0)
    assert depth["l1"] > depth["l1 of the mean map"]


def test_the_text_tower_learns_on_a_picture_tower_that_stays(tmp_path):
    tower, tokenizer = load_clip_tower(WEIGHTS).network, load_clip_tokenizer(WEIGHTS)
    before = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    found = []
    for steps in (1, 60):
        settings = LoopSettings(steps=steps, learning_rate=5e-3, warmup=5, average=0.5)
        network = pretrain_clip_text(
            0, tower, tokenizer, tmp_path / str(steps), settings, num_pictures=400
        )
        found.append(clip_accuracy(network, tokenizer, 0)["subject and culture"])
        assert all(torch.equal(network.visual.state_dict()[n], t) for n, t in before.items())
        assert not network.training
    # One of 36 by chance.
    assert found[0] < 0.15
    assert found[1] > 0.3


def test_a_text_tower_needs_its_stage(tmp_path):
    shutil.copytree(WEIGHTS / "clip", tmp_path / "clip")
    with pytest.raises(ModelFileError) as caught:
        load_score_network(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'clip_text' / 'model.safetensors'}: the miniature's text tower is not there. "
        "Make it with `scoft miniature pretrain --stage clip_text`."
    )


def test_the_depth_network_keeps_the_size_of_the_picture():
    network = DepthNetwork().eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 64, 96)).shape == (2, 64, 96)


def test_a_woken_hint_network_lets_the_hint_through_and_the_controlnet_still_adds_nothing():
    torch.manual_seed(0)
    controlnet = new_controlnet(new_unet())
    embedding = controlnet.controlnet_cond_embedding
    hints = torch.rand(4, 1, 8, 8).repeat_interleave(16, 2).repeat_interleave(16, 3)
    hints = hints.expand(-1, 3, -1, -1)
    wake_hint_network(embedding, hints, size=0.4, seed=1)
    seen = embedding(hints)
    assert seen.shape[-2:] == (16, 16)
    # Between the pictures of a place, not only between places: another hint is another state.
    assert seen.std((0, 2, 3)).tolist() == pytest.approx([0.4] * seen.shape[1], rel=1e-4)
    assert seen.mean((0, 2, 3)).tolist() == pytest.approx([0.0] * seen.shape[1], abs=1e-4)
    assert (seen[0] - seen[1]).abs().mean() > 0.1
    states = torch.randn(4, 4, 16, 16), torch.tensor([500] * 4), torch.randn(4, 77, 96)
    down, middle = controlnet(*states, hints, return_dict=False)
    assert all(not part.any() for part in (*down, middle))


def test_a_stage_needs_the_stage_before(tmp_path):
    with pytest.raises(ModelFileError, match="pretrain --stage vae"):
        load_part(tmp_path, "vae")
    with pytest.raises(ModelFileError, match="pretrain --stage unet"):
        load_part(tmp_path, "text_encoder")
    with pytest.raises(ConfigError, match="Did you mean 'unet'"):
        pretrain.pretrain_stage("unit", seed=0, work=tmp_path, weights=tmp_path)


def test_the_command_knows_the_stages():
    assert commands.STAGE_NAMES == pretrain.STAGES
