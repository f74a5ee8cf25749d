"""One run from start to file: dataset -> precompute -> trainer -> LoRA file, and how it goes on.

Everything of a run lies in `<work folder>/runs/<run id>/`: config.json, events.jsonl, checkpoints/
and, at the end, lora.safetensors. The run id is the digest of all that decides the weights, so the
same request goes on with the same run, and another one never touches it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .backbone_interface import PerceptualBackbone
from .backbones import load_backbone
from .conditioning import Conditioning
from .config import MemoryConfig, TrainConfig, named_after_values, validate
from .data import Dataset, count_by_category, dataset_digest, read_dataset
from .errors import ConfigError, DivergenceError, ModelFileError
from .events import (
    CheckpointEvent,
    Event,
    FinishedEvent,
    PhaseEvent,
    SettingsEvent,
    StepEvent,
    StoppedEvent,
    StopRequested,
    WarningEvent,
    stop_check,
)
from .files import digest_json
from .lora_files import lora_from_state_dict, read_lora, write_lora
from .lora_layers import Lora, load_into_adapter, lora_digest, lora_from_adapter
from .lora_metadata import TrainingRecord, lora_metadata
from .memory import apply_memory, decide_memory, free_memory, keep_begun, out_of_memory
from .models import (
    BaseModel,
    attach_lora,
    detach_lora,
    load_base,
    on_device,
    resolve_device,
    resolve_precision,
)
from .objective import Objective
from .precompute import TrainingSet, precompute
from .previews import Previews, preview_prompts
from .run_folder import RunFolder
from .trainer import Trainer, make_accelerator
from .work_folder import complete_dataset, default_work_folder, overlaid

__all__ = ["RunRequest", "run_training"]

_Networks = tuple[PerceptualBackbone | None, PerceptualBackbone | None]
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


def run_training(
    request: RunRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Carry out a run, or go on with it, yielding events; the last one says how it ended.

    Args:
        request: what to do.
        should_stop: asked between and inside steps; true saves the state and ends the run.

    Raises:
        ScoftError: of any kind; what was saved before stays.
    """
    return _Run(request, should_stop).events()


class _Run:
    """The state of one `run_training`."""

    def __init__(self, request: RunRequest, should_stop: Callable[[], bool]) -> None:
        validate(request.config)
        validate(request.memory)
        self._request = request
        self._config = named_after_values(request.config)
        self._should_stop = should_stop
        self._started = _now()
        self._device = resolve_device(request.device)
        self._dtype = resolve_precision(self._config.precision, self._device)
        self._lora_dtype = torch.promote_types(self._dtype, torch.float32)
        self._work = request.work or default_work_folder(request.dataset)
        self._accelerator = make_accelerator(self._device)
        self._memory = request.memory
        self._last_losses: dict[str, float] = {}

    def events(self) -> Iterator[Event]:
        """The whole run, in order; what happens before the run id is known is not logged."""
        dataset, held_out = self._read_datasets()
        if dataset.warnings:
            yield WarningEvent(
                f"{len(dataset.warnings)} notes on the dataset; `scoft dataset check`, or the "
                "gallery on the canvas, lists them."
            )
        yield PhaseEvent("load models", 0, 1)
        # The helpers first: if one is missing, that is said before gigabytes are loaded.
        networks = self._load_backbones()
        base = self._request.base
        if not isinstance(base, BaseModel):
            allow_download = self._request.allow_download
            base = load_base(base, dtype=self._dtype, allow_download=allow_download)
        try:
            folder, run_id = self._prepare(dataset, base, networks)
            yield PhaseEvent("load models", 1, 1)
            for event in self._carry_out(folder, run_id, dataset, held_out, base, networks):
                folder.log([event])
                yield event
        except torch.OutOfMemoryError as error:
            raise out_of_memory(self._device, self._memory, self._config.batch_size) from error
        finally:
            detach_lora(base.unet)

    def _prepare(
        self, dataset: Dataset, base: BaseModel, networks: _Networks
    ) -> tuple[RunFolder, str]:
        """Attach the LoRA and find the run that this request is."""
        config = self._config
        attach_lora(
            base.unet,
            rank=config.rank,
            alpha=config.lora_alpha,
            seed=config.seed,
            dtype=self._lora_dtype,
        )
        init_lora = self._load_init_lora(base)
        run_id = digest_json(
            {
                "format": _RUN_FORMAT,
                "config": {**config.identity(), "precision": str(self._dtype)},
                "dataset": dataset_digest(dataset),
                "base": base.digest,
                "backbones": [network.digest if network else None for network in networks],
                "init_lora": lora_digest(init_lora) if init_lora else None,
            }
        )[:16]
        path = self._work / "runs" / run_id
        writes = bool(self._accelerator.is_main_process)
        return RunFolder(path, run_id, self._request.output, writes=writes), run_id

    def _carry_out(
        self,
        folder: RunFolder,
        run_id: str,
        dataset: Dataset,
        held_out: Dataset | None,
        base: BaseModel,
        networks: _Networks,
    ) -> Iterator[Event]:
        if folder.lora_path.is_file():
            read_lora(folder.lora_path, base.unet)
            folder.hand_out()
            yield FinishedEvent(self._config.steps, folder.result, already_done=True)
            return
        folder.require_free_output()
        try:
            training_set, validation_set = yield from self._precompute(
                dataset, held_out, base, networks
            )
        except StopRequested:
            yield StoppedEvent(
                0, "Stopped before the first step. Started again, it goes on from what is computed."
            )
            return
        if training_set.cut_captions:
            cut = training_set.cut_captions
            yield WarningEvent(
                f"{len(cut)} captions are longer than the text encoder's 77 tokens, and only their "
                f"beginning counts: {'; '.join(cut)}. Shorten them."
            )
        yield from self._train(
            folder, run_id, dataset, base, networks, training_set, validation_set
        )

    def _train(
        self,
        folder: RunFolder,
        run_id: str,
        dataset: Dataset,
        base: BaseModel,
        networks: _Networks,
        training_set: TrainingSet,
        validation_set: TrainingSet | None,
    ) -> Iterator[Event]:
        """The loop, with what has to live on the device for it, and the file at its end."""
        live = [base.unet, *(network for network in networks if network is not None)]
        if self._config.uses_denoising:
            live += base.decoder_parts
        # Encoded while the UNet is not there yet, so that the text encoder never stands beside it.
        prompts, conditioning = self._encode_previews(dataset, base)
        with contextlib.ExitStack() as stack:
            for network in live:
                stack.enter_context(on_device(network, self._device))
            state = folder.load()
            memory = self._memory = self._memory_choices(folder, resuming=state is not None)
            trainer = self._trainer(base, networks, memory, training_set, validation_set)
            if state is not None:
                trainer.load_state(state)
            previews = None
            if conditioning is not None:
                previews = Previews(
                    base,
                    self._config,
                    memory,
                    prompts=prompts,
                    conditioning=conditioning,
                    uncond=training_set.uncond,
                    device=self._device,
                    dtype=self._dtype,
                )
            folder.write_config(
                {
                    "run_id": run_id,
                    "scoft": __version__,
                    "config": dataclasses.asdict(self._config),
                    **self._split(memory),
                }
            )
            yield SettingsEvent(
                run_id=run_id,
                device=str(self._device),
                precision=str(self._dtype).removeprefix("torch."),
                memory=dataclasses.asdict(memory),
                start_step=trainer.step,
                steps=self._config.steps,
                trained_parameters=sum(value.numel() for value in trainer.parameters.values()),
            )
            try:
                yield from self._steps(trainer, folder, previews)
            except StopRequested:
                yield self._save(trainer, folder)
                so_far = folder.lora_so_far(trainer.step)
                if trainer.step:
                    record = self._record(dataset, base, run_id, trainer.step)
                    self._write_lora(so_far, base, record)
                yield StoppedEvent(
                    trainer.step,
                    f"Stopped after step {trainer.step} of {self._config.steps}; everything is "
                    "saved. Started again, the same run goes on from there.",
                    str(so_far) if trainer.step else "",
                )
                return
            record = self._record(dataset, base, run_id, trainer.step)
            self._write_lora(folder.lora_path, base, record)
            folder.hand_out()
            self._accelerator.wait_for_everyone()
            yield FinishedEvent(self._config.steps, folder.result)

    def _trainer(
        self,
        base: BaseModel,
        networks: _Networks,
        memory: MemoryConfig,
        training_set: TrainingSet,
        validation_set: TrainingSet | None,
    ) -> Trainer:
        apply_memory(memory, base.unet, base.vae)
        objective = Objective(
            base,
            self._config,
            memory,
            backbone=networks[0],
            lpips=networks[1],
            uncond=training_set.uncond,
            distance_unit=training_set.distance_unit,
            device=self._device,
            dtype=self._dtype,
        )
        return Trainer(
            base,
            self._config,
            objective,
            training_set,
            validation_set,
            accelerator=self._accelerator,
            device=self._device,
            dtype=self._dtype,
        )

    def _steps(
        self, trainer: Trainer, folder: RunFolder, previews: Previews | None
    ) -> Iterator[Event]:
        save_every, preview_every = self._config.save_every, self._config.preview_every
        for event in trainer.run(self._should_stop):
            yield event
            if not isinstance(event, StepEvent):
                continue
            self._last_losses |= event.losses
            if save_every and event.step % save_every == 0:
                yield self._save(trainer, folder)
            last = event.step == self._config.steps
            if previews is not None and (event.step % preview_every == 0 or last):
                yield from self._draw_previews(previews, event.step, folder)

    def _draw_previews(self, previews: Previews, step: int, folder: RunFolder) -> Iterator[Event]:
        try:
            pictures = previews.draw(stop_check(self._should_stop))
            for index, (prompt, image) in enumerate(pictures):
                yield folder.save_preview(step, index, prompt, image)
        # A preview is not worth a run: where it overflows, training goes on.
        except DivergenceError as error:
            yield WarningEvent(f"No preview after step {step}: {error}")

    def _encode_previews(
        self, dataset: Dataset, base: BaseModel
    ) -> tuple[list[str], Conditioning | None]:
        """Return what previews show, as words and encoded; nothing where none are drawn here."""
        if not self._config.preview_every or not self._accelerator.is_main_process:
            return [], None
        prompts = preview_prompts(self._config, [row.cultural_caption for row in dataset.rows])
        with on_device(base.captions, self._device):
            return prompts, base.captions.encode(prompts).conditioning

    def _write_lora(self, path: Path, base: BaseModel, record: TrainingRecord) -> None:
        if self._accelerator.is_main_process:
            lora = Lora(lora_from_adapter(base.unet).layers, lora_metadata(record))
            write_lora(path, lora, dtype=self._lora_dtype)

    def _save(self, trainer: Trainer, folder: RunFolder) -> CheckpointEvent:
        event = folder.save(trainer.state(), keep=self._config.keep_checkpoints)
        self._accelerator.wait_for_everyone()
        return event

    def _read_datasets(self) -> tuple[Dataset, Dataset | None]:
        root, config = self._request.dataset, self._config
        dataset = read_dataset(root, crop_mode=config.crop, resolution=config.resolution)
        dataset.require_usable()
        negatives = self._request.negatives
        dataset = complete_dataset(dataset, self._work, config, negatives=negatives)
        if not config.validate_every:
            return dataset, None
        if not (Path(root) / "test").is_dir():
            raise ConfigError(
                f"`validate_every` is {config.validate_every}, but {root} has no held-out rows: "
                "put some into test/metadata.jsonl beside train/, or set it 0."
            )
        held_out = read_dataset(root, "test", crop_mode=config.crop)
        held_out.require_usable()
        return dataset, overlaid(held_out, self._work)

    def _load_backbones(self) -> _Networks:
        request, config = self._request, self._config
        backbone = lpips = None
        if config.uses_backbone:
            backbone = load_backbone(
                config.perceptual_backbone,
                weights=request.backbone_weights,
                device="cpu",
                dtype=self._dtype,
                allow_download=request.allow_download,
                search_folders=request.search_folders,
            )
        if config.lpips_weight:
            lpips = load_backbone(
                "lpips",
                weights=request.lpips_weights,
                device="cpu",
                dtype=self._dtype,
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

    def _precompute(
        self,
        dataset: Dataset,
        held_out: Dataset | None,
        base: BaseModel,
        networks: _Networks,
    ) -> Generator[PhaseEvent, None, tuple[TrainingSet, TrainingSet | None]]:
        # The main process fills the cache, the others then read it.
        if not self._accelerator.is_main_process:
            self._accelerator.wait_for_everyone()

        work = functools.partial(
            precompute,
            base=base,
            cache=self._work / "cache",
            device=self._device,
            dtype=self._dtype,
            check_stop=stop_check(self._should_stop),
        )
        training_set = yield from work(dataset.rows, self._config, backbone=networks[0])
        validation_set = None
        if held_out is not None:
            plain = dataclasses.replace(self._config, contrastive_weight=0.0, lpips_weight=0.0)
            validation_set = yield from work(held_out.rows, plain, backbone=None)
        if self._accelerator.is_main_process:
            self._accelerator.wait_for_everyone()
        return training_set, validation_set

    def _memory_choices(self, folder: RunFolder, *, resuming: bool) -> MemoryConfig:
        """Decide; a run that is gone on with keeps the choices it began with, or needs consent."""
        memory = decide_memory(
            self._request.memory,
            free_bytes=free_memory(self._device),
            resolution=self._config.resolution,
            batch_size=self._config.batch_size,
        )
        if resuming:
            memory = keep_begun(
                self._request.memory, memory, MemoryConfig(**folder.begun()["memory"])
            )
            allow_other = self._request.allow_inexact_resume
            folder.require_same_choices(self._split(memory), allow_other=allow_other)
        return memory

    def _split(self, memory: MemoryConfig) -> dict[str, Any]:
        """What the weights depend on in their last bits only: the order of summation."""
        return {
            "memory": dataclasses.asdict(memory),
            "processes": int(self._accelerator.num_processes),
            "batch_size": self._config.batch_size,
        }

    def _record(self, dataset: Dataset, base: BaseModel, run_id: str, steps: int) -> TrainingRecord:
        config, card = self._config, dataset.card
        rows = dataset.rows
        title = self._request.output.stem if self._request.output else f"{dataset.name}-{run_id}"
        return TrainingRecord(
            config=dataclasses.asdict(config),
            run_id=run_id,
            dataset_digest=dataset_digest(dataset),
            picture_sha256=tuple(row.sha256 for row in rows),
            culture=card.culture or "",
            suffix=card.suffix or "",
            category_counts={
                category: counts["total"] for category, counts in count_by_category(dataset).items()
            },
            final_losses=self._last_losses,
            credits=tuple(
                credit for credit in (*card.credits, *(row.credit for row in rows)) if credit
            ),
            licences=tuple(
                licence for licence in (card.licence, *(row.licence for row in rows)) if licence
            ),
            base_name=base.name,
            family=base.family,
            prediction_type=base.schedule.prediction_type,
            resolution=config.resolution,
            steps=steps,
            learning_rate=config.learning_rate,
            rank=config.rank,
            alpha=config.lora_alpha,
            num_pictures=len(rows),
            started=self._started,
            finished=_now(),
            title=title,
        )


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
