"""Depth of a set's pictures, to look at before negatives are drawn through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..scoft_training.config import NegativesConfig
from . import host
from .live import revision, shown
from .running import carry_out
from .types import ScoftDataset, require_dataset
from .widgets import allow_download, config_from_widgets, widgets

__all__ = ["DepthMaps"]


class DepthMaps(io.ComfyNode):
    """The dataset's pictures and their depth."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftDepthMaps",
            display_name="SCoFT Depth Maps",
            category="SCoFT",
            description="Estimates the depth of each picture with MiDaS, or takes what a row "
            "brings. SCoFT Draw Negatives does so by itself; this node is for looking at it, or "
            "for giving the cut pictures to another depth node and its depth to Draw Negatives.",
            is_output_node=True,
            inputs=[
                ScoftDataset.Input("dataset"),
                *widgets(NegativesConfig, only=("resolution", "crop", "seed")),
                allow_download("MiDaS (some 490 MB)"),
            ],
            outputs=[
                ScoftDataset.Output(display_name="dataset"),
                io.Image.Output(
                    display_name="depth", tooltip="Near things bright, in the order of the rows."
                ),
                io.Image.Output(display_name="pictures", tooltip="Cut as for training."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **_values: Any) -> Any:
        """Return what changes when a person takes rows in or out."""
        return revision("rows")

    @classmethod
    def execute(cls, dataset: Any, allow_download: bool, **values: Any) -> io.NodeOutput:
        """Estimate what is missing."""
        import torch

        from ..scoft_training.depth_maps import SquareCrop, cropped_picture
        from ..scoft_training.helper_runs import DepthRequest, make_depth

        chosen = require_dataset(dataset)
        config = config_from_widgets(NegativesConfig, values)
        found: list[tuple[Any, Path]] = []
        with host.training_mode():
            request = DepthRequest(
                dataset=chosen.root,
                config=config,
                depth=chosen.depth,
                device=str(host.training_device()),
                work=chosen.work,
                allow_download=allow_download,
                search_folders=host.helper_folders(),
            )

            def events() -> Iterator[Any]:
                found.extend((yield from make_depth(request, should_stop=host.interrupted)))

            carry_out(events(), cls.hidden.unique_id, main="depth", work=chosen.work)
            crop = SquareCrop.of(config)
            pictures = [cropped_picture(row, crop).movedim(0, -1) for row, _ in found]
            depth = torch.cat([host.load_image(path) for _, path in found])
            return io.NodeOutput(chosen, depth, torch.stack(pictures), ui=shown(chosen))
