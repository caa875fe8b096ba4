"""Only public addresses are connected to, however they are written, but for those that are listed."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from pilotage.core import errors
from pilotage.pipelines.webhooks import addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "192.0.0.8", "198.18.0.1", "240.0.0.1", "::1", "::", "fe80::1",
        "fd00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1", "2002:7f00:1::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_no_address_that_is_not_public(address: str):
    assert not addresses.is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_public_addresses(address: str):
    assert addresses.is_public(ip_address(address))


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "::1", "::ffff:127.0.0.1", "0"]
)
def test_loopback_is_refused_however_it_is_written(name: str):
    with pytest.raises(errors.AddressRefused, match="has no public address") as caught:
        addresses.connect(name, 9, (), 1.0)
    assert "PILOTAGE_WEBHOOK_PRIVATE_HOSTS" in str(caught.value)


@pytest.mark.parametrize(
    "listed", ["localhost", "LOCALHOST.", "127.0.0.1", "127.0.0.0/8", "nonsense, 127.0.0.0/30"]
)
def test_what_is_listed_is_connected_to(listed: str):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        items = tuple(part.strip() for part in listed.split(","))
        with addresses.connect("localhost", port, items, 5.0) as stream:
            assert stream.getpeername()[:2] == ("127.0.0.1", port)


def test_a_network_that_does_not_hold_the_address_allows_nothing():
    with pytest.raises(errors.AddressRefused):
        addresses.connect("localhost", 9, ("10.0.0.0/8", "fd00::/8", "localhost.example"), 1.0)


def test_a_name_is_resolved_once_and_the_checked_address_connected_to(monkeypatch: pytest.MonkeyPatch):
    """A name that changes its mind between the check and the connection has nothing to change."""
    asked: list[str] = []
    connected: list[Any] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        public = len(asked) == 1
        both = ["127.0.0.1", "8.8.8.8"] if public else ["127.0.0.1"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (item, port)) for item in both]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: connected.append(address))
    addresses.connect("rebinding.example", 443, (), 1.0).close()
    assert (asked, connected) == (["rebinding.example"], [("8.8.8.8", 443)])
