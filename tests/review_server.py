"""The pack's routes in a process of their own, without a host; started by test_routes.py.

    python review_server.py DATASET WORK

The real `nodes/routes.py` and `nodes/live.py` run; only what they ask of the host is stood in for.
Prints "port id" once it listens.
"""

from __future__ import annotations

import asyncio
import sys
import types
from pathlib import Path
from unittest.mock import MagicMock

from aiohttp import web

PACK = Path(__file__).parents[1]


def load_routes(root: Path, work: Path):
    """Return the modules routes and live, and the aiohttp routes that they registered."""
    table = web.RouteTableDef()
    for name in ("comfy_api", "comfy_api.latest"):
        sys.modules[name] = MagicMock()
    # Packages without their __init__, which would import every node and with them the host.
    for name, folder in (("pack", PACK), ("pack.nodes", PACK / "nodes")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    host = types.ModuleType("pack.nodes.host")
    host.server = lambda: types.SimpleNamespace(routes=table)
    host.dataset_folder = lambda name: root
    host.work_folder = lambda folder: work
    host.output_folder = lambda: work.parent
    sys.modules["pack.nodes.host"] = sys.modules["pack.nodes"].host = host
    from pack.nodes import live, routes

    routes.add_routes()
    return routes, live, table


def main() -> None:
    root, work = map(Path, sys.argv[1:])
    _, live, table = load_routes(root, work)
    from pack.nodes.types import CanvasDataset

    async def serve() -> None:
        app = web.Application()
        app.add_routes(table)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        name = live.open_dataset(CanvasDataset(root, work))
        print(runner.addresses[0][1], name, flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
