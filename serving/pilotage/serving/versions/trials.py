"""A step of a rollout as one server process sees it: which requests the challenger gets, and when none.

The share of a rollout's step is split by a hash of the request's first id, so
that an id stays with its version through every step, on every replica. What
both versions did is counted here, for the controller, and held against the
bounds at once: a challenger that fails loses its requests without anyone's
leave. Steps, promotions and audits are the controller's.
"""

from __future__ import annotations

import hashlib
import logging
import math
import operator
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pilotage.core import bounds
from pilotage.core.artifacts import Comparison, Measured, Rollout, Side
from pilotage.core.models import Prediction
from pilotage.core.profiles import NumberProfile
from pilotage.serving.versions.lives import Live

logger = logging.getLogger(__name__)

_SCORES_TOGETHER = 256
"""Arrays of scores that are counted by one call."""
_HASHES = 2**64


class _Count:
    """What one version did in this step, in this process."""

    def __init__(self, profile: NumberProfile) -> None:
        self.requests = self.failures = self.rows = 0
        self._profile = profile
        self._times: defaultdict[int, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._scores = np.zeros(profile.cells, np.int64)
        self._waiting: list[npt.NDArray[np.float64]] = []

    def answered(self, requests: int, rows: int, scores: npt.NDArray[np.float64] | None) -> None:
        self.requests += requests
        self.rows += rows
        if scores is not None:
            self._waiting.append(scores)
            if len(self._waiting) >= _SCORES_TOGETHER:
                self._count_scores()

    def failed(self, requests: int) -> None:
        self.requests += requests
        self.failures += requests

    def took(self, rows: int, seconds: float) -> None:
        self._times[bounds.size_class(rows)][bounds.time_cell(seconds)] += 1

    def _count_scores(self) -> None:
        if self._waiting:
            self._scores += self._profile.count(np.concatenate(self._waiting))
            self._waiting.clear()

    def side(self) -> Side:
        self._count_scores()
        return Side(
            requests=self.requests,
            failures=self.failures,
            rows=self.rows,
            times={size: dict(cells) for size, cells in self._times.items()},
            scores=tuple(self._scores.tolist()),
        )


class Trial:
    """One step of a rollout in this process."""

    def __init__(
        self,
        rollout: Rollout,
        champion: Live,
        challenger: Live,
        *,
        on_halt: Callable[[], None] = lambda: None,
    ) -> None:
        self.rollout = rollout
        self.champion = champion
        self.challenger = challenger
        self.halted = ""
        """Why the challenger gets nothing any more; empty while it does."""
        self._on_halt = on_halt
        self._limit = rollout.share * _HASHES // 100
        self._salt = f"{rollout.pilot}/{rollout.challenger}/".encode()
        self._lock = threading.Lock()
        self._sides = {live.version: _Count(champion.profile.score) for live in (champion, challenger)}
        self._copied = self._dropped = self._compared = self._agreed = 0
        self._distance = 0.0
        self._changed = False

    @property
    def copying(self) -> bool:
        """Whether the challenger sees copies of what the champion answers."""
        return not self._limit and not self.halted

    def takes(self, ids: Sequence[str | None] | None) -> bool:
        """Whether the challenger answers a request with these ids; by chance where there is none."""
        if not self._limit or self.halted:
            return False
        first = next((value for value in ids if value is not None), None) if ids else None
        if first is None:
            return random.random() * _HASHES < self._limit  # noqa: S311 - nothing secret hangs on it
        digest = hashlib.blake2b(self._salt + first.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self._limit

    def observe(
        self,
        live: Live,
        rows: int,
        seconds: float,
        failed: bool,
        requests: int,
        scores: npt.NDArray[np.float64] | None,
    ) -> None:
        """Count a call of one version's model; a challenger that fails too often is halted at once."""
        count = self._sides.get(live.version)
        if count is None or not self._limit:  # copies are compared on their own, under like conditions
            return
        with self._lock:
            self._changed = True
            if failed:
                count.failed(requests)
            else:
                count.answered(requests, rows, scores)
                count.took(rows, seconds)
        if failed and live.version == self.challenger.version:
            self._judge_failures()

    def copied(
        self,
        answered: Prediction,
        copy: Prediction | None,
        requests: int,
        seconds: float,
        champion_seconds: float | None,
    ) -> None:
        """Count what the challenger said of a copy of `requests` that were answered together.

        Args:
            answered: what the champion said, which the client got.
            copy: what the challenger said; None when it failed.
            requests: that were answered together.
            seconds: that the challenger's model took.
            champion_seconds: that the champion's took for the same rows in the same thread, if that
                was tried.
        """
        rows = len(answered.score)
        if copy is not None and len(copy.score) != rows:
            copy = None
        champion, challenger = (self._sides[live.version] for live in (self.champion, self.challenger))
        with self._lock:
            self._changed = True
            self._copied += requests
            champion.answered(requests, rows, answered.score)
            if copy is None:
                challenger.failed(requests)
            else:
                challenger.answered(requests, rows, copy.score)
                if champion_seconds is not None:
                    champion.took(rows, champion_seconds)
                    challenger.took(rows, seconds)
                self._compare(answered, copy)
        if copy is None:
            self._judge_failures()

    def _compare(self, answered: Prediction, copy: Prediction) -> None:
        self._compared += len(answered.score)
        if answered.predictions.dtype.kind == "f" and copy.predictions.dtype.kind == "f":
            same = np.isclose(answered.predictions, copy.predictions, rtol=1e-6, atol=0.0)
            self._agreed += int(np.count_nonzero(same))
        else:
            self._agreed += sum(map(operator.eq, answered.predictions.tolist(), copy.predictions.tolist()))
        distance = float(np.abs(answered.score - copy.score).sum())
        self._distance += distance if math.isfinite(distance) else 0.0

    def missed(self, requests: int) -> None:
        """Count copies that the challenger was too busy for."""
        with self._lock:
            self._changed = True
            self._dropped += requests

    def halt(self, reason: str) -> None:
        """Send nothing more to the challenger; the first reason stays."""
        with self._lock:
            if self.halted:
                return
            self.halted = reason
        self._on_halt()
        logger.error(
            "version %d of %s gets no more requests: %s", self.challenger.version, self.rollout.pilot, reason
        )

    def _judge_failures(self) -> None:
        if self._sides[self.challenger.version].failures >= bounds.LEAST_FAILURES:
            self.judge()

    def judge(self) -> Measured:
        """Hold what was counted here against the bounds, and halt beyond them."""
        measured = bounds.measure(self.comparison(), self.rollout.bounds, self.rollout.min_requests)
        if measured.beyond:
            self.halt(measured.beyond)
        return measured

    def changed(self) -> bool:
        """Whether anything was counted since this was asked last."""
        with self._lock:
            changed, self._changed = self._changed, False
            return changed

    def comparison(self) -> Comparison:
        """Everything counted in this step so far."""
        with self._lock:
            return Comparison(
                pilot=self.rollout.pilot,
                step=self.rollout.step,
                champion=self._sides[self.champion.version].side(),
                challenger=self._sides[self.challenger.version].side(),
                copied=self._copied,
                dropped=self._dropped,
                compared=self._compared,
                agreed=self._agreed,
                distance=self._distance,
            )
