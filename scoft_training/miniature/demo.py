"""The first run: a biased small model, sixty right pictures, and what SCoFT makes of them."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..errors import ConfigError
from ..events import Event, FinishedEvent, PhaseEvent, StoppedEvent
from ..files import write_json, write_text
from ..lora_files import read_lora
from ..pages import page, picture_tag, plots_tag, table
from ..plots import Plot, Series, curve_plot
from .arms import ArmScale
from .cultures import CULTURES, WRONGED
from .evaluation import EvaluationSizes, Evaluator, Figures, draw_for_prompts
from .export import ExportSizes, export_sets, right_scenes
from .forms import SUBJECTS
from .report import glance_sheet, save_picture
from .trials import Trained, draw_trial_negatives, train_trial

__all__ = ["Demo", "demo_table"]

_ARM = "mpc"
_ROWS: tuple[tuple[str, str, str, int], ...] = (
    (
        "kid",
        "distance to the real pictures (KID x 1000)",
        "lower: drawings for captions never trained on look more like the culture's own pictures",
        0,
    ),
    (
        "right",
        "drawn as the culture is",
        "share of these drawings, by a judge the losses never see",
        2,
    ),
    ("stereotype", "drawn as the stereotype", "share of these drawings, by the same judge", 2),
    ("subject", "the thing asked for", "share of these drawings that show it", 2),
    (
        "similarity",
        "likeness to the training pictures",
        "of drawings for training captions; 1 would be copies",
        3,
    ),
    ("diversity_train", "variety, training captions", "higher: drawings of one caption differ", 3),
    ("diversity_test", "variety, new captions", "higher: drawings of one caption differ", 3),
    (
        "kid_others",
        "distance of the other cultures (KID x 1000)",
        "should not rise: nothing else harmed; around 0 no distance can be told",
        0,
    ),
)


class Demo:
    """The demo's steps, each an iterator of events; every one goes on where it was stopped.

    Args:
        folder: everything goes here.
        quick: a toy of the same way in under a minute, for tests: too short to repair much.
    """

    def __init__(self, folder: Path, *, quick: bool = False) -> None:
        self.folder = folder
        self.quick = quick
        self.num_train = 12 if quick else 60
        self._trained: Trained | None = None

    @property
    def scale(self) -> ArmScale:
        """How long is trained."""
        if self.quick:
            return ArmScale(steps=20, negatives_per_picture=1, negative_steps=5)
        return ArmScale(steps=300, negatives_per_picture=2, negative_steps=12)

    @property
    def sizes(self) -> EvaluationSizes:
        """How much is drawn to measure."""
        if self.quick:
            return EvaluationSizes(test=18, others=10, captions=2, pictures=3, inference_steps=8)
        return EvaluationSizes(test=72, others=40, captions=6, pictures=6, inference_steps=15)

    @property
    def dataset(self) -> Path:
        """The exported community set."""
        return self.folder / "sets" / WRONGED

    @property
    def work(self) -> Path:
        """The work folder: negatives, cache, runs."""
        return self.folder / "work"

    def export(self) -> Iterator[Event]:
        """Write the community's pictures, and some of the crawl to look at."""
        sizes = ExportSizes(train=self.num_train, test=self.sizes.test, others=0, crawl=24)
        export_sets(self.folder / "sets", sizes=sizes)
        yield PhaseEvent("pictures", sizes.train + sizes.test, sizes.train + sizes.test)

    def negatives(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Draw and filter negatives."""
        yield from draw_trial_negatives(
            self.scale, dataset=self.dataset, work=self.work, should_stop=should_stop
        )

    def train(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Train SCoFT+MPC."""
        self._trained = yield from train_trial(
            _ARM, 0, self.scale, dataset=self.dataset, work=self.work, should_stop=should_stop
        )

    def compare(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Draw before and after, measure both, write sheet.png, metrics.json and report.html.

        Raises:
            ConfigError: `train` was not carried to its end.
        """
        trained = self._trained
        if trained is None:
            raise ConfigError("The demo's training is not finished. Run the same command again.")
        evaluator = Evaluator(num_train=self.num_train, sizes=self.sizes)
        lora = read_lora(trained.lora, evaluator.base.unet)
        total = 2 * (evaluator.num_pictures + len(SUBJECTS))
        done = 0

        def count(finished: int) -> None:
            nonlocal done
            done += finished

        measured: list[Figures] = []
        prompts = _new_prompts(evaluator.train_captions)
        sheets: list[Tensor] = []
        for applied in (None, lora):
            if should_stop():
                yield StoppedEvent(0, "Stopped; the same command goes on.")
                return
            figures, _, _ = evaluator.measure(applied, on_step=count)
            measured.append(figures)
            yield PhaseEvent("drawings", done, total)
            sheets.append(
                draw_for_prompts(
                    evaluator.base,
                    prompts,
                    purpose="sheet",
                    seed=0,
                    inference_steps=2 * self.sizes.inference_steps,
                    lora=applied,
                    on_step=count,
                )
            )
            yield PhaseEvent("drawings", done, total)
        yield FinishedEvent(0, str(self._write(prompts, sheets, measured, trained)))

    def _write(
        self,
        prompts: list[str],
        sheets: list[Tensor],
        measured: list[Figures],
        trained: Trained,
    ) -> Path:
        sheet = _before_and_after(prompts, *sheets)
        save_picture(sheet, self.folder / "sheet.png")
        numbers = {"before": asdict(measured[0]), "after": asdict(measured[1])}
        write_json(self.folder / "metrics.json", numbers)
        report = self.folder / "report.html"
        write_text(report, self._page(sheet, numbers, trained))
        return report

    def _page(
        self, sheet: Image.Image, numbers: dict[str, dict[str, float]], trained: Trained
    ) -> str:
        rows = [
            (said, f"{was:.{digits}f}", f"{now:.{digits}f}", meaning)
            for name, said, meaning, digits in _ROWS
            for was, now in [(numbers["before"][name], numbers["after"][name])]
        ]
        plots = plots_tag([_loss_plot(name, of).svg() for name, of in trained.losses.items()])
        lead = (
            f"{WRONGED.capitalize()} is an imaginary culture. A small model learned it from a "
            f"crawl that mostly shows it in ruins. SCoFT then learned from {self.num_train} "
            f"right pictures, in {trained.seconds:.0f} seconds on this machine."
        )
        command = html.escape(
            f"scoft generate --base miniature --lora {trained.lora} --resolution 128 "
            f'--guidance-scale 3 --prompt "a house in {WRONGED}" --out my-pictures'
        )
        others = ", ".join(name.capitalize() for name in CULTURES if name != WRONGED)
        sections = [
            (
                "pictures",
                "Before and after",
                picture_tag(sheet, "six prompts before and after training"),
            ),
            (
                "numbers",
                "In numbers",
                table(["measured", "before", "after", "what it means"], rows, words=(3,)),
            ),
            ("losses", "The losses", plots),
            (
                "next",
                "Go on",
                f"<p>Draw what you like: <code>{command}</code></p><p>The LoRA is "
                f"<code>{html.escape(str(trained.lora))}</code>. The model also knows {others}, "
                "all made up. Then train on your own community's pictures, as the README says.</p>",
            ),
        ]
        if self.quick:
            sections.insert(
                0,
                (
                    "quick",
                    "A quick run",
                    "<p>This was <code>--quick</code>: too short to repair much. "
                    "<code>scoft demo</code> takes a few minutes and does.</p>",
                ),
            )
        return page("SCoFT, before and after", lead, sections)


def _before_and_after(prompts: list[str], before: Tensor, after: Tensor) -> Image.Image:
    """Drawings of the six subjects, (6, 3, 128, 128) each, above real pictures of them."""
    real = [
        torch.from_numpy(scene.picture.copy()).permute(2, 0, 1).float() / 255
        for scene in right_scenes("test", WRONGED, 0, len(SUBJECTS))
    ]
    return glance_sheet(
        [prompt.removesuffix(f" in {WRONGED}") for prompt in prompts],
        [
            ("Before", f"what the model draws for these words and “in {WRONGED}”", list(before)),
            ("After SCoFT", "the same words and seeds with the trained LoRA", list(after)),
            ("Real", "the culture's own things, never shown in training", real),
        ],
        zoom=1,
    )


def demo_table(numbers: dict[str, dict[str, float]]) -> str:
    """Return metrics.json's numbers as aligned lines of text."""
    width = max(len(said) for _, said, _, _ in _ROWS)
    lines = [f"{'':{width}}  {'before':>8}  {'after':>8}"]
    for name, said, _, digits in _ROWS:
        was, now = numbers["before"][name], numbers["after"][name]
        lines.append(f"{said:{width}}  {was:8.{digits}f}  {now:8.{digits}f}")
    return "\n".join(lines)


def _new_prompts(trained_on: list[str]) -> list[str]:
    """One prompt a subject, none of them a training caption."""
    prompts = []
    for index, subject in enumerate(SUBJECTS):
        colours = CULTURES[WRONGED].colours
        options = [
            f"a {colours[(index + turn) % len(colours)]} {subject} in {WRONGED}"
            for turn in range(len(colours))
        ]
        prompts.append(next((p for p in options if p not in trained_on), options[0]))
    return prompts


def _loss_plot(name: str, values: list[float]) -> Plot:
    """One term over its values, in means of up to ten, since single ones jump."""
    size = min(10, max(1, len(values) // 5))
    parts = [values[at : at + size] for at in range(0, len(values), size)]
    ends = [min(at + size, len(values)) for at in range(0, len(values), size)]
    means = [sum(part) / len(part) for part in parts]
    return curve_plot(name, f"means of {size}", [Series(name, ends, means)], axis="value")
