"""The command as a user meets it: exit status, sentences, files."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from PIL import Image
from stack import small_base, write_demo

from scoft_training.cli import main
from scoft_training.lora_files import read_lora

pytestmark = pytest.mark.usefixtures("small_registry")

TRAIN = ["--device", "cpu", "--perceptual-backbone", "pool", "--resolution", "64", "--rank", "4"]
TRAIN += ["--ddim-steps", "3", "--perceptual-every", "2", "--learning-rate", "1e-3", "--steps", "3"]


@pytest.fixture
def dataset(tmp_path):
    return write_demo(tmp_path / "aruna")


def train(dataset, *words):
    return ["train", str(dataset), "--base", "small", *TRAIN, *words]


def test_check_prints_counts_and_problems(dataset, capsys):
    assert main(["dataset", "check", str(dataset)]) == 0
    text = capsys.readouterr().out
    assert "12 usable" in text
    assert "architecture" in text


def test_check_of_an_unusable_set_exits_with_2_and_names_the_row(dataset, capsys):
    path = dataset / "train" / "metadata.jsonl"
    lines = path.read_text().splitlines()
    lines[6] = lines[6][:-5]
    path.write_text("\n".join(lines))
    assert main(["dataset", "check", str(dataset)]) == 2
    assert "metadata.jsonl, row 7" in capsys.readouterr().out
    assert main(["dataset", "check", str(dataset), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["usable"] is False
    assert [problem["row"] for problem in report["problems"] if problem["level"] == "error"] == [7]


def test_check_of_a_missing_folder_is_one_sentence(tmp_path, capsys):
    assert main(["dataset", "check", str(tmp_path / "nowhere")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("scoft: ")
    assert "nowhere" in captured.err


def test_train_writes_the_output_and_tells_its_progress(dataset, tmp_path, capsys):
    output = tmp_path / "aruna.safetensors"
    words = ["--work", str(tmp_path / "work"), "--output", str(output)]
    assert main(train(dataset, *words)) == 0
    text = capsys.readouterr().err
    assert "step 3/3: " in text
    assert "L_LDM" not in text
    assert f"LoRA written: {output}" in text
    assert len(read_lora(output, small_base().unet).layers) == 32
    assert main(train(dataset, *words)) == 0
    assert "This run was finished before" in capsys.readouterr().err


def test_json_events_are_one_object_a_line(dataset, tmp_path, capsys):
    assert main(train(dataset, "--work", str(tmp_path / "work"), "--json-events")) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds.count("step") == 3
    assert kinds[-1] == "finished"
    assert kinds.index("settings") < kinds.index("step")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--contrastive-weight", "-1"], "`contrastive_weight` must not be negative but got -1.0"),
        (["--resolution", "100"], "`resolution` must be divisible by 8"),
        (["--perceptual-backbone", "dinov1"], "Unknown perceptual backbone 'dinov1'"),
        (["--precision", "fp16"], "`precision` fp16 needs a GPU"),
        (["--base", "/nowhere/at/all"], "/nowhere/at/all: no such folder"),
        (["--preset", "papr"], "Unknown preset 'papr'.*Did you mean 'paper'"),
        (["--output", "here.pt"], "must end in .safetensors"),
    ],
)
def test_a_bad_word_is_one_sentence_and_exit_status_2(dataset, tmp_path, capsys, words, message):
    assert main(train(dataset, "--work", str(tmp_path / "work"), *words)) == 2
    text = capsys.readouterr().err
    (sentence,) = [line for line in text.splitlines() if line.startswith("scoft: ")]
    assert re.search(message, sentence)
    assert "Traceback" not in text


def test_generate_draws_both_and_a_sheet_and_overwrites_nothing(dataset, tmp_path, capsys):
    output, out = tmp_path / "aruna.safetensors", tmp_path / "pictures"
    assert main(train(dataset, "--work", str(tmp_path / "w"), "--output", str(output))) == 0
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("한옥 한 채\n\n", encoding="utf-8")
    words = ["generate", "--base", "small", "--lora", str(output), "--out", str(out)]
    words += ["--prompt", "a house", "--prompts", str(prompts), "--seeds", "0", "3"]
    words += ["--device", "cpu", "--resolution", "64", "--inference-steps", "2"]
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == str(out / "sheet.png")
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(
        [
            f"00{n}_seed{seed}_{half}.png"
            for n in (1, 2)
            for seed in (0, 3)
            for half in ("with", "without")
        ]
        + ["sheet.png"]
    )
    with Image.open(out / "001_seed0_with.png") as one, Image.open(out / "sheet.png") as sheet:
        assert one.size == (64, 64)
        assert sheet.height > 4 * 64
    before = (out / "sheet.png").read_bytes()
    assert main(words) == 2
    assert "is not an empty folder; nothing is overwritten" in capsys.readouterr().err
    assert (out / "sheet.png").read_bytes() == before


def test_generate_without_a_prompt_is_refused(tmp_path, capsys):
    assert main(["generate", "--base", "small", "--out", str(tmp_path / "o")]) == 2
    assert "give --prompt or --prompts FILE" in capsys.readouterr().err


RUNNER = """
import sys
sys.path.insert(0, {tests!r})
import conftest
from stack import register_small
register_small()
from scoft_training.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_saves_and_the_same_command_goes_on(dataset, tmp_path):
    tests = os.path.dirname(__file__)
    words = train(dataset, "--work", str(tmp_path / "w"), "--json-events", "--steps", "400")
    command = [sys.executable, "-c", RUNNER.format(tests=tests), *words]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen = []
    for line in child.stdout:
        seen.append(json.loads(line))
        if seen[-1]["event"] == "step" and seen[-1]["step"] == 5:
            child.send_signal(signal.SIGINT)
            break
    rest, errors = child.communicate(timeout=120)
    events = seen + [json.loads(line) for line in rest.splitlines()]
    assert child.returncode == 130, errors
    assert "Stopping; the state is being saved" in errors
    assert events[-1]["event"] == "stopped"
    assert events[-2] == {"event": "checkpoint", "step": events[-1]["step"]}
    stopped = events[-1]["step"]
    assert 5 <= stopped < 400

    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in child.stdout:
        event = json.loads(line)
        if event["event"] == "settings":
            assert event["start_step"] == stopped
            break
    child.kill()
    child.communicate()


def test_a_reader_that_has_seen_enough_is_no_fault(dataset):
    command = f"{sys.executable} -m scoft_training dataset check {dataset} | true"
    ended = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, b"")
