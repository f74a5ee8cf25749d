"""A run's report as a page reads it while the run goes on."""

import json

from scoft_training.events import (
    CheckpointEvent,
    EstimateEvent,
    PreviewEvent,
    SettingsEvent,
    StepEvent,
    ValidationEvent,
    WarningEvent,
)
from scoft_training.run_folder import RunFolder, read_history


def step(number, **losses):
    return StepEvent(number, 9, losses, sum(losses.values()), 0.5, 1e-4, 0.25, 1000 + number)


def settings(start_step):
    return SettingsEvent("r" * 16, "cpu", "float32", {"decoder": "off"}, start_step, 9, 80)


def estimate(peak):
    return EstimateEvent("fast", {"LoRA": 8}, peak, 80, 500, True)


def test_a_report_is_columns_in_which_the_later_of_two_equal_steps_counts(tmp_path):
    folder = RunFolder(tmp_path, "r" * 16, None, writes=True)
    folder.log([estimate(90), settings(0), step(1, ldm=1.0, perceptual=7.0), step(2, ldm=2.0)])
    folder.log([PreviewEvent(2, "a house", "previews/step-2.png"), WarningEvent("look")])
    folder.log([step(3, ldm=3.0), CheckpointEvent(2)])
    # Killed after its third step and gone on with from the checkpoint of the second.
    folder.log(
        [
            estimate(100),
            settings(2),
            step(3, ldm=30.0),
            WarningEvent("look"),
            ValidationEvent(3, 0.5, 4),
        ]
    )
    folder.log([PreviewEvent(2, "a house", "previews/step-2.png"), step(4, ldm=4.0)])
    seen = read_history(tmp_path)
    assert json.loads(json.dumps(seen)) == seen
    history = seen["history"]
    assert history["step"] == [1, 2, 3, 4]
    assert history["losses"] == {
        "ldm": [1.0, 2.0, 30.0, 4.0],
        "perceptual": [7.0, None, None, None],
    }
    assert history["memory_bytes"] == [1001, 1002, 1003, 1004]
    assert seen["settings"]["start_step"] == 2
    assert seen["estimate"]["peak_bytes"] == 100
    assert [preview["name"] for preview in seen["previews"]] == ["previews/step-2.png"]
    assert seen["warnings"] == ["look"]
    assert seen["validations"][0]["loss"] == 0.5


def test_a_line_that_is_being_written_is_left_for_later(tmp_path):
    folder = RunFolder(tmp_path, "r" * 16, None, writes=True)
    folder.log([step(1, ldm=1.0)])
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"event": "step", "st')
    assert read_history(tmp_path)["history"]["step"] == [1]


def test_a_run_without_events_is_empty(tmp_path):
    seen = read_history(tmp_path)
    assert seen["history"]["step"] == []
    assert seen["settings"] is None
    assert seen["estimate"] is None


def test_a_copy_that_was_handed_out_follows_and_another_file_stays(tmp_path):
    output = tmp_path / "out.safetensors"
    folder = RunFolder(tmp_path / "run", "id", output, writes=True)
    folder.lora_path.write_bytes(b"one")
    folder.hand_out()
    folder.renew(lambda path: path.write_bytes(b"two"))
    assert (folder.lora_path.read_bytes(), output.read_bytes()) == (b"two", b"two")
    folder.hand_out()
    output.write_bytes(b"a person's")
    folder.renew(lambda path: path.write_bytes(b"three"))
    assert (folder.lora_path.read_bytes(), output.read_bytes()) == (b"three", b"a person's")
    reader = RunFolder(tmp_path / "run", "id", output, writes=False)
    reader.renew(lambda path: path.write_bytes(b"four"))
    assert folder.lora_path.read_bytes() == b"three"
