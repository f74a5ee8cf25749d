"""A grid scored: what each model copies, whether it knows the culture, what it forgot.

Which pictures are compared is decided in `score_sets`, measured in `score_metrics` and `score_kid`,
told in `metrics_report`. Here networks are loaded one after the other, each once, and freed.
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .checkpoint_choice import suggest
from .config import ScoreConfig
from .errors import ConfigError, ModelFileError
from .events import (
    Event,
    FinishedEvent,
    PhaseEvent,
    StoppedEvent,
    StopRequested,
    WarningEvent,
    stop_check,
)
from .grids import Grid, GridModel, GridPicture, GridPrompt, read_grid
from .metric_networks import load_metric_network
from .metrics_report import write_report
from .picture_folders import PictureFile, pictures_of_folder
from .score_features import SQUARE, Vectors, measured
from .score_plan import lacks, require_names, uses
from .score_records import METRICS_FILE, MetricValue, ModelScores, Scores, write_scores
from .score_sets import ComparedPictures, compared_pictures, complete_models, set_record
from .score_values import Found, Setting
from .work_folder import default_work_folder

__all__ = ["FolderRequest", "ScoreRequest", "score_folder", "score_grid"]

_FEATURES = "features"
_STOPPED = "Stopped; what was measured of pictures stays. Started again, it goes on from there."
_INTERVALS = (
    "Intervals are of 95 %: Student's t over captions, cut at what the measure can be; of KID the "
    "jackknife, which leaves out one reference picture, or one caption's drawings, at a time, and "
    "where both sets were drawn for the same prompts, one prompt of both. Differences pair the "
    "models' pictures of the same captions and seeds."
)
_PACKAGES = (
    *("torch", "torchvision", "numpy", "scipy", "pillow", "safetensors", "diffusers"),
    *("transformers", "open_clip_torch", "torch-fidelity", "dreamsim"),
)
_ORDER = (
    *("kid_reference", "kid_general", "fid_reference", "clip_score", "similarity_"),
    *("diversity_train", "diversity_test", "vendi_train", "vendi_test", "vendi_all"),
)


@dataclass(frozen=True)
class ScoreRequest:
    """A grid to score.

    Attributes:
        grid: its folder; metrics.json and the report are written there.
        dataset: root of the picture set that its captions come from; None leaves out what needs it.
        work: the set's work folder; None is the default one.
        general: folder of general pictures; None takes the base's own for the neutral prompts.
        config: the options.
        features: folder that keeps vectors of pictures; None is `features` in the work folder, or
            in the grid's without a dataset.
        device: auto, cpu, cuda, cuda:1, mps ...
        search_folders: parents of helpers' folders, say the host's models/scoft.
        allow_download: whether missing networks may be fetched.
        reference: folder of the culture's pictures in place of the dataset's test split.
    """

    grid: Path
    dataset: Path | None = None
    work: Path | None = None
    general: Path | None = None
    config: ScoreConfig = field(default_factory=ScoreConfig)
    features: Path | None = None
    device: str = "auto"
    search_folders: Sequence[Path] = ()
    allow_download: bool = True
    reference: Path | None = None


@dataclass(frozen=True)
class FolderRequest:
    """A folder of pictures, whoever made them, to compare with another one.

    Attributes:
        folder: of the pictures.
        reference: of the pictures that they are compared with.
        features: folder that keeps vectors of pictures.
        config: the options; what needs captions is left out.
        device: as in `ScoreRequest`, and so the others.
    """

    folder: Path
    reference: Path
    features: Path
    config: ScoreConfig = field(default_factory=ScoreConfig)
    device: str = "auto"
    search_folders: Sequence[Path] = ()
    allow_download: bool = True


def score_grid(
    request: ScoreRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Generator[Event, None, Scores | None]:
    """Measure a grid, write metrics.json and the report; returns None when stopped.

    What cannot be measured for want of pictures or of a network's weights is left out, and a
    WarningEvent says why. The last event is a FinishedEvent with the report's path, or a
    StoppedEvent. Started again, only what is new goes through the networks.

    Args:
        request: what to score.
        should_stop: asked before each picture, and between blocks of KID's kernel matrices.

    Raises:
        DatasetError: the grid, the dataset or a folder cannot be read, or pictures cannot and are
            not to be skipped.
        ConfigError: an option is out of range, a network is unknown, or nothing can be measured.
        OutputError: the grid's folder cannot be written.
        NotEnoughMemoryError: the device is too small for a network.
    """
    require_names(request.config)
    grid = read_grid(request.grid)
    models, warnings = complete_models(grid)
    work = request.work
    if work is None and request.dataset is not None:
        work = default_work_folder(request.dataset)
    check_stop = stop_check(should_stop)
    try:
        yield PhaseEvent("list pictures", 0, 1)
        compared = compared_pictures(
            grid,
            request.dataset,
            work,
            reference=request.reference,
            general=request.general,
            check_stop=check_stop,
        )
        yield PhaseEvent("list pictures", 1, 1)
        setting = Setting(grid, models, compared, request.config, check_stop)
        warnings += [*compared.warnings, *lacks(setting, request.dataset)]
        features = request.features or (work or request.grid) / _FEATURES
        scores = yield from _scores(setting, request, features, warnings, check_stop)
    except StopRequested:
        yield StoppedEvent(0, _STOPPED)
        return None
    write_scores(request.grid / METRICS_FILE, scores)
    report = write_report(scores, grid, request.grid)
    yield FinishedEvent(0, str(report))
    return scores


def score_folder(
    request: FolderRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Generator[Event, None, Scores | None]:
    """Measure a folder of pictures against another one; returns None when stopped.

    Nothing is written but features, so the last event is none of its own, or a StoppedEvent.

    Raises:
        DatasetError: a folder cannot be read, or pictures cannot and are not to be skipped.
        ConfigError: as by `score_grid`.
    """
    require_names(request.config)
    config = dataclasses.replace(request.config, clip_network="none", similarity_networks="none")
    check_stop = stop_check(should_stop)
    try:
        yield PhaseEvent("list pictures", 0, 1)
        pictures = pictures_of_folder(request.folder, check_stop=check_stop)
        reference = pictures_of_folder(request.reference, check_stop=check_stop)
        yield PhaseEvent("list pictures", 1, 1)
        grid = _folder_as_grid(request.folder, pictures)
        sources = {"reference": f"folder {request.reference.resolve().name}"}
        compared = ComparedPictures(tuple(reference), sources=sources)
        setting = Setting(grid, grid.models, compared, config, check_stop)
        warnings = _in_both(pictures, reference)
        scores = yield from _scores(setting, request, request.features, warnings, check_stop)
    except StopRequested:
        yield StoppedEvent(0, _STOPPED)
        return None
    return scores


def _scores(
    setting: Setting,
    request: ScoreRequest | FolderRequest,
    features: Path,
    warnings: Sequence[str],
    check_stop: Callable[[], None],
) -> Generator[Event, None, Scores]:
    found = Found(warnings=list(warnings))
    for warning in warnings:
        yield WarningEvent(warning)
    conventions: list[str] = []
    networks: dict[str, str] = {}
    absent: list[str] = []
    for name, its_uses in uses(setting).items():
        files = [file for use in its_uses for file in use.files()]
        if not files:
            continue
        check_stop()
        yield PhaseEvent(f"load {name}", 0, 1)
        try:
            network = load_metric_network(
                name,
                device=request.device,
                allow_download=request.allow_download,
                search_folders=request.search_folders,
            )
        except (ModelFileError, ConfigError) as error:
            titles = ", ".join(use.title for use in its_uses)
            found.warnings.append(f"Not measured: {titles}. {error}")
            absent.append(name)
            yield WarningEvent(found.warnings[-1])
            continue
        yield PhaseEvent(f"load {name}", 1, 1)
        vectors = yield from measured(
            network,
            files,
            features,
            batch_size=setting.config.batch_size,
            skip_unreadable=setting.config.skip_unreadable,
            check_stop=check_stop,
        )
        made = Found(warnings=_skipped(vectors))
        for number, use in enumerate(its_uses):
            yield PhaseEvent(f"compare under {name}", number, len(its_uses))
            made.add(use.measure(network, vectors))
        yield PhaseEvent(f"compare under {name}", len(its_uses), len(its_uses))
        networks[name] = network.digest
        conventions += [
            value.convention.removesuffix(f" {network.convention}")
            for values in made.values.values()
            for value in values
        ]
        conventions.append(network.convention)
        for warning in made.warnings:
            if warning not in found.warnings:
                yield WarningEvent(warning)
        found.add(made)
        del network, vectors
        _free_memory()
    if not found.values:
        raise ConfigError(
            f"{setting.grid.folder}: nothing could be measured. " + " ".join(found.warnings)
        )
    scores = _record(setting, found, list(dict.fromkeys(conventions)), networks)
    return dataclasses.replace(scores, absent_networks=tuple(absent))


def _record(
    setting: Setting, found: Found, conventions: Sequence[str], networks: Mapping[str, str]
) -> Scores:
    models = tuple(
        ModelScores(model, tuple(sorted(found.values.get(model.name, ()), key=_rank)))
        for model in setting.models
    )
    return Scores(
        grid=setting.grid.folder.resolve().name,
        base_name=setting.grid.base_name,
        drawing=dict(setting.grid.drawing),
        models=models,
        differences=tuple(found.differences),
        suggestion=suggest(models, found.differences),
        conventions=(SQUARE, _INTERVALS, *conventions),
        settings=dataclasses.asdict(setting.config),
        warnings=tuple(found.warnings),
        nearest=tuple(found.nearest),
        networks=dict(networks),
        picture_sets=dict(_sets(setting)),
        versions=_versions(),
        # Pictures of a mere folder have no prompts.
        prompts=tuple(prompt for prompt in setting.grid.prompts if prompt.text),
    )


def _sets(setting: Setting) -> Iterator[tuple[str, dict[str, Any]]]:
    compared = setting.compared
    for name, files in (
        ("reference", compared.reference),
        ("training", compared.training),
        ("general", compared.general),
    ):
        if files:
            yield name, set_record(files, (compared.sources or {}).get(name, ""))
    for model in setting.models:
        for role in ("train", "test", "neutral"):
            if pictures := setting.grid.of(model.name, role):
                yield f"{model.name} / {role}", set_record(pictures, "drawn")


def _rank(value: MetricValue) -> int:
    """Sort metrics as reports show them; likenesses stay in the order of their networks."""
    return next(place for place, name in enumerate(_ORDER) if value.key.startswith(name))


def _skipped(vectors: Vectors) -> list[str]:
    """Return a sentence about the pictures that could not be read."""
    if not vectors.skipped:
        return []
    names = ", ".join(one.file.path.name for one in vectors.skipped[:10])
    more = f" and {len(vectors.skipped) - 10} more" if len(vectors.skipped) > 10 else ""
    return [
        f"{len(vectors.skipped)} pictures cannot be read and are left out, of all models where a "
        f"model drew them: {names}{more}. The first: {vectors.skipped[0].reason}"
    ]


def _in_both(pictures: Sequence[PictureFile], reference: Sequence[PictureFile]) -> list[str]:
    """Return a sentence where two folders share pictures."""
    known = {file.sha256 for file in reference}
    shared = sum(file.sha256 in known for file in pictures)
    if not shared:
        return []
    return [
        f"{shared} of {len(pictures)} pictures are in the reference folder, too, and pull KID "
        "below what two sets of different pictures have. Take them out of one of the folders."
    ]


def _folder_as_grid(folder: Path, pictures: Sequence[PictureFile]) -> Grid:
    """Return pictures of unknown captions as a grid of one model, a prompt each."""
    model = GridModel(folder.resolve().name)
    return Grid(
        folder=folder,
        base_name="",
        base_digest="",
        drawing={},
        prompts=tuple(GridPrompt("", "test", (0,)) for _ in pictures),
        models=(model,),
        pictures=tuple(
            GridPicture(model.name, place, 0, file.path, file.sha256)
            for place, file in enumerate(pictures)
        ),
    )


def _versions() -> dict[str, str]:
    found = {"scoft": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _free_memory() -> None:
    """Give a network's memory back before the next one is loaded."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
