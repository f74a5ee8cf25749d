"""The review desk's routes over HTTP, without a host; and what a kill of the server leaves."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from random_stack import draw_demo_dataset

from scoft_training.overlays import OVERLAYS, read_overlays, read_statements

SERVER = Path(__file__).with_name("review_server.py")


class Desk:
    """A server in a process of its own, and the way to ask it."""

    def __init__(self, folder):
        command = [sys.executable, str(SERVER), str(folder / "aruna"), str(folder / "work")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        port, self.name = self.process.stdout.readline().split()
        self.port = int(port)

    def ask(self, path, body=None, kind="application/json"):
        """Return status, headers and bytes of an address below the dataset's."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            headers = {} if body is None else {"Content-Type": kind}
            method = "GET" if body is None else "POST"
            connection.request(method, f"/scoft/datasets/{self.name}{path}", data, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def told(self, path="", body=None, **options):
        status, _, data = self.ask(path, body, **options)
        return status, json.loads(data)

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    draw_demo_dataset(folder / "aruna", num_pictures=6, negatives=0)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"


@pytest.fixture
def desk(folder):
    found = Desk(folder)
    yield found
    found.kill()


@pytest.fixture(scope="module")
def untouched(made, tmp_path_factory):
    """A server whose set nobody decides on, with its folder."""
    folder = tmp_path_factory.mktemp("untouched") / "made"
    shutil.copytree(made, folder)
    found = Desk(folder)
    yield found, folder
    found.kill()


def test_a_row_is_changed_told_and_restored(desk, folder):
    _, seen = desk.told()
    row = seen["rows"][0]
    body = {"changes": {"include": False, "era": "modern"}, "by": " Kim ", "why": "not ours"}
    status, answer = desk.told(f"/rows/{row['sha256']}", body)
    assert status == 200
    assert (answer["row"]["by"], answer["row"]["why"]) == ("Kim", "not ours")
    assert desk.told()[1]["rows"][0] == answer["row"]
    assert desk.told(f"/rows/{row['sha256']}", {"changes": answer["before"]})[1]["row"] == row
    _, history = desk.told(f"/rows/{row['sha256']}/history")
    assert [one["changes"] for one in history["statements"]] == [
        {"era": "modern", "include": False},
        {"era": None, "include": None},
    ]


def test_measuring_answers_with_the_set_anew(desk):
    status, seen = desk.told("/measure", {})
    assert status == 200
    assert seen == desk.told()[1]


def test_pictures_may_be_kept_by_the_browser(desk):
    sha256 = desk.told()[1]["rows"][0]["sha256"]
    status, headers, data = desk.ask(f"/pictures/{sha256}?size=100")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert "immutable" in headers["Cache-Control"]
    assert "private" in headers["Cache-Control"]
    with Image.open(io.BytesIO(data)) as picture:
        assert max(picture.size) == 128


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/rows/{sha}", {"changes": {"era": "old"}}, 400, "Unknown era 'old'"),
        ("/rows/{sha}", {"changes": {}}, 400, "`changes` is empty"),
        ("/rows/{sha}", {"changes": []}, 400, '"changes" (dict)'),
        ("/rows/{sha}", {"changes": {"include": True}, "by": 3}, 400, '"by" (str)'),
        ("/rows/{sha}", [], 400, "Send a JSON object"),
        ("/rows/{sha}", {"changes": {"caption": "x" * 1_000_001}}, 400, "shorten it"),
        ("/rows/0000", {"changes": {"include": True}}, 400, "There is no picture '0000'"),
        ("/negatives/none/x/y", {"kept": "no"}, 400, '"kept" (bool or null)'),
    ],
)
def test_what_a_page_makes_up_gets_a_sentence(untouched, path, body, status, sentence):
    desk, folder = untouched
    sha256 = desk.told()[1]["rows"][0]["sha256"]
    found, answer = desk.told(path.format(sha=sha256), body)
    assert found == status
    assert sentence in answer["error"]
    assert not (folder / "work" / OVERLAYS).exists()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_what_another_sites_page_could_send_is_refused(untouched, kind):
    """A browser asks before it sends JSON to another site, and never before it sends these."""
    desk, folder = untouched
    sha256 = desk.told()[1]["rows"][0]["sha256"]
    status, answer = desk.told(f"/rows/{sha256}", {"changes": {"include": False}}, kind=kind)
    assert status == 415
    assert "application/json" in answer["error"]
    assert not (folder / "work" / OVERLAYS).exists()


def decide_until_killed(desk, rows, trial, delay):
    """Post decisions one after the other from two threads; returns those that were acknowledged."""
    acknowledged, sent = [], []

    def post(worker):
        for number in range(10_000):
            why = f"trial {trial}, worker {worker}, number {number}"
            body = {"changes": {"include": bool(number % 2)}, "by": f"w{worker}", "why": why}
            sent.append(why)
            sha256 = rows[(number + worker) % len(rows)]["sha256"]
            try:
                status, _ = desk.told(f"/rows/{sha256}", body)
                desk.ask(f"/pictures/{sha256}?size={(128, 256)[number % 2]}")
            except (OSError, http.client.HTTPException, ValueError):
                return
            assert status == 200
            acknowledged.append(why)

    workers = [threading.Thread(target=post, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    time.sleep(delay)
    desk.kill()
    for worker in workers:
        worker.join()
    return acknowledged, sent


@pytest.mark.slow
def test_a_killed_server_has_kept_every_decision_that_it_acknowledged_once(folder):
    chance = random.Random(20)
    acknowledged, sent = [], []
    for trial in range(6):
        desk = Desk(folder)
        _, seen = desk.told()
        told, posted = decide_until_killed(desk, seen["rows"], trial, chance.uniform(0.05, 0.7))
        acknowledged += told
        sent += posted
        kept = [one.why for one in read_statements(folder / "work")]
        assert len(kept) == len(set(kept))
        assert set(acknowledged) <= set(kept) <= set(sent)
    assert len(acknowledged) > 20
    for path in (folder / "work" / "thumbnails").rglob("*.jpg"):
        with Image.open(path) as picture:
            picture.load()
    desk = Desk(folder)
    shown = {row["sha256"]: row["included"] for row in desk.told()[1]["rows"]}
    desk.ask(f"/pictures/{next(iter(shown))}?size=128")
    desk.kill()
    held = read_overlays(folder / "work")
    assert all(held[sha256].include is included for sha256, included in shown.items())
    assert not list((folder / "work" / "thumbnails").rglob("*.writing-*"))
