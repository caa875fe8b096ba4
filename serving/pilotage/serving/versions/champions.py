"""Following the registry: the pilot's `champion`, and what serves beside it.

A new champion is loaded and warmed up in a thread of its own and then takes the
place of the old one by one assignment; requests in progress finish on the
version they began with. What cannot be loaded is reported and tried again
later, while the old version stays. Beside it may be the challenger of a rollout
and versions that were asked for by number. Where a version is pinned, it serves in the
champion's place and aliases and rollouts are not looked at: whoever pins it decides what
serves, and a registry that is down later disturbs nothing. Requests and HTTP are not known here.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilotage.core import errors
from pilotage.core.registry import Alias, Registry
from pilotage.core.settings import Settings
from pilotage.serving import problems
from pilotage.serving.versions import memory
from pilotage.serving.versions.lives import Live, load
from pilotage.serving.versions.rollouts import Rollouts
from pilotage.serving.versions.trials import Trial

logger = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class FailedLoad:
    """A version that could not be loaded."""

    version: int
    kind: str
    """Of the error."""
    told: str
    """What whoever asks may know of it."""
    attempts: int
    retry_at: float
    """By `time.monotonic()`."""


class Follower:
    """Keeps `live` at the pilot's champion, or at the version that is pinned."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        registry: Registry,
        *,
        also: Sequence[int] = (),
        pin: int | None = None,
        replica: str = "",
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
        self._pin = pin
        self._also = tuple(dict.fromkeys(also))
        self._beside: tuple[Live, ...] = ()
        self._failed_beside: dict[int, FailedLoad] = {}
        self._rollouts = Rollouts(
            name, settings, replica or secrets.token_hex(8), self._load, on_halt=self._hurry
        )
        self._let_go = False
        """Whether a version was unloaded whose memory was not given back yet."""
        self._stopped = threading.Event()
        self._woken = threading.Event()
        self._polled = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    @property
    def reason(self) -> str:
        """Why nothing, or not the newest champion, is live; empty when all is well.

        Told to whoever asks, so addresses and paths are left to the log.
        """
        if self.failed is not None:
            return self.failed.told
        if self.outage:
            return "The registry cannot be read; the server's log says why."
        if self.live is None:
            if self._pin is not None:
                return f"Version {self._pin} is being loaded."
            polled = self._polled.is_set()
            return f"Pilot `{self.name}` has no champion yet." if polled else "The champion is being loaded."
        for failed in self._failed_beside.values():
            return failed.told
        return ""

    @property
    def trial(self) -> Trial | None:
        """The step of the rollout that goes on here; mostly None."""
        return self._rollouts.trial

    @property
    def versions(self) -> tuple[Live, ...]:
        """Every version that is loaded, the champion first."""
        trial = self.trial
        found = (self.live, None if trial is None else trial.challenger, *self._beside)
        return tuple({live.version: live for live in found if live is not None}.values())

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
        trial = self._rollouts.trial
        if trial is not None and trial.champion is live and trial.takes(ids):
            return trial.challenger
        return live

    @property
    def shadow(self) -> Live | None:
        """The version that sees a copy of what the champion answers; mostly None."""
        trial = self._rollouts.trial
        return trial.challenger if trial is not None and trial.copying else None

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
        trial = self._rollouts.trial
        if trial is not None:
            trial.observe(live, rows, seconds, failed, requests, scores)

    def start(self, wait_seconds: float) -> None:
        """Begin to follow; returns when the first look at the registry is done, or after `wait_seconds`."""
        self._thread.start()
        self._polled.wait(wait_seconds)

    def stop(self) -> None:
        """End following; what is live stays."""
        self._stopped.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _hurry(self) -> None:
        """Look again at once."""
        self._woken.set()

    def _follow(self) -> None:
        self.poll()
        memory.keep()
        while not self._stopped.is_set():
            self._woken.wait(self._settings.poll_seconds)
            self._woken.clear()
            if not self._stopped.is_set():
                self.poll()
        self._rollouts.close()

    def poll(self) -> None:
        """Look at the registry once and load what should serve and does not; never raises."""
        if self._let_go:
            self._let_go = False
            memory.release()
        before = {live.version for live in self.versions}
        try:
            aliases = self._aliases()
        except Exception as error:
            if not self.outage:
                logger.warning("the registry cannot be read, keeping what is live: %s", error)
            self.outage = True
            self._polled.set()
            return
        self.outage = False
        self._take(aliases.get(Alias.CHAMPION))
        self._load_beside()
        self._polled.set()
        if self._pin is None:
            self._rollouts.look(self.live, aliases.get(Alias.CHALLENGER))
        self._let_go = bool(before - {live.version for live in self.versions})

    def _aliases(self) -> dict[str, int]:
        """The registry's aliases; the pinned version as the champion where there is one."""
        if self._pin is None:
            return self._registry.aliases(self.name)
        if self.live is None:
            with suppress(errors.NotFound):  # loading it says so, and again and again
                self._registry.version(self.name, self._pin)
        return {Alias.CHAMPION: self._pin}

    def _take(self, champion: int | None) -> None:
        if champion is None or (self.live is not None and self.live.version == champion):
            self.failed = None
            return
        failed = self.failed
        if failed is not None and failed.version == champion and time.monotonic() < failed.retry_at:
            return
        try:
            live = self._load(champion)
        except Exception as error:
            before = failed if failed is not None and failed.version == champion else None
            self.failed = self._fail(champion, error, before)
            return
        self._on_swap(live)
        self.live, self.failed = live, None
        logger.info("version %d of %s is live", champion, self.name)

    def _load_beside(self) -> None:
        """Load the versions that were asked for by number."""
        for version in self._also:
            failed = self._failed_beside.get(version)
            waits = failed is not None and time.monotonic() < failed.retry_at
            if waits or any(live.version == version for live in self._beside):
                continue
            try:
                self._beside = (*self._beside, self._load(version))
                self._failed_beside.pop(version, None)
            except Exception as error:
                self._failed_beside[version] = self._fail(version, error, failed)

    def _load(self, version: int) -> Live:
        """The version, from its files unless it is loaded already."""
        known = self.at(str(version))
        return known or load(self._registry, self._settings, self._registry.version(self.name, version))

    def _fail(self, version: int, error: Exception, before: FailedLoad | None) -> FailedLoad:
        attempts = before.attempts if before is not None else 0
        wait = min(self._settings.poll_seconds * 2.0**attempts, _LONGEST_WAIT_SECONDS)
        self._on_failure(version)
        logger.error(
            "version %d of %s could not be loaded, trying again in %.0f s: %s",
            version,
            self.name,
            wait,
            error,
        )
        kind = type(error).__name__
        told = f"Version {version} could not be loaded ({kind}); the server's log says why."
        if isinstance(error, errors.MissingExtra):
            told = str(error)
        return FailedLoad(version, kind, told, attempts + 1, time.monotonic() + wait)
