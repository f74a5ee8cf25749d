"""Tables as people publish them: any delimiter, any encoding, faults told by row."""

import pytest

from scoft_training.config import DownloadConfig
from scoft_training.errors import ConfigError, DatasetError
from scoft_training.link_table import read_link_table

LINK = "https://example.com/a.jpg"


def read(tmp_path, data, **values):
    path = tmp_path / "links.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return read_link_table(path, DownloadConfig(**values))


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_columns_are_found_by_name_and_the_others_kept(tmp_path, delimiter):
    header = ["Image URL", "Cultural Caption", "BLIP_text", "Author", "Village", "depth"]
    cells = [LINK, "김치", '"[""a bowl"", ""a table""]"', "Kim", "Andong", "deep"]
    text = "\n".join(delimiter.join(line) for line in (header, cells))
    (row,) = read(tmp_path, text).rows
    assert (row.number, row.link, row.fault) == (2, LINK, "")
    assert row.values == {
        "text": "김치",
        "blip_text": ["a bowl", "a table"],
        "credit": "Kim",
        "source_url": LINK,
        "Village": "Andong",
        # metadata.jsonl has a column of this name with another meaning.
        "table_depth": "deep",
    }


def test_rows_count_as_in_a_spreadsheet(tmp_path):
    table = read(tmp_path, f'\ufefflink,text\n{LINK},"two\nlines"\n\n{LINK},last\n')
    assert [row.number for row in table.rows] == [2, 4]
    assert table.rows[0].values["text"] == "two\nlines"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Food & Drink", "food_drink"),
        ("food and drinks", "food_drink"),
        ("Religion and Festivals", "religion_festival"),
        ("Dance, Music & Art", "dance_music_art"),
        ("Cities", "city"),
        ("clothing", "clothing"),
        ("people_actions", "people_actions"),
        ("festival", "religion_festival"),
    ],
)
def test_categories_are_understood_as_the_paper_writes_them(tmp_path, said, meant):
    (row,) = read(tmp_path, f'link,text,category\n{LINK},x,"{said}"\n').rows
    assert row.values["category"] == meant


def test_an_unknown_category_is_left_open_and_said(tmp_path):
    table = read(tmp_path, f"link,text,category,consent\n{LINK},x,Cars,Yes\n")
    assert "category" not in table.rows[0].values
    assert table.rows[0].values["table_category"] == "Cars"
    assert table.rows[0].values["consent"] is True
    assert any("'Cars' is none of food_drink" in note for note in table.notes)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (f"{LINK},", "no caption"),
        (",words", "no link"),
        ("file:///etc/passwd,words", "does not begin with http"),
        (f"{LINK},words,more", "has 3 cells, the header 2"),
    ],
)
def test_a_bad_row_has_its_fault_and_stays(tmp_path, line, fault):
    table = read(tmp_path, f"link,text\n{line}\n{LINK},good\n")
    assert fault in table.rows[0].fault
    assert [row.number for row in table.rows] == [2, 3]
    assert table.rows[1].fault == ""


def test_columns_may_be_named_and_a_wrong_name_is_refused(tmp_path):
    text = f"where,what\n{LINK},words\n"
    with pytest.raises(ConfigError, match=r"none of the columns where, what .* --url-column"):
        read(tmp_path, text)
    (row,) = read(tmp_path, text, url_column="Where", caption_column="what").rows
    assert row.values["text"] == "words"
    with pytest.raises(ConfigError, match="Unknown column 'wat'.*Did you mean 'what'"):
        read(tmp_path, text, url_column="where", caption_column="wat")


def test_an_open_quote_is_refused_with_its_row(tmp_path):
    with pytest.raises(DatasetError, match="row 3: .*a quote is not closed"):
        read(tmp_path, f'link,text\n{LINK},a\n{LINK},"b\n{LINK},c\n{LINK},d"\n')
    with pytest.raises(DatasetError, match="this is no proper table"):
        read(tmp_path, f'link,text\n{LINK},"a\n')


def test_quotes_of_a_tsv_that_knows_no_quoting_are_letters(tmp_path):
    text = f'link\ttext\n{LINK}\t"so" he said\n{LINK}\t"open\n{LINK}\tclosed"\n'
    captions = [row.values["text"] for row in read(tmp_path, text).rows]
    assert captions == ['"so" he said', '"open', 'closed"']


def test_another_encoding_is_stated_or_guessed_and_said(tmp_path):
    line = f"link,text\n{LINK},전통 한국 음식은 김치와 밥 그리고 된장찌개입니다\n"
    stated = read(tmp_path, line.encode("cp949"), encoding="cp949")
    assert stated.rows[0].values["text"].startswith("전통 한국")
    guessed = read(tmp_path, line.encode("cp949"))
    assert guessed.rows[0].values["text"].startswith("전통 한국")
    assert any("is not UTF-8" in note for note in guessed.notes)


def test_an_empty_table_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="there are no rows"):
        read(tmp_path, "link,text\n")


def test_two_columns_of_one_name_are_both_kept(tmp_path):
    (row,) = read(tmp_path, f"link,text,note,note\n{LINK},x,first,second\n").rows
    assert (row.values["note"], row.values["note (column 4)"]) == ("first", "second")


def test_a_column_cannot_write_to_the_terminal(tmp_path):
    table = read(tmp_path, f"link,text,x\x1b[2J\n{LINK},x,y\n", url_column="link")
    with pytest.raises(ConfigError, match=r"none of the columns x\\x1b\[2J, y"):
        read(tmp_path, f"x\x1b[2J,y\n{LINK},x\n")
    assert not any("\x1b" in note for note in table.notes)
