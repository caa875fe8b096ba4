"""Where releases go: what a setting or `--to` names, and the paths of a pilot's files there.

Names come from people and end up in paths and refs, so they are checked here and nowhere else.
Nothing is opened and nobody is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pilotage.core import errors
from pilotage.core.settings import is_loopback

VALUES_FILE = "values.yaml"
OVERRIDES_FILE = "overrides.yaml"
"""Beside it: what people set for one pilot. A release never touches it."""
ROOT = "environments"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SCP = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?P<path>[^:]+)"
)


class Kind(StrEnum):
    """What stands behind a place."""

    FOLDER = "folder"
    """A plain folder: it gets files and no commit."""
    DISK = "disk"
    """A repository on this machine, with or without a working tree."""
    HTTP = "http"
    SSH = "ssh"


@dataclass(frozen=True)
class Place:
    """A folder or a repository."""

    kind: Kind
    location: str
    """Path or URL, without any secret."""
    host: str = ""
    port: int | None = None
    user: str = ""
    path: str = ""
    """On the host."""

    @property
    def is_remote(self) -> bool:
        """Whether a network lies between it and us."""
        return self.kind in (Kind.HTTP, Kind.SSH)


def parse(text: str) -> Place:
    """The place that `text` names: a folder, a repository's path, or its URL.

    Raises:
        SettingsError: it is none, holds a password, or would send one in the clear.
    """
    text = text.strip()
    if not text or any(character.isspace() or not character.isprintable() for character in text):
        raise _wrong(text, "is empty or has spaces in it")
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme in ("http", "https"):
        return _parse_http(text)
    if scheme in ("ssh", "git+ssh"):
        return _parse_ssh(text)
    if scheme == "file":
        return _on_disk(Path(unquote(urlsplit(text).path)))
    if scheme:
        raise _wrong(text, f"has the scheme `{scheme}`")
    remote = _SCP.fullmatch(text)
    if remote is not None and not Path(text).exists():
        return Place(Kind.SSH, text, remote["host"], None, remote["user"] or "git", remote["path"])
    return _on_disk(Path(text))


def require_name(what: str, name: str) -> str:
    """`name`, if it can be a folder, a branch and a Kubernetes object.

    Raises:
        SettingsError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise errors.SettingsError(
            f"`{name[:100]}` is no name of {what}.",
            remedy="Use up to 63 lower case letters, digits and hyphens, beginning and ending with neither"
            " but a letter or digit.",
        )
    return name


def is_name(name: str) -> bool:
    """Whether `require_name` takes it."""
    return _NAME.fullmatch(name) is not None


def folder_of(environment: str, pilot: str) -> str:
    """Folder of a pilot's files in a repository."""
    return f"{ROOT}/{require_name('an environment', environment)}/{require_name('a pilot', pilot)}"


def values_of(environment: str, pilot: str) -> str:
    """Path of the file that a release writes."""
    return f"{folder_of(environment, pilot)}/{VALUES_FILE}"


def branch_of(environment: str, pilot: str, what: str) -> str:
    """Branch that proposes `what`, such as `v7`, for a pilot in an environment."""
    return f"pilotage/{require_name('an environment', environment)}/{require_name('a pilot', pilot)}/{what}"


def require_branch(name: str) -> str:
    """`name`, if it can be a branch.

    Raises:
        SettingsError: git would not take it.
    """
    parts = name.split("/")
    bad = re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.$|^-", name) or name == "@"
    if bad or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts):
        raise errors.SettingsError(
            f"`{name[:100]}` is no name of a branch.", remedy="Write one as git takes it, such as `main`."
        )
    return name


def _parse_http(text: str) -> Place:
    parts = urlsplit(text)
    host, port = _host(text, parts.hostname), _port(text)
    if parts.password is not None:
        raise _wrong(_without_user(text), "has a password in it", "Put it into PILOTAGE_FORGE_TOKEN_FILE.")
    if parts.query or parts.fragment:
        raise _wrong(_without_user(text), "has a query or a fragment")
    if parts.scheme == "http" and not is_loopback(host):
        raise _wrong(_without_user(text), "is not encrypted", "Use https://.")
    address = host if port is None else f"{host}:{port}"
    url = f"{parts.scheme}://{address}{parts.path.rstrip('/')}"
    return Place(Kind.HTTP, url, host, port, parts.username or "", parts.path.rstrip("/"))


def _parse_ssh(text: str) -> Place:
    parts = urlsplit(text)
    host, port = _host(text, parts.hostname), _port(text)
    if parts.password is not None:
        raise _wrong(
            _without_user(text), "has a password in it", "Name a key in PILOTAGE_RELEASE_SSH_KEY_FILE."
        )
    if host.startswith("-") or (parts.username or "").startswith("-") or not parts.path.strip("/"):
        raise _wrong(text, "has no host or no path")
    return Place(Kind.SSH, text, host, port, parts.username or "git", parts.path)


def _on_disk(path: Path) -> Place:
    path = path.expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise _wrong(str(path), "is a file")
    bare = all((path / name).exists() for name in ("HEAD", "objects", "refs"))
    kind = Kind.DISK if bare or (path / ".git").exists() else Kind.FOLDER
    return Place(kind, str(path), path=str(path))


def _host(text: str, host: str | None) -> str:
    if not host:
        raise _wrong(_without_user(text), "has no host")
    return host


def _port(text: str) -> int | None:
    try:
        return urlsplit(text).port
    except ValueError as error:
        raise _wrong(_without_user(text), "has no port that can be") from error


def _without_user(text: str) -> str:
    """A URL without what stands before `@`: it may be a secret."""
    return re.sub(r"//[^/@]*@", "//", text)


def _wrong(text: str, what: str, remedy: str = "") -> errors.SettingsError:
    return errors.SettingsError(
        f"`{text[:200]}` cannot take releases: it {what}.",
        remedy=remedy or "Name a folder, a git repository's path, or its https:// or ssh:// URL.",
    )
