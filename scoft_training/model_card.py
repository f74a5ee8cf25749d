"""The model card of a LoRA, from its header: what it learned, from whom, under what terms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .markdown import escape, table

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
    lines += ["", *table(["", ""], [fact for fact in facts if fact[1]])]
    counts = _mapping(metadata, "scoft.category_counts")
    if counts:
        lines += ["", "## What the pictures show", ""]
        lines += table(["category", "pictures"], [pair for pair in counts.items() if pair[1]])
    lines += _whose(metadata)
    losses = _mapping(metadata, "scoft.final_losses")
    if losses:
        lines += ["", "## Losses at the end", ""]
        shown = [(loss, _number(value)) for loss, value in losses.items()]
        lines += table(["loss", "value"], shown)
    software = _mapping(metadata, "scoft.software")
    if software:
        versions = ", ".join(f"{package} {version}" for package, version in software.items())
        lines += ["", f"Made with {versions}."]
    return "\n".join(lines) + "\n"


def _whose(metadata: Mapping[str, str]) -> list[str]:
    """Return the part on whose pictures they are, and on how one of them is taken back."""
    found = _parsed(metadata, "scoft.credit_groups")
    groups = (
        [group for group in found if isinstance(group, dict)] if isinstance(found, list) else []
    )
    lines = []
    if groups:
        lines += ["", "## Whose pictures they are", ""]
        lines += table(
            ["credit", "licence", "pictures"],
            [
                (
                    group.get("credit") or "not stated",
                    group.get("licence") or "not stated",
                    group.get("pictures", ""),
                )
                for group in groups
            ],
        )
    if consent := _mapping(metadata, "scoft.consent"):
        lines += ["", "Consent of who made or is in the pictures:", ""]
        lines += [f"- {escape(said)}: {escape(count)}" for said, count in consent.items()]
    if "scoft.picture_sha256" in metadata:
        contact = metadata.get("scoft.contact")
        whom = f"write to {escape(contact)}" if contact else "ask those who handed this LoRA on"
        lines += ["", "## To take a picture back", ""]
        lines.append(
            f"If a picture of yours is among them and should not be, {whom}, and name the picture "
            "or its sha256. The header lists the sha256 of every picture: `scoft takedown SHA256` "
            "finds the files that were made from it. A LoRA cannot forget a picture; it is deleted "
            "and trained anew without it."
        )
    return lines


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
