"""Pictures fetched from other people's servers: politely, safely, within bounds.

One request at a time for a host; redirects followed by hand, each checked; nothing is kept in
memory but a block. What the answers mean for a dataset is `downloads`' matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import aiohttp
from yarl import URL

from . import __version__
from .config import DownloadConfig
from .errors import OutputError
from .robots import AGENT, RobotsRules
from .web_addresses import RefusedAddressError, SafeResolver, parse_link, trusted_hosts
from .web_answers import (
    AGAIN,
    Answer,
    FetchError,
    failure_of,
    judge_head,
    judge_tags,
    may_be_the_network,
    redirect,
)

__all__ = ["Fetched", "PoliteClient"]

USER_AGENT = f"{AGENT}/{__version__} (+https://github.com/scoft/scoft)"
_BLOCK = 1 << 16
_MAX_REDIRECTS = 5
_ROBOTS_BYTES = 512 * 1024
_PERMANENT = frozenset({301, 308})
_GIVE_UP_AFTER = 5
_PACKERS = ("gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress")


@dataclass(frozen=True)
class Fetched:
    """A body on disk: where it came from in the end, and where it moved to for good, if it did."""

    url: str
    moved_to: str | None
    redirected: bool
    tries: int


@dataclass
class _Host:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    next_at: float = 0.0
    delay: float = 0.0
    failures: Counter[int] = field(default_factory=Counter)
    """In a row, by port."""


class PoliteClient:
    """Fetches files; to be used as an async context manager inside one event loop.

    Args:
        config: bounds and delays.
    """

    def __init__(self, config: DownloadConfig) -> None:
        self._config = config
        self._trusted = trusted_hosts(config.trust_host)
        self._resolver = SafeResolver(self._trusted)
        self._slots = asyncio.Semaphore(config.at_once)
        self._hosts: dict[str, _Host] = {}
        self._robots: dict[str, asyncio.Task[RobotsRules]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> PoliteClient:
        """Open the session."""
        connector = aiohttp.TCPConnector(resolver=self._resolver, limit=0, use_dns_cache=False)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={
                "User-Agent": USER_AGENT,
                "Accept": "image/*",
                # A packed answer could unfold to any size.
                "Accept-Encoding": "identity",
            },
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close it."""
        for task in self._robots.values():
            task.cancel()
        await asyncio.gather(*self._robots.values(), return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def fetch(self, link: str, path: Path) -> Fetched:
        """Fetch what a link leads to into a new file, trying again where that may help.

        Args:
            link: as a table has it.
            path: the file; gone again if the fetch fails.

        Raises:
            FetchError: there is no body, or none that may be had.
        """
        tries = 0
        while True:
            tries += 1
            try:
                url, moved_to, redirected = await self._follow(_parsed(link), path)
                return Fetched(url, moved_to, redirected, tries)
            except FetchError as error:
                path.unlink(missing_ok=True)
                error.tries = tries
                if not error.again or tries >= self._config.tries:
                    raise
                wait = self._back_off(tries) if error.wait is None else error.wait
                if wait > self._config.longest_wait:
                    error.why += f" It asks to wait {wait:.0f} s, which is too long for this run."
                    raise
                self._pause(_parsed(link), wait)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    async def _follow(self, url: URL, path: Path) -> tuple[str, str | None, bool]:
        seen = {url}
        moved_to, permanent, previous = None, True, None
        for _ in range(_MAX_REDIRECTS + 1):
            self._check(url, previous)
            rules = await self._rules(url)
            if not rules.allows(str(url)):
                raise FetchError("refused", f"{url.host}'s robots.txt forbids to fetch it.")
            answer = await self._request(url, path, self._config.max_megabytes * 1_000_000)
            target = redirect(url, answer)
            if target is None:
                return str(url), moved_to, len(seen) > 1
            permanent = permanent and answer.status in _PERMANENT
            moved_to = str(target) if permanent else moved_to
            if target in seen:
                raise FetchError("dead", "The link leads in a circle of redirects.")
            seen.add(target)
            previous, url = url, target
        raise FetchError("dead", f"The link is redirected more than {_MAX_REDIRECTS} times.")

    def _check(self, url: URL, previous: URL | None) -> None:
        """Refuse an address that the link, or a redirect, must not lead to."""
        try:
            self._resolver.check_literal(url)
        except RefusedAddressError as error:
            raise FetchError("refused", str(error)) from error
        # A stranger's redirect must not lead into the network that the user trusts.
        if previous is not None and _origin(url) in self._trusted:
            if _origin(previous) not in self._trusted:
                raise FetchError("refused", f"A redirect leads into your own network ({url.host}).")

    async def _rules(self, url: URL) -> RobotsRules:
        """Return the site's rules, asked for once."""
        site = str(url.origin())
        if site not in self._robots:
            self._robots[site] = asyncio.create_task(self._ask_for_rules(url.origin()))
        try:
            rules = await asyncio.shield(self._robots[site])
        except FetchError as error:
            raise FetchError(error.verdict, error.why) from error
        host = self._host(url)
        host.delay = max(host.delay, min(rules.delay, self._config.longest_wait))
        return rules

    async def _ask_for_rules(self, site: URL) -> RobotsRules:
        for number in range(1, self._config.tries + 1):
            url = site / "robots.txt"
            try:
                for _ in range(_MAX_REDIRECTS + 1):
                    self._check(url, None if url.origin() == site else site)
                    body = bytearray()
                    answer = await self._request(url, body, _ROBOTS_BYTES)
                    target = redirect(url, answer)
                    if target is None:
                        return RobotsRules(_unpacked(body).decode("utf-8-sig", errors="replace"))
                    url = target
                return RobotsRules("")
            except FetchError as error:
                if 300 <= error.status < 500 and error.status not in AGAIN:
                    return RobotsRules("")  # a site without robots.txt allows everything
                if not error.again or number == self._config.tries:
                    error.why = f"Its robots.txt could not be read: {error.why}"
                    if error.verdict == "not_a_picture":
                        error.verdict = "unreachable"  # nothing is said about the picture yet
                    raise
                wait = error.wait or self._back_off(number)
                self._pause(site, min(wait, self._config.longest_wait))
        raise AssertionError

    async def _request(self, url: URL, body: Path | bytearray, limit: int) -> Answer:
        """Make one request; its body goes to a file, or up to `limit` bytes into memory."""
        host, port = self._host(url), _origin(url)[1]
        async with host.lock:
            if host.failures[port] >= _GIVE_UP_AFTER:
                raise FetchError(
                    "unreachable",
                    f"{url.host} failed {host.failures[port]} times in a row, so the rest of its "
                    "links was left for the next run.",
                )
            await asyncio.sleep(max(0.0, host.next_at - time.monotonic()))
            async with self._slots:
                try:
                    answer = await self._ask(url, body, limit)
                    host.failures[port] = 0
                    return answer
                except FetchError as error:
                    failed = error.verdict == "unreachable"
                    host.failures[port] = host.failures[port] + 1 if failed else 0
                    raise
                finally:
                    delay = max(self._config.host_delay, host.delay)
                    host.next_at = max(host.next_at, time.monotonic() + delay)

    async def _ask(self, url: URL, body: Path | bytearray, limit: int) -> Answer:
        config = self._config
        try:
            return await asyncio.wait_for(self._exchange(url, body, limit), config.seconds_per_file)
        except FetchError:
            raise
        except Exception as error:
            asks = may_be_the_network(error)
            network = await self._resolver.network() if asks else "open"
            failure = failure_of(url, error, network=network)
            if failure is None:
                raise
            raise failure from error

    async def _exchange(self, url: URL, body: Path | bytearray, limit: int) -> Answer:
        if self._session is None:
            raise RuntimeError("the client is not open")
        config = self._config
        deadline = time.monotonic() + config.seconds_per_file
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=config.header_seconds, sock_read=config.header_seconds
        )
        request = self._session.get(url, allow_redirects=False, timeout=timeout)
        response = await asyncio.wait_for(request, config.header_seconds)
        try:
            answer = Answer(response.status, response.headers)
            judge_head(answer)
            if isinstance(body, Path):
                judge_tags(answer)
            if response.status < 300:
                await _stream(response, body, limit, deadline)
            return answer
        finally:
            response.close()

    def _back_off(self, tries: int) -> float:
        """Return our own pause after so many tries, more or less by chance."""
        wait: float = self._config.retry_delay * 2.0 ** (tries - 1) * random.uniform(0.5, 1.5)
        return min(wait, self._config.longest_wait)

    def _pause(self, url: URL, seconds: float) -> None:
        host = self._host(url)
        host.next_at = max(host.next_at, time.monotonic() + seconds)

    def _host(self, url: URL) -> _Host:
        return self._hosts.setdefault(_origin(url)[0], _Host())


def _origin(url: URL) -> tuple[str, int]:
    return (url.raw_host or "").lower(), url.port or 0


def _parsed(link: str) -> URL:
    try:
        return parse_link(link)
    except RefusedAddressError as error:
        raise FetchError("bad_row", str(error)) from error


async def _stream(
    response: aiohttp.ClientResponse, body: Path | bytearray, limit: int, deadline: float
) -> None:
    to_file = isinstance(body, Path)
    if to_file and (response.content_length or 0) > limit:
        raise _too_large(limit)
    size = 0
    file = _opened(body) if isinstance(body, Path) else None
    try:
        while block := await response.content.read(_BLOCK):
            # Where data is always there, nothing above is waited for, and no time runs out.
            await asyncio.sleep(0)
            if time.monotonic() > deadline:
                raise TimeoutError
            size += len(block)
            if size > limit and to_file:
                raise _too_large(limit)
            if file is not None:
                _write(file, block)
            elif isinstance(body, bytearray):
                body += block[: limit - len(body)]
                if size >= limit:
                    return
    finally:
        if file is not None:
            # What a full disk did not take was said by the write.
            with contextlib.suppress(OSError):
                file.close()
    # Some servers name a character set here, so that only true packers count.
    packed = response.headers.get("Content-Encoding", "").strip().lower() in _PACKERS
    if to_file and packed:
        raise FetchError("not_a_picture", "The server packs the file although it was asked not to.")


def _opened(path: Path) -> BinaryIO:
    try:
        # Blocks go to the disk at once, so that a full one is heard of here.
        return path.open("wb", buffering=0)
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def _write(file: BinaryIO, block: bytes) -> None:
    rest = memoryview(block)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise _unwritable(Path(file.name).parent, error) from error


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{folder}: a picture could not be written ({error.strerror}). Make room on the disk, then "
        "start again: it goes on."
    )


def _unpacked(robots: bytearray) -> bytes:
    """Return a robots.txt that came packed although that was not asked for; bounded."""
    if not robots.startswith(b"\x1f\x8b"):
        return bytes(robots)
    try:
        return zlib.decompressobj(wbits=31).decompress(robots, _ROBOTS_BYTES)
    except zlib.error as error:
        raise FetchError("unreachable", "It is damaged.") from error


def _too_large(limit: int) -> FetchError:
    return FetchError("too_large", f"The file has more than {limit // 1_000_000} MB.")
