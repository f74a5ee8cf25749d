"""Strengths of models from compared pairs: Bradley-Terry, plain and with people who differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rank_table import Comparisons, Floats

__all__ = ["NoisyBradleyTerry", "bradley_terry", "noisy_bradley_terry"]


@dataclass(frozen=True)
class NoisyBradleyTerry:
    """What the model says of models and people.

    Attributes:
        scores: (models,) log-odds, mean 0: of i winning over j by the pictures, scores[i] -
            scores[j]; NaN for a model that nobody compared.
        skills: (participants,) share of answers that follow the pictures, in (0, 1); NaN for people
            without a comparison.
        biases: (participants,) probability of choosing the picture shown first in the other
            answers, in (0, 1); NaN likewise.
        converged: whether the search ended by itself.
    """

    scores: Floats
    skills: Floats
    biases: Floats
    converged: bool


def bradley_terry(comparisons: Comparisons, weights: Floats | None = None) -> Floats:
    """Return (models,) log-odds, mean 0, of plain Bradley-Terry: everybody is alike."""
    raise NotImplementedError


def noisy_bradley_terry(
    comparisons: Comparisons,
    *,
    weights: Floats | None = None,
    start: NoisyBradleyTerry | None = None,
) -> NoisyBradleyTerry:
    """Fit strengths of models, and each person's skill and bias."""
    raise NotImplementedError
