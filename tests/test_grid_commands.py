"""`scoft grid` from its flags to the folder, with a dataset, prompts, LoRAs and a run."""

import json
import subprocess
import sys

import pytest
import torch
from drawings import drawing, write_set
from stack import lora_base, small_base

from scoft_training.cli import main
from scoft_training.grids import read_grid
from scoft_training.lora_files import write_lora
from scoft_training.lora_layers import lora_from_adapter

pytestmark = pytest.mark.usefixtures("small_registry")

FAST = ["--base", "small", "--device", "cpu", "--inference-steps", "2", "--resolution", "64"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def lora_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("loras") / "ours.safetensors"
    write_lora(path, lora_from_adapter(lora_base(torch.float32).unet))
    return path


def grid(*flags):
    return main(["grid", "out", *FAST, *map(str, flags)])


def test_a_dataset_prompts_and_models_make_a_grid_and_the_command_goes_on(
    tmp_path, lora_file, capsys
):
    root = write_set(tmp_path / "set", [drawing(seed, (80, 72)) for seed in range(3)])
    (tmp_path / "mine.txt").write_text("a boat\nneutral: a cup\n")
    flags = ["--dataset", root, "--train-captions", 1, "--pictures-per-caption", 2]
    flags += ["--neutral-prompts", 1, "--prompt", "a house", "--prompts", "mine.txt"]
    flags += ["--seeds", 4, 5, 4, "--lora", f"ours={lora_file}@0.5", "--batch-size", 3]
    assert grid(*flags) == 0
    out, err = capsys.readouterr()
    assert out == "out\n"
    assert "set: there is no test split" in err
    found = read_grid(tmp_path / "out")
    assert [(model.name, model.strength) for model in found.models] == [
        ("base", 1.0),
        ("ours", 0.5),
    ]
    roles = [(prompt.role, len(prompt.seeds)) for prompt in found.prompts]
    assert roles == [
        ("train", 2),
        ("neutral", 1),
        ("general", 1),
        ("test", 2),
        ("test", 2),
        ("neutral", 2),
        ("general", 2),
    ]
    assert found.missing() == ()
    assert grid(*flags, "--json-events") == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["already_done"]) == ("finished", True)


def test_without_a_dataset_only_what_was_asked_for_is_drawn(tmp_path, lora_file):
    flags = ["--prompt", "a house", "--prompt", "a boat", "--seed", 3]
    assert grid(*flags, "--no-base", "--lora", lora_file) == 0
    found = read_grid(tmp_path / "out")
    assert [(prompt.text, prompt.seeds) for prompt in found.prompts] == [
        ("a house", (3,)),
        ("a boat", (4,)),
    ]
    assert [model.name for model in found.models] == ["ours"]


def test_runs_are_called_by_step_or_by_a_name_of_their_own(tmp_path):
    base = lora_base(torch.float32)
    run = tmp_path / "work" / "runs" / "0123456789abcdef"
    write_lora(run / "snapshots" / "step-00000150.safetensors", lora_from_adapter(base.unet))
    write_lora(run / "lora.safetensors", lora_from_adapter(base.unet))
    config = {"steps": 300, "rank": 4, "alpha": 4.0}
    (run / "config.json").write_text(json.dumps({"run_id": run.name, "config": config}))
    assert grid("--prompt", "a house", "--no-base", "--run", run, "--run", f"mpc={run}") == 0
    assert [(model.name, model.step) for model in read_grid(tmp_path / "out").models] == [
        ("step 150", 150),
        ("step 300", 300),
        ("mpc step 150", 150),
        ("mpc step 300", 300),
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "There is nothing to draw"),
        (["--prompt", "a", "--no-base"], "There is no model to draw with"),
        (["--prompt", "a", "--lora", "x=none.safetensors"], "none.safetensors: there is no such"),
        (["--prompt", "a", "--run", "nowhere"], "nowhere: is no run's folder"),
        (["--prompt", "a", "--batch-size", "0"], "`batch_size` must be between 1 and 256"),
        (["--prompt", "a", "--work", "w"], "--work: what is drawn for a dataset is meant"),
        (
            ["--prompt", "a", "--neutral-prompts", "5", "--train-captions", "2"],
            "--train-captions, --neutral-prompts: what is drawn for a dataset is meant",
        ),
        (["--prompt", "a", "--seeds", "-1"], "a seed must be a whole number from 0"),
    ],
)
def test_what_will_not_do_is_refused_in_a_sentence(flags, message, capsys):
    assert grid(*flags) == 2
    assert message in capsys.readouterr().err


def test_another_model_later_draws_the_prompts_that_are_there(tmp_path, lora_file):
    assert grid("--prompt", "a house", "--prompt", "neutral: a cup", "--batch-size", 2) == 0
    assert grid("--lora", f"later={lora_file}", "--batch-size", 1) == 0
    found = read_grid(tmp_path / "out")
    assert [model.name for model in found.models] == ["base", "later"]
    assert len(found.prompts) == 3
    assert found.missing() == ()


def test_two_models_of_one_name_are_told_how_to_be_named(tmp_path, lora_file, capsys):
    assert grid("--prompt", "a", "--lora", lora_file, "--lora", lora_file) == 2
    assert "Two models are called 'ours'. Give each a name of its own, as in NAME=" in (
        capsys.readouterr().err
    )


def test_under_a_launcher_it_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert grid("--prompt", "a house") == 2
    assert "`scoft grid` works in one process, and a launcher started 2" in capsys.readouterr().err


def test_its_help_loads_no_networks():
    script = "import sys; from scoft_training.cli import main\ntry: main(['grid', '--help'])\n"
    script += "except SystemExit: print('torch' in sys.modules, 'diffusers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "--pictures-per-caption" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("False")


def test_a_grid_is_drawn_with_the_base_that_was_named(tmp_path):
    assert grid("--prompt", "a house") == 0
    assert read_grid(tmp_path / "out").base_digest == small_base(torch.float32).digest
