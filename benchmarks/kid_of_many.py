"""What KID of several models to one large reference costs: its kernel summed once for all of them.

    python benchmarks/kid_of_many.py [--pictures 5000] [--drawn 100] [--models 4]

Beside it: KID and its interval of each model for itself, as where only one is measured. The
features are random, which changes no time.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch

from scoft_training.intervals import jackknife_interval, kid_interval
from scoft_training.kid_sums import KidReference

_DIM = 2048


def main() -> None:
    """Measure, and print a line a way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--drawn", type=int, default=100)
    parser.add_argument("--models", type=int, default=4)
    options = parser.parse_args()
    draw = torch.Generator().manual_seed(0)
    reference = torch.rand(options.pictures, _DIM, generator=draw)
    models = [torch.rand(options.drawn, _DIM, generator=draw) for _ in range(options.models)]
    print(f"{options.models} models of {options.drawn} drawings, {options.pictures} pictures")

    begun = time.perf_counter()
    shared = KidReference(reference)
    print(f"reference alone         {time.perf_counter() - begun:7.2f} s")
    kids = [shared.kid_of(drawn) for drawn in models]
    together = [jackknife_interval(kid) for kid in kids]
    print(f"all models, together    {time.perf_counter() - begun:7.2f} s")

    begun = time.perf_counter()
    pairs = [jackknife_interval(one.minus(two)) for one in kids for two in kids if one is not two]
    print(f"{len(pairs):3} differences         {time.perf_counter() - begun:7.4f} s")
    gibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"memory at most          {gibibytes:7.2f} GiB, of which features in float64 "
        f"{reference.numel() * 8 / 2**30:.2f}"
    )

    begun = time.perf_counter()
    alone = [kid_interval(drawn, reference) for drawn in models]
    print(f"each model for itself   {time.perf_counter() - begun:7.2f} s")
    apart = max(abs(a.low - b.low) for a, b in zip(alone, together, strict=True))
    print(f"apart by at most        {apart:7.0e}")


if __name__ == "__main__":
    main()
