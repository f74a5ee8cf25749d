"""The front end in a real ComfyUI's page, with both of its node renderers."""

from __future__ import annotations

import pytest
from drawings import drawing, write_set
from running_host import running_host

pytestmark = [pytest.mark.host, pytest.mark.slow]

BUILD = """
async (kinds) => {
    for (const node of [...app.graph.nodes]) app.graph.remove(node);
    kinds.forEach((kind, index) => {
        const node = LiteGraph.createNode(kind);
        node.pos = [40 + 460 * index, 120];
        app.graph.add(node);
    });
    // As saved and opened again.
    await app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())));
    Object.assign(app.canvas.ds, { scale: 0.5, offset: [200, 200] });
    app.canvas.setDirty(true, true);
}
"""
KINDS = [
    "ScoftLoadDataset",
    "ScoftDrawNegatives",
    "ScoftTrainLora",
    "ScoftDatasetReport",
    "ScoftMetrics",
    "ScoftCompareModels",
]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comfyui")
    write_set(folder / "input" / "avelun", [drawing(seed) for seed in range(3)])
    with running_host(folder) as running:
        # The first page of a new host is covered by a choice of templates.
        running.post("/settings", {"Comfy.TutorialCompleted": True})
        yield running


@pytest.fixture(params=[False, True], ids=["classic nodes", "Vue nodes"])
def host_page(browser, host, request):
    opened = browser.new_page(viewport={"width": 1600, "height": 1400})
    opened.faults = []
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.goto(host.url)
    opened.wait_for_function("!!window.LiteGraph?.registered_node_types?.ScoftTrainLora")
    opened.wait_for_function("!!window.app?.extensionManager && !!window.app.canvas")
    opened.evaluate(
        "(vue) => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)", request.param
    )
    opened.evaluate(BUILD, KINDS)
    yield opened
    opened.close()


def test_the_views_are_on_their_nodes_and_in_no_prompt_and_no_saved_value(host_page, host):
    host_page.get_by_text("No run yet").wait_for()
    host_page.get_by_role("button", name="Review pictures").wait_for()
    assert host_page.get_by_role("button", name="Review pictures").is_enabled()
    assert host_page.get_by_role("button", name="Review negatives").is_disabled()
    queued = host_page.evaluate("app.graphToPrompt()")
    for node in queued["output"].values():
        assert not [name for name in node["inputs"] if name.startswith("scoft_")]
    saved = {node["type"]: node["widgets_values"] for node in queued["workflow"]["nodes"]}
    for kind in KINDS[1:]:
        # Every widget has a default; the loader's list of folders has none.
        assert len(saved[kind]) == len(host.defaults(kind))
    assert host_page.faults == []


def test_the_desk_opens_and_closes_by_keyboard_and_gives_the_focus_back(host_page):
    review = host_page.get_by_role("button", name="Review pictures")
    review.focus()
    host_page.keyboard.press("Enter")
    host_page.wait_for_function("document.activeElement.className === 'scoft-cell'")
    assert host_page.locator(".scoft-cell").count() == 3
    # The canvas has shortcuts of its own, which must not hear these.
    host_page.keyboard.press("Delete")
    host_page.keyboard.press("Escape")
    host_page.locator("dialog.scoft-gallery").wait_for(state="detached")
    assert review.evaluate("(one) => one === document.activeElement")
    assert host_page.evaluate("app.graph.nodes.length") == len(KINDS)
    reports = host_page.get_by_role("button", name="Open report")
    assert [reports.nth(place).is_disabled() for place in range(3)] == [True] * 3
    assert host_page.faults == []


def test_a_view_leaves_with_its_node(host_page):
    host_page.get_by_text("No run yet").wait_for()
    host_page.evaluate(
        "() => app.graph.remove(app.graph.nodes.find((node) => node.type === 'ScoftTrainLora'))"
    )
    host_page.get_by_text("No run yet").wait_for(state="detached")
    assert host_page.faults == []


def test_choosing_a_preset_asks_the_server_for_its_values(host_page):
    chosen = """
    async () => {
        const node = app.graph.nodes.find((one) => one.type === "ScoftTrainLora");
        const of = (name) => node.widgets.find((widget) => widget.name === name);
        const values = () => [of("optimizer").value, of("margin").value];
        const before = values();
        of("preset").value = "authors-code";
        of("preset").callback("authors-code");
        for (let turn = 0; turn < 100 && values()[0] === before[0]; turn += 1) {
            await new Promise((done) => setTimeout(done, 50));
        }
        return [before, values()];
    }
    """
    assert host_page.evaluate(chosen) == [["adam", 0.2], ["adamw", -1]]
