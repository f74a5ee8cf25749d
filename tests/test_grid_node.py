"""Draw Grid in a real ComfyUI, on the miniature: models of all kinds, interrupted and gone on."""

import dataclasses

import pytest
from PIL import Image
from running_host import SHORT_TRAINING, error_of, until

from scoft_training.files import file_sha256
from scoft_training.grids import add_picture, read_grid

pytestmark = [pytest.mark.host, pytest.mark.slow]


def graph(host, *, train=True, **values):
    """The miniature, a short training with snapshots, and a grid of both."""
    models = {"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2]}
    training = host.defaults("ScoftTrainLora") | SHORT_TRAINING | {"save_every": 1}
    drawing = host.defaults("ScoftDrawGrid") | {
        "prompts": "a house in avelun\nneutral: a boat",
        "num_seeds": 2,
        "train_captions": 1,
        "pictures_per_caption": 2,
        "test_captions": 2,
        "many_test_captions": 1,
        "neutral_prompts": 1,
        "inference_steps": 2,
        "resolution": 64,
    }
    found = {
        "1": {"class_type": "ScoftLoadMiniature", "inputs": {"pictures": 6}},
        "4": {"class_type": "ScoftDrawGrid", "inputs": drawing | models | values},
    }
    if train:
        inputs = training | models | {"dataset": ["1", 4]}
        found["3"] = {"class_type": "ScoftTrainLora", "inputs": inputs}
    return found


def grids_of(host, name):
    return sorted((host.folder / "output" / "scoft" / "grids").glob(f"{name}-*"))


def test_a_grid_holds_the_base_the_lora_and_the_steps_of_its_training(host):
    prompt = graph(
        host,
        dataset=["1", 4],
        lora_1=["3", 0],
        names="ours",
        checkpoints_of=["3", 2],
        grid_name="steps",
    )
    ended = host.wait(host.queue(prompt))
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
    (folder,) = grids_of(host, "steps")
    grid = read_grid(folder)
    assert [model.name for model in grid.models] == [
        "base", "ours", "step 2", "step 3", "step 4"
    ]  # fmt: skip
    assert grid.models[1].lora_sha256 == grid.models[4].lora_sha256
    roles = [prompt.role for prompt in grid.prompts]
    # From the dataset, then the typed ones, then the general ones of both neutral prompts.
    assert roles == ["train", "test", "test", "neutral", "general", "test", "neutral", "general"]
    assert grid.missing() == ()
    drawn = {
        name: [p.path.read_bytes() for p in grid.of(name, "train")] for name in ("ours", "step 4")
    }
    assert drawn["ours"] == drawn["step 4"]
    assert drawn["ours"] != [p.path.read_bytes() for p in grid.of("step 2", "train")]
    assert f"{len(grid.pictures)} pictures by 5 models" in ended["outputs"]["4"]["text"][0]
    with Image.open(grid.pictures[0].path) as opened:
        assert (opened.size, opened.info) == ((64, 64), {})


def test_an_interrupt_keeps_what_is_drawn_and_the_same_graph_goes_on(host):
    values = {"num_seeds": 60, "grid_name": "stopped", "prompts": "a house in avelun"}
    began = host.queue(graph(host, train=False, **values))
    until(
        lambda: len(list(host.folder.glob("output/scoft/grids/stopped-*/pictures/*/*.png"))) > 3,
        host,
    )
    host.post("/interrupt", {})
    ended = host.wait(began)
    assert "execution_interrupted" in dict(ended["status"]["messages"])
    (folder,) = grids_of(host, "stopped")
    before = {p.path: p.path.stat().st_mtime_ns for p in read_grid(folder).pictures}
    assert 0 < len(before) < 60
    ended = host.wait(host.queue(graph(host, train=False, **values)))
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
    assert grids_of(host, "stopped") == [folder]
    assert len(read_grid(folder).pictures) == 60
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_prompt_more_makes_a_folder_that_takes_over_what_is_drawn(host):
    values = {"num_seeds": 1, "grid_name": "few", "prompts": "a boat in avelun"}
    ended = host.wait(host.queue(graph(host, train=False, **values)))
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
    few = read_grid(grids_of(host, "few")[0])
    (picture,) = few.pictures
    # Marked, so that a copy differs from what would be drawn.
    Image.new("RGB", (64, 64), "red").save(picture.path)
    add_picture(few, dataclasses.replace(picture, sha256=file_sha256(picture.path)))
    more = values | {"grid_name": "more", "prompts": "a boat in avelun\na house in avelun"}
    ended = host.wait(host.queue(graph(host, train=False, **more)))
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
    copied, own = read_grid(grids_of(host, "more")[0]).pictures
    assert copied.path.read_bytes() == picture.path.read_bytes()
    assert own.sha256 != copied.sha256


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompts": " \n"}, "`prompts`: is empty, and no dataset is connected"),
        ({"lora_files": "mine = none.safetensors"}, "Unknown LoRA file 'none.safetensors'"),
        ({"checkpoints_of": "/etc/hostname"}, "is not the path of a LoRA that SCoFT Train LoRA"),
        ({"grid_name": " ../. "}, "is no folder's name"),
    ],
)
def test_what_will_not_do_is_refused_in_a_sentence(host, values, message):
    ended = host.wait(host.queue(graph(host, train=False, **values)))
    assert message in error_of(ended)
