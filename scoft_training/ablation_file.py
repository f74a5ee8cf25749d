"""The file of an ablation: TOML -> `ablation_config.Ablation`, every value checked.

Sections take the options of `config` by their names, and are checked as flags and widgets are.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .ablation_config import BASE_ARM, Ablation, Arm, Culture, DrawnNegatives, checked_seeds
from .config import (
    GenerateConfig,
    GridConfig,
    MemoryConfig,
    NegativesConfig,
    ScoreConfig,
    TrainConfig,
    preset_values,
)
from .errors import ConfigError, unknown_name
from .options import options, validate

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["read_ablation"]

_NAME = re.compile(r"\w[\w.+-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_Config = TypeVar("_Config")

_ABOVE = ("folder", "base", "device", "allow_download", "seeds", "general", "compare")
"""Keys that stand above the first section."""

_OPTIONS: Mapping[str, type] = {
    "train": TrainConfig,
    "memory": MemoryConfig,
    "negatives": NegativesConfig,
    "grid": GridConfig,
    "draw": GenerateConfig,
    "score": ScoreConfig,
}
"""Sections that take options."""

_TOP = (*_ABOVE, "cultures", "arms", *_OPTIONS)
_CULTURE = ("name", "dataset", "work", "negatives", "general")
_NEGATIVES_FILES = ("controlnet", "depth_weights", "filter_weights")


def read_ablation(path: Path, *, folder: Path | None = None) -> Ablation:
    """Read and check the file of an ablation.

    Args:
        path: a TOML file; paths in it are relative to its folder.
        folder: takes the place of the file's `folder`.

    Raises:
        ConfigError: it cannot be read, or asks for what does not exist; the message names section
            and key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Name a TOML file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 ({error}). Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path}: is no valid TOML ({error}). Mend that line: text and names of files stand in "
            "quotes, in single ones if they hold a backslash; true and false are written small."
        ) from error
    return _Reader(path, values).ablation(folder)


class _Reader:
    """Turns one file's values into an `Ablation`, naming file, section and key in every refusal."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self._path = path
        self._values = values

    def ablation(self, folder: Path | None) -> Ablation:
        self._require_known("", self._values, _TOP)
        shared = self._section("train")
        # One by one, so that a fault is told of [train] and not of the arms that inherit it.
        for name, value in shared.items():
            self._config("train", TrainConfig, {name: value})
        arms = self._arms(shared)
        if not any(arm.train for arm in arms):
            raise self._error("", "no arm trains a LoRA, so nothing is compared. Add [arms.ldm].")
        self._require_effect(shared, arms)
        draw = self._section("draw")
        if "resolution" in shared:
            draw = {"resolution": shared["resolution"], **draw}
        base = self._text("", self._values, "base")
        if base is None:
            raise self._error("", "`base` is missing. Name the model that the arms begin from.")
        return Ablation(
            folder=folder or self._folder(),
            base=self._local(base),
            device=self._text("", self._values, "device") or "auto",
            allow_download=self._flag("", self._values, "allow_download"),
            seeds=self._seeds(),
            cultures=self._cultures(),
            arms=arms,
            compare=self._compare([arm.name for arm in arms]),
            memory=self._config("memory", MemoryConfig, self._section("memory")),
            grid=self._config("grid", GridConfig, self._section("grid")),
            draw=self._config("draw", GenerateConfig, draw),
            score=self._score([arm.name for arm in arms]),
            negatives=self._negatives(shared),
        )

    def _folder(self) -> Path:
        name = self._text("", self._values, "folder")
        if name is None:
            raise self._error("", "`folder` is missing. Say where results go, or give --folder.")
        return self._beside(name)

    def _seeds(self) -> tuple[int, ...]:
        seeds = self._values.get("seeds", [0, 1, 2, 3, 4])
        if not isinstance(seeds, list):
            raise self._error("", f"`seeds` are written in brackets, say [0, 1, 2]; got {seeds!r}.")
        return checked_seeds(seeds, where=f"{self._path}: `seeds`")

    def _cultures(self) -> tuple[Culture, ...]:
        entries = self._values.get("cultures", [])
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise self._error("", "`cultures` must be written as [[cultures]], once for each set.")
        if not entries:
            raise self._error("", "there is no [[cultures]]. Add one with `name` and `dataset`.")
        cultures = tuple(self._culture(entry) for entry in entries)
        self._require_different("[[cultures]]", [culture.name for culture in cultures])
        return cultures

    def _culture(self, entry: Mapping[str, Any]) -> Culture:
        where = "[[cultures]]"
        self._require_known(where, entry, _CULTURE)
        texts = {key: self._text(where, entry, key) for key in _CULTURE}
        name, dataset, work = texts["name"], texts["dataset"], texts["work"]
        if name is None or dataset is None:
            raise self._error(where, "`name` or `dataset` is missing. Every set needs both.")
        self._require_name(where, name)
        general = texts["general"] or self._text("", self._values, "general")
        return Culture(
            name=name,
            dataset=self._beside(dataset),
            work=self._beside(work) if work else None,
            negatives=texts["negatives"],
            general=self._beside(general) if general else None,
        )

    def _arms(self, shared: Mapping[str, Any]) -> tuple[Arm, ...]:
        entries = self._values.get("arms", {})
        if not isinstance(entries, dict):
            raise self._error("", "`arms` must be sections, one an arm: [arms.ldm], [arms.m] ...")
        arms = []
        for name, entry in entries.items():
            where = f"[arms.{name}]"
            self._require_name("[arms]", name)
            if not isinstance(entry, dict):
                raise self._error("[arms]", f"`{name}` must be a section of its own: {where}.")
            if self._flag(where, entry, "lora"):
                arms.append(Arm(name, self._train(where, shared, entry)))
            elif len(entry) > 1:
                raise self._error(
                    where, "has `lora = false` and options of training. Take one of them away."
                )
            else:
                arms.append(Arm(name, None))
        self._require_different("[arms]", [arm.name for arm in arms])
        bases = [arm for arm in arms if arm.train is None]
        if len(bases) > 1:
            names = " and ".join(f"[arms.{arm.name}]" for arm in bases)
            raise self._error("", f"{names} are the same model, the base. Keep one of them.")
        if not bases and any(arm.name == BASE_ARM for arm in arms):
            raise self._error(
                f"[arms.{BASE_ARM}]", "is the name of the base without a LoRA. Choose another one."
            )
        # The base is always measured: what it draws is what the others are compared with.
        return (*(bases or [Arm(BASE_ARM, None)]), *(arm for arm in arms if arm.train is not None))

    def _train(self, where: str, shared: Mapping[str, Any], own: Mapping[str, Any]) -> TrainConfig:
        """Return an arm's options: [train] with its preset, then the arm's preset, then its own."""
        own = {name: value for name, value in own.items() if name != "lora"}
        for section, given in (("[train]", shared), (where, own)):
            if "seed" in given:
                raise self._error(section, "`seed` is each trial's own. Write `seeds` instead.")
        values = {
            **self._preset("[train]", shared.get("preset", "paper")),
            **shared,
            **(self._preset(where, own["preset"]) if "preset" in own else {}),
            **own,
        }
        return self._config(where, TrainConfig, values)

    def _preset(self, where: str, name: Any) -> dict[str, Any]:
        try:
            return preset_values(str(name))
        except ConfigError as error:
            raise self._error(where, str(error)) from error

    def _require_effect(self, shared: Mapping[str, Any], arms: Sequence[Arm]) -> None:
        """Refuse an option of [train] that no arm keeps: it would do nothing."""
        trained = [arm.train for arm in arms if arm.train is not None]
        for name, value in shared.items():
            if not any(_same(getattr(config, name), value) for config in trained):
                raise self._error(
                    "[train]",
                    f"`{name}` has no effect: every arm, or its preset, sets it otherwise. Take it "
                    "away, or set it in the arms that it is for.",
                )

    def _compare(self, arms: Sequence[str]) -> tuple[tuple[str, str], ...]:
        pairs = self._values.get("compare")
        if pairs is None:
            return tuple((later, earlier) for earlier, later in itertools.pairwise(arms))
        if not isinstance(pairs, list) or not all(
            isinstance(pair, list) and len(pair) == 2 for pair in pairs
        ):
            raise self._error("", '`compare` must be pairs of arms, say [["mpc", "mp"]].')
        for first, second in pairs:
            for name in (first, second):
                if name not in arms:
                    raise self._error("`compare`", unknown_name("arm", str(name), arms))
            if first == second:
                raise self._error("`compare`", f"{first!r} is compared with itself. Name another.")
        return tuple((first, second) for first, second in pairs)

    def _score(self, arms: Sequence[str]) -> ScoreConfig:
        score = self._config("score", ScoreConfig, self._section("score"))
        # In the grid the base has one name, whatever the file calls it.
        if score.baseline == arms[0]:
            return dataclasses.replace(score, baseline=BASE_ARM)
        if score.baseline not in (BASE_ARM, *arms):
            raise self._error("[score]", unknown_name("`baseline`", score.baseline, arms))
        return score

    def _negatives(self, shared: Mapping[str, Any]) -> DrawnNegatives | None:
        where, section = "[negatives]", self._section("negatives")
        if not section:
            return None
        files = {key: self._text(where, section, key) for key in _NEGATIVES_FILES}
        values = {key: value for key, value in section.items() if key not in _NEGATIVES_FILES}
        for name in ("resolution", "crop"):
            if name in shared:
                values = {name: shared[name], **values}
        if files["controlnet"] is None:
            raise self._error(
                where, "`controlnet` is missing. Name a depth ControlNet to draw them through."
            )
        depth, weights = files["depth_weights"], files["filter_weights"]
        return DrawnNegatives(
            controlnet=self._local(files["controlnet"]),
            config=self._config(where, NegativesConfig, values, also=_NEGATIVES_FILES),
            depth=self._local(depth) if depth else None,
            filter_weights=self._beside(weights) if weights else None,
        )

    def _config(
        self,
        where: str,
        config_class: type[_Config],
        values: Mapping[str, Any],
        *,
        also: Sequence[str] = (),
    ) -> _Config:
        """Return a checked config of `values`; what TOML cannot write is translated."""
        where = where if where.startswith("[") else f"[{where}]"
        known = {option.name: option for option in options(config_class)}
        self._require_known(where, values, [*known, *also])
        given = dict(values)
        for name, value in values.items():
            if known[name].optional and value == "none":
                given[name] = None
            elif known[name].kind is float and type(value) is int:
                given[name] = float(value)
        config = config_class(**given)
        try:
            validate(config)
        except ConfigError as error:
            raise self._error(where, str(error)) from error
        return config

    def _section(self, name: str) -> dict[str, Any]:
        section = self._values.get(name, {})
        if not isinstance(section, dict):
            raise self._error("", f"`{name}` must be a section: [{name}].")
        return section

    def _text(self, where: str, values: Mapping[str, Any], key: str) -> str | None:
        value = values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise self._error(where, f"`{key}` must be text in quotes but got {value!r}.")
        if _CONTROL.search(value):
            raise self._error(
                where,
                f"`{key}` holds a tab, a new line or the like: {value!r}. In double quotes a "
                "backslash begins one; write / or use single quotes.",
            )
        return value

    def _flag(self, where: str, values: Mapping[str, Any], key: str) -> bool:
        value = values.get(key, True)
        if not isinstance(value, bool):
            raise self._error(where, f"`{key}` must be true or false but got {value!r}.")
        return value

    def _beside(self, name: str) -> Path:
        return self._path.parent / Path(name).expanduser()

    def _local(self, name: str) -> str:
        """A name of a file or folder beside the TOML file; any other is a hub id or registered."""
        beside = self._beside(name)
        return str(beside) if beside.exists() else name

    def _require_known(self, where: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
        for name, value in given.items():
            if name in known:
                continue
            if where.startswith("[arms.") and isinstance(value, dict):
                quoted = f'[arms."{where[len("[arms.") : -1]}.{name}"]'
                raise self._error(where, f"a name with a dot stands in quotes: {quoted}.")
            if where and name in _ABOVE:
                raise self._error(where, f"`{name}` stands at the top, above the first section.")
            homes = [
                f"[{section}]"
                for section, config_class in _OPTIONS.items()
                if any(option.name == name for option in options(config_class))
            ]
            if homes:
                raise self._error(
                    where or "the top", f"`{name}` is an option of {', '.join(homes)}, not here."
                )
            raise self._error(where, unknown_name("key", name, known))

    def _require_name(self, where: str, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise self._error(
                where,
                f"{name!r} is no name for files and tables. Use letters, digits and - _ . + only, "
                "a letter or digit first.",
            )

    def _require_different(self, where: str, names: Sequence[str]) -> None:
        # Some disks take large and small letters for the same.
        lower = [name.casefold() for name in names]
        if twice := [name for name in names if lower.count(name.casefold()) > 1]:
            raise self._error(where, f"{twice[0]!r} is there twice. Give each its own name.")

    def _error(self, where: str, message: str) -> ConfigError:
        return ConfigError(f"{self._path}{f', {where}' if where else ''}: {message}")


def _same(value: Any, given: Any) -> bool:
    return bool(value == given) or (value is None and given == "none")
