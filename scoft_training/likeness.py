"""A second opinion on near-duplicates: distances of a perceptual network, where its weights are.

Its features are kept in the work folder, likeness/<backbone>-<digest>/<sha256>.safetensors, and so
are the pairs that are near enough to be looked at, in pairs.json. Nothing is downloaded for this.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .backbone_interface import PerceptualBackbone
from .backbones import load_backbone
from .errors import ConfigError, DatasetError, ModelFileError
from .events import Event, PhaseEvent
from .files import write_aside, write_json
from .models import on_device
from .pictures import open_picture

__all__ = ["Likeness", "measure_likeness", "read_likeness"]

logger = logging.getLogger(__name__)

_PAIRS = "pairs.json"
_SIDE = 224
_NEAR = 0.6
"""Pairs farther apart than this part of the filter's threshold are not kept, unless asked for."""


@dataclass(frozen=True)
class Likeness:
    """What a network says of pairs of pictures.

    Attributes:
        backbone: its name.
        digest: of its weights and settings.
        threshold: pairs nearer than this look alike: half the distance under which a negative
            counts as its picture; None where nobody has measured that.
        measured: sha256 of the pictures that were compared, all with all.
        distances: of pairs of sha256, the smaller first, of which every near one is here.
    """

    backbone: str
    digest: str
    threshold: float | None
    measured: frozenset[str]
    distances: Mapping[tuple[str, str], float]

    def of(self, one: str, other: str) -> float | None:
        """Return the distance of two pictures, if it is known."""
        return self.distances.get((min(one, other), max(one, other)))


def read_likeness(work: Path, backbone: str) -> Likeness | None:
    """Return what a network said last, or None; a damaged file counts as none."""
    found = sorted((work / "likeness").glob(f"{backbone}-*/{_PAIRS}"), key=_age)
    for path in reversed(found):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return Likeness(
                str(values["backbone"]),
                str(values["digest"]),
                None if values["threshold"] is None else float(values["threshold"]),
                frozenset(map(str, values["measured"])),
                {(str(one), str(two)): float(far) for one, two, far in values["pairs"]},
            )
        except (OSError, ValueError, TypeError, KeyError):
            logger.warning("%s cannot be read; pictures are compared anew", path)
    return None


def measure_likeness(
    pictures: Mapping[str, Path],
    asked: Sequence[tuple[str, str]],
    work: Path,
    *,
    backbone: str,
    device: torch.device,
    search_folders: Sequence[Path] = (),
    check_stop: Callable[[], None] = lambda: None,
) -> Generator[Event, None, None]:
    """Compare all pictures with each other, if the network's weights are on this machine.

    Args:
        pictures: file by sha256; what cannot be read is passed over.
        asked: pairs of sha256 whose distance is kept however large it is.
        work: the work folder.
        backbone: a registered name.
        device: where it computes.
        search_folders: parents of helpers' folders, say the host's models/scoft.
        check_stop: called before each picture; raises to stop. What is computed stays.
    """
    known = read_likeness(work, backbone)
    wanted = {(min(pair), max(pair)) for pair in asked}
    if known and pictures.keys() <= known.measured and wanted <= known.distances.keys():
        return
    try:
        network = load_backbone(
            backbone,
            device="cpu",
            dtype=torch.float32,
            allow_download=False,
            search_folders=search_folders,
        )
    except (ModelFileError, ConfigError) as error:
        logger.info("No second opinion on near-duplicates: %s", error)
        return
    folder = work / "likeness" / f"{backbone}-{network.digest[:8]}"
    features = {}
    with on_device(network, device), torch.no_grad():
        for done, (sha256, path) in enumerate(pictures.items(), start=1):
            check_stop()
            own = _features(network, path, folder / f"{sha256}.safetensors", device)
            if own is not None:
                features[sha256] = own
            yield PhaseEvent("compare", done, len(pictures))
    threshold = network.filter_threshold
    limit = float("inf") if threshold is None else threshold * _NEAR
    distances = _near(network, features, limit, wanted, check_stop)
    write_json(
        folder / _PAIRS,
        {
            "backbone": backbone,
            "digest": network.digest,
            "threshold": None if threshold is None else threshold / 2,
            "measured": sorted(features),
            "pairs": [[*pair, distance] for pair, distance in sorted(distances.items())],
        },
    )


def _features(
    network: PerceptualBackbone, path: Path, kept: Path, device: torch.device
) -> list[Tensor] | None:
    """Return a picture's features (1, ...), from their file or computed and kept there."""
    try:
        if kept.is_file():
            tensors = load_file(kept)
            return [tensors[str(number)] for number in range(len(tensors))]
    except (SafetensorError, OSError, KeyError):
        logger.warning("%s cannot be read; the picture is looked at anew", kept)
    side = network.image_size or _SIDE
    try:
        picture = open_picture(path, where=str(path))
    except DatasetError:
        return None
    squeezed = picture.resize((side, side), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(squeezed, dtype=np.float32) / 255)
    found = network.features(pixels.permute(2, 0, 1)[None].to(device))
    features = [part.float().cpu().contiguous() for part in found]
    tensors = {str(number): part for number, part in enumerate(features)}
    write_aside(kept, lambda aside: save_file(tensors, aside))
    return features


def _near(
    network: PerceptualBackbone,
    features: Mapping[str, list[Tensor]],
    limit: float,
    wanted: set[tuple[str, str]],
    check_stop: Callable[[], None],
) -> dict[tuple[str, str], float]:
    names = sorted(features)
    if not names:
        return {}
    parts = [torch.cat(columns) for columns in zip(*(features[n] for n in names), strict=True)]
    near = {}
    for at, name in enumerate(names[:-1]):
        check_stop()
        others = [part[at + 1 :] for part in parts]
        own = [
            part[at : at + 1].expand_as(other) for part, other in zip(parts, others, strict=True)
        ]
        for other, distance in zip(
            names[at + 1 :], network.distance(own, others).tolist(), strict=True
        ):
            if distance <= limit or (name, other) in wanted:
                near[name, other] = distance
    return near


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns
