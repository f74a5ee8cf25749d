"""The depth pictures of a dataset's rows in the work folder: `depth/<settings>/<sha>.png`, 16-bit.

`<settings>` is a digest of crop, resolution and what the depth comes from. Which network estimates
it is `control_models`' matter.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .config import NegativesConfig
from .data import RowPictures, load_row_pictures
from .data_rows import DatasetRow
from .depth import DepthEstimator, save_depth_picture
from .errors import ConfigError
from .events import Event, PhaseEvent
from .files import digest_json, digest_tensors, file_sha256
from .models import on_device

__all__ = [
    "GivenDepth",
    "SquareCrop",
    "cropped_picture",
    "depth_path",
    "estimate_depths",
    "require_depth",
]


@dataclass(frozen=True)
class SquareCrop:
    """How squares are cut from pictures; `seed` counts for a random crop only."""

    resolution: int
    crop: str
    seed: int

    @classmethod
    def of(cls, config: NegativesConfig) -> SquareCrop:
        """Return the crop of negatives."""
        return cls(config.resolution, config.crop, config.seed)

    @property
    def crop_seed(self) -> int | None:
        """The seed, where it counts."""
        return self.seed if self.crop == "random" else None


class GivenDepth(DepthEstimator):
    """Depth that somebody else estimated, looked up by the picture it lies on.

    Args:
        pictures: (n, 3, r, r) in [0, 1], as `cropped_picture` gives them.
        depths: (n, 1, r, r) in [0, 1], nearer is brighter.

    Raises:
        ConfigError: the two do not go together.
    """

    def __init__(self, pictures: Sequence[Tensor], depths: Tensor) -> None:
        if len(pictures) != len(depths):
            raise ConfigError(
                f"There are {len(depths)} depth pictures for {len(pictures)} pictures. Bring one "
                "for each row, in the order of the rows."
            )
        if pictures and pictures[0].shape[-2:] != depths.shape[-2:]:
            raise ConfigError(
                f"The depth pictures are {depths.shape[-1]} x {depths.shape[-2]}, but the pictures "
                f"are cut to {pictures[0].shape[-1]} x {pictures[0].shape[-2]}. Estimate depth of "
                "the cut pictures, or resize it to theirs."
            )
        depths = depths.detach().float().cpu().clamp(0, 1)
        self._depths: dict[str, Tensor] = {
            _fingerprint(picture): depth for picture, depth in zip(pictures, depths, strict=True)
        }
        super().__init__(
            nn.Identity(), digest=digest_json(["given", digest_tensors({"depth": depths})])
        )

    def estimate(self, image: Tensor) -> Tensor:
        """Return the depth that was given for this picture, as it was given.

        Raises:
            ConfigError: there was none.
        """
        found = self._depths.get(_fingerprint(image))
        if found is None:
            raise ConfigError("No depth picture was brought for one of the rows. Bring all.")
        return found


def cropped_picture(row: DatasetRow, crop: SquareCrop) -> Tensor:
    """Return the row's picture as networks see it, (3, r, r) in [0, 1].

    Raises:
        DatasetError: the file is gone or damaged.
    """
    return _cut(row, crop).image


def depth_path(row: DatasetRow, work: Path, crop: SquareCrop, depth: str | None) -> Path:
    """Return where a row's depth lies.

    Args:
        row: its own depth picture, if it brings one, comes first.
        work: the work folder.
        crop: of the picture, and so of its depth.
        depth: digest of the estimator.
    """
    brought = None if row.depth_path is None else file_sha256(row.depth_path)
    source = {"brought": brought} if brought else {"depth": depth}
    shape = {"crop": crop.crop, "crop_seed": crop.crop_seed, "resolution": crop.resolution}
    return work / "depth" / digest_json({**shape, **source})[:16] / f"{row.sha256}.png"


def require_depth(rows: Sequence[DatasetRow], depth: DepthEstimator | None) -> None:
    """Refuse rows whose depth nobody brings and nothing estimates.

    Raises:
        ConfigError: there is one.
    """
    for row in rows:
        if row.depth_path is None and depth is None:
            raise ConfigError(
                f"Row {row.number} brings no depth picture and no depth network is loaded. Load "
                "one, or bring depth for every row."
            )


def estimate_depths(
    rows: Sequence[DatasetRow],
    crop: SquareCrop,
    depth: DepthEstimator | None,
    *,
    work: Path,
    device: torch.device,
    check_stop: Callable[[], None] = lambda: None,
) -> Generator[Event, None, None]:
    """Write what is missing, one picture after the other, yielding progress.

    Args:
        rows: usable rows.
        crop: how their pictures are cut.
        depth: visits `device`; may be None if every row brings its depth.
        work: the work folder.
        device: where to compute.
        check_stop: called before each picture; raises to stop.

    Raises:
        ConfigError: depth is missing.
        DatasetError: a picture cannot be read.
    """
    require_depth(rows, depth)
    digest = None if depth is None else depth.digest
    places = {depth_path(row, work, crop, digest): row for row in rows}
    missing = {path: row for path, row in places.items() if not path.is_file()}
    done, total = len(places) - len(missing), len(places)
    yield PhaseEvent("depth", done, total)
    estimated = any(row.depth_path is None for row in missing.values())
    with contextlib.ExitStack() as stack:
        if depth is not None and estimated:
            stack.enter_context(on_device(depth, device))
        for path, row in missing.items():
            check_stop()
            save_depth_picture(path, _depth_of(row, crop, depth))
            done += 1
            yield PhaseEvent("depth", done, total)


def _depth_of(row: DatasetRow, crop: SquareCrop, depth: DepthEstimator | None) -> Tensor:
    pictures = _cut(row, crop)
    if pictures.depth is not None:
        return pictures.depth
    assert depth is not None  # noqa: S101 - seen to by require_depth
    return depth.estimate(pictures.image)


def _cut(row: DatasetRow, crop: SquareCrop) -> RowPictures:
    """Load picture and brought depth; negatives may still be missing or of another size."""
    alone = dataclasses.replace(row, negative_paths=(), negative_sha256s=(), drawn_negatives=0)
    return load_row_pictures(alone, resolution=crop.resolution, crop_mode=crop.crop, seed=crop.seed)


def _fingerprint(picture: Tensor) -> str:
    return digest_tensors({"picture": picture.detach().float().cpu()})
