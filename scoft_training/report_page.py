"""The report on a set as one HTML page: no script, nothing fetched, every text escaped.

What it says is found in `coverage` and `dataset_quality`. Pictures are inside as small JPEGs, of
those rows only that something is said about.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable, Sequence

from PIL import Image

from .coverage import CCUB_SIZES, Coverage
from .data import Dataset
from .data_rows import ERAS, DatasetRow
from .dataset_quality import PicturePair, Quality, words_of
from .errors import DatasetError
from .near_duplicates import Pair, groups_of
from .pages import Html, page
from .picture_measures import PictureMeasures
from .pictures import open_picture

__all__ = ["report_page"]

_SIDE = 240
_SHOWN = 60
"""Pictures that one section shows; the rows of the others are named."""

_COLUMNS = (*ERAS, "unstated")

# What scrolls has to be reached by keyboard.
_TABLE = '<div class="wide" tabindex="0" role="group" aria-label="Table"><table>'

_VERDICTS = {
    "none": "none",
    "few": "far fewer",
    "fewer": "fewer",
    "alike": "alike",
    "more": "more",
}

_STYLE = """
:root { --heat: 20, 98, 150; }
@media (prefers-color-scheme: dark) { :root { --heat: 90, 170, 230; } }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .6rem;
  padding: 0; margin: 1rem 0; list-style: none; }
.tiles li { background: var(--card); border-radius: 8px; padding: .6rem .8rem; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.2; }
.tiles a { text-decoration: none; }
.tiles a:hover, .tiles a:focus-visible { text-decoration: underline; }
td.word { text-align: left; }
td.short { color: var(--bad); font-weight: 600; }
tfoot td { text-align: center; font-weight: 600; }
tfoot td:last-child { text-align: right; }
td.heat { text-align: center; min-width: 5.5rem; border: 2px solid var(--paper); }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .8rem;
  padding: .8rem; margin: .7rem 0; background: var(--card); border-radius: 8px; }
figure img, .lost { width: 100%; height: 10rem; object-fit: contain; background: var(--paper);
  border-radius: 4px; display: grid; place-items: center; }
figcaption { font-size: .85rem; margin-top: .3rem; overflow-wrap: anywhere; }
figcaption span { display: block; }
"""


def report_page(
    dataset: Dataset,
    coverage: Coverage,
    quality: Quality,
    *,
    has_test: bool,
    messages: Sequence[str],
) -> str:
    """Return the page.

    Args:
        dataset: as its work folder completes it.
        coverage: of it.
        quality: of it.
        has_test: whether there is a test split that pictures could leak into.
        messages: the sentences of the set's own check.
    """
    shown = _Shown(dataset.card.language)
    sections = [
        ("coverage", "What the set shows", _coverage(coverage)),
        ("rights", "Credit, licence, consent", _rights(coverage)),
        ("duplicates", "Near-duplicates", _duplicates(quality, shown)),
        ("leaks", "Leaks into the test split", _leaks(quality, shown, has_test=has_test)),
        ("captions", "Captions that repeat", _captions(quality, shown)),
        ("blurred", "Blurred", _measured(quality.blurred, shown, _sharpness, _BLURRED)),
        ("small", "Small", _measured(quality.small, shown, _size, _SMALL)),
        ("cut", "Cut by the square", _measured(quality.cut, shown, _kept, _CUT)),
        ("findings", "What the check says", _messages(messages)),
        ("method", "How this was measured", _method(quality)),
    ]
    culture = f"<p dir=auto>{html.escape(dataset.card.culture)}</p>" if dataset.card.culture else ""
    lead = Html(culture + _tiles(coverage, quality, messages))
    return page(f"Report on {dataset.name}", lead, sections, style=_STYLE)


class _Shown:
    """Turns rows into figures; a picture is opened once however often it is shown."""

    def __init__(self, language: str | None) -> None:
        self._language = f' lang="{html.escape(language, quote=True)}"' if language else ""
        self._data: dict[str, str | None] = {}

    def figure(self, row: DatasetRow, note: str, *, split: str = "") -> str:
        """Return a row's picture with its number, what is said of it, and its caption."""
        if row.sha256 not in self._data:
            self._data[row.sha256] = _thumbnail(row)
        data = self._data[row.sha256]
        picture = (
            f'<img alt="" src="data:image/jpeg;base64,{data}">'
            if data
            else '<div class="lost">cannot be read</div>'
        )
        caption = f"<span dir=auto{self._language}>{html.escape(row.cultural_caption)}</span>"
        noted = f"<span class=soft>{html.escape(note)}</span>" if note else ""
        return (
            # By its digest `scoft takedown` finds the copy.
            f'<figure data-sha256="{row.sha256}">{picture}'
            f"<figcaption><b>{split}Row {row.number}</b> "
            f"<bdi>{html.escape(row.file_name)}</bdi>{noted}{caption}</figcaption></figure>"
        )

    def pictures(self, figures: Iterable[str]) -> str:
        """Return figures side by side."""
        return f'<div class="pictures">{"".join(figures)}</div>'


def _thumbnail(row: DatasetRow) -> str | None:
    try:
        picture = open_picture(row.image_path, where=row.file_name)
    except DatasetError:
        return None
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _tiles(coverage: Coverage, quality: Quality, messages: Sequence[str]) -> str:
    shown = sum(bool(of.total) for of in coverage.categories.values())
    tiles = [
        ("coverage", str(coverage.total), "pictures"),
        ("coverage", f"{shown} of {len(coverage.categories)}", "categories shown"),
        ("duplicates", str(len(quality.pairs)), "near-duplicate pairs"),
        ("leaks", str(len(quality.leaks)), "leaks into the test split"),
        ("captions", str(len(quality.captions)), "pairs of captions that repeat"),
        ("blurred", str(len(quality.blurred)), "blurred"),
        ("small", str(len(quality.small)), "small"),
        ("findings", str(len(messages)), "other findings"),
    ]
    items = "".join(
        f'<li><a href="#{target}"><b>{number}</b>{words}</a></li>'
        for target, number, words in tiles
    )
    return f'<ul class="tiles">{items}</ul>'


def _coverage(coverage: Coverage) -> str:
    low, high = CCUB_SIZES
    size = f"{coverage.total} pictures; a culture of CCUB has {low} to {high}."
    guessed = (
        f" The category of {coverage.guessed} rows is guessed from the file name."
        if coverage.guessed
        else ""
    )
    return f"<p>{size}{guessed}</p>{_heat_map(coverage)}{_eras(coverage)}{_gaps(coverage)}"


def _heat_map(coverage: Coverage) -> str:
    rows = [(name, of.eras) for name, of in coverage.categories.items()]
    if any(coverage.unknown.values()):
        rows.append(("no category", coverage.unknown))
    most = max((of[era] for _, of in rows for era in _COLUMNS), default=0) or 1
    body = "".join(
        f"<tr><th scope=row>{_plain(name)}</th>"
        + "".join(_heat_cell(of[era], most) for era in _COLUMNS)
        + f"<td>{sum(of.values())}</td></tr>"
        for name, of in rows
    )
    total = "".join(f"<td>{coverage.eras[era]}</td>" for era in _COLUMNS)
    return (
        f"{_TABLE}<caption><span>Pictures by category and era; the fuller the colour, "
        f"the more pictures</span></caption><thead>{_head(('category', *_COLUMNS, 'all'))}</thead>"
        f"<tbody>{body}</tbody><tfoot><tr><th scope=row>all</th>{total}"
        f"<td>{coverage.total}</td></tr></tfoot></table></div>"
    )


def _heat_cell(count: int, most: int) -> str:
    # Never fuller than half, so that the number stays readable on it.
    strength = 0.5 * count / most
    style = f' style="background:rgba(var(--heat),{strength:.2f})"' if count else ""
    return f"<td class=heat{style}>{count}</td>"


def _eras(coverage: Coverage) -> str:
    traditional, modern, unstated = (coverage.eras[era] for era in _COLUMNS)
    stated = traditional + modern
    if not stated:
        return (
            "<p>No row states its era, so their balance is not known. Write <code>era</code>.</p>"
        )
    words = f"Of {stated} pictures whose era is stated, {traditional / stated:.0%} are traditional."
    if unstated:
        words += f" {unstated} state none."
    if min(traditional, modern) * 4 < stated:
        rarer = "traditional" if traditional < modern else "modern"
        words += f" Bring more that are {rarer}, or the model learns that there are hardly any."
    return f"<p>{words}</p>"


def _gaps(coverage: Coverage) -> str:
    low = CCUB_SIZES[0]
    heads = ["category", "pictures", "share", "beside CCUB"]
    for one in coverage.references:
        heads += [f"share in {one.name}", "as many would be", "lacking", f"lacking at {low}"]
    body = ""
    for name, of in coverage.categories.items():
        cells = f"<td>{of.total}</td><td>{of.share:.0%}</td>"
        mark = " short" if of.verdict in ("none", "few") else ""
        cells += f'<td class="word{mark}">{_VERDICTS[of.verdict]}</td>'
        for beside in of.comparisons:
            numbers = (beside.expected, beside.lacking or "-", beside.lacking_at_paper_size or "-")
            cells += f"<td>{beside.share:.0%}</td>" + "".join(f"<td>{n}</td>" for n in numbers)
        body += f"<tr><th scope=row>{_plain(name)}</th>{cells}</tr>"
    return (
        f"{_TABLE}<caption><span>Gaps: <i>as many would be</i> is the share in CCUB of "
        "the pictures whose category is known, rounded; <i>lacking</i> is what there is less. At "
        f"{low} pictures, the smallest culture of CCUB, the same is counted for a set that large."
        f"</span></caption><thead>{_head(heads)}</thead><tbody>{body}</tbody></table></div>"
    )


def _rights(coverage: Coverage) -> str:
    body = "".join(
        f"<tr><th scope=row>{_plain(name)}</th><td>{count}</td><td>{coverage.total - count}</td>"
        "</tr>"
        for name, count in coverage.rights.items()
    )
    return (
        f"{_TABLE}<caption><span>Rows that say whose a picture is and who agreed"
        f"</span></caption><thead>{_head(('', 'stated', 'missing'))}</thead><tbody>{body}</tbody>"
        "</table></div>"
    )


def _duplicates(quality: Quality, shown: _Shown) -> str:
    if not quality.pairs:
        return "<p>None found.</p>"
    rows = {id(row): row for pair in quality.pairs for row in (pair.one, pair.other)}
    places = {key: at for at, key in enumerate(sorted(rows, key=lambda key: rows[key].number))}
    ordered = {at: rows[key] for key, at in places.items()}
    joined = [Pair(places[id(pair.one)], places[id(pair.other)], 0) for pair in quality.pairs]
    notes = {at: _nearest(row, quality.pairs) for at, row in ordered.items()}
    parts, left = [], _SHOWN
    for group in groups_of(joined):
        if left <= 0:
            parts.append(f"<p>Also rows {_numbers(ordered[at] for at in group)}.</p>")
            continue
        parts.append(shown.pictures(shown.figure(ordered[at], notes[at]) for at in group[:left]))
        left -= len(group)
    return (
        "<p>Pictures that are learned twice weigh twice. Keep the better one of each group.</p>"
        + "".join(parts)
    )


def _nearest(row: DatasetRow, pairs: Sequence[PicturePair]) -> str:
    own = [pair for pair in pairs if row in (pair.one, pair.other)]
    best = min(own, key=lambda pair: (not pair.same, 99 if pair.bits is None else pair.bits))
    other = best.other if best.one is row else best.one
    return f"beside row {other.number}: {words_of(best)}"


def _leaks(quality: Quality, shown: _Shown, *, has_test: bool) -> str:
    if not has_test:
        return "<p>There is no test split, so nothing can leak into it.</p>"
    if not quality.leaks:
        return "<p>None found.</p>"
    figures = [
        shown.pictures(
            (
                shown.figure(pair.one, words_of(pair), split="train: "),
                shown.figure(pair.other, "", split="test: "),
            )
        )
        for pair in quality.leaks[: _SHOWN // 2]
    ]
    rest = quality.leaks[_SHOWN // 2 :]
    also = f"<p>Also rows {_numbers(pair.one for pair in rest)}.</p>" if rest else ""
    return (
        "<p>A picture that is learned cannot test what was learned. Take it out of one split.</p>"
        + "".join(figures)
        + also
    )


def _captions(quality: Quality, shown: _Shown) -> str:
    if not quality.captions:
        return "<p>None found.</p>"
    figures = [
        shown.pictures(
            (
                shown.figure(
                    one, "the same words" if not distance else f"{1 - distance:.0%} the same"
                ),
                shown.figure(other, ""),
            )
        )
        for one, other, distance in quality.captions[: _SHOWN // 2]
    ]
    rest = quality.captions[_SHOWN // 2 :]
    also = f"<p>Also rows {_numbers(one for one, _, _ in rest)}.</p>" if rest else ""
    return "<p>Say what is different about each picture.</p>" + "".join(figures) + also


_BLURRED = "Nothing in these pictures is sharp. Look at them at full size before you drop one."
_SMALL = "These would be enlarged for training, which teaches softness. Bring larger ones."
_CUT = "A square keeps less than half of these. Cut out yourself what should be learned."


def _measured(
    rows: Sequence[tuple[DatasetRow, PictureMeasures]],
    shown: _Shown,
    note: Callable[[PictureMeasures], str],
    advice: str,
) -> str:
    if not rows:
        return "<p>None found.</p>"
    figures = shown.pictures(shown.figure(row, note(of)) for row, of in rows[:_SHOWN])
    rest = rows[_SHOWN:]
    also = f"<p>Also rows {_numbers(row for row, _ in rest)}.</p>" if rest else ""
    return f"<p>{advice}</p>{figures}{also}"


def _sharpness(of: PictureMeasures) -> str:
    return f"sharpness {of.sharpness:.1f}"


def _size(of: PictureMeasures) -> str:
    return f"{of.width} x {of.height} pixels"


def _kept(of: PictureMeasures) -> str:
    return f"{of.width} x {of.height} pixels, {of.kept_by_crop:.0%} kept"


def _messages(messages: Sequence[str]) -> str:
    if not messages:
        return "<p>Nothing else.</p>"
    items = "".join(f"<li dir=auto>{html.escape(message)}</li>" for message in messages)
    return f'<ul class="notes">{items}</ul>'


def _method(quality: Quality) -> str:
    second = (
        f"{quality.second_opinion} looked at all pictures, too, and finds crops as well."
        if quality.second_opinion
        else "No perceptual network was found on this machine, so crops of a picture are not found."
    )
    unmeasured = ""
    if quality.unmeasured:
        rows = _numbers(quality.unmeasured)
        unmeasured = f"<li>Not measured, since they cannot be read or were not yet: rows {rows}."
    return (
        '<ul class="notes"><li>Near-duplicates: 64-bit perceptual hashes (pHash), also of the '
        "mirror image. They survive another size, format or brightness, but no real crop. "
        f"{second}</li><li>Captions: the share of runs of three letters in common, without case "
        "and punctuation.</li><li>Sharpness: the spread of the Laplacian in the sharpest tiles of "
        "64 pixels, at a shorter side of at most 512; grain and noise count as sharp.</li>"
        "<li>CCUB: Table 3 of the SCoFT paper; categories are known of five of its cultures.</li>"
        f"{unmeasured}</ul>"
    )


def _head(names: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<th scope=col>{html.escape(_plain(n))}</th>" for n in names) + "</tr>"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _numbers(rows: Iterable[DatasetRow]) -> str:
    return ", ".join(dict.fromkeys(str(row.number) for row in rows))
