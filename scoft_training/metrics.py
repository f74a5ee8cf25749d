"""What is measured of drawn pictures: tensors in, numbers out (section 10 of the method).

Every number is computed in float64 on the CPU, whatever network and device the features come from.
Networks are not known here: the measures take vectors, `embed` pools a network's feature maps to
them. Numbers of different networks, sizes of sets or subset sizes are not to be compared. Their
confidence intervals are in `intervals`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from . import draws
from .errors import ConfigError
from .kernels import numbered_prompts, squared_mmd, two_sets
from .vectors import canonical_order, checked, embed, unit

__all__ = [
    "CLIP_SCORE_FORMS",
    "FidEstimate",
    "KidEstimate",
    "caption_clip_scores",
    "class_accuracy",
    "clip_score_forms",
    "diversities",
    "diversity",
    "embed",
    "few_for_kid",
    "fid",
    "kid",
    "nearest",
    "similarities",
    "similarity",
    "vendi_score",
    "vendi_scores",
]

_REPORTED = 1000
"""KID is reported in thousandths."""

_FEW_FOR_KID = 50

_NEAREST_ROWS = 1024
"""Drawings that are compared with all training pictures at once."""

CLIP_SCORE_FORMS: Mapping[str, str] = MappingProxyType(
    {
        "cosine": "mean cosine of picture and prompt, nothing clamped",
        "2.5 x": (
            "CLIPScore of Hessel et al. 2021: 2.5 x cosine, each picture's clamped at 0 before "
            "the mean (their code also puts 'A photo depicts' before each caption; here prompts "
            "stay as they are)"
        ),
        "100 x": (
            "torchmetrics' clip_score: 100 x cosine, the mean clamped at 0, no picture's own"
        ),
    }
)
"""Form of a CLIP Score -> whose it is and what it does with negative cosines."""


@dataclass(frozen=True)
class KidEstimate:
    """A Kernel Inception Distance.

    Attributes:
        value: MMD^2, the mean over subsets; below 0 by chance where both sets are alike, and then
            shown as it is.
        std: the standard deviation over subsets (divisor `num_subsets`); None for the whole set.
            Subsets share pictures, so it is the spread of one subset, no error of the value: that
            is `intervals.kid_interval`'s.
        subset_size: pictures of either set in a subset; None for the whole set.
        num_subsets: how many were drawn; 1 for the whole set.
        warning: a sentence where there are too few pictures to rely on it, else empty.
    """

    value: float
    std: float | None
    subset_size: int | None
    num_subsets: int
    warning: str = ""

    @property
    def reported(self) -> float:
        """The value x 1000, as papers print it."""
        return _REPORTED * self.value

    @property
    def reported_std(self) -> float | None:
        """The spread over subsets x 1000."""
        return None if self.std is None else _REPORTED * self.std


@dataclass(frozen=True)
class FidEstimate:
    """A Frechet Inception Distance; `warning` is empty, or a sentence where sets are too small."""

    value: float
    warning: str = ""


def kid(
    generated: Tensor,
    reference: Tensor,
    *,
    subset_size: int | None = None,
    num_subsets: int = 100,
    seed: int = 0,
    keys: tuple[Sequence[str], Sequence[str]] | None = None,
    prompts: tuple[Sequence[int], Sequence[int]] | None = None,
) -> KidEstimate:
    """Kernel Inception Distance between two sets of pictures; lower is nearer.

    MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j) with
    k(x, y) = (x . y / dim + 1)^3. It is unbiased, so the expected value of subsets of any size is
    that of the whole sets. Source: Binkowski et al. 2018 (Demystifying MMD GANs), section 4.
    torch-fidelity and clean-fid compute the same, but of equally large sets only, whole kernel
    matrices in memory, with subsets that depend on the order of the files.

    Args:
        generated: (pictures, dim) features x.
        reference: (other pictures, dim) features y of the same network.
        subset_size: pictures drawn from either set, without repetition; None takes both whole.
        num_subsets: how many subsets are drawn; without effect on whole sets.
        seed: of the subsets, which are a function of it and of the sets, not of their order.
        keys: one a picture of either set, say its file's digest, by which subsets know the
            pictures; None knows them by their vectors (see `vectors.canonical_order`).
        prompts: one a picture of either set, where both were drawn for the same prompts. Pictures
            of one prompt are alike, and across the sets such pairs would push KID below zero;
            with their prompts known they are left out of all three means (torch-fidelity's
            "u-statistic", where each prompt has one picture). None takes all pairs.

    Raises:
        ConfigError: features of different networks, fewer pictures than a subset needs, or a
            subset of one prompt only.
    """
    x, y = two_sets(generated, reference, fewest=2, measure="KID")
    apart = None if prompts is None else numbered_prompts(*prompts, counts=(len(x), len(y)))
    warning = few_for_kid(len(x), len(y), subset_size)
    if subset_size is None:
        return KidEstimate(squared_mmd(x, y, apart), None, None, 1, warning)
    _require_subsets(subset_size, num_subsets, min(len(x), len(y)))
    x_keys, y_keys = keys or (None, None)
    orders = canonical_order(x, x_keys), canonical_order(y, y_keys)

    def subset(order: Tensor, name: str, number: int) -> Tensor:
        draw = draws.generator(seed, "kid", name, number)
        return order[torch.randperm(len(order), generator=draw)[:subset_size]]

    values = []
    for number in range(num_subsets):
        i, j = subset(orders[0], "generated", number), subset(orders[1], "reference", number)
        values.append(squared_mmd(x[i], y[j], apart and (apart[0][i], apart[1][j])))
    estimates = torch.tensor(values, dtype=torch.float64)
    std = float(estimates.std(correction=0))
    return KidEstimate(float(estimates.mean()), std, subset_size, num_subsets, warning)


def few_for_kid(generated: int, reference: int, subset_size: int | None) -> str:
    """Return a sentence where a KID of so many pictures is not to be relied on, else nothing."""
    used = min(generated, reference) if subset_size is None else subset_size
    if used >= _FEW_FOR_KID:
        return ""
    return (
        f"KID of {generated} generated and {reference} reference pictures"
        f"{'' if subset_size is None else f', {subset_size} at a time,'} rests on fewer than "
        f"{_FEW_FOR_KID}: chance moves it by as much as models differ. Draw or bring more."
    )


def fid(generated: Tensor, reference: Tensor) -> FidEstimate:
    """Frechet distance of two sets' features, taken for normal; lower is nearer.

    |mu_x - mu_y|^2 + Tr(S_x + S_y - 2 (S_x S_y)^(1/2)) with the covariances S (divisor n - 1).
    Source: Heusel et al. 2017 (GANs Trained by a Two Time-Scale Update Rule), eq. 6.
    The root's trace is the sum of the singular values of X Y^T, X and Y the centred features over
    sqrt(n - 1). torch-fidelity and clean-fid take eigenvalues or a root of S_x S_y instead, which
    agrees for sets larger than dim. For smaller ones S_x S_y is singular, and what rounding leaves
    of its zeros moves their result by more than 1e-5 when the files come in another order.

    Args:
        generated: (pictures, dim) features x.
        reference: (other pictures, dim) features y of the same network.

    Returns:
        0 or more, up to rounding. It is biased upwards, the more so the fewer pictures: compare
        only sets of equal sizes.

    Raises:
        ConfigError: features of different networks, or fewer than 2 pictures of a kind.
    """
    x, y = two_sets(generated, reference, fewest=2, measure="FID")
    shift = (x.mean(dim=0) - y.mean(dim=0)).square().sum()
    one, two = _root_of_covariance(x), _root_of_covariance(y)
    overlap = torch.linalg.svdvals(one @ two.T).sum()
    value = float(shift + one.square().sum() + two.square().sum() - 2 * overlap)
    fewest, dim = min(len(x), len(y)), x.shape[1]
    if fewest > dim:
        return FidEstimate(value)
    return FidEstimate(
        value,
        f"FID of {len(x)} generated and {len(y)} reference pictures is far too high: a covariance "
        f"of {dim} numbers needs {dim + 1} pictures of either kind, and steady values some 10,000. "
        "Rely on KID instead.",
    )


def caption_clip_scores(image_vectors: Tensor, text_vectors: Tensor) -> Tensor:
    """Cosine of each picture and its prompt, nothing scaled or clamped.

    Args:
        image_vectors: (pictures, dim) projected embeddings of one CLIP.
        text_vectors: (pictures, dim), of the prompt that each picture was drawn for.

    Returns:
        (pictures,) in [-1, 1]; `clip_score_forms` makes the figures that papers print of it.

    Raises:
        ConfigError: shapes that do not go together, or a vector of length 0.
    """
    pictures = unit("image_vectors", image_vectors, ("pictures", "dim"))
    texts = unit("text_vectors", text_vectors, ("pictures", "dim"))
    if pictures.shape != texts.shape:
        raise ConfigError(
            f"`image_vectors` is {tuple(pictures.shape)} but `text_vectors` is "
            f"{tuple(texts.shape)}. Pass each picture's prompt, embedded with the same CLIP."
        )
    return (pictures * texts).sum(dim=1)


def clip_score_forms(cosines: Tensor) -> dict[str, float]:
    """Return a CLIP Score in the forms in use, by their names in CLIP_SCORE_FORMS.

    Args:
        cosines: (pictures,) as `caption_clip_scores` returns them.

    Raises:
        ConfigError: another shape, no picture, or NaN.
    """
    raw = checked("cosines", cosines, ("pictures",))
    mean = float(raw.mean())
    return {
        "cosine": mean,
        "2.5 x": 2.5 * float(raw.clamp(min=0).mean()),
        "100 x": 100 * max(mean, 0.0),
    }


def similarities(generated: Tensor, training: Tensor) -> Tensor:
    """How much is copied (table 2): mean cosine of drawings and their caption's training picture.

    Args:
        generated: (captions, pictures, dim) vectors of the pictures drawn for each caption.
        training: (captions, dim), of the training picture with the same caption.

    Returns:
        (captions,) in [-1, 1]; lower is less copied.

    Raises:
        ConfigError: shapes that do not go together, or a vector of length 0.
    """
    drawn = unit("generated", generated, ("captions", "pictures", "dim"))
    original = unit("training", training, ("captions", "dim"))
    captions, _, dim = drawn.shape
    if original.shape != (captions, dim):
        raise ConfigError(
            f"`training` must be {(captions, dim)} beside `generated` of shape "
            f"{tuple(drawn.shape)} but got {tuple(original.shape)}. Pass one training picture a "
            "caption, embedded with the same network."
        )
    return (drawn * original[:, None]).sum(dim=-1).mean(dim=1)


def similarity(generated: Tensor, training: Tensor) -> float:
    """Return the mean of `similarities` over captions."""
    return float(similarities(generated, training).mean())


def diversities(embeddings: Tensor) -> Tensor:
    """DIV (table 2): mean cosine distance of two pictures of one caption.

    Args:
        embeddings: (captions, pictures, dim); the paper's are DreamSim's.

    Returns:
        (captions,) in [0, 2], 0 where all pictures of the caption are the same; higher is more
        varied.

    Raises:
        ConfigError: another shape, one picture a caption, or a vector of length 0.
    """
    vectors = unit("embeddings", embeddings, ("captions", "pictures", "dim"))
    pictures = vectors.shape[1]
    if pictures < 2:
        raise ConfigError("Diversity needs at least 2 pictures a caption but got 1. Draw more.")
    # |sum_i u_i|^2 = sum_i |u_i|^2 + sum_{i != j} u_i . u_j
    cosines = vectors.sum(dim=1).square().sum(dim=1) - vectors.square().sum(dim=(1, 2))
    # Of equal pictures rounding would leave -1e-16.
    return (1 - cosines / (pictures * (pictures - 1))).clamp(min=0)


def diversity(embeddings: Tensor) -> float:
    """Return the mean of `diversities` over captions."""
    return float(diversities(embeddings).mean())


def vendi_score(embeddings: Tensor) -> float:
    """How many different pictures there are in effect, by cosine.

    exp(-sum_i l_i log l_i) with the eigenvalues l of the matrix of cosines over its size.
    Source: Friedman & Dieng 2023 (The Vendi Score), definition 3.1, order 1.

    Args:
        embeddings: (pictures, dim).

    Returns:
        From 1, all alike, to the smaller of `pictures` and `dim`, all at right angles. It grows
        with the number of pictures: compare sets of one size.

    Raises:
        ConfigError: another shape, or a vector of length 0.
    """
    vectors = unit("embeddings", embeddings, ("pictures", "dim"))
    pictures, dim = vectors.shape
    # Both Gram matrices have the same eigenvalues but for zeros, which add nothing.
    gram = vectors @ vectors.T if pictures <= dim else vectors.T @ vectors
    shares = torch.linalg.eigvalsh(gram / pictures)
    shares = shares[shares > 0]
    return math.exp(-float((shares * shares.log()).sum()))


def vendi_scores(embeddings: Tensor) -> Tensor:
    """Return `vendi_score` of each caption's pictures: (captions, pictures, dim) -> (captions,)."""
    vectors = checked("embeddings", embeddings, ("captions", "pictures", "dim"))
    return torch.tensor([vendi_score(drawn) for drawn in vectors], dtype=torch.float64)


def nearest(generated: Tensor, training: Tensor) -> tuple[Tensor, Tensor]:
    """Find the training picture that each drawing is most like, by cosine.

    Args:
        generated: (pictures, dim).
        training: (training pictures, dim) of the same network.

    Returns:
        (pictures,) places in `training`, the first of equally near ones, and (pictures,) cosines.

    Raises:
        ConfigError: shapes that do not go together, or a vector of length 0.
    """
    drawn = unit("generated", generated, ("pictures", "dim"))
    known = unit("training", training, ("pictures", "dim"))
    if drawn.shape[1] != known.shape[1]:
        raise ConfigError(
            f"`generated` has {drawn.shape[1]} numbers a picture but `training` has "
            f"{known.shape[1]}. Embed both with the same network."
        )
    places = torch.cat(
        [(rows @ known.T).argmax(dim=1) for rows in torch.split(drawn, _NEAREST_ROWS)]
    )
    return places, (drawn * known[places]).sum(dim=1)


def class_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of pictures in which a classifier sees the class that was asked for.

    Args:
        predictions: (pictures, classes) scores, the highest of which counts, or (pictures,)
            integers, the predicted classes.
        labels: (pictures,) integers, the asked classes.

    Returns:
        In [0, 1].

    Raises:
        ConfigError: shapes that do not go together, or a label that is no class.
    """
    if predictions.ndim == 2:
        scores = checked("predictions", predictions, ("pictures", "classes"))
        predicted, classes = scores.argmax(dim=1), scores.shape[1]
    else:
        predicted, classes = _indices("predictions", predictions), None
    asked = _indices("labels", labels)
    if predicted.shape != asked.shape:
        raise ConfigError(
            f"`predictions` has {len(predicted)} pictures but `labels` has {len(asked)}. Pass one "
            "label a picture."
        )
    if classes is not None and not 0 <= int(asked.min()) <= int(asked.max()) < classes:
        raise ConfigError(
            f"`labels` must be from 0 to {classes - 1}, the classes of `predictions`, but got "
            f"{int(asked.min())} to {int(asked.max())}."
        )
    return float((predicted == asked).to(torch.float64).mean())


def _require_subsets(size: int, count: int, fewest: int) -> None:
    if not 2 <= size <= fewest:
        raise ConfigError(
            f"`subset_size` must be from 2 to {fewest}, the pictures of the smaller set, but got "
            f"{size}. Choose another one, or None for the whole sets."
        )
    if count < 1:
        raise ConfigError(f"`num_subsets` must be 1 or more but got {count}.")


def _root_of_covariance(vectors: Tensor) -> Tensor:
    """(n, dim) -> R, at most (dim, dim), with R^T R the covariance."""
    centred = (vectors - vectors.mean(dim=0)) / math.sqrt(len(vectors) - 1)
    if len(vectors) <= vectors.shape[1]:
        return centred
    triangular: Tensor = torch.linalg.qr(centred, mode="r").R
    return triangular


def _indices(name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim != 1 or tensor.numel() == 0 or tensor.is_floating_point():
        raise ConfigError(
            f"`{name}` must be (pictures,) integers, at least one, but got "
            f"{tuple(tensor.shape)} {tensor.dtype}."
        )
    return tensor.detach().cpu()
