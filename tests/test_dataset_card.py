"""The card of a set: what the hub reads of it, and words that could break it."""

import json

import pytest
import yaml
from drawings import write_set
from PIL import Image

from scoft_training.cli import main
from scoft_training.dataset_card import dataset_card
from scoft_training.overlays import Overlay, add_statement
from scoft_training.whole_set import read_whole_set


@pytest.fixture
def root(tmp_path):
    pictures = [Image.new("RGB", (12, 8), (80 * number, 9, 90)) for number in range(3)]
    captions = ["떡국 한 그릇", "शोरबा का कटोरा", "a bowl of soup"]
    write_set(tmp_path / "soups", pictures, captions=captions)
    return tmp_path / "soups"


def card_of(root, **card):
    (root / "card.json").write_text(json.dumps(card))
    text = dataset_card(read_whole_set(root, root.parent / "work"))
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


@pytest.mark.parametrize(
    ("licence", "word"),
    [
        ("CC BY-SA 4.0", "cc-by-sa-4.0"),
        ("Creative Commons BY 3.0", "cc-by-3.0"),
        ("CC0", "cc0-1.0"),
        ("cc_by_nc_nd_4.0", "cc-by-nc-nd-4.0"),
        ("CC BY 5.0", "other"),
        ("ask me", "other"),
        (None, "unknown"),
    ],
)
def test_licences_in_the_hubs_words(root, licence, word):
    front, _ = card_of(root, licence=licence)
    assert front["license"] == [word]


@pytest.mark.parametrize(
    ("language", "codes"),
    [("ko", ["ko"]), ("ko-KR, hi", ["ko", "hi"]), ("Korean", None), (None, None)],
)
def test_languages_are_codes_or_none(root, language, codes):
    front, body = card_of(root, language=language)
    assert front.get("language") == codes
    assert "| Scripts of the captions | Devanagari 1, Hangul 1, Latin 1 |" in body


def test_words_that_could_break_the_card(root):
    front, body = card_of(
        root, name="a: |\n---\n# x", culture="<script>", notes="[x](javascript:y)", contact="`z`"
    )
    assert front["pretty_name"] == "a: |\n---\n# x"
    assert front["tags"] == ["<script>"]
    assert "# a: \\| --- \\# x\n" in body
    assert "\\[x\\](javascript:y)" in body
    assert "<script>" not in body.replace("\\<script\\>", "")
    assert "write to \\`z\\`" in body


def test_reasons_are_told_without_names_and_the_last_one_counts(root):
    whole = read_whole_set(root, root.parent / "work")
    sha256 = whole.rows[0].sha256
    for why, changes in (
        ("too dark", {"include": False}),
        ("a * stereotype", {"include": False}),
        ("spelling", {"credit": "Ana"}),
    ):
        statement = Overlay(sha256=sha256, by="Dr. Kim", at="2026-11-25", why=why, **changes)
        add_statement(root.parent / "work", statement)
    _, body = card_of(root)
    assert "| a \\* stereotype | 1 |" in body
    assert "Kim" not in body
    assert "too dark" not in body
    assert "| Pictures | 2 in train |" in body


def test_the_command_prints_or_writes_and_replaces_nothing(root, tmp_path, capsys):
    words = ["dataset", "card", str(root), "--work", str(tmp_path / "work")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    out = tmp_path / "card.md"
    assert main([*words, "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == printed
    assert main([*words, "--out", str(out)]) == 2
    assert "nothing is replaced" in capsys.readouterr().err
