"""A grid's scores over HTTP: told by id, with the report as a page that may do nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from made_scores import made_scores

from scoft_training.score_records import METRICS_FILE, write_scores

pytest.importorskip("aiohttp.web", reason="aiohttp, ComfyUI's own requirement, is missing")

# The stand-in for the host needs a process of its own.
_ASK = """
import asyncio, json, sys
from pathlib import Path
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from review_server import load_routes

grid, *paths = sys.argv[1:]
_, live, table = load_routes(Path(grid), Path(grid))

async def main():
    app = web.Application()
    app.add_routes(table)
    name = live.open_grid(Path(grid))
    async with TestClient(TestServer(app)) as client:
        for path in paths:
            answer = await client.get("/scoft/grids/" + path.replace("GRID", name))
            policy = answer.headers.get("Content-Security-Policy", "")
            print(json.dumps([answer.status, await answer.text(), policy]))

asyncio.run(main())
"""


def ask(grid, *paths):
    """Return (status, text, content security policy) for each path; GRID stands for the id."""
    command = [sys.executable, "-c", _ASK, str(grid), *paths]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def grid(tmp_path):
    folder = tmp_path / "grid"
    folder.mkdir()
    write_scores(folder / METRICS_FILE, made_scores())
    (folder / "report.html").write_text("<h1>Models</h1>", encoding="utf-8")
    return folder


def test_scores_are_told_by_id_beside_the_baseline_that_is_asked_for(grid):
    own, other, wrong, report = ask(
        grid, "GRID", "GRID?baseline=step%20100", "GRID?baseline=gone", "GRID/report"
    )
    seen = json.loads(own[1])
    assert (own[0], seen["baseline"], len(seen["models"])) == (200, "base", 5)
    assert len(seen["grid"]) == 16
    assert json.loads(other[1])["baseline"] == "step 100"
    assert wrong[0] == 400
    assert "Unknown model 'gone'" in json.loads(wrong[1])["error"]
    assert report[:2] == [200, "<h1>Models</h1>"]
    # Captions and models' names in it are other people's text.
    assert report[2].startswith("sandbox; default-src 'none'")


def test_what_is_not_there_is_a_sentence_without_a_path(grid):
    for name in (METRICS_FILE, "report.html"):
        (grid / name).unlink()
    answers = ask(grid, "GRID", "GRID/report", "0123456789abcdef", "..%2F..", "GRID/metrics.json")
    assert [status for status, *_ in answers] == [404] * 5
    assert "no scores of this grid any more" in answers[0][1]
    assert "no report on this grid yet" in answers[1][1]
    assert "has not measured that grid" in answers[2][1]
    assert not [text for _, text, _ in answers if str(grid) in text]
