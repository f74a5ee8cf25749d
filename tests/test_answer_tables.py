"""Tables as spreadsheets leave them, and cells that must not run in one."""

import csv

import pytest

from scoft_training.answer_tables import (
    one_line,
    read_table,
    seconds_of,
    whole_number,
    write_table,
)
from scoft_training.errors import SurveyError


def read(tmp_path, data, needed=("participant", "rank"), others=("prompt",)):
    path = tmp_path / "a.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return read_table(path, "a.csv", needed, others)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
def test_any_delimiter_and_encoding_is_read(tmp_path, delimiter, encoding):
    names = ["김철수 님의 대답입니다", "이영희, 서울에서; 삽니다\t예", "박지성은 축구를 좋아합니다"]
    lines = [["Participant ", "own column", "RANK"], *([name, "x", "2"] for name in names)]
    path = tmp_path / "a.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(lines)
    table = read_table(path, "a.csv", ("participant", "rank"), ("prompt",))
    assert [row.cells["participant"] for row in table.rows] == [one_line(one) for one in names]
    assert [row.line for row in table.rows] == [2, 3, 4]
    assert table.delimiter == delimiter
    assert table.columns == {"participant", "rank"}
    assert bool(table.notes) == (encoding == "cp949")
    assert all("cp949" in note and "save it as UTF-8" in note for note in table.notes)


def test_excels_own_line_about_the_delimiter_is_no_head(tmp_path):
    table = read(tmp_path, "sep=;\r\nrank;participant\r\n1;a,b\r\n")
    assert [(row.line, row.cells["participant"]) for row in table.rows] == [(3, "a,b")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_they_do_anywhere(tmp_path, end):
    lines = ["rank;participant", "1;a", '2;"b', 'c"', "3;d"]
    for begin in ([], ["sep=;"]):
        rows = read(tmp_path, end.join([*begin, *lines, ""])).rows
        assert [(row.line - len(begin), row.cells["participant"]) for row in rows] == [
            (2, "a"),
            (3, "b c"),
            (5, "d"),
        ]


def test_lines_are_counted_as_an_editor_does(tmp_path):
    table = read(tmp_path, 'participant,rank,prompt\na,1,"two\nlines"\n\n , ,\nb,2,x\n')
    assert [(row.line, row.cells["prompt"]) for row in table.rows] == [(2, "two lines"), (6, "x")]


def test_a_short_line_is_filled_and_a_long_one_has_a_fault(tmp_path):
    short, ended, long = read(tmp_path, "rank,participant\n1\n2,b,,\n3,c,d\n").rows
    assert (short.cells["participant"], short.fault) == ("", "")
    assert ended.fault == ""
    assert "3 cells, the head 2" in long.fault


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("", "a.csv: it is empty"),
        ("\n \n", "a.csv: it is empty"),
        ("participant,rnak\na,1\n", "a.csv, line 1: there is no column `rank`. Is it `rnak`?"),
        (
            "\nfoo,bar\n",
            "a.csv, line 2: there is no column `participant`. The first line must hold",
        ),
        ("rank,participant,Rank\n", "a.csv, line 1: the column `rank` stands there twice"),
        ('rank,participant\n1,a\n2,"b\n3,c\n4,d\n', "a.csv, line 3: this is no proper table"),
        ('rank,participant\n1,"a\n2,b\n3,c"\n4,d\n', "line 2: .*a quotation mark is not closed"),
        ('rank,participant\n1,"a"b\n', "a.csv, line 2: this is no proper table"),
        (b"PK\x03\x04 workbook", "a.csv: this is a workbook or an archive"),
        (b"rank,participant\n1,\xff\xfe\x00\x81\n", "a.csv: .*encoding cannot be told"),
        (
            "rank,participant\n1,서울에서\n2,부산에서\n".encode() + b"3,\xec\x84\n4,x\n",
            "a.csv: line 4 is not UTF-8, though the rest is",
        ),
        (f"rank,participant\n1,{'x' * 200_000}\n", "a.csv, line 2: this is no proper table"),
        (f"{'x' * 200_000}\n", "a.csv, line 1: this is no proper table"),
    ],
)
def test_what_is_no_table_is_refused_by_its_line(tmp_path, data, sentence):
    with pytest.raises(SurveyError, match=sentence.replace("?", r"\?").replace("(", r"\(")):
        read(tmp_path, data)


def test_a_text_over_several_lines_with_commas_is_no_open_quotation_mark(tmp_path):
    (row,) = read(
        tmp_path, 'rank,participant,prompt\n1,a,"one,\ntwo, three, four and, five"\n'
    ).rows
    assert row.cells["prompt"] == "one, two, three, four and, five"


def test_a_file_that_is_too_large_or_missing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("scoft_training.answer_tables._LARGEST", 1 << 20)
    with pytest.raises(SurveyError, match="larger than 1 MB"):
        read(tmp_path, b"rank,participant\n" + b"1,a\n" * (1 << 18))
    with pytest.raises(SurveyError, match=r"b\.csv: it cannot be opened"):
        read_table(tmp_path / "b.csv", "b.csv", ("rank",), ())


@pytest.mark.parametrize("begin", [*"=+-@'\uff1d", "\t", "\n", "\r", "\r\n"])
def test_no_cell_is_a_formula_and_reading_gives_it_back(tmp_path, begin):
    text = f"{begin}cmd|' /C calc'!A0"
    write_table(tmp_path / "a.csv", ["participant", "rank", "prompt"], [[text, 1, None]])
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        _, cells = csv.reader(file)
    assert cells == [f"'{text}".replace("\r\n", "\n").replace("\r", "\n"), "1", ""]
    (row,) = read_table(tmp_path / "a.csv", "a.csv", ("participant", "rank"), ("prompt",)).rows
    assert row.cells == {"participant": one_line(text), "rank": "1", "prompt": ""}


def test_nor_is_the_name_of_a_column(tmp_path):
    write_table(tmp_path / "a.csv", ["+1"], [])
    assert (tmp_path / "a.csv").read_text("utf-8-sig") == "'+1\n"


@pytest.mark.parametrize("text", ["'s-Hertogenbosch", "''x", "'", "a'=b", "-", "'-"])
def test_apostrophes_of_ones_own_come_back(tmp_path, text):
    write_table(tmp_path / "a.csv", ["participant", "rank"], [[text, 1]])
    (row,) = read_table(tmp_path / "a.csv", "a.csv", ("participant", "rank"), ()).rows
    assert row.cells["participant"] == text


def test_one_line_shows_as_it_is_written():
    assert one_line(" a\x1b[2J\nb\u202ec\u2066\ud800 ") == "a [2J b c"
    assert one_line("e\u0301") == "\u00e9"
    # The joiners that Hindi and Persian need stay.
    assert one_line("\u0915\u094d\u200d\u0937") == "\u0915\u094d\u200d\u0937"
    assert one_line("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("3.0", 3), ("3,00", 3), ("3.", 3), ("٣", 3), ("2.5", None), ("-1", None)]
    + [(text, None) for text in ("", "x", "1e3", "1 2", "1.000,0", "9" * 10, "inf", "²")],
)
def test_whole_numbers(text, value):
    assert whole_number(text) == value


@pytest.mark.parametrize(
    ("text", "delimiter", "value"),
    [
        ("12.5", ",", 12.5),
        ("12,5", ";", 12.5),
        ("12,5", ",", 12.5),
        ("1,234", ",", 1234),
        ("1,234", ";", 1.234),
        ("1.234", ",", 1.234),
        ("1,234.5", ",", 1234.5),
        ("1.234,5", ";", 1234.5),
        ("1.234.567", ";", 1234567),
        ("1'234.5", ";", 1234.5),
        ("1\u202f234,5", ";", 1234.5),
        ("1,2.3,4", ",", None),
        ("-1", ",", None),
        ("nan", ",", None),
        ("1e999", ",", None),
        ("", ",", None),
        ("soon", ",", None),
    ],
)
def test_times_with_the_marks_of_any_spreadsheet(text, delimiter, value):
    assert seconds_of(text, delimiter) == value
