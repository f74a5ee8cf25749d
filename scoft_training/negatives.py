"""Negatives: what the unmodified model draws of the same scene.

Row -> depth -> pictures through a depth ControlNet, for a generic caption followed by words that
name the culture (SCoFT, sections 4.4 and 8.2). One picture is one batch: it depends on nothing but
its own settings, so drawing can be killed at any instant, shared among processes or extended, and
ends with the same files.

Not here: where the files lie (`negative_sets`), and which are kept (`negative_filter`).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .conditioning import Conditioning
from .config import NegativesConfig
from .control_models import ControlNet, require_fitting
from .data_rows import DatasetCard, DatasetRow
from .depth import DepthEstimator, load_depth_picture
from .depth_maps import SquareCrop, depth_path, estimate_depths, require_depth
from .errors import ConfigError, DatasetError, NotEnoughMemoryError
from .events import Event, NegativeEvent, PhaseEvent, WarningEvent
from .files import remove_leftovers, write_aside
from .generation import draw_picture, starting_noise, to_picture
from .models import BaseModel, on_device
from .negative_sets import (
    NegativeSet,
    change_record,
    file_name,
    new_entry,
    row_folder,
    save_negative_set,
)
from .options import validate
from .predictor import NoisePredictor, Residuals

__all__ = ["depth_residuals", "draw_negatives", "negative_set_of", "with_suffix"]

_FORMAT = 1
"""Raised whenever the same settings would draw other pictures."""


def with_suffix(config: NegativesConfig, card: DatasetCard) -> NegativesConfig:
    """Return the config with the card's suffix where it states none of its own.

    Raises:
        ConfigError: neither has one.
    """
    suffix = (config.suffix.strip() or card.suffix or "").strip()
    if not suffix:
        raise ConfigError(
            "`suffix` is empty and the dataset's card.json has none: negatives are drawn for a "
            "generic caption followed by words that name the culture. Set it, say to 'in Korea'."
        )
    return dataclasses.replace(config, suffix=suffix)


def negative_set_of(
    config: NegativesConfig,
    base: BaseModel,
    controlnet: ControlNet,
    depth: DepthEstimator | None,
    *,
    dtype: torch.dtype,
) -> NegativeSet:
    """Return the set that `draw_negatives` fills with these arguments."""
    settings = {
        "format": _FORMAT,
        "suffix": config.suffix.strip(),
        "seed": config.seed,
        "crop": config.crop,
        "crop_seed": SquareCrop.of(config).crop_seed,
        "resolution": config.resolution,
        "inference_steps": config.inference_steps,
        "guidance_scale": float(config.guidance_scale),
        "control_strength": float(config.control_strength),
        "dtype": str(dtype),
        "base_name": base.name,
        "base": base.digest,
        "controlnet_name": controlnet.name,
        "controlnet": controlnet.digest,
        "depth": None if depth is None else depth.digest,
    }
    return NegativeSet.of(settings, config.negatives_per_picture)


def draw_negatives(
    rows: Sequence[DatasetRow],
    config: NegativesConfig,
    base: BaseModel,
    controlnet: ControlNet,
    depth: DepthEstimator | None,
    *,
    work: Path,
    device: torch.device,
    dtype: torch.dtype,
    check_stop: Callable[[], None] = lambda: None,
    process_index: int = 0,
    num_processes: int = 1,
) -> Generator[Event, None, NegativeSet]:
    """Estimate depth and draw what is missing, yielding progress; returns the set.

    Args:
        rows: usable rows; each needs a generic caption.
        config: with a suffix (`with_suffix`).
        base: unmodified, with no LoRA attached; its networks visit `device`.
        controlnet: a depth ControlNet for `base`; visits `device`.
        depth: visits `device`; may be None if every row brings its depth.
        work: the work folder.
        device: where to compute.
        dtype: of base and ControlNet.
        check_stop: called before each depth and each DDIM step; raises to stop.
        process_index: this process draws every `num_processes`-th row from this one on.
        num_processes: how many share the work.

    Raises:
        ConfigError: a setting is out of range, suffix or depth is missing, or the base carries a
            LoRA.
        DatasetError: a row has no generic caption, or a picture cannot be read.
        ModelFileError: the ControlNet is for another base.
        NotEnoughMemoryError: out of memory.
        DivergenceError: the drawing overflowed its number format.
    """
    validate(config)
    config = with_suffix(config, DatasetCard())
    require_fitting(controlnet, base)
    if getattr(base.unet, "peft_config", None):
        raise ConfigError(
            "The base model carries a LoRA, but negatives show what the unmodified model draws. "
            "Take it off first."
        )
    _require_drawable(rows, depth)
    drawing = _Drawing(config, base, controlnet, depth, work, device, dtype, check_stop)
    save_negative_set(work, drawing.chosen)
    # Two rows may show the same picture under the same captions; that is one piece of work.
    folders = {drawing.folder(row): row for row in reversed(rows)}
    own = [
        row
        for index, row in enumerate(rows)
        if index % num_processes == process_index and folders[drawing.folder(row)] is row
    ]
    try:
        yield from drawing.all_depths(own)
        yield from drawing.all_pictures(own)
    except torch.OutOfMemoryError as error:
        raise NotEnoughMemoryError(
            f"The memory of {device} does not suffice to draw at `resolution` {config.resolution}. "
            "Lower it, or close other programs that use the device."
        ) from error
    return drawing.chosen


class _Drawing:
    """One set being filled."""

    def __init__(
        self,
        config: NegativesConfig,
        base: BaseModel,
        controlnet: ControlNet,
        depth: DepthEstimator | None,
        work: Path,
        device: torch.device,
        dtype: torch.dtype,
        check_stop: Callable[[], None],
    ) -> None:
        self.chosen = negative_set_of(config, base, controlnet, depth, dtype=dtype)
        self._config = config
        self._crop = SquareCrop.of(config)
        self._base = base
        self._controlnet = controlnet
        self._depth = depth
        self._work = work
        self._device = device
        self._dtype = dtype
        self._check_stop = check_stop

    def folder(self, row: DatasetRow) -> Path:
        return row_folder(row, self._work, self.chosen)

    def all_depths(self, rows: Sequence[DatasetRow]) -> Generator[Event, None, None]:
        yield from estimate_depths(
            rows,
            self._crop,
            self._depth,
            work=self._work,
            device=self._device,
            check_stop=self._check_stop,
        )

    def all_pictures(self, rows: Sequence[DatasetRow]) -> Generator[Event, None, None]:
        """Draw row by row. The record is written first, so that no picture is without one."""
        count = self._config.negatives_per_picture
        missing: dict[int, list[int]] = {}
        for at, row in enumerate(rows):
            self._write_record(row)
            remove_leftovers(self.folder(row))
            lacking = [i for i in range(count) if not (self.folder(row) / file_name(i)).is_file()]
            if lacking:
                missing[at] = lacking
        total = count * len(rows)
        done = total - sum(map(len, missing.values()))
        yield PhaseEvent("negatives", done, total)
        if not missing:
            return
        base = self._base
        with _visiting(self._device, base.captions, base.unet, base.vae, self._controlnet.network):
            uncond = base.captions.encode([""]).conditioning[0].to(self._device)
            for at, lacking in missing.items():
                row = rows[at]
                # All of the row's prompts at once, whatever is missing: the same numbers always.
                prompts = self._prompts(row)
                encoded = base.captions.encode(prompts)
                for index in encoded.cut:
                    yield WarningEvent(
                        f"Row {row.number}, `blip_text` {index + 1}: with the suffix it is longer "
                        "than the text encoder reads, so the end, which names the culture, does "
                        "not count. Shorten the caption."
                    )
                depth = load_depth_picture(self._depth_path(row))
                for index in lacking:
                    which = index % len(prompts)
                    conditioning = encoded.conditioning[which].to(self._device)
                    path = self.folder(row) / file_name(index)
                    _save_png(path, self._draw(row, index, conditioning, uncond, depth))
                    name = path.relative_to(self._work).as_posix()
                    yield NegativeEvent(row.number, prompts[which], name)
                    done += 1
                    yield PhaseEvent("negatives", done, total)

    def _depth_path(self, row: DatasetRow) -> Path:
        return depth_path(row, self._work, self._crop, self.chosen.settings["depth"])

    def _prompts(self, row: DatasetRow) -> list[str]:
        return [f"{caption} {self._config.suffix}" for caption in row.generic_captions]

    def _write_record(self, row: DatasetRow) -> None:
        prompts = self._prompts(row)

        def change(record: dict[str, Any]) -> None:
            record |= {
                "settings": self.chosen.digest,
                "suffix": self._config.suffix,
                "seed": self._config.seed,
                "depth": self._depth_path(row).relative_to(self._work).as_posix(),
            }
            for index in range(self._config.negatives_per_picture):
                entry = new_entry(prompts[index % len(prompts)])
                record["negatives"].setdefault(file_name(index), entry)
            # So that those the row brings can be dropped by hand before any filter.
            for sha256 in row.negative_sha256s:
                record["negatives"].setdefault(sha256, new_entry(None))

        change_record(self.folder(row), change)

    def _draw(
        self,
        row: DatasetRow,
        index: int,
        conditioning: Conditioning,
        uncond: Conditioning,
        depth: Tensor,
    ) -> Tensor:
        """Return (3, r, r) in [0, 1]: DDIM from this picture's own noise, depth held throughout."""
        base, config = self._base, self._config
        predictor = NoisePredictor(
            base.unet,
            base.schedule,
            device=self._device,
            dtype=self._dtype,
            guidance_scale=config.guidance_scale,
            batched_guidance=True,
            residuals=self._residuals(depth),
        )
        purpose = ("negative", row.sha256, index)
        return draw_picture(
            base,
            predictor,
            conditioning,
            uncond,
            starting_noise(base, config.resolution, predictor.wide, config.seed, *purpose),
            inference_steps=config.inference_steps,
            check_stop=self._check_stop,
        )

    def _residuals(self, depth: Tensor) -> Residuals | None:
        """Return what the ControlNet adds to the UNet for one depth picture, (1, r, r)."""
        strength = self._config.control_strength
        if strength == 0:
            return None
        condition = depth.expand(1, 3, -1, -1).to(self._device, self._dtype)
        return depth_residuals(self._controlnet.network, condition, strength=strength)


def depth_residuals(network: Any, condition: Tensor, *, strength: float = 1.0) -> Residuals:
    """Return what a ControlNet adds to a UNet's states, as a `NoisePredictor` asks for it.

    Args:
        network: a ControlNetModel.
        condition: (batch, 3, height, width) in [0, 1], nearer is brighter. Latents may be a
            multiple of it: both halves of a batched guidance see the same.
        strength: factor on all that is added.
    """

    def residuals(
        latents: Tensor, timesteps: Tensor, conditioning: Conditioning
    ) -> Mapping[str, Any]:
        down, middle = network(
            latents,
            timesteps,
            **conditioning.arguments(latents.dtype),
            controlnet_cond=condition.repeat(len(latents) // len(condition), 1, 1, 1),
            conditioning_scale=strength,
            return_dict=False,
        )
        return {
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }

    return residuals


@contextlib.contextmanager
def _visiting(device: torch.device, *networks: Any) -> Generator[None, None, None]:
    """Keep several networks on `device` for the length of a block."""
    with contextlib.ExitStack() as stack:
        for network in networks:
            if network is not None:
                stack.enter_context(on_device(network, device))
        yield


def _require_drawable(rows: Sequence[DatasetRow], depth: DepthEstimator | None) -> None:
    for row in rows:
        if not row.generic_captions:
            raise DatasetError(
                f"{row.where} `blip_text` is missing, but negatives are drawn for a "
                "generic caption. Write one, or leave the row out."
            )
    require_depth(rows, depth)


def _save_png(path: Path, image: Tensor) -> None:
    picture = to_picture(image)
    write_aside(path, lambda aside: picture.save(aside, format="PNG"))
