"""Rows and cards of a dataset: from one JSON object to checked values. Whole sets: see `data`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

from PIL import Image

from .captions import caption_warnings
from .data_checks import (
    Columns,
    Findings,
    inside,
    missing_file,
    parse_object,
    printable,
    read_text,
)
from .data_sources import SourceRow
from .errors import DatasetError, unknown_name
from .file_digests import FileDigests
from .files import file_sha256
from .pictures import companion_crop, decide_crop, open_depth, open_picture
from .text_encoding import looks_misread

__all__ = [
    "CATEGORIES",
    "ERAS",
    "NO_CAPTION",
    "PREFIX_CATEGORIES",
    "DatasetCard",
    "DatasetRow",
    "RowReader",
    "read_card",
    "refuses_consent",
]

CATEGORIES: tuple[str, ...] = (
    "food_drink",
    "people_actions",
    "clothing",
    "architecture",
    "city",
    "dance_music_art",
    "nature",
    "utensil_tool",
    "religion_festival",
)
"""The nine categories of the paper's Table 3, in its order."""

ERAS: tuple[str, ...] = ("traditional", "modern")

_REFUSALS = ("no", "false", "refused")

PREFIX_CATEGORIES: Mapping[str, str] = {
    "ARCH_": "architecture",
    "CITIES_": "city",
    "CLOTH_": "clothing",
    "DANCE_": "dance_music_art",
    "FOOD_": "food_drink",
    "NATURE_": "nature",
    "PEOPLE_": "people_actions",
    "RELIG_": "religion_festival",
    "UTENSIL_": "utensil_tool",
}
"""What a file name's beginning says where a row states no category."""


@dataclass(frozen=True)
class DatasetRow:
    """One picture with what its community says about it, checked.

    `number` is the line of metadata.jsonl as an editor counts it, a table's row as a spreadsheet
    does, or the picture's place by name; `where` begins a sentence about the row. `sha256` is
    computed from the picture's file, `negative_sha256s` likewise, in the order of
    `negative_paths`. `extra` holds the columns that are not known here, as they are. The last
    `drawn_negatives` of the negatives were drawn here for this very crop: square, of the training
    resolution, and loaded as they are.
    """

    number: int
    where: str
    file_name: str
    image_path: Path
    sha256: str
    cultural_caption: str
    generic_captions: tuple[str, ...]
    negative_paths: tuple[Path, ...]
    negative_sha256s: tuple[str, ...]
    depth_path: Path | None
    category: str | None
    category_guessed: bool
    era: str | None
    culture: str | None
    source_url: str | None
    credit: str | None
    licence: str | None
    consent: bool | str | None
    extra: Mapping[str, Any]
    drawn_negatives: int = 0


@dataclass(frozen=True)
class DatasetCard:
    """What card.json says about the set as a whole; everything is optional.

    `name` is the set's where its folder is called otherwise; `contact` is where to ask that a
    picture be removed, an address or a link.
    """

    name: str | None = None
    contact: str | None = None
    culture: str | None = None
    suffix: str | None = None
    credits: tuple[str, ...] = ()
    licence: str | None = None
    language: str | None = None
    encoding: str | None = None
    notes: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


NO_CAPTION = "no-caption"
"""The kind of problem that a caption written in the review desk mends."""


class RowReader:
    """Turns what is written into rows, those with errors too: others are compared with them."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        findings: Findings,
        *,
        culture: str | None,
        needs_generic_captions: bool,
        check_pictures: bool,
        crop_mode: str,
        resolution: int | None,
        digests: FileDigests | None = None,
    ) -> None:
        self.rows: list[DatasetRow] = []
        self.seen = 0
        self.excluded = 0
        self._root = root
        self._folder = folder
        self._where = ""
        self._findings = findings
        self._culture = culture
        self._needs_generic_captions = needs_generic_captions
        self._check_pictures = check_pictures
        self._crop_mode = crop_mode
        self._resolution = resolution
        self._digests = digests
        # Rows may share negatives; each file is hashed once, and decoded once in each role.
        self._sha256s: dict[Path, str] = {}
        self._sizes: dict[tuple[Path, str], tuple[int, int]] = {}

    def read(self, written: SourceRow) -> None:
        """Read one row."""
        self.seen += 1
        number, self._where = written.number, written.where
        columns = Columns(written.values, self._findings, number, self._where)
        if columns.flag("include") is False:
            self.excluded += 1
            return
        if refuses_consent(written.values.get("consent")):
            self.excluded += 1
            self._findings.warn(
                number,
                "no-consent",
                f"{self._where} `consent` is false, so the picture is left out. Delete it if its "
                "people or its photographer ask for that, or correct the column.",
            )
            return
        row = self._read_columns(number, columns, written.no_caption)
        if row is not None:
            self.rows.append(row)

    def _read_columns(self, number: int, columns: Columns, no_caption: str) -> DatasetRow | None:
        caption = self._read_caption(number, columns, no_caption)
        culture = columns.text("culture") or None
        generic_captions = self._read_generic_captions(number, columns, culture)
        category, era = (
            self._read_choice(number, columns, name, known)
            for name, known in (("category", CATEGORIES), ("era", ERAS))
        )
        texts = {name: columns.text(name) or None for name in ("source_url", "credit", "licence")}
        consent = columns.flag_or_text("consent")
        stated_sha256 = columns.text("sha256")
        negative_names = columns.texts("negative_imgpath", one_allowed=False)
        depth_name = columns.text("depth") or None

        file_name = columns.text("file_name")
        if not file_name:
            if "file_name" not in columns.refused:
                self._findings.error(
                    number,
                    "no-file-name",
                    f"{self._where} `file_name` is missing. Write the picture's path inside the "
                    "split's folder.",
                )
            return None
        where = f"{self._where} `{printable(file_name)}`"
        picture = self._find(number, "picture", file_name, self._folder, where, open_picture)
        if picture is None:
            return None
        self._compare_sha256(number, picture, stated_sha256)
        self._compare_resolution(number, picture, where)
        negatives = [
            negative
            for name in negative_names
            if (negative := self._find_beside(number, "negative", name, picture, open_picture))
        ]
        depth_path = None
        if depth_name is not None:
            depth_path = self._find_beside(number, "depth", depth_name, picture, open_depth)
        category = category or _folder_category(file_name)
        guess = None if category else _guess_category(file_name)
        return DatasetRow(
            number=number,
            where=self._where,
            file_name=file_name,
            image_path=picture,
            sha256=self._sha256s[picture],
            cultural_caption=caption or "",
            generic_captions=generic_captions,
            negative_paths=tuple(negatives),
            negative_sha256s=tuple(self._sha256s[path] for path in negatives),
            depth_path=depth_path,
            category=category or guess,
            category_guessed=guess is not None,
            era=era,
            culture=culture,
            consent=consent,
            extra=columns.rest,
            source_url=texts["source_url"],
            credit=texts["credit"],
            licence=texts["licence"],
        )

    def _read_caption(self, number: int, columns: Columns, no_caption: str) -> str | None:
        caption = columns.text("text")
        if not caption and "text" not in columns.refused:
            lack = no_caption or f"`text` is {'missing' if caption is None else 'empty'}"
            self._findings.error(
                number,
                NO_CAPTION,
                f"{self._where} {lack}. Each image needs its cultural caption: write one, there or "
                "in the review desk, or leave the picture out.",
            )
        if caption and looks_misread(caption):
            self._findings.warn(
                number,
                "misread-caption",
                f"{self._where} `text` was spoilt by a program that took it for another encoding: "
                f"{caption[:60]!r}. Write it anew from where it still reads well.",
            )
        return caption

    def _read_generic_captions(
        self, number: int, columns: Columns, culture: str | None
    ) -> tuple[str, ...]:
        given = columns.texts("blip_text", one_allowed=True)
        captions = tuple(caption for caption in given if caption)
        if len(given) > 1 and len(captions) < len(given):
            self._findings.warn(
                number,
                "degenerate-caption",
                f"{self._where} `blip_text` holds an empty caption, which is skipped. Remove it.",
            )
        if self._needs_generic_captions and not captions and "blip_text" not in columns.refused:
            self._findings.error(
                number,
                "no-generic-caption",
                f"{self._where} `blip_text` is {'empty' if given else 'missing'}, but L_M is on "
                "and needs a generic caption. Write one, or set memorization_weight to 0.",
            )
        cultures = [name for name in (self._culture, culture) if name]
        for caption in captions:
            for kind, sentence in caption_warnings(caption, cultures):
                self._findings.warn(number, kind, f"{self._where} {sentence}")
        return captions

    def _read_choice(
        self, number: int, columns: Columns, name: str, known: tuple[str, ...]
    ) -> str | None:
        value = columns.text(name) or None
        if value is None or value in known:
            return value
        sentence = f"{self._where} {unknown_name(name, value, known)}"
        self._findings.error(number, f"unknown-{name}", sentence)
        return None

    def _find(
        self,
        number: int,
        role: str,
        name: str,
        base: Path,
        where: str,
        open_file: Callable[..., Image.Image],
    ) -> Path | None:
        """Return the path of a file that is safe, there, hashed and (if asked for) decodable."""
        kind = f"unsafe-{role}-path"
        try:
            path = inside(self._root, base, name, where=where)
            kind = f"missing-{role}"
            if path not in self._sha256s and (fault := missing_file(path)):
                raise DatasetError(f"{where} {fault}")
            kind = f"unreadable-{role}"
            if path not in self._sha256s:
                self._sha256s[path] = _sha256(path, where, self._digests)
            if self._check_pictures and (path, role) not in self._sizes:
                self._sizes[path, role] = open_file(path, where=where).size
        except DatasetError as error:
            self._findings.error(number, kind, str(error))
            return None
        return path

    def _find_beside(
        self,
        number: int,
        role: str,
        name: str,
        picture: Path,
        open_file: Callable[..., Image.Image],
    ) -> Path | None:
        """Return the path of a negative or depth picture whose shape goes with the picture's."""
        where = f"{self._where} {role} `{printable(name)}`"
        path = self._find(number, role, name, self._root, where, open_file)
        if path is None or not self._check_pictures:
            return path
        size, picture_size = self._sizes[path, role], self._sizes[picture, "picture"]
        crop = decide_crop(picture_size, mode="center", seed=0, picture_sha256="")
        try:
            companion_crop(size, picture_size, crop, mode=self._crop_mode, where=where)
        except DatasetError as error:
            self._findings.error(number, f"{role}-shape", str(error))
            return None
        return path

    def _compare_sha256(self, number: int, picture: Path, stated: str | None) -> None:
        computed = self._sha256s[picture]
        if stated and stated.lower() != computed:
            self._findings.warn(
                number,
                "sha256-differs",
                f"{self._where} `sha256` is {printable(stated)[:12]}..., but the picture's is "
                f"{computed[:12]}...: the file was changed. Look at it, then correct the column.",
            )

    def _compare_resolution(self, number: int, picture: Path, where: str) -> None:
        if self._resolution is None or not self._check_pictures:
            return
        width, height = self._sizes[picture, "picture"]
        if min(width, height) < self._resolution:
            self._findings.warn(
                number,
                "small-picture",
                f"{where} is {width} x {height} pixels and would be enlarged to "
                f"{self._resolution}. Bring a larger one.",
            )


def read_card(root: Path, findings: Findings) -> DatasetCard:
    """Read card.json if there is one; what is wrong with it is an error of the whole dataset."""
    path = root / "card.json"
    if not path.is_file():
        return DatasetCard()
    try:
        values = parse_object(read_text(path, "card.json"), where="card.json:")
    except DatasetError as error:
        findings.error(None, "bad-card", str(error))
        return DatasetCard()
    columns = Columns(values, findings, None, "card.json:")
    return DatasetCard(
        name=columns.text("name") or None,
        contact=columns.text("contact") or None,
        culture=columns.text("culture") or None,
        suffix=columns.text("suffix") or None,
        credits=columns.texts("credits", one_allowed=True),
        licence=columns.text("licence") or None,
        language=columns.text("language") or None,
        encoding=columns.text("encoding") or None,
        notes=columns.text("notes") or None,
        extra=columns.rest,
    )


def refuses_consent(value: Any) -> bool:
    """Tell whether a `consent` says no: false, or the word; other text says on what terms."""
    return value is False or (isinstance(value, str) and value.strip().casefold() in _REFUSALS)


def _folder_category(file_name: str) -> str | None:
    """Return the category that a folder on the picture's path is named after."""
    folders = PureWindowsPath(file_name).parts[:-1]
    return next((name for name in folders if name in CATEGORIES), None)


def _guess_category(file_name: str) -> str | None:
    name = PureWindowsPath(file_name).name.upper()
    return next(
        (slug for prefix, slug in PREFIX_CATEGORIES.items() if name.startswith(prefix)), None
    )


def _sha256(path: Path, where: str, digests: FileDigests | None) -> str:
    try:
        return file_sha256(path) if digests is None else digests.sha256(path)
    except OSError as error:
        raise DatasetError(
            f"{where} cannot be opened ({error.strerror}). It must be a file that you may read."
        ) from error
