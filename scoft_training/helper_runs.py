"""What is made before training: generic captions, depth, and negatives drawn and filtered.

All read the dataset as its work folder completes it, write into the work folder only, and go on
where they were stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .backbone_interface import PerceptualBackbone
from .backbones import load_backbone
from .captioners import load_captioner
from .captioning import caption_rows
from .config import CaptionConfig, NegativesConfig
from .control_models import ControlNet, load_controlnet, load_depth
from .data import Dataset, read_dataset
from .data_rows import DatasetRow
from .depth import DepthEstimator
from .depth_maps import GivenDepth, SquareCrop, cropped_picture, depth_path, estimate_depths
from .errors import ConfigError, DatasetError
from .events import Event, FinishedEvent, PhaseEvent, StoppedEvent, StopRequested, stop_check
from .models import BaseModel, load_base, resolve_device, resolve_precision
from .negative_filter import filter_negatives
from .negative_sets import open_negative_set
from .negatives import draw_negatives, with_suffix
from .options import validate
from .overlays import overlaid
from .trainer import make_accelerator
from .work_folder import default_work_folder

__all__ = [
    "CaptionRequest",
    "DepthRequest",
    "NegativesRequest",
    "make_captions",
    "make_depth",
    "make_negatives",
]

_STOPPED = "Stopped; what is finished stays. Started again, it goes on from there."


@dataclass(frozen=True)
class CaptionRequest:
    """Generic captions for a dataset's pictures.

    Attributes:
        dataset: root folder of the picture set; never written to.
        config: the options.
        captioner: a registered name.
        weights: the captioner's folder; None looks for it.
        every_row: caption pictures that have generic captions, too.
        device: a name that `resolve_device` understands.
        work: the work folder; None puts it under ./scoft-work.
        allow_download: whether missing weights may be fetched.
        search_folders: parents of helpers' folders, say the host's models/scoft.
    """

    dataset: Path
    config: CaptionConfig = field(default_factory=CaptionConfig)
    captioner: str = "blip"
    weights: Path | None = None
    every_row: bool = False
    device: str = "auto"
    work: Path | None = None
    allow_download: bool = True
    search_folders: Sequence[Path] = ()


@dataclass(frozen=True)
class DepthRequest:
    """Depth of a dataset's pictures, which negatives are drawn through.

    Attributes:
        dataset: root folder of the picture set; never written to.
        config: of the negatives that it is for; its crop counts.
        depth: MiDaS' file or folder, or a registered name; None looks for it, and is not needed
            where every row brings its depth.
        device: a name that `resolve_device` understands.
        work: the work folder; None puts it under ./scoft-work.
        allow_download: whether missing weights may be fetched.
        search_folders: parents of helpers' folders, say the host's models/scoft.
    """

    dataset: Path
    config: NegativesConfig = field(default_factory=NegativesConfig)
    depth: str | Path | None = None
    device: str = "auto"
    work: Path | None = None
    allow_download: bool = True
    search_folders: Sequence[Path] = ()


@dataclass(frozen=True)
class NegativesRequest:
    """Negatives for a dataset's pictures, drawn by the unmodified model and filtered.

    Attributes:
        dataset: root folder of the picture set; never written to.
        base: a loaded model, or what `load_base` understands; None only with `only_filter`.
        controlnet: a loaded one, or what `load_controlnet` understands; None only with
            `only_filter`.
        config: the options.
        depth: MiDaS' file or folder, or a registered name; None looks for it, and is not needed
            where every row brings its depth.
        depth_pictures: (rows, 1, resolution, resolution) in [0, 1], nearer is brighter, of the cut
            pictures in the order of the rows, in place of `depth`; no row may bring its own then.
        filter_weights: file or folder of the filter's backbone; None looks for it.
        only_filter: a set that was drawn: filter it anew and draw nothing.
        device: a name that `resolve_device` understands.
        work: the work folder; None puts it under ./scoft-work.
        allow_download: whether missing weights may be fetched.
        search_folders: parents of helpers' folders, say the host's models/scoft.
    """

    dataset: Path
    base: BaseModel | str | Path | None = None
    controlnet: ControlNet | str | Path | None = None
    config: NegativesConfig = field(default_factory=NegativesConfig)
    depth: str | Path | None = None
    depth_pictures: torch.Tensor | None = None
    filter_weights: Path | None = None
    only_filter: str | None = None
    device: str = "auto"
    work: Path | None = None
    allow_download: bool = True
    search_folders: Sequence[Path] = ()


def make_captions(
    request: CaptionRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Write generic captions into the work folder, yielding events.

    Raises:
        ScoftError: of any kind; what was finished before stays.
    """
    validate(request.config)
    device = resolve_device(request.device)
    dtype = resolve_precision(request.config.precision, device)
    dataset, work = _dataset(request.dataset, request.work)
    rows = [row for row in dataset.rows if request.every_row or not row.generic_captions]
    if rows:
        yield PhaseEvent("load captioner", 0, 1)
        captioner = load_captioner(
            request.captioner,
            weights=request.weights,
            allow_download=request.allow_download,
            search_folders=request.search_folders,
        )
        yield PhaseEvent("load captioner", 1, 1)
        try:
            yield from caption_rows(
                rows,
                request.config,
                captioner,
                work=work,
                device=device,
                dtype=dtype,
                check_stop=stop_check(should_stop),
                cultures=[dataset.card.culture] if dataset.card.culture else [],
                count_tokens=_clip_tokens(),
            )
        except StopRequested:
            yield StoppedEvent(0, _STOPPED)
            return
    yield FinishedEvent(len(rows), str(work / "rows.jsonl"), already_done=not rows)


def make_depth(
    request: DepthRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Generator[Event, None, list[tuple[DatasetRow, Path]]]:
    """Estimate what depth is missing, yielding events; returns each row and its depth picture.

    Raises:
        ScoftError: of any kind; what was finished before stays.
    """
    validate(request.config)
    device = resolve_device(request.device)
    dataset, work = _dataset(request.dataset, request.work)
    crop = SquareCrop.of(request.config)
    depth = _depth_estimator(request, dataset)
    try:
        yield from estimate_depths(
            dataset.rows, crop, depth, work=work, device=device, check_stop=stop_check(should_stop)
        )
    except StopRequested:
        yield StoppedEvent(0, _STOPPED)
        return []
    yield FinishedEvent(len(dataset.rows), str(work / "depth"))
    digest = None if depth is None else depth.digest
    return [(row, depth_path(row, work, crop, digest)) for row in dataset.rows]


def make_negatives(
    request: NegativesRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Draw what is missing and filter all of it, yielding events; the last one names the set.

    Under a launcher the rows are split over the processes, and one of them filters.

    Raises:
        ScoftError: of any kind; what was finished before stays.
    """
    validate(request.config)
    device = resolve_device(request.device)
    dataset, work = _dataset(request.dataset, request.work)
    accelerator = make_accelerator(device)
    # Loaded before anything is drawn, so that missing weights are said before the work.
    backbone = _filter_backbone(request, device)
    check_stop = stop_check(should_stop)
    try:
        settings = request.only_filter
        if settings is None:
            settings = yield from _draw(request, dataset, work, accelerator, check_stop)
        if accelerator.is_main_process:
            yield from filter_negatives(
                dataset.rows,
                request.config,
                backbone,
                work=work,
                settings=settings,
                device=device,
                check_stop=check_stop,
            )
    except StopRequested:
        yield StoppedEvent(0, _STOPPED)
        return
    accelerator.wait_for_everyone()
    yield FinishedEvent(len(dataset.rows), str(open_negative_set(work, settings).folder(work)))


def _dataset(root: Path, work: Path | None) -> tuple[Dataset, Path]:
    folder = work or default_work_folder(root)
    dataset = overlaid(read_dataset(root), folder)
    dataset.require_usable()
    return dataset, folder


def _filter_backbone(request: NegativesRequest, device: torch.device) -> PerceptualBackbone | None:
    if request.config.filter_backbone == "none":
        return None
    return load_backbone(
        request.config.filter_backbone,
        weights=request.filter_weights,
        device="cpu",
        dtype=resolve_precision(request.config.precision, device),
        allow_download=request.allow_download,
        search_folders=request.search_folders,
    )


def _draw(
    request: NegativesRequest,
    dataset: Dataset,
    work: Path,
    accelerator: Any,
    check_stop: Callable[[], None],
) -> Generator[Event, None, str]:
    """Draw what is missing of the set that the request describes; returns its digest."""
    config = with_suffix(request.config, dataset.card)
    if request.base is None or request.controlnet is None:
        raise ConfigError("Drawing needs a base model and a depth ControlNet: name both.")
    if lacking := [row for row in dataset.rows if not row.generic_captions]:
        raise DatasetError(
            f"{lacking[0].where} `blip_text` is missing, and negatives are drawn for "
            "generic captions. Write one, or let `scoft caption` make some."
        )
    device = resolve_device(request.device)
    dtype = resolve_precision(config.precision, device)
    allow_download = request.allow_download
    if request.depth_pictures is None:
        depth = _depth_estimator(request, dataset)
    else:
        depth = _given_depth(request.depth_pictures, dataset, SquareCrop.of(config))
    yield PhaseEvent("load models", 0, 1)
    base = request.base
    if not isinstance(base, BaseModel):
        base = load_base(base, dtype=dtype, allow_download=allow_download)
    controlnet = request.controlnet
    if not isinstance(controlnet, ControlNet):
        controlnet = load_controlnet(controlnet, dtype=dtype, allow_download=allow_download)
    yield PhaseEvent("load models", 1, 1)
    chosen = yield from draw_negatives(
        dataset.rows,
        config,
        base,
        controlnet,
        depth,
        work=work,
        device=device,
        dtype=dtype,
        check_stop=check_stop,
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )
    accelerator.wait_for_everyone()
    return chosen.digest


def _depth_estimator(
    request: DepthRequest | NegativesRequest, dataset: Dataset
) -> DepthEstimator | None:
    """Load what estimates depth; None where every row brings its own and nothing is named."""
    if request.depth is None and all(row.depth_path for row in dataset.rows):
        return None
    return load_depth(
        request.depth,
        allow_download=request.allow_download,
        search_folders=request.search_folders,
    )


def _given_depth(pictures: torch.Tensor, dataset: Dataset, crop: SquareCrop) -> GivenDepth:
    if own := [row for row in dataset.rows if row.depth_path is not None]:
        raise ConfigError(
            f"`depth`: pictures are connected, but row {own[0].number} brings its own in the "
            "column `depth`. Take one of the two away."
        )
    return GivenDepth([cropped_picture(row, crop) for row in dataset.rows], pictures)


def _clip_tokens() -> Callable[[str], int]:
    """Return what counts a caption's tokens as CLIP does, its two marks included."""
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    return lambda caption: len(tokenizer.encode(caption)) + 2
