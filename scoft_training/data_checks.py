"""One line or card of a dataset: from JSON to checked values. Whole datasets live in `data`."""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from PIL import Image

from .errors import DatasetError, unknown_name
from .files import file_sha256
from .pictures import companion_crop, decide_crop, open_depth, open_picture

__all__ = [
    "CATEGORIES",
    "ERAS",
    "METADATA",
    "PREFIX_CATEGORIES",
    "DatasetCard",
    "DatasetRow",
    "Findings",
    "Problem",
    "RowReader",
    "place",
    "printable",
    "read_card",
    "read_text",
]

METADATA = "metadata.jsonl"

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

_COUNTRIES = """
    afghanistan albania algeria andorra angola argentina armenia australia austria azerbaijan
    bahamas bahrain bangladesh barbados belarus belgium belize benin bhutan bolivia bosnia botswana
    brazil britain brunei bulgaria burkina_faso burma burundi cambodia cameroon canada cape_verde
    chad chile china colombia comoros congo costa_rica croatia cuba cyprus czech_republic czechia
    denmark djibouti dominica dominican_republic east_timor ecuador egypt el_salvador england
    eritrea estonia eswatini ethiopia fiji finland france gabon gambia georgia germany ghana greece
    greenland grenada guatemala guinea guyana haiti honduras hong_kong hungary iceland india
    indonesia iran iraq ireland israel italy ivory_coast jamaica japan jordan kazakhstan kenya
    kiribati korea kosovo kuwait kyrgyzstan laos latvia lebanon lesotho liberia libya liechtenstein
    lithuania luxembourg macau madagascar malawi malaysia maldives mali malta mauritania mauritius
    mexico micronesia moldova monaco mongolia montenegro morocco mozambique myanmar namibia nauru
    nepal netherlands holland new_zealand nicaragua niger nigeria north_korea north_macedonia norway
    oman pakistan palau palestine panama papua_new_guinea paraguay peru philippines poland portugal
    puerto_rico qatar romania russia rwanda samoa san_marino saudi_arabia scotland senegal serbia
    seychelles sierra_leone singapore slovakia slovenia solomon_islands somalia south_africa
    south_korea soviet_union spain sri_lanka sudan suriname sweden switzerland syria taiwan
    tajikistan tanzania thailand tibet togo tonga trinidad tunisia turkey turkmenistan tuvalu uganda
    ukraine united_arab_emirates united_kingdom united_states uruguay usa uzbekistan vanuatu
    venezuela vietnam wales yemen zambia zimbabwe africa asia europe
"""
_DEMONYMS = """
    afghan albanian algerian american angolan arab arabian arabic argentine argentinian armenian
    asian african european latin_american middle_eastern
    australian austrian azerbaijani azeri bahamian bahraini bangladeshi basque belarusian belgian
    belizean bengali beninese bhutanese bolivian bosnian brazilian british bruneian bulgarian
    burmese burundian cambodian cameroonian canadian catalan chadian chilean chinese colombian
    comorian congolese costa_rican croatian cuban cypriot czech danish djiboutian dominican dutch
    ecuadorian egyptian emirati english eritrean estonian ethiopian fijian filipino finnish french
    gabonese gambian georgian german ghanaian greek guatemalan guinean guyanese haitian hawaiian
    hispanic honduran hungarian icelandic indian indonesian iranian iraqi irish israeli italian
    ivorian jamaican japanese jordanian kazakh kenyan korean kosovar kurdish kuwaiti kyrgyz laotian
    latvian lebanese liberian libyan lithuanian luxembourgish macedonian malagasy malawian malay
    malaysian maldivian malian maltese maori mauritanian mauritian mexican moldovan mongolian
    montenegrin moroccan mozambican namibian nepalese nepali nicaraguan nigerian nigerien norwegian
    omani pakistani palestinian panamanian papuan paraguayan persian peruvian polish portuguese
    puerto_rican qatari romanian russian rwandan salvadoran samoan saudi scottish senegalese serbian
    singaporean slovak slovenian somali south_african soviet spanish sri_lankan sudanese surinamese
    swedish swiss syrian taiwanese tajik tanzanian thai tibetan togolese tongan tunisian turkish
    turkmen ugandan ukrainian uruguayan uzbek venezuelan vietnamese welsh yemeni zambian zimbabwean
"""
_PEOPLES = [name.replace("_", " ") for name in (_COUNTRIES + _DEMONYMS).split()]

# Thai, Lao, Tibetan, Burmese, Khmer, kana, Han: one "word" of these may be a whole sentence.
_WRITTEN_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class DatasetRow:
    """One picture with what its community says about it; a line of metadata.jsonl, checked.

    `number` is the line as an editor counts it, from 1. `sha256` is computed from the picture's
    file, `negative_sha256s` likewise, in the order of `negative_paths`. `extra` holds the columns
    that are not known here, as they are.
    """

    number: int
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


@dataclass(frozen=True)
class DatasetCard:
    """What card.json says about the set as a whole; everything is optional."""

    culture: str | None = None
    suffix: str | None = None
    credits: tuple[str, ...] = ()
    licence: str | None = None
    language: str | None = None
    notes: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """What is wrong at one place of a dataset.

    `message` is the complete sentence; `kind` a stable code; `row` the line number, or None for the
    dataset as a whole.
    """

    row: int | None
    kind: str
    is_error: bool
    message: str


class Findings:
    """Problems as they are found."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def error(self, row: int | None, kind: str, message: str) -> None:
        """Note what keeps the row, or the dataset, from being used."""
        self._problems.append(Problem(row, kind, True, message))

    def warn(self, row: int | None, kind: str, message: str) -> None:
        """Note what the user should look at."""
        self._problems.append(Problem(row, kind, False, message))

    def in_order(self) -> tuple[Problem, ...]:
        """Return all problems: the dataset's first, then row by row as found."""
        return tuple(sorted(self._problems, key=lambda problem: problem.row or 0))

    @property
    def bad_rows(self) -> set[int | None]:
        """Rows with an error; None when the dataset as a whole has one."""
        return {problem.row for problem in self._problems if problem.is_error}


class Columns:
    """The values of one JSON object, taken out by name with their types checked.

    A value of another type is noted as an error, counts as absent, and its name is in `refused`.
    What nobody took is `rest`.
    """

    def __init__(
        self, values: Mapping[str, Any], findings: Findings, row: int | None, where: str
    ) -> None:
        self.rest = dict(values)
        self.refused: set[str] = set()
        self._findings = findings
        self._row = row
        self._where = where

    def text(self, name: str) -> str | None:
        """Take a string, its ends stripped; null and absent are None."""
        value = self._take(name, str, "text in quotes")
        return None if value is None else str(value).strip()

    def flag(self, name: str) -> bool | None:
        """Take true or false; null and absent are None."""
        value = self._take(name, bool, "true or false")
        return None if value is None else bool(value)

    def texts(self, name: str, *, one_allowed: bool) -> tuple[str, ...]:
        """Take a list of strings, each stripped; with `one_allowed` also a single string."""
        kinds: tuple[type, ...] = (list, str) if one_allowed else (list,)
        expected = "text or a list of texts" if one_allowed else "a list of texts"
        value = self._take(name, kinds, expected)
        if value is None:
            return ()
        values = [value] if isinstance(value, str) else value
        if wrong := [entry for entry in values if not isinstance(entry, str)]:
            self._refuse(name, expected, wrong[0])
            return ()
        return tuple(entry.strip() for entry in values)

    def flag_or_text(self, name: str) -> bool | str | None:
        """Take a string or true or false; null and absent are None."""
        value: bool | str | None = self._take(name, (bool, str), "text, true or false")
        return value

    def _take(self, name: str, kinds: type | tuple[type, ...], expected: str) -> Any:
        value = self.rest.pop(name, None)
        if value is None or isinstance(value, kinds):
            return value
        self._refuse(name, expected, value)
        return None

    def _refuse(self, name: str, expected: str, value: Any) -> None:
        self.refused.add(name)
        shown = json.dumps(value, ensure_ascii=False)
        self._findings.error(
            self._row,
            "wrong-type",
            f"{self._where} `{name}` must be {expected} but got "
            f"{shown if len(shown) <= 60 else shown[:57] + '...'}. Write it so, or leave it out.",
        )


class RowReader:
    """Turns lines into rows. Rows with errors are kept too, since others are compared with them."""

    def __init__(
        self,
        root: Path,
        split: str,
        findings: Findings,
        *,
        culture: str | None,
        needs_generic_captions: bool,
        check_pictures: bool,
        crop_mode: str,
    ) -> None:
        self.rows: list[DatasetRow] = []
        self.seen = 0
        self.excluded = 0
        self._root = root
        self._split_folder = root / split
        self._findings = findings
        self._culture = culture
        self._needs_generic_captions = needs_generic_captions
        self._check_pictures = check_pictures
        self._crop_mode = crop_mode
        # Rows may share negatives; each file is hashed once, and decoded once in each role.
        self._sha256s: dict[Path, str] = {}
        self._sizes: dict[tuple[Path, str], tuple[int, int]] = {}

    def read(self, number: int, line: str) -> None:
        """Read one line that is not blank."""
        self.seen += 1
        try:
            values = parse_object(line, where=place(number))
        except DatasetError as error:
            self._findings.error(number, "broken-json", str(error))
            return
        columns = Columns(values, self._findings, number, place(number))
        if columns.flag("include") is False:
            self.excluded += 1
            return
        row = self._read_columns(number, columns)
        if row is not None:
            self.rows.append(row)

    def _read_columns(self, number: int, columns: Columns) -> DatasetRow | None:
        caption = columns.text("text")
        if not caption and "text" not in columns.refused:
            self._findings.error(
                number,
                "no-caption",
                f"{place(number)} `text` is {'missing' if caption is None else 'empty'}. Each "
                "image needs its cultural caption: write one, or remove the row.",
            )
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
                    f"{place(number)} `file_name` is missing. Write the picture's path inside the "
                    "split's folder.",
                )
            return None
        where = f"{place(number)} `{printable(file_name)}`"
        picture = self._find(number, "picture", file_name, self._split_folder, where, open_picture)
        if picture is None:
            return None
        self._compare_sha256(number, picture, stated_sha256)
        negatives = [
            negative
            for name in negative_names
            if (negative := self._find_beside(number, "negative", name, picture, open_picture))
        ]
        depth_path = None
        if depth_name is not None:
            depth_path = self._find_beside(number, "depth", depth_name, picture, open_depth)
        guess = None if category else _guess_category(file_name)
        return DatasetRow(
            number=number,
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
            **texts,
        )

    def _read_generic_captions(
        self, number: int, columns: Columns, culture: str | None
    ) -> tuple[str, ...]:
        given = columns.texts("blip_text", one_allowed=True)
        captions = tuple(caption for caption in given if caption)
        if len(given) > 1 and len(captions) < len(given):
            self._findings.warn(
                number,
                "degenerate-caption",
                f"{place(number)} `blip_text` holds an empty caption, which is skipped. Remove it.",
            )
        if self._needs_generic_captions and not captions and "blip_text" not in columns.refused:
            self._findings.error(
                number,
                "no-generic-caption",
                f"{place(number)} `blip_text` is {'empty' if given else 'missing'}, but L_M is on "
                "and needs a generic caption. Write one, or set memorization_weight to 0.",
            )
        cultures = [name for name in (self._culture, culture) if name]
        for caption in captions:
            for kind, sentence in caption_warnings(caption, cultures):
                self._findings.warn(number, kind, f"{place(number)} {sentence}")
        return captions

    def _read_choice(
        self, number: int, columns: Columns, name: str, known: tuple[str, ...]
    ) -> str | None:
        value = columns.text(name) or None
        if value is None or value in known:
            return value
        sentence = f"{place(number)} {unknown_name(name, value, known)}"
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
                self._sha256s[path] = _sha256(path, where)
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
        where = f"{place(number)} {role} `{printable(name)}`"
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
                f"{place(number)} `sha256` is {printable(stated)[:12]}..., but the picture's is "
                f"{computed[:12]}...: the file was changed. Look at it, then correct the column.",
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
        culture=columns.text("culture") or None,
        suffix=columns.text("suffix") or None,
        credits=columns.texts("credits", one_allowed=True),
        licence=columns.text("licence") or None,
        language=columns.text("language") or None,
        notes=columns.text("notes") or None,
        extra=columns.rest,
    )


def place(number: int) -> str:
    """Return how a sentence about a row begins."""
    return f"{METADATA}, row {number}:"


def read_text(path: Path, name: str) -> str:
    """Return a UTF-8 file's text, with or without BOM.

    Args:
        path: the file.
        name: how messages call it, say "metadata.jsonl".

    Raises:
        DatasetError: it cannot be opened, or is not UTF-8; then with the number of the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be opened ({error.strerror}). It must be a file that you may read."
        ) from error
    data = data.removeprefix(codecs.BOM_UTF8)
    # UTF-16 of plain English is valid UTF-8, with a NUL beside every letter.
    bad = data.find(0)
    if bad < 0:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            bad = error.start
    row = data.count(b"\n", 0, bad) + 1
    raise DatasetError(
        f"{name}, row {row}: this is not UTF-8 text. Save the file as UTF-8 in your editor."
    )


def parse_object(text: str, *, where: str) -> dict[str, Any]:
    """Parse one JSON object.

    Args:
        text: the JSON.
        where: begins the error's sentence, say "metadata.jsonl, row 17:".

    Raises:
        DatasetError: the text is no JSON, no object, or holds half characters.
    """
    try:
        value = json.loads(text)
        # A lone surrogate passes the parser, and fails wherever text is hashed or written.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{where} this is not valid JSON ({error.msg}, line {error.lineno} character "
            f"{error.colno} of it). Look for a missing quote, comma or brace there."
        ) from error
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{where} this holds half a character (a lone \\ud800 to \\udfff). Write that text "
            "anew."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where} this cannot be read ({error}). Write it anew.") from error
    if not isinstance(value, dict):
        raise DatasetError(f'{where} this is not a JSON object. Write {{"name": value, ...}}.')
    return value


def inside(root: Path, base: Path, value: str, *, where: str) -> Path:
    """Return the path that a dataset's file names, if it stays inside the dataset.

    Either slash separates folders, so that sets made on Windows work elsewhere.

    Args:
        root: the dataset's folder.
        base: the folder inside root that the path starts from.
        value: the path as written.
        where: subject of the error's sentence.

    Raises:
        DatasetError: the path is absolute, climbs up, or a link in it leads out of root.
    """
    parts = PureWindowsPath(value)
    if not value or "\0" in value or not parts.parts:
        raise DatasetError(f"{where} is not a file's path. Write one relative to {base.name}/.")
    if parts.drive or parts.root or PurePosixPath(value).is_absolute():
        raise DatasetError(
            f"{where} is an absolute path. Copy the file into the dataset and write its path "
            f"relative to {base.name}/."
        )
    path = base.joinpath(*parts.parts)
    try:
        leaves = ".." in parts.parts or not path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a circle of links
        leaves = True
    if leaves:
        raise DatasetError(
            f"{where} leads out of the dataset's folder. Copy the file into the dataset and write "
            "its path without `..` and links."
        )
    return path


def missing_file(path: Path) -> str | None:
    """Return None if `path` is a file, else the end of the sentence: what it may have meant."""
    siblings: list[str] = []
    try:
        if path.is_file():
            return None
        if path.exists():
            return "is not a file. Write the path of a picture."
        siblings = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:  # the folder is missing too, or the name longer than the system allows
        pass
    wanted = PurePosixPath(_plain(path.name))
    near = [name for name in siblings if _plain(name) == wanted.name]
    near += [name for name in siblings if PurePosixPath(_plain(name)).stem == wanted.stem]
    if near:
        return f"does not exist. Did you mean `{near[0]}`?"
    return "does not exist. Put the picture there, or remove its mention."


def caption_warnings(caption: str, cultures: Iterable[str]) -> list[tuple[str, str]]:
    """Judge a generic caption: it should be a plain sentence that names no people.

    Args:
        caption: not empty.
        cultures: the dataset's own culture and the row's, if stated.

    Returns:
        (kind, sentence without its place) for each thing to look at.
    """
    warnings = []
    words = caption.casefold().split()
    if _repeats(words):
        warnings.append(
            (
                "degenerate-caption",
                f"the generic caption {caption!r} repeats itself. Write a plain one instead.",
            )
        )
    elif len(words) == 1 and not _WRITTEN_WITHOUT_SPACES.search(caption):
        warnings.append(
            (
                "degenerate-caption",
                f"the generic caption {caption!r} is a single word. Write a "
                "plain sentence instead.",
            )
        )
    own = [culture.casefold() for culture in cultures]
    alternatives = "|".join(re.escape(name) for name in [*own, *_PEOPLES])
    if found := re.search(rf"\b(?:{alternatives})s?\b", caption, re.IGNORECASE):
        warnings.append(
            (
                "names-a-culture",
                f"the generic caption {caption!r} names a people or country "
                f"({found[0]!r}). L_M and the negatives need one that does not: say what is seen.",
            )
        )
    return warnings


def printable(text: str) -> str:
    """Return text from a file as a message may show it: control characters escaped."""
    return text if text.isprintable() else repr(text)[1:-1]


def _guess_category(file_name: str) -> str | None:
    name = PureWindowsPath(file_name).name.upper()
    return next(
        (slug for prefix, slug in PREFIX_CATEGORIES.items() if name.startswith(prefix)), None
    )


def _sha256(path: Path, where: str) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise DatasetError(
            f"{where} cannot be opened ({error.strerror}). It must be a file that you may read."
        ) from error


def _repeats(words: list[str]) -> bool:
    """Tell whether a word or a pair of words stands three times or more in a row."""
    for length in (1, 2):
        for start in range(len(words) - 3 * length + 1):
            unit = words[start : start + length]
            if unit * 3 == words[start : start + 3 * length]:
                return True
    return False


def _plain(name: str) -> str:
    """Fold case and the two ways in which systems spell accents."""
    return unicodedata.normalize("NFC", name).casefold()
