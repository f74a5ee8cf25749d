"""Datasets: a community's own folder."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..scoft_training.data import count_by_category, dataset_version, read_dataset
from ..scoft_training.errors import ScoftError
from ..scoft_training.overlays import overlaid
from . import host
from .live import revision, shown
from .types import CanvasDataset, ScoftDataset

__all__ = ["LoadDataset"]

_NOTHING_YET = "(no dataset found)"


class LoadDataset(io.ComfyNode):
    """A folder of pictures with their captions, checked."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs."""
        return io.Schema(
            node_id="ScoftLoadDataset",
            display_name="SCoFT Load Dataset",
            category="SCoFT",
            description="A picture set in ComfyUI's input folder: pictures with a metadata.jsonl, "
            "a metadata.csv, or a .txt caption beside each. It is never written to.",
            inputs=[
                io.Combo.Input(
                    "dataset",
                    options=host.dataset_names() or [_NOTHING_YET],
                    tooltip="A folder of pictures with metadata.jsonl, metadata.csv or .txt "
                    "captions, in ComfyUI's input folder or in a folder listed as scoft_datasets "
                    "in extra_model_paths.yaml.",
                ),
            ],
            outputs=[
                ScoftDataset.Output(display_name="dataset"),
                io.String.Output(display_name="summary"),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, dataset: str) -> Any:
        """Return what changes when the set's rows do, or what people say of them."""
        try:
            return [dataset_version(host.dataset_folder(dataset)), revision("rows")]
        except (ScoftError, OSError) as error:
            # `execute` says it where it is seen.
            return str(error)

    @classmethod
    def execute(cls, dataset: str) -> io.NodeOutput:
        """Read and check the set."""
        root = host.dataset_folder(dataset)
        work = host.work_folder(root)
        found = overlaid(read_dataset(root), work)
        found.require_usable()
        lines = [f"{found.name}: {len(found.rows)} pictures"]
        lines += [
            f"{category}: {counts['total']}"
            for category, counts in count_by_category(found).items()
            if counts["total"]
        ]
        lines += [problem.message for problem in found.warnings]
        dataset = CanvasDataset(root, work)
        return io.NodeOutput(dataset, "\n".join(lines), ui=shown(dataset))
