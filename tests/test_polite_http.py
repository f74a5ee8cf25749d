"""The client against single faults: certificates, packed robots.txt, a full disk, ports."""

import asyncio
import contextlib
import errno
import gzip
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from bad_server import picture

from scoft_training import polite_http
from scoft_training.config import DownloadConfig
from scoft_training.errors import OutputError
from scoft_training.polite_http import PoliteClient
from scoft_training.web_addresses import SafeResolver
from scoft_training.web_answers import FetchError

pytestmark = pytest.mark.timeout(120)


@contextlib.contextmanager
def serving(answers, context=None):
    """Serve {path: (status, headers, body)}; yields the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = answers.get(self.path, (404, {}, b""))
            if callable(body):
                body = body()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    # Refused handshakes are what is tested, not what is to be printed.
    server.handle_error = lambda *_words: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def fetch(ports, links, folder, **values):
    """Return for each link the FetchError, or the Fetched."""
    trusted = ", ".join(f"127.0.0.1:{port}" for port in ports)
    quick = {"host_delay": 0.0, "retry_delay": 0.0, "tries": 1, "trust_host": trusted}

    async def work():
        async with PoliteClient(DownloadConfig(**{**quick, **values})) as client:
            fetches = [client.fetch(link, folder / str(at)) for at, link in enumerate(links)]
            return await asyncio.gather(*fetches, return_exceptions=True)

    return asyncio.run(work())


GOOD = (200, {}, b"a body")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Encoding": "gzip"}, gzip.compress(b"User-agent: *\nDisallow: /\n", mtime=0)),
        ({}, b"\xef\xbb\xbfUser-agent: *\nDisallow: /\n"),
    ],
)
def test_a_packed_or_marked_robots_txt_is_honoured(headers, body, tmp_path):
    with serving({"/robots.txt": (200, headers, body), "/a": GOOD}) as port:
        (found,) = fetch([port], [f"http://127.0.0.1:{port}/a"], tmp_path)
    assert isinstance(found, FetchError)
    assert found.verdict == "refused"


def test_a_robots_txt_that_unfolds_to_any_size_is_cut(tmp_path):
    bomb = gzip.compress(b"#" * 600_000 + b"\nUser-agent: *\nDisallow: /\n", mtime=0)
    with serving({"/robots.txt": (200, {}, bomb), "/a": GOOD}) as port:
        (found,) = fetch([port], [f"http://127.0.0.1:{port}/a"], tmp_path)
    assert not isinstance(found, Exception)


def test_a_cut_robots_txt_says_nothing_about_the_picture(tmp_path):
    cut = (200, {"Content-Length": "500"}, b"User-agent: *\n")
    with serving({"/robots.txt": cut, "/a": GOOD}) as port:
        (found,) = fetch([port], [f"http://127.0.0.1:{port}/a"], tmp_path)
    assert (found.verdict, "robots.txt could not be read" in found.why) == ("unreachable", True)


def test_a_content_encoding_that_packs_nothing_is_no_fault(tmp_path):
    answers = {
        "/named": (200, {"Content-Encoding": "UTF-8"}, b"a body"),
        "/packed": (200, {"Content-Encoding": "GZIP"}, gzip.compress(b"a body", mtime=0)),
    }
    with serving(answers) as port:
        links = [f"http://127.0.0.1:{port}{path}" for path in answers]
        named, packed = fetch([port], links, tmp_path)
    assert not isinstance(named, Exception)
    assert packed.verdict == "not_a_picture"


def test_a_full_disk_is_said_and_not_taken_for_a_fault_of_the_link(tmp_path, monkeypatch):
    class Full:
        name = str(tmp_path / "0")

        def write(self, _block):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(polite_http, "_opened", lambda _path: Full())
    with serving({"/a": GOOD}) as port:
        (found,) = fetch([port], [f"http://127.0.0.1:{port}/a"], tmp_path)
    assert isinstance(found, OutputError)
    assert "No space left on device" in str(found)


def test_one_request_at_a_time_for_a_host_whatever_its_ports(tmp_path):
    now, most, lock = 0, 0, threading.Lock()

    def slow():
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.1)
        with lock:
            now -= 1
        return b"a body"

    answers = {"/a": (200, {}, slow), "/b": (200, {}, slow)}
    with serving(answers) as one, serving(answers) as two:
        links = [f"http://127.0.0.1:{port}{path}" for path in answers for port in (one, two)]
        found = fetch([one, two], links, tmp_path)
    assert not any(isinstance(one, Exception) for one in found)
    assert most == 1


def test_offline_is_told_by_a_name_that_always_exists(monkeypatch):
    async def unknown(_self, _host, _port, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    def known(address):
        async def found(_self, _host, port, **_options):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        return found

    resolver = SafeResolver(frozenset())
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", unknown)
    assert asyncio.run(resolver.network()) == "none"
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", known("8.8.8.8"))
    assert asyncio.run(resolver.network()) == "open"
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", known("10.1.1.1"))
    assert asyncio.run(resolver.network()) == "captive"


def test_our_own_pauses_grow_to_the_longest_wait_and_no_further():
    config = DownloadConfig(retry_delay=1.0, longest_wait=5.0)
    client = PoliteClient(config)
    assert 0.5 <= client._back_off(1) <= 1.5
    assert client._back_off(20) == 5.0


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def certified(folder, name, days):
    """Return a server's context with a certificate of our authority for so many days from now."""
    openssl(folder, *f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr".split(),
            "-subj", "/CN=127.0.0.1")  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(folder, *f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial".split(),
            "-days", str(days), "-extfile", "names", "-out", f"{name}.pem")  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
def test_an_expired_or_self_made_certificate_is_not_trusted_and_may_come_back(tmp_path):
    for name in ("ca", "stranger"):
        openssl(tmp_path, *f"req -x509 -newkey rsa:2048 -nodes -keyout {name}.key".split(),
                "-out", f"{name}.pem", "-days", "2", "-subj", "/CN=127.0.0.1")  # fmt: skip
    valid, expired = certified(tmp_path, "valid", 2), certified(tmp_path, "expired", -1)
    alone = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    alone.load_cert_chain(tmp_path / "stranger.pem", tmp_path / "stranger.key")
    answers = {"/a.jpg": (200, {}, picture("a"))}
    with (
        serving(answers, valid) as one,
        serving(answers, expired) as two,
        serving(answers, alone) as three,
    ):
        ports = (one, two, three)
        lines = [f"https://127.0.0.1:{port}/a.jpg,words" for port in ports]
        (tmp_path / "links.csv").write_text("\n".join(["link,text", *lines]))
        trusted = ", ".join(f"127.0.0.1:{port}" for port in ports)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "scoft_training", "dataset", "download", "--json"),
                *(str(tmp_path / "links.csv"), str(tmp_path / "set"), "--trust-host", trusted),
            ],
            env={**os.environ, "SSL_CERT_FILE": str(tmp_path / "ca.pem")},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout[done.stdout.index("{") :])["rows"]
    assert [row["verdict"] for row in rows] == ["alive", "unreachable", "unreachable"]
    assert "certificate has expired" in rows[1]["why"]
    assert "self-signed" in rows[2]["why"]
