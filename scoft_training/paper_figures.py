"""The numbers that the paper reports, to stand beside one's own (tables 1, 2 and 4).

They were measured on Stable Diffusion with the paper's networks, prompts and held-out pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

__all__ = ["PAPER_NOTE", "is_paper_base", "paper_overall", "paper_per_culture"]

PAPER_NOTE = (
    "paper: what the paper reports; not comparable where base model, networks, prompts or held-out "
    "pictures differ from its own."
)

_Row: TypeAlias = Mapping[str, float]

_TABLE_1: Mapping[str, _Row] = {
    "sd": {"kid_reference": 30.355, "kid_general": 4.396, "clip_score": 0.813},
    "m": {"kid_reference": 22.643, "kid_general": 4.711, "clip_score": 0.802},
    "mp": {"kid_reference": 21.360, "kid_general": 4.936, "clip_score": 0.800},
    "mpc": {"kid_reference": 19.621, "kid_general": 4.819, "clip_score": 0.799},
}

_TABLE_2: Mapping[str, _Row] = {
    "ldm": {
        "similarity_clip_vit_b32": 0.912,
        "similarity_dino_vits16": 0.836,
        "similarity_dreamsim": 0.591,
        "diversity_train": 0.302,
        "diversity_test": 0.317,
        "clip_score": 0.824,
    },
    "m": {
        "similarity_clip_vit_b32": 0.897,
        "similarity_dino_vits16": 0.808,
        "similarity_dreamsim": 0.550,
        "diversity_train": 0.356,
        "diversity_test": 0.379,
        "clip_score": 0.814,
    },
}
"""Fine-tuning without and with L_M."""

_TABLE_4: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "kid_reference": {
        "sd": (25.244, 28.061, 32.687, 39.988, 25.796),
        "m": (18.798, 24.118, 24.539, 20.566, 25.196),
        "mp": (15.895, 23.007, 25.638, 19.799, 22.462),
        "mpc": (14.667, 17.413, 23.261, 18.342, 24.424),
    },
    "kid_general": {
        "sd": (4.396,) * 5,
        "m": (4.890, 4.497, 4.461, 5.342, 4.364),
        "mp": (5.090, 4.403, 5.135, 5.112, 4.941),
        "mpc": (5.102, 4.222, 4.987, 5.457, 4.325),
    },
    "clip_score": {
        "sd": (0.827, 0.844, 0.799, 0.773, 0.819),
        "m": (0.804, 0.832, 0.792, 0.757, 0.825),
        "mp": (0.798, 0.836, 0.792, 0.753, 0.823),
        "mpc": (0.793, 0.825, 0.795, 0.753, 0.829),
    },
}
"""Figure -> arm -> one value a culture, in the order of `_CULTURES`."""

_CULTURES: tuple[frozenset[str], ...] = (
    frozenset({"china", "chinese", "cn"}),
    frozenset({"korea", "korean", "kr", "south-korea", "south_korea"}),
    frozenset({"nigeria", "nigerian", "ng"}),
    frozenset({"india", "indian", "in"}),
    frozenset({"mexico", "mexican", "mx"}),
)

_ARMS = frozenset({"sd", "ldm", "m", "mp", "mpc"})


def paper_overall(table: int, arm: str) -> dict[str, float]:
    """Return the paper's row of table 1 or 2 for an arm of that name; empty where it has none."""
    rows = {1: _TABLE_1, 2: _TABLE_2}[table]
    return dict(rows.get(_paper_arm(arm), {}))


def paper_per_culture(key: str, arm: str, culture: str) -> float | None:
    """Return the paper's value of table 4 for an arm and a culture of that name, or None."""
    row = _TABLE_4.get(key, {}).get(_paper_arm(arm))
    places = [place for place, names in enumerate(_CULTURES) if culture.casefold() in names]
    return row[places[0]] if row is not None and places else None


def is_paper_base(arm: str) -> bool:
    """Whether a name is that of the paper's model without a LoRA."""
    return _paper_arm(arm) == "sd"


def _paper_arm(arm: str) -> str:
    """Return the paper's short name of an arm, say mpc for `SD+MPC`; empty where it has none."""
    name = arm.casefold().removeprefix("sd+")
    return "sd" if name == "base" else name if name in _ARMS else ""
