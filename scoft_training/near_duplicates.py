"""Which pictures and which captions repeat each other, from hashes and letters. No file is read.

A picture's perceptual hash survives another size, format, brightness or colouring of it, a banner,
and a trim of a few per cent; with the mirrored hash also a mirror image. A real crop it does not.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import imagehash
import numpy as np
from PIL import Image, ImageOps
from scipy import sparse

__all__ = [
    "HASH_BITS",
    "Pair",
    "folded",
    "groups_of",
    "near_captions",
    "near_pictures",
    "perceptual_hashes",
]

HASH_BITS = 64

_PLAIN = 2.0
"""Grey pictures that vary less than this, of 255, hash to nothing but their noise."""

_BLOCK = 512
"""Rows that are compared with all others at once, which bounds the memory."""

_LETTERS = 3


@dataclass(frozen=True, order=True)
class Pair:
    """Two places in a sequence, `one` < `other`, that hold nearly the same.

    `distance` is that of the function that found them; 0 is equal as far as it can tell. `mirrored`
    pictures are nearer to each other's mirror image than to each other.
    """

    one: int
    other: int
    distance: float
    mirrored: bool = False


def perceptual_hashes(grey: Image.Image) -> tuple[str, str]:
    """Return the pHash of a picture and of its mirror image, 16 hex digits each.

    Args:
        grey: mode L, of any size.

    Returns:
        two empty texts for a picture of one colour, which has no structure to hash.
    """
    if float(np.std(np.asarray(grey.resize((32, 32)), dtype=np.float32))) < _PLAIN:
        return "", ""
    return str(imagehash.phash(grey)), str(imagehash.phash(ImageOps.mirror(grey)))


def near_pictures(hashes: Sequence[tuple[str, str]], *, most: int) -> list[Pair]:
    """Return the pairs of pictures whose hashes differ in few bits; the distance is their number.

    Args:
        hashes: of each picture, as by `perceptual_hashes`; empty ones are near nothing.
        most: bits that may differ, 0 to HASH_BITS.
    """
    known = [place for place, (of_picture, _) in enumerate(hashes) if of_picture]
    plain = _signs([hashes[place][0] for place in known])
    mirrored = _signs([hashes[place][1] for place in known])
    pairs = []
    for start in range(0, len(known), _BLOCK):
        block = plain[start : start + _BLOCK]
        # Signs of equal bits multiply to 1, of different ones to -1: exact in float32.
        as_is, turned = ((HASH_BITS - block @ other.T) / 2 for other in (plain, mirrored))
        nearest = np.minimum(as_is, turned)
        for row, column in zip(*np.nonzero(nearest <= most), strict=True):
            if start + row < column:
                is_mirrored = bool(turned[row, column] < as_is[row, column])
                distance = float(nearest[row, column])
                pairs.append(Pair(known[start + row], known[column], distance, is_mirrored))
    return pairs


def near_captions(captions: Sequence[str], *, least: float) -> list[Pair]:
    """Return the pairs of captions that are alike; the distance is 1 - overlap, 0 if equal.

    Overlap is the share of runs of three letters, spaces among them, that two captions have in
    common (Jaccard). It needs no words, so it serves every script.

    Args:
        captions: in any script; empty ones are near nothing.
        least: overlap in (0, 1] from which captions count as alike.
    """
    texts = [folded(caption) for caption in captions]
    runs = _runs_of_letters(texts)
    sizes = np.asarray(runs.sum(axis=1)).ravel()
    pairs = []
    for start in range(0, len(texts), _BLOCK):
        shared = (runs[start : start + _BLOCK] @ runs.T).toarray()
        either = sizes[start : start + _BLOCK, None] + sizes[None, :] - shared
        overlap = shared / np.maximum(either, 1)
        for row, column in zip(*np.nonzero(overlap >= least), strict=True):
            one = start + int(row)
            if one < column:
                same = texts[one] == texts[column]
                distance = 0.0 if same else max(1 - float(overlap[row, column]), 1e-6)
                pairs.append(Pair(one, int(column), distance))
    return pairs


def groups_of(pairs: Iterable[Pair]) -> list[tuple[int, ...]]:
    """Return the places that pairs join, directly or over others; each group and all in order."""
    leader: dict[int, int] = {}

    def find(place: int) -> int:
        while leader.setdefault(place, place) != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    for pair in pairs:
        low, high = sorted((find(pair.one), find(pair.other)))
        leader[high] = low
    groups: dict[int, list[int]] = {}
    for place in sorted(leader):
        groups.setdefault(find(place), []).append(place)
    return [tuple(group) for _, group in sorted(groups.items())]


def folded(caption: str) -> str:
    """Return a caption without what two spellings of one sentence may differ in.

    That is case, accents' two encodings, wide letters, punctuation, and the joiners that only shape
    letters; marks that are vowels in Indic scripts stay.
    """
    text = unicodedata.normalize("NFKC", caption).casefold()
    kept = "".join(_kept(letter) for letter in text)
    return " ".join(kept.split())


def _kept(letter: str) -> str:
    category = unicodedata.category(letter)
    if category == "Cf":
        return ""
    return " " if category[0] in "PSZC" else letter


def _signs(hashes: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return (hashes, HASH_BITS) of 1 and -1."""
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8)
    bits = np.unpackbits(packed.reshape(-1, HASH_BITS // 8), axis=1)
    return bits.astype(np.float32) * 2 - 1


def _runs_of_letters(texts: Sequence[str]) -> Any:
    """Return a sparse (texts, runs) matrix of ones: which runs of letters a text holds."""
    numbers: dict[str, int] = {}
    rows, columns = [], []
    for row, text in enumerate(texts):
        padded = f" {text} " if text else ""
        runs = {padded[at : at + _LETTERS] for at in range(len(padded) - _LETTERS + 1)}
        for run in sorted(runs):
            rows.append(row)
            columns.append(numbers.setdefault(run, len(numbers)))
    ones = np.ones(len(rows), dtype=np.float32)
    return sparse.csr_matrix((ones, (rows, columns)), shape=(len(texts), max(len(numbers), 1)))
