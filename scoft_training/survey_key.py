"""The organiser's key of a survey: which page is which prompt, which picture is which model's.

    SURVEY/survey-key.json
      {"format": 1, "survey": 16 hex, "secret": 32 hex, "allow_ties": bool, "models": [names],
       "pages": [{"page": 8 hex, "culture", "prompt", "seed", "pictures": {8 hex: model}}],
       "settings": {how the pages were chosen and made}}

Whoever has it can tell the models apart, so it is never handed out. What is handed out names pages
and pictures by ids alone, which say nothing without the secret. Making the pages is not done here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SurveyError
from .files import write_json

__all__ = [
    "ITEMS",
    "KEY_NAME",
    "SurveyKey",
    "SurveyPage",
    "keyed_id",
    "new_secret",
    "read_key",
    "write_key",
]

ITEMS = ("alignment", "representation", "stereotypes", "offensiveness")
"""What pictures are ranked by, in the order of the page; rank 1 is best, or least of the evil."""

KEY_NAME = "survey-key.json"

_FORMAT = 1
_SURVEY_DIGITS, _SECRET_DIGITS, _ID_DIGITS = 16, 32, 8


@dataclass(frozen=True)
class SurveyPage:
    """One page: a prompt, and one picture of every model from the same seed.

    Attributes:
        page: id, 8 hex digits.
        culture: whose people rank it.
        prompt: what the pictures were drawn for.
        seed: of their noise.
        pictures: id, 8 hex digits -> model.
    """

    page: str
    culture: str
    prompt: str
    seed: int
    pictures: Mapping[str, str]


@dataclass(frozen=True)
class SurveyKey:
    """What the organiser knows of a survey.

    Attributes:
        survey: id, 16 hex digits.
        secret: 32 hex digits, from which all ids are made.
        allow_ties: whether pictures may share a rank.
        models: names, in the grid's order.
        pages: of all cultures, in the grids' order.
        settings: how the pages were chosen and made; told, never needed.
    """

    survey: str
    secret: str
    allow_ties: bool
    models: tuple[str, ...]
    pages: tuple[SurveyPage, ...]
    settings: Mapping[str, Any]


def new_secret() -> str:
    """Return 32 hex digits that nobody can guess."""
    return secrets.token_hex(_SECRET_DIGITS // 2)


def keyed_id(secret: str, *meaning: str | int, digits: int = _ID_DIGITS) -> str:
    """Return an id that is a function of secret and meaning, and tells nothing without the secret.

    Args:
        secret: hex digits, see `new_secret`.
        meaning: what it is the id of.
        digits: how many hex digits, up to 64.
    """
    text = json.dumps(meaning, ensure_ascii=False)
    digest = hmac.new(bytes.fromhex(secret), text.encode("utf-8"), hashlib.sha256)
    return digest.hexdigest()[:digits]


def write_key(path: Path, key: SurveyKey) -> None:
    """Write a key, aside and renamed.

    Raises:
        OutputError: it cannot be written.
    """
    write_json(path, {"format": _FORMAT, **dataclasses.asdict(key)})


def read_key(path: Path) -> SurveyKey:
    """Read a key, from its file or the survey's folder.

    Raises:
        SurveyError: there is none, or it is damaged or something else.
    """
    path = Path(path)
    if os.path.isdir(path):
        path = path / KEY_NAME
    if not os.path.isfile(path):
        raise SurveyError(
            f"{path}: there is no such file. Name the {KEY_NAME} that `scoft survey make` wrote "
            "beside hand-out/."
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise SurveyError(
            f"{path}: cannot be read as a survey's key ({error}). Bring an intact copy of the "
            f"{KEY_NAME} that `scoft survey make` wrote."
        ) from error
    if not isinstance(values, dict) or "secret" not in values:
        raise SurveyError(
            f"{path}: is no survey's key. Name the {KEY_NAME} that `scoft survey make` wrote "
            "beside hand-out/."
        )
    if values.get("format") != _FORMAT:
        raise SurveyError(
            f"{path}: is of format {values.get('format')!r}, and this version reads {_FORMAT}. Use "
            "the version that made it."
        )
    try:
        return _key(values)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise SurveyError(
            f"{path}: is damaged ({said}), so answers cannot be told apart by it. Bring an intact "
            "copy."
        ) from error


def _key(values: Mapping[str, Any]) -> SurveyKey:
    """Return the key of what its file holds; any fault is a ValueError or its like."""
    models = tuple(_text(one, "a model's name") for one in values["models"])
    if len(models) < 2 or len(set(models)) < len(models):
        raise ValueError("`models` must be two or more different names")
    pages = tuple(_page(one, models) for one in values["pages"])
    if not pages:
        raise ValueError("`pages` are none")
    for ids in ([one.page for one in pages], [each for one in pages for each in one.pictures]):
        if len(set(ids)) < len(ids):
            raise ValueError("an id stands for two things")
    allow_ties, settings = values["allow_ties"], values["settings"]
    if not isinstance(allow_ties, bool) or not isinstance(settings, dict):
        raise ValueError("`allow_ties` must be true or false, `settings` an object")
    return SurveyKey(
        survey=_hex(values["survey"], _SURVEY_DIGITS),
        secret=_hex(values["secret"], _SECRET_DIGITS),
        allow_ties=allow_ties,
        models=models,
        pages=pages,
        settings=settings,
    )


def _page(values: Mapping[str, Any], models: tuple[str, ...]) -> SurveyPage:
    seed, pictures = values["seed"], dict(values["pictures"])
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ValueError(f"a seed is {seed!r}")
    if sorted(map(str, pictures.values())) != sorted(models):
        raise ValueError("a page does not hold one picture of each model")
    return SurveyPage(
        page=_hex(values["page"], _ID_DIGITS),
        culture=_text(values["culture"], "a culture"),
        prompt=_text(values["prompt"], "a prompt"),
        seed=seed,
        pictures={_hex(one, _ID_DIGITS): model for one, model in pictures.items()},
    )


def _hex(value: Any, digits: int) -> str:
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
        raise ValueError(f"{value!r} stands where {digits} hex digits belong")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} is {value!r}")
    return value
