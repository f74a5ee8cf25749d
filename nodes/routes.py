"""The pack's HTTP routes: runs, datasets, grids and surveys that this server opened, by id.

Reading and writing happens in threads, so that the server's event loop goes on.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from ..scoft_training.config import PRESETS, TrainConfig, preset_values
from ..scoft_training.errors import ConfigError, ScoftError
from ..scoft_training.score_records import METRICS_FILE, read_scores
from ..scoft_training.score_view import scores_for_page
from ..scoft_training.survey_making import handed_out
from . import host, live
from .types import CanvasDataset
from .widgets import shown_values

__all__ = ["add_routes"]

_PREVIEW = re.compile(r"step-\d{8}-\d{2}\.png")
_LARGEST_BODY = 1_000_000
"""Fifty captions of the longest kind, in bytes of any script."""

_PICTURES = ThreadPoolExecutor(2, thread_name_prefix="scoft-pictures")
"""A page asks for hundreds of pictures; they must not keep decisions waiting."""

_ROW_PICTURE = "private, max-age=31536000, immutable"
_OTHER_PICTURE = "private, max-age=600"

_PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

# The page has a script of its own, and a policy of its own beside this one: here it runs as a
# stranger, who can reach neither the host nor what the host keeps in the browser.
_SURVEY_POLICY = "sandbox allow-scripts allow-forms allow-downloads allow-modals"

_NO_PAGE = "That page is no longer in the survey's folder. Queue the node again: it makes it anew."

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
        ("/scoft/grids/{grid}", _scores),
        ("/scoft/grids/{grid}/report", _scores_report),
        ("/scoft/surveys/{survey}", _survey),
        ("/scoft/surveys/{survey}/pages/{name}", _survey_page),
        ("/scoft/results/{results}", _results),
        ("/scoft/results/{results}/report", _results_report),
        ("/scoft/datasets/{dataset}/pictures/{sha256}", _picture),
        ("/scoft/datasets/{dataset}/rows/{sha256}/history", _history),
        ("/scoft/datasets/{dataset}/negatives/{set}", _negatives),
        ("/scoft/datasets/{dataset}/negatives/{set}/{folder}/depth", _depth),
        ("/scoft/datasets/{dataset}/negatives/{set}/{folder}/pictures/{name}", _negative_picture),
    ):
        routes.get(path)(_in_sentences(handler))
    for path, handler in (
        ("/scoft/runs/{run}/stop", _stop),
        ("/scoft/datasets/open", _open_dataset),
        ("/scoft/datasets/{dataset}/rows/{sha256}", _change_row),
        ("/scoft/datasets/{dataset}/measure", _measure),
        ("/scoft/datasets/{dataset}/negatives/{set}/{folder}/{name}", _decide_negative),
    ):
        routes.post(path)(_in_sentences(handler))


def _in_sentences(handler: _Handler) -> _Handler:
    """Answer the engine's errors with their sentence."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            if request.method == "POST" and request.content_type != "application/json":
                # Other sites' pages may send plain text here without being asked; JSON not.
                sentence = "Send JSON, with the header Content-Type: application/json."
                return web.json_response({"error": sentence}, status=415)
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
    name = _value(await _body(request), "name", (str,))
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
    return _page(gallery.work / "report.html", "this dataset")


async def _scores(request: web.Request) -> web.StreamResponse:
    name = request.match_info["grid"]
    path = live.find_grid(name) / METRICS_FILE
    if not path.is_file():
        raise live.NotOpenError("There are no scores of this grid any more. Queue its node again.")
    baseline = request.query.get("baseline", "")
    seen = await asyncio.to_thread(lambda: scores_for_page(read_scores(path), baseline))
    return web.json_response({"grid": name, **seen})


async def _scores_report(request: web.Request) -> web.StreamResponse:
    return _page(live.find_grid(request.match_info["grid"]) / "report.html", "this grid")


async def _survey(request: web.Request) -> web.StreamResponse:
    name = request.match_info["survey"]
    folder = live.find_survey(name)
    found = await asyncio.to_thread(
        lambda: [{"name": path.name, "size": path.stat().st_size} for path in handed_out(folder)]
    )
    if not found:
        raise live.NotOpenError(_NO_PAGE)
    return web.json_response({"survey": name, "pages": found})


async def _survey_page(request: web.Request) -> web.StreamResponse:
    """Answer with a page as a participant sees it, or to be saved and handed out."""
    folder = live.find_survey(request.match_info["survey"])
    wanted = request.match_info["name"]
    found = await asyncio.to_thread(handed_out, folder)
    path = next((one for one in found if one.name == wanted), None)
    if path is None:
        raise live.NotOpenError(_NO_PAGE)
    headers = {**_PAGE_HEADERS, "Content-Security-Policy": _SURVEY_POLICY}
    if "save" in request.query:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(path.name)}"
    return web.FileResponse(path, headers=headers)


async def _results(request: web.Request) -> web.StreamResponse:
    name = request.match_info["results"]
    if not (live.find_results(name) / "report.html").is_file():
        raise live.NotOpenError("There is no report on these answers any more. Queue the node.")
    return web.json_response({"results": name})


async def _results_report(request: web.Request) -> web.StreamResponse:
    folder = live.find_results(request.match_info["results"])
    return _page(folder / "report.html", "these answers")


def _page(path: Path, subject: str) -> web.StreamResponse:
    """Answer with a report that a run of the node wrote."""
    if not path.is_file():
        raise live.NotOpenError(f"There is no report on {subject} yet. Queue its node once.")
    # Captions are other people's text: the page may run nothing and fetch nothing.
    policy = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return web.FileResponse(path, headers={**_PAGE_HEADERS, "Content-Security-Policy": policy})


async def _picture(request: web.Request) -> web.StreamResponse:
    gallery = live.find_gallery(request.match_info["dataset"])
    sha256 = request.match_info["sha256"]
    return await _jpeg(request, gallery.picture, sha256, cached=_ROW_PICTURE)


async def _change_row(request: web.Request) -> web.StreamResponse:
    gallery = live.find_gallery(request.match_info["dataset"])
    body = await _body(request)
    changes = _value(body, "changes", (dict,))
    said = {name: _value({name: "", **body}, name, (str,)) for name in ("by", "why")}
    sha256 = request.match_info["sha256"]
    answer = await asyncio.to_thread(gallery.change_row, sha256, changes, **said)
    live.decided("rows")
    return web.json_response(answer)


async def _history(request: web.Request) -> web.StreamResponse:
    gallery = live.find_gallery(request.match_info["dataset"])
    return web.json_response(await asyncio.to_thread(gallery.history, request.match_info["sha256"]))


async def _measure(request: web.Request) -> web.StreamResponse:
    name = request.match_info["dataset"]
    seen = await asyncio.to_thread(live.find_gallery(name).measure)
    return web.json_response({"dataset": name, **seen})


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
    body = await _body(request)
    kept = _value(body, "kept", (bool, type(None)))
    said = {name: _value({name: "", **body}, name, (str,)) for name in ("by", "why")}
    place = request.match_info
    answer = await asyncio.to_thread(
        gallery.decide_negative, place["set"], place["folder"], place["name"], kept=kept, **said
    )
    live.decided("negatives")
    return web.json_response(answer)


async def _jpeg(
    request: web.Request,
    picture: Callable[..., bytes],
    *names: str,
    cached: str = _OTHER_PICTURE,
) -> web.StreamResponse:
    size = request.query.get("size", "256")
    if not re.fullmatch(r"\d{1,4}", size):
        raise ConfigError(f"`size` must be a number of pixels but got {size[:20]!r}.")
    loop = asyncio.get_running_loop()
    data = await loop.run_in_executor(_PICTURES, picture, *names, int(size))
    return web.Response(body=data, content_type="image/jpeg", headers={"Cache-Control": cached})


async def _body(request: web.Request) -> dict[str, Any]:
    """Return the request's JSON object.

    Raises:
        ConfigError: it is something else, or too large.
    """
    sentence = "Send a JSON object."
    data = await request.content.read(_LARGEST_BODY + 1)
    while len(data) <= _LARGEST_BODY and (more := await request.content.read(_LARGEST_BODY)):
        data += more
    if len(data) > _LARGEST_BODY:
        raise ConfigError(f"{sentence} This one has more than {_LARGEST_BODY} bytes: shorten it.")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(sentence) from error
    if not isinstance(body, dict):
        raise ConfigError(sentence)
    return body


def _value(body: dict[str, Any], name: str, kinds: tuple[type, ...]) -> Any:
    """Return one value of a request.

    Raises:
        ConfigError: there is none of one of these types.
    """
    named = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
    if name not in body or not isinstance(body[name], kinds):
        raise ConfigError(f'Send a JSON object with "{name}" ({named}).')
    return body[name]
