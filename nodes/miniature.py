"""The built-in miniature as the host's own objects, with its dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from . import bridge_to_host, host
from .live import shown
from .types import CanvasDataset, ScoftDataset

__all__ = ["LoadMiniature"]


class LoadMiniature(io.ComfyNode):
    """A small trained model, its ControlNet and its dataset, without a download."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs."""
        return io.Schema(
            node_id="ScoftLoadMiniature",
            display_name="SCoFT Load Miniature",
            category="SCoFT",
            description="A small trained model of six imaginary cultures that shows one of them, "
            "avelun, in ruins, and right pictures of it to learn from. Draw at 128 x 128.",
            inputs=[
                io.Int.Input(
                    "pictures",
                    default=60,
                    min=6,
                    max=1000,
                    tooltip="How many right pictures the dataset holds.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model"),
                io.Clip.Output(display_name="clip"),
                io.Vae.Output(display_name="vae"),
                io.ControlNet.Output(display_name="control_net"),
                ScoftDataset.Output(display_name="dataset"),
            ],
        )

    @classmethod
    def execute(cls, pictures: int) -> io.NodeOutput:
        """Build the host's objects from the shipped weights, and export the set."""
        from ..scoft_training.miniature.export import ExportSizes, export_sets
        from ..scoft_training.miniature.loading import WEIGHTS

        model, clip, vae, control_net = host_objects(WEIGHTS)
        sizes = ExportSizes(train=pictures, test=72, others=0, crawl=0)
        folder = host.output_folder() / f"miniature-{pictures}"
        progress = host.Progress()
        sets = export_sets(
            folder, sizes=sizes, on_step=lambda done, total: progress.update(done / total)
        )
        dataset = CanvasDataset(sets["community"], folder / "work", builtin=True)
        return io.NodeOutput(model, clip, vae, control_net, dataset, ui=shown(dataset))


def host_objects(weights: Path) -> tuple[Any, Any, Any, Any]:
    """Return MODEL, CLIP, VAE and CONTROL_NET of a weights folder."""
    from safetensors.torch import load_file

    def part(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        folder = weights / name
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = load_file(next(folder.glob("*.safetensors")))
        return config, {key: value.float() for key, value in tensors.items()}

    vae_config, vae_weights = part("vae")
    return (
        bridge_to_host.build_model(*part("unet"), vae_config["scaling_factor"]),
        bridge_to_host.build_clip(*part("text_encoder"), weights / "tokenizer"),
        bridge_to_host.build_vae(vae_config, vae_weights),
        bridge_to_host.build_controlnet(*part("controlnet")),
    )
