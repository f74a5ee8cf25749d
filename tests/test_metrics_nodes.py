"""Metrics and Compare Models in a real ComfyUI, on the miniature: queued, cached, found again."""

from __future__ import annotations

import json
import urllib.request

import pytest
from PIL import Image
from running_host import SHORT_TRAINING, error_of, until
from test_live import Listener

from scoft_training.score_records import scores_from_json

pytestmark = [pytest.mark.host, pytest.mark.slow]


def graph(host, *, metrics=None, **compared):
    """The miniature, a short training with snapshots, its grid, and what is measured of it."""
    models = {"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2]}
    training = host.defaults("ScoftTrainLora") | SHORT_TRAINING
    drawing = host.defaults("ScoftDrawGrid") | {
        "train_captions": 3,
        "pictures_per_caption": 3,
        "test_captions": 5,
        "many_test_captions": 2,
        "neutral_prompts": 4,
        "inference_steps": 2,
        "resolution": 64,
    }
    own = "miniature_judge"
    measuring = host.defaults("ScoftMetrics") | {
        "kid_network": own,
        "clip_network": "miniature_clip",
        "similarity_networks": own,
        "diversity_network": own,
    }
    comparing = host.defaults("ScoftCompareModels") | {"scores": ["5", 0]} | compared
    return {
        "1": {"class_type": "ScoftLoadMiniature", "inputs": {"pictures": 12}},
        "3": {
            "class_type": "ScoftTrainLora",
            "inputs": training | models | {"dataset": ["1", 4]},
        },
        "4": {
            "class_type": "ScoftDrawGrid",
            "inputs": drawing | models | {"dataset": ["1", 4], "checkpoints_of": ["3", 2]},
        },
        "5": {
            "class_type": "ScoftMetrics",
            "inputs": measuring | {"grid": ["4", 0], "dataset": ["1", 4]} | (metrics or {}),
        },
        "6": {"class_type": "ScoftCompareModels", "inputs": comparing},
        "7": _saved(["5", 1], "plots"),
        "8": _saved(["6", 0], "sheet"),
        "9": _saved(["6", 1], "differences"),
        "10": {"class_type": "PreviewAny", "inputs": {"source": ["5", 3]}},
        "11": {"class_type": "PreviewAny", "inputs": {"source": ["6", 2]}},
    }


def _saved(images, name):
    return {"class_type": "SaveImage", "inputs": {"images": images, "filename_prefix": name}}


def pictures(host, ended, node):
    """The pictures that a SaveImage node saved."""
    saved = ended["outputs"][node]["images"]
    return [
        Image.open(host.folder / "output" / one["subfolder"] / one["filename"]) for one in saved
    ]


@pytest.fixture(scope="module")
def measured(host):
    """How the whole graph ended."""
    ended = host.wait(host.queue(graph(host)), seconds=500)
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
    return ended


def test_a_client_gets_table_numbers_and_paths_and_the_page_an_id(host, measured):
    (shown,), (table,) = (measured["outputs"]["5"][key] for key in ("scoft", "text"))
    values = json.loads(measured["outputs"]["10"]["text"][0])
    scores = scores_from_json(values, where="the output")
    names = [one.model.name for one in scores.models]
    assert names == ["base", "step 2", "step 4"]
    assert all(name in table for name in names)
    assert all(one.knows and one.copies and one.forgot for one in scores.models)
    assert all(one.get("clip_score") for one in scores.models)
    assert scores.suggestion.model in names[1:]
    assert shown["report"].endswith("report.html")
    with urllib.request.urlopen(f"{host.url}/scoft/grids/{shown['grid']}/report") as page:
        assert "Does it copy my photos?" in page.read().decode()
    seen = host.get(f"/scoft/grids/{shown['grid']}?baseline=step%202")
    assert [one["name"] for one in seen["differences"]] == ["base", "step 4"]


def test_plots_and_the_sheet_are_pictures(host, measured):
    plots, differences = (pictures(host, measured, node) for node in ("7", "9"))
    assert len(plots) >= 3
    assert len({plot.size for plot in plots}) == 1
    assert len(differences) == 3
    (sheet,) = pictures(host, measured, "8")
    assert sheet.width > 3 * 64
    for picture in (*plots, *differences, sheet):
        assert len(picture.convert("RGB").getcolors(2**24)) > 20


def test_differences_are_told_in_words_against_the_model_that_is_named(host, measured):
    assert measured["outputs"]["6"]["scoft"][0]["baseline"] == "base"
    assert measured["outputs"]["6"]["text"] == measured["outputs"]["11"]["text"]
    other = host.wait(host.queue(graph(host, baseline=" step 4 ")))
    assert other["outputs"]["11"]["text"][0].startswith("Differences from step 4,")
    # Every pair was compared with its pictures, not only those with the baseline of the scores.
    blocks = other["outputs"]["11"]["text"][0].split("\n\n")
    (kid,) = (block for block in blocks if block.startswith("KID to held-out pictures"))
    assert len(kid.splitlines()) == 3
    assert "(no interval)" not in kid
    wrong = host.wait(host.queue(graph(host, baseline="step 3")))
    assert "Unknown model 'step 3'" in error_of(wrong)


def test_queued_again_it_is_cached_and_with_other_settings_no_picture_is_measured_twice(
    host, measured
):
    again = host.wait(host.queue(graph(host)))
    cached = dict(again["status"]["messages"])["execution_cached"]["nodes"]
    assert {"4", "5"} <= set(cached)
    assert again["outputs"]["5"]["scoft"] == measured["outputs"]["5"]["scoft"]
    features = host.folder / "output" / "scoft" / "miniature-12" / "work" / "features"

    def state():
        files = [path for path in features.rglob("*") if path.is_file()]
        return {path.name: path.stat().st_mtime_ns for path in files}

    before = state()
    assert before
    ended = host.wait(host.queue(graph(host, metrics={"batch_size": 3, "kid_subset_size": 4})))
    assert "5" not in dict(ended["status"]["messages"])["execution_cached"]["nodes"]
    assert state() == before


@pytest.mark.parametrize("name", ["nowhere", "../input", "/tmp", "a\\b", "a\0b"])
def test_a_folder_that_is_none_of_the_input_folders_is_refused(host, measured, name):
    ended = host.wait(host.queue(graph(host, metrics={"general_folder": name})))
    assert "There is no folder" in error_of(ended)


def test_a_general_folder_of_the_input_folder_is_what_forgetting_is_measured_by(host, measured):
    folder = host.folder / "input" / "general" / "part"
    folder.mkdir(parents=True)
    for shade in range(8):
        Image.new("RGB", (64, 48), (shade * 30, 90, 200 - shade * 20)).save(folder / f"{shade}.png")
    ended = host.wait(host.queue(graph(host, metrics={"general_folder": "general"})))
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
    before, after = (
        json.loads(run["outputs"]["10"]["text"][0])["models"][0] for run in (measured, ended)
    )
    forgot = [
        next(one for one in model["metrics"] if one["key"] == "kid_general")
        for model in (before, after)
    ]
    assert forgot[1]["reference_pictures"] == 8
    assert forgot[1]["value"] > forgot[0]["value"] + 1
    # Another picture there is another question.
    Image.new("RGB", (64, 48), "red").save(folder / "more.png")
    ended = host.wait(host.queue(graph(host, metrics={"general_folder": "general"})))
    assert "5" not in dict(ended["status"]["messages"])["execution_cached"]["nodes"]


def test_interrupted_it_stops_between_pictures_and_queued_again_it_goes_on(host, measured):
    folder = host.folder / "input" / "many"
    folder.mkdir(parents=True)
    for number in range(1500):
        shade = (number % 256, number // 256 * 40, 90)
        Image.new("RGB", (200, 200), shade).save(folder / f"{number}.png")
    prompt = graph(host, metrics={"general_folder": "many", "batch_size": 1})

    def seen(page):
        phases = [one for one in page.ours("phase") if one["node"] == "5"]
        return [one for one in phases if one["phase"].startswith("pictures under") and one["done"]]

    with Listener(host, "page") as page:
        answer = host.post("/prompt", {"prompt": prompt, "client_id": "page"})
        until(lambda: seen(page), host)
        host.post("/interrupt", {})
        ended = host.wait(answer["prompt_id"])
    assert "execution_interrupted" in dict(ended["status"]["messages"])
    assert seen(page)[-1]["done"] < 1500
    ended = host.wait(host.queue(prompt))
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]


@pytest.mark.parametrize(
    ("node", "name", "sentence"), [("5", "grid", "not a grid"), ("6", "scores", "not scores")]
)
def test_json_in_place_of_a_connection_is_refused(host, node, name, sentence):
    prompt = graph(host)
    prompt[node]["inputs"][name] = {"folder": "/tmp"}
    assert sentence in error_of(host.wait(host.queue(prompt)))


LOAD = """
async ([grid, baseline]) => {
    for (const node of [...app.graph.nodes]) app.graph.remove(node);
    ["ScoftMetrics", "ScoftCompareModels"].forEach((kind, index) => {
        const node = LiteGraph.createNode(kind);
        node.pos = [40 + 640 * index, 60];
        node.properties.scoft_grid = grid;
        if (index) node.properties.scoft_baseline = baseline;
        app.graph.add(node);
    });
    await app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())));
    Object.assign(app.canvas.ds, { scale: 1, offset: [60, 40] });
    app.canvas.setDirty(true, true);
}
"""


@pytest.mark.parametrize("vue", [False, True], ids=["classic nodes", "Vue nodes"])
def test_a_reloaded_page_shows_the_scores_again_and_opens_the_report(
    browser, host, measured, tmp_path, vue
):
    host.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": vue})
    page = browser.new_page(viewport={"width": 1500, "height": 1400})
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(host.url)
    page.wait_for_function("!!window.LiteGraph?.registered_node_types?.ScoftMetrics")
    page.wait_for_function("!!window.app?.extensionManager && !!window.app.canvas")
    # The last run left the grid's scores as they are now; the ids are the first one's.
    page.evaluate(LOAD, [measured["outputs"]["5"]["scoft"][0]["grid"], "base"])
    tables = page.locator(".scoft-scores-table")
    tables.nth(1).wait_for()
    assert tables.nth(0).locator("tbody tr").count() == 3
    assert tables.nth(1).locator("tbody tr").count() == 2
    assert page.locator(".scoft-suggestion").first.inner_text().startswith("Suggested: step")
    open_report = page.get_by_role("button", name="Open report").first
    # Nothing of the view is cut off by the node.
    view = page.locator(".scoft-scores").first
    assert view.evaluate("(one) => one.scrollHeight - one.clientHeight") <= 1
    open_report.focus()
    page.keyboard.press("Enter")
    frame = page.get_by_role("dialog", name="Report on the models").frame_locator("iframe")
    frame.get_by_text("Does it copy my photos?").first.wait_for()
    page.screenshot(path=tmp_path / "report.png")
    page.keyboard.press("Escape")
    page.screenshot(path=tmp_path / "nodes.png")
    assert faults == []
    page.close()
