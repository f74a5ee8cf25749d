"""The survey's options: default, range and help text, once for both doors (sections 5 and 11)."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ConfigError, unknown_name
from .options import option

__all__ = ["SURVEY_ROLES", "SurveyAnalysisConfig", "SurveyConfig", "parted"]

SURVEY_ROLES = ("test", "train", "neutral")
"""Roles of prompts that people can be asked about; general ones are drawn by the base alone."""


def parted(text: str) -> tuple[str, ...]:
    """Return the words of an option that commas part, each once, in their order."""
    words = (word.strip() for word in text.split(","))
    return tuple(dict.fromkeys(word for word in words if word))


@dataclass(frozen=True)
class SurveyConfig:
    """What `scoft survey make` puts on the page that people rank pictures on."""

    languages: str = option(
        "en",
        "Languages of the page, parted by commas; one page is written for each: en, ko, zh, es, "
        "hi, ar, or the path of a JSON file with texts of your own.",
    )
    pages: int = option(
        20,
        "Prompts of a culture that are asked about, evenly drawn from the grid's; 0 takes all.",
        minimum=0,
        maximum=1000,
    )
    pages_per_participant: int = option(
        0,
        "How many of these one person sees, in an order and a choice of their own; 0 shows all.",
        minimum=0,
        maximum=1000,
    )
    pictures_per_prompt: int = option(
        1,
        "Seeds of a prompt that become pages, each with one picture of every model.",
        minimum=1,
        maximum=100,
        advanced=True,
    )
    roles: str = option(
        "test",
        "Which of the grid's prompts are asked about, parted by commas: test (held-out captions "
        "and prompts of your own), train, neutral.",
        advanced=True,
    )
    allow_ties: bool = option(
        False,
        "Whether pictures may share a rank (two best are 1 and 1, the next is 3); the page asks "
        "for a strict ranking otherwise.",
    )
    comments: bool = option(True, "Whether each page has room for a comment.")
    picture_side: int = option(
        512,
        "Pictures on the page are made no larger than this, in pixels.",
        minimum=64,
        maximum=2048,
        advanced=True,
    )
    seed: int = option(
        0, "Seed of the choice of prompts.", minimum=0, maximum=2**63 - 1, advanced=True
    )

    def check(self) -> None:
        """Refuse values that do not go together."""
        if not parted(self.languages):
            raise ConfigError("`languages` is empty. Name one or more, say en,ko.")
        if not parted(self.roles):
            raise ConfigError("`roles` is empty. Name one or more of test, train, neutral.")
        for role in parted(self.roles):
            if role not in SURVEY_ROLES:
                raise ConfigError(f"`roles`: {unknown_name('role', role, SURVEY_ROLES)}")
        most = self.pages * self.pictures_per_prompt
        if self.pages and self.pages_per_participant > most:
            raise ConfigError(
                f"`pages_per_participant` is {self.pages_per_participant}, but there are at most "
                f"{most} pages ({self.pages} prompts with {self.pictures_per_prompt} pages each). "
                "Lower it, or raise `pages`."
            )


@dataclass(frozen=True)
class SurveyAnalysisConfig:
    """How `scoft survey aggregate` reads the answers (section 5)."""

    engine: str = option(
        "scoft",
        "scoft, or crowd-kit: the library that the paper names, beside this one, with the places "
        "where the two differ.",
        choices=("scoft", "crowd-kit"),
    )
    group_by: str = option(
        "culture",
        "What makes a group of people: culture (whose pages they ranked) or country (what they "
        "say they come from).",
        choices=("culture", "country"),
    )
    leave_out: str = option(
        "",
        "Participants that do not count, parted by commas; the report says so. Nobody is left out "
        "by itself.",
    )
    resamples: int = option(
        1000,
        "Resamples of participants behind the intervals; Noisy Bradley-Terry takes a fifth of "
        "them.",
        minimum=100,
        maximum=100_000,
        advanced=True,
    )
    confidence: float = option(
        0.95, "Confidence of the intervals.", minimum=0.5, maximum=0.999, advanced=True
    )
    seed: int = option(
        0, "Seed of the resamples and permutations.", minimum=0, maximum=2**63 - 1, advanced=True
    )
