"""Negatives: the same files whatever happened in between, filtered once, decided by people."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from random_stack import random_controlnet
from stack import CPU, PoolBackbone, lora_base, small_base, write_demo

from scoft_training.conditioning import Conditioning
from scoft_training.config import NegativesConfig, TrainConfig
from scoft_training.control_models import ControlNet
from scoft_training.data import load_row_pictures, read_dataset
from scoft_training.data_rows import DatasetCard
from scoft_training.depth import DepthEstimator, load_depth_picture, save_depth_picture
from scoft_training.errors import ConfigError, DatasetError, DivergenceError
from scoft_training.events import HistogramEvent, PhaseEvent, StopRequested, WarningEvent, to_json
from scoft_training.files import digest_tensors, file_sha256
from scoft_training.negative_filter import filter_negatives
from scoft_training.negative_sets import (
    decide_negative,
    negative_sets,
    open_negative_set,
    read_row_negatives,
    with_negatives,
)
from scoft_training.negative_sheets import histogram_of, numbers_of
from scoft_training.negatives import draw_negatives, with_suffix
from scoft_training.predictor import NoisePredictor

F32 = torch.float32
STEPS, COUNT = 2, 3
CONFIG = NegativesConfig(
    suffix="in Aruna",
    negatives_per_picture=COUNT,
    inference_steps=STEPS,
    resolution=64,
    filter_backbone="pool",
)


class Grey(torch.nn.Module):
    def forward(self, images):
        return images.mean(1)


class Counted(PoolBackbone):
    """Counts the pictures whose features were asked for."""

    seen = 0

    def features(self, images):
        self.seen += len(images)
        return super().features(images)


BARE = {"negative_paths": (), "negative_sha256s": (), "depth_path": None}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    dataset = read_dataset(write_demo(tmp_path_factory.mktemp("demo") / "aruna"))
    return tuple(dataclasses.replace(row, **BARE) for row in dataset.rows[:3])


@pytest.fixture(scope="module")
def stack():
    base = small_base(F32)
    control = ControlNet.of("small", random_controlnet().to(F32))
    return base, control, DepthEstimator(Grey(), digest="grey")


def drain(generator):
    """The events of a generator and what it returns."""
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return events, end.value


def draw(rows, stack, work, config=CONFIG, **kinds):
    return drain(draw_negatives(rows, config, *stack, work=work, device=CPU, dtype=F32, **kinds))


def sift(rows, work, settings, backbone, config=CONFIG):
    return drain(filter_negatives(rows, config, backbone, work=work, settings=settings, device=CPU))


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Calls:
    """Counts a network's calls for the length of a block."""

    def __init__(self, network):
        self.count = 0
        self._network = network

    def __enter__(self):
        self._hook = self._network.register_forward_pre_hook(self._one)
        return self

    def _one(self, *_):
        self.count += 1

    def __exit__(self, *_):
        self._hook.remove()


@pytest.fixture(scope="module")
def drawn(rows, stack, tmp_path_factory):
    """An undisturbed work folder that no test changes, and its set's digest."""
    work = tmp_path_factory.mktemp("undisturbed")
    _, chosen = draw(rows, stack, work)
    return work, chosen.digest


@pytest.fixture
def work(drawn, tmp_path):
    """A copy of it."""
    import shutil

    return Path(shutil.copytree(drawn[0], tmp_path / "work"))


def test_the_work_folder_holds_what_was_asked_for(rows, drawn):
    work, settings = drawn
    (chosen,) = negative_sets(work)
    assert chosen.digest == settings
    assert chosen.settings["suffix"] == "in Aruna"
    assert chosen.negatives_per_picture == COUNT
    for row in rows:
        found = read_row_negatives(row, work, chosen)
        assert found.folder.parent == work / "negatives" / settings
        assert found.folder.name.startswith(row.sha256)
        assert [one.path.name for one in found.negatives] == ["00.png", "01.png", "02.png"]
        # Negative i is drawn for caption i mod k; the demo has two.
        captions = [row.generic_captions[place] for place in (0, 1, 0)]
        assert [one.prompt for one in found.negatives] == [f"{text} in Aruna" for text in captions]
        assert {(one.kept, one.by, one.distance) for one in found.negatives} == {(None, None, None)}
        # The same prompt, but a draw of its own.
        assert len({file_sha256(one.path) for one in found.negatives}) == COUNT
        record = json.loads((found.folder / "negatives.json").read_text())
        assert record["seed"] == 0
        assert record["settings"] == settings
        with Image.open(work / record["depth"]) as depth:
            assert depth.mode.startswith("I;16")
            assert depth.size == (64, 64)


def test_drawing_again_draws_nothing_and_leaves_the_base_as_it_was(rows, stack, work):
    before = contents(work)
    weights = digest_tensors(stack[0].unet.state_dict())
    with Calls(stack[0].unet) as unet, Calls(stack[1].network) as control:
        events, _ = draw(rows, stack, work)
    assert unet.count == control.count == 0
    assert contents(work) == before
    assert events == [PhaseEvent("depth", 3, 3), PhaseEvent("negatives", 9, 9)]
    assert digest_tensors(stack[0].unet.state_dict()) == weights


def test_more_negatives_keep_those_that_are_there(rows, stack, work):
    before = contents(work)
    with Calls(stack[0].unet) as calls:
        _, chosen = draw(rows, stack, work, dataclasses.replace(CONFIG, negatives_per_picture=4))
    assert calls.count == STEPS * len(rows)
    after = contents(work)
    assert all(after[name] == before[name] for name in before if name.endswith(".png"))
    assert len(read_row_negatives(rows[0], work, chosen).negatives) == 4
    # Fewer again: the fourth stays on disk and is not used.
    _, chosen = draw(rows, stack, work)
    assert len(read_row_negatives(rows[0], work, chosen).negatives) == COUNT


@pytest.mark.parametrize("stops_after", [0, 1, 2, 5, 12, 17])
def test_a_stopped_drawing_goes_on_to_the_same_files_and_draws_none_twice(
    rows, stack, drawn, tmp_path, stops_after
):
    left = stops_after

    def check_stop():
        nonlocal left
        if left == 0:
            raise StopRequested
        left -= 1

    with Calls(stack[0].unet) as first, pytest.raises(StopRequested):
        draw(rows, stack, tmp_path, check_stop=check_stop)
    finished = len(list(tmp_path.glob("negatives/*/*/0*.png")))
    with Calls(stack[0].unet) as second:
        draw(rows, stack, tmp_path)
    assert contents(tmp_path) == contents(drawn[0])
    assert second.count == STEPS * (COUNT * len(rows) - finished)
    # What the stop cost is the one picture it interrupted.
    assert first.count - STEPS * finished < STEPS


@pytest.mark.parametrize("rename", [1, 2, 5, 8])
def test_a_process_that_dies_before_a_rename_leaves_no_half_file(
    rows, stack, drawn, tmp_path, rename
):
    renames = 0
    replace = os.replace

    def dying(source, target):
        nonlocal renames
        renames += 1
        if renames == rename:
            raise KeyboardInterrupt
        replace(source, target)

    with mock.patch("os.replace", dying), pytest.raises(KeyboardInterrupt):
        draw(rows, stack, tmp_path)
    draw(rows, stack, tmp_path)
    assert contents(tmp_path) == contents(drawn[0])


KILLED = """
import sys
sys.path.insert(0, {tests!r})
import conftest
from pathlib import Path
from scoft_training.data import read_dataset
from test_negatives import *
rows = read_dataset(Path({dataset!r})).rows[:3]
rows = [dataclasses.replace(row, **BARE) for row in rows]
base = small_base(F32)
parts = base, ControlNet.of("small", random_controlnet()), DepthEstimator(Grey(), digest="grey")
print("ready", flush=True)
draw(rows, parts, Path({work!r}))
"""


@pytest.mark.slow
def test_a_killed_process_leaves_work_that_ends_with_the_same_files(rows, stack, drawn, tmp_path):
    code = KILLED.format(
        tests=str(Path(__file__).parent),
        dataset=str(rows[0].image_path.parent.parent.parent),
        work=str(tmp_path),
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not len(list(tmp_path.glob("negatives/*/*/0*.png"))) >= 4:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    process.stdout.close()
    finished = len(list(tmp_path.glob("negatives/*/*/0*.png")))
    assert finished < COUNT * len(rows)
    with Calls(stack[0].unet) as calls:
        draw(rows, stack, tmp_path)
    assert calls.count == STEPS * (COUNT * len(rows) - finished)
    assert contents(tmp_path) == contents(drawn[0])


def test_several_processes_draw_each_row_once_and_the_same(rows, stack, drawn, tmp_path):
    counts = []
    for index in range(2):
        with Calls(stack[0].unet) as calls:
            draw(rows, stack, tmp_path, process_index=index, num_processes=2)
        counts.append(calls.count)
    assert counts == [2 * COUNT * STEPS, 1 * COUNT * STEPS]
    assert contents(tmp_path) == contents(drawn[0])


def test_rows_with_the_same_picture_are_drawn_once_unless_their_captions_differ(
    rows, stack, tmp_path
):
    twin = dataclasses.replace(rows[0], number=99)
    other = dataclasses.replace(rows[0], generic_captions=("a thing",))
    with Calls(stack[0].unet) as calls:
        draw([rows[0], twin], stack, tmp_path)
    assert calls.count == STEPS * COUNT
    before = contents(tmp_path)
    with Calls(stack[0].unet) as calls:
        draw([rows[0], other, twin], stack, tmp_path)
    assert calls.count == STEPS * COUNT
    after = contents(tmp_path)
    assert all(after[name] == before[name] for name in before)


@pytest.mark.parametrize(
    "change",
    [
        {"suffix": "in Elsewhere"},
        {"seed": 1},
        {"guidance_scale": 3.0},
        {"control_strength": 0.5},
        {"inference_steps": 3},
        {"resolution": 72},
        {"crop": "random"},
    ],
)
def test_a_changed_setting_makes_new_files_and_leaves_the_old(rows, stack, work, change):
    before = contents(work)
    _, chosen = draw(rows[:1], stack, work, dataclasses.replace(CONFIG, **change))
    after = contents(work)
    assert all(after[name] == before[name] for name in before)
    assert len(negative_sets(work)) == 2
    old = next(found for found in negative_sets(work) if found.digest != chosen.digest)
    one, other = (read_row_negatives(rows[0], work, found) for found in (old, chosen))
    for mine, theirs in zip(one.negatives, other.negatives, strict=True):
        assert file_sha256(mine.path) != file_sha256(theirs.path)


def test_strength_zero_is_drawing_without_the_controlnet(rows, stack, work):
    _, free = draw(rows[:1], stack, work, dataclasses.replace(CONFIG, control_strength=0.0))
    base, control, depth = stack
    with Calls(control.network) as calls:
        draw(rows[:1], stack, work, dataclasses.replace(CONFIG, control_strength=0.0, seed=5))
    assert calls.count == 0
    # Without the ControlNet depth changes nothing; with it, depth does.
    inverted = DepthEstimator(lambda images: -images.mean(1), digest="inverted")
    for strength, same in ((0.0, True), (1.0, False)):
        config = dataclasses.replace(CONFIG, control_strength=strength)
        pictures = [
            [
                one.path.read_bytes()
                for one in read_row_negatives(
                    rows[0], work, draw(rows[:1], (base, control, network), work, config)[1]
                ).negatives
            ]
            for network in (depth, inverted)
        ]
        assert (pictures[0] == pictures[1]) is same
    assert free.digest in {found.digest for found in negative_sets(work)}


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
@pytest.mark.parametrize("batched", [True, False])
def test_residuals_of_strength_zero_change_no_bit_of_a_prediction(stack, guidance_scale, batched):
    base, control, _ = stack
    draw_from = torch.Generator().manual_seed(7)
    latents = torch.randn(2, 4, 8, 8, generator=draw_from)
    conditioning = Conditioning(torch.randn(2, 3, 32, generator=draw_from))
    timesteps = torch.tensor([700, 40])
    condition = torch.rand(1, 3, 64, 64, generator=draw_from)

    def guided(strength):
        def residuals(latents, timesteps, conditioning):
            down, middle = control.network(
                latents,
                timesteps,
                encoder_hidden_states=conditioning.prompt_embeds,
                controlnet_cond=condition.expand(len(latents), -1, -1, -1),
                conditioning_scale=strength,
                return_dict=False,
            )
            return {
                "down_block_additional_residuals": down,
                "mid_block_additional_residual": middle,
            }

        predictor = NoisePredictor(
            base.unet,
            base.schedule,
            device=CPU,
            dtype=F32,
            guidance_scale=guidance_scale,
            batched_guidance=batched,
            residuals=None if strength is None else residuals,
        )
        with torch.no_grad():
            return predictor.guided_noise(latents, timesteps, conditioning, conditioning[0])

    assert torch.equal(guided(None), guided(0.0))
    assert not torch.allclose(guided(None), guided(1.0), atol=1e-3)


def test_depth_lies_on_the_picture_and_a_brought_one_is_used(rows, stack, work, tmp_path):
    config = dataclasses.replace(CONFIG, resolution=72)
    draw(rows[:1], stack, work, config)
    image = load_row_pictures(rows[0], resolution=72, crop_mode="center", seed=0).image
    grey = 2 * image.mean(0) - 1
    expected = (grey - grey.min()) / (grey.max() - grey.min())
    (path,) = [
        path
        for path in work.glob(f"depth/*/{rows[0].sha256}.png")
        if Image.open(path).size == (72, 72)
    ]
    assert (load_depth_picture(path)[0] - expected).abs().max() < 1e-4

    # Brought for the whole 200 x 160 picture: the centre 160 x 160 are cut and shrunk.
    ramp = torch.linspace(0.2, 0.8, 200).expand(1, 160, 200)
    save_depth_picture(tmp_path / "ramp.png", ramp)
    row = dataclasses.replace(rows[0], depth_path=tmp_path / "ramp.png")
    base, control, _ = stack
    before = set(work.glob("depth/*/*.png"))
    _, chosen = draw([row], (base, control, None), work)
    (path,) = set(work.glob("depth/*/*.png")) - before
    left, right = 0.2 + 0.6 * 20 / 199, 0.2 + 0.6 * 179 / 199
    depth = load_depth_picture(path)
    assert abs(float(depth[0, 32, 0]) - left) < 0.01
    assert abs(float(depth[0, 32, -1]) - right) < 0.01
    assert read_row_negatives(row, work, chosen).depth == path
    with pytest.raises(ConfigError, match="Row 2 brings no depth picture"):
        draw([row, rows[1]], (base, control, None), work)


def test_what_cannot_be_drawn_is_refused_with_a_sentence(rows, stack, tmp_path):
    silent = dataclasses.replace(rows[0], generic_captions=())
    with pytest.raises(DatasetError, match="row 1: `blip_text` is missing, but negatives"):
        draw([silent], stack, tmp_path)
    with pytest.raises(ConfigError, match="`suffix` is empty.*say to 'in Korea'"):
        draw(rows, stack, tmp_path, dataclasses.replace(CONFIG, suffix=" "))
    with pytest.raises(ConfigError, match="`negatives_per_picture` must be between 1"):
        draw(rows, stack, tmp_path, dataclasses.replace(CONFIG, negatives_per_picture=0))
    with pytest.raises(ConfigError, match="carries a LoRA, but negatives show what the unmod"):
        draw(rows, (lora_base(F32), *stack[1:]), tmp_path)
    assert not list(tmp_path.rglob("*.png"))
    base, control, depth = stack
    broken = dataclasses.replace(base, vae=small_base(F32).vae)
    broken.vae.decoder.conv_out.bias.data += float("inf")
    with pytest.raises(DivergenceError, match="Set `precision` to bf16 or fp32"):
        draw(rows[:1], (broken, control, depth), tmp_path)
    assert not list(tmp_path.glob("negatives/*/*/*.png"))


def test_the_suffix_is_the_configs_or_the_cards():
    card = DatasetCard(suffix="in Aruna")
    assert with_suffix(NegativesConfig(), card).suffix == "in Aruna"
    assert with_suffix(NegativesConfig(suffix="in Korea "), card).suffix == "in Korea"
    with pytest.raises(ConfigError, match="card.json has none"):
        with_suffix(NegativesConfig(), DatasetCard())


def test_captions_that_lose_their_suffix_are_told(rows, stack, tmp_path):
    row = dataclasses.replace(rows[0], generic_captions=("a house", "words " * 20))
    events, _ = draw([row], stack, tmp_path)
    (warning,) = [event for event in events if isinstance(event, WarningEvent)]
    assert "Row 1, `blip_text` 2: with the suffix it is longer" in warning.message


def test_the_filter_keeps_what_is_far_enough_and_measures_once(rows, work, drawn):
    settings, backbone = drawn[1], Counted()
    chosen = open_negative_set(work, settings)
    with pytest.raises(ConfigError, match="Nobody has measured a threshold.*'pool'.*9 negatives"):
        sift(rows, work, settings, backbone)
    assert backbone.seen == len(rows) * (1 + COUNT)
    found = [read_row_negatives(row, work, chosen) for row in rows]
    assert {one.kept for of_row in found for one in of_row.negatives} == {None}
    distances = {
        (of_row.row.number, one.name): one.distances[backbone.digest]
        for of_row in found
        for one in of_row.negatives
    }
    # S by hand for one of them.
    pictures = load_row_pictures(rows[1], resolution=64, crop_mode="center", seed=0)
    with Image.open(found[1].folder / "02.png") as image:
        negative = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
    features = [PoolBackbone().features(part) for part in (negative, pictures.image[None])]
    expected = sum((a - b).square().mean() for a, b in zip(*features, strict=True))
    assert distances[rows[1].number, "02.png"] == pytest.approx(float(expected), rel=1e-6)

    pngs = {name: data for name, data in contents(work).items() if name.endswith("0.png")}
    threshold = sorted(distances.values())[4]
    for number, kept_count in ((threshold, 5), (0.0, 9), (threshold + 1e-9, 4)):
        config = dataclasses.replace(CONFIG, filter_threshold=number)
        events, histogram = sift(rows, work, settings, backbone, config)
        assert histogram in events
        assert (histogram.kept, histogram.dropped) == (kept_count, 9 - kept_count)
        assert sum(histogram.counts) == 9
        json.dumps(to_json(histogram))
        for row in rows:
            for one in read_row_negatives(row, work, chosen).negatives:
                assert one.distance == distances[row.number, one.name]
                assert one.kept is (one.distance >= number)
                assert one.by == "filter"
    assert backbone.seen == len(rows) * (1 + COUNT)
    assert {name: contents(work)[name] for name in pngs} == pngs


def test_the_backbones_own_threshold_counts_where_none_is_set(rows, work, drawn):
    backbone = PoolBackbone()
    backbone.filter_threshold = 1e9
    events, histogram = sift(rows, work, drawn[1], backbone)
    assert (histogram.kept, histogram.dropped, histogram.threshold) == (0, 9, 1e9)
    (warning,) = [event for event in events if isinstance(event, WarningEvent)]
    assert "3 of 3 pictures keep no negative and draw no L_C: row 1, 2, 3." in warning.message
    config = dataclasses.replace(CONFIG, filter_threshold=0.0)
    assert sift(rows, work, drawn[1], backbone, config)[1].kept == 9


def test_a_users_decision_is_never_overruled(rows, work, drawn):
    settings = drawn[1]
    config = dataclasses.replace(CONFIG, filter_threshold=0.0)
    chosen = open_negative_set(work, settings)
    folder = read_row_negatives(rows[0], work, chosen).folder.name
    decide_negative(work, settings, folder, "01.png", kept=False)

    def state():
        return [(one.kept, one.by) for one in read_row_negatives(rows[0], work, chosen).negatives]

    for threshold in (0.0, 1e5, 0.0):
        config = dataclasses.replace(CONFIG, filter_threshold=threshold)
        sift(rows, work, settings, PoolBackbone(), config)
        others = (threshold == 0.0, "filter")
        assert state() == [others, (False, "user"), others]
    config = dataclasses.replace(CONFIG, filter_backbone="none")
    sift(rows, work, settings, None, config)
    assert state() == [(True, "filter"), (False, "user"), (True, "filter")]
    decide_negative(work, settings, folder, "01.png", kept=None)
    assert state()[1] == (True, "filter")
    for wrong in (
        (settings, "../../elsewhere", "01.png"),
        (settings, folder, "../01.png"),
        ("0" * 16, folder, "01.png"),
    ):
        with pytest.raises(ConfigError):
            decide_negative(work, *wrong, kept=True)


def test_histogram_numbers_by_hand():
    histogram = histogram_of([0.0, 0.05, 0.49, 0.5, 1.0], backbone="pool", threshold=0.5)
    assert histogram.edges == pytest.approx([place / 20 for place in range(21)])
    expected = dict.fromkeys(range(20), 0) | {0: 1, 1: 1, 9: 1, 10: 1, 19: 1}
    assert histogram.counts == tuple(expected.values())
    assert (histogram.kept, histogram.dropped) == (2, 3)
    assert histogram_of([0.25], backbone="pool", threshold=2.0).edges[-1] == 2.0
    assert histogram_of([0.0, 0.0], backbone="pool", threshold=None) == HistogramEvent(
        "pool", tuple(np.linspace(0, 1, 21).tolist()), (2, *[0] * 19), None, 0, 0
    )
    sentence = numbers_of([0.0, 0.05, 0.49, 0.5, 1.0], histogram)
    assert "5 negatives" in sentence
    assert "from 0 to 1 (quartiles 0.05, 0.49, 0.5): 0 to 0.05: 1, 0.05 to 0.1: 1," in sentence


def test_the_sheets_show_every_row_and_mark_what_was_dropped(rows, work, drawn):
    settings = drawn[1]
    chosen = open_negative_set(work, settings)
    folder = chosen.folder(work)
    (folder / "sheet-002.png").write_bytes(b"of an earlier, larger set")

    def colours(name):
        with Image.open(folder / name) as image:
            assert image.mode == "RGB"
            return {colour for _, colour in image.getcolors(1 << 20)}

    green, red = (20, 140, 60), (200, 40, 40)
    for threshold, shown, absent in ((0.0, green, red), (1e5, red, green)):
        config = dataclasses.replace(CONFIG, filter_threshold=threshold)
        sift(rows, work, settings, PoolBackbone(), config)
        for name in ("sheet-001.png", "histogram.png"):
            assert shown in colours(name)
            assert absent not in colours(name)
    assert not (folder / "sheet-002.png").exists()


def test_training_rows_hold_kept_negatives_only(rows, work, drawn):
    settings = drawn[1]
    with pytest.raises(DatasetError, match="are drawn but not filtered"):
        with_negatives(rows, work, settings)
    sift(rows, work, settings, None, dataclasses.replace(CONFIG, filter_backbone="none"))
    chosen = open_negative_set(work, settings)
    folder = read_row_negatives(rows[0], work, chosen).folder
    decide_negative(work, settings, folder.name, "01.png", kept=False)
    first, *others = with_negatives(rows, work, settings)
    assert first.negative_paths == (folder / "00.png", folder / "02.png")
    assert first.negative_sha256s == tuple(map(file_sha256, first.negative_paths))
    assert first.drawn_negatives == 2
    assert all(row.drawn_negatives == COUNT for row in others)

    pictures = load_row_pictures(first, resolution=64, crop_mode="center", seed=0)
    with Image.open(folder / "02.png") as image:
        shown = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    assert torch.equal(pictures.negatives[1], shown)
    # A drawn negative is on the crop already, also on a random one.
    again = load_row_pictures(first, resolution=64, crop_mode="random", seed=3)
    assert torch.equal(again.negatives, pictures.negatives)
    with pytest.raises(DatasetError, match="was drawn at 64 x 64 pixels, but the resolution is 72"):
        load_row_pictures(first, resolution=72, crop_mode="center", seed=0)


def test_a_set_for_another_crop_is_refused(rows, work, drawn, stack):
    settings = drawn[1]
    sift(rows, work, settings, None, dataclasses.replace(CONFIG, filter_backbone="none"))
    train = TrainConfig(resolution=64)
    assert with_negatives(rows, work, settings, config=dataclasses.replace(train, seed=9))
    for change, message in (
        ({"resolution": 72}, "drawn for `resolution` 64, but the training has 72"),
        ({"crop": "random"}, "drawn for `crop` center, but the training has random"),
    ):
        with pytest.raises(ConfigError, match=message):
            with_negatives(rows, work, settings, config=dataclasses.replace(train, **change))
    config = dataclasses.replace(CONFIG, crop="random", negatives_per_picture=1)
    _, chosen = draw(rows, stack, work, config)
    sift(rows, work, chosen.digest, None, dataclasses.replace(config, filter_backbone="none"))
    train = dataclasses.replace(train, crop="random")
    assert with_negatives(rows, work, chosen.digest, config=train)
    with pytest.raises(ConfigError, match="drawn for `seed` 0, but the training has 1"):
        with_negatives(rows, work, chosen.digest, config=dataclasses.replace(train, seed=1))


def test_sets_are_listed_and_asked_for_by_name(rows, work, drawn, tmp_path):
    assert negative_sets(tmp_path / "nothing") == []
    with pytest.raises(ConfigError, match="holds no drawn negatives"):
        open_negative_set(tmp_path / "nothing", "0" * 16)
    with pytest.raises(ConfigError, match=f"Unknown set of negatives '..'. Use one of {drawn[1]}"):
        open_negative_set(work, "..")


def test_a_brought_negative_can_be_dropped_before_any_filter(rows, stack, work, drawn):
    brought = dataclasses.replace(
        rows[0], negative_paths=(rows[1].image_path,), negative_sha256s=(rows[1].sha256,)
    )
    with Calls(stack[0].unet) as calls:
        _, chosen = draw([brought], stack, work)
    assert calls.count == 0
    folder = read_row_negatives(brought, work, chosen).folder.name
    decide_negative(work, chosen.digest, folder, rows[1].sha256, kept=False)
    decide_negative(work, chosen.digest, folder, "02.png", kept=True)
    (row,) = with_negatives([brought], work, chosen.digest)
    assert [path.name for path in row.negative_paths] == ["02.png"]


def test_brought_negatives_pass_the_same_filter(rows, stack, work, drawn):
    settings = drawn[1]
    source = rows[0].image_path
    brought = dataclasses.replace(
        rows[0],
        negative_paths=(source, rows[1].image_path),
        negative_sha256s=(rows[0].sha256, rows[1].sha256),
    )
    config = dataclasses.replace(CONFIG, filter_threshold=1e-9)
    backbone = Counted()
    sift([brought], work, settings, backbone, config)
    assert backbone.seen == 1 + 2 + COUNT
    (row,) = with_negatives([brought], work, settings)
    # The picture itself as a negative has distance 0 and goes; the other one stays, in front.
    assert row.negative_paths[0] == rows[1].image_path
    assert row.negative_sha256s[0] == rows[1].sha256
    assert (len(row.negative_paths), row.drawn_negatives) == (1 + COUNT, COUNT)
    assert len(load_row_pictures(row, resolution=64, crop_mode="center", seed=0).negatives) == 4
