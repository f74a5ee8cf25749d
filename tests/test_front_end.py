"""The front end's files; how they behave in a browser is tested in front_end/."""

from __future__ import annotations

import json
import re
from pathlib import Path

PACK = Path(__file__).parents[1]


def test_the_host_imports_one_file_and_it_names_every_helper():
    scripts = [path.relative_to(PACK / "js").as_posix() for path in (PACK / "js").rglob("*.js")]
    assert scripts == ["scoft.js"]
    source = (PACK / "js" / "scoft.js").read_text(encoding="utf-8")
    named = re.search(r"HELPERS = \[(.*?)\]", source, re.DOTALL)[1]
    helpers = sorted(path.stem for path in (PACK / "js" / "lib").glob("*.mjs"))
    assert json.loads(f"[{named.strip().rstrip(',')}]") == helpers


def test_no_helper_knows_the_host_or_writes_markup():
    for path in (PACK / "js" / "lib").glob("*.mjs"):
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"scripts/|innerHTML|insertAdjacentHTML|outerHTML", source), path.name
