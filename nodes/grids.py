"""Grids: prompts x seeds x models from the same noise, to be measured and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..scoft_training.config import GenerateConfig, GridConfig
from ..scoft_training.errors import ConfigError
from ..scoft_training.options import options
from . import host
from .live import revision
from .running import carry_out, chosen_config, connected_base, warn
from .types import CanvasGrid, ScoftDataset, ScoftGrid, require_dataset
from .widgets import config_from_widgets, widgets

if TYPE_CHECKING:
    from ..scoft_training.grids import GridPrompt, GridSource

__all__ = ["DrawGrid"]

_LORAS = ("lora_1", "lora_2", "lora_3", "lora_4")
# Strengths are the models' own.
_DRAWING = tuple(
    option.name for option in options(GenerateConfig) if option.name != "lora_strength"
)


class DrawGrid(io.ComfyNode):
    """A folder of pictures for the nodes that measure and compare."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftDrawGrid",
            display_name="SCoFT Draw Grid",
            category="SCoFT",
            description="Draws prompts x seeds x models, every model from the same noise: a "
            "dataset's captions and prompts of your own, by the base model, LoRAs and the steps of "
            "a training. Queue again to go on where it was stopped.",
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="The base model, without a LoRA on it."),
                io.Clip.Input("clip"),
                io.Vae.Input("vae"),
                ScoftDataset.Input("dataset", optional=True, tooltip="Its captions are drawn for."),
                *(io.LoraModel.Input(name, optional=True) for name in _LORAS),
                io.String.Input(
                    "checkpoints_of",
                    optional=True,
                    force_input=True,
                    tooltip="The path that SCoFT Train LoRA gives: each snapshot and checkpoint of "
                    "that training, and its LoRA, is a model of the grid.",
                ),
                io.String.Input(
                    "names",
                    multiline=True,
                    default="",
                    tooltip="Names of the connected LoRAs, one a line; empty is LoRA 1 and so on.",
                ),
                io.String.Input(
                    "lora_files",
                    multiline=True,
                    default="",
                    tooltip="Further models: files of the loras folders, one a line, as "
                    "name = file @ strength; name and strength may be left out.",
                ),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    default="",
                    tooltip="One prompt a line. `neutral: ...` is one about nothing of the "
                    "culture, which tells what else was forgotten.",
                ),
                io.Int.Input(
                    "num_seeds",
                    default=4,
                    min=1,
                    max=1000,
                    tooltip="Pictures of each of these prompts. Each has seeds of its own, "
                    "counted up from run_seed, which all models share.",
                ),
                *widgets(GridConfig),
                *widgets(GenerateConfig, only=_DRAWING),
                io.String.Input(
                    "grid_name",
                    default="grid",
                    tooltip="Begins the folder's name below output/scoft/grids.",
                ),
            ],
            outputs=[
                ScoftGrid.Output(display_name="grid"),
                io.Image.Output(display_name="sheet", tooltip="The same seed by every model."),
                io.String.Output(display_name="folder"),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def fingerprint_inputs(cls, **_values: Any) -> Any:
        """Return what changes when a person takes rows in or out, or a training goes on."""
        return revision("rows", "run")

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        names: str,
        lora_files: str,
        prompts: str,
        num_seeds: int,
        grid_name: str,
        dataset: Any = None,
        checkpoints_of: str | None = None,
        **values: Any,
    ) -> io.NodeOutput:
        """Draw what is missing of the grid."""
        from ..scoft_training.grid_drawing import GridRequest, draw_grid
        from ..scoft_training.grids import read_grid
        from ..scoft_training.metric_sheets import same_seed_sheet
        from ..scoft_training.models import resolve_precision
        from ..scoft_training.options import validate

        grid_config = config_from_widgets(GridConfig, values)
        config, device = chosen_config(GenerateConfig, values)
        for one in (grid_config, config):
            validate(one)
        asked, warnings = _prompts(dataset, prompts, num_seeds, grid_config)
        for warning in warnings:
            warn(cls.hidden.unique_id, warning)
        sources = _sources(
            [values[name] for name in _LORAS if values.get(name) is not None],
            names,
            lora_files,
            _run_folder(checkpoints_of),
        )
        with host.training_mode():
            dtype = resolve_precision(config.precision, device)
            base = connected_base(cls.hidden, model, clip, vae, dtype=dtype)
            request = GridRequest(
                folder=Path(),
                base=base,
                sources=sources,
                prompts=asked,
                config=config,
                batch_size=grid_config.batch_size,
                device=str(device),
            )
            folder = _folder(grid_name, request, dtype)
            # A model more makes another folder, whose other models need not draw again.
            others = sorted(folder.parent.glob("*/"))
            request = dataclasses.replace(request, folder=folder, reuse=others)
            events = draw_grid(request, should_stop=host.interrupted)
            carry_out(events, cls.hidden.unique_id, main="grid", work=request.folder)
        grid = read_grid(request.folder)
        said = f"{len(grid.pictures)} pictures by {len(grid.models)} models: {request.folder.name}"
        return io.NodeOutput(
            CanvasGrid(request.folder),
            host.to_image(same_seed_sheet(grid)),
            str(request.folder),
            ui={"text": [said]},
        )


def _prompts(
    dataset: Any, typed: str, num_seeds: int, config: GridConfig
) -> tuple[list[GridPrompt], list[str]]:
    """Return what is drawn, and what is to be known of it."""
    from ..scoft_training.grid_prompts import (
        dataset_prompts,
        seeded,
        typed_prompt,
        with_general,
    )

    prompts: list[GridPrompt] = []
    warnings: list[str] = []
    if dataset is not None:
        chosen = require_dataset(dataset)
        prompts, warnings = dataset_prompts(chosen.root, chosen.work, config)
    lines = [typed_prompt(line) for line in typed.splitlines() if line.strip()]
    prompts += seeded(lines, config.seed, num_seeds)
    if not prompts:
        raise ConfigError(
            "`prompts`: is empty, and no dataset is connected. Write one prompt a line, or connect "
            "SCoFT Load Dataset."
        )
    return with_general(prompts), warnings


def _sources(
    connected: Sequence[Any], names: str, files: str, run: Path | None
) -> list[GridSource]:
    """Return the base, the connected LoRAs, the files' and the run's."""
    from ..scoft_training.grids import BASE, GridSource
    from ..scoft_training.run_loras import named_lora, run_loras

    lines = [line.strip() for line in names.splitlines()]
    sources = [GridSource(BASE)]
    for index, lora in enumerate(connected):
        name = (lines[index] if index < len(lines) else "") or f"LoRA {index + 1}"
        sources.append(GridSource(name, host.lora_tensors(lora)))
    for line in filter(None, map(str.strip, files.splitlines())):
        name, file, strength = named_lora(line)
        sources.append(GridSource(name, host.lora_file(file), strength))
    return sources if run is None else [*sources, *run_loras(run)]


def _run_folder(text: str | None) -> Path | None:
    """Return the folder of the training whose LoRA's path is connected.

    Raises:
        ConfigError: it is no path of a LoRA that this pack trained here.
    """
    if not text or not text.strip():
        return None
    path = Path(text.strip())
    if host.is_ours(path) and (path.parent / "config.json").is_file():
        return path.parent
    raise ConfigError(
        f"`checkpoints_of`: {text!r} is not the path of a LoRA that SCoFT Train LoRA made. Connect "
        "its `path`."
    )


def _folder(name: str, request: Any, dtype: Any) -> Path:
    """Return the folder of exactly this grid, so that the same graph goes on with it."""
    from ..scoft_training.files import digest_json
    from ..scoft_training.grid_drawing import drawing_settings, grid_models

    asked: Mapping[str, Any] = {
        "base": request.base.digest,
        "drawing": drawing_settings(request.config, dtype),
        "models": [
            dataclasses.asdict(model) for model in grid_models(request.base, request.sources)
        ],
        "prompts": [dataclasses.asdict(prompt) for prompt in request.prompts],
    }
    return host.grid_folder(name, digest_json(asked)[:8])
