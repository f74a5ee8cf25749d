"""Other people's words in Markdown are shown as they are and mark nothing."""

import pytest
import yaml

from scoft_training.markdown import escape, front_matter, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("food_drink", "food_drink"),
        ("_a_ *b* `c` [d](e) <f> | # ~ ! & $x$ {y}", None),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("0.06123", "0.06123"),
        ("a\n\n# b\tc", "a \\# b c"),
        ("abc\u202egnp.exe\u0007", "abcgnp.exe"),
        ("क्\u200dष 한국 हिन्दी", "क्\u200dष 한국 हिन्दी"),
        ("a@b.example", "a@b.example"),
    ],
)
def test_a_line_of_other_peoples_words(text, shown):
    made = escape(text)
    if shown is not None:
        assert made == shown
    else:
        assert made == (
            "\\_a\\_ \\*b\\* \\`c\\` \\[d\\](e) \\<f\\> \\| \\# \\~ \\! \\& \\$x\\$ \\{y\\}"
        )


def test_a_cell_cannot_end_its_row():
    assert table(["a", "b"], [("x | y\nz", 3)]) == [
        "| a | b |",
        "| --- | --- |",
        "| x \\| y z | 3 |",
    ]


@pytest.mark.parametrize(
    "text", ["no", "1e3", "a: b # c", '"', "\\", "😀\u2028\x85\x7f", "- x", "한"]
)
def test_front_matter_is_read_back_as_it_was(text):
    lines = front_matter({"one": text, "many": [text, "x"], "none": [], "empty": ""})
    assert lines[0] == "---"
    assert lines[-2:] == ["---", ""]
    assert yaml.safe_load("\n".join(lines[1:-2])) == {"one": text, "many": [text, "x"]}
