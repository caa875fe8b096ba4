"""Following a pilot's rollout: the challenger beside the champion while the record says so.

The record is read with each look at the registry. What this process counted is
written beside it now and then, and why it stopped at once; a halt of another
replica is obeyed. A challenger that cannot be loaded, or that takes other
features than the champion, halts the rollout. The record itself is the
controller's.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from pilotage.core import rollouts
from pilotage.core.artifacts import Rollout
from pilotage.core.rollouts import Halt
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.serving.versions.lives import Live
from pilotage.serving.versions.trials import Trial

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
"""Failed loads of a challenger after which its rollout is halted."""


class Rollouts:
    """Keeps `trial` at the rollout that goes on."""

    def __init__(
        self,
        pilot: str,
        settings: Settings,
        replica: str,
        load: Callable[[int], Live],
        *,
        on_halt: Callable[[], None] = lambda: None,
    ) -> None:
        self.trial: Trial | None = None
        self._pilot = pilot
        self._settings = settings
        self._replica = replica
        self._load = load
        self._on_halt = on_halt
        self._storage: Storage | None = None
        self._complained = False
        self._failures: Counter[int] = Counter()
        self._written = -settings.flush_seconds
        self._told: tuple[int, str] | None = None

    def look(self, champion: Live | None, challenger: int | None) -> None:
        """Follow the record of `challenger`, never raising; nothing is tried without one that goes on."""
        try:
            self._look(champion, challenger)
        except Exception as error:
            self._complain(error)
        else:
            self._complained = False

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            logger.warning("the rollout of %s cannot be followed, keeping its share: %s", self._pilot, error)
        self._complained = True

    def _look(self, champion: Live | None, challenger: int | None) -> None:
        rollout = None
        if champion is not None and challenger is not None and challenger != champion.version:
            rollout = rollouts.read(self._place, self._pilot, challenger)
        if champion is None or rollout is None or not rollout.running or rollout.champion != champion.version:
            self._end()
            return
        trial = self._begin(rollout, champion)
        if trial is None:
            return
        if not trial.halted:
            self._obey(trial)
            trial.judge()
        self._tell(trial)

    @property
    def _place(self) -> Storage:
        if self._storage is None:
            self._storage = Storage(self._settings.storage)
        return self._storage

    def _begin(self, rollout: Rollout, champion: Live) -> Trial | None:
        """The trial of the record's step; the one that goes on where nothing changed."""
        trial = self.trial
        known = trial is not None and trial.challenger.version == rollout.challenger
        if trial is not None and known and trial.champion is champion and trial.rollout.step == rollout.step:
            return trial
        if trial is not None and known:
            challenger: Live | None = trial.challenger
        else:
            self._end()
            challenger = self._loaded(rollout)
        if challenger is None:
            return None
        halted = trial.halted if trial is not None and known else ""
        self.trial = Trial(rollout, champion, challenger, on_halt=self._on_halt)
        if halted:
            self.trial.halt(halted)
        elif set(challenger.model.features) != set(champion.model.features):
            self.trial.halt(
                "it takes other features than the champion, so both cannot answer the same requests"
            )
        logger.info(
            "version %d of %s gets %d %% of the requests beside %d",
            rollout.challenger,
            self._pilot,
            rollout.share,
            champion.version,
        )
        return self.trial

    def _loaded(self, rollout: Rollout) -> Live | None:
        """The challenger, loaded; None when that failed or is waited for."""
        if self._told == (rollout.challenger, "load"):
            return None
        try:
            found = self._load(rollout.challenger)
        except Exception as error:
            self._failures[rollout.challenger] += 1
            logger.warning(
                "version %d of %s could not be loaded beside the champion: %s",
                rollout.challenger,
                self._pilot,
                error,
            )
            if self._failures[rollout.challenger] >= _ATTEMPTS:
                self._write_halt(rollout, f"it cannot be loaded: {type(error).__name__}: {error}")
                self._told = (rollout.challenger, "load")
            return None
        del self._failures[rollout.challenger]
        return found

    def _obey(self, trial: Trial) -> None:
        """Stop when another replica did."""
        others = rollouts.halts(self._place, trial.rollout)
        if others:
            self._told = (trial.challenger.version, others[0].reason)
            trial.halt(others[0].reason)

    def _tell(self, trial: Trial) -> None:
        """Write what was counted, now and then, and why it was stopped, at once."""
        told = (trial.challenger.version, trial.halted)
        halting = bool(trial.halted) and self._told != told
        if halting or time.monotonic() - self._written >= self._settings.flush_seconds:
            self._write_comparison(trial)
        if halting:
            self._write_halt(trial.rollout, trial.halted)
            self._told = told

    def _write_comparison(self, trial: Trial) -> None:
        self._written = time.monotonic()
        if trial.changed():
            name = rollouts.comparison_name(self._pilot, trial.challenger.version, self._replica)
            self._place.write(name, trial.comparison().model_dump_json().encode(), sync=False)

    def _write_halt(self, rollout: Rollout, reason: str) -> None:
        halt = Halt(replica=self._replica, reason=reason, at=datetime.now(UTC))
        name = rollouts.halt_name(self._pilot, rollout.challenger, self._replica)
        self._place.write(name, halt.model_dump_json().encode())

    def close(self) -> None:
        """Write what was counted last; never raises."""
        if self.trial is not None:
            try:
                self._tell(self.trial)
                self._write_comparison(self.trial)
            except Exception as error:
                self._complain(error)

    def _end(self) -> None:
        self.trial = None
