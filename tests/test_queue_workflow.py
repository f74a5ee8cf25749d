"""The client without a browser, before a stand-in for the server and before a real one."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

web = pytest.importorskip("aiohttp.web", reason="aiohttp, ComfyUI's own requirement, is missing")

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "queue_workflow.py"
GRAPH = {
    "1": {"class_type": "Loader", "inputs": {"pictures": 6, "fast": True}},
    "4": {
        "class_type": "Trainer",
        "inputs": {"steps": 300, "guidance_scale": 3, "name": "a", "model": ["1", 0]},
        "_meta": {"title": "My training"},
    },
}
DECLARED = {
    "Loader": {"required": {"pictures": ["INT", {}], "fast": ["BOOLEAN", {}]}},
    "Trainer": {
        "required": {"model": ["MODEL"], "steps": ["INT", {}], "guidance_scale": ["FLOAT", {}]},
        "optional": {"name": ["STRING", {}], "note": ["STRING", {}], "kind": [["a", "b"], {}]},
    },
}


class StandIn:
    """A server that plays one scene; runs in a thread of its own.

    Attributes:
        scene: coroutine function (stand-in, prompt id) that tells the client what happens.
        answer: what POST /prompt answers, with its status; the id is added.
    """

    def __init__(self):
        self.scene = None
        self.answer = (200, {"node_errors": {}})
        self.posted, self.sockets = [], []
        self.history, self.running, self.files = {}, [], {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _serve(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()

    async def _start(self):
        app = web.Application()
        app.router.add_get("/ws", self._ws)
        app.router.add_get("/object_info/{kind}", self._info)
        app.router.add_get("/history/{id}", self._history)
        app.router.add_get("/queue", self._queue)
        app.router.add_get("/view", self._view)
        for path in ("/prompt", "/queue", "/interrupt"):
            app.router.add_post(path, self._post)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.host = f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"

    def close(self):
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _ws(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for _ in socket:
            pass
        return socket

    async def _info(self, request):
        kind = request.match_info["kind"]
        return web.json_response({kind: {"input": DECLARED[kind]}})

    async def _history(self, request):
        found = self.history.get(request.match_info["id"])
        return web.json_response({request.match_info["id"]: found} if found else {})

    async def _queue(self, request):
        return web.json_response({"queue_running": self.running, "queue_pending": []})

    async def _view(self, request):
        return web.Response(body=self.files[request.query["filename"]])

    async def _post(self, request):
        body = await request.json()
        self.posted.append((request.path, body))
        if request.path != "/prompt":
            return web.Response()
        status, told = self.answer
        if status == 200:
            self.running = [[0, body["prompt_id"]]]
            if self.scene:
                self._task = asyncio.ensure_future(self.scene(self, body["prompt_id"]))
            told = told | {"prompt_id": body["prompt_id"]}
        return web.json_response(told, status=status)

    async def tell(self, kind, **data):
        await self.sockets[-1].send_str(json.dumps({"type": kind, "data": data}))

    async def end(self, prompt, outputs=None, messages=()):
        self.running = []
        status = {"status_str": "success", "messages": list(messages)}
        self.history[prompt] = {"outputs": outputs or {}, "status": status}
        if not messages:
            await self.tell("execution_success", prompt_id=prompt)


@pytest.fixture
def server():
    started = StandIn()
    yield started
    started.close()


@pytest.fixture
def workflow(tmp_path):
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(GRAPH))
    return path


def queue(path, host, *flags, timeout=60):
    command = [sys.executable, SCRIPT, path, "--host", host, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


async def ends(server, prompt):
    await server.end(prompt)


def sent(server):
    return [body for path, body in server.posted if path == "/prompt"]


def test_settings_change_inputs_and_keep_their_types(server, workflow):
    server.scene = ends
    flags = ["4.steps=50", "4.guidance_scale=4.5", "1.fast=false", "4.name=12", "4.note=x=y"]
    done = queue(workflow, server.host, *(part for flag in flags for part in ("--set", flag)))
    assert done.returncode == 0, done.stderr
    inputs = sent(server)[0]["prompt"]["4"]["inputs"]
    assert inputs == {
        "steps": 50,
        "guidance_scale": 4.5,
        "name": "12",
        "model": ["1", 0],
        "note": "x=y",
    }
    assert sent(server)[0]["prompt"]["1"]["inputs"] == {"pictures": 6, "fast": False}


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("4.stepz=1", "there is no input 'stepz'. Did you mean 'steps'?"),
        ("5.steps=1", "there is no node '5'"),
        ("4.steps=many", "write a whole number"),
        ("4.steps=1.5", "write a whole number"),
        ("4.guidance_scale=much", "write a number"),
        ("1.fast=perhaps", "write true or false"),
        ("4.model=x", "that input is connected to node 1"),
        ("steps=1", "write NODE.INPUT=VALUE"),
    ],
)
def test_a_wrong_setting_is_told_and_nothing_is_queued(server, workflow, setting, sentence):
    done = queue(workflow, server.host, "--set", setting)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not server.posted


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"nodes": [], "links": []}', 'choose "Export (API)"'),
        ('{"1": {"inputs": {}}}', "is not a workflow in the API form"),
        ("[1]", "is not a workflow in the API form"),
        ("{", "is not JSON"),
        (None, "cannot be read"),
    ],
)
def test_a_file_of_another_form_is_refused_in_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "graph.json"
    if content is not None:
        path.write_text(content)
    done = queue(path, "127.0.0.1:9")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


async def tells_before_it_writes(server, prompt):
    await server.tell("execution_success", prompt_id=prompt)
    await asyncio.sleep(0.5)
    await server.end(prompt, {"4": {"text": ["all done"]}})


def test_results_are_waited_for_since_the_server_tells_of_the_end_first(server, workflow):
    server.scene = tells_before_it_writes
    done = queue(workflow, server.host)
    assert done.returncode == 0, done.stderr
    assert "all done" in done.stdout


def test_nobody_there_is_told(workflow):
    done = queue(workflow, "127.0.0.1:9")
    assert done.returncode == 2
    assert "no answer from ComfyUI" in done.stderr


PROBLEM = {
    "4": {
        "class_type": "Trainer",
        "errors": [
            {
                "type": "value_not_in_list",
                "message": "Value not in list",
                "details": "kind: 'c' not in ['a', 'b']",
                "extra_info": {"input_name": "kind"},
            }
        ],
    }
}


@pytest.mark.parametrize("status", [400, 200])
def test_what_the_server_refuses_is_told_by_node_and_input(server, workflow, status):
    """With status 200 it runs the outputs that are in order: the run is taken back."""
    server.answer = (status, {"error": {"message": "no"}, "node_errors": PROBLEM})
    done = queue(workflow, server.host)
    assert done.returncode == 2
    line = "node 4 (My training), kind: Value not in list. kind: 'c' not in ['a', 'b']"
    assert line in done.stderr
    prompt = sent(server)[0]["prompt_id"]
    assert ("/queue", {"delete": [prompt]}) in server.posted
    assert ("/interrupt", {"prompt_id": prompt}) in server.posted


def test_a_class_that_the_server_lacks_is_told(server, workflow):
    error = {"message": "Node 'X' not found.", "details": "Node ID '#4'"}
    server.answer = (400, {"error": error, "node_errors": {}})
    done = queue(workflow, server.host)
    assert done.returncode == 2
    assert done.stderr == "Node 'X' not found. Node ID '#4'\n"


async def full_scene(server, prompt):
    await server.tell("executing", prompt_id=prompt, node="1")
    await server.tell("progress", prompt_id=prompt, node="4", value=1, max=4)
    await server.tell("progress", prompt_id="another", node="4", value=3, max=4)
    await server.tell("scoft.event", node="4", event="phase", phase="depth", done=6, total=6)
    await server.tell("progress", prompt_id=prompt, node="4", value=110, max=400)
    losses = {"ldm": 0.25, "contrastive": 0.5}
    await server.tell("scoft.event", node="4", event="step", step=10, steps=300, losses=losses)
    await server.tell("scoft.event", node="4", event="warning", message="Look.")
    picture = {"filename": "a.png", "subfolder": "", "type": "temp"}
    outputs = {"4": {"images": [picture, picture], "text": ["Saved it."], "scoft": [{"run": "1"}]}}
    await server.end(prompt, outputs)


def test_a_run_is_followed_and_what_it_made_fetched_without_overwriting(server, workflow, tmp_path):
    server.scene = full_scene
    server.files = {"a.png": b"picture"}
    out = tmp_path / "results"
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    done = queue(workflow, server.host, "--out", str(out))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("My training: 20 %") == 1
    assert "My training: 70 %" not in lines
    assert "My training: depth 6/6" in lines
    assert "My training: step 10/300, ldm 0.25, contrastive 0.5" in lines
    assert "My training: Look." in lines
    assert "My training: Saved it." in lines
    contents = {path.name: path.read_bytes() for path in out.iterdir()}
    assert contents == {"a.png": b"mine", "a_2.png": b"picture", "a_3.png": b"picture"}


def test_a_name_that_leaves_the_folder_stays_in_it(server, workflow, tmp_path):
    async def scene(server, prompt):
        picture = {"filename": "../../escaped.png", "subfolder": "", "type": "output"}
        await server.end(prompt, {"4": {"images": [picture]}})

    server.scene = scene
    server.files = {"../../escaped.png": b"x"}
    out = tmp_path / "deep" / "results"
    assert queue(workflow, server.host, "--out", str(out)).returncode == 0
    assert [path.name for path in tmp_path.rglob("escaped.png")] == ["escaped.png"]
    assert (out / "escaped.png").is_file()


def test_a_failing_node_is_named(server, workflow):
    async def scene(server, prompt):
        told = {"node_id": "4", "exception_message": "No room.", "exception_type": "X"}
        await server.tell("execution_error", prompt_id=prompt, **told)

    server.scene = scene
    done = queue(workflow, server.host)
    assert done.returncode == 1
    assert done.stderr == "node 4 (My training): No room.\n"


def test_an_interrupt_by_someone_else_is_a_failure(server, workflow):
    async def scene(server, prompt):
        await server.tell("execution_interrupted", prompt_id=prompt, node_id="4")

    server.scene = scene
    assert queue(workflow, server.host).returncode == 1


def test_a_lost_connection_is_taken_up_again(server, workflow):
    async def scene(server, prompt):
        await server.sockets[0].close()
        while len(server.sockets) < 2:
            await asyncio.sleep(0.05)
        # The client asks whether the run has ended before it listens on.
        await asyncio.sleep(0.5)
        await server.end(prompt, {"4": {"text": ["Later."]}})

    server.scene = scene
    done = queue(workflow, server.host)
    assert done.returncode == 0, done.stderr
    assert "The connection was lost" in done.stdout
    assert "My training: Later." in done.stdout


@pytest.mark.parametrize("failed", [False, True])
def test_a_run_that_ended_while_nobody_listened_is_found(server, workflow, failed):
    async def scene(server, prompt):
        data = {"node_id": "4", "exception_message": "No room."}
        await server.end(
            prompt, {}, [["execution_error", data]] if failed else [["execution_success", {}]]
        )
        await server.sockets[0].close()

    server.scene = scene
    done = queue(workflow, server.host)
    assert done.returncode == int(failed)
    assert ("No room." in done.stderr) is failed


def test_a_server_that_was_started_anew_has_forgotten_the_run(server, workflow):
    async def scene(server, prompt):
        server.running = []
        await server.sockets[0].close()

    server.scene = scene
    done = queue(workflow, server.host)
    assert done.returncode == 1
    assert "no longer knows the run" in done.stderr


def test_a_server_that_stays_away_is_told(server, workflow):
    async def scene(server, prompt):
        await server.tell("executing", prompt_id=prompt, node="4")

    server.scene = scene
    command = [sys.executable, SCRIPT, workflow, "--host", server.host, "--patience", "1"]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in client.stdout:
        if "My training" in line:
            break
    asyncio.run_coroutine_threadsafe(server._runner.cleanup(), server._loop).result(20)
    _, problem = client.communicate(timeout=60)
    assert client.returncode == 2
    assert "does not answer any more" in problem


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_ctrl_c_stops_this_run_and_no_other(server, workflow):
    async def scene(server, prompt):
        await server.tell("executing", prompt_id=prompt, node="4")

    server.scene = scene
    command = [sys.executable, SCRIPT, workflow, "--host", server.host]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in client.stdout:
        if "My training" in line:
            break
    client.send_signal(signal.SIGINT)
    _, problem = client.communicate(timeout=60)
    assert client.returncode == 130
    assert problem.startswith("Stopped.")
    prompt = sent(server)[0]["prompt_id"]
    assert server.posted[1:] == [
        ("/queue", {"delete": [prompt]}),
        ("/interrupt", {"prompt_id": prompt}),
    ]


@pytest.mark.host
@pytest.mark.slow
def test_a_tiny_training_in_a_real_host(tmp_path):
    from running_host import running_host

    folder = tmp_path / "comfyui"
    folder.mkdir()
    with running_host(folder) as host:
        path = ROOT / "workflows" / "api" / "scoft_quick_start.json"
        small = {
            "1.pictures": 6,
            "2.negatives_per_picture": 1,
            "2.inference_steps": 4,
            "2.filter_threshold": 0,
            "4.steps": 2,
            "4.batch_size": 2,
            "4.ddim_steps": 3,
            "4.preview_every": 0,
            "6.inference_steps": 2,
            "6.num_seeds": 1,
        }
        settings = [f"--set={name}={value}" for name, value in small.items()]
        out = tmp_path / "results"
        address = host.url.removeprefix("http://")
        done = queue(path, address, *settings, "--out", str(out), timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"step 2/2, .*ldm [\d.]+", done.stdout)
        assert "Saved avelun.safetensors and its card." in done.stdout
        assert len(list(out.glob("*.png"))) == 2  # a sheet and the grid

        # Ctrl-C while it trains: the host ends this prompt, and what was learned is saved.
        command = [sys.executable, SCRIPT, path, "--host", address, *settings, "--set=4.steps=4000"]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in client.stdout:
            if "step 1/4000" in line:
                break
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=60)
        assert client.returncode == 130
        end = time.monotonic() + 60
        while host.get("/queue")["queue_running"]:
            assert time.monotonic() < end
            time.sleep(0.1)
        history = host.get("/history").values()
        assert "execution_interrupted" in dict(list(history)[-1]["status"]["messages"])
        assert list(folder.rglob("runs/*/checkpoints/*"))
