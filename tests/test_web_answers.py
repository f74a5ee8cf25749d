"""What failures mean: an expired certificate, a machine that went offline, strange headers."""

import asyncio
import socket
import time

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from scoft_training.web_addresses import RefusedAddressError
from scoft_training.web_answers import Answer, FetchError, failure_of, judge_head

URL_ = URL("https://example.org/a.jpg")


def unknown_name(number):
    key = aiohttp.client_reqrep.ConnectionKey("example.org", 443, True, True, None, None, None)
    return aiohttp.ClientConnectorDNSError(key, socket.gaierror(number, "unknown"))


def test_no_link_is_dead_because_this_machine_went_offline():
    # Some systems say "no such host" of every name while they are offline.
    failure = failure_of(URL_, unknown_name(socket.EAI_NONAME), network="none")
    assert (failure.verdict, failure.again) == ("unreachable", True)
    assert "is this machine online?" in failure.why
    assert failure_of(URL_, unknown_name(socket.EAI_NONAME), network="open").verdict == "dead"
    assert failure_of(URL_, unknown_name(socket.EAI_AGAIN), network="open").verdict == "unreachable"


def test_no_link_is_refused_because_the_network_leads_all_names_to_itself():
    error = RefusedAddressError("a private address")
    assert failure_of(URL_, error, network="captive").verdict == "unreachable"
    for network in ("open", "none"):
        assert failure_of(URL_, error, network=network).verdict == "refused"


def test_what_is_no_matter_of_the_link_is_not_explained_away():
    assert failure_of(URL_, ValueError("a bug"), network="open") is None
    assert failure_of(URL_, asyncio.TimeoutError(), network="open").verdict == "unreachable"


def wait_of(retry_after):
    headers = CIMultiDictProxy(CIMultiDict({"Retry-After": retry_after}))
    with pytest.raises(FetchError) as caught:
        judge_head(Answer(429, headers))
    return caught.value.wait


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "",
        "-5",
        "Mon, 01 Jan 99999 00:00:00 GMT",
        "Mon, 01 Jan 2020 99999999999999999999:00:00 GMT",
    ],
)
def test_a_retry_after_that_says_no_time_is_none(text):
    assert wait_of(text) is None


def test_a_retry_after_is_seconds_or_a_date():
    assert wait_of("7") == 7.0
    assert wait_of("9" * 500) == float("inf")
    assert wait_of("Mon, 01 Jan 2001 00:00:00 GMT") == 0.0
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    assert 90 < wait_of(later) <= 100
