"""A set handed on: written anew, in the layout that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..scoft_training.errors import ConfigError
from . import host
from .live import revision
from .running import carry_out
from .types import ScoftDataset, require_dataset

__all__ = ["ExportDataset"]


class ExportDataset(io.ComfyNode):
    """The set as training sees it, with negatives and a card, in output/scoft/exports."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftExportDataset",
            display_name="SCoFT Export Dataset",
            category="SCoFT",
            description="Writes a set for other tools: pictures byte for byte, captions and "
            "decisions as the work folder completes them, the kept negatives, and a card that says "
            "whose the pictures are. Replaces nothing.",
            is_output_node=True,
            inputs=[
                ScoftDataset.Input("dataset"),
                io.String.Input("name", default="dataset", tooltip="Name of the new folder."),
            ],
            outputs=[
                io.String.Output(display_name="folder"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **_values: Any) -> Any:
        """Return what changes when a person decides on rows or negatives."""
        return revision("rows", "negatives")

    @classmethod
    def execute(cls, dataset: Any, name: str) -> io.NodeOutput:
        """Write the folder."""
        from ..scoft_training.exporting import ExportRequest, export_dataset

        chosen = require_dataset(dataset)
        target = _new_folder(name)
        request = ExportRequest(chosen.root, target, chosen.work, chosen.negatives)
        events = export_dataset(request, should_stop=host.interrupted)
        carry_out(events, cls.hidden.unique_id, main="export", work=chosen.work)
        return io.NodeOutput(str(target), ui={"text": [f"Written to scoft/exports/{target.name}."]})


def _new_folder(name: str) -> Path:
    """Return a folder of that name that is not there yet, below the pack's output.

    Raises:
        ConfigError: nothing of the name can be a folder's.
    """
    from ..scoft_training.exporting import safe_name

    plain = safe_name(name.strip().replace("/", "_").replace("\\", "_")).strip("._ ")
    if not plain:
        raise ConfigError(f"`name`: {name!r} is no folder's name. Use letters and digits.")
    folder = host.output_folder() / "exports"
    path, number = folder / plain, 2
    while path.exists():
        path, number = folder / f"{plain}_{number}", number + 1
    return path
