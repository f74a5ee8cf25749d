"""SDXL through the whole engine: what its UNet is told at each call, and a run from one file."""

import json

import pytest
import safetensors
import torch
from ldm_layout import controlnet_tensors, ldm_checkpoint, small_networks
from PIL import Image
from safetensors.torch import save_file
from stack import CPU, FAST, PoolBackbone, make_batch, write_demo

from scoft_training.cli import main
from scoft_training.conditioning import Conditioning, size_ids
from scoft_training.config import TrainConfig
from scoft_training.data import load_row_pictures, read_dataset
from scoft_training.lora_files import read_lora
from scoft_training.models import attach_lora, load_base, lora_parameters
from scoft_training.objective import Objective
from scoft_training.precompute import precompute

RESOLUTION = 64


@pytest.fixture(scope="module")
def networks():
    return small_networks("sdxl")


@pytest.fixture(scope="module")
def file(networks, tmp_path_factory):
    path = tmp_path_factory.mktemp("sdxl") / "sdxl.safetensors"
    save_file(ldm_checkpoint(networks, "sdxl"), path)
    return path


@pytest.fixture
def base(file):
    return load_base(file, dtype=torch.float32, allow_download=False)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = write_demo(tmp_path_factory.mktemp("aruna") / "d")
    return read_dataset(root)


def computed(dataset, base, cache, **values):
    work = precompute(
        dataset.rows[:3],
        TrainConfig(resolution=RESOLUTION, **values),
        base,
        backbone=PoolBackbone(torch.float32),
        cache=cache,
        device=CPU,
        dtype=torch.float32,
        check_stop=lambda: None,
    )
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


def test_an_example_knows_the_size_of_its_file_and_where_it_was_cut(dataset, base, tmp_path):
    assert Image.open(dataset.rows[0].image_path).size == (200, 160)
    found = computed(dataset, base, tmp_path)
    # 160 high becomes 64, so 200 wide becomes 80, and the middle 64 of it begin at 8.
    assert found.examples[0].time_ids.tolist() == [[160, 200, 0, 8, 64, 64]] * 2
    again = computed(dataset, base, tmp_path)
    assert torch.equal(again.examples[0].time_ids, found.examples[0].time_ids)
    encoded = base.captions.encode(["", dataset.rows[0].cultural_caption]).conditioning
    pooled = found.examples[0].conditioning.pooled_prompt_embeds
    torch.testing.assert_close(pooled, encoded[1].pooled_prompt_embeds)
    torch.testing.assert_close(found.uncond.pooled_prompt_embeds, encoded[0].pooled_prompt_embeds)
    assert found.examples[0].generic_conditioning.pooled_prompt_embeds.shape == (2, 96)


def test_a_mirrored_picture_is_cut_where_the_mirror_shows_it(dataset, base, tmp_path):
    found = computed(dataset, base, tmp_path, crop="random", seed=3)
    for row, example in zip(dataset.rows, found.examples, strict=False):
        shown = load_row_pictures(row, resolution=RESOLUTION, crop_mode="random", seed=3)
        left = shown.crop_top_left[1]
        # Both sides have 16 pixels more than the square, together.
        assert example.time_ids[:, 3].tolist() == [left, 16 - left]
    assert len({float(example.time_ids[0, 3]) for example in found.examples}) > 1


def conditioned(batch, width=192, pooled=96):
    draw = torch.Generator().manual_seed(5)
    count = len(batch.timesteps)

    def captions(time_ids):
        embeds = torch.randn(count, 77, width, generator=draw)
        return Conditioning(embeds, torch.randn(count, pooled, generator=draw)).sized(time_ids)

    ids = torch.stack([size_ids((300 + k, 400), (0, k), (64, 64)) for k in range(count)])
    object.__setattr__(batch, "conditioning", captions(ids))
    object.__setattr__(batch, "generic_conditioning", captions(ids))
    return batch


def objective_of(base, config, dtype=torch.float32):
    attach_lora(base.unet, rank=4, alpha=4.0, seed=0, dtype=torch.float32)
    return Objective(
        base,
        config,
        FAST,
        backbone=PoolBackbone(torch.float32),
        lpips=None,
        uncond=base.captions.encode([""]).conditioning[0],
        distance_unit=0.01,
        device=CPU,
        dtype=dtype,
    )


def test_every_prediction_is_told_its_own_caption_and_size(base):
    batch = conditioned(make_batch([300, 700], dtype=torch.float32))
    objective = objective_of(base, TrainConfig(batch_size=2, ddim_steps=3, gradient_step="last"))
    calls = []
    base.unet.register_forward_pre_hook(
        lambda _module, _arguments, named: calls.append(named), with_kwargs=True
    )
    objective.accumulate(batch, check_stop=lambda: None)
    cultural, generic = batch.conditioning, batch.generic_conditioning
    uncond = base.captions.encode([""]).conditioning[0]
    seen = []
    for named in calls:
        added = named["added_cond_kwargs"]
        embeds, pooled = named["encoder_hidden_states"], added["text_embeds"]
        ids = added["time_ids"]
        both = torch.equal(ids, torch.cat([cultural.time_ids] * 2))
        if both:
            assert torch.equal(embeds[:2], uncond.prompt_embeds.expand(2, -1, -1))
            assert torch.equal(pooled[:2], uncond.pooled_prompt_embeds.expand(2, -1))
            embeds, pooled = embeds[2:], pooled[2:]
        else:
            assert torch.equal(ids, cultural.time_ids)
        kind = "generic" if torch.equal(embeds, generic.prompt_embeds) else "cultural"
        wanted = generic if kind == "generic" else cultural
        assert torch.equal(embeds, wanted.prompt_embeds)
        assert torch.equal(pooled, wanted.pooled_prompt_embeds)
        seen.append(("guided " if both else "") + kind)
    # Three DDIM steps, L_M's prediction, L_LDM's, and the recorded one made again.
    assert seen == ["guided cultural"] * 3 + ["generic", "cultural", "cultural"]
    ups = [value for name, value in lora_parameters(base.unet).items() if ".lora_B." in name]
    assert all(value.grad.abs().sum() > 0 for value in ups)


def test_the_decoder_may_be_wider_than_the_unet(file):
    base = load_base(file, dtype=torch.bfloat16)
    base.vae.to(torch.float32)
    batch = conditioned(make_batch([700], dtype=torch.bfloat16))
    config = TrainConfig(ddim_steps=2)
    objective = objective_of(base, config, torch.bfloat16)
    terms = objective.accumulate(batch, check_stop=lambda: None)
    assert terms["perceptual"].dtype == torch.float32
    assert terms["perceptual"].isfinite().all()


@pytest.mark.usefixtures("small_registry")
def test_a_run_from_one_file_gives_a_lora_of_the_family(dataset, file, base, tmp_path, capsys):
    words = ["--device", "cpu", "--perceptual-backbone", "pool", "--resolution", "64"]
    words += ["--rank", "4", "--steps", "3", "--ddim-steps", "2", "--perceptual-every", "2"]
    words += ["--work", str(tmp_path / "work"), "--learning-rate", "1e-3", "--preview-every", "3"]
    words += ["--preview-steps", "2", "--base", str(file)]
    output = tmp_path / "aruna.safetensors"
    assert main(["train", str(dataset.root), *words, "--output", str(output)]) == 0, (
        capsys.readouterr().err
    )
    assert "`resolution` is 64, and SDXL was made for pictures of 1024" in capsys.readouterr().err
    lora = read_lora(output, base.unet)
    # Four projections of both attentions of each transformer: 2 x 2 + 2 x 3 down, 3 in the
    # middle, 3 x 3 + 3 x 2 up, 28 transformers in all.
    assert len(lora.layers) == 4 * 2 * 28
    assert any(layer.up.abs().sum() > 0 for layer in lora.layers.values())
    with safetensors.safe_open(output, framework="pt") as opened:
        metadata = opened.metadata()
    assert metadata["ss_base_model_version"] == "sdxl_base_v1-0"
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    (preview,) = (tmp_path / "work").glob("runs/*/previews/*0.png")
    assert Image.open(preview).size == (2 * 64 + 4, 64)

    drawing = ["--resolution", "64", "--inference-steps", "2", "--device", "cpu"]
    out = tmp_path / "pictures"
    words = ["--base", str(file), "--lora", str(output), "--prompt", "a house"]
    assert main(["generate", *words, *drawing, "--out", str(out)]) == 0
    assert (out / "sheet.png").is_file()


@pytest.mark.usefixtures("small_registry")
def test_negatives_are_drawn_through_a_controlnet_of_the_family(
    networks, dataset, file, tmp_path, capsys
):
    control = tmp_path / "depth.safetensors"
    save_file(controlnet_tensors(networks["unet"]).state_dict(), control)
    words = ["--base", str(file), "--controlnet", str(control), "--work", str(tmp_path / "work")]
    words += ["--resolution", "64", "--inference-steps", "2", "--negatives-per-picture", "1"]
    words += ["--filter-backbone", "none", "--device", "cpu", "--json-events"]
    assert main(["negatives", str(dataset.root), *words]) == 0, capsys.readouterr().err
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    drawn = [tmp_path / "work" / one["name"] for one in events if one["event"] == "negative"]
    assert len(drawn) == 12
    assert len({path.read_bytes() for path in drawn}) == 12
