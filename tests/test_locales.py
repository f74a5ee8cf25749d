"""The template for translations says what the nodes say; help pages name what there is."""

from __future__ import annotations

import importlib.util
import json
import re
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCALES = ROOT / "locales"


def maker():
    path = ROOT / "scripts" / "make_locales.py"
    spec = importlib.util.spec_from_file_location("make_locales", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(language):
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


def leaves(tree, path=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def node_ids():
    """The ids that the pack's sources state."""
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "nodes").glob("*.py"))
    return {name for text in sources for name in re.findall(r'node_id="(\w+)"', text)}


def test_no_text_holds_a_sign_of_the_front_ends_message_syntax():
    signs = maker().SYNTAX
    for file in LOCALES.glob("*/*.json"):
        for path, text in leaves(json.loads(file.read_text(encoding="utf-8"))):
            assert isinstance(text, str), path
            assert not signs & set(text), path
            assert not any("." in key for key in path), path


def test_texts_with_such_signs_are_left_to_the_node():
    about = {
        "display_name": "A",
        "description": "Parted by | or @.",
        "input_order": {"required": ["x"]},
        "input": {"required": {"x": ["INT", {"tooltip": "One {of} two."}]}},
        "output_name": ["y"],
        "output_tooltips": ["Plain."],
    }
    assert maker().texts_of(about) == {
        "display_name": "A",
        "inputs": {"x": {"name": "x"}},
        "outputs": {"0": {"name": "y", "tooltip": "Plain."}},
    }


def test_other_languages_have_no_key_that_the_template_lacks():
    keys = {path for path, _ in leaves(read("en"))}
    for folder in LOCALES.iterdir():
        assert {path for path, _ in leaves(read(folder.name))} <= keys


def test_every_node_has_its_texts_and_its_help_page():
    ids = node_ids()
    assert len(ids) == 17
    assert set(read("en")) == ids
    assert {path.stem for path in (ROOT / "js" / "docs").glob("*.md")} == ids


def test_help_pages_name_only_widgets_that_exist():
    """What stands in a list as **name** or in a table as `name_weight` is an input or an output."""
    texts = read("en")
    for name, texts_of_node in texts.items():
        page = (ROOT / "js" / "docs" / f"{name}.md").read_text(encoding="utf-8")
        inputs = {key for node in texts.values() for key in node["inputs"]}
        outputs = {slot["name"] for slot in texts_of_node["outputs"].values()}
        for item in re.findall(r"^- (\*\*.*?):", page, re.M):
            for word in re.findall(r"\*\*([a-z_]+)\*\*", item):
                assert word in set(texts_of_node["inputs"]) | outputs, (name, word)
        for word in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", page):
            known = inputs | {"blip_text", "scoft_datasets", "miniature_clip"}
            known |= {"lora_name", "weight_dtype"}  # of the host's own loaders
            known |= {"file_name", "image_url", "negative_imgpath"}  # columns of tables
            assert word in known | {"scoft_2"}, (name, word)


@pytest.mark.host
@pytest.mark.slow
class TestInAHost:
    def test_the_template_is_what_the_nodes_say(self, host):
        wanted = maker().node_definitions(host.get("/object_info"))
        assert read("en") == wanted, "run python scripts/make_locales.py"

    def test_the_host_serves_the_texts_and_the_help_pages(self, host):
        assert host.get("/i18n")["en"]["nodeDefs"] == read("en")
        for name in node_ids():
            page = f"{host.url}/extensions/scoft/docs/{name}.md"
            with urllib.request.urlopen(page, timeout=30) as answer:
                assert answer.read().startswith(b"# SCoFT ")
