"""Bytes that people saved as text, decoded: UTF-8 first, other encodings guessed and said."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import charset_normalizer

from .errors import DatasetError

__all__ = ["DecodedText", "decode_text", "decode_texts", "guess_sentence"]

_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class DecodedText:
    """A text, the encoding that it was read by, and whether that was only guessed."""

    text: str
    encoding: str
    guessed: bool


def decode_text(data: bytes, *, where: str, encoding: str | None = None) -> DecodedText:
    """Decode one file's bytes.

    UTF-8 and whatever begins with a byte order mark is certain; the rest is guessed.

    Args:
        data: the file's bytes.
        where: begins the error's sentence, say "metadata.jsonl:".
        encoding: what the user states; then nothing is guessed.

    Raises:
        DatasetError: the stated encoding is unknown or does not fit, or none can be told.
    """
    return decode_texts([data], where=where, encoding=encoding)[0]


def decode_texts(
    pieces: Sequence[bytes], *, where: str, encoding: str | None = None
) -> tuple[DecodedText, ...]:
    """Decode files that belong together: those that are not UTF-8 share one guess.

    Args:
        pieces: each file's bytes.
        where: begins the error's sentence.
        encoding: what the user states; then nothing is guessed.

    Raises:
        DatasetError: the stated encoding is unknown or does not fit, or none can be told.
    """
    if encoding is not None:
        return tuple(_decode_as(piece, encoding, where) for piece in pieces)
    certain = [_certain(piece) for piece in pieces]
    unknown = [piece for piece, text in zip(pieces, certain, strict=True) if text is None]
    guess = _guess(unknown, where) if unknown else ""
    return tuple(
        text or DecodedText(piece.decode(guess), guess, guessed=True)
        for piece, text in zip(pieces, certain, strict=True)
    )


def guess_sentence(decoded: DecodedText, *, where: str) -> str:
    """Return the warning that a caller gives for a guessed text.

    Args:
        decoded: what was guessed.
        where: begins the sentence.
    """
    sample = next((line.strip() for line in decoded.text.splitlines() if not line.isascii()), "")
    shown = sample if len(sample) <= 60 else sample[:57] + "..."
    return (
        f"{where} this is not UTF-8; it is read as {decoded.encoding}, so that a line is "
        f"{shown!r}. If that is wrong, {_REMEDY}"
    )


_REMEDY = (
    'save it as UTF-8, or state what it is by "encoding" in card.json, say {"encoding": "cp949"}.'
)


def _certain(data: bytes) -> DecodedText | None:
    for mark, name in _MARKS:
        if data.startswith(mark):
            try:
                return DecodedText(data[len(mark) :].decode(name), name, guessed=False)
            except UnicodeDecodeError:
                return None
    if 0 in data or 0x1B in data:
        return None
    try:
        return DecodedText(data.decode("utf-8"), "utf-8", guessed=False)
    except UnicodeDecodeError:
        return None


def _decode_as(data: bytes, encoding: str, where: str) -> DecodedText:
    try:
        text = data.decode(encoding)
    except LookupError as error:
        raise DatasetError(
            f"{where} Unknown encoding {encoding!r}. Write one that Python knows, say utf-8, "
            "cp949, shift_jis, gb18030, big5 or windows-1252."
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{where} this is not {encoding}: byte {error.start + 1} does not fit. State another "
            'encoding by "encoding" in card.json, or save it as UTF-8.'
        ) from error
    return DecodedText(text.removeprefix("\ufeff"), codecs.lookup(encoding).name, guessed=False)


def _guess(pieces: Sequence[bytes], where: str) -> str:
    for match in charset_normalizer.from_bytes(b"\n".join(pieces)):
        if all(_is_plain(piece, match.encoding) for piece in pieces):
            return match.encoding
    raise DatasetError(f"{where} its encoding cannot be told. If you know it, {_REMEDY}")


def _is_plain(data: bytes, encoding: str) -> bool:
    """Whether bytes decode to characters that a caption has."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return all(
        character in "\t\n\r" or unicodedata.category(character) not in ("Cc", "Co", "Cn", "Cs")
        for character in text
    )
