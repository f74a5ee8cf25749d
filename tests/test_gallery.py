"""What a page sees of a set and its negatives, and what is decided there."""

import io
import json
import shutil
import threading

import pytest
from PIL import Image
from random_stack import draw_demo_dataset, random_controlnet

from scoft_training.config import NegativesConfig, TrainConfig
from scoft_training.control_models import ControlNet
from scoft_training.data import read_dataset
from scoft_training.errors import ConfigError, DatasetError
from scoft_training.gallery import Gallery
from scoft_training.helper_runs import NegativesRequest, make_negatives
from scoft_training.negative_sets import change_record, negative_sets, new_entry
from scoft_training.overlays import read_statements
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
    changed = gallery.decide_row(sha256, included=False)
    assert (changed["included"], changed["by"]) == (False, "user")
    again = Gallery(folder / "aruna", folder / "work").dataset()
    assert (again["kept"], again["left_out"]) == (2, 1)
    assert again["rows"][1] == changed
    assert [row.number for row in trained_with(folder)] == [1, 3]
    assert gallery.decide_row(sha256, included=True)["included"]
    assert [row.number for row in trained_with(folder)] == [1, 2, 3]
    assert {one.why for one in read_statements(folder / "work")} == {
        "left out by hand",
        "taken back by hand",
    }


def test_a_negative_dropped_is_not_trained_with_until_that_is_taken_back(gallery, folder):
    (one,) = negative_sets(folder / "work")
    row = gallery.negatives(one.digest)["rows"][0]
    names = [negative["name"] for negative in row["negatives"]]
    assert names[1:] == ["00.png", "01.png"]
    before = trained_with(folder)
    changed = gallery.decide_negative(one.digest, row["folder"], "01.png", kept=False)
    assert (changed["kept"], changed["by"]) == (False, "user")
    shown = gallery.negatives(one.digest)
    assert (shown["kept"], shown["dropped"]) == (8, 1)
    assert shown["rows"][0]["negatives"][2] == changed
    after = trained_with(folder)
    assert len(after[0].negative_paths) == len(before[0].negative_paths) - 1
    assert after[1:] == before[1:]
    undecided = gallery.decide_negative(one.digest, row["folder"], "01.png", kept=None)
    assert (undecided["kept"], undecided["by"]) == (None, None)
    assert gallery.negatives(one.digest)["undecided"] == 1


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
        assert max(whole.size) > 80
    assert size_and_kind(gallery.picture(seen["sha256"], 80)) == (80, "JPEG")
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
        gallery.decide_row("0" * 64, included=False)
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
