"""Pictures fetched from other people's servers: politely, safely, within bounds.

One request at a time for a host; redirects followed by hand, each checked; nothing is kept in
memory but a block. What the answers mean for a dataset is `downloads`' matter.
"""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import random
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from . import __version__
from .config import DownloadConfig
from .robots import AGENT, RobotsRules, forbidding_tag
from .web_addresses import RefusedAddressError, SafeResolver, parse_link, trusted_hosts

__all__ = ["FetchError", "Fetched", "PoliteClient"]

USER_AGENT = f"{AGENT}/{__version__} (+https://github.com/scoft/scoft)"
_BLOCK = 1 << 16
_MAX_REDIRECTS = 5
_ROBOTS_BYTES = 512 * 1024
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_PERMANENT = frozenset({301, 308})
_GIVE_UP_AFTER = 5


class FetchError(Exception):
    """A link that gave no picture.

    Args:
        verdict: as in `download_records`.
        why: a sentence.
        again: whether asking once more soon may help.
        wait: seconds that the server asks for, if it does.
        status: of the answer, if the status is the reason.
    """

    def __init__(
        self,
        verdict: str,
        why: str,
        *,
        again: bool = False,
        wait: float | None = None,
        status: int = 0,
    ) -> None:
        super().__init__(why)
        self.verdict = verdict
        self.why = why
        self.again = again
        self.wait = wait
        self.status = status
        self.tries = 1


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
    failures: int = 0


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: CIMultiDictProxy[str]


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
        self._hosts: dict[tuple[str, int], _Host] = {}
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
                wait = self._config.retry_delay * 2 ** (tries - 1) * random.uniform(0.5, 1.5)
                if error.wait is not None:
                    wait = error.wait
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
            target = _redirect(url, answer)
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
                    target = _redirect(url, answer)
                    if target is None:
                        return RobotsRules(body.decode("utf-8", errors="replace"))
                    url = target
                return RobotsRules("")
            except FetchError as error:
                if 300 <= error.status < 500 and error.status not in _AGAIN:
                    return RobotsRules("")  # a site without robots.txt allows everything
                if not error.again or number == self._config.tries:
                    error.why = f"Its robots.txt could not be read: {error.why}"
                    raise
                wait = error.wait or self._config.retry_delay * 2 ** (number - 1)
                self._pause(site, min(wait, self._config.longest_wait))
        raise AssertionError

    async def _request(self, url: URL, body: Path | bytearray, limit: int) -> _Answer:
        """Make one request; its body goes to a file, or up to `limit` bytes into memory."""
        host = self._host(url)
        async with host.lock:
            if host.failures >= _GIVE_UP_AFTER:
                raise FetchError(
                    "unreachable",
                    f"{url.host} failed {host.failures} times in a row, so the rest of its links "
                    "was left for the next run.",
                )
            await asyncio.sleep(max(0.0, host.next_at - time.monotonic()))
            async with self._slots:
                try:
                    answer = await self._ask(url, body, limit)
                    host.failures = 0
                    return answer
                except FetchError as error:
                    failed = error.verdict == "unreachable"
                    host.failures = host.failures + 1 if failed else 0
                    raise
                finally:
                    delay = max(self._config.host_delay, host.delay)
                    host.next_at = max(host.next_at, time.monotonic() + delay)

    async def _ask(self, url: URL, body: Path | bytearray, limit: int) -> _Answer:
        config = self._config
        try:
            return await asyncio.wait_for(self._exchange(url, body, limit), config.seconds_per_file)
        except RefusedAddressError as error:
            raise FetchError("refused", str(error)) from error
        except (asyncio.TimeoutError, TimeoutError) as error:
            raise FetchError(
                "unreachable", f"{url.host} was too slow: the bounds of time ran out."
            ) from error
        except aiohttp.ClientConnectorDNSError as error:
            raise _unresolved(url, error.os_error) from error
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
            raise FetchError(
                "dead", f"{url.host} has no valid certificate for https, or speaks none."
            ) from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, ConnectionRefusedError):
                raise FetchError("dead", f"{url.host} refuses the connection.", again=True) from (
                    error
                )
            raise FetchError("unreachable", f"{url.host} cannot be reached.", again=True) from error
        except ssl.SSLError as error:
            raise FetchError("dead", f"{url.host} speaks no valid https.") from error
        except aiohttp.ClientPayloadError as error:
            raise FetchError(
                "not_a_picture", "The server ended before the whole file was sent.", again=True
            ) from error
        except aiohttp.ClientError as error:
            kind = type(error).__name__
            raise FetchError(
                "unreachable", f"{url.host} gave no proper answer ({kind}).", again=True
            ) from error

    async def _exchange(self, url: URL, body: Path | bytearray, limit: int) -> _Answer:
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
            answer = _Answer(response.status, response.headers)
            _judge_head(answer)
            if isinstance(body, Path):
                _judge_tags(answer)
            if response.status < 300:
                await _stream(response, body, limit, deadline)
            return answer
        finally:
            response.close()

    def _pause(self, url: URL, seconds: float) -> None:
        host = self._host(url)
        host.next_at = max(host.next_at, time.monotonic() + seconds)

    def _host(self, url: URL) -> _Host:
        return self._hosts.setdefault(_origin(url), _Host())


def _origin(url: URL) -> tuple[str, int]:
    return (url.host or "").lower(), url.port or 0


def _parsed(link: str) -> URL:
    try:
        return parse_link(link)
    except RefusedAddressError as error:
        raise FetchError("bad_row", str(error)) from error


def _redirect(url: URL, answer: _Answer) -> URL | None:
    if answer.status < 300:
        return None
    location = answer.headers.get("Location")
    if answer.status not in (301, 302, 303, 307, 308) or not location:
        raise FetchError(
            "dead", f"The server answers {answer.status} and no picture.", status=answer.status
        )
    try:
        return parse_link(str(url.join(URL(location))))
    except (RefusedAddressError, ValueError) as error:
        raise FetchError("refused", f"A redirect leads to no address of the web: {error}") from (
            error
        )


def _judge_head(answer: _Answer) -> None:
    """Refuse by status and headers what has no body for us."""
    status = answer.status
    if status in _AGAIN or status >= 500:
        raise FetchError(
            "unreachable",
            f"The host answers {status}; that may pass.",
            again=status in _AGAIN,
            status=status,
            wait=_retry_after(answer.headers.get("Retry-After")),
        )
    if status in (401, 402, 403, 451):
        raise FetchError(
            "refused", f"The server answers {status}: it gives this to nobody.", status=status
        )
    if status >= 400:
        raise FetchError(
            "dead", f"The server answers {status}: there is no such file.", status=status
        )


def _judge_tags(answer: _Answer) -> None:
    if tag := forbidding_tag(answer.headers.getall("X-Robots-Tag", [])):
        raise FetchError("refused", f"The header X-Robots-Tag says {tag}.")


async def _stream(
    response: aiohttp.ClientResponse, body: Path | bytearray, limit: int, deadline: float
) -> None:
    to_file = isinstance(body, Path)
    if to_file and (response.content_length or 0) > limit:
        raise _too_large(limit)
    size = 0
    file = body.open("wb") if isinstance(body, Path) else None
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
                file.write(block)
            elif isinstance(body, bytearray):
                body += block[: limit - len(body)]
                if size >= limit:
                    return
    finally:
        if file is not None:
            file.close()
    if to_file and response.headers.get("Content-Encoding", "identity") != "identity":
        raise FetchError("not_a_picture", "The server packs the file although it was asked not to.")


def _too_large(limit: int) -> FetchError:
    return FetchError("too_large", f"The file has more than {limit // 1_000_000} MB.")


def _unresolved(url: URL, error: OSError) -> FetchError:
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        why = f"The name {url.host} could not be looked up: is this machine online?"
        return FetchError("unreachable", why, again=True)
    return FetchError("dead", f"There is no host {url.host}.")


def _retry_after(text: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for; None without a proper one."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return max(0.0, (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds())
