"""The words of a survey's page: six languages that come along, others from a file of one's own.

Each language is one JSON file in `survey_texts/`. The English one says which keys there are and
which {placeholders} a text has to keep; all others are held against it, the user's own, too.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .errors import SurveyError, unknown_name

__all__ = ["LANGUAGES", "SurveyTexts", "filled", "language_file", "survey_texts"]

LANGUAGES = ("en", "ko", "zh", "es", "hi", "ar")
"""English, Korean, Chinese (simplified), Spanish, Hindi, Arabic."""

_FOLDER = Path(__file__).with_name("survey_texts")
_FIELDS = ("language", "direction", "name", "texts")
_TAG = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")
"""A language as in BCP 47, without its rarest forms; it becomes part of a file's name."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_MOST_BYTES = 1_000_000
_NAMED = 3
"""How many wrong keys one sentence names."""

_LETTERS = "picture.letters"
_MOST_PICTURES = 9

_AS_ENGLISH = "`scoft survey texts en` prints the texts in English."


@dataclass(frozen=True)
class SurveyTexts:
    """All words of a page in one language.

    Attributes:
        language: BCP 47, say `ko` or `pt-BR`.
        direction: in which it is read, ltr or rtl.
        name: the language's own name for itself.
        texts: key -> text, with {placeholders}; paragraphs are parted by an empty line.
    """

    language: str
    direction: str
    name: str
    texts: Mapping[str, str]


def survey_texts(language_or_path: str) -> SurveyTexts:
    """Return the texts of a language.

    Args:
        language_or_path: one of `LANGUAGES`, or the path of a JSON file with the fields language,
            direction, name and texts.

    Raises:
        SurveyError: there is no such language; the file cannot be read, lacks a text, has an
            unknown one, lost a placeholder or has one that the page does not fill.
    """
    wanted = language_or_path.strip()
    if wanted.lower() in LANGUAGES:
        return _read(language_file(wanted.lower()))
    if not wanted.lower().endswith(".json"):
        sentence = unknown_name("language of a survey", wanted, LANGUAGES)
        raise SurveyError(f"{sentence} Any other comes from a JSON file: give its path.")
    return _read(Path(wanted))


def language_file(language: str) -> Path:
    """Return the file of a language that comes along, which a translation can start from.

    Raises:
        SurveyError: it does not come along.
    """
    if language not in LANGUAGES:
        raise SurveyError(unknown_name("language of a survey", language, LANGUAGES))
    return _FOLDER / f"{language}.json"


def filled(text: str, values: Mapping[str, object]) -> str:
    """Return a text with its {placeholders} filled; braces inside the values stay as they are.

    Args:
        text: of `SurveyTexts.texts`.
        values: by the placeholder's name; one that is absent is left standing.
    """
    return _PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), text)


def _read(path: Path) -> SurveyTexts:
    values = _parsed(path)
    _check_names(path, "field", values, _FIELDS)
    texts = values["texts"]
    if not isinstance(texts, dict):
        raise SurveyError(f'{path}: "texts" must be an object, key: text. {_AS_ENGLISH}')
    if path != language_file("en"):
        _check_names(path, "text", texts, _english())
    for key, text in texts.items():
        _check_text(path, key, text)
    _check_head(path, values)
    return SurveyTexts(values["language"], values["direction"], values["name"].strip(), texts)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SurveyError(f"{path}: is far too large for a page's texts. {_AS_ENGLISH}")
        values = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise SurveyError(f"{path}: is not encoded in UTF-8. Save it as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise SurveyError(
            f"{path}, line {error.lineno}: is no JSON ({error.msg}). Look at the quotes and commas "
            "there and in the line before."
        ) from error
    except _TwiceError as error:
        raise SurveyError(f"{path}: `{error}` stands there twice. Remove one of them.") from error
    except RecursionError as error:
        raise SurveyError(f"{path}: is nested too deeply. {_AS_ENGLISH}") from error
    except OSError as error:
        raise SurveyError(
            f"{path}: cannot be read ({error.strerror}). Give the path of a JSON file with texts."
        ) from error
    if not isinstance(values, dict):
        raise SurveyError(f"{path}: is no JSON object. {_AS_ENGLISH}")
    return values


class _TwiceError(ValueError):
    """A key stands twice in an object; JSON would silently take the last."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceError(key)
        found[key] = value
    return found


@cache
def _english() -> Mapping[str, str]:
    return _read(language_file("en")).texts


def _check_names(path: Path, kind: str, found: Iterable[str], known: Iterable[str]) -> None:
    names, wanted = set(found), list(known)
    for name in sorted(names - set(wanted)):
        near = difflib.get_close_matches(name, wanted, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else " Remove it."
        raise SurveyError(f"{path}: the page has no {kind} `{name}`.{hint}")
    if missing := [name for name in wanted if name not in names]:
        some = ", ".join(f"`{name}`" for name in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise SurveyError(f"{path}: the {kind} {some}{more} is missing. {_AS_ENGLISH}")


def _check_text(path: Path, key: str, text: object) -> None:
    if not isinstance(text, str) or not text.strip():
        raise SurveyError(f"{path}: `{key}` is empty or no text. Translate it.")
    if re.search("[\ud800-\udfff]", text):
        raise SurveyError(
            f"{path}: `{key}` holds half a character (a lone \\ud800 to \\udfff). Write it anew."
        )
    letters = text.split(" ")
    if key == _LETTERS and not len(set(letters) - {""}) == len(letters) == _MOST_PICTURES:
        raise SurveyError(
            f"{path}: `{key}` must be {_MOST_PICTURES} different letters, parted by single spaces, "
            f"but is {text!r}. Each picture of a page is called by one."
        )
    if path == language_file("en"):
        return
    names, wanted = (set(_PLACEHOLDER.findall(one)) for one in (text, _english()[key]))
    for name in sorted(wanted - names):
        raise SurveyError(f"{path}: `{key}` lost {{{name}}}. Put it where its value is to stand.")
    for name in sorted(names - wanted):
        can = ", ".join(f"{{{one}}}" for one in sorted(wanted)) or "none"
        raise SurveyError(
            f"{path}: `{key}` has {{{name}}}, which the page does not fill; it fills {can}."
        )


def _check_head(path: Path, values: Mapping[str, Any]) -> None:
    if not isinstance(values["language"], str) or not _TAG.fullmatch(values["language"]):
        raise SurveyError(
            f'{path}: "language" is {values["language"]!r}; give the short name of the language '
            'as browsers know it, such as "vi" or "pt-BR".'
        )
    if not isinstance(values["name"], str) or not values["name"].strip():
        raise SurveyError(f'{path}: "name" is empty. Write the language\'s own name for itself.')
    meant = _direction(values["texts"].values())
    if values["direction"] != meant:
        raise SurveyError(
            f'{path}: "direction" is {values["direction"]!r}, but the texts are read from '
            f'{"right to left" if meant == "rtl" else "left to right"}: write "{meant}".'
        )


def _direction(texts: Iterable[str]) -> str:
    """Return the direction of most letters."""
    letters = [unicodedata.bidirectional(one) for text in texts for one in text if one.isalpha()]
    return "rtl" if 2 * sum(one in ("R", "AL") for one in letters) > len(letters) else "ltr"
