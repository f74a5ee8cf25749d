"""A report on a set: what it covers, repeats and lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from comfy_api.latest import io

from ..scoft_training.config import ReportConfig
from . import host
from .live import revision, shown
from .running import carry_out
from .types import ScoftDataset, require_dataset
from .widgets import config_from_widgets, widgets

__all__ = ["DatasetReport"]


class DatasetReport(io.ComfyNode):
    """Coverage, near-duplicates, leaks, blur and captions that repeat, as a page."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftDatasetReport",
            display_name="SCoFT Dataset Report",
            category="SCoFT",
            description="What a set shows by category and era beside CCUB, which pictures and "
            "captions repeat, which are blurred or small, and what leaks into the test split. "
            "Open report shows it as a page.",
            is_output_node=True,
            inputs=[ScoftDataset.Input("dataset"), *widgets(ReportConfig)],
            outputs=[
                ScoftDataset.Output(display_name="dataset"),
                io.String.Output(display_name="summary"),
                io.String.Output(display_name="page", tooltip="The HTML file in the work folder."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **_values: Any) -> Any:
        """Return what changes when a person takes rows in or out, or edits them."""
        return revision("rows")

    @classmethod
    def execute(cls, dataset: Any, **values: Any) -> io.NodeOutput:
        """Measure what was not measured yet and write the page."""
        from ..scoft_training.dataset_report import ReportRequest, make_report

        chosen = require_dataset(dataset)
        request = ReportRequest(
            dataset=chosen.root,
            config=config_from_widgets(ReportConfig, values),
            work=chosen.work,
            device=host.training_device(),
            search_folders=host.helper_folders(),
        )
        made: list[Any] = []

        def events() -> Iterator[Any]:
            made.append((yield from make_report(request, should_stop=host.interrupted)))

        end = carry_out(events(), cls.hidden.unique_id, main="measure", work=chosen.work)
        summary = made[-1].summary()
        ui = shown(chosen)
        ui["scoft"][0]["summary"] = summary
        return io.NodeOutput(chosen, summary, end.name, ui=ui)
