"""An export is the set as training sees it, and reading it back changes nothing."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import unicodedata

import pytest
import torch
import yaml
from PIL import Image
from random_stack import draw_demo_dataset, random_controlnet
from stack import SMALL_RUN

from scoft_training.cli import main
from scoft_training.config import NegativesConfig, TrainConfig
from scoft_training.control_models import ControlNet
from scoft_training.data import dataset_digest, load_row_pictures, read_dataset
from scoft_training.errors import ConfigError, DatasetError, OutputError
from scoft_training.events import FinishedEvent, PhaseEvent, StoppedEvent
from scoft_training.exporting import ExportRequest, export_dataset, safe_name
from scoft_training.files import file_sha256
from scoft_training.helper_runs import NegativesRequest, make_negatives
from scoft_training.negative_sets import decide_negative, negative_sets
from scoft_training.overlays import Overlay, write_overlays
from scoft_training.pictures import companion_crop, decide_crop
from scoft_training.runs import RunRequest, run_training
from scoft_training.work_folder import complete_dataset

pytestmark = pytest.mark.usefixtures("small_registry")


@pytest.fixture(scope="module")
def made(tmp_path_factory, small_registry):
    """Five pictures with brought and drawn negatives, and decisions of people about them."""
    folder = tmp_path_factory.mktemp("made")
    root, work = folder / "aruna", folder / "work"
    draw_demo_dataset(root, num_pictures=5, negatives=1)
    card = json.loads((root / "card.json").read_text())
    (root / "card.json").write_text(json.dumps({**card, "contact": "a@b.example", "x": [1]}))
    lines = (root / "train" / "metadata.jsonl").read_text().splitlines()
    first = json.loads(lines[0]) | {"my column": {"kept": True}, "source_url": "http://h.example/1"}
    lines[0] = json.dumps(first)
    (root / "train" / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    config = NegativesConfig(
        resolution=64, negatives_per_picture=2, inference_steps=2, filter_backbone="none"
    )
    controlnet = ControlNet.of("small", random_controlnet())
    request = NegativesRequest(root, "small", controlnet, config, device="cpu", work=work)
    list(make_negatives(request))
    rows = read_dataset(root).rows
    write_overlays(
        work,
        [
            Overlay(
                sha256=rows[1].sha256, by="Kim", at="2026-11-25", why="not ours", include=False
            ),
            Overlay(
                sha256=rows[2].sha256,
                by="Kim",
                at="2026-11-25",
                why="corrected",
                cultural_caption="집 | *a* \u2028 house",
                category="city",
                era="modern",
                credit="Kim 김",
                licence="CC BY 4.0",
                consent="only here",
            ),
        ],
    )
    (one,) = negative_sets(work)
    names = sorted(path.name for path in one.folder(work).iterdir() if path.is_dir())
    folder_of_first = next(name for name in names if name.startswith(rows[0].sha256))
    decide_negative(work, one.digest, folder_of_first, "00.png", kept=False)
    return root, work


def export(root, target, work, **settings):
    *_, last = export_dataset(ExportRequest(root, target, work, **settings))
    assert isinstance(last, FinishedEvent)
    return target


def seen(row):
    """What a row is, apart from where it lies."""
    names = {field.name for field in dataclasses.fields(row)}
    places = {"number", "where", "image_path", "negative_paths", "depth_path", "drawn_negatives"}
    return {name: getattr(row, name) for name in names - places}


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_import_of_an_export_is_the_identity(made, tmp_path):
    root, work = made
    config = TrainConfig(resolution=64)
    once = export(root, tmp_path / "once", work)

    complete = complete_dataset(read_dataset(root), work, config)
    again = read_dataset(once)

    assert [seen(row) for row in again.rows] == [seen(row) for row in complete.rows]
    assert dataset_digest(again) == dataset_digest(complete)
    assert [len(row.negative_paths) for row in again.rows] == [2, 3, 3, 3]
    held_out, before = read_dataset(once, "test"), read_dataset(root, "test")
    assert [seen(row) for row in held_out.rows] == [seen(row) for row in before.rows]
    for old, new in zip(complete.rows, again.rows, strict=True):
        settings = {"resolution": 64, "crop_mode": "center", "seed": 0}
        one, other = load_row_pictures(old, **settings), load_row_pictures(new, **settings)
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.negatives, other.negatives)
        assert torch.equal(one.depth, other.depth)


def test_an_export_of_an_export_has_the_same_bytes(made, tmp_path):
    root, work = made
    once = export(root, tmp_path / "once", work)
    twice = export(once, tmp_path / "another name", tmp_path / "no work")
    assert files(twice) == files(once)
    assert len(files(once)) > 20


def test_training_on_the_export_gives_the_same_run_and_bytes(made, tmp_path):
    root, work = made
    once = export(root, tmp_path / "once", work)
    config = dataclasses.replace(SMALL_RUN, steps=2, perceptual_every=1)
    ids, tensors = [], []
    for dataset, its_work in ((root, work), (once, tmp_path / "work")):
        list(run_training(RunRequest(dataset, "small", config, device="cpu", work=its_work)))
        (path,) = its_work.glob("runs/*/lora.safetensors")
        ids.append(path.parent.name)
        data = path.read_bytes()
        tensors.append(data[8 + int.from_bytes(data[:8], "little") :])
    assert ids[0] == ids[1]
    assert tensors[0] == tensors[1]


def test_the_layout_is_the_authors(made, tmp_path):
    root, work = made
    before = files(root)
    once = export(root, tmp_path / "once", work)
    assert files(root) == before
    lines = (once / "train" / "metadata.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    rows = [json.loads(line) for line in lines]
    assert list(rows[0])[:4] == ["file_name", "text", "blip_text", "negative_imgpath"]
    assert rows[0]["my column"] == {"kept": True}
    assert "include" not in rows[0]
    assert rows[1] | {"category": "city", "credit": "Kim 김", "consent": "only here"} == rows[1]
    assert "\\u" not in lines[1]
    for row in rows:
        picture = once / "train" / row["file_name"]
        assert file_sha256(picture) == row["sha256"]
        for name in row["negative_imgpath"]:
            assert name.startswith("negative_images/")
            assert (once / name).is_file()
    card = json.loads((once / "card.json").read_text())
    assert card["name"] == "aruna"
    assert card["x"] == [1]
    assert card["provenance"]["left_out"] == {"not ours": 1}
    assert card["provenance"]["negatives"]["crop"] == "center"


def test_the_card_says_whose_the_pictures_are_and_what_the_hub_reads(made, tmp_path):
    root, work = made
    text = (export(root, tmp_path / "once", work) / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["pretty_name"] == "aruna"
    assert values["size_categories"] == ["n<1K"]
    assert "cc-by-4.0" in values["license"]
    assert values["task_categories"] == ["text-to-image"]
    assert [
        (one["config_name"], one["data_files"], one["default"]) for one in values["configs"]
    ] == [
        ("train", [{"split": "train", "path": "train/**"}], True),
        ("test", [{"split": "test", "path": "test/**"}], False),
    ]
    assert "| Kim 김 | CC BY 4.0 | 1 |" in body
    assert "| not ours | 1 |" in body
    assert "Kim" not in body.replace("Kim 김", "")
    assert "write to a@b.example" in body
    assert "| h.example | 1 |" in body
    assert "- only here: 1" in body


def test_the_command_exports_and_says_where(made, tmp_path, capsys):
    root, work = made
    words = ["dataset", "export", str(root), str(tmp_path / "out"), "--work", str(work)]
    assert main([*words, "--split", "test"]) == 0
    assert f"Written: {tmp_path / 'out'}" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path / "out")) == ["README.md", "card.json", "depth", "test"]
    assert main(words) == 2
    assert "nothing is overwritten" in capsys.readouterr().err


def test_nothing_is_overwritten_and_the_dataset_not_written_to(made, tmp_path):
    root, work = made
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    with pytest.raises(OutputError, match="is not an empty folder; nothing is overwritten"):
        export(root, tmp_path / "full", work)
    with pytest.raises(OutputError, match="lies in the dataset itself"):
        export(root, root / "export", work)
    (tmp_path / "out.partial").mkdir()
    with pytest.raises(OutputError, match="is what an export left that was ended"):
        export(root, tmp_path / "out", work)
    (tmp_path / "empty").mkdir()
    assert (export(root, tmp_path / "empty", work) / "README.md").is_file()


def test_a_stopped_export_leaves_nothing(made, tmp_path):
    root, work = made
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) > 3

    request = ExportRequest(root, tmp_path / "out", work)
    *events, last = export_dataset(request, should_stop=should_stop)
    assert isinstance(last, StoppedEvent)
    assert [event.done for event in events if isinstance(event, PhaseEvent)] == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == []


def test_a_killed_export_is_no_export(made, tmp_path):
    root, work = made
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from scoft_training.exporting import ExportRequest, export_dataset\n"
        "request = ExportRequest(*map(Path, sys.argv[1:4]))\n"
        "for event in export_dataset(request):\n"
        "    if getattr(event, 'done', 0) == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, root, tmp_path / "out", work], check=False)
    assert done.returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == ["out.partial"]
    with pytest.raises(OutputError, match="Delete it, then export again"):
        export(root, tmp_path / "out", work)
    shutil.rmtree(tmp_path / "out.partial")
    export(root, tmp_path / "out", work)


def test_a_picture_that_changes_meanwhile_ends_the_export(made, tmp_path):
    root, work = made
    shutil.copytree(root, tmp_path / "aruna")
    events = export_dataset(ExportRequest(tmp_path / "aruna", tmp_path / "out", work))
    next(events)
    for path in (tmp_path / "aruna" / "train" / "images").iterdir():
        path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DatasetError, match="changed while the set was exported"):
        list(events)
    assert sorted(os.listdir(tmp_path)) == ["aruna"]


def test_negatives_may_stay_where_they_are_or_must_be_named(made, tmp_path):
    root, work = made
    without = export(root, tmp_path / "without", work, negatives="none")
    assert [len(row.negative_paths) for row in read_dataset(without).rows] == [1, 1, 1, 1]
    (one,) = negative_sets(work)
    shutil.copytree(work, tmp_path / "work")
    settings = tmp_path / "work" / "negatives" / ("f" * 16) / "settings.json"
    settings.parent.mkdir()
    settings.write_bytes((one.folder(work) / "settings.json").read_bytes())
    with pytest.raises(ConfigError, match="2 sets of drawn negatives.*--negatives none"):
        export(root, tmp_path / "out", tmp_path / "work")
    export(root, tmp_path / "out", tmp_path / "work", negatives=one.digest)
    assert files(tmp_path / "out") == files(export(root, tmp_path / "same", work))


def test_negatives_of_a_random_crop_are_refused_with_the_reason(made, tmp_path):
    root, work = made
    shutil.copytree(work, tmp_path / "work")
    (path,) = (tmp_path / "work" / "negatives").glob("*/settings.json")
    values = json.loads(path.read_text())
    values["settings"] |= {"crop": "random", "crop_seed": 0}
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="cannot say which: a square beside a picture means"):
        export(root, tmp_path / "out", tmp_path / "work")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("images/FOOD_27.jpg", "images/FOOD_27.jpg"),
        ("그림/비빔밥 🍚.jpg", "그림/비빔밥 🍚.jpg"),
        ("صورة.png", "صورة.png"),
        (unicodedata.normalize("NFD", "é.jpg"), unicodedata.normalize("NFC", "é.jpg")),
        ('a"b<c>|?*.jpg', "a_b_c____.jpg"),
        ("con.jpg", "_con.jpg"),
        ("com1", "_com1"),
        ("console.jpg", "console.jpg"),
        ("a. /b.", "a_/b_"),
        ("../x/./y.jpg", "x/y.jpg"),
        ("한" * 100 + ".jpg", "한" * 65 + ".jpg"),
    ],
)
def test_names_that_every_system_can_have(name, safe):
    assert safe_name(name) == safe
    assert safe_name(safe) == safe


def test_names_that_differ_by_case_or_spelling_only_do_not_meet(tmp_path):
    (tmp_path / "set" / "train").mkdir(parents=True)
    names = ["a.png", "A.png", "a?.png", "a_.png", unicodedata.normalize("NFD", "é.png"), "é.png"]
    lines = []
    for number, name in enumerate(names):
        Image.new("RGB", (20, 16), (number * 40, 9, 90)).save(tmp_path / "set" / "train" / name)
        lines.append(json.dumps({"file_name": name, "text": f"picture {number}"}))
    (tmp_path / "set" / "train" / "metadata.jsonl").write_text("\n".join(lines))
    once = export(tmp_path / "set", tmp_path / "out", tmp_path / "work")
    before, after = read_dataset(tmp_path / "set").rows, read_dataset(once).rows
    assert [row.sha256 for row in after] == [row.sha256 for row in before]
    assert [row.file_name for row in after] == [
        *("a.png", "A_2.png", "a_.png", "a__2.png", "é.png", "é_2.png")
    ]
    twice = export(once, tmp_path / "twice", tmp_path / "work")
    assert files(twice) == files(once)


def test_a_guessed_category_stays_a_guess(tmp_path):
    (tmp_path / "set" / "train").mkdir(parents=True)
    Image.new("RGB", (20, 16)).save(tmp_path / "set" / "train" / "FOOD_1.png")
    line = json.dumps({"file_name": "FOOD_1.png", "text": "soup"})
    (tmp_path / "set" / "train" / "metadata.jsonl").write_text(line)
    once = export(tmp_path / "set", tmp_path / "out", tmp_path / "work")
    (row,) = read_dataset(once).rows
    assert (row.category, row.category_guessed) == ("food_drink", True)
    assert "food_drink" not in (once / "train" / "metadata.jsonl").read_text()


def test_a_nearly_square_picture_keeps_its_drawn_negatives():
    size = (1000, 990)
    crop = decide_crop(size, mode="center", seed=0, picture_sha256="")
    its_crop = companion_crop((64, 64), size, crop, mode="center", where="x")
    assert (its_crop.left, its_crop.right) == (0.0, 1.0)
