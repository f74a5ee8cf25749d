"""The report: its page, its JSON, its command."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from drawings import drawing, write_set
from PIL import ImageFilter

from scoft_training.cli import main
from scoft_training.config import ReportConfig
from scoft_training.dataset_report import ReportRequest, make_report
from scoft_training.errors import DatasetError
from scoft_training.events import FinishedEvent, StoppedEvent
from scoft_training.overlays import Overlay, write_overlays

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'
CAPTIONS = ["한복을 입은 여인", "امرأة ترتدي ثوبًا تقليديًا", "पारंपरिक वस्त्र में महिला", EVIL, EVIL]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Five pictures: twins, a blurred one, two of one caption; and a test split with a leak."""
    root = tmp_path_factory.mktemp("sets") / "a & <b>"
    twin = drawing(0)
    blurred = drawing(2).filter(ImageFilter.GaussianBlur(6))
    pictures = [twin, twin.resize((800, 700)), blurred, drawing(3), drawing(4)]
    write_set(root, pictures, captions=CAPTIONS, category="city", era="modern", credit="Mina")
    write_set(root, [drawing(3).resize((700, 612))], "test")
    card = {"culture": "Korea <i>", "language": "ko"}
    (root / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return root


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


def report_of(root, work):
    """What a program gets in the end."""
    made = []

    def run():
        made.append((yield from make_report(ReportRequest(root, ReportConfig(), work))))

    list(run())
    return made[0]


def made(root, work, **options):
    config = ReportConfig(similar_backbone="none", **options)
    *_, end = make_report(ReportRequest(root, config, work))
    assert isinstance(end, FinishedEvent)
    return (work / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open[-1] == "li" != tag:
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def test_the_page_runs_nothing_fetches_nothing_and_shows_texts_as_they_are(root, work):
    page = Page(made(root, work))
    assert not page.all("script")
    assert not page.open
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert page.all("img")
    assert all(of["src"].startswith("data:image/jpeg;base64,") for of in page.all("img"))
    assert not page.all("link")
    assert page.text.count(EVIL) == 3  # the leak's, and both captions' that repeat
    assert "Report on a & <b>" in page.text
    assert "Korea <i>" in page.text


def test_captions_have_their_language_and_their_own_direction(root, work):
    page = Page(made(root, work))
    captions = [of for of in page.all("span") if of.get("lang") == "ko"]
    assert captions
    assert all(of["dir"] == "auto" for of in captions)


def test_tables_are_labelled_and_links_lead_somewhere(root, work):
    page = Page(made(root, work))
    tables = len(page.all("table"))
    assert tables == 3
    assert len(page.all("caption")) == tables
    assert {of["scope"] for of in page.all("th")} == {"row", "col"}
    ids = {of["id"] for _, of in page.tags if "id" in of}
    assert {of["href"].removeprefix("#") for of in page.all("a")} <= ids


def test_only_pictures_that_something_is_said_about_are_inside(root, work):
    # Two twins, a leak with its double, two equal captions; and the blurred one, if it counts.
    assert made(root, work, least_sharpness=0.0).count("<figure ") == 6
    assert made(root, work).count("<figure ") == 7


def test_the_report_as_json_and_in_words(root, work):
    made(root, work)
    report = report_of(root, work)
    values = json.loads(json.dumps(report.as_json()))
    assert [pair["rows"] for pair in values["near_duplicates"]] == [[1, 2]]
    assert [pair["rows"] for pair in values["leaks"]] == [[4, 1]]
    assert [of["row"] for of in values["blurred"]] == [3]
    assert values["repeated_captions"] == [{"rows": [4, 5], "overlap": 1.0}]
    assert values["coverage"]["categories"]["city"]["total"] == 5
    summary = report.summary()
    assert "a & <b>: 5 pictures" in summary
    assert "near-duplicates: 1" in summary
    assert "fewer than in CCUB Korea at this size: food_drink (1 more)" in summary


def test_what_a_person_left_out_or_edited_in_the_work_folder_counts(root, work):
    made(root, work)
    first, *_, last = report_of(root, work).dataset.rows
    said = {"by": "Mina", "at": "2026-11-25", "why": "twin"}
    write_overlays(
        work,
        [
            Overlay(sha256=first.sha256, include=False, **said),
            Overlay(sha256=last.sha256, cultural_caption="a market at night", **said),
        ],
    )
    found = report_of(root, work)
    assert found.coverage.total == 4
    assert not found.quality.pairs
    assert not found.quality.captions


def test_the_dataset_stays_as_it_is(root, work):
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    made(root, work)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_test_split_of_pictures_with_captions_beside_them_is_compared_too(root, work, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    (copy / "test" / "metadata.jsonl").unlink()
    (copy / "test" / "images" / "0000.txt").write_text("a market")
    made(copy, work)
    assert [pair.one.number for pair in report_of(copy, work).quality.leaks] == [4]


def test_stopped_it_writes_no_page(root, work):
    *_, end = make_report(ReportRequest(root, work=work), should_stop=lambda: True)
    assert isinstance(end, StoppedEvent)
    assert not (work / "report.html").exists()


def test_a_picture_that_vanished_is_said_to_be_unreadable(root, work, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    made(copy, work)
    report = report_of(copy, work)
    (copy / "train" / "images" / "0002.png").unlink()
    assert "cannot be read" in report.page()


def test_without_a_set_the_sentence_says_so(tmp_path, work):
    with pytest.raises(DatasetError, match="there is no such folder"):
        list(make_report(ReportRequest(tmp_path / "nothing", work=work)))


def test_the_command_writes_the_page_and_prints_json_alone(root, work, tmp_path, capsys):
    out = tmp_path / "page.html"
    arguments = ["dataset", "report", str(root), "--work", str(work), "--similar-backbone", "none"]
    assert main([*arguments, "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["name"] == "a & <b>"
    assert re.match("<!doctype html>", out.read_text(encoding="utf-8"))
    assert main([*arguments, "--least-side", "5000"]) == 2
    assert "`least_side` must be between 1 and 2048" in capsys.readouterr().err
    assert main([*arguments, "--least-side", "2000"]) == 0
    assert "small: 5" in capsys.readouterr().out
