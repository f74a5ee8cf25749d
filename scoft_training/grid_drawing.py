"""Drawing a grid: every prompt with every seed by every model, so that it can be gone on with.

The batches are a function of what was asked for, so a drawing that was killed ends with the same
files as one that was not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .conditioning import Conditioning
from .config import GenerateConfig
from .errors import (
    ConfigError,
    DivergenceError,
    NotEnoughMemoryError,
    OutputError,
    ResumeError,
)
from .events import (
    Event,
    FinishedEvent,
    PhaseEvent,
    StoppedEvent,
    StopRequested,
    WarningEvent,
    stop_check,
)
from .file_locks import locked
from .files import remove_leftovers, write_aside
from .generation import draw_pictures, starting_noise, to_picture
from .grid_reuse import taken_over
from .grids import (
    Grid,
    GridModel,
    GridPicture,
    GridPrompt,
    GridSource,
    add_picture,
    batches,
    extended,
    is_grid,
    new_grid,
    picture_name,
    read_grid,
    write_grid,
)
from .lora_files import lora_from_state_dict
from .lora_layers import Lora, applied_lora, lora_digest
from .models import BaseModel, load_base, on_device, resolve_device, resolve_precision
from .options import validate
from .predictor import NoisePredictor
from .run_loras import read_any_lora

__all__ = ["GridRequest", "GridSource", "draw_grid", "drawing_settings", "grid_models"]

_LOCK, _LOCK_SECONDS = "grid", 2.0
_NAMED = 5
"""So many prompts that are cut are named."""

_Cell = tuple[str, int, int]
_PRECISIONS = {"float64": "fp64", "float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
"""A number format's name in grid.json, and the option's."""


@dataclass(frozen=True)
class GridRequest:
    """What is to be drawn, by what, and where it goes.

    Attributes:
        folder: of the grid: new, empty, or one of the same base and drawing settings, to which
            prompts, seeds and models are added.
        base: a loaded model, or what `load_base` understands; unchanged afterwards.
        sources: the models, one or more, each of another name.
        prompts: one or more for a new grid.
        config: how pictures are drawn; strengths are the sources' own.
        batch_size: pictures drawn at once; changes them by rounding at most.
        device: a name that `resolve_device` understands.
        allow_download: whether a missing base may be fetched.
        reuse: folders of other grids; what they have of this one is copied instead of drawn.
    """

    folder: Path
    base: BaseModel | str | Path
    sources: Sequence[GridSource]
    prompts: Sequence[GridPrompt]
    config: GenerateConfig = field(default_factory=GenerateConfig)
    batch_size: int = 4
    device: str = "auto"
    allow_download: bool = True
    reuse: Sequence[Path] = ()


def draw_grid(
    request: GridRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Draw what a grid lacks, yielding events; the last one says how it ended.

    Each model of the request draws all prompts of the grid, earlier ones, too. A picture's noise is
    a function of its seed alone. Grids are read while they are drawn; two processes never draw into
    one at once.

    Args:
        request: what to do.
        should_stop: asked before each DDIM step; true ends the drawing, and what is drawn stays.

    Raises:
        ConfigError: an option will not do, or a name stands for two models.
        ResumeError: the grid was begun with another base or other settings.
        NotEnoughMemoryError: out of memory.
        ScoftError: of any other kind; what is drawn stays.
    """
    validate(request.config)
    if request.batch_size < 1:
        raise ConfigError(f"`batch_size` must be 1 or more but got {request.batch_size}.")
    if not request.sources:
        raise ConfigError("There is no model to draw with. Name the base or a LoRA.")
    names = [source.name for source in request.sources]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ConfigError(
            f"Two models are called {min(doubled)!r}. Give each a name of its own, as in NAME=FILE."
        )
    device = resolve_device(request.device)
    dtype = resolve_precision(request.config.precision, device)
    _require_place(request.folder)
    # Before gigabytes are loaded.
    with locked(request.folder / _LOCK, seconds=_LOCK_SECONDS):
        yield PhaseEvent("load models", 0, 1)
        base = request.base
        if not isinstance(base, BaseModel):
            base = load_base(base, dtype=dtype, allow_download=request.allow_download)
        yield PhaseEvent("load models", 1, 1)
        yield from _Drawing(request, base, device, dtype, stop_check(should_stop)).events()


def drawing_settings(config: GenerateConfig, dtype: torch.dtype) -> dict[str, Any]:
    """Return what grid.json says of how pictures are drawn; LoRAs' strengths are the models'."""
    settings = dataclasses.asdict(config)
    del settings["lora_strength"]
    precision = str(dtype).removeprefix("torch.")
    return {**settings, "precision": precision, "sampler": "ddim"}


def grid_models(base: BaseModel, sources: Sequence[GridSource]) -> list[GridModel]:
    """Return what a grid's record says of its models; reads each LoRA once.

    Raises:
        ModelFileError: one cannot be read, or was made for another base.
    """
    models = []
    for source in sources:
        lora = _read(base, source)
        # Of a file the header tells whose it is, so that a takedown finds its drawings.
        of_file = None if lora is None else lora.metadata.get("scoft.run_id")
        models.append(
            GridModel(
                name=source.name,
                lora_sha256=None if lora is None else lora_digest(lora),
                strength=1.0 if lora is None else source.strength,
                step=source.step,
                run_id=source.run_id or of_file,
            )
        )
    return models


class _Drawing:
    """The state of one `draw_grid`."""

    def __init__(
        self,
        request: GridRequest,
        base: BaseModel,
        device: torch.device,
        dtype: torch.dtype,
        check_stop: Callable[[], None],
    ) -> None:
        self._request = request
        self._base = base
        self._device = device
        self._dtype = dtype
        self._check_stop = check_stop
        self._sources: list[GridSource] = []
        self._done = 0

    def events(self) -> Iterator[Event]:
        """All of it, under the lock."""
        for source in self._request.sources:
            if _is_gone(source):
                yield _left_out(source)
            else:
                self._sources.append(source)
        grid = self._open()
        missing = set(grid.missing())
        todo = {
            source.name: batches(grid, source.name, self._request.batch_size)
            for source in self._sources
        }
        cells = [cell for one in todo.values() for batch in one for cell in batch]
        total = len(cells)
        self._done = total - len(missing.intersection(cells))
        yield PhaseEvent("grid", self._done, total)
        already_done = self._done == total
        if not already_done:
            try:
                for picture in taken_over(grid, self._request.reuse, self._check_stop):
                    missing.discard((picture.model, picture.prompt, picture.seed))
                    self._done += picture.model in todo
                    yield PhaseEvent("grid", self._done, total)
                lacking = {
                    name: [batch for batch in one if missing.intersection(batch)]
                    for name, one in todo.items()
                }
                if any(lacking.values()):
                    yield from self._draw(grid, lacking, missing, total)
            except StopRequested:
                yield StoppedEvent(
                    0,
                    f"Stopped after {self._done} of {total} pictures; they are saved. Started "
                    "again, it goes on from there.",
                )
                return
            except torch.OutOfMemoryError as error:
                raise self._out_of_memory() from error
        left = {cell[0] for cell in missing}
        if left:
            yield WarningEvent(
                f"Pictures of {', '.join(sorted(left))} are missing in {self._request.folder}. "
                "Name these models again, and theirs are drawn, too."
            )
        yield FinishedEvent(0, str(self._request.folder), already_done=already_done)

    def _open(self) -> Grid:
        """Return the grid with what was asked for, as grid.json then has it."""
        request, base = self._request, self._base
        drawing = drawing_settings(request.config, self._dtype)
        if is_grid(request.folder):
            grid = read_grid(request.folder)
            _require_same(grid, base, drawing)
        else:
            grid = new_grid(request.folder, base.name, base.digest, drawing)
        models = grid_models(base, self._sources)
        asked = extended(grid, models, request.prompts)
        if not asked.prompts:
            raise ConfigError("There is nothing to draw. Give one prompt or more.")
        if asked is not grid:
            write_grid(asked)
        for folder in (request.folder, *(request.folder / "pictures").glob("*")):
            remove_leftovers(folder)
        return asked

    def _draw(
        self,
        grid: Grid,
        lacking: Mapping[str, Sequence[Sequence[_Cell]]],
        missing: set[_Cell],
        total: int,
    ) -> Iterator[Event]:
        base, device = self._base, self._device
        prompts = {cell[1] for of in lacking.values() for batch in of for cell in batch}
        encoded = yield from self._encode([grid.prompts[index].text for index in sorted(prompts)])
        predictor = NoisePredictor(
            base.unet,
            base.schedule,
            device=device,
            dtype=self._dtype,
            guidance_scale=self._request.config.guidance_scale,
            batched_guidance=True,
        )
        with on_device(base.unet, device), on_device(base.vae, device):
            for source in self._sources:
                if not lacking[source.name]:
                    continue
                # Hours may have passed, and a training that goes on clears its checkpoints away.
                if _is_gone(source):
                    yield _left_out(source)
                    continue
                with self._applied(source):
                    for batch in lacking[source.name]:
                        try:
                            images = self._draw_batch(grid, batch, predictor, encoded)
                        except DivergenceError as error:
                            raise DivergenceError(f"{source.name}: {error}") from error
                        for cell, image in zip(batch, images, strict=True):
                            if cell in missing:
                                add_picture(grid, _save(grid, cell, image))
                                missing.discard(cell)
                                self._done += 1
                        yield PhaseEvent("grid", self._done, total)

    def _out_of_memory(self) -> NotEnoughMemoryError:
        batch_size, resolution = self._request.batch_size, self._request.config.resolution
        lower = "`batch_size`" if batch_size > 1 else "`resolution`, which makes another grid,"
        return NotEnoughMemoryError(
            f"The memory of {self._device} does not suffice to draw with `batch_size` {batch_size} "
            f"at `resolution` {resolution}. Lower {lower} or close other programs that use the "
            "device; what is drawn stays."
        )

    def _applied(self, source: GridSource) -> contextlib.AbstractContextManager[Any]:
        lora = _read(self._base, source)
        if lora is None:
            return contextlib.nullcontext()
        return applied_lora(self._base.unet, lora, source.strength)

    def _draw_batch(
        self,
        grid: Grid,
        batch: Sequence[_Cell],
        predictor: NoisePredictor,
        encoded: Mapping[str, Conditioning],
    ) -> Tensor:
        config = self._request.config
        noise = [
            starting_noise(self._base, config.resolution, predictor.wide, seed, "picture")
            for _, _, seed in batch
        ]
        texts = [grid.prompts[index].text for _, index, _ in batch]
        return draw_pictures(
            self._base,
            predictor,
            Conditioning.stack([encoded[text] for text in texts]).to(self._device),
            encoded[config.negative_prompt].to(self._device),
            torch.cat(noise),
            inference_steps=config.inference_steps,
            decode_batch_size=1,
            check_stop=self._check_stop,
        )

    def _encode(
        self, texts: Sequence[str]
    ) -> Generator[WarningEvent, None, dict[str, Conditioning]]:
        """Encode each text by itself, so that no text's numbers depend on the others."""
        captions, cut = self._base.captions, []
        encoded: dict[str, Conditioning] = {}
        with on_device(captions, self._device):
            for text in dict.fromkeys([*texts, self._request.config.negative_prompt]):
                self._check_stop()
                one = captions.encode([text])
                encoded[text] = one.conditioning[0]
                cut += [text] if one.cut else []
        if cut:
            are = "1 prompt is" if len(cut) == 1 else f"{len(cut)} prompts are"
            more = f"; and {len(cut) - _NAMED} more" if len(cut) > _NAMED else ""
            yield WarningEvent(
                f"{are} longer than the text encoder's 77 tokens, and only the beginning counts: "
                f"{'; '.join(cut[:_NAMED])}{more}. Shorten them."
            )
        return encoded


def _read(base: BaseModel, source: GridSource) -> Lora | None:
    if source.lora is None:
        return None
    if isinstance(source.lora, Mapping):
        return lora_from_state_dict(source.lora, base.unet, where=source.name)
    return read_any_lora(source.lora, base.unet)


def _is_gone(source: GridSource) -> bool:
    """Tell whether a run's LoRA that was listed before is no longer there."""
    return isinstance(source.lora, Path) and bool(source.run_id) and not source.lora.is_file()


def _left_out(source: GridSource) -> WarningEvent:
    return WarningEvent(
        f"{source.name}: {source.lora} is gone, so it is left out; a training that goes on keeps "
        "its newest checkpoints only. Give it `snapshot_every`, whose files stay."
    )


def _save(grid: Grid, cell: _Cell, image: Tensor) -> GridPicture:
    """Write a picture without metadata: nothing in the file may tell which model drew it."""
    buffer = io.BytesIO()
    to_picture(image).save(buffer, format="PNG")
    data = buffer.getvalue()
    path = grid.folder / picture_name(grid, *cell)

    def write(aside: Path) -> None:
        aside.write_bytes(data)

    write_aside(path, write)
    return GridPicture(*cell, path, hashlib.sha256(data).hexdigest())


def _require_place(folder: Path) -> None:
    """Refuse a folder that holds something else than a grid."""
    if is_grid(folder) or not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: is a file. Name a folder for the grid.")
    # A drawing that was killed before its first picture leaves nothing else.
    if any(not path.name.startswith((f"{_LOCK}.lock", "grid.json")) for path in folder.iterdir()):
        raise OutputError(
            f"{folder}: is neither empty nor a grid; nothing is overwritten. Choose another folder."
        )


def _require_same(grid: Grid, base: BaseModel, drawing: Mapping[str, Any]) -> None:
    """Refuse to add to a grid what could not be compared with what is there."""
    changed = [
        f"`{name}` was {_worded(grid.drawing.get(name))}, now {_worded(value)}"
        for name, value in drawing.items()
        if grid.drawing.get(name) != value
    ]
    # Before the base, whose digest is another one in another precision.
    if changed:
        raise ResumeError(
            f"{grid.folder}: was drawn with other settings ({'; '.join(changed)}). Set them as "
            "they were, or choose another folder."
        )
    if grid.base_digest != base.digest:
        raise ResumeError(
            f"{grid.folder}: was drawn with the base model {grid.base_name} "
            f"({grid.base_digest[:12]}), and {base.name} ({base.digest[:12]}) is another. Load "
            "that one, or choose another folder."
        )


def _worded(value: Any) -> str:
    """Return a setting as an option is given."""
    return _PRECISIONS.get(str(value), repr(value))
