"""What the pack costs a running ComfyUI, on the miniature.

    python benchmarks/canvas.py [--comfyui ~/ComfyUI]

Starts ComfyUI with the pack on the CPU and prints: the seconds that loading the pack adds to its
start; how long `/queue` takes to answer while a training runs; how long an interrupt takes to end
one; and the resident size of the server after the second and after the tenth of ten trainings.
"""

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comfyui", help="a checkout (default: $COMFYUI_PATH or ~/ComfyUI)")
    asked = parser.parse_args()
    if asked.comfyui:
        os.environ["COMFYUI_PATH"] = asked.comfyui
    # Reads COMFYUI_PATH when it is imported.
    from running_host import graph, running_host, until

    def steps(host, count: int) -> bool:
        logs = (host.folder / "output/scoft/miniature-6/work/runs").glob("*/events.jsonl")
        return any(log.read_text().count('"event": "step"') >= count for log in logs)

    with (
        tempfile.TemporaryDirectory() as folder,
        running_host(Path(folder) / "comfyui") as host,
    ):
        version = host.get("/system_stats")["system"]["comfyui_version"]
        seconds = re.search(r"([\d.]+) seconds: .*custom_nodes/scoft", host.log)
        print(f"ComfyUI {version}, --cpu, {os.cpu_count()} cores")
        print(f"loading the pack: {seconds[1] if seconds else '?'} s of the start")

        began = host.queue(graph(host, steps=2000))
        until(lambda: steps(host, 5), host)
        answers = []
        for _ in range(100):
            before = time.perf_counter()
            host.get("/queue")
            answers.append(1000 * (time.perf_counter() - before))
            time.sleep(0.02)
        print(
            f"/queue while training: {statistics.median(answers):.1f} ms in the median of 100, "
            f"{max(answers):.1f} ms at most"
        )
        before = time.perf_counter()
        host.post("/interrupt", {})
        host.wait(began)
        print(f"interrupt: {time.perf_counter() - before:.2f} s until everything is saved")

        process = psutil.Process(host.process.pid)
        sizes = []
        for seed in range(1, 11):
            prompt = graph(host, steps=2)
            prompt["3"]["inputs"]["run_seed"] = seed
            host.wait(host.queue(prompt))
            sizes.append(process.memory_info().rss / 2**20)
        print(f"resident size: {sizes[1]:.0f} MiB after 2 trainings, {sizes[9]:.0f} after 10")


if __name__ == "__main__":
    main()
