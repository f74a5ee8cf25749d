"""A survey's key kept from one making to the next, with all its ids, or refused.

Ids are functions of the key's secret and of what they stand for, so the same pages have the same
ids for ever, and whoever lacks the secret learns nothing from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ResumeError, SurveyError
from .files import file_sha256
from .survey_key import (
    KEY_NAME,
    SurveyKey,
    SurveyPage,
    keyed_id,
    new_secret,
    read_key,
)
from .survey_pages import ChosenPages

__all__ = ["kept_key"]


def kept_key(
    out: Path, chosen: ChosenPages, allow_ties: bool, settings: Mapping[str, Any]
) -> tuple[SurveyKey, bool]:
    """Return a survey's key, its pages in the order of the chosen ones, and whether to write it.

    Args:
        out: the survey's folder; where it has no key, one is made.
        chosen: what is asked about.
        allow_ties: whether pictures may share a rank.
        settings: what the key tells of how the pages were made; may differ from one making to the
            next.

    Raises:
        ResumeError: the folder's key is of other pages, models, pictures or another rule for ties.
        SurveyError: it cannot be read, or was altered.
    """
    path = out / KEY_NAME
    kept = read_key(path) if path.exists() else None
    key = _key(chosen, allow_ties, settings, kept.secret if kept else new_secret())
    if kept is not None:
        _require_same(path, kept, key)
    return key, kept is None or kept.settings != key.settings


def _key(
    chosen: ChosenPages, allow_ties: bool, settings: Mapping[str, Any], secret: str
) -> SurveyKey:
    taken: set[str] = set()

    def free_id(*meaning: str | int) -> str:
        # Of tens of thousands of pictures two may fall on the same digits.
        attempt = 0
        while (one := keyed_id(secret, *meaning, attempt)) in taken:
            attempt += 1
        taken.add(one)
        return one

    pages = []
    for page in chosen.pages:
        # The bytes count, too: a picture drawn anew is another one, and needs other answers.
        what = (page.culture, page.prompt, page.seed)
        pictures = {
            free_id("picture", *what, model, file_sha256(picture.path)): model
            for model, picture in page.pictures.items()
        }
        pages.append(
            SurveyPage(
                page=free_id("page", *what),
                culture=page.culture,
                prompt=page.prompt,
                seed=page.seed,
                pictures=pictures,
            )
        )
    return SurveyKey(
        survey=keyed_id(secret, "survey", digits=16),
        secret=secret,
        allow_ties=allow_ties,
        models=chosen.models,
        pages=tuple(pages),
        settings=settings,
    )


def _require_same(path: Path, kept: SurveyKey, key: SurveyKey) -> None:
    """Refuse a folder whose pages were others: answers to them may be out."""
    changed = []
    if set(kept.models) != set(key.models):
        changed.append(
            f"the models were {', '.join(kept.models)}, now they are {', '.join(key.models)}"
        )
    elif {one.page for one in kept.pages} != {one.page for one in key.pages}:
        gone = len({one.page for one in kept.pages} - {one.page for one in key.pages})
        new = len({one.page for one in key.pages} - {one.page for one in kept.pages})
        changed.append(f"{gone} of {len(kept.pages)} pages would be gone and {new} be new")
    elif _pictures(kept) != _pictures(key):
        changed.append("pictures were drawn anew since")
    if kept.allow_ties != key.allow_ties:
        changed.append(
            f"`allow_ties` was {str(kept.allow_ties).lower()}, now it is "
            f"{str(key.allow_ties).lower()}"
        )
    if changed:
        raise ResumeError(
            f"{path}: {'; '.join(changed)}. Answers to this survey may be out already, so it stays "
            "as it is. Choose another folder (on the canvas another `survey_name`); or, if nothing "
            "was handed out yet, delete this one."
        )
    _require_unaltered(path, kept, key)


def _require_unaltered(path: Path, kept: SurveyKey, key: SurveyKey) -> None:
    """Refuse a key that has every id, but not for what people see under it."""
    made = {one.page: one for one in key.pages}
    altered = [made[one.page] for one in kept.pages if one != made[one.page]]
    if altered or kept.survey != key.survey:
        named = [f" at the page {one.page} ({one.prompt[:60]!r})" for one in altered[:1]]
        raise SurveyError(
            f"{path}: was altered{''.join(named)}, so that answers would be read wrongly by it. "
            "Bring an intact copy."
        )


def _pictures(key: SurveyKey) -> set[str]:
    return {one for page in key.pages for one in page.pictures}
