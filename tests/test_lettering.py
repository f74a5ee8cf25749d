"""Captions in any script are drawn with their own letters, or not at all."""

import pytest
from made_captions import LANGUAGES, captions
from PIL import Image, ImageDraw

from scoft_training import lettering
from scoft_training.lettering import draw_caption, font_for, wrapped


@pytest.fixture(autouse=True)
def _fresh():
    lettering._font_files.cache_clear()
    yield
    lettering._font_files.cache_clear()


def drawn(text, font):
    picture = Image.new("L", (400, 40), 255)
    ImageDraw.Draw(picture).text((2, 2), text, 0, font)
    return picture.tobytes()


def test_plain_text_needs_no_font_of_the_machine(monkeypatch):
    monkeypatch.setattr(lettering, "_font_folders", lambda: iter(()))
    assert font_for("row 1: a pot of soup", 14) is not None


@pytest.mark.parametrize("language", LANGUAGES)
def test_letters_that_no_font_has_are_not_drawn_as_boxes(language, monkeypatch):
    text = captions(language)[1]
    monkeypatch.setattr(lettering, "_font_folders", lambda: iter(()))
    font = font_for(text, 20)
    # The font that Pillow brings has Latin letters, some with accents.
    assert font is None or language in ("Spanish", "Yoruba", "Russian")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_font_that_is_found_has_every_letter(language):
    font = font_for(captions(language)[0], 20)
    if font is None:
        pytest.skip(f"this machine has no font for {language}")
    shapes = {drawn(letter, font) for letter in "".join(captions(language)[0].split())}
    assert drawn("\U0010fffe", font) not in shapes


@pytest.mark.parametrize("language", ["Arabic", "Hindi"])
def test_joined_scripts_are_left_out_where_nothing_joins_them(language, monkeypatch):
    monkeypatch.setattr(lettering.features, "check", lambda name: False)
    assert font_for(captions(language)[0], 20) is None


@pytest.mark.parametrize("text", ["a pot of soup on a low table by the door", "春" * 60])
def test_lines_fit_their_width_and_the_rest_is_an_ellipsis(text):
    font = font_for("a", 14)
    lines = wrapped(text, font, 90, 9).split("\n")
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert max(font.getlength(line) for line in lines) <= 90
    assert len(lines) > 2
    short = wrapped(text, font, 90, 2).split("\n")
    assert (len(short), short[0], short[1]) == (2, lines[0], lines[1] + "...")


def test_a_caption_that_cannot_be_drawn_is_replaced_by_where_it_stands(monkeypatch):
    monkeypatch.setattr(lettering, "_font_folders", lambda: iter(()))
    sheets = []
    for caption, instead in (("비빔밥", "see a.txt"), ("see a.txt", "unused")):
        sheet = Image.new("RGB", (200, 40), "white")
        draw_caption(
            ImageDraw.Draw(sheet),
            (2, 2),
            caption,
            size=14,
            width=190,
            lines=2,
            label="row 1:",
            instead=instead,
        )
        sheets.append(sheet.tobytes())
    assert sheets[0] == sheets[1]
    assert len(set(sheets[0])) > 2
