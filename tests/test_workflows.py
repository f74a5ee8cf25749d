"""The example workflows: their two forms agree, fit the nodes, and run where they can."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
from pathlib import Path

import pytest
from made_answers import made_survey, write_files
from PIL import Image
from running_host import error_of

from scoft_training.survey_key import KEY_NAME, write_key

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
NOTES = {"MarkdownNote", "Note"}

# Nodes of the host that are named in examples: their ids and slots are the same in all versions.
PLAIN = {
    "CheckpointLoaderSimple",
    "ControlNetLoader",
    "CLIPTextEncode",
    "EmptyLatentImage",
    "KSampler",
    "PreviewAny",
    "PreviewImage",
    "SaveImage",
    "VAEDecode",
}

# What no machine has by itself: a person chooses it.
TO_CHOOSE = {"ckpt_name", "control_net_name", "dataset", "lora_name", "table"}
MISSING = {
    "scoft_apply_lora": {("1", "ckpt_name"), ("2", "lora_name")},
    "scoft_curate_dataset": {("1", "table")},
    "scoft_negatives_only": {("1", "ckpt_name"), ("2", "control_net_name"), ("3", "dataset")},
    "scoft_score_lora": {("1", "ckpt_name"), ("2", "dataset")},
    "scoft_train_own_dataset": {("1", "ckpt_name"), ("2", "control_net_name"), ("3", "dataset")},
}

# What people sent is no choice of a list: the graph is queued, and says what it lacks when it runs.
NEEDS_ANSWERS = {"scoft_survey_read"}

needs_host = [pytest.mark.host, pytest.mark.slow]


def read(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def read_api(name):
    return json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))


def definitions():
    """The graphs as scripts/workflow_graphs/ states them, by name."""
    folder = ROOT / "scripts" / "workflow_graphs"
    spec = importlib.util.spec_from_file_location(
        "workflow_graphs", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return {graph.name: graph for graph in module.GRAPHS}


@pytest.fixture(scope="module")
def classes(host):
    return host.get("/object_info")


def declared(about):
    """Return name -> (type, options) of a class's inputs, in the order of its sockets."""
    found = {}
    for section in ("required", "optional"):
        for name in about["input_order"].get(section, []):
            kind, *rest = about["input"][section][name]
            options = rest[0] if rest else {}
            found[name] = (
                ("COMBO", {**options, "options": kind})
                if isinstance(kind, list)
                else (
                    kind,
                    options,
                )
            )
    return found


def widgets_of(about):
    """Return the widgets that /object_info states, in order, as (name, type, options).

    A seed brings a widget of its own, which the front end adds behind it.
    """
    found = []
    for name, (kind, options) in declared(about).items():
        if kind in WIDGETS and not options.get("forceInput"):
            found.append((name, kind, options))
            if options.get("control_after_generate"):
                choices = {"options": ["fixed", "increment", "decrement", "randomize"]}
                found.append(("control_after_generate", "COMBO", choices))
    return found


def fits(value, kind, options):
    if kind == "BOOLEAN":
        return isinstance(value, bool)
    if kind == "STRING":
        return isinstance(value, str)
    if kind == "COMBO":
        return value in options["options"]
    number = isinstance(value, int if kind == "INT" else (int, float))
    if not number or isinstance(value, bool):
        return False
    return options.get("min", value) <= value <= options.get("max", value)


def test_there_is_one_folder_of_examples_and_each_has_its_picture():
    """Of two such folders the host would list both and serve one."""
    others = ("example_workflows", "example", "examples", "workflow")
    assert not [name for name in others if (ROOT / name).exists()]
    assert len(NAMES) == 10
    assert {path.stem for path in FOLDER.glob("*.jpg")} == set(NAMES)
    assert {path.stem for path in (FOLDER / "api").iterdir()} == set(NAMES)
    for name in NAMES:
        path = FOLDER / f"{name}.jpg"
        with Image.open(path) as picture:
            assert picture.width == 900
            assert picture.width > picture.height
        assert path.stat().st_size < 200_000


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_say_the_same(name):
    workflow, api = read(name), read_api(name)
    nodes = {str(node["id"]): node for node in workflow["nodes"] if node["type"] not in NOTES}
    assert set(nodes) == set(api)
    origins = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    for number, node in nodes.items():
        assert node["type"] == api[number]["class_type"]
        linked = {
            slot["name"]: origins[slot["link"]]
            for slot in node.get("inputs", [])
            if slot["link"] is not None
        }
        named = node.get("widgets_values_named", {})
        assert list(named.values()) == node.get("widgets_values", [])
        queued = api[number]["inputs"]
        assert {key: value for key, value in queued.items() if isinstance(value, list)} == linked
        values = {key: value for key, value in queued.items() if not isinstance(value, list)}
        assert values == {key: value for key, value in named.items() if key in values}
        assert set(named) - set(values) <= {"control_after_generate"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps_and_every_node_stands_in_a_frame(name):
    workflow = read(name)
    boxes = {}
    for node in workflow["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        boxes[node["id"]] = (x, y - 30, x + width, y + height)  # with its title
    for one, (left, top, right, bottom) in boxes.items():
        for other, (left_2, top_2, right_2, bottom_2) in boxes.items():
            apart = right <= left_2 or right_2 <= left or bottom <= top_2 or bottom_2 <= top
            assert one == other or apart, (one, other)
        frames = [group["bounding"] for group in workflow["groups"]]
        inside = [
            x <= left and y <= top and right <= x + w and bottom <= y + h for x, y, w, h in frames
        ]
        assert sum(inside) == 1, one


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_machine_is_left(name):
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    workflow = json.loads(text)
    assert workflow["extra"] == {}
    assert "scoft_run" not in text
    assert "scoft_dataset" not in text
    for node in workflow["nodes"]:
        # What the front end and the pack keep of the machine on which the graph was made.
        kept = [key for key in node["properties"] if key == "ver" or key.startswith("scoft_")]
        assert kept == []
        for model in node["properties"].get("models", []):
            assert model["name"] in node["widgets_values"]
            assert model["url"].endswith("/" + model["name"])


@pytest.mark.parametrize("name", NAMES)
def test_notes_say_what_to_look_at(name):
    notes = [node for node in read(name)["nodes"] if node["type"] in NOTES]
    assert len(notes) >= 2 or name == "scoft_compare_gradient_steps"
    assert all(len(note["widgets_values"][0]) > 80 for note in notes)


class TestInAHost:
    pytestmark = needs_host

    @pytest.mark.parametrize("name", NAMES)
    def test_every_value_is_one_that_its_widget_takes(self, classes, name):
        for node in read(name)["nodes"]:
            if node["type"] in NOTES:
                continue
            assert node["type"].startswith("Scoft") or node["type"] in PLAIN
            found = widgets_of(classes[node["type"]])
            values = node.get("widgets_values", [])
            if node["type"] == "PreviewAny":
                continue  # its widgets are the front end's own
            assert len(values) == len(found), (node["type"], values, found)
            for value, (widget, kind, options) in zip(values, found, strict=True):
                if widget not in TO_CHOOSE:
                    assert fits(value, kind, options), (node["type"], widget, value)
            assert [widget for widget, *_ in found] == list(node.get("widgets_values_named", {}))

    @pytest.mark.parametrize("name", NAMES)
    def test_links_fit_their_types(self, classes, name):
        workflow = read(name)
        nodes = {node["id"]: node for node in workflow["nodes"]}
        linked = set()
        for number, origin, origin_slot, target, target_slot, kind in workflow["links"]:
            linked.add(number)
            about = classes[nodes[origin]["type"]]
            slot = nodes[target]["inputs"][target_slot]
            assert slot["link"] == number
            assert about["output"][origin_slot] == kind
            wanted, _ = declared(classes[nodes[target]["type"]])[slot["name"]]
            assert wanted in (kind, "*")
        assert linked

    @pytest.mark.parametrize("name", NAMES)
    def test_values_that_nobody_chose_are_the_defaults(self, classes, name):
        api = read_api(name)
        for node in definitions()[name].nodes:
            if node.kind in NOTES or not node.kind.startswith("Scoft"):
                continue
            queued = api[str(node.number)]["inputs"]
            for widget, _, options in widgets_of(classes[node.kind]):
                wanted = node.inputs.get(widget, options.get("default"))
                assert queued[widget] == wanted, (node.kind, widget)

    @pytest.mark.parametrize("name", sorted(MISSING))
    def test_only_what_a_person_has_to_choose_is_missing(self, host, name):
        answer = host.post("/prompt", {"prompt": read_api(name)})
        found = set()
        for number, problems in answer["node_errors"].items():
            for error in problems["errors"]:
                assert error["type"] == "value_not_in_list", error
                found.add((number, error["extra_info"]["input_name"]))
        assert found == MISSING[name]

    @pytest.mark.parametrize("name", sorted(set(NAMES) - set(MISSING) - NEEDS_ANSWERS))
    def test_the_miniatures_examples_run(self, host, name):
        prompt = shortened(read_api(name))
        ended = host.wait(host.queue(prompt))
        status = ended["status"]
        assert status["status_str"] == "success", json.dumps(status, indent=1)[-4000:]
        previews = [number for number in prompt if prompt[number]["class_type"] == "PreviewImage"]
        assert previews
        for number in previews:
            assert ended["outputs"][number]["images"], number
        trained = [n for n in prompt if prompt[n]["class_type"] == "ScoftTrainLora"]
        runs = [ended["outputs"][number]["scoft"][0]["run"] for number in trained]
        assert len(set(runs)) == len(trained)

    def test_the_survey_that_one_example_makes_is_found_by_the_one_that_reads(self, host):
        prompt = read_api("scoft_survey_read")
        (aggregate,) = (
            node for node in prompt.values() if node["class_type"] == "ScoftAggregateSurvey"
        )
        makes = read_api("scoft_survey_make").values()
        (name,) = (
            node["inputs"]["survey_name"]
            for node in makes
            if node["class_type"] == "ScoftMakeSurvey"
        )
        assert aggregate["inputs"]["key"] == name
        aggregate["inputs"]["resamples"] = 100
        before = host.wait(host.queue(prompt))
        assert "there is no 'answers'" in error_of(before)
        # Another survey of that name, whose people have answered.
        made = made_survey(cultures={"avelun": 5}, pages=2)
        folder = host.folder / "output" / "scoft" / "surveys" / name
        folder.mkdir(parents=True, exist_ok=True)
        write_key(folder / KEY_NAME, made.key)
        answers = host.folder / "input" / aggregate["inputs"]["answers"]
        answers.mkdir()
        write_files(answers, made.files)
        ended = host.wait(host.queue(prompt))
        status = ended["status"]
        assert status["status_str"] == "success", json.dumps(status, indent=1)[-4000:]
        assert len(ended["outputs"]["2"]["images"]) >= 6
        assert (folder / "results" / "report.html").is_file()

    def test_the_host_lists_the_examples_and_serves_their_pictures(self, host):
        listed = host.get("/workflow_templates")["scoft"]
        assert sorted(listed) == NAMES
        assert host.get(f"/api/workflow_templates/scoft/{NAMES[0]}.json") == read(NAMES[0])


def shortened(api):
    """The same graph in seconds."""
    small = {
        "ScoftLoadMiniature": {"pictures": 6},
        "ScoftDrawNegatives": {
            "negatives_per_picture": 1,
            "inference_steps": 4,
            "filter_threshold": 0.0,
        },
        "ScoftTrainLora": {"steps": 2, "batch_size": 2, "ddim_steps": 3, "preview_every": 0},
        "ScoftCompare": {"inference_steps": 2, "num_seeds": 1},
    }
    prompt = copy.deepcopy(api)
    for node in prompt.values():
        changes = small.get(node["class_type"], {})
        assert set(changes) <= set(node["inputs"])
        node["inputs"] |= changes
    return prompt
