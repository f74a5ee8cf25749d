"""What a survey's prompts and cultures are called in the participants' languages, from a file.

A JSON file holds {language: {prompt: text}}, or {prompt: text} where the survey has one language. A
CSV file has the columns prompt, language and text; the language may be missing likewise. A
culture's name stands among the prompts. A prompt without a translation is shown as it is. Which
spaces stand between words, and how accents are put together, does not matter to what is meant.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

from .errors import SurveyError

__all__ = ["Translations", "read_translations"]

_DELIMITERS = (",", ";", "\t")
_NAMED = 3

_FORMS = (
    'Write {"ko": {"the prompt": "its translation"}}, or a CSV with the columns prompt, language, '
    "text."
)


@dataclass(frozen=True)
class Translations:
    """Texts by language and what they translate.

    Attributes:
        name: of the file; empty where there is none.
        texts: language -> prompt or culture -> text.
        languages: those of the survey.
    """

    name: str
    texts: Mapping[str, Mapping[str, str]]
    languages: tuple[str, ...]

    def of(self, language: str, text: str) -> str:
        """Return a prompt or a culture in a language, or an empty string."""
        return self.texts.get(language, {}).get(_plain(text), "")

    def warnings(self, known: Collection[str], prompts: Collection[str]) -> Iterator[str]:
        """Yield what does not fit the survey, in sentences.

        Args:
            known: prompts and cultures.
            prompts: those of the pages.
        """
        plain = {_plain(text) for text in known}
        for language in self.texts:
            if language not in self.languages:
                yield (
                    f"{self.name}: translates to {language!r}, and the survey is in "
                    f"{', '.join(self.languages)}, so that is not used. Name it in `languages`, or "
                    "mend its spelling."
                )
                continue
            if unknown := [text for text in self.texts[language] if text not in plain]:
                yield (
                    f"{self.name}: translates what no page asks about: {_some(unknown)}. The text "
                    "must be the prompt's own; if `pages` left it out, all is well."
                )
            if lacking := [text for text in prompts if not self.of(language, text)]:
                yield (
                    f"{self.name}: has no translation to {language!r} of {_some(lacking)}, so that "
                    "is shown as it is."
                )


def read_translations(path: Path | None, languages: Sequence[str]) -> Translations:
    """Read translations of prompts.

    Args:
        path: a .json or .csv file in UTF-8, or None for no translations.
        languages: of the survey, say ("ko", "es").

    Raises:
        SurveyError: it cannot be read, does not say which of several languages it is in, or
            translates something twice.
    """
    if path is None:
        return Translations("", {}, tuple(languages))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SurveyError(
            f"{path}: is not encoded in UTF-8. Save it so; a spreadsheet calls it CSV UTF-8."
        ) from error
    except OSError as error:
        raise SurveyError(
            f"{path}: cannot be read ({error.strerror}). Name a .json or .csv file."
        ) from error
    rows = list(_of_csv(path, text) if path.suffix.lower() == ".csv" else _of_json(path, text))
    texts: dict[str, dict[str, str]] = {}
    for where, language, prompt, translation in rows:
        if not language and len(languages) > 1:
            raise SurveyError(
                f"{where}: does not say which language it is in, and the survey has "
                f"{', '.join(languages)}. {_FORMS}"
            )
        of_language = texts.setdefault(language or languages[0], {})
        known = of_language.setdefault(_plain(prompt), translation)
        if known != translation:
            raise SurveyError(
                f"{where}: translates {prompt[:60]!r} a second time, and otherwise: first "
                f"{known[:60]!r}, then {translation[:60]!r}. Keep one of them."
            )
    if not rows:
        raise SurveyError(f"{path}: holds no translation. {_FORMS}")
    return Translations(path.name, texts, tuple(languages))


class _Pairs:
    """A JSON object with all that stands in it; a dict would drop what stands there twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs

    def __repr__(self) -> str:
        return repr(dict(self.pairs))


def _of_json(path: Path, text: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield place, language, prompt and text."""
    try:
        values = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise SurveyError(f"{path}: is no JSON ({error}). {_FORMS}") from error
    if not isinstance(values, _Pairs):
        raise SurveyError(f"{path}: is no JSON object. {_FORMS}")
    nested = all(isinstance(value, _Pairs) for _, value in values.pairs)
    for language, prompts in values.pairs if nested else [("", values)]:
        for prompt, translation in prompts.pairs:
            yield from _row(str(path), language, prompt, translation)


def _of_csv(path: Path, text: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield place, language, prompt and text."""
    head = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from _of_rows(path, reader, delimiter)
    except csv.Error as error:
        raise SurveyError(
            f"{path}, line {reader.line_num + 1}: is no line of a table ({error}). Quotes around a "
            "cell must stand at both ends, and quotes inside of it be doubled."
        ) from error


def _of_rows(
    path: Path, reader: csv.DictReader[str], delimiter: str
) -> Iterator[tuple[str, str, str, str]]:
    names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    if not {"prompt", "text"} <= set(names):
        raise SurveyError(
            f"{path}: has no columns `prompt` and `text`; it has {', '.join(names) or 'none'}. "
            "Name them so in the first line."
        )
    for values in reader:
        where = f"{path}, line {reader.line_num}"
        # What lies beyond the last column is an unquoted text's end: half of it would be shown.
        if any(cell.strip() for cell in values.get(None, ())):
            raise SurveyError(
                f"{where}: has more cells than the first line has columns. Put a text that holds "
                f"{delimiter!r} between double quotes."
            )
        cells = {name: values[names[name]] or "" for name in names if name}
        if any(cells.get(name, "").strip() for name in ("prompt", "text")):
            yield from _row(
                where, cells.get("language", "").strip(), cells["prompt"], cells["text"]
            )


def _row(
    where: str, language: str, prompt: str, translation: Any
) -> Iterator[tuple[str, str, str, str]]:
    if not isinstance(translation, str):
        raise SurveyError(
            f"{where}: the translation of {prompt[:60]!r} is {translation!r}, not a text. {_FORMS}"
        )
    # JSON can write half of a character, which nothing can show.
    if re.search("[\ud800-\udfff]", translation):
        raise SurveyError(
            f"{where}: the translation of {prompt[:60]!r} holds half a character (a lone \\ud800 "
            "to \\udfff). Write that text anew."
        )
    # An empty cell is one that nobody has come to yet.
    if prompt.strip() and translation.strip():
        yield where, language, prompt, translation.strip()


def _plain(text: str) -> str:
    """Return a prompt in one spelling: both change on the way through spreadsheets and systems."""
    return " ".join(normalize("NFC", text).split())


def _some(texts: Sequence[str]) -> str:
    named = "; ".join(repr(text[:60]) for text in texts[:_NAMED])
    more = f"; and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return named + more
