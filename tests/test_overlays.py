"""rows.jsonl: what is stated about rows outside the dataset, by whom, and what of it holds."""

import dataclasses
import json
import subprocess
import sys
import threading

import pytest
from PIL import Image
from stack import write_demo

from scoft_training.data import read_dataset
from scoft_training.errors import DatasetError
from scoft_training.files import file_sha256
from scoft_training.overlays import (
    OVERLAYS,
    Overlay,
    add_statement,
    merge_overlay,
    now,
    overlaid,
    overlay_row,
    read_overlays,
    read_statements,
    statements_by_picture,
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
    consent="written, 2026",
    only_generic_captions=(),
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
    write_overlays(tmp_path, [FULL, other])
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
        ({**GOOD, "unset": ["licnce"]}, r"row 3: `unset`: Unknown column .* mean 'licence'\?"),
        ({**GOOD, "consent": 1}, r"row 3: `consent` must be text, true or false but got 1"),
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


def test_what_is_taken_back_is_the_datasets_own_again(dataset, tmp_path):
    row = dataset.rows[0]
    write_overlays(tmp_path, [overlay(row.sha256, cultural_caption="wrong", era="modern")])
    add_statement(tmp_path, overlay(row.sha256, by="Lee", unset=("cultural_caption",)))
    held = read_overlays(tmp_path)[row.sha256]
    assert (held.cultural_caption, held.era) == (None, "modern")
    assert overlay_row(row, held).cultural_caption == row.cultural_caption
    assert [one.unset for one in read_statements(tmp_path)] == [(), ("cultural_caption",)]
    add_statement(tmp_path, overlay(row.sha256, cultural_caption="right"))
    assert read_overlays(tmp_path)[row.sha256].cultural_caption == "right"


def test_whole_lists_of_captions_stand_whatever_a_captioner_adds(dataset, tmp_path):
    row = dataset.rows[0]
    add_statement(tmp_path, overlay(row.sha256, only_generic_captions=("mine",)))
    write_overlays(tmp_path, [overlay(row.sha256, by="scoft caption", generic_captions=("its",))])
    assert overlay_row(row, read_overlays(tmp_path)[row.sha256]).generic_captions == ("mine",)
    add_statement(tmp_path, overlay(row.sha256, unset=("only_generic_captions",)))
    changed = overlay_row(row, read_overlays(tmp_path)[row.sha256])
    assert changed.generic_captions == (*row.generic_captions, "its")


def test_an_empty_text_states_that_there_is_none(dataset):
    row = dataclasses.replace(dataset.rows[0], credit="Kim", era="modern", consent=True)
    changed = overlay_row(row, overlay(row.sha256, credit="", era="", consent=""))
    assert (changed.credit, changed.era, changed.consent) == (None, None, None)


@pytest.mark.parametrize("consent", [False, "no"])
def test_a_row_whose_consent_was_refused_is_left_out_even_if_included(dataset, consent):
    sha256 = dataset.rows[0].sha256
    stated = overlay(sha256, consent=consent, include=True)
    assert with_overlays(dataset, {sha256: stated}) == dataset.rows[1:]


def test_added_statements_stay_all_and_the_same_one_twice_counts_once(tmp_path):
    assert add_statement(tmp_path, overlay(include=False)) is None
    held = add_statement(tmp_path, overlay(include=True, at="2026-04-01"))
    assert held.include is False
    add_statement(tmp_path, overlay(include=True, at="2026-04-02"))
    assert [one.include for one in read_statements(tmp_path)] == [False, True]
    assert [one.at for one in statements_by_picture(tmp_path)[ONE]] == ["2026-03-31", "2026-04-01"]


@pytest.mark.parametrize("torn", [b'{"sha256": "11', '{"why": "새'.encode()[:-1], b"\0\0\0"])
def test_a_torn_last_line_does_not_count_and_the_next_writer_moves_it(tmp_path, torn):
    add_statement(tmp_path, overlay(era="modern"))
    whole = (tmp_path / OVERLAYS).read_bytes()
    (tmp_path / OVERLAYS).write_bytes(whole + torn)
    assert read_overlays(tmp_path)[ONE].era == "modern"
    add_statement(tmp_path, overlay(TWO, era="modern"))
    assert set(read_overlays(tmp_path)) == {ONE, TWO}
    assert (tmp_path / OVERLAYS).read_bytes().startswith(whole)
    assert (tmp_path / f"{OVERLAYS}.torn").read_bytes() == torn + b"\n"


def test_a_last_line_without_its_newline_counts_if_it_is_whole(tmp_path):
    (tmp_path / OVERLAYS).write_text(json.dumps({**GOOD, "era": "modern"}))
    assert read_overlays(tmp_path)[ONE].era == "modern"
    add_statement(tmp_path, overlay(TWO, era="modern"))
    assert set(read_overlays(tmp_path)) == {ONE, TWO}


def test_what_others_write_in_between_is_seen(tmp_path):
    add_statement(tmp_path, overlay(era="modern"))
    read_overlays(tmp_path)
    with (tmp_path / OVERLAYS).open("a") as file:
        file.write(json.dumps({**GOOD, "sha256": TWO, "era": "modern"}) + "\n" + "{\n")
    with pytest.raises(DatasetError, match="row 3"):
        read_overlays(tmp_path)
    write_lines(tmp_path, json.dumps({**GOOD, "era": "traditional"}))
    assert read_overlays(tmp_path) == {ONE: overlay(why="seen", era="traditional")}


WRITER = """
import sys
from scoft_training.overlays import Overlay, add_statement, write_overlays
work, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    one = Overlay(sha256="1" * 64, by=name, at="2026-03-31", why=str(number), credit=name)
    add_statement(work, one) if number % 2 else write_overlays(work, [one])
"""


def test_processes_and_threads_lose_no_statement(tmp_path):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), f"process {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    for writer in writers:  # so that they write at the same time
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()

    def state(name):
        for number in range(40):
            add_statement(tmp_path, overlay(by=name, why=str(number), credit=name))

    threads = [threading.Thread(target=state, args=(f"thread {n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0]
    found = {}
    for one in read_statements(tmp_path):
        found.setdefault(one.by, []).append(one.why)
    assert found == {
        name: [str(number) for number in range(40)]
        for name in ("process 0", "process 1", "thread 0", "thread 1")
    }


@pytest.fixture
def uncaptioned(tmp_path):
    """Three pictures with captions beside them, of which the second has none."""
    root = tmp_path / "plain"
    root.mkdir()
    for number in range(3):
        Image.new("RGB", (96, 64), (80 * number, 90, 40)).save(root / f"{number}.png")
        if number != 1:
            (root / f"{number}.txt").write_text(f"a field of colour number {number}")
    return root


def say(work, sha256, **values):
    add_statement(work, Overlay(sha256=sha256, by="Ama", at=now(), why="I know", **values))


def test_a_caption_written_at_the_desk_mends_the_row_that_lacks_one(uncaptioned, tmp_path):
    found = read_dataset(uncaptioned)
    assert [problem.message for problem in found.errors] == [
        "1.png: there is no 1.txt beside it. Each image needs its cultural caption: write one, "
        "there or in the review desk, or leave the picture out."
    ]
    (row,) = found.faulty
    assert overlaid(found, tmp_path / "work").errors == found.errors
    say(tmp_path / "work", row.sha256, cultural_caption="a field at noon")
    complete = overlaid(found, tmp_path / "work")
    assert not complete.errors
    assert [row.number for row in complete.rows] == [1, 2, 3]
    assert complete.rows[1].cultural_caption == "a field at noon"
    assert overlaid(complete, tmp_path / "work") == complete


def test_a_faulty_picture_that_was_left_out_is_no_error(uncaptioned, tmp_path):
    found = read_dataset(uncaptioned)
    say(tmp_path / "work", found.faulty[0].sha256, include=False)
    complete = overlaid(found, tmp_path / "work")
    assert not complete.errors
    assert [row.number for row in complete.rows] == [1, 3]


def test_a_caption_does_not_mend_another_fault(uncaptioned, tmp_path):
    sha256 = file_sha256(uncaptioned / "1.png")
    lines = [
        {"file_name": "0.png", "text": "a field"},
        {"file_name": "1.png", "era": "baroque"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (uncaptioned / "metadata.jsonl").write_text(text)
    say(tmp_path / "work", sha256, cultural_caption="a field at noon")
    complete = overlaid(read_dataset(uncaptioned), tmp_path / "work")
    assert [problem.kind for problem in complete.errors] == ["unknown-era"]
    assert [row.number for row in complete.rows] == [1]
