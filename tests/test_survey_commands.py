"""`scoft survey make` and `texts` from their flags to the files, and what they say."""

import json
import shlex
import subprocess
import sys

import pytest
from survey_filling import DESKTOP, begun, ids_shown, next_one, page_of, saved, unharmed
from survey_grid import MODELS, data_of, grid_of, prompts_of

from scoft_training.cli import main
from scoft_training.grids import GridPrompt
from scoft_training.survey_key import read_key
from scoft_training.survey_making import handed_out
from scoft_training.survey_returns import read_returns
from scoft_training.survey_texts import LANGUAGES, survey_texts


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def grid(tmp_path):
    return grid_of(tmp_path / "grid", prompts_of(3))


def make(*flags):
    return main(["survey", "make", *map(str, flags)])


def test_a_survey_is_made_and_its_end_says_what_to_do_next(grid, tmp_path, capsys):
    assert make("grid", "--languages", "en,ko", "--contact", "Kim") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "Korea: 3 pages with a picture of each of 3 models"
    assert [line.split()[0] for line in lines[1:3]] == [
        "scoft-survey/hand-out/survey-korea-en.html",
        "scoft-survey/hand-out/survey-korea-ko.html",
    ]
    assert all(line.endswith(" MB") for line in lines[1:3])
    assert [line.partition(":")[0] for line in lines[3:]] == ["Hand out", "Collect", "Read"]
    assert "keep scoft-survey/survey-key.json" in lines[3]
    assert lines[5] == "Read: scoft survey aggregate answers --key scoft-survey/survey-key.json"
    assert "survey: 3/3" in err
    assert (tmp_path / "scoft-survey" / "survey-key.json").is_file()


def test_the_next_command_can_be_copied_where_the_folder_has_spaces(grid, capsys):
    assert make("grid", "--out", "my survey", "--contact", "Kim") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(last.removeprefix("Read: scoft "))
    assert words == ["survey", "aggregate", "answers", "--key", "my survey/survey-key.json"]


def test_every_flag_reaches_the_page(tmp_path):
    prompts = [GridPrompt(f"a cup {n}", "test", (7, 8)) for n in range(3)]
    grid_of(tmp_path / "grid", [*prompts, GridPrompt("a house", "train", (7,))])
    (tmp_path / "about.txt").write_bytes("\ufeffAbout {culture}.\r\n\r\nThanks.".encode())
    (tmp_path / "words.json").write_text(json.dumps({f"a cup {n}": f"taza {n}" for n in range(3)}))
    flags = ["--out", "here", "--culture", "Mexico", "--models", "Drittmodell", "base"]
    flags += ["--title", "T", "--about-file", "about.txt", "--consent", "C", "--contact", "K"]
    flags += ["--form-target", "https://example.org/x", "--translations", "words.json"]
    flags += ["--languages", "es", "--pages", 2, "--pages-per-participant", 1, "--allow-ties"]
    flags += ["--no-comments", "--picture-side", 64, "--seed", 3, "--roles", "test"]
    flags += ["--pictures-per-prompt", 2]
    assert make("grid", *flags) == 0
    key = read_key(tmp_path / "here")
    assert (key.models, key.allow_ties, len(key.pages)) == (("base", "Drittmodell"), True, 4)
    assert {page.culture for page in key.pages} == {"Mexico"}
    data = data_of(tmp_path / "here/hand-out/survey-mexico-es.html")
    assert (data["title"], data["about"], data["consent"], data["contact"]) == (
        *("T", ["About Mexico.", "Thanks."], ["C"], "K"),
    )
    assert (data["form_target"], data["allow_ties"], data["comments"]) == (
        *("https://example.org/x", True, False),
    )
    assert data["pages_per_participant"] == 1
    for one in data["pages"]:
        assert one["translation"] == one["prompt"].replace("a cup", "taza")


def test_several_grids_make_several_cultures(tmp_path, capsys):
    grid_of(tmp_path / "a", prompts_of(1))
    grid_of(tmp_path / "b", prompts_of(1, culture="India"))
    assert make("a", "b") == 0
    assert "survey-india-en.html" in capsys.readouterr().out


def test_what_a_participant_sends_back_is_read_as_ranks_of_the_models(tmp_path, browser):
    """From the grid through the browser to answers, with a translation and small pictures."""
    sizes = dict.fromkeys(MODELS, (32, 32))
    grid_of(tmp_path / "grid", prompts_of(2), sizes=sizes)
    assert make("grid", "--contact", "Kim", "--languages", "ko") == 0
    key = read_key(tmp_path / "scoft-survey")
    (path,) = handed_out(tmp_path / "scoft-survey")
    data, models = data_of(path), {}
    for one in key.pages:
        models |= one.pictures
    wanted = ["Drittmodell", "base", "Zweitmodell"]
    context = browser.new_context(offline=True, **DESKTOP)
    page = page_of(context, path)
    begun(page, culture="Korea")
    for _ in range(len(data["pages"]) * len(data["items"])):
        ids = ids_shown(page, data)
        assert page.locator(".pick img").first.evaluate("e => e.naturalWidth") == 32
        for model in wanted:
            page.locator(".pick").nth([models[one] for one in ids].index(model)).click()
        next_one(page)
    name, sent = saved(page)
    assert unharmed(page, path)
    context.close()
    assert not [model for model in MODELS if model in json.dumps(sent)]
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / name).write_text(json.dumps(sent), encoding="utf-8")
    found = read_returns([tmp_path / "answers"], key)
    assert {(one.model, one.rank) for one in found.answers} == {
        (model, rank) for rank, model in enumerate(wanted, start=1)
    }
    assert len(found.answers) == 2 * 4 * 3
    assert {one.prompt for one in found.answers} == {one.prompt for one in key.pages}


def test_events_are_json_lines_for_programs(grid, capsys):
    assert make("grid", "--json-events") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0]["event"] == "warning"  # no contact
    assert events[-1] == {
        "event": "finished",
        "step": 0,
        "name": "scoft-survey/hand-out",
        "already_done": False,
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["nowhere"], "nowhere: there is no grid"),
        (["grid", "--models", "base", "nobody"], "Unknown model 'nobody'"),
        (["grid", "--pages", "-1"], "`pages` must be between 0 and 1000"),
        (
            ["grid", "--about-file", "none.txt"],
            "--about-file none.txt: cannot be read (No such file",
        ),
        (["grid", "--about-file", "old.txt"], "--about-file old.txt: is not encoded in UTF-8"),
        (["grid", "--consent-file", "empty.txt"], "--consent-file empty.txt: is empty"),
        (["grid", "--form-target", "example.org"], "is no address that a page can post to"),
        (["grid", "--translations", "none.csv"], "none.csv: cannot be read"),
        (["grid", "--languages", "tlh"], "Unknown language of a survey 'tlh'"),
    ],
)
def test_what_will_not_do_is_refused_in_a_sentence(grid, tmp_path, flags, message, capsys):
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "old.txt").write_bytes("안내".encode("cp949"))
    assert make(*flags) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "scoft-survey").exists()


def test_a_text_and_its_file_exclude_each_other(grid, capsys):
    with pytest.raises(SystemExit):
        make("grid", "--about", "a", "--about-file", "b.txt")
    assert "not allowed with" in capsys.readouterr().err


def test_the_words_of_a_language_are_printed_or_written_and_read_again(tmp_path, capsys):
    for language in LANGUAGES:
        assert main(["survey", "texts", language]) == 0
        printed = capsys.readouterr().out
        (tmp_path / f"{language}.json").write_text(printed, encoding="utf-8")
        assert survey_texts(str(tmp_path / f"{language}.json")) == survey_texts(language)
    assert main(["survey", "texts", "hi", "--out", "mine.json"]) == 0
    assert capsys.readouterr().out == "mine.json\n"
    assert survey_texts("mine.json") == survey_texts("hi")
    (tmp_path / "mine.json").write_text("mine")
    assert main(["survey", "texts", "hi", "--out", "mine.json"]) == 2
    assert "mine.json: is there already" in capsys.readouterr().err
    assert (tmp_path / "mine.json").read_text() == "mine"


def test_words_are_utf_8_whatever_the_terminal_takes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "scoft_training", "survey", "texts", "ko"],
        env={"PYTHONIOENCODING": "ascii", "PATH": "", "PYTHONPATH": _root()},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["language"] == "ko"
    assert "\\u" not in done.stdout.decode("utf-8")


def test_an_unknown_language_of_words_is_refused(capsys):
    assert main(["survey", "texts", "xx"]) == 2
    assert "Unknown language of a survey 'xx'" in capsys.readouterr().err


def _root():
    import scoft_training

    return str(next(iter(scoft_training.__path__)).rpartition("/")[0])
