"""The library that the paper names, beside this pack's own methods: where the two differ, and why.

crowd-kit is needed for this alone (`pip install "scoft[crowd-kit]"`): it brings transformers,
scikit-learn, pyarrow and nltk along, whose versions a ComfyUI may have chosen otherwise. It is run
as it is: on everything at once, also where people share no task.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from .errors import ConfigError
from .mmsr import Vote, majority_order, task_wins
from .noisy_bradley_terry import NoisyBradleyTerry
from .rank_statistics import tiers
from .rank_table import Comparisons, Floats, Ints
from .survey_records import Difference, Order

__all__ = ["crowd_kit_differences"]

_Frame: TypeAlias = Any
"""A pandas.DataFrame; pandas comes with crowd-kit."""

_NOTABLE = 0.05
"""A probability that differs by more is told of."""

_CHANCE = 0.5
"""The probability of a person without weight."""


@dataclass(frozen=True)
class _Answer:
    """What a method says: an order, and probabilities of people, in [0, 1], NaN where unknown."""

    order: Order
    people: Floats

    @property
    def in_words(self) -> str:
        """The order: best first, those in one tier with `=` between."""
        return " > ".join(" = ".join(tier) for tier in self.order) or "no order"


def crowd_kit_differences(
    compared: Comparisons,
    nbt: NoisyBradleyTerry | None,
    vote: Vote | None,
    *,
    group: str | None,
    item: str | None,
) -> list[Difference]:
    """Run crowd-kit's Noisy Bradley-Terry and MMSR on the same comparisons, and tell differences.

    A difference is another order of models, a person's skill (Noisy Bradley-Terry: the share that
    follows the pictures; MMSR: the probability of saying the consensus) that is more than 0.05
    away, or a failure. crowd-kit knows no ties; they are left out for it.

    Args:
        compared: a slice's comparisons.
        nbt, vote: what this pack says of them; None where it was not fitted, or nothing voted on.
        group, item: of the slice.

    Raises:
        ConfigError: crowd-kit is not installed.
    """
    told = compared.outcome != 0.5
    if not told.any():
        return []
    frame = _frame(compared, told)
    found: list[Difference] = []
    if nbt is not None:
        order = tiers(compared.models, nbt.scores, highest_first=True, tolerance=1e-4)
        ours = _Answer(order, nbt.skills)
        theirs = _attempt(_their_strengths, frame, compared)
        why = _why_strengths(bool((~told).any()))
        found += _difference("Noisy Bradley-Terry", ours, theirs, why, group, item)
    if vote is not None:
        ours = _Answer(vote.order, expit(vote.skills))
        theirs = _attempt(_their_vote, frame, compared)
        why = _why_vote(compared, vote, theirs, told)
        found += _difference("MMSR", ours, theirs, why, group, item)
    return found


def _difference(
    method: str,
    ours: _Answer,
    theirs: _Answer | str,
    why: str,
    group: str | None,
    item: str | None,
) -> Iterator[Difference]:
    """Yield what is to be told, if anything."""
    if isinstance(theirs, str):
        facts, in_words = "crowd-kit gives no answer.", theirs
    else:
        facts, in_words = " ".join(_facts(ours, theirs)), theirs.in_words
    if facts:
        sentence = f"{facts} {why}".strip()
        yield Difference(method, group, item, ours.in_words, in_words, sentence)


def _facts(ours: _Answer, theirs: _Answer) -> Iterator[str]:
    """Yield a sentence for each kind of difference."""
    if ours.order != theirs.order:
        yield "The orders differ."
    both = ~np.isnan(ours.people)
    unknown = int((both & np.isnan(theirs.people)).sum())
    if unknown:
        yield f"crowd-kit has no number for {_people(unknown)} of {int(both.sum())}."
    both &= ~np.isnan(theirs.people)
    apart = np.abs(ours.people - theirs.people)[both]
    many = int((apart > _NOTABLE).sum())
    if many:
        yield (
            f"The skills of {_people(many)} of {int(both.sum())} differ by more than {_NOTABLE}, "
            f"at most by {apart.max():.2f}{_correlation(ours.people[both], theirs.people[both])}."
        )


def _correlation(ours: Floats, theirs: Floats) -> str:
    if len(ours) < 3:
        return ""
    if np.ptp(theirs) < 1e-9:
        return "; crowd-kit's are all the same"
    if np.ptp(ours) < 1e-9:
        return ""
    return f"; the two correlate by {np.corrcoef(ours, theirs)[0, 1]:.2f}"


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _why_strengths(ties: bool) -> str:
    """Return why Noisy Bradley-Terry differs."""
    why = (
        "crowd-kit's gradient puts people's skills and biases one place too low and keeps only "
        "each person's last comparison, so its search stops early or goes astray."
    )
    return f"{why} Ties are left out there, half a win each here." if ties else why


def _why_vote(
    compared: Comparisons, vote: Vote, theirs: _Answer | str, told: NDArray[np.bool_]
) -> str:
    """Return what is known of why crowd-kit's MMSR differs on these answers."""
    sentences = []
    strangers = _pairs_of_strangers(compared, told)
    if strangers:
        pairs = "1 pair" if strangers == 1 else f"{strangers} pairs"
        sentences.append(
            f"crowd-kit takes people who share no comparison for perfect opponents; here {pairs} "
            "of people share none."
        )
    if any(group.method != "MMSR" for group in vote.groups):
        sentences.append("This pack lets a majority decide where MMSR cannot weigh people.")
    if isinstance(theirs, str):
        if len(np.unique(_side(compared)[told])) == 1:
            sentences.append("crowd-kit divides by zero where all answers are the same.")
        return " ".join(sentences)
    if (theirs.people == _CHANCE).any():
        sentences.append(
            "crowd-kit gives nobody weight where as many come out against the consensus as for "
            "it, and none to somebody whose agreements add up to nothing."
        )
    return " ".join(sentences) or (
        "crowd-kit also counts people near chance as against the others; here only those whom "
        "chance does not explain."
    )


def _pairs_of_strangers(compared: Comparisons, told: NDArray[np.bool_]) -> int:
    """Return how many pairs of the people who told pictures apart share no task."""
    people, person = np.unique(compared.participant[told], return_inverse=True)
    answered = np.zeros((len(people), int(compared.task.max()) + 1), np.float32)
    answered[person, compared.task[told]] = 1
    shared = answered @ answered.T
    return int((shared == 0).sum()) // 2


def _frame(compared: Comparisons, told: NDArray[np.bool_]) -> _Frame:
    """Return the comparisons without ties, as both of crowd-kit's methods read them.

    Columns: worker, left, right, label (numbers of models, as for Noisy Bradley-Terry), task, and
    side (MMSR's label: whether the model of the lower number was chosen).
    """
    try:
        import pandas
    except ImportError as error:
        raise _missing(error) from error
    columns = {
        "worker": compared.participant,
        "left": compared.left,
        "right": compared.right,
        "label": _winner(compared),
        "task": compared.task,
        "side": _side(compared),
    }
    return pandas.DataFrame({name: column[told] for name, column in columns.items()})


def _winner(compared: Comparisons) -> Ints:
    """Return (comparisons,) the better model; of a tie it is either."""
    return np.where(compared.outcome > 0.5, compared.left, compared.right)


def _side(compared: Comparisons) -> Ints:
    """Return (comparisons,) 1 where the model of the lower number is better, else 0."""
    lower = np.minimum(compared.left, compared.right)
    side: Ints = (_winner(compared) == lower).astype(np.int64)
    return side


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(
        f"The engine crowd-kit needs the Python package crowd-kit ({error}). Install it by "
        "`pip install crowd-kit`, or choose the engine scoft."
    )


def _attempt(run: Any, frame: _Frame, compared: Comparisons) -> _Answer | str:
    """Return crowd-kit's answer, or in words how it failed."""
    try:
        with _quiet():
            answer: _Answer = run(frame, compared)
    except ImportError as error:
        raise _missing(error) from error
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is to be told
        return f"failed: {type(error).__name__}: {error}"
    return answer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back crowd-kit's warnings, and put back numpy's random state, which it seeds."""
    state = np.random.get_state()  # noqa: NPY002 - it is kept, not used
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _their_strengths(frame: _Frame, compared: Comparisons) -> _Answer:
    from crowdkit.aggregation import NoisyBradleyTerry as TheirNoisyBradleyTerry

    model = TheirNoisyBradleyTerry()
    scores = model.fit_predict(frame)
    order = tiers(
        compared.models, _placed(scores, len(compared.models)), highest_first=True, tolerance=1e-4
    )
    return _Answer(order, _placed(model.skills_, len(compared.participants)))


def _their_vote(frame: _Frame, compared: Comparisons) -> _Answer:
    from crowdkit.aggregation import MMSR

    model = MMSR()
    votes = frame[["task", "worker"]].assign(label=frame["side"])
    chosen = model.fit_predict(votes)
    labels = np.zeros(int(compared.task.max()) + 1, np.int64)
    labels[chosen.index.to_numpy()] = 2 * chosen.to_numpy() - 1
    order = majority_order(compared.models, task_wins(compared, labels))
    return _Answer(order, expit(_placed(model.skills_, len(compared.participants))))


def _placed(series: Any, count: int) -> Floats:
    """Return a pandas.Series by number as an array, NaN where it says nothing."""
    values = np.full(count, np.nan)
    values[series.index.to_numpy()] = series.to_numpy()
    return values
