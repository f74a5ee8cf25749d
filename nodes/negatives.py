"""Negatives: what the unmodified model draws of the same scenes, filtered."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..scoft_training.backbones import backbone_names
from ..scoft_training.config import NegativesConfig
from . import host
from .live import revision, shown
from .running import carry_out, chosen_config, connected_base
from .types import ScoftDataset, require_dataset
from .widgets import allow_download, widgets

__all__ = ["DrawNegatives"]


class DrawNegatives(io.ComfyNode):
    """The dataset with negatives, and sheets to look at."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftDrawNegatives",
            display_name="SCoFT Draw Negatives",
            category="SCoFT",
            description="Lets the unmodified model draw each scene again, held to its depth, and "
            "drops what is too near to the picture. Queue again to go on where it was stopped.",
            is_output_node=True,
            inputs=[
                io.Model.Input("model"),
                io.Clip.Input("clip"),
                io.Vae.Input("vae"),
                io.ControlNet.Input("control_net", tooltip="A depth ControlNet for the model."),
                ScoftDataset.Input("dataset"),
                *widgets(NegativesConfig, choices={"filter_backbone": (*backbone_names(), "none")}),
                allow_download("a helper network"),
                io.Image.Input(
                    "depth",
                    optional=True,
                    tooltip="Depth of the pictures that SCoFT Depth Maps gives, one for each, near "
                    "things bright; in place of MiDaS.",
                ),
            ],
            outputs=[
                ScoftDataset.Output(display_name="dataset"),
                io.Image.Output(
                    display_name="sheets",
                    is_output_list=True,
                    tooltip="Pictures, depth and negatives: kept ones in green, dropped in red.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def fingerprint_inputs(cls, **_values: Any) -> Any:
        """Return what changes when a person takes rows in or out."""
        return revision("rows")

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        control_net: Any,
        dataset: Any,
        allow_download: bool,
        depth: Any = None,
        **values: Any,
    ) -> io.NodeOutput:
        """Draw what is missing, and filter all of it."""
        from ..scoft_training.helper_runs import NegativesRequest, make_negatives
        from ..scoft_training.models import resolve_precision
        from .bridge_controlnet import controlnet_from_host

        chosen = require_dataset(dataset)
        config, device = chosen_config(NegativesConfig, values)
        with host.training_mode():
            dtype = resolve_precision(config.precision, device)
            request = NegativesRequest(
                dataset=chosen.root,
                base=connected_base(cls.hidden, model, clip, vae, dtype=dtype),
                controlnet=controlnet_from_host(control_net, model, dtype=dtype),
                config=config,
                depth=chosen.depth,
                depth_pictures=None if depth is None else depth.mean(-1)[:, None].clone(),
                device=str(device),
                work=chosen.work,
                allow_download=allow_download,
                search_folders=host.helper_folders(),
            )
            events = make_negatives(request, should_stop=host.interrupted)
            finished = carry_out(events, cls.hidden.unique_id, main="negatives", work=chosen.work)
            folder = Path(finished.name)
            sheets = [host.load_image(path) for path in sorted(folder.glob("sheet-*.png"))]
            drawn = dataclasses.replace(chosen, negatives=folder.name)
            return io.NodeOutput(drawn, sheets, ui=shown(drawn))
