"""Try weights of L_P and L_C on the miniature, on pictures and seeds that no table reports.

    python scripts/tune_miniature.py mp-0.3 mp-1 mp-3 mpc-1-0.3 mpc-1-1 mpc-1-3 --folder tuning

`mp-W` trains SCoFT+MP with w_p = W, `mpc-W-V` SCoFT+MPC with w_p = W and w_c = V. The community set
is that of seed 100, the trainings' seeds are 100 and up; `scoft ablation` uses 0 to 4 of either.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scoft_training.miniature.ablation import AblationRequest, run_ablation
from scoft_training.miniature.arms import ARMS, ArmScale
from scoft_training.miniature.evaluation import EvaluationSizes
from scoft_training.miniature.loading import register
from scoft_training.terminal import show_events


def main() -> int:
    """Train and measure all that is asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arms", nargs="+", help="ldm, m, mp-W or mpc-W-V")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101])
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    register()
    for arm in arguments.arms:
        preset, *weights = arm.split("-")
        names = ("perceptual_weight", "contrastive_weight")
        changes = {name: float(weight) for name, weight in zip(names, weights, strict=False)}
        ARMS.setdefault(arm, (preset, changes))
    request = AblationRequest(
        folder=arguments.folder,
        seeds=arguments.seeds,
        arms=arguments.arms,
        scale=ArmScale(steps=arguments.steps),
        sizes=EvaluationSizes(test=120, others=60, captions=6, pictures=6),
        dataset_seed=100,
    )
    status = show_events(lambda stop: run_ablation(request, should_stop=stop))
    if status == 0:
        print((arguments.folder / "table.md").read_text(encoding="utf-8"))
    return status


if __name__ == "__main__":
    raise SystemExit(main())
