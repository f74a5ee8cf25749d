"""The training loop of every stage of the miniature's pretraining: resumable, logged, averaged.

What is trained on what is in `pretrain_images` and `pretrain_drawing`.
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ResumeError
from ..files import write_aside

__all__ = ["LoopSettings", "OnStep", "machine", "quiet", "run_loop"]

_LOG_EVERY = 50

LossAt = Callable[[int], tuple[Tensor, dict[str, float]]]
OnStep = Callable[[int, int, dict[str, float]], None]
"""Told the steps done, of all, and what was logged last."""


def quiet(*_: object) -> None:
    """Be told, and say nothing."""


@dataclass(frozen=True)
class LoopSettings:
    """How a stage is optimized; with the seed it decides the weights on a given machine.

    Attributes:
        steps: optimizer steps in all.
        learning_rate: of AdamW, after the warm-up and before the cosine.
        warmup: steps of linear warm-up.
        hold: share of the steps at the full rate; the rest falls by a cosine to a hundredth.
        weight_decay: of AdamW.
        average: decay of the moving average of the weights, which is what a stage leaves behind.
        save_every: seconds between saved states.
        shards: parts of a batch that are computed at the same time, one thread each. Small layers
            keep two cores busier so than by two threads sharing a layer.
    """

    steps: int
    learning_rate: float
    warmup: int = 100
    hold: float = 0.3
    weight_decay: float = 1e-4
    average: float = 0.998
    save_every: float = 120.0
    shards: int = 1

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rate = self.learning_rate * min(1.0, (step + 1) / self.warmup)
        share = step / self.steps
        if share > self.hold:
            fall = (share - self.hold) / (1 - self.hold)
            rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall))
        return rate


def machine() -> dict[str, Any]:
    """Return what the log says of the machine: processor, cores, threads, versions."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def run_loop(
    modules: Iterable[nn.Module],
    loss_at: LossAt,
    settings: LoopSettings,
    folder: Path,
    *,
    on_step: OnStep = quiet,
) -> None:
    """Train the modules in place, and leave the moving average of their weights in them.

    A run that was stopped goes on from `folder`/state.pt, and comes to the weights that it would
    have come to. `folder`/log.jsonl has a line every 50 steps: the mean of the losses since the
    line before, and the processor seconds spent so far, of all threads.

    Args:
        modules: all of their parameters that require a gradient are trained.
        loss_at: (number) -> loss and what to log, of one shard. Its draws must depend on the
            number alone, which counts the shards of all steps from 0.
        settings: the optimizer's.
        folder: made if missing.
        on_step: told the number of steps done, of all, and the last logged values.
    Raises:
        ResumeError: the saved state is of other settings or other networks.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters,
        settings.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=settings.weight_decay,
    )
    average = [parameter.detach().clone() for parameter in parameters]
    folder.mkdir(parents=True, exist_ok=True)
    state_path, log_path = folder / "state.pt", folder / "log.jsonl"
    step, spent = 0, 0.0
    if state_path.is_file():
        step, spent = _restore(state_path, settings, parameters, average, optimizer)
        _cut_log(log_path, step)
    else:
        log_path.write_text(json.dumps({"settings": vars(settings), **machine()}) + "\n")
    began, saved = time.process_time() - spent, time.monotonic()

    def save() -> None:
        state = {
            "settings": vars(settings),
            "step": step,
            "cpu_s": time.process_time() - began,
            "parameters": [p.detach() for p in parameters],
            "average": average,
            "optimizer": optimizer.state_dict(),
        }
        write_aside(state_path, lambda aside: torch.save(state, aside))

    sums: dict[str, float] = {}
    with _gradients(loss_at, settings.shards) as add_gradient:
        while step < settings.steps:
            for group in optimizer.param_groups:
                group["lr"] = settings.rate_at(step)
            optimizer.zero_grad(set_to_none=True)
            values = add_gradient(step)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            # A short average at first, so that it does not remember the random start.
            decay = min(settings.average, (1 + step) / (10 + step))
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - decay)
            step += 1
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value / _LOG_EVERY
            # Saved only where a line of the log ends, so that a resumed log misses nothing.
            at_line = step % _LOG_EVERY == 0
            if at_line:
                line = _write_line(log_path, step, sums, time.process_time() - began)
                on_step(step, settings.steps, line)
                sums = {}
            due = at_line and time.monotonic() - saved > settings.save_every
            if due or step == settings.steps:
                save()
                saved = time.monotonic()
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)


def _write_line(
    log_path: Path, step: int, means: dict[str, float], seconds: float
) -> dict[str, float]:
    rounded = {name: round(value, 5) for name, value in means.items()}
    line = {"step": step, **rounded, "cpu_s": round(seconds, 1)}
    with log_path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
    return line


@contextmanager
def _gradients(loss_at: LossAt, shards: int) -> Iterator[Callable[[int], dict[str, float]]]:
    """Yield what adds the gradient of a step's mean loss, and returns the mean values to log.

    Two shards give the same bits whichever is first; the sum of more would depend on the order.
    """

    def one(number: int) -> dict[str, float]:
        loss, values = loss_at(number)
        torch.autograd.backward(loss / shards)
        return values

    def begin() -> None:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)

    def all_of(step: int) -> dict[str, float]:
        logged = list(pool.map(one, range(step * shards, (step + 1) * shards)))
        return {name: sum(values[name] for values in logged) / shards for name in logged[0]}

    if shards == 1:
        yield one
        return
    with ThreadPoolExecutor(shards, initializer=begin) as pool:
        yield all_of


def _restore(
    path: Path,
    settings: LoopSettings,
    parameters: list[nn.Parameter],
    average: list[Tensor],
    optimizer: torch.optim.Optimizer,
) -> tuple[int, float]:
    state = torch.load(path, weights_only=True)
    saved, wanted = dict(state["settings"]), dict(vars(settings))
    saved.pop("save_every")
    wanted.pop("save_every")
    if saved != wanted or [p.shape for p in parameters] != [p.shape for p in state["parameters"]]:
        raise ResumeError(
            f"{path}: was made with other settings or networks. Remove its folder to begin again, "
            "or choose another work folder."
        )
    with torch.no_grad():
        for current, old in zip(parameters, state["parameters"], strict=True):
            current.copy_(old)
        for current_mean, old in zip(average, state["average"], strict=True):
            current_mean.copy_(old)
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["cpu_s"])


def _cut_log(path: Path, step: int) -> None:
    """Drop the lines after the saved step; they are written again."""
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line).get("step", 0) <= step]
    path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
