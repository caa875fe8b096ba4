"""How we show who we are to git servers and forges, and connect to them.

Secrets are read from files when they are needed. They go into headers, or stay in files that ssh is
told the names of: never into URLs, logs, messages or arguments of processes.
"""

from __future__ import annotations

import shlex
import stat
import urllib.request
from pathlib import Path
from typing import Any

import urllib3

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines.releases.places import Kind, Place

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
_REDIRECTS_ALONE = urllib3.Retry(
    total=3, connect=0, read=0, status=0, other=0, redirect=3, respect_retry_after_header=False
)
"""Whoever asks decides what is asked again, and how long to wait."""
USER_AGENT = "git/pilotage"
"""GitHub wants git clients to begin so."""
_USERS = {"github": "x-access-token", "gitlab": "oauth2"}
"""Whom a token is of, where a forge has a word for it; others take any."""


def token(settings: Settings) -> str:
    """The token for git over https and for the forge; empty where none is set.

    Raises:
        SettingsError: its file cannot be read or holds none.
    """
    file = settings.forge_token_file
    return "" if file is None else read_token("PILOTAGE_FORGE_TOKEN_FILE", file)


def read_token(variable: str, file: Path) -> str:
    """The token in a file that setting `variable` names.

    Raises:
        SettingsError: it cannot be read or holds none.
    """
    text = _read(variable, file).strip()
    if not text or not text.isascii() or any(not letter.isprintable() or letter == " " for letter in text):
        raise errors.SettingsError(
            f"{variable}: `{file}` holds no token.", remedy="Write the token alone into it."
        )
    return text


def user(settings: Settings, place: Place) -> str:
    """Whose token it is, for git over https."""
    return place.user or _USERS.get(settings.forge, "git")


def pool(settings: Settings, url: str) -> urllib3.PoolManager:
    """Connections to `url`: certificates checked, proxies of the environment used, nothing sent twice.

    Raises:
        SettingsError: the authorities' file cannot be used.
    """
    file = settings.release_ca_file
    if file is not None:
        _read("PILOTAGE_RELEASE_CA_FILE", file)
    options: dict[str, Any] = {
        "headers": {"User-Agent": USER_AGENT},
        "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        "retries": _REDIRECTS_ALONE,
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": None if file is None else str(file),
    }
    parts = urllib3.util.parse_url(url)
    proxy = urllib.request.getproxies().get(parts.scheme or "")
    if proxy and not urllib.request.proxy_bypass(parts.host or ""):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def ssh_command(settings: Settings) -> str:
    """The ssh that is called: with the settings' key alone, to known hosts, without a question.

    Raises:
        SettingsError: a file that the settings name cannot be used.
    """
    words = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS:g}"]
    words += [
        "-o",
        "ServerAliveInterval=15",
        "-o",
        "ServerAliveCountMax=4",
        "-o",
        "StrictHostKeyChecking=yes",
    ]
    key, known = settings.release_ssh_key_file, settings.release_known_hosts_file
    if key is not None:
        _require_private("PILOTAGE_RELEASE_SSH_KEY_FILE", key)
        words += ["-i", str(key), "-o", "IdentitiesOnly=yes"]
    if known is not None:
        _read("PILOTAGE_RELEASE_KNOWN_HOSTS_FILE", known)
        words += ["-o", f"UserKnownHostsFile={_quoted(known)}", "-o", "GlobalKnownHostsFile=/dev/null"]
    return shlex.join(words)


def refused(settings: Settings, place: Place) -> errors.SettingsError:
    """What to say when a server does not let us in."""
    if place.kind is Kind.HTTP:
        held = (
            "the token in PILOTAGE_FORGE_TOKEN_FILE"
            if settings.forge_token_file
            else "anybody without a token"
        )
        return errors.SettingsError(
            f"`{place.location}` does not let in {held}.",
            remedy="PILOTAGE_FORGE_TOKEN_FILE names a file with a token that may read and write there.",
        )
    return errors.SettingsError(
        f"`{place.location}` does not let this key in.", remedy="Correct PILOTAGE_RELEASE_SSH_KEY_FILE."
    )


def _require_private(variable: str, file: Path) -> None:
    """A key that everybody can read is one that ssh does not take, with words that few see."""
    _read(variable, file)
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise errors.SettingsError(
            f"{variable}: others may read `{file}`, so that ssh does not use it.",
            remedy=f"`chmod 600 {file}`; in Kubernetes, mount the secret with defaultMode 0400.",
        )


def _read(variable: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(
            f"{variable}: `{file}` cannot be read: {getattr(error, 'strerror', None) or error}.",
            remedy="Correct the path or its mode.",
        ) from error


def _quoted(path: Path) -> str:
    """A path as ssh reads an option's value."""
    return f'"{path}"' if " " in str(path) else str(path)
