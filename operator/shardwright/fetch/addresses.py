"""Which addresses may be spoken to: never those where a cloud or a node tells secrets to whoever runs on it.

A user names the endpoint, and a hub answers with redirects, so both are judged: the URL, and what its name resolves to.
Private addresses are allowed, because mirrors live there.
"""

import ipaddress
import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from shardwright.api.reasons import Reason
from shardwright.fetch.problem import FetchProblem

METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
"""Metadata services outside the link-local range: Alibaba, Azure, Oracle, and the IPv6 ones of AWS and Google."""


def check_url(address: URL, *, loopback: bool) -> None:
    """Raise FetchProblem for a URL that is not to be opened. `loopback`: whether this very machine may be asked."""
    if address.scheme not in {"http", "https"} or not address.host:
        raise FetchProblem(
            Reason.HUB_UNREACHABLE, f"{shown(address)} is not an HTTP(S) address: only those are followed"
        )
    if address.host.lower().rstrip(".") == "localhost" and not loopback:
        raise _forbidden(address.host)
    if is_literal(address.host):
        check_ip(address.host, loopback=loopback)


def check_ip(text: str, *, loopback: bool) -> None:
    """Raise FetchProblem for an IP address that is not to be spoken to."""
    found = ipaddress.ip_address(text.partition("%")[0])
    address = getattr(found, "ipv4_mapped", None) or found
    never = address.is_link_local or address.is_multicast or address.is_unspecified or address in METADATA
    if never or (address.is_loopback and not loopback):
        raise _forbidden(text)


def is_literal(host: str) -> bool:
    """Whether a URL's host is an IP address."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def is_local(host: str) -> bool:
    """Whether a host is written as this very machine."""
    return host == "localhost" or (is_literal(host) and ipaddress.ip_address(host).is_loopback)


def shown(address: URL) -> str:
    """A URL without what may be secret: user, password and query (signed addresses carry their right in it)."""
    return str(address.with_user(None).with_query(None).with_fragment(None)) if address.host else str(address)[:200]


def _forbidden(host: str) -> FetchProblem:
    return FetchProblem(
        Reason.HUB_UNREACHABLE, f"{host} is an address of this machine or of its cloud's metadata: it is never asked"
    )


class CheckedResolver(AbstractResolver):
    """Names as the system resolves them, less the addresses that may not be spoken to."""

    def __init__(self, *, loopback: bool) -> None:
        """Belongs to the running event loop."""
        self._system = aiohttp.ThreadedResolver()
        self._loopback = loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises FetchProblem if one is forbidden, OSError if there are none."""
        found = await self._system.resolve(host, port, family)
        for each in found:
            check_ip(each["host"], loopback=self._loopback)
        return found

    async def close(self) -> None:
        """Nothing is held."""
        await self._system.close()
