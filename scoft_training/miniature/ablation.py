"""The paper's ablation, repeated on the miniature: arms x seeds, measured, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..ablation_records import read_record
from ..ablation_tables import (
    Column,
    Table,
    cells,
    markdown_table,
    over_seeds,
    paired_differences,
)
from ..errors import ConfigError, OutputError, unknown_name
from ..events import Event, FinishedEvent, PhaseEvent, StoppedEvent
from ..files import digest_json, write_json, write_text
from ..lora_files import read_lora
from ..options import validate
from ..pages import page, picture_tag, plots_tag, table
from ..plots import Plot, interval_plot
from .arms import ARMS, BASE_ARM, ArmScale, negatives_request, train_config
from .cultures import WRONGED
from .evaluation import EvaluationSizes, Evaluator
from .export import ExportSizes, export_sets
from .loading import BACKBONE, JUDGE, weights_digests
from .pretrain_loop import machine
from .report import glance_sheet, save_picture
from .trials import draw_trial_negatives, train_trial

__all__ = ["AblationRequest", "run_ablation"]

_COLUMNS = (
    Column("kid", "KID", 0),
    Column("right", "right", 2),
    Column("stereotype", "stereotype", 2),
    Column("subject", "subject", 2),
    Column("similarity", "memorization", 3),
    Column("diversity_train", "DIV train", 3),
    Column("diversity_test", "DIV test", 3),
    Column("kid_others", "KID others", 0),
    Column("right_others", "others right", 2),
    Column("seen_kid", "KID, seen by the loss", 2),
    Column("seen_similarity", "memorization, seen by the loss", 3),
    Column("seconds", "seconds", 0),
)

_COMPARED: tuple[tuple[str, str], ...] = (
    ("m", "ldm"),
    ("mp", "m"),
    ("mpc", "mp"),
    ("mpc", "ldm"),
    ("mpc-last", "mpc"),
    ("mpc-random", "mpc"),
    ("mpc-unit", "mpc"),
    ("mpc-0.05", "mpc"),
)
"""(arm, the arm that it is compared with)."""

_COMPARED_FIGURES = (
    "kid",
    "right",
    "similarity",
    "diversity_train",
    "diversity_test",
    "kid_others",
)


@dataclass(frozen=True)
class AblationRequest:
    """What is compared.

    Attributes:
        folder: everything goes here; the same request goes on where it was stopped.
        seeds: of the training and of the evaluation's noise, one trial each.
        arms: keys of ARMS; the base is always measured.
        scale: how long an arm trains.
        num_train: pictures to learn: few, so that plain fine-tuning can overfit.
        sizes: of one evaluation.
        dataset_seed: of the pictures.
    """

    folder: Path
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    arms: Sequence[str] = tuple(ARMS)
    scale: ArmScale = field(default_factory=lambda: ArmScale(steps=600))
    num_train: int = 30
    sizes: EvaluationSizes = field(default_factory=EvaluationSizes)
    dataset_seed: int = 0

    def settings(self, arm: str, seed: int) -> dict[str, Any]:
        """Return all that decides one trial's figures."""
        config = None if arm == BASE_ARM else asdict(train_config(arm, seed, self.scale))
        negatives = negatives_request(self.scale, dataset=self.folder, work=self.folder).config
        return {
            "arm": arm,
            "seed": seed,
            "config": config,
            "scale": asdict(self.scale),
            "num_train": self.num_train,
            "sizes": asdict(self.sizes),
            "dataset_seed": self.dataset_seed,
            "negatives": asdict(negatives),
            "miniature": weights_digests(),
        }


def run_ablation(
    request: AblationRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Train and measure every arm with every seed, then write table, plots and page.

    `folder`/results holds one file a trial; table.md, table.json, report.html and the plots are
    written again at the end of every call, from the trials of its arms and seeds.

    Raises:
        ConfigError: an unknown arm, no seed, no picture, or no step.
        ScoftError: of any kind; finished trials stay.
    """
    for arm in request.arms:
        if arm not in ARMS:
            raise ConfigError(unknown_name("arm", arm, ARMS))
    if not request.seeds:
        raise ConfigError("The ablation has no seed: give at least one.")
    if request.num_train < 1:
        raise ConfigError(
            f"The ablation must have 1 picture or more to learn from but got {request.num_train}."
        )
    for arm in request.arms:
        validate(train_config(arm, request.seeds[0], request.scale))
    yield from _Ablation(request, should_stop).events()


class _Ablation:
    def __init__(self, request: AblationRequest, should_stop: Callable[[], bool]) -> None:
        self._request = request
        self._should_stop = should_stop
        self._results = request.folder / "results"

    def events(self) -> Iterator[Event]:
        request = self._request
        sizes = ExportSizes(train=request.num_train, test=request.sizes.test, others=0, crawl=0)
        dataset = export_sets(request.folder / "sets", seed=request.dataset_seed, sizes=sizes)[
            "community"
        ]
        work = request.folder / "work"
        finished = yield from draw_trial_negatives(
            request.scale, dataset=dataset, work=work, should_stop=self._should_stop
        )
        if not finished:
            return
        # Seed by seed, so that an interrupted ablation holds every arm of the seeds it has.
        for seed in request.seeds:
            evaluator: Evaluator | None = None
            for arm in (BASE_ARM, *request.arms):
                path = self._path(arm, seed)
                if self._figures(arm, seed) is not None:
                    continue
                trained = None
                if arm != BASE_ARM:
                    trained = yield from train_trial(
                        arm,
                        seed,
                        request.scale,
                        dataset=dataset,
                        work=work,
                        should_stop=self._should_stop,
                    )
                    if trained is None:
                        return
                if self._should_stop():
                    yield StoppedEvent(0, "Stopped; finished trials stay.")
                    return
                evaluator = evaluator or self._evaluator(seed)
                lora = read_lora(trained.lora, evaluator.base.unet) if trained else None
                figures, images, seconds = evaluator.measure(lora)
                result = {
                    **request.settings(arm, seed),
                    "figures": {
                        **figures.as_dict(),
                        "seconds": trained.seconds if trained else 0.0,
                    },
                    "evaluation_seconds": seconds,
                    "machine": machine(),
                }
                self._save_samples(arm, seed, images)
                write_json(path, result)
                trials = len(request.seeds) * (1 + len(request.arms))
                yield PhaseEvent("trials", self._num_finished(), trials)
        yield FinishedEvent(0, str(self._write_report()))

    def _path(self, arm: str, seed: int) -> Path:
        digest = digest_json(self._request.settings(arm, seed))[:8]
        return self._results / f"{arm}-{seed}-{digest}.json"

    def _figures(self, arm: str, seed: int) -> dict[str, float] | None:
        """Return a trial's figures; None where it is not made, or its file is damaged."""
        figures: dict[str, float] | None = read_record(self._path(arm, seed)).get("figures")
        return figures

    def _num_finished(self) -> int:
        arms = (BASE_ARM, *self._request.arms)
        found = (self._figures(arm, seed) for seed in self._request.seeds for arm in arms)
        return sum(figures is not None for figures in found)

    def _evaluator(self, seed: int) -> Evaluator:
        return Evaluator(
            num_train=self._request.num_train,
            dataset_seed=self._request.dataset_seed,
            seed=seed,
            sizes=self._request.sizes,
        )

    def _save_samples(self, arm: str, seed: int, images: Tensor) -> None:
        """Keep the first pictures of each trial: a table without pictures convinces nobody."""
        columns = [f"{index + 1}" for index in range(min(6, len(images)))]
        sheet = glance_sheet(columns, [(arm, f"seed {seed}", list(images[:6]))])
        save_picture(sheet, self._path(arm, seed).with_suffix(".png"))

    def _write_report(self) -> Path:
        request = self._request
        results: dict[str, list[dict[str, float]]] = {}
        for arm in (BASE_ARM, *request.arms):
            for seed in request.seeds:
                figures = self._figures(arm, seed)
                if figures is None:
                    raise OutputError(
                        f"{self._path(arm, seed)}: was taken away meanwhile. Run the command again."
                    )
                results.setdefault(arm, []).append(figures)
        intervals = over_seeds(results, [column.key for column in _COLUMNS])
        write_json(
            request.folder / "table.json",
            {
                "seeds": list(request.seeds),
                "trials": results,
                "mean_and_half_width": {
                    arm: {name: [i.mean, i.half_width] for name, i in row.items()}
                    for arm, row in intervals.items()
                },
                "settings": request.settings(request.arms[-1], request.seeds[0]),
            },
        )
        differences = paired_differences(results, _COMPARED, _COMPARED_FIGURES)
        tables = [
            markdown_table(*cells(part, _COLUMNS)) for part in (intervals, differences) if part
        ]
        write_text(request.folder / "table.md", "\n".join(tables))
        plots = ablation_plots(intervals)
        for name, plot in plots.items():
            write_text(request.folder / "plots" / f"{name}.svg", plot.svg())
        report = request.folder / "report.html"
        write_text(report, self._page(intervals, differences, plots))
        return report

    def _page(self, intervals: Table, differences: Table, plots: dict[str, Plot]) -> str:
        request = self._request
        arms = (BASE_ARM, *request.arms)
        shown = {arm: self._path(arm, request.seeds[0]).with_suffix(".png") for arm in arms}
        sheets = "".join(
            f"<div>{picture_tag(_open(path), arm)}</div>"
            for arm, path in shown.items()
            if path.is_file()
        )
        lead = (
            f"{len(request.seeds)} seeds an arm, {request.scale.steps} steps of 8 pictures on "
            f"{request.num_train} pictures of an imaginary culture. Means and 95 % intervals; an "
            f"interval tells the seeds' spread, not the spread over base models: there is one. "
            f"Measured by {JUDGE}, which no loss sees; two columns are of {BACKBONE}, which the "
            "losses see."
        )
        sections = [
            *(
                (name, title, table(*cells(part, _COLUMNS), caption=title))
                for name, title, part in (
                    ("table", "Table", intervals),
                    ("differences", "Differences, paired by seed", differences),
                )
                if part
            ),
            ("plots", "Plots", plots_tag([plot.svg() for plot in plots.values()])),
            ("pictures", f"The first held-out captions, seed {request.seeds[0]}", sheets),
        ]
        return page("SCoFT's ablation on the miniature", lead, sections)


def ablation_plots(intervals: Table) -> dict[str, Plot]:
    """Return the plots by the figure they show."""
    wanted = {
        "kid": (f"KID to {WRONGED}'s held-out pictures", "lower is better", 0),
        "right": ("Drawn as the culture is", "share of pictures, by the judge", 2),
        "similarity": ("Memorization", "likeness to the training picture; lower is better", 3),
        "diversity_train": ("DIV, training captions", "higher is more varied", 3),
        "kid_others": ("KID of the other cultures", "lower is less harm", 0),
    }
    return {
        name: interval_plot(
            title,
            note,
            [
                (arm, row[name].mean, row[name].low, row[name].high)
                for arm, row in intervals.items()
            ],
            digits=digits,
        )
        for name, (title, note, digits) in wanted.items()
    }


def _open(path: Path) -> Any:
    from PIL import Image

    return Image.open(path)
