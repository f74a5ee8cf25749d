"""The one interface of networks that metrics measure with: pictures in [0, 1] -> one vector each.

Unlike a perceptual backbone such a network is never trained through, so pictures are prepared
exactly as the metric's reference does it: in 8 bits, by Pillow, on the CPU whatever the device. Not
here: the networks (`inception_network`, `clip_score_network`, `dino_networks`) and their names
(`metric_networks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from .backbone_interface import network_digest
from .errors import ConfigError

__all__ = [
    "MetricNetwork",
    "TextMetricNetwork",
    "centre_cut",
    "squeezed",
    "to_bytes",
]

_TEXTS_AT_ONCE = 64

# Part of every digest: raise it when pictures are prepared in another way.
_FORMAT = 1


class MetricNetwork:
    """One frozen network: a vector for every picture, the same on any device and in any batch.

    Args:
        name: under which it is registered.
        network: holds the weights, on the CPU; it is cast to `dtype`.
        settings: everything else that decides the vectors, for the digest.
        convention: a sentence: which network and layer, how pictures are resized, whose rule.
        dim: length of a vector.
        dtype: float32, or float64; vectors are float32 in any case.

    Attributes:
        digest: sha256 over weights and settings, `dtype` among them.
        device: where it computes.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        *,
        settings: Mapping[str, Any],
        convention: str,
        dim: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name = name
        self.convention = convention
        self.dim = dim
        self.dtype = dtype
        self.device = torch.device("cpu")
        identity = {
            **settings,
            "class": type(self).__name__,
            "dtype": str(dtype),
            "metric_format": _FORMAT,
        }
        self.digest = network_digest(network.state_dict(), identity)
        self.network: Any = network.to(dtype).requires_grad_(False).eval()

    def to(self, device: torch.device | str) -> MetricNetwork:
        """Move the network to a device; returns itself."""
        self.device = torch.device(device)
        self.network.to(self.device)
        return self

    def prepare(self, images: Tensor) -> Tensor:
        """Return pictures as the network sees them, in 8 bits: what `embed_prepared` takes.

        So pictures of different sizes can be put into one batch, where the network has a size.

        Args:
            images: (batch, 3, height, width) in [0, 1].

        Returns:
            (batch, 3, rows, columns) multiples of 1/255, float32, on the CPU; here of the
            pictures' own size.
        """
        return _to_floats(to_bytes(images))

    def embed(self, images: Tensor) -> Tensor:
        """Return the vectors of pictures.

        Args:
            images: (batch, 3, height, width) in [0, 1].

        Returns:
            (batch, dim), float32, on the CPU.

        Raises:
            ConfigError: images have another shape.
        """
        return self.embed_prepared(self.prepare(images))

    def embed_prepared(self, prepared: Tensor) -> Tensor:
        """Return the vectors of what `prepare` returned, (batch, dim), float32, on the CPU."""
        with torch.no_grad(), _plain_arithmetic(self.device):
            vectors = self._vectors(prepared.to(self.device, self.dtype))
        return vectors.to("cpu", torch.float32)

    def _vectors(self, images: Tensor) -> Tensor:
        """Prepared pictures on the device, in `dtype` -> (batch, dim)."""
        raise NotImplementedError


class TextMetricNetwork(MetricNetwork):
    """A network with a tower for texts, too, whose vectors are compared with the pictures'.

    Args:
        context_length: tokens that a text may have, its two marks included; 77 in CLIP.
        encode: a text -> its tokens without the marks.
        tokenize: texts -> (texts, context_length) tokens, cut and filled up.
        tower: tokens -> (texts, dim), a part of `network`.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        *,
        settings: Mapping[str, Any],
        convention: str,
        dim: int,
        dtype: torch.dtype = torch.float32,
        context_length: int,
        encode: Callable[[str], Sequence[int]],
        tokenize: Callable[[list[str]], Tensor],
        tower: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__(
            name, network, settings=settings, convention=convention, dim=dim, dtype=dtype
        )
        self.context_length = context_length
        self._encode = encode
        self._tokenize = tokenize
        self._tower = tower

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Return the vectors of texts, (texts, dim), float32, on the CPU."""
        parts = [torch.empty(0, self.dim)]
        with torch.no_grad(), _plain_arithmetic(self.device):
            for start in range(0, len(texts), _TEXTS_AT_ONCE):
                tokens = self._tokenize(list(texts[start : start + _TEXTS_AT_ONCE]))
                parts.append(self._tower(tokens.to(self.device)).to("cpu", torch.float32))
        return torch.cat(parts)

    def cut(self, texts: Sequence[str]) -> list[int]:
        """Return which texts are longer than `context_length` tokens, whose end is not seen."""
        return [
            index
            for index, text in enumerate(texts)
            if len(self._encode(text)) + 2 > self.context_length
        ]


def to_bytes(images: Tensor) -> Tensor:
    """Round pictures to 8 bits: (batch, 3, height, width) in [0, 1] -> uint8, on the CPU.

    Raises:
        ConfigError: images have another shape.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ConfigError(
            f"`images` must be (batch, 3, height, width) but got {tuple(images.shape)}. Pass "
            "pictures with three colour channels, and one alone as a batch of one."
        )
    rounded = (images.detach().cpu().float() * 255).round().clamp(0, 255)
    return rounded.to(torch.uint8)


def squeezed(images: Tensor, side: int) -> Tensor:
    """Resize whole pictures to a square by Pillow's bicubic, antialiased, in 8 bits.

    Args:
        images: (batch, 3, height, width) in [0, 1].
        side: of the square.

    Returns:
        (batch, 3, side, side) multiples of 1/255, float32, on the CPU.
    """
    return _each(images, lambda picture: _resized(picture, side, side))


def centre_cut(images: Tensor, side: int, shortest: int) -> Tensor:
    """Resize pictures' shortest side by Pillow's bicubic, then cut out the centre, in 8 bits.

    Sizes and places are rounded as torchvision's Resize and CenterCrop do, in which CLIP and DINO
    describe their preprocessing.

    Args:
        images: (batch, 3, height, width) in [0, 1].
        side: of the square that is cut out.
        shortest: what the shortest side becomes, `side` or more.

    Returns:
        (batch, 3, side, side) multiples of 1/255, float32, on the CPU.
    """

    def cut(picture: Image.Image) -> Image.Image:
        short, long = sorted(picture.size)
        longest = int(shortest * long / short)
        wide = picture.width > picture.height
        width, height = (longest, shortest) if wide else (shortest, longest)
        resized = _resized(picture, width, height)
        left, top = round((width - side) / 2), round((height - side) / 2)
        return resized.crop((left, top, left + side, top + side))

    return _each(images, cut)


def _each(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """Apply `change`, which makes all of one size, to each picture in 8 bits."""
    pictures = to_bytes(images)
    changed = [
        torch.from_numpy(np.array(change(Image.fromarray(picture.permute(1, 2, 0).numpy()))))
        for picture in pictures
    ]
    return _to_floats(torch.stack(changed).permute(0, 3, 1, 2).contiguous())


def _resized(picture: Image.Image, width: int, height: int) -> Image.Image:
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _to_floats(pictures: Tensor) -> Tensor:
    return pictures.to(torch.float32) / 255


@contextmanager
def _plain_arithmetic(device: torch.device) -> Iterator[None]:
    """Full float32 on a GPU: TF32, its default for convolutions, keeps three digits."""
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    switches: list[tuple[Any, str]] = [(cudnn, "allow_tf32"), (matmul, "allow_tf32")]
    plain: bool | str = False
    # Asked in the other way than the host has chosen, a newer torch raises; it has both.
    if hasattr(matmul, "fp32_precision"):
        switches, plain = [(cudnn.conv, "fp32_precision"), (matmul, "fp32_precision")], "ieee"
    before = [getattr(switch, name) for switch, name in switches]
    try:
        for switch, name in switches:
            setattr(switch, name, plain)
        yield
    finally:
        for (switch, name), value in zip(switches, before, strict=True):
            setattr(switch, name, value)
