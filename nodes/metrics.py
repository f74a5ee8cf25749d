"""A grid's models measured: do they copy, do they know the culture, what did they forget?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..scoft_training.config import ScoreConfig
from ..scoft_training.metric_networks import metric_network_names, text_metric_network_names
from . import host
from .live import open_grid, revision
from .plots import images
from .running import carry_out
from .types import (
    CanvasScores,
    ScoftDataset,
    ScoftGrid,
    ScoftScores,
    require_dataset,
    require_grid,
    require_scores,
)
from .widgets import allow_download, config_from_widgets, widgets

__all__ = ["CompareModels", "Metrics"]

_NONE = "none"


class Metrics(io.ComfyNode):
    """What was learned, copied and forgotten, in numbers with intervals."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        networks = (*metric_network_names(), _NONE)
        with_text = (*text_metric_network_names(), _NONE)
        choices = {
            "kid_network": networks,
            "clip_network": with_text,
            "diversity_network": networks,
        }
        return io.Schema(
            node_id="ScoftMetrics",
            display_name="SCoFT Metrics",
            category="SCoFT",
            description="Does each model of a grid copy the training pictures, does it know the "
            "culture, did it forget the rest? Shows a table, curves over the steps of a run, and "
            "the checkpoint to keep. Open report shows everything as a page.",
            is_output_node=True,
            inputs=[
                ScoftGrid.Input("grid"),
                ScoftDataset.Input(
                    "dataset",
                    optional=True,
                    tooltip="The set that the captions come from. Without it, what needs its "
                    "pictures is left out.",
                ),
                io.String.Input(
                    "general_folder",
                    default="",
                    tooltip="A folder of general pictures, say of COCO, in ComfyUI's input folder, "
                    "for what was forgotten. Empty compares with the base model's own pictures.",
                ),
                *widgets(ScoreConfig, choices=choices),
                allow_download("the measuring networks"),
            ],
            outputs=[
                ScoftScores.Output(display_name="scores"),
                io.Image.Output(display_name="plots"),
                io.String.Output(display_name="table"),
                io.String.Output(display_name="metrics", tooltip="All numbers, as JSON."),
                io.String.Output(display_name="report", tooltip="The HTML file in the grid."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, general_folder: str = "", **_values: Any) -> Any:
        """Return what changes when rows or general pictures come or go."""
        return [revision("rows"), host.folder_state(general_folder.strip())]

    @classmethod
    def execute(
        cls,
        grid: Any,
        general_folder: str,
        allow_download: bool,
        dataset: Any = None,
        **values: Any,
    ) -> io.NodeOutput:
        """Measure what was not measured yet."""
        from ..scoft_training.metrics_report import text_table, triple_plots
        from ..scoft_training.score_records import METRICS_FILE
        from ..scoft_training.scoring import ScoreRequest, score_grid

        folder = require_grid(grid).folder
        chosen = None if dataset is None else require_dataset(dataset)
        config = config_from_widgets(ScoreConfig, values)
        request = ScoreRequest(
            grid=folder,
            dataset=None if chosen is None else chosen.root,
            work=None if chosen is None else chosen.work,
            general=host.input_folder(general_folder.strip()) if general_folder.strip() else None,
            config=config,
            device=str(host.training_device()),
            search_folders=host.helper_folders(),
            allow_download=allow_download,
        )
        found: list[Any] = []

        def events() -> Iterator[Any]:
            found.append((yield from score_grid(request, should_stop=host.interrupted)))

        with host.training_mode():
            end = carry_out(events(), cls.hidden.unique_id, main=_phases(config), work=folder)
        scores, path, table = found[-1], folder / METRICS_FILE, text_table(found[-1])
        return io.NodeOutput(
            CanvasScores(path),
            images(triple_plots(scores)),
            table,
            path.read_text(encoding="utf-8"),
            end.name,
            ui=_shown(folder, table, metrics=str(path), report=end.name),
        )


class CompareModels(io.ComfyNode):
    """What sets each model apart from one of them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return inputs and outputs; their order is for ever."""
        return io.Schema(
            node_id="ScoftCompareModels",
            display_name="SCoFT Compare Models",
            category="SCoFT",
            description="The models of a grid beside each other: pictures of the same prompts and "
            "seeds, and how far each lies from one of them, with intervals.",
            is_output_node=True,
            inputs=[
                ScoftScores.Input("scores"),
                io.String.Input(
                    "baseline",
                    default="",
                    tooltip="Model that the others are compared with. Empty takes the one that "
                    "SCoFT Metrics compared with.",
                ),
                io.Int.Input(
                    "prompts", default=6, min=1, max=64, tooltip="Rows of the sheet of pictures."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="sheet", tooltip="The same seed in each row."),
                io.Image.Output(display_name="plots"),
                io.String.Output(display_name="table"),
            ],
        )

    @classmethod
    def execute(cls, scores: Any, baseline: str, prompts: int) -> io.NodeOutput:
        """Compare what was measured."""
        from ..scoft_training.grids import read_grid
        from ..scoft_training.metric_sheets import same_seed_sheet, shown_models, shown_prompts
        from ..scoft_training.score_comparison import (
            baseline_of,
            comparison_plots,
            comparison_table,
        )
        from ..scoft_training.score_records import read_scores

        path = require_scores(scores).path
        measured = read_scores(path)
        against = baseline_of(measured, baseline.strip())
        table = comparison_table(measured, against)
        grid = read_grid(path.parent)
        sheet = same_seed_sheet(
            grid, shown_prompts(grid, most=prompts), shown_models(grid, always=[against])
        )
        return io.NodeOutput(
            host.to_image(sheet),
            images(comparison_plots(measured, against)),
            table,
            ui=_shown(path.parent, table, baseline=against),
        )


def _phases(config: ScoreConfig) -> list[str]:
    """The phases that take longest: pictures go through each network once."""
    named = [config.kid_network, config.clip_network]
    named += [*config.similarity_networks.split(","), config.diversity_network]
    used = dict.fromkeys(name.strip() for name in named)
    return [f"pictures under {name}" for name in used if name not in ("", _NONE)]


def _shown(folder: Path, table: str, **values: str) -> dict[str, Any]:
    """Return what the node tells its page of a grid, which is thereby opened, and a client."""
    return {"scoft": [{"grid": open_grid(folder), **values}], "text": [table]}
