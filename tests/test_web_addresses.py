"""Only the public web is asked, whatever a link or a name server says."""

import asyncio
import socket

import pytest
from yarl import URL

from scoft_training.errors import ConfigError
from scoft_training.web_addresses import (
    RefusedAddressError,
    SafeResolver,
    forbidden,
    parse_link,
    trusted_hosts,
)

PRIVATE = "10.1.2.3 172.16.0.1 192.168.1.1 127.0.0.1 127.8.8.8 0.0.0.0 169.254.169.254 100.64.0.1"
RESERVED = "224.0.0.1 240.0.0.1 255.255.255.255 192.0.2.1 198.18.0.1 :: ff02::1 fec0::1 2001:db8::1"
SIX = "::1 fe80::1 fe80::1%eth0 fc00::1 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::127.0.0.1"
CARRIED = "64:ff9b::7f00:1 64:ff9b::10.0.0.1 2002:7f00:1:: 2001:0:7f00:1::"


@pytest.mark.parametrize("address", f"{PRIVATE} {RESERVED} {SIX} {CARRIED}".split())
def test_addresses_that_are_not_public_are_forbidden(address):
    assert forbidden(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_not(address):
    assert not forbidden(address)


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("ftp://example.com/a", "does not begin with http"),
        ("//example.com/a", "does not begin with http"),
        ("example.com/a.jpg", "does not begin with http"),
        ("http:///a", "(does not begin with http|cannot be read)"),
        ("http://me:word@example.com/", "name or password"),
        ("http://me@example.com/", "name or password"),
        ("http://example.com:99999/", "cannot be read"),
        ("http://example.com/a\nb", "line break"),
        ("http://example.com/" + "a" * 5000, "too long"),
    ],
)
def test_a_link_that_cannot_be_asked_is_refused(link, message):
    with pytest.raises(RefusedAddressError, match=message):
        parse_link(link)


def test_a_link_in_any_script_is_escaped_once():
    found = parse_link(" https://한국.example/김치 1.jpg?q=%20#top ")
    assert str(found) == "https://xn--3e0b707e.example/%EA%B9%80%EC%B9%98%201.jpg?q=%20"


@pytest.mark.parametrize(
    "link", ["http://127.0.0.1/", "http://[::1]/", "http://127.1/", "http://2130706433/"]
)
def test_addresses_in_the_link_itself_are_refused(link):
    with pytest.raises(RefusedAddressError, match="not an address of the public internet"):
        SafeResolver(frozenset()).check_literal(URL(link))


def resolve(monkeypatch, addresses, trusted=frozenset()):
    async def found(_self, _host, port, **_options):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", found)
    return asyncio.run(SafeResolver(trusted).resolve("example.com", 80))


def test_a_name_is_refused_by_what_it_resolves_to(monkeypatch):
    assert [one["host"] for one in resolve(monkeypatch, ["8.8.8.8"])] == ["8.8.8.8"]
    with pytest.raises(RefusedAddressError, match=r"example.com \(10.0.0.1\) is not an address"):
        resolve(monkeypatch, ["8.8.8.8", "10.0.0.1"])


def test_only_the_named_port_of_a_trusted_host_is_exempt(monkeypatch):
    assert resolve(monkeypatch, ["10.0.0.1"], trusted_hosts("Example.com:80"))
    with pytest.raises(RefusedAddressError):
        resolve(monkeypatch, ["10.0.0.1"], trusted_hosts("example.com:81"))
    assert (parse_link("http://архив.lan/").raw_host, 80) in trusted_hosts("архив.lan:80")
    assert ("::1", 80) in trusted_hosts("[::1]:80")
    with pytest.raises(ConfigError, match="`trust_host` must be HOST:PORT but got 'archive'"):
        trusted_hosts("archive")


@pytest.mark.parametrize(
    "link",
    [
        "http://a..b/x.jpg",
        f"http://{'a' * 70}.com/x.jpg",
        "http://.example.com/",
        "http://a b/x.jpg",
        "http://127.0.0.1%00.com/",
    ],
)
def test_a_name_that_no_host_can_have_is_told_before_it_is_looked_up(link):
    # Looking it up raises UnicodeError, which would end the whole run.
    with pytest.raises(RefusedAddressError, match="No host can be called"):
        parse_link(link)


@pytest.mark.parametrize(
    "link", ["http://例え.jp/", "http://x_y.example.com./", "http://[2001::1]/"]
)
def test_names_and_addresses_of_hosts_are_read(link):
    assert parse_link(link).host


@pytest.mark.parametrize("address", ["3fff::1", "192.88.99.1"])
def test_networks_that_only_young_pythons_know_are_refused(address):
    assert forbidden(address)
