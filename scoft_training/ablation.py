"""An ablation: cultures x arms x seeds, trained, drawn and measured, and gone on with at any point.

All arms of a culture and seed share one grid, so they draw the same prompts from the same noise.
What is finished is noted in the ablation's folder (`ablation_records`) and not made again; what
stops between two notes is gone on with by the trainings, drawings and scorings themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

from .ablation_config import Ablation, Arm, Culture
from .ablation_records import (
    Trained,
    TrialResult,
    result_of,
    write_begun,
    write_result,
    write_trained,
)
from .ablation_report import write_ablation_report
from .ablation_state import AblationState, work_of
from .errors import ScoftError
from .events import Event, FinishedEvent, PhaseEvent, SettingsEvent, TrialEvent, WarningEvent
from .files import write_json
from .grid_drawing import GridRequest, GridSource, draw_grid
from .grids import GridPrompt
from .helper_runs import NegativesRequest, make_negatives
from .run_folder import read_steps
from .runs import RunRequest, run_training
from .scoring import ScoreRequest, score_grid

__all__ = ["run_ablation"]


def run_ablation(
    ablation: Ablation, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Carry out an ablation, or go on with it, yielding events; the last one says how it ended.

    Seed by seed, so that an interrupted ablation holds every arm of the seeds it has; the report is
    written after each of them.

    Raises:
        ScoftError: of any kind; what is finished stays.
    """
    return _Run(ablation, should_stop).events()


@contextlib.contextmanager
def _told_of(where: str) -> Iterator[None]:
    """Begin the sentence of an error with the trial that it stopped."""
    try:
        yield
    except ScoftError as error:
        raise type(error)(f"{where}: {error}") from error


def _drop_checkpoints(run_folder: Path) -> None:
    """Delete what only a training that is not finished needs: six times the LoRA, as a rule."""
    for path in (run_folder / "checkpoints").glob("step-*.safetensors"):
        with contextlib.suppress(OSError):
            path.unlink()


class _Run:
    """The state of one call."""

    def __init__(self, ablation: Ablation, should_stop: Callable[[], bool]) -> None:
        self._ablation = ablation
        self._should_stop = should_stop
        self._state = AblationState(ablation)
        self._said: set[str] = set()

    def events(self) -> Iterator[Event]:
        # In this order, so that what is quick to find out comes before gigabytes are loaded.
        self._state.require_sets()
        yield PhaseEvent("load models", 0, 1)
        self._state.find_base()
        self._state.require_ready()
        self._state.require_backbones()
        yield PhaseEvent("load models", 1, 1)
        for culture in self._ablation.cultures:
            with _told_of(culture.name):
                if not (yield from self._draw_negatives(culture)):
                    return
        results: list[TrialResult] = []
        report: Path | None = None
        for seed in self._ablation.seeds:
            for culture in self._ablation.cultures:
                result = yield from self._trial(culture, seed)
                if result is None:
                    return
                results.append(result)
            report = write_ablation_report(self._ablation, results)
        yield FinishedEvent(0, str(report))

    def _draw_negatives(self, culture: Culture) -> Generator[Event, None, bool]:
        """Draw a culture's negatives where the file says how; returns whether they are there."""
        ablation, asked = self._ablation, self._ablation.negatives
        if asked is None or self._state.find_negatives(culture):
            return True
        request = NegativesRequest(
            dataset=culture.dataset,
            base=ablation.base,
            controlnet=asked.controlnet,
            config=asked.config,
            depth=asked.depth,
            filter_weights=asked.filter_weights,
            device=ablation.device,
            work=work_of(culture),
            allow_download=ablation.allow_download,
        )
        last: Event | None = None
        for last in make_negatives(request, should_stop=self._should_stop):
            yield last
        if not isinstance(last, FinishedEvent):
            return False
        write_json(self._state.negatives_path(culture), {"set": Path(last.name).name})
        self._state.find_negatives(culture)
        return True

    def _trial(self, culture: Culture, seed: int) -> Generator[Event, None, TrialResult | None]:
        """Train, draw and measure all arms with a seed; None when it was stopped."""
        ablation = self._ablation
        prompts, warnings = self._state.prompts(culture, seed)
        for warning in warnings:
            if warning not in self._said:
                yield WarningEvent(warning)
        self._said.update(warnings)
        result = self._state.finished(culture, seed, prompts)
        if result is not None:
            return result
        trained: dict[str, Trained] = {}
        for arm in ablation.trained_arms:
            with _told_of(f"{culture.name}, {arm.name}, seed {seed}"):
                made = yield from self._train(culture, arm, seed)
            if made is None:
                return None
            trained[arm.name] = made
        # A note may have been lost while the figures were not.
        result = self._state.finished(culture, seed, prompts)
        if result is not None:
            return result
        with _told_of(f"{culture.name}, seed {seed}"):
            return (yield from self._measure(culture, seed, prompts, trained))

    def _measure(
        self,
        culture: Culture,
        seed: int,
        prompts: list[GridPrompt],
        trained: Mapping[str, Trained],
    ) -> Generator[Event, None, TrialResult | None]:
        """Draw and score all arms with a seed; None when it was stopped."""
        ablation = self._ablation
        folder = self._state.grid_folder(culture, seed, prompts)
        models = self._state.models(folder, trained)
        yield self._trial_event("drawing and measuring", culture, None, seed)
        if not (yield from self._draw(folder, prompts, models, trained)):
            return None
        scores = yield from score_grid(
            ScoreRequest(
                grid=folder,
                dataset=culture.dataset,
                work=work_of(culture),
                general=culture.general,
                config=ablation.score,
                features=ablation.folder / "features",
                device=ablation.device,
                allow_download=ablation.allow_download,
            ),
            should_stop=self._should_stop,
        )
        if scores is None:
            return None
        result = result_of(
            scores,
            culture=culture.name,
            seed=seed,
            grid=folder,
            models=models,
            seconds={name: one.seconds for name, one in trained.items()},
        )
        path = self._state.result_path(culture, seed, folder, trained)
        write_result(path, result, ablation.folder)
        return result

    def _trial_event(self, part: str, culture: Culture, arm: Arm | None, seed: int) -> TrialEvent:
        ablation = self._ablation
        arms = ablation.trained_arms if arm is not None else (arm,)
        seeds, cultures = ablation.seeds, ablation.cultures
        place = seeds.index(seed) * len(cultures) + cultures.index(culture)
        return TrialEvent(
            part=part,
            number=place * len(arms) + arms.index(arm) + 1,
            total=len(seeds) * len(cultures) * len(arms),
            culture=culture.name,
            arm=arm.name if arm is not None else "",
            seed=seed,
        )

    def _train(
        self, culture: Culture, arm: Arm, seed: int
    ) -> Generator[Event, None, Trained | None]:
        """Train an arm, or find it trained; None when it was stopped."""
        known = self._state.noted(culture, arm, seed)
        if known is not None and known.lora.is_file():
            return known
        yield self._trial_event("training", culture, arm, seed)
        request = RunRequest(
            dataset=culture.dataset,
            base=self._ablation.base,
            config=self._ablation.train_of(arm, seed),
            memory=self._ablation.memory,
            device=self._ablation.device,
            work=work_of(culture),
            negatives=self._state.negatives[culture.name],
            allow_download=self._ablation.allow_download,
        )
        last: Event | None = None
        note = self._state.trained_path(culture, arm, seed)
        for last in run_training(request, should_stop=self._should_stop):
            if isinstance(last, SettingsEvent):
                write_begun(note, last.run_id)
            yield last
        if not isinstance(last, FinishedEvent):
            return None
        lora = Path(last.name)
        if not last.already_done:
            _drop_checkpoints(lora.parent)
        seconds = sum(step["seconds"] for step in read_steps(lora.parent))
        trained = Trained(lora, lora.parent.name, seconds, self._state.lora_digest(lora))
        write_trained(note, trained)
        return trained

    def _draw(
        self,
        folder: Path,
        prompts: Sequence[GridPrompt],
        models: Mapping[str, str],
        trained: Mapping[str, Trained],
    ) -> Generator[Event, None, bool]:
        """Draw all arms' pictures; returns whether they are there."""
        ablation = self._ablation
        sources = [
            GridSource(
                models[arm],
                lora=trained[arm].lora if arm in trained else None,
                strength=ablation.draw.lora_strength,
                run_id=trained[arm].run_id if arm in trained else None,
            )
            for arm in models
        ]
        request = GridRequest(
            folder=folder,
            base=ablation.base,
            sources=sources,
            prompts=prompts,
            config=ablation.draw,
            batch_size=ablation.grid.batch_size,
            device=ablation.device,
            allow_download=ablation.allow_download,
        )
        last: Event | None = None
        for last in draw_grid(request, should_stop=self._should_stop):
            yield last
        return isinstance(last, FinishedEvent)
