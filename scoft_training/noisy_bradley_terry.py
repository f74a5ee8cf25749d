"""Strengths of models from compared pairs: Bradley-Terry with people who differ.

Noisy Bradley-Terry: a share sigma(gamma_k) of person k's answers follows the pictures, the others
choose the place: left with probability sigma(q_k).

    P(left is better) = sigma(gamma_k) sigma(s_i - s_j) + (1 - sigma(gamma_k)) sigma(q_k)

s are the models' scores, i is shown left of j. A tie is half a win of each. The formula is that of
crowd-kit's NoisyBradleyTerry, which the paper names; the likelihood, its gradient and the priors
here are this pack's own, because that one's gradient (1.4.2) is another function's. Somebody who
answers against the pictures on purpose is outside of the model: such a person's skill comes out
near zero, no lower. MMSR tells these apart.

The priors, each as if a few answers more had been seen, make every survey have one answer, also
where somebody always wins or a person compared a single pair: each model won once and lost once
against a picture of middling strength; each person followed the pictures twice and a place once,
and of the places left once and right once. With a tenth of that, skills of people with few answers
are hardly told from biases; without favour for the pictures, skills correlate less with the true
ones (benchmarks/results.md).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from .rank_table import Comparisons, Floats, Ints

__all__ = [
    "NoisyBradleyTerry",
    "negative_log_posterior",
    "noisy_bradley_terry",
    "resampled_scores",
]

_MET_THE_MIDDLE = 1.0
"""Wins, and losses, of each model against a picture of strength 0."""

_FOLLOWED_PICTURES, _FOLLOWED_PLACE = 2.0, 1.0
_EACH_PLACE = 1.0

_START = float(np.log(_FOLLOWED_PICTURES / _FOLLOWED_PLACE))
"""The prior's gamma. From people who follow the place alone the scores would not be found: their
gradient is zero there."""

_SETTLED = 1e-4
"""Gain of log posterior below which a resample's search ends: with 625 people of one page each, the
slowest seen, the spread of scores over resamples is within a hundredth of what it ends at."""

_LONGEST_STEP = 2.0
_HALVINGS = 12
_SEARCH_STEPS = 100
_CELLS_AT_ONCE = 200_000
"""Resamples x people x pairs in an array: some 20 of these are held by each thread."""

_MOST_THREADS = 4


@dataclass(frozen=True)
class NoisyBradleyTerry:
    """What the model says of models and people.

    Attributes:
        scores: (models,) log-odds, mean 0: of i winning over j by the pictures, scores[i] -
            scores[j]; NaN for a model that nobody compared.
        errors: (models,) how far the scores may be off by these comparisons alone, whoever was
            asked: standard deviations by the curvature of the posterior; NaN likewise.
        skills: (participants,) share of answers that follow the pictures, in (0, 1); NaN for people
            without a comparison.
        biases: (participants,) probability of choosing the picture shown first in the other
            answers, in (0, 1); NaN likewise.
        converged: whether the search ended by itself.
    """

    scores: Floats
    errors: Floats
    skills: Floats
    biases: Floats
    converged: bool


class _Batch(NamedTuple):
    """Parameters of several resamples, or steps of them.

    Attributes:
        scores: (resamples, models).
        gammas, places: (resamples, participants) the q of a person is its `places`.
    """

    scores: Floats
    gammas: Floats
    places: Floats

    def moved(self, step: _Batch, length: Floats) -> _Batch:
        """Return them after a step of (resamples,) lengths."""
        far = length[:, None]
        return _Batch(
            self.scores + far * step.scores,
            self.gammas + far * step.gammas,
            self.places + far * step.places,
        )

    def take(self, rows: NDArray[np.bool_] | Ints) -> _Batch:
        """Return some resamples, repeats allowed."""
        return _Batch(self.scores[rows], self.gammas[rows], self.places[rows])


@dataclass(frozen=True)
class _Tallies:
    """Comparisons counted: all that the likelihood needs of them.

    Attributes:
        left_wins, right_wins: (participants, pairs) a tie is half of each.
        sides: (pairs, models) 1 for the model on the left, -1 for the one on the right.
        people: (all participants,) who compared anything.
        models: (all models,) which were compared; `sides` holds these alone.
    """

    left_wins: Floats
    right_wins: Floats
    sides: Floats
    people: NDArray[np.bool_]
    models: NDArray[np.bool_]

    @classmethod
    def of(cls, comparisons: Comparisons) -> _Tallies:
        """Count them."""
        count, all_people = len(comparisons.models), len(comparisons.participants)
        people = np.asarray(np.bincount(comparisons.participant, minlength=all_people) > 0)
        pairs, pair = np.unique(comparisons.left * count + comparisons.right, return_inverse=True)
        row = (np.cumsum(people) - 1)[comparisons.participant]
        left_wins, right_wins = np.zeros((2, int(people.sum()), len(pairs)))
        np.add.at(left_wins, (row, pair.reshape(-1)), comparisons.outcome)
        np.add.at(right_wins, (row, pair.reshape(-1)), 1 - comparisons.outcome)
        sides = np.zeros((len(pairs), count))
        sides[np.arange(len(pairs)), pairs // count] += 1
        sides[np.arange(len(pairs)), pairs % count] -= 1
        models = np.abs(sides).sum(axis=0) > 0
        return cls(left_wins, right_wins, sides[:, models], people, models)

    def parts(self, flat: Floats) -> _Batch:
        """Return a flat vector of scores, gammas and qs as a batch of one."""
        models, people = self.sides.shape[1], len(self.left_wins)
        scores, gammas, places = np.split(flat[None], [models, models + people], axis=1)
        return _Batch(scores, gammas, places)


def noisy_bradley_terry(comparisons: Comparisons) -> NoisyBradleyTerry:
    """Fit strengths of models, and each person's skill and bias, the most probable ones.

    Args:
        comparisons: of one slice, at least one.
    """
    tallies = _Tallies.of(comparisons)
    flat, converged = _fit(tallies)
    at = tallies.parts(flat)
    scores, gammas, places = (part[0] for part in at)
    return NoisyBradleyTerry(
        scores=_spread(scores - scores.mean(), tallies.models),
        errors=_spread(_errors(at, tallies), tallies.models),
        skills=_spread(expit(gammas), tallies.people),
        biases=_spread(expit(places), tallies.people),
        converged=converged,
    )


def negative_log_posterior(parameters: Floats, comparisons: Comparisons) -> tuple[float, Floats]:
    """Return what the fit makes least, and its gradient.

    Args:
        parameters: (models + 2 participants,) scores, then gammas, then qs, of the models and
            people that the comparisons hold, in their order.
        comparisons: as for the fit.
    """
    return _loss(parameters, _Tallies.of(comparisons))


def resampled_scores(comparisons: Comparisons, counts: Floats) -> Floats:
    """Fit resamples of the people, all at once.

    Each search starts from the fit to everybody, and moves all of a resample's parameters by
    Fisher scoring, halving steps that would lose. A person who is drawn twice is two people with
    the same answers, priors included; people's own parameters do not depend on how often they are
    drawn.

    Args:
        comparisons: of one slice, at least one.
        counts: (resamples, participants) how often somebody is in a resample, 0 or more, any
            fraction.

    Returns:
        (resamples, models) scores, as `NoisyBradleyTerry.scores`.
    """
    tallies = _Tallies.of(comparisons)
    whole = tallies.parts(_fit(tallies)[0])
    weights = np.asarray(counts, float)[:, tallies.people]
    at_once = max(1, _CELLS_AT_ONCE // tallies.left_wins.size)
    parts = [weights[first : first + at_once] for first in range(0, len(weights), at_once)]
    # numpy computes on arrays of this size without holding the other threads up.
    with ThreadPoolExecutor(max_workers=_MOST_THREADS) as pool:
        found = np.concatenate(list(pool.map(partial(_scored, tallies, whole), parts)))
    out = np.full((len(found), len(tallies.models)), np.nan)
    out[:, tallies.models] = found - found.mean(axis=1, keepdims=True)
    return out


def _spread(values: Floats, where: NDArray[np.bool_]) -> Floats:
    """Return values at their places among all, NaN at the others."""
    out = np.full(len(where), np.nan)
    out[where] = values
    return out


def _fit(tallies: _Tallies) -> tuple[Floats, bool]:
    """Return the most probable parameters, flat, and whether the search ended by itself."""
    models, people = tallies.sides.shape[1], len(tallies.left_wins)
    start = np.concatenate([np.zeros(models), np.full(people, _START), np.zeros(people)])
    options = {"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-13, "gtol": 1e-6}
    found = minimize(_loss, start, (tallies,), jac=True, method="L-BFGS-B", options=options)
    flat: Floats = found.x
    return flat, bool(found.success)


def _loss(flat: Floats, tallies: _Tallies) -> tuple[float, Floats]:
    """Return the negative log posterior of one set of parameters and its gradient."""
    at = tallies.parts(flat)
    one = np.ones((1, len(tallies.left_wins)))
    terms = _Terms.at(at, tallies)
    gradient = np.concatenate(terms.gradient(at, one, tallies), axis=1)[0]
    return -float(_log_posterior(at, one, tallies)[0]), -gradient


def _score_prior(scores: Floats) -> Floats:
    value: Floats = _MET_THE_MIDDLE * (log_expit(scores) + log_expit(-scores)).sum(axis=-1)
    return value


def _log_posterior(at: _Batch, weights: Floats, tallies: _Tallies) -> Floats:
    """Return (resamples,) log posteriors.

    Args:
        at: where.
        weights: (resamples, participants) how often each person counts, with their own prior.
        tallies: the comparisons.
    """
    scores, gammas, places = at
    left, right = _likely(at, tallies)
    said: Floats = tallies.left_wins * np.log(left) + tallies.right_wins * np.log(right)
    own: Floats = said.sum(axis=2)
    own += _FOLLOWED_PICTURES * log_expit(gammas) + _FOLLOWED_PLACE * log_expit(-gammas)
    own += _EACH_PLACE * (log_expit(places) + log_expit(-places))
    total: Floats = (weights * own).sum(axis=1) + _score_prior(scores)
    return total


def _likely(at: _Batch, tallies: _Tallies) -> tuple[Floats, Floats]:
    """Return (resamples, participants, pairs) the probability of left, and of right."""
    ahead = (at.scores @ tallies.sides.T)[:, None, :]
    gammas, places = at.gammas[:, :, None], at.places[:, :, None]
    left = expit(gammas) * expit(ahead) + expit(-gammas) * expit(places)
    return left, expit(gammas) * expit(-ahead) + expit(-gammas) * expit(-places)


@dataclass(frozen=True)
class _Terms:
    """Probabilities and their derivatives at a batch of parameters.

    Attributes:
        left, right: (resamples, participants, pairs) probability of either answer; they are
            computed apart, because 1 - p of a p near 1 has no digits left.
        by_score: derivative of `left` by s_i - s_j, of the same shape.
        by_gamma: by gamma, of the same shape.
        by_place: by q, (resamples, participants, 1).
    """

    left: Floats
    right: Floats
    by_score: Floats
    by_gamma: Floats
    by_place: Floats

    @classmethod
    def at(cls, at: _Batch, tallies: _Tallies) -> _Terms:
        """Compute them."""
        scores, gammas, places = at
        ahead = (scores @ tallies.sides.T)[:, None, :]
        win, lose = expit(ahead), expit(-ahead)
        follow, stray = expit(gammas)[:, :, None], expit(-gammas)[:, :, None]
        first, second = expit(places)[:, :, None], expit(-places)[:, :, None]
        by_gamma, by_place = (win - first) * (follow * stray), stray * first * second
        return cls(*_likely(at, tallies), follow * (win * lose), by_gamma, by_place)

    def gradient(self, at: _Batch, weights: Floats, tallies: _Tallies) -> _Batch:
        """Return the log posterior's by scores, and by each person's gamma and q.

        Those by gamma and q are one person's own, not multiplied by how often the person counts.
        """
        scores, gammas, places = at
        slope = tallies.left_wins / self.left - tallies.right_wins / self.right
        by_pair = np.einsum("bk,bke->be", weights, slope * self.by_score)
        by_scores = by_pair @ tallies.sides - _MET_THE_MIDDLE * np.tanh(scores / 2)
        by_gammas = (slope * self.by_gamma).sum(axis=2)
        by_gammas = by_gammas + _FOLLOWED_PICTURES * expit(-gammas)
        by_gammas = by_gammas - _FOLLOWED_PLACE * expit(gammas)
        by_places = slope.sum(axis=2) * self.by_place[:, :, 0]
        by_places = by_places - _EACH_PLACE * np.tanh(places / 2)
        return _Batch(by_scores, by_gammas, by_places)


def _scored(tallies: _Tallies, whole: _Batch, weights: Floats) -> Floats:
    """Return (resamples, models) most probable scores, searched from the fit to everybody."""
    at = whole.take(np.zeros(len(weights), np.int64))
    found: Floats = at.scores.copy()
    live = np.arange(len(weights))
    value = _log_posterior(at, weights, tallies)
    for _ in range(_SEARCH_STEPS):
        at, reached = _better(at, value, weights, tallies)
        found[live] = at.scores
        going = reached - value > _SETTLED
        if not going.any():
            break
        live, weights, value, at = live[going], weights[going], reached[going], at.take(going)
    return found


def _better(at: _Batch, value: Floats, weights: Floats, tallies: _Tallies) -> tuple[_Batch, Floats]:
    """Return where a step of each resample leads, and the log posterior there.

    A step that would lose is halved; one that loses still is not made.
    """
    step = _scoring_step(at, weights, tallies)
    longest = np.abs(np.concatenate(step, axis=1)).max(axis=1)
    length = 1 / np.maximum(longest / _LONGEST_STEP, 1)
    reached = _log_posterior(at.moved(step, length), weights, tallies)
    for _ in range(_HALVINGS):
        lost = np.flatnonzero(reached < value)
        if not len(lost):
            break
        length[lost] /= 2
        there = at.take(lost).moved(step.take(lost), length[lost])
        reached[lost] = _log_posterior(there, weights[lost], tallies)
    length[reached < value] = 0
    return at.moved(step, length), np.maximum(reached, value)


def _scoring_step(at: _Batch, weights: Floats, tallies: _Tallies) -> _Batch:
    """Return the Fisher scoring step of all parameters of each resample; people go first."""
    terms = _Terms.at(at, tallies)
    by_scores, by_gammas, by_places = terms.gradient(at, weights, tallies)
    know = _Information.at(at, weights, tallies, terms)
    along = know.solved_gamma * by_gammas[:, :, None] + know.solved_place * by_places[:, :, None]
    target = by_scores - (weights[:, :, None] * along).sum(axis=1)
    step = np.linalg.solve(know.models, target[:, :, None])[:, :, 0]
    rest_gamma = by_gammas - (know.with_gamma @ step[:, :, None])[:, :, 0]
    rest_place = by_places - (know.with_place @ step[:, :, None])[:, :, 0]
    gamma_step = (know.place_place * rest_gamma - know.gamma_place * rest_place) / know.area
    place_step = (know.gamma_gamma * rest_place - know.gamma_place * rest_gamma) / know.area
    return _Batch(step, gamma_step, place_step)


def _errors(at: _Batch, tallies: _Tallies) -> Floats:
    """Return (models,) standard deviations of scores less their mean, at the most probable ones."""
    everybody = np.ones((1, len(tallies.left_wins)))
    know = _Information.at(at, everybody, tallies, _Terms.at(at, tallies))
    centred = np.eye(len(know.models[0])) - 1 / len(know.models[0])
    errors: Floats = np.sqrt(np.diagonal(centred @ np.linalg.inv(know.models[0]) @ centred))
    return errors


@dataclass(frozen=True)
class _Information:
    """Expected information: a block of models, one of two for each person, and what joins them.

    Attributes:
        gamma_gamma, gamma_place, place_place: (resamples, participants) a person's block, and its
            determinant, `area`.
        with_gamma, with_place: (resamples, participants, models) what joins a person's to the
            models'.
        solved_gamma, solved_place: the same, multiplied by the person's inverted block.
        models: (resamples, models, models) the models' block without what people's unknown
            parameters take from it (Schur complement), so that its inverse is the scores'
            covariance.
    """

    gamma_gamma: Floats
    gamma_place: Floats
    place_place: Floats
    area: Floats
    with_gamma: Floats
    with_place: Floats
    solved_gamma: Floats
    solved_place: Floats
    models: Floats

    @classmethod
    def at(cls, at: _Batch, weights: Floats, tallies: _Tallies, terms: _Terms) -> _Information:
        """Compute it."""
        scores, gammas, places = at
        sides = tallies.sides
        certain = (tallies.left_wins + tallies.right_wins) / (terms.left * terms.right)
        spread = expit(gammas) * expit(-gammas)
        gamma_gamma = (certain * terms.by_gamma**2).sum(axis=2)
        gamma_gamma = gamma_gamma + (_FOLLOWED_PICTURES + _FOLLOWED_PLACE) * spread
        gamma_place = (certain * terms.by_gamma).sum(axis=2) * terms.by_place[:, :, 0]
        place_place = certain.sum(axis=2) * terms.by_place[:, :, 0] ** 2
        place_place = place_place + 2 * _EACH_PLACE * expit(places) * expit(-places)
        with_gamma = (certain * terms.by_score * terms.by_gamma) @ sides
        with_place = (certain * terms.by_score) @ sides * terms.by_place
        area = gamma_gamma * place_place - gamma_place**2
        solved_gamma = _solved(place_place, gamma_place, area, with_gamma, with_place)
        solved_place = _solved(gamma_gamma, gamma_place, area, with_place, with_gamma)
        by_pair = np.einsum("bk,bke->be", weights, certain * terms.by_score**2)
        models = np.einsum("be,ei,ej->bij", by_pair, sides, sides)
        np.einsum("bii->bi", models)[...] += 2 * _MET_THE_MIDDLE * expit(scores) * expit(-scores)
        models -= np.swapaxes(weights[:, :, None] * with_gamma, 1, 2) @ solved_gamma
        models -= np.swapaxes(weights[:, :, None] * with_place, 1, 2) @ solved_place
        person = (gamma_gamma, gamma_place, place_place, area)
        return cls(*person, with_gamma, with_place, solved_gamma, solved_place, models)


def _solved(other: Floats, joint: Floats, area: Floats, own: Floats, others: Floats) -> Floats:
    """Return one row of a person's inverted block of two, times what joins it to the models."""
    row: Floats = (other[:, :, None] * own - joint[:, :, None] * others) / area[:, :, None]
    return row
