"""rows.jsonl: what is stated about rows outside the dataset, by whom, and what of it holds."""

import dataclasses
import json

import pytest
from stack import write_demo

from scoft_training.data import read_dataset
from scoft_training.errors import DatasetError
from scoft_training.overlays import (
    OVERLAYS,
    Overlay,
    merge_overlay,
    now,
    read_overlays,
    read_statements,
    with_overlays,
    write_overlays,
)

ONE, TWO = "1" * 64, "2" * 64


def overlay(sha256=ONE, by="Kim", why="looked at it", at="2026-03-31", **stated):
    return Overlay(sha256=sha256, by=by, at=at, why=why, **stated)


FULL = overlay(
    generic_captions=("a bowl on a table", "음식 \u2028 한 그릇"),
    cultural_caption="tteokguk on New Year's Day",
    category="food_drink",
    era="traditional",
    credit="Kim",
    licence="CC BY 4.0",
    include=False,
    extra={"mood": {"calm": 1}},
)


def text_of(work):
    return (work / OVERLAYS).read_text(encoding="utf-8")


def write_lines(work, *lines):
    work.mkdir(exist_ok=True)
    (work / OVERLAYS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return read_dataset(write_demo(tmp_path_factory.mktemp("overlays") / "set"))


def test_what_is_written_is_read(tmp_path):
    other = overlay(TWO, include=True)
    write_overlays(tmp_path, {ONE: FULL, TWO: other})
    assert read_overlays(tmp_path) == {ONE: FULL, TWO: other}
    assert read_statements(tmp_path) == [FULL, other]
    assert json.loads(text_of(tmp_path).split("\n")[0])["by"] == "Kim"


def test_without_a_file_nothing_is_stated(tmp_path):
    assert read_overlays(tmp_path / "nowhere") == {}


def test_a_later_entry_updates_only_what_it_states():
    later = overlay(by="Lee", at="2026-04-01", why="was new", era="modern", include=True)
    merged = merge_overlay(FULL, later)
    expected = dataclasses.replace(
        FULL, by="Lee", at="2026-04-01", why="was new", era="modern", include=True
    )
    assert merged == expected
    assert merge_overlay(None, later) is later
    with pytest.raises(ValueError, match="two pictures"):
        merge_overlay(FULL, overlay(TWO))


def test_each_statement_keeps_its_who_and_when(tmp_path):
    write_overlays(tmp_path, [overlay(category="nature")])
    write_overlays(tmp_path, [overlay(by="Lee", why="wrong", category="city")])
    write_overlays(tmp_path, [overlay(by="Lee", why="drop", include=False)])
    assert [(one.by, one.stated()) for one in read_statements(tmp_path)] == [
        ("Kim", {"category": "nature"}),
        ("Lee", {"category": "city"}),
        ("Lee", {"include": False}),
    ]
    held = read_overlays(tmp_path)[ONE]
    assert (held.category, held.include, held.why) == ("city", False, "drop")


def test_repeating_a_statement_does_not_make_the_file_grow(tmp_path):
    write_overlays(tmp_path, [overlay(category="nature")])
    before = text_of(tmp_path)
    write_overlays(tmp_path, [overlay(category="nature", at="2027-01-01")])
    assert text_of(tmp_path) == before
    write_overlays(tmp_path, [overlay(category="city", era="modern", at="2027-01-01")])
    (line,) = read_statements(tmp_path)
    assert (line.category, line.era, line.at) == ("city", "modern", "2027-01-01")


def test_a_line_that_says_more_than_the_new_one_stays(tmp_path):
    write_overlays(tmp_path, [overlay(category="nature", extra={"mood": "calm"})])
    write_overlays(tmp_path, [overlay(category="city")])
    assert len(read_statements(tmp_path)) == 2
    assert read_overlays(tmp_path)[ONE].extra == {"mood": "calm"}


def test_restating_what_was_overruled_takes_effect(tmp_path):
    for by, category in (("Kim", "nature"), ("Lee", "city"), ("Kim", "nature")):
        write_overlays(tmp_path, [overlay(by=by, category=category)])
    assert read_overlays(tmp_path)[ONE].category == "nature"
    assert [one.by for one in read_statements(tmp_path)] == ["Lee", "Kim"]


def test_of_a_changed_mapping_only_the_changes_are_written(tmp_path):
    machine = overlay(by="scoft caption", why="captions", generic_captions=("a bowl",))
    write_overlays(tmp_path, [machine, overlay(TWO, era="modern")])
    overlays = read_overlays(tmp_path)
    overlays[ONE] = merge_overlay(overlays[ONE], overlay(category="city"))
    write_overlays(tmp_path, overlays)
    assert [one.stated() for one in read_statements(tmp_path)] == [
        {"generic_captions": ("a bowl",)},
        {"era": "modern"},
        {"category": "city"},
    ]
    assert read_overlays(tmp_path) == overlays


GOOD = {"sha256": ONE, "by": "Kim", "at": "2026-03-31", "why": "seen"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"sha256": ', r"^rows\.jsonl, row 3: this is not valid JSON"),
        ("[]", r"^rows\.jsonl, row 3: this is not a JSON object"),
        ({**GOOD, "sha256": "12"}, r"row 3: `sha256` must be the 64 hex digits .* got '12'"),
        ({**GOOD, "by": ""}, r"row 3: `by` is missing\. Write who says so"),
        ({**GOOD, "at": "yesterday"}, r"row 3: `at` must be an ISO date .* got 'yesterday'"),
        ({**GOOD, "include": "no"}, r"row 3: `include` must be true or false but got \"no\""),
        ({**GOOD, "category": "citty"}, r"row 3: Unknown category 'citty'.*mean 'city'\?"),
        ({**GOOD, "generic_captions": [1]}, r"row 3: `generic_captions` must be text or a list"),
    ],
)
def test_a_broken_line_is_one_sentence_and_nothing_is_lost(tmp_path, line, message):
    broken = line if isinstance(line, str) else json.dumps(line)
    first = json.dumps({**GOOD, "era": "modern", "unknown": [1, {"a": None}]})
    write_lines(tmp_path, first, "", broken)
    before = text_of(tmp_path)
    with pytest.raises(DatasetError, match=message):
        read_overlays(tmp_path)
    assert text_of(tmp_path) == before

    write_overlays(tmp_path, [overlay(TWO, era="modern")])
    assert text_of(tmp_path).split("\n")[:2] == [first, broken]
    assert json.loads(text_of(tmp_path).split("\n")[2])["sha256"] == TWO


def test_what_could_not_be_read_back_is_not_written(tmp_path):
    write_overlays(tmp_path, [overlay(era="modern")])
    before = text_of(tmp_path)
    with pytest.raises(DatasetError, match="Unknown era 'old'"):
        write_overlays(tmp_path, [overlay(TWO, era="modern"), overlay(era="old")])
    assert text_of(tmp_path) == before


def test_rows_get_what_is_stated_about_their_pictures(dataset):
    row, other, *_ = dataset.rows
    own = row.generic_captions
    stated = Overlay(
        sha256=row.sha256,
        by="Kim",
        at=now(),
        why="looked at it",
        generic_captions=("a new one", own[0]),
        cultural_caption="what it really is",
        category="city",
        credit="Kim",
    )
    changed, same, *_ = with_overlays(dataset, {row.sha256: stated})
    assert changed.generic_captions == (*own, "a new one")
    assert (changed.cultural_caption, changed.category, changed.category_guessed) == (
        "what it really is",
        "city",
        False,
    )
    assert (changed.credit, changed.licence, changed.era) == ("Kim", row.licence, row.era)
    assert same is other
    assert dataset.rows[0] is row


def test_a_row_without_generic_captions_gets_those_of_its_overlay(dataset):
    bare = dataclasses.replace(dataset.rows[0], generic_captions=())
    stated = overlay(bare.sha256, generic_captions=("one", "two", "one"))
    (changed,) = with_overlays([bare], {bare.sha256: stated})
    assert changed.generic_captions == ("one", "two")


def test_a_dropped_row_is_gone_and_can_be_taken_back(dataset, tmp_path):
    sha256 = dataset.rows[1].sha256
    write_overlays(tmp_path, [overlay(sha256, include=False)])
    left = with_overlays(dataset, read_overlays(tmp_path))
    assert left == tuple(row for row in dataset.rows if row.sha256 != sha256)
    write_overlays(tmp_path, [overlay(sha256, by="Lee", include=True)])
    assert with_overlays(dataset, read_overlays(tmp_path)) == dataset.rows
