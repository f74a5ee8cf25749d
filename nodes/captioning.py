"""Generic captions, written by BLIP for pictures that have none."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..scoft_training.config import CaptionConfig
from . import host
from .live import revision, shown
from .running import carry_out, chosen_config
from .types import ScoftDataset, require_dataset
from .widgets import allow_download, widgets

__all__ = ["Caption"]


class Caption(io.ComfyNode):
    """The dataset, its generic captions complete."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftCaption",
            display_name="SCoFT Caption",
            category="SCoFT",
            description="Lets BLIP write plain captions, which L_M and the negatives need, for "
            "pictures that have none. They go into the work folder; the dataset stays as it is.",
            is_output_node=True,
            inputs=[
                ScoftDataset.Input("dataset"),
                io.Boolean.Input(
                    "every_row",
                    default=False,
                    tooltip="Caption pictures that have plain captions, too.",
                ),
                allow_download("BLIP"),
                *widgets(CaptionConfig),
            ],
            outputs=[ScoftDataset.Output(display_name="dataset")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **_values: Any) -> Any:
        """Return what changes when a person takes rows in or out."""
        return revision("rows")

    @classmethod
    def execute(
        cls, dataset: Any, every_row: bool, allow_download: bool, **values: Any
    ) -> io.NodeOutput:
        """Write what is missing."""
        from ..scoft_training.helper_runs import CaptionRequest, make_captions

        chosen = require_dataset(dataset)
        config, device = chosen_config(CaptionConfig, values)
        with host.training_mode():
            request = CaptionRequest(
                dataset=chosen.root,
                config=config,
                every_row=every_row,
                device=str(device),
                work=chosen.work,
                allow_download=allow_download,
                search_folders=host.helper_folders(),
            )
            carry_out(
                make_captions(request, should_stop=host.interrupted),
                cls.hidden.unique_id,
                main="captions of pictures",
                work=chosen.work,
            )
        return io.NodeOutput(chosen, ui=shown(chosen))
