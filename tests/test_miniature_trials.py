"""The arms, their trials, the ablation's table and what people look at; nothing is drawn here."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from scoft_training.config import PRESETS, TrainConfig
from scoft_training.errors import ConfigError, OutputError
from scoft_training.events import FinishedEvent, PhaseEvent, StoppedEvent
from scoft_training.miniature import ablation, demo, trials
from scoft_training.miniature.ablation import AblationRequest, run_ablation
from scoft_training.miniature.arms import ARMS, ArmScale, run_request, train_config
from scoft_training.miniature.evaluation import EvaluationSizes, Figures
from scoft_training.miniature.loading import BACKBONE, JUDGE
from scoft_training.miniature.report import glance_sheet
from scoft_training.options import validate

SCALE = ArmScale(steps=30)
ZERO = {field.name: 0.0 for field in dataclasses.fields(Figures)}


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_keeps_its_presets_terms(arm):
    config = train_config(arm, 3, SCALE)
    validate(config)
    preset, _ = ARMS[arm]
    terms = ("ldm_weight", "memorization_weight", "perceptual_weight", "contrastive_weight")
    for term in terms:
        assert (getattr(config, term) > 0) == (PRESETS[preset][term] > 0), term
    assert config.ldm_weight == PRESETS[preset]["ldm_weight"]
    assert config.seed == 3
    assert config.perceptual_backbone == BACKBONE != JUDGE


def test_arms_differ_in_what_they_compare_and_in_nothing_else():
    first = train_config("mpc", 0, SCALE)

    def changed(arm):
        other = train_config(arm, 0, SCALE)
        names = [field.name for field in dataclasses.fields(TrainConfig)]
        return {name for name in names if getattr(first, name) != getattr(other, name)}

    assert changed("mpc-last") == changed("mpc-random") == {"gradient_step"}
    assert changed("mpc-unit") == {"unit_recorded_step"}
    assert changed("mpc-0.05") == {"perceptual_weight", "contrastive_weight"}
    assert changed("mp") == {"preset", "contrastive_weight"}
    assert train_config("mpc-0.05", 0, SCALE).perceptual_weight == 0.05


def test_a_run_decides_its_memory_by_itself(tmp_path):
    """`auto` would let the machine's free memory decide, and a resumed run could then differ."""
    request = run_request("mpc", 0, SCALE, dataset=tmp_path, work=tmp_path)
    assert "auto" not in dataclasses.asdict(request.memory).values()
    assert request.allow_download is False


def test_a_trial_tells_its_seconds_and_losses_once(tmp_path):
    lines = [
        {"event": "settings"},
        {"event": "step", "step": 1, "seconds": 2.0, "losses": {"ldm": 0.5}},
        {"event": "step", "step": 2, "seconds": 3.0, "losses": {"ldm": 0.4, "perceptual": 7.0}},
        {"event": "step", "step": 2, "seconds": 4.0, "losses": {"ldm": 0.3, "perceptual": 6.0}},
    ]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    trained = trials._read(tmp_path / "lora.safetensors")
    assert trained.seconds == 6.0
    assert trained.losses == {"ldm": [0.5, 0.3], "perceptual": [6.0]}


@pytest.fixture
def stubbed(monkeypatch, tmp_path):
    """The ablation with its heavy parts replaced; tells what was trained and measured."""
    told = SimpleNamespace(trained=[], measured=[], stop_after=None)

    def train(arm, seed, scale, **_):
        if told.stop_after is not None and len(told.trained) >= told.stop_after:
            yield StoppedEvent(0, "stopped")
            return None
        told.trained.append((arm, seed))
        yield FinishedEvent(scale.steps, "x")
        return trials.Trained(tmp_path / arm, 10.0 + seed, {})

    class Evaluator:
        def __init__(self, *, seed, **_):
            self.seed = seed
            self.base = SimpleNamespace(unet=None)

        def measure(self, lora):
            told.measured.append((lora, self.seed))
            figures = Figures(**{**ZERO, "kid": 100.0 * self.seed + (0 if lora is None else 10)})
            return figures, torch.rand(8, 3, 16, 16), 1.0

    def negatives(*_, **__):
        yield PhaseEvent("negatives", 1, 1)
        return True

    monkeypatch.setattr(ablation, "train_trial", train)
    monkeypatch.setattr(ablation, "Evaluator", Evaluator)
    monkeypatch.setattr(ablation, "draw_trial_negatives", negatives)
    monkeypatch.setattr(ablation, "read_lora", lambda path, unet: path.name)
    return told


def request(folder, **changes):
    sizes = EvaluationSizes(test=6)
    defaults = {"seeds": (1, 2), "arms": ("ldm", "mpc"), "scale": SCALE, "num_train": 3}
    return AblationRequest(folder, sizes=sizes, **{**defaults, **changes})


def test_every_arm_meets_every_seed_and_the_table_has_the_means(stubbed, tmp_path):
    events = list(run_ablation(request(tmp_path / "a")))
    assert isinstance(events[-1], FinishedEvent)
    assert stubbed.trained == [("ldm", 1), ("mpc", 1), ("ldm", 2), ("mpc", 2)]
    assert stubbed.measured == [
        (None, 1),
        ("ldm", 1),
        ("mpc", 1),
        (None, 2),
        ("ldm", 2),
        ("mpc", 2),
    ]
    found = json.loads((tmp_path / "a" / "table.json").read_text())["mean_and_half_width"]
    # Two seeds, 100 and 200: the half width is t(0.975, 1) = 12.706 times 100 / sqrt(2) / sqrt(2).
    assert found["base"]["kid"] == pytest.approx([150.0, 12.706 * 50], rel=1e-4)
    assert found["mpc"]["kid"][0] == pytest.approx(160.0)
    assert found["mpc"]["seconds"][0] == pytest.approx(11.5)
    assert found["base"]["seconds"][0] == 0
    text = (tmp_path / "a" / "table.md").read_text()
    assert "| mpc | 160 ± 635 |" in text
    # The same seed, the same figure: the seeds' spread is not the difference's.
    assert "| mpc - ldm | 0 ± 0 |" in text
    assert "mp - m" not in text
    assert "memorization, seen by the loss" in text.splitlines()[0]
    html = (tmp_path / "a" / "report.html").read_text()
    assert html.count("data:image/png") == 3
    assert html.count("<svg") == 5
    assert len(list((tmp_path / "a" / "plots").glob("*.svg"))) == 5


def test_a_stopped_ablation_goes_on_and_repeats_nothing(stubbed, tmp_path):
    stubbed.stop_after = 3
    events = list(run_ablation(request(tmp_path / "a")))
    assert isinstance(events[-1], StoppedEvent)
    assert not (tmp_path / "a" / "table.md").exists()
    stubbed.stop_after = None
    list(run_ablation(request(tmp_path / "a")))
    assert stubbed.trained == [("ldm", 1), ("mpc", 1), ("ldm", 2), ("mpc", 2)]
    assert len(stubbed.measured) == 6


def test_a_damaged_trial_is_made_again_and_a_lost_picture_is_left_out(stubbed, tmp_path):
    list(run_ablation(request(tmp_path / "a")))
    before = (tmp_path / "a" / "table.md").read_text()
    damaged, lost = sorted((tmp_path / "a" / "results").glob("base-*"))[:2]
    assert (damaged.suffix, lost.suffix) == (".json", ".png")
    damaged.write_text(damaged.read_text()[:20])
    sorted((tmp_path / "a" / "results").glob("ldm-1-*.png"))[0].unlink()
    list(run_ablation(request(tmp_path / "a")))
    assert stubbed.measured[6:] == [(None, 1)]
    assert (tmp_path / "a" / "table.md").read_text() == before
    assert (tmp_path / "a" / "report.html").read_text().count("data:image/png") == 2


def test_trials_of_other_settings_do_not_count(stubbed, tmp_path):
    list(run_ablation(request(tmp_path / "a", seeds=(1,))))
    list(run_ablation(request(tmp_path / "a", seeds=(1,), scale=ArmScale(steps=31))))
    assert stubbed.trained == [("ldm", 1), ("mpc", 1)] * 2
    with pytest.raises(OutputError, match="another seed or other sizes"):
        list(run_ablation(request(tmp_path / "a", num_train=4)))


def test_what_no_trial_can_be_made_of_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'mpc-last'"):
        list(run_ablation(request(tmp_path, arms=("mpc-lst",))))
    with pytest.raises(ConfigError, match="no seed"):
        list(run_ablation(request(tmp_path, seeds=())))
    with pytest.raises(ConfigError, match="1 picture or more to learn from but got 0"):
        list(run_ablation(request(tmp_path, num_train=0)))
    with pytest.raises(ConfigError, match="`steps` must be between 1"):
        list(run_ablation(request(tmp_path, scale=ArmScale(steps=0))))
    assert not list(tmp_path.iterdir())


def test_the_sheet_puts_every_picture_into_its_row_and_column():
    black, white = torch.zeros(3, 120, 120), torch.ones(3, 120, 120)
    red = black.clone()
    red[0] = 1
    sheet = glance_sheet(
        ["one", "two"], [("Before", "a note", [black, red]), ("After", "", [red, black])]
    )
    assert isinstance(sheet, Image.Image)
    left, head, pitch = 210, 30, 130
    centre = 60
    assert sheet.getpixel((left + centre, head + centre)) == (0, 0, 0)
    assert sheet.getpixel((left + pitch + centre, head + centre)) == (255, 0, 0)
    assert sheet.getpixel((left + centre, head + pitch + centre)) == (255, 0, 0)
    assert sheet.getpixel((left + pitch + centre, head + pitch + centre)) == (0, 0, 0)
    larger = glance_sheet(["one"], [("Before", "", [white])], zoom=2)
    assert larger.width > 2 * 120


def test_new_prompts_were_not_trained_on():
    taken = ["a red house in avelun", "a teal house in avelun"]
    prompts = demo._new_prompts(taken)
    assert len(prompts) == 6
    assert prompts[0] == "a purple house in avelun"
    assert not set(prompts) & set(taken)


def test_losses_are_shown_in_means_up_to_their_last_value():
    plot = demo._loss_plot("memorization", [float(n) for n in range(13)])
    # Two values each, and the last one alone: 0.5 after 2 values, 12 after 13.
    assert plot.words == "memorization: 0.5 at value 2, 12 at 13"
    assert demo._loss_plot("ldm", [0.25]).words == "ldm: 0.25 at value 1, 0.25 at 1"


def test_the_demos_table_lines_up():
    numbers = {name: {**ZERO, "kid": value} for name, value in (("before", 812.4), ("after", 97.0))}
    lines = demo.demo_table(numbers).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "     812        97" in lines[1]
