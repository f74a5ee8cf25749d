"""What was measured of a grid, as values and as metrics.json; nothing is measured here."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import DatasetError
from .files import write_json
from .grids import GridModel, GridPrompt

__all__ = [
    "METRICS_FILE",
    "Difference",
    "MetricValue",
    "ModelScores",
    "Nearest",
    "Scores",
    "Suggestion",
    "read_scores",
    "scores_from_json",
    "scores_to_json",
    "write_scores",
]

METRICS_FILE = "metrics.json"
"""Name of the scores' file in a grid's folder."""

_FORMAT = 1


@dataclass(frozen=True)
class MetricValue:
    """One number of one model, in the unit in which it is reported.

    Attributes:
        key: kid_reference, kid_general, fid_reference, clip_score, similarity_<network>,
            diversity_train, diversity_test, vendi_train, vendi_test, vendi_all.
        title: what a table's heading says.
        value: finite.
        low: lower end of the 95 % interval; None where there is none. `high` likewise.
        unit: what is written behind the number, say "x 1000"; may be empty.
        better: "lower", "higher" or "".
        network: the name under which the network is loaded.
        convention: which network, layer, resizing and formula, and whose.
        pictures: drawn pictures that entered.
        captions: over how many captions the interval is taken.
        reference_pictures: pictures that were compared with, or None.
        std: spread over subsets (KID) or captions, or None.
        note: what a reader of the number has to know, as a sentence; may be empty.
        per_caption: the values whose mean `value` is; empty for measures of whole sets.
        prompts: the number of each such caption among the grid's prompts, from 0.
        forms: the same number as other tools write it, by the form's name.
    """

    key: str
    title: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    better: str = ""
    network: str = ""
    convention: str = ""
    pictures: int = 0
    captions: int = 0
    reference_pictures: int | None = None
    std: float | None = None
    note: str = ""
    per_caption: tuple[float, ...] = ()
    prompts: tuple[int, ...] = ()
    forms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelScores:
    """Everything that was measured of one model."""

    model: GridModel
    metrics: tuple[MetricValue, ...]

    def get(self, key: str) -> MetricValue | None:
        """Return the metric of that key, or None."""
        return next((metric for metric in self.metrics if metric.key == key), None)

    @property
    def copies(self) -> MetricValue | None:
        """The first likeness to training pictures: lower is less copied."""
        return next(
            (metric for metric in self.metrics if metric.key.startswith("similarity_")), None
        )

    @property
    def knows(self) -> MetricValue | None:
        """KID to the culture's held-out pictures: lower is nearer."""
        return self.get("kid_reference")

    @property
    def forgot(self) -> MetricValue | None:
        """KID to general pictures: lower is less forgotten."""
        return self.get("kid_general")


@dataclass(frozen=True)
class Difference:
    """`model` minus `baseline` in metric `key`, in its unit, with its 95 % interval."""

    model: str
    baseline: str
    key: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Suggestion:
    """The checkpoint to keep, and why."""

    model: str
    step: int | None
    reason: str


@dataclass(frozen=True)
class Nearest:
    """The drawing of a training caption that is nearest to a training picture.

    Attributes:
        model: who drew it.
        picture: the drawing's file, relative to the grid's folder, with slashes.
        caption: what it was drawn for.
        training_sha256: of the training picture that is nearest to it.
        training_file: its path relative to the grid's folder, or absolute on another drive.
        cosine: of both pictures' vectors, in [-1, 1].
        own: whether it is the picture whose caption that is.
    """

    model: str
    picture: str
    caption: str
    training_sha256: str
    training_file: str
    cosine: float
    own: bool = False


@dataclass(frozen=True)
class Scores:
    """What was measured of a grid.

    Attributes:
        grid: the folder's name.
        base_name: the base model's name.
        drawing: the settings that the pictures were drawn with.
        models: in the grid's order.
        differences: against `settings["baseline"]`; of KID between any two models.
        suggestion: the checkpoint to keep; None without steps.
        conventions: one sentence a metric and network.
        settings: ScoreConfig's values.
        warnings: what a reader has to know, as sentences.
        nearest: drawings beside their nearest training pictures, the nearest first, per model.
        networks: name -> digest of its weights.
        picture_sets: name of a set, say "reference" or "base / train" -> {"pictures", "digest"},
            the digest being that of the sorted sha256 of its files.
        versions: package -> version.
        prompts: of the grid, with their seeds; `MetricValue.prompts` counts in them.
        absent_networks: those that had pictures to measure and could not be loaded.
    """

    grid: str
    base_name: str
    drawing: Mapping[str, Any]
    models: tuple[ModelScores, ...]
    differences: tuple[Difference, ...] = ()
    suggestion: Suggestion | None = None
    conventions: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    nearest: tuple[Nearest, ...] = ()
    networks: Mapping[str, str] = field(default_factory=dict)
    picture_sets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    prompts: tuple[GridPrompt, ...] = ()
    absent_networks: tuple[str, ...] = ()

    def of(self, model: str) -> ModelScores | None:
        """Return the scores of the model of that name, or None."""
        return next((one for one in self.models if one.model.name == model), None)


def scores_to_json(scores: Scores) -> dict[str, Any]:
    """Return scores as values that JSON knows.

    Raises:
        ValueError: a number is NaN or infinite, which no metric may return.
    """
    values = {"format": _FORMAT, **dataclasses.asdict(scores)}
    _require_finite(values, "scores")
    return values


def scores_from_json(values: Any, *, where: str) -> Scores:
    """Return the scores that `scores_to_json` turned into `values`.

    Raises:
        DatasetError: they are of another form; `where` begins the sentence.
    """
    try:
        if values["format"] != _FORMAT:
            raise DatasetError(
                f"{where} is of format {values['format']!r}, but this version reads format "
                f"{_FORMAT}. Update the pack, or score the grid again."
            )
        known = {one.name for one in dataclasses.fields(Scores)}
        fields = {name: value for name, value in values.items() if name in known}
        suggestion = fields.get("suggestion")
        return Scores(
            **fields
            | {
                "models": tuple(_model_scores(one) for one in fields["models"]),
                "differences": tuple(Difference(**one) for one in fields["differences"]),
                "suggestion": Suggestion(**suggestion) if suggestion else None,
                "conventions": tuple(fields["conventions"]),
                "warnings": tuple(fields["warnings"]),
                "nearest": tuple(Nearest(**one) for one in fields["nearest"]),
                "prompts": tuple(
                    GridPrompt(**one | {"seeds": tuple(one["seeds"])}) for one in fields["prompts"]
                ),
                "absent_networks": tuple(fields.get("absent_networks", ())),
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{where} does not hold what `scoft score` writes ({error}). Score the grid again."
        ) from error


def write_scores(path: Path, scores: Scores) -> None:
    """Write metrics.json aside and rename it.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_json(path, scores_to_json(scores))


def read_scores(path: Path) -> Scores:
    """Read what `write_scores` wrote.

    Raises:
        DatasetError: the file is missing, no JSON, or of another form.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be opened ({error.strerror}). Score the grid first: `scoft score`."
        ) from error
    except ValueError as error:
        raise DatasetError(
            f"{path}: is no JSON ({error}). Score the grid again: `scoft score`."
        ) from error
    return scores_from_json(values, where=f"{path}:")


def _model_scores(values: Mapping[str, Any]) -> ModelScores:
    return ModelScores(
        GridModel(**values["model"]),
        tuple(
            MetricValue(
                **one | {"per_caption": tuple(one["per_caption"]), "prompts": tuple(one["prompts"])}
            )
            for one in values["metrics"]
        ),
    )


def _require_finite(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}")
    if isinstance(value, Mapping):
        for name, one in value.items():
            _require_finite(one, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            _require_finite(one, f"{where}[{number}]")
