"""A survey made from grids: the key for the organiser, one page for each culture and language.

    SURVEY/survey-key.json                       which picture is which model's; never handed out
    SURVEY/hand-out/survey-<culture>-<language>.html     what participants get, and nothing else

Asked for again with the same pages, a folder keeps its key and with it all ids, so that answers
stay readable: another language or other texts can be added at any time. Other pages, models or
another rule for ties are refused, since answers to the earlier ones may be out.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from .events import (
    Event,
    FinishedEvent,
    PhaseEvent,
    StoppedEvent,
    StopRequested,
    WarningEvent,
    stop_check,
)
from .file_locks import locked
from .files import digest_text, remove_leftovers, write_text
from .grids import read_grid
from .options import validate
from .survey_html import survey_html
from .survey_keeping import kept_key
from .survey_key import ITEMS, KEY_NAME, SurveyKey, SurveyPage, write_key
from .survey_pages import ChosenPage, ChosenPages, choose_pages
from .survey_pictures import PagePictures, is_pixel_art, page_pictures
from .survey_request import (
    SurveyRequest,
    advice,
    require_letters,
    require_place,
    require_target,
    texts_of,
)
from .survey_texts import SurveyTexts, filled
from .survey_translations import Translations, read_translations

__all__ = ["HAND_OUT", "MINUTES_PER_PICTURE", "SurveyRequest", "handed_out", "make_survey"]

HAND_OUT = "hand-out"

MINUTES_PER_PICTURE = 0.5
"""For a look and four rankings; with four models two minutes a page, as docs/survey.md says."""

_LOCK_SECONDS = 2.0
_SLUG_BYTES = 180
_MAIL_BYTES = 25_000_000
"""What most mail services carry."""


def make_survey(
    request: SurveyRequest, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Write a survey's key and pages, yielding events; the last one says how it ended.

    Args:
        request: what to do.
        should_stop: asked before each page; true ends the work, and written pages stay.

    Raises:
        ConfigError: an option, a model or the form's address will not do, or a culture is missing.
        DatasetError: a grid or a picture cannot be read, or no prompt was drawn by all models.
        SurveyError: texts, translations or the key that is there cannot be used.
        ResumeError: the folder holds a survey of other pages, models or ties.
        OutputError: the folder is something else, or cannot be written.
    """
    validate(request.config)
    require_target(request.form_target)
    texts = texts_of(request.config)
    grids = [read_grid(folder) for folder in request.grids]
    chosen = choose_pages(
        grids, culture=request.culture, models=request.models, config=request.config
    )
    require_letters(request, chosen)
    translations = read_translations(request.translations, [one.language for one in texts])
    yield from map(WarningEvent, chosen.warnings)
    require_place(request.out)
    with locked(request.out / KEY_NAME, seconds=_LOCK_SECONDS):
        remove_leftovers(request.out)
        remove_leftovers(request.out / HAND_OUT)
        settings = dataclasses.asdict(request.config) | {
            "grids": [folder.resolve().name for folder in request.grids],
            "form_target": request.form_target.strip(),
        }
        key, is_new = kept_key(request.out, chosen, request.config.allow_ties, settings)
        yield from map(WarningEvent, advice(request, grids, chosen, translations))
        making = _Making(request, chosen, key, texts, translations, stop_check(should_stop))
        yield from making.events(is_new)


def handed_out(out: Path) -> list[Path]:
    """Return the pages that lie ready in a survey's folder, by name."""
    return sorted((out / HAND_OUT).glob("survey-*.html"))


class _Making:
    """The state of one `make_survey`."""

    def __init__(
        self,
        request: SurveyRequest,
        chosen: ChosenPages,
        key: SurveyKey,
        texts: Sequence[SurveyTexts],
        translations: Translations,
        check_stop: Callable[[], None],
    ) -> None:
        self._request = request
        self._chosen = chosen
        self._key = key
        self._texts = texts
        self._translations = translations
        self._check_stop = check_stop
        cultures = dict.fromkeys(page.culture for page in key.pages)
        self._slugs = _slugs(cultures)
        # One kind of file for all, decided by what is largest.
        samples = [
            next(one for one in chosen.pages if one.culture == culture) for culture in cultures
        ]
        self._lossless = is_pixel_art(
            [next(iter(one.pictures.values())).path for one in samples], request.config.picture_side
        )

    def events(self, is_new: bool) -> Iterator[Event]:
        """All of it, under the lock.

        Args:
            is_new: whether the key is to be written: no sooner than its first page is ready, since
                it binds the folder to its pictures, and before that page can be handed out.
        """
        total, done, unequal = len(self._key.pages), 0, 0
        yield PhaseEvent("survey", 0, total)
        both = list(zip(self._key.pages, self._chosen.pages, strict=True))
        try:
            for culture, slug in self._slugs.items():
                pages, pictures = [], dict[str, str]()
                for page, drawn in both:
                    if page.culture == culture:
                        self._check_stop()
                        pages.append(page)
                        made = self._pictures(page, drawn)
                        pictures |= made.urls
                        unequal += made.scaled_apart
                        done += 1
                        yield PhaseEvent("survey", done, total)
                self._check_stop()
                if is_new:
                    write_key(self._request.out / KEY_NAME, self._key)
                    is_new = False
                for texts in self._texts:
                    self._check_stop()
                    yield from self._write(slug, texts, pages, pictures)
            yield from map(WarningEvent, self._last_advice(unequal))
        except StopRequested:
            yield StoppedEvent(
                0,
                f"Stopped after the pictures of {done} of {total} pages. Started again, it makes "
                "the same survey.",
            )
            return
        yield FinishedEvent(0, str(self._request.out / HAND_OUT))

    def _last_advice(self, unequal: int) -> Iterator[str]:
        """Yield what shows when all is written; `unequal` pages had pictures of several sizes."""
        if unequal:
            yield (
                f"On {unequal} of {len(self._key.pages)} pages the models' pictures are of "
                "different sizes. They were made alike, but those that were scaled down may look "
                "sharper, by which people can know a model again. Draw all in one size."
            )
        written = {
            self._file(slug, texts) for slug in self._slugs.values() for texts in self._texts
        }
        if older := [one.name for one in handed_out(self._request.out) if one not in written]:
            yield (
                f"{self._request.out / HAND_OUT}: not made anew, so with the texts of an earlier "
                f"time: {', '.join(older)}. If texts changed, name these languages in `languages`, "
                "too; or delete these files."
            )

    def _file(self, slug: str, texts: SurveyTexts) -> Path:
        """Return where the page of a culture and a language goes."""
        return self._request.out / HAND_OUT / f"survey-{slug}-{texts.language}.html"

    def _pictures(self, page: SurveyPage, drawn: ChosenPage) -> PagePictures:
        """Return a page's pictures by their ids."""
        return page_pictures(
            {one: drawn.pictures[model].path for one, model in page.pictures.items()},
            longest=self._request.config.picture_side,
            lossless=self._lossless,
            where=f"The prompt {page.prompt[:60]!r}",
        )

    def _write(
        self,
        slug: str,
        texts: SurveyTexts,
        pages: Sequence[SurveyPage],
        pictures: Mapping[str, str],
    ) -> Iterator[Event]:
        path = self._file(slug, texts)
        text = survey_html(self._data(texts, pages, pictures))
        write_text(path, text)
        size = len(text.encode("utf-8"))
        if size > _MAIL_BYTES:
            yield WarningEvent(
                f"{path.name} has {size / 1e6:.0f} MB, more than most mail services carry "
                f"({_MAIL_BYTES / 1e6:.0f} MB). Lower `picture_side`, which keeps the survey; or "
                "hand the page out by a link, a messenger or a USB stick; or make another survey "
                "with fewer `pages`."
            )

    def _data(
        self, texts: SurveyTexts, pages: Sequence[SurveyPage], pictures: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return what a page is made of: ids instead of models, all in the order of the ids."""
        request, config = self._request, self._request.config
        culture = pages[0].culture
        of_one = min(config.pages_per_participant or len(pages), len(pages))
        values = {
            "culture": _isolated(
                self._translations.of(texts.language, culture) or culture, texts.direction
            ),
            "pages": of_one,
            "minutes": ceil(MINUTES_PER_PICTURE * len(self._key.models) * of_one),
            "contact": _isolated(
                request.contact.strip() or texts.texts["contact.unknown"], texts.direction
            ),
        }
        shown = [
            {
                "page": page.page,
                "prompt": page.prompt,
                "translation": self._translations.of(texts.language, page.prompt),
                "pictures": sorted(page.pictures),
            }
            for page in sorted(pages, key=lambda page: page.page)
        ]
        return {
            "format": 1,
            "survey": self._key.survey,
            "culture": culture,
            "language": texts.language,
            "dir": texts.direction,
            "title": filled(request.title.strip() or texts.texts["title.default"], values),
            "about": _paragraphs(request.about, texts.texts["about.default"], values),
            "consent": _paragraphs(request.consent, texts.texts["consent.default"], values),
            "contact": request.contact.strip(),
            "form_target": request.form_target.strip(),
            "allow_ties": config.allow_ties,
            "comments": config.comments,
            "pages_per_participant": of_one if of_one < len(pages) else 0,
            "items": list(ITEMS),
            "pages": shown,
            "pictures": {one: pictures[one] for one in sorted(pictures)},
            "texts": dict(texts.texts),
        }


def _isolated(value: str, direction: str) -> str:
    """Return a name so that Latin letters stand right in a line from right to left.

    Elsewhere the marks would only be copied along with a mail address.
    """
    return f"\u2068{value}\u2069" if direction == "rtl" else value


def _paragraphs(own: str, usual: str, values: Mapping[str, object]) -> list[str]:
    """Return the organiser's text, or the language's, as filled paragraphs."""
    parts = re.split(r"\n[^\S\n]*\n", (own.strip() or usual).replace("\r\n", "\n"))
    return [filled(part.strip(), values) for part in parts if part.strip()]


def _slugs(cultures: Iterable[str]) -> dict[str, str]:
    """Return each culture's part of a file's name; the same culture always has the same one."""
    names = {culture: _slug(culture) for culture in cultures}
    alike = list(names.values())
    return {
        culture: slug
        if slug and alike.count(slug) == 1
        else f"{slug}-{digest_text(culture)[:8]}".strip("-")
        for culture, slug in names.items()
    }


def _slug(name: str) -> str:
    # Marks, too, which Hindi's vowels are.
    kept = (
        one if one.isalnum() or unicodedata.category(one)[0] == "M" else "-"
        for one in unicodedata.normalize("NFC", name.casefold())
    )
    slug = re.sub("-+", "-", "".join(kept))[:60]
    # Disks take names of 255 bytes, and some scripts have four for each letter.
    return slug.encode("utf-8")[:_SLUG_BYTES].decode("utf-8", "ignore").strip("-")
