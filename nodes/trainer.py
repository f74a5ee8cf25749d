"""Training a LoRA with the four losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..scoft_training.backbones import backbone_names
from ..scoft_training.config import MemoryConfig, TrainConfig, preset_differences
from ..scoft_training.events import StoppedEvent
from ..scoft_training.options import options
from . import host
from .live import LiveRun, decided, revision
from .running import carry_out, chosen_config, connected_base, warn
from .types import ScoftDataset, require_dataset
from .widgets import allow_download, config_from_widgets, widgets

__all__ = ["TrainLora"]

# Saved graphs know widgets by their place, so an option that came later stands behind the others.
_LATER = ("snapshot_every",)
_FIRST = tuple(option.name for option in options(TrainConfig) if option.name not in _LATER)


class TrainLora(io.ComfyNode):
    """The dataset and a model in, a LoRA out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftTrainLora",
            display_name="SCoFT Train LoRA",
            category="SCoFT",
            description="Trains a LoRA with SCoFT's losses. Queue the same graph again to go on "
            "with a run that was stopped.",
            is_output_node=True,
            inputs=[
                io.Model.Input("model"),
                io.Clip.Input("clip"),
                io.Vae.Input("vae"),
                ScoftDataset.Input("dataset"),
                io.LoraModel.Input(
                    "existing_lora", optional=True, tooltip="A LoRA of the same rank to go on from."
                ),
                *widgets(
                    TrainConfig, choices={"perceptual_backbone": backbone_names()}, only=_FIRST
                ),
                *widgets(MemoryConfig),
                allow_download("a helper network"),
                *widgets(TrainConfig, only=_LATER),
            ],
            outputs=[
                io.LoraModel.Output(display_name="lora"),
                io.LossMap.Output(display_name="loss_map"),
                io.String.Output(display_name="path"),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def fingerprint_inputs(cls, **_values: Any) -> Any:
        """Return what changes when a person decided on a picture or stopped a run."""
        return revision("rows", "negatives", "run")

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        dataset: Any,
        existing_lora: dict[str, Any] | None = None,
        allow_download: bool = True,
        **values: Any,
    ) -> io.NodeOutput:
        """Train, or go on with the same run."""
        from safetensors.torch import load_file

        from ..scoft_training.models import resolve_precision
        from ..scoft_training.run_folder import read_steps
        from ..scoft_training.runs import RunRequest, run_training

        chosen = require_dataset(dataset)
        config, device = chosen_config(TrainConfig, values)
        if differences := preset_differences(config):
            warn(
                cls.hidden.unique_id,
                f"The preset {config.preset!r} is named, but the widgets say otherwise: "
                f"{'; '.join(differences)}. The widgets count, and the run is recorded as custom. "
                "Set them to the preset's values, or `preset` to custom.",
            )
        with host.training_mode():
            dtype = resolve_precision(config.precision, device)
            request = RunRequest(
                dataset=chosen.root,
                base=connected_base(cls.hidden, model, clip, vae, dtype=dtype),
                config=config,
                memory=config_from_widgets(MemoryConfig, values),
                device=str(device),
                work=chosen.work,
                negatives=chosen.negatives,
                init_lora=None if existing_lora is None else host.lora_tensors(existing_lora),
                allow_download=allow_download,
                search_folders=host.helper_folders(),
            )
            run = LiveRun(str(cls.hidden.unique_id), chosen.work / "runs")
            ended = carry_out(
                run_training(request, should_stop=lambda: run.stopping or host.interrupted()),
                cls.hidden.unique_id,
                main="steps",
                work=chosen.work,
                run=run,
            )
            path = Path(ended.name)
            if isinstance(ended, StoppedEvent):
                # Queued again, the same graph has to go on instead of giving this result again.
                decided("run")
            losses = [step["total_loss"] for step in read_steps(path.parent)]
            return io.NodeOutput(
                load_file(path), {"loss": losses}, str(path), ui={"scoft": [{"run": run.run_id}]}
            )
