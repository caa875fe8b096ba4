"""Whom to tell of which events: the file of webhooks, without any secret in it.

    - name: on-call
      url: https://hooks.example.org/pilotage
      secret: env:PILOTAGE_HOOK_SECRET        # or file:PATH; a list while one replaces another
      events: ["pilotage.trigger.*"]          # all when left out
      pilots: [flight-delay]                  # all when left out

Nothing is sent from here.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.core.specs import Name
from pilotage.pipelines.journals.outbox import Kind
from pilotage.pipelines.webhooks import addresses, signatures

VARIABLE = "PILOTAGE_WEBHOOKS_FILE"
_REMEDY = "See docs/triggers.md for the form of the file."


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Endpoint(BaseModel):
    """One receiver of events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    url: str
    secret: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
    """Where the secrets are: `env:NAME` or `file:PATH`; each signs."""
    events: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Types of events, with `*` for any letters."""
    pilots: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("is no URL") from None
        if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
            raise ValueError("is no https:// URL with a host")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise ValueError("has a user, a password or a fragment, which are not sent")
        if any(letter <= " " or letter == "\x7f" for letter in url) or not url.isascii():
            raise ValueError("has letters that must be percent-encoded, or in a host punycode")
        return url

    @field_validator("secret")
    @classmethod
    def _referred(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        if any(not item.startswith(("env:", "file:")) for item in secrets):
            raise ValueError("a secret is not written in this file: name its place as env:NAME or file:PATH")
        return secrets

    @field_validator("events")
    @classmethod
    def _known(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not any(fnmatchcase(kind, pattern) for kind in Kind):
                raise ValueError(f"`{pattern}` is none of {', '.join(Kind)}")
        return patterns

    @property
    def parts(self) -> SplitResult:
        """The URL's parts."""
        return urlsplit(self.url)

    @property
    def origin(self) -> str:
        """The URL without what may hold a secret."""
        return f"{self.parts.scheme}://{self.parts.netloc}"

    @property
    def url_digest(self) -> str:
        """What tells one URL from another without repeating it."""
        return hashlib.sha256(self.url.encode()).hexdigest()

    def wants(self, kind: str, pilot: str) -> bool:
        """Whether it is told of events of this type of this pilot."""
        if kind == Kind.WEBHOOK_TEST or (self.pilots is not None and pilot not in self.pilots):
            return False
        return any(fnmatchcase(kind, pattern) for pattern in self.events)

    def keys(self) -> list[bytes]:
        """The keys that sign what it is told.

        Raises:
            SettingsError: a secret is missing, or is not one.
        """
        return [_key(self.name, place) for place in self.secret]


@dataclass(frozen=True)
class Endpoints:
    """Everyone who is told of something."""

    all: tuple[Endpoint, ...]

    def named(self, name: str) -> Endpoint:
        """The endpoint of this name.

        Raises:
            NotFound: there is none.
        """
        for endpoint in self.all:
            if endpoint.name == name:
                return endpoint
        have = ", ".join(endpoint.name for endpoint in self.all) or "none"
        raise errors.NotFound(
            f"There is no webhook `{name}`; there are {have}.", remedy=f"{VARIABLE} names the file of them."
        )


def load(settings: Settings) -> Endpoints:
    """The endpoints of the installation; none where no file is set.

    Raises:
        SettingsError: the file cannot be read, or something in it is wrong.
    """
    file = settings.webhooks_file
    if file is None:
        return Endpoints(())
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        found = TypeAdapter(tuple[Endpoint, ...]).validate_python(content or [])
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not YAML"
        raise errors.SettingsError(f"{VARIABLE}: {file} cannot be read: {what}.", remedy=_REMEDY) from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise errors.SettingsError(f"{VARIABLE}: {file}: {problems}.", remedy=_REMEDY) from None
    _check(settings, found)
    return Endpoints(found)


def _check(settings: Settings, found: tuple[Endpoint, ...]) -> None:
    names = [endpoint.name for endpoint in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise errors.SettingsError(
            f"{VARIABLE}: `{twice[0]}` is the name of two webhooks.", remedy="Give each its own."
        )
    for endpoint in found:
        host = endpoint.parts.hostname or ""
        if endpoint.parts.scheme == "http" and not addresses.is_listed(host, settings.webhook_private_hosts):
            raise errors.SettingsError(
                f"{VARIABLE}: `{endpoint.name}` is told over http, which anyone on the way can read.",
                remedy=f"Use https; or, if {host} is yours, list it in {addresses.VARIABLE}.",
            )
        endpoint.keys()


def _key(name: str, place: str) -> bytes:
    kind, _, where = place.partition(":")
    try:
        text = os.environ[where] if kind == "env" else Path(where).expanduser().read_text(encoding="utf-8")
        return signatures.parse_secret(text.strip())
    except (KeyError, OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(
            f"The secret of webhook `{name}` is not at `{place}`.",
            remedy="Set the variable, or write the file, where events are sent from.",
        ) from error
    except ValueError as error:
        raise errors.SettingsError(
            f"The secret of webhook `{name}` at `{place}` is none: {error}.",
            remedy="`pilotage webhooks secret` makes one.",
        ) from None
