"""What is imported once the pack is loaded and has told its nodes; for `test_loading.py` alone."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

# What the pack's nodes import of the host: where that lacks something, nothing can be told.
import comfy.sd  # noqa: F401, TID251
import comfy_api.latest  # noqa: F401
import scoft_pack


def main(folder: str) -> None:
    """Write the names of all modules, and the nodes' ids."""
    before = {name for name in sys.modules if name.startswith("scoft_pack")}
    nodes = asyncio.run(scoft_pack_nodes())
    found = {
        "before": sorted(before),
        "nodes": [node.define_schema().node_id for node in nodes],
        "modules": sorted(sys.modules),
    }
    Path(folder, "found.json").write_text(json.dumps(found), encoding="utf-8")


async def scoft_pack_nodes() -> list:
    """Ask the pack as the host does at its start."""
    return await (await scoft_pack.comfy_entrypoint()).get_node_list()
