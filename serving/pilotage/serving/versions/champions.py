"""Following the registry: the pilot's `champion`, and what serves beside it.

A new champion is loaded and warmed up in a thread of its own and then takes the
place of the old one by one assignment; requests in progress finish on the
version they began with. What cannot be loaded is reported and tried again
later, while the old version stays. Requests and HTTP are not known here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilotage.core.registry import Alias, Registry
from pilotage.core.settings import Settings
from pilotage.serving import problems
from pilotage.serving.versions.lives import Live, load, typical_row

__all__ = ["FailedLoad", "Follower", "Live", "load", "typical_row"]

logger = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class FailedLoad:
    """A champion that could not be loaded."""

    version: int
    kind: str
    """Of the error."""
    attempts: int
    retry_at: float
    """By `time.monotonic()`."""


class Follower:
    """Keeps `live` at the pilot's champion."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        registry: Registry,
        *,
        on_swap: Callable[[Live], None] = lambda live: None,
        on_failure: Callable[[int], None] = lambda version: None,
    ) -> None:
        self.name = name
        self.live: Live | None = None
        self.failed: FailedLoad | None = None
        self.outage = False
        """Whether the registry could not be read the last time."""
        self._settings = settings
        self._registry = registry
        self._on_swap = on_swap
        self._on_failure = on_failure
        self._stopped = threading.Event()
        self._polled = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    @property
    def reason(self) -> str:
        """Why nothing, or not the newest champion, is live; empty when all is well.

        Told to whoever asks, so addresses and paths are left to the log.
        """
        if self.failed is not None:
            kind = self.failed.kind
            return f"Version {self.failed.version} could not be loaded ({kind}); the server's log says why."
        if self.outage:
            return "The registry cannot be read; the server's log says why."
        if self.live is None:
            polled = self._polled.is_set()
            return f"Pilot `{self.name}` has no champion yet." if polled else "The champion is being loaded."
        return ""

    @property
    def versions(self) -> tuple[Live, ...]:
        """Every version that is loaded, the champion first."""
        return () if self.live is None else (self.live,)

    def at(self, version: str) -> Live | None:
        """The loaded version of that number; None when it is not loaded here."""
        return next((live for live in self.versions if str(live.version) == version), None)

    def choose(self, ids: Sequence[str | None] | None = None) -> Live:
        """The version that answers a request with these ids.

        Raises:
            Problem: nothing is live.
        """
        live = self.live
        if live is None:
            raise problems.not_ready(self.reason)
        return live

    @property
    def shadow(self) -> Live | None:
        """The version that sees a copy of what the champion answers; mostly None."""
        return None

    def observed(
        self,
        live: Live,
        rows: int,
        seconds: float,
        failed: bool,
        *,
        requests: int = 1,
        scores: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """Take note of one call of a version's model, which costs nothing while no rollout runs.

        Args:
            live: the version that was called.
            rows: of the call.
            seconds: that the model took.
            failed: whether the version failed on rows that the champion can take.
            requests: that were answered together.
            scores: of the rows, `Prediction.score`, where the call did not fail.
        """

    def start(self, wait_seconds: float) -> None:
        """Begin to follow; returns when the first look at the registry is done, or after `wait_seconds`."""
        self._thread.start()
        self._polled.wait(wait_seconds)

    def stop(self) -> None:
        """End following; what is live stays."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _follow(self) -> None:
        while not self._stopped.is_set():
            self.poll()
            self._stopped.wait(self._settings.poll_seconds)

    def poll(self) -> None:
        """Look at the registry once and load its champion if that is not live; never raises."""
        try:
            champion = self._registry.aliases(self.name).get(Alias.CHAMPION)
        except Exception as error:
            if not self.outage:
                logger.warning("the registry cannot be read, keeping what is live: %s", error)
            self.outage = True
        else:
            self.outage = False
            self._take(champion)
        self._polled.set()

    def _take(self, champion: int | None) -> None:
        if champion is None or (self.live is not None and self.live.version == champion):
            self.failed = None
            return
        failed = self.failed
        if failed is not None and failed.version == champion and time.monotonic() < failed.retry_at:
            return
        try:
            live = load(self._registry, self._settings, self._registry.version(self.name, champion))
        except Exception as error:
            self._fail(champion, error)
            return
        self._on_swap(live)
        self.live, self.failed = live, None
        logger.info("version %d of %s is live", champion, self.name)

    def _fail(self, version: int, error: Exception) -> None:
        before = self.failed.attempts if self.failed and self.failed.version == version else 0
        wait = min(self._settings.poll_seconds * 2.0**before, _LONGEST_WAIT_SECONDS)
        self.failed = FailedLoad(version, type(error).__name__, before + 1, time.monotonic() + wait)
        self._on_failure(version)
        logger.error(
            "version %d of %s could not be loaded, trying again in %.0f s: %s",
            version,
            self.name,
            wait,
            error,
        )
