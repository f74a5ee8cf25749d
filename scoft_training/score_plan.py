"""What scoring does with each network, and which questions a grid cannot answer.

Nothing is loaded or measured here; `scoring` goes through what is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .config import ScoreConfig
from .errors import ConfigError, unknown_name
from .metric_networks import metric_network_names, text_metric_network_names
from .options import validate
from .picture_folders import PictureFile
from .score_features import Vectors
from .score_kid import kid_values
from .score_metrics import (
    captions_with_pictures,
    clip_values,
    diversity_values,
    network_title,
    similarity_values,
)
from .score_sets import listed
from .score_values import Found, Setting

__all__ = ["Use", "lacks", "require_names", "uses"]

_NONE = ("", "none")


@dataclass(frozen=True)
class Use:
    """What a network is for: the pictures it needs, and what is made of their vectors."""

    title: str
    files: Callable[[], Sequence[PictureFile]]
    measure: Callable[[Any, Vectors], Found]


def uses(setting: Setting) -> dict[str, list[Use]]:
    """Return what each network is for, in the order in which networks are to be loaded."""
    config = setting.config
    wanted = [
        (
            config.kid_network,
            Use("KID", partial(_kid_files, setting), partial(kid_values, setting)),
        ),
        (
            config.clip_network,
            Use(
                "CLIP Score",
                lambda: _drawings(setting, "test") or _drawings(setting, "train"),
                partial(clip_values, setting),
            ),
        ),
    ]
    for place, name in enumerate(_similarity_networks(config)):
        first = place == 0
        use = Use(
            f"{network_title(name)} likeness",
            partial(_likeness_files, setting, every_training_picture=first),
            partial(similarity_values, setting, with_nearest=first),
        )
        wanted.append((name, use))
    use = Use(
        "DIV and Vendi score",
        partial(_diversity_files, setting),
        partial(diversity_values, setting),
    )
    wanted.append((config.diversity_network, use))
    found: dict[str, list[Use]] = {}
    for name, use in wanted:
        if name not in _NONE:
            found.setdefault(name, []).append(use)
    return found


def lacks(setting: Setting, dataset: Path | None) -> Iterator[str]:
    """Yield what cannot be told, the three questions above all, and what to do about it."""
    grid, compared = setting.grid, setting.compared
    names, baseline = [model.name for model in setting.models], setting.config.baseline
    if len(names) > 1 and baseline not in names:
        begun = baseline in [model.name for model in grid.models]
        why = "is not drawn completely" if begun else "is none of this grid's models"
        yield (
            f"`baseline`: {baseline!r} {why}, so differences to it are not measured. Name another "
            "one, or draw it."
        )
    by_role = {role: setting.drawn(role) for role in ("train", "test", "neutral")}
    if by_role["test"] is None:
        yield (
            "Whether the models know the culture is not measured: the grid holds no pictures for "
            "held-out captions or prompts of your own. Draw some into it."
        )
    elif not compared.reference:
        yield (
            "Whether the models know the culture is not measured: there are no held-out pictures "
            "to compare with. Pass a dataset with a test split, or a folder of the culture's "
            "pictures as reference."
        )
    if by_role["neutral"] is None:
        yield (
            "Whether the models forgot the rest is not measured: the grid holds no pictures for "
            "neutral prompts. Draw some into it."
        )
    elif not compared.general:
        yield (
            "Whether the models forgot the rest is not measured: there is no folder of general "
            "pictures, and the base drew none for the neutral prompts. Pass a folder, or draw the "
            "grid with its base."
        )
    if by_role["train"] is None:
        yield (
            "Whether the models copy is not measured: the grid holds no pictures for training "
            "captions. Draw some into it."
        )
        return
    there = captions_with_pictures(setting)
    lost = [prompt for prompt in by_role["train"].prompts if not there(prompt)]
    if dataset is None:
        yield (
            "Whether the models copy is not measured: their training pictures are not known. Pass "
            "the dataset that the grid was drawn for."
        )
    elif len(lost) == len(by_role["train"].prompts):
        yield (
            f"Whether the models copy is not measured: none of the {len(lost)} training captions "
            "has its picture in the dataset's rows. Pass the dataset that the grid was drawn for."
        )
    elif lost:
        yield (
            f"{len(lost)} of {len(by_role['train'].prompts)} training captions have no picture in "
            "the dataset's rows (it was left out, replaced, or is another set's), and likeness is "
            f"measured without them; the first is {grid.prompts[lost[0]].text[:60]!r}."
        )


def _similarity_networks(config: ScoreConfig) -> list[str]:
    names = [name.strip() for name in config.similarity_networks.split(",")]
    return list(dict.fromkeys(name for name in names if name not in _NONE))


def require_names(config: ScoreConfig) -> None:
    """Check the options, names of networks among them, before anything is read."""
    validate(config)
    for option, names in (
        ("kid_network", [config.kid_network]),
        ("clip_network", [config.clip_network]),
        ("similarity_networks", _similarity_networks(config)),
        ("diversity_network", [config.diversity_network]),
    ):
        for name in names:
            if name not in (*_NONE, *metric_network_names()):
                known = (*metric_network_names(), "none")
                raise ConfigError(f"`{option}`: {unknown_name('metric network', name, known)}")
    if config.clip_network not in (*_NONE, *text_metric_network_names()):
        raise ConfigError(
            f"`clip_network` {config.clip_network!r} reads no texts, which CLIP Score needs. Use "
            f"one of {', '.join((*text_metric_network_names(), 'none'))}."
        )


def _drawings(setting: Setting, role: str, **which: Any) -> list[PictureFile]:
    pictures = setting.drawn(role, **which)
    by_model = pictures.pictures.values() if pictures is not None else ()
    return [file for drawings in by_model for file in listed(drawings)]


def _kid_files(setting: Setting) -> list[PictureFile]:
    files: list[PictureFile] = []
    for role, others in (
        ("test", setting.compared.reference),
        ("neutral", setting.compared.general),
    ):
        drawings = _drawings(setting, role)
        files += [*drawings, *others] if drawings and others else []
    return files


def _likeness_files(setting: Setting, *, every_training_picture: bool) -> list[PictureFile]:
    drawings = _drawings(setting, "train", only=captions_with_pictures(setting))
    captions = {prompt.picture for prompt in setting.grid.prompts if prompt.role == "train"}
    training = [
        file
        for file in setting.compared.training
        if every_training_picture or file.sha256 in captions
    ]
    return [*drawings, *training] if drawings else []


def _diversity_files(setting: Setting) -> list[PictureFile]:
    return [
        *_drawings(setting, "train", least=2),
        *_drawings(setting, "test", least=2),
        *_drawings(setting, "test"),
    ]
