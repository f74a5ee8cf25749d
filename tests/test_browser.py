"""The pack in the real front end, in a real browser: as a person uses it, with screenshots.

Screenshots lie in pytest's temporary folder, `browser*/`; they are for looking at.
"""

from __future__ import annotations

import json
import re

import pytest
from running_host import PACK, running_host, skip_without_views, until

pytestmark = [pytest.mark.host, pytest.mark.slow]

WORKFLOWS = sorted((PACK / "workflows").glob("*.json"))
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Validation.Workflows": False}

# The graph's nodes as plain values; a note's text is among them.
NODES = """() => app.graph._nodes.map((node) => ({
    id: String(node.id), type: node.type,
    known: Boolean(LiteGraph.registered_node_types[node.type]),
    widgets: (node.widgets ?? []).filter((w) => w.serialize !== false).map((w) => w.value),
}))"""
TRAINER = "app.graph._nodes.find((node) => node.type === 'ScoftTrainLora')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def host(folder):
    base = folder / "comfyui"
    (base / "user" / "default").mkdir(parents=True)
    (base / "user" / "default" / "comfy.settings.json").write_text(json.dumps(SETTINGS))
    with running_host(base) as started:
        yield started


def until_idle(host):
    def idle():
        queue = host.get("/queue")
        return not (queue["queue_running"] or queue["queue_pending"])

    until(idle, host)


class Tab:
    """One tab with the front end in it."""

    def __init__(self, context, host, folder):
        self.page = context.new_page()
        self.page.on("pageerror", self._failed)
        self.page.on("console", self._heard)
        self.errors = []
        self._host = host
        self._folder = folder
        self.open()

    def _failed(self, error):
        # Some hosts' own pages fail, too.
        if "/extensions/scoft/" in f"{error.stack}":
            self.errors.append(str(error.stack))

    def _heard(self, message):
        # The host's own page complains, too; what is told of our files is ours.
        if message.type == "error" and "scoft" in f"{message.text} {message.location}".lower():
            self.errors.append(message.text)

    def open(self):
        self.page.goto(self._host.url)
        self.wait("window.app?.graph?._nodes && window.app.extensionManager")
        self.page.wait_for_timeout(1500)  # the front end loads its last workflow by itself

    def wait(self, condition, seconds=120):
        self.page.wait_for_function(condition, timeout=1000 * seconds)

    def look(self, name):
        self.page.screenshot(path=self._folder / f"{name}.png")

    def drop(self, path):
        """Drop a file onto the canvas, as a person drags it there."""
        self.page.evaluate(
            """([name, text]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([text], name, { type: "application/json" }));
                const canvas = document.querySelector("canvas#graph-canvas") ?? app.canvasEl;
                for (const kind of ["dragenter", "dragover", "drop"]) {
                    const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
                    canvas.dispatchEvent(new DragEvent(kind, options));
                }
            }""",
            [path.name, path.read_text(encoding="utf-8")],
        )

    def nodes(self):
        return self.page.evaluate(NODES)

    def set(self, node_type, **values):
        """Set widgets as a person does, by value and callback."""
        self.page.evaluate(
            """([type, values]) => {
                const node = app.graph._nodes.find((node) => node.type === type);
                for (const [name, value] of Object.entries(values)) {
                    const widget = node.widgets.find((widget) => widget.name === name);
                    widget.value = value;
                    widget.callback?.(value);
                }
            }""",
            [node_type, values],
        )

    def show(self, node_type):
        """Bring the end of a node onto the screen at full size."""
        self.page.evaluate(
            """(type) => {
                const node = app.graph._nodes.find((node) => node.type === type);
                app.canvas.ds.scale = 1;
                const bottom = node.pos[1] + node.size[1];
                app.canvas.ds.offset = [400 - node.pos[0], innerHeight - 60 - bottom];
                app.canvas.setDirty(true, true);
            }""",
            node_type,
        )
        self.page.wait_for_timeout(400)


@pytest.fixture
def tab(browser, host, folder):
    context = browser.new_context(viewport={"width": 1500, "height": 1050})
    made = Tab(context, host, folder)
    yield made
    errors = made.errors
    context.close()
    assert not errors, errors


def test_the_quick_start_is_among_the_templates(tab):
    tab.page.get_by_role("button", name="Templates").first.click()
    tab.page.get_by_text("scoft", exact=True).first.click()
    cards = tab.page.locator("[data-testid^='template-workflow-scoft_']")
    cards.first.wait_for()
    assert cards.count() == len(WORKFLOWS)
    tab.page.wait_for_timeout(1000)
    tab.look("templates")
    tab.page.locator("[data-testid='template-workflow-scoft_quick_start']").click()
    tab.wait("app.graph._nodes.some((node) => node.type === 'ScoftTrainLora')")
    saved = json.loads((PACK / "workflows" / "scoft_quick_start.json").read_text())
    assert {node["type"] for node in tab.nodes()} == {node["type"] for node in saved["nodes"]}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_file_dropped_on_the_canvas_comes_with_its_nodes_and_values(tab, path):
    saved = {str(node["id"]): node for node in json.loads(path.read_text())["nodes"]}
    tab.drop(path)
    tab.wait(f"app.graph._nodes.length === {len(saved)}")
    tab.page.wait_for_timeout(500)
    tab.look(path.stem)
    for node in tab.nodes():
        assert node["known"] or node["type"] in ("MarkdownNote", "Note"), node
        wanted = saved[node["id"]].get("widgets_values")
        if wanted:  # some versions give a core node a widget more, for its own use
            assert node["widgets"] == wanted


def start_quick_start(tab, **training):
    tab.drop(PACK / "workflows" / "scoft_quick_start.json")
    tab.wait(f"{TRAINER} !== undefined")
    tab.set("ScoftLoadMiniature", pictures=6)
    tab.set("ScoftDrawNegatives", negatives_per_picture=1, inference_steps=4, filter_threshold=0.05)
    defaults = {"batch_size": 2, "ddim_steps": 4, "preview_every": 4, "preview_steps": 3}
    tab.set("ScoftTrainLora", **defaults | {"rank": 8} | training)
    tab.set("ScoftCompare", num_seeds=1, inference_steps=3)
    tab.page.evaluate("app.queuePrompt(0)")


STEP = "Number(/Step (\\d+)/.exec(document.querySelector('.scoft-state')?.textContent)?.[1] ?? 0)"


def test_a_run_is_watched_found_again_after_a_reload_and_stopped(tab, host):
    start_quick_start(tab, steps=400, run_seed=1)
    tab.wait(f"{STEP} >= 10")
    tab.show("ScoftTrainLora")
    lengths = (
        "[...document.querySelectorAll('.scoft-run svg path')].map((p) => p.getAttribute('d'))"
    )
    before = tab.page.evaluate(lengths)
    tab.wait(f"{STEP} >= 16")
    assert tab.page.evaluate(lengths) != before  # the chart grew
    picture = tab.page.locator(".scoft-preview-picture")
    assert picture.evaluate("(img) => img.complete && img.naturalWidth") == 260
    # The host's own preview of the node would be the same picture once more.
    assert not tab.page.evaluate(f"String({TRAINER}.id) in (app.nodePreviewImages ?? {{}})")
    tab.look("running")

    seen = tab.page.evaluate(STEP)
    tab.open()
    tab.wait(f"{STEP} > {seen}")
    tab.show("ScoftTrainLora")
    # Not only what came after the reload is on the chart: its curve has a point for every step.
    newest = tab.page.evaluate(STEP)
    curve = tab.page.locator(".scoft-run path[data-key='ldm']").first.get_attribute("d")
    assert len(re.findall("[ML]", curve)) >= newest
    tab.look("reloaded")

    tab.page.locator(".scoft-stop").click()
    tab.wait("document.querySelector('.scoft-run').dataset.status === 'stopped'")
    tab.look("stopped")
    until_idle(host)
    history = host.get("/history")
    assert list(history.values())[-1]["status"]["status_str"] == "success"


def test_a_negative_dropped_in_the_gallery_stays_dropped(tab, host):
    start_quick_start(tab, steps=2)
    until_idle(host)
    tab.page.get_by_role("button", name="Review negatives").click()
    tab.page.locator(".scoft-card").first.wait_for()
    kept = tab.page.locator(".scoft-card[data-state='kept']")
    before = kept.count()
    assert before >= 1
    kept.first.get_by_role("button", name="Drop").click()
    tab.page.locator(".scoft-ask").get_by_role("button", name="Drop").click()
    tab.page.get_by_text("Who is reviewing?").wait_for()
    tab.page.get_by_label("Your name").fill("Mina")
    tab.page.keyboard.press("Enter")
    dropped = tab.page.locator(".scoft-card[data-state='dropped']", has_text="by Mina")
    dropped.first.wait_for()
    tab.page.wait_for_timeout(500)
    tab.look("negatives")
    tab.page.get_by_role("button", name="Pictures", exact=True).click()
    tab.page.wait_for_timeout(500)
    tab.look("pictures")
    tab.page.keyboard.press("Escape")
    tab.open()
    tab.page.get_by_role("button", name="Review negatives").click()
    dropped.first.wait_for()
    assert kept.count() == before - 1


def test_queued_twice_it_is_the_same_run(tab, host):
    """The front end randomizes widgets called seed; a run is known by its seed."""
    start_quick_start(tab, steps=2, run_seed=7)
    until_idle(host)
    first = list(host.get("/history").values())[-1]
    tab.page.evaluate("app.queuePrompt(0)")
    tab.page.wait_for_timeout(500)
    until_idle(host)
    second = list(host.get("/history").values())[-1]
    assert first["prompt"][1] != second["prompt"][1]  # two queue items
    trainer = next(
        name for name, node in first["prompt"][2].items() if node["class_type"] == "ScoftTrainLora"
    )
    assert first["prompt"][2][trainer]["inputs"]["run_seed"] == 7
    assert first["prompt"][2] == second["prompt"][2]
    assert first["outputs"][trainer]["scoft"] == second["outputs"][trainer]["scoft"]


def test_choosing_a_preset_fills_the_widgets_and_loading_does_not(tab):
    tab.drop(PACK / "workflows" / "scoft_quick_start.json")
    tab.wait(f"{TRAINER} !== undefined")
    tab.page.wait_for_timeout(500)
    value = f"(name) => {TRAINER}.widgets.find((widget) => widget.name === name).value"
    assert tab.page.evaluate(value, "perceptual_weight") == 0.3
    tab.set("ScoftTrainLora", preset="authors-code")
    tab.wait(f"({value})('margin') === -1")
    assert tab.page.evaluate(value, "memorization_weight") == 0.3
    assert tab.page.evaluate(value, "augmentations") == 10
    assert tab.page.evaluate(value, "steps") == 300  # no preset names it


def test_a_graph_in_api_form_keeps_its_values(tab):
    """The front end sets its widgets one by one, as a person would; no preset may step in."""
    prompt = json.loads((PACK / "workflows" / "api" / "scoft_quick_start.json").read_text())
    trainer = next(node for node in prompt.values() if node["class_type"] == "ScoftTrainLora")
    trainer["inputs"]["preset"] = "ldm"
    tab.page.evaluate("(prompt) => app.loadApiJson(prompt, 'api')", prompt)
    tab.wait(f"{TRAINER} !== undefined")
    tab.page.wait_for_timeout(1500)
    loaded = tab.page.evaluate(
        f"Object.fromEntries({TRAINER}.widgets.map((widget) => [widget.name, widget.value]))"
    )
    values = {k: v for k, v in trainer["inputs"].items() if not isinstance(v, list)}
    assert {name: loaded[name] for name in values} == values


def test_it_runs_in_the_new_nodes_too(tab, host):
    skip_without_views(tab.page)
    tab.page.evaluate("app.extensionManager.setting.set('Comfy.VueNodes.Enabled', true)")
    try:
        tab.open()
        start_quick_start(tab, steps=30, run_seed=3)
        tab.wait(f"{STEP} >= 8")
        tab.show("ScoftTrainLora")
        assert tab.page.locator(".scoft-run svg path").count() >= 1
        trainer = tab.page.locator("[data-node-id]", has=tab.page.locator(".scoft-run"))
        assert trainer.count() == 1
        for picture in trainer.locator("img[src^='blob:']").all():
            assert not picture.is_visible()
        tab.look("new nodes")
        host.post("/interrupt", {})
        until_idle(host)
    finally:
        tab.page.evaluate("app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
