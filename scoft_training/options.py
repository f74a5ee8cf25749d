"""What an option is: one setting with its default, range and help text, as both doors see it.

The options themselves are in `config` and `survey_config`: fields of frozen dataclasses.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from .errors import ConfigError, unknown_name

__all__ = ["Option", "option", "options", "validate"]


@dataclass(frozen=True)
class Option:
    """One setting as the doors see it.

    `minimum` and `maximum` are inclusive; `choices` is empty for numbers and free text. A value of
    `optional` options may be None, written `none` on the command line.
    """

    name: str
    kind: type[Any]
    default: Any
    help: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    optional: bool
    advanced: bool
    changes_weights: bool

    @property
    def flag(self) -> str:
        """The command-line spelling, say `--learning-rate`."""
        return "--" + self.name.replace("_", "-")


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    advanced: bool = False,
    changes_weights: bool = True,
) -> Any:
    """Return a dataclass field that is an option; see `Option`."""
    return field(
        default=default,
        metadata={
            "help": help,
            "minimum": minimum,
            "maximum": maximum,
            "choices": choices,
            "advanced": advanced,
            "changes_weights": changes_weights,
        },
    )


def options(config_class: type[Any]) -> Iterator[Option]:
    """Yield the options of a dataclass, in the order that doors show."""
    hints = get_type_hints(config_class)
    for entry in dataclasses.fields(config_class):
        kinds = [
            kind for kind in getattr(hints[entry.name], "__args__", ()) if kind is not type(None)
        ]
        yield Option(
            name=entry.name,
            kind=kinds[0] if kinds else hints[entry.name],
            default=entry.default,
            optional=bool(kinds),
            **entry.metadata,
        )


def validate(config: Any) -> None:
    """Check every value against its range, and against the values it has to go with.

    What goes with what, a dataclass tells by a method `check`, which raises ConfigError.

    Raises:
        ConfigError: naming the option, its value and what is accepted.
    """
    for one in options(type(config)):
        _validate_value(one, getattr(config, one.name))
    if check := getattr(config, "check", None):
        check()


def _validate_value(option: Option, value: Any) -> None:
    where = f"`{option.name}`"
    if value is None and option.optional:
        return
    accepted = (int, float) if option.kind is float else (option.kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and option.kind is not bool):
        raise ConfigError(f"{where} must be of type {option.kind.__name__} but got {value!r}.")
    if option.choices and value not in option.choices:
        raise ConfigError(unknown_name(f"value for {where}", str(value), option.choices))
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where} must be a finite number but got {value}.")
    if option.name.endswith("_weight") and value < 0:
        raise ConfigError(
            f"{where} must not be negative but got {value}: a negative weight turns a loss round "
            "and would train the model towards the pictures it should avoid. Use 0 to switch it "
            "off."
        )
    low, high = option.minimum, option.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        raise ConfigError(f"{where} must be between {low} and {high} but got {value}.")
