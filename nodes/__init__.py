"""The pack's nodes, in the order of the menu. All the work is in `scoft_training`."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from ..scoft_training.miniature.loading import register
from .captioning import Caption
from .data import LoadDataset
from .dataset_report import DatasetReport
from .depth_maps import DepthMaps
from .downloads import DownloadDataset
from .exporting import ExportDataset
from .generation import Compare
from .grids import DrawGrid
from .lora_files import ApplyLora, SaveLora
from .metrics import CompareModels, Metrics
from .miniature import LoadMiniature
from .negatives import DrawNegatives
from .routes import add_routes
from .survey import AggregateSurvey, MakeSurvey
from .trainer import TrainLora

__all__ = ["NODES", "ScoftExtension"]

NODES: list[type[io.ComfyNode]] = [
    LoadDataset,
    DownloadDataset,
    LoadMiniature,
    DatasetReport,
    Caption,
    DepthMaps,
    DrawNegatives,
    ExportDataset,
    TrainLora,
    ApplyLora,
    SaveLora,
    Compare,
    DrawGrid,
    Metrics,
    CompareModels,
    MakeSurvey,
    AggregateSurvey,
]

register()
add_routes()


class ScoftExtension(ComfyExtension):
    """What the host asks for the nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the nodes in the order of the menu."""
        return NODES
