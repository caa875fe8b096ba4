"""Taking secrets out of what leaves the installation: those that it knows, and what looks like one.

Passwords in addresses, values under keys that name a secret, what `env:NAME` in pilot.yaml stands for,
and every secret of the settings. Personal data is another matter, dealt with before a snapshot is made.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from markupsafe import escape
from pydantic import SecretStr

from pilotage.core.settings import Settings

HIDDEN = "***"
FEWEST_LETTERS = 6
"""A shorter secret is found everywhere by chance."""
_KEYS = re.compile(r"(?i)pass(word|wd|phrase)?$|secret|token$|api_?key|credential|private_?key")
_ADDRESS = re.compile(r"(?<=://)([^/\s:@\"']*):([^/\s@\"']+)@")
_NAMED = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")


def secrets(settings: Settings, spoken: Mapping[str, Any]) -> tuple[str, ...]:
    """Every secret that this installation knows, the longest first.

    Args:
        settings: the installation's.
        spoken: a pilot.yaml, whose `env:NAME` stand for secrets.
    """
    found = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
    found += [value for name, value in os.environ.items() if _KEYS.search(name)]
    found += [os.environ.get(name, "") for name in _NAMED.findall(str(spoken))]
    addresses = [str(value) for _, value in settings if isinstance(value, str) and "://" in value]
    addresses += [value for value in found if "://" in value]
    found += [password for address in addresses for password in _passwords(address)]
    found += [html.escape(value) for value in found] + [
        str(escape(value)) for value in found
    ]  # as pages have it
    return tuple(sorted({value for value in found if len(value) >= FEWEST_LETTERS}, key=len, reverse=True))


def _passwords(address: str) -> Iterable[str]:
    try:
        password = urlsplit(address).password
    except ValueError:
        return ()
    return () if password is None else (password, unquote(password))


def text(told: str, known: Iterable[str]) -> str:
    """`told` without the secrets `known` and without passwords in addresses."""
    for secret in known:
        told = told.replace(secret, HIDDEN)
    return _ADDRESS.sub(rf"{HIDDEN}:{HIDDEN}@", told)


def document(told: Any, known: Iterable[str]) -> Any:
    """A document of JSON likewise; what is under a key that names a secret goes as well."""
    known = tuple(known)
    if isinstance(told, Mapping):
        return {
            key: HIDDEN
            if _KEYS.search(str(key)) and isinstance(value, str) and value
            else document(value, known)
            for key, value in told.items()
        }
    if isinstance(told, list | tuple):
        return [document(value, known) for value in told]
    return text(told, known) if isinstance(told, str) else told
