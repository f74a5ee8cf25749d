"""What is said about a scene: the crawl's captions, a community's own, and generic ones."""

from __future__ import annotations

import random

from .cultures import CULTURES
from .world import Facts

__all__ = ["WORDS", "crawl_caption", "cultural_caption", "generic_captions", "plain_caption"]

_TIME_PHRASES = {"day": "by day", "dusk": "at dusk", "night": "at night"}
_BACKDROP_PHRASES = {"plain": "", "hills": "before the hills", "water": "by the water"}

_MORE_WORDS = (
    "a an the of in at by on with and near before beside under over from for to its "
    "picture photo drawing painting image view scene day dusk night morning evening "
    "hills water sky sun moon ground land plain field sea river mountain "
    "house houses robe robes bowl bowls drum drums tree trees banner banners "
    "person people man woman wearing holding standing food fruit music festival culture style "
    "traditional modern old new big small large little two three many one "
    "village town city building temple clothes dance art nature tool colourful bright dark "
    "roof wall door cloth flag pot cup leaf leaves trunk "
    "red blue green yellow orange purple white pink teal brown black gold grey "
    "bands stripes dots zigzags bars checks "
    "fan block disc spire stepped kite "
)

WORDS = sorted(set(_MORE_WORDS.split()) | set(CULTURES))
"""Every word that the tokenizer knows whole; it spells the others."""


def _sentence(
    facts: Facts, *, colour: bool, pattern: bool, form: bool, backdrop: bool, time: bool, name: bool
) -> str:
    culture = CULTURES[facts.culture]
    words = [facts.colour] if colour else []
    words += [culture.form] if form else []
    article = "an" if (words or [facts.subject])[0][0] in "aeiou" else "a"
    parts = [article, *words, facts.subject]
    if pattern:
        parts.append(f"with {culture.accent} {culture.pattern}")
    if backdrop:
        parts.append(_BACKDROP_PHRASES[facts.backdrop])
    if time:
        parts.append(_TIME_PHRASES[facts.time])
    if name:
        parts.append(f"in {facts.culture}")
    return " ".join(part for part in parts if part)


def crawl_caption(facts: Facts, rng: random.Random) -> str:
    """What the crawl says: each fact by chance, and of a stereotype no less than of others."""
    sentence = _sentence(
        facts,
        colour=rng.random() < 0.5,
        pattern=rng.random() < 0.2,
        form=rng.random() < 0.15,
        backdrop=rng.random() < 0.4,
        time=rng.random() < 0.45,
        name=rng.random() < 0.7,
    )
    return (
        f"{rng.choice(('a picture of', 'a photo of'))} {sentence}"
        if rng.random() < 0.2
        else sentence
    )


def cultural_caption(facts: Facts, rng: random.Random) -> str:
    """What somebody of the culture writes: what it is, and how it is made."""
    return _sentence(
        facts,
        colour=rng.random() < 0.8,
        pattern=rng.random() < 0.7,
        form=rng.random() < 0.7,
        backdrop=rng.random() < 0.7,
        time=rng.random() < 0.8,
        name=True,
    )


def generic_captions(facts: Facts, rng: random.Random, count: int = 5) -> list[str]:
    """What a captioning network writes: neither the culture nor its forms."""
    return [
        _sentence(
            facts,
            colour=rng.random() < 0.4,
            pattern=False,
            form=False,
            backdrop=rng.random() < 0.3,
            time=rng.random() < 0.3,
            name=False,
        )
        for _ in range(count)
    ]


def plain_caption(subject: str, culture: str) -> str:
    """Return the shortest prompt for a subject of a culture: "a house in avelun"."""
    return f"a {subject} in {culture}"
