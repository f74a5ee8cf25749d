"""Which negatives are kept: false ones, which already look like their picture, are dropped.

Distances are measured once per backbone and stored, so that another threshold computes nothing.
What a person decided by hand is never overruled (SCoFT, section 8.2; the thresholds are ours).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import torch

from .backbone_interface import PerceptualBackbone
from .config import NegativesConfig
from .data import load_row_pictures
from .data_rows import DatasetRow
from .errors import ConfigError
from .events import Event, HistogramEvent, PhaseEvent, WarningEvent
from .models import on_device
from .negative_sets import (
    NegativeSet,
    RowNegatives,
    change_record,
    new_entry,
    open_negative_set,
    read_row_negatives,
)
from .negative_sheets import histogram_of, numbers_of, save_histogram, save_sheets
from .options import validate

__all__ = ["filter_negatives"]


def filter_negatives(
    rows: Sequence[DatasetRow],
    config: NegativesConfig,
    backbone: PerceptualBackbone | None,
    *,
    work: Path,
    settings: str,
    device: torch.device,
    check_stop: Callable[[], None] = lambda: None,
) -> Generator[Event, None, HistogramEvent | None]:
    """Measure distances that are not known yet and keep what is far enough; returns the counts.

    Negatives that the dataset brings pass the same filter. Beside the set's files, histogram.png
    and sheet-001.png and so on show the outcome. One process does all of it.

    Args:
        rows: usable rows, as the dataset brings them.
        config: `filter_backbone` and `filter_threshold`; the rest is the set's own.
        backbone: the network of that name; None where the name is none.
        work: the work folder.
        settings: digest of the set.
        device: where the backbone computes.
        check_stop: called before each row; raises to stop.

    Raises:
        ConfigError: there is no such set; or neither config nor backbone has a threshold: then the
            distances are stored, and the message tells them.
        DatasetError: a picture cannot be read.
    """
    validate(config)
    chosen = open_negative_set(work, settings)
    folder = chosen.folder(work)
    histogram = None
    if config.filter_backbone == "none" or backbone is None:
        for row in rows:
            _decide(row, work, chosen, None, None)
    else:
        yield from _measure_all(rows, work, chosen, backbone, device, check_stop)
        distances = _distances(rows, work, chosen, backbone.digest)
        if not distances:
            yield WarningEvent("No row has a negative, drawn or brought: nothing to filter.")
            return None
        threshold = config.filter_threshold
        threshold = backbone.filter_threshold if threshold is None else threshold
        histogram = histogram_of(distances, backbone=backbone.name, threshold=threshold)
        save_histogram(folder / "histogram.png", histogram)
        yield histogram
        if threshold is None:
            raise ConfigError(
                f"Nobody has measured a threshold for the backbone {backbone.name!r}. "
                f"{numbers_of(distances, histogram)} Set `filter_threshold`: negatives nearer to "
                "their picture than that are dropped."
            )
        for row in rows:
            _decide(row, work, chosen, backbone.digest, threshold)
    found = [read_row_negatives(row, work, chosen) for row in rows]
    save_sheets(folder, found, chosen)
    without = [str(of_row.row.number) for of_row in found if not _keeps_any(of_row)]
    if without:
        yield WarningEvent(
            f"{len(without)} of {len(rows)} pictures keep no negative and draw no L_C: "
            f"row {', '.join(without)}."
        )
    return histogram


def _measure_all(
    rows: Sequence[DatasetRow],
    work: Path,
    chosen: NegativeSet,
    backbone: PerceptualBackbone,
    device: torch.device,
    check_stop: Callable[[], None],
) -> Generator[Event, None, None]:
    yield PhaseEvent("filter", 0, len(rows))
    with on_device(backbone, device):
        for done, row in enumerate(rows, start=1):
            check_stop()
            _measure(row, work, chosen, backbone, device)
            yield PhaseEvent("filter", done, len(rows))


@torch.no_grad()
def _measure(
    row: DatasetRow,
    work: Path,
    chosen: NegativeSet,
    backbone: PerceptualBackbone,
    device: torch.device,
) -> None:
    """Store S(F(x-), F(x)) of those negatives of a row that this backbone has not seen."""
    found = read_row_negatives(row, work, chosen)
    new = [one for one in found.negatives if backbone.digest not in one.distances]
    if not new:
        return
    pictures = load_row_pictures(
        found.row_with(new),
        resolution=chosen.settings["resolution"],
        crop_mode=chosen.settings["crop"],
        seed=chosen.settings["seed"],
    )
    features = backbone.features(torch.cat([pictures.image[None], pictures.negatives]).to(device))
    distances = backbone.distance(
        [part[1:] for part in features], [part[:1].expand_as(part[1:]) for part in features]
    )

    def change(record: dict[str, Any]) -> None:
        for negative, distance in zip(new, distances.tolist(), strict=True):
            entry = record["negatives"].setdefault(negative.name, new_entry(None))
            entry["distances"][backbone.digest] = distance

    change_record(found.folder, change)


def _distances(
    rows: Sequence[DatasetRow], work: Path, chosen: NegativeSet, digest: str
) -> list[float]:
    """Every negative's distance; rows of the same picture and captions share theirs."""
    found = [read_row_negatives(row, work, chosen) for row in rows]
    measured = {
        (of_row.folder, one.name): one.distances[digest]
        for of_row in found
        for one in of_row.negatives
    }
    return list(measured.values())


def _decide(
    row: DatasetRow,
    work: Path,
    chosen: NegativeSet,
    digest: str | None,
    threshold: float | None,
) -> None:
    """Keep what is not under the threshold; without one, everything."""
    found = read_row_negatives(row, work, chosen)

    def change(record: dict[str, Any]) -> None:
        for negative in found.negatives:
            entry = record["negatives"].setdefault(negative.name, new_entry(None))
            entry["distance"] = None if digest is None else entry["distances"][digest]
            kept = threshold is None or entry["distance"] >= threshold
            if entry["by"] == "user":
                entry["filtered"] = kept
            else:
                entry |= {"kept": kept, "by": "filter"}

    if found.negatives:
        change_record(found.folder, change)


def _keeps_any(found: RowNegatives) -> bool:
    return any(negative.kept for negative in found.negatives)
