"""One run from start to file: dataset -> precompute -> trainer -> LoRA file, and how it goes on.

Everything of a run lies in `<work folder>/runs/<run id>/`: config.json, events.jsonl, checkpoints/
and, at the end, lora.safetensors. The run id is the digest of all that decides the weights, so the
same request goes on with the same run, and another one never touches it.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import torch

from . import __version__
from .conditioning import Conditioning
from .config import MemoryConfig
from .data import Dataset, count_by_category, dataset_digest
from .errors import DivergenceError
from .events import (
    CheckpointEvent,
    Event,
    FinishedEvent,
    PhaseEvent,
    SettingsEvent,
    SnapshotEvent,
    StepEvent,
    StoppedEvent,
    StopRequested,
    WarningEvent,
    stop_check,
)
from .lora_files import read_lora, read_metadata, write_lora
from .lora_layers import Lora, lora_from_adapter
from .lora_metadata import RIGHTS_KEYS, TrainingRecord, lora_metadata
from .memory import apply_memory, out_of_memory
from .models import (
    BaseModel,
    detach_lora,
    on_device,
)
from .objective import Objective
from .precompute import TrainingSet, precompute
from .previews import Previews, preview_prompts
from .rights import consent_counts, credit_groups, licence_counts
from .run_folder import RunFolder
from .run_plan import Prepared, RunPlan, RunRequest
from .trainer import Trainer

__all__ = ["RunRequest", "run_training"]


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
        self._request = request
        self._should_stop = should_stop
        self._started = _now()
        self._plan = RunPlan(request)
        self._config = self._plan.config
        self._device = self._plan.device
        self._dtype = self._plan.dtype
        self._accelerator = self._plan.accelerator
        self._memory = request.memory
        self._last_losses: dict[str, float] = {}

    def events(self) -> Iterator[Event]:
        """The whole run, in order; what happens before the run id is known is not logged."""
        made = yield from self._plan.prepare()
        try:
            for event in self._carry_out(made):
                made.folder.log([event])
                yield event
        except torch.OutOfMemoryError as error:
            raise out_of_memory(self._device, self._memory, self._config.batch_size) from error
        finally:
            detach_lora(made.base.unet)

    def _carry_out(self, made: Prepared) -> Iterator[Event]:
        folder = made.folder
        if folder.lora_path.is_file():
            self._restate_rights(made)
            folder.hand_out()
            if lacking := self._lacking_snapshots(folder):
                yield WarningEvent(
                    f"This run ended without the snapshots of {len(lacking)} steps from step "
                    f"{lacking[0]} on, and what is finished is not trained again. Train with "
                    "another `seed`, or move the run's folder away, to have them."
                )
            yield FinishedEvent(self._config.steps, folder.result, already_done=True)
            return
        folder.require_free_output()
        try:
            training_set, validation_set = yield from self._precompute(made)
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
        yield from self._train(made, training_set, validation_set)

    def _train(
        self, made: Prepared, training_set: TrainingSet, validation_set: TrainingSet | None
    ) -> Iterator[Event]:
        """The loop, with what has to live on the device for it, and the file at its end."""
        folder, base = made.folder, made.base
        # Encoded while the UNet is not there yet, so that the text encoder never stands beside it.
        prompts, conditioning = self._encode_previews(made.dataset, base)
        with self._plan.on_device(made):
            state = folder.load()
            memory, estimate = self._plan.decide(made, resuming=state is not None)
            self._memory = memory
            if estimate is not None:
                yield estimate
            trainer = self._trainer(made, memory, training_set, validation_set)
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
                    "run_id": made.run_id,
                    "scoft": __version__,
                    "config": dataclasses.asdict(self._config),
                    # A run that never ends has no LoRA whose header names them.
                    "picture_sha256": [row.sha256 for row in made.dataset.rows],
                    "earlier_picture_sha256": sorted(made.earlier_pictures),
                    **self._plan.split(memory),
                }
            )
            yield SettingsEvent(
                run_id=made.run_id,
                device=str(self._device),
                precision=str(self._dtype).removeprefix("torch."),
                memory=dataclasses.asdict(memory),
                start_step=trainer.step,
                steps=self._config.steps,
                trained_parameters=sum(value.numel() for value in trainer.parameters.values()),
            )
            try:
                yield from self._steps(made, trainer, previews)
            except StopRequested:
                yield self._save(trainer, folder)
                so_far = folder.lora_so_far(trainer.step)
                if trainer.step:
                    record = self._record(made, trainer.step)
                    self._write_lora(so_far, base, record)
                yield StoppedEvent(
                    trainer.step,
                    f"Stopped after step {trainer.step} of {self._config.steps}; everything is "
                    "saved. Started again, the same run goes on from there.",
                    str(so_far) if trainer.step else "",
                )
                return
            record = self._record(made, trainer.step)
            self._write_lora(folder.lora_path, base, record)
            folder.hand_out()
            self._accelerator.wait_for_everyone()
            yield FinishedEvent(self._config.steps, folder.result)

    def _trainer(
        self,
        made: Prepared,
        memory: MemoryConfig,
        training_set: TrainingSet,
        validation_set: TrainingSet | None,
    ) -> Trainer:
        base, networks = made.base, made.networks
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
        self, made: Prepared, trainer: Trainer, previews: Previews | None
    ) -> Iterator[Event]:
        folder, snapshot_every = made.folder, self._config.snapshot_every
        save_every, preview_every = self._config.save_every, self._config.preview_every
        for event in trainer.run(self._should_stop):
            yield event
            if not isinstance(event, StepEvent):
                continue
            self._last_losses |= event.losses
            # Before the checkpoint, or a run killed between the two would go on without it.
            if snapshot_every and event.step % snapshot_every == 0:
                path = folder.snapshot(event.step)
                self._write_lora(path, made.base, self._record(made, event.step))
                yield SnapshotEvent(event.step, path.relative_to(folder.path).as_posix())
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
            write_lora(path, lora, dtype=self._plan.lora_dtype)

    def _restate_rights(self, made: Prepared) -> None:
        """Bring a finished run's headers up to date with what is said of credit and consent now."""
        record, dtype = self._record(made, self._config.steps), self._plan.lora_dtype
        now = {key: text for key, text in lora_metadata(record).items() if key in RIGHTS_KEYS}
        for snapshot in (None, *made.folder.snapshots()):
            path = snapshot or made.folder.lora_path
            header = read_metadata(path)
            rest = {key: text for key, text in header.items() if key not in RIGHTS_KEYS}
            if {**rest, **now} == header:
                continue
            restated = Lora(read_lora(path, made.base.unet).layers, {**rest, **now})
            write = functools.partial(write_lora, lora=restated, dtype=dtype)
            made.folder.renew(write, snapshot)

    def _lacking_snapshots(self, folder: RunFolder) -> list[int]:
        """Return the steps of which a snapshot was asked for and is not there."""
        every = self._config.snapshot_every
        steps = range(every, self._config.steps + 1, every) if every else ()
        return [step for step in steps if not folder.snapshot(step).is_file()]

    def _save(self, trainer: Trainer, folder: RunFolder) -> CheckpointEvent:
        event = folder.save(trainer.state(), keep=self._config.keep_checkpoints)
        self._accelerator.wait_for_everyone()
        return event

    def _precompute(
        self, made: Prepared
    ) -> Generator[PhaseEvent, None, tuple[TrainingSet, TrainingSet | None]]:
        # The main process fills the cache, the others then read it.
        if not self._accelerator.is_main_process:
            self._accelerator.wait_for_everyone()

        work = functools.partial(
            precompute,
            base=made.base,
            cache=self._plan.work / "cache",
            device=self._device,
            dtype=self._dtype,
            check_stop=stop_check(self._should_stop),
        )
        training_set = yield from work(made.dataset.rows, self._config, backbone=made.networks[0])
        validation_set = None
        if made.held_out is not None:
            plain = dataclasses.replace(self._config, contrastive_weight=0.0, lpips_weight=0.0)
            validation_set = yield from work(made.held_out.rows, plain, backbone=None)
        if self._accelerator.is_main_process:
            self._accelerator.wait_for_everyone()
        return training_set, validation_set

    def _record(self, made: Prepared, steps: int) -> TrainingRecord:
        config, base, dataset, run_id = self._config, made.base, made.dataset, made.run_id
        card, rows = dataset.card, dataset.rows
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
            credit_groups=credit_groups(rows, card),
            licence_counts=licence_counts(rows, card),
            consent_counts=consent_counts(rows),
            contact=card.contact or "",
            earlier_pictures=tuple(sorted(made.earlier_pictures)),
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
