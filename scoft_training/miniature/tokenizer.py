"""The miniature's tokenizer: CLIP's byte-pair encoding with the world's words whole."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from .sentences import WORDS

__all__ = ["load_tokenizer", "save_tokenizer"]

_MAX_LENGTH = 77
_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"


def save_tokenizer(folder: Path) -> None:
    """Write the tokenizer in CLIP's file form: vocab.json, merges.txt and their like.

    The vocabulary is CLIP's alphabet of bytes, the pieces that build the words of WORDS, and the
    two marks, in this order. Every other word is spelled, so nothing is unknown.
    """
    from transformers import CLIPTokenizer

    alphabet = _byte_letters()
    tokens = alphabet + [letter + "</w>" for letter in alphabet]
    known = set(tokens)
    merges: list[tuple[str, str]] = []
    for word in sorted(WORDS, key=lambda word: (len(word), word)):
        pieces = _merged([*word[:-1], word[-1] + "</w>"], merges)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces[:2] = [pieces[0] + pieces[1]]
            if pieces[0] not in known:
                known.add(pieces[0])
                tokens.append(pieces[0])
    tokens += [_BOS, _EOS]
    tokenizer = CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=merges,
        model_max_length=_MAX_LENGTH,
        bos_token=_BOS,
        eos_token=_EOS,
        unk_token=_EOS,
        pad_token=_EOS,
    )
    tokenizer.save_pretrained(folder)
    # transformers 5 writes one file that older versions cannot read; all read CLIP's own two.
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(
        json.dumps({token: index for index, token in enumerate(tokens)}, ensure_ascii=False),
        encoding="utf-8",
    )
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def load_tokenizer(folder: Path) -> Any:
    """Return the CLIPTokenizer of a folder that `save_tokenizer` wrote."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder)


def _byte_letters() -> list[str]:
    """CLIP's stand-ins for the 256 bytes: printable ones for themselves, others from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]


def _merged(pieces: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """Apply the merges known so far, the earliest first, as the tokenizer will."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    while True:
        found = [
            (ranks[pair], index)
            for index, pair in enumerate(itertools.pairwise(pieces))
            if pair in ranks
        ]
        if not found:
            return pieces
        _, index = min(found)
        pieces[index : index + 2] = [pieces[index] + pieces[index + 1]]
