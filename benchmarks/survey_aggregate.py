"""How long `scoft survey aggregate` takes, from starting the command to the written report.

    python benchmarks/survey_aggregate.py [--people 60] [--pages 11] [--engine scoft]

Simulated people of five cultures rank four models on pages of their culture under four items. An
answer is one rank, a line of answers.csv. The parts are timed in this process, the whole as a
command of its own with its start.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from made_answers import made_survey, write_files

from scoft_training.survey_aggregation import AggregateRequest, aggregate
from scoft_training.survey_config import SurveyAnalysisConfig
from scoft_training.survey_key import write_key

_CULTURES = ("China", "India", "Korea", "Mexico", "Nigeria")


def main() -> None:
    """Measure, and print a line a part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--pages", type=int, default=11)
    parser.add_argument("--engine", default="scoft")
    options = parser.parse_args()
    people = {one: options.people // len(_CULTURES) for one in _CULTURES}
    made = made_survey(cultures=people, pages=options.pages, ties=0.1)
    print(f"{len(made.answers):,} answers of {sum(people.values())} people")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_key(folder / "survey-key.json", made.key)
        write_files(folder / "answers", made.files)
        _parts(folder, options.engine)
        _command(folder, options.engine)


def _parts(folder: Path, engine: str) -> None:
    config = dataclasses.replace(SurveyAnalysisConfig(), engine=engine)
    request = AggregateRequest([folder / "answers"], folder / "survey-key.json", config=config)
    begun, phase = time.perf_counter(), ""
    for event in aggregate(request):
        now = getattr(event, "phase", phase)
        if getattr(event, "done", 0) == getattr(event, "total", 1):
            print(f"{now:<24}{time.perf_counter() - begun:7.2f} s")
            begun = time.perf_counter()
        phase = now


def _command(folder: Path, engine: str) -> None:
    command = [sys.executable, "-m", "scoft_training", "survey", "aggregate"]
    begun = time.perf_counter()
    subprocess.run(
        [*command, folder / "answers", "--key", folder, "--engine", engine],
        check=True,
        capture_output=True,
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{'the whole, as a command':<24}{time.perf_counter() - begun:7.2f} s, of a core "
        f"{used.ru_utime + used.ru_stime:.2f} s"
    )


if __name__ == "__main__":
    main()
