"""LoRAs on the host's models, and as files that the host's loaders list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..scoft_training.errors import ConfigError
from . import host

__all__ = ["ApplyLora", "SaveLora"]

_CONNECTED = "(the connected one)"


class ApplyLora(io.ComfyNode):
    """MODEL and CLIP with a LoRA on them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftApplyLora",
            display_name="SCoFT Apply LoRA",
            category="SCoFT",
            description="Puts a trained LoRA on a model: the connected one, or a file of the loras "
            "folders. Refuses a LoRA that does not fit instead of leaving it out silently.",
            inputs=[
                io.Model.Input("model"),
                io.Combo.Input(
                    "lora_name",
                    options=[_CONNECTED, *host.lora_names()],
                    default=_CONNECTED,
                    tooltip="A file of the loras folders, or the LoRA that is connected.",
                ),
                io.Float.Input(
                    "strength_model",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.01,
                    tooltip="Factor on the LoRA's update of the model; 0 is the model as it was.",
                ),
                io.Float.Input(
                    "strength_clip",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.01,
                    tooltip="The same for the text encoder. SCoFT trains none, other LoRAs may.",
                ),
                io.LoraModel.Input("lora", optional=True),
                io.Clip.Input("clip", optional=True),
            ],
            outputs=[io.Model.Output(display_name="model"), io.Clip.Output(display_name="clip")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        lora_name: str,
        strength_model: float,
        strength_clip: float,
        lora: Any = None,
        clip: Any = None,
    ) -> io.NodeOutput:
        """Return patched clones."""
        if lora_name == _CONNECTED and lora is None:
            raise ConfigError("`lora`: connect a LoRA, or choose a file in `lora_name`.")
        if lora_name != _CONNECTED and lora is not None:
            raise ConfigError(
                f"`lora_name`: a LoRA is connected and {lora_name!r} is chosen as well. Set "
                f"`lora_name` to {_CONNECTED}, or take the connection off."
            )
        tensors = host.load_lora(lora_name) if lora is None else lora
        return io.NodeOutput(*host.apply_lora(model, clip, tensors, strength_model, strength_clip))


class SaveLora(io.ComfyNode):
    """The trained file in the loras folder, with its record."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftSaveLora",
            display_name="SCoFT Save LoRA",
            category="SCoFT",
            description="Copies a trained LoRA, with all that its header records, to output/loras, "
            "where Load LoRA finds it, and writes a model card beside it. Replaces nothing.",
            is_output_node=True,
            inputs=[
                io.String.Input(
                    "path", force_input=True, tooltip="The path that SCoFT Train LoRA gives."
                ),
                io.String.Input("name", default="scoft", tooltip="Name of the new file."),
            ],
            outputs=[io.String.Output(display_name="file")],
        )

    @classmethod
    def execute(cls, path: str, name: str) -> io.NodeOutput:
        """Copy the file and write its card."""
        from ..scoft_training.files import copy_file, write_text
        from ..scoft_training.lora_files import read_metadata
        from ..scoft_training.model_card import model_card

        source = Path(path)
        if not host.is_ours(source) or not source.is_file():
            raise ConfigError(
                f"`path`: {path!r} is not a LoRA that SCoFT Train LoRA made. Connect its `path`."
            )
        target = host.lora_path(name)
        copy_file(source, target)
        write_text(target.with_suffix(".md"), model_card(target.stem, read_metadata(target)))
        return io.NodeOutput(str(target), ui={"text": [f"Saved {target.name} and its card."]})
