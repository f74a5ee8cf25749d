"""SCoFT for ComfyUI: nodes that teach a text-to-image model a community's own pictures."""

from __future__ import annotations

from typing import Any

WEB_DIRECTORY = "./js"


async def comfy_entrypoint() -> Any:
    """Return the pack's extension; the host calls this once, at its start."""
    from .nodes import ScoftExtension

    return ScoftExtension()
