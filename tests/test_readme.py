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
    rooms = {path.name for path in (ROOT / "scoft_training").glob("*.py")} - {"__init__.py"}
    table = README.split("| `scoft_training/` |")[1]
    assert set(re.findall(r"`(\w+\.py)`", table)) == rooms
    contract = (ROOT / "pyproject.toml").read_text().split("layers = [")[1].split("]")[0]
    assert set(re.findall(r"\w+", contract)) == {room.removesuffix(".py") for room in rooms}
