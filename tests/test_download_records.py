"""Verdicts that rest on several rows; a lock file that a kill cut off."""

from scoft_training.download_records import Journal, Record, judge, read_records

SIZE = {"width": 300, "height": 300, "sha256": "a" * 64}


def picture(link, **values):
    return Record(link=link, nth=0, outcome="picture", **{**SIZE, "url": link, **values})


def verdicts(*records, min_side=200):
    rows = [(number, one.link, "") for number, one in enumerate(records, start=2)]
    return [
        one.verdict for one in judge(rows, {one.key: one for one in records}, min_side=min_side)
    ]


def test_three_links_to_one_picture_are_a_placeholder_and_two_are_not():
    assert verdicts(picture("a"), picture("b"), picture("c")) == ["placeholder"] * 3
    assert verdicts(picture("a"), picture("b")) == ["alive", "duplicate"]


def test_two_links_redirected_to_one_address_are_a_placeholder():
    ended = {"url": "https://x.example/sorry.png", "redirected": True}
    assert verdicts(picture("a", **ended), picture("b", **ended)) == ["placeholder"] * 2


def test_one_link_redirected_to_such_a_name_is_a_placeholder():
    ended = {"url": "https://i.example/removed.png"}
    assert verdicts(picture("a", redirected=True, **ended)) == ["placeholder"]
    assert verdicts(picture("a", **ended)) == ["alive"]


def test_what_a_person_brought_is_never_the_duplicate():
    brought = Record(link="b", nth=0, outcome="replaced", **SIZE)
    assert verdicts(picture("a"), brought) == ["duplicate", "replaced"]


def test_another_smallest_side_judges_anew():
    assert verdicts(picture("a"), min_side=301) == ["too_small"]


def test_a_line_that_a_kill_cut_off_is_no_record_and_goes(tmp_path):
    path = tmp_path / "downloads.jsonl"
    journal = Journal(path)
    journal.add(picture("a"))
    journal.add(picture("b"))
    journal.close()
    path.write_bytes(path.read_bytes()[:-9])
    assert [one.link for one in read_records(path).values()] == ["a"]
    journal = Journal(path)
    journal.add(picture("c"))
    journal.close()
    assert [one.link for one in read_records(path).values()] == ["a", "c"]


def judged(rows, *records, **values):
    rows = [(number, link, fault) for number, (link, fault) in enumerate(rows, start=2)]
    found = judge(rows, {one.key: one for one in records}, min_side=200, **values)
    return [one.verdict for one in found]


def test_a_row_is_no_duplicate_of_one_that_is_not_in_the_set():
    # The same link stands in a row without a caption, then in a good one.
    assert judged([("a", "The row has no caption."), ("a", "")], picture("a")) == [
        "bad_row",
        "alive",
    ]
    # The first file was altered on the disk; the second is what was downloaded.
    first, second = picture("a", file="images/a.jpg"), picture("b", file="images/b.jpg")
    altered = frozenset({"images/a.jpg"})
    assert judged([("a", ""), ("b", "")], first, second, altered=altered) == ["changed", "alive"]


def test_another_persons_lock_does_not_put_out_what_a_person_brought():
    brought = Record(link="a", nth=0, outcome="replaced", **SIZE)
    assert judged([("a", "")], brought, expected={"a": "0" * 64}) == ["replaced"]
    assert judged([("a", "")], picture("a"), expected={"a": "0" * 64}) == ["changed"]
