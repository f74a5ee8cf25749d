"""Widgets made from `config`'s dataclasses, and the configs made from widgets.

A widget's default, range and tooltip are the option's. A seed is called `run_seed`: the front end
adds a control that randomizes it to everything named `seed`, and a run is known by its seed.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from comfy_api.latest import io

from ..scoft_training.options import Option, options

__all__ = ["allow_download", "config_from_widgets", "shown_values", "widgets"]

_Config = TypeVar("_Config")

_LARGEST = 2**53 - 1
"""The front end's numbers are doubles."""

_NONE = -1.0
"""What a number's widget shows where the option is None."""


def widgets(
    config_class: type[Any],
    *,
    choices: Mapping[str, tuple[str, ...]] | None = None,
    only: Collection[str] | None = None,
) -> list[Any]:
    """Return a widget for each option of a dataclass, in its order.

    Args:
        config_class: one of `config`'s.
        choices: of options whose values only a registry knows, by name.
        only: names of the options; None takes all.
    """
    return [
        _widget(option, (choices or {}).get(option.name, option.choices))
        for option in options(config_class)
        if only is None or option.name in only
    ]


def allow_download(what: str) -> Any:
    """Return the widget of that name.

    Args:
        what: may be fetched, as the subject of a sentence.
    """
    return io.Boolean.Input(
        "allow_download",
        default=True,
        tooltip=f"Whether {what} may be fetched where it is not found.",
        **_advanced(),
    )


def config_from_widgets(config_class: type[_Config], values: Mapping[str, Any]) -> _Config:
    """Return the config of the widgets' values; options without a widget keep their default."""
    found = {}
    for option in options(config_class):
        name = _shown_name(option)
        if name not in values:
            continue
        value = values[name]
        found[option.name] = None if option.optional and value == _NONE else value
    return config_class(**found)


def shown_values(config_class: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return options' values as their widgets show them, by the widgets' names."""
    return {
        _shown_name(option): _NONE if values[option.name] is None else values[option.name]
        for option in options(config_class)
        if option.name in values
    }


def _shown_name(option: Option) -> str:
    return "run_seed" if option.name == "seed" else option.name


def _widget(option: Option, choices: tuple[str, ...]) -> Any:
    shared: dict[str, Any] = {"tooltip": option.help, "default": option.default}
    if option.advanced:
        shared |= _advanced()
    if option.optional:
        shared["tooltip"] += " -1 stands for none."
        shared["default"] = _NONE if option.default is None else option.default
    name = _shown_name(option)
    if choices:
        return io.Combo.Input(name, options=list(choices), **shared)
    if option.kind is bool:
        return io.Boolean.Input(name, **shared)
    if option.kind is str:
        return io.String.Input(name, multiline=option.name.endswith("prompts"), **shared)
    low = _NONE if option.optional else option.minimum
    if option.kind is int:
        high = min(int(option.maximum), _LARGEST)
        return io.Int.Input(name, min=int(low), max=high, control_after_generate=False, **shared)
    return io.Float.Input(name, min=low, max=option.maximum, step=_step(option), **shared)


def _step(option: Option) -> float:
    """How far one click goes; the host also rounds to it, so it is finer than the default."""
    return 1e-6 if option.name == "learning_rate" else 0.001


def _advanced() -> dict[str, Any]:
    """Ask for the fold of rare widgets in the way that this host understands, if it has one."""
    known = inspect.signature(io.Int.Input.__init__).parameters
    if "advanced" in known:
        return {"advanced": True}
    return {"extra_dict": {"advanced": True}} if "extra_dict" in known else {}
