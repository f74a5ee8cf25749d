"""Measure the review desk in a real browser over a stand-in server with many rows and real JPEGs.

Prints the time from the click to the first screen of painted pictures, frames while scrolling
through the whole set, and the page's memory.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "front_end"))

import stand_in

OPEN = """
async (dataset) => {
    const start = performance.now();
    await scoft.openGallery({ server, dataset });
    const seen = () => {
        const box = document.querySelector(".scoft-pictures").getBoundingClientRect();
        return [...document.querySelectorAll(".scoft-cell img")].filter((image) => {
            const { top, bottom } = image.getBoundingClientRect();
            return bottom > box.top && top < box.bottom;
        });
    };
    while (!seen().length) await new Promise(requestAnimationFrame);
    const grid = performance.now() - start;
    await Promise.all(seen().map((image) => image.decode()));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return { grid, pictures: performance.now() - start, seen: seen().length };
}
"""
SCROLL = """
async (seconds) => {
    const scroller = document.querySelector(".scoft-pictures");
    const end = scroller.scrollHeight - scroller.clientHeight;
    const deltas = [];
    let cells = 0;
    let last = performance.now();
    const start = last;
    while (last - start < seconds * 1000) {
        const now = await new Promise(requestAnimationFrame);
        deltas.push(now - last);
        last = now;
        scroller.scrollTop = (end * (now - start)) / (seconds * 1000);
        cells = Math.max(cells, document.querySelectorAll(".scoft-cell").length);
    }
    const atEnd = performance.now();
    scroller.scrollTop = end;
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const images = [...document.querySelectorAll(".scoft-cell img")].slice(-12);
    await Promise.all(images.map((image) => image.decode()));
    return { deltas: deltas.slice(1), cells, settled: performance.now() - atEnd };
}
"""


def jpegs(number: int) -> list[bytes]:
    """Return pictures of 256 pixels with as much in them as a photograph's thumbnail has."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(number):
        coarse = random.integers(0, 255, (24, 24, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((256, 192), Image.Resampling.BICUBIC)
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=88)
        made.append(data.getvalue())
    return made


class _Server(stand_in.StandIn):
    def __init__(self, pictures: int) -> None:
        self.jpegs = jpegs(200)
        super().__init__(pictures)

    def answer(self, path, body):
        """Answer pictures as the desk's server does: JPEGs that are made already."""
        parts = path.split("/")
        if "pictures" in parts:
            return 200, self.jpegs[int(parts[-1], 16) % len(self.jpegs)]
        return super().answer(path, body)


def measure(page, server, seconds: float) -> None:
    """Open the desk twice and scroll through it; print what was measured."""
    for turn in ("first", "second"):
        found = page.evaluate(OPEN, stand_in.DATASET)
        print(
            f"{turn} opening: grid after {found['grid']:.0f} ms, "
            f"{found['seen']} pictures painted after {found['pictures']:.0f} ms"
        )
        if turn == "first":
            page.evaluate("document.querySelector('dialog').close()")
    scrolled = page.evaluate(SCROLL, seconds)
    deltas = scrolled["deltas"]
    usual = statistics.median(deltas)
    dropped = sum(max(0, round(delta / usual) - 1) for delta in deltas)
    print(
        f"scrolling through all in {seconds:g} s: {len(deltas)} frames, median {usual:.1f} ms, "
        f"99th percentile {sorted(deltas)[int(len(deltas) * 0.99)]:.1f} ms, "
        f"longest {max(deltas):.1f} ms, {dropped} dropped"
    )
    print(f"last screen painted {scrolled['settled']:.0f} ms after the end was reached")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    metrics = {
        one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]
    }
    print(
        f"cards in the page: {scrolled['cells']} at most; JS heap "
        f"{metrics['JSHeapUsedSize'] / 2**20:.1f} MiB; DOM nodes {metrics['Nodes']:.0f}"
    )
    size = len(json.dumps(server.answer(f"/scoft/datasets/{stand_in.DATASET}", None)[1]))
    print(f"the dataset's JSON: {size / 2**20:.2f} MiB")


def main() -> None:
    """Measure a set of the size asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20, help="for scrolling through all")
    options = parser.parse_args()
    server = _Server(options.pictures)
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = running.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(f"{server.url}/page.html?theme=dark")
        page.wait_for_function("window.ready")
        print(
            f"Chromium {running.version}, {options.pictures} pictures, {time.strftime('%Y-%m-%d')}"
        )
        measure(page, server, options.seconds)
        running.close()
    server.close()


if __name__ == "__main__":
    main()
