"""Does L_M keep the miniature from copying? Copies, knows and forgot over the steps, five seeds.

1,500 steps on thirty pictures are far too many: plain fine-tuning learns them by heart. Each seed
is trained with L_LDM alone (arm ldm) and with L_M (arm m); every 300 steps the LoRA draws the same
prompts from the same noise. Training, drawing and scoring are those of `scoft train`, `scoft grid`
and `scoft score`; a stopped run goes on. Prints a table, and writes the curves into the folder, as
curves.json and one SVG a question.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from scoft_training.config import GenerateConfig, GridConfig, ScoreConfig
from scoft_training.events import Event, FinishedEvent
from scoft_training.files import write_json, write_text
from scoft_training.grid_drawing import GridRequest, draw_grid
from scoft_training.grid_prompts import dataset_prompts, typed_prompt, with_general
from scoft_training.grids import GridSource
from scoft_training.intervals import mean_interval
from scoft_training.miniature.arms import ArmScale, run_request
from scoft_training.miniature.cultures import CULTURES, WRONGED
from scoft_training.miniature.export import ExportSizes, export_sets
from scoft_training.miniature.forms import SUBJECTS
from scoft_training.miniature.loading import JUDGE, NAME, register
from scoft_training.plots import Series, curve_plot
from scoft_training.run_loras import run_loras
from scoft_training.runs import run_training
from scoft_training.score_comparison import QUESTIONS
from scoft_training.score_records import read_scores
from scoft_training.scoring import ScoreRequest, score_grid

ARMS = {"ldm": "L_LDM alone", "m": "with L_M"}
EVERY = 300


def finished(events: Iterator[Event]) -> Path:
    """Let an engine call run to its end; returns what it made."""
    last: Event | None = None
    for event in events:
        last = event
    if not isinstance(last, FinishedEvent):
        raise SystemExit(f"stopped: {last}")
    return Path(last.name)


def trained(folder: Path, dataset: Path, seed: int, steps: int) -> list[GridSource]:
    """Train both arms with a seed; returns their LoRAs every 300 steps."""
    sources = []
    for arm in ARMS:
        request = run_request(arm, seed, ArmScale(steps), dataset=dataset, work=folder / "work")
        config = dataclasses.replace(request.config, save_every=EVERY, keep_checkpoints=100)
        run = finished(run_training(dataclasses.replace(request, config=config))).parent
        sources += [
            dataclasses.replace(source, name=f"{arm} {source.step}")
            for source in run_loras(run)
            if source.step is not None and source.step % EVERY == 0
        ]
    return sources


def drawn(folder: Path, dataset: Path, seed: int, sources: Sequence[GridSource]) -> Path:
    """Draw a seed's grid; what the model could forget is the other cultures."""
    sizes = GridConfig(
        train_captions=30,
        pictures_per_caption=6,
        test_captions=48,
        many_test_captions=0,
        neutral_prompts=0,
        seed=seed * 100_000,
    )
    prompts, _ = dataset_prompts(dataset, folder / "work", sizes)
    others = [name for name in CULTURES if name != WRONGED]
    asked = [f"neutral: a {thing} in {name}" for name in others for thing in SUBJECTS]
    first = seed * 100_000 + 50_000
    prompts += [typed_prompt(text, (first + place,)) for place, text in enumerate(asked)]
    request = GridRequest(
        folder / "grids" / f"seed-{seed}",
        NAME,
        [GridSource("base"), *sources],
        with_general(prompts),
        GenerateConfig(inference_steps=12, guidance_scale=3.0, resolution=128, precision="fp32"),
        batch_size=20,
        device="cpu",
    )
    return finished(draw_grid(request))


def scored(folder: Path, dataset: Path, grid: Path) -> dict[str, dict[str, list[float]]]:
    """Score a grid; returns arm -> question -> values over the steps."""
    networks = {
        "kid_network": JUDGE,
        "clip_network": "none",
        "similarity_networks": JUDGE,
        "diversity_network": JUDGE,
    }
    request = ScoreRequest(
        grid, dataset, folder / "work", config=ScoreConfig(**networks), device="cpu"
    )
    finished(score_grid(request))
    scores = read_scores(grid / "metrics.json")
    return {
        arm: {
            question: [
                getattr(one, question).value
                for one in scores.models
                if one.model.name.split()[0] == arm
            ]
            for question in QUESTIONS
        }
        for arm in ("base", *ARMS)
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("scoft-copies"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--pictures", type=int, default=30)
    parser.add_argument("--steps", type=int, default=1500)
    chosen = parser.parse_args()
    register()
    sizes = ExportSizes(train=chosen.pictures, test=180, others=0, crawl=0)
    dataset = export_sets(chosen.folder / "sets", seed=0, sizes=sizes)["community"]
    found = {}
    for seed in chosen.seeds:
        sources = trained(chosen.folder, dataset, seed, chosen.steps)
        grid = drawn(chosen.folder, dataset, seed, sources)
        found[seed] = scored(chosen.folder, dataset, grid)
        print(f"seed {seed}: {json.dumps(found[seed])}", flush=True)
    if len(found) > 1:
        report(chosen.folder, found, list(range(EVERY, chosen.steps + 1, EVERY)))


def report(folder: Path, found: dict, steps: list[int]) -> None:
    """Print means over seeds with 95 % intervals, and write the curves."""
    plots = []
    for question in QUESTIONS:
        print(f"\n{question}, mean over {len(found)} seeds and its 95 % interval")
        series = []
        base = mean_interval([one["base"][question][0] for one in found.values()])
        print(f"  base                  {base.mean:8.4f} ({base.low:.4f} to {base.high:.4f})")
        for arm, title in ARMS.items():
            over = [
                mean_interval([one[arm][question][place] for one in found.values()])
                for place in range(len(steps))
            ]
            for step, value in zip(steps, over, strict=True):
                said = f"{value.mean:8.4f} ({value.low:.4f} to {value.high:.4f})"
                print(f"  {title:12} {step:5}    {said}")
            columns = ([getattr(one, name) for one in over] for name in ("mean", "low", "high"))
            series.append(Series(title, steps, *columns))
        gaps = [one["m"][question][-1] - one["ldm"][question][-1] for one in found.values()]
        gap = mean_interval(gaps)
        print(f"  with L_M - without, last step, paired by seed: {gap.mean:.4f} ", end="")
        print(f"({gap.low:.4f} to {gap.high:.4f})")
        without = f"{base.mean:.0f}" if abs(base.mean) > 10 else f"{base.mean:.2f}"
        note = f"mean of {len(found)} seeds, lower is better; the base has {without}"
        plots.append(curve_plot(QUESTIONS[question], note, series))
    write_json(folder / "curves.json", {str(seed): one for seed, one in found.items()})
    for question, plot in zip(QUESTIONS, plots, strict=True):
        write_text(folder / f"{question}.svg", plot.svg())


if __name__ == "__main__":
    main()
