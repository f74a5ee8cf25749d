"""One description becomes a page and a text: both say the same, and every text is text."""

from html.parser import HTMLParser

from scoft_training.survey_document import (
    Boxed,
    Chapter,
    Folded,
    Heading,
    Listing,
    PlotNames,
    Table,
    Words,
    chapters_text,
    parts_html,
)

PARTS = [
    Words("A <b>paragraph</b> & more.", soft=True),
    Boxed(["First <i>.", "Second."]),
    Heading("Head <script>"),
    Listing([("<where>", "what"), ("", "alone")]),
    Table(("model", "share"), [("<SD>", "62\u00a0%"), ("a\nb", "")], "Shares", words=(1,)),
    PlotNames(["vote", "gone"]),
    Folded("Fold <it>", [Words("Inside.")]),
]


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data)


def test_strangers_words_are_no_tags():
    page = Tags(parts_html(PARTS, {"vote": "<svg></svg>"}))
    assert not {"b>paragraph", "i", "script", "where", "sd", "it"} & set(page.tags)
    said = "".join(page.words)
    for word in ("<b>paragraph</b> & more", "<i>", "<script>", "<where>", "<SD>", "<it>"):
        assert word in said
    assert page.tags.count("svg") == 1
    assert page.tags.count("details") == 1


def test_the_text_says_what_the_page_says():
    text = chapters_text("Title", "Lead.", [Chapter("one", "Chapter", PARTS)], ["vote"])
    assert text.startswith("Title\n=====\n\nLead.\n\nChapter\n-------\n\n")
    assert "- <where>: what\n- alone" in text
    assert "Plots: plots/vote.png\n" in text
    assert "gone" not in text
    assert "Inside." in text
    # Spaces that hold become usual ones; a line break in a name tears no table apart.
    assert "  model  share\n  <SD>   62 %\n  a b    -" in text


def test_nothing_in_the_text_steers_a_terminal_and_spaces_hold_until_lines_are_broken():
    long = Words("x" * 90 + " in 62\u00a0% \u2068\x1b[2J\u05d0\u2069")
    parts = [long, Heading("a\r\nb\x07"), Listing([("\x1b]0;", "c")])]
    text = chapters_text("Title", "Lead.", [Chapter("one", "Chapter", parts)], [])
    assert not [one for one in text if not one.isprintable() and one != "\n"]
    assert "x in\n62 %" in text
    assert "### a b\n" in text


def test_a_name_of_short_words_is_kept_whole_and_a_long_word_may_break():
    def row(name):
        return parts_html([Table(("a", "b"), [(name, "1")])], {})

    assert '<span class="whole">Cultural Representation</span>' in row("Cultural Representation")
    assert "whole" not in row("x" * 40)


def test_plots_that_do_not_exist_leave_nothing():
    assert parts_html([PlotNames(["gone"])], {}) == ""
    assert parts_html([Listing([])], {}) == ""
