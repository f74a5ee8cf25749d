"""Make Survey and Aggregate Survey in a real ComfyUI: queued, opened, filled, read."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
from urllib.parse import quote

import numpy as np
import pytest
from running_host import SHORT_TRAINING, error_of, skip_without_views, until
from survey_filling import begun, next_one

from scoft_training.survey_key import ITEMS, read_key

pytestmark = [pytest.mark.host, pytest.mark.slow]

ENGLISH, KOREAN = "survey-avelun-en.html", "survey-avelun-ko.html"


def making(host, *, survey=None):
    """The miniature, a short training, a grid of three models, and a survey of it."""
    models = {"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2]}
    training = host.defaults("ScoftTrainLora") | SHORT_TRAINING
    drawing = host.defaults("ScoftDrawGrid") | {
        "prompts": "a house in avelun\na robe in avelun\na bowl in avelun",
        "num_seeds": 1,
        "train_captions": 0,
        "test_captions": 1,
        "many_test_captions": 0,
        "neutral_prompts": 0,
        "inference_steps": 2,
        "resolution": 64,
        "grid_name": "asked",
    }
    asking = host.defaults("ScoftMakeSurvey") | {
        "grid": ["4", 0],
        "culture": "avelun",
        "contact": "Ada <ada@example.org>",
        "languages": "en,ko",
        "pages": 3,
    }
    return {
        "1": {"class_type": "ScoftLoadMiniature", "inputs": {"pictures": 6}},
        "3": {"class_type": "ScoftTrainLora", "inputs": training | models | {"dataset": ["1", 4]}},
        "4": {
            "class_type": "ScoftDrawGrid",
            "inputs": drawing | models | {"checkpoints_of": ["3", 2]},
        },
        "5": {"class_type": "ScoftMakeSurvey", "inputs": asking | (survey or {})},
        "6": {"class_type": "PreviewAny", "inputs": {"source": ["5", 1]}},
    }


def reading(host, **values):
    """The same, and the answers read with its key."""
    inputs = host.defaults("ScoftAggregateSurvey") | {"key": ["5", 1], "resamples": 100} | values
    return making(host) | {
        "7": {"class_type": "ScoftAggregateSurvey", "inputs": inputs},
        "8": {"class_type": "SaveImage", "inputs": {"images": ["7", 0], "filename_prefix": "p"}},
        "9": {"class_type": "PreviewAny", "inputs": {"source": ["7", 2]}},
    }


@pytest.fixture(scope="module")
def made(host):
    """How making the survey ended."""
    ended = host.wait(host.queue(making(host)), seconds=500)
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
    return ended


def folder_of(host, name="survey"):
    return host.folder / "output" / "scoft" / "surveys" / name


def answer(host, person, liked):
    """Put a participant's file into the input folder: who ranks as `liked` says."""
    key = read_key(folder_of(host))
    pages = []
    for page in key.pages:
        order = sorted(page.pictures, key=lambda one: f"{person}{one}")
        ranks = {one: 1 + liked.index(page.pictures[one]) for one in order}
        items = {item: {"ranks": ranks, "seconds": 20.0} for item in ITEMS}
        pages.append(
            {"page": page.page, "order": order, "seconds": 80, "comment": "", "items": items}
        )
    file = {
        "format": "scoft-survey-answers",
        "version": 1,
        "survey": key.survey,
        "culture": "avelun",
        "language": "en",
        "participant": f"00000000-0000-4000-8000-{person:012d}",
        "declared": {"culture": "Avelun", "country": "Avelun", "years": 20},
        "consent": {"agreed": True, "at": "2026-11-25T12:00:00Z"},
        "started": "2026-11-25T12:00:00Z",
        "finished": "2026-11-25T12:20:00Z",
        "page_order": [page["page"] for page in pages],
        "pages": pages,
        "comment": "",
    }
    folder = host.folder / "input" / "answers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"answers-avelun-{person}.json").write_text(json.dumps(file), encoding="utf-8")


def test_the_pages_lie_ready_and_the_key_beside_them(host, made):
    key = folder_of(host) / "survey-key.json"
    assert made["outputs"]["6"]["text"] == [str(key)]
    assert read_key(key).models == ("base", "step 2", "step 4")
    found = sorted(path.name for path in (folder_of(host) / "hand-out").iterdir())
    assert found == [ENGLISH, KOREAN]
    assert ENGLISH in made["outputs"]["5"]["text"][0]


def test_a_page_is_served_as_a_stranger_and_by_its_name_only(host, made):
    survey = made["outputs"]["5"]["scoft"][0]["survey"]
    listed = host.get(f"/scoft/surveys/{survey}")["pages"]
    assert [one["name"] for one in listed] == [ENGLISH, KOREAN]
    address = f"{host.url}/scoft/surveys/{survey}/pages/"
    with urllib.request.urlopen(address + ENGLISH) as page:
        assert "Content-Disposition" not in page.headers
        assert b"survey-data" in page.read()
    with urllib.request.urlopen(address + KOREAN + "?save") as page:
        assert page.headers["Content-Disposition"].startswith("attachment; ")
    for wrong in ("survey-key.json", "..%2Fsurvey-key.json", "other.html"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address + wrong)


def test_the_warnings_of_the_making_are_told_to_its_node_and_to_headless_users(host, made):
    (shown,) = made["outputs"]["5"]["scoft"]
    assert shown["warnings"] == made["outputs"]["5"]["text"][1:]
    silent = host.wait(host.queue(making(host, survey={"contact": ""})))
    (shown,) = silent["outputs"]["5"]["scoft"]
    assert any("`contact` is empty" in warning for warning in shown["warnings"])
    # The same pages again, for what follows.
    host.wait(host.queue(making(host)))


def test_names_of_every_script_are_folders_and_files_below_the_surveys(host, made):
    values = {"survey_name": "../설문 /1", "culture": "아벨룬", "languages": "ko"}
    ended = host.wait(host.queue(making(host, survey=values)))
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
    folder = folder_of(host, "설문 _1")
    assert ended["outputs"]["6"]["text"] == [str(folder / "survey-key.json")]
    (page,) = (folder / "hand-out").iterdir()
    survey = ended["outputs"]["5"]["scoft"][0]["survey"]
    address = f"{host.url}/scoft/surveys/{survey}/pages/{quote(page.name)}?save"
    with urllib.request.urlopen(address) as saved:
        said = saved.headers["Content-Disposition"]
        assert said == f"attachment; filename*=UTF-8''{quote(page.name)}"
        assert saved.read() == page.read_bytes()


def test_pages_that_somebody_deleted_are_made_again_with_the_same_ids(host, made):
    def cached(ended):
        assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
        return "5" in dict(ended["status"]["messages"])["execution_cached"]["nodes"]

    host.wait(host.queue(making(host)))
    assert cached(host.wait(host.queue(making(host))))
    key = read_key(folder_of(host))
    shutil.rmtree(folder_of(host) / "hand-out")
    survey = made["outputs"]["5"]["scoft"][0]["survey"]
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        urllib.request.urlopen(f"{host.url}/scoft/surveys/{survey}")
    assert "Queue the node again" in json.load(refused.value)["error"]
    assert not cached(host.wait(host.queue(making(host))))
    assert (folder_of(host) / "hand-out" / ENGLISH).is_file()
    assert read_key(folder_of(host)) == key
    assert cached(host.wait(host.queue(making(host))))


def test_other_pages_under_the_same_name_are_refused_and_another_language_is_added(host, made):
    fewer = host.wait(host.queue(making(host, survey={"pages": 2})))
    assert "Choose another folder (on the canvas another `survey_name`)" in error_of(fewer)
    more = host.wait(host.queue(making(host, survey={"languages": "ar"})))
    assert more["status"]["status_str"] == "success", more["status"]["messages"]
    names = {path.name for path in (folder_of(host) / "hand-out").iterdir()}
    assert names == {ENGLISH, KOREAN, "survey-avelun-ar.html"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"survey_name": ".."}, "no folder's name"),
        ({"translations": "../secret.json"}, "there is no"),
        ({"languages": "en,/etc/words.json"}, "there is no"),
        ({"models": "base\nstep 3"}, "step 3"),
        ({"form_target": "javascript:alert(1)"}, "form"),
    ],
)
def test_what_cannot_be_used_is_told(host, made, values, said):
    assert said in error_of(host.wait(host.queue(making(host, survey=values))))


def test_answers_are_read_with_the_connected_key(host, made):
    missing = host.wait(host.queue(reading(host)))
    assert "`answers`: there is no 'answers'" in error_of(missing)
    for person in range(6):
        answer(
            host, person, ["step 4", "step 2", "base"] if person else ["base", "step 2", "step 4"]
        )
    ended = host.wait(host.queue(reading(host)))
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
    results = json.loads(ended["outputs"]["9"]["text"][0])
    assert results["models"] == ["step 4", "step 2", "base"]
    # Five of six put it first and one last: (5 x 1 + 3) / 6.
    overall = results["slices"][0]["models"][0]
    assert np.isclose(overall["average_rank"]["mean"], 8 / 6)
    assert len(ended["outputs"]["8"]["images"]) >= 6
    (shown,), (told,) = (ended["outputs"]["7"][key] for key in ("scoft", "text"))
    assert "step 4" in told
    assert (folder_of(host) / "results" / "report.html").is_file()
    with urllib.request.urlopen(f"{host.url}/scoft/results/{shown['results']}/report") as page:
        assert "step 4" in page.read().decode()


def test_a_further_file_makes_it_read_again_and_the_same_ones_not(host, made):
    answer(host, 0, ["base", "step 2", "step 4"])
    host.wait(host.queue(reading(host)))
    again = host.wait(host.queue(reading(host)))
    assert "7" in dict(again["status"]["messages"])["execution_cached"]["nodes"]
    answer(host, 20, ["step 2", "base", "step 4"])
    more = host.wait(host.queue(reading(host)))
    assert "7" not in dict(more["status"]["messages"])["execution_cached"]["nodes"]


def test_a_report_that_somebody_deleted_is_made_again(host, made):
    answer(host, 0, ["base", "step 2", "step 4"])
    host.wait(host.queue(reading(host)))
    report = folder_of(host) / "results" / "report.html"
    report.unlink()
    again = host.wait(host.queue(reading(host)))
    assert again["status"]["status_str"] == "success", again["status"]["messages"]
    assert report.is_file()


def test_an_interrupted_reading_leaves_the_report_before_it(host, made):
    answer(host, 0, ["base", "step 2", "step 4"])
    host.wait(host.queue(reading(host)))
    report = folder_of(host) / "results" / "report.html"
    before = report.read_bytes()
    long = host.queue(reading(host, resamples=100_000))
    until(lambda: host.get("/queue")["queue_running"], host)
    time.sleep(1.0)
    host.post("/interrupt", {})
    ended = host.wait(long)
    assert "execution_interrupted" in dict(ended["status"]["messages"])
    assert report.read_bytes() == before


def test_two_nodes_on_the_same_answers_keep_two_reports(host, made):
    answer(host, 0, ["base", "step 2", "step 4"])
    prompt = reading(host)
    other = prompt["7"]["inputs"] | {"group_by": "country", "results_name": "by country"}
    prompt["10"] = {"class_type": "ScoftAggregateSurvey", "inputs": other}
    ended = host.wait(host.queue(prompt))
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
    for name, group_by in (("results", "culture"), ("results by country", "country")):
        found = json.loads((folder_of(host) / name / "results.json").read_text(encoding="utf-8"))
        assert found["settings"]["group_by"] == group_by
    opened = {ended["outputs"][node]["scoft"][0]["results"] for node in ("7", "10")}
    assert len(opened) == 2


def test_a_table_and_a_key_in_the_input_folder_do_without_the_node_that_makes(host, made):
    """What another computer made is read: results lie beside the surveys, not in the input."""
    answer(host, 0, ["base", "step 2", "step 4"])
    brought = host.folder / "input" / "from afar"
    shutil.copytree(host.folder / "input" / "answers", brought / "answers", dirs_exist_ok=True)
    shutil.copy(folder_of(host) / "survey-key.json", brought)
    inputs = host.defaults("ScoftAggregateSurvey") | {"resamples": 100}
    found = {}
    table = str(folder_of(host) / "results" / "answers.csv")
    host.wait(host.queue(reading(host)))
    shutil.copy(table, brought)
    for answers, key in (
        ("from afar/answers", ""),
        ("from afar/answers", "from afar/survey-key.json"),
        ("from afar/answers.csv", ""),
    ):
        values = inputs | {"answers": answers, "key": key}
        prompt = {"7": {"class_type": "ScoftAggregateSurvey", "inputs": values}}
        prompt["9"] = {"class_type": "PreviewAny", "inputs": {"source": ["7", 3]}}
        ended = host.wait(host.queue(prompt))
        assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
        found[answers, key] = ended["outputs"]["9"]["text"][0]
    below = host.folder / "output" / "scoft" / "surveys"
    folder, named, file = found.values()
    assert folder == named == str(below / "from afar_answers results" / "report.html")
    assert file == str(below / "from afar_answers.csv results" / "report.html")
    names = {path.name for path in brought.iterdir()}
    assert names == {"answers", "answers.csv", "survey-key.json"}


@pytest.mark.parametrize("key", ["/etc/passwd", "../survey-key.json", "nowhere.json"])
def test_a_key_of_elsewhere_is_refused(host, made, key):
    answer(host, 0, ["base", "step 2", "step 4"])
    assert "`key`: there is no" in error_of(host.wait(host.queue(reading(host, key=key))))


def fill(page, frame):
    """Fill a preview as a participant would; returns the file that it saves."""
    begun(frame, culture="Avelun")
    for _ in range(3 * len(ITEMS)):
        for at in range(3):
            frame.locator(".pick").nth(at).click()
        next_one(frame)
    with page.expect_download() as waiting:
        frame.locator(".overview .primary").first.click()
    return waiting.value


LOAD = """
async ([survey, results, summary]) => {
    for (const node of [...app.graph.nodes]) app.graph.remove(node);
    const found = { scoft_survey: survey };
    const read = { scoft_survey_results: results, scoft_survey_summary: summary };
    [["ScoftMakeSurvey", found], ["ScoftAggregateSurvey", read]].forEach(([kind, known], index) => {
        const node = LiteGraph.createNode(kind);
        node.pos = [40 + 640 * index, 60];
        Object.assign(node.properties, known);
        app.graph.add(node);
    });
    await app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())));
    Object.assign(app.canvas.ds, { scale: 1, offset: [60, 40] });
    app.canvas.setDirty(true, true);
}
"""


@pytest.mark.parametrize("vue", [False, True], ids=["classic nodes", "Vue nodes"])
def test_the_canvas_previews_saves_and_reports(host, made, browser, tmp_path, vue):
    for person, liked in enumerate((["base", "step 4", "step 2"], ["step 4", "base", "step 2"])):
        answer(host, person, liked)
    ended = host.wait(host.queue(reading(host)))
    (read,) = ended["outputs"]["7"]["scoft"]
    host.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": vue})
    page = browser.new_page(viewport={"width": 1500, "height": 1600})
    page.set_default_timeout(120_000)
    faults = []
    page.on("pageerror", lambda error: faults.append(error.stack))
    page.goto(host.url)
    page.wait_for_function("!!window.LiteGraph?.registered_node_types?.ScoftMakeSurvey")
    page.wait_for_function("!!window.app?.extensionManager && !!window.app.canvas")
    if vue:
        skip_without_views(page)
    survey = made["outputs"]["5"]["scoft"][0]["survey"]
    page.evaluate(LOAD, [survey, read["results"], read["summary"]])
    page.get_by_role("button", name=f"Open {ENGLISH}").click()
    inside = page.get_by_role("dialog", name=f"Preview of {ENGLISH}").frame_locator("iframe")
    inside.get_by_role("checkbox").first.wait_for()
    (frame,) = (one for one in page.frames if ENGLISH in one.url)
    # A stranger: what the host keeps in the browser is out of its reach.
    assert frame.evaluate("window.origin") == "null"
    page.screenshot(path=tmp_path / "preview.png")
    tried = fill(page, frame)
    tried_at, tried_name = tmp_path / "tried.json", tried.suggested_filename
    tried.save_as(tried_at)
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    with page.expect_download() as saved:
        page.get_by_role("link", name=f"Save {KOREAN}").click()
    handed_out = folder_of(host) / "hand-out" / KOREAN
    assert saved.value.path().read_bytes() == handed_out.read_bytes()
    page.get_by_role("button", name="Open report").click()
    report = page.get_by_role("dialog", name="Report on the survey").frame_locator("iframe")
    report.get_by_role("heading", level=1).wait_for()
    page.screenshot(path=tmp_path / "report.png")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    page.screenshot(path=tmp_path / "nodes.png")
    # Front ends have faults of their own.
    assert not [stack for stack in faults if "/extensions/scoft/" in stack]
    page.close()
    # What an artist tries in the preview is an answer like any other.
    folder = host.folder / "input" / f"tried {vue}"
    folder.mkdir()
    shutil.copy(tried_at, folder / tried_name)
    read = host.wait(host.queue(reading(host, answers=folder.name)))
    assert read["status"]["status_str"] == "success", read["status"]["messages"]
    results = json.loads(read["outputs"]["9"]["text"][0])
    assert results["slices"][0]["rankings"] == 3 * len(ITEMS)
