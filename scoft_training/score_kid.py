"""KID of a grid's models, and FID if asked for: to held-out pictures and to general ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from .grids import GridPicture
from .intervals import Interval, jackknife_interval, subsets_interval
from .kid_sums import KidReference, LeftOutKid
from .metric_network_interface import MetricNetwork
from .metrics import KidEstimate, few_for_kid, fid, kid
from .picture_folders import PictureFile
from .score_features import Vectors
from .score_records import Difference, MetricValue
from .score_sets import Drawn
from .score_values import Found, Setting, compared, ends, sentences

__all__ = ["kid_values"]

_KID = (
    "unbiased MMD^2 under the kernel (x . y / dim + 1)^3 (Binkowski et al. 2018), x 1000 as papers "
    "print it; torch-fidelity and clean-fid give it raw"
)
_SAME_PROMPTS = (
    "pairs of pictures of one prompt are left out (torch-fidelity's u-statistic), since the base "
    "drew the general pictures for the same prompts"
)
_OWN_PICTURES = (
    "among the held-out pictures are those whose captions were drawn for, as in the paper and in "
    "common use: where drawings resemble them, KID comes out lower, the more so the fewer there are"
)
_FID = "Frechet distance of the features (Heusel et al. 2017), for sets of one size only"


@dataclass(frozen=True)
class _Reference:
    """What drawings for the prompts of `role` are compared with: `name` in words.

    `prompts` has the prompt of each file where the base drew them for the grid's own prompts, and
    is empty else.
    """

    key: str
    name: str
    role: str
    files: Sequence[PictureFile]
    prompts: Sequence[str] = ()


def kid_values(setting: Setting, network: MetricNetwork, vectors: Vectors) -> Found:
    """KID, and FID if asked for: to held-out pictures, and to general ones."""
    others, found = setting.compared, Found()
    compared_with = "held-out pictures" if setting.captioned else "the reference pictures"
    for reference in (
        _Reference("kid_reference", compared_with, "test", others.reference),
        _Reference(
            *("kid_general", "general pictures", "neutral"),
            *(others.general, others.general_prompts),
        ),
    ):
        pictures = setting.drawn(reference.role, readable=vectors.has)
        if pictures is None or not any(map(vectors.has, reference.files)):
            continue
        made = _Kid(setting, network, vectors, pictures, reference)
        found.add(made.found())
        if setting.config.fid and reference.role == "test":
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
        reference: _Reference,
    ) -> None:
        self._setting, self._network, self._vectors = setting, network, vectors
        self._pictures, self._key, self._name = pictures, reference.key, reference.name
        self._title = f"KID to {reference.name}"
        places = [place for place, file in enumerate(reference.files) if vectors.has(file)]
        self._against = [reference.files[place] for place in places]
        self._reference = vectors.of(self._against)
        # Pictures of one caption are alike, so they are left out together.
        self._groups = pictures.groups if pictures.each > 1 else None
        self._reference_groups: list[int] | None = None
        self._units = len(pictures.prompts), len(self._against)
        if reference.prompts:
            prompts = setting.grid.prompts
            numbers = {prompts[index].text: index for index in pictures.prompts}
            # A prompt that only the base drew for has a number of its own.
            own = [reference.prompts[place] for place in places]
            numbers |= {text: -1 - at for at, text in enumerate(own) if text not in numbers}
            self._groups = [numbers[prompts[index].text] for index in pictures.groups]
            self._reference_groups = [numbers[text] for text in own]
            self._units = len(set(self._groups)), len(set(self._reference_groups))

    def found(self) -> Found:
        """Measure every model, and the differences between them."""
        found = Found()
        if fault := self._fault():
            found.warnings.append(fault)
            return found
        size = self._subset_size(found)
        reference = KidReference(
            self._reference,
            prompts=self._reference_groups,
            check_stop=self._setting.check_stop,
        )
        whole: dict[str, LeftOutKid] = {}
        for model, drawings in self._pictures.pictures.items():
            generated = self._vectors.of(drawings)
            whole[model] = reference.kid_of(generated, groups=self._groups)
            value = self._value(drawings, whole[model], size)
            found.values[model] = [value]
            _warn(found, self._title, value.note)
        found.differences = list(self._differences(whole))
        return found

    def fid(self) -> Found:
        """FID of every model to the same pictures."""
        found = Found()
        for model, drawings in self._pictures.pictures.items() if not self._fault() else ():
            estimate = fid(self._vectors.of(drawings), self._reference)
            found.values[model] = [
                self._record(
                    "fid_reference",
                    f"FID to {self._name}",
                    estimate.value,
                    convention=sentences(f"FID: {_FID}", self._network.convention),
                    note=estimate.warning,
                )
            ]
            _warn(found, f"FID to {self._name}", estimate.warning)
        return compared(self._setting, found)

    def _fault(self) -> str:
        """Return why nothing can be measured, or nothing."""
        counts = len(self._pictures.groups), len(self._against)
        if self._reference_groups is not None:
            counts = self._units
        if min(counts) >= 2:
            return ""
        what = "pictures" if self._reference_groups is None else "prompts"
        return (
            f"{self._title} is not measured: it needs 2 {what} of either kind but there are "
            f"{counts[0]} drawn and {counts[1]} others. Draw or bring more."
        )

    def _subset_size(self, found: Found) -> int:
        """Return how many pictures are in a subset, 0 for the whole sets, and say if not as asked.

        Where pairs of one prompt are left out, a subset must hold pictures of two.
        """
        size, fewest = self._setting.config.kid_subset_size, 2
        if self._groups is not None and self._reference_groups is not None:
            sides = self._groups, self._reference_groups
            fewest = 1 + max(max(Counter(side).values()) for side in sides)
        most = min(len(self._pictures.groups), len(self._against))
        if size == 0 or fewest <= size <= most:
            return size
        found.warnings.append(
            f"{self._title}: `kid_subset_size` {size} must be from {fewest} to {most}, the "
            "pictures of the smaller set, so the whole sets are compared. Draw or bring more, or "
            "choose another size."
        )
        return 0

    def _estimate(
        self, drawings: Sequence[GridPicture], whole: LeftOutKid, size: int
    ) -> KidEstimate:
        """Return KID over subsets if asked for, else that of the whole sets."""
        if not size:
            warning = few_for_kid(len(drawings), len(self._against), None)
            return KidEstimate(whole.value, None, None, 1, warning)
        prompts = None
        if self._groups is not None and self._reference_groups is not None:
            prompts = self._groups, self._reference_groups
        return kid(
            self._vectors.of(drawings),
            self._reference,
            subset_size=size,
            num_subsets=self._setting.config.kid_subsets,
            seed=self._setting.config.seed,
            keys=([one.sha256 for one in drawings], [one.sha256 for one in self._against]),
            prompts=prompts,
        )

    def _value(self, drawings: Sequence[GridPicture], whole: LeftOutKid, size: int) -> MetricValue:
        estimate = self._estimate(drawings, whole, size)
        return self._record(
            self._key,
            self._title,
            estimate.reported,
            interval=_interval(estimate, whole),
            unit="x 1000",
            convention=sentences(self._rule(size), self._network.convention),
            std=estimate.reported_std,
            note=estimate.warning,
            forms={"raw": estimate.value, "x 1000": estimate.reported},
        )

    def _rule(self, size: int) -> str:
        subsets = self._setting.config.kid_subsets
        parts = [f"{self._title}: {_KID}"]
        parts.append(
            f"mean of {subsets} subsets of {size} pictures (its interval counts the choice of "
            "subsets, too; differences are those of the whole sets)"
            if size
            else "whole sets"
        )
        if self._reference_groups is not None:
            parts.append(_SAME_PROMPTS)
        prompts, real = self._setting.grid.prompts, {one.sha256 for one in self._against}
        if any(prompts[index].picture in real for index in self._pictures.prompts):
            parts.append(_OWN_PICTURES)
        return "; ".join(parts)

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

    def _differences(self, whole: Mapping[str, LeftOutKid]) -> Iterator[Difference]:
        for one, other in self._pairs():
            difference = whole[one].minus(whole[other])
            interval = jackknife_interval(difference).scaled(1000) if difference.left_out else None
            yield Difference(one, other, self._key, 1000 * difference.value, *ends(interval))

    def _pairs(self) -> list[tuple[str, str]]:
        """Return (model, baseline), of each model first, then of the others: later, earlier."""
        names, baseline = list(self._pictures.pictures), self._setting.config.baseline
        pairs = [(name, baseline) for name in names if baseline in names and name != baseline]
        others = combinations((name for name in names if name != baseline), 2)
        return pairs + [(later, earlier) for earlier, later in others]


def _interval(estimate: KidEstimate, whole: LeftOutKid) -> Interval | None:
    """Return the interval of a KID x 1000, or None where there is too little to tell it by."""
    if not whole.left_out:
        return None
    interval = jackknife_interval(whole)
    if estimate.std is not None:
        if estimate.num_subsets < 2:
            return None
        interval = subsets_interval(interval, estimate.value, estimate.std, estimate.num_subsets)
    return interval.scaled(1000)


def _warn(found: Found, title: str, note: str) -> None:
    """Say what holds of all models' values once."""
    if note and (warning := f"{title}: {note}") not in found.warnings:
        found.warnings.append(warning)
