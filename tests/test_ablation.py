"""Ablations: every arm meets every seed once, whatever stops, and what is changed is made anew.

Training, drawing and scoring are replaced here by what leaves the same notes; the last test does
all of it for real.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from scoft_training import ablation, ablation_state
from scoft_training.ablation import run_ablation
from scoft_training.ablation_file import read_ablation
from scoft_training.ablation_plan import (
    PlannedNegatives,
    PlannedTrial,
    plan_ablation,
    still_to_do,
)
from scoft_training.errors import ConfigError, DatasetError, DivergenceError, ScoftError
from scoft_training.events import FinishedEvent, PhaseEvent, SettingsEvent, StoppedEvent, TrialEvent
from scoft_training.grids import (
    GridModel,
    GridPicture,
    add_picture,
    extended,
    new_grid,
    picture_name,
    read_grid,
    write_grid,
)
from scoft_training.score_records import MetricValue, ModelScores, Scores

TESTS = Path(__file__).parent

FILE = """
folder = "out"
base = "base"
device = "cpu"
seeds = [0, 1]
[[cultures]]
name = "korea"
dataset = "korea"
work = "work"
[[cultures]]
name = "avelun"
dataset = "avelun"
work = "work2"
[train]
steps = 10
[arms.sd]
lora = false
[arms.ldm]
preset = "ldm"
[arms.m]
preset = "m"
[grid]
train_captions = 1
pictures_per_caption = 2
neutral_prompts = 3
[score]
kid_network = "inception"
clip_network = "clip_vit_b32"
similarity_networks = "none"
diversity_network = "none"
"""

KID = {"base": 30.0, "ldm": 20.0, "m": 10.0, "mpc": 5.0}


def picture_set(folder, colour):
    for split, count in (("train", 2), ("test", 1)):
        lines = []
        (folder / split).mkdir(parents=True)
        for number in range(count):
            name = f"{number}.png"
            Image.new("RGB", (64, 64), (colour, 90 * number, len(split))).save(
                folder / split / name
            )
            row = {"file_name": name, "text": f"{split} {number}", "blip_text": [f"a {number}"]}
            lines.append(json.dumps(row) + "\n")
        (folder / split / "metadata.jsonl").write_text("".join(lines))


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Told:
    """What was asked of the replaced parts, and what they are to do."""

    def __init__(self):
        self.trained, self.drawn, self.scored, self.negatives = [], [], [], []
        self.stop_after, self.lacking, self.fail = None, False, None
        self.weights, self.stop_inside = b"as ever", False

    def stop(self):
        return self.stop_after is not None and len(self.trained) >= self.stop_after

    def train(self, request, *, should_stop):
        if self.stop():
            yield StoppedEvent(0, "stopped")
            return
        if self.fail is not None:
            raise self.fail
        config = request.config
        self.trained.append((request.dataset.name, config.preset, config.seed, request.negatives))
        rows = (request.dataset / "train" / "metadata.jsonl").read_text()
        key = repr((request.dataset.name, config, request.negatives, rows)).encode()
        folder = request.work / "runs" / hashlib.sha256(key).hexdigest()[:16]
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        yield SettingsEvent(folder.name, "cpu", "float32", {}, 0, config.steps, 1)
        (folder / "checkpoints" / "step-00000004.safetensors").touch()
        if self.stop_inside:
            yield StoppedEvent(4, "stopped")
            return
        (folder / "lora.safetensors").write_bytes(key + self.weights)
        (folder / "events.jsonl").write_text(
            '{"event": "step", "step": 1, "seconds": 2.5, "losses": {}}\n'
        )
        yield FinishedEvent(config.steps, str(folder / "lora.safetensors"))

    def draw(self, request, *, should_stop):
        self.drawn.append([source.name for source in request.sources])
        there = (request.folder / "grid.json").is_file()
        grid = read_grid(request.folder) if there else new_grid(request.folder, "b", "d", {})
        models = [
            GridModel(one.name, one.lora and digest(one.lora), one.strength, run_id=one.run_id)
            for one in request.sources
        ]
        grid = extended(grid, models, request.prompts)
        write_grid(grid)
        for model, prompt, seed in grid.missing():
            path = grid.folder / picture_name(grid, model, prompt, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64)).save(path)
            add_picture(grid, GridPicture(model, prompt, seed, path, "0" * 64))
        yield FinishedEvent(0, str(request.folder))

    def score(self, request, *, should_stop):
        self.scored.append((request.grid.name.rpartition("-")[0], request.general))
        yield PhaseEvent("score", 1, 1)
        seed = int(request.grid.name.split("seed")[1][0])
        models = []
        for model in read_grid(request.grid).models:
            kid = KID[model.name.split()[0]] + 100 * seed
            metrics = [MetricValue("kid_reference", "KID", kid, unit="x 1000", better="lower")]
            if not self.lacking:
                metrics.append(MetricValue("clip_score", "CLIP Score", 0.75, unit="2.5 x cosine"))
            models.append(ModelScores(model, tuple(metrics)))
        return Scores(
            request.grid.name,
            "b",
            {},
            tuple(models),
            networks={"inception": "1"},
            warnings=("Look out.",),
            absent_networks=("clip_vit_b32",) if self.lacking else (),
        )

    def make_negatives(self, request, *, should_stop):
        self.negatives.append(request.dataset.name)
        folder = request.work / "negatives" / "0123456789abcdef"
        folder.mkdir(parents=True)
        yield FinishedEvent(2, str(folder))


@pytest.fixture
def told(monkeypatch, tmp_path):
    told = Told()
    picture_set(tmp_path / "korea", 10)
    picture_set(tmp_path / "avelun", 20)
    monkeypatch.setattr(ablation, "run_training", told.train)
    monkeypatch.setattr(ablation, "draw_grid", told.draw)
    monkeypatch.setattr(ablation, "score_grid", told.score)
    monkeypatch.setattr(ablation, "make_negatives", told.make_negatives)
    for name, instead in (
        ("find_base", lambda self: None),
        ("require_backbones", lambda self: None),
        ("lora_digest", lambda self, path: digest(path)),
        ("lora_bytes", lambda self, config: 1000 * config.rank),
    ):
        monkeypatch.setattr(ablation_state.AblationState, name, instead)
    return told


@pytest.fixture
def run(told, tmp_path):
    def run(text=FILE):
        (tmp_path / "a.toml").write_text(text)
        return list(run_ablation(read_ablation(tmp_path / "a.toml")))[-1]

    return run


@pytest.fixture
def plan(told, tmp_path):
    def plan(text=FILE):
        (tmp_path / "a.toml").write_text(text)
        planned = plan_ablation(read_ablation(tmp_path / "a.toml"))
        return [one for one in planned if isinstance(one, PlannedTrial)]

    return plan


def arms(told):
    return [(culture, preset, seed) for culture, preset, seed, _ in told.trained]


def test_every_arm_meets_every_culture_and_seed_and_the_tables_hold_the_means(told, run, tmp_path):
    assert run() == FinishedEvent(0, str(tmp_path / "out" / "report.html"))
    # Seed by seed: an interrupted ablation holds every arm of the seeds it has.
    assert arms(told) == [
        (culture, preset, seed)
        for seed in (0, 1)
        for culture in ("korea", "avelun")
        for preset in ("ldm", "m")
    ]
    assert told.drawn == [["base", "ldm", "m"]] * 4
    assert [name for name, _ in told.scored] == [
        "korea-seed0",
        "avelun-seed0",
        "korea-seed1",
        "avelun-seed1",
    ]
    found = json.loads((tmp_path / "out" / "tables.json").read_text())
    # 30 and 130: t(0.975, 1) = 12.7062 times 100 / sqrt(2) / sqrt(2).
    assert found["mean_and_half_width"]["sd"]["kid_reference"] == pytest.approx(
        [80, 635.31], rel=1e-4
    )
    assert found["mean_and_half_width"]["m"]["clip_score"] == pytest.approx([0.75, 0])
    assert found["mean_and_half_width"]["m"]["seconds"] == pytest.approx([2.5, 0])
    assert found["mean_and_half_width"]["sd"]["seconds"] == pytest.approx([0, 0])
    text = (tmp_path / "out" / "tables.md").read_text()
    assert "| arm | KID, x 1000 | paper | CLIP Score, 2.5 x cosine | paper |" in text
    assert "| sd | 80 ± 635 | 30.355 | 0.750 ± 0.000 | 0.813 |" in text
    # The same seed, the same noise: what seeds share is no part of the difference.
    assert "| m - ldm | -10.0 ± 0.0 | 0.00 ± 0.00 |" in text
    assert "| arm | korea | paper | avelun |" in text
    assert text.count("Look out.") == 2
    lines = (tmp_path / "out" / "figures.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 2 * 3 * 3
    html = (tmp_path / "out" / "report.html").read_text()
    assert html.count("data:image/") == 2
    assert html.count("<svg") == len(list((tmp_path / "out" / "plots").glob("*.svg"))) == 5


def test_a_stopped_ablation_goes_on_and_repeats_nothing(told, run, plan, tmp_path):
    told.stop_after = 5
    assert isinstance(run(), StoppedEvent)
    # The first seed's report is there already.
    assert json.loads((tmp_path / "out" / "tables.json").read_text())["seeds"] == [0]
    states = {(one.culture, one.arm, one.seed): one for one in plan()}
    assert len(states) == 12
    assert {key for key, one in states.items() if one.scored} == {
        (culture, arm, 0) for culture in ("korea", "avelun") for arm in ("sd", "ldm", "m")
    }
    assert states["korea", "ldm", 1].trained
    assert not states["korea", "m", 1].trained
    assert (states["korea", "ldm", 1].pictures, states["korea", "ldm", 1].drawn) == (7, 0)
    # The base draws the general pictures, too: there is no folder of them.
    assert (states["korea", "sd", 0].pictures, states["korea", "sd", 0].drawn) == (10, 10)
    told.stop_after = None
    assert isinstance(run(), FinishedEvent)
    assert len(told.trained) == len(set(told.trained)) == 8
    assert len(told.scored) == 4
    assert isinstance(run(), FinishedEvent)
    assert (len(told.trained), len(told.drawn), len(told.scored)) == (8, 4, 4)
    assert all(one.scored for one in plan())


def test_a_new_arm_trains_alone_and_draws_into_the_same_grids(told, run, tmp_path):
    run()
    told.trained.clear()
    run(FILE + "[arms.mpc]\npreset = 'mp'\n")
    assert {preset for _, preset, _, _ in told.trained} == {"mp"}
    assert len(list((tmp_path / "out" / "grids").iterdir())) == 4
    assert told.drawn[-1] == ["base", "ldm", "m", "mpc"]


def test_a_changed_option_makes_new_trials_and_keeps_the_old(told, run, tmp_path):
    run()
    before = {path: path.read_bytes() for path in (tmp_path / "out" / "loras").iterdir()}
    told.trained.clear()
    run(FILE.replace('preset = "m"', 'preset = "m"\nrank = 3'))
    assert len(told.trained) == 4
    assert {preset for _, preset, _, _ in told.trained} == {"m"}
    assert all(path.read_bytes() == text for path, text in before.items())
    # Both trainings of the arm stay in the grid, under names of their own.
    shown = (tmp_path / "out" / "report.html").read_text()
    assert 'alt="Drawings of sd, ldm, m for the same prompts"' in shown
    base, ldm, changed = told.drawn[-1]
    assert (base, ldm) == ("base", "ldm")
    assert changed.startswith("m ")
    grid = next((tmp_path / "out" / "grids").iterdir())
    assert [model.name for model in read_grid(grid).models][:3] == ["base", "ldm", "m"]
    # Back again, nothing is made.
    told.trained.clear()
    drawn = len(told.drawn)
    run()
    assert (told.trained, len(told.drawn)) == ([], drawn)


def test_another_way_to_draw_or_measure_trains_nothing_anew(told, run, tmp_path):
    run()
    run(FILE + "[draw]\ninference_steps = 3\n")
    assert (len(told.trained), len(told.drawn), len(told.scored)) == (8, 8, 8)
    run(FILE.replace("[score]", "[score]\nkid_subsets = 7"))
    assert (len(told.trained), len(told.scored)) == (8, 12)
    assert len(list((tmp_path / "out" / "grids").iterdir())) == 8


def test_a_changed_caption_trains_and_draws_anew(told, run, tmp_path):
    run()
    path = tmp_path / "korea" / "train" / "metadata.jsonl"
    path.write_text(path.read_text().replace("train 0", "a bowl of soup"))
    run()
    assert [culture for culture, *_ in told.trained[8:]] == ["korea"] * 4
    path = tmp_path / "korea" / "test" / "metadata.jsonl"
    path.write_text(path.read_text().replace("test 0", "a bowl of rice"))
    run()
    assert (len(told.trained), len(told.scored)) == (12, 8)


def test_numbers_that_are_there_need_no_lora_and_no_drawing_any_more(told, run, plan, tmp_path):
    run()
    before = (tmp_path / "out" / "tables.md").read_text()
    shutil.rmtree(tmp_path / "work" / "runs")
    shutil.rmtree(tmp_path / "out" / "grids")
    assert isinstance(run(), FinishedEvent)
    assert (len(told.trained), len(told.drawn), len(told.scored)) == (8, 4, 4)
    assert (tmp_path / "out" / "tables.md").read_text() == before
    html = (tmp_path / "out" / "report.html").read_text()
    assert html.count("The drawings are gone") == 2
    assert all(one.scored for one in plan())


def test_a_lora_that_is_gone_is_trained_again_where_it_is_needed(told, run, plan, tmp_path):
    run()
    next((tmp_path / "work" / "runs").glob("*/lora.safetensors")).unlink()
    other = FILE + "[draw]\ninference_steps = 3\n"
    assert [one.trained for one in plan(other) if one.culture == "korea"].count(False) == 1
    run(other)
    assert len(told.trained) == 9


def test_a_lora_that_comes_out_otherwise_the_second_time_is_another_model(told, run, tmp_path):
    run()
    (lora,) = (
        path
        for path in (tmp_path / "work" / "runs").glob("*/lora.safetensors")
        if b"preset='m'" in path.read_bytes() and b"seed=0" in path.read_bytes()
    )
    lora.unlink()
    told.weights = b"a GPU does not repeat itself"
    run(FILE + "[arms.mpc]\npreset = 'mp'\n")
    (names,) = (names for names in told.drawn[4:] if "m" not in names)
    assert names[2] == f"m {digest(lora)[:8]}"


def test_a_training_that_was_stopped_inside_is_planned_from_where_it_is_saved(told, run, plan):
    told.stop_inside = True
    assert isinstance(run(), StoppedEvent)
    assert [one.saved_step for one in plan()] == [0, 4, *[0] * 10]
    assert not any(one.trained for one in plan() if one.steps)
    told.stop_inside = False
    assert isinstance(run(), FinishedEvent)
    assert {one.saved_step for one in plan()} == {0}


def test_checkpoints_of_a_finished_training_go(told, run, tmp_path):
    run()
    folders = [path for path in (tmp_path / "work" / "runs").iterdir()]
    assert len(folders) == 4
    assert all((folder / "lora.safetensors").is_file() for folder in folders)
    assert not any(any((folder / "checkpoints").iterdir()) for folder in folders)


def test_an_error_says_which_trial_it_stopped(told, run):
    told.fail = DivergenceError("The loss is NaN.")
    with pytest.raises(DivergenceError, match=r"^korea, ldm, seed 0: The loss is NaN\.$"):
        run()


def test_each_trial_is_announced_with_its_place(told, run, tmp_path):
    (tmp_path / "a.toml").write_text(FILE)
    events = list(run_ablation(read_ablation(tmp_path / "a.toml")))
    trials = [event for event in events if isinstance(event, TrialEvent)]
    assert [one.number for one in trials if one.part == "training"] == list(range(1, 9))
    assert {one.total for one in trials if one.part == "training"} == {8}
    assert [one.number for one in trials if one.part != "training"] == [1, 2, 3, 4]
    assert trials[1] == TrialEvent("training", 2, 8, "korea", "m", 0)
    assert trials[2] == TrialEvent("drawing and measuring", 1, 4, "korea", "", 0)


def test_what_a_missing_network_left_out_is_measured_when_it_is_there(told, run, plan, tmp_path):
    told.lacking = True
    assert isinstance(run(), FinishedEvent)
    assert not any(one.scored for one in plan())
    assert "CLIP Score" not in (tmp_path / "out" / "tables.md").read_text()
    told.lacking = False
    run()
    assert "CLIP Score" in (tmp_path / "out" / "tables.md").read_text()
    assert (len(told.trained), len(told.scored)) == (8, 8)


def test_a_general_folder_takes_the_place_of_the_bases_own_pictures(told, run, plan, tmp_path):
    (tmp_path / "coco").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "coco" / "1.png")
    text = 'general = "coco"\n' + FILE
    assert {one.pictures for one in plan(text)} == {7}
    run(text)
    assert {general for _, general in told.scored} == {tmp_path / "coco"}
    Image.new("RGB", (9, 9)).save(tmp_path / "coco" / "2.png")
    run(text)
    assert (len(told.trained), len(told.scored)) == (8, 8)


NEGATIVES = "[arms.mpc]\npreset = 'mpc'\n[negatives]\ncontrolnet = 'c'\n"


def test_negatives_are_drawn_once_a_culture_and_only_where_an_arm_needs_them(
    told, run, plan, monkeypatch
):
    run(FILE + "[negatives]\ncontrolnet = 'c'\n")
    assert told.negatives == []
    # Whether the drawn ones fit is the training's matter.
    monkeypatch.setattr(
        ablation_state, "complete_dataset", lambda dataset, work, config, *, negatives: dataset
    )
    run(FILE + NEGATIVES)
    run(FILE + NEGATIVES)
    assert told.negatives == ["korea", "avelun"]
    assert {one[3] for one in told.trained if one[1] == "mpc"} == {"0123456789abcdef"}
    assert all(one.scored for one in plan(FILE + NEGATIVES))


def test_a_plan_does_without_negatives_that_are_to_be_drawn_but_not_without_others(plan):
    planned = plan(FILE + NEGATIVES)
    assert len(planned) == 16
    assert not any(one.trained for one in planned if one.arm == "mpc")
    with pytest.raises(DatasetError, match="no row has a negative"):
        plan(FILE + "[arms.mpc]\npreset = 'mpc'\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('general = "coco"\n' + FILE, "coco: is no folder"),
        (FILE.replace('dataset = "avelun"', 'dataset = "gone"'), "gone"),
        (FILE.replace('"inception"', '"incepton"'), "Unknown .*'incepton'"),
        (
            FILE + "[arms.mp]\npreset = 'mp'\nperceptual_backbone = 'dinov9'\n",
            r"\[arms.mp\]: Unknown perceptual backbone 'dinov9'",
        ),
        (
            FILE.replace('"inception"', '"none"').replace('"clip_vit_b32"', '"none"'),
            "korea: nothing would be measured: .*: neutral, test, train, and",
        ),
        (FILE + "[arms.mpc]\npreset = 'mpc'\n", "no row has a negative"),
    ],
)
def test_what_would_fail_in_the_end_fails_at_the_beginning(told, run, text, words):
    with pytest.raises(ScoftError, match=words):
        run(text)
    assert (told.trained, told.negatives) == ([], [])


def test_a_set_of_which_nothing_would_be_measured_is_told_before_it_is_trained(told, run, tmp_path):
    shutil.rmtree(tmp_path / "avelun" / "test")
    alone = FILE.replace("neutral_prompts = 3", "neutral_prompts = 0")
    assert isinstance(run(alone), FinishedEvent)
    told.trained.clear()
    with pytest.raises(ConfigError, match="avelun: nothing would be measured: .*: train, and"):
        run(alone.replace('"clip_vit_b32"', '"none"'))
    assert told.trained == []


def test_one_seed_has_a_report_without_intervals(told, run, tmp_path):
    run(FILE.replace("seeds = [0, 1]", "seeds = [1]"))
    text = (tmp_path / "out" / "tables.md").read_text()
    assert "One seed tells no spread" in text
    assert "±" not in text
    assert "| sd | 130 | 30.355 | 0.750 | 0.813 |" in text


def test_damaged_notes_count_as_none(told, run, tmp_path):
    run()
    result = next((tmp_path / "out" / "results").iterdir())
    result.write_text(result.read_text()[:100])
    note = next((tmp_path / "out" / "loras").iterdir())
    note.write_text("[]")
    assert isinstance(run(), FinishedEvent)
    assert (len(told.trained), len(told.scored)) == (9, 5)


def test_a_moved_ablation_is_found_where_it_is(told, run, tmp_path):
    run()
    shutil.move(tmp_path / "out", tmp_path / "moved")
    run(FILE.replace('folder = "out"', 'folder = "moved"'))
    assert (len(told.trained), len(told.scored)) == (8, 4)
    values = json.loads((tmp_path / "moved" / "tables.json").read_text())
    assert str(tmp_path) not in json.dumps([trial["grid"] for trial in values["trials"]])


def test_a_plan_says_how_much_work_disk_and_time_is_left(told, run, plan, tmp_path):
    first = FILE.replace("seeds = [0, 1]", "seeds = [0]")
    ablation = read_ablation(tmp_path / "a.toml") if plan(FILE) else None
    trials = plan(FILE)
    sentence, disk = still_to_do(ablation, trials)
    assert sentence.startswith("12 trials in ")
    # 2 arms x 2 cultures x 2 seeds of 10 steps; 3 models with 7 pictures, the base with 3 more.
    assert sentence.endswith(": 80 training steps and 96 pictures are still to be made.")
    # 8 LoRAs of rank 64; 96 pictures of 512 x 512 at 1.5 bytes.
    assert "0.5 MB for LoRAs and 37.7 MB for pictures; " in disk
    run(first)
    sentence, disk, time = still_to_do(ablation, plan(FILE))
    assert sentence.endswith(": 40 training steps and 48 pictures are still to be made.")
    assert time.startswith("By the trainings so far, training takes 1 min more. Drawing")
    with_another = plan(FILE + "[arms.mp]\npreset = 'mp'\n")
    time = still_to_do(ablation, with_another)[-1]
    assert "1 min more, without mp, which was not trained yet." in time
    negatives = [PlannedNegatives("korea", 6), PlannedNegatives("avelun", 4)]
    assert still_to_do(ablation, trials, negatives)[1] == "Before them, 10 negatives are drawn."
    run(FILE)
    assert still_to_do(ablation, plan(FILE)) == [
        f"12 trials in {tmp_path / 'out'}: 0 training steps and 0 pictures are still to be made."
    ]


def test_planned_trials_are_plain_values(plan):
    assert json.loads(json.dumps([dataclasses.asdict(one) for one in plan()]))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_in_the_middle_of_its_writes_it_ends_with_the_same_figures(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS.parent)}
    done = subprocess.run(
        [sys.executable, str(TESTS / "ablation_kills.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] >= 3
    assert found["killed"] == found["whole"]
    assert found["loras"]["killed"] == found["loras"]["whole"]
    figures = found["whole"]["avelun-0"]
    assert set(figures) == {"base", "ldm", "mpc"}
    assert figures["ldm"] != figures["base"]
    assert "kid_general" in figures["mpc"]
