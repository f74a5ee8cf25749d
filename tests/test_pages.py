"""Pages stand by themselves, and no text in them is anything but text."""

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from scoft_training.pages import Html, page, picture_tag, plots_tag, table

ATTACK = "<script>alert(1)</script>\"'&"


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.seen, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.seen if name == tag]


def test_every_text_of_a_page_is_text():
    body = table([ATTACK], [[ATTACK], [Html("<b>bold</b>")]], caption=ATTACK)
    tags = Tags(page(ATTACK, ATTACK, [("one", ATTACK, body)]))
    assert tags.of("script") == []
    assert "".join(tags.words).count(ATTACK) == 7
    assert len(tags.of("b")) == 1
    assert {"aria-label": ATTACK}.items() <= tags.of("div")[0].items()


def test_a_page_asks_for_nothing_and_runs_nothing():
    text = page("title", "", [("one", "One", picture_tag(Image.new("RGB", (3, 2)), ""))])
    tags = Tags(text)
    (policy,) = [one["content"] for one in tags.of("meta") if "http-equiv" in one]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not re.search(r"https?:|url\(|@import", text)
    assert tags.of("link") == []


def test_sections_are_named_by_their_headings_and_columns_and_rows_by_their_headers():
    body = table(["arm", "KID"], [["base", "3"], ["m", "2"]], caption="KID of arms", words=(1,))
    tags = Tags(page("title", "lead", [("one", "One", body)], style=".own { color: red; }"))
    assert tags.of("section") == [{"aria-labelledby": "one"}]
    assert tags.of("h2")[0]["id"] == "one"
    assert [one["scope"] for one in tags.of("th")] == ["col", "col", "row", "row"]
    assert [one.get("class") for one in tags.of("td")] == ["words", "words"]
    # What scrolls is reached by keyboard, and says what it is.
    scrolls = tags.of("div")[0]
    assert (scrolls["tabindex"], scrolls["role"]) == ("0", "group")
    assert scrolls["aria-label"] == "KID of arms"
    assert ".own { color: red; }" in "".join(tags.words)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pictures_are_inside_with_their_size_and_words(kind):
    picture = Image.new("RGB", (40, 30), (200, 30, 30))
    (attributes,) = Tags(picture_tag(picture, 'a "red" door', kind=kind)).of("img")
    assert (attributes["alt"], attributes["width"], attributes["height"]) == (
        'a "red" door',
        "40",
        "30",
    )
    head, _, data = attributes["src"].partition(",")
    assert head == f"data:image/{kind.lower()};base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as inside:
        assert (inside.format, inside.size) == (kind, (40, 30))


def test_plots_stand_side_by_side():
    tags = Tags(plots_tag(["<svg></svg>", "<svg></svg>"]))
    assert [one["class"] for one in tags.of("div")] == ["plots", "plot", "plot"]
    assert len(tags.of("svg")) == 2
