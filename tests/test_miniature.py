"""The shipped miniature: what its networks do, and the whole way from crawl to report on it."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms.functional import to_tensor

from scoft_training.backbones import load_backbone
from scoft_training.cli import main
from scoft_training.control_models import load_controlnet, load_depth, require_fitting
from scoft_training.events import FinishedEvent
from scoft_training.lora_files import read_lora
from scoft_training.miniature import pretrain
from scoft_training.miniature.arms import ArmScale
from scoft_training.miniature.base_figures import base_accuracy, depth_following
from scoft_training.miniature.cultures import WRONGED
from scoft_training.miniature.evaluation import draw_for_prompts
from scoft_training.miniature.export import ExportSizes, cultural_row, export_sets, right_scenes
from scoft_training.miniature.loading import BACKBONE, JUDGE, NAME, WEIGHTS, register
from scoft_training.miniature.small_networks import STYLES
from scoft_training.miniature.trials import draw_trial_negatives, train_trial
from scoft_training.models import load_base


@pytest.fixture(autouse=True)
def registered():
    register()


def images_of(culture, count):
    pictures = [scene.picture.copy() for scene in right_scenes("t", culture, 9, count)]
    return torch.stack([torch.from_numpy(p) for p in pictures]).permute(0, 3, 1, 2).float() / 255


def test_it_is_small():
    total = sum(path.stat().st_size for path in WEIGHTS.rglob("*.safetensors"))
    assert total < 16e6


def test_every_stage_left_its_log_and_what_it_made():
    for stage in pretrain.STAGES:
        made = json.loads((WEIGHTS / stage / "made.json").read_text())
        assert made["seed"] == 0
        assert re.fullmatch("[0-9a-f]{64}", made["digest"])
        first, *lines = (WEIGHTS / stage / "log.jsonl").read_text().splitlines()
        steps = json.loads(first)["settings"]["steps"]
        assert json.loads(lines[-1])["step"] == steps
        assert json.loads(lines[-1])["cpu_s"] > 0


def test_all_stages_together_took_less_than_150_minutes_of_two_cores():
    seconds = [
        json.loads((WEIGHTS / stage / "log.jsonl").read_text().splitlines()[-1])["cpu_s"]
        for stage in pretrain.STAGES
    ]
    assert sum(seconds) / 2 < 150 * 60


def test_its_parts_fit_each_other():
    base = load_base(NAME, dtype=torch.float32)
    assert (base.name, base.family, base.vae_scale_factor) == (NAME, "sd1", 8)
    controlnet = load_controlnet(NAME, dtype=torch.float32)
    assert controlnet.name == NAME
    require_fitting(controlnet, base)


@pytest.mark.slow
def test_its_networks_do_on_unseen_pictures_what_they_did_when_they_were_made():
    """A tolerance, not equality: another version of a library rounds otherwise."""
    for part, figures in pretrain.held_out_figures(WEIGHTS, 0):
        made = json.loads((WEIGHTS / part / "made.json").read_text())["held_out"]
        for name, value in figures.items():
            assert value == pytest.approx(made.get(name, value), rel=0.02), (part, name)
    # By a wide margin better than chance (issue: seven styles, six subjects).
    judge = json.loads((WEIGHTS / "judge" / "made.json").read_text())["held_out"]
    assert min(judge["style"], judge["subject"]) > 0.97
    depth = json.loads((WEIGHTS / "depth" / "made.json").read_text())["held_out"]
    assert depth["l1"] < 0.2 * depth["l1 of the mean map"]
    clip = json.loads((WEIGHTS / "clip" / "made.json").read_text())["held_out"]
    assert clip["subject and culture"] > 0.9


def test_depth_of_a_picture_is_its_exact_depth():
    scene = right_scenes("t", "corvath", 1, 1)[0]
    image = torch.from_numpy(scene.picture.copy()).permute(2, 0, 1).float() / 255
    found = load_depth(NAME).estimate(image)[0]
    exact = torch.from_numpy(scene.depth.copy()).float()
    # The estimator stretches what it finds to 0 to 1, so unit and offset are not compared.
    assert torch.corrcoef(torch.stack([found.flatten(), exact.flatten()]))[0, 1] > 0.97


def test_the_backbones_see_what_matters():
    near = images_of("fenmor", 12)
    far = images_of("belquor", 12)
    for name in (BACKBONE, JUDGE):
        backbone = load_backbone(name, device="cpu", dtype=torch.float32)
        mine, same, other = (backbone.features(i) for i in (near[:6], near[6:], far[:6]))
        # The subjects come in turn: row i of all three shows the same one.
        assert backbone.distance(mine, same).mean() < 0.9 * backbone.distance(mine, other).mean()


@pytest.mark.slow
def test_the_base_draws_what_is_asked_and_wrongs_one_culture():
    found = base_accuracy(pictures_each=3, seed=5, inference_steps=15)
    assert found["category asked for, other cultures"] > 0.85
    assert found["stereotype, wronged culture"] > 0.55
    assert found["right, wronged culture"] < 0.25


@pytest.mark.slow
def test_drawings_follow_the_depth_they_are_held_to():
    found = depth_following(pictures=24, seed=5)
    asked = found["l1 to the depth asked for"]
    assert asked < 0.6 * found["l1 to another's depth"]
    assert asked < 0.6 * found["l1 to it, drawn without"]


@pytest.mark.slow
def test_negatives_are_the_stereotype_in_the_same_scene_and_the_filter_drops_the_others(tmp_path):
    sizes = ExportSizes(train=18, test=6, others=0, crawl=0)
    dataset = export_sets(tmp_path / "sets", seed=3, sizes=sizes)["community"]
    scale = ArmScale(steps=0, negatives_per_picture=2, negative_steps=12)
    events = draw_trial_negatives(
        scale, dataset=dataset, work=tmp_path / "work", should_stop=lambda: False
    )
    folder = Path(list(events)[-1].name)
    judge = load_backbone(JUDGE, device="cpu", dtype=torch.float32)
    found = {True: [], False: []}
    for record in folder.glob("*/*.json"):
        for name, entry in json.loads(record.read_text())["negatives"].items():
            with Image.open(record.parent / name) as picture:
                image = to_tensor(picture.convert("RGB"))[None]
            style = STYLES[judge.answers(image)["style"].argmax(1)]
            found[entry["kept"]].append(style == "stereotype")
    assert len(found[True]) + len(found[False]) == 36
    assert len(found[True]) >= 18
    assert sum(found[True]) > 0.9 * len(found[True])
    assert sum(found[False]) < 0.5 * len(found[False])


def test_the_same_noise_gives_the_same_picture_whatever_stands_beside_it():
    base = load_base(NAME, dtype=torch.float32)
    prompts = ["a house in estrix", "a robe in fenmor"]

    def draw(asked):
        return draw_for_prompts(base, asked, purpose="p", seed=1, inference_steps=3)

    both = draw(prompts)
    torch.testing.assert_close(draw(prompts), both, rtol=0, atol=0)
    torch.testing.assert_close(draw(prompts[:1])[0], both[0], rtol=0, atol=1e-4)
    assert not torch.allclose(both[0], both[1], atol=0.05)


@pytest.mark.slow
def test_training_it_twice_gives_the_same_lora(tmp_path):
    sizes = ExportSizes(train=6, test=6, others=0, crawl=0)
    dataset = export_sets(tmp_path / "sets", sizes=sizes)["community"]
    found = []
    for name in ("one", "two"):
        events = list(
            train_trial(
                "mp",
                0,
                ArmScale(steps=3),
                dataset=dataset,
                work=tmp_path / name,
                should_stop=lambda: False,
            )
        )
        assert isinstance(events[-1], FinishedEvent)
        # The header says when; the weights are what has to be the same.
        found.append(load_file(next((tmp_path / name).rglob("lora.safetensors"))))
    assert set(found[0]) == set(found[1])
    assert all(torch.equal(value, found[1][key]) for key, value in found[0].items())


@pytest.mark.slow
def test_a_short_training_turns_the_stereotype_into_the_culture(tmp_path):
    """What all of it is for, at its smallest: held-out captions, before and after."""
    sizes = ExportSizes(train=30, test=6, others=0, crawl=0)
    dataset = export_sets(tmp_path / "sets", seed=3, sizes=sizes)["community"]
    events = train_trial(
        "m",
        0,
        ArmScale(steps=150),
        dataset=dataset,
        work=tmp_path / "work",
        should_stop=lambda: False,
    )
    base = load_base(NAME, dtype=torch.float32)
    lora = read_lora(Path(list(events)[-1].name), base.unet)
    rows = [
        cultural_row(s, "test", 3, i) for i, s in enumerate(right_scenes("test", WRONGED, 3, 24))
    ]
    judge = load_backbone(JUDGE, device="cpu", dtype=torch.float32)

    def share_right(applied):
        images = draw_for_prompts(
            base,
            [row["text"] for row in rows],
            purpose="held out",
            seed=1,
            inference_steps=12,
            lora=applied,
        )
        found = judge.answers(images)["style"].argmax(1)
        return (found == STYLES.index(WRONGED)).double().mean().item()

    assert share_right(None) < 0.2
    assert share_right(lora) > 0.6


@pytest.mark.slow
def test_the_quick_demo_goes_the_whole_way_and_goes_on(tmp_path, capfd):
    folder = tmp_path / "demo"
    assert main(["demo", "--quick", "--folder", str(folder)]) == 0
    captured = capfd.readouterr()
    assert "before" in captured.out
    assert "step 20/20" in captured.err
    numbers = json.loads((folder / "metrics.json").read_text())
    assert numbers["before"]["stereotype"] > 0.4
    assert numbers["before"]["right"] < 0.3
    assert numbers["before"] != numbers["after"]
    page = (folder / "report.html").read_text()
    assert "quick run" in page
    assert "data:image/png" in page
    spaces = r'xmlns(:\w+)?="[^"]+"'
    assert not re.search(r"https?:", re.sub(spaces, "", page))  # nothing is fetched
    assert (folder / "sheet.png").is_file()
    assert (folder / "sets" / WRONGED / "card.json").is_file()
    assert main(["demo", "--quick", "--folder", str(folder)]) == 0
    assert "This run was finished before" in capfd.readouterr().err
    assert json.loads((folder / "metrics.json").read_text()) == numbers
