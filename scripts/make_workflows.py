"""Makes workflows/: each example as the front end saves it, as it queues it, and as a picture.

With ComfyUI running, this pack in its custom_nodes, and playwright with a Chromium at hand:

    python main.py --cpu --port 8188                                  # in ComfyUI's folder
    python scripts/make_workflows.py --host 127.0.0.1:8188            # all files
    python scripts/make_workflows.py --only scoft_apply_lora --chromium /usr/bin/chromium

What runs without a download is run, so that its picture shows what comes out: the quick start takes
minutes, the three gradient steps take three times as long. `--no-run` shows the graphs as loaded.
Where model files that a graph names are missing, its picture shows red frames: empty files of these
names are enough. The graphs themselves stand in `workflow_graphs/`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from workflow_graphs import DOWNLOADS, GRAPHS, Graph

FOLDER = Path(__file__).parents[1] / "workflows"
VIEW = {"width": 1800, "height": 1000}
PICTURE_WIDTH = 900

_BUILD = """
async ({groups, downloads}) => {
  const app = window.app, graph = app.graph, made = new Map();
  const GAP = 40, TITLE = 30, PADDING = 24, HEAD = 60;
  graph.clear();
  for (const {columns} of groups) for (const column of columns) for (const spec of column) {
    const node = LiteGraph.createNode(spec.kind);
    if (!node) throw new Error(`no node ${spec.kind}`);
    node.id = spec.number;
    if (spec.title) node.title = spec.title;
    graph.add(node);
    made.set(spec.number, node);
    for (const [name, value] of Object.entries(spec.inputs)) {
      if (Array.isArray(value)) continue;
      const widget = name ? node.widgets?.find((one) => one.name === name) : node.widgets?.[0];
      if (!widget) throw new Error(`${spec.kind} has no widget ${name}`);
      widget.value = value;
      if (downloads[value]) {
        const [url, directory] = downloads[value];
        node.properties.models = [{name: value, url, directory}];
      }
    }
  }
  for (const {columns} of groups) for (const column of columns) for (const spec of column) {
    const node = made.get(spec.number);
    for (const [name, value] of Object.entries(spec.inputs)) {
      if (!Array.isArray(value)) continue;
      const slot = node.inputs.findIndex((one) => one.name === name);
      if (slot < 0) throw new Error(`${spec.kind} has no input ${name}`);
      if (!made.get(value[0]).connect(value[1], node, slot)) {
        throw new Error(`${spec.kind}.${name} takes no ${value}`);
      }
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  let x = 0;
  for (const {title, columns, spare} of groups) {
    const left = x;
    let bottom = 0;
    for (const column of columns) {
      let y = HEAD, width = 0;
      for (const spec of column) {
        const node = made.get(spec.number), [least, height] = node.computeSize();
        const [wanted, atLeast] = spec.size ?? [0, 0];
        node.pos = [x, y + TITLE];
        node.setSize([Math.max(least, wanted), Math.max(height, atLeast) + spec.room]);
        y += TITLE + node.size[1] + GAP;
        width = Math.max(width, node.size[0]);
      }
      bottom = Math.max(bottom, y - GAP);
      x += width + GAP;
    }
    const frame = new LiteGraph.LGraphGroup(title);
    frame.pos = [left - PADDING, 0];
    frame.size = [x - GAP - left + 2 * PADDING, bottom + spare + PADDING];
    graph.add(frame);
    x += 2 * PADDING;
  }
  const {workflow, output} = await app.graphToPrompt();
  return {workflow, output};
}
"""

_FIT = """
async () => {
  const {canvas, graph} = window.app, MARGIN = 30;
  const boxes = [...graph.groups].map((one) => [...one.pos, ...one.size]);
  for (const node of graph.nodes) boxes.push([...node.pos, ...node.size]);
  const left = Math.min(...boxes.map(([x]) => x)) - MARGIN;
  const top = Math.min(...boxes.map(([, y]) => y)) - MARGIN;
  const right = Math.max(...boxes.map(([x, , width]) => x + width)) + MARGIN;
  const bottom = Math.max(...boxes.map(([, y, , height]) => y + height)) + MARGIN;
  const view = canvas.canvas.getBoundingClientRect();
  const scale = Math.min(view.width / (right - left), view.height / (bottom - top));
  canvas.ds.scale = scale;
  canvas.ds.offset = [-left, -top];
  canvas.show_info = false;
  canvas.setDirty(true, true);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  return {
    x: view.x, y: view.y, width: (right - left) * scale, height: (bottom - top) * scale,
  };
}
"""

_HIDDEN = ".graph-canvas-panel > *, .z-9999 { display: none !important; }"
"""The front end's own controls, which lie over the canvas."""


def build(page: Page, graph: Graph) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a graph as the front end saves it and as it queues it."""
    found = page.evaluate(
        _BUILD, {"groups": [asdict(group) for group in graph.groups], "downloads": DOWNLOADS}
    )
    return _without_the_machine(found["workflow"], graph), found["output"]


def _without_the_machine(workflow: dict[str, Any], graph: Graph) -> dict[str, Any]:
    """Leave out what changes from one making to the next."""
    workflow["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"scoft/workflows/{graph.name}"))
    workflow["extra"] = {}
    for node in workflow["nodes"]:
        node["properties"].pop("ver", None)
        node["size"] = [round(side) for side in node["size"]]
        node["outputs"] = [_stated(slot) for slot in node["outputs"]]
        node["inputs"] = [{**_stated(slot), "link": slot["link"]} for slot in node["inputs"]]
        if node.get("showAdvanced") is None:
            node.pop("showAdvanced", None)
    return _stated(workflow)


def _stated(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None}


def open_page(page: Page, host: str) -> None:
    """Load the front end, without its panels."""
    page.goto(f"http://{host}/")
    page.wait_for_function("window.app?.graph && window.app.extensionManager", timeout=120_000)
    page.wait_for_timeout(3000)
    page.keyboard.press("Escape")
    page.evaluate("window.app.extensionManager.command.execute('Workspace.ToggleFocusMode')")
    page.add_style_tag(content=_HIDDEN)


def run(page: Page) -> None:
    """Queue what is loaded, and wait for its end.

    Raises:
        RuntimeError: the host refused or broke it off.
    """
    page.evaluate("window.app.queuePrompt(0, 1)")
    page.wait_for_timeout(2000)
    while True:
        queue = page.evaluate("fetch('/queue').then((answer) => answer.json())")
        if not queue["queue_running"] and not queue["queue_pending"]:
            break
        time.sleep(2)
    history = page.evaluate("fetch('/history?max_items=1').then((answer) => answer.json())")
    (last,) = history.values()
    if last["status"]["status_str"] != "success":
        raise RuntimeError(json.dumps(last["status"], indent=1)[-3000:])
    page.wait_for_timeout(3000)


def photograph(page: Page) -> Image.Image:
    """Return what the page shows of the whole graph."""
    shown = page.evaluate(_FIT)
    picture = Image.open(BytesIO(page.screenshot(clip=shown))).convert("RGB")
    return picture.resize(
        (PICTURE_WIDTH, round(picture.height * PICTURE_WIDTH / picture.width)),
        Image.Resampling.LANCZOS,
    )


def make(page: Page, host: str, graph: Graph, *, runs: bool) -> None:
    """Write a graph's three files."""
    # A fresh page: the front end remembers widgets by node number, past a graph's end.
    open_page(page, host)
    workflow, output = build(page, graph)
    files = {FOLDER / f"{graph.name}.json": workflow, FOLDER / "api" / f"{graph.name}.json": output}
    for path, value in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    open_page(page, host)
    page.evaluate("(workflow) => window.app.loadGraphData(workflow)", workflow)
    page.wait_for_timeout(2000)
    page.keyboard.press("Escape")
    if runs and graph.runs:
        run(page)
    photograph(page).save(FOLDER / f"{graph.name}.jpg", quality=82, optimize=True)


def main() -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1:8188")
    parser.add_argument("--only", choices=[graph.name for graph in GRAPHS], action="append")
    parser.add_argument("--no-run", action="store_true", help="show graphs as loaded")
    parser.add_argument("--chromium", help="a browser in place of playwright's own")
    asked = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=asked.chromium, args=["--no-sandbox"] if asked.chromium else []
        )
        page = browser.new_page(viewport=VIEW, device_scale_factor=2)
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: print(f"page: {error}", file=sys.stderr))
        for graph in GRAPHS:
            if not asked.only or graph.name in asked.only:
                make(page, asked.host, graph, runs=not asked.no_run)
                print(graph.name)
        browser.close()


if __name__ == "__main__":
    main()
