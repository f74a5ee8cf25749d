"""What is measured of drawn pictures: tensors in, numbers out (section 10 of the method).

Every number is computed in float64 on the CPU, whatever network and device the features come from.
Networks are not known here: `embed` takes a function from pictures to features, such as a
perceptual backbone's `features`; the measures take the vectors. Numbers of different networks,
sizes of sets or subset sizes are not to be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import draws
from .errors import ConfigError

__all__ = [
    "Interval",
    "KidEstimate",
    "class_accuracy",
    "diversity",
    "embed",
    "kid",
    "mean_interval",
    "similarity",
]

# Rows of a kernel matrix held at once; MS COCO's whole matrix would not fit.
_KERNEL_ROWS = 1024

_REPORTED = 1000
"""KID is reported in thousandths."""


@dataclass(frozen=True)
class KidEstimate:
    """A Kernel Inception Distance in the unit in which it is reported: x 1000.

    Attributes:
        mean: 1000 x MMD^2, the mean over subsets; below 0 by chance where both sets are alike.
        std: 1000 x the standard deviation over subsets (divisor `num_subsets`); None for the whole
            set. Subsets share pictures, so it is the spread of one subset, no error of the mean.
        subset_size: pictures of either set in a subset; None for the whole set.
        num_subsets: how many were drawn; 1 for the whole set.
    """

    mean: float
    std: float | None
    subset_size: int | None
    num_subsets: int


@dataclass(frozen=True)
class Interval:
    """A mean and how far its confidence interval reaches to either side."""

    mean: float
    half_width: float


def embed(
    features: Callable[[Tensor], Tensor | list[Tensor]], images: Tensor, *, batch_size: int = 16
) -> Tensor:
    """Return one vector a picture: every feature map's mean over its places, concatenated.

    Where the measure is defined on another vector, pass a function that returns it, say the class
    token: `lambda images: backbone.features(images)[0][:, 0]`.

    Args:
        features: (batch, 3, height, width) in [0, 1] -> one tensor or a list of them, each
            (batch, channels), (batch, tokens, channels) or (batch, channels, rows, columns).
        images: (pictures, 3, height, width) in [0, 1], on the device that `features` expects.
        batch_size: pictures that go through the network at once.

    Returns:
        (pictures, dim), float32 or wider, on the CPU, without gradient.

    Raises:
        ConfigError: no pictures, no batch, or features of another shape.
    """
    _require_axes("images", images, ("pictures", "channels", "height", "width"))
    if batch_size < 1:
        raise ConfigError(f"`batch_size` must be 1 or more but got {batch_size}.")
    vectors = []
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            answer = features(batch)
            maps = [answer] if isinstance(answer, Tensor) else answer
            vectors.append(torch.cat([_pooled(one, len(batch)) for one in maps], dim=1).cpu())
    return torch.cat(vectors)


def kid(
    generated: Tensor,
    reference: Tensor,
    *,
    subset_size: int | None = None,
    num_subsets: int = 100,
    seed: int = 0,
) -> KidEstimate:
    """Kernel Inception Distance x 1000 between two sets of pictures; lower is nearer.

    MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j) with
    k(x, y) = (x . y / dim + 1)^3. It is unbiased, so the expected value of subsets of any size is
    that of the whole sets. Source: Binkowski et al. 2018 (Demystifying MMD GANs), section 4.

    Args:
        generated: (pictures, dim) features x.
        reference: (other pictures, dim) features y of the same network.
        subset_size: pictures drawn from either set, without repetition; None takes both whole.
        num_subsets: how many subsets are drawn; without effect on whole sets.
        seed: of the subsets, which are a function of it and of the sets' sizes.

    Raises:
        ConfigError: features of different networks, or fewer pictures than a subset needs.
    """
    x = _checked("generated", generated, ("pictures", "dim"))
    y = _checked("reference", reference, ("pictures", "dim"))
    if x.shape[1] != y.shape[1]:
        raise ConfigError(
            f"`generated` has {x.shape[1]} numbers a picture but `reference` has {y.shape[1]}. "
            "Embed both with the same network."
        )
    fewest = min(len(x), len(y))
    if fewest < 2:
        raise ConfigError(
            f"KID needs at least 2 pictures of either kind but got {len(x)} generated and {len(y)} "
            "reference pictures. Bring more."
        )
    if subset_size is None:
        return KidEstimate(_REPORTED * _squared_mmd(x, y), None, None, 1)
    if not 2 <= subset_size <= fewest:
        raise ConfigError(
            f"`subset_size` must be from 2 to {fewest}, the pictures of the smaller set, but got "
            f"{subset_size}. Choose another one, or None for the whole sets."
        )
    if num_subsets < 1:
        raise ConfigError(f"`num_subsets` must be 1 or more but got {num_subsets}.")

    def subset(vectors: Tensor, name: str, number: int) -> Tensor:
        draw = draws.generator(seed, "kid", name, number)
        return vectors[torch.randperm(len(vectors), generator=draw)[:subset_size]]

    estimates = torch.tensor(
        [
            _REPORTED * _squared_mmd(subset(x, "generated", number), subset(y, "reference", number))
            for number in range(num_subsets)
        ],
        dtype=torch.float64,
    )
    std = float(estimates.std(correction=0))
    return KidEstimate(float(estimates.mean()), std, subset_size, num_subsets)


def similarity(generated: Tensor, training: Tensor) -> float:
    """How much is copied (table 2): mean cosine of drawings and their caption's training picture.

    Args:
        generated: (captions, pictures, dim) vectors of the pictures drawn for each caption.
        training: (captions, dim), of the training picture with the same caption.

    Returns:
        In [-1, 1]; lower is less copied.

    Raises:
        ConfigError: shapes that do not go together, or a vector of length 0.
    """
    drawn = _unit("generated", generated, ("captions", "pictures", "dim"))
    original = _unit("training", training, ("captions", "dim"))
    captions, _, dim = drawn.shape
    if original.shape != (captions, dim):
        raise ConfigError(
            f"`training` must be {(captions, dim)} beside `generated` of shape "
            f"{tuple(drawn.shape)} but got {tuple(original.shape)}. Pass one training picture a "
            "caption, embedded with the same network."
        )
    return float((drawn * original[:, None]).sum(dim=-1).mean())


def diversity(embeddings: Tensor) -> float:
    """DIV (table 2): mean cosine distance of two pictures of one caption, averaged over captions.

    Args:
        embeddings: (captions, pictures, dim); the paper's are DreamSim's.

    Returns:
        In [0, 2], 0 where all pictures of a caption are the same; higher is more varied.

    Raises:
        ConfigError: another shape, one picture a caption, or a vector of length 0.
    """
    vectors = _unit("embeddings", embeddings, ("captions", "pictures", "dim"))
    pictures = vectors.shape[1]
    if pictures < 2:
        raise ConfigError("Diversity needs at least 2 pictures a caption but got 1. Draw more.")
    # |sum_i u_i|^2 = sum_i |u_i|^2 + sum_{i != j} u_i . u_j
    cosines = vectors.sum(dim=1).square().sum(dim=1) - vectors.square().sum(dim=(1, 2))
    return 1 - float(cosines.mean()) / (pictures * (pictures - 1))


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
        scores = _checked("predictions", predictions, ("pictures", "classes"))
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


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean over seeds and its Student-t confidence interval: mean +- t std / sqrt(n).

    Args:
        values: one measurement a seed, independent and about normally distributed.
        confidence: share of such intervals that hold the true mean, in (0, 1).

    Raises:
        ConfigError: fewer than 2 values, or another confidence.
    """
    count = len(values)
    if count < 2:
        raise ConfigError(
            f"A confidence interval needs at least 2 values but got {count}. Measure more seeds."
        )
    if not 0 < confidence < 1:
        raise ConfigError(f"`confidence` must lie between 0 and 1 but got {confidence}.")
    measured = torch.tensor([float(value) for value in values], dtype=torch.float64)
    error = float(measured.std(correction=1)) / math.sqrt(count)
    return Interval(float(measured.mean()), _t_quantile(confidence, count - 1) * error)


def _squared_mmd(x: Tensor, y: Tensor) -> float:
    """(n, dim), (m, dim) -> the unbiased MMD^2."""
    dim = x.shape[1]

    def within(vectors: Tensor) -> float:
        diagonal = (vectors.square().sum(dim=1) / dim + 1).pow(3).sum()
        count = len(vectors)
        return float(_kernel_sum(vectors, vectors) - diagonal) / (count * (count - 1))

    return within(x) + within(y) - 2 * float(_kernel_sum(x, y)) / (len(x) * len(y))


def _kernel_sum(x: Tensor, y: Tensor) -> Tensor:
    blocks = (x[start : start + _KERNEL_ROWS] for start in range(0, len(x), _KERNEL_ROWS))
    return torch.stack([(rows @ y.T / x.shape[1] + 1).pow(3).sum() for rows in blocks]).sum()


def _t_quantile(confidence: float, dof: int) -> float:
    """Return t with P(|T| < t) = confidence, by bisection of the angle atan(t / sqrt(dof))."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if _t_probability(middle, dof) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(dof) * math.tan(low)


def _t_probability(angle: float, dof: int) -> float:
    """P(|T| < sqrt(dof) tan(angle)), a finite sum: Abramowitz & Stegun 26.7.3 and 26.7.4."""
    odd = dof % 2
    term, total = math.cos(angle) ** odd, 0.0
    for power in range(odd, dof - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


def _pooled(feature: Tensor, count: int) -> Tensor:
    """(batch, ...) -> (batch, channels), the mean over tokens or over rows and columns."""
    if feature.ndim not in (2, 3, 4) or len(feature) != count:
        raise ConfigError(
            "Features must be (batch, channels), (batch, tokens, channels) or (batch, channels, "
            f"rows, columns) but {count} pictures got {tuple(feature.shape)}. Choose another "
            "network, or shape its features."
        )
    # In half precision a sum over many places would lose what is small.
    wide = feature.to(torch.promote_types(feature.dtype, torch.float32))
    if wide.ndim == 2:
        return wide
    return wide.mean(dim=1) if wide.ndim == 3 else wide.mean(dim=(2, 3))


def _require_axes(name: str, tensor: Tensor, axes: tuple[str, ...]) -> None:
    if tensor.ndim != len(axes) or tensor.numel() == 0:
        raise ConfigError(
            f"`{name}` must be ({', '.join(axes)}), none of them 0, but got {tuple(tensor.shape)}."
        )


def _checked(name: str, tensor: Tensor, axes: tuple[str, ...]) -> Tensor:
    """Return the tensor in float64 on the CPU if it has these axes and is finite."""
    _require_axes(name, tensor, axes)
    if not bool(tensor.isfinite().all()):
        raise ConfigError(
            f"`{name}` holds NaN or infinite numbers, of which nothing can be measured. Run the "
            "network in float32."
        )
    return tensor.detach().to("cpu", torch.float64)


def _unit(name: str, tensor: Tensor, axes: tuple[str, ...]) -> Tensor:
    """Return what `_checked` does, each vector scaled to length 1."""
    vectors = _checked(name, tensor, axes)
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    if bool((lengths == 0).any()):
        raise ConfigError(
            f"`{name}` holds a vector of length 0, which has no direction to compare. Embed with "
            "another network."
        )
    return vectors / lengths


def _indices(name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim != 1 or tensor.numel() == 0 or tensor.is_floating_point():
        raise ConfigError(
            f"`{name}` must be (pictures,) integers, at least one, but got "
            f"{tuple(tensor.shape)} {tensor.dtype}."
        )
    return tensor.detach().cpu()
