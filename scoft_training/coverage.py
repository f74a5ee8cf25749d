"""What a set shows, against what CCUB shows: categories, eras, and who is credited, in numbers.

CCUB's shares are what its communities chose for themselves: a set may have its reasons to differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .data import Dataset, count_by_category
from .data_rows import CATEGORIES, ERAS

__all__ = [
    "CCUB_COUNTS",
    "CCUB_SIZES",
    "CategoryCoverage",
    "Comparison",
    "Coverage",
    "Reference",
    "ccub_reference",
    "coverage_of",
]

CCUB_COUNTS: Mapping[str, tuple[int, ...]] = {
    "Korea": (34, 22, 20, 20, 21, 20, 8, 6, 11),
    "China": (33, 31, 24, 23, 27, 23, 5, 15, 8),
    "Nigeria": (21, 16, 18, 17, 13, 21, 11, 8, 15),
    "Mexico": (22, 19, 14, 18, 15, 10, 7, 10, 19),
    "India": (19, 26, 24, 21, 16, 18, 9, 7, 8),
}
"""Pictures per culture in the order of CATEGORIES (SCoFT, Table 3). A sixth culture has 151."""

CCUB_SIZES = (134, 189)
"""The smallest and the largest of CCUB's cultures (Table 3)."""


@dataclass(frozen=True)
class Reference:
    """What a set is compared with: a name, and the pictures of each category there."""

    name: str
    counts: Mapping[str, int]

    def share(self, category: str) -> float:
        """The category's part of all, in [0, 1]."""
        return self.counts[category] / sum(self.counts.values())


@dataclass(frozen=True)
class Comparison:
    """One category of a set beside that of a reference.

    Attributes:
        share: of the reference, in [0, 1].
        expected: pictures that the set would hold with that share at its present size, rounded.
        lacking: by how many it holds fewer, or 0.
        lacking_at_paper_size: the same for a set as large as the paper's smallest.
    """

    share: float
    expected: int
    lacking: int
    lacking_at_paper_size: int


@dataclass(frozen=True)
class CategoryCoverage:
    """One category: its pictures by era, and how that compares.

    Attributes:
        eras: pictures by traditional, modern and unstated.
        total: their sum.
        share: of the rows whose category is known, in [0, 1].
        comparisons: beside each reference, in the order of `Coverage.references`.
    """

    eras: Mapping[str, int]
    total: int
    share: float
    comparisons: tuple[Comparison, ...]

    @property
    def verdict(self) -> str:
        """A word for the first comparison: none, few (under half), fewer, more or alike."""
        first = self.comparisons[0]
        if not self.total:
            return "none"
        if self.total * 2 < first.expected:
            return "few"
        if first.lacking:
            return "fewer"
        return "more" if self.total > 1.5 * max(first.expected, 1) else "alike"


@dataclass(frozen=True)
class Coverage:
    """What a set shows.

    Attributes:
        total: its rows.
        unknown: rows without a category, by era as in `CategoryCoverage.eras`.
        guessed: rows whose category was guessed from the file name.
        references: what is compared with, the nearest first.
        categories: by slug, in the order of CATEGORIES.
        eras: all rows by traditional, modern and unstated.
        rights: how many rows state each of credit, licence, consent and source_url.
    """

    total: int
    unknown: Mapping[str, int]
    guessed: int
    references: tuple[Reference, ...]
    categories: Mapping[str, CategoryCoverage]
    eras: Mapping[str, int]
    rights: Mapping[str, int]


def ccub_reference(culture: str | None) -> Reference | None:
    """Return CCUB's counts for a culture that a card names ("Korea", "South Korean"), if known."""
    words = (culture or "").casefold().replace("mexican", "mexico")
    for name, counts in CCUB_COUNTS.items():
        # By its first letters, so that Chinese, Nigerian and Indian are found, too.
        if any(word.startswith(name.casefold()[:4]) for word in words.split()):
            return Reference(f"CCUB {name}", dict(zip(CATEGORIES, counts, strict=True)))
    return None


def coverage_of(dataset: Dataset) -> Coverage:
    """Count a set and compare it.

    Args:
        dataset: as its work folder completes it.
    """
    table = count_by_category(dataset)
    columns = (*ERAS, "unstated")
    known = sum(table[name]["total"] for name in CATEGORIES)
    pooled = Reference(
        "all of CCUB",
        {name: sum(of[at] for of in CCUB_COUNTS.values()) for at, name in enumerate(CATEGORIES)},
    )
    own = ccub_reference(dataset.card.culture)
    references = (pooled,) if own is None else (own, pooled)
    categories = {}
    for name in CATEGORIES:
        total = table[name]["total"]
        categories[name] = CategoryCoverage(
            eras={era: table[name][era] for era in columns},
            total=total,
            share=total / known if known else 0.0,
            comparisons=tuple(_compared(one.share(name), total, known) for one in references),
        )
    return Coverage(
        total=len(dataset.rows),
        unknown={era: table["unknown"][era] for era in columns},
        guessed=sum(row.category_guessed for row in dataset.rows),
        references=references,
        categories=categories,
        eras={era: sum(of[era] for of in table.values()) for era in columns},
        rights=_rights(dataset),
    )


def _compared(share: float, total: int, size: int) -> Comparison:
    expected = round(share * size)
    return Comparison(
        share=share,
        expected=expected,
        lacking=max(0, expected - total),
        lacking_at_paper_size=max(0, round(share * max(CCUB_SIZES[0], size)) - total),
    )


def _rights(dataset: Dataset) -> dict[str, int]:
    """Count statements; refused pictures are not among the rows."""
    names = ("credit", "licence", "consent", "source_url")
    return {name: sum(bool(getattr(row, name)) for row in dataset.rows) for name in names}
