"""The README says what the code says."""

import importlib.util
import re
from pathlib import Path

from scoft_training.config import PRESETS, TrainConfig, preset_values

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tables_of_options_are_those_of_the_config():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "scripts" / "options_tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    assert tables.with_tables(README) == README, "run python scripts/options_tables.py --write"
    assert README.count("| `--") > 40


def test_the_table_of_presets_is_that_of_the_config():
    rows = re.findall(
        r"^\| (`[a-z`, -]+`) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", README, re.M
    )
    found = {}
    for names, *weights in rows:
        for name in re.findall(r"`([a-z-]+)`", names):
            found[name] = tuple(map(float, weights))
    assert set(found) == set(PRESETS) - {"custom"}
    for name, weights in found.items():
        config = TrainConfig(**preset_values(name))
        assert weights == (
            config.ldm_weight,
            config.memorization_weight,
            config.perceptual_weight,
            config.contrastive_weight,
        )


def test_every_room_is_on_the_map():
    engine = ROOT / "scoft_training"
    rooms = {path.name for path in engine.glob("*.py")} - {"__init__.py"}
    small_rooms = {path.name for path in (engine / "miniature").glob("*.py")} - {"__init__.py"}
    _, table, small_table, node_table, page_table = re.split(
        r"\| `scoft_training/` \||\| `scoft_training/miniature/` \||\| `nodes/` \||\| `js/` \|",
        README,
    )
    nodes = {path.name for path in (ROOT / "nodes").glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"`(\w+\.py)`", node_table)) - {"config.py"} == nodes
    helpers = {f"lib/{path.name}" for path in (ROOT / "js" / "lib").glob("*.mjs")}
    assert set(re.findall(r"`(lib/\w+\.mjs)`", page_table)) == helpers
    assert set(re.findall(r"`(\w+\.py)`", table)) == rooms
    assert set(re.findall(r"`(\w+\.py)`", small_table)) == small_rooms
    _, contract, small_contract, *_ = (ROOT / "pyproject.toml").read_text().split("layers = [")
    named = set(re.findall(r"\w+", contract.split("]")[0]))
    assert named == {room.removesuffix(".py") for room in rooms} | {"miniature"}
    named = set(re.findall(r"\w+", small_contract.split("]")[0]))
    assert named == {room.removesuffix(".py") for room in small_rooms}
