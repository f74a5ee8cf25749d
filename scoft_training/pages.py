"""Pages that a person keeps: one HTML file each, no script, nothing fetched, every text escaped.

What a page says is known elsewhere; here are its frame, its looks, its tables and its pictures.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Collection, Sequence

from PIL import Image

__all__ = ["Html", "page", "picture_tag", "plots_tag", "table"]


class Html(str):
    """Text that is HTML already; all other text is escaped."""

    __slots__ = ()


_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --soft: #5b6272; --line: #d9dce4; --card: #f5f6f9;
  --bad: #a3231f; --paper: #fff;
  --korean: "Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans CJK KR", "Noto Sans KR";
  --japanese: "Hiragino Sans", "Yu Gothic", "Meiryo", "Noto Sans CJK JP", "Noto Sans JP";
  --simplified: "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC";
  --traditional: "PingFang TC", "Microsoft JhengHei", "Noto Sans CJK TC", "Noto Sans TC"; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaf0; --soft: #a4abbb; --line: #3a4050;
  --card: #232733; --bad: #ff9c94; --paper: #171a22; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.25rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans",
  var(--korean), var(--japanese), var(--simplified), var(--traditional), sans-serif; }
:lang(ko) { font-family: system-ui, var(--korean), sans-serif; }
:lang(ja) { font-family: system-ui, var(--japanese), sans-serif; }
:lang(zh) { font-family: system-ui, var(--simplified), var(--traditional), sans-serif; }
:is(:lang(zh-TW), :lang(zh-HK), :lang(zh-MO), :lang(zh-Hant)) {
  font-family: system-ui, var(--traditional), var(--simplified), sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .5rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; overflow-wrap: anywhere; }
p, .notes { max-width: 46rem; overflow-wrap: anywhere; }
.lead { font-size: 1.1rem; }
.soft, caption { color: var(--soft); }
a { color: inherit; }
img { max-width: 100%; height: auto; }
code { background: var(--card); padding: .1em .35em; border-radius: 4px; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
caption { text-align: left; padding-bottom: .4rem; font-size: .9rem; white-space: normal; }
caption span { display: block; max-width: min(46rem, calc(100vw - 2.5rem)); }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
thead th { white-space: normal; vertical-align: bottom; max-width: 9rem; }
th:first-child { text-align: left; font-weight: 600; }
tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 5rem; max-width: 16rem; }
td.words, th.words { text-align: left; white-space: normal; min-width: 12rem; max-width: 40rem; }
.plots { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(22.5rem, 100%), 1fr)); }
.plot { background: #fff; border-radius: 8px; overflow: hidden; }
.plot svg { display: block; width: 100%; max-width: 28rem; height: auto; }
figure { margin: 0; min-width: 0; }
"""

_COLUMN, _ROW = ' scope="col"', ' scope="row"'

# What scrolls has to be reached by keyboard.
_SCROLLING = '<div class="wide" tabindex="0" role="group" aria-label="{}">'


def page(
    title: str, lead: str, sections: Sequence[tuple[str, str, str]], *, style: str = ""
) -> str:
    """Return a page that needs nothing beside it, in light and dark.

    Args:
        title: of the page.
        lead: what stands below it: a paragraph's text, or Html.
        sections: (id, heading, HTML), from top to bottom.
        style: further rules.
    """
    body = "".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}" dir="auto">{html.escape(heading)}</h2>'
        f"{content}</section>\n"
        for name, heading, content in sections
    )
    if not isinstance(lead, Html):
        lead = f'<p class="lead" dir="auto">{html.escape(lead)}</p>' if lead else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{_STYLE}{style}</style></head><body><main>
<h1 dir="auto">{html.escape(title)}</h1>{lead}
{body}</main></body></html>
"""


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    words: Collection[int] = (),
) -> Html:
    """Return a table that scrolls inside the page; the first cell of a row names it.

    Args:
        header: the columns' names.
        rows: cells, as many as columns.
        caption: what stands above it.
        words: columns, from 0, whose cells are sentences rather than numbers.
    """

    def cell(tag: str, column: int, text: str, scope: str = "") -> str:
        of = ' class="words"' if column in words else ""
        content = text if isinstance(text, Html) else html.escape(text)
        return f'<{tag}{of}{scope} dir="auto">{content}</{tag}>'

    head = "".join(cell("th", at, name, _COLUMN) for at, name in enumerate(header))
    body = "".join(
        f"<tr>{cell('th', 0, row[0], _ROW)}"
        + "".join(cell("td", at, text) for at, text in enumerate(row[1:], start=1))
        + "</tr>"
        for row in rows
    )
    above = f"<caption><span>{html.escape(caption)}</span></caption>" if caption else ""
    return Html(
        f"{_SCROLLING.format(html.escape(caption or 'Table', quote=True))}<table>{above}"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def picture_tag(picture: Image.Image, alt: str, *, kind: str = "PNG") -> Html:
    """Return an <img> that carries its picture inside.

    Args:
        picture: RGB.
        alt: what it shows, for those who do not see it.
        kind: "PNG", or "JPEG" for photographs, which is smaller.
    """
    buffer = io.BytesIO()
    options = {"quality": 85} if kind == "JPEG" else {"optimize": True}
    picture.save(buffer, format=kind, **options)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    size = f'width="{picture.width}" height="{picture.height}"'
    source = f"data:image/{kind.lower()};base64,{data}"
    return Html(f'<img alt="{html.escape(alt, quote=True)}" {size} src="{source}">')


def plots_tag(svgs: Sequence[str]) -> Html:
    """Return plots side by side, each on light paper, since its letters are dark."""
    each = "".join(f'<div class="plot">{svg}</div>' for svg in svgs)
    return Html(f'<div class="plots">{each}</div>')
