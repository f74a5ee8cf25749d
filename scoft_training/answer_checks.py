"""Answers that count, yet look as if nobody had looked at the pictures: flagged, never dropped."""

from __future__ import annotations

from collections.abc import Sequence

from .survey_answers import Answer
from .survey_records import Finding

__all__ = ["flags_of", "without"]


def flags_of(answers: Sequence[Answer], *, allow_ties: bool = True) -> dict[str, tuple[str, ...]]:
    """Return participant -> why to look at their answers, for those where there is a reason.

    Args:
        answers: all that count.
        allow_ties: whether the survey let pictures share a rank.
    """
    raise NotImplementedError


def without(answers: Sequence[Answer], leave_out: str) -> tuple[list[Answer], list[Finding]]:
    """Leave out participants that the organiser names, and say so.

    Args:
        answers: all that count.
        leave_out: names parted by commas; the first eight characters do where they tell one.

    Raises:
        ConfigError: there is no such participant.
    """
    raise NotImplementedError
