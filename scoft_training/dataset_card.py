"""The card of a picture set: what it shows, whose it is, and how a picture is taken back.

Markdown with the front matter that the Hugging Face hub reads; the README.md of an export. It holds
no date and no path, so the same set has the same card.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from .data import count_by_category
from .data_rows import ERAS
from .markdown import escape, front_matter, table
from .rights import NOT_STATED, consent_counts, credit_groups, licence_counts
from .whole_set import WholeSet

__all__ = ["dataset_card"]

_HUB_LICENCES = re.compile(
    r"cc0-1\.0|mit|apache-2\.0|pddl|cc-by(?:-nc)?(?:-sa|-nd)?-(?:2\.0|2\.5|3\.0|4\.0)"
)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(whole: WholeSet, *, exported: bool = False) -> str:
    """Return the card as Markdown; words of the dataset are escaped.

    Args:
        whole: the set.
        exported: each split lies in a folder of its name. The hub is then told so, a split being a
            configuration of its own: its reader refuses splits whose rows have other columns, and
            would take the negatives for pictures of the set.
    """
    card, rows = whole.card, whole.rows
    licences = licence_counts(rows, card)
    lines = front_matter(
        {
            "pretty_name": whole.name,
            "license": list(dict.fromkeys(map(_hub_licence, licences))),
            "language": _languages(card.language),
            "task_categories": ["text-to-image"],
            "size_categories": [_size(len(rows))],
            "tags": [card.culture] if card.culture else [],
            "configs": [_hub_split(split.split) for split in whole.splits] if exported else [],
        }
    )
    lines += [f"# {escape(whole.name)}", ""]
    lines.append(
        "Pictures that people picked and captioned themselves, for teaching text-to-image models "
        "their culture (the form of CCUB, arXiv 2401.08053)."
    )
    lines += ["", *table(["", ""], [fact for fact in _facts(whole) if fact[1]])]
    if card.notes:
        lines += ["", escape(card.notes)]
    lines += _shown(whole)
    lines += _whose(whole, licences)
    lines += _origin(whole)
    lines += _removal(whole)
    return "\n".join(lines) + "\n"


def _facts(whole: WholeSet) -> list[tuple[str, str]]:
    card, rows = whole.card, whole.rows
    pictures = ", ".join(f"{len(split.rows)} in {split.split}" for split in whole.splits)
    generic = sum(len(row.generic_captions) for row in rows)
    negatives = sum(len(row.negative_paths) for row in rows)
    return [
        ("Culture", card.culture or NOT_STATED),
        ("At the end of a prompt", card.suffix or ""),
        ("Pictures", pictures),
        ("Language of the captions", card.language or NOT_STATED),
        ("Scripts of the captions", _scripts([row.cultural_caption for row in rows])),
        ("Plain captions", str(generic) if generic else "none"),
        ("Negatives", str(negatives) if negatives else "none"),
        ("Made by", "; ".join(card.credits)),
    ]


def _shown(whole: WholeSet) -> list[str]:
    counts: dict[str, Counter[str]] = {}
    for split in whole.splits:
        for category, of_category in count_by_category(split).items():
            counts.setdefault(category, Counter()).update(of_category)
    columns = (*ERAS, "unstated", "total")
    filled = [
        (category, *(of[column] for column in columns))
        for category, of in counts.items()
        if of["total"]
    ]
    return ["", "## What the pictures show", "", *table(["category", *columns], filled)]


def _whose(whole: WholeSet, licences: dict[str, int]) -> list[str]:
    card, rows = whole.card, whole.rows
    lines = ["", "## Whose pictures they are", ""]
    lines += table(
        ["credit", "licence", "pictures"],
        [
            (group.credit or NOT_STATED, group.licence or NOT_STATED, group.pictures)
            for group in credit_groups(rows, card)
        ],
    )
    for title, counts in (("Licences:", licences), ("Consent:", consent_counts(rows))):
        lines += ["", title, ""]
        lines += [f"- {escape(said)}: {count}" for said, count in counts.items()]
    if NOT_STATED in licences:
        lines += [
            "",
            "Where no licence is stated, the right to use a picture is its photographer's to give.",
        ]
    return lines


def _origin(whole: WholeSet) -> list[str]:
    hosts = Counter(
        host for row in whole.rows if row.source_url and (host := _host(row.source_url))
    )
    lines = []
    if hosts:
        ordered = sorted(hosts.items(), key=lambda item: (-item[1], item[0]))
        lines += ["", "## Where they come from", "", *table(["host", "pictures"], ordered)]
    if whole.left_out:
        lines += [
            "",
            "## What was left out",
            "",
            *table(["why", "pictures"], whole.left_out.items()),
        ]
    if whole.negatives and any(row.negative_paths for row in whole.rows):
        lines += [
            "",
            "## Negatives",
            "",
            "Pictures that an unmodified model drew of the same scenes, to stay away from. They "
            "show nobody's culture and are no examples of anything.",
            "",
            *table(
                ["", ""], ((key.replace("_", " "), value) for key, value in whole.negatives.items())
            ),
        ]
    return lines


def _removal(whole: WholeSet) -> list[str]:
    contact = whole.card.contact
    whom = f"write to {escape(contact)}" if contact else "ask those who handed this set on"
    return [
        "",
        "## To take a picture back",
        "",
        f"If a picture is yours, or shows you, and should not be here, {whom}, and name the "
        "picture or its sha256, which stands in its row. `scoft takedown SHA256` finds the copies, "
        "and the LoRAs that learned from it, in the folders that it is given.",
    ]


def _hub_licence(licence: str) -> str:
    """Return the hub's word for a licence."""
    if licence == NOT_STATED:
        return "unknown"
    word = re.sub(r"[\s_]+", "-", licence.strip().casefold())
    word = re.sub(r"^creative-commons-(?=by)", "cc-", word)
    word = {"cc0": "cc0-1.0"}.get(word, word)
    return word if _HUB_LICENCES.fullmatch(word) else "other"


def _hub_split(split: str) -> dict[str, Any]:
    data_files = [{"split": split, "path": f"{split}/**"}]
    return {"config_name": split, "data_files": data_files, "default": split == "train"}


def _languages(language: str | None) -> list[str]:
    """Return the language codes that a card's `language` begins with, if it holds codes."""
    words = re.split(r"[\s,;]+", (language or "").strip().casefold())
    codes = [re.fullmatch(r"([a-z]{2,3})(?:[-_]\w+)*", word) for word in words]
    return [code[1] for code in codes if code]


def _size(count: int) -> str:
    return next((name for limit, name in _SIZES if count < limit), "1M<n<10M")


def _scripts(captions: list[str]) -> str:
    """Return which scripts captions are written in, each with how many have it."""
    counts: Counter[str] = Counter()
    for caption in captions:
        counts.update(
            {unicodedata.name(sign, "?").split()[0] for sign in caption if sign.isalpha()}
        )
    named = ((name.capitalize() if name != "CJK" else name, n) for name, n in counts.items())
    return ", ".join(f"{name} {n}" for name, n in sorted(named, key=lambda one: (-one[1], one[0])))


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
