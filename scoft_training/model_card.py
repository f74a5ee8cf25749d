"""The model card of a LoRA, from its header: what it learned, from whom, under what terms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["model_card"]


def model_card(name: str, metadata: Mapping[str, str]) -> str:
    """Return the card as Markdown.

    Args:
        name: of the LoRA's file, without its ending.
        metadata: header strings, as `lora_metadata` writes them; what is missing is left out.
    """
    culture = metadata.get("scoft.culture") or "not stated"
    trigger = metadata.get("modelspec.trigger_phrase", "")
    facts = [
        ("Culture", culture),
        ("Base model", metadata.get("ss_sd_model_name")),
        ("Pictures", metadata.get("ss_num_train_images")),
        ("Steps", metadata.get("ss_steps")),
        ("Rank", metadata.get("ss_network_dim")),
        ("Run", metadata.get("scoft.run_id")),
        ("Licences of the pictures", "; ".join(_list(metadata, "scoft.licences"))),
        ("Credits", "; ".join(_list(metadata, "scoft.credits"))),
    ]
    lines = [f"# {name}", ""]
    lines.append(
        "A LoRA trained by SCoFT (Self-Contrastive Fine-Tuning, arXiv 2401.08053) on pictures that "
        "people of the culture picked and captioned."
    )
    if trigger:
        lines += ["", f"Say `{trigger}` at the end of a prompt."]
    lines += ["", "| | |", "| --- | --- |"]
    lines += [f"| {said} | {_cell(value)} |" for said, value in facts if value]
    counts = _mapping(metadata, "scoft.category_counts")
    if counts:
        lines += ["", "## What the pictures show", "", "| category | pictures |", "| --- | --- |"]
        lines += [f"| {_cell(category)} | {count} |" for category, count in counts.items() if count]
    losses = _mapping(metadata, "scoft.final_losses")
    if losses:
        lines += ["", "## Losses at the end", "", "| loss | value |", "| --- | --- |"]
        lines += [f"| {_cell(loss)} | {_number(value)} |" for loss, value in losses.items()]
    software = _mapping(metadata, "scoft.software")
    if software:
        versions = ", ".join(f"{package} {version}" for package, version in software.items())
        lines += ["", f"Made with {versions}."]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    """A table's cell: one line, without what would end it."""
    return " ".join(str(value).split()).replace("|", "\\|")


def _number(value: Any) -> str:
    # The header holds null where a loss was not finite.
    return f"{value:.4g}" if isinstance(value, (int, float)) else "not a number"


def _list(metadata: Mapping[str, str], key: str) -> list[str]:
    found = _parsed(metadata, key)
    return [str(entry) for entry in found] if isinstance(found, list) else []


def _mapping(metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    found = _parsed(metadata, key)
    return found if isinstance(found, dict) else {}


def _parsed(metadata: Mapping[str, str], key: str) -> Any:
    """Return a header string's JSON; None if it is missing or is none: files come from anywhere."""
    try:
        return json.loads(metadata.get(key, "null"))
    except ValueError:
        return None
