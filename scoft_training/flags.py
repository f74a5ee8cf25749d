"""Command-line flags made from `config`'s dataclasses, and the configs made from flags."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Container
from typing import Any, TypeVar

from .config import preset_values
from .options import Option, options, validate

__all__ = ["add_flags", "config_from_flags", "options_table"]

_Config = TypeVar("_Config")


def add_flags(
    parser: argparse._ActionsContainer, config_class: type, *, only: Container[str] | None = None
) -> None:
    """Add one flag per option of `config_class` (or those named), with help, range and default."""
    for option in options(config_class):
        if only is not None and option.name not in only:
            continue
        # Only what the user wrote enters the namespace, so that presets fill in the rest.
        keywords: dict[str, Any] = {"default": argparse.SUPPRESS, "help": _help(option)}
        if option.kind is bool:
            keywords["action"] = argparse.BooleanOptionalAction
        else:
            keywords["type"] = _parser_of(option)
            keywords["metavar"] = "|".join(option.choices) or option.kind.__name__.upper()
        parser.add_argument(option.flag, **keywords)


def config_from_flags(config_class: type[_Config], arguments: argparse.Namespace) -> _Config:
    """Return a config: defaults, then the preset's values, then the flags that were given.

    Raises:
        ConfigError: a value is out of range or unknown.
    """
    given = {
        option.name: getattr(arguments, option.name)
        for option in options(config_class)
        if hasattr(arguments, option.name)
    }
    names = {field.name for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    preset = preset_values(given.get("preset", "paper")) if "preset" in names else {}
    config = config_class(**{**preset, **given})
    validate(config)
    return config


def _parser_of(option: Option) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if option.optional and text.lower() == "none":
            return None
        return option.kind(text)

    # argparse names the function in its message: "invalid int value: 'x'".
    parse.__name__ = option.kind.__name__
    return parse


def _help(option: Option) -> str:
    limits = ""
    if option.minimum is not None and option.maximum is not None:
        low, high = option.kind(option.minimum), option.kind(option.maximum)
        limits = f", {low} to {high}"
    # argparse reads percent signs as formats.
    return f"{option.help} (default: {_default(option)}{limits})".replace("%", "%%")


def _default(option: Option) -> str:
    if option.kind is bool:
        return "on" if option.default else "off"
    return {None: "none", "": "empty"}.get(option.default, str(option.default))


def options_table(config_class: type) -> str:
    """Return the options of `config_class` as a Markdown table, for the README."""
    lines = ["| flag | what it does | default |", "| --- | --- | --- |"]
    for option in options(config_class):
        accepted = " ".join(f"`{choice}`" for choice in option.choices)
        help_text = f"{option.help} One of {accepted}." if accepted else option.help
        lines.append(f"| `{option.flag}` | {help_text} | {_default(option)} |")
    return "\n".join(lines)
