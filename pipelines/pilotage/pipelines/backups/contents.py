"""What belongs to a backup: rows and files that cannot be made again, and no secret that opens anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pilotage.core.registry.versions import sqlite_file
from pilotage.core.settings import Settings

LEFT_OUT = {
    "cache_entries": "made again by the next run",
    "idempotency_keys": "answers may hold a token that was shown once",
    "leases": "of processes that run now",
    "oidc_requests": "sign-ins under way",
    "services": "of processes that run now",
    "sign_in_attempts": "soon forgotten anyway",
    "sign_in_links": "would let somebody in",
    "web_sessions": "people sign in again",
}
"""Table → why its rows are not in a backup. Passwords and tokens are there as digests only."""

_DATABASES = ("pilotage.db", "mlflow.db")
_NOT_FILES = frozenset(
    [
        *(f"{name}{ending}" for name in _DATABASES for ending in ("", "-wal", "-shm", "-journal")),
        "cache",
        "locks",
        "logs",
        "server.json",
        "services",
    ]
)
_PASSING = (".lock", ".pid", ".sock", ".tmp")
"""Endings of files that mean something only while a process runs."""


def belongs(parts: tuple[str, ...]) -> bool:
    """Whether a file of the home, by the parts of its relative path, is in a backup."""
    if len(parts) == 1 and parts[0].endswith(_PASSING):
        return False
    passing = parts[-1].startswith(".") and parts[-1].endswith(".tmp")
    return not (passing or parts[0].startswith(".") or parts[0] in _NOT_FILES)


def files(home: Path) -> Iterator[tuple[str, Path]]:
    """Every file of the home that belongs to a backup, by its relative name, in order.

    A folder of the home may be a link to another disk; other links are not followed.
    """
    for place in sorted(home.iterdir()) if home.is_dir() else ():
        top = place.name
        if not belongs((top,)):
            continue
        if place.is_file() and not place.is_symlink():
            yield top, place
        for folder, folders, names in os.walk(place):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                relative = (top, *path.relative_to(place).parts)
                if belongs(relative) and path.is_file() and not path.is_symlink():
                    yield "/".join(relative), path


def outside(settings: Settings) -> list[str]:
    """Settings that lead to what is kept elsewhere, and so is not in a backup."""
    found = []
    if settings.storage_url:
        found.append("PILOTAGE_STORAGE_URL")
    if sqlite_file(settings.tracking) is None:
        found.append("MLFLOW_TRACKING_URI")
    return found
