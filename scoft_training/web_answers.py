"""What answers of the web mean, and failures to get one: a verdict, and whether to ask again."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import socket
import ssl
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from .robots import forbidding_tag
from .web_addresses import Network, RefusedAddressError, parse_link

__all__ = [
    "AGAIN",
    "Answer",
    "FetchError",
    "failure_of",
    "judge_head",
    "judge_tags",
    "may_be_the_network",
    "redirect",
]

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may pass."""

_CAPTIVE = (
    "This machine's network leads every name to itself: does it want a log-in first? Log in, then "
    "download again."
)


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
class Answer:
    """The head of an answer."""

    status: int
    headers: CIMultiDictProxy[str]


def redirect(url: URL, answer: Answer) -> URL | None:
    """Return where an answer leads on to; None where it is the end.

    Raises:
        FetchError: it is neither, or leads to what may not be asked.
    """
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


def judge_head(answer: Answer) -> None:
    """Refuse by its status what has no body for us.

    Raises:
        FetchError: the status says so.
    """
    status = answer.status
    if status in AGAIN or status >= 500:
        raise FetchError(
            "unreachable",
            f"The host answers {status}; that may pass.",
            again=status in AGAIN,
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


def judge_tags(answer: Answer) -> None:
    """Refuse what X-Robots-Tag forbids.

    Raises:
        FetchError: it does.
    """
    if tag := forbidding_tag(answer.headers.getall("X-Robots-Tag", [])):
        raise FetchError("refused", f"The header X-Robots-Tag says {tag}.")


def may_be_the_network(error: Exception) -> bool:
    """Whether a failure may be this machine's network's, which looks up no name, or wrong ones."""
    return isinstance(error, (aiohttp.ClientConnectorDNSError, RefusedAddressError))


def failure_of(url: URL, error: Exception, *, network: Network) -> FetchError | None:
    """Return what an exception of a request means for the link; None if it is no matter of it.

    Args:
        url: what was asked.
        error: what the request raised.
        network: what this machine is in, where it may be the cause.
    """
    host = url.host
    if isinstance(error, RefusedAddressError):
        if network == "captive":
            return FetchError("unreachable", _CAPTIVE)
        return FetchError("refused", str(error))
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return FetchError("unreachable", f"{host} was too slow: the bounds of time ran out.")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _unresolved(url, error.os_error, network)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        # Certificates are renewed, and a wrong clock here must not make every link dead.
        return FetchError(
            "unreachable",
            f"{host} has no valid certificate for https ({_certificate_fault(error)}). It may be "
            "renewed; if other hosts have none either, look at this machine's clock.",
        )
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return FetchError("dead", f"{host} speaks no valid https.")
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, ConnectionRefusedError):
            return FetchError("dead", f"{host} refuses the connection.", again=True)
        return FetchError("unreachable", f"{host} cannot be reached.", again=True)
    if isinstance(error, aiohttp.ClientPayloadError):
        why = "The server ended before the whole file was sent."
        return FetchError("not_a_picture", why, again=True)
    if isinstance(error, aiohttp.ClientError):
        kind = type(error).__name__
        return FetchError("unreachable", f"{host} gave no proper answer ({kind}).", again=True)
    return None


def _certificate_fault(error: aiohttp.ClientConnectorCertificateError) -> str:
    reason = error.certificate_error
    return str(getattr(reason, "verify_message", "") or "it does not fit")


def _unresolved(url: URL, error: OSError, network: Network) -> FetchError:
    passing = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
    # Some systems say "no such host" of every name while they are offline.
    if passing or network != "open":
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
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return max(0.0, (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds())
