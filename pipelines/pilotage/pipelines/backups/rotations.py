"""A folder of backups, each named by when it was made; the oldest go when there are more than wanted."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from pilotage.core import errors

_NAME = re.compile(r"pilotage-[0-9]{8}T[0-9]{6}Z\.tar")


def place(folder: Path, now: datetime) -> Path:
    """Where a backup that is made now goes."""
    return folder / f"pilotage-{now:%Y%m%dT%H%M%SZ}.tar"


def prune(folder: Path, keep: int) -> list[Path]:
    """Remove the oldest backups in `folder` beyond the newest `keep`; returns those. No other file goes.

    Raises:
        Failure: one cannot be removed.
    """
    found = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file())
    old = found[:-keep]
    for path in old:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise errors.Failure(
                f"The old backup {path} cannot be removed: {error}.", remedy="Remove it by hand."
            ) from error
    return old
