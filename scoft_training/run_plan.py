"""What stands before the first step of a run: read, checked, loaded and decided.

A run goes on from here (`runs`); a dry run ends here (`plan_run`), having written nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .backbone_interface import PerceptualBackbone
from .backbones import load_backbone
from .config import MemoryConfig, TrainConfig, named_after_values
from .data import Dataset, dataset_digest, read_dataset
from .errors import ConfigError, ModelFileError
from .events import EstimateEvent, Event, PhaseEvent, PlanEvent, WarningEvent
from .files import digest_json
from .lora_files import lora_from_state_dict, read_lora
from .lora_layers import Lora, load_into_adapter, lora_digest
from .lora_metadata import pictures_of
from .memory import decide_memory, enough, free_memory, keep_begun, single_choices
from .memory_estimate import MemoryEstimate, StepModel
from .models import (
    BaseModel,
    attach_lora,
    detach_lora,
    load_base,
    on_device,
    resolve_device,
    resolve_precision,
)
from .options import validate
from .overlays import overlaid
from .run_folder import RunFolder
from .trainer import make_accelerator
from .work_folder import complete_dataset, default_work_folder

__all__ = ["Networks", "Prepared", "RunPlan", "RunRequest", "plan_run"]

logger = logging.getLogger(__name__)

_SMALL_FOR_SDXL = 768

Networks = tuple[PerceptualBackbone | None, PerceptualBackbone | None]
"""The backbone of L_P and L_C, and LPIPS."""

_RUN_FORMAT = 1
"""Raised whenever the same request would give other weights than before."""


@dataclass(frozen=True)
class RunRequest:
    """What is to be trained, on what, with what, and where the result goes.

    Attributes:
        dataset: root folder of the picture set; never written to.
        base: a loaded model, or what `load_base` understands.
        config: the training options.
        memory: trades of memory against time.
        device: a name that `resolve_device` understands.
        work: the work folder; None puts it under ./scoft-work.
        negatives: the set of drawn negatives to use; None takes the only one that fits.
        output: a copy of the LoRA file goes here; must not exist. None makes no copy.
        init_lora: an existing LoRA of the same rank to begin from: a file, or tensors by name as
            the host's LORA_MODEL has them.
        backbone_weights: file or folder of the perceptual backbone; None looks for it.
        lpips_weights: likewise for LPIPS.
        allow_download: whether missing weights may be fetched.
        search_folders: parents of helpers' folders, say the host's models/scoft.
        allow_inexact_resume: go on with other memory choices or processes than the run began with.
    """

    dataset: Path
    base: BaseModel | str | Path
    config: TrainConfig = field(default_factory=TrainConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    device: str = "auto"
    work: Path | None = None
    negatives: str | None = None
    output: Path | None = None
    init_lora: Path | Mapping[str, torch.Tensor] | None = None
    backbone_weights: Path | None = None
    lpips_weights: Path | None = None
    allow_download: bool = True
    search_folders: Sequence[Path] = ()
    allow_inexact_resume: bool = False


@dataclass(frozen=True)
class Prepared:
    """What `RunPlan.prepare` found and loaded; the base's UNet carries the run's LoRA.

    `earlier_pictures` are the digests of those that the LoRA to go on from names in its header.
    """

    dataset: Dataset
    held_out: Dataset | None
    base: BaseModel
    networks: Networks
    folder: RunFolder
    run_id: str
    earlier_pictures: frozenset[str]


class RunPlan:
    """A request, checked, with what it needs.

    Args:
        request: of the run.
        writes: off where nothing may be written.

    Raises:
        ConfigError: an option or the device is none that will do.
    """

    def __init__(self, request: RunRequest, *, writes: bool = True) -> None:
        validate(request.config)
        validate(request.memory)
        self._request = request
        self._writes = writes
        self.config = named_after_values(request.config)
        self.device = resolve_device(request.device)
        self.dtype = resolve_precision(self.config.precision, self.device)
        self.lora_dtype = torch.promote_types(self.dtype, torch.float32)
        self.work = request.work or default_work_folder(request.dataset)
        self.accelerator = make_accelerator(self.device)

    def prepare(self) -> Generator[Event, None, Prepared]:
        """Read the dataset, load the networks, attach the LoRA and find the run that this is."""
        dataset, held_out = self._read_datasets()
        if dataset.warnings:
            count = len(dataset.warnings)
            notes, them = ("1 note", "it") if count == 1 else (f"{count} notes", "them")
            yield WarningEvent(
                f"{notes} on the dataset; `scoft dataset check`, or the review desk on the canvas, "
                f"lists {them}."
            )
        yield PhaseEvent("load models", 0, 1)
        # The helpers first: if one is missing, that is said before gigabytes are loaded.
        networks = self._load_backbones()
        base = self._request.base
        if not isinstance(base, BaseModel):
            allow_download = self._request.allow_download
            base = load_base(base, dtype=self.dtype, allow_download=allow_download)
        try:
            folder, run_id, earlier = self._find_run(dataset, base, networks)
            yield PhaseEvent("load models", 1, 1)
            if base.family == "sdxl" and self.config.resolution < _SMALL_FOR_SDXL:
                yield WarningEvent(
                    f"`resolution` is {self.config.resolution}, and SDXL was made for pictures of "
                    "1024 x 1024: what it draws of small ones has little to do with them. Set it "
                    "to 1024, for the negatives, too."
                )
        except BaseException:
            detach_lora(base.unet)
            raise
        return Prepared(dataset, held_out, base, networks, folder, run_id, earlier)

    @contextlib.contextmanager
    def on_device(self, made: Prepared) -> Iterator[None]:
        """Keep on the device what lives there during the loop; the text encoder does not."""
        live = [made.base.unet, *(network for network in made.networks if network is not None)]
        if self.config.uses_denoising:
            live += made.base.decoder_parts
        with contextlib.ExitStack() as stack:
            for network in live:
                stack.enter_context(on_device(network, self.device))
            yield

    def decide(
        self, made: Prepared, *, resuming: bool
    ) -> tuple[MemoryConfig, EstimateEvent | None]:
        """Decide the memory choices, with the networks on the device.

        A run that is gone on with keeps the choices it began with, or needs consent.

        Returns:
            The choices and what they will hold; None in its place where that cannot be estimated.

        Raises:
            ResumeError: the choices are others than the run began with, and nobody agreed.
        """
        asked, batch_size = self._request.memory, self.config.batch_size
        free = free_memory(self.device)
        estimator = _Estimator(self._step_model(made))

        def fits(memory: MemoryConfig) -> bool:
            estimate = estimator.estimate(memory)
            return memory.memory != "fast" if estimate is None else enough(estimate.working, free)

        memory = decide_memory(asked, batch_size=batch_size, fits=fits)
        if resuming:
            begun = made.folder.begun()["memory"]
            memory = keep_begun(asked, memory, begun, batch_size=batch_size, fits=fits)
            allow_other = self._request.allow_inexact_resume
            made.folder.require_same_choices(self.split(memory), allow_other=allow_other)
        estimate = estimator.estimate(memory)
        if estimate is None:
            return memory, None
        return memory, EstimateEvent(
            level=memory.memory,
            parts=estimate.parts(),
            peak_bytes=estimate.peak,
            needed_bytes=estimate.working,
            free_bytes=free,
            fits=enough(estimate.working, free),
        )

    def _step_model(self, made: Prepared) -> StepModel:
        return StepModel(
            made.base,
            self.config,
            backbone=made.networks[0],
            lpips=made.networks[1],
            dtype=self.dtype,
            num_negatives=max(len(row.negative_paths) for row in made.dataset.rows),
        )

    def split(self, memory: MemoryConfig) -> dict[str, Any]:
        """What the weights depend on in their last bits only: the order of summation."""
        return {
            "memory": single_choices(memory),
            "processes": int(self.accelerator.num_processes),
            "batch_size": self.config.batch_size,
        }

    def _find_run(
        self, dataset: Dataset, base: BaseModel, networks: Networks
    ) -> tuple[RunFolder, str, frozenset[str]]:
        """Attach the LoRA and find the run that this request is."""
        config = self.config
        attach_lora(
            base.unet,
            rank=config.rank,
            alpha=config.lora_alpha,
            seed=config.seed,
            dtype=self.lora_dtype,
        )
        init_lora = self._load_init_lora(base)
        run_id = digest_json(
            {
                "format": _RUN_FORMAT,
                "config": {**config.identity(), "precision": str(self.dtype)},
                "dataset": dataset_digest(dataset),
                "base": base.digest,
                "backbones": [network.digest if network else None for network in networks],
                "init_lora": lora_digest(init_lora) if init_lora else None,
            }
        )[:16]
        path = self.work / "runs" / run_id
        writes = self._writes and bool(self.accelerator.is_main_process)
        earlier = pictures_of(init_lora.metadata)[0] if init_lora else frozenset[str]()
        return RunFolder(path, run_id, self._request.output, writes=writes), run_id, earlier

    def _read_datasets(self) -> tuple[Dataset, Dataset | None]:
        root, config = self._request.dataset, self.config
        dataset = read_dataset(root, crop_mode=config.crop, resolution=config.resolution)
        negatives = self._request.negatives
        dataset = complete_dataset(dataset, self.work, config, negatives=negatives)
        if not config.validate_every:
            return dataset, None
        if not (Path(root) / "test").is_dir():
            raise ConfigError(
                f"`validate_every` is {config.validate_every}, but {root} has no held-out rows: "
                "put some into test/metadata.jsonl beside train/, or set it 0."
            )
        held_out = overlaid(read_dataset(root, "test", crop_mode=config.crop), self.work)
        held_out.require_usable()
        return dataset, held_out

    def _load_backbones(self) -> Networks:
        request, config = self._request, self.config
        backbone = lpips = None
        if config.uses_backbone:
            backbone = load_backbone(
                config.perceptual_backbone,
                weights=request.backbone_weights,
                device="cpu",
                dtype=self.dtype,
                allow_download=request.allow_download,
                search_folders=request.search_folders,
            )
        if config.lpips_weight:
            lpips = load_backbone(
                "lpips",
                weights=request.lpips_weights,
                device="cpu",
                dtype=self.dtype,
                allow_download=request.allow_download,
                search_folders=request.search_folders,
            )
        return backbone, lpips

    def _load_init_lora(self, base: BaseModel) -> Lora | None:
        given = self._request.init_lora
        if given is None:
            return None
        if isinstance(given, Mapping):
            lora = lora_from_state_dict(given, base.unet, where="The LoRA to go on from")
        elif not given.is_file():
            raise ModelFileError(f"{given}: no such LoRA file. Name an existing .safetensors file.")
        else:
            lora = read_lora(given, base.unet)
        load_into_adapter(base.unet, lora)
        return lora


class _Estimator:
    """Estimates while they can be made."""

    def __init__(self, model: StepModel) -> None:
        self._model: StepModel | None = model

    def estimate(self, memory: MemoryConfig) -> MemoryEstimate | None:
        """Return the estimate, or None from the first that failed on."""
        if self._model is None:
            return None
        try:
            return self._model.estimate(memory)
        # An operator of a network that is not ours may know no shapes without values.
        except RuntimeError as error:
            logger.warning(
                "What the run will hold in memory cannot be estimated (%s). Choose `memory` "
                "yourself if it does not suffice.",
                str(error).splitlines()[0],
            )
            self._model = None
            return None


def plan_run(request: RunRequest) -> Iterator[Event]:
    """Do what a run does before its first step, but compute and write nothing.

    The last event is a `PlanEvent`. Nothing is fetched either: weights that are missing are an
    error, as in a run without downloads.

    Raises:
        ScoftError: as a run.
    """
    plan = RunPlan(dataclasses.replace(request, allow_download=False), writes=False)
    made = yield from plan.prepare()
    try:
        yield plan_event(plan, made)
    finally:
        detach_lora(made.base.unet)


def plan_event(plan: RunPlan, made: Prepared) -> PlanEvent:
    """Decide what the run would do."""
    folder = made.folder
    done = folder.lora_path.is_file()
    if not done:
        folder.require_free_output()
    saved = folder.saved_step()
    with plan.on_device(made):
        memory, estimate = plan.decide(made, resuming=saved is not None)
    return PlanEvent(
        run_id=made.run_id,
        folder=str(folder.path),
        pictures=len(made.dataset.rows),
        steps=plan.config.steps,
        start_step=plan.config.steps if done else saved or 0,
        pictures_per_step=plan.config.global_batch_size,
        device=str(plan.device),
        precision=str(plan.dtype).removeprefix("torch."),
        memory=dataclasses.asdict(memory),
        estimate=estimate,
    )
