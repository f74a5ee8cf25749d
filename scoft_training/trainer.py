"""The loop and nothing else: batch -> losses -> step -> event. No caption and no path comes here.

The global batch of a step is split over processes and micro-batches; each term is divided by its
size, gradients are summed, so every split gives the same run up to the order of summation.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .batches import Batch, draw_batch, split_positions
from .checkpoints import TrainingState
from .config import TrainConfig
from .errors import ConfigError, DivergenceError
from .events import Event, StepEvent, StopRequested, ValidationEvent, stop_check
from .memory import begin_peak, peak_memory
from .models import BaseModel, lora_parameters
from .objective import Objective
from .precompute import TrainingSet

__all__ = ["Trainer", "make_accelerator"]

_WINDOW = 20
"""Steps over which L_LDM is averaged before it is called exploding."""
_EXPLOSION = 10.0
"""How many times its first average L_LDM may grow to."""
_VALIDATION_TIMESTEPS = 4


def make_accelerator(device: torch.device) -> Any:
    """Return accelerate's view of the processes of this run; one process is the simple case."""
    from accelerate import Accelerator
    from accelerate.state import is_initialized

    # Its state is one per process and cannot be changed, so a second run takes what the first made.
    return Accelerator() if is_initialized() else Accelerator(cpu=device.type == "cpu")


@dataclass(frozen=True)
class _StepResult:
    losses: dict[str, float]
    total_loss: float
    grad_norm: float
    learning_rate: float


class Trainer:
    """One run's loop over a UNet whose LoRA is attached, with its optimizer and schedule.

    Args:
        base: its UNet carries the LoRA and lies on `device`.
        config: validated.
        objective: losses of the same base.
        training_set: examples.
        validation_set: held-out examples, or None.
        accelerator: from `make_accelerator`.
        device: where the networks are.
        dtype: of the frozen networks; float16 turns loss scaling on.

    Raises:
        ConfigError: more processes than pictures per step.
    """

    def __init__(
        self,
        base: BaseModel,
        config: TrainConfig,
        objective: Objective,
        training_set: TrainingSet,
        validation_set: TrainingSet | None,
        *,
        accelerator: Any,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        from diffusers.optimization import get_scheduler

        if accelerator.num_processes > config.global_batch_size:
            raise ConfigError(
                f"{accelerator.num_processes} processes cannot share {config.global_batch_size} "
                "pictures per step. Raise `batch_size` or `gradient_accumulation_steps`, or start "
                "fewer processes."
            )
        self._base = base
        self._config = config
        self._objective = objective
        self._training_set = training_set
        self._validation_set = validation_set
        self._accelerator = accelerator
        self._device = device
        self.step = 0
        self.parameters = lora_parameters(base.unet)
        self._initial = {name: value.detach().clone() for name, value in self.parameters.items()}
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        self._optimizer = kinds[config.optimizer](
            list(self.parameters.values()),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        schedule = config.lr_scheduler
        if schedule == "constant" and config.lr_warmup_steps:
            schedule = "constant_with_warmup"
        self._lr_scheduler = get_scheduler(
            schedule,
            self._optimizer,
            num_warmup_steps=config.lr_warmup_steps,
            num_training_steps=config.steps,
        )
        self._scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self._first_losses: list[float] = []
        self._last_losses: deque[float] = deque(maxlen=_WINDOW)

    def state(self) -> TrainingState:
        """Return what a later process needs to go on after `step` steps."""
        tensors: dict[str, Tensor] = {}
        moments = self._optimizer.state_dict()["state"]
        for index, (name, parameter) in enumerate(self.parameters.items()):
            tensors[f"lora.{name}"] = parameter
            for key, moment in moments.get(index, {}).items():
                tensors[f"optimizer.{key}.{name}"] = moment
        values = {
            "lr_scheduler": self._lr_scheduler.state_dict(),
            "scaler": self._scaler.state_dict(),
            "first_losses": self._first_losses,
            "last_losses": list(self._last_losses),
        }
        return TrainingState(self.step, tensors, values)

    def load_state(self, state: TrainingState) -> None:
        """Put the trainer where `state` was taken, bit for bit."""
        names = list(self.parameters)
        moments: dict[int, dict[str, Tensor]] = {}
        for full_name, tensor in state.tensors.items():
            kind, rest = full_name.split(".", 1)
            if kind == "lora":
                self.parameters[rest].data.copy_(tensor)
            else:
                key, name = rest.split(".", 1)
                moments.setdefault(names.index(name), {})[key] = tensor
        fresh = self._optimizer.state_dict()
        self._optimizer.load_state_dict({**fresh, "state": moments})
        self._lr_scheduler.load_state_dict(dict(state.values["lr_scheduler"]))
        for group, rate in zip(
            self._optimizer.param_groups, self._lr_scheduler.get_last_lr(), strict=True
        ):
            group["lr"] = rate
        if state.values["scaler"]:
            self._scaler.load_state_dict(dict(state.values["scaler"]))
        self._first_losses = list(state.values["first_losses"])
        self._last_losses = deque(state.values["last_losses"], maxlen=_WINDOW)
        self.step = state.step

    def run(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Train to the end, yielding an event after every step.

        After each `StepEvent` the trainer stands between two steps and its `state` may be saved.

        Args:
            should_stop: asked before each step and, in one process, before each DDIM step.

        Raises:
            StopRequested: `should_stop` became true; the trainer stands after its last whole step.
            DivergenceError: NaN, explosion, or a LoRA that did not move.
        """
        begin_peak(self._device)
        while self.step < self._config.steps:
            if self._anyone(should_stop()):
                raise StopRequested
            begun = time.perf_counter()
            result = self._one_step(should_stop)
            self._guard(result)
            yield StepEvent(
                step=self.step,
                steps=self._config.steps,
                losses=result.losses,
                total_loss=result.total_loss,
                grad_norm=result.grad_norm,
                learning_rate=result.learning_rate,
                seconds=time.perf_counter() - begun,
                memory_bytes=peak_memory(self._device),
            )
            every, last = self._config.validate_every, self.step == self._config.steps
            if self._validation_set is not None and every and (self.step % every == 0 or last):
                yield self._validate(self._validation_set)
        self._require_movement()

    def _one_step(self, should_stop: Callable[[], bool]) -> _StepResult:
        # Processes must leave a step together, so only a lone one may stop inside it.
        alone = self._accelerator.num_processes == 1
        check_stop = stop_check(should_stop if alone else lambda: False)
        self._optimizer.zero_grad(set_to_none=True)
        total, sums = 0.0, dict[str, Tensor]()
        try:
            for batch in self._micro_batches():
                terms = self._objective.accumulate(
                    batch, loss_scale=self._scaler.get_scale(), check_stop=check_stop
                )
                total += self._objective.weighted_total(terms)
                for name, values in terms.items():
                    pair = torch.stack([values.sum(), values.new_tensor(float(len(values)))])
                    sums[name] = sums.get(name, 0) + pair
        except StopRequested:
            self._optimizer.zero_grad(set_to_none=True)
            raise
        losses, total = self._reduce(sums, total)
        learning_rate = float(self._lr_scheduler.get_last_lr()[0])
        self._scaler.unscale_(self._optimizer)
        grad_norm = self._clip()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._lr_scheduler.step()
        self.step += 1
        return _StepResult(losses, total, grad_norm, learning_rate)

    def _micro_batches(self) -> Iterator[Batch]:
        config = self._config
        accelerator = self._accelerator
        for positions in split_positions(
            config.global_batch_size,
            config.batch_size,
            accelerator.process_index,
            accelerator.num_processes,
        ):
            yield draw_batch(
                self._training_set,
                config,
                self._base.schedule,
                step=self.step,
                positions=positions,
                with_targets=self._objective.is_perceptual(self.step),
                scaling_factor=self._base.scaling_factor,
                device=self._device,
            )

    def _reduce(self, sums: dict[str, Tensor], total: float) -> tuple[dict[str, float], float]:
        """Sum gradients and terms over the processes; return the terms' means and the total."""
        accelerator = self._accelerator
        for parameter in self.parameters.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if accelerator.num_processes > 1:
            for parameter in self.parameters.values():
                parameter.grad = accelerator.reduce(parameter.grad, reduction="sum")
            # A process may lack a term, so all reduce one tensor of all terms.
            names = ("ldm", "memorization", "perceptual", "contrastive", "lpips")
            nothing = torch.zeros(2, device=self._device, dtype=torch.float64)
            table = torch.stack([sums.get(name, nothing).double() for name in names])
            table = accelerator.reduce(table, reduction="sum")
            sums = {name: row for name, row in zip(names, table, strict=True) if row[1] > 0}
            whole = torch.tensor(total, device=self._device, dtype=torch.float64)
            total = float(accelerator.reduce(whole, reduction="sum"))
        return {name: float(pair[0] / pair[1]) for name, pair in sums.items()}, total

    def _clip(self) -> float:
        limit = self._config.max_grad_norm or math.inf
        return float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), limit))

    def _anyone(self, mine: bool) -> bool:
        if self._accelerator.num_processes == 1:
            return mine
        asked = torch.tensor(float(mine), device=self._device)
        return bool(self._accelerator.reduce(asked, reduction="sum") > 0)

    def _validate(self, held_out: TrainingSet) -> ValidationEvent:
        """L_LDM over the held-out rows: whole pictures, fixed noise, timesteps spread evenly."""
        # Neither the run's seed nor its losses decide what it is measured by.
        config = dataclasses.replace(self._config, seed=0, memorization_weight=0.0)
        count = len(self._base.schedule.alphas_cumprod)
        total = torch.zeros((), dtype=torch.float64)
        for index, example in enumerate(held_out.examples):
            one = TrainingSet((example,), held_out.uncond, 1.0, ())
            drawn = draw_batch(
                one,
                config,
                self._base.schedule,
                step=-1 - index,
                positions=range(_VALIDATION_TIMESTEPS),
                with_targets=False,
                scaling_factor=self._base.scaling_factor,
                device=self._device,
            )
            spread = (
                (torch.arange(_VALIDATION_TIMESTEPS) * 2 + 1) * count // (2 * _VALIDATION_TIMESTEPS)
            )
            batch = dataclasses.replace(drawn, timesteps=spread.to(self._device))
            total += self._objective.validation_loss(batch).double().mean().cpu()
        pictures = len(held_out.examples)
        return ValidationEvent(step=self.step, loss=float(total / pictures), pictures=pictures)

    def _guard(self, result: _StepResult) -> None:
        finite = math.isfinite(result.total_loss)
        # Under loss scaling an overflowing gradient is expected now and then: the step is skipped.
        if not self._scaler.is_enabled():
            finite = finite and math.isfinite(result.grad_norm)
        if not finite:
            terms = ", ".join(f"{name} {value:.4g}" for name, value in result.losses.items())
            raise DivergenceError(
                f"Step {self.step}: the loss or its gradient is not a finite number ({terms}). "
                "Nothing of this step was saved. Lower `learning_rate`, or use `precision` bf16 or "
                "fp32."
            )
        loss = result.losses["ldm"]
        if len(self._first_losses) < _WINDOW:
            self._first_losses.append(loss)
        self._last_losses.append(loss)
        first = sum(self._first_losses) / len(self._first_losses)
        last = sum(self._last_losses) / len(self._last_losses)
        if self.step > 2 * _WINDOW and last > _EXPLOSION * first:
            raise DivergenceError(
                f"Step {self.step}: L_LDM has grown from {first:.3g} to {last:.3g}, averaged over "
                f"{_WINDOW} steps, so the training is exploding. Nothing of this step was saved. "
                "Lower `learning_rate`."
            )

    def _require_movement(self) -> None:
        moved = any(
            not torch.equal(parameter.detach(), self._initial[name])
            for name, parameter in self.parameters.items()
        )
        if self._config.steps and not moved:
            raise DivergenceError(
                f"After {self._config.steps} steps no LoRA weight has changed, so there is nothing "
                "to save. Raise `learning_rate` and check the loss weights."
            )
