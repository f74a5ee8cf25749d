"""What a report is made of, for page and text alike: chapters of sentences, tables, plots."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .pages import Html, plots_tag, table
from .survey_wording import plain
from .text_tables import aligned

__all__ = [
    "Boxed",
    "Chapter",
    "Folded",
    "Heading",
    "Listing",
    "Part",
    "PlotNames",
    "Table",
    "Words",
    "chapters_text",
    "parts_html",
]

_WIDE = 96
_LONG_WORD = 16


@dataclass(frozen=True)
class Words:
    """A paragraph; `soft` is beside the point."""

    text: str
    soft: bool = False


@dataclass(frozen=True)
class Boxed:
    """Sentences that nobody shall miss, the first in bold."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Heading:
    """The head of a part of a chapter."""

    text: str


@dataclass(frozen=True)
class Listing:
    """Sentences below each other, each with the name that it is about, which may be empty."""

    entries: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table whose rows are named by their first cell.

    Attributes:
        header, rows: cells, as many as columns.
        caption: what stands above it.
        words: columns, from 0, whose cells are sentences.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    words: Sequence[int] = ()


@dataclass(frozen=True)
class PlotNames:
    """Plots side by side, by name; those that do not exist are passed over."""

    names: Sequence[str]


@dataclass(frozen=True)
class Folded:
    """Parts that a page shows when asked."""

    summary: str
    parts: Sequence[Part]


Part: TypeAlias = "Words | Boxed | Heading | Listing | Table | PlotNames | Folded"


@dataclass(frozen=True)
class Chapter:
    """A chapter.

    Attributes:
        name: in links to it.
        title: of it.
        parts: from top to bottom.
    """

    name: str
    title: str
    parts: Sequence[Part]


def parts_html(parts: Sequence[Part], svgs: Mapping[str, str]) -> str:
    """Return a chapter's parts as HTML, every text escaped.

    Args:
        parts: from top to bottom.
        svgs: the plots, by name.
    """
    return "".join(_html(part, svgs) for part in parts)


def chapters_text(title: str, lead: str, chapters: Sequence[Chapter], plots: Sequence[str]) -> str:
    """Return chapters as plain text.

    Args:
        title, lead: of the whole.
        chapters: from top to bottom.
        plots: names of those that exist; the text says where they lie.
    """
    blocks = [f"{title}\n{'=' * len(title)}", _filled(lead)]
    for chapter in chapters:
        blocks.append(f"{chapter.title}\n{'-' * len(chapter.title)}")
        blocks += _texts(chapter.parts, set(plots))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _html(part: Part, svgs: Mapping[str, str]) -> str:
    match part:
        case Words():
            return f"<p{' class=soft' if part.soft else ''}>{html.escape(part.text)}</p>"
        case Boxed():
            first, *others = map(html.escape, part.sentences)
            more = "".join(f"<p>{one}</p>" for one in others)
            return f'<div class="box"><p><b>{first}</b></p>{more}</div>'
        case Heading():
            return f"<h3>{html.escape(part.text)}</h3>"
        case Listing():
            items = "".join(f"<li>{_entry(*entry)}</li>" for entry in part.entries)
            return f'<ul class="notes">{items}</ul>' if items else ""
        case Table():
            rows = [(_named(row[0]), *row[1:]) for row in part.rows]
            return table(part.header, rows, caption=part.caption, words=part.words)
        case PlotNames():
            found = [svgs[name] for name in part.names if name in svgs]
            return plots_tag(found) if found else ""
        case Folded():
            inside = parts_html(part.parts, svgs)
            return f"<details><summary>{html.escape(part.summary)}</summary>{inside}</details>"


def _named(name: str) -> str:
    """Return a row's name whose words are kept whole where none is too long for a narrow page."""
    whole = max(map(len, name.split()), default=0) <= _LONG_WORD
    return Html(f'<span class="whole">{html.escape(name)}</span>') if whole else name


def _entry(name: str, text: str) -> str:
    named = f"<b><bdi>{html.escape(name)}</bdi></b>: " if name else ""
    return f"{named}{html.escape(text)}"


def _texts(parts: Sequence[Part], plots: set[str]) -> Iterator[str]:
    for part in parts:
        match part:
            case Words():
                yield _filled(part.text)
            case Boxed():
                yield "\n".join(_filled(text, indent="    ") for text in part.sentences)
            case Heading():
                yield f"### {_line(part.text)}"
            case Listing():
                named = [f"{name}: {text}" if name else text for name, text in part.entries]
                yield "\n".join(_filled(f"- {text}", hanging="  ") for text in named)
            case Table():
                lines = aligned(
                    [[_line(cell) for cell in row] for row in (part.header, *part.rows)]
                )
                head = [_filled(part.caption)] if part.caption else []
                yield "\n".join([*head, *(f"  {line}" for line in lines)])
            case PlotNames():
                found = [f"plots/{name}.png" for name in part.names if name in plots]
                yield _filled(f"Plots: {', '.join(found)}") if found else ""
            case Folded():
                yield from _texts(part.parts, plots)


def _line(text: str) -> str:
    """A name on one line: a line break in it would tear a table apart."""
    return " ".join(plain(text).split()) or "-"


def _filled(text: str, *, indent: str = "", hanging: str = "") -> str:
    lines = textwrap.wrap(
        text,
        _WIDE,
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    # Spaces that hold do so until here.
    return "\n".join(map(plain, lines))
