"""Which addresses may be connected to: public ones, and private ones that the settings list.

A name is resolved once and the connection goes to the address that was checked,
so that a name cannot change its mind in between. Nothing is sent from here.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from pilotage.core import errors

Address = IPv4Address | IPv6Address

VARIABLE = "PILOTAGE_WEBHOOK_PRIVATE_HOSTS"
_TRANSLATED = ip_network("64:ff9b::/96")
"""IPv4 addresses behind NAT64 (RFC 6052)."""
_COMPATIBLE = ip_network("::/96")
"""IPv4 addresses written as IPv6 in the way that RFC 4291 deprecates."""

_NEVER = tuple(map(ip_network, ("192.0.0.0/24", "64:ff9b:1::/48", "fec0::/10")))
"""Not public either, although `is_global` of some versions of Python says so."""


def is_listed(host: str, listed: Sequence[str]) -> bool:
    """Whether `listed` names this host, or an address or network that holds it."""
    if host.lower().rstrip(".") in {item.lower().rstrip(".") for item in listed}:
        return True
    try:
        return _is_within(ip_address(host), listed)
    except ValueError:
        return False


def is_public(address: Address) -> bool:
    """Whether it is reachable from anywhere: neither private, loopback, link-local nor reserved."""
    if address.is_multicast or not address.is_global or any(address in network for network in _NEVER):
        return False
    return all(map(is_public, _embedded(address)))


def connect(host: str, port: int, listed: Sequence[str], timeout_seconds: float) -> socket.socket:
    """A connection to one of the addresses of `host` that may be connected to, in `timeout_seconds` in all.

    Raises:
        AddressRefused: none may be.
        OSError: the name is unknown, or none answers.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    named = is_listed(host, listed)
    allowed = [item for item in found if named or _is_allowed(str(item[4][0]), listed)]
    if not allowed:
        raise errors.AddressRefused(
            f"`{host}` has no public address.",
            remedy=f"If it is yours, list it in {VARIABLE}.",
        )
    failure = OSError("no address")
    deadline = time.monotonic() + timeout_seconds
    for family, kind, protocol, _, address in allowed:
        stream = socket.socket(family, kind, protocol)
        try:
            stream.settimeout(max(deadline - time.monotonic(), 0.001))  # 0 would not wait at all
            stream.connect(address)
        except OSError as error:
            stream.close()
            failure = error
        else:
            return stream
    raise failure


def _is_allowed(text: str, listed: Sequence[str]) -> bool:
    address = ip_address(text.partition("%")[0])
    return is_public(address) or _is_within(address, listed)


def _is_within(address: Address, listed: Sequence[str]) -> bool:
    for item in listed:
        try:
            network = ip_network(item, strict=False)
        except ValueError:
            continue  # a name
        if any(each in network for each in (address, *_mapped(address))):
            return True
    return False


def _mapped(address: Address) -> Iterable[Address]:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return () if mapped is None else (mapped,)


def _embedded(address: Address) -> Iterable[Address]:
    """IPv4 addresses that packets to an IPv6 address may end at."""
    if not isinstance(address, IPv6Address):
        return
    yield from _mapped(address)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _TRANSLATED or address in _COMPATIBLE:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
