"""The report on a survey: disagreement first, nothing hidden, nothing runs, every name is text."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest
from made_survey_results import FINDINGS, ITEMS, made_result
from PIL import Image

from scoft_training.errors import OutputError
from scoft_training.survey_records import Estimate, SurveyResult
from scoft_training.survey_report import report_text, write_survey_report

NAMES = {"<script>alert(1)</script>": 3, "العربية": 4}


class Read(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *one) for one in attributes]

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    path = write_survey_report(made_result(items=ITEMS[:2]), folder)
    return folder, path.read_text(encoding="utf-8")


def chapters(text):
    """Return the chapters of the plain report: title -> text."""
    parts = re.split(r"\n\n(.+)\n-{3,}\n\n", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def flat(text):
    return " ".join(text.split())


def test_whose_answers_and_their_disagreement_stand_before_what_is_pooled(made):
    folder, page = made
    headings = re.findall(r'<h2 id="([\w-]+)"', page)
    assert headings[:3] == ["people", "groups", "everyone"]
    text = (folder / "report.txt").read_text(encoding="utf-8")
    assert list(chapters(text))[:3] == [
        "Whose answers these are",
        "Do the cultures agree?",
        "Everyone together",
    ]
    told = flat(chapters(text)["Do the cultures agree?"])
    assert "People of Korea put +MPC first" in told
    assert "What is said below of everyone together hides that." in told
    assert "Remember that the cultures" in flat(chapters(text)["Everyone together"])


def test_nothing_runs_and_nothing_is_fetched(made):
    page = Read(made[1])
    assert not {"script", "link", "iframe", "form"} & set(page.tags)
    assert not [one for one in page.attributes if one[1].startswith("on")]
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith(("#", "data:")) for value in links)
    assert "default-src 'none'" in made[1]


def test_the_plots_lie_beside_the_page_and_in_it(made):
    folder, page = made
    names = {path.stem for path in (folder / "plots").glob("*.svg")}
    assert names == {path.stem for path in (folder / "plots").glob("*.png")}
    assert page.count('<svg role="img"') == len(names)
    with Image.open(folder / "plots" / "vote.png") as picture:
        assert picture.width == 960


def test_a_second_report_replaces_the_first_and_leaves_other_files(tmp_path):
    first = made_result(groups={"a": 2, "b": 2}, items=("alignment",))
    write_survey_report(first, tmp_path)
    own = tmp_path / "plots" / "ranks-a, with arrows.png"
    own.write_bytes(b"mine")
    assert (tmp_path / "plots" / "ranks-a.png").exists()
    write_survey_report(made_result(groups={"c": 2}, items=("alignment",)), tmp_path, first)
    left = {path.stem for path in (tmp_path / "plots").iterdir()}
    assert not {"ranks-a", "groups", "agreement-groups"} & left
    assert {"ranks", "ranks-a, with arrows"} <= left


def test_an_earlier_plot_that_cannot_be_removed_is_named(tmp_path):
    (tmp_path / "plots" / "groups.png").mkdir(parents=True)
    first = made_result(groups={"a": 1, "b": 1}, items=("alignment",))
    with pytest.raises(OutputError, match=r"groups\.png: an earlier report's file could not"):
        write_survey_report(made_result(groups={"c": 2}, items=("alignment",)), tmp_path, first)


def test_the_same_result_makes_the_same_files(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        write_survey_report(made_result(groups={"a": 2, "b": 1}, items=ITEMS[:1]), folder)
    files = [path for path in one.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        assert path.read_bytes() == (other / path.relative_to(one)).read_bytes(), path


def test_names_are_text_whatever_they_hold(tmp_path):
    result = made_result(models=("<b>one</b>", "نموذج", "SD"), groups=NAMES, items=ITEMS[:1])
    page = Read(write_survey_report(result, tmp_path).read_text(encoding="utf-8"))
    assert "script" not in page.tags
    said = "".join(page.words)
    assert "<script>alert(1)</script>" in said
    assert "<b>one</b>" in said
    # In a sentence a name from right to left is set apart; a table's cell finds its own way.
    assert "\u2068نموذج\u2069" in said
    assert ("th", "dir", "auto") in page.attributes


def test_every_finding_is_named_with_its_place_and_all_are_there(tmp_path):
    many = tuple(dataclasses.replace(FINDINGS[1], where=f"a.csv, line {n}") for n in range(40))
    text = report_text(made_result(groups={"x": 2}, findings=(*FINDINGS, *many)))
    told = flat(chapters(text)["What is wrong or odd with the answers"])
    for finding in (*FINDINGS, *many):
        assert f"{finding.where}: {finding.sentence}" in told
    assert "Left out: the rest of the file counts (41)." in told
    result = made_result(groups={"x": 2}, items=ITEMS[:1], findings=many)
    page = write_survey_report(result, tmp_path).read_text(encoding="utf-8")
    assert "<details><summary>28 more</summary>" in page


def test_a_result_without_answers_says_so():
    fields = {field.name: () for field in dataclasses.fields(SurveyResult)}
    empty = SurveyResult(**fields | {"group_by": "culture", "settings": {}, "findings": FINDINGS})
    text = report_text(empty)
    assert "No answer counts" in text
    assert "Everyone together" not in text
    assert "answers.csv, line 17" in text


def test_no_number_that_is_not_there_is_written(tmp_path):
    result = made_result(models=("a", "b"), groups={"x": 1}, pages=1)
    bare = dataclasses.replace(
        result,
        slices=tuple(
            dataclasses.replace(
                part,
                models=tuple(
                    dataclasses.replace(one, average_rank=Estimate(1.5), vote_wins=None)
                    for one in part.models
                ),
                vote_order=(),
                win_rates={},
            )
            for part in result.slices
        ),
        agreement=((None,),),
        position_bias=(),
    )
    write_survey_report(bare, tmp_path)
    text = (tmp_path / "report.txt").read_text()
    assert not re.search(r"\b(nan|None|inf)\b", text)
    assert "How far people agree cannot be told" in flat(text)
    assert "whether the place moved the ranks cannot be told" in flat(text)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "plots").write_text("no folder")
    with pytest.raises(OutputError, match="plots"):
        write_survey_report(made_result(groups={"x": 2}), tmp_path)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_has_no_serious_fault(made, browser, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto((made[0] / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = axe.run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []
    page.close()
