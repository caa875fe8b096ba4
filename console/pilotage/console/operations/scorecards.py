"""Scorecards kept in memory: what a version was judged by never changes, and lists show many."""

from __future__ import annotations

from functools import lru_cache

from pilotage.core import errors
from pilotage.core.artifacts import Scorecard
from pilotage.core.registry import Registered, Registry

_MOST = 1000
"""Scorecards that are kept."""


class Scorecards:
    """The scorecards of one registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._kept = lru_cache(_MOST)(self._read)

    def get(self, registered: Registered) -> Scorecard:
        """The scorecard of a version.

        Raises:
            NotFound, DataError: it has none that can be read.
        """
        return self._kept(registered.name, registered.version, registered.run)

    def find(self, registered: Registered) -> Scorecard | None:
        """The scorecard of a version; None where it has none that can be read."""
        try:
            return self.get(registered)
        except (errors.NotFound, errors.DataError):
            return None

    def _read(self, name: str, version: int, run: str) -> Scorecard:
        return Scorecard.read(self._registry.run_file(run, Scorecard.FILE))
