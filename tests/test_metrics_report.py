"""The report stands by itself, leads with the three questions, and shows what it speaks of."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from drawn_grid import ATTACK, OTHER, drawn_grid, with_nearest
from made_scores import made_scores, model
from PIL import Image

from scoft_training.errors import OutputError
from scoft_training.metrics_report import report_page, triple_plots, write_report
from scoft_training.takedown import find_picture


class Outline(HTMLParser):
    """Headings, pictures and whether anything could run or be fetched."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.alts, self.tags, self.links = [], [], set(), []
        self._in_heading = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.add(tag)
        self._in_heading = tag in ("h1", "h2", "h3")
        if self._in_heading:
            self.headings.append("")
        if tag == "img":
            self.alts.append(values["alt"])
        self.links += [values[name] for name in ("src", "href", "xlink:href") if name in values]

    def handle_data(self, data):
        if self._in_heading:
            self.headings[-1] += data

    def handle_endtag(self, tag):
        self._in_heading = False


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    grid = drawn_grid(tmp_path_factory.mktemp("reports") / "grid", missing=[("step 200", 5)])
    scores = with_nearest(made_scores(warnings=(f"{ATTACK} is cut at 77 tokens.",)), grid)
    return scores, grid, write_report(scores, grid, grid.folder)


def test_the_questions_come_first_then_the_checkpoint(made):
    _, _, path = made
    headings = Outline(path.read_text(encoding="utf-8")).headings
    assert headings[:7] == [
        "Scores of my models-0123456789abcdef",
        "Three questions",
        "Does it copy my photos?",
        "Does it know my culture?",
        "Did it forget the rest?",
        "Which checkpoint to keep",
        "Before you trust these numbers",
    ]
    assert headings[-2:] == ["How it was measured", "Settings"]


def test_nothing_runs_and_nothing_is_fetched(made):
    _, _, path = made
    text = path.read_text(encoding="utf-8")
    outline = Outline(text)
    assert not outline.tags & {"script", "link", "iframe", "object", "form"}
    assert ATTACK not in text
    assert "&lt;script&gt;" in text
    assert outline.links
    assert all(link.startswith(("data:image/", "#p")) for link in outline.links)


def test_every_picture_says_who_drew_what(made):
    scores, _, path = made
    alts = Outline(path.read_text(encoding="utf-8")).alts
    assert "" not in alts
    assert f"base: held out {ATTACK}" in alts
    assert f"{OTHER}: held out {ATTACK}" in alts
    # 8 prompts x 5 models, of which one picture is not drawn; 2 pairs a model.
    assert len(alts) == 8 * 5 - 1 + 2 * 2 * len(scores.models)
    assert "not drawn" in path.read_text(encoding="utf-8")


def test_plots_and_sheets_lie_beside_the_page(made):
    _, grid, path = made
    assert path == grid.folder / "report.html"
    names = sorted(one.stem for one in (grid.folder / "plots").glob("*.svg"))
    triple = ["copies", "forgot", "knows"]
    assert names == sorted([*triple, *(f"{name}-steps" for name in triple)])
    for name in names:
        ElementTree.parse(grid.folder / "plots" / f"{name}.svg")
        with Image.open(grid.folder / "plots" / f"{name}.png") as plot:
            assert plot.width == 960
    for name in ("same-seeds", "nearest"):
        with Image.open(grid.folder / "sheets" / f"{name}.png") as sheet:
            assert max(sheet.size) <= 4000
    assert (
        (grid.folder / "report.txt").read_text(encoding="utf-8").startswith("Scores of my models")
    )


def test_curves_begin_at_the_base_and_carry_the_mark():
    plots = triple_plots(made_scores())
    assert len(plots) == 6
    knows = plots[4]
    assert knows.words == (
        "run1: 41.5 at training step 0, 17.5 at 300; suggested: training step 200"
    )
    # Without steps there are no curves; what was not measured has no plot.
    still = made_scores(
        models=(model("base", None, 3.0, None, 0.5, 0.6, 0.5, 0.6),), suggestion=None
    )
    assert [plot.title for plot in triple_plots(still)] == [
        "Does it copy my photos?",
        "Does it know my culture?",
    ]


def test_step_0_is_explained_only_where_it_is_drawn():
    with_base, without = made_scores(), made_scores(models=made_scores().models[1:4])
    notes = [triple_plots(scores)[3].note for scores in (with_base, without)]
    assert [note.endswith("; step 0 is the base model") for note in notes] == [True, False]


def test_one_checkpoint_is_no_curve():
    one = made_scores(models=made_scores().models[:2], suggestion=None)
    assert len(triple_plots(one)) == 3


def test_two_runs_are_two_curves():
    base, *steps = made_scores().models
    other = [
        replace(one, model=replace(one.model, name=f"b {one.model.name}", run_id="run2"))
        for one in steps[:3]
    ]
    scores = made_scores(models=(base, *steps, *other))
    knows = triple_plots(scores)[-2]
    assert knows.words.startswith("run1: 41.5 at training step 0, 17.5 at 300; b: 41.5 at")
    # A step alone would not say of which run.
    assert knows.words.endswith("; suggested: step 200: training step 200")


def test_a_second_report_replaces_the_first_whole(tmp_path):
    grid = drawn_grid(tmp_path / "grid")
    scores = with_nearest(made_scores(), grid)
    write_report(scores, grid, grid.folder)
    (grid.folder / "plots" / "of-mine.png").write_bytes(b"kept")
    base = made_scores(models=made_scores().models[:1], differences=(), suggestion=None)
    text = write_report(base, grid, grid.folder).read_text(encoding="utf-8")
    assert sorted(one.name for one in (grid.folder / "plots").iterdir()) == [
        *(f"{name}.{kind}" for name in ("copies", "forgot", "knows") for kind in ("png", "svg")),
        "of-mine.png",
    ]
    assert not (grid.folder / "sheets" / "nearest.png").exists()
    assert "nearest training picture" not in text
    assert "Which checkpoint to keep" not in text


def test_the_same_scores_make_the_same_files(made):
    scores, grid, path = made
    files = [path, *sorted((grid.folder / "plots").iterdir())]
    before = [one.read_bytes() for one in files]
    write_report(scores, grid, grid.folder)
    assert [one.read_bytes() for one in files] == before


def test_nearest_pairs_of_models_that_are_not_shown_make_no_sheet(tmp_path):
    grid = drawn_grid(tmp_path / "grid")
    near = with_nearest(made_scores(), grid).nearest
    steps = [model(f"step {n}", n, 20.0, 1.0, 0.5, 0.6, 0.5, 0.6) for n in range(100, 1100, 100)]
    scores = made_scores(
        models=(*made_scores().models[:1], *steps),
        nearest=tuple(one for one in near if one.model == "step 100"),
    )
    write_report(scores, grid, grid.folder)
    assert not (grid.folder / "sheets" / "nearest.png").exists()


def test_an_earlier_file_that_cannot_be_removed_is_named(tmp_path):
    grid = drawn_grid(tmp_path / "grid")
    (grid.folder / "sheets" / "nearest.png").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"nearest.png: an earlier report's file could not be"):
        write_report(made_scores(), grid, grid.folder)


def test_curves_without_a_suggestion_say_why(made):
    _, grid, _ = made
    text = report_page(made_scores(suggestion=None), grid)
    assert "None is suggested" in text


def test_all_numbers_stand_with_their_forms_and_differences(made):
    _, grid, _ = made
    base, *others = made_scores().models
    clip = replace(
        base.metrics[0],
        key="clip_score",
        title="CLIP Score",
        better="higher",
        forms={"cosine": 0.30251, "2.5 x": 0.75628},
        note="2 captions were cut at 77 tokens.",
        std=0.021,
    )
    scores = made_scores(models=(replace(base, metrics=(*base.metrics, clip)), *others))
    text = report_page(scores, grid)
    # Its interval of 0.03 to either side keeps three decimals; forms are as exact as it is.
    for words in ("CLIP Score; higher is better, by clip_vit_b32", "0.3025", "0.756", "0.021"):
        assert f">{words}<" in text
    assert "2 captions were cut at 77 tokens." in text
    assert ">-23.5 (-26.0 to -21.0)<" in text


def test_a_takedown_finds_what_shows_a_training_picture(made):
    scores, grid, _ = made
    found = find_picture(scores.nearest[0].training_sha256, [grid.folder.parent])
    named = {re.sub(".*/", "", finding.path) for finding in found.findings}
    assert {"report.html", "report.txt", "0.png"} <= named


def test_a_folder_that_cannot_be_written_is_named(made, tmp_path):
    scores, grid, _ = made
    (tmp_path / "plots").write_text("in the way")
    with pytest.raises(OutputError, match="could not be written"):
        write_report(scores, grid, tmp_path)


def test_a_column_that_is_empty_or_says_the_same_again_is_left_out(made):
    _, grid, _ = made
    base, *others = made_scores().models

    def with_forms(one):
        kid = one.knows
        forms = {"raw": kid.value / 1000, "x 1000": kid.value * (1 + 1e-12)}
        return replace(one, metrics=(replace(kid, forms=forms),))

    text = report_page(made_scores(models=tuple(map(with_forms, [base, *others]))), grid)
    numbers = text[text.index(">All numbers<") :]
    header = re.findall(r"<th[^>]* scope=\"col\"[^>]*>([^<]+)<", numbers.partition("</table>")[0])
    assert header == [
        "model",
        "value (95 % interval)",
        "raw",
        "drawings",
        "compared with",
        "difference from base",
    ]
    assert ">0.0415<" in numbers


def test_the_words_come_before_the_numbers(made):
    _, grid, _ = made
    text = report_page(made_scores(), grid)
    assert "<b>knows it better than base</b><br>18.0 (16.0 to 20.0)<br>" in text
    assert "difference from base: -23.5 (-26.0 to -21.0)</span>" in text


def test_what_was_not_measured_leads_to_the_reason(made):
    _, grid, _ = made
    models = (model("base", None, 3.0, None, 0.5, 0.6, 0.5, 0.6),)
    text = report_page(made_scores(models=models, suggestion=None), grid)
    assert '<b>Not measured.</b> Why is said below: <a href="#warnings">' in text
    assert 'id="warnings"' in text


def test_one_left_out_is_said_as_one(made):
    _, grid, _ = made
    steps = [model(f"step {n}", n, 20.0, 1.0, 0.5, 0.6, 0.5, 0.6) for n in range(1, 3)]
    names = [model(f"mine {n}", None, 20.0, 1.0, 0.5, 0.6, 0.5, 0.6) for n in range(7)]
    text = report_page(made_scores(models=(*names, *steps)), grid)
    assert "1 more checkpoint is in the curves" in text
