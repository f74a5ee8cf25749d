"""Row -> TrainingExample: everything that stays the same during a run, computed once and cached.

Each part (latents, captions, features) has its own file per row, named by the digest of what it
depends on, so a run that was killed, or one that changes the backbone only, computes what is
missing and nothing else. A batch is one row's own pictures or captions: a cached row therefore does
not depend on its neighbours, and a resumed run sees the same bits as an undisturbed one.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .backbone_interface import PerceptualBackbone
from .conditioning import Conditioning, size_ids
from .config import TrainConfig
from .data import RowPictures, load_row_pictures
from .data_rows import DatasetRow
from .errors import DatasetError
from .events import PhaseEvent
from .files import digest_json, remove_leftovers, write_aside
from .losses import Features
from .models import BaseModel, on_device

__all__ = ["TrainingExample", "TrainingSet", "precompute"]

logger = logging.getLogger(__name__)

_FORMAT = 1
"""Raised whenever what a cached part holds changes."""


@dataclass(frozen=True)
class TrainingExample:
    """One picture as the loop sees it: no caption, no path. All tensors lie on the CPU.

    `flips` is 2 where pictures are mirrored at random (place 0 as it is, place 1 mirrored), else 1.

    Attributes:
        posterior_mean: (flips, channels, height, width) of the VAE's posterior, not scaled.
        posterior_std: like posterior_mean.
        conditioning: of the cultural caption, not batched.
        generic_conditioning: of the generic captions.
        time_ids: (flips, 6) of `size_ids`, where the UNet asks for sizes (SDXL), else None.
        picture_features: F(x), tensors of shape (flips, ...); empty where no backbone is used.
        negative_features: F(x-), tensors of shape (flips, negatives, ...).
        negative_distances: (flips, negatives) S(F(x-), F(x)).
        pictures: uint8 (1 + negatives, 3, side, side), x first, where they are augmented anew at
            each step; (1, 3, side, side), x alone, for LPIPS; else empty.
    """

    posterior_mean: Tensor
    posterior_std: Tensor
    conditioning: Conditioning
    generic_conditioning: Conditioning
    time_ids: Tensor | None
    picture_features: Features
    negative_features: Features
    negative_distances: Tensor
    pictures: Tensor

    @property
    def num_negatives(self) -> int:
        """How many negatives the picture has."""
        return int(self.negative_distances.shape[1])


@dataclass(frozen=True)
class TrainingSet:
    """All examples of a run and what they share.

    Attributes:
        examples: in the order of the dataset's rows.
        uncond: of the empty caption, not batched.
        distance_unit: mean S(F(x-), F(x)) over the set, the unit of L_C's margin; 1 where unused.
        cut_captions: one phrase per caption longer than a chunk of tokens, say "row 3, `text`".
    """

    examples: tuple[TrainingExample, ...]
    uncond: Conditioning
    distance_unit: float
    cut_captions: tuple[str, ...]


def precompute(
    rows: Sequence[DatasetRow],
    config: TrainConfig,
    base: BaseModel,
    *,
    backbone: PerceptualBackbone | None,
    cache: Path,
    device: torch.device,
    dtype: torch.dtype,
    check_stop: Callable[[], None],
) -> Generator[PhaseEvent, None, TrainingSet]:
    """Compute or read every constant tensor, yielding progress; returns the set.

    Args:
        rows: usable rows, in order.
        config: resolution, crop, flips and which losses are on.
        base: its text encoder and VAE visit `device` one after the other and leave it again.
        backbone: the network of L_P and L_C, or None where neither is on.
        cache: folder of cached parts.
        device: where the networks compute.
        dtype: of the networks; cached files depend on it.
        check_stop: called before each row; raises to stop.

    Raises:
        DatasetError: a picture cannot be read, or all negatives equal their pictures.
        OutputError: the cache cannot be written.
    """
    work = _Encoding(config, base, device, dtype)
    store = _Store(cache, rows, check_stop)
    captions = yield from store.part(
        "captions",
        {"encoder": base.captions.digest, "dtype": str(dtype)},
        lambda row: [row.cultural_caption, *row.generic_captions],
        work.captions,
        (base.captions, device),
    )
    with on_device(base.captions, device):
        uncond = base.captions.encode([""]).conditioning[0]
    latents = yield from store.part(
        "latents",
        {**work.settings, "base": base.digest},
        lambda row: row.sha256,
        work.latents,
        (base.vae, device),
    )
    features: list[dict[str, Tensor]] = [{} for _ in rows]
    if backbone is not None:
        features = yield from store.part(
            "features",
            {**work.settings, "backbone": backbone.digest, "negatives": config.uses_negatives},
            lambda row: [row.sha256, *row.negative_sha256s],
            lambda row: work.features(row, backbone),
            (backbone, device),
        )
    pictures: list[dict[str, Tensor]] = [{} for _ in rows]
    if (backbone is not None and config.augmentations) or config.lpips_weight:
        # LPIPS features of a 512 x 512 picture are 128 MB, so x is kept and not its features.
        pictures = yield from store.part(
            "pictures",
            {**work.settings, "negatives": work.keeps_negatives},
            lambda row: [row.sha256, *row.negative_sha256s],
            work.pictures,
            None,
        )
    examples = tuple(
        _example(*parts) for parts in zip(latents, captions, features, pictures, strict=True)
    )
    return TrainingSet(
        examples=examples,
        uncond=uncond,
        distance_unit=_distance_unit(examples) if config.uses_negatives else 1.0,
        cut_captions=tuple(_cut_captions(rows, captions)),
    )


class _Encoding:
    """What is computed for one row; every batch holds that row's own pictures or captions."""

    def __init__(
        self, config: TrainConfig, base: BaseModel, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._config = config
        self._base = base
        self._device = device
        self._dtype = dtype
        self.settings = {
            "dtype": str(dtype),
            "resolution": config.resolution,
            "crop": config.crop,
            "seed": config.seed if config.crop == "random" else None,
            "random_flip": config.random_flip,
        }
        self.keeps_negatives = config.uses_negatives and config.augmentations > 0

    def captions(self, row: DatasetRow) -> dict[str, Tensor]:
        encoded = self._base.captions.encode([row.cultural_caption, *row.generic_captions])
        tensors = {
            "prompt_embeds": encoded.conditioning.prompt_embeds,
            "cut": torch.tensor(encoded.cut, dtype=torch.int64),
        }
        if encoded.conditioning.pooled_prompt_embeds is not None:
            tensors["pooled_prompt_embeds"] = encoded.conditioning.pooled_prompt_embeds
        return tensors

    @torch.no_grad()
    def latents(self, row: DatasetRow) -> dict[str, Tensor]:
        found = self._pictures(row)
        pixel_values = 2 * self._sides(found.image[None]).flatten(0, 1) - 1
        vae = self._base.vae
        posterior = vae.encode(pixel_values.to(self._device, vae.dtype)).latent_dist
        wide = torch.promote_types(self._dtype, torch.float32)
        tensors = {"mean": posterior.mean.to("cpu", wide), "std": posterior.std.to("cpu", wide)}
        if self._base.reads_sizes:
            resolution = (self._config.resolution,) * 2
            sides = [found, found.flipped()][: len(tensors["mean"])]
            tensors["time_ids"] = torch.stack(
                [size_ids(side.original_size, side.crop_top_left, resolution) for side in sides]
            )
        return tensors

    @torch.no_grad()
    def features(self, row: DatasetRow, backbone: PerceptualBackbone) -> dict[str, Tensor]:
        found = self._pictures(row)
        negatives = found.negatives if self._config.uses_negatives else found.negatives[:0]
        pictures = torch.cat([found.image[None], negatives])
        sides = self._sides(pictures)
        flat = backbone.features(sides.flatten(0, 1).to(self._device))
        features = [part.reshape(*sides.shape[:2], *part.shape[1:]) for part in flat]
        distances = [
            backbone.distance(
                [part[side, 1:] for part in features],
                [part[side, :1].expand_as(part[side, 1:]) for part in features],
            )
            for side in range(len(sides))
        ]
        tensors = {f"features.{index}": part.cpu() for index, part in enumerate(features)}
        tensors["distances"] = torch.stack(distances).cpu()
        return tensors

    def pictures(self, row: DatasetRow) -> dict[str, Tensor]:
        found = self._pictures(row)
        pictures = found.image[None]
        if self.keeps_negatives:
            pictures = torch.cat([pictures, found.negatives])
        return {"pictures": (pictures * 255).round().to(torch.uint8)}

    def _pictures(self, row: DatasetRow) -> RowPictures:
        return load_row_pictures(
            row,
            resolution=self._config.resolution,
            crop_mode=self._config.crop,
            seed=self._config.seed,
        )

    def _sides(self, images: Tensor) -> Tensor:
        """(n, 3, side, side) -> (flips, n, 3, side, side): as they are and, if asked, mirrored."""
        return torch.stack([images, images.flip(-1)] if self._config.random_flip else [images])


class _Store:
    """Cached parts of rows: `<cache>/<settings digest>/<row digest>.safetensors`."""

    def __init__(
        self, cache: Path, rows: Sequence[DatasetRow], check_stop: Callable[[], None]
    ) -> None:
        self._cache = cache
        self._rows = rows
        self._check_stop = check_stop

    def part(
        self,
        name: str,
        settings: Mapping[str, Any],
        key: Callable[[DatasetRow], Any],
        compute: Callable[[DatasetRow], dict[str, Tensor]],
        network: tuple[Any, torch.device] | None,
    ) -> Generator[PhaseEvent, None, list[dict[str, Tensor]]]:
        """Return one part of every row; `network` visits its device if something is missing."""
        folder = self._cache / digest_json({"part": name, "format": _FORMAT, **settings})[:16]
        remove_leftovers(folder)
        files = [folder / f"{digest_json(key(row))[:32]}.safetensors" for row in self._rows]
        found = [_read(file) for file in files]
        missing = [index for index, tensors in enumerate(found) if tensors is None]
        yield PhaseEvent(name, len(files) - len(missing), len(files))
        if missing:
            with on_device(*network) if network else contextlib.nullcontext():
                for count, index in enumerate(missing, start=1):
                    self._check_stop()
                    tensors = compute(self._rows[index])
                    _write(files[index], tensors)
                    found[index] = tensors
                    yield PhaseEvent(name, len(files) - len(missing) + count, len(files))
        return [tensors for tensors in found if tensors is not None]


def _read(file: Path) -> dict[str, Tensor] | None:
    if not file.is_file():
        return None
    try:
        tensors: dict[str, Tensor] = load_file(file)
        return tensors
    except (SafetensorError, OSError):
        logger.warning("%s is damaged and will be computed again", file.name)
        return None


def _write(file: Path, tensors: dict[str, Tensor]) -> None:
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_aside(file, lambda aside: save_file(contiguous, aside))


def _example(
    latents: dict[str, Tensor],
    captions: dict[str, Tensor],
    features: dict[str, Tensor],
    pictures: dict[str, Tensor],
) -> TrainingExample:
    both = _feature_list(features)
    encoded = Conditioning(captions["prompt_embeds"], captions.get("pooled_prompt_embeds"))
    flips = len(latents["mean"])
    return TrainingExample(
        posterior_mean=latents["mean"],
        posterior_std=latents["std"],
        conditioning=encoded[0],
        generic_conditioning=encoded[1:],
        time_ids=latents.get("time_ids"),
        picture_features=[part[:, 0] for part in both],
        negative_features=[part[:, 1:] for part in both],
        negative_distances=features.get("distances", torch.zeros(flips, 0)),
        pictures=pictures.get("pictures", torch.zeros(0, dtype=torch.uint8)),
    )


def _feature_list(tensors: dict[str, Tensor]) -> Features:
    count = sum(name.startswith("features.") for name in tensors)
    return [tensors[f"features.{index}"] for index in range(count)]


def _distance_unit(examples: Sequence[TrainingExample]) -> float:
    distances = torch.cat([example.negative_distances.flatten() for example in examples])
    unit = float(distances.double().mean())
    if not unit > 0:
        raise DatasetError(
            "The negatives equal their training pictures in the eyes of the backbone, so L_C has "
            "nothing to push away from. Bring other negatives or set `contrastive_weight` 0."
        )
    return unit


def _cut_captions(
    rows: Sequence[DatasetRow], captions: Sequence[dict[str, Tensor]]
) -> Generator[str, None, None]:
    for row, part in zip(rows, captions, strict=True):
        for index in part["cut"].tolist():
            yield f"row {row.number}, " + ("`text`" if index == 0 else f"`blip_text` {index}")
