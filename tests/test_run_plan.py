"""A dry run: what it says, and that it leaves nothing behind."""

import dataclasses
import json

import pytest
from stack import SMALL_RUN, small_base, write_demo

from scoft_training.config import MemoryConfig
from scoft_training.errors import DatasetError, ModelFileError, OutputError, ResumeError
from scoft_training.events import PlanEvent, SettingsEvent
from scoft_training.progress import JsonPrinter, TextPrinter
from scoft_training.run_plan import RunRequest, plan_run
from scoft_training.runs import run_training

pytestmark = pytest.mark.usefixtures("small_registry")


@pytest.fixture
def request_for(tmp_path):
    dataset = write_demo(tmp_path / "aruna")

    def make(*, output=None, memory=None, base="small", **values):
        return RunRequest(
            dataset,
            base,
            config=dataclasses.replace(SMALL_RUN, **values),
            memory=memory or MemoryConfig(),
            device="cpu",
            work=tmp_path / "work",
            output=output,
        )

    return make


def the_plan(request):
    *_, plan = plan_run(request)
    assert isinstance(plan, PlanEvent)
    return plan


def listing(folder):
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_it_says_what_the_run_then_does(tmp_path, request_for):
    plan = the_plan(request_for())
    events = list(run_training(request_for()))
    settings = next(event for event in events if isinstance(event, SettingsEvent))
    assert (plan.run_id, plan.device, plan.precision, plan.steps, plan.start_step) == (
        settings.run_id,
        settings.device,
        settings.precision,
        settings.steps,
        settings.start_step,
    )
    assert plan.memory == settings.memory
    assert (tmp_path / "work" / "runs" / plan.run_id / "lora.safetensors").is_file()
    assert plan.folder == str(tmp_path / "work" / "runs" / plan.run_id)
    assert (plan.pictures, plan.pictures_per_step) == (12, 2)
    assert the_plan(request_for()).start_step == plan.steps, "the run is finished now"


def test_it_writes_nothing(tmp_path, request_for):
    before = listing(tmp_path)
    the_plan(request_for())
    assert listing(tmp_path) == before
    # Nor beside a run that was stopped half-way.
    counts = iter(range(1000))
    list(run_training(request_for(), should_stop=lambda: next(counts) > 40))
    before = listing(tmp_path)
    assert 0 < the_plan(request_for()).start_step < SMALL_RUN.steps
    assert listing(tmp_path) == before


def test_it_hands_the_base_back_without_a_lora(request_for):
    base = small_base()
    names = list(base.unet.state_dict())
    the_plan(request_for(base=base))
    assert list(base.unet.state_dict()) == names


def test_what_would_stop_the_run_stops_it(tmp_path, request_for):
    request = request_for()
    (tmp_path / "there.safetensors").touch()
    with pytest.raises(OutputError, match="nothing is overwritten"):
        the_plan(request_for(output=tmp_path / "there.safetensors"))
    with pytest.raises(DatasetError):
        the_plan(dataclasses.replace(request, dataset=tmp_path / "nowhere"))
    with pytest.raises(ModelFileError):
        the_plan(request_for(base="nothing of that name"))
    counts = iter(range(1000))
    list(run_training(request, should_stop=lambda: next(counts) > 40))
    with pytest.raises(ResumeError, match="memory was"):
        the_plan(request_for(memory=MemoryConfig("low")))


def test_it_fetches_nothing(request_for, monkeypatch):
    asked = []

    def load(name, **options):
        asked.append(options["allow_download"])
        raise ModelFileError("missing")

    monkeypatch.setattr("scoft_training.run_plan.load_backbone", load)
    with pytest.raises(ModelFileError):
        the_plan(request_for())
    assert asked == [False]


def test_people_read_a_table_and_programs_one_object(request_for, capsys):
    plan = the_plan(request_for(memory=MemoryConfig("balanced")))
    TextPrinter().show(plan)
    said = capsys.readouterr().err
    assert f"This run would be {plan.run_id}, in {plan.folder}.\n" in said
    assert "12 pictures; 9 steps, each with 2 of them\n" in said
    assert "memory balanced, gradient_checkpointing off" in said
    for part, size in plan.estimate.parts.items():
        assert f"  {part} " in said
        assert f" {size / 2**20:.1f} MiB\n" in said
    peak, needed = (
        f"{size / 2**20:.1f} MiB" for size in (plan.estimate.peak_bytes, plan.estimate.needed_bytes)
    )
    assert f"\nmemory balanced: about {peak} at the peak, of which {needed} still have" in said
    assert said.endswith("Nothing was computed or written.\n")
    JsonPrinter().show(plan)
    read = json.loads(capsys.readouterr().out)
    assert (read["event"], read["run_id"]) == ("plan", plan.run_id)
    assert read["estimate"]["peak_bytes"] == plan.estimate.peak_bytes
