"""`pilotage migrate`: brings the database up to date, or waits until somebody has; what a cluster's Job runs.

How it is done, under which lock, and what is refused is in `pipelines.tables`.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from pilotage.core import durations, errors
from pilotage.core.settings import Settings
from pilotage.pipelines import tables

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 2.0


def run(settings: Settings, *, check: bool, wait: str | None) -> dict[str, Any]:
    """Migrate, or only look with `check`; what cannot be done now is tried again for as long as `wait` says.

    Returns the revision `before` and the one that the database is of now.

    Raises:
        Unavailable: the database does not answer or, with `check`, is not up to date.
        SettingsError: it is of a newer version, or `wait` is no duration.
    """
    deadline = time.monotonic() + (0.0 if wait is None else _seconds(wait))
    while True:
        try:
            if check:
                return _look(settings)
            before, revision = tables.migrate(settings)
            return {"before": before, "revision": revision}
        except errors.Unavailable as error:
            if time.monotonic() + _AGAIN_SECONDS > deadline:
                raise
            logger.warning("trying again: %s", error.message)
            time.sleep(_AGAIN_SECONDS)


def _look(settings: Settings) -> dict[str, Any]:
    revision = tables.require_current(tables.open_engine(settings))
    return {"before": revision, "revision": revision}


def _seconds(wait: str) -> float:
    try:
        return durations.parse(wait).total_seconds()
    except ValueError as error:
        raise errors.SettingsError(f"`--wait {wait}`: {error}.", remedy="Write `--wait 5m`.") from error
