"""Makes locales/en/nodeDefs.json, the template for other languages, from what the nodes say.

With ComfyUI running and this pack in its custom_nodes:

    python scripts/make_locales.py --host 127.0.0.1:8188

To translate, copy locales/en to locales/<language> and change the texts, not the keys.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "locales" / "en" / "nodeDefs.json"
PREFIX = "Scoft"

# Signs of the front end's message syntax (vue-i18n). Some of its versions read tooltips as messages
# and some as plain text, so no way of writing these signs is right in all of them; where a text is
# missing here, every version shows the node's own.
SYNTAX = frozenset("@{}|")


def texts_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return a class's texts in the form of nodeDefs.json.

    Args:
        about: the class in /object_info.
    """
    inputs = {}
    for section in ("required", "optional"):
        for name in about["input_order"].get(section, []):
            _, *options = about["input"][section][name]
            tooltip = (options[0] if options else {}).get("tooltip")
            inputs[name] = _texts(name=name, tooltip=tooltip)
    tooltips = about.get("output_tooltips") or [None] * len(about["output_name"])
    outputs = {
        str(slot): _texts(name=name, tooltip=tooltip)
        for slot, (name, tooltip) in enumerate(zip(about["output_name"], tooltips, strict=True))
    }
    found = _texts(display_name=about["display_name"], description=about["description"])
    return {**found, "inputs": inputs, "outputs": outputs}


def _texts(**texts: str | None) -> dict[str, str]:
    return {key: text for key, text in texts.items() if text and not SYNTAX & set(text)}


def node_definitions(object_info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of nodeDefs.json for the pack's classes."""
    return {
        name: texts_of(about)
        for name, about in sorted(object_info.items())
        if name.startswith(PREFIX)
    }


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1:8188")
    asked = parser.parse_args()
    with urllib.request.urlopen(f"http://{asked.host}/object_info", timeout=60) as answer:
        wanted = node_definitions(json.load(answer))
    text = json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    print(TARGET)


if __name__ == "__main__":
    main()
