"""Text of any origin is read right, or said to be a guess, or refused."""

from scoft_training.text_encoding import decode_text


def test_utf8_is_certain():
    assert decode_text("비빔밥".encode(), where="a.txt:").guessed is False
