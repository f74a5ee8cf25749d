"""What a site says about machines: robots.txt, and X-Robots-Tag beside a picture."""

from __future__ import annotations

from collections.abc import Iterable

from protego import Protego

__all__ = ["AGENT", "RobotsRules", "forbidding_tag"]

AGENT = "scoft"
"""The name by which robots.txt may speak of this program."""

_FORBIDDING = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
_WITH_VALUE = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)


class RobotsRules:
    """A site's robots.txt (RFC 9309); empty text allows everything."""

    def __init__(self, text: str) -> None:
        self._rules = Protego.parse(text)

    def allows(self, url: str) -> bool:
        """Whether this program may fetch `url`."""
        return bool(self._rules.can_fetch(url, AGENT))

    @property
    def delay(self) -> float:
        """Seconds that the site wants between two requests; 0 where it says nothing."""
        return float(self._rules.crawl_delay(AGENT) or 0.0)


def forbidding_tag(headers: Iterable[str]) -> str | None:
    """Return the directive of X-Robots-Tag headers that forbids this use, or None.

    A directive for another program ("googlebot: noindex") is not for us.
    """
    for header in headers:
        directives = header.casefold()
        agent, colon, rest = directives.partition(":")
        if colon and "," not in agent and agent.strip() not in _WITH_VALUE:
            if agent.strip() not in ("*", AGENT):
                continue
            directives = rest
        for directive in directives.split(","):
            if directive.strip() in _FORBIDDING:
                return directive.strip()
    return None
