"""The pack's HTTP routes: runs and datasets that this server opened, by id and never by path.

Reading and writing happens in threads, so that the server's event loop goes on.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from ..scoft_training.config import PRESETS, TrainConfig, preset_values
from ..scoft_training.errors import ConfigError, ScoftError
from . import host, live
from .types import CanvasDataset
from .widgets import shown_values

__all__ = ["add_routes"]

_PREVIEW = re.compile(r"step-\d{8}-\d{2}\.png")
_LARGEST_BODY = 10_000

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_routes() -> None:
    """Register the routes; without a server, as in a headless import, nothing happens."""
    server = host.server()
    if server is None:
        return
    routes = server.routes
    for path, handler in (
        ("/scoft/presets", _presets),
        ("/scoft/runs/{run}", _run),
        ("/scoft/runs/{run}/previews/{name}", _preview),
        ("/scoft/datasets/{dataset}", _dataset),
        ("/scoft/datasets/{dataset}/report", _report),
        ("/scoft/datasets/{dataset}/pictures/{sha256}", _picture),
        ("/scoft/datasets/{dataset}/negatives/{set}", _negatives),
        ("/scoft/datasets/{dataset}/negatives/{set}/{folder}/depth", _depth),
        ("/scoft/datasets/{dataset}/negatives/{set}/{folder}/pictures/{name}", _negative_picture),
    ):
        routes.get(path)(_in_sentences(handler))
    for path, handler in (
        ("/scoft/runs/{run}/stop", _stop),
        ("/scoft/datasets/open", _open_dataset),
        ("/scoft/datasets/{dataset}/rows/{sha256}", _decide_row),
        ("/scoft/datasets/{dataset}/negatives/{set}/{folder}/{name}", _decide_negative),
    ):
        routes.post(path)(_in_sentences(handler))


def _in_sentences(handler: _Handler) -> _Handler:
    """Answer the engine's errors with their sentence."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except live.NotOpenError as error:
            return web.json_response({"error": str(error)}, status=404)
        except ScoftError as error:
            return web.json_response({"error": str(error)}, status=400)
        except OSError as error:
            sentence = f"A file could not be read or written ({error.strerror}). Check the disk."
            return web.json_response({"error": sentence}, status=400)

    return answer


async def _presets(request: web.Request) -> web.StreamResponse:
    del request
    return web.json_response(
        {name: shown_values(TrainConfig, preset_values(name)) for name in PRESETS}
    )


async def _run(request: web.Request) -> web.StreamResponse:
    run = live.find_run(request.match_info["run"])
    return web.json_response(await asyncio.to_thread(run.report))


async def _preview(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    path = live.find_run(request.match_info["run"]).folder / "previews" / name
    if not _PREVIEW.fullmatch(name) or not path.is_file():
        raise live.NotOpenError("There is no such preview.")
    return web.FileResponse(path, headers={"Content-Type": "image/png"})


async def _stop(request: web.Request) -> web.StreamResponse:
    run = live.find_run(request.match_info["run"])
    if run.state != "running":
        return web.json_response({"error": "This run is not running."}, status=409)
    run.stopping = True
    return web.json_response({"run": run.run_id, "state": "stopping"})


async def _open_dataset(request: web.Request) -> web.StreamResponse:
    name = await _value(request, "name", (str,))
    root = await asyncio.to_thread(host.dataset_folder, name)
    return web.json_response(
        {"dataset": live.open_dataset(CanvasDataset(root, host.work_folder(root)))}
    )


async def _dataset(request: web.Request) -> web.StreamResponse:
    name = request.match_info["dataset"]
    seen = await asyncio.to_thread(live.find_gallery(name).dataset)
    return web.json_response({"dataset": name, **seen})


async def _report(request: web.Request) -> web.StreamResponse:
    gallery = live.find_gallery(request.match_info["dataset"])
    path = gallery.work / "report.html"
    if not path.is_file():
        raise live.NotOpenError("There is no report on this dataset yet. Queue its node once.")
    # Captions are other people's text: the page may run nothing and fetch nothing.
    policy = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return web.FileResponse(path, headers=headers)


async def _picture(request: web.Request) -> web.StreamResponse:
    gallery = live.find_gallery(request.match_info["dataset"])
    return await _jpeg(request, gallery.picture, request.match_info["sha256"])


async def _decide_row(request: web.Request) -> web.StreamResponse:
    gallery = live.find_gallery(request.match_info["dataset"])
    included = await _value(request, "included", (bool,))
    sha256 = request.match_info["sha256"]
    row = await asyncio.to_thread(gallery.decide_row, sha256, included=included)
    live.decided("rows")
    return web.json_response(row)


async def _negatives(request: web.Request) -> web.StreamResponse:
    name = request.match_info["dataset"]
    gallery = live.find_gallery(name)
    seen = await asyncio.to_thread(gallery.negatives, request.match_info["set"])
    return web.json_response({"dataset": name, **seen})


async def _depth(request: web.Request) -> web.StreamResponse:
    gallery = live.find_gallery(request.match_info["dataset"])
    place = request.match_info
    return await _jpeg(request, gallery.depth_picture, place["set"], place["folder"])


async def _negative_picture(request: web.Request) -> web.StreamResponse:
    gallery = live.find_gallery(request.match_info["dataset"])
    place = request.match_info
    return await _jpeg(
        request, gallery.negative_picture, place["set"], place["folder"], place["name"]
    )


async def _decide_negative(request: web.Request) -> web.StreamResponse:
    gallery = live.find_gallery(request.match_info["dataset"])
    kept = await _value(request, "kept", (bool, type(None)))
    place = request.match_info
    negative = await asyncio.to_thread(
        gallery.decide_negative, place["set"], place["folder"], place["name"], kept=kept
    )
    live.decided("negatives")
    return web.json_response(negative)


async def _jpeg(
    request: web.Request, picture: Callable[..., bytes], *names: str
) -> web.StreamResponse:
    size = request.query.get("size", "256")
    if not re.fullmatch(r"\d{1,4}", size):
        raise ConfigError(f"`size` must be a number of pixels but got {size[:20]!r}.")
    data = await asyncio.to_thread(picture, *names, int(size))
    return web.Response(body=data, content_type="image/jpeg")


async def _value(request: web.Request, name: str, kinds: tuple[type, ...]) -> Any:
    """Return one value of the request's JSON object.

    Raises:
        ConfigError: there is none of one of these types.
    """
    named = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
    sentence = f'Send a JSON object with "{name}" ({named}).'
    if (request.content_length or 0) > _LARGEST_BODY:
        raise ConfigError(sentence)
    try:
        body = json.loads(await request.text())
    except ValueError as error:
        raise ConfigError(sentence) from error
    if not isinstance(body, dict) or name not in body or not isinstance(body[name], kinds):
        raise ConfigError(sentence)
    return body[name]
