"""The example workflows as data: nodes by number, their values, and where they stand.

`make_workflows.py` builds them in the front end. Values that are not named stay at their defaults.
"""

from .evaluation import ABLATION_GRID, SCORE_LORA
from .miniature import GRADIENT_STEPS, QUICK_START
from .own_models import APPLY_LORA, CURATE, DOWNLOADS, NEGATIVES_ONLY, OWN_DATASET
from .parts import Graph, Group, Node
from .survey import SURVEY_MAKE, SURVEY_READ

__all__ = ["DOWNLOADS", "GRAPHS", "Graph", "Group", "Node"]

GRAPHS = (
    QUICK_START,
    CURATE,
    OWN_DATASET,
    NEGATIVES_ONLY,
    GRADIENT_STEPS,
    APPLY_LORA,
    SCORE_LORA,
    ABLATION_GRID,
    SURVEY_MAKE,
    SURVEY_READ,
)
