"""What a set's pictures and captions lack or repeat: measured once, then told without decoding.

Here are found: pictures that repeat each other, in the set or in its test split, captions that do,
and pictures that are blurred, small, or lose most of themselves to the square crop. What the files
themselves have wrong is `data`'s matter, single pictures' numbers are `picture_measures`'.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from .config import ReportConfig
from .data import Dataset
from .data_checks import Problem, printable
from .data_rows import DatasetRow
from .errors import DatasetError
from .events import Event, PhaseEvent, WarningEvent
from .likeness import Likeness, measure_likeness, read_likeness
from .near_duplicates import HASH_BITS, Pair, near_captions, near_pictures
from .options import validate
from .picture_measures import PictureMeasures, measure_picture, read_measures, write_measures
from .pictures import open_picture

__all__ = ["PicturePair", "Quality", "known_problems", "measure", "quality_of", "words_of"]

_AT_ONCE = 64
"""Pictures between two savings, so that little is lost when the process is killed."""

_WORKERS = 4


@dataclass(frozen=True)
class PicturePair:
    """Two rows whose pictures are nearly the same.

    Attributes:
        one: of the set.
        other: of the set, or of its test split.
        same: the files hold the same bytes.
        bits: by how many of 64 the hashes differ; None where one picture has none.
        mirrored: one looks like the other's mirror image.
        likeness: distance of the perceptual network; None where it was not measured.
    """

    one: DatasetRow
    other: DatasetRow
    same: bool
    bits: int | None
    mirrored: bool
    likeness: float | None


@dataclass(frozen=True)
class Quality:
    """What was found in a set. Rows stand in the order of the set.

    Attributes:
        pairs: near-duplicates inside the set.
        leaks: pictures of the set that are nearly in the test split, too.
        captions: pairs of rows whose captions repeat each other; a distance of 0 is equal.
        blurred: rows with what was measured.
        small: likewise.
        cut: likewise, of rows that lose more than half to the square crop.
        unmeasured: rows whose picture was not measured yet.
        second_opinion: name of the network that looked at all pictures, or None.
    """

    pairs: tuple[PicturePair, ...]
    leaks: tuple[PicturePair, ...]
    captions: tuple[tuple[DatasetRow, DatasetRow, float], ...]
    blurred: tuple[tuple[DatasetRow, PictureMeasures], ...]
    small: tuple[tuple[DatasetRow, PictureMeasures], ...]
    cut: tuple[tuple[DatasetRow, PictureMeasures], ...]
    unmeasured: tuple[DatasetRow, ...]
    second_opinion: str | None


def measure(
    dataset: Dataset,
    work: Path,
    config: ReportConfig | None = None,
    *,
    held_out: Dataset | None = None,
    device: torch.device | None = None,
    search_folders: Sequence[Path] = (),
    check_stop: Callable[[], None] = lambda: None,
) -> Generator[Event, None, None]:
    """Measure the pictures that were not yet, in threads; run again, it goes on.

    Args:
        dataset: whose rows' pictures are measured.
        work: the work folder, which keeps the numbers.
        config: the options; None takes the defaults.
        held_out: its test split.
        device: where a second opinion is computed; None is the CPU.
        search_folders: parents of helpers' folders, say the host's models/scoft.
        check_stop: called between pictures; raises to stop. What is measured stays.

    Raises:
        ConfigError: an option is out of range.
        OutputError: the work folder cannot be written.
    """
    config = config or ReportConfig()
    validate(config)
    rows = [*dataset.rows, *(held_out.rows if held_out else ())]
    pictures = {row.sha256: row for row in rows}
    known = read_measures(work)
    new = [row for sha256, row in pictures.items() if sha256 not in known]
    yield PhaseEvent("measure", 0, len(new))
    with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as workers:
        for start in range(0, len(new), _AT_ONCE):
            check_stop()
            measured = {}
            batch = new[start : start + _AT_ONCE]
            for row, found in zip(batch, workers.map(_measured, batch), strict=True):
                if isinstance(found, DatasetError):
                    yield WarningEvent(str(found))
                else:
                    measured[row.sha256] = found
            write_measures(work, measured)
            yield PhaseEvent("measure", start + len(batch), len(new))
    if config.similar_backbone != "none":
        quality = quality_of(dataset, work, config, held_out=held_out)
        yield from measure_likeness(
            {sha256: row.image_path for sha256, row in pictures.items()},
            [
                (pair.one.sha256, pair.other.sha256)
                for pair in (*quality.pairs, *quality.leaks)
                if not pair.same
            ],
            work,
            backbone=config.similar_backbone,
            device=device or torch.device("cpu"),
            search_folders=search_folders,
            check_stop=check_stop,
        )


def quality_of(
    dataset: Dataset,
    work: Path,
    config: ReportConfig | None = None,
    *,
    held_out: Dataset | None = None,
) -> Quality:
    """Return what follows from the numbers that the work folder has; no picture is opened.

    Args:
        dataset: as its work folder completes it.
        work: the work folder.
        config: the thresholds; None takes the defaults.
        held_out: the test split, completed likewise.
    """
    config = config or ReportConfig()
    known = read_measures(work)
    rows = list(dataset.rows)
    likeness = None
    if config.similar_backbone != "none":
        likeness = read_likeness(work, config.similar_backbone)
    measured = [(row, known[row.sha256]) for row in rows if row.sha256 in known]
    tested = list(held_out.rows) if held_out else []
    pairs = list(_picture_pairs([*rows, *tested], known, likeness, config))
    inside = {id(row) for row in rows}
    captions = near_captions([row.cultural_caption for row in rows], least=config.caption_overlap)
    return Quality(
        pairs=tuple(pair for pair in pairs if id(pair.other) in inside),
        leaks=tuple(
            pair for pair in pairs if id(pair.one) in inside and id(pair.other) not in inside
        ),
        captions=tuple((rows[pair.one], rows[pair.other], pair.distance) for pair in captions),
        blurred=tuple((row, of) for row, of in measured if of.sharpness < config.least_sharpness),
        small=tuple((row, of) for row, of in measured if of.side < config.least_side),
        cut=tuple((row, of) for row, of in measured if of.kept_by_crop < 0.5),
        unmeasured=tuple(row for row in rows if row.sha256 not in known),
        second_opinion=likeness.backbone if likeness else None,
    )


def known_problems(
    dataset: Dataset,
    work: Path,
    config: ReportConfig | None = None,
    *,
    held_out: Dataset | None = None,
) -> dict[str, list[Problem]]:
    """Return `quality_of` as sentences, by the sha256 of the picture; none is an error.

    A row gets one of a kind, which names the first other row. Kinds: near-duplicate, test-leak,
    repeated-caption, blurred, small-picture, extreme-aspect. What `Dataset.problems` says already,
    of equal files and equal captions in one split, is left to it.
    """
    found = quality_of(dataset, work, config, held_out=held_out)
    problems: dict[str, list[Problem]] = {}
    noted: set[tuple[int, str]] = set()

    def note(row: DatasetRow, kind: str, sentence: str) -> None:
        # One of each kind for a row: a hundred captions of one pattern make thousands of pairs.
        if (row.number, kind) not in noted:
            noted.add((row.number, kind))
            problem = Problem(row.number, kind, False, f"{_begin(row)} {sentence}")
            problems.setdefault(row.sha256, []).append(problem)

    for pair in found.pairs:
        if not pair.same:
            for row, other in ((pair.one, pair.other), (pair.other, pair.one)):
                note(
                    row,
                    "near-duplicate",
                    f"looks like row {other.number} ({words_of(pair)}). Keep the better one.",
                )
    for pair in found.leaks:
        same = "is" if pair.same else "looks like"
        note(
            pair.one,
            "test-leak",
            f"{same} row {pair.other.number} of the test split ({words_of(pair)}). Take it out of "
            "one of the two, or the test proves nothing.",
        )
    for one, other, distance in found.captions:
        if distance:
            for row, second in ((one, other), (other, one)):
                note(
                    row,
                    "repeated-caption",
                    f"has nearly the caption of row {second.number}. Say what is different about "
                    "this picture.",
                )
    for row, of in found.blurred:
        note(
            row,
            "blurred",
            f"has no sharp part (sharpness {of.sharpness:.1f}). Look at it at full size, and bring "
            "a sharper one if there is one.",
        )
    for row, of in found.small:
        note(
            row,
            "small-picture",
            f"is {of.width} x {of.height} pixels and would be enlarged for training. Bring a "
            "larger one.",
        )
    for row, of in found.cut:
        note(
            row,
            "extreme-aspect",
            f"is {of.width} x {of.height} pixels, of which a square keeps {of.kept_by_crop:.0%}. "
            "Cut out yourself what should be learned.",
        )
    return problems


def words_of(pair: PicturePair) -> str:
    """Return how near two pictures are, in a few words."""
    if pair.same:
        return "the same file"
    parts = ["mirrored"] if pair.mirrored else []
    if pair.bits is not None:
        parts.append(f"{pair.bits} of {HASH_BITS} bits of the hash differ")
    if pair.likeness is not None:
        parts.append(f"perceptual distance {pair.likeness:.2f}")
    return ", ".join(parts)


def _begin(row: DatasetRow) -> str:
    return f"{row.where} `{printable(row.file_name)}`"


def _measured(row: DatasetRow) -> PictureMeasures | DatasetError:
    try:
        return measure_picture(open_picture(row.image_path, where=_begin(row)))
    except DatasetError as error:
        return error


def _picture_pairs(
    rows: Sequence[DatasetRow],
    known: dict[str, PictureMeasures],
    likeness: Likeness | None,
    config: ReportConfig,
) -> Iterator[PicturePair]:
    """Yield near rows, each pair once, the earlier row first: by bytes, by hash, by the network."""
    hashes = [
        (known[row.sha256].hash, known[row.sha256].mirrored_hash)
        if row.sha256 in known
        else ("", "")
        for row in rows
    ]
    pairs = {
        (pair.one, pair.other): pair
        for pair in near_pictures(hashes, most=config.near_duplicate_bits)
    }
    places: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        for earlier in places.setdefault(row.sha256, []):
            pairs[earlier, at] = Pair(earlier, at, 0)
        places[row.sha256].append(at)
    seen = likeness.distances.items() if likeness else ()
    limit = config.similar_threshold
    if limit is None:
        limit = likeness.threshold if likeness and likeness.threshold is not None else -1.0
    for (one_sha256, other_sha256), distance in seen:
        if distance < limit:
            for a in places.get(one_sha256, ()):
                for b in places.get(other_sha256, ()):
                    pairs.setdefault((min(a, b), max(a, b)), Pair(min(a, b), max(a, b), -1))
    for (one, other), pair in sorted(pairs.items()):
        first, second = rows[one], rows[other]
        yield PicturePair(
            one=first,
            other=second,
            same=first.sha256 == second.sha256,
            bits=int(pair.distance) if pair.distance >= 0 else None,
            mirrored=pair.mirrored,
            likeness=likeness.of(first.sha256, second.sha256) if likeness else None,
        )
