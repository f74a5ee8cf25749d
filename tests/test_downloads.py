"""A table of links against a server that misbehaves: right verdicts, no hanging."""

import asyncio
import csv
import json
import socket
import subprocess
import sys
import threading
import time

import pytest
from bad_server import BadServer, picture
from PIL import Image

from scoft_training import downloads
from scoft_training.config import DownloadConfig
from scoft_training.data import read_dataset
from scoft_training.download_layout import Folder
from scoft_training.download_records import exclusive
from scoft_training.downloads import (
    DownloadRequest,
    download,
    download_verdicts,
    replace_picture,
)
from scoft_training.errors import DatasetError, OutputError
from scoft_training.events import FinishedEvent, StoppedEvent
from scoft_training.files import file_sha256

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def server():
    with BadServer(robots="User-agent: *\nDisallow: /*secret\n") as started:
        yield started


def write_table(path, links, captions=None):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Image URL", "Caption", "Category"])
        for number, link in enumerate(links):
            caption = captions[number] if captions else f"caption {number}"
            writer.writerow([link, caption, "Food & Drink"])
    return path


def options(server, **values):
    trusted = f"{server.host}, 127.0.0.1:{server.raw_port}"
    quick = {"host_delay": 0.0, "retry_delay": 0.0, "tries": 2, "max_megabytes": 2}
    quick |= {"seconds_per_file": 2.0, "header_seconds": 1.0, "trust_host": trusted}
    return DownloadConfig(**{**quick, **values})


def run(server, table, folder, **values):
    request = {name: values.pop(name) for name in ("locked", "verify") if name in values}
    config = options(server, **values)
    events = list(download(DownloadRequest(table, folder, config, **request)))
    assert isinstance(events[-1], FinishedEvent)
    return {one.row: one for one in download_verdicts(folder)}


def test_every_row_of_a_misbehaving_server_gets_its_verdict(server, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        closed_host = f"127.0.0.1:{closed.getsockname()[1]}"
        cases = [
            (server.url("good/one"), "alive"),
            (server.url("good/김치 one?x=1"), "alive"),
            (server.url("lying_type/two"), "alive"),
            (server.url("to/301/good/moved"), "moved"),
            (server.url("to/302/good/elsewhere"), "alive"),
            (server.url("to/302/?http://127.0.0.1:1/"), "refused"),
            (server.url("to/302/?http://[::ffff:10.0.0.1]/"), "refused"),
            (server.url("to/302/?file:///etc/passwd"), "refused"),
            (server.url("loop_a"), "dead"),
            (server.url("chain/0"), "dead"),
            (server.url("gone/404"), "dead"),
            (server.url("gone/410"), "dead"),
            (server.url("gone/403"), "refused"),
            (server.url("gone/500"), "unreachable"),
            (server.url("html"), "not_a_picture"),
            (server.url("truncated/x"), "not_a_picture"),
            (server.url("half/x"), "not_a_picture"),
            (server.url("bomb"), "not_a_picture"),
            (server.url("busy/x"), "alive"),
            (server.url("come_next_week"), "unreachable"),
            (server.url("secret.jpg"), "refused"),
            (server.url("tag/noai"), "refused"),
            (server.url("tag/otherbot: noai"), "alive"),
            (server.url("tiny/x"), "too_small"),
            (server.url("large"), "too_large"),
            (server.url("endless"), "too_large"),
            (server.url("drip/x"), "unreachable"),
            (f"http://127.0.0.1:{server.raw_port}/head", "unreachable"),
            (server.url("same/gone/1"), "placeholder"),
            (server.url("same/gone/2"), "placeholder"),
            (server.url("same/gone/3"), "placeholder"),
            (server.url("same/twice/1"), "alive"),
            (server.url("same/twice/2"), "duplicate"),
            (server.url("good/one"), "duplicate"),
            (f"https://{server.host}/good/tls", "dead"),
            ("http://169.254.169.254/latest", "refused"),
            ("http://2130706433/", "refused"),
            ("http://localhost:1/", "refused"),
            (f"http://{closed_host}/", "dead"),
            ("http://no-such-host.invalid/a.jpg", None),
            ("ftp://example.com/a.jpg", "bad_row"),
            ("http://me:secret@example.com/a.jpg", "bad_row"),
            ("", "bad_row"),
        ]
        table = write_table(tmp_path / "links.csv", [link for link, _ in cases])
        before = table.read_bytes()
        trusted = f"{options(server).trust_host}, {closed_host}"
        found = run(server, table, tmp_path / "set", trust_host=trusted)
    wrong = {
        link: (found[row].verdict, found[row].why, wanted)
        for row, (link, wanted) in enumerate(cases, start=2)
        if wanted not in (None, found[row].verdict)
    }
    assert not wrong
    assert found[2 + 39].verdict in ("dead", "unreachable")
    assert table.read_bytes() == before
    assert not any(path.endswith("secret.jpg") for path in server.requests)
    assert all(agent.startswith("scoft/") for agent in server.agents)
    assert all(one.why or one.verdict == "alive" for one in found.values())
    dataset = read_dataset(tmp_path / "set")
    assert not dataset.errors
    wanted = [row for row, one in found.items() if one.verdict in ("alive", "moved")]
    assert [row.extra["table_row"] for row in dataset.rows] == wanted
    assert {row.category for row in dataset.rows} == {"food_drink"}
    assert dataset.excluded == len(cases) - len(dataset.rows)
    report = (tmp_path / "set" / "report.csv").read_text(encoding="utf-8-sig")
    assert len(list(csv.reader(report.splitlines()))) == len(cases) + 1
    assert not list((tmp_path / "set").rglob("*.writing-*"))


def test_a_second_run_asks_only_what_may_come_back(server, tmp_path):
    links = [server.url(path) for path in ("good/a", "gone/404", "gone/500")]
    table = write_table(tmp_path / "links.csv", links)
    run(server, table, tmp_path / "set", tries=1)
    server.requests.clear()
    run(server, table, tmp_path / "set", tries=1)
    assert server.requests == ["/robots.txt", "/gone/500"]
    server.requests.clear()
    run(server, table, tmp_path / "set", tries=1, retry_dead=True)
    assert sorted(server.requests[1:]) == ["/gone/404", "/gone/500"]
    # A row inserted above moves all others, and a link is corrected.
    write_table(table, [server.url("good/new"), *links[:1], server.url("good/mended")])
    server.requests.clear()
    found = run(server, table, tmp_path / "set")
    assert sorted(server.requests[1:]) == ["/good/mended", "/good/new"]
    assert [one.verdict for one in found.values()] == ["alive"] * 3


def test_a_person_replaces_a_dead_row_and_no_later_run_takes_it_back(server, tmp_path):
    links = [server.url(path) for path in ("good/a", "gone/404", "same/x/1", "same/x/2")]
    table = write_table(tmp_path / "links.csv", links)
    run(server, table, tmp_path / "set")
    mine = tmp_path / "mine.bin"
    mine.write_bytes(picture("mine", kind="PNG"))
    verdict = replace_picture(3, mine, tmp_path / "set", say=print)
    assert verdict.verdict == "replaced"
    server.requests.clear()
    found = run(server, table, tmp_path / "set", retry_dead=True)
    assert server.requests == []
    assert found[3].verdict == "replaced"
    rows = read_dataset(tmp_path / "set").rows
    assert [row.extra["table_row"] for row in rows] == [2, 3, 4]
    assert rows[1].sha256 == file_sha256(mine)
    assert rows[1].image_path.suffix == ".png"
    # The row that a duplicate was of gets another picture: the duplicate is one no more.
    other = tmp_path / "other.jpg"
    other.write_bytes(picture("other"))
    replace_picture(4, other, tmp_path / "set", say=print)
    assert {one.row: one.verdict for one in download_verdicts(tmp_path / "set")}[5] == "alive"
    with pytest.raises(DatasetError, match="is the picture of row 4 already"):
        replace_picture(2, other, tmp_path / "set", say=print)
    with pytest.raises(DatasetError, match="there is no row 9"):
        replace_picture(9, other, tmp_path / "set", say=print)


def test_a_lock_tells_which_rows_differ(server, tmp_path):
    links = [server.url("good/a"), server.url("good/b")]
    table = write_table(tmp_path / "links.csv", links)
    run(server, table, tmp_path / "set")
    lock = tmp_path / "set" / "downloads.jsonl"
    found = run(server, table, tmp_path / "other", locked=lock)
    assert [one.verdict for one in found.values()] == ["alive", "alive"]
    lines = lock.read_text().splitlines()
    values = json.loads(lines[1])
    lines[1] = json.dumps(values | {"sha256": "0" * 64})
    forged = tmp_path / "forged.jsonl"
    forged.write_text("\n".join(lines) + "\n")
    found = run(server, table, tmp_path / "third", locked=forged)
    assert [one.verdict for one in found.values()] == ["alive", "changed"]


def test_verify_finds_a_file_that_was_changed(server, tmp_path):
    table = write_table(tmp_path / "links.csv", [server.url("good/a"), server.url("good/b")])
    found = run(server, table, tmp_path / "set")
    (tmp_path / "set" / "train" / found[3].record.file).write_bytes(picture("forged"))
    found = run(server, table, tmp_path / "set", verify=True)
    assert [one.verdict for one in found.values()] == ["alive", "changed"]


def test_a_strangers_folder_is_not_touched(server, tmp_path):
    table = write_table(tmp_path / "links.csv", [server.url("good/a")])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    with pytest.raises(OutputError, match="no download made it"):
        run(server, table, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["note.txt"]


def test_a_stopped_run_keeps_what_is_finished_and_goes_on(server, tmp_path):
    server.delay = 0.1
    links = [server.url(f"good/{number}") for number in range(12)]
    table = write_table(tmp_path / "links.csv", links)
    seen = []

    def enough():
        return len(server.requests) > 5

    request = DownloadRequest(table, tmp_path / "set", options(server))
    for event in download(request, should_stop=enough):
        seen.append(event)
    assert isinstance(seen[-1], StoppedEvent)
    states = [one.verdict for one in download_verdicts(tmp_path / "set")]
    assert set(states) == {"alive", "waiting"}
    server.requests.clear()
    found = run(server, table, tmp_path / "set")
    assert {one.verdict for one in found.values()} == {"alive"}
    assert len(server.requests) == 1 + states.count("waiting")


def test_an_endless_body_ends_by_time_where_its_bound_of_size_is_far(server, tmp_path):
    table = write_table(tmp_path / "links.csv", [server.url("endless"), server.url("good/a")])
    found = run(server, table, tmp_path / "set", max_megabytes=2000, seconds_per_file=0.5)
    assert [one.verdict for one in found.values()] == ["unreachable", "alive"]


def test_two_downloads_do_not_fill_one_folder(server, tmp_path):
    table = write_table(tmp_path / "links.csv", [server.url("good/a")])
    run(server, table, tmp_path / "set")
    with (
        exclusive(tmp_path / "set"),
        pytest.raises(OutputError, match="another download fills this folder"),
    ):
        run(server, table, tmp_path / "set")


def test_another_programs_limit_of_pixels_ends_no_run(server, tmp_path, monkeypatch):
    # As do pictures between Pillow's own limit, 179 megapixels, and ours.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    table = write_table(tmp_path / "links.csv", [server.url("good/a")])
    assert run(server, table, tmp_path / "set")[2].verdict == "alive"


def test_a_picture_that_memory_does_not_hold_is_a_verdict(server, tmp_path, monkeypatch):
    def too_much(*_values, **_options):
        raise MemoryError

    monkeypatch.setattr(downloads, "open_picture", too_much)
    table = write_table(tmp_path / "links.csv", [server.url("good/a")])
    found = run(server, table, tmp_path / "set")
    assert (found[2].verdict, "more memory" in found[2].why) == ("not_a_picture", True)


def test_a_picture_that_cannot_be_put_in_place_is_said(server, tmp_path, monkeypatch):
    def full(*_values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloads.os, "replace", full)
    table = write_table(tmp_path / "links.csv", [server.url("good/a")])
    folder = Folder(tmp_path / "set")
    folder.images.mkdir(parents=True)
    (folder.root / "download.json").write_text('{"min_side": 1, "expected": {}, "altered": []}')
    with pytest.raises(OutputError, match=r"a-.*jpg: could not be written \(No space"):
        run(server, table, folder.root)
    assert not list(folder.images.iterdir())


def test_one_name_that_no_host_can_have_ends_no_run(server, tmp_path):
    links = ["http://a..b/x.jpg", f"http://{'a' * 70}.com/x.jpg", server.url("good/a")]
    table = write_table(tmp_path / "links.csv", [*links, server.url("to/302/?http://a..b/")])
    found = run(server, table, tmp_path / "set")
    assert [one.verdict for one in found.values()] == ["bad_row", "bad_row", "alive", "refused"]


def resolving_to(address):
    """Return a getaddrinfo: an address for all names, or None for a machine that is offline."""

    async def found(_self, _host, port, **_options):
        if address is None:
            raise socket.gaierror(socket.EAI_NONAME, "nodename nor servname provided")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return found


def test_going_offline_makes_no_row_dead_and_the_next_run_goes_on(server, tmp_path, monkeypatch):
    port = server.host.rpartition(":")[2]
    hosts = [f"archive{number}.test:{port}" for number in range(7)]
    trusted = ", ".join(hosts)
    table = write_table(tmp_path / "links.csv", [f"http://{host}/good/{host}" for host in hosts])
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolving_to(None))
    found = run(server, table, tmp_path / "set", trust_host=trusted)
    assert {one.verdict for one in found.values()} == {"unreachable"}
    assert all("is this machine online?" in one.why for one in found.values())
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolving_to("127.0.0.1"))
    found = run(server, table, tmp_path / "set", trust_host=trusted)
    assert {one.verdict for one in found.values()} == {"alive"}


def test_placeholders_are_told_over_all_runs_of_a_table_that_grows(server, tmp_path):
    links = [server.url(f"same/gone/{number}") for number in range(4)]
    table, folder = tmp_path / "links.csv", tmp_path / "set"
    states = []
    for count in (1, 2, 3, 4, 2):
        found = run(server, write_table(table, links[:count]), folder)
        states.append([one.verdict for one in found.values()])
    assert states == [
        ["alive"],
        ["alive", "duplicate"],
        ["placeholder"] * 3,
        ["placeholder"] * 4,
        ["alive", "duplicate"],
    ]
    assert sum(path.startswith("/same") for path in server.requests) == 4


def stop_once(server, table, folder, asked, **values):
    """Run until the server or the machine does what `asked` waits for, then stop."""
    request = DownloadRequest(table, folder, options(server, **values))
    return list(download(request, should_stop=asked))[-1]


def test_a_stop_is_heard_while_a_host_asks_to_wait(server, tmp_path):
    table = write_table(tmp_path / "links.csv", [server.url("come_in_an_hour")])
    last = stop_once(
        server,
        table,
        tmp_path / "set",
        lambda: "/come_in_an_hour" in server.requests,
        longest_wait=3600.0,
    )
    assert isinstance(last, StoppedEvent)
    assert download_verdicts(tmp_path / "set")[0].verdict == "waiting"


def test_a_stop_is_heard_while_a_picture_is_decoded(server, tmp_path, monkeypatch):
    begun, go_on, too_late = threading.Event(), threading.Event(), threading.Event()

    def endless(*_values, **_options):
        begun.set()
        if not go_on.wait(15):
            too_late.set()
        raise DatasetError("What the link gives: too late.")

    monkeypatch.setattr(downloads, "open_picture", endless)
    table = write_table(tmp_path / "links.csv", [server.url("good/a")])
    try:
        assert isinstance(stop_once(server, table, tmp_path / "set", begun.is_set), StoppedEvent)
        assert not too_late.is_set()
        assert not list((tmp_path / "set" / "train" / "images").iterdir())
    finally:
        go_on.set()


def test_replace_that_is_killed_before_the_layout_is_finished_by_the_next_run(
    server, tmp_path, monkeypatch
):
    table = write_table(tmp_path / "links.csv", [server.url("gone/404")])
    folder, mine = tmp_path / "set", tmp_path / "mine.jpg"
    run(server, table, folder)
    mine.write_bytes(picture("mine"))

    class KilledError(BaseException):
        pass

    def killed(*_values):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "lay_out", killed)
        with pytest.raises(KilledError):
            replace_picture(2, mine, folder, say=print)
    assert run(server, table, folder)[2].verdict == "replaced"
    assert [row.sha256 for row in read_dataset(folder).rows] == [file_sha256(mine)]


def test_a_second_process_is_told_to_wait(server, tmp_path):
    server.delay = 3600.0
    table = write_table(tmp_path / "links.csv", [server.url("good/a")])
    words = ["download", str(table), str(tmp_path / "set"), "--trust-host", server.host]
    command = [sys.executable, "-m", "scoft_training", "dataset", *words]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while "/good/a" not in server.requests:
            assert first.poll() is None
            time.sleep(0.01)
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 2
        assert "another download fills this folder right now" in second.stderr
    finally:
        first.kill()
        first.wait()
