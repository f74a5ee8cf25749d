"""Queues a workflow on a running ComfyUI without a browser, follows it, and fetches what it made.

    python scripts/queue_workflow.py workflows/api/scoft_quick_start.json \\
        --host 127.0.0.1:8188 --set 4.steps=50 --set 1.pictures=12 --out results

The workflow is in the API form ("Export (API)" in ComfyUI's menu). `--set NODE.INPUT=VALUE` changes
a value for this run only. Pictures go to --out under new names, texts to the terminal. Ctrl-C stops
this run and no other; a training saves, and goes on when the same is queued again.

Exit status: 0 all done, 1 the run failed, 2 wrong input or no server, 130 stopped by Ctrl-C.
Needs aiohttp, which ComfyUI's own environment has.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import difflib
import json
import sys
import time
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

DONE, FAILED, WRONG, STOPPED = 0, 1, 2, 130

Graph = dict[str, dict[str, Any]]


class WrongInputError(Exception):
    """What was asked for cannot be queued, or there is nobody to queue it."""


class RunFailedError(Exception):
    """The server ended the run without a result."""


def load_graph(path: Path) -> Graph:
    """Return a workflow in the API form.

    Raises:
        WrongInputError: there is no such file, or it holds something else.
    """
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongInputError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise WrongInputError(f"{path}: is not JSON ({error}).") from error
    if isinstance(graph, dict) and isinstance(graph.get("nodes"), list):
        raise WrongInputError(
            f"{path}: is a workflow as the canvas saves it. Open it in ComfyUI, choose "
            '"Export (API)" from the menu, and queue that file.'
        )
    nodes = graph.values() if isinstance(graph, dict) else ()
    if not nodes or not all(isinstance(node, dict) and "class_type" in node for node in nodes):
        raise WrongInputError(f"{path}: is not a workflow in the API form.")
    return graph


def apply_settings(
    graph: Graph, settings: Sequence[str], declared: Mapping[str, Mapping[str, Any]]
) -> None:
    """Change inputs of a graph, in place.

    Args:
        graph: in the API form.
        settings: each NODE.INPUT=VALUE.
        declared: class -> input -> its type, as the server states it; may lack any of them.

    Raises:
        WrongInputError: a setting names no input of the graph, or its value is of another type.
    """
    for setting in settings:
        target, equals, text = setting.partition("=")
        number, dot, name = target.partition(".")
        if not (equals and dot and name):
            raise WrongInputError(f"--set {setting}: write NODE.INPUT=VALUE, such as 4.steps=50.")
        if number not in graph:
            raise WrongInputError(
                f"--set {setting}: {_unknown('node', number, graph)} "
                f"Nodes: {', '.join(f'{key} ({_title(graph, key)})' for key in graph)}."
            )
        node = graph[number]
        kinds = declared.get(node["class_type"], {})
        inputs = node["inputs"]
        if name not in inputs and name not in kinds:
            known = [*inputs, *kinds]
            raise WrongInputError(f"--set {setting}: {_unknown('input', name, known)}")
        old = inputs.get(name)
        if isinstance(old, list):
            raise WrongInputError(
                f"--set {setting}: that input is connected to node {old[0]}, so it has no value."
            )
        inputs[name] = _parse(setting, text, old, kinds.get(name))


def _parse(setting: str, text: str, old: Any, kind: Any) -> Any:
    """Return a value of the type that the server declares, or else of the old value's."""
    if kind == "BOOLEAN" or isinstance(old, bool):
        if text.lower() not in ("true", "false"):
            raise WrongInputError(f"--set {setting}: write true or false.")
        return text.lower() == "true"
    # The canvas writes 3.0 as 3, so a whole number in the file may belong to a fraction.
    convert = float if kind == "FLOAT" else int if kind == "INT" else type(old)
    if convert in (int, float):
        try:
            return convert(text)
        except ValueError as error:
            wanted = "a number" if convert is float else "a whole number"
            raise WrongInputError(f"--set {setting}: write {wanted}.") from error
    return text


def _unknown(what: str, name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"there is no {what} {name!r}." + (f" Did you mean {close[0]!r}?" if close else "")


def _title(graph: Graph, number: str) -> str:
    node = graph.get(number, {})
    return str(node.get("_meta", {}).get("title") or node.get("class_type", "?"))


def refusal(graph: Graph, answer: Mapping[str, Any]) -> str:
    """Return what a server objects to, a line each; empty where it objects to nothing."""
    lines = []
    for number, found in answer.get("node_errors", {}).items():
        for error in found.get("errors", []):
            name = (error.get("extra_info") or {}).get("input_name")
            where = f"node {number} ({_title(graph, number)})" + (f", {name}" if name else "")
            details = error.get("details") or ""
            lines.append(f"{where}: {error.get('message', 'refused')}. {details}".rstrip())
    if not lines and (error := answer.get("error")):
        told = error if isinstance(error, str) else f"{error.get('message')} {error.get('details')}"
        lines.append(told.removesuffix(" None").strip())
    return "\n".join(lines)


class Client:
    """One prompt on one server.

    Args:
        address: HOST:PORT, or a URL.
        graph: what to run.
        patience: seconds for which a server may be away.
    """

    def __init__(self, address: str, graph: Graph, *, patience: float = 60.0) -> None:
        self.url = (address if "://" in address else f"http://{address}").rstrip("/")
        self.graph = graph
        self.patience = patience
        # Chosen here, so that Ctrl-C can name it whenever it comes.
        self.prompt_id = str(uuid.uuid4())
        self.client_id = uuid.uuid4().hex
        self.queued = False
        self._shown, self._reached = "", ("", 0)
        self._session: aiohttp.ClientSession

    async def run(self, settings: Sequence[str], out: Path | None) -> None:
        """Queue, follow to the end, and fetch.

        Raises:
            WrongInputError: it cannot be queued.
            RunFailedError: it was queued and came to no good end.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(timeout=timeout) as self._session:
            declared = await self._declared() if settings else {}
            apply_settings(self.graph, settings, declared)
            # Listening comes first: a run whose nodes are all cached ends at once.
            async with await self._listen() as socket:
                await self._queue()
                ended = await self._follow(socket)
            while not ended:
                ended = await self._rejoin()
            await self._fetch(out)

    async def _get(self, path: str, **query: str) -> Any:
        async with self._session.get(self.url + path, params=query) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def _declared(self) -> dict[str, dict[str, Any]]:
        """Return class -> input -> type for the classes of the graph."""
        found = {}
        for kind in {node["class_type"] for node in self.graph.values()}:
            about = (await self._get(f"/object_info/{kind}")).get(kind, {}).get("input", {})
            found[kind] = {
                name: entry[0] if isinstance(entry[0], str) else "COMBO"
                for section in ("required", "optional")
                for name, entry in about.get(section, {}).items()
            }
        return found

    async def _waiting(self) -> list[str]:
        """Return the prompts that run or wait on the server, by id."""
        queue = await self._get("/queue")
        entries = [*queue.get("queue_running", []), *queue.get("queue_pending", [])]
        return [entry[1] for entry in entries]

    async def _listen(self) -> aiohttp.ClientWebSocketResponse:
        address = f"{self.url}/ws".replace("http", "ws", 1)
        return await self._session.ws_connect(
            address, params={"clientId": self.client_id}, max_msg_size=0, heartbeat=30
        )

    async def _queue(self) -> None:
        others = await self._waiting()
        body = {"prompt": self.graph, "client_id": self.client_id, "prompt_id": self.prompt_id}
        self.queued = True
        async with self._session.post(f"{self.url}/prompt", json=body) as answer:
            try:
                told = await answer.json(content_type=None)
            except ValueError as error:
                raise WrongInputError(
                    f"{self.url}: answered {answer.status}, not as ComfyUI does."
                ) from error
        self.prompt_id = told.get("prompt_id", self.prompt_id)
        if problems := refusal(self.graph, told):
            # A server runs the outputs that are in order and leaves out the others.
            await asyncio.to_thread(self.withdraw)
            raise WrongInputError(problems)
        print(f"queued as {self.prompt_id}" + (f", after {len(others)} others" if others else ""))

    async def _follow(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        """Show what the server tells; returns whether the run ended, else the line was lost."""
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and self._hear(json.loads(message.data)):
                return True
        return False

    def _hear(self, message: Mapping[str, Any]) -> bool:
        """Take in one message; returns whether it is the run's good end."""
        kind, data = message.get("type"), message.get("data") or {}
        if kind == "scoft.event":
            self._show_event(data)
        if data.get("prompt_id") != self.prompt_id:
            return False
        if kind == "executing" and data.get("node"):
            self._show(f"{_title(self.graph, data['node'])}")
        elif kind == "progress" and data.get("max"):
            reached = str(data.get("node")), 10 * (10 * data["value"] // data["max"])
            if reached != self._reached:
                self._reached = reached
                self._show(f"{_title(self.graph, reached[0])}: {reached[1]} %")
        elif kind == "execution_error":
            raise RunFailedError(_failure(data, self.graph))
        elif kind == "execution_interrupted":
            raise RunFailedError("The run was interrupted.")
        return kind == "execution_success"

    def _show_event(self, event: Mapping[str, Any]) -> None:
        kind, title = event.get("event"), _title(self.graph, str(event.get("node")))
        if kind == "phase" and event["done"] in (0, event["total"]):
            self._show(f"{title}: {event['phase']} {event['done']}/{event['total']}")
        elif kind == "step":
            losses = ", ".join(f"{name} {value:.4g}" for name, value in event["losses"].items())
            if event["step"] == 1 or event["step"] % 10 == 0 or event["step"] == event["steps"]:
                self._show(f"{title}: step {event['step']}/{event['steps']}, {losses}")
        elif kind == "validation":
            self._show(f"{title}: validation at step {event['step']}: ldm {event['loss']:.4g}")
        elif kind in ("warning", "stopped"):
            self._show(f"{title}: {event['message']}")

    def _show(self, line: str) -> None:
        if line != self._shown:
            self._shown = line
            print(line, flush=True)

    async def _rejoin(self) -> bool:
        """Find out how a run goes on whose line was lost; returns whether it ended.

        Raises:
            WrongInputError: the server stays away.
            RunFailedError: it is back and knows nothing of the run.
        """
        self._show("The connection was lost; looking for the run.")
        end = time.monotonic() + self.patience
        while True:
            await asyncio.sleep(0.5)
            try:
                # Listening comes before asking: in between the run might end unheard.
                async with await self._listen() as socket:
                    return await self._ended() or await self._follow(socket)
            except (aiohttp.ClientError, OSError) as error:
                if time.monotonic() > end:
                    raise WrongInputError(
                        f"{self.url} does not answer any more. If it is running, the run "
                        f"{self.prompt_id} goes on there."
                    ) from error

    async def _ended(self) -> bool:
        """Ask whether the run has ended.

        Raises:
            RunFailedError: the server knows nothing of it.
        """
        waiting = await self._waiting()
        if await self._get(f"/history/{self.prompt_id}"):
            return True
        if self.prompt_id not in waiting:
            raise RunFailedError(
                f"The server no longer knows the run {self.prompt_id}: it was started anew. "
                "Queue the workflow again; a training goes on where it was saved."
            )
        return False

    async def _record(self) -> Mapping[str, Any]:
        """Return what the server keeps of the run; it tells of the end before it writes that down.

        Raises:
            RunFailedError: it writes nothing down.
        """
        end = time.monotonic() + self.patience
        while True:
            found = await self._get(f"/history/{self.prompt_id}")
            if self.prompt_id in found:
                return dict(found[self.prompt_id])
            if time.monotonic() > end:
                raise RunFailedError(
                    f"The server keeps no record of the run {self.prompt_id}, so there is nothing "
                    "to fetch. Look into its output folder."
                )
            await asyncio.sleep(0.1)

    async def _fetch(self, out: Path | None) -> None:
        """Print the run's texts and fetch its files.

        Raises:
            RunFailedError: the run had ended with an error while nobody listened.
        """
        record = await self._record()
        for name, data in record.get("status", {}).get("messages", []):
            if name == "execution_error":
                raise RunFailedError(_failure(data, self.graph))
            if name == "execution_interrupted":
                raise RunFailedError("The run was interrupted.")
        for number, shown in record.get("outputs", {}).items():
            for values in shown.values():
                for value in values if isinstance(values, list) else []:
                    if isinstance(value, str):
                        print(f"{_title(self.graph, number)}: {value}")
                    elif isinstance(value, dict) and "filename" in value and out is not None:
                        print(await self._download(value, out))

    async def _download(self, file: Mapping[str, Any], out: Path) -> Path:
        query = {key: str(file.get(key, "")) for key in ("filename", "subfolder", "type")}
        async with self._session.get(f"{self.url}/view", params=query) as answer:
            answer.raise_for_status()
            content = await answer.read()
        out.mkdir(parents=True, exist_ok=True)
        # A server's name is not trusted to stay in the folder.
        name = Path(query["filename"].replace("\\", "/")).name or "file"
        for path in _free_names(out / name):
            with contextlib.suppress(FileExistsError), path.open("xb") as target:
                target.write(content)
                return path
        raise AssertionError("there is always a free name")

    def withdraw(self) -> None:
        """Take the prompt out of the queue, or stop it if it runs; no other one is touched."""
        for path, body in (
            ("/queue", {"delete": [self.prompt_id]}),
            ("/interrupt", {"prompt_id": self.prompt_id}),
        ):
            request = urllib.request.Request(
                self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=10):
                pass


def _failure(data: Mapping[str, Any], graph: Graph) -> str:
    number = str(data.get("node_id"))
    told = str(data.get("exception_message", "")).strip()
    return f"node {number} ({_title(graph, number)}): {told or data.get('exception_type')}"


def _free_names(path: Path) -> Any:
    """Yield the path, then the same with 2, 3, ... at its stem's end."""
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.stem}_{number}{path.suffix}")
        number += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workflow", type=Path, help="a file in the API form")
    parser.add_argument("--host", default="127.0.0.1:8188", help="HOST:PORT or URL of ComfyUI")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where pictures go")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds to wait for a server that is away"
    )
    asked = parser.parse_args(arguments)
    client = None
    try:
        client = Client(asked.host, load_graph(asked.workflow), patience=asked.patience)
        asyncio.run(client.run(asked.set, asked.out))
    except WrongInputError as error:
        print(error, file=sys.stderr)
        return WRONG
    except RunFailedError as error:
        print(error, file=sys.stderr)
        return FAILED
    except (aiohttp.ClientError, OSError) as error:
        print(f"{asked.host}: no answer from ComfyUI ({error}).", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        if client is not None and client.queued:
            client.withdraw()
        print(
            "Stopped. A training saves where it is; queue the same again to go on.",
            file=sys.stderr,
        )
        return STOPPED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
