"""What a page sees of a set and its negatives, and what is decided there."""

import io
import json
import shutil
import threading

import pytest
import torch
from PIL import Image
from random_stack import draw_demo_dataset, random_controlnet
from stack import PoolBackbone

from scoft_training.config import NegativesConfig, TrainConfig
from scoft_training.control_models import ControlNet
from scoft_training.data import read_dataset
from scoft_training.errors import ConfigError, DatasetError
from scoft_training.gallery import Gallery
from scoft_training.helper_runs import NegativesRequest, make_negatives
from scoft_training.negative_filter import filter_negatives
from scoft_training.negative_sets import change_record, negative_sets, new_entry
from scoft_training.overlays import Overlay, read_statements, write_overlays
from scoft_training.work_folder import complete_dataset

pytestmark = pytest.mark.usefixtures("small_registry")


@pytest.fixture(scope="module")
def made(tmp_path_factory, small_registry):
    """Three pictures, each with one negative brought and two drawn, all kept by the filter."""
    folder = tmp_path_factory.mktemp("made")
    draw_demo_dataset(folder / "aruna", num_pictures=3, negatives=1)
    config = NegativesConfig(
        resolution=64, negatives_per_picture=2, inference_steps=2, filter_backbone="none"
    )
    controlnet = ControlNet.of("small", random_controlnet())
    request = NegativesRequest(
        folder / "aruna", "small", controlnet, config, device="cpu", work=folder / "work"
    )
    list(make_negatives(request))
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"


@pytest.fixture
def gallery(folder):
    return Gallery(folder / "aruna", folder / "work")


def trained_with(folder):
    """Return what the next run sees of the set."""
    config = TrainConfig(resolution=64)
    return complete_dataset(read_dataset(folder / "aruna"), folder / "work", config).rows


def test_the_set_is_shown_as_it_is_and_fits_into_json(gallery):
    seen = gallery.dataset()
    assert json.loads(json.dumps(seen)) == seen
    assert (seen["culture"], seen["kept"], seen["left_out"]) == ("Aruna (invented)", 3, 0)
    assert [row["number"] for row in seen["rows"]] == [1, 2, 3]
    assert all("in the style of Aruna" in row["caption"] for row in seen["rows"])
    (one,) = seen["sets"]
    assert (one["kept"], one["dropped"], one["undecided"]) == (9, 0, 0)
    assert str(gallery.root.parent) not in json.dumps(seen)


def test_a_row_left_out_is_shown_and_not_trained_with_until_it_is_back(gallery, folder):
    sha256 = gallery.dataset()["rows"][1]["sha256"]
    answer = gallery.change_row(sha256, {"include": False}, by=" Kim ", why="not ours")
    changed = answer["row"]
    assert (changed["included"], changed["decision"]) == (False, "dropped")
    assert (changed["by"], changed["why"]) == ("Kim", "not ours")
    assert answer["before"] == {"include": None}
    again = Gallery(folder / "aruna", folder / "work").dataset()
    assert (again["kept"], again["left_out"], again["undecided"]) == (2, 1, 2)
    assert again["rows"][1] == changed
    assert [row.number for row in trained_with(folder)] == [1, 3]
    answer = gallery.change_row(sha256, {"include": True})
    assert (answer["row"]["included"], answer["before"]) == (True, {"include": False})
    assert [row.number for row in trained_with(folder)] == [1, 2, 3]
    answer = gallery.change_row(sha256, {"include": None})
    assert (answer["row"]["decision"], answer["row"]["by"]) == (None, None)
    assert [(one["by"], one["why"]) for one in gallery.history(sha256)["statements"]] == [
        ("Kim", "not ours"),
        ("gallery", "kept by hand"),
        ("gallery", "decision taken back"),
    ]


def test_a_negative_dropped_is_not_trained_with_until_that_is_taken_back(gallery, folder):
    (one,) = negative_sets(folder / "work")
    row = gallery.negatives(one.digest)["rows"][0]
    names = [negative["name"] for negative in row["negatives"]]
    assert names[1:] == ["00.png", "01.png"]
    before = trained_with(folder)
    answer = gallery.decide_negative(
        one.digest, row["folder"], "01.png", kept=False, by="Kim", why="a stereotype"
    )
    changed = answer["negative"]
    assert (changed["kept"], changed["by"], changed["who"]) == (False, "user", "Kim")
    assert (changed["why"], changed["at"][:2]) == ("a stereotype", "20")
    assert answer["before"] == {"kept": None, "by": None, "why": None}
    shown = gallery.negatives(one.digest)
    assert (shown["kept"], shown["dropped"]) == (8, 1)
    assert shown["rows"][0]["negatives"][2] == changed
    after = trained_with(folder)
    assert len(after[0].negative_paths) == len(before[0].negative_paths) - 1
    assert after[1:] == before[1:]
    back = gallery.decide_negative(one.digest, row["folder"], "01.png", kept=None)
    assert back["before"] == {"kept": False, "by": "Kim", "why": "a stereotype"}
    # The filter had kept it, and nobody overrules that any more.
    assert (back["negative"]["kept"], back["negative"]["by"]) == (True, "filter")
    assert back["negative"]["who"] is None
    assert trained_with(folder) == before


def test_a_brought_negative_is_decided_on_likewise(gallery, folder):
    (one,) = negative_sets(folder / "work")
    row = gallery.negatives(one.digest)["rows"][0]
    name = row["negatives"][0]["name"]
    assert len(name) == 64
    gallery.decide_negative(one.digest, row["folder"], name, kept=False)
    assert len(trained_with(folder)[0].negative_paths) == 2


def size_and_kind(data):
    with Image.open(io.BytesIO(data)) as picture:
        return max(picture.size), picture.format


def test_pictures_come_small(gallery, folder):
    (one,) = negative_sets(folder / "work")
    seen = gallery.negatives(one.digest)["rows"][0]
    place = (one.digest, seen["folder"])
    with Image.open(read_dataset(folder / "aruna").rows[0].image_path) as whole:
        assert max(whole.size) >= 128
    assert size_and_kind(gallery.picture(seen["sha256"], 80)) == (128, "JPEG")
    assert size_and_kind(gallery.negative_picture(*place, "00.png", 1024)) == (64, "JPEG")
    assert size_and_kind(gallery.depth_picture(*place, 64)) == (64, "JPEG")
    with pytest.raises(ConfigError, match="`size` must be between 64 and 1024 but got 4000"):
        gallery.picture(seen["sha256"], 4000)


def test_what_a_page_makes_up_is_refused_in_a_sentence(gallery, folder):
    (one,) = negative_sets(folder / "work")
    row = gallery.negatives(one.digest)["rows"][0]
    with pytest.raises(ConfigError, match="There is no picture '\\.\\./secret' in aruna"):
        gallery.picture("../secret", 80)
    with pytest.raises(ConfigError, match="There is no picture"):
        gallery.change_row("0" * 64, {"include": False})
    with pytest.raises(ConfigError, match="Unknown set of negatives '\\.\\.'"):
        gallery.negatives("..")
    with pytest.raises(ConfigError, match="There are no negatives"):
        gallery.negative_picture(one.digest, f"{row['folder']}/..", "00.png", 80)
    with pytest.raises(ConfigError, match="There is no negative 'settings.json'"):
        gallery.negative_picture(one.digest, row["folder"], "settings.json", 80)
    with pytest.raises(ConfigError, match="Unknown negative '7.png'"):
        gallery.decide_negative(one.digest, row["folder"], "7.png", kept=True)


def test_a_new_row_shows_without_a_new_gallery(gallery, folder):
    assert len(gallery.dataset()["rows"]) == 3
    path = folder / "aruna" / "train" / "metadata.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:2]) + "\n")
    assert len(gallery.dataset()["rows"]) == 2


def test_a_damaged_picture_is_a_sentence(gallery, folder):
    row = gallery.dataset()["rows"][0]
    (folder / "aruna" / "train" / row["file_name"]).write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match="is not a picture|cannot be read|damaged"):
        gallery.picture(row["sha256"], 80)


def test_decisions_in_two_threads_are_both_kept(tmp_path):
    names = [f"{index:02d}.png" for index in range(40)]
    for name in names:
        change_record(tmp_path, lambda record, name=name: record["negatives"].update({name: {}}))

    def decide(name):
        def change(record):
            record["negatives"][name] = new_entry(name)

        change_record(tmp_path, change)

    threads = [threading.Thread(target=decide, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record = json.loads((tmp_path / "negatives.json").read_text())
    assert [record["negatives"][name]["prompt"] for name in names] == names


def test_what_is_edited_is_shown_trained_with_and_undone_by_what_was_before(gallery, folder):
    row = gallery.dataset()["rows"][0]
    changes = {
        "caption": "a house\nof clay",
        "generic_captions": ["a house", "a house", " "],
        "category": "architecture",
        "era": "modern",
        "credit": "",
        "licence": "CC BY 4.0",
        "consent": True,
    }
    answer = gallery.change_row(row["sha256"], changes, by="Kim", why="looked")
    shown = answer["row"]
    assert shown["caption"] == "a house of clay"
    assert shown["generic_captions"] == ["a house"]
    assert (shown["credit"], shown["licence"], shown["consent"]) == (None, "CC BY 4.0", True)
    assert sorted(shown["edited"]) == sorted(changes)
    trained = trained_with(folder)[0]
    assert (trained.cultural_caption, trained.generic_captions) == ("a house of clay", ("a house",))
    assert answer["before"] == dict.fromkeys(changes)
    undone = gallery.change_row(row["sha256"], answer["before"], by="Kim", why="undone")
    assert undone["row"] == row
    again = gallery.change_row(row["sha256"], undone["before"])["row"]
    assert again["generic_captions"] == ["a house"]
    statements = gallery.history(row["sha256"])["statements"]
    assert [one["why"] for one in statements] == ["looked", "undone", "edited by hand"]
    assert statements[1]["changes"] == dict.fromkeys(changes)
    assert json.loads(json.dumps(gallery.dataset())) == gallery.dataset()


def test_captions_are_judged_as_they_are_shown(gallery, folder):
    sha256 = gallery.dataset()["rows"][0]["sha256"]

    def kinds(changes):
        return [one["kind"] for one in gallery.change_row(sha256, changes)["row"]["problems"]]

    assert "names-a-culture" in kinds({"generic_captions": ["a Korean house by a river"]})
    assert "names-a-culture" not in kinds({"generic_captions": ["a house by a river"]})
    assert "no-generic-caption" in kinds({"generic_captions": []})
    added = Overlay(
        sha256=sha256, by="x", at="2026-01-01", why="y", generic_captions=("a Thai hut",)
    )
    write_overlays(folder / "work", [added])
    assert "names-a-culture" in kinds({"generic_captions": None})


def test_a_row_with_an_error_is_shown_with_it(gallery, folder):
    path = folder / "aruna" / "train" / "metadata.jsonl"
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"text": ""})
    lines[2] = json.dumps(json.loads(lines[2]) | {"file_name": "images/nowhere.jpg"})
    path.write_text("\n".join(lines) + "\n")
    seen = gallery.dataset()
    assert [row["number"] for row in seen["rows"]] == [1, 2]
    assert [one["kind"] for one in seen["rows"][1]["problems"] if one["is_error"]] == ["no-caption"]
    assert any("nowhere.jpg` does not exist" in message for message in seen["problems"])
    assert not any("row 2" in message for message in seen["problems"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "`changes` is empty. Send at least one of caption, "),
        ({"captoin": "x"}, "Unknown field 'captoin'.*Did you mean 'caption'"),
        ({"caption": "  "}, "`caption` is empty. Each picture needs"),
        ({"caption": "x" * 4001}, "`caption` has 4001 characters, but 4000 are the most"),
        ({"caption": "a\x00b"}, r"`caption` holds a character that cannot be shown \(U\+0000\)"),
        ({"credit": "a\ud800"}, r"U\+D800"),
        ({"caption": 3}, "`caption` must be text but got 3"),
        ({"generic_captions": "one"}, "`generic_captions` must be a list of texts"),
        ({"generic_captions": ["a"] * 51}, "51 captions, but 50 are the most"),
        ({"category": "citty"}, "Unknown category 'citty'.*mean 'city'"),
        ({"era": "old"}, "Unknown era 'old'"),
        ({"include": "yes"}, "`include` must be true, false or null but got 'yes'"),
        ({"consent": 1}, "`consent` must be text but got 1"),
    ],
)
def test_a_change_that_does_not_belong_there_is_refused(gallery, folder, changes, sentence):
    sha256 = gallery.dataset()["rows"][0]["sha256"]
    with pytest.raises(ConfigError, match=sentence):
        gallery.change_row(sha256, {"era": "modern", **changes} if changes else changes)
    assert read_statements(folder / "work") == []


def test_joiners_and_marks_of_direction_may_stand_in_captions(gallery):
    sha256 = gallery.dataset()["rows"][0]["sha256"]
    caption = "\u200fخانه\u200cها"  # noqa: RUF001
    assert gallery.change_row(sha256, {"caption": caption})["row"]["caption"] == caption


def test_a_picture_whose_consent_is_refused_is_left_out(gallery, folder):
    sha256 = gallery.dataset()["rows"][0]["sha256"]
    gallery.change_row(sha256, {"include": True})
    row = gallery.change_row(sha256, {"consent": False})["row"]
    assert (row["included"], row["decision"]) == (False, "kept")
    assert [one.number for one in trained_with(folder)] == [2, 3]


def test_measuring_adds_what_it_finds(gallery, folder):
    train = folder / "aruna" / "train"
    path = train / gallery.dataset()["rows"][0]["file_name"]
    Image.new("RGB", (40, 40), "red").save(path)
    metadata = train / "metadata.jsonl"
    metadata.write_text(metadata.read_text() + "\n")
    seen = gallery.measure()
    assert "small-picture" in [one["kind"] for one in seen["rows"][0]["problems"]]
    assert seen == gallery.dataset()
    changed = gallery.change_row(seen["rows"][0]["sha256"], {"include": True})["row"]
    assert changed["problems"] == seen["rows"][0]["problems"]


def test_a_filter_that_ran_since_counts_once_a_decision_is_taken_back(gallery, folder):
    """The filter overrules no person, and what it found meanwhile is not forgotten."""
    (one,) = negative_sets(folder / "work")
    row = gallery.negatives(one.digest)["rows"][0]
    gallery.decide_negative(one.digest, row["folder"], "01.png", kept=True)
    rows = read_dataset(folder / "aruna").rows
    config = NegativesConfig(filter_backbone="pool", filter_threshold=1e5)
    backbone = PoolBackbone()
    list(
        filter_negatives(
            rows,
            config,
            backbone,
            work=folder / "work",
            settings=one.digest,
            device=torch.device("cpu"),
        )
    )
    held = gallery.negatives(one.digest)["rows"][0]["negatives"][2]
    assert (held["kept"], held["by"]) == (True, "user")
    back = gallery.decide_negative(one.digest, row["folder"], "01.png", kept=None)["negative"]
    assert (back["kept"], back["by"]) == (False, "filter")
