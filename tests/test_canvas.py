"""The pack in a real ComfyUI, started as a user would, its graphs queued over HTTP."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from running_host import drawing, error_of, graph, until
from safetensors import safe_open
from safetensors.torch import save_file
from small_blip import write_blip

from scoft_training.miniature.export import ExportSizes, export_sets

pytestmark = [pytest.mark.host, pytest.mark.slow]


def test_it_loads_without_a_warning(host):
    assert re.search(r"[\d.]+ seconds: .*custom_nodes/scoft", host.log), host.log[-3000:]
    assert "IMPORT FAILED" not in host.log
    complaints = re.findall(".*(?:WARNING|ERROR|Traceback).*", host.log)
    assert not [line for line in complaints if "scoft" in line.lower()]
    ours = {name for name in host.get("/object_info") if name.startswith("Scoft")}
    assert {
        "ScoftLoadDataset",
        "ScoftDepthMaps",
        "ScoftLoadMiniature",
        "ScoftTrainLora",
        "ScoftSaveLora",
    } <= ours


def test_no_seed_widget_is_one_that_the_front_end_randomizes(host):
    for name, node in host.get("/object_info").items():
        if name.startswith("Scoft"):
            widgets = {key for section in node["input"].values() for key in section}
            assert not widgets & {"seed", "noise_seed"}


def test_the_quick_start_ends_with_a_lora_that_the_host_loads(host):
    ended = host.wait(host.queue(graph(host)))
    assert ended["status"]["status_str"] == "success", json.dumps(ended["status"], indent=1)[-4000:]
    assert "is named, but the widgets say otherwise" not in host.log
    saved = host.folder / "output" / "loras" / "quick.safetensors"
    with safe_open(saved, framework="pt") as file:
        assert file.metadata()["scoft.culture"].startswith("Avelun")
        assert len(file.keys()) % 3 == 0
    assert "Avelun" in saved.with_suffix(".md").read_text()
    assert "quick.safetensors" in host.get("/models/loras")
    ended = host.wait(host.queue(drawing("quick.safetensors")))
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"]
    assert "lora key not loaded" not in host.log
    assert (host.folder / "output" / "drawn_00001_.png").is_file()


def test_a_lora_is_applied_by_its_strength_and_compared(host):
    prompt = graph(host)
    models = {"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2]}
    for name, strength in (("10", 0.0), ("20", 1.0)):
        prompt[name] = {
            "class_type": "ScoftApplyLora",
            "inputs": host.defaults("ScoftApplyLora")
            | {"model": ["1", 0], "lora": ["3", 0], "strength_model": strength},
        }
    compare = {"prompts": "a house in avelun", "resolution": 128, "inference_steps": 3}
    prompt["30"] = {
        "class_type": "ScoftCompare",
        "inputs": host.defaults("ScoftCompare") | models | compare | {"lora": ["3", 0]},
    }
    for number, (name, source) in enumerate(
        {"grid": ["30", 0], "plain": ["30", 1], "taught": ["30", 2]}.items()
    ):
        prompt[f"4{number}"] = {
            "class_type": "SaveImage",
            "inputs": {"images": source, "filename_prefix": name},
        }
    sampler = drawing("")
    del sampler["1"], sampler["2"]
    for base in ("10", "20"):
        renamed = {number: f"{base}{number}" for number in sampler}
        for number, node in json.loads(json.dumps(sampler)).items():
            for value in node["inputs"].values():
                if isinstance(value, list):
                    value[0] = renamed.get(value[0], value[0])
            if node["class_type"] == "KSampler":
                node["inputs"]["model"] = [base, 0]
            if node["class_type"] == "SaveImage":
                node["inputs"]["filename_prefix"] = f"strength{base}"
            prompt[renamed[number]] = node
    ended = host.wait(host.queue(prompt))
    assert ended["status"]["status_str"] == "success", json.dumps(ended["status"], indent=1)[-4000:]
    output = host.folder / "output"

    def pixels(name):
        with Image.open(output / name) as picture:
            return np.asarray(picture).astype(int)

    assert len(list(output.glob("plain_*.png"))) == len(list(output.glob("taught_*.png"))) == 4
    assert np.abs(pixels("plain_00001_.png") - pixels("taught_00001_.png")).max() > 3
    assert np.abs(pixels("strength10_00001_.png") - pixels("strength20_00001_.png")).max() > 3


def test_an_interrupt_saves_and_the_same_graph_goes_on(host):
    prompt = graph(host, steps=400)
    began = host.queue(prompt)
    runs = host.folder / "output" / "scoft" / "miniature-6" / "work" / "runs"

    def steps(run):
        lines = (run / "events.jsonl").read_text().splitlines()
        return [e for e in map(json.loads, lines) if e["event"] == "step"]

    def ours():
        configs = [path for path in runs.glob("*/config.json")]
        return [p.parent for p in configs if json.loads(p.read_text())["config"]["steps"] == 400]

    until(lambda: ours() and len(steps(ours()[0])) >= 5, host)
    host.post("/interrupt", {})
    ended = host.wait(began)
    assert "execution_interrupted" in dict(ended["status"]["messages"])
    (run,) = ours()
    done = steps(run)[-1]["step"]
    assert any((run / "checkpoints").iterdir())
    again = host.queue(prompt)
    until(lambda: steps(run)[-1]["step"] >= done + 3, host)
    host.post("/interrupt", {})
    host.wait(again)
    numbers = [step["step"] for step in steps(run)]
    assert numbers == list(range(1, len(numbers) + 1))  # nothing made twice, nothing skipped


def test_what_is_no_dataset_is_refused_in_a_sentence(host):
    prompt = graph(host)
    prompt["2"]["inputs"]["dataset"] = {"root": "/etc"}
    del prompt["3"], prompt["4"]
    message = error_of(host.wait(host.queue(prompt)))
    assert "`dataset`: got a dict, not a dataset. Connect SCoFT Load Dataset" in message


def test_a_lora_that_fits_nothing_is_refused(host):
    loras = host.folder / "output" / "loras"
    loras.mkdir(parents=True, exist_ok=True)
    other = {
        f"lora_unet_of_another_kind.{part}.weight": torch.ones(4, 4)
        for part in ("lora_down", "lora_up")
    }
    save_file(other, loras / "other.safetensors")
    prompt = drawing("other.safetensors")
    prompt["2"]["class_type"] = "ScoftApplyLora"
    message = error_of(host.wait(host.queue(prompt)))
    assert "fits no layer of the MODEL" in message


def test_a_preset_that_the_widgets_contradict_is_told(host):
    prompt = graph(host, steps=1)
    prompt["3"]["inputs"]["memorization_weight"] = 0.0
    host.wait(host.queue(prompt))
    clause = "`memorization_weight` is 0.0 where the preset has 0.3"
    assert host.log.count(clause) == 1


def test_values_out_of_range_get_the_hosts_own_error(host):
    prompt = graph(host)
    prompt["3"]["inputs"]["rank"] = 0
    answer = host.post("/prompt", {"prompt": prompt})
    kinds = {error["type"] for error in answer["node_errors"]["3"]["errors"]}
    assert kinds == {"value_smaller_than_min"}


def refused(host, prompt):
    """Return why: the host's word, or from the oldest hosts, which let it pass, our sentence."""
    answer = host.post("/prompt", {"prompt": prompt})
    errors = [error for node in answer.get("node_errors", {}).values() for error in node["errors"]]
    return errors[0]["type"] if errors else error_of(host.wait(answer["prompt_id"]))


def test_unknown_choices_are_refused(host):
    prompt = graph(host)
    prompt["3"]["inputs"]["gradient_step"] = "middle"
    assert re.search("value_not_in_list|Unknown value for `gradient_step`", refused(host, prompt))


def test_a_dataset_of_the_input_folder_is_read_and_summed_up(host):
    sizes = ExportSizes(train=6, test=6, others=0, crawl=0)
    made = export_sets(host.folder / "made", sizes=sizes)["community"]
    (host.folder / "input").mkdir(exist_ok=True)
    # Linked, as people do who keep their pictures elsewhere.
    (host.folder / "input" / "linked").symlink_to(made)
    prompt = {"1": {"class_type": "ScoftLoadDataset", "inputs": {"dataset": "linked"}}}
    prompt["2"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}}
    ended = host.wait(host.queue(prompt))
    (summary,) = ended["outputs"]["2"]["text"]
    assert summary.splitlines()[0].endswith(": 6 pictures")
    assert "architecture: 1" in summary


def test_a_dataset_outside_is_no_choice(host):
    prompt = {"1": {"class_type": "ScoftLoadDataset", "inputs": {"dataset": "../../etc"}}}
    prompt["2"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}}
    assert re.search("value_not_in_list|Unknown dataset '../../etc'", refused(host, prompt))


def exported(folder):
    return export_sets(folder, sizes=ExportSizes(train=6, test=6, others=0, crawl=0))["community"]


def test_a_folder_named_in_the_hosts_paths_file_may_hold_datasets(host):
    (host.folder / "elsewhere" / "far").symlink_to(exported(host.folder / "made_too"))
    prompt = {"1": {"class_type": "ScoftLoadDataset", "inputs": {"dataset": "far"}}}
    prompt["2"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}}
    ended = host.wait(host.queue(prompt))
    assert "6 pictures" in ended["outputs"]["2"]["text"][0]
    assert list((host.folder / "output" / "scoft").glob("avelun-*")) == []  # nothing made yet


def test_the_hosts_own_training_nodes_take_what_train_lora_gives(host):
    prompt = graph(host)
    prompt["5"] = {
        "class_type": "LoraModelLoader",
        "inputs": {"model": ["1", 0], "lora": ["3", 0], "strength_model": 1.0, "bypass": False},
    }
    saver = "SaveLoRA" if "SaveLoRA" in host.get("/object_info") else "SaveLoRANode"
    prompt["6"] = {"class_type": saver, "inputs": {"lora": ["3", 0], "prefix": "loras/theirs"}}
    prompt["7"] = {
        "class_type": "LossGraphNode",
        "inputs": {"loss": ["3", 1], "filename_prefix": "losses"},
    }
    sampler = drawing("")
    for number in ("3", "4", "5"):
        prompt[f"1{number}"] = sampler[number]
    links = {"model": ["5", 0], "positive": ["13", 0], "negative": ["14", 0]}
    prompt["16"] = sampler["6"]
    prompt["16"]["inputs"] |= links | {"latent_image": ["15", 0]}
    prompt["17"] = {"class_type": "VAEDecode", "inputs": {"samples": ["16", 0], "vae": ["1", 2]}}
    prompt["18"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["17", 0], "filename_prefix": "theirs"},
    }
    before = len(host.log)
    ended = host.wait(host.queue(prompt))
    assert ended["status"]["status_str"] == "success", json.dumps(ended["status"], indent=1)[-4000:]
    assert "lora key not loaded" not in host.log[before:]
    assert list((host.folder / "output" / "loras").glob("theirs*.safetensors"))
    assert len(ended["outputs"]["7"]["images"]) == 1
    assert len(ended["outputs"]["18"]["images"]) == 1


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/etc/passwd", "is not a LoRA that SCoFT Train LoRA made"),
        ("{folder}/output/scoft/../../secret.safetensors", "is not a LoRA that SCoFT Train LoRA"),
        ("{folder}/output/scoft/none.safetensors", "is not a LoRA that SCoFT Train LoRA made"),
    ],
)
def test_save_lora_copies_nothing_from_outside(host, path, sentence):
    save_file({"x": torch.ones(1)}, host.folder / "secret.safetensors")
    inputs = {"path": path.format(folder=host.folder), "name": "stolen"}
    prompt = {
        "1": {"class_type": "PrimitiveString", "inputs": {"value": inputs["path"]}},
        "2": {"class_type": "ScoftSaveLora", "inputs": inputs | {"path": ["1", 0]}},
    }
    assert sentence in error_of(host.wait(host.queue(prompt)))
    assert not list((host.folder / "output" / "loras").glob("stolen*"))


def test_save_lora_writes_nothing_outside_and_replaces_nothing(host):
    loras = host.folder / "output" / "loras"
    kept = {}
    for steps in (1, 2):
        prompt = graph(host, steps=steps)
        prompt["4"]["inputs"]["name"] = "../../escaped"
        host.wait(host.queue(prompt))
        kept |= {path.name: path.read_bytes() for path in loras.glob("escaped*") if not kept}
    assert {path.name for path in host.folder.rglob("escaped*")} == {
        f"escaped{number}.{kind}" for number in ("", "_2") for kind in ("safetensors", "md")
    }
    assert kept == {name: (loras / name).read_bytes() for name in kept}
    assert len(kept) == 2


def test_captions_are_written_by_a_blip_in_the_hosts_models_folder(host):
    write_blip(host.folder / "models" / "scoft" / "blip")
    made = exported(host.folder / "made_to_caption")
    metadata = made / "train" / "metadata.jsonl"
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    for row in rows[:2]:
        del row["blip_text"]
    metadata.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (host.folder / "input" / "uncaptioned").symlink_to(made)
    before = metadata.read_bytes()
    prompt = {"1": {"class_type": "ScoftLoadDataset", "inputs": {"dataset": "uncaptioned"}}}
    prompt["2"] = {
        "class_type": "ScoftCaption",
        "inputs": host.defaults("ScoftCaption") | {"dataset": ["1", 0], "captions_per_picture": 2},
    }
    ended = host.wait(host.queue(prompt))
    assert ended["status"]["status_str"] == "success", json.dumps(ended["status"], indent=1)[-4000:]
    (shown,) = ended["outputs"]["2"]["scoft"]
    seen = host.get(f"/scoft/datasets/{shown['dataset']}")
    captions = [row["generic_captions"] for row in seen["rows"]]
    assert [len(of_row) for of_row in captions[:2]] == [2, 2]
    assert captions[2:] == [row["blip_text"] for row in rows[2:]]  # as they were
    assert metadata.read_bytes() == before
