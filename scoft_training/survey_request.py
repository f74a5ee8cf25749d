"""What is asked of a survey's making: refused, or advised upon, before anything is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import combinations
from pathlib import Path
from urllib.parse import urlsplit

from .errors import ConfigError, OutputError
from .grids import Grid
from .survey_config import SurveyConfig, parted
from .survey_key import KEY_NAME
from .survey_pages import ChosenPages
from .survey_texts import SurveyTexts, survey_texts
from .survey_translations import Translations

__all__ = [
    "SurveyRequest",
    "advice",
    "require_letters",
    "require_place",
    "require_target",
    "texts_of",
]


@dataclass(frozen=True)
class SurveyRequest:
    """What a survey is to be made of, and where it goes.

    Attributes:
        grids: folders of grids, one or more, say one for each culture.
        out: the survey's folder: new, empty, or one of the same pages and models.
        culture: of prompts that name none; None takes the only one that their grid names.
        title, about, consent: the page's; empty takes the language's own. {culture}, {pages},
            {minutes} and {contact} are filled in, paragraphs are parted by an empty line.
        contact: whom participants can ask; empty says whoever gave them the page.
        form_target: http(s) address to which the page can post answers; empty for none.
        models: names to compare; none takes all.
        translations: file of prompts in other languages, see `survey_translations`.
        config: languages, how many pages, and the rest.
    """

    grids: Sequence[Path]
    out: Path
    culture: str | None = None
    title: str = ""
    about: str = ""
    consent: str = ""
    contact: str = ""
    form_target: str = ""
    models: Sequence[str] = ()
    translations: Path | None = None
    config: SurveyConfig = field(default_factory=SurveyConfig)


def require_place(out: Path) -> None:
    """Refuse a folder that holds something else than a survey."""
    if not out.exists() or (out / KEY_NAME).is_file():
        return
    if not out.is_dir():
        raise OutputError(f"{out}: is a file. Name a folder for the survey.")
    if any(not path.name.startswith(KEY_NAME) for path in out.iterdir()):
        raise OutputError(
            f"{out}: is neither empty nor a survey's folder ({KEY_NAME} is missing); nothing is "
            "overwritten. Choose another folder (on the canvas another `survey_name`), or put the "
            "key back."
        )


def require_letters(request: SurveyRequest, chosen: ChosenPages) -> None:
    """Refuse half characters, which no page and no key can hold."""
    named = {f"`{name}`": getattr(request, name) for name in ("title", "about", "consent")}
    named["`contact`"] = request.contact
    named |= {
        f"The prompt {page.prompt[:60]!r} of {page.culture!r}": page.prompt + page.culture
        for page in chosen.pages
    }
    for what, text in named.items():
        if re.search("[\ud800-\udfff]", text):
            raise ConfigError(
                f"{what} holds half a character (a lone \\ud800 to \\udfff), as a terminal of "
                "another encoding makes it. Write that text anew, in UTF-8."
            )


def require_target(target: str) -> None:
    """Refuse what a form cannot post to; the page's policy names its origin."""
    target = target.strip()
    if not target:
        return
    try:
        parts = urlsplit(target)
        fits = parts.scheme in ("http", "https") and parts.port != 0
        fits = fits and _is_host(parts.hostname or "")
    except ValueError:
        fits = False
    if not fits or re.search(r"[\s\"'<>;,\\]", target) or "@" in urlsplit(target).netloc:
        raise ConfigError(
            f"The form's target {target!r} is no address that a page can post to. Give one that "
            "begins with https://, say https://example.org/answers, or leave it empty."
        )


def _is_host(host: str) -> bool:
    """Tell whether browsers take a host's name; a ValueError says no, too."""
    if ":" in host:
        return re.fullmatch("[0-9a-f:]+", host) is not None
    labels = host.encode("idna").decode().removesuffix(".").split(".")
    if re.fullmatch(r"\d+|0x[0-9a-f]*", labels[-1]):
        # They read it as numbers then, and refuse others than four from 0 to 255.
        IPv4Address(host)
    return all(re.fullmatch(r"[\w-]+", one) for one in labels)


def texts_of(config: SurveyConfig) -> list[SurveyTexts]:
    """Return the texts of each language that was asked for."""
    found = [survey_texts(one) for one in parted(config.languages)]
    # To some disks pt-BR and pt-br are one name.
    tags = [one.language.lower() for one in found]
    if doubled := {tag for tag in tags if tags.count(tag) > 1}:
        raise ConfigError(
            f"`languages` names {min(doubled)!r} twice, and one page would replace the other. "
            "Give the language of your own file another name, say en-simple."
        )
    return found


def advice(
    request: SurveyRequest, grids: Sequence[Grid], chosen: ChosenPages, translations: Translations
) -> Iterator[str]:
    """Yield what the organiser should know before pages go out."""
    known = {one.culture for one in chosen.pages}
    known |= {prompt.text for grid in grids for prompt in grid.prompts}
    yield from translations.warnings(known, list(dict.fromkeys(one.prompt for one in chosen.pages)))
    yield from _identical(chosen)
    if not request.contact.strip():
        yield (
            "`contact` is empty, so participants with questions are told to ask whoever gave "
            "them the page."
        )
    if urlsplit(request.form_target.strip()).scheme == "http":
        yield (
            "The form's target begins with http://, so answers would travel unencrypted. Use "
            "https:// if the server knows it."
        )


def _identical(chosen: ChosenPages) -> Iterator[str]:
    """Yield which models' pictures are the same to the byte, so that none can be put first."""
    for first, second in combinations(chosen.models, 2):
        pairs = [
            (page.pictures[first].sha256, page.pictures[second].sha256) for page in chosen.pages
        ]
        if same := sum(one == other for one, other in pairs):
            yield (
                f"On {same} of {len(pairs)} pages {first!r} and {second!r} have the same picture, "
                "which nobody can rank. If they are one model by two names, leave one out of "
                "`models`."
            )
