"""The folder of a download: names of files, and what people change in it between runs."""

import json

import pytest
from bad_server import BadServer, picture
from test_downloads import options, run, write_table

from scoft_training import download_layout
from scoft_training.data import read_dataset
from scoft_training.download_layout import Folder, file_stems
from scoft_training.downloads import (
    DownloadRequest,
    download,
    download_verdicts,
    replace_picture,
)
from scoft_training.errors import DatasetError
from scoft_training.events import WarningEvent
from scoft_training.files import file_sha256
from scoft_training.link_table import LinkRow

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def server():
    with BadServer() as started:
        yield started


def stems(*names):
    rows = [LinkRow(at, f"https://x.example/{at}", one, {}, "", "") for at, one in enumerate(names)]
    return file_stems(rows)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../../etc/passwd.jpg", "passwd"),
        ("..\\..\\boot.jpg", "boot"),
        ("C:evil.jpg", "C_evil"),
        ("/abs/olute.jpg", "olute"),
        ("CON.jpg", "CON_"),
        ("lpt¹.png", "lpt¹_"),
        ("console.png", "console"),
        ("김치 한 그릇.jpg", "김치_한_그릇"),
        ("a\u0301.jpg", "á"),
        ("a.jpg:stream", "a_jpg_stream"),
        ("x" * 300, "x" * 40),
    ],
)
def test_a_tables_file_names_stay_in_the_folder_and_can_be_files_anywhere(name, stem):
    assert stems(name) == [stem]


def test_names_that_some_systems_take_for_one_are_told_apart():
    for one, two in (("A.jpg", "a.png"), ("é.jpg", "e\u0301.jpg"), ("x" * 300, "x" * 299)):
        first, second = stems(one, two)
        assert first.casefold() != second.casefold()


def write_named(path, rows):
    lines = ["url,caption,file_name", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_file_name_that_goes_to_another_row_takes_no_picture_away(server, tmp_path):
    table, folder = tmp_path / "links.csv", tmp_path / "set"
    one, two = server.url("good/one"), server.url("good/two")
    run(server, write_named(table, [(one, "one", "bowl.jpg")]), folder)
    rows = [(one, "one", "first.jpg"), (two, "two", "bowl.jpg")]
    found = run(server, write_named(table, rows), folder)
    assert [one.verdict for one in found.values()] == ["alive", "alive"]
    assert len({one.record.file for one in found.values()}) == 2
    for verdict in found.values():
        assert file_sha256(folder / "train" / verdict.record.file) == verdict.record.sha256


def warnings_of(server, table, folder, **values):
    events = list(download(DownloadRequest(table, folder, options(server, **values))))
    return [event.message for event in events if isinstance(event, WarningEvent)]


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def kept_versions(folder):
    return [path.read_text(encoding="utf-8") for path in folder.glob("metadata.edited-*.jsonl")]


def test_an_edited_metadata_is_kept_and_said(server, tmp_path):
    table = write_table(tmp_path / "links.csv", [server.url("good/a"), server.url("gone/404")])
    folder = tmp_path / "set"
    warnings_of(server, table, folder)
    assert not any("edited" in one for one in warnings_of(server, table, folder))
    metadata = folder / "train" / "metadata.jsonl"
    edit(metadata, "caption 0", "my own words")
    mine = metadata.read_text(encoding="utf-8")
    said = [one for one in warnings_of(server, table, folder) if "was edited" in one]
    assert len(said) == 1
    assert kept_versions(folder) == [mine]
    assert "caption 0" in metadata.read_text(encoding="utf-8")
    # It lies where no reader of datasets takes it for one, and is not said again.
    assert len(read_dataset(folder).rows) == 1
    assert not any("edited" in one for one in warnings_of(server, table, folder))


def test_replace_keeps_and_says_what_was_edited_too(server, tmp_path):
    table = write_table(tmp_path / "links.csv", [server.url("good/a"), server.url("gone/404")])
    folder, said = tmp_path / "set", []
    run(server, table, folder)
    metadata = folder / "train" / "metadata.jsonl"
    edit(metadata, '"link_state": "alive"', '"link_state": "alive", "include": false')
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(picture("mine"))
    replace_picture(3, mine, folder, say=said.append)
    assert len(said) == 1
    assert '"include": false}' in kept_versions(folder)[0]


def test_a_kill_between_the_settings_and_metadata_is_no_edit(server, tmp_path, monkeypatch):
    table = write_table(tmp_path / "links.csv", [server.url("good/a")])
    folder = tmp_path / "set"
    run(server, table, folder)
    write_table(table, [server.url("good/a"), server.url("good/b")])

    class KilledError(BaseException):
        pass

    def killed(*_values):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(download_layout, "write_text", killed)
        with pytest.raises(KilledError):
            run(server, table, folder)
    assert not any("edited" in one for one in warnings_of(server, table, folder))
    assert not kept_versions(folder)


def test_a_folder_whose_making_was_killed_is_known_again(server, tmp_path, monkeypatch):
    table, folder = write_table(tmp_path / "links.csv", [server.url("good/a")]), tmp_path / "set"

    class KilledError(BaseException):
        pass

    def killed(path, *_values, **_options):
        path.parent.mkdir(exist_ok=True)
        (path.parent / f"{path.name}.writing-1-abcd").write_text("{")
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(download_layout, "write_json", killed)
        with pytest.raises(KilledError):
            run(server, table, folder)
    found = run(server, table, folder)
    assert found[2].verdict == "alive"
    left = folder / "train" / "metadata.jsonl.writing-4194399-abcd"
    left.write_text("half")
    run(server, table, folder)
    assert not left.exists()


def test_what_a_person_wrote_into_the_card_stays(server, tmp_path):
    table, folder = write_table(tmp_path / "links.csv", [server.url("good/a")]), tmp_path / "set"
    run(server, table, folder, culture="Korea")
    card = folder / "card.json"
    card.write_text(json.dumps({"culture": "Korea", "licence": "CC BY 4.0"}), encoding="utf-8")
    run(server, table, folder, culture="Korea", suffix="in Korea")
    wanted = {"culture": "Korea", "licence": "CC BY 4.0", "suffix": "in Korea"}
    assert json.loads(card.read_text(encoding="utf-8")) == wanted


def test_an_altered_file_stays_out_until_it_is_brought_anew(server, tmp_path):
    table = write_table(tmp_path / "links.csv", [server.url("good/a"), server.url("good/b")])
    folder = tmp_path / "set"
    file = folder / "train" / run(server, table, folder)[2].record.file
    file.write_bytes(picture("forged"))
    assert run(server, table, folder, verify=True)[2].verdict == "changed"
    assert run(server, table, folder)[2].verdict == "changed"
    file.unlink()
    assert run(server, table, folder)[2].verdict == "alive"
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(picture("mine"))
    brought = folder / "train" / replace_picture(2, mine, folder, say=print).record.file
    brought.write_bytes(picture("forged"))
    assert run(server, table, folder, verify=True)[2].verdict == "changed"
    assert replace_picture(2, mine, folder, say=print).verdict == "replaced"
    assert download_verdicts(folder)[0].verdict == "replaced"


def test_a_picture_brought_for_a_row_without_a_link_moves_with_its_caption(server, tmp_path):
    table = write_table(tmp_path / "links.csv", ["", ""], captions=["kimchi", "hanbok"])
    folder = tmp_path / "set"
    run(server, table, folder)
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(picture("mine"))
    replace_picture(2, mine, folder, say=print)
    write_table(table, ["", "", ""], captions=["new", "kimchi", "hanbok"])
    found = run(server, table, folder)
    assert [one.verdict for one in found.values()] == ["bad_row", "replaced", "bad_row"]
    assert [row.cultural_caption for row in read_dataset(folder).rows] == ["kimchi"]


def test_no_picture_is_brought_for_a_row_without_a_caption(server, tmp_path):
    table = write_table(tmp_path / "links.csv", [server.url("good/a")], captions=[""])
    run(server, table, tmp_path / "set")
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(picture("mine"))
    with pytest.raises(DatasetError, match="row 2 has no caption.*Write one into the table"):
        replace_picture(2, mine, tmp_path / "set", say=print)


def test_broken_files_of_the_folder_are_told_in_a_sentence(server, tmp_path):
    table, folder = write_table(tmp_path / "links.csv", [server.url("good/a")]), tmp_path / "set"
    run(server, table, folder)
    edit(folder / "train" / "metadata.jsonl", '"table_row": 2', '"table_row": "two"')
    with pytest.raises(DatasetError, match="row 1: `table_row` must be the table's row"):
        download_verdicts(folder)
    (folder / "download.json").write_text("{}")
    with pytest.raises(DatasetError, match="download.json: `min_side` is missing"):
        Folder(folder).altered()
