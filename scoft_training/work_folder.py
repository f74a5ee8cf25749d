"""A dataset as its work folder completes it: captions and decisions stated there, negatives drawn.

The user's dataset is read only; what the pack derives lies beside it, see `default_work_folder`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from .config import TrainConfig
from .data import Dataset
from .data_rows import DatasetRow
from .errors import ConfigError, DatasetError
from .files import digest_text
from .negative_sets import NegativeSet, negative_sets, with_negatives
from .overlays import overlaid

__all__ = ["complete_dataset", "default_work_folder"]


def default_work_folder(dataset: Path) -> Path:
    """Return ./scoft-work/<dataset name>-<digest of its real path>; adding a picture keeps it."""
    real = dataset.resolve()
    return Path("scoft-work") / f"{real.name}-{digest_text(str(real))[:8]}"


def complete_dataset(
    dataset: Dataset, work: Path, config: TrainConfig, *, negatives: str | None = None
) -> Dataset:
    """Return the dataset as training sees it, or say what is lacking for the losses that are on.

    Args:
        dataset: as read.
        work: its work folder; may be missing.
        config: which losses are on, and the crop that drawn negatives must have.
        negatives: the set of drawn negatives, or None to take the only one that was drawn for this
            crop; brought negatives count in any case.

    Raises:
        ConfigError: several sets would do, or the named one does not.
        DatasetError: the set has errors that the work folder does not mend, no generic caption
            with L_M on, or no negatives at all with L_C on.
    """
    complete = overlaid(dataset, work)
    complete.require_usable()
    if config.uses_generic_captions:
        _require_generic_captions(complete.rows)
    if not config.uses_negatives:
        return complete
    chosen = negatives or _only_set(work, config)
    if chosen is not None:
        rows = with_negatives(complete.rows, work, chosen, config=config)
        complete = dataclasses.replace(complete, rows=rows)
    if not any(row.negative_paths for row in complete.rows):
        raise DatasetError(
            f"{complete.name}: no row has a negative, neither in `negative_imgpath` nor drawn and "
            f"kept for `resolution` {config.resolution}, but L_C is on. Draw some with `scoft "
            "negatives`, bring your own, or set contrastive_weight to 0."
        )
    return complete


def _require_generic_captions(rows: Sequence[DatasetRow]) -> None:
    lacking = [row for row in rows if not row.generic_captions]
    if not lacking:
        return
    others = f" The same holds for {len(lacking) - 1} more rows." if len(lacking) > 1 else ""
    raise DatasetError(
        f"{lacking[0].where} `blip_text` is missing, but L_M is on and needs a generic "
        "caption. Write one, let `scoft caption` make some, or set memorization_weight to 0."
        f"{others}"
    )


def _only_set(work: Path, config: TrainConfig) -> str | None:
    fitting = [one for one in negative_sets(work) if _fits(one, config)]
    if len(fitting) > 1:
        names = "; ".join(f"{one.digest} ({one.settings['suffix']!r})" for one in fitting)
        raise ConfigError(
            f"{work}: there are {len(fitting)} sets of drawn negatives for this resolution: "
            f"{names}. Say which with --negatives."
        )
    return fitting[0].digest if fitting else None


def _fits(one: NegativeSet, config: TrainConfig) -> bool:
    crop_seed = config.seed if config.crop == "random" else None
    wanted = (config.resolution, config.crop, crop_seed)
    return tuple(one.settings[key] for key in ("resolution", "crop", "crop_seed")) == wanted
