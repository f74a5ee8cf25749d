"""Bytes that people saved as text, decoded: UTF-8 first, other encodings guessed and said.

chardet ranks the encodings, since of the two well-kept libraries it is right far more often on
captions of a few words. What it proposes counts only where all files of a folder become text that
somebody may have written; where two such readings are as likely, the user is asked.
"""

from __future__ import annotations

import codecs
import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import ConfigError, DatasetError

__all__ = ["DecodedText", "decode_text", "decode_texts", "guess_sentence", "looks_misread"]

_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_LEGACY = """
    cp949 johab cp932 euc_jis_2004 gb18030 big5hkscs
    cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258
    iso8859-2 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-15
    koi8-r koi8-u cp437 cp850 cp852 cp866 cp874 mac-roman
""".split()
"""What chardet may choose from; each stands for the smaller sets that it contains."""

_ESCAPED = ("iso2022_jp_2", "iso2022_kr", "hz", "utf-7")
"""Encodings whose bytes are plain ASCII, and so pass as UTF-8."""

_CLEAR = 1.15
"""How many times as likely as the next reading chardet must hold the best one."""

_IN_CARD = '"encoding" in card.json, say {"encoding": "cp949"}'
_TOGETHER = dict.fromkeys(
    "HIRAGANA KATAKANA KATAKANA-HIRAGANA IDEOGRAPHIC BOPOMOFO HALFWIDTH FULLWIDTH".split(), "CJK"
)
"""Scripts that stand in one word with Chinese characters, as their names in Unicode begin."""

_JOINERS = "\u2019\u00b7\u2010\u2011\u00a0"
"""Apostrophe, middle dot, hyphens and the space that does not break."""

_HIDDEN_UTF7 = re.compile(rb"\+[A-Za-z0-9+/]{3,}-?")


@dataclass(frozen=True)
class DecodedText:
    """A text, the encoding that it was read by, and whether that was only guessed."""

    text: str
    encoding: str
    guessed: bool


def decode_text(
    data: bytes, *, where: str, encoding: str | None = None, stated_by: str = _IN_CARD
) -> DecodedText:
    """Decode one file's bytes.

    Args:
        data: the file's bytes.
        where: begins the error's sentence, say "metadata.jsonl:".
        encoding: what the user states; it holds unless the file begins with a byte order mark.
        stated_by: how the user states it, for the error's sentence.

    Returns:
        the text; UTF-8 and what begins with a byte order mark is certain, the rest is a guess.

    Raises:
        DatasetError: the stated encoding is unknown or does not fit, or none can be told.
        ConfigError: chardet is needed and not installed.
    """
    decoded = decode_texts({where: data}, encoding=encoding, stated_by=stated_by)[where]
    if isinstance(decoded, DatasetError):
        raise decoded
    return decoded


def decode_texts(
    pieces: Mapping[str, bytes], *, encoding: str | None = None, stated_by: str = _IN_CARD
) -> dict[str, DecodedText | DatasetError]:
    """Decode files that belong together: those that are not UTF-8 share one guess.

    Args:
        pieces: each file's bytes, by what begins an error's sentence about it.
        encoding: what the user states; it holds for files without a byte order mark.
        stated_by: how the user states it, for the errors' sentences.

    Returns:
        for each file its text, or the error that says why there is none.

    Raises:
        ConfigError: chardet is needed and not installed.
    """
    if encoding is not None:
        return {where: _attempt(data, encoding, where) for where, data in pieces.items()}
    found: dict[str, DecodedText | DatasetError] = {}
    unknown: dict[str, bytes] = {}
    for where, data in pieces.items():
        certain = _certain(data)
        if certain is not None:
            found[where] = certain
        elif (fault := _damage(data)) is not None:
            found[where] = DatasetError(f"{where} {fault}")
        else:
            unknown[where] = data
    guess = _guess(tuple(unknown.values())) if unknown else None
    if guess is not None:
        unknown |= {where: data for where, data in pieces.items() if _is_chance(data, guess)}
    for where, data in unknown.items():
        found[where] = _read_by(data, guess, where, stated_by)
    return {where: found[where] for where in pieces}


def guess_sentence(decoded: DecodedText, *, where: str, stated_by: str = _IN_CARD) -> str:
    """Return the warning that a caller gives for a guessed text.

    Args:
        decoded: what was guessed.
        where: begins the sentence.
        stated_by: how the user states the encoding.
    """
    lines = [line.strip() for line in decoded.text.splitlines()]
    sample = next((line for line in lines if not line.isascii()), lines[0] if lines else "")
    shown = sample if len(sample) <= 60 else sample[:57] + "..."
    return (
        f"{where} this is not UTF-8 and was read as {decoded.encoding}, a guess, by which a line "
        f"is {shown!r}. If that is wrong, {_remedy(stated_by)}"
    )


def looks_misread(text: str) -> bool:
    """Whether text is what UTF-8 looks like once another program took it for Windows-1252."""
    if text.isascii():
        return "\ufffd" in text
    if "\ufffd" in text:
        return True
    for name in ("cp1252", "latin-1"):
        try:
            return not text.encode(name).decode("utf-8").isascii()
        except UnicodeError:
            continue
    return False


def _attempt(data: bytes, encoding: str, where: str) -> DecodedText | DatasetError:
    """Decode by what the user states."""
    try:
        name = codecs.lookup(encoding).name
        marked = any(data.startswith(mark) for mark, _ in _MARKS)
        if marked and (certain := _certain(data)) is not None:
            return certain
        return DecodedText(data.decode(name).removeprefix("\ufeff"), name, guessed=False)
    except LookupError:
        return DatasetError(
            f"{where} the stated encoding {encoding!r} is unknown. Write one that Python knows, "
            "say utf-8, cp949, shift_jis, gb18030, big5 or windows-1252."
        )
    except UnicodeError as error:
        return DatasetError(
            f"{where} this is not {encoding}, which is stated as its encoding ({error}). State "
            "another one, or save it as UTF-8."
        )


def _certain(data: bytes) -> DecodedText | None:
    """Return the text if nothing has to be guessed."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            data, encoding = data[len(mark) :], name
            break
    else:
        encoding = "utf-8"
        if 0 in data or _is_wide(data) or _is_escaped(data):
            return None
    try:
        return DecodedText(data.decode(encoding), encoding, guessed=False)
    except UnicodeDecodeError:
        return None


def _is_wide(data: bytes) -> bool:
    """Whether every second byte is the same control byte, as in UTF-16 of Hindi or Arabic."""
    if len(data) < 4 or len(data) % 2:
        return False
    return any(
        len(set(side) - {0x20, 0x00}) == 1 and max(side) < 0x20 for side in (data[0::2], data[1::2])
    )


def _is_escaped(data: bytes) -> bool:
    """Whether ASCII bytes hold the shifts of ISO-2022, HZ or UTF-7."""
    if not data.isascii():
        return False
    return (
        b"\x1b$" in data or b"\x1b(" in data or (b"~{" in data and b"~}" in data) or _is_utf7(data)
    )


def _is_utf7(data: bytes) -> bool:
    """Whether each `+` begins letters of one script; `+` before a word does so by chance only."""
    runs = _HIDDEN_UTF7.findall(data)
    if not runs or b"+" in _HIDDEN_UTF7.sub(b"", data).replace(b"+-", b""):
        return False
    try:
        hidden = "".join(run.decode("utf-7") for run in runs)
    except UnicodeDecodeError:
        return False
    return not hidden.isascii() and _is_plausible(data.decode("utf-7", "replace"))


def _is_chance(data: bytes, guess: str) -> bool:
    """Whether a file passes as UTF-8 by chance: a word or two of what its neighbours are saved in.

    One syllable of Korean in cp949 may be the two bytes of a sign like \u00a7.
    """
    if data.isascii() or len(data) > 8 or re.search(rb"[A-Za-z]", data):
        return False
    certain = _certain(data)
    return (
        certain is not None
        and max(certain.text) < "\u0800"
        and not any(data.startswith(mark) for mark, _ in _MARKS)
        and _fits(data, guess)
    )


def _damage(data: bytes) -> str | None:
    """Return what to say of UTF-8 that is spoilt in places, or None if it is another encoding."""
    data = data.removeprefix(codecs.BOM_UTF8)
    if any(data.startswith(mark) for mark, _ in _MARKS):
        return "its byte order mark does not fit the rest. Save the file anew as UTF-8."
    if 0 in data:
        return None
    good, bad = 0, []
    for number, line in enumerate(data.split(b"\n"), start=1):
        text = line.decode("utf-8", "replace")
        faults = text.count("\ufffd")
        multiple = sum(character > "\u007f" for character in text) - faults
        if faults:
            bad.append(number)
            # A byte lost in a sentence of UTF-8; other encodings hold such characters by chance.
            good += multiple if multiple >= 4 * faults else 0
        else:
            good += multiple
    if not bad or good < 2:
        return None
    return (
        f"line {bad[0]} is not UTF-8, though the rest is. Write that line anew in an editor that "
        "saves UTF-8."
    )


def _guess(pieces: Sequence[bytes]) -> str | None:
    """Return the encoding that fits most of the pieces and is clearly the likeliest."""
    if any(0 in piece or _is_wide(piece) for piece in pieces):
        fitting = [name for name in _WIDE if all(_fits(piece, name) for piece in pieces)]
        return min(fitting, key=lambda name: _block_count(pieces, name), default=None)
    counts = {
        name: sum(_fits(piece, name) for piece in pieces)
        for name in (_ESCAPED if all(map(_is_escaped, pieces)) else _LEGACY)
    }
    most = max(counts.values())
    # A single damaged file must not decide over the others.
    if not most or most < 0.9 * len(pieces):
        return None
    allowed = [name for name, count in counts.items() if count == most]
    kept = b"\n".join(piece for piece in pieces if any(_fits(piece, name) for name in allowed))
    return _likeliest(kept, allowed)


def _block_count(pieces: Sequence[bytes], encoding: str) -> int:
    """Count the blocks of 256 characters in use: swapped bytes scatter a script over many."""
    return len({ord(character) >> 8 for piece in pieces for character in piece.decode(encoding)})


def _likeliest(data: bytes, allowed: Sequence[str]) -> str | None:
    try:
        import chardet
    except ImportError as error:
        raise ConfigError(
            "Text that is not UTF-8 needs chardet to be told. Install it by `pip install chardet`, "
            "or save the text as UTF-8."
        ) from error

    ranked = chardet.detect_all(
        data,
        ignore_threshold=True,
        include_encodings=allowed,
        no_match_encoding=allowed[0],
        compat_names=False,
        prefer_superset=False,
    )
    readings: list[tuple[str, float, str]] = []
    for entry in ranked:
        name = entry["encoding"]
        if name is None or not _fits(data, name):
            continue
        text = data.decode(name)
        if all(text != known for _, _, known in readings):
            readings.append((name, entry["confidence"], text))
    if not readings:
        return None
    if len(readings) > 1 and readings[0][1] < _CLEAR * readings[1][1]:
        return None
    return readings[0][0]


def _remedy(stated_by: str) -> str:
    return f"save it as UTF-8, or state what it is by {stated_by}."


def _read_by(
    data: bytes, guess: str | None, where: str, stated_by: str
) -> DecodedText | DatasetError:
    if guess is None:
        return DatasetError(
            f"{where} its encoding cannot be told. If you know it, {_remedy(stated_by)}"
        )
    if not _fits(data, guess):
        return DatasetError(
            f"{where} this is not {guess}, as the other files seem to be; {_remedy(stated_by)}"
        )
    return DecodedText(data.decode(guess), guess, guessed=True)


def _fits(data: bytes, encoding: str) -> bool:
    """Whether bytes become text that somebody may have written."""
    try:
        return _is_plausible(data.decode(encoding))
    except UnicodeError:
        return False


def _is_plausible(text: str) -> bool:
    """Whether text has no odd characters, and no word of two scripts or with a capital inside.

    Nor may a sign stand inside a word, or a mark that belongs onto a letter begin one.
    """
    before = " "
    for character, after in itertools.zip_longest(text, text[1:], fillvalue=" "):
        kind = unicodedata.category(character)
        if kind in ("Cc", "Co", "Cn", "Cs") and character not in "\t\n\r":
            return False
        if character.isascii():
            before = character
            continue
        script = _script(character)
        if kind[0] == "L":
            alphabetic = script not in ("CJK", "HANGUL")
            if alphabetic and before.isalpha() and _script(before) != script:
                return False
            if alphabetic and after.isalpha() and _script(after) != script:
                return False
            if kind == "Lu" and before.islower():
                return False
        elif kind == "Mn" and before.isspace():
            return False
        elif kind[0] in "SPZN" and before.isalpha() and after.isalpha():
            if _is_alphabet(before) and _is_alphabet(after) and character not in _JOINERS:
                return False
        before = character
    return True


def _is_alphabet(character: str) -> bool:
    return _script(character) not in ("CJK", "HANGUL")


def _script(character: str) -> str:
    word = unicodedata.name(character, "").partition(" ")[0]
    return _TOGETHER.get(word, word)
