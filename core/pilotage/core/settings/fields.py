"""Kinds of values that settings have, each with the one check it needs.

A wrong value is told of by what is said of it after the setting's name: "is …" or "has …".
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

_MOST_LEVEL = 7.0
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_PERSON = re.compile(r"[^<>\x00-\x1f]+ <[^<>\s\x00-\x1f]+>")


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine and nothing else."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _folder(folder: Path) -> Path:
    if folder.expanduser().exists() and not folder.expanduser().is_dir():
        raise ValueError("is a file, not a folder")
    return folder.expanduser().absolute()


def _absolute(file: Path) -> Path:
    return file.expanduser().absolute()


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _levels(value: object) -> object:
    """`production=2,staging=1` as numbers by name."""
    if not isinstance(value, str):
        return value
    found: dict[str, float] = {}
    for part in (part.strip() for part in value.split(",") if part.strip()):
        name, equals, number = part.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name.strip() or not 0 <= found[name.strip()] <= _MOST_LEVEL:
            raise ValueError(f"has `{part}`, which is not of the form NAME=NUMBER with 0 to {_MOST_LEVEL:g}")
    return found


def _networks(proxies: tuple[str, ...]) -> tuple[str, ...]:
    for proxy in proxies:
        try:
            network = ipaddress.ip_network(proxy)
        except ValueError as error:
            raise ValueError(f"has `{proxy}`, which is no address or network such as 10.0.0.0/8") from error
        if not network.prefixlen:
            raise ValueError(f"has `{proxy}`: then whoever connects could say to be anybody")
    return proxies


def _hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for host in hosts:
        if not _HOST.fullmatch(host.lower()):
            raise ValueError(f"has `{host}`, which is no name of a host: lower case, no scheme, no port")
    return tuple(host.lower() for host in hosts)


def _collector(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("is no http:// or https:// URL (OTEL_EXPORTER_OTLP_ENDPOINT sets it too)")
    return url.rstrip("/")


def _web(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("is no http:// or https:// URL")
    return _bare(url)


def _private(url: str) -> str:
    parts = urlsplit(url)
    if url and not (
        parts.hostname
        and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)))
    ):
        raise ValueError("is no https:// URL, nor http:// on loopback")
    return _bare(url)


def _bare(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("has a user, a query or a fragment")
    return url.rstrip("/")


def _ray(address: str) -> str:
    if address in ("", "auto", KUBERAY):
        return address
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        sound = parts.scheme in ("", "ray") and parts.hostname and parts.port
    except ValueError:
        sound = False
    if not sound or parts.path or parts.username or parts.query:
        raise ValueError(f"is none of HOST:PORT, ray://HOST:PORT, auto, {KUBERAY}")
    return address


def _person(text: str) -> str:
    if not _PERSON.fullmatch(text):
        raise ValueError("is no NAME <EMAIL>")
    return text


KUBERAY = "kuberay"
"""In place of an address: a cluster is made for each step."""
Folder = Annotated[Path, AfterValidator(_folder)]
"""A folder that may not be there yet; absolute."""
File = Annotated[Path, AfterValidator(_absolute)]
"""A file; absolute."""
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several words; comma-separated in the environment."""
Levels = Annotated[dict[str, float], NoDecode, BeforeValidator(_levels)]
"""Numbers by name, `name=number` with commas between."""
Proxies = Annotated[Words, AfterValidator(_networks)]
"""Addresses and networks."""
Hosts = Annotated[Words, AfterValidator(_hosts)]
"""Names of hosts, without port."""
CollectorUrl = Annotated[str, AfterValidator(_collector)]
"""An http or https URL, or nothing."""
WebUrl = Annotated[str, AfterValidator(_web)]
"""An http or https URL without secrets, or nothing."""
PrivateUrl = Annotated[str, AfterValidator(_private)]
"""An https URL without secrets, or http on loopback, or nothing."""
RayAddress = Annotated[str, AfterValidator(_ray)]
"""How to reach a Ray cluster, or nothing."""
Person = Annotated[str, AfterValidator(_person)]
"""NAME <EMAIL>."""
