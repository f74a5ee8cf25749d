"""Whole runs on the small stack: what comes out, how they stop, go on and refuse."""

import dataclasses
import json
import re
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from stack import SMALL_RUN, small_base, write_demo

from scoft_training.config import MemoryConfig
from scoft_training.data import read_dataset
from scoft_training.errors import (
    ConfigError,
    DatasetError,
    DivergenceError,
    ModelFileError,
    NotEnoughMemoryError,
    OutputError,
    ResumeError,
)
from scoft_training.events import (
    CheckpointEvent,
    EstimateEvent,
    FinishedEvent,
    PhaseEvent,
    SettingsEvent,
    StepEvent,
    StoppedEvent,
    ValidationEvent,
    WarningEvent,
)
from scoft_training.files import digest_tensors
from scoft_training.lora_files import read_metadata
from scoft_training.lora_metadata import RIGHTS_KEYS
from scoft_training.models import lora_parameters
from scoft_training.overlays import Overlay, add_statement, now
from scoft_training.runs import RunRequest, run_training

pytestmark = pytest.mark.usefixtures("small_registry")


@pytest.fixture
def dataset(tmp_path):
    return write_demo(tmp_path / "aruna")


@pytest.fixture
def request_for(tmp_path, dataset):
    def make(*, base="small", dataset=dataset, **values):
        run = {
            name: values.pop(name)
            for name in list(values)
            if name in {field.name for field in dataclasses.fields(RunRequest)}
        }
        config = dataclasses.replace(SMALL_RUN, **values)
        defaults = {"config": config, "device": "cpu", "work": tmp_path / "work"}
        return RunRequest(dataset, base, **{**defaults, **run})

    return make


PLAIN = {"memorization_weight": 0.0, "perceptual_weight": 0.0, "contrastive_weight": 0.0}


def digest(path):
    return digest_tensors(load_file(path))


def steps_of(events):
    return [event for event in events if isinstance(event, StepEvent)]


def the_lora(tmp_path, work="work"):
    (path,) = (tmp_path / work).glob("runs/*/lora.safetensors")
    return path


def test_a_run_reports_every_step_and_writes_one_lora(tmp_path, request_for):
    output = tmp_path / "loras" / "aruna.safetensors"
    events = list(run_training(request_for(output=output)))
    steps = steps_of(events)
    assert [event.step for event in steps] == list(range(1, 10))
    # Steps 0, 3 and 6 of the method, counted from 0.
    assert [event.step - 1 for event in steps if "perceptual" in event.losses] == [0, 3, 6]
    assert all(set(event.losses) >= {"ldm", "memorization"} for event in steps)
    assert [event.step for event in events if isinstance(event, CheckpointEvent)] == [2, 4, 6, 8]
    assert events[-1] == FinishedEvent(9, str(output))
    assert output.read_bytes() == the_lora(tmp_path).read_bytes()
    config = json.loads(the_lora(tmp_path).with_name("config.json").read_text())
    assert config["config"]["rank"] == 4
    log = the_lora(tmp_path).with_name("events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in log].count("step") == 9


def test_the_loss_of_a_step_is_the_weighted_sum_of_its_terms(request_for):
    for event in steps_of(run_training(request_for())):
        expected = 0.7 * event.losses["ldm"] + 0.3 * event.losses["memorization"]
        expected += 0.05 * event.losses.get("perceptual", 0)
        expected += 0.05 * event.losses.get("contrastive", 0)
        assert event.total_loss == pytest.approx(expected, rel=1e-5)


def test_only_the_adapter_moves_and_the_base_is_handed_back_as_it_was(request_for):
    base = small_base(torch.float32)
    before = {
        name: digest_tensors(network.state_dict())
        for name, network in (("unet", base.unet), ("vae", base.vae))
    }
    list(run_training(request_for(base=base)))
    assert digest_tensors(base.unet.state_dict()) == before["unet"]
    assert digest_tensors(base.vae.state_dict()) == before["vae"]
    assert lora_parameters(base.unet) == {}
    assert not any(value.requires_grad for value in base.unet.parameters())


def test_the_same_request_gives_the_same_run_and_another_seed_another(tmp_path, request_for):
    list(run_training(request_for()))
    list(run_training(request_for(work=tmp_path / "again")))
    assert digest(the_lora(tmp_path)) == digest(the_lora(tmp_path, "again"))
    assert the_lora(tmp_path).parent.name == the_lora(tmp_path, "again").parent.name
    list(run_training(request_for(work=tmp_path / "other", seed=1)))
    assert digest(the_lora(tmp_path)) != digest(the_lora(tmp_path, "other"))


def test_micro_batches_give_the_same_run_up_to_the_order_of_summation(tmp_path, request_for):
    in_double = {"precision": "fp64", "steps": 4}
    list(run_training(request_for(batch_size=4, **in_double)))
    list(
        run_training(
            request_for(
                work=tmp_path / "split",
                batch_size=1,
                gradient_accumulation_steps=4,
                **in_double,
            )
        )
    )
    whole, split = load_file(the_lora(tmp_path)), load_file(the_lora(tmp_path, "split"))
    assert the_lora(tmp_path).parent.name == the_lora(tmp_path, "split").parent.name
    for name, tensor in whole.items():
        torch.testing.assert_close(split[name], tensor, rtol=1e-7, atol=1e-9)


def test_nothing_is_cast_down_in_double_precision(tmp_path, request_for):
    list(run_training(request_for(precision="fp64", steps=1)))
    tensors = load_file(the_lora(tmp_path))
    assert {t.dtype for name, t in tensors.items() if "lora_up" in name} == {torch.float64}


def test_the_adapter_stays_float32_where_the_networks_are_half(tmp_path, request_for):
    events = list(run_training(request_for(precision="bf16", steps=4)))
    (settings,) = [event for event in events if isinstance(event, SettingsEvent)]
    assert settings.precision == "bfloat16"
    tensors = load_file(the_lora(tmp_path))
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    ups = [tensor for name, tensor in tensors.items() if "lora_up" in name]
    # Weights that had been rounded to bf16 would be unchanged by rounding them again.
    assert any(not torch.equal(tensor, tensor.bfloat16().float()) for tensor in ups)


def stop_after(count):
    calls = iter(range(10**9))
    return lambda: next(calls) >= count


@pytest.mark.parametrize("count", [3, 40, 48])
def test_a_stopped_run_saves_says_how_to_go_on_and_ends_the_same(tmp_path, request_for, count):
    list(run_training(request_for(work=tmp_path / "whole")))
    events = list(run_training(request_for(), should_stop=stop_after(count)))
    stopped = events[-1]
    assert isinstance(stopped, StoppedEvent)
    assert re.search("Started again, .*goes on from", stopped.message)
    done = [event.step for event in steps_of(events)]
    assert stopped.step == (done[-1] if done else 0)
    # What was learned so far is a LoRA, and says how far.
    if stopped.step:
        with safe_open(stopped.name, "pt") as file:
            assert file.metadata()["ss_steps"] == str(stopped.step)
        so_far = load_file(stopped.name)
        assert any(value.any() for key, value in so_far.items() if "lora_up" in key)
    else:
        assert stopped.name == ""
    events = list(run_training(request_for()))
    (settings,) = [event for event in events if isinstance(event, SettingsEvent)]
    assert settings.start_step == stopped.step
    assert [event.step for event in steps_of(events)] == list(range(stopped.step + 1, 10))
    assert digest(the_lora(tmp_path)) == digest(the_lora(tmp_path, "whole"))


def test_a_finished_run_is_not_trained_again(tmp_path, request_for):
    list(run_training(request_for()))
    before = the_lora(tmp_path).stat().st_mtime_ns
    output = tmp_path / "later.safetensors"
    events = list(run_training(request_for(output=output)))
    assert steps_of(events) == []
    assert events[-1] == FinishedEvent(9, str(output), already_done=True)
    assert the_lora(tmp_path).stat().st_mtime_ns == before
    assert output.read_bytes() == the_lora(tmp_path).read_bytes()
    assert list(run_training(request_for(output=output)))[-1].already_done


def test_a_credit_given_after_the_training_reaches_the_header_and_no_weight(
    tmp_path, request_for, dataset
):
    list(run_training(request_for()))
    before, tensors = read_metadata(the_lora(tmp_path)), digest(the_lora(tmp_path))
    sha256 = read_dataset(dataset).rows[0].sha256
    credit = Overlay(sha256=sha256, by="Ama", at=now(), why="she told me", credit="Efua Mensah")
    add_statement(tmp_path / "work", credit)
    events = list(run_training(request_for()))
    assert events[-1].already_done
    assert digest(the_lora(tmp_path)) == tensors
    after = read_metadata(the_lora(tmp_path))
    assert "Efua Mensah" in after["scoft.credits"]
    unchanged = {key: text for key, text in before.items() if key not in RIGHTS_KEYS}
    assert {key: text for key, text in after.items() if key not in RIGHTS_KEYS} == unchanged


def test_an_existing_output_is_refused_before_any_work_and_stays(tmp_path, request_for):
    output = tmp_path / "mine.safetensors"
    output.write_bytes(b"precious")
    with pytest.raises(OutputError, match="mine.safetensors: exists already and is not this run's"):
        list(run_training(request_for(output=output)))
    assert output.read_bytes() == b"precious"
    assert not (tmp_path / "work" / "cache").exists()
    list(run_training(request_for()))
    with pytest.raises(OutputError, match="nothing is overwritten"):
        list(run_training(request_for(output=output)))
    assert output.read_bytes() == b"precious"


def test_the_dataset_is_never_written_to(dataset, request_for):
    def listing():
        return sorted((path, path.stat().st_mtime_ns) for path in dataset.rglob("*"))

    before = listing()
    list(run_training(request_for()))
    assert listing() == before


def test_a_resume_with_other_choices_needs_consent(request_for):
    list(run_training(request_for(), should_stop=stop_after(48)))
    lean = MemoryConfig(batched_guidance="off")
    with pytest.raises(ResumeError, match=r"memory was .*'batched_guidance': 'on'.*now .*'off'"):
        list(run_training(request_for(memory=lean)))
    with pytest.raises(ResumeError, match=r"batch_size was 2, now 1.*--allow-inexact-resume"):
        list(run_training(request_for(batch_size=1, gradient_accumulation_steps=2)))
    events = list(run_training(request_for(memory=lean, allow_inexact_resume=True)))
    assert steps_of(events)[0].step > 1
    assert isinstance(events[-1], FinishedEvent)


def test_a_resume_uses_the_memory_choices_of_its_beginning(tmp_path, request_for, monkeypatch):
    list(run_training(request_for(work=tmp_path / "whole")))
    list(run_training(request_for(), should_stop=stop_after(48)))
    monkeypatch.setattr("scoft_training.run_plan.free_memory", lambda device: 1)
    with pytest.raises(ResumeError, match="free memory where less of it is free than then"):
        list(run_training(request_for()))
    fast = MemoryConfig("fast", "off", "off", 2, "on")
    list(run_training(request_for(memory=fast)))
    assert digest(the_lora(tmp_path)) == digest(the_lora(tmp_path, "whole"))


def test_the_level_of_memory_decides_no_run_id_and_is_recorded_as_its_choices(
    tmp_path, request_for
):
    names = set()
    for level in ("fast", "low"):
        memory = MemoryConfig(level)
        work = tmp_path / level
        events = list(run_training(request_for(memory=memory, work=work, **PLAIN, steps=1)))
        settings = next(event for event in events if isinstance(event, SettingsEvent))
        assert settings.memory["memory"] == level
        names.add(settings.run_id)
        config = json.loads((work / "runs" / settings.run_id / "config.json").read_text())
        on = {"fast": "off", "low": "on"}[level]
        assert config["memory"] == {
            "gradient_checkpointing": on,
            "decoder_checkpointing": on,
            "decode_batch_size": {"fast": 2, "low": 1}[level],
            "batched_guidance": {"fast": "on", "low": "off"}[level],
        }
    assert len(names) == 1


def test_what_a_run_will_hold_is_told_before_its_first_step(request_for, monkeypatch):
    events = list(run_training(request_for(steps=1)))
    (place,) = [i for i, event in enumerate(events) if isinstance(event, EstimateEvent)]
    assert place < min(i for i, event in enumerate(events) if isinstance(event, StepEvent))
    estimate = events[place]
    assert (estimate.level, estimate.fits) == ("fast", True)
    assert 0 < estimate.needed_bytes < estimate.peak_bytes < estimate.free_bytes
    monkeypatch.setattr("scoft_training.run_plan.free_memory", lambda device: estimate.needed_bytes)
    events = list(run_training(request_for(steps=1, seed=1)))
    (lower,) = [event for event in events if isinstance(event, EstimateEvent)]
    assert (lower.level, lower.fits) == ("balanced", True), "a tenth has to stay free"
    assert lower.needed_bytes < 0.9 * estimate.needed_bytes


def test_a_network_that_needs_values_trains_without_an_estimate(request_for, caplog):
    base = small_base(torch.float32)
    forward = base.unet.forward

    def with_values(latents, *arguments, **names):
        assert float(latents.sum()) != 0.5
        return forward(latents, *arguments, **names)

    base.unet.forward = with_values
    events = list(run_training(request_for(base=base, steps=1)))
    assert "cannot be estimated" in caplog.text
    assert not [event for event in events if isinstance(event, EstimateEvent)]
    settings = next(event for event in events if isinstance(event, SettingsEvent))
    assert settings.memory["memory"] == "balanced"
    assert isinstance(events[-1], FinishedEvent)


def test_a_run_from_an_existing_lora_begins_there(tmp_path, request_for):
    list(run_training(request_for()))
    first = the_lora(tmp_path)
    more = request_for(init_lora=first, work=tmp_path / "more", steps=1, learning_rate=1e-9)
    list(run_training(more))
    begun, ended = load_file(first), load_file(the_lora(tmp_path, "more"))
    for name, tensor in begun.items():
        torch.testing.assert_close(ended[name], tensor, rtol=0, atol=1e-7)
    assert digest(first) != digest(the_lora(tmp_path, "more"))
    plain = request_for(work=tmp_path / "plain", steps=1, learning_rate=1e-9)
    list(run_training(plain))
    assert the_lora(tmp_path, "plain").parent.name != the_lora(tmp_path, "more").parent.name, (
        "the LoRA it began from must enter the run id"
    )
    with pytest.raises(ConfigError, match="rank"):
        list(run_training(request_for(init_lora=first, rank=8)))
    with pytest.raises(ModelFileError, match="nowhere.safetensors: no such LoRA file"):
        list(run_training(request_for(init_lora=tmp_path / "nowhere.safetensors")))


def validation(events):
    return [(event.step, event.loss) for event in events if isinstance(event, ValidationEvent)]


def test_validation_is_fixed_held_out_and_changes_nothing(tmp_path, dataset, request_for):
    plain = list(run_training(request_for(work=tmp_path / "plain")))
    events = list(run_training(request_for(validate_every=4)))
    found = validation(events)
    assert [step for step, _ in found] == [4, 8, 9]
    assert len({loss for _, loss in found}) == 3
    assert {event.pictures for event in events if isinstance(event, ValidationEvent)} == {4}
    assert validation(plain) == []
    assert digest(the_lora(tmp_path)) == digest(the_lora(tmp_path, "plain"))
    # Held-out rows need no generic caption, whatever losses are on.
    path = dataset / "test" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        del row["blip_text"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = list(run_training(request_for(work=tmp_path / "again", validate_every=4)))
    assert validation(again) == found


def test_training_lowers_the_loss_on_held_out_rows(request_for):
    learning = {"steps": 60, "learning_rate": 5e-3, "optimizer": "adam", "lr_scheduler": "constant"}
    events = list(run_training(request_for(validate_every=20, **learning, **PLAIN)))
    losses = [loss for _, loss in validation(events)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 0.9 * losses[0]


def test_validation_without_held_out_rows_is_refused(dataset, request_for):
    shutil.rmtree(dataset / "test")
    with pytest.raises(ConfigError, match="has no held-out rows: put some into test/metadata.jso"):
        list(run_training(request_for(validate_every=4)))


def test_a_second_run_computes_nothing_again(tmp_path, request_for):
    list(run_training(request_for()))
    base = small_base(torch.float32)

    def refuse(*arguments, **names):
        raise AssertionError("computed again")

    base.vae.encoder.forward = refuse
    base = dataclasses.replace(base, digest=small_base(torch.float32).digest)
    events = list(run_training(request_for(base=base, seed=5)))
    phases = {event.phase: event.done for event in events if isinstance(event, PhaseEvent)}
    assert phases == {"load models": 1, "captions": 12, "latents": 12, "features": 12}
    assert isinstance(events[-1], FinishedEvent)


def test_nothing_constant_is_computed_inside_the_loop(request_for):
    base = small_base(torch.float32)
    calls = []
    base.vae.encoder.register_forward_hook(lambda *_: calls.append("vae"))
    encode = base.captions.encode
    base.captions.encode = lambda captions: (calls.append("text"), encode(captions))[1]
    in_loop = False
    for event in run_training(request_for(base=base)):
        if isinstance(event, SettingsEvent):
            in_loop = True
            assert set(calls) == {"vae", "text"}
            calls.clear()
    assert in_loop
    assert calls == []


def test_long_captions_are_listed(dataset, request_for):
    path = dataset / "train" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[4]["text"] = "a very long caption " * 30
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    events = list(run_training(request_for(steps=1)))
    warnings = [event.message for event in events if isinstance(event, WarningEvent)]
    assert any("only their beginning counts: row 5, `text`. Shorten" in text for text in warnings)


def spoiled_base(spoil):
    """A base whose predictions go through `spoil(prediction, number of the call)`."""
    base = small_base(torch.float32)
    calls = 0

    def hook(module, arguments, output):
        nonlocal calls
        if output.is_meta:  # the estimate before the run
            return output
        calls += 1
        return spoil(output, calls)

    base.unet.conv_out.register_forward_hook(hook)
    return base


def test_nan_stops_the_run_and_keeps_what_was_saved(tmp_path, request_for):
    base = spoiled_base(lambda output, call: output * (torch.nan if call == 6 else 1))
    with pytest.raises(
        DivergenceError,
        match=r"Step 6: the loss .* \(ldm nan\). Nothing of this step was saved. Lower `learning_r",
    ):
        list(run_training(request_for(base=base, **PLAIN)))
    assert list((tmp_path / "work").glob("runs/*/lora.safetensors")) == []
    events = list(run_training(request_for(**PLAIN)))
    assert [event.step for event in steps_of(events)] == [5, 6, 7, 8, 9]


def test_a_nan_in_the_base_is_found_at_the_first_step(request_for):
    base = small_base(torch.float32)
    base.unet.conv_out.bias.data[:] = torch.nan
    with pytest.raises(DivergenceError, match="Step 1: the loss or its gradient is not a finite"):
        list(run_training(request_for(base=base)))


def test_an_exploding_loss_is_named(request_for):
    base = spoiled_base(lambda output, call: output * (30 if call > 30 else 1))
    with pytest.raises(DivergenceError, match="L_LDM has grown from .* the training is exploding"):
        list(run_training(request_for(base=base, steps=60, **PLAIN)))


def test_a_lora_that_did_not_move_is_not_saved(tmp_path, request_for):
    with pytest.raises(DivergenceError, match="no LoRA weight has changed"):
        list(run_training(request_for(learning_rate=0.0)))
    assert list((tmp_path / "work").glob("runs/*/lora.safetensors")) == []


def test_out_of_memory_says_what_to_lower_in_order(request_for):
    base = small_base(torch.float32)

    def exhausted(*arguments, **names):
        raise torch.OutOfMemoryError("CUDA out of memory")

    base.unet.forward = exhausted
    with pytest.raises(NotEnoughMemoryError) as caught:
        list(run_training(request_for(base=base)))
    advice = ["`memory` low", "`batch_size`", "`resolution`"]
    places = [str(caught.value).index(words) for words in advice]
    assert places == sorted(places)


def test_a_full_disk_at_the_end_loses_nothing(tmp_path, request_for, monkeypatch):
    def full(*arguments, **names):
        raise OutputError("lora.safetensors: could not be written (No space left on device).")

    monkeypatch.setattr("scoft_training.runs.write_lora", full)
    with pytest.raises(OutputError, match="No space left"):
        list(run_training(request_for()))
    monkeypatch.undo()
    events = list(run_training(request_for()))
    assert [event.step for event in steps_of(events)] == [9]
    list(run_training(request_for(work=tmp_path / "whole")))
    assert digest(the_lora(tmp_path)) == digest(the_lora(tmp_path, "whole"))


def no_negatives(dataset):
    path = dataset / "train" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["negative_imgpath"] = []
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_contrastive_loss_needs_negatives(dataset, request_for):
    no_negatives(dataset)
    with pytest.raises(DatasetError, match="negative"):
        list(run_training(request_for()))
    events = list(run_training(request_for(contrastive_weight=0.0)))
    assert isinstance(events[-1], FinishedEvent)


def test_the_memorization_loss_needs_generic_captions(dataset, request_for):
    path = dataset / "train" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    del rows[2]["blip_text"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DatasetError, match=r"metadata.jsonl, row 3: `blip_text` is missing"):
        list(run_training(request_for()))
    events = list(run_training(request_for(memorization_weight=0.0)))
    assert "memorization" not in steps_of(events)[0].losses


def test_an_unknown_backbone_is_refused_with_the_nearest(request_for):
    with pytest.raises(ConfigError, match=r"Unknown perceptual backbone 'clipcov'.*'clipconv'\?"):
        list(run_training(request_for(perceptual_backbone="clipcov")))


def test_missing_helper_weights_are_said_before_the_base_is_loaded(
    tmp_path, request_for, monkeypatch
):
    monkeypatch.setenv("SCOFT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    missing = request_for(base="nowhere", perceptual_backbone="dinov2", allow_download=False)
    with pytest.raises(ModelFileError, match=r"dinov2.*models.dinov2.*https://huggingface.co/"):
        list(run_training(missing))


def test_a_missing_dataset_is_named(tmp_path, request_for):
    with pytest.raises(DatasetError, match="nothing-here"):
        list(run_training(request_for(dataset=tmp_path / "nothing-here")))


def test_the_header_says_what_was_done_and_holds_no_path(tmp_path, dataset, request_for):
    list(run_training(request_for()))
    metadata = read_metadata(the_lora(tmp_path))
    assert metadata["ss_network_dim"] == "4"
    assert metadata["scoft.culture"] == "Aruna (invented)"
    assert metadata["modelspec.trigger_phrase"] == "in Aruna"
    assert metadata["ss_num_train_images"] == "12"
    assert json.loads(metadata["scoft.config"])["perceptual_backbone"] == "pool"
    final = json.loads(metadata["scoft.final_losses"])
    assert set(final) == {"ldm", "memorization", "perceptual", "contrastive"}
    digests = json.loads(metadata["scoft.picture_sha256"])
    assert digests == [row.sha256 for row in read_dataset(dataset).rows]
    assert str(tmp_path) not in json.dumps(metadata)
