"""Where a picture is, and what was made from it: found by its sha256, so that it can be taken down.

Found are copies of the picture under any name, the rows of datasets that name them, what work
folders hold of it, LoRAs that learned from it, by the digests in their headers, grids with drawings
for its caption or by a run that learned from it, scores and vectors. Of a LoRA only the header is
read; links are not followed; nothing is deleted. A checkpoint into which a LoRA was merged, and a
LoRA whose header another program dropped, say nothing of their pictures. What is said of a line in
a text is `takedown_texts`' matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any
from unicodedata import normalize

from .data_checks import Findings
from .data_sources import PICTURE_ENDINGS, find_source, is_dataset, read_rows
from .errors import ConfigError, DatasetError, ModelFileError
from .feature_shards import is_shard, shard_pictures
from .files import digest_json, digest_text, file_sha256
from .grids import is_grid, read_grid
from .lora_files import read_metadata
from .lora_metadata import SHORT_DIGITS, pictures_of
from .overlays import OVERLAYS, Overlay, add_statement, now
from .takedown_texts import Finding, about_line
from .whole_set import dataset_splits
from .work_folder import default_work_folder

__all__ = ["FEWEST_DIGITS", "Finding", "Takedown", "default_folders", "find_picture", "leave_out"]

FEWEST_DIGITS = 8
"""A beginning of a digest must have so many digits."""

TAKEN_DOWN_BY, TAKEN_DOWN_WHY = "scoft takedown", "takedown"

_PICTURES = PICTURE_ENDINGS | {".jpe", ".jfif", ".tiff", ".ppm", ".jp2", ".heic", ".heif"}
_TEXTS = frozenset((".json", ".jsonl", ".csv", ".tsv", ".txt", ".md", ".html", ".torn"))
_LONGEST_TEXT = 64 << 20
_LONGEST_HEADER = 16 << 20
_SKIPPED = frozenset((".git", "__pycache__", "node_modules", "site-packages"))
_DERIVED = {"depth": "its depth", "captions": "captions drawn for it", "thumbnails": "a small copy"}
_WORK_PARTS = frozenset(("cache", "captions", "depth", "negatives", "runs", "thumbnails"))
_LEVELS = 4
"""So far above a picture its dataset's root is looked for."""


@dataclass(frozen=True)
class Takedown:
    """What was found.

    Attributes:
        sha256: the whole digest; what was given of it where nothing was found.
        findings: what to delete and what to train anew, in the order of the paths.
        not_read: sentences on what could not be looked into.
        files: how many files were looked at.
        datasets: roots of the sets with a row of the picture.
        work_folders: those that hold something of it, or belong to such a set.
    """

    sha256: str
    findings: tuple[Finding, ...]
    not_read: tuple[str, ...]
    files: int
    datasets: tuple[Path, ...]
    work_folders: tuple[Path, ...]


def default_folders(here: Path) -> list[Path]:
    """Return where is searched if nobody says: ./scoft-work, and datasets, LoRAs and grids here."""
    found = [here / "scoft-work"] if (here / "scoft-work").is_dir() else []
    if is_dataset(here) or is_grid(here):
        return [*found, here]
    for entry in sorted(here.iterdir()):
        if entry.is_dir() and entry.name != "scoft-work":
            is_lora = (entry / "adapter_model.safetensors").is_file()
            # An ablation keeps its grids in a folder of that name.
            grids = (entry, *(entry / "grids").glob("*"))
            if is_dataset(entry) or is_lora or any(map(is_grid, grids)):
                found.append(entry)
        elif entry.suffix == ".safetensors":
            found.append(entry)
    return found


def find_picture(wanted: str, places: Iterable[Path]) -> Takedown:
    """Look for a picture and what was made from it.

    Args:
        wanted: its sha256, or a beginning of it that only one picture has.
        places: folders, which are searched to the bottom, and single files.

    Raises:
        ConfigError: no hex digits or too few of them, a place is not there, or the beginning fits
            several pictures.
    """
    wanted = wanted.strip().lower()
    if not re.fullmatch(rf"[0-9a-f]{{{FEWEST_DIGITS},64}}", wanted):
        raise ConfigError(
            f"{wanted!r} is no sha256. Write its 64 hex digits or the first {FEWEST_DIGITS} or "
            "more, or name the picture's file with --picture."
        )
    search = _Search(wanted)
    for place in places:
        if not place.exists():
            raise ConfigError(f"{place}: is not there. Check the path.")
        search.look_into(place.resolve())
    return search.result()


def leave_out(found: Takedown, *, by: str = TAKEN_DOWN_BY) -> list[Path]:
    """State in every work folder of `found` that the picture is left out; return those folders.

    Raises:
        ConfigError: the whole digest is not known.
        DatasetError: a rows.jsonl is broken.
        OutputError: one cannot be written.
    """
    if len(found.sha256) != 64:
        raise ConfigError(
            f"Only {len(found.sha256)} digits of the picture's sha256 are known. Give all 64, or "
            "the picture's file with --picture."
        )
    for work in found.work_folders:
        statement = Overlay(sha256=found.sha256, by=by, at=now(), why=TAKEN_DOWN_WHY, include=False)
        add_statement(work, statement)
    return list(found.work_folders)


class _Search:
    """What is known while files are looked at, one after the other."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._pattern = re.compile(
            rb"(?<![0-9a-f])%b[0-9a-f]{%d}(?![0-9a-f])" % (wanted.encode(), 64 - len(wanted))
        )
        self._digests: set[str] = set()
        self._findings: dict[tuple[str, str, str], Finding] = {}
        self._not_read: list[str] = []
        self._seen: set[Path] = set()
        self._pictures: list[tuple[Path, Path]] = []
        self._cached: list[Path] = []
        self._runs: set[str] = set()
        self._grids: list[Path] = []
        self._work: dict[Path, None] = {}
        self._datasets: dict[Path, None] = {}

    def look_into(self, start: Path) -> None:
        """Look at a file, or at all files below a folder."""
        for path in _files_below(start, self._not_read):
            if path.is_dir():
                self._look_at_folder(path)
            elif path not in self._seen:
                self._seen.add(path)
                self._look_at_file(path, start if start.is_dir() else start.parent)

    def result(self) -> Takedown:
        """Relate what was found to rows, caches, grids and work folders.

        Raises:
            ConfigError: the beginning fits several pictures.
        """
        sha256 = self._one_digest()
        for picture, start in self._pictures:
            self._find_rows(picture, start)
        name = digest_json(sha256)[:32]
        for path in self._cached:
            if path.stem == name:
                self._found(
                    "cache",
                    path.parent.parent,
                    "holds its latents, and perhaps its features under other names",
                    "Delete the folder; what is still needed is computed again.",
                )
        for folder in self._grids:
            self._look_at_models(folder)
        findings = sorted(self._findings.values(), key=lambda one: (one.path, one.kind))
        return Takedown(
            sha256=sha256,
            findings=tuple(findings),
            not_read=tuple(self._not_read),
            files=len(self._seen),
            datasets=tuple(self._datasets),
            work_folders=tuple(self._work_folders(findings)),
        )

    def _one_digest(self) -> str:
        whole = sorted(digest for digest in self._digests if len(digest) == 64)
        short = [one for one in self._digests if not any(of.startswith(one) for of in whole)]
        several = sorted({*whole, *short})
        if len(several) > 1:
            raise ConfigError(
                f"{self._wanted} is the beginning of {len(several)} pictures' sha256: "
                f"{', '.join(several[:5])}. Give more digits."
            )
        known = several[0] if several else self._wanted
        return max(known, self._wanted, key=len)

    def _found(self, kind: str, path: Path, what: str, remedy: str) -> None:
        self._add(Finding(kind, str(path), what, remedy))

    def _add(self, finding: Finding) -> None:
        self._findings[finding.kind, finding.path, finding.what] = finding

    def _fits(self, digest: str) -> bool:
        return digest.startswith(self._wanted) or (
            len(digest) == SHORT_DIGITS and self._wanted.startswith(digest)
        )

    def _named_after_it(self, name: str) -> bool:
        match = re.match(r"[0-9a-f]{64}(?![0-9a-f])", name)
        if match is None or not self._fits(match[0]):
            return False
        self._digests.add(match[0])
        return True

    def _look_at_folder(self, path: Path) -> None:
        if path.name in _WORK_PARTS:
            self._work[path.parent] = None
        if self._named_after_it(path.name):
            self._found(
                "negatives",
                path,
                "holds negatives that were drawn of its scene",
                "Delete the folder.",
            )

    def _look_at_file(self, path: Path, start: Path) -> None:
        try:
            if self._named_after_it(path.name):
                what = next((_DERIVED[p] for p in path.parts if p in _DERIVED), "made from it")
                self._found("derived", path, f"is {what}", "Delete the file.")
            ending = path.suffix.lower()
            if ending == ".safetensors":
                self._look_at_tensors(path)
            elif ending in _TEXTS:
                self._look_at_text(path)
            elif ending in _PICTURES:
                self._look_at_picture(path, start)
        except OSError as error:
            self._not_read.append(f"{path}: cannot be read ({error.strerror}).")

    def _look_at_picture(self, path: Path, start: Path) -> None:
        digest = file_sha256(path)
        if self._fits(digest):
            self._digests.add(digest)
            self._pictures.append((path, start))
            self._found("picture", path, "is the picture", "Delete the file.")

    def _look_at_tensors(self, path: Path) -> None:
        if path.parent.parent.name == "cache" and re.fullmatch("[0-9a-f]{32}", path.stem):
            self._cached.append(path)
            return
        try:
            with path.open("rb") as file:
                if int.from_bytes(file.read(8), "little") > _LONGEST_HEADER:
                    raise ModelFileError(f"{path}: its header is longer than any LoRA's.")
            if is_shard(path):
                self._look_at_shard(path)
                return
            metadata = read_metadata(path)
            pictures, whole = pictures_of(metadata)
        except ModelFileError as error:
            self._not_read.append(str(error))
            return
        fitting = {digest for digest in pictures if self._fits(digest)}
        self._digests |= fitting
        if fitting:
            if run_id := metadata.get("scoft.run_id"):
                self._runs.add(run_id)
            self._found(
                "lora",
                path,
                "is a LoRA that learned from it",
                "Delete the file, tell those who have it, and train anew without the picture.",
            )
        elif pictures and not whole:
            self._found(
                "uncertain",
                path,
                "is a LoRA of so many pictures that its header names only some",
                "Ask the run's config.json, or train anew without the picture.",
            )

    def _look_at_shard(self, path: Path) -> None:
        fitting = {digest for digest in shard_pictures(path) if self._fits(digest)}
        self._digests |= fitting
        if fitting:
            self._found(
                "cache",
                path,
                "holds its vector under a network that measures",
                "Delete the file; what is still needed is measured again.",
            )

    def _look_at_models(self, folder: Path) -> None:
        """Name a grid's models that learned from the picture, as far as their runs are known."""
        try:
            models = read_grid(folder).models
        except DatasetError as error:
            self._not_read.append(str(error))
            return
        if names := [model.name for model in models if model.run_id in self._runs]:
            self._found(
                "grid",
                folder,
                f"holds drawings by LoRAs that learned from it: {', '.join(names)}",
                "Delete the grid, and draw it anew without them.",
            )

    def _look_at_text(self, path: Path) -> None:
        if path.name == OVERLAYS:
            self._work[path.parent] = None
        if path.name == "grid.json":
            self._grids.append(path.parent)
        if path.stat().st_size > _LONGEST_TEXT:
            self._not_read.append(f"{path}: is longer than {_LONGEST_TEXT >> 20} MB.")
            return
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
            digests = {match.decode() for match in self._pattern.findall(line.lower())}
            if digests:
                self._digests |= digests
                finding = about_line(path, number, line)
                self._add(finding)
                if finding.kind == "run":
                    self._runs.add(path.parent.name)

    def _find_rows(self, picture: Path, start: Path) -> None:
        """Find the rows that name a copy, of datasets between it and the folder of the search."""
        for root in list(picture.parents)[:_LEVELS]:
            if not root.is_relative_to(start):
                return
            for split in dataset_splits(root):
                try:
                    self._find_rows_of(picture, root, split)
                except DatasetError:
                    continue  # most folders above a picture are no dataset's root

    def _find_rows_of(self, picture: Path, root: Path, split: str) -> None:
        source = find_source(root, split)
        encoding = _stated_encoding(root)
        for row in read_rows(source, Findings(), encoding=encoding):
            values = row.values
            place = source.table or source.folder
            if _same(_path(source.folder, values.get("file_name")), picture):
                self._datasets[root] = None
                self._found(
                    "row", place, f"{row.where} is its row", "Remove the row, or set include false."
                )
                for name in (*_texts(values.get("negative_imgpath")), *_texts(values.get("depth"))):
                    if (path := _path(root, name)) is not None and path.is_file():
                        self._found(
                            "derived",
                            path,
                            "is a negative or the depth of its row",
                            "Delete the file, unless another row names it.",
                        )
            elif any(
                _same(_path(root, name), picture) for name in _texts(values.get("negative_imgpath"))
            ):
                self._datasets[root] = None
                self._found(
                    "row", place, f"{row.where} has it as a negative", "Take it off the row."
                )

    def _work_folders(self, findings: Iterable[Finding]) -> Iterator[Path]:
        """Yield the work folders in which something was found, and one of each dataset at least."""
        paths = [Path(finding.path) for finding in findings]
        roots = {f"-{digest_text(str(root))[:8]}": root for root in self._datasets}
        lacking = dict(roots)
        for work in self._work:
            if is_dataset(work):
                continue
            end = work.name[-9:]
            lacking.pop(end, None)
            if end in roots or any(_is_part(path, work) for path in paths):
                yield work
        # The next training of such a set makes its folder there.
        yield from map(default_work_folder, lacking.values())


def _is_part(path: Path, work: Path) -> bool:
    """Whether a path lies in one of the parts that a work folder has."""
    below = path.relative_to(work).parts if path.is_relative_to(work) else ()
    return bool(below) and below[0] in (*_WORK_PARTS, OVERLAYS)


def _files_below(start: Path, not_read: list[str]) -> Iterator[Path]:
    """Yield a file, or each folder and file below one, sorted; links that lead out are noted."""
    if not start.is_dir():
        yield start
        return
    folders = [start]
    while folders:
        folder = folders.pop()
        yield folder
        try:
            entries = sorted(folder.iterdir(), reverse=True)
        except OSError as error:
            not_read.append(f"{folder}: cannot be opened ({error.strerror}).")
            continue
        for entry in entries:
            if entry.is_symlink():
                if not entry.resolve().is_relative_to(start):
                    not_read.append(f"{entry}: is a link that leads out of {start}.")
            elif entry.is_dir():
                if entry.name not in _SKIPPED:
                    folders.append(entry)
            elif entry.is_file():
                yield entry


def _path(base: Path, name: Any) -> Path | None:
    if not isinstance(name, str) or not name or "\0" in name:
        return None
    return base.joinpath(*PureWindowsPath(name).parts).resolve()


def _same(path: Path | None, other: Path) -> bool:
    """Compare paths of which one may spell accents in two signs."""
    return path is not None and normalize("NFC", str(path)) == normalize("NFC", str(other))


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [entry for entry in values if isinstance(entry, str)]


def _stated_encoding(root: Path) -> str | None:
    try:
        stated = json.loads((root / "card.json").read_text(encoding="utf-8"))["encoding"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return stated if isinstance(stated, str) else None
