"""KID of a grid's models, and FID if asked for: to held-out pictures and to general ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from .grids import GridPicture
from .intervals import Interval, kid_difference_interval, kid_interval
from .metric_network_interface import MetricNetwork
from .metrics import fid, kid
from .picture_folders import PictureFile
from .score_features import Vectors
from .score_records import Difference, MetricValue
from .score_sets import Drawn
from .score_values import Found, Setting, compared, ends, sentences

__all__ = ["kid_values"]

_ALL_PAIRS = 8
"""Up to so many models KID's differences are taken between any two, not only to the baseline."""

_KID = (
    "unbiased MMD^2 under the kernel (x . y / dim + 1)^3 (Binkowski et al. 2018), x 1000 as papers "
    "print it; torch-fidelity and clean-fid give it raw"
)
_FID = "Frechet distance of the features (Heusel et al. 2017), for sets of one size only"


def kid_values(setting: Setting, network: MetricNetwork, vectors: Vectors) -> Found:
    """KID, and FID if asked for: to held-out pictures, and to general ones."""
    found = Found()
    for key, role, title, reference in (
        ("kid_reference", "test", "KID to held-out pictures", setting.compared.reference),
        ("kid_general", "neutral", "KID to general pictures", setting.compared.general),
    ):
        pictures = setting.drawn(role, readable=vectors.has)
        against = [file for file in reference if vectors.has(file)]
        if pictures is None or not against:
            continue
        count = min(len(pictures.groups), len(against))
        if count < 2:
            found.warnings.append(
                f"{title} is not measured: it needs 2 pictures of either kind but there are "
                f"{len(pictures.groups)} drawn and {len(against)} others. Draw or bring more."
            )
            continue
        made = _Kid(setting, network, vectors, pictures, against, key, title)
        found.add(made.found())
        if setting.config.fid and key == "kid_reference":
            found.add(made.fid())
    return found


class _Kid:
    """One KID of all models to the same pictures."""

    def __init__(
        self,
        setting: Setting,
        network: MetricNetwork,
        vectors: Vectors,
        pictures: Drawn,
        against: Sequence[PictureFile],
        key: str,
        title: str,
    ) -> None:
        self._setting, self._network, self._vectors = setting, network, vectors
        self._pictures, self._against, self._key, self._title = pictures, against, key, title
        self._reference = vectors.of(against)
        # Pictures of one caption are alike, so they are left out together.
        self._groups = pictures.groups if pictures.each > 1 else None
        # The jackknife leaves one out of either set and needs a pair after that.
        self._has_interval = len(pictures.prompts) >= 3 and len(against) >= 3

    def found(self) -> Found:
        """Measure every model, and the differences between them."""
        found = Found()
        size = self._setting.config.kid_subset_size
        fewest = min(len(self._pictures.groups), len(self._against))
        if size > fewest or size == 1:
            found.warnings.append(
                f"{self._title}: `kid_subset_size` {size} must be from 2 to {fewest}, the pictures "
                "of the smaller set, so the whole sets are compared. Draw or bring more, or choose "
                "another size."
            )
            size = 0
        for model, drawings in self._pictures.pictures.items():
            value = self._value(drawings, size)
            found.values[model] = [value]
            _warn(found, self._title, value.note)
        found.differences = list(self._differences())
        return found

    def fid(self) -> Found:
        """FID of every model to the same pictures."""
        found = Found()
        for model, drawings in self._pictures.pictures.items():
            estimate = fid(self._vectors.of(drawings), self._reference)
            found.values[model] = [
                self._record(
                    "fid_reference",
                    "FID to held-out pictures",
                    estimate.value,
                    convention=sentences(f"FID: {_FID}", self._network.convention),
                    note=estimate.warning,
                )
            ]
            _warn(found, "FID to held-out pictures", estimate.warning)
        return compared(self._setting, found)

    def _value(self, drawings: Sequence[GridPicture], size: int) -> MetricValue:
        config, generated = self._setting.config, self._vectors.of(drawings)
        estimate = kid(
            generated,
            self._reference,
            subset_size=size or None,
            num_subsets=config.kid_subsets,
            seed=config.seed,
            keys=([one.sha256 for one in drawings], [one.sha256 for one in self._against]),
        )
        interval = None
        if self._has_interval:
            interval = kid_interval(generated, self._reference, groups=self._groups).scaled(1000)
        how = f"mean of {config.kid_subsets} subsets of {size} pictures" if size else "whole sets"
        return self._record(
            self._key,
            self._title,
            estimate.reported,
            interval=interval,
            unit="x 1000",
            convention=sentences(f"KID: {_KID}; {how}", self._network.convention),
            std=estimate.reported_std,
            note=estimate.warning,
            forms={"raw": estimate.value, "x 1000": estimate.reported},
        )

    def _record(
        self, key: str, title: str, value: float, interval: Interval | None = None, **more: Any
    ) -> MetricValue:
        return MetricValue(
            key,
            title,
            value,
            *ends(interval),
            better="lower",
            network=self._network.name,
            pictures=len(self._pictures.groups),
            captions=len(self._pictures.prompts),
            reference_pictures=len(self._against),
            **more,
        )

    def _differences(self) -> Iterator[Difference]:
        for one, other in self._pairs():
            drawings, baseline = (
                self._vectors.of(self._pictures.pictures[name]) for name in (one, other)
            )
            if self._has_interval:
                interval = kid_difference_interval(
                    drawings, baseline, self._reference, groups=self._groups
                ).scaled(1000)
                yield Difference(one, other, self._key, interval.mean, interval.low, interval.high)
            else:
                values = [kid(each, self._reference).reported for each in (drawings, baseline)]
                yield Difference(one, other, self._key, values[0] - values[1])

    def _pairs(self) -> list[tuple[str, str]]:
        """Return (model, baseline): of each model, and of all others where they are few."""
        names, baseline = list(self._pictures.pictures), self._setting.config.baseline
        pairs = [(name, baseline) for name in names if baseline in names and name != baseline]
        if len(names) <= _ALL_PAIRS:
            others = [name for name in names if name != baseline]
            pairs += [(later, earlier) for earlier, later in combinations(others, 2)]
        return pairs


def _warn(found: Found, title: str, note: str) -> None:
    """Say what holds of all models' values once."""
    if note and (warning := f"{title}: {note}") not in found.warnings:
        found.warnings.append(warning)
