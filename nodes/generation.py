"""Pictures without and with a LoRA, same prompts and same seeds, as one grid."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..scoft_training.config import GenerateConfig
from ..scoft_training.errors import ConfigError
from . import host
from .running import chosen_config, connected_base
from .widgets import widgets

__all__ = ["Compare"]


class Compare(io.ComfyNode):
    """A grid that shows what a LoRA changed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftCompare",
            display_name="SCoFT Compare",
            category="SCoFT",
            description="Draws every prompt with every seed, first without the LoRA, then with it, "
            "by the engine's own DDIM.",
            inputs=[
                io.Model.Input("model", tooltip="Without the LoRA on it."),
                io.Clip.Input("clip"),
                io.Vae.Input("vae"),
                io.LoraModel.Input("lora"),
                io.String.Input(
                    "prompts", multiline=True, default="", tooltip="One prompt a line."
                ),
                io.Int.Input(
                    "first_seed",
                    default=0,
                    min=0,
                    max=2**32 - 1,
                    control_after_generate=False,
                    tooltip="Seed of the first column; the next ones count up.",
                ),
                io.Int.Input("num_seeds", default=4, min=1, max=64, tooltip="Columns of the grid."),
                *widgets(GenerateConfig),
            ],
            outputs=[
                io.Image.Output(display_name="grid"),
                io.Image.Output(display_name="without"),
                io.Image.Output(display_name="with"),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        lora: Any,
        prompts: str,
        first_seed: int,
        num_seeds: int,
        **values: Any,
    ) -> io.NodeOutput:
        """Draw the grid."""
        import torch

        from ..scoft_training.generation import contact_sheet, generate
        from ..scoft_training.lora_files import lora_from_state_dict
        from ..scoft_training.models import resolve_precision
        from ..scoft_training.options import validate

        asked = [line.strip() for line in prompts.splitlines() if line.strip()]
        if not asked:
            raise ConfigError("`prompts`: is empty. Write one prompt a line.")
        config, device = chosen_config(GenerateConfig, values)
        validate(config)
        seeds = range(first_seed, first_seed + num_seeds)
        progress, pictures = host.Progress(), []
        with host.training_mode():
            dtype = resolve_precision(config.precision, device)
            base = connected_base(cls.hidden, model, clip, vae, dtype=dtype)
            for picture in generate(
                base,
                asked,
                seeds,
                config,
                lora=lora_from_state_dict(host.lora_tensors(lora), base.unet, where="`lora`"),
                device=device,
                dtype=dtype,
                check_stop=host.raise_if_interrupted,
            ):
                pictures.append(picture)
                progress.update(len(pictures) / (2 * len(asked) * num_seeds))
            halves = [
                torch.stack([p.image for p in pictures if p.with_lora is with_lora])
                for with_lora in (False, True)
            ]
            without, with_it = (half.movedim(1, -1) for half in halves)
            return io.NodeOutput(host.to_image(contact_sheet(pictures)), without, with_it)
