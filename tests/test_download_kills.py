"""Downloads that are killed at many moments and started again, and what they hold in memory."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from bad_server import BadServer
from test_downloads import write_table

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

ROWS = 40


def command(server, table, folder, *words):
    flags = ["--trust-host", server.host, "--host-delay", "0", "--retry-delay", "0"]
    return [
        *(sys.executable, "-m", "scoft_training", "dataset", "download"),
        *(str(table), str(folder), *flags, *words),
    ]


def links(server):
    """Forty rows: pictures, a placeholder, repeats, dead and moved ones."""
    paths = [f"good/{number}" for number in range(ROWS - 9)]
    paths += [f"same/none/{number}" for number in range(3)]
    paths += ["same/two/1", "same/two/2", "gone/404", "to/301/good/far", "tiny/t", "html"]
    return [server.url(path) for path in paths]


def finish(server, table, folder):
    done = subprocess.run(command(server, table, folder), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def state(folder):
    """Return all files, the dates of the lock taken out."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    records = [json.loads(line) for line in files.pop("downloads.jsonl").splitlines()]
    return files, [{k: v for k, v in one.items() if k != "at"} for one in records]


def recorded(folder):
    """Return the links whose lines in the lock are complete, as a killed process left it."""
    lock = folder / "downloads.jsonl"
    lines = lock.read_bytes().split(b"\n")[:-1] if lock.exists() else []
    return [json.loads(line)["link"] for line in lines]


def kill_after(server, table, folder, requests):
    """Start, and kill -9 once the server has seen so many more requests; returns if it lived."""
    goal = len(server.requests) + requests
    process = subprocess.Popen(
        command(server, table, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and len(server.requests) < goal:
        time.sleep(0.001)
    alive = process.poll() is None
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def test_killed_at_many_moments_nothing_is_fetched_twice_or_lost(tmp_path):
    with BadServer(delay=0.01) as server:
        table = write_table(tmp_path / "links.csv", links(server))
        finish(server, table, tmp_path / "undisturbed")
        wanted = state(tmp_path / "undisturbed")
        folder, kills = tmp_path / "killed", 0
        for requests in (1, 2, 5, 3, 9, 4, 7, 2, 6):
            before, begun = recorded(folder), len(server.requests)
            kills += kill_after(server, table, folder, requests)
            asked = {server.url(path.lstrip("/")) for path in server.requests[begun:]}
            assert not asked & set(before)
        assert kills >= 6
        before, begun = recorded(folder), len(server.requests)
        finish(server, table, folder)
        asked = {server.url(path.lstrip("/")) for path in server.requests[begun:]}
        assert not asked & set(before)
        assert state(folder) == wanted
        begun = len(server.requests)
        finish(server, table, folder)
        assert len(server.requests) == begun


MEASURE = """
import resource, sys
from scoft_training.cli import main
status = main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
sys.exit(status)
"""


def peak_mebibytes(server, table, folder, *words):
    line = command(server, table, folder, *words)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *line[3:]], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rpartition("peak ")[2]), done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read in Linux' units")
def test_an_endless_body_is_cut_at_its_bound_and_held_in_no_memory(tmp_path):
    with BadServer() as server:
        small = write_table(tmp_path / "small.csv", [server.url("good/a")])
        endless = write_table(tmp_path / "endless.csv", [server.url("endless")])
        plain, _ = peak_mebibytes(server, small, tmp_path / "small")
        peak, text = peak_mebibytes(server, endless, tmp_path / "endless", "--max-megabytes", "200")
    assert "too_large" in text
    # 200 MB went over the wire.
    assert peak - plain < 40
    assert not [path for path in (tmp_path / "endless").rglob("*") if "writing" in path.name]
