"""A table of links, downloaded into a dataset of ComfyUI's input folder."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..scoft_training.config import DownloadConfig
from . import host
from .live import shown
from .running import carry_out
from .types import CanvasDataset, ScoftDataset
from .widgets import config_from_widgets, widgets

__all__ = ["DownloadDataset"]

_NOTHING_YET = "(no table found)"


class DownloadDataset(io.ComfyNode):
    """A table of links and captions made a dataset."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftDownloadDataset",
            display_name="SCoFT Download Dataset",
            category="SCoFT",
            description="Fetches the pictures of a table of links and captions, as CCUB is "
            "published, into a dataset of ComfyUI's input folder. Queued again, it goes on; rows "
            "without a picture stay in the table, so that someone can replace them.",
            is_output_node=True,
            inputs=[
                io.Combo.Input(
                    "table",
                    options=host.table_names() or [_NOTHING_YET],
                    tooltip="A .csv or .tsv file in ComfyUI's input folder, with a header row.",
                ),
                io.String.Input(
                    "name",
                    default="my_dataset",
                    tooltip="The dataset's folder, made in ComfyUI's input folder.",
                ),
                *widgets(DownloadConfig),
            ],
            outputs=[
                ScoftDataset.Output(display_name="dataset"),
                io.String.Output(display_name="summary"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **_values: Any) -> Any:
        """Return what never repeats: what may come back is asked again."""
        return float("nan")

    @classmethod
    def execute(cls, table: str, name: str, **values: Any) -> io.NodeOutput:
        """Fetch what is missing."""
        from ..scoft_training.download_report import report_text
        from ..scoft_training.downloads import DownloadRequest, download, download_verdicts

        root = host.new_dataset_folder(name)
        work = host.work_folder(root)
        request = DownloadRequest(
            table=host.table_path(table),
            folder=root,
            config=config_from_widgets(DownloadConfig, values),
        )
        events = download(request, should_stop=host.interrupted)
        carry_out(events, cls.hidden.unique_id, main="links", work=work)
        dataset = CanvasDataset(root, work)
        summary = report_text(download_verdicts(root))
        return io.NodeOutput(dataset, summary, ui=shown(dataset))
