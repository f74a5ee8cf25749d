"""What a page hears and asks while the pack works in a real ComfyUI: messages, routes, stopping."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import threading
import urllib.error
import urllib.request

import aiohttp
import numpy as np
import pytest
from PIL import Image
from running_host import drawing, error_of, graph, until

pytestmark = [pytest.mark.host, pytest.mark.slow]


class Listener:
    """A page's websocket, in a thread: what it heard, messages and binary previews apart."""

    def __init__(self, host, client_id):
        self.client_id = client_id
        self.messages = []
        self.pictures = []
        self._url = f"{host.url}/ws?clientId={client_id}"
        self._stop = threading.Event()
        self._open = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()))

    async def _listen(self):
        async with aiohttp.ClientSession() as session, session.ws_connect(self._url) as socket:
            self._open.set()
            while not self._stop.is_set():
                try:
                    message = await socket.receive(timeout=0.2)
                except asyncio.TimeoutError:
                    continue
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.messages.append(json.loads(message.data))
                elif message.type is aiohttp.WSMsgType.BINARY:
                    self.pictures.append(message.data)

    def __enter__(self):
        self._thread.start()
        assert self._open.wait(10)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def ours(self, kind=None):
        events = [m["data"] for m in self.messages if m["type"] == "scoft.event"]
        return [event for event in events if kind in (None, event["event"])]


def queue(host, prompt, listener):
    answer = host.post("/prompt", {"prompt": prompt, "client_id": listener.client_id})
    assert not answer.get("node_errors"), answer
    return answer["prompt_id"]


def ask(host, path, body=None, method=None, kind="application/json"):
    """Return status and answer, whatever the status."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": kind}
    request = urllib.request.Request(host.url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def told(host, path, body=None, method=None):
    status, text = ask(host, path, body, method)
    return status, json.loads(text)


@pytest.fixture(scope="module")
def training(host):
    """One finished training with previews, and what two pages heard of it."""
    prompt = graph(host, steps=6)
    prompt["3"]["inputs"] |= {"preview_every": 3, "preview_prompts": "a house", "preview_steps": 2}
    with Listener(host, "page") as page, Listener(host, "other") as other:
        ended = host.wait(queue(host, prompt, page))
        assert ended["status"]["status_str"] == "success", ended["status"]
        until(lambda: page.ours("finished"), host)
    return ended, page, other


def test_the_page_that_queued_hears_every_step_and_no_other_page_does(training):
    _, page, other = training
    assert [event["step"] for event in page.ours("step")] == [1, 2, 3, 4, 5, 6]
    assert all(event["node"] == "3" for event in page.ours("step"))
    assert {event["run"] for event in page.ours("step")} == {page.ours("settings")[0]["run_id"]}
    assert [event["step"] for event in page.ours("preview")] == [3, 6]
    assert {event["phase"] for event in page.ours("phase")} >= {"depth", "negatives", "latents"}
    assert other.messages  # it listened, to the queue's status
    assert other.ours() == []


def test_the_page_hears_what_the_run_will_hold_and_finds_it_again(host, training):
    _, page, _ = training
    (estimate,) = page.ours("estimate")
    kinds = [event["event"] for event in page.ours()]
    assert kinds.index("estimate") < kinds.index("step")
    assert 0 < estimate["needed_bytes"] < estimate["peak_bytes"]
    _, report = told(host, f"/scoft/runs/{page.ours('settings')[0]['run_id']}")
    assert report["estimate"]["peak_bytes"] == estimate["peak_bytes"]


def test_the_hosts_bar_rises_over_all_phases_and_shows_pictures(training):
    _, page, _ = training
    bars = [m["data"] for m in page.messages if m["type"] == "progress"]
    of_training = [bar["value"] for bar in bars if bar["node"] == "3"]
    assert of_training == sorted(of_training)
    assert of_training[-1] == 1000
    assert len({bar["max"] for bar in bars if bar["node"] in ("2", "3")}) == 1
    # Six negatives and two previews, as the host sends them: 4 bytes of kind, 4 of format.
    assert len(page.pictures) == 8
    sizes = []
    for data in page.pictures:
        with Image.open(io.BytesIO(data[8:])) as picture:
            sizes.append(picture.size)
    assert sizes == [(128, 128)] * 6 + [(260, 128)] * 2


def test_a_page_that_reloads_finds_the_run_by_its_id(host, training):
    ended, page, _ = training
    (shown,) = ended["outputs"]["3"]["scoft"]
    status, seen = told(host, f"/scoft/runs/{shown['run']}")
    assert status == 200
    assert (seen["state"], seen["node"], seen["steps"]) == ("finished", "3", 6)
    assert seen["history"]["step"] == [1, 2, 3, 4, 5, 6]
    heard = [event["losses"]["ldm"] for event in page.ours("step")]
    assert seen["history"]["losses"]["ldm"] == heard
    assert [p["step"] for p in seen["previews"]] == [3, 6]
    name = seen["previews"][0]["name"].split("/")[-1]
    status, data = ask(host, f"/scoft/runs/{shown['run']}/previews/{name}")
    with Image.open(io.BytesIO(data)) as picture:
        assert (status, picture.size) == (200, (260, 128))


def test_stopping_from_a_page_gives_the_lora_so_far_and_the_same_graph_goes_on(host):
    prompt = graph(host, steps=500)
    with Listener(host, "stopper") as page:
        began = queue(host, prompt, page)
        until(lambda: len(page.ours("step")) >= 4, host)
        run = page.ours("step")[0]["run"]
        assert told(host, f"/scoft/runs/{run}")[1]["state"] == "running"
        status, answer = told(host, f"/scoft/runs/{run}/stop", {})
        assert (status, answer["state"]) == (200, "stopping")
        ended = host.wait(began)
        # Unlike after an interrupt, what follows in the graph is carried out.
        assert ended["status"]["status_str"] == "success"
        assert "4" in ended["outputs"]
        done = page.ours("stopped")[0]["step"]
        assert 4 <= done < 500
        assert told(host, f"/scoft/runs/{run}/stop", {})[0] == 409
        saved = sorted((host.folder / "output" / "loras").glob("quick*.safetensors"))[-1]
        again = queue(host, prompt, page)
        until(lambda: page.ours("step")[-1]["step"] >= done + 2, host)
        host.post("/interrupt", {})
        host.wait(again)
    numbers = [event["step"] for event in page.ours("step")]
    assert numbers == list(range(1, len(numbers) + 1))
    ended = host.wait(host.queue(drawing(saved.name)))
    assert ended["status"]["status_str"] == "success"


def test_the_server_answers_while_it_trains_and_an_interrupt_saves_what_is_done(host):
    with Listener(host, "interrupter") as page:
        began = queue(host, graph(host, steps=400), page)
        until(lambda: len(page.ours("step")) >= 3, host)
        for _ in range(20):
            running = host.get("/queue")["queue_running"]
            assert [item[1] for item in running] == [began]
        host.post("/interrupt", {})
        ended = host.wait(began)
        assert "execution_interrupted" in dict(ended["status"]["messages"])
        until(lambda: page.ours("stopped"), host)
    done = page.ours("step")[-1]["step"]
    assert page.ours("stopped")[0]["step"] == done < 400
    assert page.ours("checkpoint")[-1]["step"] == done


@pytest.fixture(scope="module")
def negatives(training):
    ended, _, _ = training
    (shown,) = ended["outputs"]["2"]["scoft"]
    return shown


def test_a_negative_dropped_on_a_page_counts_in_the_next_run(host, training, negatives):
    ended, _, _ = training
    place = f"/scoft/datasets/{negatives['dataset']}/negatives/{negatives['negatives']}"
    status, seen = told(host, place)
    assert status == 200
    assert seen["kept"] >= 1
    row = next(r for r in seen["rows"] if any(n["kept"] for n in r["negatives"]))
    name = next(n["name"] for n in row["negatives"] if n["kept"])
    decision = {"kept": False, "by": "Kim", "why": "a stereotype"}
    status, answer = told(host, f"{place}/{row['folder']}/{name}", decision)
    changed = answer["negative"]
    assert (status, changed["kept"], changed["by"], changed["who"]) == (200, False, "user", "Kim")
    assert told(host, place)[1]["dropped"] == seen["dropped"] + 1
    for picture in (f"pictures/{name}", "depth"):
        status, data = ask(host, f"{place}/{row['folder']}/{picture}?size=64")
        with Image.open(io.BytesIO(data)) as opened:
            assert (status, opened.format, opened.size) == (200, "JPEG", (128, 128))
    # The widgets are the same, so the host would give its cached result; the run is another one.
    prompt = graph(host, steps=6)
    prompt["3"]["inputs"] |= {"preview_every": 3, "preview_prompts": "a house", "preview_steps": 2}
    again = host.wait(host.queue(prompt))
    assert again["outputs"]["3"]["scoft"] != ended["outputs"]["3"]["scoft"]


def test_a_picture_left_out_on_a_page_is_not_trained_with(host, negatives):
    place = f"/scoft/datasets/{negatives['dataset']}"
    _, seen = told(host, place)
    assert seen["kept"] == 6
    sha256 = seen["rows"][0]["sha256"]
    status, data = ask(host, f"{place}/pictures/{sha256}?size=100")
    with Image.open(io.BytesIO(data)) as picture:
        assert (status, max(picture.size)) == (200, 128)
    status, answer = told(host, f"{place}/rows/{sha256}", {"changes": {"include": False}})
    assert (status, answer["row"]["included"]) == (200, False)
    with Listener(host, "leaver") as page:
        host.wait(queue(host, graph(host, steps=1), page))
        until(lambda: page.ours("finished"), host)
    latents = [event for event in page.ours("phase") if event["phase"] == "latents"]
    assert {event["total"] for event in latents} == {5}
    back = {"changes": answer["before"], "by": "Kim", "why": "undone"}
    assert told(host, f"{place}/rows/{sha256}", back)[1]["row"]["included"]
    _, history = told(host, f"{place}/rows/{sha256}/history")
    assert [one["why"] for one in history["statements"]] == ["left out by hand", "undone"]
    status, answer = ask(host, f"{place}/rows/{sha256}", back, kind="text/plain")
    assert (status, json.loads(answer)["error"].split(",")[0]) == (415, "Send JSON")


def test_a_dataset_of_the_input_folder_opens_before_anything_is_queued(host, negatives):
    (host.folder / "input").mkdir(exist_ok=True)
    made = host.folder / "output" / "scoft" / "miniature-6" / "avelun"
    (host.folder / "input" / "mine").symlink_to(made)
    status, opened = told(host, "/scoft/datasets/open", {"name": "mine"})
    assert status == 200
    assert told(host, f"/scoft/datasets/{opened['dataset']}")[1]["kept"] == 6
    status, answer = told(host, "/scoft/datasets/open", {"name": "../output"})
    assert status == 400
    assert "Unknown dataset '../output'" in answer["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/scoft/runs/0123456789abcdef", None, 404, "has not opened that run"),
        ("/scoft/runs/..%2F..%2F/stop", {}, 404, "has not opened that run"),
        ("/scoft/datasets/0123", None, 404, "has not opened that dataset"),
        ("/scoft/datasets/{id}/pictures/..%2F..%2Fcard.json", None, 400, "There is no picture"),
        ("/scoft/datasets/{id}/pictures/{sha}?size=100000", None, 400, "must be a number"),
        ("/scoft/datasets/{id}/rows/{sha}", {"changes": "no"}, 400, '"changes" \\(dict\\)'),
        ("/scoft/datasets/{id}/rows/{sha}", [], 400, "JSON object"),
        ("/scoft/datasets/{id}/negatives/..", None, 400, "Unknown set of negatives"),
    ],
)
def test_what_a_page_makes_up_gets_a_sentence(host, negatives, path, body, status, sentence):
    sha = told(host, f"/scoft/datasets/{negatives['dataset']}")[1]["rows"][0]["sha256"]
    # %2e%2e, since a client would resolve two dots itself.
    path = path.format(id=negatives["dataset"], sha=sha).replace("..", "%2e%2e")
    found, answer = told(host, path, body)
    assert found == status, answer
    assert re.search(sentence, answer["error"])


def test_presets_are_given_by_their_widgets_names(host):
    _, presets = told(host, "/scoft/presets")
    widgets = host.defaults("ScoftTrainLora")
    assert presets["custom"] == {}
    assert presets["ldm"]["memorization_weight"] == 0
    assert presets["authors-code"]["margin"] == -1  # no margin, as its widget shows it
    for values in presets.values():
        assert set(values) <= set(widgets)


def test_connected_depth_takes_the_place_of_midas(host):
    """The miniature's own set brings depth; a copy of it in the input folder brings none."""
    made = host.folder / "output" / "scoft" / "miniature-6" / "avelun"
    copy = host.folder / "input" / "without_depth"
    shutil.copytree(made, copy)
    metadata = copy / "train" / "metadata.jsonl"
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    lines = [json.dumps({key: row[key] for key in row if key != "depth"}) for row in rows]
    metadata.write_text("\n".join(lines) + "\n")
    prompt = graph(host)
    prompt["5"] = {
        "class_type": "ScoftDepthMaps",
        "inputs": host.defaults("ScoftDepthMaps") | {"dataset": ["1", 4], "resolution": 128},
    }
    prompt["6"] = {"class_type": "ImageInvert", "inputs": {"image": ["5", 1]}}
    prompt["7"] = {"class_type": "PreviewImage", "inputs": {"images": ["5", 2]}}
    prompt["8"] = {"class_type": "ScoftLoadDataset", "inputs": {"dataset": "without_depth"}}
    prompt["2"]["inputs"] |= {"depth": ["6", 0], "dataset": ["8", 0]}
    del prompt["3"], prompt["4"]
    ended = host.wait(host.queue(prompt))
    assert ended["status"]["status_str"] == "success", ended["status"]
    assert len(ended["outputs"]["7"]["images"]) == 6
    (work,) = (host.folder / "output" / "scoft").glob("without_depth-*")
    estimated = host.folder / "output" / "scoft" / "miniature-6" / "work" / "depth"

    def depths(folder):
        found = {path.stem: Image.open(path) for path in folder.glob("*/*.png")}
        return {name: np.asarray(picture, dtype=float) for name, picture in found.items()}

    given, plain = depths(work / "depth"), depths(estimated)
    assert len(given) == 6
    for name, depth in given.items():
        assert np.abs(65535 - depth - plain[name]).max() <= 1
    prompt["2"]["inputs"]["resolution"] = 64
    assert "cut to 64 x 64" in error_of(host.wait(host.queue(prompt)))
    prompt["2"]["inputs"]["dataset"] = ["1", 4]
    assert "row 1 brings its own" in error_of(host.wait(host.queue(prompt)))
