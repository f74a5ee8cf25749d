"""Text of any origin is read right, or said to be a guess, or refused."""

import sys

import pytest
from made_captions import captions

from scoft_training.errors import ConfigError, DatasetError
from scoft_training.text_encoding import decode_text, decode_texts, guess_sentence, looks_misread

SAVED = [
    ("Korean", "cp949"),
    ("Korean", "johab"),
    ("Korean", "utf-7"),
    ("Korean", "utf-16-le"),
    ("Japanese", "shift_jis"),
    ("Japanese", "euc_jp"),
    ("Japanese", "iso2022_jp"),
    ("Chinese, simplified", "gb18030"),
    ("Chinese, simplified", "hz"),
    ("Chinese, traditional", "big5"),
    ("Hindi", "utf-16-le"),
    ("Hindi", "utf-16-be"),
    ("Yoruba", "utf-16-le"),
    ("Arabic", "cp1256"),
    ("Arabic", "iso8859_6"),
    ("Spanish", "cp1252"),
    ("Spanish", "mac_roman"),
    ("Russian", "cp1251"),
    ("Russian", "koi8_r"),
    ("Russian", "cp866"),
]


@pytest.mark.parametrize(("language", "encoding"), SAVED)
def test_a_folder_of_captions_in_one_encoding_comes_out_right(language, encoding):
    saved = {f"{index}.txt:": text for index, text in enumerate(captions(language))}
    read = decode_texts({where: text.encode(encoding) for where, text in saved.items()})
    assert {where: decoded.text for where, decoded in read.items()} == saved
    # Only what is ASCII in UTF-8 too may be certain.
    assert [saved[where] for where, decoded in read.items() if not decoded.guessed] == [
        text for text in saved.values() if text.isascii()
    ]


@pytest.mark.parametrize(("language", "encoding"), SAVED)
def test_a_caption_alone_is_never_silently_wrong(language, encoding):
    right = 0
    for text in captions(language):
        (decoded,) = decode_texts({"a.txt:": text.encode(encoding)}).values()
        refused = isinstance(decoded, DatasetError)
        assert refused or decoded.guessed or decoded.text == text
        right += not refused and decoded.text == text
    # In Mac Roman a capital or a dash for each accent is as likely: most are left to the user.
    assert right >= (12 if encoding == "mac_roman" else 24)


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("language", ["Korean", "Hindi", "Yoruba", "Arabic"])
def test_utf8_and_byte_order_marks_are_certain(language, mark):
    text = "\n".join(captions(language))
    for data in (text.encode(), text.encode(mark)):
        decoded = decode_text(data, where="a.txt:")
        assert (decoded.text, decoded.guessed) == (text, False)


def test_the_warning_names_file_encoding_and_a_line():
    decoded = decode_text("plain\n비빔밥 한 그릇".encode("cp949"), where="a.txt:")
    assert guess_sentence(decoded, where="a.txt:") == (
        "a.txt: this is not UTF-8 and was read as cp949, a guess, by which a line is "
        "'비빔밥 한 그릇'. If that is wrong, save it as UTF-8, or state what it is by "
        '"encoding" in card.json, say {"encoding": "cp949"}.'
    )


def test_utf8_that_is_spoilt_at_one_line_is_no_other_encoding():
    data = "한복을 입은 할머니\n떡국 한 그릇\n".encode() + "강강술래".encode()[:-1]
    with pytest.raises(DatasetError, match=r"^a.txt: line 3 is not UTF-8, though the rest is\."):
        decode_text(data, where="a.txt:")


def test_what_cannot_be_told_is_refused_with_the_remedy():
    with pytest.raises(DatasetError, match=r'cannot be told.*"encoding" in card\.json'):
        decode_text(b"\x00\xd8\x01", where="a.txt:")


def test_without_the_library_utf8_is_read_and_the_rest_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "chardet", None)
    assert decode_text("두부".encode(), where="a:").text == "두부"
    with pytest.raises(ConfigError, match="pip install chardet"):
        decode_text("두부 한 모".encode("cp949"), where="a:")


def test_two_readings_that_are_as_likely_are_refused():
    text = "Niños rompen una piñata en el cumpleaños"
    # By cp437 it would be "Niûos rompen una piûata", which is no worse by its letters.
    assert isinstance(decode_texts({"a:": text.encode("mac_roman")})["a:"], DatasetError)


def test_one_odd_file_does_not_decide_over_the_others():
    pieces = {f"{n}.txt:": text.encode("cp949") for n, text in enumerate(captions("Korean"))}
    read = decode_texts(pieces | {"odd.txt:": b"\xff\xfd\x80"})
    assert isinstance(read.pop("odd.txt:"), DatasetError)
    assert [decoded.text for decoded in read.values()] == captions("Korean")


def test_a_syllable_that_passes_as_utf8_by_chance_is_read_like_its_neighbours():
    pieces = {f"{n}.txt:": text.encode("cp949") for n, text in enumerate(captions("Korean"))}
    assert "짠".encode("cp949").decode("utf-8") == "§"
    read = decode_texts(pieces | {"one.txt:": "짠".encode("cp949"), "new.txt:": "두부".encode()})
    assert (read["one.txt:"].text, read["one.txt:"].guessed) == ("짠", True)
    assert (read["new.txt:"].text, read["new.txt:"].guessed) == ("두부", False)


def test_a_stated_encoding_is_followed_and_not_a_guess():
    decoded = decode_text("障子".encode("euc_jp"), where="a.txt:", encoding="euc-jp")
    assert (decoded.text, decoded.guessed) == ("障子", False)


@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ("korean8", "the stated encoding 'korean8' is unknown"),
        ("ascii", "this is not ascii, which is stated as its encoding"),
    ],
)
def test_a_stated_encoding_that_does_not_serve_is_refused(encoding, sentence):
    with pytest.raises(DatasetError, match=sentence):
        decode_text("障子".encode("euc_jp"), where="a.txt:", encoding=encoding)


def test_captions_with_plus_signs_and_tildes_are_not_taken_for_escaped_ones():
    for text in ("Rice+Soup and tea+milk", "a ~{curly} sign", "C++ and a+b", "1 + 1"):
        assert decode_text(text.encode(), where="a.txt:").text == text


def test_text_that_was_misread_before_is_recognised():
    assert looks_misread("비빔밥".encode().decode("latin-1"))
    assert looks_misread("Niño".encode().decode("cp1252"))
    assert looks_misread("lost \ufffd letter")
    assert not any(looks_misread(text) for name in ("Spanish", "Yoruba") for text in captions(name))
