"""Which addresses of the web may be asked: public ones over http(s), whatever a link claims."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Collection
from typing import Literal

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from .errors import ConfigError, ScoftError

__all__ = [
    "Network",
    "RefusedAddressError",
    "SafeResolver",
    "forbidden",
    "parse_link",
    "trusted_hosts",
]

Network = Literal["open", "captive", "none"]
"""The public one; one that answers every name with itself, until one logs in; or none at all."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LONGEST = 4096
# Documentation, and a way of old tunnels: known as such to young Pythons only.
_UNUSED = (ipaddress.ip_network("3fff::/20"), ipaddress.ip_network("192.88.99.0/24"))
_WELL_KNOWN = "example.com"
_LOOK_UP_SECONDS = 10


class RefusedAddressError(ScoftError):
    """A link leads to what may not be asked."""


def trusted_hosts(text: str) -> frozenset[tuple[str, int]]:
    """Return the hosts that a person exempts: "archive.lan:8080, 10.0.0.7:80".

    Raises:
        ConfigError: an entry is not HOST:PORT.
    """
    found = set()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        host, colon, port = entry.rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError(
                f"`trust_host` must be HOST:PORT but got {entry!r}. Write say archive.lan:80."
            )
        try:
            # Spelled as links' hosts are: a name in other letters has a form in ASCII.
            spelled = URL.build(scheme="http", host=host.strip("[]")).raw_host or ""
        except ValueError as error:
            raise ConfigError(f"`trust_host`: {host!r} is no host ({error}).") from error
        found.add((spelled.lower(), int(port)))
    return frozenset(found)


def parse_link(text: str) -> URL:
    """Return a link as an address that can be asked, its other letters escaped.

    Raises:
        RefusedAddressError: it is no http(s) link, names a password, or is no link at all.
    """
    if len(text) > _LONGEST or any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise RefusedAddressError("The link is too long or holds a line break or control sign.")
    try:
        url = URL(text.strip())
        port = url.port
    except ValueError as error:
        raise RefusedAddressError(f"The link cannot be read ({error}).") from error
    if url.scheme not in ("http", "https") or not url.host or not port:
        raise RefusedAddressError("The link does not begin with http:// or https:// and a host.")
    if url.user is not None or url.password is not None:
        raise RefusedAddressError("The link holds a user's name or password, which is not sent.")
    _check_host(url.raw_host or "")
    return url.with_fragment(None)


def _check_host(host: str) -> None:
    """Refuse what no host can be called: looking it up would fail in ways of its own."""
    labels = host.removesuffix(".").split(".")
    well = all(0 < len(label) < 64 for label in labels) and re.fullmatch(r"[\w.-]+", host)
    if ":" not in host and not well:
        raise RefusedAddressError(f"No host can be called {host!r}.")


def forbidden(address: str) -> bool:
    """Whether an IP address is private, local, reserved or otherwise not of the public internet.

    Raises:
        ValueError: it is no address.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return forbidden(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return forbidden(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        # Tunnels carry an IPv4 address that the checks below would not see.
        if ip.sixtofour is not None or ip.teredo is not None or ip.is_site_local:
            return True
    if any(ip in network for network in _UNUSED):
        return True
    return not ip.is_global or ip.is_multicast or ip.is_reserved or ip.is_unspecified


def _is_literal(host: str) -> bool:
    """Whether a host is written as an address, which no resolver is asked for."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class SafeResolver(AbstractResolver):
    """Resolves names and refuses those that lead to a forbidden address.

    What it returns is what is connected to, so a name cannot change between check and use.

    Args:
        trusted: (host, port) that are exempt.
    """

    def __init__(self, trusted: Collection[tuple[str, int]]) -> None:
        self._trusted = trusted

    def check_literal(self, url: URL) -> None:
        """Refuse an address that stands in the link itself.

        Raises:
            RefusedAddressError: it is forbidden and not exempt.
        """
        host, port = url.host or "", url.port or 0
        # Connectors take "127.1" and "2130706433" for addresses, and ask no resolver.
        if not _is_literal(host) and host.replace(".", "").isdigit():
            raise RefusedAddressError(_refusal(host, host))
        if _is_literal(host) and (host.lower(), port) not in self._trusted and forbidden(host):
            raise RefusedAddressError(_refusal(host, host))

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            RefusedAddressError: one of them is forbidden and the host not exempt.
            OSError: the name cannot be resolved.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results: list[ResolveResult] = []
        for its_family, _, protocol, _, place in found:
            address = str(place[0])
            if (host.lower(), port) not in self._trusted and forbidden(address):
                raise RefusedAddressError(_refusal(host, address))
            results.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=its_family,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    async def network(self) -> Network:
        """Return what becomes of a name that always exists: whether failures are ours."""
        look_up = asyncio.get_running_loop().getaddrinfo(_WELL_KNOWN, 80)
        try:
            found = await asyncio.wait_for(look_up, _LOOK_UP_SECONDS)
        except (OSError, asyncio.TimeoutError):
            return "none"
        return "captive" if any(forbidden(str(place[4][0])) for place in found) else "open"

    async def close(self) -> None:
        """Nothing is open."""


def _refusal(host: str, address: str) -> str:
    means = "" if host == address else f" ({address})"
    return f"{host}{means} is not an address of the public internet, so it is not asked."
