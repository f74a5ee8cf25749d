"""Plain captions for the pictures of rows: drawn round after round, judged, kept and stated.

The networks that write them live in `captioners`, and which captions are plain is said in
`captions`; what the rest of the code sees of the result is the work folder's rows.jsonl
(`overlays`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from . import draws
from .captioners import Captioner
from .captions import degeneracy, named_culture
from .config import CaptionConfig
from .data_checks import printable
from .data_rows import DatasetRow
from .errors import NotEnoughMemoryError
from .events import CaptionEvent, Event, PhaseEvent, WarningEvent
from .files import digest_json, remove_leftovers, write_json
from .options import validate
from .overlays import Overlay, now, read_statements, write_overlays
from .pictures import open_picture

__all__ = ["CAPTIONS_BY", "CAPTIONS_WHY", "MAX_TOKENS", "caption_rows", "clean_caption"]

logger = logging.getLogger(__name__)

CAPTIONS_BY, CAPTIONS_WHY = "scoft caption", "generic captions"
"""Who states the captions in rows.jsonl, and why."""

MAX_TOKENS = 77
"""What one chunk of CLIP's text encoder holds; the base model reads no further."""

_FORMAT = 1
"""Raised whenever the same settings would give other captions than before."""

_MAX_ROUNDS = 4
"""A picture is drawn for this many times `captions_per_picture` captions at most."""

# BLIP-large invents a word of its own, mostly where a grammatical article or adjective would stand.
_INVENTED = re.compile(r"\b(?:(an?)\s+)?arr?aff?(?:ed|y)\b(?:\s+(\w)|\s*)", re.IGNORECASE)
_INVENTED_NOUN = re.compile(r"\barr?aff?es?\b", re.IGNORECASE)


def clean_caption(text: str) -> str:
    """Return the first line of a caption as plain text.

    Spaces that tokenizers leave around punctuation go, and so does "arafed", a word that BLIP-large
    invents as an adjective, the article before it put right.
    """
    lines = text.strip().splitlines()
    caption = " ".join(lines[0].split()) if lines else ""
    caption = re.sub(r"\s+([,.;:!?])", r"\1", caption)
    caption = re.sub(r"(\w)\s*'\s*s\b", r"\1's", caption)
    caption = re.sub(r"(\w)\s-\s(?=\w)", r"\1-", caption)
    return _INVENTED.sub(_without_invented, caption).strip()


def caption_rows(
    rows: Iterable[DatasetRow],
    config: CaptionConfig,
    captioner: Captioner,
    *,
    work: Path,
    device: torch.device,
    dtype: torch.dtype,
    check_stop: Callable[[], None] = lambda: None,
    cultures: Iterable[str] = (),
    count_tokens: Callable[[str], int] | None = None,
) -> Generator[Event, None, None]:
    """Write generic captions for the pictures of `rows` into the work folder.

    A picture's caption number i is a function of (captioner, settings, seed, picture, i) alone.
    Captions are drawn in rounds of `captions_per_picture`, until so many are different and without
    a flag, or four rounds are over. Flagged ones are kept in the picture's file but used only if a
    row has no other. Each picture's file is written at once, and read again instead of drawn anew;
    a stop loses at most one picture. At the end all goes into rows.jsonl, except where somebody
    else has stated captions since.

    Args:
        rows: whose pictures are captioned, whether they have captions of their own or not.
        config: the options; `precision` is already `dtype`.
        captioner: from `load_captioner`.
        work: the work folder; holds captions/<settings>/<sha>.json and rows.jsonl.
        device: where to compute.
        dtype: of the captioner's network.
        check_stop: called before each round; raises to stop.
        cultures: names that plain captions must not hold, say the card's culture; every known
            people and country, and a row's own culture, count in any case.
        count_tokens: length of a caption in the base model's tokens, special ones included.

    Yields:
        a PhaseEvent before the first picture and after each; a CaptionEvent and perhaps a
        WarningEvent for each row.

    Raises:
        ConfigError: an option is out of range.
        DatasetError: a picture cannot be opened, or a line of rows.jsonl is broken.
        NotEnoughMemoryError: out of memory.
        OutputError: the work folder cannot be written.
    """
    validate(config)
    rows, cultures = list(rows), tuple(cultures)
    read_statements(work)  # a broken line is better known before the work than after it
    settings = {
        "format": _FORMAT,
        "captioner": captioner.digest,
        "dtype": str(dtype),
        "captions_per_picture": config.captions_per_picture,
        "top_p": config.top_p,
        "temperature": config.temperature,
        "max_new_tokens": config.max_new_tokens,
        "min_new_tokens": config.min_new_tokens,
        "seed": config.seed,
    }
    folder = Path(work) / "captions" / digest_json(settings)[:16]
    remove_leftovers(folder)
    used: dict[str, tuple[str, tuple[str, ...]]] = {}
    phase = "captions of pictures"
    yield PhaseEvent(phase, 0, len(rows))
    with contextlib.ExitStack() as stack:
        scribe = _Scribe(captioner, config, stack, device, dtype, check_stop)
        for done, row in enumerate(rows, start=1):
            judge = _Judge((*cultures, *([row.culture] if row.culture else [])), count_tokens)
            check_stop()
            drawn = _captions_of(row, folder / f"{row.sha256}.json", scribe, judge)
            flags = tuple(judge.flags(caption) for caption in drawn)
            yield CaptionEvent(row.number, drawn, flags)
            plain = [text for text, wrong in zip(drawn, flags, strict=True) if not wrong]
            chosen = tuple((plain or drawn)[: config.captions_per_picture])
            if not plain:
                yield WarningEvent(_no_plain_caption(row, flags))
            if chosen:
                used[row.sha256] = row.where, chosen
            yield PhaseEvent(phase, done, len(rows))
    yield from _state(work, used)


class _Scribe:
    """A captioner that reaches its device when the first caption has to be drawn, not before."""

    def __init__(
        self,
        captioner: Captioner,
        config: CaptionConfig,
        stack: contextlib.ExitStack,
        device: torch.device,
        dtype: torch.dtype,
        check_stop: Callable[[], None],
    ) -> None:
        self.config = config
        self._captioner = captioner
        self._stack = stack
        self._device = device
        self._dtype = dtype
        self._check_stop = check_stop
        self._ready = False

    def rounds(self, row: DatasetRow, first: int) -> Iterator[list[str]]:
        """Yield the captions of round after round, beginning with round `first`."""
        count = self.config.captions_per_picture
        where = f"{row.where} `{printable(row.file_name)}`"
        try:
            if not self._ready:
                self._stack.enter_context(self._captioner.on(self._device, self._dtype))
                self._ready = True
            seen = self._captioner.look(open_picture(row.image_path, where=where))
            for number in range(first, _MAX_ROUNDS):
                self._check_stop()
                generators = [
                    draws.generator(self.config.seed, "caption", row.sha256, attempt)
                    for attempt in range(number * count, (number + 1) * count)
                ]
                yield self._captioner.draw(seen, generators, self.config)
        except torch.OutOfMemoryError as error:
            raise NotEnoughMemoryError(
                f"The memory of {self._device} does not suffice to caption pictures. Lower "
                "`captions_per_picture`, or close other programs that use the device; what was "
                "captioned so far is kept."
            ) from error


@dataclass(frozen=True)
class _Judge:
    """Finds what keeps a caption from being a plain one."""

    cultures: tuple[str, ...]
    count_tokens: Callable[[str], int] | None

    def flags(self, caption: str) -> tuple[str, ...]:
        """Return the kinds of faults, those of `captions.caption_warnings` among them."""
        found = []
        if degeneracy(caption) or _INVENTED_NOUN.search(caption):
            found.append("degenerate-caption")
        if named_culture(caption, self.cultures):
            found.append("names-a-culture")
        if self.count_tokens is not None and self.count_tokens(caption) > MAX_TOKENS:
            found.append("too-long")
        return tuple(found)


def _captions_of(row: DatasetRow, path: Path, scribe: _Scribe, judge: _Judge) -> tuple[str, ...]:
    """Return a picture's different captions, from its file and, where those are too few, drawn."""
    different, rounds = _read(path)

    def enough() -> bool:
        plain = [caption for caption in different.values() if not judge.flags(caption)]
        return len(plain) >= scribe.config.captions_per_picture

    # Flags follow culture and tokenizer, which may change: a file says what was drawn, and drawing
    # goes on behind it where it is no longer enough.
    if rounds < _MAX_ROUNDS and not enough():
        for texts in scribe.rounds(row, rounds):
            rounds += 1
            for caption in map(clean_caption, texts):
                if caption:
                    different.setdefault(_compared(caption), caption)
            if enough():
                break
        captions = tuple(different.values())
        write_json(
            path,
            {
                "rounds": rounds,
                "captions": [
                    {"text": caption, "flags": list(judge.flags(caption))} for caption in captions
                ],
            },
        )
    return tuple(different.values())


def _read(path: Path) -> tuple[dict[str, str], int]:
    """Return the different captions in a picture's file, and of how many rounds they are."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        captions = [str(entry["text"]) for entry in values["captions"]]
        rounds = int(values["rounds"])
    except FileNotFoundError:
        return {}, 0
    except (OSError, ValueError, LookupError, TypeError):
        logger.warning("%s cannot be read and is drawn anew", path.name)
        return {}, 0
    return {_compared(caption): caption for caption in captions}, rounds


def _compared(caption: str) -> str:
    """Return what two captions must differ in to count as two."""
    return " ".join(re.findall(r"\w+", caption.casefold())) or caption


def _no_plain_caption(row: DatasetRow, flags: tuple[tuple[str, ...], ...]) -> str:
    begin = f"{row.where} the captioner wrote"
    if not flags:
        return f"{begin} nothing for `{printable(row.file_name)}`. Write its `blip_text` yourself."
    kinds = ", ".join(sorted({kind for of_caption in flags for kind in of_caption}))
    return (
        f"{begin} no plain caption for `{printable(row.file_name)}` ({kinds}), so flagged ones are "
        "used. Look at them, or write its `blip_text` yourself."
    )


def _state(work: Path, used: dict[str, tuple[str, tuple[str, ...]]]) -> Iterator[Event]:
    """Put captions into rows.jsonl, but not over what somebody else has stated."""
    last: dict[str, Overlay] = {}
    whole: dict[str, Overlay] = {}
    for statement in read_statements(work):
        if statement.only_generic_captions is not None:
            whole[statement.sha256] = statement
        elif "only_generic_captions" in statement.unset:
            whole.pop(statement.sha256, None)
        if statement.generic_captions is not None:
            last[statement.sha256] = statement
    new = []
    for sha256, (where, captions) in used.items():
        before = whole.get(sha256) or last.get(sha256)
        if before is not None and before.generic_captions == captions:
            continue
        if before is not None and before.by != CAPTIONS_BY:
            yield WarningEvent(
                f"{where} the generic captions stated by {before.by} in the work folder "
                "stay; those of the captioner are not used."
            )
            continue
        new.append(
            Overlay(
                sha256=sha256,
                by=CAPTIONS_BY,
                at=now(),
                why=CAPTIONS_WHY,
                generic_captions=captions,
            )
        )
    write_overlays(work, new)


def _without_invented(found: re.Match[str]) -> str:
    article, following = found[1], found[2] or ""
    if not article:
        return following
    right = "an" if following and following.lower() in "aeiou" else "a"
    return f"{right.capitalize() if article[0].isupper() else right} {following}"
